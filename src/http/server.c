/* server.c - HTTP/1.1 connections from clients.
 *
 * Reading, one state at a time:
 *
 *   PROXY  -> HEAD    the PROXY header was read (or is not expected)
 *   HEAD   -> BODY    a head was parsed and the request has a body
 *   HEAD   -> DONE    ... or has none
 *   BODY   -> DONE    the body was read whole
 *   DONE   -> HEAD    the reply was sent whole: the next request
 *   any    -> LINGER  nothing is read for its meaning any more: what comes is
 *                     thrown away until the peer has our reply
 *
 * Bytes that come in DONE (pipelining) are kept, up to limits.pipelined, and
 * reading pauses. A refused request is answered once, then LINGER.
 */
#include "http/server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/budget.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/h1_write.h"
#include "http/proxy_protocol.h"

enum in_state { IN_PROXY, IN_HEAD, IN_BODY, IN_DONE, IN_LINGER };

enum {
    HEADERS_ROOM = 1024,      /* the most limits.headers may be */
    DISCARD_MAX = 256 * 1024, /* of a body nobody wants, to keep going */
    /* A client that sent FIN may only have closed its sending side, or be
     * gone: it keeps its call while bytes of the reply move. */
    HALF_CLOSED_MS = 3000,
    /* While draining: a client that calls often learns of the end by its next
     * answer; closing at once could meet a request on its way. */
    DRAIN_IDLE_MS = 1000,
};

static const struct h1_chunk_limits chunk_limits = {
    .extension = 16 * 1024,
    .trailer = 8 * 1024,
};

struct http_conn {
    struct conn conn; /* first */
    struct http_conns *all;
    struct http_conn *next, **prev;
    struct http_server *server;
    struct http_stream *stream;
    struct timer timer;
    struct task again; /* go on with kept bytes */
    char *kept;        /* part of a head, or pipelined bytes */
    uint32_t kept_len, kept_cap;
    struct h1_scan scan;
    struct h1_chunks chunks;
    uint64_t body_left;
    uint64_t body_seen; /* of the body in hand */
    uint64_t rate_mark; /* bytes moved when the rate was last looked at */
    uint64_t since_ms;  /* when the state was entered */
    struct buf trailers;
    struct client_address peer;
    uint8_t socket_ip[16];
    uint8_t in;
    bool busy; /* inside feed(): do not re-enter */
    bool trusted;
    bool close_next; /* after the reply in hand */
    bool user_pause; /* the handler asked for a pause */
    bool rate_out;   /* output is being watched */
    bool served;     /* it had at least one call */
    bool told;       /* on_conn_end() was called */
    bool head;       /* the request in hand is a HEAD */
};

static void feed(struct http_conn *c, char *p, size_t n);
static void stream_over(struct http_conn *c);
static void on_eof(struct conn *conn);

static struct http_conn *of(struct conn *c)
{
    return (struct http_conn *)c;
}

/* Shared things */

struct http_server *http_server_ref(struct http_server *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void http_server_unref(struct http_server *s)
{
    if (s && atomic_fetch_sub(&s->refs, 1) == 1)
        s->on_free(s);
}

void client_address_set(struct client_address *a, const struct sockaddr *sa)
{
    const struct sockaddr_in *v4 = (const void *)sa;
    const struct sockaddr_in6 *v6 = (const void *)sa;

    memset(a, 0, sizeof(*a));
    if (sa->sa_family == AF_INET) {
        a->ip[10] = a->ip[11] = 0xff;
        memcpy(a->ip + 12, &v4->sin_addr, 4);
        a->port = ntohs(v4->sin_port);
        inet_ntop(AF_INET, &v4->sin_addr, a->text, sizeof(a->text));
    } else if (sa->sa_family == AF_INET6) {
        memcpy(a->ip, &v6->sin6_addr, 16);
        a->port = ntohs(v6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            inet_ntop(AF_INET, a->ip + 12, a->text, sizeof(a->text));
        else
            inet_ntop(AF_INET6, a->ip, a->text, sizeof(a->text));
    } else {
        a->unix_socket = true;
        memcpy(a->text, "unix:", 6);
    }
    a->text_len = (uint8_t)strlen(a->text);
}

struct loop *http_conn_loop(const struct http_conn *c)
{
    return c->conn.loop;
}

const struct http_server *http_conn_server(const struct http_conn *c)
{
    return c->server;
}

const struct client_address *http_conn_peer(const struct http_conn *c)
{
    return &c->peer;
}

bool http_conn_trusted(const struct http_conn *c)
{
    return c->trusted;
}

struct tls *http_conn_tls(const struct http_conn *c)
{
    return c->conn.tls;
}

/* Time-outs: one timer, moved lazily; what it means depends on the state. */

static void arm(struct http_conn *c, uint64_t ms)
{
    if (ms)
        timer_set(c->conn.loop, &c->timer, loop_now_ms(c->conn.loop) + ms);
}

static void enter(struct http_conn *c, enum in_state in)
{
    const struct http_limits *l = &c->server->limits;

    c->in = (uint8_t)in;
    c->since_ms = loop_now_ms(c->conn.loop);
    switch (in) {
    case IN_PROXY:
        arm(c, l->handshake_ms);
        break;
    case IN_HEAD:
        arm(c, c->kept_len || !c->served ? l->head_ms : l->idle_ms);
        break;
    case IN_BODY:
        c->rate_mark = 0;
        arm(c, l->rate_ms);
        break;
    case IN_DONE:
        break; /* the backend's time-outs hold */
    case IN_LINGER:
        arm(c, l->linger_ms);
        break;
    }
}

/* Kept bytes */

static void keep(struct http_conn *c, const char *p, size_t n)
{
    size_t need = c->kept_len + n, cap = c->kept_cap ? c->kept_cap : 1024;

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

static void drop_kept(struct http_conn *c)
{
    if (!c->kept)
        return;
    budget_give(c->kept_cap);
    x_free(c->kept);
    c->kept = NULL;
    c->kept_len = c->kept_cap = 0;
}

/* The end of a connection */

static void linger(struct http_conn *c)
{
    if (c->conn.state == CONN_CLOSED || c->in == IN_LINGER)
        return;
    drop_kept(c);
    enter(c, IN_LINGER);
    conn_resume(&c->conn);
    conn_shutdown(&c->conn);
    if (c->conn.eof && !conn_unsent(&c->conn))
        conn_close(&c->conn);
}

/* The stream's end is told to the handler, whatever the reason. */
static void end_stream(struct http_conn *c, bool aborted)
{
    struct http_stream *s = c->stream;
    const struct http_handler *h = c->server->handler;

    if (!s)
        return;
    c->stream = NULL;
    s->aborted = aborted;
    if (aborted && s->reply_started && !s->reply_done)
        s->reply_cut = true;
    h->on_end(s);
    arena_free(s->arena);
}

static void close_now(struct http_conn *c)
{
    conn_close(&c->conn);
    end_stream(c, true);
}

/* A request that cannot be read is answered once, and nothing after it. */
static void refuse_head(struct http_conn *c, unsigned status, const char *what,
                        const struct message *m)
{
    const struct http_handler *h = c->server->handler;
    struct str body = STR_NULL, type = STR("application/json");
    struct header field = { .name = STR_NULL };
    char head[1024];
    const char *date = loop_http_date(c->conn.loop);
    int n;

    log_debug("http", "%s: refused with %u: %s", c->peer.text, status, what);
    if (c->stream && c->stream->reply_done) { /* all is said */
        end_stream(c, false);
        linger(c);
        return;
    }
    if (c->stream && c->stream->reply_started) {
        conn_reset(&c->conn);
        end_stream(c, true);
        return;
    }
    if (c->stream)
        c->stream->status = (uint16_t)status;
    if (h->on_refused)
        h->on_refused(c, status, m, c->stream, &body, &type, &field);
    n = snprintf(head, sizeof(head),
                 "HTTP/1.1 %u %.*s\r\nDate: %s\r\nContent-Type: %.*s\r\n"
                 "Content-Length: %zu\r\nConnection: close\r\n",
                 status, STR_ARG(status_reason(status)), date, STR_ARG(type),
                 body.len);
    if (field.name.len)
        n += snprintf(head + n, sizeof(head) - (size_t)n, "%.*s: %.*s\r\n",
                      STR_ARG(field.name), STR_ARG(field.value));
    n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
    must(n < (int)sizeof(head));
    conn_write(&c->conn, head, (size_t)n);
    if (body.len && !c->head)
        conn_write(&c->conn, body.p, body.len);
    end_stream(c, true);
    linger(c);
}

static void refuse(struct http_conn *c, unsigned status, const char *what)
{
    refuse_head(c, status, what, NULL);
}

/* Reading */

static void body_over(struct http_conn *c)
{
    struct http_stream *s = c->stream;
    struct str trailers = buf_view(&c->trailers);

    s->request_done = true;
    enter(c, IN_DONE);
    c->server->handler->on_body_end(s, trailers);
    if (c->trailers.p)
        buf_done(&c->trailers);
    if (c->stream == s && s->reply_done)
        stream_over(c);
}

static void begin_body(struct http_conn *c)
{
    struct http_stream *s = c->stream;

    c->body_seen = 0;
    if (s->request.body == BODY_CHUNKED) {
        memset(&c->chunks, 0, sizeof(c->chunks));
        buf_init(&c->trailers, chunk_limits.trailer + 16);
    } else {
        c->body_left = s->request.length;
    }
    enter(c, IN_BODY);
}

/* Parses the head p[0..len) into a new stream and hands it on. */
static void begin_stream(struct http_conn *c, const char *p, size_t len)
{
    static _Thread_local struct header headers[HEADERS_ROOM];
    const struct http_limits *l = &c->server->limits;
    const struct http_handler *h = c->server->handler;
    struct arena *a = arena_new();
    struct http_stream *s = arena_alloc(a, h->stream_size);
    struct message *m = &s->request;
    struct h1_error error = { 400, "" };
    char *copy = arena_raw(a, len);
    size_t bytes;

    memcpy(copy, p, len);
    s->conn = c;
    s->arena = a;
    s->start_us = loop_now_us(c->conn.loop);
    m->headers = headers;
    m->capacity = (uint32_t)l->headers;
    if (h1_parse_request(copy, len, m, &error)) {
        arena_free(a);
        refuse(c, error.status, error.what);
        return;
    }
    bytes = m->count * sizeof(*headers);
    m->headers = arena_raw(a, bytes);
    memcpy(m->headers, headers, bytes);
    m->capacity = m->count;
    c->head = m->method == METHOD_HEAD;
    if (m->target.len > l->target_size) {
        refuse_head(c, 414, "the request target is too long", m);
        arena_free(a);
        return;
    }
    if (l->body_size && m->body == BODY_LENGTH && m->length > l->body_size) {
        refuse_head(c, 413, "the body is too large", m);
        arena_free(a);
        return;
    }
    if (budget_tight()) {
        refuse_head(c, 503, "memory is short", m);
        arena_free(a);
        return;
    }
    if (m->body == BODY_LENGTH && m->length == 0)
        m->body = m->method == METHOD_GET || m->method == METHOD_HEAD
                      ? BODY_NONE
                      : BODY_LENGTH;
    c->stream = s;
    c->served = true;
    c->close_next = !m->keep_alive || c->all->draining;
    if (m->body == BODY_NONE || (m->body == BODY_LENGTH && !m->length)) {
        s->request_done = true;
        enter(c, IN_DONE);
        h->on_request(s);
        if (c->stream == s)
            h->on_body_end(s, STR_NULL);
        if (c->stream == s && s->reply_done)
            stream_over(c);
    } else {
        begin_body(c);
        h->on_request(s);
    }
}

/* Each of these takes what it can of p[0..n) and returns how much. */

static size_t take_head(struct http_conn *c, char *p, size_t n)
{
    const struct http_limits *l = &c->server->limits;
    struct h1_error error = { 400, "" };
    size_t start, len, had = c->kept_len;
    enum err e;

    if (had) {
        /* Never more than one head is kept, so a copy is bounded. */
        size_t room = l->head_size + 8 > had ? l->head_size + 8 - had : 0;

        if (n > room)
            n = room;
        keep(c, p, n);
        p = c->kept;
    }
    e = h1_scan_head(&c->scan, true, p, had + n, l->head_size, &start, &len,
                     &error);
    if (e == ERR_AGAIN) {
        if (!had && n) {
            keep(c, p, n);
            c->since_ms = loop_now_ms(c->conn.loop);
            arm(c, l->head_ms);
        }
        return n;
    }
    memset(&c->scan, 0, sizeof(c->scan));
    if (e) {
        refuse(c, error.status, error.what);
        return n;
    }
    c->kept_len = 0; /* the bytes stay readable in c->kept for now */
    begin_stream(c, p + start, len);
    if (had)
        drop_kept(c);
    return start + len - had;
}

static void body_bytes(struct http_conn *c, char *p, size_t n)
{
    struct http_stream *s = c->stream;
    uint64_t max = c->server->limits.body_size;

    if (!n)
        return;
    c->body_seen += n;
    s->body_in += n;
    if (max && c->body_seen > max) {
        refuse(c, 413, "the body is too large");
        return;
    }
    if (s->reply_done) { /* nobody wants it */
        if (c->body_seen > DISCARD_MAX) {
            c->close_next = true;
            stream_over(c);
        }
        return;
    }
    c->server->handler->on_body(s, p, n);
}

static size_t take_body(struct http_conn *c, char *p, size_t n)
{
    struct http_stream *s = c->stream;
    struct h1_error error = { 400, "" };
    size_t used = n, data = n;
    enum err e = ERR_AGAIN;

    if (s->request.body == BODY_CHUNKED) {
        e = h1_chunks_decode(&c->chunks, &chunk_limits, p, n, &used, &data,
                             &c->trailers, &error);
        if (e != ERR_OK && e != ERR_AGAIN) {
            refuse(c, error.status, error.what);
            return n;
        }
    } else {
        if (n >= c->body_left) {
            used = data = (size_t)c->body_left;
            e = ERR_OK;
        }
        c->body_left -= used;
    }
    body_bytes(c, p, data);
    if (e == ERR_OK && c->stream == s && c->in == IN_BODY)
        body_over(c);
    return used;
}

static size_t take_proxy(struct http_conn *c, char *p, size_t n)
{
    struct proxy_header h;
    size_t had = c->kept_len, take = n;
    enum err e;

    if (had + take > PROXY_HEADER_MAX)
        take = PROXY_HEADER_MAX - had;
    keep(c, p, take);
    e = proxy_header_parse(c->kept, c->kept_len, &h);
    if (e == ERR_AGAIN && c->kept_len < PROXY_HEADER_MAX)
        return take;
    if (e) {
        log_debug("http", "%s: no PROXY header", c->peer.text);
        conn_reset(&c->conn);
        return n;
    }
    if (!h.local)
        client_address_set(&c->peer, (const struct sockaddr *)&h.source);
    drop_kept(c);
    enter(c, IN_HEAD);
    if (c->server->tls) {
        arm(c, c->server->limits.handshake_ms);
        conn_start_tls(&c->conn, tls_accept(c->server->tls),
                       p + (h.length - had), n - (h.length - had));
        return n;
    }
    return h.length - had;
}

/* Pipelined bytes wait for the reply in hand. */
static size_t take_ahead(struct http_conn *c, char *p, size_t n)
{
    if (c->close_next)
        return n; /* nothing after a last request is looked at */
    keep(c, p, n);
    if (c->kept_len >= c->server->limits.pipelined)
        conn_pause(&c->conn);
    return n;
}

static void feed(struct http_conn *c, char *p, size_t n)
{
    size_t at = 0, took;

    c->busy = true;
    while (at < n && c->conn.state != CONN_CLOSED) {
        switch ((enum in_state)c->in) {
        case IN_PROXY:
            took = take_proxy(c, p + at, n - at);
            break;
        case IN_HEAD:
            took = take_head(c, p + at, n - at);
            break;
        case IN_BODY:
            took = take_body(c, p + at, n - at);
            break;
        case IN_DONE:
            took = take_ahead(c, p + at, n - at);
            break;
        default:
            took = n - at; /* LINGER */
            break;
        }
        at += took;
    }
    c->busy = false;
}

/* Goes on with pipelined bytes after a reply. */
static void again(struct task *t)
{
    struct http_conn *c =
        (struct http_conn *)((char *)t - offsetof(struct http_conn, again));
    char *p = c->kept;
    size_t n = c->kept_len, cap = c->kept_cap;

    if (c->conn.state == CONN_CLOSED || c->in != IN_HEAD || !n)
        return;
    c->kept = NULL;
    c->kept_len = c->kept_cap = 0;
    feed(c, p, n);
    budget_give(cap);
    x_free(p);
    if (c->conn.state == CONN_CLOSED)
        return;
    if (!c->user_pause &&
        (c->in != IN_DONE || c->kept_len < c->server->limits.pipelined))
        conn_resume(&c->conn);
    if (c->conn.eof && (c->in == IN_HEAD || c->in == IN_BODY))
        on_eof(&c->conn);
}

static void next_request(struct http_conn *c)
{
    if (c->close_next || c->all->draining) {
        linger(c);
        return;
    }
    enter(c, IN_HEAD);
    c->head = false;
    memset(&c->scan, 0, sizeof(c->scan));
    if (c->kept_len)
        loop_at_end(c->conn.loop, &c->again);
    else if (c->conn.eof)
        linger(c);
}

/* Request and reply are both over. A client that asks on but does not read
 * would make us keep all its answers: the next request waits until the kernel
 * took this one's, see on_drained(). */
static void stream_over(struct http_conn *c)
{
    end_stream(c, false);
    if (c->conn.state == CONN_CLOSED)
        return;
    if (c->user_pause) {
        c->user_pause = false;
        conn_resume(&c->conn);
    }
    if (c->in != IN_DONE || !c->conn.waiting || c->close_next)
        next_request(c);
}

/* Replies */

static bool has_body(const struct http_stream *s, unsigned status)
{
    return s->request.method != METHOD_HEAD && status >= 200 && status != 204 &&
           status != 304;
}

/* What follows the fields: how the body is framed and whether we close. */
static void put_framing(struct h1_out *o, struct http_stream *s,
                        const struct http_reply *r)
{
    struct http_conn *c = s->conn;

    if (!has_body(s, r->status)) {
        s->reply_bodyless = true;
        s->reply_body = BODY_NONE;
        if (r->body == BODY_LENGTH && r->status != 204) {
            h1_put_str(o, STR("Content-Length: "));
            h1_put_u64(o, r->length);
            h1_put_str(o, STR("\r\n"));
        }
    } else if (r->body == BODY_LENGTH || r->body == BODY_NONE) {
        s->reply_body = BODY_LENGTH;
        s->reply_left = r->body == BODY_NONE ? 0 : r->length;
        h1_put_str(o, STR("Content-Length: "));
        h1_put_u64(o, s->reply_left);
        h1_put_str(o, STR("\r\n"));
    } else if (s->request.minor >= 1) {
        s->reply_body = BODY_CHUNKED;
        h1_put_str(o, STR("Transfer-Encoding: chunked\r\n"));
    } else {
        s->reply_body = BODY_CLOSE;
        c->close_next = true;
    }
    if (c->close_next)
        h1_put_str(o, STR("Connection: close\r\n"));
    else if (s->request.minor == 0)
        h1_put_str(o, STR("Connection: keep-alive\r\n"));
    h1_put_str(o, STR("\r\n"));
}

/* The rest of a body that nobody will read may be too long to throw away:
 * then the connection ends with this reply. */
static void look_at_rest(struct http_stream *s)
{
    struct http_conn *c = s->conn;

    if (s->request_done || c->in != IN_BODY)
        return;
    if (s->request.expect_continue ||
        (s->request.body == BODY_LENGTH && c->body_left > DISCARD_MAX))
        c->close_next = true;
}

static _Thread_local struct {
    char *p;
    size_t size;
} room;

static char *reply_room(size_t n)
{
    if (n > room.size) {
        room.p = x_resize(room.p, n);
        room.size = n;
    }
    return room.p;
}

void http_respond(struct http_stream *s, const struct http_reply *r)
{
    struct http_conn *c = s->conn;
    struct str reason = r->reason.len ? r->reason : status_reason(r->status);
    size_t need = 512 + reason.len;
    struct h1_out o;
    char *start;

    must(!s->reply_started);
    s->reply_started = true;
    s->status = (uint16_t)r->status;
    if (r->close || c->all->draining)
        c->close_next = true;
    if (c->stream != s || c->conn.state == CONN_CLOSED)
        return;
    look_at_rest(s);
    if (r->from)
        need += h1_fields_size(r->from);
    for (size_t i = 0; i < r->extras; i++)
        need += r->extra[i].name.len + r->extra[i].value.len + 4;
    start = reply_room(need);
    o.p = start;
    o.end = start + need;
    h1_put_status_line(&o, r->status, reason);
    if (!r->from || !message_get(r->from, FIELD_DATE)) {
        h1_put_str(&o, STR("Date: "));
        h1_put_str(&o, str_from(loop_http_date(c->conn.loop), 29));
        h1_put_str(&o, STR("\r\n"));
    }
    if (r->from)
        h1_put_fields(&o, r->from, r->skip | 1ull << FIELD_CONTENT_LENGTH);
    for (size_t i = 0; i < r->extras; i++)
        h1_put_field(&o, r->extra[i].name, r->extra[i].value);
    put_framing(&o, s, r);
    s->reply_at = c->conn.out_len - c->conn.out_at;
    s->reply_sends = c->conn.sends;
    conn_write(&c->conn, start, (size_t)(o.p - start));
}

void http_inform(struct http_stream *s, unsigned status,
                 const struct message *from, uint64_t skip)
{
    struct http_conn *c = s->conn;
    struct str reason = status_reason(status);
    size_t need = 256 + (from ? h1_fields_size(from) : 0);
    struct h1_out o;
    char *start;

    if (s->reply_started || s->request.minor == 0 || c->stream != s)
        return;
    start = reply_room(need);
    o.p = start;
    o.end = start + need;
    h1_put_status_line(&o, status, reason);
    if (from)
        h1_put_fields(&o, from, skip | 1ull << FIELD_CONTENT_LENGTH);
    h1_put_str(&o, STR("\r\n"));
    if (status == 100)
        s->request.expect_continue = false; /* the body comes now */
    conn_send(&c->conn, start, (size_t)(o.p - start));
}

static void watch_output(struct http_conn *c)
{
    if (c->rate_out || !c->conn.waiting || !c->server->limits.rate_ms)
        return;
    c->rate_out = true;
    c->rate_mark = c->conn.out_bytes;
    c->since_ms = loop_now_ms(c->conn.loop);
    arm(c, c->server->limits.rate_ms);
}

/* Body bytes and, when the reply ends with them, its end: one send. */
static void put_body(struct http_stream *s, const void *p, size_t n, bool end,
                     struct str trailers)
{
    struct http_conn *c = s->conn;
    char before[24], after[16];
    struct h1_out o = { before, before + sizeof(before) };
    struct iovec parts[3];
    size_t tail = 0;

    if (s->reply_bodyless)
        return;
    s->body_out += n;
    if (s->reply_body == BODY_LENGTH) {
        must(n <= s->reply_left);
        s->reply_left -= n;
    }
    if (s->reply_body != BODY_CHUNKED) {
        if (n)
            conn_send(&c->conn, p, n);
        return;
    }
    if (n) {
        h1_put_hex(&o, n);
        h1_put_str(&o, STR("\r\n"));
        memcpy(after, "\r\n", tail = 2);
    }
    if (end) {
        memcpy(after + tail, "0\r\n", 3);
        tail += 3;
        if (!trailers.len) {
            memcpy(after + tail, "\r\n", 2);
            tail += 2;
        }
    }
    parts[0] = (struct iovec) { before, (size_t)(o.p - before) };
    parts[1] = (struct iovec) { (void *)(uintptr_t)p, n };
    parts[2] = (struct iovec) { after, tail };
    if (end && trailers.len) {
        for (int i = 0; i < 3; i++)
            if (parts[i].iov_len)
                conn_write(&c->conn, parts[i].iov_base, parts[i].iov_len);
        conn_write(&c->conn, trailers.p, trailers.len);
        conn_write(&c->conn, "\r\n", 2);
    } else {
        conn_sendv(&c->conn, parts, 3);
    }
}

void http_body(struct http_stream *s, const void *p, size_t n)
{
    must(s->reply_started && !s->reply_done);
    if (s->conn->stream != s || !n)
        return;
    put_body(s, p, n, false, STR_NULL);
    watch_output(s->conn);
}

void http_finish(struct http_stream *s, const void *p, size_t n,
                 struct str trailers)
{
    struct http_conn *c = s->conn;

    must(s->reply_started && !s->reply_done);
    put_body(s, p, n, true, trailers);
    /* A connection that broke just now has ended the stream already. */
    if (c->stream != s)
        return;
    must(s->reply_body != BODY_LENGTH || s->reply_left == 0);
    s->reply_done = true;
    watch_output(c);
    if (s->request_done) {
        if (!c->busy) /* else feed() goes on */
            stream_over(c);
    } else if (c->close_next && c->in == IN_BODY) {
        stream_over(c);
    } else if (c->user_pause) {
        http_resume(s);
    }
}

void http_reply_text(struct http_stream *s, unsigned status,
                     struct str content_type, struct str body,
                     const struct header *extra, size_t extras)
{
    struct header all[16];
    struct http_reply r = {
        .status = status,
        .extra = all,
        .body = BODY_LENGTH,
        .length = body.len,
    };

    must(extras < 15);
    if (content_type.len)
        all[r.extras++] = (struct header) { .name = STR("Content-Type"),
                                            .value = content_type };
    for (size_t i = 0; i < extras; i++)
        all[r.extras++] = extra[i];
    http_respond(s, &r);
    http_finish(s, body.p, body.len, STR_NULL);
}

bool http_unsend(struct http_stream *s)
{
    struct http_conn *c = s->conn;

    if (c->stream != s || s->reply_done || c->conn.sends != s->reply_sends)
        return false;
    c->conn.out_len = c->conn.out_at + s->reply_at;
    s->reply_started = s->reply_bodyless = false;
    s->status = 0;
    s->body_out = 0;
    return true;
}

void http_cut(struct http_stream *s)
{
    struct http_conn *c = s->conn;

    if (c->stream != s)
        return;
    s->reply_cut = true;
    conn_reset(&c->conn);
    end_stream(c, true);
}

void http_pause(struct http_stream *s)
{
    if (s->conn->stream != s || s->request_done)
        return;
    s->conn->user_pause = true;
    conn_pause(&s->conn->conn);
}

void http_resume(struct http_stream *s)
{
    if (s->conn->stream != s || !s->conn->user_pause)
        return;
    s->conn->user_pause = false;
    if (s->conn->in == IN_BODY)
        enter(s->conn, IN_BODY); /* the rate is measured anew */
    conn_resume(&s->conn->conn);
}

size_t http_unsent(const struct http_stream *s)
{
    return s->conn->stream == s ? conn_unsent(&s->conn->conn) : 0;
}

/* What the connection tells us */

static void on_open(struct conn *conn)
{
    struct http_conn *c = of(conn);

    if (conn->tls && c->server->on_handshake)
        c->server->on_handshake(c->server->arg, true);
    enter(c, c->in);
}

static void on_data(struct conn *conn, char *p, size_t n)
{
    struct http_conn *c = of(conn);

    feed(c, p, n);
}

static void on_eof(struct conn *conn)
{
    struct http_conn *c = of(conn);

    switch ((enum in_state)c->in) {
    case IN_PROXY:
        close_now(c);
        break;
    case IN_LINGER:
        if (!conn_unsent(&c->conn)) /* else on_drained() closes */
            close_now(c);
        break;
    case IN_HEAD:
        if (c->kept_len && !c->again.queued)
            refuse(c, 400, "closed in the middle of a head");
        else if (!c->kept_len)
            linger(c);
        break;
    case IN_BODY:
        refuse(c, 400, "closed in the middle of a body");
        break;
    case IN_DONE: /* half closed: it still gets its reply */
        c->rate_mark = c->conn.out_bytes;
        arm(c, HALF_CLOSED_MS);
        break;
    }
}

static void on_hangup(struct conn *conn)
{
    struct http_conn *c = of(conn);

    c->rate_mark = conn->in_bytes;
    arm(c, HALF_CLOSED_MS);
}

static void on_error(struct conn *conn, enum err e, const char *why)
{
    struct http_conn *c = of(conn);

    (void)e;
    log_debug("http", "%s: %s", c->peer.text, why);
    if (conn->state == CONN_HANDSHAKE && c->server->on_handshake)
        c->server->on_handshake(c->server->arg, false);
    close_now(c);
}

static void on_drained(struct conn *conn)
{
    struct http_conn *c = of(conn);

    c->rate_out = false;
    if (c->stream)
        c->server->handler->on_drained(c->stream);
    else if (c->in == IN_DONE)
        next_request(c);
    else if (c->in == IN_LINGER && c->conn.eof)
        conn_close(&c->conn);
    else if (c->in == IN_LINGER)
        arm(c, c->server->limits.linger_ms); /* from now on */
}

static void tell_end(struct http_conn *c)
{
    if (!c->told && c->server->on_conn_end)
        c->server->on_conn_end(c->server->arg, c->socket_ip, c->conn.in_bytes,
                               c->conn.out_bytes);
    c->told = true;
}

static void on_closed(struct conn *conn)
{
    struct http_conn *c = of(conn);

    if (c->again.queued) { /* it comes first */
        loop_at_end(conn->loop, &conn->end);
        return;
    }
    must(!c->stream);
    timer_clear(&c->timer);
    drop_kept(c);
    buf_done(&c->trailers);
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        c->all->last = c->prev;
    c->all->count--;
    atomic_store_explicit(&c->all->shared_count, c->all->count,
                          memory_order_relaxed);
    tell_end(c);
    http_server_unref(c->server);
    x_free(c);
}

static const struct conn_ops ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drained = on_drained,
    .on_hangup = on_hangup,
    .on_closed = on_closed,
};

/* Time is up for something; which, says the state. */

/* False: fewer bytes than the rate asks for moved since the last look. */
static bool fast_enough(struct http_conn *c, uint64_t bytes)
{
    const struct http_limits *l = &c->server->limits;
    uint64_t moved = bytes - c->rate_mark;

    c->rate_mark = bytes;
    return moved >= l->rate * l->rate_ms / 1000;
}

static void busy_timeout(struct http_conn *c)
{
    const struct http_limits *l = &c->server->limits;

    if (c->conn.eof && c->in == IN_DONE && !c->conn.waiting) {
        if (c->rate_mark == c->conn.out_bytes) {
            log_debug("http", "%s: left", c->peer.text);
            close_now(c);
            return;
        }
        c->rate_mark = c->conn.out_bytes;
        arm(c, HALF_CLOSED_MS);
        return;
    }
    if (c->conn.hangup && !c->conn.eof && c->in == IN_BODY) {
        if (c->rate_mark == c->conn.in_bytes) {
            close_now(c);
            return;
        }
        c->rate_mark = c->conn.in_bytes;
        arm(c, HALF_CLOSED_MS);
        return;
    }
    if (c->conn.waiting && !c->rate_out) {
        watch_output(c);
        return;
    }
    if (c->conn.waiting) {
        if (!fast_enough(c, c->conn.out_bytes)) {
            log_debug("http", "%s: reads too slowly", c->peer.text);
            conn_reset(&c->conn);
            end_stream(c, true);
            return;
        }
    } else if (c->in == IN_BODY && !c->conn.paused && !c->rate_out) {
        if (!fast_enough(c, c->body_seen)) {
            refuse(c, 408, "the body came too slowly");
            return;
        }
    }
    arm(c, l->rate_ms);
}

static void on_timer(struct timer *t)
{
    struct http_conn *c =
        (struct http_conn *)((char *)t - offsetof(struct http_conn, timer));

    if (c->conn.state == CONN_CLOSED)
        return;
    if (c->conn.state == CONN_HANDSHAKE) {
        on_error(&c->conn, ERR_TIMEOUT, "the TLS handshake took too long");
        return;
    }
    switch ((enum in_state)c->in) {
    case IN_PROXY:
        conn_reset(&c->conn);
        break;
    case IN_HEAD:
        if (c->conn.waiting)
            busy_timeout(c);
        else if (c->kept_len)
            refuse(c, 408, "the head came too slowly");
        else
            close_now(c);
        break;
    case IN_LINGER: /* what the kernel has it still sends */
        if (c->conn.waiting)
            busy_timeout(c);
        else
            conn_close(&c->conn);
        break;
    default:
        busy_timeout(c);
        break;
    }
}

/* Life */

void http_accept(struct http_conns *all, struct http_server *server, int fd,
                 const struct address *peer)
{
    struct http_conn *c = x_new(sizeof(*c));
    struct tls *tls = NULL;
    const struct sockaddr *sa = (const struct sockaddr *)&peer->sa;

    c->all = all;
    c->server = http_server_ref(server);
    c->timer.fire = on_timer;
    c->again.run = again;
    client_address_set(&c->peer, sa);
    memcpy(c->socket_ip, c->peer.ip, sizeof(c->socket_ip));
    c->trusted = server->trusted && server->trusted(server->trusted_arg, sa);
    c->in = server->proxy_protocol && c->trusted ? IN_PROXY : IN_HEAD;
    if (server->tls && c->in != IN_PROXY)
        tls = tls_accept(server->tls);
    if (conn_accept(&c->conn, all->loop, fd, tls, &ops)) {
        if (server->on_conn_end)
            server->on_conn_end(server->arg, c->socket_ip, 0, 0);
        http_server_unref(server);
        x_free(c);
        return;
    }
    c->prev = all->first ? all->last : &all->first;
    *c->prev = c;
    all->last = &c->next;
    all->count++;
    atomic_store_explicit(&all->shared_count, all->count, memory_order_relaxed);
    if (tls)
        arm(c, server->limits.handshake_ms);
    else
        enter(c, c->in);
}

static bool is_idle(const struct http_conn *c)
{
    return c->in == IN_HEAD && !c->kept_len && !c->stream &&
           c->conn.state == CONN_OPEN;
}

void http_drain(struct http_conns *all)
{
    struct http_conn *c, *next;

    all->draining = true;
    for (c = all->first; c; c = next) {
        next = c->next;
        c->close_next = true;
        if (is_idle(c) && c->served)
            arm(c, DRAIN_IDLE_MS);
    }
}

/* How readily a connection is given up: 0 not at all. Idle ones count no less
 * than those who never said a word: a busy client's are idle for moments only,
 * so age tells them apart. */
static int shed_rank(const struct http_conn *c)
{
    uint64_t age = loop_now_ms(c->conn.loop) - c->since_ms;

    if (c->conn.state == CONN_CLOSED)
        return 0;
    if (c->conn.state == CONN_HANDSHAKE || c->in == IN_PROXY ||
        (c->in == IN_HEAD && !c->stream) || c->in == IN_LINGER)
        return age >= c->all->shed_idle_ms ? 2 : 0;
    if (c->in == IN_BODY && !c->conn.paused)
        return age >= c->all->shed_body_ms ? 1 : 0;
    return 0;
}

unsigned http_shed(struct http_conns *all, unsigned n, const uint8_t *ip)
{
    unsigned shed = 0;

    while (shed < n) {
        struct http_conn *best = NULL;
        int rank = 0;

        for (struct http_conn *c = all->first; c; c = c->next) {
            int r = shed_rank(c);

            if (r < rank || !r || (ip && memcmp(c->socket_ip, ip, 16)))
                continue;
            if (r == rank && c->since_ms > best->since_ms)
                continue;
            best = c;
            rank = r;
        }
        if (!best)
            break;
        log_debug("http", "%s: closed to make room", best->peer.text);
        conn_reset(&best->conn);
        end_stream(best, true);
        tell_end(best);
        shed++;
    }
    return shed;
}

void http_close_all(struct http_conns *all)
{
    struct http_conn *c, *next;

    for (c = all->first; c; c = next) {
        next = c->next;
        close_now(c);
    }
}

void http_thread_done(void)
{
    x_free(room.p);
    room.p = NULL;
    room.size = 0;
    conn_thread_done();
    arena_thread_done();
}
