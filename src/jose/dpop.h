/* dpop.h - proofs that a caller holds the key its token is bound to (RFC
 * 9449).
 *
 * Everything of section 4.3 is checked here except what needs memory: that a
 * jti is not used twice within the window is the caller's part. RSA keys are
 * taken up to 4096 bits only: the stranger chooses the key here, and a large
 * one would cost us milliseconds a call.
 */
#ifndef TG_JOSE_DPOP_H
#define TG_JOSE_DPOP_H

#include "jose/jwt.h"

#define DPOP_MAX_BYTES (8u << 10)
#define DPOP_MAX_JTI 256
#define DPOP_RSA_MAX_BITS 4096

struct dpop_rules {
    struct str method; /* of the request, as it was sent */
    struct str uri;    /* of the request, absolute; query and fragment do not
                          count */
    /* Of the request; ath must be its hash. p NULL where there is none yet (a
     * token endpoint). */
    struct str access_token;
    struct str thumbprint; /* the token's cnf.jkt; p NULL: any key */
    struct str nonce;      /* the one we gave; p NULL: not checked */
    uint32_t algs;         /* JOSE_BIT()s; 0: JOSE_ASYMMETRIC; HMAC never */
    uint32_t max_age_s;    /* iat may be so old … */
    uint32_t skew_s;       /* … and this far ahead; also added to the age */
};

struct dpop {
    struct str jti;   /* at most DPOP_MAX_JTI bytes; never empty */
    struct str nonce; /* p NULL: none */
    struct jwt_time iat;
    char thumbprint[JWK_THUMBPRINT + 1]; /* of its key */
};

/* Results lie in the arena or point into proof; *out is untouched on a fault.
 * JWT_MALFORMED has *what. Others: JWT_TOO_LONG, JWT_CRITICAL,
 * JWT_WRONG_TYPE, JWT_ALG_REFUSED, JWT_WRONG_KEY, JWT_BAD_SIGNATURE,
 * JWT_MISSING_CLAIM (*what is its name; for a wrong nonce "nonce"),
 * JWT_WRONG_METHOD, JWT_WRONG_URI, JWT_EXPIRED, JWT_NOT_YET,
 * JWT_WRONG_TOKEN. */
enum jwt_fault dpop_verify(struct arena *a, struct str proof,
                           const struct dpop_rules *rules, uint64_t now_s,
                           struct dpop *out, const char **what);

#endif
