/* forwarding.h - who the client is, and what backends are told about it.
 *
 * X-Forwarded-* and Forwarded (RFC 7239) are believed only from trusted
 * peers, and always rebuilt.
 */
#ifndef TG_GATEWAY_FORWARDING_H
#define TG_GATEWAY_FORWARDING_H

#include "gateway/exchange.h"
#include "gateway/trust.h"

/* The peer, or the right-most untrusted address of what a trusted peer
 * says. */
void forwarding_client(struct exchange *x, const struct trust *trusted);
/* The URI of the call as its client wrote it, without query: what a trusted
 * peer says of scheme and host counts. In the arena. */
struct str forwarding_uri(struct exchange *x);
/* Fields for the backend, appended at fields[0…]; returns how many (at most
 * FORWARDING_FIELDS). */
#define FORWARDING_FIELDS 6
size_t forwarding_fields(struct exchange *x, enum forwarded how,
                         struct header *fields);

#endif
