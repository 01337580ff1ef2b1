/* exchange.c - a call from its head to its end: who it is for, the chain, the
 * reply. What goes to and comes from the backend is in proxy.c.
 */
#include "gateway/exchange.h"

#include "base/budget.h"
#include "base/log.h"
#include "format/uri.h"
#include "gateway/credential/credentials.h"
#include "gateway/event.h"
#include "gateway/explain_grant.h"
#include "gateway/explain_ring.h"
#include "gateway/forwarding.h"
#include "gateway/proxy.h"
#include "gateway/streams.h"
#include "gateway/tracing.h"
#include "gateway/tunnel.h"
#include "gateway/worker.h"
#include "http/grpc.h"
#include "http/websocket.h"

static struct exchange *of(struct http_stream *s)
{
    return (struct exchange *)s;
}

/* Replies of our own */

void exchange_add_field(struct exchange *x, struct str name, struct str value)
{
    must(x->field_count < REPLY_FIELDS_MAX);
    x->fields[x->field_count++] =
        (struct header) { .name = name, .value = value };
}

void exchange_set_request_field(struct exchange *x, struct str name,
                                struct str value)
{
    struct message *m = &x->s.request;
    enum field id = field_id(name);

    for (uint32_t i = 0; i < x->to_backend_count; i++) {
        if (!str_eq_nocase(x->to_backend[i].name, name))
            continue;
        x->to_backend[i].value = value; /* a stream's chain runs again */
        return;
    }
    must(x->to_backend_count < REQUEST_FIELDS_MAX);
    x->to_backend[x->to_backend_count++] =
        (struct header) { .name = name, .value = value };
    if (id != FIELD_OTHER && !m->first[id] && m->count <= UINT8_MAX)
        return; /* beyond that first[] does not tell */
    for (uint32_t i = 0; i < m->count; i++)
        if (m->headers[i].id == id && str_eq_nocase(m->headers[i].name, name))
            m->headers[i].hop = true;
}

static bool is_soap(const struct message *m)
{
    struct str type = message_value(m, FIELD_CONTENT_TYPE);

    return message_get(m, FIELD_SOAPACTION) ||
           str_eq_nocase(str_head(type, 8), STR("text/xml")) ||
           str_eq_nocase(str_head(type, 20), STR("application/soap+xml"));
}

static struct str grpc_status(struct exchange *x, const struct refusal *r)
{
    return arena_printf(x->s.arena, "%d", (int)grpc_code_of_status(r->status));
}

/* A whole answer in gRPC is a head with its status (trailers only). */
static void refuse_grpc(struct exchange *x, const struct refusal *r)
{
    struct http_reply reply = { .status = 200,
                                .extra = x->fields,
                                .body = BODY_NONE };

    exchange_add_field(x, STR("content-type"), STR("application/grpc"));
    exchange_add_field(x, STR("grpc-status"), grpc_status(x, r));
    exchange_add_field(x, STR("grpc-message"),
                       refusal_grpc_message(x->s.arena, r));
    reply.extras = x->field_count;
    http_respond(&x->s, &reply);
    http_finish(&x->s, NULL, 0, STR_NULL);
}

/* A reply that has begun. */
static void refuse_late(struct exchange *x, const struct refusal *r)
{
    struct str status;

    if (x->state == X_TUNNEL) {
        tunnel_close(x, WS_POLICY, r->message);
        return;
    }
    x->state = X_OVER;
    http_call_cancel(&x->call);
    proxy_end_try(x);
    if (!x->grpc || x->s.request.major != 2) {
        http_cut(&x->s);
        return;
    }
    status = grpc_status(x, r);
    http_finish(&x->s, NULL, 0,
                arena_printf(x->s.arena,
                             "grpc-status: %.*s\r\ngrpc-message: %.*s\r\n",
                             STR_ARG(status),
                             STR_ARG(refusal_grpc_message(x->s.arena, r))));
}

void exchange_last_fields(struct exchange *x)
{
    if (!x->explain_answer)
        return;
    x->explain_answer = false;
    exchange_add_field(x, STR("X-Tollgate-Explain"),
                       explain_summary(x->s.arena, &x->explain));
}

/* Who refuses says why; where nobody did, the answer's own words must do. */
static void note_refusal(struct exchange *x, const struct refusal *r)
{
    struct explain *e = &x->explain;
    struct explain_record *last =
        e->count ? &e->records[explain_count(e) - 1] : NULL;
    struct str *text;

    if (last && last->reason == REASON_ENDPOINT_FAILED)
        last->verdict = EXPLAIN_REFUSED; /* it was the last try */
    if (last && last->verdict == EXPLAIN_REFUSED)
        return;
    text = arena_alloc(x->s.arena, sizeof(*text));
    *text = str_z(r->description);
    explain_note(e, EXPLAIN_ENDPOINT, EXPLAIN_REFUSED, REASON_OTHER, 0, text);
}

void exchange_refuse(struct exchange *x, const struct refusal *r)
{
    const struct settings *s = x->worker->snapshot->settings;
    struct str type, body;

    x->refusal = r;
    if (x->trace)
        tracing_refused(x);
    note_refusal(x, r);
    exchange_last_fields(x);
    if (x->s.reply_started) {
        refuse_late(x, r);
        return;
    }
    x->state = X_OVER;
    if (x->again)
        proxy_abandon(x); /* the backend has not answered yet */
    if (x->grpc && x->s.request.major == 2) {
        refuse_grpc(x, r);
        return;
    }
    body = refusal_body(x->s.arena, r, x->refusal_more, is_soap(&x->s.request),
                        (enum errors)s->gateway.errors, &type);
    x->reply_type = type;
    http_reply_text(&x->s, r->status, type, body, x->fields, x->field_count);
}

void exchange_answer(struct exchange *x, unsigned status)
{
    x->state = X_OVER;
    http_reply_text(&x->s, status, STR_NULL, STR(""), x->fields,
                    x->field_count);
}

/* What a request says about itself */

static bool good_id(struct str id)
{
    if (id.len == 0 || id.len > 64)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* Hexadecimal digits, one of the low four bits of each byte: '0' + n, and 39
 * more from 10 on. */
static bytes16 hex_digits(bytes16 n)
{
    n &= 15;
    return n + '0' + ((bytes16)(n > 9) & ('a' - '0' - 10));
}

/* A random UUID, version 4. */
static struct str new_id(struct worker *w, struct arena *arena)
{
    char *out = arena_raw(arena, 36), digits[32];
    uint64_t bits[2] = { rng_next(&w->rng), rng_next(&w->rng) };
    bytes16 n, half;

    /* Which digit comes first does not matter here. */
    memcpy(&n, bits, 16);
    half = hex_digits(n);
    memcpy(digits, &half, 16);
    half = hex_digits(n >> 4);
    memcpy(digits + 16, &half, 16);
    memcpy(out, digits, 8);
    out[8] = '-';
    memcpy(out + 9, digits + 8, 4);
    out[13] = '-';
    memcpy(out + 14, digits + 12, 4);
    out[18] = '-';
    memcpy(out + 19, digits + 16, 4);
    out[23] = '-';
    memcpy(out + 24, digits + 20, 12);
    out[14] = '4';
    out[19] = "89ab"[bits[0] & 3];
    return str_from(out, 36);
}

static void identify(struct exchange *x)
{
    struct str id = message_value(&x->s.request, FIELD_ACTIVITYID);

    x->activityid = good_id(id) ? id : new_id(x->worker, x->s.arena);
    exchange_add_field(x, STR("activityid"), x->activityid);
}

/* "X_Forwarded_For" means X-Forwarded-For to some backends: names that look
 * like ones we know, but for the underscore, are not passed on. */
static void drop_lookalikes(struct message *m)
{
    char name[40];

    if (!m->underscores)
        return;
    for (uint32_t i = 0; i < m->count; i++) {
        struct header *h = &m->headers[i];

        if (h->id != FIELD_OTHER || h->name.len >= sizeof(name) ||
            !memchr(h->name.p, '_', h->name.len))
            continue;
        for (size_t k = 0; k < h->name.len; k++)
            name[k] = h->name.p[k] == '_' ? '-' : h->name.p[k];
        if (field_id(str_from(name, h->name.len)) != FIELD_OTHER)
            h->hop = true;
    }
}

static void drop_certificates(struct exchange *x)
{
    const struct credentials *c = x->worker->snapshot->credentials;

    if (passed_certificate_there(&x->s.request, &c->passed))
        passed_certificate_hide(x, &c->passed, c->conf.forward);
}

static const struct refusal *read_target(struct exchange *x)
{
    struct message *m = &x->s.request;
    char *out;
    size_t len;
    bool unchanged;

    if (m->method == METHOD_CONNECT)
        return refusal_of_status(501);
    if (m->path.len == 1 && m->path.p[0] == '*')
        return &refusal_not_found;
    out = arena_raw(x->s.arena, m->path.len);
    if (uri_path_normal(m->path, out, &len, &unchanged) ||
        (m->has_query && !uri_query_valid(m->query)))
        return &refusal_bad_request;
    x->path = unchanged ? m->path : str_from(out, len);
    return NULL;
}

/* gRPC and WebSocket want other things than a call and its answer. False: the
 * call was answered. */
static bool read_kind(struct exchange *x)
{
    struct message *m = &x->s.request;
    const struct header *timeout;

    x->websocket = websocket_wanted(m);
    x->grpc = grpc_is_type(message_value(m, FIELD_CONTENT_TYPE));
    if (!x->grpc)
        return true;
    x->s.open_ended = true;
    timeout = message_find(m, STR("grpc-timeout"));
    if (!timeout)
        return true;
    if (grpc_timeout_parse(timeout->value, &x->deadline_ms)) {
        exchange_refuse(x, &refusal_bad_request);
        return false;
    }
    x->deadline_ms += loop_now_ms(x->worker->loop);
    return true;
}

static bool check_websocket(struct exchange *x)
{
    unsigned status;

    if (!websocket_check_request(&x->s.request, &status))
        return true;
    if (status == 426) {
        exchange_add_field(x, STR("Sec-WebSocket-Version"), STR("13"));
        exchange_refuse(x, &refusal_websocket_version);
    } else {
        exchange_refuse(x, &refusal_bad_request);
    }
    return false;
}

/* Routing */

static void add_allow(struct exchange *x, uint32_t allowed)
{
    struct buf b;

    buf_init(&b, 256);
    if (allowed & 1u << METHOD_GET)
        allowed |= 1u << METHOD_HEAD;
    for (enum method m = METHOD_GET; m < METHOD_COUNT; m++) {
        if (!(allowed & 1u << m))
            continue;
        if (b.len)
            (void)buf_z(&b, ", ");
        (void)buf_str(&b, method_name(m));
    }
    exchange_add_field(x, STR("Allow"), arena_copy(x->s.arena, buf_view(&b)));
    buf_done(&b);
}

/* A grant, or the dice, have a call kept whatever comes of it. */
static void mark(struct exchange *x)
{
    const struct worker *w = x->worker;
    const struct header *h =
        message_get(&x->s.request, FIELD_X_TOLLGATE_EXPLAIN);
    uint64_t sample = w->snapshot->settings->gateway.explain.sample;

    if (h) {
        x->s.request.headers[h - x->s.request.headers].hop = true;
        x->explain_answer =
            w->explain_key &&
            explain_grant_check(w->explain_key, h->value, x->api->name,
                                x->api->version,
                                loop_wall_us(w->loop) / 1000000);
        x->explain.marked = x->explain_answer;
    }
    if (sample && rng_below(&x->worker->rng, 1000) < sample)
        x->explain.marked = true;
}

/* The keys that backends check assertions with, where no API has the path. */
static bool serve_keys(struct exchange *x)
{
    const struct credentials *c = x->worker->snapshot->credentials;

    if (!c->signing.jwks.len || !str_is(x->path, "/jwks") ||
        (x->s.request.method != METHOD_GET &&
         x->s.request.method != METHOD_HEAD))
        return false;
    x->state = X_OVER;
    http_reply_text(&x->s, 200, STR("application/json"), c->signing.jwks,
                    x->fields, x->field_count);
    return true;
}

/* Finds API and operation. False: the call was answered. */
static bool route(struct exchange *x)
{
    struct message *m = &x->s.request;
    uint32_t allowed;
    size_t context;

    x->api = router_find(x->worker->snapshot->router, m->authority, x->path,
                         &context);
    if (!x->api && serve_keys(x))
        return false;
    if (!x->api) {
        explain_note(&x->explain, EXPLAIN_ROUTE, EXPLAIN_REFUSED,
                     REASON_NO_ROUTE, 0, NULL);
        exchange_refuse(x, &refusal_not_found);
        return false;
    }
    worker_pin(x->worker, x->api);
    x->rest = str_skip(x->path, context);
    cors_reply(&x->api->cors, x);
    x->op = op_tree_find(x->api->tree, x->rest, m->method, m->method_text,
                         &allowed);
    if (x->api->cors.enabled && allowed && cors_is_preflight(x)) {
        cors_preflight(&x->api->cors, x, allowed);
        return false;
    }
    mark(x);
    if (x->op) {
        explain_note(&x->explain, EXPLAIN_ROUTE, EXPLAIN_PASSED, REASON_ROUTED,
                     0, &x->op->title);
        return true;
    }
    if (allowed) {
        add_allow(x, allowed);
        explain_note(&x->explain, EXPLAIN_ROUTE, EXPLAIN_REFUSED,
                     REASON_NO_METHOD, 0, &x->fields[x->field_count - 1].value);
        exchange_refuse(x, &refusal_method);
    } else {
        explain_note(&x->explain, EXPLAIN_ROUTE, EXPLAIN_REFUSED,
                     REASON_NO_OPERATION, 0, NULL);
        exchange_refuse(x, &refusal_not_found);
    }
    return false;
}

/* The chain */

static void run_chain(struct exchange *x)
{
    const struct chain *c = &x->op->chain;

    while (x->next_step < c->count) {
        const struct step *s = &c->steps[x->next_step++];
        enum verdict v = VERDICT_NEXT;

        if (s->policy->on_request)
            v = s->policy->on_request(s->conf, x);
        if (v != VERDICT_NEXT)
            return; /* answered, and x is gone; or exchange_resume() goes on */
    }
    x->state = X_HOLD;
    proxy_hold(x);
}

/* The same with times, for those who want them. */
TRACED static void run_timed_chain(struct exchange *x)
{
    const struct chain *c = &x->op->chain;

    while (x->next_step < c->count) {
        const struct step *s = &c->steps[x->next_step++];
        enum verdict v = VERDICT_NEXT;

        if (x->trace)
            tracing_step(x, s->policy);
        if (s->policy->on_request)
            v = s->policy->on_request(s->conf, x);
        if (v != VERDICT_NEXT)
            return;
        if (x->explain.marked)
            explain_stamp(&x->explain, clock_mono_us() - x->s.start_us);
    }
    if (x->trace)
        tracing_step(x, NULL);
    x->state = X_HOLD;
    proxy_hold(x);
}

static void go_on(struct exchange *x)
{
    if (x->explain.marked || x->trace)
        run_timed_chain(x);
    else
        run_chain(x);
}

void exchange_resume(struct exchange *x)
{
    if (x->again)
        streams_resume(x);
    else
        go_on(x);
}

/* The server's calls */

static void on_request(struct http_stream *s)
{
    struct exchange *x = of(s);
    const struct refusal *refused;

    x->worker = this_worker;
    proxy_init(x);
    x->tls = http_conn_tls(s->conn) != NULL;
    identify(x);
    forwarding_client(x, x->worker->snapshot->trusted_proxies);
    if (x->worker->snapshot->tracing)
        tracing_begin(x);
    if (x->worker->untimed-- == 0)
        tracing_time(x);
    refused = read_target(x);
    if (refused) {
        exchange_refuse(x, refused);
        return;
    }
    drop_lookalikes(&s->request);
    drop_certificates(x);
    if (!read_kind(x) || !route(x))
        return;
    if (x->websocket && !check_websocket(x))
        return;
    x->state = X_CHAIN;
    go_on(x);
}

static void on_body(struct http_stream *s, char *p, size_t n)
{
    proxy_request_body(of(s), p, n);
}

static void on_body_end(struct http_stream *s, struct str trailers)
{
    struct exchange *x = of(s);

    if (x->state == X_TUNNEL) {
        tunnel_up_end(x);
        return;
    }
    x->whole = true;
    if (x->trace)
        tracing_body_in(x);
    if (x->state != X_OVER)
        proxy_request_end(x, trailers);
}

static void on_drained(struct http_stream *s)
{
    proxy_reply_drained(of(s));
}

static void on_goodbye(struct http_stream *s)
{
    struct exchange *x = of(s);

    if (x->worker && x->state == X_TUNNEL)
        tunnel_close(x, WS_GOING_AWAY, "the gateway is going away");
}

static uint32_t series_of(struct exchange *x)
{
    struct worker *w = x->worker;
    struct op *op = x->op;
    uint32_t id;

    if (!op) {
        if (!w->has_unmatched_series) {
            w->unmatched_series =
                metrics_series(STR(""), STR(""), STR(""), STR(""));
            w->has_unmatched_series = true;
        }
        return w->unmatched_series;
    }
    id = atomic_load_explicit(&op->series, memory_order_relaxed);
    if (!id) {
        id = 1 + metrics_series(op->api->name, op->api->version,
                                op->method_text, op->path);
        atomic_store_explicit(&op->series, id, memory_order_relaxed);
    }
    return id - 1;
}

static void count_refusal(struct exchange *x)
{
    enum explain_reason r = explain_refusal(&x->explain);

    if (r < REASONS)
        metrics_add(&x->worker->metrics->refusals[r], 1);
}

/* What was decided about it, when somebody may ask. */
static void keep_explanation(struct exchange *x, uint64_t us)
{
    struct worker *w = x->worker;
    const struct message *m = &x->s.request;
    struct explain_head head = {
        .id = x->activityid,
        .wall_us = loop_wall_us(w->loop) - us,
        .configuration = w->snapshot->number,
        .method = m->method_text,
        .path = x->path.len ? x->path : m->path,
        .client = str_from(x->client.text, x->client.text_len),
        .status = x->s.status,
        .total_us = (uint32_t)us,
        .backend_us = (uint32_t)x->upstream_us,
    };

    if (x->api) {
        head.api = x->api->name;
        head.version = x->api->version;
    }
    if (x->op)
        head.operation = x->op->path;
    if (x->caller)
        head.caller =
            x->caller->user.len ? x->caller->user : x->caller->application;
    if (x->refusal)
        head.code = str_z(x->refusal->code);
    if (x->explain.marked)
        explain_stamp(&x->explain, us);
    explain_ring_add(w->explain,
                     explain_encode(x->s.arena, &head, &x->explain));
}

static void log_access(struct exchange *x, uint64_t us)
{
    struct worker *w = x->worker;
    const struct message *m = &x->s.request;
    struct access_entry e = {
        .wall_us = loop_wall_us(w->loop) - us,
        .client = str_from(x->client.text, x->client.text_len),
        .method = m->method_text,
        .target = m->target,
        .major = m->major,
        .minor = m->minor,
        .status = x->s.status,
        .bytes_in = x->s.body_in,
        .bytes_out = x->s.body_out,
        .duration_us = us,
        .upstream_us = x->upstream_us,
        .activityid = x->activityid,
        .retries = x->tries > 1 ? x->tries - 1 : 0,
        .request = m,
        .reply = x->reply,
    };

    if (x->api) {
        e.api = x->api->name;
        e.version = x->api->version;
    }
    if (x->op)
        e.operation = x->op->path;
    if (x->endpoint)
        e.endpoint = x->endpoint->endpoint->name;
    if (x->refusal)
        e.refusal = str_z(x->refusal->code);
    access_log_append(w->log, w->snapshot->log_format, &e);
}

static void on_answered(struct http_stream *s, size_t n)
{
    struct exchange *x = of(s);

    if (x->worker && x->worker->ring)
        event_record(x, n, s->status);
}

static void on_end(struct http_stream *s)
{
    struct exchange *x = of(s);
    struct worker *w = x->worker;
    uint64_t us;

    if (!w)
        return; /* refused before it was an exchange */
    streams_leave(x);
    proxy_abandon(x);
    if (w->ring && !s->answered)
        event_record(x, 0, s->status);
    timer_clear(&x->timer);
    us = loop_now_us(w->loop) - s->start_us;
    metrics_record(w->metrics, series_of(x), s->status, us, s->body_in,
                   s->body_out);
    if (x->refusal)
        count_refusal(x);
    if (w->snapshot->log_format)
        log_access(x, us);
    if (x->trace)
        tracing_end(x);
    if (w->explain && (x->refusal || x->explain.marked))
        keep_explanation(x, us);
    if (x->op)
        for (uint32_t i = 0; i < x->next_step; i++)
            if (x->op->chain.steps[i].policy->on_end)
                x->op->chain.steps[i].policy->on_end(x->op->chain.steps[i].conf,
                                                     x);
    if (x->held) {
        budget_give(x->held_cap);
        x_free(x->held);
    }
    if (x->api)
        worker_unpin(w, x->api);
}

/* A line of the access log for a call that never became an exchange. */
static void log_refused(struct worker *w, struct http_conn *c, unsigned status,
                        const struct message *m, struct str id, size_t bytes)
{
    const struct client_address *peer = http_conn_peer(c);
    struct access_entry e = {
        .wall_us = loop_wall_us(w->loop),
        .client = str_from(peer->text, peer->text_len),
        .status = status,
        .bytes_out = bytes,
        .activityid = id,
        .refusal = str_z(refusal_of_status(status)->code),
        .request = m,
    };

    if (m) {
        e.method = m->method_text;
        e.target = m->target;
        e.major = m->major;
        e.minor = m->minor;
    }
    access_log_append(w->log, w->snapshot->log_format, &e);
}

/* A request nobody could read, or take. The texts live until the next one of
 * this thread. */
static void on_refused(struct http_conn *c, unsigned status,
                       const struct message *m, struct http_stream *s,
                       struct str *body, struct str *content_type,
                       struct header *field)
{
    struct worker *w = this_worker;
    const struct settings *conf = w->snapshot->settings;
    struct str id = m ? message_value(m, FIELD_ACTIVITYID) : STR_NULL;

    arena_free(w->refusal);
    w->refusal = arena_new();
    if (s)
        id = of(s)->activityid;
    else if (!good_id(id))
        id = new_id(w, w->refusal);
    *body = refusal_body(w->refusal, refusal_of_status(status), STR_NULL, false,
                         (enum errors)conf->gateway.errors, content_type);
    field->name = STR("activityid");
    field->value = id;
    metrics_add(&w->metrics->requests_refused, 1);
    if (!s && w->snapshot->log_format)
        log_refused(w, c, status, m, id, body->len);
    if (!w->ring)
        return;
    if (s) {
        of(s)->refusal = refusal_of_status(status);
        s->answered = true;
        event_record(of(s), body->len, status);
    } else {
        event_refused(w, http_conn_peer(c), status, m, id, body->len);
    }
}

const struct http_handler exchange_handler = {
    .stream_size = sizeof(struct exchange),
    .stream_zero = offsetof(struct exchange, explain.records),
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_drained = on_drained,
    .on_goodbye = on_goodbye,
    .on_answered = on_answered,
    .on_end = on_end,
    .on_refused = on_refused,
};
