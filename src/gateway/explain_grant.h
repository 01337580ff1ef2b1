/* explain_grant.h - who may see the explanation of a call in its answer.
 *
 * A grant is text for the field X-Tollgate-Explain: "v1.API.EXPIRES.MAC", API
 * in base64url ("Shop" or "Shop:1.0"), EXPIRES in seconds since 1970, MAC
 * HMAC-SHA256 with a key that lies in the state folder. It is good for every
 * call of that API until then.
 */
#ifndef TG_GATEWAY_EXPLAIN_GRANT_H
#define TG_GATEWAY_EXPLAIN_GRANT_H

#include "base/arena.h"

#define EXPLAIN_KEY_BYTES 32
#define EXPLAIN_GRANT_MAX 1024

struct explain_key {
    unsigned char bytes[EXPLAIN_KEY_BYTES];
};

/* Reads the key; make: makes the file (0600) where there is none. ERR_IO,
 * ERR_NOT_FOUND, ERR_INVALID (not 32 bytes). */
enum err explain_key_load(struct str path, bool make, struct explain_key *out);

/* The grant; api at most 256 bytes. */
struct str explain_grant(struct arena *a, const struct explain_key *key,
                         struct str api, uint64_t expires_s);
/* Whether it is good for this API now. */
bool explain_grant_check(const struct explain_key *key, struct str grant,
                         struct str api, struct str version, uint64_t now_s);

#endif
