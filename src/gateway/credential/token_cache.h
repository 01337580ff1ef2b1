/* token_cache.h - tokens this thread has verified, and such that failed.
 *
 * An entry carries the version of what it was checked against (key set,
 * revocations); who finds one whose version is behind judges it anew. Tokens
 * that failed are remembered apart, in fewer places, and never push out good
 * ones. Threads: a cache belongs to one.
 */
#ifndef TG_GATEWAY_CREDENTIAL_TOKEN_CACHE_H
#define TG_GATEWAY_CREDENTIAL_TOKEN_CACHE_H

#include "base/arena.h"
#include "gateway/credential/caller.h"
#include "jose/jwt.h"

struct token_cache;

/* The first second of a token, its nbf less what clocks may differ; 0: any. */
uint64_t token_from_s(const struct jwt *t, uint64_t skew_s);

struct token_entry {
    struct str token;
    struct caller caller; /* views into arena */
    struct arena *arena;
    uint64_t version;         /* of what it was checked against */
    uint64_t from_s, until_s; /* by the wall's clock good from then on, and
                                 from then on no more; 0: for ever */
    uint64_t fresh_until_ms;  /* loop_now_ms(): what was heard of it is old
                                 from then on; 0: never */
    uint32_t source;          /* who said it is good: of an issuer or server */
    bool bound; /* to a certificate or key that must be there too */
    struct str bound_certificate; /* x5t#S256; empty: to none */
    struct str bound_key;         /* jkt (DPoP); empty: to none */
    void *more; /* of the kind that made it, in arena; or NULL */
    /* private */
    uint32_t refs;
    uint64_t hash, used;
};

/* capacity: of good tokens, rounded up to a power of two. */
struct token_cache *token_cache_new(size_t capacity);
void token_cache_free(struct token_cache *c);

/* NULL: not known. The entry stays while it is held; a cache may be freed
 * before. */
struct token_entry *token_cache_find(struct token_cache *c, struct str token);
void token_entry_hold(struct token_entry *e);
void token_entry_drop(void *entry);

/* A new entry that the caller fills: caller and times. a: owned by the entry
 * from now on; token lies in it. Takes the place of the one of its set
 * that was not used for longest. */
struct token_entry *token_cache_add(struct token_cache *c, struct str token,
                                    struct arena *a);
void token_cache_remove(struct token_cache *c, struct token_entry *e);

struct token_failure {
    uint64_t version;  /* of what it was checked against */
    uint64_t until_ms; /* loop_now_ms(): forgotten then */
    uint64_t from_s;   /* an expired one by the wall's clock, which may be set
                          back: holds from then on only; else 0 */
    uint32_t why;      /* not 0 */
};

/* What it failed for, while all that stands; 0: not known. */
unsigned token_cache_failure(const struct token_cache *c, struct str token,
                             uint64_t version, uint64_t now_ms, uint64_t now_s);
void token_cache_fail(struct token_cache *c, struct str token,
                      struct token_failure failure);

#endif
