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

enum {
    LOOK_MS = 10,
    EXPECTED_STREAMS = 100, /* of a connection that is not there yet */
};

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

/* In which list a connection is, and whether it counts as idle, follows from
 * what it can take now. */
static void place(struct endpoint_thread *t, struct http_client *c, bool idle)
{
    unlink_client(c);
    link_client(http_client_room(c) ? &t->free : &t->busy, c);
    if (idle != c->idle)
        set(&t->idle_count, idle ? 1 : (uint32_t)-1);
    c->idle = idle;
}

static struct exchange *first_waiting(struct endpoint_thread *t)
{
    struct exchange *x = t->wait_first;

    if (x)
        endpoint_forget(t, x);
    return x;
}

static void forget_alone(struct exchange *x)
{
    struct http_client *c = x->alone;

    x->alone = NULL;
    c->alone = NULL;
    http_client_close(c);
}

void endpoint_forget(struct endpoint_thread *t, struct exchange *x)
{
    if (x->alone)
        forget_alone(x);
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

/* How many of those in line the connections under way will serve, as far as
 * is known of the backend. */
static uint32_t expected(const struct endpoint_thread *t)
{
    uint32_t each = t->endpoint->wanted == HTTP_WANT_2 ? EXPECTED_STREAMS : 1;

    return t->connecting * (t->room ? t->room : each);
}

static void open_for_waiting(struct endpoint_thread *t);

static bool has_enough(struct endpoint_thread *t)
{
    return t->closing || atomic_load(&t->endpoint->starving) ||
           atomic_load_explicit(&t->idle_count, memory_order_relaxed) >=
               t->endpoint->max_idle;
}

static void give_calls(struct endpoint_thread *t, struct http_client *c)
{
    struct exchange *x;

    if (c->alone) {
        x = c->alone;
        c->alone = NULL;
        x->alone = NULL;
        exchange_connected(x, c);
        return;
    }
    while (t->waiting && http_client_room(c)) {
        x = first_waiting(t);
        exchange_connected(x, c);
    }
}

static void on_ready(void *arg, struct http_client *c)
{
    struct endpoint_thread *t = arg;

    if (c->connecting) {
        c->connecting = false;
        t->connecting -= c->alone ? 0 : 1;
        if (!c->alone)
            t->room = http_client_room(c);
    }
    give_calls(t, c);
    if (c->conn.state == CONN_CLOSED)
        return;
    if (!c->calls_now && !c->idle && has_enough(t))
        http_client_close(c);
    else
        place(t, c, !c->calls_now);
}

/* A connection that did not come about takes those with it that waited for
 * it: as many as the others under way will not serve. */
static void fail_waiting(struct endpoint_thread *t, enum http_fail kind,
                         const char *why)
{
    uint32_t rest = expected(t);
    uint32_t n = t->waiting > rest ? t->waiting - rest : 0;

    while (n-- && t->waiting)
        exchange_connect_failed(first_waiting(t), kind, why);
}

static void on_gone(void *arg, struct http_client *c, enum http_fail kind,
                    bool connected, const char *why)
{
    struct endpoint_thread *t = arg;
    struct exchange *x = c->alone;

    if (c->idle)
        set(&t->idle_count, (uint32_t)-1);
    c->idle = false;
    unlink_client(c);
    set(&t->total_count, (uint32_t)-1);
    if (connected) {
        open_for_waiting(t);
        return;
    }
    metrics_add(&t->metrics->upstream_connect_failures, 1);
    log_debug("upstream", "%.*s: %s", STR_ARG(t->endpoint->name),
              why ? why : "closed");
    if (x) {
        x->alone = NULL;
        exchange_connect_failed(x, kind, why);
    } else if (c->connecting) {
        t->connecting--;
        fail_waiting(t, kind, why);
    }
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

    errno = a->error;
    if (a->fd >= 0)
        c = http_client_adopt(t->loop, a->fd, NULL, HTTP_WANT_1,
                              &t->endpoint->limits, &client_ops, t);
    if (c) {
        c->tag = address_tag(&a->to);
        c->connecting = true;
        link_client(&t->busy, c);
    } else {
        t->connecting--;
        set(&t->total_count, (uint32_t)-1);
        metrics_add(&t->metrics->upstream_connect_failures, 1);
        fail_waiting(t, HTTP_FAIL_CONNECT, strerrordesc_np(errno));
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

/* wanted: what to speak; NULL with errno when it failed at once. */
static struct http_client *open_to(struct endpoint_thread *t,
                                   const struct address *to,
                                   enum http_wanted wanted)
{
    struct endpoint *e = t->endpoint;
    struct tls *tls = NULL;
    struct http_client *c;

    if (e->tls)
        tls = tls_connect(e->tls_context, e->host);
    if (tls && wanted == HTTP_WANT_1)
        tls_offer(tls, STR("\x08http/1.1"));
    c = http_client_new(t->loop, to, tls, wanted, &e->limits, &client_ops, t);
    metrics_add(&t->metrics->upstream_connects, 1);
    if (!c) {
        if (errno != EACCES || !e->unix_socket)
            metrics_add(&t->metrics->upstream_connect_failures, 1);
        return NULL;
    }
    c->tag = address_tag(to);
    c->connecting = true;
    link_client(&t->busy, c);
    set(&t->total_count, 1);
    return c;
}

static const struct address *next_address(struct endpoint_thread *t)
{
    struct addresses *all =
        atomic_load_explicit(&t->endpoint->addresses, memory_order_acquire);

    if (!all || !all->count)
        return NULL;
    return &all->items[t->next_address++ % all->count];
}

static enum err open_one(struct endpoint_thread *t)
{
    const struct address *to = next_address(t);

    if (!to)
        return ERR_NOT_FOUND;
    if (open_to(t, to, t->endpoint->wanted)) {
        t->connecting++;
        return ERR_OK;
    }
    if (errno != EACCES || !t->endpoint->unix_socket)
        return ERR_IO;
    ask_main(t, to);
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
    while (!t->closing && expected(t) < t->waiting && may_open(t)) {
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

    for (struct http_client *c = s->t->free; c; c = c->next) {
        if (!c->idle)
            continue;
        http_client_close(c);
        break;
    }
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
    set_starving(t, expected(t) < t->waiting);
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

/* It gets no more calls and goes with the last one. */
static void retire(struct endpoint_thread *t, struct http_client *c)
{
    http_client_retire(c);
    if (c->conn.state != CONN_CLOSED)
        place(t, c, false);
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
    for (c = t->free; c; c = next) {
        bool there = false;

        next = c->next;
        for (size_t i = 0; i < all->count; i++)
            there |= c->tag == address_tag(&all->items[i]);
        if (!there)
            retire(t, c);
    }
}

enum err endpoint_connect(struct endpoint_thread *t, struct exchange *x,
                          struct http_client **out)
{
    struct http_client *c;
    enum err e;

    check_addresses(t);
    while ((c = t->free)) {
        uint32_t room = http_client_room(c);

        /* The list is put right when somebody looks. */
        if (room <= 1 || c->idle) {
            unlink_client(c);
            link_client(room > 1 ? &t->free : &t->busy, c);
            if (c->idle)
                set(&t->idle_count, (uint32_t)-1);
            c->idle = false;
        }
        if (!room)
            continue;
        metrics_add(&t->metrics->upstream_reused, 1);
        *out = c;
        return ERR_OK;
    }
    if (expected(t) <= t->waiting) {
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

enum err endpoint_connect_alone(struct endpoint_thread *t, struct exchange *x)
{
    const struct address *to = next_address(t);
    struct http_client *c;

    if (t->endpoint->wanted == HTTP_WANT_2)
        return ERR_INVALID;
    if (!to)
        return ERR_NOT_FOUND;
    if (!may_open(t))
        return ERR_LIMIT;
    c = open_to(t, to, HTTP_WANT_1);
    if (!c)
        return ERR_IO;
    c->alone = x;
    x->alone = c;
    return ERR_OK;
}

void endpoint_close_idle(struct endpoint_thread *t)
{
    struct http_client *c, *next;

    t->closing = true;
    timer_clear(&t->look);
    set_starving(t, false);
    for (c = t->free; c; c = next) {
        next = c->next;
        retire(t, c);
    }
}
