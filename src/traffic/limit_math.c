/* limit_math.c - windows, rates and calls at once. */
#include "traffic/limit_math.h"

#include "base/log.h"

#define MINOR_ONE (1ull << AT_ONCE_BITS)

struct value limit_empty(const struct take *t, const struct instant *at)
{
    struct value v = { 0 };

    if (t->kind == TAKE_WINDOW)
        v.start = at->span->start_s;
    else if (t->kind == TAKE_RATE)
        v.start = at->now_us / 1000000;
    else
        v.start = at->generation;
    return v;
}

void limit_roll(const struct take *t, const struct instant *at, struct value *v)
{
    bool over = false;

    if (t->kind == TAKE_WINDOW) /* never back: a window does not reopen */
        over = v->start < at->span->start_s;
    else if (t->kind == TAKE_AT_ONCE)
        over = v->start != at->generation;
    if (over)
        *v = limit_empty(t, at);
    v->rolled |= over;
}

static bool check_window(const struct take *t, const struct instant *at,
                         const struct value *v, struct limit_state *out)
{
    uint64_t left = t->limit > v->amount ? t->limit - v->amount : 0;
    uint64_t end_s = at->span->end_s;

    if (v->start != at->span->start_s) /* the clock is behind */
        end_s = window_at(t->window, v->start).end_s;
    out->remaining = left;
    out->reset_us = end_s * 1000000;
    out->exceeded = t->cost ? t->cost > left : !left;
    if (out->exceeded && t->limit && t->cost <= t->limit)
        out->retry_us = out->reset_us;
    return out->exceeded;
}

/* When everything is back, at the earliest now. */
static uint64_t rate_full_us(const struct instant *at, const struct value *v)
{
    uint64_t full_us = v->start * 1000000 + v->amount;

    return full_us > at->now_us ? full_us : at->now_us;
}

static bool check_rate(const struct take *t, const struct instant *at,
                       const struct value *v, struct limit_state *out)
{
    uint64_t full_us = rate_full_us(at, v),
             reach_us = t->interval_us * t->limit;
    uint64_t cost_us = t->interval_us * (t->cost ? t->cost : 1);
    uint64_t used_us = full_us - at->now_us;

    out->remaining =
        used_us < reach_us ? (reach_us - used_us) / t->interval_us : 0;
    out->reset_us = full_us;
    out->exceeded = used_us + cost_us > reach_us;
    if (out->exceeded && cost_us <= reach_us)
        out->retry_us = full_us + cost_us - reach_us;
    return out->exceeded;
}

bool limit_check(const struct take *t, const struct instant *at,
                 const struct value *v, struct limit_state *out)
{
    uint64_t used;

    *out = (struct limit_state) { .limit = t->limit };
    switch (t->kind) {
    case TAKE_WINDOW:
        return check_window(t, at, v, out);
    case TAKE_RATE:
        return check_rate(t, at, v, out);
    case TAKE_AT_ONCE:
        used = (v->amount & AT_ONCE_MASK) + at->others;
        out->remaining = t->limit > used ? t->limit - used : 0;
        out->exceeded = t->cost > out->remaining;
        return out->exceeded;
    }
    must_fail("a kind of take", __FILE__, __LINE__);
}

static void count_rate(const struct take *t, const struct instant *at,
                       uint64_t cost, struct value *v)
{
    uint64_t full_us = rate_full_us(at, v);
    uint64_t most_us = at->now_us + LIMITS_MOST;

    /* Somebody who went through anyway (bytes) does not wait for ever. */
    if (cost > LIMITS_MOST / t->interval_us)
        cost = LIMITS_MOST / t->interval_us;
    if (full_us + cost * t->interval_us <= most_us)
        full_us += cost * t->interval_us;
    else if (full_us < most_us)
        full_us = most_us;
    if (full_us - v->start * 1000000 > PAYLOAD_MAX / 2) {
        v->start = full_us / 1000000 - 1;
        v->rolled = true;
    }
    v->amount = full_us - v->start * 1000000;
}

/* A number of changes stands above the count, so that no value comes back. */
static void change_at_once(struct value *v, uint64_t count)
{
    uint64_t minor = (v->amount & ~AT_ONCE_MASK) + MINOR_ONE;

    if (minor > PAYLOAD_MAX) {
        minor = 0;
        v->rolled = true;
    }
    v->amount = minor | count;
}

void limit_count(const struct take *t, const struct instant *at, uint64_t cost,
                 struct value *v)
{
    uint64_t count = v->amount & AT_ONCE_MASK;

    if (t->kind == TAKE_WINDOW)
        v->amount =
            cost < PAYLOAD_MAX - v->amount ? v->amount + cost : PAYLOAD_MAX;
    else if (t->kind == TAKE_RATE)
        count_rate(t, at, cost, v);
    else if (count < AT_ONCE_MASK)
        change_at_once(v, count + 1);
}

void limit_give_back(struct value *v)
{
    uint64_t count = v->amount & AT_ONCE_MASK;

    if (count)
        change_at_once(v, count - 1);
}
