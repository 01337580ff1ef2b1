/* jwk.h - one key (RFC 7517, 7518, 8037) that verifies signatures.
 *
 * A key that exists is usable: its numbers were checked, what it may do is
 * settled, and everything OpenSSL must look up or compute once is there. What
 * is refused: RSA below 2048 or above 16384 bits, with an exponent that is
 * even, 1 or above 31 bits, or with the structure of CVE-2017-15361; points
 * that are not on their curve; secrets shorter than the hash they are for;
 * keys whose use, key_ops or alg say that they are for something else.
 *
 * Threads: immutable once made, so any thread may verify with it.
 */
#ifndef TG_JOSE_JWK_H
#define TG_JOSE_JWK_H

#include <openssl/types.h>

#include "format/json.h"
#include "jose/alg.h"

#define JWK_KID_MAX 512     /* bytes of a kid */
#define JWK_SECRET_MAX 1024 /* bytes of a secret */
#define JWK_RSA_MIN_BITS 2048
#define JWK_RSA_MAX_BITS 16384
#define JWK_THUMBPRINT 43 /* characters of a SHA-256 in base64url */

enum jwk_type { JWK_RSA, JWK_EC, JWK_OKP, JWK_OCT };

struct jwk {
    struct str kid;    /* p NULL: none */
    enum jose_alg alg; /* the only one it may be used with; JOSE_NONE: any
                          of algs */
    uint32_t algs;     /* JOSE_BIT()s it can verify; never 0 */
    enum jwk_type type;
    unsigned bits;   /* of modulus, curve or secret */
    bool is_private; /* pkey can sign as well */
    struct str x5t;  /* as the document writes them; p NULL: none */
    struct str x5t_s256;
    char thumbprint[JWK_THUMBPRINT + 1]; /* RFC 7638, SHA-256, base64url */
    EVP_PKEY *pkey;                      /* NULL for a secret */
    struct jwk_secret *secret;           /* private to jose */
    struct jwk_ready *ready;             /* private to jose */
};

enum jwk_flags {
    JWK_ALLOW_SECRET = 1 << 0,  /* kty "oct", for HMAC */
    JWK_ALLOW_PRIVATE = 1 << 1, /* read the private members as well, so that
                                   pkey can sign; without this flag a key that
                                   shows them is refused: it is no secret any
                                   more */
};

/* From a tree. ERR_INVALID: broken, inconsistent or weak; ERR_UNSUPPORTED:
 * nothing wrong, but not a key for signatures that we do. *why is a static
 * sentence then. */
enum err jwk_parse(const struct json *j, unsigned flags, struct jwk **out,
                   const char **why);
/* From the first CERTIFICATE or PUBLIC KEY of a PEM text. A certificate gives
 * x5t and x5t#S256 too; its dates and issuer are not looked at: who names the
 * file trusts it. kid may be STR_NULL, alg JOSE_NONE. */
enum err jwk_from_pem(struct str pem, struct str kid, enum jose_alg alg,
                      struct jwk **out, const char **why);
/* From a key that OpenSSL holds, public or private; takes its own reference.
 * The JWK is a public one all the same. */
enum err jwk_from_pkey(EVP_PKEY *pkey, struct str kid, enum jose_alg alg,
                       struct jwk **out, const char **why);
/* NULL is fine. */
void jwk_free(struct jwk *k);

/* Whether it may verify alg. */
static inline bool jwk_fits(const struct jwk *k, enum jose_alg alg)
{
    return alg != JOSE_NONE && (k->algs & JOSE_BIT(alg)) != 0;
}

/* One signature over input. Takes what OpenSSL takes and about a microsecond
 * more. A key that does not fit alg, or a signature whose length is not the
 * one it must have, is false without any arithmetic. */
bool jwk_verify(const struct jwk *k, enum jose_alg alg, struct str input,
                struct str signature);

/* Its public members, kid, alg and "use": "sig" as a JSON object.
 * ERR_UNSUPPORTED for a secret, ERR_LIMIT when the buffer is full. */
enum err jwk_write(struct buf *b, const struct jwk *k);

/* SHA-256 of bytes in base64url, NUL-terminated: x5t#S256 of a certificate's
 * DER (RFC 8705), ath of an access token (RFC 9449). */
void jwk_sha256(struct str bytes, char out[JWK_THUMBPRINT + 1]);

#endif
