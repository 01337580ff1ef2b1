/* introspection_answer.h - what a server says about a token (RFC 7662 section
 * 2.2).
 */
#ifndef TG_GATEWAY_CREDENTIAL_INTROSPECTION_ANSWER_H
#define TG_GATEWAY_CREDENTIAL_INTROSPECTION_ANSWER_H

#include "jose/jwt.h"

#define INTROSPECTION_MAX_BYTES (64 * 1024)

struct introspection_answer {
    bool active;
    struct jwt claims; /* when active; points into text and the arena */
};

/* Strict: a JSON object of at most INTROSPECTION_MAX_BYTES, each member once,
 * `active` a boolean, and, when it is true, the registered members of the type
 * the RFC gives them. ERR_INVALID with *why, a static sentence. */
enum err introspection_answer_parse(struct arena *a, struct str text,
                                    struct introspection_answer *out,
                                    const char **why);

/* Whether an error's body says that the server judges no tokens of this kind:
 * whoever gave it out, it was not this server (oidc-provider says so of signed
 * ones). */
bool introspection_error_of_kind(struct arena *a, struct str text);

#endif
