/* settings.h - tollgate.yaml as structs; the tables begin in settings_fields.c.
 *
 * Text and lists live in the arena that settings_read() was given.
 */
#ifndef TG_GATEWAY_SETTINGS_H
#define TG_GATEWAY_SETTINGS_H

#include "base/conf.h"
#include "base/log.h"
#include "events/events.h"
#include "events/otlp.h"
#include "gateway/credential/credential_conf.h"
#include "gateway/credential/users.h"
#include "gateway/policy/claims.h"
#include "gateway/deny/access_conf.h"
#include "http/outbound.h"
#include "net/tls.h"

struct exchange;

struct listener_conf {
    struct str address;
    struct tls_server_conf tls; /* certificate empty and !local: plain */
    bool local_certificate;     /* TLS with the local authority's */
    bool proxy_protocol;        /* expected from trusted_proxies */
};

struct api_conf {
    struct str path;                  /* file or folder */
    struct str context;               /* instead of the document's */
    struct str upstream;              /* instead of its endpoints */
    struct conf_strings hosts;        /* virtual hosts; empty: any */
    struct conf_strings issuers;      /* names; empty: all */
    struct conf_strings certificates; /* PEM files; empty: any signed */
    struct str tier;                  /* where the document names none */
    struct conf_list claims; /* struct claim_conf: of all its callers */
    uint64_t max_tps;        /* calls to its backend in a second; 0: no limit */
    bool default_version;    /* also serves the path without version */
    /* No setting: who answers instead of a backend. */
    void (*answer)(struct exchange *x);
};

/* Fields of gateway.reply_headers with a value; an exchange has room for no
 * more beside its own. */
enum { REPLY_VALUES_MAX = 16 };

struct header_conf { /* of replies */
    struct str name;
    bool preserve; /* false: dropped, or replaced by value */
    struct str value;
};

enum default_security {
    DEFAULT_OPEN,
    DEFAULT_OAUTH2,
    DEFAULT_API_KEY,
    DEFAULT_BASIC,
};
enum balance { BALANCE_ROUND_ROBIN, BALANCE_WEIGHTED, BALANCE_LEAST };
enum forwarded { FORWARDED_X, FORWARDED_RFC, FORWARDED_BOTH, FORWARDED_NONE };
enum errors { ERRORS_APIM, ERRORS_MICROGATEWAY };

struct upstreams_conf {
    uint64_t connect_ms, first_byte_ms, total_ms, stall_ms, idle_ms;
    uint64_t max_connections; /* per endpoint, all threads; 0: none */
    uint64_t max_idle;        /* kept per endpoint and thread */
    bool http2;               /* offered by ALPN to https:// endpoints */
    uint64_t streams, window; /* of an HTTP/2 connection; of a stream */
    uint64_t wait_ms;         /* for a connection when all are in use */
    uint64_t retries;         /* further tries of one call */
    uint64_t retry_percent;   /* of calls: the budget for retries */
    uint64_t suspend_ms, suspend_max_ms, suspend_factor; /* x times longer */
    uint64_t head_size, headers;                         /* of replies */
    int balance;
    struct tls_client_conf tls;
    struct {
        struct str path; /* empty: no active checks */
        uint64_t interval_ms, timeout_ms;
        uint64_t healthy, unhealthy; /* checks in a row */
    } health;
    struct {
        struct str servers;
        uint64_t timeout_ms;
    } dns;
};

struct cors_conf {
    bool enabled;
    struct conf_strings origins, methods, headers, expose;
    bool credentials;
    uint64_t max_age_ms;
};

enum trace_propagation { TRACE_AUTO, TRACE_W3C, TRACE_PASS };
enum trace_from { TRACE_FROM_ALL, TRACE_FROM_TRUSTED, TRACE_FROM_NOBODY };
enum { TRACE_SAMPLE_ALL = 1000000 };

struct tracing_conf {
    int propagation; /* enum trace_propagation */
    int from;        /* enum trace_from: whose traces are continued */
    uint64_t sample; /* of TRACE_SAMPLE_ALL calls that begin a trace */
    struct otlp_conf otlp;
};

/* Which replies have the fields RateLimit-Policy and RateLimit. */
enum rate_limit_fields { RATE_FIELDS_REFUSED, RATE_FIELDS_ALWAYS };

struct gateway_conf {
    struct conf_list listeners; /* struct listener_conf */
    struct conf_list apis;      /* struct api_conf */
    uint64_t threads;           /* 0: as many as CPUs */
    uint64_t spin;              /* microseconds; 0: never */
    struct str user;            /* to become after binding, when root */
    struct conf_strings trusted_proxies; /* addresses and CIDR ranges */
    struct str upstream;                 /* overrides every endpoint */
    struct str policies;                 /* file with tiers */
    struct str unauthenticated_tier;     /* empty: none */
    int rate_limit_fields;               /* enum rate_limit_fields */
    struct {
        uint64_t slots;
        int full; /* enum counters_full */
    } counters;
    int security_off;     /* security: 0 on, 1 off */
    int default_security; /* enum default_security */
    struct conf_strings ignore;
    bool http2;
    int forwarded;
    int errors;
    struct str via;                 /* name in Via; empty: no Via */
    struct conf_list reply_headers; /* struct header_conf */
    struct {
        struct str address;
    } admin;
    struct {
        uint64_t handshake_ms, head_ms, idle_ms, rate_ms, drain_ms, linger_ms;
        uint64_t tunnel_idle_ms, tunnel_ms;
    } timeouts;
    struct {
        uint64_t head_size, target_size, headers, body_size, pipelined;
        uint64_t rate;                                 /* bytes per second */
        uint64_t connections, connections_per_address; /* 0: derived */
        uint64_t hold_size, hold_ms; /* of a body before the backend is asked */
        uint64_t streams, window;    /* HTTP/2, of a connection and a stream */
    } limits;
    struct upstreams_conf upstreams;
    struct cors_conf cors;
    struct authentication_conf authentication;
    struct conf_list issuers;       /* struct issuer_conf */
    struct conf_list introspection; /* struct introspection_conf */
    struct conf_list users;         /* struct user_conf */
    struct outbound_conf outbound;
    struct api_keys_conf api_keys;
    struct apikey_issuer_conf apikey_issuer;
    struct backend_jwt_conf backend_jwt;
    struct {
        uint64_t size;   /* bytes of the ring; 0: nothing is kept */
        uint64_t sample; /* of 1,000 calls */
    } explain;
    struct events_conf events;
    struct access_conf access;
    struct tracing_conf tracing;
    struct {
        struct str file;   /* empty: off; "-": stdout */
        struct str format; /* json, common, or a format string */
    } access_log;
};

struct settings {
    struct str file; /* tollgate.yaml, or empty */
    struct str state_dir;
    struct {
        int level;  /* enum log_level */
        int format; /* enum log_format */
    } log;
    struct {
        uint64_t limit; /* 0: the machine's or the cgroup's */
    } memory;
    struct gateway_conf gateway;
};

extern const struct conf_field settings_fields[];

/* Reads file (empty: none) and the environment into *out. */
enum err settings_read(struct arena *a, struct str file, struct settings *out,
                       struct problems *ps);
/* The rules between settings once more, after flags changed some. */
enum err settings_check(struct arena *a, const struct settings *s,
                        struct problems *ps);

#endif
