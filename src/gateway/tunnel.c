/* tunnel.c - see tunnel.h. */
#include "gateway/tunnel.h"

#include "base/log.h"
#include "gateway/proxy.h"
#include "gateway/worker.h"
#include "http/websocket.h"

enum { GOODBYE_MS = 5000 }; /* for the answer to a Close, or to an end */

struct tunnel {
    struct ws_track up, down;
    uint64_t moved_ms; /* when bytes last came, from either side */
    uint64_t until_ms; /* when it must be over; 0: no such time */
    uint64_t idle_ms;
    const char *reason;
    uint16_t code;
    bool closing;
    bool told_up, told_down; /* our Close was sent there: nothing after it */
};

static uint64_t now_ms(const struct exchange *x)
{
    return loop_now_ms(x->worker->loop);
}

/* The end: what is gathered still goes out. */
static void over(struct exchange *x)
{
    http_call_cancel(&x->call);
    proxy_end_try(x);
    x->state = X_OVER;
    http_finish(&x->s, NULL, 0, STR_NULL); /* x may be gone */
}

static void arm(struct exchange *x)
{
    struct tunnel *t = x->tunnel;
    uint64_t at = t->idle_ms ? t->moved_ms + t->idle_ms : 0;

    if (t->closing || !at || (t->until_ms && t->until_ms < at))
        at = t->until_ms;
    if (at)
        timer_set(x->worker->loop, &x->timer, at);
}

static void must_be_over_soon(struct exchange *x)
{
    x->tunnel->closing = true;
    x->tunnel->until_ms = now_ms(x) + GOODBYE_MS;
    arm(x);
}

static struct str extensions_of(const struct message *m)
{
    const struct header *h = message_find(m, STR("Sec-WebSocket-Extensions"));

    return h ? h->value : STR_NULL;
}

static struct str key_of(const struct message *m)
{
    const struct header *h = message_find(m, STR("Sec-WebSocket-Key"));

    return h ? h->value : STR_NULL;
}

bool tunnel_begin(struct exchange *x, const struct message *reply,
                  const struct http_reply *r)
{
    const struct gateway_conf *conf = &x->worker->snapshot->settings->gateway;
    bool extensions = extensions_of(reply).len > 0;
    struct tunnel *t;

    if (!websocket_good_reply(reply, key_of(&x->s.request)))
        return false;
    t = x->tunnel = arena_alloc(x->s.arena, sizeof(*t));
    ws_track_init(&t->up, true, extensions);
    ws_track_init(&t->down, false, extensions);
    t->moved_ms = now_ms(x);
    t->idle_ms = conf->timeouts.tunnel_idle_ms;
    if (conf->timeouts.tunnel_ms)
        t->until_ms = t->moved_ms + conf->timeouts.tunnel_ms;
    x->state = X_TUNNEL;
    x->s.open_ended = true;
    metrics_add(&x->worker->metrics->tunnels, 1);
    arm(x);
    http_respond(&x->s, r);
    return true;
}

/* Sending, with back-pressure on who sends too much */

static void to_backend(struct exchange *x, const char *p, size_t n)
{
    if (!n)
        return;
    http_call_body(&x->call, p, n, false, STR_NULL);
    proxy_slow_client(x);
}

static void to_client(struct exchange *x, const char *p, size_t n)
{
    if (!n)
        return;
    http_body(&x->s, p, n);
    proxy_slow_backend(x);
}

/* Our own goodbyes */

static void tell_down(struct exchange *x)
{
    struct tunnel *t = x->tunnel;
    char frame[WS_CLOSE_MAX];
    size_t n;

    if (t->told_down)
        return;
    t->told_down = true;
    if (t->down.closed)
        return; /* the backend's own Close has gone there */
    n = ws_close_frame(frame, t->code, str_z(t->reason), NULL);
    to_client(x, frame, n);
}

static void tell_up(struct exchange *x)
{
    struct tunnel *t = x->tunnel;
    char frame[WS_CLOSE_MAX];
    uint64_t random = rng_next(&x->worker->rng);
    uint8_t mask[4];
    size_t n;

    if (t->told_up)
        return;
    t->told_up = true;
    if (t->up.closed)
        return;
    memcpy(mask, &random, 4);
    n = ws_close_frame(frame, t->code, str_z(t->reason), mask);
    to_backend(x, frame, n);
}

/* Both have had a Close, and have said theirs. */
static bool all_said(const struct tunnel *t)
{
    return t->told_up && t->told_down && t->up.closed && t->down.closed;
}

void tunnel_close(struct exchange *x, uint16_t code, const char *reason)
{
    struct tunnel *t = x->tunnel;

    if (t->closing)
        return;
    t->code = code;
    t->reason = reason;
    must_be_over_soon(x);
    if (ws_track_between(&t->down))
        tell_down(x);
    if (ws_track_between(&t->up))
        tell_up(x);
}

/* Bytes that come. The part up to the last frame boundary, when that is where
 * our Close goes; the whole otherwise. */

static void broke(struct exchange *x, const struct ws_track *t, uint16_t down)
{
    log_call(LOG_DEBUG, "tunnel", x->activityid, "%s", t->why);
    x->tunnel->code = down;
    x->tunnel->reason = t->why;
    must_be_over_soon(x);
}

void tunnel_up(struct exchange *x, const char *p, size_t n)
{
    struct tunnel *t = x->tunnel;
    size_t boundary;
    bool bad;

    if (t->up.closed || t->up.why)
        return; /* nothing counts after a Close */
    t->moved_ms = now_ms(x);
    bad = ws_track_follow(&t->up, p, n, &boundary) != ERR_OK;
    if (!t->told_up)
        to_backend(x, p, bad || t->closing || t->up.closed ? boundary : n);
    if (bad) {
        broke(x, &t->up, WS_PROTOCOL_ERROR);
        if (ws_track_between(&t->down))
            tell_down(x);
    }
    if (t->closing && (bad || boundary))
        tell_up(x);
    if (t->up.closed && !t->closing)
        must_be_over_soon(x); /* the answer is due */
    if (all_said(t))
        over(x);
}

void tunnel_down(struct exchange *x, const char *p, size_t n, bool end)
{
    struct tunnel *t = x->tunnel;
    size_t boundary = 0;
    bool bad = false;

    if (n && !t->down.closed && !t->down.why) {
        t->moved_ms = now_ms(x);
        bad = ws_track_follow(&t->down, p, n, &boundary) != ERR_OK;
        if (!t->told_down)
            to_client(x, p, bad || t->closing || t->down.closed ? boundary : n);
        if (bad) {
            broke(x, &t->down, WS_INTERNAL);
            if (ws_track_between(&t->up))
                tell_up(x);
        }
        if (t->closing && (bad || boundary))
            tell_down(x);
        if (t->down.closed && !t->closing)
            must_be_over_soon(x);
    }
    if (end || all_said(t))
        over(x);
}

void tunnel_up_end(struct exchange *x)
{
    http_call_body(&x->call, NULL, 0, true, STR_NULL);
    must_be_over_soon(x);
    x->tunnel->told_down = true; /* a client that left needs no Close */
}

void tunnel_broken(struct exchange *x)
{
    over(x);
}

void tunnel_timer(struct exchange *x)
{
    struct tunnel *t = x->tunnel;
    uint64_t now = now_ms(x);

    if (t->closing) {
        over(x);
        return;
    }
    if (t->until_ms && now >= t->until_ms)
        tunnel_close(x, WS_GOING_AWAY, "the time is up");
    else if (t->idle_ms && now >= t->moved_ms + t->idle_ms)
        tunnel_close(x, WS_GOING_AWAY, "idle for too long");
    else
        arm(x);
}
