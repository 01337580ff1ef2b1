/* h1_reply.c - replies of HTTP/1.1 connections: heads, framing, bodies. */
#include "http/h1_internal.h"
#include "http/h1_write.h"

/* What follows the fields: how the body is framed and whether we close. */
static void put_framing(struct h1_out *o, struct http_stream *s,
                        const struct http_reply *r)
{
    struct h1_conn *c = h1_conn_of_stream(s);

    if (r->status == 101) {
        s->reply_body = BODY_CLOSE;
        h1_put_str(o, STR("Connection: Upgrade\r\n"));
        h1_put_field(o, STR("Upgrade"), message_value(r->from, FIELD_UPGRADE));
        h1_put_crlf(o);
        return;
    }
    if (!http_has_body(s, r->status)) {
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

/* After a 101 bytes pass as they come, those that came ahead first. */
static void begin_tunnel(struct h1_conn *c, struct http_stream *s)
{
    must(c->in == IN_DONE && s->request.upgrade);
    s->tunnel = true;
    s->request_done = false;
    c->close_next = true;
    h1_enter(c, IN_TUNNEL);
    conn_resume(&c->http.conn);
    if (c->kept_len)
        loop_at_end(c->http.conn.loop, &c->again);
    else if (c->http.conn.eof)
        h1_on_eof(&c->http.conn);
}

/* The rest of a body that nobody will read may be too long to throw away:
 * then the connection ends with this reply. */
static void look_at_rest(struct http_stream *s)
{
    struct h1_conn *c = h1_conn_of_stream(s);

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

void h1_respond(struct http_stream *s, const struct http_reply *r)
{
    struct h1_conn *c = h1_conn_of_stream(s);
    struct str reason = r->reason.len ? r->reason : status_reason(r->status);
    size_t need = 512 + reason.len;
    struct h1_out o;
    char *start;

    must(!s->reply_started);
    s->reply_started = true;
    s->status = (uint16_t)r->status;
    if (r->close || c->http.all->draining)
        c->close_next = true;
    if (c->stream != s || c->http.conn.state == CONN_CLOSED)
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
        h1_put_str(&o, str_from(loop_http_date(c->http.conn.loop), 29));
        h1_put_str(&o, STR("\r\n"));
    }
    if (r->from)
        h1_put_fields(&o, r->from, r->skip | 1ull << FIELD_CONTENT_LENGTH);
    for (size_t i = 0; i < r->extras; i++)
        h1_put_field(&o, r->extra[i].name, r->extra[i].value);
    put_framing(&o, s, r);
    s->reply_at = c->http.conn.out_len - c->http.conn.out_at;
    s->reply_sends = c->http.conn.sends;
    conn_write(&c->http.conn, start, (size_t)(o.p - start));
    if (r->status == 101)
        begin_tunnel(c, s);
}

void h1_inform(struct http_stream *s, unsigned status,
               const struct message *from, uint64_t skip)
{
    struct h1_conn *c = h1_conn_of_stream(s);
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
    conn_send(&c->http.conn, start, (size_t)(o.p - start));
}

/* Body bytes and, when the reply ends with them, its end: one send. */
static void put_body(struct http_stream *s, const void *p, size_t n, bool end,
                     struct str trailers)
{
    struct h1_conn *c = h1_conn_of_stream(s);
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
            conn_send(&c->http.conn, p, n);
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
                conn_write(&c->http.conn, parts[i].iov_base, parts[i].iov_len);
        conn_write(&c->http.conn, trailers.p, trailers.len);
        conn_write(&c->http.conn, "\r\n", 2);
    } else {
        conn_sendv(&c->http.conn, parts, 3);
    }
}

void h1_body(struct http_stream *s, const void *p, size_t n)
{
    must(s->reply_started && !s->reply_done);
    if (h1_conn_of_stream(s)->stream != s || !n)
        return;
    put_body(s, p, n, false, STR_NULL);
    h1_watch_output(h1_conn_of_stream(s));
}

void h1_finish(struct http_stream *s, const void *p, size_t n,
               struct str trailers)
{
    struct h1_conn *c = h1_conn_of_stream(s);
    bool over;

    must(s->reply_started && !s->reply_done);
    put_body(s, p, n, true, trailers);
    /* A connection that broke just now has ended the stream already. */
    if (c->stream != s)
        return;
    must(s->reply_body != BODY_LENGTH || s->reply_left == 0);
    s->reply_done = true;
    h1_watch_output(c);
    if (s->request_done)
        over = !c->busy; /* else feed() goes on */
    else
        over = c->close_next && c->in == IN_BODY;
    if (over || s->tunnel)
        h1_stream_over(c);
    else if (!s->request_done && c->user_pause)
        h1_resume(s);
}

bool h1_unsend(struct http_stream *s)
{
    struct h1_conn *c = h1_conn_of_stream(s);

    if (c->stream != s || s->reply_done || c->http.conn.sends != s->reply_sends)
        return false;
    c->http.conn.out_len = c->http.conn.out_at + s->reply_at;
    s->reply_started = s->reply_bodyless = false;
    s->status = 0;
    s->body_out = 0;
    return true;
}

void h1_cut(struct http_stream *s, uint32_t code)
{
    struct h1_conn *c = h1_conn_of_stream(s);

    (void)code;
    if (c->stream != s)
        return;
    s->reply_cut = true;
    conn_reset(&c->http.conn);
    h1_end_stream(c, true);
}

void h1_pause(struct http_stream *s)
{
    struct h1_conn *c = h1_conn_of_stream(s);

    if (c->stream != s || (s->request_done && c->in != IN_TUNNEL))
        return;
    c->user_pause = true;
    conn_pause(&c->http.conn);
}

void h1_resume(struct http_stream *s)
{
    struct h1_conn *c = h1_conn_of_stream(s);

    if (c->stream != s || !c->user_pause)
        return;
    c->user_pause = false;
    if (c->in == IN_BODY)
        h1_enter(c, IN_BODY); /* the rate is measured anew */
    conn_resume(&c->http.conn);
}

size_t h1_unsent(const struct http_stream *s)
{
    struct h1_conn *c = h1_conn_of_stream(s);

    return c->stream == s ? conn_unsent(&c->http.conn) : 0;
}

void h1_thread_done(void)
{
    x_free(room.p);
    room.p = NULL;
    room.size = 0;
}
