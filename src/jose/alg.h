/* alg.h - the signature algorithms of JSON Web Algorithms (RFC 7518, 8037).
 *
 * Names are compared byte for byte: "rs256" is not RS256, and there is no
 * "none". Sets of algorithms are bit masks of JOSE_BIT().
 */
#ifndef TG_JOSE_ALG_H
#define TG_JOSE_ALG_H

#include "base/str.h"

enum jose_alg {
    JOSE_NONE = 0, /* no algorithm that we do; never verifies anything */
    JOSE_RS256,    /* RSASSA-PKCS1-v1_5 */
    JOSE_RS384,
    JOSE_RS512,
    JOSE_PS256, /* RSASSA-PSS, MGF1 and salt as the hash */
    JOSE_PS384,
    JOSE_PS512,
    JOSE_ES256, /* ECDSA, each on its own curve */
    JOSE_ES384,
    JOSE_ES512,
    JOSE_EDDSA, /* Ed25519 only */
    JOSE_HS256, /* HMAC: whoever can verify can also sign */
    JOSE_HS384,
    JOSE_HS512,
    JOSE_ALGS, /* how many there are, with JOSE_NONE */
};

#define JOSE_BIT(alg) (1u << (alg))

#define JOSE_RSA_PKCS1 \
    (JOSE_BIT(JOSE_RS256) | JOSE_BIT(JOSE_RS384) | JOSE_BIT(JOSE_RS512))
#define JOSE_RSA_PSS \
    (JOSE_BIT(JOSE_PS256) | JOSE_BIT(JOSE_PS384) | JOSE_BIT(JOSE_PS512))
#define JOSE_ECDSA \
    (JOSE_BIT(JOSE_ES256) | JOSE_BIT(JOSE_ES384) | JOSE_BIT(JOSE_ES512))
/* What is allowed where nobody says otherwise. */
#define JOSE_ASYMMETRIC \
    (JOSE_RSA_PKCS1 | JOSE_RSA_PSS | JOSE_ECDSA | JOSE_BIT(JOSE_EDDSA))
#define JOSE_SYMMETRIC \
    (JOSE_BIT(JOSE_HS256) | JOSE_BIT(JOSE_HS384) | JOSE_BIT(JOSE_HS512))

/* By number, NULL behind the last one; [JOSE_NONE] is "". */
extern const char *const jose_alg_names[JOSE_ALGS + 1];

/* JOSE_NONE for any other name. */
enum jose_alg jose_alg_parse(struct str name);
/* "RS256"; "" for JOSE_NONE. */
const char *jose_alg_name(enum jose_alg alg);
/* Bytes of its hash: 32, 48 or 64; 0 for EdDSA, which brings its own. */
size_t jose_alg_hash_bytes(enum jose_alg alg);

#endif
