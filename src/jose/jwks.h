/* jwks.h - a key set (RFC 7517 section 5): what an issuer publishes.
 *
 * Immutable and counted; a newer set is a new one, who verifies with the old
 * one keeps it. Keys that cannot be used (unknown kty, use "enc", weak, broken)
 * are left out and counted, because issuers publish keys for other purposes
 * and algorithms to come. Two different keys under one kid for one algorithm
 * are both left out: nobody can say which one is meant. Shared secrets and
 * public keys in one set are refused: such a set is published by mistake, or
 * it holds secrets that somebody thought public.
 *
 * Threads: any thread may look up and count; the last to let go frees.
 */
#ifndef TG_JOSE_JWKS_H
#define TG_JOSE_JWKS_H

#include "jose/jwk.h"

#define JWKS_MAX_BYTES (1u << 20)
#define JWKS_MAX_KEYS 256
#define JWKS_MAX_TRIES 8 /* keys that one token is tried with */

struct jwks;

struct jwks_report {
    size_t keys;    /* in the text */
    size_t skipped; /* of them, not usable */
    /* Why the set was refused or, when it was taken, why the first of those
     * skipped was; empty when nothing is to be said. May quote a kid. */
    char why[256];
};

/* From JSON text; flags: enum jwk_flags. ERR_INVALID: not a key set, or one
 * without a usable key; ERR_LIMIT: too long, too many keys. report is always
 * filled; it must not be NULL. */
enum err jwks_parse(struct str text, unsigned flags, struct jwks **out,
                    struct jwks_report *report);
/* Of keys made by hand, which the set owns from now on; 1 to JWKS_MAX_KEYS. */
struct jwks *jwks_new(struct jwk *const *keys, size_t count);
struct jwks *jwks_ref(struct jwks *s);
/* NULL is fine. */
void jwks_unref(struct jwks *s);

size_t jwks_count(const struct jwks *s);
const struct jwk *jwks_at(const struct jwks *s, size_t i);
/* The key with this kid that does alg (JOSE_NONE: whatever it does), or
 * NULL. Keys without a kid are not found. */
const struct jwk *jwks_find(const struct jwks *s, struct str kid,
                            enum jose_alg alg);

enum jwks_answer {
    JWKS_FOUND,     /* there are keys to try */
    JWKS_NO_KID,    /* no key has this kid: a newer set might */
    JWKS_WRONG_ALG, /* the kid is known, but its key does not do alg */
};

/* The keys to try for a token: those with its kid that do alg. If none has
 * it, or the token names none (kid.p NULL), those that do alg and, for a
 * token with a kid, have none themselves (they may be from a PEM file). At
 * most JWKS_MAX_TRIES, in the set's order. */
enum jwks_answer jwks_match(const struct jwks *s, struct str kid,
                            enum jose_alg alg,
                            const struct jwk *out[JWKS_MAX_TRIES],
                            size_t *count);
/* Whether any key has a kid. */
bool jwks_has_kids(const struct jwks *s);

/* {"keys":[…]}: the public halves, see jwk_write(). */
enum err jwks_write(struct buf *b, const struct jwks *s);

#endif
