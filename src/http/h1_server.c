/* h1_server.c - HTTP/1.1 connections from clients: their states and requests.
 *
 * Reading, one state at a time:
 *
 *   PROXY  -> HEAD    the PROXY header was read (or is not expected)
 *   HEAD   -> BODY    a head was parsed and the request has a body
 *   HEAD   -> DONE    ... or has none
 *   BODY   -> DONE    the body was read whole
 *   DONE   -> HEAD    the reply was sent whole: the next request
 *   DONE   -> TUNNEL  the reply is a 101: bytes pass as they come
 *   HEAD   -> OTHER   HTTP/2 has taken the connection over
 *   any    -> LINGER  nothing is read for its meaning any more: what comes is
 *                     thrown away until the peer has our reply
 *
 * Bytes that come in DONE (pipelining) are kept, up to limits.pipelined, and
 * reading pauses. A refused request is answered once, then LINGER.
 */
#include <stdio.h>

#include "base/budget.h"
#include "base/log.h"
#include "http/h1_internal.h"
#include "http/proxy_protocol.h"

/* What a client that speaks HTTP/2 unasked begins with, as far as it tells
 * (RFC 9113 section 3.4). */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\n";
enum { PREFACE_LEN = sizeof(preface) - 1 };

enum { HEADERS_ROOM = 1024 }; /* the most limits.headers may be */

static const struct h1_chunk_limits chunk_limits = {
    .extension = 16 * 1024,
    .trailer = 8 * 1024,
};

/* Kept bytes */

static void keep(struct h1_conn *c, const char *p, size_t n)
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

static void drop_kept(struct h1_conn *c)
{
    if (!c->kept)
        return;
    budget_give(c->kept_cap);
    x_free(c->kept);
    c->kept = NULL;
    c->kept_len = c->kept_cap = 0;
}

/* The end of a connection */

static void linger(struct h1_conn *c)
{
    if (c->http.conn.state == CONN_CLOSED || c->in == IN_LINGER)
        return;
    drop_kept(c);
    h1_enter(c, IN_LINGER);
    conn_resume(&c->http.conn);
    conn_shutdown(&c->http.conn);
    if (c->http.conn.eof && !conn_unsent(&c->http.conn))
        conn_close(&c->http.conn);
}

/* The stream's end is told to the handler, whatever the reason. */
void h1_end_stream(struct h1_conn *c, bool aborted)
{
    struct http_stream *s = c->stream;
    const struct http_handler *h = c->http.server->handler;

    if (!s)
        return;
    c->stream = NULL;
    s->aborted = aborted;
    if (aborted && s->reply_started && !s->reply_done)
        s->reply_cut = true;
    h->on_end(s);
    arena_free(s->arena);
}

void h1_close_now(struct h1_conn *c)
{
    conn_close(&c->http.conn);
    h1_end_stream(c, true);
}

/* A request that cannot be read is answered once, and nothing after it. */
static void refuse_head(struct h1_conn *c, unsigned status, const char *what,
                        const struct message *m)
{
    const struct http_handler *h = c->http.server->handler;
    struct str body = STR_NULL, type = STR("application/json");
    struct header field = { .name = STR_NULL };
    char head[1024];
    const char *date = loop_http_date(c->http.conn.loop);
    int n;

    log_debug("http", "%s: refused with %u: %s", c->http.peer.text, status,
              what);
    if (c->stream && c->stream->reply_done) { /* all is said */
        h1_end_stream(c, false);
        linger(c);
        return;
    }
    if (c->stream && c->stream->reply_started) {
        conn_reset(&c->http.conn);
        h1_end_stream(c, true);
        return;
    }
    if (c->stream)
        c->stream->status = (uint16_t)status;
    if (h->on_refused)
        h->on_refused(&c->http, status, m, c->stream, &body, &type, &field);
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
    conn_write(&c->http.conn, head, (size_t)n);
    if (body.len && !c->head)
        conn_write(&c->http.conn, body.p, body.len);
    h1_end_stream(c, true);
    linger(c);
}

void h1_refuse(struct h1_conn *c, unsigned status, const char *what)
{
    refuse_head(c, status, what, NULL);
}

/* Reading */

static void body_over(struct h1_conn *c)
{
    struct http_stream *s = c->stream;
    struct str trailers = buf_view(&c->trailers);

    s->request_done = true;
    h1_enter(c, IN_DONE);
    c->http.server->handler->on_body_end(s, trailers);
    if (c->trailers.p)
        buf_done(&c->trailers);
    if (c->stream == s && s->reply_done)
        h1_stream_over(c);
}

static void begin_body(struct h1_conn *c)
{
    struct http_stream *s = c->stream;

    c->body_seen = 0;
    if (s->request.body == BODY_CHUNKED) {
        memset(&c->chunks, 0, sizeof(c->chunks));
        buf_init(&c->trailers, chunk_limits.trailer + 16);
    } else {
        c->body_left = s->request.length;
    }
    h1_enter(c, IN_BODY);
}

/* Parses the head p[0..len) into a new stream and hands it on. */
static void begin_stream(struct h1_conn *c, const char *p, size_t len)
{
    static _Thread_local struct header headers[HEADERS_ROOM];
    const struct http_limits *l = &c->http.server->limits;
    const struct http_handler *h = c->http.server->handler;
    struct arena *a = arena_new();
    struct http_stream *s = http_stream_new(a, h);
    struct message *m = &s->request;
    struct h1_error error = { .status = 400, .what = "" };
    char *copy = arena_raw(a, len);
    size_t bytes;

    memcpy(copy, p, len);
    s->conn = &c->http;
    s->arena = a;
    s->start_us = loop_now_us(c->http.conn.loop);
    m->headers = headers;
    m->capacity = (uint32_t)l->headers;
    if (h1_parse_request(copy, len, m, &error)) {
        arena_free(a);
        if (error.alien && !c->http.served) { /* an answer would be noise */
            log_debug("http", "%s: does not speak HTTP", c->http.peer.text);
            linger(c);
            return;
        }
        h1_refuse(c, error.status, error.what);
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
    c->http.served = true;
    c->close_next = !m->keep_alive || c->http.all->draining;
    if (m->body == BODY_NONE || (m->body == BODY_LENGTH && !m->length)) {
        s->request_done = true;
        h1_enter(c, IN_DONE);
        h->on_request(s);
        if (c->stream == s)
            h->on_body_end(s, STR_NULL);
        if (c->stream == s && s->reply_done)
            h1_stream_over(c);
    } else {
        begin_body(c);
        h->on_request(s);
    }
}

/* Each of these takes what it can of p[0..n) and returns how much. */

/* ERR_OK: p[0..n) begins as HTTP/2 does; ERR_AGAIN: so far. */
static enum err is_http2(const struct h1_conn *c, const char *p, size_t n)
{
    if (c->http.served || c->http.conn.tls || !c->http.server->http2 ||
        memcmp(p, preface, n < PREFACE_LEN ? n : PREFACE_LEN) != 0)
        return ERR_NOT_FOUND;
    return n < PREFACE_LEN ? ERR_AGAIN : ERR_OK;
}

static void become_http2(struct h1_conn *c, char *p, size_t n)
{
    c->in = IN_OTHER;
    h2_begin(&c->http, p, n);
    drop_kept(c);
}

static size_t take_head(struct h1_conn *c, char *p, size_t n)
{
    const struct http_limits *l = &c->http.server->limits;
    struct h1_error error = { .status = 400, .what = "" };
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
    e = is_http2(c, p, had + n);
    if (e == ERR_OK) {
        become_http2(c, p, had + n);
        return n;
    }
    if (e != ERR_AGAIN)
        e = h1_scan_head(&c->scan, true, p, had + n, l->head_size, &start, &len,
                         &error);
    if (e == ERR_AGAIN) {
        if (!had && n) {
            keep(c, p, n);
            c->http.since_ms = loop_now_ms(c->http.conn.loop);
            h1_arm(c, l->head_ms);
        }
        return n;
    }
    memset(&c->scan, 0, sizeof(c->scan));
    if (e) {
        h1_refuse(c, error.status, error.what);
        return n;
    }
    c->kept_len = 0; /* the bytes stay readable in c->kept for now */
    begin_stream(c, p + start, len);
    if (had)
        drop_kept(c);
    return start + len - had;
}

static void body_bytes(struct h1_conn *c, char *p, size_t n)
{
    struct http_stream *s = c->stream;
    uint64_t max = c->http.server->limits.body_size;

    if (!n)
        return;
    c->body_seen += n;
    s->body_in += n;
    if (max && c->body_seen > max) {
        h1_refuse(c, 413, "the body is too large");
        return;
    }
    if (s->reply_done) { /* nobody wants it */
        if (c->body_seen > DISCARD_MAX) {
            c->close_next = true;
            h1_stream_over(c);
        }
        return;
    }
    c->http.server->handler->on_body(s, p, n);
}

static size_t take_body(struct h1_conn *c, char *p, size_t n)
{
    struct http_stream *s = c->stream;
    struct h1_error error = { .status = 400, .what = "" };
    size_t used = n, data = n;
    enum err e = ERR_AGAIN;

    if (s->request.body == BODY_CHUNKED) {
        e = h1_chunks_decode(&c->chunks, &chunk_limits, p, n, &used, &data,
                             &c->trailers, &error);
        if (e != ERR_OK && e != ERR_AGAIN) {
            h1_refuse(c, error.status, error.what);
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

static size_t take_proxy(struct h1_conn *c, char *p, size_t n)
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
        log_debug("http", "%s: no PROXY header", c->http.peer.text);
        conn_reset(&c->http.conn);
        return n;
    }
    if (!h.local)
        client_address_set(&c->http.peer, (const struct sockaddr *)&h.source);
    drop_kept(c);
    h1_enter(c, IN_HEAD);
    if (c->http.server->tls) {
        h1_arm(c, c->http.server->limits.handshake_ms);
        conn_start_tls(&c->http.conn, tls_accept(c->http.server->tls),
                       p + (h.length - had), n - (h.length - had));
        return n;
    }
    return h.length - had;
}

/* Pipelined bytes wait for the reply in hand. */
static size_t take_ahead(struct h1_conn *c, char *p, size_t n)
{
    if (c->close_next)
        return n; /* nothing after a last request is looked at */
    keep(c, p, n);
    if (c->kept_len >= c->http.server->limits.pipelined)
        conn_pause(&c->http.conn);
    return n;
}

static size_t take_tunnel(struct h1_conn *c, char *p, size_t n)
{
    c->stream->body_in += n;
    c->http.server->handler->on_body(c->stream, p, n);
    return n;
}

static void feed(struct h1_conn *c, char *p, size_t n)
{
    size_t at = 0, took;

    c->busy = true;
    while (at < n && c->http.conn.state != CONN_CLOSED) {
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
        case IN_TUNNEL:
            took = take_tunnel(c, p + at, n - at);
            break;
        case IN_OTHER:
            took = n - at;
            c->http.conn.ops->on_data(&c->http.conn, p + at, took);
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
    struct h1_conn *c =
        (struct h1_conn *)((char *)t - offsetof(struct h1_conn, again));
    char *p = c->kept;
    size_t n = c->kept_len, cap = c->kept_cap;

    if (c->http.conn.state == CONN_CLOSED || !n ||
        (c->in != IN_HEAD && c->in != IN_TUNNEL))
        return;
    c->kept = NULL;
    c->kept_len = c->kept_cap = 0;
    feed(c, p, n);
    budget_give(cap);
    x_free(p);
    if (c->http.conn.state == CONN_CLOSED)
        return;
    if (!c->user_pause &&
        (c->in != IN_DONE || c->kept_len < c->http.server->limits.pipelined))
        conn_resume(&c->http.conn);
    if (c->http.conn.eof &&
        (c->in == IN_HEAD || c->in == IN_BODY || c->in == IN_TUNNEL))
        h1_on_eof(&c->http.conn);
}

static void next_request(struct h1_conn *c)
{
    if (c->close_next || c->http.all->draining) {
        linger(c);
        return;
    }
    h1_enter(c, IN_HEAD);
    c->head = false;
    memset(&c->scan, 0, sizeof(c->scan));
    if (c->kept_len)
        loop_at_end(c->http.conn.loop, &c->again);
    else if (c->http.conn.eof)
        linger(c);
}

/* Request and reply are both over. A client that asks on but does not read
 * would make us keep all its answers: the next request waits until the kernel
 * took this one's, see on_drained(). */
void h1_stream_over(struct h1_conn *c)
{
    h1_end_stream(c, false);
    if (c->http.conn.state == CONN_CLOSED)
        return;
    if (c->user_pause) {
        c->user_pause = false;
        conn_resume(&c->http.conn);
    }
    if (c->in != IN_DONE || !c->http.conn.waiting || c->close_next)
        next_request(c);
}

/* What the connection tells us */

static void on_open(struct conn *conn)
{
    struct h1_conn *c = h1_conn_of(conn);

    if (conn->tls && c->http.server->on_handshake)
        c->http.server->on_handshake(c->http.server->arg, true);
    if (conn->tls && str_is(tls_alpn(conn->tls), "h2"))
        become_http2(c, NULL, 0);
    else
        h1_enter(c, c->in);
}

static void on_data(struct conn *conn, char *p, size_t n)
{
    struct h1_conn *c = h1_conn_of(conn);

    feed(c, p, n);
}

void h1_on_eof(struct conn *conn)
{
    struct h1_conn *c = h1_conn_of(conn);

    switch ((enum in_state)c->in) {
    case IN_PROXY:
        h1_close_now(c);
        break;
    case IN_TUNNEL:
        if (c->kept_len || c->stream->request_done)
            break; /* again() comes back, or has told */
        c->stream->request_done = true;
        c->http.server->handler->on_body_end(c->stream, STR_NULL);
        break;
    case IN_OTHER:
        break;
    case IN_LINGER:
        if (!conn_unsent(&c->http.conn)) /* else on_drained() closes */
            h1_close_now(c);
        break;
    case IN_HEAD:
        if (c->kept_len && !c->again.queued)
            h1_refuse(c, 400, "closed in the middle of a head");
        else if (!c->kept_len)
            linger(c);
        break;
    case IN_BODY:
        h1_refuse(c, 400, "closed in the middle of a body");
        break;
    case IN_DONE: /* half closed: it still gets its reply */
        c->rate_mark = c->http.conn.out_bytes;
        h1_arm(c, HALF_CLOSED_MS);
        break;
    }
}

static void on_hangup(struct conn *conn)
{
    struct h1_conn *c = h1_conn_of(conn);

    c->rate_mark = conn->in_bytes;
    h1_arm(c, HALF_CLOSED_MS);
}

void h1_on_error(struct conn *conn, enum err e, const char *why)
{
    struct h1_conn *c = h1_conn_of(conn);

    (void)e;
    log_debug("http", "%s: %s", c->http.peer.text, why);
    if (conn->state == CONN_HANDSHAKE && c->http.server->on_handshake)
        c->http.server->on_handshake(c->http.server->arg, false);
    h1_close_now(c);
}

static void on_drained(struct conn *conn)
{
    struct h1_conn *c = h1_conn_of(conn);

    c->rate_out = false;
    if (c->stream)
        c->http.server->handler->on_drained(c->stream);
    else if (c->in == IN_DONE)
        next_request(c);
    else if (c->in == IN_LINGER && c->http.conn.eof)
        conn_close(&c->http.conn);
    else if (c->in == IN_LINGER)
        h1_arm(c, c->http.server->limits.linger_ms); /* from now on */
}

static void on_closed(struct conn *conn)
{
    struct h1_conn *c = h1_conn_of(conn);

    if (c->again.queued) { /* it comes first */
        loop_at_end(conn->loop, &conn->end);
        return;
    }
    must(!c->stream);
    timer_clear(&c->http.timer);
    drop_kept(c);
    buf_done(&c->trailers);
    http_conn_free(&c->http);
}

static const struct conn_ops ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_eof = h1_on_eof,
    .on_error = h1_on_error,
    .on_drained = on_drained,
    .on_hangup = on_hangup,
    .on_closed = on_closed,
};

/* For server.c */

static void end(struct http_conn *conn, bool reset)
{
    struct h1_conn *c = (struct h1_conn *)conn;

    if (reset)
        conn_reset(&conn->conn);
    else
        conn_close(&conn->conn);
    h1_end_stream(c, true);
}

static void drain(struct http_conn *conn)
{
    struct h1_conn *c = (struct h1_conn *)conn;
    bool idle = c->in == IN_HEAD && !c->kept_len && !c->stream &&
                conn->conn.state == CONN_OPEN;

    c->close_next = true;
    if (idle && conn->served)
        h1_arm(c, DRAIN_IDLE_MS);
}

static void goodbye(struct http_conn *conn)
{
    struct h1_conn *c = (struct h1_conn *)conn;
    const struct http_handler *h = conn->server->handler;

    if (c->stream && h->on_goodbye)
        h->on_goodbye(c->stream);
}

/* Idle ones count no less than those who never said a word: a busy client's
 * are idle for moments only, so age tells them apart. */
static int shed_rank(const struct http_conn *conn)
{
    const struct h1_conn *c = (const struct h1_conn *)conn;
    uint64_t age = loop_now_ms(conn->conn.loop) - conn->since_ms;

    if (conn->conn.state == CONN_HANDSHAKE || c->in == IN_PROXY ||
        (c->in == IN_HEAD && !c->stream) || c->in == IN_LINGER)
        return age >= conn->all->shed_idle_ms ? 2 : 0;
    if (c->in == IN_BODY && !conn->conn.paused)
        return age >= conn->all->shed_body_ms ? 1 : 0;
    return 0;
}

const struct http_protocol http_protocol_1 = {
    .respond = h1_respond,
    .inform = h1_inform,
    .body = h1_body,
    .finish = h1_finish,
    .unsend = h1_unsend,
    .cut = h1_cut,
    .pause = h1_pause,
    .resume = h1_resume,
    .unsent = h1_unsent,
    .drain = drain,
    .goodbye = goodbye,
    .shed_rank = shed_rank,
    .end = end,
};

struct http_conn *h1_conn_new(const struct conn_ops **conn_ops)
{
    struct h1_conn *c = x_new(sizeof(*c));

    c->http.protocol = &http_protocol_1;
    c->http.timer.fire = h1_on_timer;
    c->again.run = again;
    c->in = IN_HEAD;
    *conn_ops = &ops;
    return &c->http;
}

void h1_expect_proxy(struct http_conn *conn)
{
    ((struct h1_conn *)conn)->in = IN_PROXY;
}

void h1_begin(struct http_conn *conn)
{
    struct h1_conn *c = (struct h1_conn *)conn;

    if (conn->conn.state == CONN_HANDSHAKE)
        h1_arm(c, conn->server->limits.handshake_ms);
    else
        h1_enter(c, c->in);
}
