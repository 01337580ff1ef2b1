/* limits.h - takes a call's limits together, all or none.
 *
 * A call that is refused consumes nothing. The sum of what is admitted in one
 * window equals the limit exactly, however many threads ask for it and
 * whatever else they take with it (counters_internal.h has the argument). A
 * call belongs to the window in which now_us lay; a clock that was set back
 * reopens none: while it is behind, calls count into the newest window.
 *
 * Where a limit's counter lies is not said here: takes look the same when
 * gateways share them.
 */
#ifndef TG_TRAFFIC_LIMITS_H
#define TG_TRAFFIC_LIMITS_H

#include "traffic/counters.h"
#include "traffic/window.h"

#define LIMITS_MAX 16 /* takes of one call */
/* Most requests or bytes in a window. */
#define LIMITS_MOST (1ull << 41)
/* Most calls at once, each process. */
#define LIMITS_MOST_AT_ONCE (1u << 19)

enum take_kind {
    TAKE_WINDOW,  /* limit in each window */
    TAKE_RATE,    /* one each interval_us, at most limit at once (GCRA) */
    TAKE_AT_ONCE, /* limit between limits_take() and limits_give() */
};

struct take {
    struct limit_key key; /* without the window: another window is another
                             counter by itself */
    enum take_kind kind;
    bool mark_only;       /* never refuses: says that it would have */
    struct window window; /* TAKE_WINDOW */
    uint64_t interval_us; /* TAKE_RATE; times limit at most LIMITS_MOST */
    uint64_t limit;       /* at most LIMITS_MOST; 0 refuses all */
    /* 0 asks whether anything is left and takes nothing: for bytes, which
     * limits_debit() counts as they flow. TAKE_AT_ONCE: 1. */
    uint64_t cost;
};

enum limits_refusal {
    LIMITS_ADMITTED,
    LIMITS_EXCEEDED, /* refused says which */
    LIMITS_FULL,     /* no place for a counter, and COUNTERS_REFUSE */
};

struct limit_state {
    uint64_t limit;
    uint64_t remaining;
    /* The wall's clock. WINDOW: when the next window begins. RATE: when all
     * of limit is back. AT_ONCE: 0, nobody knows. */
    uint64_t reset_us;
    /* The earliest time at which it would pass; 0 when it does or when nobody
     * knows. */
    uint64_t retry_us;
    bool exceeded;  /* also of those that only mark */
    bool uncounted; /* no place, and COUNTERS_PASS */
};

struct limits_result {
    enum limits_refusal refusal;
    uint32_t refused; /* index of the first take that refused */
    bool marked;      /* admitted, a mark_only limit was exceeded */
    uint32_t held;    /* what limits_give() must give back: bit for a take */
    uint32_t count;   /* of states */
    struct limit_state states[LIMITS_MAX];
};

/* True when the call is admitted. count up to LIMITS_MAX. */
bool limits_take(struct counters *c, const struct take *takes, uint32_t count,
                 uint64_t now_us, struct limits_result *out);
/* The call is over: gives back what it held (limits_result) of TAKE_AT_ONCE.
 * Once for each limits_take() that admitted; nothing to do when held is 0. */
void limits_give(struct counters *c, const struct take *takes, uint32_t held,
                 uint64_t now_us);
/* Counts amount into each of takes whose cost is 0, refusing nothing: bytes
 * that went through. False when one of them has nothing left now. */
bool limits_debit(struct counters *c, const struct take *takes, uint32_t count,
                  uint64_t amount, uint64_t now_us);
/* What limits_take() would say of each, without taking anything. */
void limits_look(struct counters *c, const struct take *takes, uint32_t count,
                 uint64_t now_us, struct limits_result *out);

#endif
