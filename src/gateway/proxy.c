/* proxy.c - from the exchange to a backend and back.
 *
 * A request with a body is held for a moment (limits.hold, 20 ms) or until
 * limits.hold_size bytes came: most bodies are whole by then, so the backend
 * gets head and body in one piece, a broken body never reaches it, and the
 * call can be tried again elsewhere.
 */
#include "gateway/proxy.h"

#include <errno.h>

#include "base/budget.h"
#include "base/log.h"
#include "gateway/forwarding.h"
#include "gateway/policy/limits.h"
#include "gateway/streams.h"
#include "gateway/tracing.h"
#include "gateway/tunnel.h"
#include "gateway/worker.h"
#include "http/h1_write.h"

enum { HIGH_WATER = 64 * 1024 };

static const struct http_call_ops call_ops;
static void dispatch(struct exchange *x);

static struct exchange *of(struct http_call *call)
{
    return (struct exchange *)((char *)call - offsetof(struct exchange, call));
}

static uint64_t now_ms(const struct exchange *x)
{
    return loop_now_ms(x->worker->loop);
}

static const struct gateway_conf *conf(const struct exchange *x)
{
    return &x->worker->snapshot->settings->gateway;
}

/* The present try */

/* Its outcome is known: for the endpoint's state, and who waits for it. */
static void outcome(struct exchange *x, enum endpoint_outcome o,
                    const char *why)
{
    if (!x->endpoint)
        return;
    x->trial = false;
    endpoint_result(x->endpoint->endpoint, now_ms(x), o, why);
}

static void count_outstanding(struct exchange *x, int by)
{
    _Atomic uint32_t *n = &x->endpoint->outstanding;

    atomic_store_explicit(
        n, atomic_load_explicit(n, memory_order_relaxed) + (uint32_t)by,
        memory_order_relaxed);
}

static void end_try(struct exchange *x)
{
    if (x->trace)
        tracing_try_over(x);
    if (x->counted) {
        x->counted = false;
        count_outstanding(x, -1);
        x->upstream_us = loop_now_us(x->worker->loop) - x->upstream_start_us;
    }
    if (x->trial) {
        x->trial = false;
        atomic_store(&x->endpoint->endpoint->trial, false);
    }
}

static const struct str *text_of(struct exchange *x, const char *z)
{
    struct str *text = arena_alloc(x->s.arena, sizeof(*text));

    *text = str_z(z);
    return text;
}

/* A try failed; whether the call does is known later. why: static. */
static void note_failure(struct exchange *x, const char *why)
{
    if (x->trace)
        tracing_try_failed(x, why);
    explain_note(&x->explain, EXPLAIN_ENDPOINT, EXPLAIN_SKIPPED,
                 REASON_ENDPOINT_FAILED, 0, text_of(x, why));
}

static void refuse_endpoint(struct exchange *x, const char *why,
                            const struct refusal *r)
{
    explain_note(&x->explain, EXPLAIN_ENDPOINT, EXPLAIN_REFUSED,
                 REASON_ENDPOINT_NONE, 0, text_of(x, why));
    if (x->trace && x->state == X_CONNECT)
        tracing_try_failed(x, why);
    exchange_refuse(x, r);
}

void proxy_end_try(struct exchange *x)
{
    if (x->endpoint)
        end_try(x);
}

void proxy_abandon(struct exchange *x)
{
    if (x->wait_prev || x->alone)
        endpoint_forget(x->endpoint, x);
    http_call_cancel(&x->call);
    proxy_end_try(x);
}

/* The request's head */

static struct str via_value(struct exchange *x)
{
    const struct snapshot *snapshot = x->worker->snapshot;
    struct str via = x->s.request.major == 2 ? snapshot->via_2 : snapshot->via;
    struct str theirs = message_value(&x->s.request, FIELD_VIA);

    if (!theirs.len)
        return via;
    return arena_printf(x->s.arena, "%.*s, %.*s", STR_ARG(theirs),
                        STR_ARG(via));
}

static const uint64_t skip_request =
    H1_FIELD_BIT(FIELD_HOST) | H1_FIELD_BIT(FIELD_CONTENT_LENGTH) |
    H1_FIELD_BIT(FIELD_EXPECT) | H1_FIELD_BIT(FIELD_ACTIVITYID) |
    H1_FIELD_BIT(FIELD_FORWARDED) | H1_FIELD_BIT(FIELD_X_FORWARDED_FOR) |
    H1_FIELD_BIT(FIELD_X_FORWARDED_HOST) |
    H1_FIELD_BIT(FIELD_X_FORWARDED_PORT) |
    H1_FIELD_BIT(FIELD_X_FORWARDED_PROTO) | H1_FIELD_BIT(FIELD_X_REAL_IP) |
    H1_FIELD_BIT(FIELD_PROXY);

/* The path behind the endpoint's base; never empty together with it. */
static struct str rest_of_path(const struct exchange *x,
                               const struct member *member)
{
    return x->rest.len || member->base.len ? x->rest : STR("/");
}

static void start_request(struct exchange *x, struct http_client *c, bool more)
{
    struct message *m = &x->s.request;
    const struct member *member = &x->cluster->members[x->member];
    struct header extra[FORWARDING_FIELDS + 3 + REQUEST_FIELDS_MAX];
    struct http_request r = {
        .method = m->method_text,
        .authority = member->endpoint->authority,
        .path = { member->base, rest_of_path(x, member) },
        .query = m->query,
        .has_query = m->has_query,
        .from = m,
        .skip = skip_request,
        .extra = extra,
        .extras =
            forwarding_fields(x, (enum forwarded)conf(x)->forwarded, extra),
        .body = m->body,
        .length = m->length,
        .trailers = x->grpc,
        .upgrade = x->websocket ? message_value(m, FIELD_UPGRADE) : STR_NULL,
    };

    if (conf(x)->via.len) {
        r.skip |= H1_FIELD_BIT(FIELD_VIA);
        extra[r.extras].name = STR("Via");
        extra[r.extras++].value = via_value(x);
    }
    for (uint32_t i = 0; i < x->to_backend_count; i++)
        extra[r.extras++] = x->to_backend[i];
    extra[r.extras].name = STR("activityid");
    extra[r.extras++].value = x->activityid;
    if (m->expect_continue && !x->held_len && !x->whole) {
        extra[r.extras].name = STR("Expect");
        extra[r.extras++].value = STR("100-continue");
    }
    http_call_start(c, &x->call, &r, more);
}

/* The request's body */

static void hold_bytes(struct exchange *x, const char *p, size_t n)
{
    size_t need = x->held_len + n, cap = x->held_cap ? x->held_cap : 1024;

    if (need > x->held_cap) {
        while (cap < need)
            cap *= 2;
        x->held = x_resize(x->held, cap);
        budget_take(cap - x->held_cap);
        x->held_cap = (uint32_t)cap;
    }
    memcpy(x->held + x->held_len, p, n);
    x->held_len += (uint32_t)n;
}

static void forward(struct exchange *x, const char *p, size_t n, bool end)
{
    http_call_body(&x->call, p, n, end, end ? x->trailers : STR_NULL);
}

/* Trailer lines without those that would mean something in a head (RFC 9110
 * section 6.5.1), in place. */
static struct str safe_trailers(struct arena *a, struct str lines)
{
    char *out = arena_raw(a, lines.len + 1);
    size_t n = 0;

    while (lines.len) {
        size_t end = str_find(lines, '\n') + 1;
        struct str line = str_head(lines, end);
        struct str name = str_head(line, str_find(line, ':'));

        if (field_id(name) == FIELD_OTHER &&
            !str_eq_nocase(name, STR("set-cookie")) &&
            !str_eq_nocase(name, STR("cache-control")) &&
            !str_eq_nocase(name, STR("content-encoding")) &&
            !str_eq_nocase(name, STR("content-range"))) {
            memcpy(out + n, line.p, line.len);
            n += line.len;
        }
        lines = str_skip(lines, end);
    }
    return str_from(out, n);
}

void proxy_slow_client(struct exchange *x)
{
    if (http_call_unsent(&x->call) <= HIGH_WATER || x->paused_in)
        return;
    x->paused_in = true;
    http_pause(&x->s);
}

void proxy_slow_backend(struct exchange *x)
{
    if (http_unsent(&x->s) <= HIGH_WATER || x->paused_out)
        return;
    x->paused_out = true;
    http_call_pause(&x->call);
}

/* Enough of the body is here. */
static void held(struct exchange *x)
{
    if (x->cluster)
        dispatch(x);
    else
        x->op->answer(x);
}

void proxy_request_body(struct exchange *x, char *p, size_t n)
{
    if (x->state == X_OVER)
        return;
    if (x->state == X_TUNNEL) {
        tunnel_up(x, p, n);
        return;
    }
    if (x->call.client) {
        x->streamed = true;
        forward(x, p, n, false);
        if (x->limits)
            limits_flowed(x);
        proxy_slow_client(x);
        return;
    }
    if (x->state >= X_SENT && x->state != X_PAUSE)
        return; /* the backend has replied and gone */
    hold_bytes(x, p, n);
    if (x->held_len < conf(x)->limits.hold_size)
        return;
    if (!x->paused_in) {
        x->paused_in = true;
        http_pause(&x->s);
    }
    if (x->state == X_HOLD)
        held(x);
}

void proxy_request_end(struct exchange *x, struct str trailers)
{
    if (trailers.len)
        x->trailers = safe_trailers(x->s.arena, trailers);
    if (x->call.client)
        forward(x, NULL, 0, true);
    else if (x->state == X_HOLD)
        held(x);
}

void proxy_hold(struct exchange *x)
{
    const struct message *m = &x->s.request;

    x->cluster = x->op->production;
    if (!x->cluster) {
        if (x->whole)
            x->op->answer(x); /* else when the body has come */
        return;
    }
    if (x->cluster->total_ms)
        x->total_at_ms = now_ms(x) + x->cluster->total_ms;
    if (x->deadline_ms && (!x->total_at_ms || x->deadline_ms < x->total_at_ms))
        x->total_at_ms = x->deadline_ms;
    cluster_count_call(x->cluster);
    if (x->whole || x->grpc) /* its messages are not to wait for each other */
        dispatch(x);
    else if (m->body != BODY_NONE && !(m->body == BODY_LENGTH && !m->length))
        timer_set(x->worker->loop, &x->timer,
                  now_ms(x) + conf(x)->limits.hold_ms);
    /* without a body on_body_end() comes at once */
}

/* Trying */

static void start_call(struct exchange *x, struct http_client *c)
{
    bool body = x->s.request.body == BODY_CHUNKED || x->held_len || !x->whole;

    timer_clear(&x->timer);
    x->state = X_SENT;
    x->tries++;
    x->counted = true;
    count_outstanding(x, 1);
    x->upstream_start_us = loop_now_us(x->worker->loop);
    x->call.ops = &call_ops;
    x->call.method = x->s.request.method;
    x->call.first_byte_ms = x->cluster->first_byte_ms;
    x->call.stall_ms = x->cluster->stall_ms;
    x->call.total_at_ms = x->total_at_ms;
    if (x->grpc) { /* silence is part of it; its deadline holds */
        x->call.first_byte_ms = x->call.stall_ms = 0;
        streams_join(x);
    }
    start_request(x, c, body);
    if (body && (x->held_len || x->whole))
        forward(x, x->held, x->held_len, x->whole);
    if (x->paused_in && http_call_unsent(&x->call) <= HIGH_WATER) {
        x->paused_in = false;
        http_resume(&x->s);
    }
}

void exchange_connected(struct exchange *x, struct http_client *c)
{
    start_call(x, c);
}

static bool time_left(const struct exchange *x)
{
    return !x->total_at_ms || now_ms(x) < x->total_at_ms;
}

/* How long to wait before the next try (retryConfig), milliseconds. */
static uint64_t pause_ms(const struct exchange *x)
{
    const struct oas_endpoint_config *c = &x->cluster->config;
    double ms = c->retry.interval_ms;

    for (uint32_t i = 1; i < x->tries && c->retry.back_off_factor > 1; i++)
        ms *= c->retry.back_off_factor;
    if (c->retry.max_wait_ms && ms > c->retry.max_wait_ms)
        ms = c->retry.max_wait_ms;
    return (uint64_t)ms;
}

enum again {
    AGAIN_STALE,     /* the kept connection had ended: as if not sent */
    AGAIN_REFUSED,   /* the backend says it did not look at it */
    AGAIN_UNSENT,    /* the backend saw nothing of it */
    AGAIN_ANYWHERE,  /* it may have been seen, another try may go there too */
    AGAIN_ELSEWHERE, /* ... and another one there makes no sense */
};

static bool may_try(struct exchange *x, enum again why)
{
    uint64_t mine = x->member < 64 ? 1ull << x->member : 0;

    if (x->streamed || x->s.reply_started || !time_left(x))
        return false;
    if (why != AGAIN_UNSENT && why != AGAIN_REFUSED &&
        !method_idempotent(x->s.request.method))
        return false;
    if (x->attempts > x->cluster->retries + (why <= AGAIN_REFUSED ? 2u : 0u))
        return false;
    if (!cluster_has(x->cluster, why == AGAIN_ELSEWHERE ? x->tried | mine : 0,
                     now_ms(x)))
        return false;
    if (why <= AGAIN_REFUSED)
        return true;
    x->tried |= mine;
    return cluster_take_retry(x->cluster);
}

/* Begins another try, at once or after a pause. */
static void begin_again(struct exchange *x, enum again why)
{
    metrics_add(&x->worker->metrics->retries, 1);
    if (why >= AGAIN_ANYWHERE && pause_ms(x)) {
        x->state = X_PAUSE;
        timer_set(x->worker->loop, &x->timer, now_ms(x) + pause_ms(x));
    } else {
        dispatch(x);
    }
}

/* The same, when one is allowed. */
static bool try_again(struct exchange *x, enum again why)
{
    if (!may_try(x, why))
        return false;
    begin_again(x, why);
    return true;
}

void exchange_connect_failed(struct exchange *x, enum http_fail kind,
                             const char *why)
{
    log_call(LOG_DEBUG, "upstream", x->activityid, "%.*s: %s",
             STR_ARG(x->endpoint->endpoint->name), why ? why : "closed");
    outcome(x, ENDPOINT_UNREACHABLE, why);
    end_try(x);
    note_failure(x, why ? why : http_fail_name(kind));
    if (!try_again(x, AGAIN_UNSENT))
        exchange_refuse(x, kind == HTTP_FAIL_CONNECT_TIMEOUT
                               ? &refusal_connect_timeout
                               : &refusal_connect);
}

static void dispatch(struct exchange *x)
{
    struct worker *w = x->worker;
    struct http_client *c;
    struct endpoint *e;
    enum err err;
    int at;

    x->attempts++;
    at = cluster_pick(x->cluster, x->tried, now_ms(x),
                      x->cluster->count > 1 ? (uint32_t)rng_next(&w->rng) : 0,
                      &x->trial);
    if (at < 0) {
        refuse_endpoint(x, "all of them are set aside", &refusal_suspended);
        return;
    }
    x->member = (uint16_t)at;
    e = x->cluster->members[at].endpoint;
    explain_note(&x->explain, EXPLAIN_ENDPOINT, EXPLAIN_PASSED,
                 REASON_ENDPOINT_CHOSEN, 0, &e->name);
    x->endpoint = endpoint_here(e, w->index, w->loop, w->metrics);
    if (x->trace)
        tracing_try(x);
    x->state = X_CONNECT;
    if (x->websocket) {
        c = NULL;
        err = endpoint_connect_alone(x->endpoint, x);
    } else {
        err = endpoint_connect(x->endpoint, x, &c);
    }
    if (err == ERR_OK && c) {
        start_call(x, c);
    } else if (err == ERR_OK) {
        /* A connection under way has its own time-out; this one is for the
         * line. */
        timer_set(w->loop, &x->timer,
                  now_ms(x) + (x->alone || x->endpoint->connecting
                                   ? e->limits.connect_ms + 100
                                   : e->wait_ms));
    } else if (err == ERR_LIMIT || err == ERR_INVALID) {
        end_try(x);
        if (err == ERR_LIMIT)
            refuse_endpoint(x, "all connections to it are in use",
                            &refusal_busy);
        else
            exchange_refuse(x, &refusal_websocket_backend);
    } else if (err == ERR_NOT_FOUND) {
        end_try(x);
        if (!try_again(x, AGAIN_ELSEWHERE))
            refuse_endpoint(x, "its name has no address", &refusal_suspended);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
               errno == ENOMEM || errno == EADDRNOTAVAIL) {
        /* Ours, not the endpoint's: it is not blamed. */
        end_try(x);
        refuse_endpoint(x, "the gateway is short of descriptors or memory",
                        &refusal_busy);
    } else {
        exchange_connect_failed(x, HTTP_FAIL_CONNECT, strerrordesc_np(errno));
    }
}

static void on_timer(struct timer *t)
{
    struct exchange *x =
        (struct exchange *)((char *)t - offsetof(struct exchange, timer));

    switch ((enum exchange_state)x->state) {
    case X_HOLD:
    case X_PAUSE:
        dispatch(x);
        break;
    case X_CONNECT:
        endpoint_forget(x->endpoint, x);
        end_try(x);
        refuse_endpoint(x, "no connection to it became free in time",
                        &refusal_busy);
        break;
    case X_TUNNEL:
        tunnel_timer(x);
        break;
    case X_SENT:
    case X_REPLY:
        streams_end(x);
        break;
    default:
        break;
    }
}

/* The reply */

static void add_reply_fields(struct exchange *x, struct message *m,
                             const struct conf_list *list)
{
    const struct header_conf *h = list->items;

    for (size_t i = 0; i < list->count; i++, h++) {
        if (h->preserve)
            continue;
        for (uint32_t k = 0; k < m->count; k++)
            if (str_eq_nocase(m->headers[k].name, h->name))
                m->headers[k].hop = true;
        if (h->value.len)
            exchange_add_field(x, h->name, h->value);
    }
}

static void drop_cors_fields(struct message *m)
{
    static const struct str prefix = { "access-control-", 15 };

    for (uint32_t i = 0; i < m->count; i++)
        if (m->headers[i].name.len > prefix.len &&
            str_eq_nocase(str_head(m->headers[i].name, prefix.len), prefix))
            m->headers[i].hop = true;
}

/* A Location below the endpoint's base, as the client knows it; others stay
 * as they are (empty result). */
static struct str map_location(struct exchange *x, struct str value)
{
    const struct member *member = &x->cluster->members[x->member];
    struct str context = str_head(x->path, x->path.len - x->rest.len);
    struct str path = value;
    size_t scheme = str_find(value, ':');

    bool network = str_starts(value, STR("//")); /* "//host/path" */

    if (network || (scheme + 2 < value.len && value.p[scheme + 1] == '/' &&
                    value.p[scheme + 2] == '/')) {
        struct str want = member->endpoint->tls ? STR("https") : STR("http");
        size_t slash;

        if (!network && !str_eq_nocase(str_head(value, scheme), want))
            return STR_NULL;
        path = str_skip(value, network ? 2 : scheme + 3);
        slash = str_find(path, '/');
        if (!str_eq_nocase(str_head(path, slash), member->endpoint->authority))
            return STR_NULL;
        path = str_skip(path, slash);
        if (!path.len)
            path = STR("/");
    }
    if (!path.len || path.p[0] != '/' || (path.len > 1 && path.p[1] == '/') ||
        !str_starts(path, member->base))
        return STR_NULL;
    path = str_skip(path, member->base.len);
    if (path.len && path.p[0] != '/' && path.p[0] != '?')
        return STR_NULL;
    if (!path.len && !context.len)
        path = STR("/");
    return arena_printf(x->s.arena, "%.*s%.*s", STR_ARG(context),
                        STR_ARG(path));
}

/* Events come when they come: silence is no stall. */
static bool is_event_stream(const struct message *m)
{
    struct str type = message_value(m, FIELD_CONTENT_TYPE);

    return str_eq_nocase(str_head(type, 17), STR("text/event-stream"));
}

static uint64_t map_locations(struct exchange *x, const struct message *m)
{
    static const enum field ids[] = { FIELD_LOCATION, FIELD_CONTENT_LOCATION };
    uint64_t skip = 0;

    for (size_t i = 0; i < 2; i++) {
        struct str v = message_value(m, ids[i]), mapped;

        if (!v.len)
            continue;
        mapped = map_location(x, v);
        if (!mapped.len)
            continue;
        exchange_add_field(x, field_name(ids[i]), mapped);
        skip |= H1_FIELD_BIT(ids[i]);
    }
    return skip;
}

static void frame_reply(struct exchange *x, const struct message *m,
                        struct http_reply *r)
{
    struct str length = message_value(m, FIELD_CONTENT_LENGTH);

    r->body = m->body;
    r->length = m->length;
    if (m->body != BODY_NONE)
        return;
    if (x->s.request.method == METHOD_HEAD && length.len &&
        !str_to_u64(length, INT64_MAX, &r->length))
        r->body = BODY_LENGTH;
    else if (x->s.request.method == METHOD_HEAD)
        r->body = BODY_CLOSE; /* not known: no Content-Length */
}

/* A copy that lives as long as the exchange. */
static const struct message *keep_reply(struct exchange *x,
                                        const struct message *m)
{
    struct arena *a = x->s.arena;
    struct message *copy = arena_alloc(a, sizeof(*copy));

    *copy = *m;
    copy->headers = arena_alloc(a, m->count * sizeof(*m->headers) + 1);
    for (uint32_t i = 0; i < m->count; i++) {
        copy->headers[i] = m->headers[i];
        copy->headers[i].name = arena_copy(a, m->headers[i].name);
        copy->headers[i].value = arena_copy(a, m->headers[i].value);
    }
    return copy;
}

static void on_reply(struct http_call *call, const struct message *reply)
{
    struct exchange *x = of(call);
    struct message *m = (struct message *)(uintptr_t)reply;
    struct http_reply r = {
        .status = m->status, .reason = m->reason, .from = m, .extra = x->fields
    };

    if (x->trace)
        tracing_reply(x, m->status);
    outcome(x,
            cluster_fails_status(x->cluster, m->status) ? ENDPOINT_FAILED
                                                        : ENDPOINT_OK,
            NULL);
    /* Without another try the backend's own words are the best there are. */
    if (cluster_retries_status(x->cluster, m->status) &&
        may_try(x, AGAIN_ANYWHERE)) {
        http_call_cancel(call);
        end_try(x);
        begin_again(x, AGAIN_ANYWHERE);
        return;
    }
    x->state = X_REPLY;
    explain_note(&x->explain, EXPLAIN_ENDPOINT, EXPLAIN_PASSED, REASON_ANSWERED,
                 m->status, NULL);
    if (is_event_stream(m)) {
        call->stall_ms = 0;
        streams_join(x);
    }
    x->own_fields = x->field_count;
    x->target_status = (uint16_t)m->status;
    if (x->worker->ring)
        x->reply_type =
            arena_copy(x->s.arena, message_value(m, FIELD_CONTENT_TYPE));
    if (x->worker->snapshot->log_wants_reply)
        x->reply = keep_reply(x, m);
    for (uint32_t i = 0; x->op->chain.responses && i < x->op->chain.count; i++)
        if (x->op->chain.steps[i].policy->on_response)
            x->op->chain.steps[i].policy->on_response(
                x->op->chain.steps[i].conf, x, m);
    if (x->drop_cors)
        drop_cors_fields(m);
    if (conf(x)->reply_headers.count)
        add_reply_fields(x, m, &conf(x)->reply_headers);
    exchange_last_fields(x);
    r.skip = H1_FIELD_BIT(FIELD_ACTIVITYID) | map_locations(x, m);
    r.extras = x->field_count;
    frame_reply(x, m, &r);
    if (m->status != 101) {
        http_respond(&x->s, &r);
    } else if (tunnel_begin(x, m, &r)) {
        streams_join(x);
    } else {
        http_call_cancel(call);
        end_try(x);
        exchange_refuse(x, &refusal_protocol);
    }
}

static void on_inform(struct http_call *call, const struct message *m)
{
    struct exchange *x = of(call);

    if (m->status == 100 && (x->whole || x->s.body_in))
        return; /* the client did not wait */
    http_inform(&x->s, m->status, m, H1_FIELD_BIT(FIELD_ACTIVITYID));
}

static void on_body(struct http_call *call, char *p, size_t n, bool end,
                    struct str trailers)
{
    struct exchange *x = of(call);

    if (x->state == X_TUNNEL) {
        tunnel_down(x, p, n, end);
        return;
    }
    if (end) {
        end_try(x);
        if (trailers.len)
            trailers = x->s.request.trailers_ok
                           ? safe_trailers(x->s.arena, trailers)
                           : STR_NULL;
        x->state = X_OVER;
        http_finish(&x->s, p, n, trailers); /* x may be gone */
        return;
    }
    http_body(&x->s, p, n);
    if (x->limits)
        limits_flowed(x);
    proxy_slow_backend(x);
}

void proxy_reply_drained(struct exchange *x)
{
    if (!x->paused_out)
        return;
    x->paused_out = false;
    http_call_resume(&x->call);
}

static void on_request_drained(struct http_call *call)
{
    struct exchange *x = of(call);

    if (!x->paused_in)
        return;
    x->paused_in = false;
    http_resume(&x->s);
}

static const struct refusal *refusal_of_fail(enum http_fail why)
{
    switch (why) {
    case HTTP_FAIL_CONNECT:
        return &refusal_connect;
    case HTTP_FAIL_CONNECT_TIMEOUT:
        return &refusal_connect_timeout;
    case HTTP_FAIL_FIRST_BYTE:
    case HTTP_FAIL_TOTAL:
    case HTTP_FAIL_STALLED:
        return &refusal_timeout;
    case HTTP_FAIL_PROTOCOL:
        return &refusal_protocol;
    default:
        return &refusal_closed;
    }
}

static void on_fail(struct http_call *call, enum http_fail why, bool any,
                    const char *detail)
{
    struct exchange *x = of(call);
    bool closed = why == HTTP_FAIL_SEND || why == HTTP_FAIL_CLOSED;
    bool stale = closed && !any && call->reused;

    log_call(LOG_DEBUG, "upstream", x->activityid, "%.*s: %s (%s)",
             STR_ARG(x->endpoint->endpoint->name), http_fail_name(why),
             detail ? detail : "-");
    if (x->state == X_TUNNEL) {
        tunnel_broken(x);
        return;
    }
    if (!stale)
        outcome(x, ENDPOINT_FAILED, detail);
    end_try(x);
    note_failure(x, http_fail_name(why));
    /* Who speaks gRPC reads the codes of resets, and so gets the backend's. */
    if (x->grpc && call->reset_code && why != HTTP_FAIL_REFUSED &&
        x->s.request.major == 2) {
        x->state = X_OVER;
        http_cut_with(&x->s, call->reset_code);
        return;
    }
    if (x->s.reply_started && x->grpc && x->s.request.major == 2) {
        exchange_refuse(x, refusal_of_fail(why));
        return;
    }
    if (x->s.reply_started) {
        if (!http_unsend(&x->s)) {
            http_cut(&x->s);
            return;
        }
        x->field_count = x->own_fields;
    }
    if (why == HTTP_FAIL_REFUSED && !x->sent_again) {
        x->sent_again = true;
        if (try_again(x, AGAIN_REFUSED))
            return;
    }
    if (!any && (closed || why == HTTP_FAIL_FIRST_BYTE) &&
        try_again(x, stale    ? AGAIN_STALE
                     : closed ? AGAIN_ANYWHERE
                              : AGAIN_ELSEWHERE))
        return;
    exchange_refuse(x, refusal_of_fail(why));
}

static const struct http_call_ops call_ops = {
    .on_inform = on_inform,
    .on_reply = on_reply,
    .on_body = on_body,
    .on_drained = on_request_drained,
    .on_fail = on_fail,
};

void proxy_init(struct exchange *x)
{
    x->timer.fire = on_timer;
}
