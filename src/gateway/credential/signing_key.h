/* signing_key.h - keys the gateway signs with: one for assertions to backends,
 * whose public half is served at /jwks, another one for API keys.
 */
#ifndef TG_GATEWAY_CREDENTIAL_SIGNING_KEY_H
#define TG_GATEWAY_CREDENTIAL_SIGNING_KEY_H

#include "base/problem.h"
#include "jose/jwks.h"

/* The key that signs, in a PEM file (0600) that is made when there is none. */
struct signing_key {
    EVP_PKEY *pkey;
    enum jose_alg alg;
    struct str kid;   /* RFC 7638 thumbprint */
    struct str jwks;  /* {"keys":[…]} */
    struct jwks *set; /* the same, to verify with */
};

/* In the arena, which frees the key. A new file belongs to the owner of its
 * folder. ERR_IO, ERR_INVALID with a problem. */
enum err signing_key_load(struct arena *a, struct str path, enum jose_alg alg,
                          struct problems *ps, struct signing_key *out);

#endif
