/* h1_client.c - HTTP/1.1 connections to backends.
 *
 * A backend is not trusted: what is ambiguous ends the call and the
 * connection, and a connection on which anything was odd is not used again.
 */
#include "base/budget.h"
#include "base/log.h"
#include "http/client_internal.h"
#include "http/h1_write.h"

enum in_state { IN_HEAD, IN_BODY, IN_TUNNEL };

enum { HEADERS_ROOM = 1024 };

static const struct h1_chunk_limits chunk_limits = {
    .extension = 16 * 1024,
    .trailer = 8 * 1024,
};

struct h1_client {
    struct http_client http; /* first */
    struct http_call *call;
    struct h1_scan scan;
    struct h1_chunks chunks;
    struct buf trailers;
    char *kept;
    uint32_t kept_len, kept_cap;
    uint64_t body_left;
    uint64_t call_turn; /* of the loop, when the call began */
    uint16_t informs;
    uint8_t in, body;
    bool chunked, upgrade; /* the request in hand */
    bool reusable, any, user_pause;
};

static struct h1_client *of(struct conn *c)
{
    return (struct h1_client *)c; /* http_client is its first member */
}

static struct h1_client *of_call(const struct http_call *x)
{
    return (struct h1_client *)x->client;
}

static void arm(struct h1_client *c, uint64_t ms)
{
    uint64_t now = loop_now_ms(c->http.conn.loop), at = ms ? now + ms : 0;

    if (c->call && c->call->total_at_ms && (!at || c->call->total_at_ms < at))
        at = c->call->total_at_ms;
    if (at)
        timer_set(c->http.conn.loop, &c->http.timer, at);
    else
        timer_clear(&c->http.timer);
}

static void drop_kept(struct h1_client *c)
{
    if (!c->kept)
        return;
    budget_give(c->kept_cap);
    x_free(c->kept);
    c->kept = NULL;
    c->kept_len = c->kept_cap = 0;
}

/* The connection's end; the call, when there is one, hears of it last. */
static void gone(struct h1_client *c, enum http_fail kind, const char *why)
{
    struct http_call *x = c->call;
    bool any = c->any;

    if (c->http.conn.state == CONN_CLOSED)
        return;
    c->call = NULL;
    c->http.calls_now = 0;
    if (x)
        conn_reset(&c->http.conn);
    else
        conn_close(&c->http.conn);
    c->http.ops->on_gone(c->http.arg, &c->http, kind, c->http.ready, why);
    if (x) {
        x->client = NULL;
        x->ops->on_fail(x, kind, any, why);
    }
}

/* The reply is whole: another call may use the connection, or not. */
static void reply_over(struct h1_client *c, char *p, size_t n)
{
    struct http_call *x = c->call;
    struct str trailers =
        c->body == BODY_CHUNKED ? buf_view(&c->trailers) : STR_NULL;
    bool reuse = c->reusable && x->sent_all && !conn_unsent(&c->http.conn) &&
                 !c->http.conn.eof && !c->http.conn.broken;

    if (c->user_pause) {
        c->user_pause = false;
        conn_resume(&c->http.conn);
    }
    c->call = NULL;
    x->client = NULL;
    c->http.calls_now = 0;
    if (reuse && !c->http.retired) {
        uint64_t now = loop_now_ms(c->http.conn.loop);

        c->http.idle_since_ms = now;
        timer_set(c->http.conn.loop, &c->http.timer, now + c->http.idle_ms);
        memset(&c->scan, 0, sizeof(c->scan));
        c->in = IN_HEAD;
        c->any = false;
        c->http.ops->on_ready(c->http.arg, &c->http);
    } else {
        gone(c, HTTP_FAIL_CLOSED, NULL);
    }
    /* c is freed at the end of the turn at the earliest. */
    x->ops->on_body(x, p, n, true, trailers);
    if (c->trailers.p)
        buf_done(&c->trailers);
}

static void protocol_error(struct h1_client *c, const char *what)
{
    gone(c, HTTP_FAIL_PROTOCOL, what);
}

/* Reading */

static void keep(struct h1_client *c, const char *p, size_t n)
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

static void begin_reply(struct h1_client *c, const struct message *m)
{
    struct http_call *x = c->call;
    unsigned keep_alive_s = h1_keep_alive_timeout(m);

    /* Who answers before it has heard all may not listen to the rest. */
    c->reusable = m->keep_alive && x->sent_all && !conn_unsent(&c->http.conn);
    c->body = (uint8_t)m->body;
    c->in = IN_BODY;
    c->http.idle_ms = c->http.limits->idle_ms;
    /* Be gone before the backend closes, or a call may meet its FIN. */
    if (keep_alive_s && keep_alive_s * 1000ull <= c->http.idle_ms)
        c->http.idle_ms = keep_alive_s > 1 ? (keep_alive_s - 1) * 1000ull : 500;
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

static void informed(struct h1_client *c, const struct message *m)
{
    if (m->status == 101) {
        protocol_error(c, "switched protocols unasked");
    } else if (++c->informs > INFORMS_MAX) {
        protocol_error(c, "too many informational replies");
    } else {
        c->call->ops->on_inform(c->call, m);
    }
}

/* From here on bytes pass as they come; the owner's time-outs hold. */
static void begin_tunnel(struct h1_client *c, const struct message *m)
{
    struct http_call *x = c->call;

    c->reusable = false;
    c->in = IN_TUNNEL;
    x->stall_ms = 0;
    x->replied = x->tunnel = true;
    timer_clear(&c->http.timer);
    x->ops->on_reply(x, m);
}

/* Takes a head, or keeps a part of one; returns the bytes used of p[0..n). */
static size_t take_head(struct h1_client *c, char *p, size_t n)
{
    static _Thread_local struct header headers[HEADERS_ROOM];
    const struct http_client_limits *l = c->http.limits;
    struct h1_error error = { .status = 502, .what = "" };
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
    if (m.status == 101 && c->upgrade)
        begin_tunnel(c, &m);
    else if (m.status < 200)
        informed(c, &m);
    else
        begin_reply(c, &m);
    if (had)
        drop_kept(c);
    return start + len - had;
}

static size_t take_body(struct h1_client *c, char *p, size_t n)
{
    struct http_call *x = c->call;
    struct h1_error error = { .status = 502, .what = "" };
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
static bool empty_body(const struct h1_client *c)
{
    return c->body == BODY_NONE || (c->body == BODY_LENGTH && !c->body_left);
}

static void on_data(struct conn *conn, char *p, size_t n)
{
    struct h1_client *c = of(conn);
    size_t at = 0;

    /* What this turn found readable was there before the call was sent. */
    if (c->call && c->call_turn == loop_turns(conn->loop) &&
        c->http.calls > 1) {
        gone(c, HTTP_FAIL_CLOSED, "bytes nobody asked for");
        return;
    }
    while (at < n && conn->state != CONN_CLOSED) {
        if (!c->call) {
            gone(c, HTTP_FAIL_PROTOCOL, "bytes nobody asked for");
            return;
        }
        if (c->in == IN_TUNNEL) {
            c->call->ops->on_body(c->call, p + at, n - at, false, STR_NULL);
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
    struct h1_client *c = of(conn);

    if (!c->call)
        gone(c, HTTP_FAIL_CLOSED, NULL);
    else if (c->in == IN_TUNNEL || (c->in == IN_BODY && c->body == BODY_CLOSE))
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
    struct h1_client *c = of(conn);

    (void)e;
    if (!c->call)
        gone(c, HTTP_FAIL_CLOSED, NULL);
    else if (c->in != IN_HEAD)
        gone(c, HTTP_FAIL_CUT, why);
    else
        gone(c, c->any ? HTTP_FAIL_PROTOCOL : HTTP_FAIL_SEND, why);
}

static void on_drained(struct conn *conn)
{
    struct h1_client *c = of(conn);

    if (!c->call)
        return;
    if (c->in == IN_HEAD)
        arm(c, c->call->sent_all ? c->call->first_byte_ms : c->call->stall_ms);
    c->call->ops->on_drained(c->call);
}

static void on_closed(struct conn *conn)
{
    struct h1_client *c = of(conn);

    timer_clear(&c->http.timer);
    drop_kept(c);
    buf_done(&c->trailers);
    x_free(c);
}

static const struct conn_ops ops = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

static void on_timer(struct timer *t)
{
    struct h1_client *c =
        (struct h1_client *)((char *)t - offsetof(struct http_client, timer));
    struct http_call *x = c->call;

    if (c->http.conn.state == CONN_CLOSED)
        return;
    if (!x) {
        gone(c, HTTP_FAIL_CLOSED, NULL);
    } else if (x->total_at_ms &&
               loop_now_ms(c->http.conn.loop) >= x->total_at_ms) {
        gone(c, HTTP_FAIL_TOTAL, "the call took too long");
    } else if (c->user_pause || (c->in == IN_HEAD && !x->sent_all &&
                                 !conn_unsent(&c->http.conn))) {
        arm(c, x->stall_ms); /* it is the client who is slow */
    } else if (c->in == IN_HEAD && x->sent_all) {
        gone(c, HTTP_FAIL_FIRST_BYTE, "no reply in time");
    } else {
        gone(c, HTTP_FAIL_STALLED, "nothing moved for too long");
    }
}

/* Heads and frames going out */

static _Thread_local struct {
    char *p;
    size_t size;
} room_out;

void h1_client_thread_done(void)
{
    x_free(room_out.p);
    room_out.p = NULL;
    room_out.size = 0;
}

static char *scratch(size_t n)
{
    if (n > room_out.size) {
        room_out.p = x_resize(room_out.p, n);
        room_out.size = n;
    }
    return room_out.p;
}

static void put_framing(struct h1_out *o, const struct http_request *r)
{
    if (r->body == BODY_CHUNKED) {
        h1_put_str(o, STR("Transfer-Encoding: chunked\r\n"));
    } else if (r->body == BODY_LENGTH) {
        h1_put_str(o, STR("Content-Length: "));
        h1_put_u64(o, r->length);
        h1_put_crlf(o);
    }
    if (r->upgrade.len) {
        h1_put_str(o, STR("Connection: Upgrade\r\n"));
        h1_put_field(o, STR("Upgrade"), r->upgrade);
    } else if (r->trailers) {
        h1_put_str(o, STR("TE: trailers\r\nConnection: TE\r\n"));
    }
    h1_put_crlf(o);
}

/* The head of a request, in scratch memory. */
static struct str build_head(const struct http_request *r)
{
    size_t need = r->method.len + r->path[0].len + r->path[1].len +
                  r->query.len + r->authority.len + r->upgrade.len + 256;
    struct h1_out o;
    char *start;

    if (r->from)
        need += h1_fields_size(r->from);
    for (size_t i = 0; i < r->extras; i++)
        need += H1_FIELD_SIZE(r->extra[i].name.len, r->extra[i].value.len);
    start = scratch(need);
    o = (struct h1_out) { start, start + need };
    h1_put_str(&o, r->method);
    h1_put_str(&o, STR(" "));
    h1_put_str(&o, r->path[0]);
    h1_put_str(&o, r->path[1]);
    if (r->has_query) {
        h1_put_str(&o, STR("?"));
        h1_put_str(&o, r->query);
    }
    h1_put_str(&o, STR(" HTTP/1.1\r\nHost: "));
    h1_put_str(&o, r->authority);
    h1_put_crlf(&o);
    if (r->from)
        h1_put_fields(&o, r->from, r->skip);
    for (size_t i = 0; i < r->extras; i++)
        h1_put_field(&o, r->extra[i].name, r->extra[i].value);
    put_framing(&o, r);
    return str_from(start, (size_t)(o.p - start));
}

static void start(struct http_client *client, struct http_call *x,
                  const struct http_request *r, bool more)
{
    struct h1_client *c = (struct h1_client *)client;
    struct str head = build_head(r);

    must(!c->call);
    c->call = x;
    c->call_turn = loop_turns(client->conn.loop);
    c->any = false;
    c->informs = 0;
    c->in = IN_HEAD;
    c->chunked = r->body == BODY_CHUNKED;
    c->upgrade = r->upgrade.len > 0;
    arm(c, more ? x->stall_ms : x->first_byte_ms);
    if (more)
        conn_write(&client->conn, head.p, head.len);
    else
        conn_send(&client->conn, head.p, head.len);
}

/* One chunk, and the last one when it is the end: one send. */
static void send_chunk(struct h1_client *c, const void *p, size_t n, bool end,
                       struct str trailers)
{
    char size[24], *tail = scratch(trailers.len + 16);
    struct h1_out o = { size, size + sizeof(size) };
    struct iovec parts[3];
    size_t len = 0;

    if (n) {
        h1_put_hex(&o, n);
        h1_put_crlf(&o);
        memcpy(tail, "\r\n", len = 2);
    }
    if (end) {
        memcpy(tail + len, "0\r\n", 3);
        if (trailers.len)
            memcpy(tail + len + 3, trailers.p, trailers.len);
        len += 3 + trailers.len;
        memcpy(tail + len, "\r\n", 2);
        len += 2;
    }
    parts[0] = (struct iovec) { size, (size_t)(o.p - size) };
    parts[1] = (struct iovec) { (void *)(uintptr_t)p, n };
    parts[2] = (struct iovec) { tail, len };
    conn_sendv(&c->http.conn, parts, 3);
}

static void body(struct http_call *x, const void *p, size_t n, bool end,
                 struct str trailers)
{
    struct h1_client *c = of_call(x);

    if (c->in == IN_TUNNEL || !c->chunked)
        conn_send(&c->http.conn, p, n);
    else
        send_chunk(c, p, n, end, trailers);
    if (c->in == IN_TUNNEL && end)
        conn_shutdown(&c->http.conn);
    else if (c->in == IN_HEAD)
        arm(c, end ? x->first_byte_ms : x->stall_ms);
}

static size_t unsent(const struct http_call *x)
{
    return conn_unsent(&x->client->conn);
}

static void pause(struct http_call *x)
{
    of_call(x)->user_pause = true;
    conn_pause(&x->client->conn);
}

static void resume(struct http_call *x)
{
    struct h1_client *c = of_call(x);

    if (!c->user_pause)
        return;
    c->user_pause = false;
    if (c->in != IN_TUNNEL)
        arm(c, x->stall_ms);
    conn_resume(&c->http.conn);
}

static void cancel(struct http_call *x)
{
    struct h1_client *c = of_call(x);

    x->client = NULL;
    c->call = NULL;
    c->http.calls_now = 0;
    conn_reset(&c->http.conn);
    c->http.ops->on_gone(c->http.arg, &c->http, HTTP_FAIL_CLOSED, c->http.ready,
                         NULL);
}

static uint32_t room(const struct http_client *client)
{
    return ((const struct h1_client *)client)->call ? 0 : 1;
}

static void gone_now(struct http_client *client, enum http_fail kind,
                     const char *why)
{
    gone((struct h1_client *)client, kind, why);
}

const struct http_client_protocol http_client_protocol_1 = {
    .start = start,
    .body = body,
    .unsent = unsent,
    .pause = pause,
    .resume = resume,
    .cancel = cancel,
    .room = room,
    .gone = gone_now,
};

struct http_client *h1_client_new(void)
{
    struct h1_client *c = x_new(sizeof(*c));

    c->http.protocol = &http_client_protocol_1;
    return &c->http;
}

void h1_client_begin(struct http_client *client)
{
    client->conn.ops = &ops;
    client->timer.fire = on_timer;
    timer_set(client->conn.loop, &client->timer,
              client->idle_since_ms + client->idle_ms);
}
