/* signed_key.h - API keys that are signed tokens: what stands in them.
 *
 * The claims are the model's: token_type "apiKey", jti, sub, application,
 * subscribedAPIs or allowedAPIs, permittedIP, permittedReferer, exp (missing
 * or -1: for ever), and scope. Ours have a typ of their own, so that none is
 * taken for an access token or an assertion, and neither of those for a key.
 */
#ifndef TG_GATEWAY_CREDENTIAL_SIGNED_KEY_H
#define TG_GATEWAY_CREDENTIAL_SIGNED_KEY_H

#include "gateway/credential/keyfile.h"
#include "gateway/credential/signing_key.h"
#include "jose/jwt.h"

#define SIGNED_KEY_TYPE "apikey+jwt"      /* typ of ours */
#define SIGNED_KEY_TOKEN_TYPE "apiKey"    /* token_type of all */
#define SIGNED_KEY_INTERNAL "InternalKey" /* the model's keys for its own use */

/* Whether a text can be one; keys of the file never look so. */
static inline bool signed_key_looks(struct str text)
{
    return text.len && memchr(text.p, '.', text.len);
}

/* Gives a new key its id. */
void signed_key_name(struct arena *a, struct api_key *key);
/* Signs what *key says. ERR_LIMIT: too much for one token; ERR_IO. */
enum err signed_key_sign(struct arena *a, const struct signing_key *with,
                         const struct api_key *key, struct str issuer,
                         struct str *out);

/* What a token says whose signature and times are good; views of it and of a.
 * skew_s: how long after exp it is taken. apis_wanted: one that names no APIs
 * is for none. ERR_INVALID: *what is a static sentence. */
enum err signed_key_read(struct arena *a, const struct jwt *t, uint32_t skew_s,
                         bool apis_wanted, struct api_key *out,
                         const char **what);

#endif
