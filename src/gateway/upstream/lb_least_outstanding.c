/* lb_least_outstanding.c - the one with the fewest calls under way, of all
 * threads; equals are drawn by lot, so that threads do not run in step. */
#include "gateway/upstream/cluster.h"

static int pick(struct cluster *c, uint64_t tried, uint64_t now_ms,
                uint32_t random)
{
    uint32_t best = UINT32_MAX;
    int found = -1;

    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t at = (random % c->count + i) % c->count, n;

        if ((at < 64 && tried >> at & 1) ||
            !endpoint_looks_usable(c->members[at].endpoint, now_ms))
            continue;
        n = endpoint_outstanding(c->members[at].endpoint);
        if (n < best) {
            best = n;
            found = (int)at;
        }
    }
    return found;
}

const struct lb lb_least_outstanding = {
    .name = "least_outstanding",
    .pick = pick,
};
