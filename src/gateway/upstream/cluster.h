/* cluster.h - the endpoints of an API or operation, and which is next.
 *
 * Part of a compiled API: immutable but for the counters. Each way to balance
 * is one file (lb_*.c) ending in one struct, listed in cluster.c.
 */
#ifndef TG_GATEWAY_UPSTREAM_CLUSTER_H
#define TG_GATEWAY_UPSTREAM_CLUSTER_H

#include "gateway/upstream/endpoint.h"

enum { MEMBERS_MAX = 256 };

struct member {
    struct endpoint *endpoint; /* counted */
    struct str base;           /* path of its URL, no slash at the end */
    uint32_t weight;
};

struct cluster;

/* Which member next, of those not in `tried` (a bit per member, the first 64)
 * that looks usable; -1 when none is. */
struct lb {
    const char *name;
    int (*pick)(struct cluster *c, uint64_t tried, uint64_t now_ms,
                uint32_t random);
};
extern const struct lb lb_round_robin;
extern const struct lb lb_weighted;
extern const struct lb lb_least_outstanding;
extern const struct lb lb_failover;

struct cluster {
    struct cluster *next; /* of the same API */
    const struct lb *lb;
    struct member *members;
    uint32_t count;
    uint64_t weights; /* sum */
    _Atomic uint32_t turn;
    struct oas_endpoint_config config;
    uint64_t first_byte_ms, stall_ms, total_ms;
    uint32_t retries;
    uint32_t retry_percent;
    /* The retry budget: calls add retry_percent, a retry takes 100; kept
     * between 0 and 10,000, so that a quiet API may retry too. */
    _Atomic int32_t budget;
};

/* The next member that may be used now; *trial as in endpoint_usable(). -1:
 * none. Members already tried come again only when all were. */
int cluster_pick(struct cluster *c, uint64_t tried, uint64_t now_ms,
                 uint32_t random, bool *trial);
/* Is there a member outside `tried` that looks usable? */
bool cluster_has(const struct cluster *c, uint64_t tried, uint64_t now_ms);
void cluster_count_call(struct cluster *c);
/* May one more try be made? Takes it from the budget. */
bool cluster_take_retry(struct cluster *c);
/* Statuses of which the document says: try again / count as failure. */
bool cluster_retries_status(const struct cluster *c, unsigned status);
bool cluster_fails_status(const struct cluster *c, unsigned status);

#endif
