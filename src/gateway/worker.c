/* worker.c - a loop thread: picks up snapshots, accepts, hands over.
 *
 * Each thread has its own listening socket per address (SO_REUSEPORT). The
 * kernel spreads connections by hash, unevenly when they are few, so a thread
 * with more than its share passes a new one to the less loaded of two others.
 */
#include "gateway/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "events/events.h"
#include "gateway/credential/introspect.h"
#include "gateway/gateway_internal.h"
#include "gateway/streams.h"

enum { ACCEPTS_PER_TURN = 64, REST_MS = 50, UNEVEN = 8, SHED = 16 };
enum { SHED_IDLE_MS = 1000, SHED_BODY_MS = 5000 };

_Thread_local struct worker *this_worker;

static void use_token_cache(struct worker *w, uint64_t capacity)
{
    if (w->tokens && w->tokens_capacity == capacity)
        return;
    token_cache_free(w->tokens);
    w->tokens = token_cache_new(capacity);
    w->tokens_capacity = capacity;
}

enum { FETCHES_MAX = 4096 };

struct fetcher *worker_fetcher(struct worker *w)
{
    if (!w->fetcher)
        w->fetcher = fetcher_new(w->loop, STR(""), FETCHES_MAX);
    return w->fetcher;
}

struct introspector *worker_introspector(struct worker *w)
{
    if (!w->introspector)
        w->introspector = introspector_new(w->loop, worker_fetcher(w),
                                           w->tokens_capacity, w->metrics);
    return w->introspector;
}

static void end_requests(struct worker *w)
{
    introspector_free(w->introspector);
    fetcher_free(w->fetcher);
    w->introspector = NULL;
    w->fetcher = NULL;
    loop_settle(w->loop); /* frees their connections */
}

/* Calls that have begun have their event as it is wanted when they end. */
static void use_events(struct worker *w, const struct snapshot *s)
{
    bool on = s && s->settings->gateway.events.to != EVENTS_OFF;

    w->events = on ? w->gateway->events : NULL;
    w->ring = w->events ? events_ring(w->events, w->index) : NULL;
}

static void use_spans(struct worker *w, const struct snapshot *s)
{
    bool on = s && s->tracing && s->tracing->otlp.url.len;

    w->spans = on ? otlp_queue(w->gateway->otlp, w->index) : NULL;
}

static void on_turn(void *arg)
{
    struct worker *w = arg;
    struct snapshot *s = atomic_load(&w->gateway->snapshot);

    /* While this thread slept the one it knew may have been freed, and a newer
     * one made at the same place. */
    if (s == w->snapshot && (!s || s->number == w->snapshot_number))
        return;
    w->snapshot = s;
    w->snapshot_number = s ? s->number : 0;
    access_log_use(w->log, s ? s->log_file : NULL);
    use_events(w, s);
    use_spans(w, s);
    if (s)
        use_token_cache(w, s->settings->gateway.authentication.cache);
    if (s && w->streams)
        streams_review(w);
}

static void (*thread_begin)(void);

void gateway_set_thread_begin(void (*begin)(void))
{
    thread_begin = begin;
}

void (*thread_begin_of_workers(void))(void)
{
    return thread_begin;
}

static void *run(void *arg)
{
    struct worker *w = arg;

    if (thread_begin)
        thread_begin();

    this_worker = w;
    on_turn(w);
    loop_run(w->loop);
    end_requests(w);
    http_thread_done();
    return NULL;
}

struct worker *worker_new(struct gateway *g, unsigned index)
{
    struct worker *w = x_new(sizeof(*w));

    w->gateway = g;
    w->index = index;
    w->loop = loop_new();
    w->conns.loop = w->loop;
    w->conns.shed_idle_ms = SHED_IDLE_MS;
    w->conns.shed_body_ms = SHED_BODY_MS;
    w->metrics = metrics_thread_new();
    w->log = access_log_new(w->loop, NULL);
    w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rng_seed(&w->rng);
    w->deny = &g->deny;
    w->countries = &g->countries;
    w->attempts = g->attempts;
    w->replays = g->replays;
    w->slow = g->slow;
    w->explain = g->explain;
    w->explain_key = g->has_explain_key ? &g->explain_key : NULL;
    loop_on_turn(w->loop, on_turn, w);
    return w;
}

void worker_start(struct worker *w)
{
    sigset_t all, old;
    char name[16];

    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    must(pthread_create(&w->thread, NULL, run, w) == 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    snprintf(name, sizeof(name), "loop-%u", w->index);
    pthread_setname_np(w->thread, name);
}

/* Accepting */

struct handover {
    struct task task;
    struct worker *to;
    struct address peer;
    uint32_t listener;
    int fd;
};

static void begin(struct worker *w, uint32_t listener, int fd,
                  const struct address *peer)
{
    struct snapshot *s = w->snapshot;

    if (listener >= s->server_count || !s->servers[listener]) {
        struct client_address who;

        client_address_set(&who, (const struct sockaddr *)&peer->sa);
        admission_leave(w->gateway->admission, who.ip);
        close(fd);
        return;
    }
    metrics_add(&w->metrics->connections_accepted, 1);
    http_accept(&w->conns, s->servers[listener], fd, peer);
}

static void take_over(struct task *t)
{
    struct handover *h = (struct handover *)t;

    begin(h->to, h->listener, h->fd, &h->peer);
    x_free(h);
}

static uint32_t load_of(const struct worker *w)
{
    return atomic_load_explicit(
        &((struct worker *)(uintptr_t)w)->conns.shared_count,
        memory_order_relaxed);
}

/* Whom to pass a connection to, or NULL: keep it. */
static struct worker *less_loaded(struct worker *w)
{
    struct gateway *g = w->gateway;
    struct worker *a, *b;
    unsigned n = g->worker_count;

    if (n < 2)
        return NULL;
    a = g->workers[(w->index + 1 + rng_below(&w->rng, n - 1)) % n];
    b = g->workers[(w->index + 1 + rng_below(&w->rng, n - 1)) % n];
    if (load_of(b) < load_of(a))
        a = b;
    return w->conns.count >= load_of(a) + UNEVEN ? a : NULL;
}

static bool too_many(struct worker *w)
{
    struct gateway *g = w->gateway;
    uint64_t n = 0, max = atomic_load_explicit(&g->connections_max,
                                               memory_order_relaxed);

    if (!max)
        return false;
    for (unsigned i = 0; i < g->worker_count; i++)
        n += load_of(g->workers[i]);
    return n >= max;
}

/* An address at its ceiling gives up its own oldest. */
static bool make_room(struct worker *w, const uint8_t ip[16])
{
    return http_shed(&w->conns, 1, ip) > 0;
}

static void welcome(struct worker_socket *s, int fd, const struct address *peer)
{
    struct worker *w = s->worker, *other;
    struct client_address who;
    struct handover *h;

    client_address_set(&who, (const struct sockaddr *)&peer->sa);
    if (too_many(w) && !http_shed(&w->conns, 1, NULL)) {
        metrics_add(&w->metrics->connections_refused, 1);
        sock_reset(fd);
        close(fd);
        return;
    }
    if (!admission_enter(w->gateway->admission, who.ip) &&
        !(make_room(w, who.ip) &&
          admission_enter(w->gateway->admission, who.ip))) {
        metrics_add(&w->metrics->connections_refused, 1);
        sock_reset(fd);
        close(fd);
        return;
    }
    other = less_loaded(w);
    if (!other) {
        begin(w, s->listener, fd, peer);
        return;
    }
    h = x_new(sizeof(*h));
    h->task.run = take_over;
    h->to = other;
    h->peer = *peer;
    h->listener = s->listener;
    h->fd = fd;
    loop_post(other->loop, &h->task);
}

static void rest_over(struct timer *t)
{
    struct worker_socket *s =
        (struct worker_socket *)((char *)t -
                                 offsetof(struct worker_socket, timer));

    loop_rewatch(s->worker->loop, &s->io, EPOLLIN);
}

/* Out of descriptors: idle connections go first; the newcomer is told by a
 * reset rather than left waiting, and accepting pauses for a moment. */
static void exhausted(struct worker_socket *s)
{
    struct worker *w = s->worker;
    struct address peer;
    int fd;

    http_shed(&w->conns, SHED, NULL);
    if (w->spare_fd >= 0) {
        close(w->spare_fd);
        if (sock_accept(s->io.fd, &fd, &peer) == ERR_OK) {
            metrics_add(&w->metrics->connections_refused, 1);
            sock_reset(fd);
            close(fd);
        }
        w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    loop_rewatch(w->loop, &s->io, 0);
    timer_set(w->loop, &s->timer, loop_now_ms(w->loop) + REST_MS);
}

static void on_accept(struct io *io, uint32_t events)
{
    struct worker_socket *s = (struct worker_socket *)io;
    struct address peer;
    int fd;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        enum err e = sock_accept(io->fd, &fd, &peer);

        if (e == ERR_AGAIN)
            return;
        if (e == ERR_LIMIT) {
            exhausted(s);
            return;
        }
        if (e == ERR_OK)
            welcome(s, fd, &peer);
    }
}

/* Sockets come and go by tasks on the thread. */

struct socket_task {
    struct task task;
    struct worker *worker;
    uint32_t listener;
    int fd;
};

static void listen_here(struct task *t)
{
    struct socket_task *st = (struct socket_task *)t;
    struct worker_socket *s = x_new(sizeof(*s));

    s->worker = st->worker;
    s->listener = st->listener;
    s->io.fd = st->fd;
    s->io.ready = on_accept;
    s->timer.fire = rest_over;
    s->next = st->worker->sockets;
    st->worker->sockets = s;
    must(loop_watch(st->worker->loop, &s->io, EPOLLIN) == ERR_OK);
    x_free(st);
}

static void close_socket(struct worker_socket *s)
{
    struct address peer;
    int fd;

    timer_clear(&s->timer);
    /* What is queued at a socket that is a successor's as well is for it. */
    while (!s->taken && sock_accept(s->io.fd, &fd, &peer) == ERR_OK)
        welcome(s, fd, &peer);
    loop_unwatch(s->worker->loop, &s->io);
    close(s->io.fd);
    x_free(s);
}

static void unlisten_here(struct task *t)
{
    struct socket_task *st = (struct socket_task *)t;
    struct worker_socket **at = &st->worker->sockets, *s;

    while ((s = *at)) {
        if (s->listener != st->listener) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        close_socket(s);
    }
    x_free(st);
}

static struct socket_task *socket_task(struct worker *w, uint32_t listener,
                                       void (*fn)(struct task *t))
{
    struct socket_task *t = x_new(sizeof(*t));

    t->task.run = fn;
    t->worker = w;
    t->listener = listener;
    return t;
}

void worker_listen(struct worker *w, uint32_t listener, int fd)
{
    struct socket_task *t;

    if (fd < 0)
        return;
    t = socket_task(w, listener, listen_here);
    t->fd = fd;
    loop_post(w->loop, &t->task);
}

void worker_unlisten(struct worker *w, uint32_t listener)
{
    loop_post(w->loop, &socket_task(w, listener, unlisten_here)->task);
}

static void rest_here(struct task *t)
{
    struct socket_task *st = (struct socket_task *)t;
    struct worker *w = st->worker;

    for (struct worker_socket *s = w->sockets; s; s = s->next) {
        struct address peer;
        int fd;

        if (s->listener != st->listener)
            continue;
        s->taken = true;
        timer_clear(&s->timer);
        loop_rewatch(w->loop, &s->io, 0);
        while (sock_accept(s->io.fd, &fd, &peer) == ERR_OK)
            welcome(s, fd, &peer);
    }
    x_free(st);
}

static void leave_here(struct task *t)
{
    struct socket_task *st = (struct socket_task *)t;

    http_drain(&st->worker->conns);
    x_free(st);
}

static void wake_here(struct task *t)
{
    struct socket_task *st = (struct socket_task *)t;
    struct worker *w = st->worker;

    w->conns.draining = false;
    for (struct worker_socket *s = w->sockets; s; s = s->next) {
        s->taken = false;
        loop_rewatch(w->loop, &s->io, EPOLLIN);
    }
    x_free(st);
}

static void forget_here(struct task *t)
{
    struct socket_task *st = (struct socket_task *)t;
    struct worker *w = st->worker;
    struct worker_socket *s;

    while ((s = w->sockets)) {
        w->sockets = s->next;
        close_socket(s);
    }
    x_free(st);
}

static void goodbye_here(struct task *t)
{
    struct socket_task *st = (struct socket_task *)t;

    http_goodbye(&st->worker->conns);
    x_free(st);
}

void worker_goodbye(struct worker *w)
{
    loop_post(w->loop, &socket_task(w, 0, goodbye_here)->task);
}

void worker_rest(struct worker *w, uint32_t listener)
{
    loop_post(w->loop, &socket_task(w, listener, rest_here)->task);
}

void worker_leave(struct worker *w)
{
    loop_post(w->loop, &socket_task(w, 0, leave_here)->task);
}

void worker_wake(struct worker *w)
{
    loop_post(w->loop, &socket_task(w, 0, wake_here)->task);
}

void worker_forget(struct worker *w)
{
    loop_post(w->loop, &socket_task(w, 0, forget_here)->task);
}

static void drain_here(struct task *t)
{
    struct socket_task *st = (struct socket_task *)t;
    struct worker *w = st->worker;
    struct worker_socket *s;

    while ((s = w->sockets)) {
        w->sockets = s->next;
        close_socket(s);
    }
    http_drain(&w->conns);
    x_free(st);
}

void worker_drain(struct worker *w)
{
    loop_post(w->loop, &socket_task(w, 0, drain_here)->task);
}

static void close_here(struct task *t)
{
    struct socket_task *st = (struct socket_task *)t;

    http_close_all(&st->worker->conns);
    x_free(st);
}

void worker_close_all(struct worker *w)
{
    loop_post(w->loop, &socket_task(w, 0, close_here)->task);
}

void worker_free(struct worker *w)
{
    struct worker_socket *s;

    while ((s = w->sockets)) {
        w->sockets = s->next;
        close(s->io.fd);
        x_free(s);
    }
    access_log_free(w->log);
    token_cache_free(w->tokens);
    arena_free(w->refusal);
    if (w->spare_fd >= 0)
        close(w->spare_fd);
    for (int i = 0; i < PIN_CHUNKS; i++)
        x_free(atomic_load(&w->pins[i]));
    loop_free(w->loop);
    x_free(w);
}
