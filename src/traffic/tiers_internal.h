/* tiers_internal.h - what the files about tiers share. */
#ifndef TG_TRAFFIC_TIERS_INTERNAL_H
#define TG_TRAFFIC_TIERS_INTERNAL_H

#include "format/json.h"
#include "traffic/tiers.h"

/* Zeroed limits, numbered in their tier. */
struct tier_limit *tier_add_limits(struct arena *a, struct tier *t,
                                   uint32_t count);
/* Who has a counter of its own in the model's own tiers. */
void tier_model_per(enum tier_level level, struct tier_limit *l);
/* Fills identity; group 0 is the default. */
void tier_identify(struct arena *a, uint32_t group, struct tier_limit *l);
/* Adds the shipped tiers. */
void tiers_ship(struct tiers *ts);

/* ---- reading ---- */

struct limit_conf {
    uint64_t requests, bytes, events;
    struct str window;
    uint64_t burst;
    struct conf_strings per;
};

struct condition_conf {
    struct str ip, header, query, claim;
    struct str value, regex;
    bool invert;
};

struct group_conf {
    struct str description;
    struct conf_list when, limits;
};

struct burst_conf {
    uint64_t requests;
    struct str window;
};

struct tier_conf {
    struct str name, description;
    int level; /* enum tier_level */
    struct conf_list limits;
    struct burst_conf burst_control;
    uint64_t concurrency, subscribers;
    bool stop_on_quota;
    struct conf_list groups;
};

struct tier_reader {
    struct arena *a;
    struct problems *ps;
    struct str file;
    struct tiers *out;
    uint32_t room; /* of out->all */
    /* What is being read, for messages. */
    struct tier *tier;
    uint32_t group; /* 0: the default */
    uint32_t line;
};

#define tier_refuse(r, line, ...) \
    problem_error((r)->ps, (r)->file, line, __VA_ARGS__)

void tier_add(struct tier_reader *r, struct tier *t, uint32_t line);
/* One entry of a list of the model: {NAME: {count, …}}, or {name: NAME, count,
 * …}. */
void tier_read_model(struct tier_reader *r, const struct json *item,
                     enum tier_level level);

#endif
