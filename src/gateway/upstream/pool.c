/* pool.c - one thread's connections to one endpoint.
 *
 * Idle ones are used last in, first out, so that what is not needed grows old
 * and goes. Who finds none waits in line; a connection is opened for it when
 * fewer are under way than wait and the ceiling allows. Whichever connection
 * becomes free first, new or kept, serves the first in line.
 */
#include <errno.h>

#include "base/log.h"
#include "gateway/exchange.h"
#include "gateway/metrics.h"
#include "gateway/upstream/endpoint.h"
#include "net/sock.h"

static void set(_Atomic uint32_t *n, uint32_t change)
{
    uint32_t now = atomic_load_explicit(n, memory_order_relaxed);

    atomic_store_explicit(n, now + change, memory_order_relaxed);
}

static void unlink_client(struct http_client *c)
{
    if (!c->prev)
        return;
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->prev = NULL;
}

static void link_client(struct http_client **list, struct http_client *c)
{
    c->next = *list;
    if (c->next)
        c->next->prev = &c->next;
    c->prev = list;
    *list = c;
}

static struct exchange *first_waiting(struct endpoint_thread *t)
{
    struct exchange *x = t->wait_first;

    if (x)
        endpoint_forget(t, x);
    return x;
}

void endpoint_forget(struct endpoint_thread *t, struct exchange *x)
{
    if (!x->wait_prev)
        return;
    *x->wait_prev = x->wait_next;
    if (x->wait_next)
        x->wait_next->wait_prev = x->wait_prev;
    else
        t->wait_last = x->wait_prev;
    x->wait_prev = NULL;
    t->waiting--;
}

static void wait_in_line(struct endpoint_thread *t, struct exchange *x)
{
    x->wait_next = NULL;
    x->wait_prev = t->wait_last;
    *t->wait_last = x;
    t->wait_last = &x->wait_next;
    t->waiting++;
}

static void on_ready(void *arg, struct http_client *c)
{
    struct endpoint_thread *t = arg;
    struct exchange *x;

    if (c->calls == 0 && t->connecting)
        t->connecting--;
    unlink_client(c);
    x = first_waiting(t);
    if (x) {
        link_client(&t->busy, c);
        exchange_connected(x, c);
    } else if (t->closing || atomic_load_explicit(&t->idle_count,
                                                  memory_order_relaxed) >=
                                 t->endpoint->max_idle) {
        link_client(&t->busy, c);
        http_client_close(c);
    } else {
        link_client(&t->idle, c);
        c->listed_idle = true;
        set(&t->idle_count, 1);
    }
}

static void on_gone(void *arg, struct http_client *c, enum http_fail kind,
                    bool connected, const char *why)
{
    struct endpoint_thread *t = arg;
    struct exchange *x;

    if (c->listed_idle) {
        set(&t->idle_count, (uint32_t)-1);
        c->listed_idle = false;
    }
    unlink_client(c);
    set(&t->total_count, (uint32_t)-1);
    if (connected)
        return;
    t->connecting--;
    metrics_add(&t->metrics->upstream_connect_failures, 1);
    log_debug("upstream", "%.*s: %s", STR_ARG(t->endpoint->name),
              why ? why : "closed");
    x = first_waiting(t);
    if (x)
        exchange_connect_failed(x, kind, why);
}

static const struct http_client_ops client_ops = {
    .on_ready = on_ready,
    .on_gone = on_gone,
};

/* A Unix socket may be closed to the account the threads run as. The main
 * thread has kept the right to pass (it is asked once per connection). */
struct asking {
    struct task task;
    struct endpoint_thread *t;
    struct address to;
    int fd, error;
};

static void asked(struct task *task)
{
    struct asking *a = (struct asking *)task;
    struct endpoint_thread *t = a->t;
    struct http_client *c = NULL;
    struct exchange *x;

    errno = a->error;
    if (a->fd >= 0)
        c = http_client_adopt(t->loop, a->fd, NULL, &t->endpoint->limits,
                              &client_ops, t);
    if (c) {
        link_client(&t->busy, c);
    } else {
        t->connecting--;
        set(&t->total_count, (uint32_t)-1);
        metrics_add(&t->metrics->upstream_connect_failures, 1);
        x = first_waiting(t);
        if (x)
            exchange_connect_failed(x, HTTP_FAIL_CONNECT,
                                    strerrordesc_np(errno));
    }
    x_free(a);
}

static void on_main(struct task *task)
{
    struct asking *a = (struct asking *)task;

    a->fd = -1;
    if (sock_connect(&a->to, &a->fd))
        a->error = errno;
    a->task.run = asked;
    loop_post(a->t->loop, &a->task);
}

static void ask_main(struct endpoint_thread *t, const struct address *to)
{
    struct asking *a = x_new(sizeof(*a));

    a->t = t;
    a->to = *to;
    a->task.run = on_main;
    set(&t->total_count, 1);
    t->connecting++;
    loop_post(t->endpoint->main, &a->task);
}

static enum err open_one(struct endpoint_thread *t)
{
    struct endpoint *e = t->endpoint;
    struct addresses *all =
        atomic_load_explicit(&e->addresses, memory_order_acquire);
    struct http_client *c;
    struct tls *tls = NULL;

    if (!all || !all->count)
        return ERR_NOT_FOUND;
    if (e->tls)
        tls = tls_connect(e->tls_context, e->host);
    c = http_client_new(t->loop, &all->items[t->next_address++ % all->count],
                        tls, &e->limits, &client_ops, t);
    metrics_add(&t->metrics->upstream_connects, 1);
    if (!c && errno == EACCES && e->unix_socket) {
        ask_main(t, &all->items[0]);
        return ERR_OK;
    }
    if (!c) {
        metrics_add(&t->metrics->upstream_connect_failures, 1);
        return ERR_IO;
    }
    link_client(&t->busy, c);
    set(&t->total_count, 1);
    t->connecting++;
    return ERR_OK;
}

static bool may_open(const struct endpoint_thread *t)
{
    uint32_t idle;

    return !t->endpoint->max_connections ||
           endpoint_connections(t->endpoint, &idle) <
               t->endpoint->max_connections;
}

enum err endpoint_connect(struct endpoint_thread *t, struct exchange *x,
                          struct http_client **out)
{
    struct http_client *c = t->idle;
    enum err e;

    if (c) {
        unlink_client(c);
        c->listed_idle = false;
        set(&t->idle_count, (uint32_t)-1);
        link_client(&t->busy, c);
        metrics_add(&t->metrics->upstream_reused, 1);
        *out = c;
        return ERR_OK;
    }
    if (t->connecting <= t->waiting) {
        if (may_open(t)) {
            e = open_one(t);
            if (e)
                return e;
        } else if (!t->endpoint->wait_ms) {
            return ERR_LIMIT;
        }
    }
    wait_in_line(t, x);
    *out = NULL;
    return ERR_OK;
}

void endpoint_close_idle(struct endpoint_thread *t)
{
    t->closing = true;
    while (t->idle)
        http_client_close(t->idle);
}
