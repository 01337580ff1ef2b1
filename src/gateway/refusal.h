/* refusal.h - what a caller is told when the gateway answers itself.
 *
 * Codes and texts are those of WSO2 API Manager, so that clients written for
 * it understand; nothing a caller sent is echoed. SOAP requests get a SOAP
 * 1.1 fault.
 */
#ifndef TG_GATEWAY_REFUSAL_H
#define TG_GATEWAY_REFUSAL_H

#include "gateway/settings.h"

struct refusal {
    uint16_t status;
    const char *code; /* a string in the body, as the model has it */
    const char *message;
    const char *description;
    bool client; /* SOAP faultcode Client, else Server */
};

extern const struct refusal refusal_bad_request;
extern const struct refusal refusal_not_found;
extern const struct refusal refusal_method;
extern const struct refusal refusal_http_not_allowed;
extern const struct refusal refusal_https_not_allowed;
extern const struct refusal refusal_memory;
extern const struct refusal refusal_connect;
extern const struct refusal refusal_connect_timeout;
extern const struct refusal refusal_timeout;
extern const struct refusal refusal_closed;
extern const struct refusal refusal_protocol;
extern const struct refusal refusal_suspended;
extern const struct refusal refusal_busy;
extern const struct refusal refusal_websocket_version; /* 426 */
extern const struct refusal refusal_websocket_backend; /* 501 */
extern const struct refusal refusal_changed;           /* 503, of a stream */

/* Who calls, and may he */
extern const struct refusal refusal_auth_unavailable; /* 500, 900900 */
extern const struct refusal refusal_invalid;          /* 401, 900901 */
extern const struct refusal refusal_missing;          /* 401, 900902 */
extern const struct refusal refusal_token_kind;       /* 401, 900905 */
extern const struct refusal refusal_key_elsewhere;    /* 403, 900908 */
extern const struct refusal refusal_scope;            /* 403, 900910 */
extern const struct refusal refusal_claim;            /* 403, 900910 */
extern const struct refusal refusal_certificate;      /* 401, 900911 */
extern const struct refusal refusal_all_failed;       /* 401, 900912 */
extern const struct refusal refusal_basic_missing;    /* 401, 900913 */
extern const struct refusal refusal_basic_invalid;    /* 401, 900914 */
extern const struct refusal refusal_audience;         /* 403, 900914 */
extern const struct refusal refusal_denied;           /* 403, 900805 */
extern const struct refusal refusal_attempts;         /* 429 */

/* How often */
extern const struct refusal refusal_limit_api;          /* 429, 900800 */
extern const struct refusal refusal_limit_backend;      /* 503, 900801 */
extern const struct refusal refusal_limit_operation;    /* 429, 900802 */
extern const struct refusal refusal_limit_application;  /* 429, 900803 */
extern const struct refusal refusal_limit_subscription; /* 429, 900804 */
extern const struct refusal refusal_burst_subscription; /* 429, 900807 */
extern const struct refusal refusal_burst_application;  /* 429, 900809 */
extern const struct refusal refusal_limit_unknown;      /* 500, 900900 */

/* For the statuses of the parser (400, 408, 413, 414, 417, 431, 501, 503,
 * 505). */
const struct refusal *refusal_of_status(unsigned status);

/* The same to a caller that speaks gRPC: text for grpc-message. */
struct str refusal_grpc_message(struct arena *a, const struct refusal *r);
/* The body and its type, in the arena. more: members of JSON, each with a
 * comma before it; or empty. */
struct str refusal_body(struct arena *a, const struct refusal *r,
                        struct str more, bool soap, enum errors form,
                        struct str *content_type);

#endif
