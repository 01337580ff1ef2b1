/* policies.h - the tiers of gateway.policies, ready for calls.
 *
 * Made from settings on the main thread, counted; APIs compiled with it hold
 * it. Tiers of documents are bound when an API is compiled; those that a
 * caller brings are bound here, once for all APIs.
 */
#ifndef TG_GATEWAY_POLICIES_H
#define TG_GATEWAY_POLICIES_H

#include "base/map.h"
#include "gateway/settings.h"
#include "traffic/tiers.h"

/* Until there are several. */
#define ORGANIZATION STR("carbon.super")

struct policies {
    struct arena *arena;
    uint32_t refs;    /* main thread */
    uint64_t content; /* of the file */
    struct tiers tiers;
    struct limit_seed seed;
    struct counters *counters; /* the gateway's; NULL: only checked */
    struct map *callers;       /* lower-case name: struct tier_bound */
};

/* Reads the file. ERR_INVALID with problems. */
enum err policies_new(const struct settings *s, struct counters *counters,
                      struct problems *ps, struct policies **out);
struct policies *policies_ref(struct policies *p);
void policies_unref(struct policies *p); /* NULL is fine */
/* Hash of the file's bytes now: other than content when it has changed. */
uint64_t policies_content(const struct settings *s);
/* The tier that a caller brings, by name in any case; NULL: there is none. */
const struct tier_bound *policies_caller_tier(const struct policies *p,
                                              struct str name);

#endif
