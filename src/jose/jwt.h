/* jwt.h - JSON Web Tokens (RFC 7519, 8725, 9068): parse, verify, make.
 *
 * Three steps, so that a gateway can choose the issuer's keys in between:
 *
 *   jwt_parse()   form and types only; nothing is believed yet
 *   (find the issuer by t.iss: its key set, its rules)
 *   jwt_verify()  the signature, and only when it is good the claims
 *
 * The time is an argument. Registered claims have the type that the RFC gives
 * them or the token is malformed; all others are in the payload's tree.
 */
#ifndef TG_JOSE_JWT_H
#define TG_JOSE_JWT_H

#include "jose/jws.h"

#define JWT_MAX_AUDIENCES 64 /* in one token */

/* A NumericDate; RFC 7519 allows fractions, so this counts milliseconds.
 * Between -1 s and the end of the year 9999, else the token is malformed:
 * milliseconds written by mistake are no date either. */
struct jwt_time {
    bool set;
    int64_t ms;
};

struct jwt {
    struct jws jws;             /* header, alg, kid, typ */
    const struct json *payload; /* an object, at most 32 deep */
    struct str iss, sub, jti;   /* p NULL: absent; may hold any character */
    struct str azp, client_id;
    const struct str *aud; /* one or several */
    size_t aud_count;
    struct jwt_time exp, nbf, iat;
    struct str cnf_x5t_s256; /* RFC 8705: bound to a certificate */
    struct str cnf_jkt;      /* RFC 9449: bound to a DPoP key */
};

/* JWT_MALFORMED, JWT_TOO_LONG, JWT_CRITICAL, with *what a static sentence; *out
 * is untouched then. It points into token and the arena. max_bytes:
 * JWS_MAX_BYTES unless something else is wanted. */
enum jwt_fault jwt_parse(struct arena *a, struct str token, size_t max_bytes,
                         struct jwt *out, const char **what);

/* Claims that came another way than in a token we can read (an introspection
 * answer, RFC 7662): an object, which *out points into; out->jws is empty.
 * JWT_MALFORMED with *what. */
enum jwt_fault jwt_of_claims(struct arena *a, const struct json *claims,
                             struct jwt *out, const char **what);

struct jwt_rules {
    struct str issuer;           /* compared byte for byte; p NULL: any */
    const struct str *audiences; /* any one must match; none: not checked */
    size_t audience_count;
    uint32_t algs;              /* JOSE_BIT()s; 0: JOSE_ASYMMETRIC */
    uint32_t skew_s;            /* how far clocks may differ */
    const struct str *required; /* names of claims that must be there */
    size_t required_count;
    /* Values of typ that are accepted, in any case and with or without
     * "application/". None: JWT, at+jwt and no typ at all. "" in the list
     * accepts a token without one. */
    const struct str *types;
    size_t type_count;
    bool exp_optional;  /* a token without exp is good for ever */
    bool exp_minus_one; /* "exp": -1 is the same as none (legacy API keys) */
};

struct jwt_result {
    const struct jwk *key; /* that verified it; NULL before */
    struct str claim;      /* the one a fault is about; p NULL: none */
};

/* now_s: seconds since 1970 by the wall clock. *result may be NULL; it points
 * into rules, set and token. Faults come in this order: JWT_ALG_REFUSED,
 * JWT_UNKNOWN_KEY, JWT_BAD_SIGNATURE, then those of jwt_check(). */
enum jwt_fault jwt_verify(const struct jwt_rules *rules, const struct jwks *set,
                          const struct jwt *t, uint64_t now_s,
                          struct jwt_result *result);

/* The claims alone, of a token whose signature is known to be good (or that
 * introspection returned): JWT_WRONG_TYPE, JWT_MISSING_CLAIM,
 * JWT_WRONG_ISSUER, JWT_WRONG_AUDIENCE, JWT_EXPIRED, JWT_NOT_YET.
 *
 * Expired from exp + skew on; not yet valid before nbf - skew. iat is no
 * bound of validity (RFC 7519 section 4.1.6, and RFC 8725 does not make it
 * one), and issuers' clocks run ahead; but more than a day ahead is a broken
 * clock or another unit, and refused as JWT_NOT_YET. *claim may be NULL. */
enum jwt_fault jwt_check(const struct jwt_rules *rules, const struct jwt *t,
                         uint64_t now_s, struct str *claim);

/* Whether aud holds the text. */
bool jwt_has_audience(const struct jwt *t, struct str audience);

/* Whether the token is bound (cnf, x5t#S256) to the certificate with these
 * DER bytes. false when it is bound to none: ask cnf_x5t_s256.p first. */
bool jwt_bound_to_certificate(const struct jwt *t, struct str der);
/* Whether it is bound (cnf, jkt) to the key with this thumbprint. */
bool jwt_bound_to_key(const struct jwt *t, struct str thumbprint);

/* What stands in the header of a token we make; p NULL leaves a member out. */
struct jwt_header {
    struct str typ, kid, x5t;
};

/* Appends a token to out. claims is the JSON text of an object. Errors: see
 * jws_sign(). */
enum err jwt_sign(EVP_PKEY *key, enum jose_alg alg,
                  const struct jwt_header *header, struct str claims,
                  struct buf *out);

#endif
