/* tier_conditions.h - whether a call is one of a group.
 *
 * Regular expressions are PCRE2's, searched for anywhere in the value; ^ and $
 * hold it to the ends. They are bounded in steps, depth and memory: one that
 * would take longer does not match. Threads: any may match, compiling is for
 * who reads the file.
 */
#ifndef TG_TRAFFIC_TIER_CONDITIONS_H
#define TG_TRAFFIC_TIER_CONDITIONS_H

#include "traffic/tiers.h"

enum tier_condition_kind {
    CONDITION_IP,
    CONDITION_HEADER,
    CONDITION_QUERY,
    CONDITION_CLAIM,
};

struct tier_condition {
    enum tier_condition_kind kind;
    bool invert;
    unsigned char from[16], to[16]; /* IP: both included */
    struct str name;                /* the others */
    struct str value;               /* exactly; or */
    void *regex;                    /* pcre2_code; both empty: present */
};

/* One address, a network (10.0.0.0/8) or a range (10.0.0.1-10.0.0.9). */
enum err condition_ip(struct str s, unsigned char from[16],
                      unsigned char to[16]);
/* Freed with the arena. On ERR_INVALID *why is in the arena. */
enum err condition_regex(struct arena *a, struct str s, void **out,
                         struct str *why);
/* regex: of condition_regex(). */
bool condition_finds(const void *regex, struct str value);
bool condition_meets(const struct tier_condition *c,
                     const struct call_facts *f);

#endif
