/* limit_math.h - what one limit makes of one counter; no memory is shared
 * here.
 */
#ifndef TG_TRAFFIC_LIMIT_MATH_H
#define TG_TRAFFIC_LIMIT_MATH_H

#include "traffic/counters_internal.h"

/* A counter, taken out of its words. */
struct value {
    uint64_t start, amount; /* payloads; start without kind and process */
    bool rolled;            /* begins a new window: the tag is raised */
};

/* The instant of a call. */
struct instant {
    uint64_t now_us;
    const struct window_span *span; /* TAKE_WINDOW */
    uint64_t generation;            /* TAKE_AT_ONCE: of the process */
    uint64_t others;                /* TAKE_AT_ONCE: of other processes */
};

/* Of a counter that does not exist yet. */
struct value limit_empty(const struct take *t, const struct instant *at);
/* Begins the window of the instant, if v is of an older one. */
void limit_roll(const struct take *t, const struct instant *at,
                struct value *v);
/* Fills what is left, before taking; true when the take must be refused. v
 * must be rolled. */
bool limit_check(const struct take *t, const struct instant *at,
                 const struct value *v, struct limit_state *out);
/* Counts amount, also above the limit. */
void limit_count(const struct take *t, const struct instant *at, uint64_t cost,
                 struct value *v);

/* The three above at once, for what most calls take: a window, cost > 0. v may
 * be of an older one. */
static inline bool limit_window(const struct take *t,
                                const struct window_span *span, struct value *v,
                                struct limit_state *out)
{
    uint64_t end_s = span->end_s, left;

    if (v->start != span->start_s) {
        if (v->start < span->start_s)
            *v = (struct value) { span->start_s, 0, true };
        else /* the clock is behind */
            end_s = window_at(t->window, v->start).end_s;
    }
    left = t->limit > v->amount ? t->limit - v->amount : 0;
    out->limit = t->limit;
    out->reset_us = end_s * 1000000;
    out->retry_us = 0;
    out->uncounted = false;
    out->exceeded = t->cost > left;
    out->remaining = out->exceeded ? left : left - t->cost;
    if (out->exceeded && !t->mark_only) {
        out->retry_us = t->cost <= t->limit ? out->reset_us : 0;
        return true;
    }
    out->remaining = out->exceeded ? 0 : out->remaining;
    v->amount =
        t->cost < PAYLOAD_MAX - v->amount ? v->amount + t->cost : PAYLOAD_MAX;
    return false;
}
/* One call at once less. */
void limit_give_back(struct value *v);

/* ---- limits_quick.c ---- */

enum { QUICK_MAX = 6 };

/* Where a thread keeps the span of a window. */
static inline unsigned span_place(struct window w)
{
    return ((unsigned)w.unit + 3 * w.n) % 8;
}

/* True: taken, all of out->states filled. False: nothing was. count between 1
 * and QUICK_MAX. */
bool limits_take_quickly(struct taker *t, const struct take *takes,
                         uint32_t count, uint64_t now_us,
                         struct limits_result *out);

#endif
