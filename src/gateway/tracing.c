/* tracing.c - see tracing.h. */
#include "gateway/tracing.h"

#include "events/trace_context.h"
#include "gateway/worker.h"

static const struct tracing_conf *conf(const struct exchange *x)
{
    return x->worker->snapshot->tracing;
}

/* Whether the request says of which trace it is, and is believed. */
static bool known(const struct exchange *x, struct trace_context *out)
{
    enum trace_from from = (enum trace_from)conf(x)->from;

    if (from == TRACE_FROM_NOBODY ||
        (from == TRACE_FROM_TRUSTED && !x->believed))
        return false;
    return trace_parent_read(&x->s.request, out) == ERR_OK;
}

static bool chance(struct exchange *x)
{
    uint64_t sample = conf(x)->sample;

    return sample == TRACE_SAMPLE_ALL ||
           (sample && rng_below(&x->worker->rng, TRACE_SAMPLE_ALL) < sample);
}

static void set_random(struct rng *r, uint8_t *out, size_t n)
{
    uint64_t bits;

    do {
        for (size_t i = 0; i < n; i += sizeof(bits)) {
            bits = rng_next(r);
            memcpy(out + i, &bits, sizeof(bits));
        }
    } while (!bits); /* all zero would be no id */
}

static void drop_fields(struct message *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->headers[i].id == FIELD_TRACEPARENT ||
            m->headers[i].id == FIELD_TRACESTATE)
            m->headers[i].hop = true;
}

static struct str parent_text(struct exchange *x, const struct trace_context *c)
{
    char *out = arena_raw(x->s.arena, TRACE_PARENT_BYTES);

    trace_parent_format(c, out);
    return str_from(out, TRACE_PARENT_BYTES);
}

void tracing_begin(struct exchange *x)
{
    struct trace_context c;

    if (known(x, &c))
        return; /* it goes on as it is */
    set_random(&x->worker->rng, c.trace_id, sizeof(c.trace_id));
    set_random(&x->worker->rng, c.span_id, sizeof(c.span_id));
    c.flags = TRACE_RANDOM | (chance(x) ? TRACE_SAMPLED : 0);
    drop_fields(&x->s.request);
    exchange_set_request_field(x, STR("traceparent"), parent_text(x, &c));
}
