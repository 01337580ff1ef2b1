/* loop.c - epoll, a two-level timer wheel, and tasks from other threads.
 *
 * The wheel: level 0 has slots of 16 ms over 4 s, level 1 slots of 4 s over 17
 * minutes, later timers wait in the last slot. A timer that only moves later
 * stays where it is linked and is put right when its slot comes up, so the
 * time-outs of a busy connection cost a store per call. Level 0 alone decides
 * when to wake, so ten thousand idle connections wake a loop every 4 s.
 */
#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    EVENTS_MAX = 256,
    TICK_MS = 16,
    SLOTS = 256,
    SPAN0_MS = TICK_MS * SLOTS,
    SPIN_LUCK_MAX = 16,
    SPIN_TRY = 64, /* without luck, once in so many sleeps */
};

struct turn_hook {
    void (*fn)(void *arg);
    void *arg;
    struct turn_hook *next;
};

struct loop {
    int epoll_fd;
    struct io wake; /* eventfd */
    bool running;
    atomic_bool stop;
    uint64_t now_us, now_ms;         /* when the turn began */
    uint64_t ended_ms;               /* when the last one ended */
    uint64_t wall_us, wall_stamp_us; /* wall clock, and when it was read */
    uint64_t date_s;
    char date[30];
    struct epoll_event events[EVENTS_MAX];
    int event_count, event_at;
    struct task *_Atomic posted;
    atomic_bool woken; /* the eventfd was written, or is about to be */
    struct task *end_first, **end_last;
    struct turn_hook *hooks;
    _Atomic uint64_t turns;
    _Atomic uint64_t lag_us;
    _Atomic uint32_t spin_us;
    int32_t spin_luck;          /* above 0: looks before sleeping have paid */
    uint32_t spin_sleeps;       /* without luck since the last try */
    uint64_t tick;              /* level-0 slots before this one are empty */
    bool timers;                /* there ever was one */
    uint64_t used0[SLOTS / 64]; /* slots that may hold a timer */
    struct timer *slots0[SLOTS];
    struct timer *slots1[SLOTS];
    struct timer *due; /* the slot being run */
};

static void read_clock(struct loop *l)
{
    l->now_us = clock_mono_us();
    l->now_ms = l->now_us / 1000;
    if (l->now_us - l->wall_stamp_us > 500000 || !l->wall_us) {
        l->wall_us = clock_wall_us();
        l->wall_stamp_us = l->now_us;
    }
}

/* Only here is `woken` taken back: what was posted before is run below, and
 * who posts from now on writes again. run_posted() must not do it, or a write
 * under way would be read later by a loop that finds no task, and `woken`
 * would stay with nothing written. */
static void drain_wake(struct io *io, uint32_t events)
{
    struct loop *l = (struct loop *)((char *)io - offsetof(struct loop, wake));
    uint64_t n;

    (void)events;
    if (read(io->fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
        log_error("loop", "eventfd: %m");
    atomic_store(&l->woken, false);
}

struct loop *loop_new(void)
{
    struct loop *l = x_new(sizeof(*l));

    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    must(l->epoll_fd >= 0);
    l->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    must(l->wake.fd >= 0);
    l->wake.ready = drain_wake;
    must(loop_watch(l, &l->wake, EPOLLIN) == ERR_OK);
    l->end_last = &l->end_first;
    read_clock(l);
    l->ended_ms = l->now_ms;
    l->tick = l->now_ms / TICK_MS;
    return l;
}

void loop_free(struct loop *l)
{
    struct turn_hook *h, *next;

    if (!l)
        return;
    for (h = l->hooks; h; h = next) {
        next = h->next;
        x_free(h);
    }
    close(l->wake.fd);
    close(l->epoll_fd);
    x_free(l);
}

/* Descriptors */

enum err loop_watch(struct loop *l, struct io *io, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = io };

    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, io->fd, &ev))
        return ERR_IO;
    io->events = events;
    return ERR_OK;
}

void loop_rewatch(struct loop *l, struct io *io, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = io };

    if (io->events == events)
        return;
    io->events = events;
    must(epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) == 0);
}

void loop_unwatch(struct loop *l, struct io *io)
{
    struct epoll_event ev = { 0 };

    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, &ev);
    for (int i = l->event_at; i < l->event_count; i++)
        if (l->events[i].data.ptr == io)
            l->events[i].data.ptr = NULL;
}

/* Timers */

static void timer_link(struct loop *l, struct timer *t)
{
    uint64_t tick = t->at_ms / TICK_MS + 1; /* never early */
    struct timer **slot;

    if (tick < l->tick)
        tick = l->tick;
    if (tick - l->tick < SLOTS) {
        slot = &l->slots0[tick % SLOTS];
        t->due_ms = tick * TICK_MS;
        l->used0[tick % SLOTS / 64] |= 1ull << (tick % 64);
    } else {
        uint64_t span = tick / SLOTS, first = l->tick / SLOTS;

        if (span - first >= SLOTS)
            span = first + SLOTS - 1;
        slot = &l->slots1[span % SLOTS];
        t->due_ms = span * SPAN0_MS;
    }
    t->next = *slot;
    if (t->next)
        t->next->prev = &t->next;
    t->prev = slot;
    *slot = t;
    l->timers = true;
}

/* Leaves the slot's bit in used0: it costs one spurious look. */
static void timer_unlink(struct timer *t)
{
    *t->prev = t->next;
    if (t->next)
        t->next->prev = t->prev;
    t->prev = NULL;
}

void timer_set(struct loop *l, struct timer *t, uint64_t at_ms)
{
    t->at_ms = at_ms;
    if (t->prev) {
        if (t->due_ms <= at_ms + TICK_MS)
            return; /* only later: put right when the slot comes up */
        timer_unlink(t);
    }
    timer_link(l, t);
}

void timer_clear(struct timer *t)
{
    if (t->prev)
        timer_unlink(t);
    t->at_ms = 0;
}

/* Takes a whole slot off the wheel and fires or relinks what was in it. */
static void run_slot(struct loop *l, struct timer **slot, bool fire)
{
    struct timer *t;

    l->due = *slot;
    *slot = NULL;
    if (l->due)
        l->due->prev = &l->due;
    while ((t = l->due)) {
        timer_unlink(t);
        if (fire && t->at_ms <= l->now_ms) {
            t->at_ms = 0;
            t->fire(t);
        } else {
            timer_link(l, t);
        }
    }
}

static void run_timers(struct loop *l)
{
    uint64_t now_tick = l->now_ms / TICK_MS;

    while (l->tick <= now_tick) {
        uint64_t tick = l->tick++;

        if (l->tick % SLOTS == 0)
            run_slot(l, &l->slots1[(l->tick / SLOTS) % SLOTS], false);
        l->used0[tick % SLOTS / 64] &= ~(1ull << (tick % 64));
        if (l->slots0[tick % SLOTS])
            run_slot(l, &l->slots0[tick % SLOTS], true);
    }
}

/* The first tick from l->tick up to end whose slot may hold a timer. */
static uint64_t next_used(const struct loop *l, uint64_t end)
{
    uint64_t tick = l->tick;

    while (tick < end) {
        uint64_t bits = l->used0[tick % SLOTS / 64] >> (tick % 64);

        if (bits) {
            tick += (unsigned)__builtin_ctzll(bits);
            return tick < end ? tick : end;
        }
        tick += 64 - tick % 64;
    }
    return end;
}

/* How long to sleep: to the next slot of level 0 with something in it, else
 * to the next time level 1 is looked at. */
static int wait_ms(const struct loop *l)
{
    uint64_t tick;

    if (!l->timers)
        return -1;
    tick = next_used(l, (l->tick / SLOTS + 1) * SLOTS);
    if (tick * TICK_MS <= l->ended_ms)
        return 0;
    return (int)(tick * TICK_MS - l->ended_ms);
}

/* Tasks */

void loop_post(struct loop *l, struct task *t)
{
    struct task *head = atomic_load_explicit(&l->posted, memory_order_relaxed);
    uint64_t one = 1;

    do {
        t->next = head;
    } while (!atomic_compare_exchange_weak(&l->posted, &head, t));
    if (!atomic_exchange(&l->woken, true) &&
        write(l->wake.fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_error("loop", "eventfd: %m");
}

static void run_posted(struct loop *l)
{
    struct task *list, *t, *ordered = NULL;

    if (!atomic_load(&l->posted))
        return;
    list = atomic_exchange(&l->posted, NULL);
    while ((t = list)) { /* first in, first out */
        list = t->next;
        t->next = ordered;
        ordered = t;
    }
    while ((t = ordered)) {
        ordered = t->next;
        t->run(t);
    }
}

void loop_at_end(struct loop *l, struct task *t)
{
    if (t->queued)
        return;
    t->queued = true;
    t->next = NULL;
    *l->end_last = t;
    l->end_last = &t->next;
}

static void run_end(struct loop *l)
{
    struct task *t;

    while ((t = l->end_first)) {
        l->end_first = t->next;
        if (!l->end_first)
            l->end_last = &l->end_first;
        t->queued = false;
        t->run(t);
    }
}

void loop_on_turn(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct turn_hook *h = x_new(sizeof(*h));

    h->fn = fn;
    h->arg = arg;
    h->next = l->hooks;
    l->hooks = h;
}

/* The turn */

static void note_end(struct loop *l)
{
    uint64_t now_us = clock_mono_us(), us = now_us - l->now_us;

    l->ended_ms = now_us / 1000;

    if (us > atomic_load_explicit(&l->lag_us, memory_order_relaxed))
        atomic_store_explicit(&l->lag_us, us, memory_order_relaxed);
}

void loop_set_spin(struct loop *l, uint32_t us)
{
    atomic_store_explicit(&l->spin_us, us, memory_order_relaxed);
}

static int wait_for_events(struct loop *l, int wait)
{
    return epoll_wait(l->epoll_fd, l->events, EVENTS_MAX, wait);
}

static bool spin_pays(struct loop *l)
{
    if (l->spin_luck > 0)
        return true;
    if (++l->spin_sleeps < SPIN_TRY)
        return false;
    l->spin_sleeps = 0;
    return true;
}

/* Looks for events without sleeping, for a moment. A look that found nothing
 * costs as much as eight that did have saved. */
static int spin(struct loop *l, uint32_t us)
{
    uint64_t end = clock_mono_us() + us;
    int n;

    do {
        n = wait_for_events(l, 0);
    } while (n == 0 &&
             !atomic_load_explicit(&l->posted, memory_order_relaxed) &&
             clock_mono_us() < end);
    if (n > 0)
        l->spin_luck += l->spin_luck < SPIN_LUCK_MAX;
    else
        l->spin_luck -= l->spin_luck > 0 ? SPIN_LUCK_MAX / 2 : 0;
    return n;
}

static int next_events(struct loop *l, int wait)
{
    uint32_t us = atomic_load_explicit(&l->spin_us, memory_order_relaxed);

    if (us && wait && l->event_count > 0 && spin_pays(l)) {
        int n = spin(l, us);

        if (n || atomic_load_explicit(&l->posted, memory_order_relaxed))
            return n;
    }
    return wait_for_events(l, wait);
}

void loop_turn(struct loop *l, int max_wait_ms)
{
    int wait = wait_ms(l);

    if (max_wait_ms >= 0 && (wait < 0 || wait > max_wait_ms))
        wait = max_wait_ms;
    if (atomic_load_explicit(&l->posted, memory_order_relaxed))
        wait = 0;
    l->event_count = next_events(l, wait);
    if (l->event_count < 0)
        l->event_count = 0;         /* EINTR */
    atomic_fetch_add(&l->turns, 1); /* odd: inside */
    read_clock(l);
    for (struct turn_hook *h = l->hooks; h; h = h->next)
        h->fn(h->arg);
    for (l->event_at = 0; l->event_at < l->event_count;) {
        struct epoll_event *ev = &l->events[l->event_at++];
        struct io *io = ev->data.ptr;

        if (io)
            io->ready(io, ev->events);
    }
    run_posted(l);
    run_timers(l);
    run_end(l);
    note_end(l);
    atomic_fetch_add(&l->turns, 1); /* even: waiting */
}

void loop_run(struct loop *l)
{
    while (!atomic_load_explicit(&l->stop, memory_order_relaxed))
        loop_turn(l, -1);
    run_posted(l); /* what was asked before the stop */
    run_end(l);
}

void loop_finish(struct loop *l)
{
    run_posted(l);
}

void loop_settle(struct loop *l)
{
    run_end(l);
}

static void nothing(struct task *t)
{
    x_free(t);
}

void loop_stop(struct loop *l)
{
    struct task *t = x_new(sizeof(*t)); /* wakes it */

    atomic_store(&l->stop, true);
    t->run = nothing;
    loop_post(l, t);
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

uint64_t loop_now_us(const struct loop *l)
{
    return l->now_us;
}

uint64_t loop_wall_us(const struct loop *l)
{
    return l->wall_us + (l->now_us - l->wall_stamp_us);
}

const char *loop_http_date(struct loop *l)
{
    uint64_t s = loop_wall_us(l) / 1000000;

    if (s != l->date_s) {
        l->date_s = s;
        clock_http_date(s * 1000000, l->date);
    }
    return l->date;
}

uint64_t loop_turns(const struct loop *l)
{
    return atomic_load(&((struct loop *)(uintptr_t)l)->turns);
}

uint64_t loop_take_lag_us(struct loop *l)
{
    return atomic_exchange(&l->lag_us, 0);
}
