/* client.c - HTTP/1.1 connections to backends.
 *
 * A backend is not trusted: what is ambiguous ends the call and the
 * connection, and a connection on which anything was odd is not used again.
 */
#include "http/client.h"

#include <stdlib.h>

#include "base/budget.h"
#include "base/log.h"

enum in_state { IN_HEAD, IN_BODY };

enum {
    HEADERS_ROOM = 1024,
    INFORMS_MAX = 16, /* 1xx before one reply */
};

static const struct h1_chunk_limits chunk_limits = {
    .extension = 16 * 1024,
    .trailer = 8 * 1024,
};

static struct http_client *of(struct conn *c)
{
    return (struct http_client *)c;
}

const char *http_fail_name(enum http_fail f)
{
    static const char *const names[] = {
        "connect failed",   "connect timed out",
        "send failed",      "closed before a reply",
        "no reply in time", "total time is up",
        "stalled",          "invalid reply",
        "reply was cut",
    };

    return names[f];
}

static void arm(struct http_client *c, uint64_t ms)
{
    uint64_t now = loop_now_ms(c->conn.loop), at = ms ? now + ms : 0;

    if (c->call && c->call->total_at_ms && (!at || c->call->total_at_ms < at))
        at = c->call->total_at_ms;
    if (at)
        timer_set(c->conn.loop, &c->timer, at);
    else
        timer_clear(&c->timer);
}

static void drop_kept(struct http_client *c)
{
    if (!c->kept)
        return;
    budget_give(c->kept_cap);
    x_free(c->kept);
    c->kept = NULL;
    c->kept_len = c->kept_cap = 0;
}

/* The connection's end; the call, when there is one, hears of it last. */
static void gone(struct http_client *c, enum http_fail kind, const char *why)
{
    struct http_call *x = c->call;
    bool any = c->any;

    if (c->conn.state == CONN_CLOSED)
        return;
    c->call = NULL;
    if (x)
        conn_reset(&c->conn);
    else
        conn_close(&c->conn);
    c->ops->on_gone(c->arg, c, kind, c->ready, why);
    if (x) {
        x->client = NULL;
        x->ops->on_fail(x, kind, any, why);
    }
}

void http_client_close(struct http_client *c)
{
    gone(c, HTTP_FAIL_CLOSED, NULL);
}

/* The reply is whole: another call may use the connection, or not. */
static void reply_over(struct http_client *c, char *p, size_t n)
{
    struct http_call *x = c->call;
    struct str trailers =
        c->body == BODY_CHUNKED ? buf_view(&c->trailers) : STR_NULL;
    bool reuse = c->reusable && x->sent_all && !conn_unsent(&c->conn) &&
                 !c->conn.eof && !c->conn.broken;

    if (c->user_pause) {
        c->user_pause = false;
        conn_resume(&c->conn);
    }
    c->call = NULL;
    x->client = NULL;
    if (reuse) {
        uint64_t now = loop_now_ms(c->conn.loop);

        c->idle_since_ms = now;
        timer_set(c->conn.loop, &c->timer, now + c->idle_ms);
        memset(&c->scan, 0, sizeof(c->scan));
        c->in = IN_HEAD;
        c->any = false;
        c->ops->on_ready(c->arg, c);
    } else {
        gone(c, HTTP_FAIL_CLOSED, NULL);
    }
    /* c is freed at the end of the turn at the earliest. */
    x->ops->on_body(x, p, n, true, trailers);
    if (c->trailers.p)
        buf_done(&c->trailers);
}

static void protocol_error(struct http_client *c, const char *what)
{
    gone(c, HTTP_FAIL_PROTOCOL, what);
}

/* Reading */

static void keep(struct http_client *c, const char *p, size_t n)
{
    size_t need = c->kept_len + n, cap = c->kept_cap ? c->kept_cap : 4096;

    if (need > c->kept_cap) {
        while (cap < need)
            cap *= 2;
        c->kept = x_resize(c->kept, cap);
        budget_take(cap - c->kept_cap);
        c->kept_cap = (uint32_t)cap;
    }
    memcpy(c->kept + c->kept_len, p, n);
    c->kept_len += (uint32_t)n;
}

static void begin_reply(struct http_client *c, const struct message *m)
{
    struct http_call *x = c->call;
    unsigned keep_alive_s = h1_keep_alive_timeout(m);

    /* Who answers before it has heard all may not listen to the rest. */
    c->reusable = m->keep_alive && x->sent_all && !conn_unsent(&c->conn);
    c->body = (uint8_t)m->body;
    c->in = IN_BODY;
    c->idle_ms = c->limits->idle_ms;
    /* Be gone before the backend closes, or a call may meet its FIN. */
    if (keep_alive_s && keep_alive_s * 1000ull <= c->idle_ms)
        c->idle_ms = keep_alive_s > 1 ? (keep_alive_s - 1) * 1000ull : 500;
    if (m->body == BODY_LENGTH) {
        c->body_left = m->length;
    } else if (m->body == BODY_CHUNKED) {
        memset(&c->chunks, 0, sizeof(c->chunks));
        buf_done(&c->trailers);
        buf_init(&c->trailers, chunk_limits.trailer + 16);
    }
    x->replied = true;
    x->ops->on_reply(x, m);
    if (c->call == x) /* on_reply() may have changed stall_ms, or the call */
        arm(c, x->stall_ms);
}

static void informed(struct http_client *c, const struct message *m)
{
    if (m->status == 101) {
        protocol_error(c, "switched protocols unasked");
    } else if (++c->informs > INFORMS_MAX) {
        protocol_error(c, "too many informational replies");
    } else {
        c->call->ops->on_inform(c->call, m);
    }
}

/* Takes a head, or keeps a part of one; returns the bytes used of p[0..n). */
static size_t take_head(struct http_client *c, char *p, size_t n)
{
    static _Thread_local struct header headers[HEADERS_ROOM];
    const struct http_client_limits *l = c->limits;
    struct h1_error error = { 502, "" };
    struct message m;
    size_t start, len, had = c->kept_len;
    enum err e;

    c->any = true;
    if (had) {
        size_t room = l->head_size + 8 > had ? l->head_size + 8 - had : 0;

        if (n > room)
            n = room;
        keep(c, p, n);
        p = c->kept;
    }
    e = h1_scan_head(&c->scan, false, p, had + n, l->head_size, &start, &len,
                     &error);
    if (e == ERR_AGAIN) {
        if (!had)
            keep(c, p, n);
        return n;
    }
    memset(&c->scan, 0, sizeof(c->scan));
    m.headers = headers;
    m.capacity = (uint32_t)l->headers;
    if (!e)
        e = h1_parse_response(p + start, len, c->call->method, &m, &error);
    if (e) {
        protocol_error(c, error.what);
        return n;
    }
    c->kept_len = 0;
    if (m.status < 200)
        informed(c, &m);
    else
        begin_reply(c, &m);
    if (had)
        drop_kept(c);
    return start + len - had;
}

static size_t take_body(struct http_client *c, char *p, size_t n)
{
    struct http_call *x = c->call;
    struct h1_error error = { 502, "" };
    size_t used = n, data = n;
    enum err e = ERR_AGAIN;

    if (c->body == BODY_CHUNKED) {
        e = h1_chunks_decode(&c->chunks, &chunk_limits, p, n, &used, &data,
                             &c->trailers, &error);
        if (e != ERR_OK && e != ERR_AGAIN) {
            protocol_error(c, error.what);
            return n;
        }
    } else if (c->body == BODY_LENGTH) {
        if (n >= c->body_left) {
            used = data = (size_t)c->body_left;
            e = ERR_OK;
        }
        c->body_left -= used;
    } else if (c->body == BODY_NONE) {
        used = data = 0;
        e = ERR_OK;
    }
    if (e == ERR_OK) {
        if (used < n)
            c->reusable = false; /* late bytes: whose are they? */
        reply_over(c, p, data);
    } else {
        arm(c, x->stall_ms);
        if (data)
            x->ops->on_body(x, p, data, false, STR_NULL);
    }
    return e == ERR_OK ? n : used;
}

/* A reply without a body, or with an empty one, is over with its head. */
static bool empty_body(const struct http_client *c)
{
    return c->body == BODY_NONE || (c->body == BODY_LENGTH && !c->body_left);
}

static void on_data(struct conn *conn, char *p, size_t n)
{
    struct http_client *c = of(conn);
    size_t at = 0;

    /* What this turn found readable was there before the call was sent. */
    if (c->call && c->call_turn == loop_turns(conn->loop) && c->calls > 1) {
        gone(c, HTTP_FAIL_CLOSED, "bytes nobody asked for");
        return;
    }
    while (at < n && conn->state != CONN_CLOSED) {
        if (!c->call) {
            gone(c, HTTP_FAIL_PROTOCOL, "bytes nobody asked for");
            return;
        }
        if (c->in == IN_HEAD) {
            at += take_head(c, p + at, n - at);
            if (c->call && c->in == IN_BODY && empty_body(c))
                at += take_body(c, p + at, n - at);
        } else {
            at += take_body(c, p + at, n - at);
        }
    }
}

static void on_eof(struct conn *conn)
{
    struct http_client *c = of(conn);

    if (!c->call)
        gone(c, HTTP_FAIL_CLOSED, NULL);
    else if (c->in == IN_BODY && c->body == BODY_CLOSE)
        reply_over(c, NULL, 0);
    else if (c->in == IN_BODY)
        gone(c, HTTP_FAIL_CUT, "closed in the middle of a body");
    else if (c->any)
        gone(c, HTTP_FAIL_PROTOCOL, "closed in the middle of a head");
    else
        gone(c, HTTP_FAIL_CLOSED, "closed before a reply");
}

static void on_error(struct conn *conn, enum err e, const char *why)
{
    struct http_client *c = of(conn);

    (void)e;
    if (!c->ready)
        gone(c, HTTP_FAIL_CONNECT, why);
    else if (!c->call)
        gone(c, HTTP_FAIL_CLOSED, NULL);
    else if (c->in == IN_BODY)
        gone(c, HTTP_FAIL_CUT, why);
    else
        gone(c, c->any ? HTTP_FAIL_PROTOCOL : HTTP_FAIL_SEND, why);
}

static void on_open(struct conn *conn)
{
    struct http_client *c = of(conn);

    c->ready = true;
    c->idle_since_ms = loop_now_ms(conn->loop);
    timer_set(conn->loop, &c->timer, c->idle_since_ms + c->idle_ms);
    c->ops->on_ready(c->arg, c);
}

static void on_drained(struct conn *conn)
{
    struct http_client *c = of(conn);

    if (!c->call)
        return;
    if (c->in == IN_HEAD)
        arm(c, c->call->sent_all ? c->call->first_byte_ms : c->call->stall_ms);
    c->call->ops->on_drained(c->call);
}

static void on_closed(struct conn *conn)
{
    struct http_client *c = of(conn);

    timer_clear(&c->timer);
    drop_kept(c);
    buf_done(&c->trailers);
    x_free(c);
}

static const struct conn_ops ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

static void on_timer(struct timer *t)
{
    struct http_client *c =
        (struct http_client *)((char *)t - offsetof(struct http_client, timer));
    struct http_call *x = c->call;

    if (c->conn.state == CONN_CLOSED)
        return;
    if (!c->ready) {
        gone(c, HTTP_FAIL_CONNECT_TIMEOUT, "connecting took too long");
    } else if (!x) {
        gone(c, HTTP_FAIL_CLOSED, NULL);
    } else if (x->total_at_ms && loop_now_ms(c->conn.loop) >= x->total_at_ms) {
        gone(c, HTTP_FAIL_TOTAL, "the call took too long");
    } else if (c->user_pause ||
               (c->in == IN_HEAD && !x->sent_all && !conn_unsent(&c->conn))) {
        arm(c, x->stall_ms); /* it is the client who is slow */
    } else if (c->in == IN_HEAD && x->sent_all) {
        gone(c, HTTP_FAIL_FIRST_BYTE, "no reply in time");
    } else {
        gone(c, HTTP_FAIL_STALLED, "nothing moved for too long");
    }
}

/* For who makes calls */

static struct http_client *client_of(const struct http_client_limits *limits,
                                     const struct http_client_ops *client_ops,
                                     void *arg)
{
    struct http_client *c = x_new(sizeof(*c));

    c->ops = client_ops;
    c->arg = arg;
    c->limits = limits;
    c->idle_ms = limits->idle_ms;
    c->timer.fire = on_timer;
    return c;
}

static struct http_client *begun(struct http_client *c, struct loop *l,
                                 enum err e)
{
    if (e) {
        x_free(c);
        return NULL;
    }
    c->conn.hears_out = true;
    if (c->limits->connect_ms)
        timer_set(l, &c->timer, loop_now_ms(l) + c->limits->connect_ms);
    return c;
}

struct http_client *http_client_new(struct loop *l, const struct address *to,
                                    struct tls *tls,
                                    const struct http_client_limits *limits,
                                    const struct http_client_ops *client_ops,
                                    void *arg)
{
    struct http_client *c = client_of(limits, client_ops, arg);

    return begun(c, l, conn_connect(&c->conn, l, to, tls, &ops));
}

struct http_client *http_client_adopt(struct loop *l, int fd, struct tls *tls,
                                      const struct http_client_limits *limits,
                                      const struct http_client_ops *client_ops,
                                      void *arg)
{
    struct http_client *c = client_of(limits, client_ops, arg);

    return begun(c, l, conn_adopt(&c->conn, l, fd, tls, &ops));
}

void http_call_start(struct http_client *c, struct http_call *x, const char *p,
                     size_t n, bool more)
{
    must(c->ready && !c->call && c->conn.state == CONN_OPEN);
    c->call = x;
    c->call_turn = loop_turns(c->conn.loop);
    c->any = false;
    c->informs = 0;
    c->in = IN_HEAD;
    x->client = c;
    x->reused = c->calls++ > 0;
    x->sent_all = !more;
    x->replied = false;
    arm(c, more ? x->stall_ms : x->first_byte_ms);
    if (more)
        conn_write(&c->conn, p, n);
    else
        conn_send(&c->conn, p, n);
}

void http_call_body(struct http_call *x, const struct iovec *parts, int count,
                    bool end)
{
    struct http_client *c = x->client;

    if (!c)
        return;
    x->sent_all = end;
    conn_sendv(&c->conn, parts, count);
    if (c->in == IN_HEAD)
        arm(c, end ? x->first_byte_ms : x->stall_ms);
}

size_t http_call_unsent(const struct http_call *x)
{
    return x->client ? conn_unsent(&x->client->conn) : 0;
}

void http_call_pause(struct http_call *x)
{
    if (!x->client)
        return;
    x->client->user_pause = true;
    conn_pause(&x->client->conn);
}

void http_call_resume(struct http_call *x)
{
    if (!x->client || !x->client->user_pause)
        return;
    x->client->user_pause = false;
    arm(x->client, x->stall_ms);
    conn_resume(&x->client->conn);
}

void http_call_cancel(struct http_call *x)
{
    struct http_client *c = x->client;

    if (!c)
        return;
    x->client = NULL;
    c->call = NULL;
    conn_reset(&c->conn);
    c->ops->on_gone(c->arg, c, HTTP_FAIL_CLOSED, c->ready, NULL);
}
