/* pool.c - one thread's connections to one endpoint.
 *
 * Idle ones are used last in, first out, so that what is not needed grows old
 * and goes. Who finds none waits in line; a connection is opened for it when
 * fewer are under way than wait and the ceiling allows. Whichever connection
 * becomes free first, new or kept, serves the first in line.
 */
#include <errno.h>

#include "base/log.h"
#include "base/map.h"
#include "gateway/exchange.h"
#include "gateway/metrics.h"
#include "gateway/upstream/endpoint.h"
#include "net/sock.h"

void (*endpoint_rights)(bool on);

enum { LOOK_MS = 10 };

static uint64_t address_tag(const struct address *a)
{
    return hash_content(HASH_CONTENT_START, &a->sa, a->len);
}

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

static void open_for_waiting(struct endpoint_thread *t);

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
    } else if (t->closing || atomic_load(&t->endpoint->starving) ||
               atomic_load_explicit(&t->idle_count, memory_order_relaxed) >=
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
    if (connected) {
        open_for_waiting(t);
        return;
    }
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
        c->tag = address_tag(&a->to);
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
    if (endpoint_rights)
        endpoint_rights(true);
    if (sock_connect(&a->to, &a->fd))
        a->error = errno;
    if (endpoint_rights)
        endpoint_rights(false);
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
    const struct address *to;
    struct http_client *c;
    struct tls *tls = NULL;

    if (!all || !all->count)
        return ERR_NOT_FOUND;
    if (e->tls)
        tls = tls_connect(e->tls_context, e->host);
    to = &all->items[t->next_address++ % all->count];
    c = http_client_new(t->loop, to, tls, &e->limits, &client_ops, t);
    metrics_add(&t->metrics->upstream_connects, 1);
    if (!c && errno == EACCES && e->unix_socket) {
        ask_main(t, &all->items[0]);
        return ERR_OK;
    }
    if (!c) {
        metrics_add(&t->metrics->upstream_connect_failures, 1);
        return ERR_IO;
    }
    c->tag = address_tag(to);
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

static void open_for_waiting(struct endpoint_thread *t)
{
    while (!t->closing && t->connecting < t->waiting && may_open(t)) {
        struct exchange *x;

        if (open_one(t) == ERR_OK)
            continue;
        x = first_waiting(t);
        exchange_connect_failed(x, HTTP_FAIL_CONNECT, "connect failed");
    }
}

/* The ceiling counts connections of all threads. Who waits because others
 * have them looks again every moment and meanwhile nobody keeps idle ones. */

struct spare {
    struct task task;
    struct endpoint_thread *t;
};

static void give_one_up(struct task *task)
{
    struct spare *s = (struct spare *)task;

    if (s->t->idle)
        http_client_close(s->t->idle);
    x_free(s);
}

static void ask_others(struct endpoint_thread *t)
{
    for (int i = 0; i < THREADS_MAX; i++) {
        struct endpoint_thread *other = atomic_load_explicit(
            &t->endpoint->threads[i], memory_order_acquire);
        struct spare *s;

        if (!other || other == t || !atomic_load(&other->idle_count))
            continue;
        s = x_new(sizeof(*s));
        s->task.run = give_one_up;
        s->t = other;
        loop_post(other->loop, &s->task);
        return;
    }
}

static void set_starving(struct endpoint_thread *t, bool starving)
{
    if (starving != t->starving)
        atomic_fetch_add(&t->endpoint->starving, starving ? 1 : (uint32_t)-1);
    t->starving = starving;
}

static void look_again(struct timer *timer)
{
    struct endpoint_thread *t =
        (struct endpoint_thread *)((char *)timer -
                                   offsetof(struct endpoint_thread, look));

    open_for_waiting(t);
    set_starving(t, t->connecting < t->waiting);
    if (!t->starving)
        return;
    ask_others(t);
    timer_set(t->loop, timer, loop_now_ms(t->loop) + LOOK_MS);
}

static void wait_for_others(struct endpoint_thread *t)
{
    if (timer_pending(&t->look))
        return;
    t->look.fire = look_again;
    timer_set(t->loop, &t->look, loop_now_ms(t->loop));
}

/* The name leads elsewhere now: connections to where it no longer does are
 * not used again. */
static void check_addresses(struct endpoint_thread *t)
{
    struct addresses *all =
        atomic_load_explicit(&t->endpoint->addresses, memory_order_acquire);
    struct http_client *c, *next;

    if (!all || all->number == t->addresses_seen)
        return;
    t->addresses_seen = all->number;
    for (c = t->idle; c; c = next) {
        bool there = false;

        next = c->next;
        for (size_t i = 0; i < all->count; i++)
            there |= c->tag == address_tag(&all->items[i]);
        if (!there)
            http_client_close(c);
    }
}

enum err endpoint_connect(struct endpoint_thread *t, struct exchange *x,
                          struct http_client **out)
{
    struct http_client *c;
    enum err e;

    check_addresses(t);
    c = t->idle;
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
        } else {
            wait_for_others(t);
        }
    }
    wait_in_line(t, x);
    *out = NULL;
    return ERR_OK;
}

void endpoint_close_idle(struct endpoint_thread *t)
{
    t->closing = true;
    timer_clear(&t->look);
    set_starving(t, false);
    while (t->idle)
        http_client_close(t->idle);
}
