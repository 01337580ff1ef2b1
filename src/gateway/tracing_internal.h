/* tracing_internal.h - what tracing.c notes and tracing_spans.c tells.
 *
 * Times are clock_mono_ns(); 0: not yet. All lives in the call's arena.
 */
#ifndef TG_GATEWAY_TRACING_INTERNAL_H
#define TG_GATEWAY_TRACING_INTERNAL_H

#include "events/trace_context.h"
#include "gateway/metrics.h"

struct exchange;

enum { TRACE_PHASES = 8, TRACE_TRIES = 8 };

struct trace_phase {
    enum metrics_phase is; /* a step of the chain */
    bool refused;
    uint64_t start_ns, end_ns;
};

struct trace_try {
    uint8_t id[8];
    uint64_t start_ns, reply_ns, end_ns;
    struct str host, url;
    uint16_t port, status;
    uint32_t resend;   /* tries before it that were sent */
    const char *error; /* or NULL */
};

struct trace {
    bool sampled; /* else only its times are wanted, and noted */
    struct trace_context context; /* span_id: of the call's own span */
    uint8_t parent[8];
    bool has_parent, has_link;
    struct trace_context link; /* what the call said and nobody believes */
    struct str state;
    uint64_t wall_ns;     /* what makes times of day of times */
    struct header *field; /* the backend's traceparent; or NULL */
    uint64_t body_in_ns;
    struct trace_phase phases[TRACE_PHASES];
    struct trace_try tries[TRACE_TRIES];
    uint32_t phase_count, try_count;
};

/* The last one; NULL: there was none. */
static inline struct trace_try *trace_present(struct trace *t)
{
    return t->try_count ? &t->tries[t->try_count - 1] : NULL;
}

/* The spans of a sampled call that ends now. */
void tracing_tell(struct exchange *x, uint64_t end_ns);

#endif
