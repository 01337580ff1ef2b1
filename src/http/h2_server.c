/* h2_server.c - HTTP/2 connections from clients.
 *
 *   OPEN   -> LEAVING  the process drains: a first GOAWAY, a last one a moment
 *                      later, so that what was under way is still served
 *   OPEN, LEAVING -> LINGER   the session is over (our last word is under
 *                      way): what comes is thrown away until the peer closes
 *   any    -> closed   end()
 *
 * One timer looks at everything now and then: a connection without requests
 * for too long, header lists and bodies that do not come, replies that are
 * not taken, a peer that is gone.
 */
#include <stdio.h>

#include "base/budget.h"
#include "base/log.h"
#include "http/h2.h"
#include "http/server_internal.h"

enum {
    SESSION_BYTES = 24 * 1024, /* what nghttp2 holds for one, about */
    LOOK_MS = 5000,            /* where no rate is asked for */
    GOAWAY_MS = 1000,          /* between the first and the last GOAWAY */
    QUIET_MS = 30000,          /* of a peer with open streams: then a PING */
    ANSWER_MS = 15000,
};

struct h2_side {
    struct h2 h2; /* first */
    struct http_conn *conn;
    uint64_t idle_since_ms; /* when the last stream ended */
    uint64_t leave_ms;      /* when the last GOAWAY is due; 0: not leaving */
    uint64_t out_mark;      /* conn.out_bytes when it was last looked at */
    bool left;              /* the last GOAWAY was sent */
    bool linger;
};

/* The protocol's half of a stream; lives in its arena. */
struct h2_request {
    struct h2_stream h2; /* first */
    struct http_stream *s;
    uint64_t mark_ms; /* when these were noted */
    uint64_t in_mark, out_mark;
    bool live;    /* the handler has heard of it */
    bool refused; /* ... or is not to hear any more */
    bool body;    /* the reply has one */
};

static struct h2_side *side_of(struct h2 *h)
{
    return (struct h2_side *)h;
}

static struct h2_request *of(struct h2_stream *s)
{
    return (struct h2_request *)s;
}

static const struct http_handler *handler(const struct h2_side *side)
{
    return side->conn->server->handler;
}

static uint64_t now_ms(const struct h2_side *side)
{
    return loop_now_ms(side->conn->conn.loop);
}

/* The end of a connection */

static void end(struct http_conn *c, bool reset)
{
    if (reset)
        conn_reset(&c->conn);
    else
        conn_close(&c->conn);
    h2_done(&c->h2->h2);
}

/* The session is over; the peer may have more on the way, and should get our
 * last frame before a reset says that nobody reads it. */
static void linger(struct http_conn *c)
{
    if (c->conn.state == CONN_CLOSED || c->h2->linger)
        return;
    c->h2->linger = true;
    h2_done(&c->h2->h2);
    if (c->conn.state == CONN_CLOSED)
        return;
    conn_resume(&c->conn);
    conn_shutdown(&c->conn);
    http_conn_arm(c, c->server->limits.linger_ms);
    if (c->conn.eof && !conn_unsent(&c->conn))
        conn_close(&c->conn);
}

static void leave_last(struct http_conn *c)
{
    struct h2_side *side = c->h2;

    if (!side->left)
        h2_goaway(&side->h2, NGHTTP2_NO_ERROR);
    side->left = true;
    if (!side->h2.stream_count)
        linger(c);
}

/* A request that cannot be taken */

static void send_refusal(struct h2_request *q, unsigned status, struct str type,
                         struct str text, const struct header *field)
{
    struct http_stream *s = q->s;
    char number[24], digits[4];
    struct h2_head b;

    snprintf(digits, sizeof(digits), "%03u", status % 1000);
    snprintf(number, sizeof(number), "%zu", text.len);
    h2_head_begin(&b);
    h2_head_pseudo(&b, ":status", str_from(digits, 3));
    h2_head_add(&b, STR("Date"),
                str_from(loop_http_date(s->conn->conn.loop), 29));
    if (type.len)
        h2_head_add(&b, STR("Content-Type"), type);
    h2_head_add(&b, STR("Content-Length"), str_z(number));
    if (field->name.len)
        h2_head_add(&b, field->name, field->value);
    q->body = text.len > 0 && s->request.method != METHOD_HEAD;
    h2_send_head(&q->h2, &b, q->body);
    if (q->body)
        h2_body(&q->h2, text.p, text.len, true, STR_NULL);
}

static void refuse(struct h2_request *q, unsigned status, const char *what)
{
    struct http_stream *s = q->s;
    const struct http_handler *h = s->conn->server->handler;
    struct str text = STR_NULL, type = STR("application/json");
    struct header field = { .name = STR_NULL };

    log_debug("http", "%s: stream %d refused with %u: %s", s->conn->peer.text,
              q->h2.id, status, what);
    if (q->refused)
        return;
    q->refused = true;
    if (s->reply_started) {
        h2_reset(&q->h2,
                 s->reply_done ? NGHTTP2_NO_ERROR : NGHTTP2_INTERNAL_ERROR);
        return;
    }
    s->status = (uint16_t)status;
    if (h->on_refused)
        h->on_refused(s->conn, status, s->request.major ? &s->request : NULL,
                      q->live ? s : NULL, &text, &type, &field);
    s->reply_started = s->reply_done = true;
    send_refusal(q, status, type, text, &field);
}

/* What the session tells us */

static void look_soon(struct http_conn *c)
{
    uint64_t ms =
        c->server->limits.rate_ms ? c->server->limits.rate_ms : LOOK_MS;

    if (!timer_pending(&c->timer) ||
        c->timer.at_ms > loop_now_ms(c->conn.loop) + ms)
        http_conn_arm(c, ms);
}

static struct h2_stream *on_begin(struct h2 *h, int32_t id)
{
    struct h2_side *side = side_of(h);
    struct http_conn *c = side->conn;
    struct arena *a = arena_new();
    struct http_stream *s = http_stream_new(a, handler(side));
    struct h2_request *q = arena_alloc(a, sizeof(*q));

    h2_stream_init(h, &q->h2, id);
    q->s = s;
    q->mark_ms = now_ms(side);
    s->h2 = q;
    s->conn = c;
    s->arena = a;
    c->since_ms = q->mark_ms;
    look_soon(c);
    return &q->h2;
}

static void on_head(struct h2 *h, struct h2_stream *st, struct message *m,
                    unsigned status, bool end_of_it)
{
    struct h2_side *side = side_of(h);
    struct h2_request *q = of(st);
    struct http_stream *s = q->s;
    const struct http_limits *l = &side->conn->server->limits;

    (void)end_of_it;
    side->conn->served = true;
    s->start_us = loop_now_us(side->conn->conn.loop);
    h2_message_copy(h, s->arena, m, &s->request);
    if (status)
        refuse(q, status, "its header list");
    else if (m->target.len > l->target_size)
        refuse(q, 414, "the request target is too long");
    else if (l->body_size && m->body == BODY_LENGTH && m->length > l->body_size)
        refuse(q, 413, "the body is too large");
    else if (budget_tight())
        refuse(q, 503, "memory is short");
    if (q->refused)
        return;
    q->live = true;
    handler(side)->on_request(s);
}

static void on_data(struct h2 *h, struct h2_stream *st, char *p, size_t n,
                    bool last)
{
    struct h2_side *side = side_of(h);
    struct h2_request *q = of(st);
    struct http_stream *s = q->s;
    uint64_t max = side->conn->server->limits.body_size;

    (void)last; /* what comes next is told by on_end() */
    s->body_in += n;
    if (max && s->body_in > max && !q->refused)
        refuse(q, 413, "the body is too large");
    if (q->live && !q->refused && !s->reply_done)
        handler(side)->on_body(s, p, n);
    else if (s->body_in > q->in_mark + DISCARD_MAX)
        h2_reset(st, NGHTTP2_NO_ERROR); /* nobody wants it */
}

static void on_end(struct h2 *h, struct h2_stream *st, struct str trailers)
{
    struct h2_request *q = of(st);

    q->s->request_done = true;
    if (q->live && !q->refused)
        handler(side_of(h))->on_body_end(q->s, trailers);
}

static void on_body_drained(struct h2 *h, struct h2_stream *st)
{
    struct h2_request *q = of(st);

    if (q->live && !q->refused)
        handler(side_of(h))->on_drained(q->s);
}

static void on_stream_closed(struct h2 *h, struct h2_stream *st)
{
    struct h2_side *side = side_of(h);
    struct h2_request *q = of(st);
    struct http_stream *s = q->s;

    s->aborted = !s->reply_done || !st->ended || q->refused;
    if (s->aborted && s->reply_started && !q->refused)
        s->reply_cut = true;
    if (q->live)
        handler(side)->on_end(s);
    arena_free(s->arena);
    side->idle_since_ms = now_ms(side);
    side->conn->since_ms = side->idle_since_ms;
}

static void on_room(struct h2 *h)
{
    struct h2_side *side = side_of(h);

    if (h->failed || (side->left && !h->stream_count))
        linger(side->conn);
}

static const struct h2_ops h2_ops = {
    .on_begin = on_begin,
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_drained = on_body_drained,
    .on_closed = on_stream_closed,
    .on_room = on_room,
};

/* Replies */

static void respond(struct http_stream *s, const struct http_reply *r)
{
    struct h2_request *q = s->h2;
    char number[24], digits[4];
    struct h2_head b;

    must(!s->reply_started);
    s->reply_started = true;
    s->status = (uint16_t)r->status;
    snprintf(digits, sizeof(digits), "%03u", r->status % 1000);
    h2_head_begin(&b);
    h2_head_pseudo(&b, ":status", str_from(digits, 3));
    if (!r->from || !message_get(r->from, FIELD_DATE))
        h2_head_add(&b, STR("Date"),
                    str_from(loop_http_date(s->conn->conn.loop), 29));
    if (r->from)
        h2_head_fields(&b, r->from, r->skip | 1ull << FIELD_CONTENT_LENGTH);
    for (size_t i = 0; i < r->extras; i++)
        h2_head_add(&b, r->extra[i].name, r->extra[i].value);
    if (r->body == BODY_LENGTH && r->status != 204 && r->status >= 200) {
        int n = snprintf(number, sizeof(number), "%llu",
                         (unsigned long long)r->length);

        h2_head_add(&b, STR("Content-Length"), str_from(number, (size_t)n));
    }
    s->reply_bodyless = !http_has_body(s, r->status);
    s->reply_body = (uint8_t)r->body;
    s->reply_left = r->body == BODY_LENGTH ? r->length : 0;
    q->body = !s->reply_bodyless && r->body != BODY_NONE &&
              !(r->body == BODY_LENGTH && !r->length);
    h2_send_head(&q->h2, &b, q->body);
}

static void inform(struct http_stream *s, unsigned status,
                   const struct message *from, uint64_t skip)
{
    struct h2_head b;
    char digits[4];

    if (s->reply_started || status == 101)
        return;
    snprintf(digits, sizeof(digits), "%03u", status % 1000);
    h2_head_begin(&b);
    h2_head_pseudo(&b, ":status", str_from(digits, 3));
    if (from)
        h2_head_fields(&b, from, skip | 1ull << FIELD_CONTENT_LENGTH);
    if (status == 100)
        s->request.expect_continue = false; /* the body comes now */
    h2_send_inform(&s->h2->h2, &b);
}

static void count_body(struct http_stream *s, size_t n)
{
    s->body_out += n;
    if (s->reply_body == BODY_LENGTH) {
        must(n <= s->reply_left);
        s->reply_left -= n;
    }
}

static void body(struct http_stream *s, const void *p, size_t n)
{
    if (!s->h2->body || !n)
        return;
    count_body(s, n);
    h2_body(&s->h2->h2, p, n, false, STR_NULL);
}

static void finish(struct http_stream *s, const void *p, size_t n,
                   struct str trailers)
{
    s->reply_done = true;
    /* From here on bytes of the request are for nobody. */
    s->h2->in_mark = s->body_in;
    if (!s->h2->body)
        return;
    count_body(s, n);
    must(s->reply_body != BODY_LENGTH || s->reply_left == 0);
    if (trailers.len)
        trailers = arena_copy(s->arena, trailers);
    h2_body(&s->h2->h2, p, n, true, trailers);
}

/* Its head has gone into the compression's state already. */
static bool unsend(struct http_stream *s)
{
    (void)s;
    return false;
}

static void cut(struct http_stream *s, uint32_t code)
{
    s->reply_cut = true;
    h2_reset(&s->h2->h2, code ? code : NGHTTP2_INTERNAL_ERROR);
}

static void pause(struct http_stream *s)
{
    h2_pause(&s->h2->h2);
}

static void resume(struct http_stream *s)
{
    s->h2->mark_ms = loop_now_ms(s->conn->conn.loop);
    h2_resume(&s->h2->h2);
}

static size_t unsent(const struct http_stream *s)
{
    return h2_unsent(&s->h2->h2);
}

/* What the connection tells us */

static void on_bytes(struct conn *conn, char *p, size_t n)
{
    struct http_conn *c = http_conn_of(conn);
    enum err e;

    if (c->h2->linger)
        return;
    e = h2_receive(&c->h2->h2, p, n);
    if (e == ERR_PEER)
        log_debug("http", "%s: HTTP/2 ended: %s", c->peer.text, c->h2->h2.why);
    if (e)
        linger(c);
}

static void on_eof(struct conn *conn)
{
    struct http_conn *c = http_conn_of(conn);

    if (!c->h2->linger || !conn_unsent(conn))
        end(c, false);
}

static void on_error(struct conn *conn, enum err e, const char *why)
{
    struct http_conn *c = http_conn_of(conn);

    (void)e;
    log_debug("http", "%s: %s", c->peer.text, why);
    end(c, false);
}

static void on_drained(struct conn *conn)
{
    struct http_conn *c = http_conn_of(conn);

    if (!c->h2->linger) {
        h2_writable(&c->h2->h2);
        if (c->h2->h2.failed)
            linger(c);
    } else if (conn->eof) {
        conn_close(conn);
    } else {
        http_conn_arm(c, c->server->limits.linger_ms);
    }
}

static void on_hangup(struct conn *conn)
{
    end(http_conn_of(conn), false);
}

static void on_closed(struct conn *conn)
{
    struct http_conn *c = http_conn_of(conn);
    struct h2_side *side = c->h2;

    if (side->h2.reap.queued) { /* it comes first */
        loop_at_end(conn->loop, &conn->end);
        return;
    }
    must(!side->h2.session);
    budget_give(SESSION_BYTES);
    http_conn_free(c);
    x_free(side);
}

static const struct conn_ops ops = {
    .on_data = on_bytes,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drained = on_drained,
    .on_hangup = on_hangup,
    .on_closed = on_closed,
};

/* Time is up for something */

enum pace { PACE_GOOD, PACE_STALLED };

/* A reply that waits and is not taken, a body that does not come. */
static enum pace look_at_stream(struct h2_side *side, struct h2_request *q)
{
    const struct http_limits *l = &side->conn->server->limits;
    struct http_stream *s = q->s;
    uint64_t least = l->rate * l->rate_ms / 1000, now = now_ms(side);
    uint64_t in = s->body_in - q->in_mark, out = q->h2.moved - q->out_mark;

    if (!l->rate_ms || now < q->mark_ms + l->rate_ms)
        return PACE_GOOD;
    q->mark_ms = now;
    q->out_mark = q->h2.moved;
    if (h2_unsent(&q->h2) && out < least)
        return PACE_STALLED;
    if (s->reply_done && !s->request_done && q->h2.ended) {
        h2_reset(&q->h2, NGHTTP2_NO_ERROR);
        return PACE_GOOD;
    }
    q->in_mark = s->body_in;
    if (q->live && !s->request_done && !q->h2.paused && !s->open_ended &&
        !q->refused && in < least)
        refuse(q, 408, "the body came too slowly");
    return PACE_GOOD;
}

/* False: the connection has ended. */
static bool look_at_streams(struct http_conn *c)
{
    struct h2_side *side = c->h2;
    struct h2_stream *s, *next;
    uint32_t stalled = 0;

    for (s = side->h2.streams; s; s = next) {
        next = s->next; /* they die only into the list of the dead */
        if (look_at_stream(side, of(s)) == PACE_GOOD)
            continue;
        stalled++;
        h2_reset(s, NGHTTP2_CANCEL);
    }
    if (stalled)
        log_debug("http", "%s: %u replies were not taken", c->peer.text,
                  stalled);
    /* Who takes none of many will not take others. */
    if (stalled && !side->h2.stream_count) {
        h2_goaway(&side->h2, NGHTTP2_ENHANCE_YOUR_CALM);
        linger(c);
        return false;
    }
    return true;
}

static bool reads_too_slowly(struct http_conn *c)
{
    const struct http_limits *l = &c->server->limits;
    uint64_t moved = c->conn.out_bytes - c->h2->out_mark;

    c->h2->out_mark = c->conn.out_bytes;
    return c->conn.waiting && l->rate_ms && moved < l->rate * l->rate_ms / 1000;
}

static void look_again(struct http_conn *c)
{
    const struct http_limits *l = &c->server->limits;
    struct h2_side *side = c->h2;
    uint64_t ms = l->rate_ms ? l->rate_ms : LOOK_MS, idle = l->idle_ms;
    uint64_t now = now_ms(side);

    if (!c->served && l->head_ms)
        idle = l->head_ms;
    /* Without requests the next look is when it has been idle too long. */
    if (!side->h2.stream_count && now >= side->idle_since_ms + ms && idle)
        ms = side->idle_since_ms + idle - now;
    if (side->leave_ms && !side->left && side->leave_ms < now + ms)
        ms = side->leave_ms > now ? side->leave_ms - now : 1;
    http_conn_arm(c, ms ? ms : 1);
}

static bool idle_too_long(const struct http_conn *c)
{
    const struct http_limits *l = &c->server->limits;
    uint64_t idle = c->served || !l->head_ms ? l->idle_ms : l->head_ms;

    return !c->h2->h2.stream_count && idle &&
           now_ms(c->h2) >= c->h2->idle_since_ms + idle;
}

static void on_timer(struct timer *t)
{
    struct http_conn *c = http_conn_of_timer(t);
    const struct http_limits *l = &c->server->limits;
    struct h2_side *side = c->h2;
    uint64_t now = loop_now_ms(c->conn.loop);

    if (c->conn.state == CONN_CLOSED)
        return;
    if (side->linger) {
        if (reads_too_slowly(c) || !c->conn.waiting)
            conn_close(&c->conn);
        else
            http_conn_arm(c, l->rate_ms);
        return;
    }
    if (reads_too_slowly(c)) {
        log_debug("http", "%s: reads too slowly", c->peer.text);
        end(c, true);
        return;
    }
    if (side->h2.begun_ms && l->head_ms &&
        now > side->h2.begun_ms + l->head_ms) {
        h2_goaway(&side->h2, NGHTTP2_ENHANCE_YOUR_CALM);
        linger(c);
        return;
    }
    if (side->leave_ms && now >= side->leave_ms) {
        leave_last(c);
        if (side->linger)
            return;
    }
    if (idle_too_long(c)) {
        leave_last(c);
        return;
    }
    if (!look_at_streams(c))
        return;
    if (side->h2.stream_count && !h2_alive(&side->h2, QUIET_MS, ANSWER_MS)) {
        log_debug("http", "%s: no answer to a ping", c->peer.text);
        end(c, true);
        return;
    }
    look_again(c);
}

/* For server.c */

static void drain(struct http_conn *c)
{
    struct h2_side *side = c->h2;

    if (side->leave_ms || side->linger)
        return;
    side->leave_ms = now_ms(side) + GOAWAY_MS;
    h2_goaway_soon(&side->h2);
    http_conn_arm(c, GOAWAY_MS);
}

static void goodbye(struct http_conn *c)
{
    struct h2_side *side = c->h2;
    struct h2_stream *s, *next;

    for (s = side->h2.streams; s; s = next) {
        struct h2_request *q = of(s);

        next = s->next;
        if (q->live && !q->refused && handler(side)->on_goodbye)
            handler(side)->on_goodbye(q->s);
    }
}

static int shed_rank(const struct http_conn *c)
{
    const struct h2_side *side = c->h2;
    uint64_t age = loop_now_ms(c->conn.loop) - c->since_ms;

    if (side->linger || !side->h2.stream_count)
        return age >= c->all->shed_idle_ms ? 2 : 0;
    for (struct h2_stream *s = side->h2.streams; s; s = s->next)
        if (s->peer_ended || s->paused)
            return 0;
    return age >= c->all->shed_body_ms ? 1 : 0;
}

const struct http_protocol http_protocol_2 = {
    .respond = respond,
    .inform = inform,
    .body = body,
    .finish = finish,
    .unsend = unsend,
    .cut = cut,
    .pause = pause,
    .resume = resume,
    .unsent = unsent,
    .drain = drain,
    .goodbye = goodbye,
    .shed_rank = shed_rank,
    .end = end,
};

void h2_begin(struct http_conn *c, char *p, size_t n)
{
    const struct http_limits *l = &c->server->limits;
    struct h2_limits limits = {
        .streams = (uint32_t)l->streams,
        .window = (uint32_t)l->window,
        .head_size = (uint32_t)l->head_size,
        .head_fields = (uint32_t)l->headers,
    };
    struct h2_side *side = x_new(sizeof(*side));

    budget_take(SESSION_BYTES);
    side->conn = c;
    c->h2 = side;
    c->protocol = &http_protocol_2;
    c->conn.ops = &ops;
    c->timer.fire = on_timer;
    side->idle_since_ms = c->since_ms = loop_now_ms(c->conn.loop);
    h2_init(&side->h2, &c->conn, true, &limits, &h2_ops);
    look_again(c);
    if (c->all->draining)
        drain(c);
    if (n && c->conn.state != CONN_CLOSED)
        on_bytes(&c->conn, p, n);
}
