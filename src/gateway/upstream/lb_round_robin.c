/* lb_round_robin.c - one after the other. */
#include "gateway/upstream/cluster.h"

static int pick(struct cluster *c, uint64_t tried, uint64_t now_ms,
                uint32_t random)
{
    uint32_t start = 0; /* below count: turns wrap at 2^32 */

    (void)random;
    if (c->count > 1)
        start = atomic_fetch_add_explicit(&c->turn, 1, memory_order_relaxed) %
                c->count;
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t at = (start + i) % c->count;

        if ((at < 64 && tried >> at & 1) ||
            !endpoint_looks_usable(c->members[at].endpoint, now_ms))
            continue;
        return (int)at;
    }
    return -1;
}

const struct lb lb_round_robin = { .name = "round_robin", .pick = pick };
