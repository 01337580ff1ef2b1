/* lb_failover.c - the first that works, in the order of the document. */
#include "gateway/upstream/cluster.h"

static int pick(struct cluster *c, uint64_t tried, uint64_t now_ms,
                uint32_t random)
{
    (void)random;
    for (uint32_t at = 0; at < c->count; at++) {
        if ((at < 64 && tried >> at & 1) ||
            !endpoint_looks_usable(c->members[at].endpoint, now_ms))
            continue;
        return (int)at;
    }
    return -1;
}

const struct lb lb_failover = { .name = "failover", .pick = pick };
