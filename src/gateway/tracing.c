/* tracing.c - what is noted of a call while it runs; see tracing.h.
 *
 * Times are read from the clock, not the loop's of a turn: they are wanted
 * only of calls that are sampled or timed, and steps of one turn are to have a
 * length.
 */
#include "gateway/tracing.h"

#include "gateway/tracing_internal.h"
#include "gateway/worker.h"

static const struct tracing_conf *conf(const struct exchange *x)
{
    return x->worker->snapshot->tracing;
}

/* ---- which trace ---- */

/* Whether the request says of which trace it is. */
static bool is_told(const struct exchange *x, struct trace_context *out)
{
    return trace_parent_read(&x->s.request, out) == ERR_OK;
}

static bool is_believed(const struct exchange *x)
{
    enum trace_from from = (enum trace_from)conf(x)->from;

    return from == TRACE_FROM_ALL ||
           (from == TRACE_FROM_TRUSTED && x->believed);
}

static bool chance(struct exchange *x)
{
    uint64_t sample = conf(x)->sample;

    return sample == TRACE_SAMPLE_ALL ||
           (sample && rng_below(&x->worker->rng, TRACE_SAMPLE_ALL) < sample);
}

static void set_random(struct exchange *x, uint8_t *out, size_t n)
{
    uint64_t bits;

    do {
        for (size_t i = 0; i < n; i += sizeof(bits)) {
            bits = rng_next(&x->worker->rng);
            memcpy(out + i, &bits, sizeof(bits));
        }
    } while (!bits); /* all zero would be no id */
}

static void begin_trace(struct exchange *x, struct trace_context *c)
{
    set_random(x, c->trace_id, sizeof(c->trace_id));
    set_random(x, c->span_id, sizeof(c->span_id));
    c->flags = TRACE_RANDOM | (chance(x) ? TRACE_SAMPLED : 0);
}

/* ---- what the backend is told ---- */

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

static bool propagates(const struct exchange *x)
{
    return conf(x)->propagation != TRACE_PASS;
}

/* traceparent says each time of which try it is. */
static void tell_backend(struct exchange *x, const struct trace_state *state)
{
    struct trace *t = x->trace;

    drop_fields(&x->s.request);
    t->field = &x->to_backend[x->to_backend_count];
    exchange_set_request_field(x, STR("traceparent"), STR_NULL);
    if (state->len)
        exchange_set_request_field(x, STR("tracestate"), t->state);
}

static void record(struct exchange *x, const struct trace_context *c,
                   const struct trace_context *told, bool goes_on)
{
    struct trace *t = x->trace = arena_alloc(x->s.arena, sizeof(*t));
    struct trace_state state = { .len = 0 };

    t->sampled = true;
    t->context = *c;
    t->wall_ns = clock_wall_us() * 1000 - clock_mono_ns();
    if (goes_on) {
        memcpy(t->parent, c->span_id, sizeof(t->parent));
        t->has_parent = true;
        set_random(x, t->context.span_id, sizeof(t->context.span_id));
        (void)trace_state_read(&x->s.request, &state);
        t->state = arena_copy(x->s.arena, str_from(state.text, state.len));
    } else if (told) {
        t->link = *told;
        t->has_link = true;
    }
    if (propagates(x))
        tell_backend(x, &state);
}

void tracing_begin(struct exchange *x)
{
    struct trace_context c, told;
    bool is = is_told(x, &told), goes_on = is && is_believed(x);

    if (goes_on)
        c = told;
    else
        begin_trace(x, &c);
    if (x->worker->spans && c.flags & TRACE_SAMPLED) {
        record(x, &c, is ? &told : NULL, goes_on);
        return;
    }
    /* A trace that goes on without us goes on as it is: its next span shall
     * not look for a parent that nobody recorded. */
    if (goes_on || !propagates(x))
        return;
    drop_fields(&x->s.request);
    exchange_set_request_field(x, STR("traceparent"), parent_text(x, &c));
}

void tracing_time(struct exchange *x)
{
    x->worker->untimed = TRACE_TIMED - 1;
    if (!x->trace)
        x->trace = arena_alloc(x->s.arena, sizeof(*x->trace));
}

/* ---- steps ---- */

static enum metrics_phase phase_of(const struct policy *p)
{
    if (p == &policy_authenticate)
        return PHASE_AUTHENTICATION;
    if (p == &policy_limits)
        return PHASE_LIMITS;
    return PHASE_POLICIES;
}

/* The step that runs; NULL: none. */
static struct trace_phase *running(struct trace *t)
{
    struct trace_phase *last =
        t->phase_count ? &t->phases[t->phase_count - 1] : NULL;

    return last && !last->end_ns ? last : NULL;
}

/* Steps of one kind that follow each other are one phase. */
void tracing_step(struct exchange *x, const struct policy *policy)
{
    struct trace *t = x->trace;
    struct trace_phase *last = running(t);
    uint64_t now;

    if (last && policy && last->is == phase_of(policy))
        return;
    now = clock_mono_ns();
    if (last)
        last->end_ns = now;
    if (!policy || t->phase_count == TRACE_PHASES)
        return;
    t->phases[t->phase_count++] =
        (struct trace_phase) { .is = phase_of(policy), .start_ns = now };
}

void tracing_refused(struct exchange *x)
{
    struct trace_phase *last = running(x->trace);

    if (!last)
        return;
    last->refused = true;
    last->end_ns = clock_mono_ns();
}

void tracing_body_in(struct exchange *x)
{
    x->trace->body_in_ns = clock_mono_ns();
}

/* ---- tries ---- */

/* What is told of it. */
static void describe(struct exchange *x, struct trace_try *y)
{
    struct trace *t = x->trace;
    const struct member *m = &x->cluster->members[x->member];
    const struct endpoint *e = m->endpoint;
    struct trace_context c = t->context;

    y->port = e->port;
    set_random(x, y->id, sizeof(y->id));
    y->host = arena_copy(x->s.arena, e->host);
    y->url =
        arena_printf(x->s.arena, "%s://%.*s%.*s%.*s", e->tls ? "https" : "http",
                     STR_ARG(e->authority), STR_ARG(m->base), STR_ARG(x->rest));
    y->resend = x->tries;
    if (!t->field)
        return;
    memcpy(c.span_id, y->id, sizeof(c.span_id));
    t->field->value = parent_text(x, &c);
}

void tracing_try(struct exchange *x)
{
    struct trace *t = x->trace;
    struct trace_try *y;

    if (t->try_count == TRACE_TRIES) {
        y = trace_present(t);
        y->reply_ns = y->end_ns = 0; /* the last one has the rest */
        return;
    }
    y = &t->tries[t->try_count++];
    *y = (struct trace_try) { .start_ns = clock_mono_ns() };
    if (t->sampled)
        describe(x, y);
}

void tracing_reply(struct exchange *x, unsigned status)
{
    struct trace_try *y = trace_present(x->trace);

    if (!y)
        return;
    y->status = (uint16_t)status;
    y->reply_ns = clock_mono_ns();
}

void tracing_try_failed(struct exchange *x, const char *why)
{
    struct trace_try *y = trace_present(x->trace);

    if (y && !y->error)
        y->error = why;
}

void tracing_try_over(struct exchange *x)
{
    struct trace_try *y = trace_present(x->trace);

    if (y && !y->end_ns)
        y->end_ns = clock_mono_ns();
}

/* ---- the end ---- */

struct times {
    uint64_t end_ns; /* of the call */
    uint64_t sums[METRICS_PHASES];
    bool had[METRICS_PHASES];
};

/* end_ns 0: it went on until the call ended. */
static void add(struct times *times, enum metrics_phase phase,
                uint64_t start_ns, uint64_t end_ns)
{
    if (!end_ns)
        end_ns = times->end_ns;
    times->had[phase] = true;
    if (end_ns > start_ns)
        times->sums[phase] += end_ns - start_ns;
}

static void add_bodies(struct exchange *x, struct times *times)
{
    const struct trace_try *y = trace_present(x->trace);

    if (x->tunnel)
        return;
    if (x->s.body_in)
        add(times, PHASE_REQUEST_BODY, x->s.start_us * 1000,
            x->trace->body_in_ns);
    if (x->s.body_out && y && y->reply_ns)
        add(times, PHASE_RESPONSE_BODY, y->reply_ns, 0);
}

/* A phase a call had twice, or a backend it tried twice, counts once. */
static void count_times(struct exchange *x, uint64_t end_ns)
{
    const struct trace *t = x->trace;
    struct times times = { .end_ns = end_ns };

    for (uint32_t i = 0; i < t->phase_count; i++)
        add(&times, t->phases[i].is, t->phases[i].start_ns,
            t->phases[i].end_ns);
    for (uint32_t i = 0; i < t->try_count; i++)
        add(&times, PHASE_BACKEND, t->tries[i].start_ns,
            t->tries[i].reply_ns ? t->tries[i].reply_ns : t->tries[i].end_ns);
    add_bodies(x, &times);
    for (size_t i = 0; i < METRICS_PHASES; i++)
        if (times.had[i])
            metrics_phase(x->worker->metrics, (enum metrics_phase)i,
                          times.sums[i]);
}

void tracing_end(struct exchange *x)
{
    uint64_t end_ns = clock_mono_ns();

    count_times(x, end_ns);
    if (x->trace->sampled)
        tracing_tell(x, end_ns);
}
