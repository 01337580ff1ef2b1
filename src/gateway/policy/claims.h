/* claims.h - what is asked of claims beside issuer and scopes: of an API, in
 * its document or its entry of gateway.apis, and of an operation.
 */
#ifndef TG_GATEWAY_POLICY_CLAIMS_H
#define TG_GATEWAY_POLICY_CLAIMS_H

#include "base/conf.h"
#include "format/json.h"

/* One of gateway.apis[].claims. */
struct claim_conf {
    struct str claim;
    struct str equals, contains, matches;
    struct conf_strings one_of;
};

extern const struct conf_field claim_fields[];

struct claim_condition;
struct oas_claim;
struct problems;

/* A condition out of a document; in the arena. ERR_INVALID with a problem. */
enum err claim_condition_new(struct arena *a, const struct oas_claim *c,
                             struct problems *ps, struct claim_condition **out);

enum claim_verdict { CLAIM_GOOD, CLAIM_MISSING, CLAIM_OTHER };

/* claims: an object, or NULL. */
enum claim_verdict claim_judge(const struct claim_condition *c,
                               const struct json *claims);

#endif
