/* caller.h - who calls, as the rest of the chain knows it.
 *
 * Made by the kind of credential that was accepted; views into memory that
 * lives as long as the exchange (a cache entry it holds, its arena, or its
 * API). Empty text: not known.
 */
#ifndef TG_GATEWAY_CREDENTIAL_CALLER_H
#define TG_GATEWAY_CREDENTIAL_CALLER_H

#include "base/str.h"
#include "format/json.h"

enum caller_kind {
    CALLER_NOBODY, /* the operation is open */
    CALLER_TOKEN,
    CALLER_API_KEY,
    CALLER_USER,
    CALLER_CERTIFICATE,
};

struct caller {
    enum caller_kind kind;
    /* Who limits are counted for, unique with the kind: the client a token was
     * issued to, the key, the user, the certificate. */
    struct str id;
    struct str application; /* a name for people: of the client or key */
    struct str user;        /* on whose behalf: sub, user name, subject */
    struct str issuer;      /* of a token */
    const struct str *scopes;
    size_t scope_count;
    const struct json *claims; /* of a token; else NULL */
    struct str tier;           /* its own limit; empty: none */
    uint64_t expires_s;        /* seconds since 1970; 0: never */
    uint64_t issued_s;         /* 0: not known */
    struct str token_id;       /* jti, or the key's id */
    bool for_user;             /* a token on behalf of a person */
};

#endif
