/* tiers_internal.h - what tiers.c and tiers_read.c share. */
#ifndef TG_TRAFFIC_TIERS_INTERNAL_H
#define TG_TRAFFIC_TIERS_INTERNAL_H

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

#endif
