/* apikey_issuer.h - the gateway's own operation that issues API keys
 * (gateway.apikey_issuer).
 *
 * It is an API like others, whose document is made here: authentication, the
 * limit of failed attempts, metrics, events and explanations are those of any
 * call. Only, the gateway answers it, not a backend.
 */
#ifndef TG_GATEWAY_APIKEY_ISSUER_H
#define TG_GATEWAY_APIKEY_ISSUER_H

#include "format/openapi.h"
#include "gateway/settings.h"

/* As if it were one of gateway.apis. */
extern const struct api_conf apikey_issuer_entry;
/* Its document; see openapi_load(). */
enum err apikey_issuer_load(struct arena *a, struct arena *scratch,
                            const struct gateway_conf *conf,
                            struct problems *ps, struct openapi **out);

#endif
