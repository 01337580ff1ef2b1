/* lb_weighted.c - in proportion to weights.
 *
 * Turn number k of the sum of weights W belongs to the member in whose share
 * of [0, W) a permutation of k falls; stepping by a number prime to W spreads
 * a heavy member's turns instead of bunching them.
 */
#include "gateway/upstream/cluster.h"

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t r = a % b;

        a = b;
        b = r;
    }
    return a;
}

static uint64_t spread(uint64_t k, uint64_t sum)
{
    uint64_t step = sum * 5 / 8 | 1; /* near the golden section */

    while (gcd(step, sum) != 1)
        step += 2;
    return k % sum * step % sum;
}

static int pick(struct cluster *c, uint64_t tried, uint64_t now_ms,
                uint32_t random)
{
    uint64_t at, left = 0;
    uint32_t i;

    (void)random;
    for (i = 0; i < c->count; i++)
        if (!(i < 64 && tried >> i & 1) &&
            endpoint_looks_usable(c->members[i].endpoint, now_ms))
            left += c->members[i].weight;
    if (!left)
        return -1;
    at = spread(atomic_fetch_add_explicit(&c->turn, 1, memory_order_relaxed),
                left);
    for (i = 0; i < c->count; i++) {
        if ((i < 64 && tried >> i & 1) ||
            !endpoint_looks_usable(c->members[i].endpoint, now_ms))
            continue;
        if (at < c->members[i].weight)
            return (int)i;
        at -= c->members[i].weight;
    }
    return -1;
}

const struct lb lb_weighted = { .name = "weighted", .pick = pick };
