/* loop.h - one thread's event loop: level-triggered epoll, timers, tasks.
 *
 * A turn: wait for events, read the clock once, run what is ready, run the
 * tasks other threads posted, run due timers, then the end-of-turn calls
 * (where connections flush what they gathered). Everything runs on the loop's
 * thread but loop_post() and loop_stop(), which any thread may call.
 */
#ifndef TG_NET_LOOP_H
#define TG_NET_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop;

/* Something with a descriptor. Embedded in who owns it. */
struct io {
    int fd;
    uint32_t events; /* what epoll watches now (EPOLLIN, …) */
    void (*ready)(struct io *io, uint32_t events);
};

/* A point in time. Embedded; zeroed means not set. */
struct timer {
    struct timer *next, **prev;
    uint64_t at_ms;  /* monotonic, loop_now_ms() */
    uint64_t due_ms; /* private: where it is linked; never after at_ms */
    void (*fire)(struct timer *t);
};

/* Work handed to a loop by another thread, or put off to the end of a turn.
 * Embedded; it must not be posted again before it ran. */
struct task {
    struct task *next;
    void (*run)(struct task *t);
    bool queued; /* end-of-turn tasks only */
};

struct loop *loop_new(void);
void loop_free(struct loop *l);
/* Runs until loop_stop(). */
void loop_run(struct loop *l);
/* One turn, waiting at most max_wait_ms (tests). */
void loop_turn(struct loop *l, int max_wait_ms);
void loop_stop(struct loop *l);

/* After a turn that had work, look for more for up to us microseconds before
 * sleeping: with few connections a wake-up costs more than the call. It is
 * done only while it pays (the last looks found something), so an idle loop,
 * or one whose peers take their time, sleeps as ever. 0: never. Any thread. */
void loop_set_spin(struct loop *l, uint32_t us);

/* Start watching; events as in epoll. ERR_IO with errno. */
enum err loop_watch(struct loop *l, struct io *io, uint32_t events);
/* Another set of events; no system call when it is the same. */
void loop_rewatch(struct loop *l, struct io *io, uint32_t events);
/* Stop watching; io->fd stays open. Events already fetched in this turn are
 * not delivered to it any more. */
void loop_unwatch(struct loop *l, struct io *io);

/* (Re)sets a timer; cheap when it only moves later. */
void timer_set(struct loop *l, struct timer *t, uint64_t at_ms);
void timer_clear(struct timer *t);
static inline bool timer_pending(const struct timer *t)
{
    return t->prev != NULL;
}

/* Milliseconds and microseconds, monotonic, read once per turn. */
uint64_t loop_now_ms(const struct loop *l);
uint64_t loop_now_us(const struct loop *l);
/* Wall clock of this turn, microseconds since 1970. */
uint64_t loop_wall_us(const struct loop *l);
/* Formatted once a second: "Sat, 21 Nov 2026 08:00:00 GMT". */
const char *loop_http_date(struct loop *l);

/* Runs t on the loop's thread, soon. Any thread. */
void loop_post(struct loop *l, struct task *t);
/* Runs what was posted when its thread has ended; by who frees it. */
void loop_finish(struct loop *l);
/* Runs what was put off to the end of a turn, after the last one: it frees
 * what was closed since. */
void loop_settle(struct loop *l);
/* Runs t at the end of this turn, once, however often it is asked. */
void loop_at_end(struct loop *l, struct task *t);

/* Called at the beginning of each turn, after waiting (snapshot pick-up). */
void loop_on_turn(struct loop *l, void (*fn)(void *arg), void *arg);
/* Turns begun so far; odd while inside a turn, even while it waits. Others
 * read it to know that a loop keeps nothing from before (grace.h). */
uint64_t loop_turns(const struct loop *l);
/* The longest turn in microseconds since the last call, then forgotten. Any
 * thread. */
uint64_t loop_take_lag_us(struct loop *l);

#endif
