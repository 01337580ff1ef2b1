/* trust.h - sets of addresses and ranges (CIDR), IPv4 and IPv6.
 */
#ifndef TG_GATEWAY_TRUST_H
#define TG_GATEWAY_TRUST_H

#include <sys/socket.h>

#include "base/arena.h"

struct trust;

/* "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "unix" (peers on Unix sockets).
 * ERR_INVALID: *bad is the one that is none of these. */
enum err trust_new(struct arena *a, const struct str *ranges, size_t count,
                   struct trust **out, struct str *bad);
/* ip: 16 bytes, IPv4 mapped. */
bool trust_has(const struct trust *t, const uint8_t ip[16]);
bool trust_has_unix(const struct trust *t);
bool trust_peer(const struct trust *t, const struct sockaddr *peer);

#endif
