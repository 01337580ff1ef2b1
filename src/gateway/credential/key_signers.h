/* key_signers.h - whose signed API keys are taken: our own, and those of
 * gateway.api_keys.issuers.
 *
 * Made from settings on the main thread. Immutable but for key sets and the
 * table of revoked ids, which any thread may ask for.
 */
#ifndef TG_GATEWAY_CREDENTIAL_KEY_SIGNERS_H
#define TG_GATEWAY_CREDENTIAL_KEY_SIGNERS_H

#include "gateway/credential/credential_conf.h"
#include "gateway/credential/keyset.h"
#include "gateway/credential/revoked.h"
#include "gateway/credential/signed_key.h"
#include "gateway/watched.h"

struct key_signer {
    struct jwt_rules rules;
    struct keyset *keys; /* NULL: our own */
    uint32_t id;         /* issuer_id() */
    bool apis_wanted;    /* a key of it that names no APIs is for none */
};

struct key_signers {
    struct signing_key own; /* pkey NULL: none */
    struct str issuer;      /* iss of what we sign */
    struct key_signer *all; /* our own first */
    size_t count;           /* 0: none is taken */
    uint64_t ids;           /* their sum */
    struct watched revoked; /* struct revoked */
};

/* Where our own key lies. folder: the state folder. */
struct str key_signers_path(struct arena *a, const struct api_keys_conf *conf,
                            struct str folder);
/* The file of revoked ids. */
struct str key_signers_revoked(struct arena *a,
                               const struct api_keys_conf *conf,
                               struct str folder);
/* Our own key, made when there is none. */
enum err key_signers_own(struct arena *a, const struct api_keys_conf *conf,
                         struct str folder, struct problems *ps,
                         struct signing_key *out);

/* Fills *out, whose memory is in the arena, which lets go of keys; the table
 * of revoked ids stays out's. make: our own key is made when there is none.
 * ERR_INVALID with problems. */
enum err key_signers_init(struct arena *a, const struct api_keys_conf *conf,
                          struct str folder, struct keysets *keysets, bool make,
                          struct str file, struct problems *ps,
                          struct key_signers *out);

/* Another number when any of the keys has changed. */
uint64_t key_signers_version(const struct key_signers *s);
/* The same of one. */
uint64_t key_signer_version(const struct key_signer *s);
/* NULL: nobody has this id now. */
const struct key_signer *key_signers_find(const struct key_signers *s,
                                          uint32_t id);
/* Who has signed it; the first who has. Its times hold. */
enum jwt_fault key_signers_verify(const struct key_signers *s,
                                  const struct jwt *t, uint64_t now_s,
                                  const struct key_signer **by);

/* The table now: to be looked at in this turn only. Any thread. */
static inline const struct revoked *key_signers_now(const struct key_signers *s)
{
    return watched_now(&s->revoked);
}

#endif
