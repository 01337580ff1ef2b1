/* cluster.c - see cluster.h. */
#include "gateway/upstream/cluster.h"

enum { BUDGET_MAX = 10000, RETRY_COST = 100 };

int cluster_pick(struct cluster *c, uint64_t tried, uint64_t now_ms,
                 uint32_t random, bool *trial)
{
    uint64_t skip = tried;
    int i;

    /* Another thread may take the only trial in between: look again. */
    while ((i = c->lb->pick(c, skip, now_ms, random)) >= 0) {
        if (endpoint_usable(c->members[i].endpoint, now_ms, trial))
            return i;
        if (i >= 64)
            return -1;
        skip |= 1ull << i;
    }
    if (tried)
        return cluster_pick(c, 0, now_ms, random, trial);
    return -1;
}

bool cluster_has(const struct cluster *c, uint64_t tried, uint64_t now_ms)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (!(i < 64 && tried >> i & 1) &&
            endpoint_looks_usable(c->members[i].endpoint, now_ms))
            return true;
    return false;
}

void cluster_count_call(struct cluster *c)
{
    int32_t now = atomic_load_explicit(&c->budget, memory_order_relaxed);

    /* Full is the usual state: then nothing is written. */
    if (now < BUDGET_MAX)
        atomic_fetch_add_explicit(&c->budget, (int32_t)c->retry_percent,
                                  memory_order_relaxed);
}

bool cluster_take_retry(struct cluster *c)
{
    if (atomic_fetch_sub(&c->budget, RETRY_COST) >= RETRY_COST)
        return true;
    atomic_fetch_add(&c->budget, RETRY_COST);
    return false;
}

static bool listed(const uint16_t *statuses, uint32_t n, unsigned status)
{
    for (uint32_t i = 0; i < n; i++)
        if (statuses[i] == status)
            return true;
    return false;
}

bool cluster_retries_status(const struct cluster *c, unsigned status)
{
    return listed(c->config.retry.statuses, c->config.retry.status_count,
                  status);
}

bool cluster_fails_status(const struct cluster *c, unsigned status)
{
    return listed(c->config.breaker.statuses, c->config.breaker.status_count,
                  status);
}
