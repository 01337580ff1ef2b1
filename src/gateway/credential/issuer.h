/* issuer.h - who may say who somebody is: keys, and what its tokens must say.
 *
 * Made from settings on the main thread. Immutable but for its key set, which
 * any thread may ask for.
 */
#ifndef TG_GATEWAY_CREDENTIAL_ISSUER_H
#define TG_GATEWAY_CREDENTIAL_ISSUER_H

#include "base/problem.h"
#include "gateway/credential/caller.h"
#include "gateway/credential/credential_conf.h"
#include "gateway/credential/keyset.h"
#include "jose/jwt.h"

struct claim_wanted {
    struct str name, value; /* value.p NULL: any */
};

struct issuer {
    struct str name;
    struct jwt_rules rules;
    struct str scopes_claim, application_claim, user_claim;
    const struct claim_wanted *claims;
    size_t claim_count;
    uint32_t id; /* issuer_id() */
    struct keyset *keys;
    uint64_t key_wait_ms; /* for one that is not known yet */
    uint32_t key_retry_s; /* an unknown one may be known by then */
    bool sub_is_user;     /* where user_claim is missing */
};

/* Where it gets its keys. */
struct issuer_sources {
    struct keysets *keysets;
    struct outbound *outbound;
};

/* In the arena, which lets go of its keys. ERR_INVALID with problems that
 * name file and key. index: in gateway.issuers, for messages. */
enum err issuer_new(struct arena *a, const struct issuer_conf *conf,
                    size_t index, const struct issuer_sources *sources,
                    struct str file, struct problems *ps, struct issuer **out);
/* Never the same twice in this process; of all who say whom a token is of. */
uint32_t issuer_id(void);

/* Another number when the keys have changed; 0: none came yet. */
static inline uint64_t issuer_version(const struct issuer *i)
{
    return keyset_version(i->keys);
}

/* Who a verified token speaks for: views of the token and of a. skew: until
 * when it is taken after exp is in expires_s. */
void issuer_caller(const struct issuer *i, struct arena *a, const struct jwt *t,
                   struct caller *out);

/* Whether a claim is there, with the value when one is wanted. */
bool claim_holds(const struct json *claims, const struct claim_wanted *w);
/* Copies in the arena. */
const struct str *strings_copy(struct arena *a,
                               const struct conf_strings *from);
/* Of "name" or "name=value". */
const struct claim_wanted *claims_wanted(struct arena *a,
                                         const struct conf_strings *texts);

#endif
