/* limits.c - how often: tiers of API, operation and caller, taken together.
 *
 * All limits of a call are one take, all or none, in the table that every
 * thread and the next process share. Bytes are looked at before and counted
 * while they flow; what is counted at once is given back at the end.
 */
#include "gateway/policy/limits.h"

#include <stdio.h>
#include <time.h>

#include "gateway/policies.h"
#include "gateway/worker.h"

enum {
    BOUNDS_MAX = 2,
    FLOW_BYTES = 16 * 1024, /* are counted together */
};
_Static_assert((BOUNDS_MAX + 1) * TIER_TAKES_MAX + 1 <= LIMITS_MAX,
               "a call's takes do not fit: its tiers', and the backend's");

struct bound {
    struct tier_bound tier;
    const struct refusal *refusal; /* of its quota */
};

struct limits_conf {
    const struct policies *policies;
    struct bound bounds[BOUNDS_MAX]; /* of API or operation, and of nobody */
    uint32_t bound_count;
    struct str api, operation;
    struct take backend; /* limit 0: none */
    struct str backend_name;
    bool tell; /* every caller what is left */
};

/* What a call takes, while that is decided. */
struct asked {
    struct take takes[LIMITS_MAX];
    const struct tier_limit *limits[LIMITS_MAX]; /* NULL: the backend's */
    const struct str *names[LIMITS_MAX];         /* of tiers */
    const struct refusal *refusals[LIMITS_MAX];
    uint32_t count;
};

/* What goes on until the call ends; in its arena. */
struct limits_run {
    struct take *held; /* limits_give() */
    uint32_t held_bits;
    uint64_t counted;   /* bytes, in both directions */
    struct asked *flow; /* those in bytes; or NULL */
};

/* ---- compiling ---- */

static enum err unknown(const struct policy_input *in, enum tier_level level,
                        struct str name, uint32_t line)
{
    struct str near = tiers_nearest(&in->policies->tiers, level, name);

    problem_error(in->problems, in->doc->file, line,
                  "there is no tier \"%.*s\"%s%.*s%s; gateway.policies names "
                  "the file with tiers",
                  STR_ARG(name), near.p ? "; the nearest is \"" : "",
                  STR_ARG(near), near.p ? "\"" : "");
    return ERR_INVALID;
}

/* The tier of the operation, else of the API, whose operations then share its
 * counters; never both. */
static enum err bind_resource(const struct policy_input *in,
                              struct limits_conf *c)
{
    const struct oas_operation *o = in->operation;
    bool own = o->tier.len > 0;
    struct str name = own                 ? o->tier
                      : in->doc->tier.len ? in->doc->tier
                                          : in->entry->tier;
    const struct str place[] = { ORGANIZATION, in->doc->title,
                                 in->doc->api_version, STR("resource"),
                                 own ? c->operation : STR("*") };
    const struct tier *t;

    if (!name.len)
        return ERR_OK;
    t = tiers_find(&in->policies->tiers, TIER_RESOURCE, name);
    if (!t)
        return unknown(in, TIER_RESOURCE, name, own ? o->line : 0);
    if (!t->numbers)
        return ERR_OK; /* unlimited */
    tier_bind(in->arena, in->policies->seed, t, place, 5,
              &c->bounds[c->bound_count].tier);
    c->bounds[c->bound_count++].refusal =
        own ? &refusal_limit_operation : &refusal_limit_api;
    return ERR_OK;
}

/* Of who is nobody: gateway.unauthenticated_tier. */
static enum err bind_nobody(const struct policy_input *in,
                            struct limits_conf *c)
{
    struct str name = in->conf->unauthenticated_tier;
    const struct str place[] = { ORGANIZATION, in->doc->title,
                                 in->doc->api_version, STR("nobody") };
    const struct tier *t;

    if (!name.len || in->operation->security_count)
        return ERR_OK;
    t = tiers_find(&in->policies->tiers, TIER_SUBSCRIPTION, name);
    if (!t)
        return unknown(in, TIER_SUBSCRIPTION, name, 0);
    if (!t->numbers)
        return ERR_OK;
    tier_bind(in->arena, in->policies->seed, t, place, 4,
              &c->bounds[c->bound_count].tier);
    c->bounds[c->bound_count++].refusal = &refusal_limit_subscription;
    return ERR_OK;
}

static void bind_backend(const struct policy_input *in, struct limits_conf *c)
{
    const struct str place[] = { ORGANIZATION, in->doc->title,
                                 in->doc->api_version, STR("backend") };

    if (!in->entry->max_tps)
        return;
    c->backend_name = STR("of the backend (max_tps)");
    c->backend = (struct take) {
        .key = limit_key_of(in->policies->seed, place, 4),
        .kind = TAKE_WINDOW,
        .window = { WINDOW_SECOND, 1 },
        .limit = in->entry->max_tps,
        .cost = 1,
    };
}

static enum err prepare(const struct policy_input *in, void *conf)
{
    const struct oas_operation *o = in->operation;
    struct limits_conf *c = conf;
    bool callers;
    enum err e;

    c->policies = in->policies;
    c->api = arena_printf(in->arena, "%.*s:%.*s", STR_ARG(in->doc->title),
                          STR_ARG(in->doc->api_version));
    c->operation = arena_printf(in->arena, "%.*s %.*s", STR_ARG(o->method),
                                STR_ARG(o->path));
    e = bind_resource(in, c);
    if (!e)
        e = bind_nobody(in, c);
    if (e)
        return e;
    bind_backend(in, c);
    c->tell = in->conf->rate_limit_fields == RATE_FIELDS_ALWAYS;
    /* Who may call may bring a tier. */
    callers = o->security_count || in->conf->default_security;
    return c->bound_count || c->backend.limit || callers ? ERR_OK
                                                         : ERR_NOT_FOUND;
}

/* ---- the facts of a call ---- */

static struct str fact_header(void *arg, struct str name)
{
    const struct exchange *x = arg;
    const struct header *h = message_find(&x->s.request, name);

    return h ? h->value : STR_NULL;
}

static struct str fact_query(void *arg, struct str name)
{
    const struct exchange *x = arg;
    struct str rest = x->s.request.query;

    while (rest.p) {
        struct str one = str_cut(&rest, '&');
        size_t at = str_find(one, '=');

        if (str_eq(str_head(one, at), name))
            return at < one.len ? str_skip(one, at + 1) : STR("");
    }
    return STR_NULL;
}

static struct str fact_claim(void *arg, struct str name)
{
    const struct exchange *x = arg;
    const struct json *j = x->caller ? json_get(x->caller->claims, name) : NULL;

    return j && (j->type == JSON_STRING || j->type == JSON_NUMBER) ? j->text
                                                                   : STR_NULL;
}

static void read_facts(struct exchange *x, const struct limits_conf *c,
                       struct call_facts *f)
{
    const struct caller *who = x->caller;

    memcpy(f->ip, x->client.ip, 16);
    f->key = who ? who->id : str_from(x->client.text, x->client.text_len);
    f->user = who && who->user.len ? who->user : f->key;
    f->api = c->api;
    f->operation = c->operation;
    f->header = fact_header;
    f->query = fact_query;
    f->claim = fact_claim;
    f->arg = x;
}

/* ---- taking ---- */

static void add_tier(struct asked *run, const struct tier_bound *b,
                     struct limit_seed seed, const struct call_facts *f,
                     const struct refusal *quota)
{
    uint32_t at = run->count;

    run->count +=
        tier_takes(b, seed, f, false, &run->takes[at], &run->limits[at]);
    for (; at < run->count; at++) {
        run->names[at] = &b->tier->name;
        run->refusals[at] = quota;
    }
}

static const struct refusal *refusal_of(const struct asked *run, uint32_t i)
{
    const struct tier_limit *l = run->limits[i];

    if (!l)
        return &refusal_limit_backend;
    if (l->part == TIER_BURST)
        return run->refusals[i] == &refusal_limit_application
                   ? &refusal_burst_application
                   : &refusal_burst_subscription;
    return run->refusals[i];
}

static enum explain_reason reason_of(const struct asked *run, uint32_t i)
{
    const struct tier_limit *l = run->limits[i];

    if (!l)
        return REASON_LIMIT_BACKEND;
    return l->part == TIER_BURST         ? REASON_LIMIT_BURST
           : l->part == TIER_CONCURRENCY ? REASON_LIMIT_CONCURRENCY
                                         : REASON_LIMIT_REACHED;
}

/* "Gold (5000 in 1m)". */
static const struct str *limit_text(struct exchange *x, const struct asked *run,
                                    uint32_t i)
{
    struct str *out = arena_alloc(x->s.arena, sizeof(*out));
    char window[WINDOW_FORMAT_BYTES];

    if (run->takes[i].kind == TAKE_WINDOW)
        *out = arena_printf(x->s.arena, "%.*s (%llu in %s)",
                            STR_ARG(*run->names[i]),
                            (unsigned long long)run->takes[i].limit,
                            window_format(run->takes[i].window, window));
    else
        *out = *run->names[i];
    return out;
}

/* draft-ietf-httpapi-ratelimit-headers. */
static void add_fields(struct exchange *x, const struct asked *run,
                       const struct limit_state *s, uint32_t i)
{
    uint64_t now_us = loop_wall_us(x->worker->loop);
    uint64_t at_us = s->retry_us ? s->retry_us : s->reset_us;
    struct arena *a = x->s.arena;
    uint64_t wait_s = at_us > now_us ? (at_us - now_us + 999999) / 1000000 : 0;
    uint64_t window_s = run->takes[i].kind == TAKE_WINDOW
                            ? window_length_s(run->takes[i].window)
                            : 0;

    exchange_add_field(
        x, STR("RateLimit-Policy"),
        arena_printf(a, window_s ? "\"%.*s\";q=%llu;w=%llu" : "\"%.*s\";q=%llu",
                     STR_ARG(*run->names[i]), (unsigned long long)s->limit,
                     (unsigned long long)window_s));
    exchange_add_field(x, STR("RateLimit"),
                       arena_printf(a, "\"%.*s\";r=%llu;t=%llu",
                                    STR_ARG(*run->names[i]),
                                    (unsigned long long)s->remaining,
                                    (unsigned long long)wait_s));
}

/* A date, as the model has it. */
static void add_retry_after(struct exchange *x, const struct limit_state *s)
{
    uint64_t at_us = s->retry_us ? s->retry_us : s->reset_us;
    char date[30];

    if (!at_us)
        return;
    clock_http_date((at_us + 999999) / 1000000 * 1000000, date);
    exchange_add_field(x, STR("Retry-After"),
                       arena_copy(x->s.arena, str_z(date)));
}

/* Of the limits of requests, the one of which least is left. */
static void tell(struct exchange *x, const struct asked *run,
                 const struct limits_result *r)
{
    const struct limit_state *least = NULL;

    for (uint32_t i = 0; i < run->count; i++)
        if (run->limits[i] && run->takes[i].cost &&
            run->takes[i].kind != TAKE_AT_ONCE &&
            (!least || r->states[i].remaining < least->remaining))
            least = &r->states[i];
    if (least)
        add_fields(x, run, least, (uint32_t)(least - r->states));
}

/* The model's member of the body: when to come back. */
static struct str next_access(struct exchange *x, uint64_t at_us)
{
    time_t t = (time_t)((at_us + 999999) / 1000000);
    char text[64];
    struct tm tm;

    if (!at_us || !gmtime_r(&t, &tm) ||
        !strftime(text, sizeof(text), "%Y-%b-%d %H:%M:%S+0000 UTC", &tm))
        return STR("");
    return arena_printf(x->s.arena, ",\"nextAccessTime\":\"%s\"", text);
}

static enum verdict refuse(struct exchange *x, const struct asked *run,
                           const struct limits_result *r)
{
    const struct limit_state *s = &r->states[r->refused];

    if (r->refusal == LIMITS_FULL) {
        explain_note(&x->explain, EXPLAIN_LIMIT, EXPLAIN_REFUSED,
                     REASON_LIMIT_TABLE, 0, NULL);
        exchange_refuse(x, &refusal_limit_backend);
        return VERDICT_ANSWERED;
    }
    explain_note(&x->explain, EXPLAIN_LIMIT, EXPLAIN_REFUSED,
                 reason_of(run, r->refused), (uint32_t)s->limit,
                 limit_text(x, run, r->refused));
    add_retry_after(x, s);
    add_fields(x, run, s, r->refused);
    x->refusal_more = next_access(x, s->retry_us ? s->retry_us : s->reset_us);
    exchange_refuse(x, refusal_of(run, r->refused));
    return VERDICT_ANSWERED;
}

static bool add_caller(struct exchange *x, const struct limits_conf *c,
                       struct asked *run, const struct call_facts *f)
{
    const struct tier_bound *b;

    if (!x->caller || !x->caller->tier.len)
        return true;
    b = policies_caller_tier(c->policies, x->caller->tier);
    if (b)
        add_tier(run, b, c->policies->seed, f, &refusal_limit_application);
    return b != NULL;
}

static uint64_t flowed(const struct exchange *x)
{
    return x->s.body_in + x->s.body_out;
}

static void add_ask(struct asked *to, const struct asked *from, uint32_t i)
{
    to->takes[to->count] = from->takes[i];
    to->limits[to->count] = from->limits[i];
    to->names[to->count] = from->names[i];
    to->refusals[to->count++] = from->refusals[i];
}

static bool is_bytes(const struct asked *run, uint32_t i)
{
    return !run->takes[i].cost;
}

/* A stream whose API has changed was counted when it began: only what holds
 * for as long as it lives is asked again. */
static void leave_what_lasts(struct asked *run)
{
    uint32_t count = run->count;

    run->count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (is_bytes(run, i) || run->takes[i].kind == TAKE_AT_ONCE)
            add_ask(run, run, i);
}

/* Windows of requests need nothing more. */
static void keep(struct exchange *x, const struct asked *run, uint32_t held)
{
    struct limits_run *l;
    size_t bytes = 0;

    for (uint32_t i = 0; i < run->count; i++)
        bytes += is_bytes(run, i);
    if (!held && !bytes)
        return;
    l = arena_alloc(x->s.arena, sizeof(*l));
    if (held) {
        l->held_bits = held;
        l->held = arena_raw(x->s.arena, run->count * sizeof(*l->held));
        memcpy(l->held, run->takes, run->count * sizeof(*l->held));
    }
    if (bytes) {
        l->flow = arena_raw(x->s.arena, sizeof(*l->flow));
        l->flow->count = 0;
        for (uint32_t i = 0; i < run->count; i++)
            if (is_bytes(run, i))
                add_ask(l->flow, run, i);
    }
    l->counted = x->again ? flowed(x) : 0;
    x->limits = l;
}

static enum verdict on_request(const void *conf, struct exchange *x)
{
    const struct limits_conf *c = conf;
    struct asked run;
    struct call_facts f;
    struct limits_result r;

    if (!c->bound_count && !c->backend.limit &&
        (!x->caller || !x->caller->tier.len))
        return VERDICT_NEXT;
    run.count = 0;
    read_facts(x, c, &f);
    for (uint32_t i = 0; i < c->bound_count; i++)
        add_tier(&run, &c->bounds[i].tier, c->policies->seed, &f,
                 c->bounds[i].refusal);
    if (!add_caller(x, c, &run, &f)) {
        /* Not to count would make it unlimited. */
        explain_note(&x->explain, EXPLAIN_LIMIT, EXPLAIN_REFUSED,
                     REASON_LIMIT_UNKNOWN, 0, &x->caller->tier);
        exchange_refuse(x, &refusal_limit_unknown);
        return VERDICT_ANSWERED;
    }
    if (c->backend.limit) {
        run.takes[run.count] = c->backend;
        run.limits[run.count] = NULL;
        run.names[run.count++] = &c->backend_name;
    }
    if (x->again)
        leave_what_lasts(&run);
    if (!run.count)
        return VERDICT_NEXT;
    if (!limits_take(c->policies->counters, run.takes, run.count,
                     loop_wall_us(x->worker->loop), &r))
        return refuse(x, &run, &r);
    keep(x, &run, r.held);
    if (c->tell && !x->again)
        tell(x, &run, &r);
    explain_note(&x->explain, EXPLAIN_LIMIT, EXPLAIN_PASSED, REASON_LIMIT_LEFT,
                 run.count, run.names[0]);
    return VERDICT_NEXT;
}

/* Counts what flowed since. False: a limit has nothing left. */
static bool debit(struct exchange *x)
{
    struct limits_run *l = x->limits;
    uint64_t bytes = flowed(x), more = bytes - l->counted;

    if (bytes <= l->counted)
        return true;
    l->counted = bytes;
    return limits_debit(x->api->policies->counters, l->flow->takes,
                        l->flow->count, more, loop_wall_us(x->worker->loop));
}

void limits_flowed(struct exchange *x)
{
    const struct limits_run *l = x->limits;

    if (l->flow && flowed(x) >= l->counted + FLOW_BYTES)
        (void)debit(x);
}

/* A stream ends when its bytes are used up, by whomever. */
static const struct refusal *on_review(const void *conf, struct exchange *x)
{
    struct limits_run *l = x->limits;
    struct limits_result r;

    (void)conf;
    if (!l || !l->flow)
        return NULL;
    (void)debit(x);
    limits_look(x->api->policies->counters, l->flow->takes, l->flow->count,
                loop_wall_us(x->worker->loop), &r);
    if (r.refusal == LIMITS_ADMITTED)
        return NULL;
    explain_note(&x->explain, EXPLAIN_LIMIT, EXPLAIN_REFUSED,
                 reason_of(l->flow, r.refused),
                 (uint32_t)r.states[r.refused].limit,
                 limit_text(x, l->flow, r.refused));
    return refusal_of(l->flow, r.refused);
}

static void on_end(const void *conf, struct exchange *x)
{
    const struct limits_conf *c = conf;
    struct limits_run *l = x->limits;

    if (!l)
        return;
    if (l->held_bits)
        limits_give(c->policies->counters, l->held, l->held_bits,
                    loop_wall_us(x->worker->loop));
    if (l->flow)
        (void)debit(x);
    x->limits = NULL;
}

const struct policy policy_limits = {
    .name = "limits",
    .conf_size = sizeof(struct limits_conf),
    .needs = NEED_ADDRESS,
    .prepare = prepare,
    .on_request = on_request,
    .on_review = on_review,
    .on_end = on_end,
};
