/* cors.h - cross-origin requests (the Fetch standard's CORS protocol).
 *
 * Refusals (404, 405, a failing backend) carry the fields as well, and a
 * pre-flight is answered before there is an operation, so this is no step of a
 * chain: exchange.c asks here as soon as the API is known.
 */
#ifndef TG_GATEWAY_POLICY_CORS_H
#define TG_GATEWAY_POLICY_CORS_H

#include "gateway/settings.h"

struct cors {
    bool enabled, any_origin, credentials;
    struct str *origins;
    size_t origin_count;
    struct str methods_listed;  /* ",GET,PUT," to look up in */
    struct str headers, expose; /* as the field's value */
    struct str max_age;
};

struct openapi;
struct exchange;

/* What the document says, else the gateway's default. */
struct cors cors_of(struct arena *a, const struct openapi *doc,
                    const struct cors_conf *conf);
/* Scripts may set this field too, which an operation of the API looks at for
 * credentials. The arena is the API's. */
void cors_allow_field(struct cors *c, struct arena *a, struct str name);
/* OPTIONS with Origin and Access-Control-Request-Method. */
bool cors_is_preflight(const struct exchange *x);
/* Answers it, after cors_reply(): allowed is the set of methods the path
 * has. */
void cors_preflight(const struct cors *c, struct exchange *x, uint32_t allowed);
/* Allow-Origin and the like on any reply; says whether the API handles CORS,
 * so that the backend's own fields are dropped. */
void cors_reply(const struct cors *c, struct exchange *x);

#endif
