/* h2_client.c - HTTP/2 connections to backends: many calls at once.
 *
 * A call is a stream. What ends one (a reset, its time-out, the caller who
 * left) touches no other; what ends the connection ends them all.
 *
 * A backend is not trusted: replies that are no good are reset, and who sends
 * frames for nothing is cut off (h2.c).
 */
#include <stdio.h>

#include "base/log.h"
#include "http/client_internal.h"
#include "http/h2.h"

enum {
    LOOK_MS = 5000,
    QUIET_MS = 30000, /* of a backend with calls: then a PING */
    ANSWER_MS = 10000,
};

struct h2_client_side {
    struct h2 h2; /* first */
    struct http_client *client;
    enum http_fail kind; /* of the connection's end, for its calls */
    const char *why;
};

struct h2_call {
    struct h2_stream h2; /* first */
    struct http_call *x; /* NULL: over, or nobody cares */
    struct http_client *client;
    struct timer timer;
    uint64_t left; /* of a body of announced length */
    uint16_t informs;
    bool lengthy; /* the length was announced */
    bool refused; /* it could not even be opened */
    bool malformed;
};

static struct h2_client_side *side_of(struct h2 *h)
{
    return (struct h2_client_side *)h;
}

static struct h2_call *of(struct h2_stream *s)
{
    return (struct h2_call *)s;
}

static struct loop *loop_of(const struct h2_call *q)
{
    return q->client->conn.loop;
}

static void arm(struct h2_call *q, uint64_t ms)
{
    uint64_t now = loop_now_ms(loop_of(q)), at = ms ? now + ms : 0;

    if (q->x->total_at_ms && (!at || q->x->total_at_ms < at))
        at = q->x->total_at_ms;
    if (at)
        timer_set(loop_of(q), &q->timer, at);
    else
        timer_clear(&q->timer);
}

/* The end of a call: q goes on until the stream is closed. */
static struct http_call *let_go(struct h2_call *q)
{
    struct http_call *x = q->x;
    struct http_client *c = q->client;

    timer_clear(&q->timer);
    q->x = NULL;
    x->client = NULL;
    x->h2 = NULL;
    c->calls_now--;
    c->idle_since_ms = loop_now_ms(c->conn.loop);
    return x;
}

static void fail(struct h2_call *q, enum http_fail kind, const char *why)
{
    bool any = q->x->replied || q->informs;
    struct http_call *x = let_go(q);

    x->ops->on_fail(x, kind, any, why);
}

/* A connection ends: whoever waits for nothing more goes first. */

static void gone(struct http_client *c, enum http_fail kind, const char *why)
{
    struct h2_client_side *side = c->h2;

    if (c->conn.state == CONN_CLOSED)
        return;
    side->kind = kind;
    side->why = why;
    if (c->calls_now)
        conn_reset(&c->conn);
    else
        conn_close(&c->conn);
    if (!c->ready && kind != HTTP_FAIL_CONNECT_TIMEOUT)
        kind = HTTP_FAIL_CONNECT;
    c->ops->on_gone(c->arg, c, kind, c->ready, why);
    if (!side->h2.receiving && !side->h2.pumping)
        h2_done(&side->h2); /* else on_bytes() or on_closed() does */
}

static void goodbye(struct http_client *c)
{
    h2_goaway(&c->h2->h2, NGHTTP2_NO_ERROR);
    conn_flush(&c->conn);
    gone(c, HTTP_FAIL_CLOSED, NULL);
}

/* What the session tells us */

static void bad_reply(struct h2_call *q, const char *why)
{
    q->malformed = true;
    h2_reset(&q->h2, NGHTTP2_PROTOCOL_ERROR);
    fail(q, HTTP_FAIL_PROTOCOL, why);
}

static bool has_no_body(const struct message *m, enum method method)
{
    return method == METHOD_HEAD || m->status == 204 || m->status == 304;
}

static void begin_reply(struct h2_call *q, struct message *m, bool end)
{
    struct http_call *x = q->x;
    bool length = m->first[FIELD_CONTENT_LENGTH] != 0;

    if (has_no_body(m, x->method)) {
        m->body = BODY_NONE;
        m->length = 0;
    } else if (length && (!end || !m->length)) {
        m->body = BODY_LENGTH;
        q->lengthy = true;
        q->left = m->length;
    } else {
        m->body = end ? BODY_NONE : BODY_CHUNKED;
    }
    x->replied = true;
    x->ops->on_reply(x, m);
    if (q->x == x)
        arm(q, x->stall_ms);
}

static void on_head(struct h2 *h, struct h2_stream *st, struct message *m,
                    unsigned refuse, bool end)
{
    struct h2_call *q = of(st);

    (void)h;
    if (!q->x)
        return;
    if (refuse) {
        bad_reply(q, refuse == 431 ? "the head is too large" : "a bad head");
    } else if (m->status >= 200) {
        begin_reply(q, m, end);
    } else if (m->status == 101 || end) {
        bad_reply(q, "an informational reply that cannot be");
    } else if (++q->informs > INFORMS_MAX) {
        bad_reply(q, "too many informational replies");
    } else {
        q->x->ops->on_inform(q->x, m);
    }
}

/* The reply is whole. */
static void reply_over(struct h2_call *q, char *p, size_t n,
                       struct str trailers)
{
    struct http_call *x = let_go(q);

    if (!q->h2.ended) /* who answers early hears no more of the request */
        h2_reset(&q->h2, NGHTTP2_NO_ERROR);
    x->ops->on_body(x, p, n, true, trailers);
}

static void on_data(struct h2 *h, struct h2_stream *st, char *p, size_t n,
                    bool end)
{
    struct h2_call *q = of(st);

    (void)h;
    if (!q->x)
        return;
    if (q->lengthy && n > q->left) {
        bad_reply(q, "more than the announced length");
        return;
    }
    q->left -= q->lengthy ? n : 0;
    if (end && !(q->lengthy && q->left)) {
        reply_over(q, p, n, STR_NULL);
        return;
    }
    arm(q, q->x->stall_ms);
    q->x->ops->on_body(q->x, p, n, false, STR_NULL);
}

static void on_end(struct h2 *h, struct h2_stream *st, struct str trailers)
{
    struct h2_call *q = of(st);

    (void)h;
    if (!q->x)
        return;
    if (!q->x->replied || (q->lengthy && q->left))
        bad_reply(q, "ended before its end");
    else
        reply_over(q, NULL, 0, trailers);
}

static void on_body_drained(struct h2 *h, struct h2_stream *st)
{
    struct h2_call *q = of(st);
    struct http_call *x = q->x;

    (void)h;
    if (!x)
        return;
    if (!x->replied)
        arm(q, x->sent_all ? x->first_byte_ms : x->stall_ms);
    x->ops->on_drained(x);
}

static enum http_fail kind_of(const struct h2_call *q, const char **why)
{
    const struct h2_client_side *side = q->client->h2;

    if (q->refused || q->h2.error == NGHTTP2_REFUSED_STREAM) {
        *why = "the backend takes no more";
        return HTTP_FAIL_REFUSED;
    }
    if (side->h2.failed) {
        *why = side->why;
        if (side->kind == HTTP_FAIL_PROTOCOL || side->kind == HTTP_FAIL_STALLED)
            return side->kind;
        return q->x->replied ? HTTP_FAIL_CUT : side->kind;
    }
    *why = nghttp2_http2_strerror(q->h2.error);
    if (q->h2.error == NGHTTP2_PROTOCOL_ERROR && !q->x->replied)
        return HTTP_FAIL_PROTOCOL;
    return q->x->replied ? HTTP_FAIL_CUT : HTTP_FAIL_CLOSED;
}

static void on_stream_closed(struct h2 *h, struct h2_stream *st)
{
    struct h2_call *q = of(st);

    (void)h;
    if (q->x && q->x->replied && q->lengthy && !q->left &&
        st->error == NGHTTP2_NO_ERROR) {
        /* All that was announced has come; some servers (Node's) now and then
         * reset instead of saying END_STREAM. */
        struct http_call *x = let_go(q);

        x->ops->on_body(x, NULL, 0, true, STR_NULL);
    } else if (q->x) {
        const char *why;
        enum http_fail kind = kind_of(q, &why);

        q->x->reset_code = q->h2.error;
        fail(q, kind, why);
    }
    x_free(q);
}

static void on_room(struct h2 *h)
{
    struct http_client *c = side_of(h)->client;

    if (c->conn.state == CONN_CLOSED)
        return;
    if (!c->ready && h->settings_seen && !h->failed) {
        c->ready = true;
        c->idle_since_ms = loop_now_ms(c->conn.loop);
        timer_set(c->conn.loop, &c->timer, c->idle_since_ms + c->idle_ms);
    }
    if (h->failed)
        gone(c, HTTP_FAIL_PROTOCOL, h->why);
    else if (!c->calls_now && !h->stream_count &&
             (h->goaway_seen || c->retired))
        goodbye(c);
    else if (http_client_room(c))
        c->ops->on_ready(c->arg, c);
}

static const struct h2_ops h2_ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_drained = on_body_drained,
    .on_closed = on_stream_closed,
    .on_room = on_room,
};

/* Time-outs */

static void on_call_timer(struct timer *t)
{
    struct h2_call *q =
        (struct h2_call *)((char *)t - offsetof(struct h2_call, timer));
    struct http_call *x = q->x;
    enum http_fail kind = HTTP_FAIL_STALLED;
    const char *why = "nothing moved for too long";

    if (q->refused) {
        struct h2 *h = q->h2.h2;

        h2_forget(h, &q->h2);
        return;
    }
    if (x->total_at_ms && loop_now_ms(loop_of(q)) >= x->total_at_ms) {
        kind = HTTP_FAIL_TOTAL;
        why = "the call took too long";
    } else if (q->h2.paused ||
               (!x->replied && !x->sent_all && !h2_unsent(&q->h2))) {
        arm(q, x->stall_ms); /* it is the client who is slow */
        return;
    } else if (!x->replied && x->sent_all && !h2_unsent(&q->h2)) {
        kind = HTTP_FAIL_FIRST_BYTE;
        why = "no reply in time";
    }
    h2_reset(&q->h2, NGHTTP2_CANCEL);
    fail(q, kind, why);
}

static void on_timer(struct timer *t)
{
    struct http_client *c =
        (struct http_client *)((char *)t - offsetof(struct http_client, timer));
    uint64_t now = loop_now_ms(c->conn.loop),
             at = c->idle_since_ms + c->idle_ms;

    if (c->conn.state == CONN_CLOSED)
        return;
    if (!c->ready) {
        gone(c, HTTP_FAIL_CONNECT_TIMEOUT, "connecting took too long");
        return;
    }
    if (c->calls_now) {
        if (!h2_alive(&c->h2->h2, QUIET_MS, ANSWER_MS)) {
            gone(c, HTTP_FAIL_STALLED, "no answer to a ping");
            return;
        }
        at = now + LOOK_MS;
    } else if (now >= at) {
        goodbye(c);
        return;
    }
    timer_set(c->conn.loop, t, at < now + LOOK_MS ? at : now + LOOK_MS);
}

/* What the connection tells us */

static void on_bytes(struct conn *conn, char *p, size_t n)
{
    struct http_client *c = http_client_of(conn);
    enum err e = h2_receive(&c->h2->h2, p, n);

    if (conn->state == CONN_CLOSED) /* by one of the calls */
        h2_done(&c->h2->h2);
    else if (e == ERR_PEER)
        gone(c, HTTP_FAIL_PROTOCOL, c->h2->h2.why);
    else if (e)
        gone(c, HTTP_FAIL_CLOSED, "the session ended");
}

static void on_eof(struct conn *conn)
{
    gone(http_client_of(conn), HTTP_FAIL_CLOSED, "closed by the backend");
}

static void on_error(struct conn *conn, enum err e, const char *why)
{
    (void)e;
    gone(http_client_of(conn), HTTP_FAIL_CLOSED, why);
}

static void on_drained(struct conn *conn)
{
    struct http_client *c = http_client_of(conn);

    h2_writable(&c->h2->h2);
    if (c->h2->h2.failed)
        gone(c, HTTP_FAIL_PROTOCOL, c->h2->h2.why);
}

static void on_closed(struct conn *conn)
{
    struct http_client *c = http_client_of(conn);
    struct h2_client_side *side = c->h2;

    if (side->h2.reap.queued) { /* it comes first */
        loop_at_end(conn->loop, &conn->end);
        return;
    }
    h2_done(&side->h2);
    timer_clear(&c->timer);
    x_free(side);
    x_free(c);
}

static const struct conn_ops ops = {
    .on_data = on_bytes,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

/* For client.c */

static _Thread_local struct {
    char *p;
    size_t size;
} room_out;

void h2_client_thread_done(void)
{
    x_free(room_out.p);
    room_out.p = NULL;
    room_out.size = 0;
}

static struct str join_path(const struct http_request *r)
{
    size_t n = r->path[0].len + r->path[1].len + r->query.len + 1;
    char *at;

    if (!r->path[0].len && !r->has_query)
        return r->path[1];
    if (n > room_out.size) {
        room_out.p = x_resize(room_out.p, n);
        room_out.size = n;
    }
    at = room_out.p;
    for (int i = 0; i < 2; i++)
        if (r->path[i].len)
            at = mempcpy(at, r->path[i].p, r->path[i].len);
    if (r->has_query) {
        *at++ = '?';
        if (r->query.len)
            at = mempcpy(at, r->query.p, r->query.len);
    }
    return str_from(room_out.p, (size_t)(at - room_out.p));
}

static void start(struct http_client *c, struct http_call *x,
                  const struct http_request *r, bool more)
{
    struct h2_call *q = x_new(sizeof(*q));
    struct h2_head b;
    char number[24];

    h2_stream_init(&c->h2->h2, &q->h2, 0);
    q->x = x;
    q->client = c;
    q->timer.fire = on_call_timer;
    x->h2 = q;
    h2_head_begin(&b);
    h2_head_pseudo(&b, ":method", r->method);
    h2_head_pseudo(&b, ":scheme", c->conn.tls ? STR("https") : STR("http"));
    h2_head_pseudo(&b, ":authority", r->authority);
    h2_head_pseudo(&b, ":path", join_path(r));
    if (r->from)
        h2_head_fields(&b, r->from, r->skip);
    for (size_t i = 0; i < r->extras; i++)
        h2_head_add(&b, r->extra[i].name, r->extra[i].value);
    if (r->body == BODY_LENGTH) {
        int n = snprintf(number, sizeof(number), "%llu",
                         (unsigned long long)r->length);

        h2_head_add(&b, STR("Content-Length"), str_from(number, (size_t)n));
    }
    if (r->trailers)
        h2_head_pseudo(&b, "te", STR("trailers"));
    if (h2_send_request(&q->h2, &b, more)) {
        arm(q, more ? x->stall_ms : x->first_byte_ms);
    } else {
        q->refused = true; /* told from nobody's inside */
        timer_set(c->conn.loop, &q->timer, loop_now_ms(c->conn.loop));
    }
}

static void body(struct http_call *x, const void *p, size_t n, bool end,
                 struct str trailers)
{
    struct h2_call *q = x->h2;

    if (!q->refused)
        h2_body(&q->h2, p, n, end, trailers);
    if (!x->replied && !q->refused)
        arm(q, end ? x->first_byte_ms : x->stall_ms);
}

static size_t unsent(const struct http_call *x)
{
    return h2_unsent(&x->h2->h2);
}

static void pause(struct http_call *x)
{
    h2_pause(&x->h2->h2);
}

static void resume(struct http_call *x)
{
    if (!x->h2->h2.paused)
        return;
    arm(x->h2, x->stall_ms);
    h2_resume(&x->h2->h2);
}

static void cancel(struct http_call *x)
{
    struct h2_call *q = x->h2;

    let_go(q);
    if (q->refused)
        h2_forget(q->h2.h2, &q->h2);
    else
        h2_reset(&q->h2, NGHTTP2_CANCEL);
}

static uint32_t room(const struct http_client *c)
{
    uint32_t n = h2_room(&c->h2->h2);
    uint64_t max = c->limits->streams;

    if (max && c->calls_now >= max)
        return 0;
    return max && n > max - c->calls_now ? (uint32_t)(max - c->calls_now) : n;
}

const struct http_client_protocol http_client_protocol_2 = {
    .start = start,
    .body = body,
    .unsent = unsent,
    .pause = pause,
    .resume = resume,
    .cancel = cancel,
    .room = room,
    .gone = gone,
};

void h2_client_begin(struct http_client *c)
{
    struct h2_client_side *side = x_new(sizeof(*side));
    struct h2_limits limits = {
        .window = c->limits->window ? (uint32_t)c->limits->window : 65535,
        .head_size = (uint32_t)c->limits->head_size,
        .head_fields = (uint32_t)c->limits->headers,
    };

    side->client = c;
    c->h2 = side;
    c->protocol = &http_client_protocol_2;
    c->conn.ops = &ops;
    c->conn.hears_out = false;
    c->timer.fire = on_timer;
    h2_init(&side->h2, &c->conn, false, &limits, &h2_ops);
}
