/* credentials.h - everything that is configured to check who calls.
 *
 * Made from settings on the main thread, counted; APIs compiled with it hold
 * it, so an exchange that pins its API may use it.
 */
#ifndef TG_GATEWAY_CREDENTIAL_CREDENTIALS_H
#define TG_GATEWAY_CREDENTIAL_CREDENTIALS_H

#include "gateway/credential/issuer.h"
#include "gateway/settings.h"

struct credentials {
    struct arena *arena;
    uint32_t refs; /* main thread */
    struct authentication_conf conf;
    struct issuer **issuers;
    size_t issuer_count;
};

/* Reads the files it names. ERR_INVALID with problems. */
enum err credentials_new(const struct settings *s, struct problems *ps,
                         struct credentials **out);
struct credentials *credentials_ref(struct credentials *c);
void credentials_unref(struct credentials *c); /* NULL is fine */

#endif
