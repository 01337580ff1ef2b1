/* rules_internal.h - the table behind rules.h, for rules_*.c.
 */
#ifndef TG_GATEWAY_DENY_RULES_INTERNAL_H
#define TG_GATEWAY_DENY_RULES_INTERNAL_H

#include "base/map.h"
#include "gateway/deny/ranges.h"
#include "gateway/deny/rules.h"

enum { DENY_RULES_MAX = 100000, DENY_SCANNED_MAX = 1000 };

/* By which part a rule is found. */
enum deny_key { DENY_BY_USER, DENY_BY_APPLICATION, DENY_BY_API, DENY_KEYS };

struct deny_hit {
    const struct deny_rule *rule;
    struct deny_hit *next;
};

struct deny_index {
    uint32_t count;            /* of rules */
    struct map *by[DENY_KEYS]; /* struct deny_hit; NULL: none */
    struct ranges *addresses;
    const struct deny_rule **scanned;
    uint32_t scanned_count;
};

struct deny_rules {
    struct arena *arena;
    struct deny_rule *rules;
    uint32_t count, room;
    bool by_country;
    struct deny_index index[2]; /* by enum deny_time */
};

/* Every rule is there: makes the index. ERR_LIMIT with a problem. */
enum err deny_rules_index(struct deny_rules *r, struct str path,
                          struct problems *ps);

/* Whether all parts of a rule fit, whether or not it is enabled. */
bool deny_rule_meets(const struct deny_rule *rule, const struct deny_call *c);

#endif
