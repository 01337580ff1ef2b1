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
    struct window_span span; /* TAKE_WINDOW */
    uint64_t generation;     /* TAKE_AT_ONCE: of the process */
    uint64_t others;         /* TAKE_AT_ONCE: of other processes */
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
/* One call at once less. */
void limit_give_back(struct value *v);

#endif
