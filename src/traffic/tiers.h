/* tiers.h - named service levels: which limits a call is under.
 *
 * Tiers come from a policies file, in the form of the WSO2 Microgateway
 * (resourcePolicies, applicationPolicies, subscriptionPolicies) or in ours
 * (tiers), and from the shipped ones for names the file does not define. They
 * live in an arena and do not change, so any thread may use them.
 *
 * A tier says what is counted; the caller says for whom: it binds a tier to a
 * place (organization, API, …) when an API is compiled, and turns it into takes
 * for each call with the facts of the call.
 */
#ifndef TG_TRAFFIC_TIERS_H
#define TG_TRAFFIC_TIERS_H

#include "base/conf.h"
#include "traffic/limits.h"

/* Which kind of thing a tier may be attached to. */
enum tier_level {
    TIER_ANY,
    TIER_RESOURCE, /* an API or one of its operations */
    TIER_APPLICATION,
    TIER_SUBSCRIPTION,
    TIER_STREAM, /* subscription to an event-driven API */
};

enum tier_unit {
    TIER_REQUESTS,
    TIER_BYTES,  /* of both bodies: checked before, debited as they flow */
    TIER_EVENTS, /* of a stream, one each */
    TIER_AT_ONCE,
};

/* What makes a counter of its own. */
enum tier_per_kind {
    TIER_PER_KEY, /* the application, or the credential without one */
    TIER_PER_USER,
    TIER_PER_IP,
    TIER_PER_API,
    TIER_PER_OPERATION,
    TIER_PER_HEADER, /* the value of the one named */
    TIER_PER_CLAIM,
};

struct tier_per {
    enum tier_per_kind kind;
    struct str name; /* HEADER, CLAIM */
};

/* What of a tier refused a call: decides the error code. */
enum tier_part { TIER_QUOTA, TIER_BURST, TIER_CONCURRENCY };

#define TIER_PER_MAX 4

struct tier_limit {
    enum tier_part part;
    enum tier_unit unit;
    enum take_kind kind;
    struct window window; /* RATE: what limit and interval were made of */
    uint64_t interval_us; /* RATE */
    uint64_t limit;
    bool mark_only;
    struct tier_per per[TIER_PER_MAX]; /* none: one counter for all callers */
    uint32_t per_count;
    uint32_t number;     /* in its tier, for tier_bound */
    struct str identity; /* what its counters are named by, in the tier */
};

struct tier_condition; /* tier_conditions.h */

/* Calls that meet all conditions are under these limits and not under the
 * default ones. */
struct tier_group {
    struct str description;
    struct tier_condition *conditions;
    uint32_t condition_count;
    struct tier_limit *limits;
    uint32_t limit_count;
};

/* Most takes of one tier: three quotas, burst control, concurrency. Three
 * tiers and a backend's limit fit into LIMITS_MAX. */
#define TIER_QUOTAS_MAX 3
#define TIER_TAKES_MAX (TIER_QUOTAS_MAX + 2)

struct tier {
    struct str name, description;
    enum tier_level level;
    bool shipped;
    struct tier_limit *limits; /* default; none: unlimited */
    uint32_t limit_count;
    struct tier_group *groups;
    uint32_t group_count;
    struct tier_limit *burst, *concurrency; /* or NULL */
    uint32_t numbers;                       /* limits in all */
    uint32_t subscribers; /* STREAM: call-backs at once; 0: any number */
};

struct tiers {
    struct arena *arena;
    struct tier *first;
    struct tier **all; /* those of the file first, in its order */
    uint32_t count;
};

/* The shipped tiers, and those of the file at path (empty: none) before them.
 * ERR_INVALID with problems, each with its line. */
enum err tiers_read(struct arena *a, struct str path, struct tiers *out,
                    struct problems *ps);
/* The same from a text; file is what problems call it. */
enum err tiers_parse(struct arena *a, struct str text, struct str file,
                     struct tiers *out, struct problems *ps);
/* By level and name: exactly, else without case (10kPerMin, 10KPerMin). One of
 * the file before a shipped one, one of level before TIER_ANY. NULL when there
 * is none. */
const struct tier *tiers_find(const struct tiers *ts, enum tier_level level,
                              struct str name);
/* The name that was most likely meant, for messages; or STR_NULL. */
struct str tiers_nearest(const struct tiers *ts, enum tier_level level,
                         struct str name);

/* The tables behind our own form, for the manual. */
extern const struct conf_field tier_fields[];

/* ---- a call ---- */

/* What is known of a call. Texts live as long as the call; what is not known
 * is STR_NULL. The functions may be NULL: then there is no such thing. */
struct call_facts {
    unsigned char ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    struct str key, user, api, operation;
    struct str (*header)(void *arg, struct str name);
    struct str (*query)(void *arg, struct str name);
    struct str (*claim)(void *arg, struct str name);
    void *arg;
};

/* The limits the call is under. Of the groups that match, all count, up to
 * TIER_QUOTAS_MAX limits; of calls in none, the default ones. */
uint32_t tier_select(const struct tier *t, const struct call_facts *f,
                     const struct tier_limit *out[TIER_TAKES_MAX]);

/* A tier at one place. */
struct tier_bound {
    const struct tier *tier;
    struct limit_key *keys; /* by tier_limit.number */
};

/* place: the parts that name it, organization first; what is not in there
 * (the API, for the tier of an application) shares its counters. In the
 * arena. */
void tier_bind(struct arena *a, struct limit_seed seed, const struct tier *t,
               const struct str *place, size_t parts, struct tier_bound *out);
/* The takes of the call: at most TIER_TAKES_MAX. limits gets what each is
 * from. unit EVENTS are left out of a call (events false) and the only ones of
 * an event (true). */
uint32_t tier_takes(const struct tier_bound *b, struct limit_seed seed,
                    const struct call_facts *f, bool events,
                    struct take takes[TIER_TAKES_MAX],
                    const struct tier_limit *limits[TIER_TAKES_MAX]);

#endif
