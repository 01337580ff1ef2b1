/* endpoint.c - state of an origin, and who may use it when. */
#include "gateway/upstream/endpoint.h"

#include <stdlib.h>

#include "base/log.h"
#include "gateway/exchange.h"
#include "gateway/metrics.h"
#include "gateway/worker.h"

/* Breaker: a ring of buckets over the rolling window. A bucket whose stamp is
 * old is taken over by whoever comes first; two threads at that instant may
 * lose a count, which the breaker can bear. */

static struct breaker_bucket *bucket_now(struct endpoint *e, uint64_t now_ms)
{
    uint64_t stamp = now_ms / e->breaker.breaker.bucket_ms;
    struct breaker_bucket *b = &e->buckets[stamp % BREAKER_BUCKETS];
    uint64_t seen = atomic_load(&b->stamp);

    if (seen != stamp &&
        atomic_compare_exchange_strong(&b->stamp, &seen, stamp)) {
        atomic_store(&b->calls, 0);
        atomic_store(&b->failures, 0);
    }
    return b;
}

static bool window_bad(struct endpoint *e, uint64_t now_ms)
{
    uint64_t stamp = now_ms / e->breaker.breaker.bucket_ms;
    uint64_t span = e->breaker.breaker.window_ms / e->breaker.breaker.bucket_ms;
    uint64_t calls = 0, failures = 0;

    if (span == 0)
        span = 1;
    if (span > BREAKER_BUCKETS)
        span = BREAKER_BUCKETS;
    for (uint64_t i = 0; i < span && i <= stamp; i++) {
        struct breaker_bucket *b = &e->buckets[(stamp - i) % BREAKER_BUCKETS];

        if (atomic_load(&b->stamp) != stamp - i)
            continue;
        calls += atomic_load(&b->calls);
        failures += atomic_load(&b->failures);
    }
    return calls >= e->breaker.breaker.request_volume && failures > 0 &&
           (double)failures >=
               e->breaker.breaker.failure_threshold * (double)calls;
}

static void breaker_count(struct endpoint *e, uint64_t now_ms, bool failed)
{
    struct breaker_bucket *b = bucket_now(e, now_ms);

    atomic_fetch_add(&b->calls, 1);
    if (!failed)
        return;
    atomic_fetch_add(&b->failures, 1);
    if (!atomic_load(&e->open_until_ms) && window_bad(e, now_ms)) {
        atomic_store(&e->open_until_ms, now_ms + e->breaker.breaker.reset_ms);
        if (this_worker)
            metrics_add(&this_worker->metrics->breaker_opened, 1);
        log_warn("upstream", "%.*s: circuit breaker open for %u ms",
                 STR_ARG(e->name), e->breaker.breaker.reset_ms);
    }
}

/* A bucket of nothing would divide by it; more than there are would wrap. */
void endpoint_set_breaker(struct endpoint *e,
                          const struct oas_endpoint_config *config)
{
    uint32_t least;

    e->breaker = *config;
    if (!e->breaker.breaker.window_ms)
        e->breaker.breaker.window_ms = BREAKER_WINDOW_MS;
    if (!e->breaker.breaker.bucket_ms)
        e->breaker.breaker.bucket_ms = BREAKER_BUCKET_MS;
    if (!e->breaker.breaker.reset_ms)
        e->breaker.breaker.reset_ms = BREAKER_RESET_MS;
    if (e->breaker.breaker.bucket_ms > e->breaker.breaker.window_ms)
        e->breaker.breaker.bucket_ms = e->breaker.breaker.window_ms;
    least =
        (e->breaker.breaker.window_ms + BREAKER_BUCKETS - 1) / BREAKER_BUCKETS;
    if (e->breaker.breaker.bucket_ms < least)
        e->breaker.breaker.bucket_ms = least;
}

static void breaker_reset(struct endpoint *e)
{
    for (int i = 0; i < BREAKER_BUCKETS; i++)
        atomic_store(&e->buckets[i].stamp, 0);
    atomic_store(&e->open_until_ms, 0);
    log_info("upstream", "%.*s: circuit breaker closed", STR_ARG(e->name));
}

/* Who may use it */

bool endpoint_looks_usable(const struct endpoint *e, uint64_t now_ms)
{
    uint64_t until =
        atomic_load_explicit(&e->suspended_until_ms, memory_order_relaxed);
    uint64_t open =
        atomic_load_explicit(&e->open_until_ms, memory_order_relaxed);

    if (until > now_ms || open > now_ms)
        return false;
    if ((until || open) &&
        atomic_load_explicit(&e->trial, memory_order_relaxed))
        return false; /* somebody is trying it */
    return !atomic_load_explicit(&e->down, memory_order_relaxed);
}

bool endpoint_usable(struct endpoint *e, uint64_t now_ms, bool *trial)
{
    bool no = false;

    *trial = false;
    if (!endpoint_looks_usable(e, now_ms))
        return false;
    if (!atomic_load_explicit(&e->suspended_until_ms, memory_order_relaxed) &&
        !atomic_load_explicit(&e->open_until_ms, memory_order_relaxed))
        return true;
    /* Its time is over: one call goes and sees. */
    if (!atomic_compare_exchange_strong(&e->trial, &no, true))
        return false;
    *trial = true;
    return true;
}

static void suspend(struct endpoint *e, uint64_t now_ms, const char *why)
{
    uint64_t last = atomic_load(&e->suspended_for_ms), next;

    if (!e->suspend_ms || atomic_load(&e->suspended_until_ms) > now_ms)
        return;
    next = last ? last * e->suspend_factor : e->suspend_ms;
    if (next > e->suspend_max_ms)
        next = e->suspend_max_ms;
    atomic_store(&e->suspended_for_ms, next);
    atomic_store(&e->suspended_until_ms, now_ms + next);
    if (this_worker)
        metrics_add(&this_worker->metrics->suspended, 1);
    log_warn("upstream", "%.*s: suspended for %llu ms: %s", STR_ARG(e->name),
             (unsigned long long)next, why ? why : "unreachable");
}

void endpoint_result(struct endpoint *e, uint64_t now_ms,
                     enum endpoint_outcome outcome, const char *why)
{
    bool was_open =
        atomic_load_explicit(&e->open_until_ms, memory_order_relaxed) != 0;

    if (e->breaker.breaker.on)
        breaker_count(e, now_ms, outcome != ENDPOINT_OK);
    if (outcome == ENDPOINT_OK) {
        if (atomic_load_explicit(&e->suspended_for_ms, memory_order_relaxed)) {
            atomic_store(&e->suspended_for_ms, 0);
            atomic_store(&e->suspended_until_ms, 0);
            log_info("upstream", "%.*s: in use again", STR_ARG(e->name));
        }
        if (was_open && atomic_load(&e->open_until_ms) <= now_ms)
            breaker_reset(e);
    } else {
        atomic_fetch_add(&e->failures, 1);
        if (outcome == ENDPOINT_UNREACHABLE)
            suspend(e, now_ms, why);
        if (was_open)
            atomic_store(&e->open_until_ms,
                         now_ms + e->breaker.breaker.reset_ms);
    }
    if (atomic_load_explicit(&e->trial, memory_order_relaxed))
        atomic_store(&e->trial, false);
}

const char *endpoint_state(const struct endpoint *e, uint64_t now_ms)
{
    if (atomic_load(&e->down))
        return "down";
    if (atomic_load(&e->open_until_ms) > now_ms)
        return "open";
    if (atomic_load(&e->suspended_until_ms) > now_ms)
        return "suspended";
    return "up";
}

uint32_t endpoint_outstanding(const struct endpoint *e)
{
    uint32_t n = 0;

    for (int i = 0; i < THREADS_MAX; i++) {
        struct endpoint_thread *t =
            atomic_load_explicit(&e->threads[i], memory_order_acquire);

        if (t)
            n += atomic_load_explicit(&t->outstanding, memory_order_relaxed);
    }
    return n;
}

uint32_t endpoint_connections(const struct endpoint *e, uint32_t *idle)
{
    uint32_t n = 0;

    *idle = 0;
    for (int i = 0; i < THREADS_MAX; i++) {
        struct endpoint_thread *t =
            atomic_load_explicit(&e->threads[i], memory_order_acquire);

        if (!t)
            continue;
        n += atomic_load_explicit(&t->total_count, memory_order_relaxed);
        *idle += atomic_load_explicit(&t->idle_count, memory_order_relaxed);
    }
    return n;
}

struct endpoint_thread *endpoint_here(struct endpoint *e, unsigned thread,
                                      struct loop *l, struct metrics_thread *m)
{
    struct endpoint_thread *t =
        atomic_load_explicit(&e->threads[thread], memory_order_relaxed);

    if (t)
        return t;
    t = aligned_alloc(64, sizeof(*t));
    must(t != NULL);
    memset(t, 0, sizeof(*t));
    t->endpoint = e;
    t->loop = l;
    t->metrics = m;
    t->wait_last = &t->wait_first;
    atomic_store_explicit(&e->threads[thread], t, memory_order_release);
    return t;
}
