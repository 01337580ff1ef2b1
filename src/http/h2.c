/* h2.c - a session of HTTP/2: nghttp2 between a connection and streams.
 *
 * nghttp2 must not be asked to send from inside its own callbacks, and while
 * it sends it must not be asked again. So there is one way to send, pump(),
 * which inside a callback only notes that it is wanted. A head goes out in
 * the same breath as it is submitted, and so needs no copy of its pieces,
 * unless it was submitted inside a callback: then nghttp2 copies them.
 *
 * Streams that are over are put aside and told about at the end of the turn.
 * So nothing that calls in here loses its stream under its feet.
 */
#include "http/h2.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/budget.h"
#include "base/log.h"

enum {
    ALLOWANCE = 800,        /* frames for nothing, at once */
    REFILL_PER_S = 100,     /* and by the time */
    UNREAD_MAX = 256 << 10, /* output before the peer is not read any more */
    CONGESTED = 64 << 10,   /* output before bodies wait */
    CONNECTION_WINDOW_MIN = 1 << 20,
    ACKS_MAX = 1000,
    CONTINUATIONS_MAX = 32,
    SETTINGS_MAX = 64,
    HEAD_OUT_MAX = 1 << 20,
    RESET_IDS = sizeof(((struct h2 *)0)->reset_ids) / sizeof(int32_t),
};

static nghttp2_session_callbacks *callbacks;
static nghttp2_option *server_option, *client_option;

static struct h2 *of(void *user)
{
    return user;
}

static struct h2_stream *stream_of(struct h2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->session, id);
}

/* Failing */

static void fail(struct h2 *h, const char *why)
{
    if (!h->failed)
        h->why = why;
    h->failed = h->room = true;
    loop_at_end(h->conn->loop, &h->reap);
}

static void refill(struct h2 *h, int32_t frames)
{
    h->allowance += frames;
    if (h->allowance > ALLOWANCE)
        h->allowance = ALLOWANCE;
}

bool h2_spend(struct h2 *h, int32_t frames)
{
    uint64_t now = loop_now_ms(h->conn->loop), ms = now - h->refilled_ms;

    if (ms >= 1000 / REFILL_PER_S) {
        refill(h, ms > 60000 ? ALLOWANCE : (int32_t)(ms * REFILL_PER_S / 1000));
        h->refilled_ms = now;
    }
    h->allowance -= frames;
    if (h->allowance >= 0)
        return true;
    if (!h->failed) {
        fail(h, "too much work for nothing");
        nghttp2_session_terminate_session(h->session,
                                          NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return false;
}

/* Kept bytes of a body */

static void out_free(struct h2_stream *s)
{
    if (!s->out)
        return;
    budget_give(s->out_cap);
    x_free(s->out);
    s->out = NULL;
    s->out_at = s->out_len = s->out_cap = 0;
}

static void keep(struct h2_stream *s, const char *p, size_t n)
{
    size_t have = h2_unsent(s), cap = s->out_cap ? s->out_cap : 4096;

    if (!n)
        return;
    if (s->out_len + n > s->out_cap) {
        if (s->out_at) {
            memmove(s->out, s->out + s->out_at, have);
            s->out_at = 0;
            s->out_len = (uint32_t)have;
        }
        while (cap < have + n)
            cap *= 2;
        if (cap > s->out_cap) {
            must(cap <= 1u << 30);
            s->out = x_resize(s->out, cap);
            budget_take(cap - s->out_cap);
            s->out_cap = (uint32_t)cap;
        }
    }
    memcpy(s->out + s->out_len, p, n);
    s->out_len += (uint32_t)n;
    s->want_drained = true;
}

/* Streams */

void h2_stream_init(struct h2 *h, struct h2_stream *s, int32_t id)
{
    *s = (struct h2_stream) { .h2 = h, .id = id };
    s->next = h->streams;
    if (s->next)
        s->next->prev = &s->next;
    s->prev = &h->streams;
    h->streams = s;
    h->stream_count++;
}

static void unlink_stream(struct h2_stream *s)
{
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->prev = NULL;
}

/* It is over; who owns it hears of it at the end of the turn. */
static void bury(struct h2 *h, struct h2_stream *s, uint32_t error)
{
    unlink_stream(s);
    h->stream_count--;
    s->dead = true;
    s->error = error;
    s->next = h->closed;
    h->closed = s;
    h->room = true;
    loop_at_end(h->conn->loop, &h->reap);
}

static void tell_closed(struct h2 *h)
{
    struct h2_stream *s, *list = NULL;

    while ((s = h->closed)) { /* first come, first told */
        h->closed = s->next;
        s->next = list;
        list = s;
    }
    while ((s = list)) {
        list = s->next;
        out_free(s);
        h->ops->on_closed(h, s);
    }
}

static void tell_drained(struct h2 *h)
{
    struct h2_stream *s, *next;

    h->drained = false;
    for (s = h->streams; s; s = next) {
        next = s->next; /* streams die only into h->closed */
        if (!s->want_drained || h2_unsent(s) || s->dead)
            continue;
        s->want_drained = false;
        h->ops->on_drained(h, s);
    }
}

static void reap(struct task *t)
{
    struct h2 *h = (struct h2 *)((char *)t - offsetof(struct h2, reap));

    if (!h->session)
        return;
    if (h->closed)
        tell_closed(h);
    if (h->session && h->drained)
        tell_drained(h);
    if (h->session && h->room) {
        h->room = false;
        if (h->ops->on_room)
            h->ops->on_room(h);
    }
}

/* Sending */

static bool congested(const struct h2 *h)
{
    return h->conn->waiting && conn_unsent(h->conn) > CONGESTED;
}

static void pump(struct h2 *h)
{
    if (h->receiving || h->pumping) {
        h->again = true;
        return;
    }
    h->pumping = true;
    do {
        int e;

        h->again = false;
        e = nghttp2_session_send(h->session);
        if (e)
            fail(h, nghttp2_strerror(e));
    } while (h->again && !h->failed);
    h->pumping = false;
    if (h->drained)
        loop_at_end(h->conn->loop, &h->reap);
}

/* Whether what is submitted now goes out before this call returns. */
static bool immediate(const struct h2 *h)
{
    return !h->receiving && !h->pumping && !h->failed;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t n,
                       int flags, void *user)
{
    struct h2 *h = of(user);

    (void)session;
    (void)flags;
    conn_write(h->conn, p, n);
    return (ssize_t)n;
}

static void submit_trailers(struct h2_stream *s)
{
    struct str lines = s->trailers;
    struct h2_head b;

    h2_head_begin(&b);
    while (lines.len) {
        size_t end = str_find(lines, '\n') + 1; /* behind its CRLF */
        struct str line = str_head(lines, end - 2);
        struct str name = str_cut(&line, ':');

        h2_head_add(&b, name, str_trim(line));
        lines = str_skip(lines, end);
    }
    if (nghttp2_submit_trailer(s->h2->session, s->id, b.nv, b.count))
        nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id,
                                  NGHTTP2_INTERNAL_ERROR);
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf,
                       size_t max, uint32_t *flags, nghttp2_data_source *source,
                       void *user)
{
    struct h2 *h = of(user);
    struct h2_stream *s = stream_of(h, id);
    size_t n;

    (void)session;
    (void)buf;
    (void)source;
    if (!s || s->dead)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    n = h2_unsent(s) + s->now_len;
    if ((!n && !s->ending) || (n && congested(h))) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n > max) {
        n = max;
    } else if (s->ending) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailers.len) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(s);
        }
    }
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame,
                        const uint8_t *head, size_t n,
                        nghttp2_data_source *source, void *user)
{
    struct h2 *h = of(user);
    struct h2_stream *s = stream_of(h, frame->hd.stream_id);
    size_t kept, part;

    (void)session;
    (void)source;
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    kept = h2_unsent(s);
    part = n < kept ? n : kept;
    conn_write(h->conn, head, 9);
    if (part) {
        conn_write(h->conn, s->out + s->out_at, part);
        s->out_at += (uint32_t)part;
        if (s->out_at == s->out_len) {
            out_free(s);
            h->drained = true;
        }
    }
    if (n > part) {
        conn_write(h->conn, s->now, n - part);
        s->now += n - part;
        s->now_len -= n - part;
    }
    s->moved += n;
    if (conn_unsent(h->conn) > CONGESTED && !h->conn->waiting)
        conn_flush(h->conn);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame,
                         void *user)
{
    struct h2 *h = of(user);
    struct h2_stream *s;

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        s = stream_of(h, frame->hd.stream_id);
        if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
            s->ended = true;
        break;
    case NGHTTP2_RST_STREAM:
        h->reset_ids[h->resets++ % RESET_IDS] = frame->hd.stream_id;
        /* Made to reset by what the peer did, not by what we wanted. */
        if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
            frame->rst_stream.error_code != NGHTTP2_CANCEL)
            h2_spend(h, 1);
        break;
    case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
            fail(h, nghttp2_http2_strerror(frame->goaway.error_code));
        break;
    default:
        break;
    }
    return 0;
}

static uint8_t copy_flags(const struct h2 *h)
{
    return immediate(h)
               ? NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE
               : NGHTTP2_NV_FLAG_NONE;
}

static void set_flags(const struct h2 *h, const struct h2_head *b)
{
    uint8_t flags = copy_flags(h);

    for (uint32_t i = 0; flags && i < b->count; i++)
        b->nv[i].flags |= flags;
}

static const nghttp2_data_provider body_provider = { .read_callback = on_read };

void h2_send_head(struct h2_stream *s, const struct h2_head *b, bool body)
{
    struct h2 *h = s->h2;

    if (s->dead || h->failed)
        return;
    set_flags(h, b);
    s->head_sent = true;
    if (nghttp2_submit_response(h->session, s->id, b->nv, b->count,
                                body ? &body_provider : NULL))
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id,
                                  NGHTTP2_INTERNAL_ERROR);
    pump(h);
}

void h2_send_inform(struct h2_stream *s, const struct h2_head *b)
{
    struct h2 *h = s->h2;

    if (s->dead || h->failed || s->head_sent)
        return;
    set_flags(h, b);
    (void)nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, s->id, NULL,
                                 b->nv, b->count, NULL);
    pump(h);
}

bool h2_send_request(struct h2_stream *s, const struct h2_head *b, bool body)
{
    struct h2 *h = s->h2;
    int32_t id;

    if (h->failed || h->goaway_seen)
        return false;
    set_flags(h, b);
    id = nghttp2_submit_request(h->session, NULL, b->nv, b->count,
                                body ? &body_provider : NULL, s);
    if (id < 0)
        return false;
    s->id = id;
    s->head_sent = true;
    pump(h);
    return true;
}

uint32_t h2_room(const struct h2 *h)
{
    uint32_t max;

    if (h->failed || h->goaway_seen ||
        !nghttp2_session_check_request_allowed(h->session))
        return 0;
    max = nghttp2_session_get_remote_settings(
        h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return max > h->stream_count ? max - h->stream_count : 0;
}

static void wake(struct h2_stream *s)
{
    if (!s->deferred)
        return;
    s->deferred = false;
    (void)nghttp2_session_resume_data(s->h2->session, s->id);
}

void h2_body(struct h2_stream *s, const void *p, size_t n, bool end,
             struct str trailers)
{
    struct h2 *h = s->h2;

    if (s->dead || h->failed || s->ending)
        return;
    if (end) {
        s->ending = true;
        s->trailers = trailers;
    }
    if (!immediate(h) || h2_unsent(s)) {
        keep(s, p, n);
    } else {
        s->now = p;
        s->now_len = n;
    }
    wake(s);
    pump(h);
    if (!s->now)
        return;
    keep(s, s->now, s->now_len);
    s->now = NULL;
    s->now_len = 0;
}

void h2_pause(struct h2_stream *s)
{
    s->paused = true;
}

void h2_resume(struct h2_stream *s)
{
    struct h2 *h = s->h2;

    s->paused = false;
    if (!s->owed || s->dead || h->failed)
        return;
    (void)nghttp2_session_consume_stream(h->session, s->id, s->owed);
    s->owed = 0;
    pump(h);
}

void h2_reset(struct h2_stream *s, uint32_t code)
{
    struct h2 *h = s->h2;

    if (s->dead || h->failed)
        return;
    out_free(s);
    s->ending = true;
    (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code);
    pump(h);
}

void h2_forget(struct h2 *h, struct h2_stream *s)
{
    must(!s->id);
    if (!s->dead)
        bury(h, s, NGHTTP2_REFUSED_STREAM);
}

/* Receiving */

static int on_begin_headers(nghttp2_session *session,
                            const nghttp2_frame *frame, void *user)
{
    struct h2 *h = of(user);
    int32_t id = frame->hd.stream_id;

    h2_fields_begin(&h->fields);
    h->begun_ms = loop_now_ms(h->conn->loop);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        struct h2_stream *s = h->ops->on_begin(h, id);

        if (!s)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        nghttp2_session_set_stream_user_data(session, id, s);
    }
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *user)
{
    struct h2 *h = of(user);

    (void)frame;
    (void)flags;
    if (h2_fields_add(&h->fields, &h->limits,
                      str_from((const char *)name, name_len),
                      str_from((const char *)value, value_len)) == ERR_OK)
        return 0;
    if (!h->failed) {
        fail(h, "a header list far above the limit");
        nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void headers_whole(struct h2 *h, const nghttp2_frame *frame)
{
    struct h2_stream *s = stream_of(h, frame->hd.stream_id);
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct str lines = STR_NULL;
    struct message m;

    h->begun_ms = 0;
    if (!s || s->dead)
        return;
    s->peer_ended |= end;
    if (s->head_seen) {
        lines = h2_fields_lines(&h->fields);
    } else {
        h2_fields_message(&h->fields, h->server, end, &m);
        s->head_seen = h->server || m.status >= 200 || h->fields.refuse;
        h->ops->on_head(h, s, &m, h->fields.refuse, end);
    }
    if (end && !s->dead)
        h->ops->on_end(h, s, lines);
}

static void data_whole(struct h2 *h, const nghttp2_frame *frame)
{
    struct h2_stream *s = stream_of(h, frame->hd.stream_id);
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    if (frame->hd.length > frame->data.padlen)
        refill(h, 1);
    else if (!end)
        h2_spend(h, 1);
    if (!end || !s || s->dead)
        return;
    s->peer_ended = true;
    h->ops->on_end(h, s, STR_NULL);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame,
                    void *user)
{
    struct h2 *h = of(user);

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        headers_whole(h, frame);
        h2_fields_end(&h->fields);
        break;
    case NGHTTP2_DATA:
        data_whole(h, frame);
        break;
    case NGHTTP2_RST_STREAM:
    case NGHTTP2_PRIORITY:
        h2_spend(h, 1);
        break;
    case NGHTTP2_PING:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            h2_spend(h, 1);
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            h2_spend(h, 1);
        h->settings_seen |= !(frame->hd.flags & NGHTTP2_FLAG_ACK);
        h->room = true;
        loop_at_end(h->conn->loop, &h->reap);
        break;
    case NGHTTP2_GOAWAY:
        h->goaway_seen = h->room = true;
        loop_at_end(h->conn->loop, &h->reap);
        break;
    default:
        break;
    }
    return h->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* nghttp2 knows the last streams that were closed and passes over heads for
 * any other of the past, also for one that never was. RFC 9113 section 5.1.1
 * allows that only where we ended it, and trailers were under way. */
static bool is_past(struct h2 *h, int32_t id)
{
    if (id > h->last_id || !(id & 1) ||
        nghttp2_session_find_stream(h->session, id))
        return false;
    for (uint32_t i = 0; i < RESET_IDS; i++)
        if (h->reset_ids[i] == id)
            return false;
    return true;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd,
                          void *user)
{
    struct h2 *h = of(user);

    if (hd->type == NGHTTP2_DATA)
        h->data_left = (uint32_t)hd->length;
    if (!h->server)
        return 0;
    if (hd->type == NGHTTP2_HEADERS && hd->stream_id > h->last_id)
        h->last_id = hd->stream_id;
    else if (hd->type == NGHTTP2_HEADERS && is_past(h, hd->stream_id))
        nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id,
                         const uint8_t *p, size_t n, void *user)
{
    struct h2 *h = of(user);
    struct h2_stream *s = stream_of(h, id);
    bool last;

    /* With padding more comes behind the data: then the end is told apart. */
    h->data_left -= (uint32_t)n;
    last = flags & NGHTTP2_FLAG_END_STREAM && !h->data_left;
    (void)nghttp2_session_consume_connection(session, n);
    if (!s || s->dead)
        return 0;
    h->ops->on_data(h, s, (char *)(uintptr_t)p, n, last);
    if (s->paused)
        s->owed += n;
    else
        (void)nghttp2_session_consume_stream(session, id, n);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error,
                           void *user)
{
    struct h2 *h = of(user);
    struct h2_stream *s = stream_of(h, id);

    if (!s)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    if (s->ended && s->peer_ended)
        refill(h, 2);
    if (!s->dead)
        bury(h, s, error);
    return 0;
}

static int on_not_send(nghttp2_session *session, const nghttp2_frame *frame,
                       int error, void *user)
{
    (void)session;
    (void)user;
    log_debug("http2", "stream %d: frame type %u was not sent: %s",
              frame->hd.stream_id, frame->hd.type, nghttp2_strerror(error));
    return 0;
}

static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame,
                      int error, void *user)
{
    struct h2 *h = of(user);

    (void)session;
    log_debug("http2", "stream %d: a bad frame of type %u: %s",
              frame->hd.stream_id, frame->hd.type, nghttp2_strerror(error));
    h2_spend(h, 1);
    return h->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Bodies may use all of what the peer says it takes in one frame. */
static ssize_t read_length(nghttp2_session *session, uint8_t type, int32_t id,
                           int32_t session_window, int32_t stream_window,
                           uint32_t max_frame, void *user)
{
    int32_t n = session_window < stream_window ? session_window : stream_window;

    (void)session;
    (void)type;
    (void)id;
    (void)user;
    return n < (int32_t)max_frame ? n : (ssize_t)max_frame;
}

enum err h2_receive(struct h2 *h, char *p, size_t n)
{
    ssize_t took;

    if (h->failed)
        return ERR_PEER;
    h->heard_ms = loop_now_ms(h->conn->loop);
    h->pinged_ms = 0;
    h->receiving = true;
    took = nghttp2_session_mem_recv(h->session, (const uint8_t *)p, n);
    h->receiving = false;
    if (took < 0 && !h->failed) {
        h->why = nghttp2_strerror((int)took);
        nghttp2_session_terminate_session(h->session,
                                          took == NGHTTP2_ERR_BAD_CLIENT_MAGIC
                                              ? NGHTTP2_PROTOCOL_ERROR
                                              : NGHTTP2_ENHANCE_YOUR_CALM);
    }
    pump(h);
    if (took < 0 || h->failed) {
        fail(h, "protocol error");
        return ERR_PEER;
    }
    if (!nghttp2_session_want_read(h->session) &&
        !nghttp2_session_want_write(h->session))
        return ERR_NOT_FOUND;
    if (h->conn->waiting && conn_unsent(h->conn) > UNREAD_MAX && !h->unread) {
        h->unread = true;
        conn_pause(h->conn);
    }
    return ERR_OK;
}

void h2_writable(struct h2 *h)
{
    if (h->failed)
        return;
    for (struct h2_stream *s = h->streams; s; s = s->next)
        if (h2_unsent(s) || s->ending)
            wake(s);
    pump(h);
    if (h->unread && conn_unsent(h->conn) <= UNREAD_MAX) {
        h->unread = false;
        conn_resume(h->conn);
    }
}

/* Is anybody there? */

bool h2_alive(struct h2 *h, uint64_t quiet_ms, uint64_t answer_ms)
{
    uint64_t now = loop_now_ms(h->conn->loop);

    if (h->failed)
        return true;
    if (h->pinged_ms)
        return now - h->pinged_ms < answer_ms;
    if (now - h->heard_ms < quiet_ms)
        return true;
    h->pinged_ms = now;
    (void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
    pump(h);
    return true;
}

void h2_goaway_soon(struct h2 *h)
{
    if (h->failed)
        return;
    (void)nghttp2_submit_shutdown_notice(h->session);
    pump(h);
}

void h2_goaway(struct h2 *h, uint32_t code)
{
    if (h->failed)
        return;
    (void)nghttp2_submit_goaway(
        h->session, NGHTTP2_FLAG_NONE,
        nghttp2_session_get_last_proc_stream_id(h->session), code, NULL, 0);
    pump(h);
}

/* Life */

static nghttp2_option *make_option(void)
{
    nghttp2_option *o;

    must(nghttp2_option_new(&o) == 0);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_max_outbound_ack(o, ACKS_MAX);
    nghttp2_option_set_max_settings(o, SETTINGS_MAX);
    nghttp2_option_set_max_continuations(o, CONTINUATIONS_MAX);
    nghttp2_option_set_max_send_header_block_length(o, HEAD_OUT_MAX);
    /* Resets are counted by h2_spend(), with all else. */
    nghttp2_option_set_stream_reset_rate_limit(o, 1000000, 1000000);
    return o;
}

static void make_shared(void)
{
    nghttp2_session_callbacks *c;

    must(nghttp2_session_callbacks_new(&c) == 0);
    nghttp2_session_callbacks_set_send_callback(c, on_send);
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_send);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c,
                                                            on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c,
                                                                   read_length);
    callbacks = c;
    server_option = make_option();
    client_option = make_option();
    /* Until its SETTINGS say more. */
    nghttp2_option_set_peer_max_concurrent_streams(client_option, 100);
}

static void submit_settings(struct h2 *h)
{
    const struct h2_limits *l = &h->limits;
    nghttp2_settings_entry server[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->window },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, l->head_size },
    };
    nghttp2_settings_entry client[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->window },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, l->head_size },
    };
    uint32_t all = 4 * l->window;

    if (h->server)
        must(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, server,
                                     3) == 0);
    else
        must(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, client,
                                     3) == 0);
    if (all < CONNECTION_WINDOW_MIN)
        all = CONNECTION_WINDOW_MIN;
    must(nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                               (int32_t)all) == 0);
}

void h2_init(struct h2 *h, struct conn *c, bool server,
             const struct h2_limits *limits, const struct h2_ops *ops)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    must(pthread_once(&once, make_shared) == 0);
    memset(h, 0, sizeof(*h));
    h->conn = c;
    h->ops = ops;
    h->limits = *limits;
    h->server = server;
    h->allowance = ALLOWANCE;
    h->refilled_ms = h->heard_ms = loop_now_ms(c->loop);
    h->reap.run = reap;
    if (server)
        must(nghttp2_session_server_new2(&h->session, callbacks, h,
                                         server_option) == 0);
    else
        must(nghttp2_session_client_new2(&h->session, callbacks, h,
                                         client_option) == 0);
    submit_settings(h);
    pump(h);
}

void h2_done(struct h2 *h)
{
    struct h2_stream *s;

    must(!h->receiving && !h->pumping);
    if (!h->session)
        return;
    h->failed = true;
    while ((s = h->streams)) {
        if (s->id)
            nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
        bury(h, s, NGHTTP2_CONNECT_ERROR);
    }
    tell_closed(h);
    nghttp2_session_del(h->session);
    h->session = NULL;
    h2_fields_end(&h->fields);
}
