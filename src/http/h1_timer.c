/* h1_timer.c - how long a client's connection over HTTP/1.1 may take for what
 * it does: heads, bodies by their rate, replies by theirs, idling.
 */
#include "base/log.h"
#include "http/h1_internal.h"

void h1_enter(struct h1_conn *c, enum in_state in)
{
    const struct http_limits *l = &c->http.server->limits;

    c->in = (uint8_t)in;
    c->http.since_ms = loop_now_ms(c->http.conn.loop);
    switch (in) {
    case IN_PROXY:
        h1_arm(c, l->handshake_ms);
        break;
    case IN_HEAD:
        h1_arm(c, c->kept_len || !c->http.served ? l->head_ms : l->idle_ms);
        break;
    case IN_BODY:
        c->rate_mark = 0;
        h1_arm(c, l->rate_ms);
        break;
    case IN_DONE:
    case IN_TUNNEL:
    case IN_OTHER:
        break; /* the backend's time-outs hold, or others */
    case IN_LINGER:
        h1_arm(c, l->linger_ms);
        break;
    }
}

void h1_watch_output(struct h1_conn *c)
{
    if (c->rate_out || !c->http.conn.waiting || !c->http.server->limits.rate_ms)
        return;
    c->rate_out = true;
    c->rate_mark = c->http.conn.out_bytes;
    c->http.since_ms = loop_now_ms(c->http.conn.loop);
    h1_arm(c, c->http.server->limits.rate_ms);
}

/* False: fewer bytes than the rate asks for moved since the last look. */
static bool fast_enough(struct h1_conn *c, uint64_t bytes)
{
    const struct http_limits *l = &c->http.server->limits;
    uint64_t moved = bytes - c->rate_mark;

    c->rate_mark = bytes;
    return moved >= l->rate * l->rate_ms / 1000;
}

static void busy_timeout(struct h1_conn *c)
{
    const struct http_limits *l = &c->http.server->limits;

    if (c->http.conn.eof && c->in == IN_DONE && !c->http.conn.waiting) {
        if (c->rate_mark == c->http.conn.out_bytes) {
            log_debug("http", "%s: left", c->http.peer.text);
            h1_close_now(c);
            return;
        }
        c->rate_mark = c->http.conn.out_bytes;
        h1_arm(c, HALF_CLOSED_MS);
        return;
    }
    if (c->http.conn.hangup && !c->http.conn.eof && c->in == IN_BODY) {
        if (c->rate_mark == c->http.conn.in_bytes) {
            h1_close_now(c);
            return;
        }
        c->rate_mark = c->http.conn.in_bytes;
        h1_arm(c, HALF_CLOSED_MS);
        return;
    }
    if (c->http.conn.waiting && !c->rate_out) {
        h1_watch_output(c);
        return;
    }
    if (c->http.conn.waiting) {
        if (!fast_enough(c, c->http.conn.out_bytes)) {
            log_debug("http", "%s: reads too slowly", c->http.peer.text);
            conn_reset(&c->http.conn);
            h1_end_stream(c, true);
            return;
        }
    } else if (c->in == IN_BODY && !c->http.conn.paused && !c->rate_out &&
               !c->stream->open_ended) {
        if (!fast_enough(c, c->body_seen)) {
            h1_refuse(c, 408, "the body came too slowly");
            return;
        }
    }
    if (c->in != IN_TUNNEL || c->http.conn.waiting)
        h1_arm(c, l->rate_ms);
}

void h1_on_timer(struct timer *t)
{
    struct h1_conn *c = (struct h1_conn *)http_conn_of_timer(t);

    if (c->http.conn.state == CONN_CLOSED)
        return;
    if (c->http.conn.state == CONN_HANDSHAKE) {
        h1_on_error(&c->http.conn, ERR_TIMEOUT,
                    "the TLS handshake took too long");
        return;
    }
    switch ((enum in_state)c->in) {
    case IN_PROXY:
        conn_reset(&c->http.conn);
        break;
    case IN_HEAD:
        if (c->http.conn.waiting)
            busy_timeout(c);
        else if (c->kept_len)
            h1_refuse(c, 408, "the head came too slowly");
        else
            h1_close_now(c);
        break;
    case IN_LINGER: /* what the kernel has it still sends */
        if (c->http.conn.waiting)
            busy_timeout(c);
        else
            conn_close(&c->http.conn);
        break;
    default:
        busy_timeout(c);
        break;
    }
}
