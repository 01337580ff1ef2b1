/* ranges.h - a set of addresses and ranges, IPv4 and IPv6, with a number at
 * each: looking one address up costs the same for ten and for ten thousand.
 *
 * A range becomes prefixes. Of two prefixes one holds the other, or they have
 * nothing in common; so in the order of their first addresses all that hold an
 * address are the last one that begins before it, and those around that one.
 *
 * Addresses are 16 bytes, IPv4 mapped. What is written as IPv6 means no IPv4:
 * ::/0 is every IPv6 address and none that is mapped.
 * Threads: any may look once it is sealed.
 */
#ifndef TG_GATEWAY_DENY_RANGES_H
#define TG_GATEWAY_DENY_RANGES_H

#include "base/arena.h"

struct ranges;

struct ranges *ranges_new(struct arena *a);
/* "192.0.2.1", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "2001:db8::/32".
 * ERR_INVALID: none of these; ERR_LIMIT: the set is full. */
enum err ranges_add(struct ranges *r, struct str text, uint32_t number);
/* After the last one, before the first look-up. */
void ranges_seal(struct ranges *r);
bool ranges_empty(const struct ranges *r);

bool ranges_has(const struct ranges *r, const uint8_t ip[16]);
/* The numbers of all that hold ip, the smallest range first: begin with *at =
 * RANGES_START; false at the end. */
#define RANGES_START UINT32_MAX
bool ranges_next(const struct ranges *r, const uint8_t ip[16], uint32_t *at,
                 uint32_t *number);

#endif
