/* limit_key.h - the name of a counter, as 128 bits.
 *
 * A name is a list of parts: organization, API, operation, tier, then the
 * value that is counted by (application, user, address, …). Each part is
 * folded in with a keyed hash (SipHash-1-3 with 128 bits), so no caller can
 * choose values that meet in one counter, and ("a", "bc") is not ("ab", "c").
 * What is known when an API is compiled is folded in then; a call adds the
 * value only.
 *
 * The seed is that of the table of counters. Gateways that share limits will
 * share the seed, so the key is also what they call a counter among them.
 */
#ifndef TG_TRAFFIC_LIMIT_KEY_H
#define TG_TRAFFIC_LIMIT_KEY_H

#include "base/str.h"

struct limit_seed {
    uint64_t a, b;
};

struct limit_key {
    uint64_t a, b;
};

/* The key of a name that is base's and one part more. base { 0 } is the name
 * without a part. */
struct limit_key limit_key_add(struct limit_seed seed, struct limit_key base,
                               struct str part);
/* The same for several parts. */
struct limit_key limit_key_of(struct limit_seed seed, const struct str *parts,
                              size_t count);

#endif
