/* credentials.h - everything that is configured to check who calls.
 *
 * Made from settings on the main thread, counted; APIs compiled with it hold
 * it, so an exchange that pins its API may use it.
 */
#ifndef TG_GATEWAY_CREDENTIAL_CREDENTIALS_H
#define TG_GATEWAY_CREDENTIAL_CREDENTIALS_H

#include "gateway/credential/introspection.h"
#include "gateway/credential/issuer.h"
#include "gateway/credential/key_signers.h"
#include "gateway/credential/keyfile.h"
#include "gateway/credential/passed_certificate.h"
#include "gateway/credential/signing_key.h"
#include "gateway/credential/users.h"
#include "gateway/settings.h"
#include "gateway/watched.h"

struct credentials {
    struct arena *arena;
    uint32_t refs;   /* main thread */
    uint64_t number; /* never the same twice in this process */
    struct authentication_conf conf;
    struct issuer **issuers;
    size_t issuer_count;
    struct introspection **servers;
    size_t server_count;
    struct outbound *outbound;
    struct users *users;
    struct watched keys; /* struct keyfile */
    struct key_signers signers;
    struct passed_conf passed;
    struct apikey_issuer_conf apikey_issuer;
    struct backend_jwt_conf backend_jwt;
    struct signing_key signing; /* when backend_jwt is enabled */
};

/* The keys now: to be looked at in this turn only. Any thread. */
static inline const struct keyfile *
credentials_keys(const struct credentials *c)
{
    return watched_now(&c->keys);
}
/* Reads the files it names, and has URLs read. make: to serve with, not only
 * to be checked: keys of our own are made where they are missing. ERR_INVALID
 * with problems. */
enum err credentials_new(const struct settings *s, struct keysets *keysets,
                         bool make, struct problems *ps,
                         struct credentials **out);
struct credentials *credentials_ref(struct credentials *c);
void credentials_unref(struct credentials *c); /* NULL is fine */

#endif
