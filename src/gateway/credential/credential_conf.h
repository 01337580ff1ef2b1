/* credential_conf.h - settings about who calls: gateway.issuers,
 * gateway.authentication, gateway.api_keys; the tables are in credential_conf.c.
 */
#ifndef TG_GATEWAY_CREDENTIAL_CREDENTIAL_CONF_H
#define TG_GATEWAY_CREDENTIAL_CREDENTIAL_CONF_H

#include "net/tls.h"

/* Who issues tokens, and what we want of them. */
struct issuer_conf {
    struct str name;               /* for messages and gateway.apis[].issuers */
    struct str issuer;             /* the claim iss */
    struct str jwks;               /* URL or file of a key set */
    struct str certificate;        /* PEM file: certificate or public key */
    struct str secret_file;        /* HMAC secret */
    struct conf_strings audiences; /* any one; empty: not checked */
    struct conf_strings algorithms; /* empty: all but HMAC */
    struct conf_strings types;      /* of the header; empty: usual ones */
    struct conf_strings claims;     /* NAME or NAME=VALUE, all of them */
    struct str scopes_claim, application_claim, user_claim;
    uint64_t skew_ms;
    uint64_t refresh_ms;          /* of jwks, when it is a URL */
    uint64_t unknown_key_ms;      /* between two extra ones */
    uint64_t unknown_key_wait_ms; /* of a call, for one of them */
    struct tls_client_conf tls;   /* towards jwks; else outbound's */
};

struct introspection_conf {
    struct str name; /* for messages and gateway.apis[].issuers */
    struct str url;
    struct str client_id, client_secret_file; /* Basic */
    struct str token_file;                    /* or Bearer */
    struct tls_client_conf tls;               /* or its certificate */
    int tokens;                               /* enum introspection_tokens */
    struct str issuer;                        /* iss must be; empty: any */
    struct conf_strings audiences, claims;
    struct str scopes_claim, application_claim, user_claim;
    uint64_t skew_ms;
    uint64_t cache_ms, refused_cache_ms;
    uint64_t timeout_ms;
    uint64_t failures, pause_ms; /* the breaker */
};

enum introspection_tokens { INTROSPECT_OPAQUE, INTROSPECT_ALL };

struct dpop_conf {
    bool required; /* no token without */
    uint64_t max_age_ms, skew_ms;
    uint64_t replays; /* proofs that are remembered; at the start */
};

struct authentication_conf {
    struct str header;   /* of tokens and passwords */
    bool forward;        /* credentials to the backend */
    uint64_t cache;      /* tokens, of each thread */
    uint64_t token_size; /* bytes */
    uint64_t failures;   /* of an address, within window_ms; 0: no limit */
    uint64_t window_ms;
    struct str certificate_header; /* from trusted proxies */
    struct str certificate_ca;     /* PEM: who signs those in the header */
    struct dpop_conf dpop;
};

struct api_keys_conf {
    struct str file;    /* empty: apikeys in the state folder */
    struct str header;  /* where a document only says that it takes keys */
    struct str query;   /* likewise; empty: none */
    bool take_signed;   /* keys that we have signed */
    int algorithm;      /* of them; 0: ES256, 1: RS256 */
    struct str key;     /* PEM file; empty: apikey-ALGORITHM.pem */
    struct str issuer;  /* iss of them */
    struct str revoked; /* empty: apikeys.revoked */
    struct conf_list issuers; /* struct key_issuer_conf: of others */
};

/* Whose signed keys are taken too. */
struct key_issuer_conf {
    struct str issuer; /* iss; empty: any */
    struct str certificate, jwks;
    bool check_apis; /* a key names its APIs, or is for none */
};

/* The gateway's own operation that issues signed keys. */
struct apikey_issuer_conf {
    bool enabled;
    struct str path;
    bool plain_http;
    uint64_t validity_ms, validity_max_ms; /* 0: for ever; no ceiling */
    struct conf_strings apis;              /* it issues keys for; none: all */
    struct str scope;                      /* users need it; empty: none */
    struct str tier;                       /* of the keys; empty: none */
};

struct backend_jwt_conf {
    bool enabled;
    struct str header, issuer, audience, dialect;
    struct conf_strings claims; /* of the caller's token, copied */
    int algorithm;              /* 0: RS256, 1: ES256 */
    uint64_t ttl_ms;
    struct str key; /* PEM file; empty: keys/signing.pem in state_dir */
};

extern const struct conf_field backend_jwt_fields[];
extern const struct conf_field api_keys_fields[];
extern const struct conf_field key_issuer_fields[];
extern const struct conf_field apikey_issuer_fields[];
extern const struct conf_field issuer_fields[];
extern const struct conf_field introspection_fields[]; /* introspection.c */
extern const struct conf_field authentication_fields[];

#endif
