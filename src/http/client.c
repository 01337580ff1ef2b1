/* client.c - connections to backends, until it is known which protocol they
 * speak; from then on h1_client.c and h2_client.c have the word.
 */
#include "base/log.h"
#include "http/client_internal.h"

const char *http_fail_name(enum http_fail f)
{
    static const char *const names[] = {
        "connect failed",
        "connect timed out",
        "refused",
        "send failed",
        "closed before a reply",
        "no reply in time",
        "total time is up",
        "stalled",
        "invalid reply",
        "reply was cut",
    };

    return names[f];
}

/* Connecting */

static void failed(struct http_client *c, enum http_fail kind, const char *why)
{
    if (c->conn.state == CONN_CLOSED)
        return;
    conn_close(&c->conn);
    c->ops->on_gone(c->arg, c, kind, false, why);
}

static bool speaks_http2(const struct http_client *c)
{
    return c->conn.tls && str_is(tls_alpn(c->conn.tls), "h2");
}

static void on_open(struct conn *conn)
{
    struct http_client *c = http_client_of(conn);
    bool http2 = c->wanted == HTTP_WANT_2;

    if (c->wanted == HTTP_WANT_ALPN)
        http2 = speaks_http2(c);
    if (http2 && conn->tls && !speaks_http2(c)) {
        failed(c, HTTP_FAIL_CONNECT, "it does not speak HTTP/2 (ALPN)");
        return;
    }
    if (http2) {
        h2_client_begin(c); /* it is ready when it has said what it takes */
        return;
    }
    c->ready = true;
    c->idle_since_ms = loop_now_ms(conn->loop);
    h1_client_begin(c);
    c->ops->on_ready(c->arg, c);
}

static void on_data(struct conn *conn, char *p, size_t n)
{
    (void)p;
    (void)n;
    failed(http_client_of(conn), HTTP_FAIL_CONNECT, "bytes nobody asked for");
}

static void on_eof(struct conn *conn)
{
    failed(http_client_of(conn), HTTP_FAIL_CONNECT, "closed at once");
}

static void on_error(struct conn *conn, enum err e, const char *why)
{
    (void)e;
    failed(http_client_of(conn), HTTP_FAIL_CONNECT, why);
}

static void on_drained(struct conn *conn)
{
    (void)conn;
}

static void on_closed(struct conn *conn)
{
    struct http_client *c = http_client_of(conn);

    timer_clear(&c->timer);
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

    failed(c, HTTP_FAIL_CONNECT_TIMEOUT, "connecting took too long");
}

static struct http_client *client_of(enum http_wanted wanted,
                                     const struct http_client_limits *limits,
                                     const struct http_client_ops *client_ops,
                                     void *arg)
{
    struct http_client *c = h1_client_new();

    c->ops = client_ops;
    c->arg = arg;
    c->limits = limits;
    c->wanted = (uint8_t)wanted;
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
                                    struct tls *tls, enum http_wanted wanted,
                                    const struct http_client_limits *limits,
                                    const struct http_client_ops *client_ops,
                                    void *arg)
{
    struct http_client *c = client_of(wanted, limits, client_ops, arg);

    return begun(c, l, conn_connect(&c->conn, l, to, tls, &ops));
}

struct http_client *http_client_adopt(struct loop *l, int fd, struct tls *tls,
                                      enum http_wanted wanted,
                                      const struct http_client_limits *limits,
                                      const struct http_client_ops *client_ops,
                                      void *arg)
{
    struct http_client *c = client_of(wanted, limits, client_ops, arg);

    return begun(c, l, conn_adopt(&c->conn, l, fd, tls, &ops));
}

/* By protocol */

void http_client_close(struct http_client *c)
{
    if (!c->ready && !c->h2)
        failed(c, HTTP_FAIL_CLOSED, NULL);
    else
        c->protocol->gone(c, HTTP_FAIL_CLOSED, NULL);
}

void http_client_retire(struct http_client *c)
{
    c->retired = true;
    if (!c->calls_now)
        http_client_close(c);
}

uint32_t http_client_room(const struct http_client *c)
{
    if (!c->ready || c->retired || c->conn.state != CONN_OPEN || c->conn.broken)
        return 0;
    return c->protocol->room(c);
}

bool http_client_is_http2(const struct http_client *c)
{
    return c->h2 != NULL;
}

void http_call_start(struct http_client *c, struct http_call *x,
                     const struct http_request *r, bool more)
{
    must(c->ready && c->conn.state == CONN_OPEN);
    x->client = c;
    x->h2 = NULL;
    x->reused = c->calls++ > 0;
    x->sent_all = !more;
    x->replied = x->tunnel = false;
    x->reset_code = 0;
    c->calls_now++;
    c->protocol->start(c, x, r, more);
}

void http_call_body(struct http_call *x, const void *p, size_t n, bool end,
                    struct str trailers)
{
    if (!x->client)
        return;
    x->sent_all = end;
    x->client->protocol->body(x, p, n, end, trailers);
}

size_t http_call_unsent(const struct http_call *x)
{
    return x->client ? x->client->protocol->unsent(x) : 0;
}

void http_call_pause(struct http_call *x)
{
    if (x->client)
        x->client->protocol->pause(x);
}

void http_call_resume(struct http_call *x)
{
    if (x->client)
        x->client->protocol->resume(x);
}

void http_call_cancel(struct http_call *x)
{
    if (x->client)
        x->client->protocol->cancel(x);
}

void http_client_thread_done(void)
{
    h1_client_thread_done();
    h2_client_thread_done();
}
