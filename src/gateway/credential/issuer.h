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
    uint32_t id; /* never the same twice in this process */
    struct jwks *keys;
};

/* In the arena, which frees its keys. ERR_INVALID with problems that name
 * file and key. index: in gateway.issuers, for messages. */
enum err issuer_new(struct arena *a, const struct issuer_conf *conf,
                    size_t index, struct str file, struct problems *ps,
                    struct issuer **out);

/* The key set now; hold it with jwks_ref() across a wait. */
const struct jwks *issuer_keys(const struct issuer *i);
/* Another number when the key set has changed. */
uint64_t issuer_version(const struct issuer *i);

/* Who a verified token speaks for: views of the token and of a. skew: until
 * when it is taken after exp is in expires_s. */
void issuer_caller(const struct issuer *i, struct arena *a, const struct jwt *t,
                   struct caller *out);

/* Whether a claim is there, with the value when one is wanted. */
bool claim_holds(const struct json *claims, const struct claim_wanted *w);
/* "name" or "name=value". */
struct claim_wanted claim_wanted(struct arena *a, struct str text);

#endif
