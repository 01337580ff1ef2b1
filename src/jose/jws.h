/* jws.h - signed bytes in compact form (RFC 7515): header.payload.signature.
 *
 * A parsed JWS is views and decoded copies in the caller's arena; parsing
 * believes nothing. Of the header only alg, kid and typ are used: jwk, jku,
 * x5c and x5u would let the sender choose the key. "crit" is refused, because
 * nothing it could name is understood here; so is "b64": false (RFC 7797).
 * Duplicate members of the header are malformed.
 */
#ifndef TG_JOSE_JWS_H
#define TG_JOSE_JWS_H

#include "jose/fault.h"
#include "jose/jwks.h"

#define JWS_MAX_BYTES (16u << 10)       /* of a token, where nobody says */
#define JWS_MAX_HEADER_BYTES (8u << 10) /* of the header's JSON */
#define JWS_MAX_SIGNATURE_BYTES 2048    /* RSA with 16384 bits */

struct jws {
    struct str token;
    struct str input;          /* what is signed: a view of the token */
    const struct json *header; /* an object */
    enum jose_alg alg;         /* JOSE_NONE: one that we do not do */
    struct str alg_name;       /* as written */
    struct str kid, typ;       /* p NULL: none */
    struct str payload;        /* decoded */
    struct str signature;      /* decoded; may be empty */
};

/* JWT_MALFORMED, JWT_TOO_LONG, JWT_CRITICAL; *what is then a static sentence
 * that says where. Decoded parts lie in the arena, the others point into
 * token. */
enum jwt_fault jws_parse(struct arena *a, struct str token, size_t max_bytes,
                         struct jws *out, const char **what);

/* Tries the keys of the set that fit. algs: JOSE_BIT()s that are allowed.
 * *key (may be NULL) is the one that verified. JWT_ALG_REFUSED,
 * JWT_UNKNOWN_KEY, JWT_BAD_SIGNATURE. */
enum jwt_fault jws_verify(const struct jws *t, uint32_t algs,
                          const struct jwks *set, const struct jwk **key);
/* The same with one key, whatever kid the token names. */
enum jwt_fault jws_verify_with(const struct jws *t, uint32_t algs,
                               const struct jwk *key);

/* Appends the compact form of a header (JSON text that names alg; taken as it
 * is) and a payload, signed with a private key: RS*, PS*, ES* and EdDSA.
 * ERR_UNSUPPORTED when alg is none of them or not the key's, ERR_LIMIT when
 * the buffer is full, ERR_IO when OpenSSL fails. */
enum err jws_sign(EVP_PKEY *key, enum jose_alg alg, struct str header,
                  struct str payload, struct buf *out);

#endif
