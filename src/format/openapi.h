/* openapi.h - what a gateway needs to know of an OpenAPI document: versions
 * 2.0, 3.0, 3.1 and 3.2, as JSON or YAML.
 *
 * Loading resolves references (local and to other files below the document's
 * folder), servers, security and the x-wso2-* extensions into the flat model
 * below. Nothing here knows sockets or configuration files. Every problem
 * names file, line and the way out.
 */
#ifndef TG_FORMAT_OPENAPI_H
#define TG_FORMAT_OPENAPI_H

#include "base/conf.h"
#include "format/json.h"
#include "format/uri.h"

enum oas_version { OAS_2_0 = 20, OAS_3_0 = 30, OAS_3_1 = 31, OAS_3_2 = 32 };

enum oas_balance { OAS_ROUND_ROBIN, OAS_FAILOVER };

/* advanceEndpointConfig (facts section 34). 0 everywhere: not said. */
struct oas_endpoint_config {
    uint64_t timeout_ms;
    struct {
        uint32_t count;
        uint32_t interval_ms;
        double back_off_factor;
        uint32_t max_wait_ms;
        uint16_t statuses[32];
        uint32_t status_count;
    } retry;
    struct {
        bool on;
        uint32_t request_volume; /* calls in the window before it may open */
        uint32_t window_ms, bucket_ms;
        double failure_threshold; /* share of failures, 0 … 1 */
        uint32_t reset_ms;
        uint16_t statuses[32];
        uint32_t status_count;
    } breaker;
    struct {
        uint32_t max_active; /* 0: not said */
        uint32_t max_idle;
        uint32_t wait_ms;
    } pool;
};

struct oas_endpoint {
    /* Scheme http, https, h2, h2c or unix; no query, no userinfo. Its path is
     * in normal form without trailing slash, empty for the root. */
    struct url url;
    struct str text; /* as written, for messages */
    uint32_t weight; /* 1 unless said */
    uint32_t line;
};

/* Where calls go: one or more endpoints and how to use them. */
struct oas_endpoints {
    struct oas_endpoint *items;
    size_t count;
    enum oas_balance balance;
    struct oas_endpoint_config config;
    struct str file; /* where line is */
    uint32_t line;
};

struct oas_cors {
    bool set; /* x-wso2-cors was there */
    bool enabled;
    bool credentials;
    struct str *origins, *headers, *methods, *expose;
    size_t origin_count, header_count, method_count, expose_count;
    int64_t max_age; /* -1: not said */
};

enum oas_scheme_kind {
    OAS_SCHEME_UNKNOWN, /* nothing can check it */
    OAS_SCHEME_BEARER,  /* oauth2, openIdConnect, http/bearer */
    OAS_SCHEME_BASIC,
    OAS_SCHEME_API_KEY,
    OAS_SCHEME_MUTUAL_TLS,
};

enum oas_in { OAS_IN_HEADER, OAS_IN_QUERY, OAS_IN_COOKIE };

/* One of securitySchemes, or one that an extension stands for: of these
 * `implied` is true. */
struct oas_scheme {
    struct str name;
    /* As written: "apiKey", "http/basic", "http/bearer", "oauth2",
     * "openIdConnect", "mutualTLS", "basic" (2.0); "unknown/TYPE",
     * "unknown/unresolved" (its $ref was not followed, which was a
     * warning). */
    struct str type;
    enum oas_scheme_kind kind;
    enum oas_in in;   /* API_KEY */
    struct str param; /* API_KEY: name of the field, parameter or cookie;
                         empty: not said */
    bool implied;
};

/* A scheme, and the scopes asked for with it: all of them, unless they come
 * from x-scope or x-scopes, of which any one is enough. */
struct oas_demand {
    const struct oas_scheme *scheme;
    struct str *scopes;
    size_t scope_count;
    bool any_scope;
};

/* One alternative of `security`: all its schemes together. An alternative
 * without schemes ({}) means open. */
struct oas_requirement {
    struct oas_demand *demands;
    size_t count;
};

/* What x-wso2-application-security would stand for: BEARER, BASIC or API_KEY,
 * else NULL. */
const struct oas_scheme *oas_implied_scheme(enum oas_scheme_kind kind);

/* The name of a scope: scope-token of RFC 6749 section 3.3, of at most 4,096
 * bytes. */
bool oas_is_scope(struct str s);

/* What must stand in a caller's token (x-tollgate-claims). */
enum oas_claim_test {
    OAS_CLAIM_THERE,    /* it is there, and not null */
    OAS_CLAIM_EQUALS,   /* it is one of the values */
    OAS_CLAIM_CONTAINS, /* a list, or words, with the value */
    OAS_CLAIM_MATCHES,  /* the value is a regular expression */
};

enum { OAS_CLAIMS_MAX = 32, OAS_CLAIM_VALUES_MAX = 64 };
#define OAS_CLAIM_TEXT_MAX 1024

struct oas_claim {
    struct str name; /* a member, or with a / before it a JSON pointer */
    enum oas_claim_test test;
    struct str *values;
    size_t value_count;
    struct str file;
    uint32_t line;
};

struct oas_claims {
    struct oas_claim *items;
    size_t count;
};

/* x-auth-type: which tokens an operation takes. */
enum oas_auth_type { OAS_AUTH_ANY, OAS_AUTH_APPLICATION, OAS_AUTH_USER };

struct oas_operation {
    struct str method; /* upper case: GET, …, QUERY, or of
                          additionalOperations */
    struct str path;   /* template as written, begins with '/' */
    /* The template to match: path without what is behind a '?' or '#' (some
     * documents tell operations apart by it; a router cannot), literal text in
     * the normal form of uri_path_normal(), {names} as written. */
    struct str route;
    /* Another operation has this method and route and serves it: never to be
     * routed, kept so that all operations of a document are shown. Its
     * security is the same, or the document is refused. */
    bool shadowed;
    struct str id;   /* operationId or empty */
    struct str file; /* where line is: the document, or what it refers to */
    uint32_t line;
    /* NULL: as the API. From path or operation servers, or x-wso2-* of the
     * operation. */
    const struct oas_endpoints *production, *sandbox;
    /* Effective security: own, else the document's, and what the extensions
     * (x-wso2-application-security, x-wso2-mutual-ssl, x-auth-type, x-scope,
     * x-scopes) make of it. count 0: nothing is required. */
    struct oas_requirement *security;
    size_t security_count;
    bool security_disabled; /* x-wso2-disable-security, or x-auth-type None */
    bool security_said;     /* somebody wrote about it, be it that none is */
    enum oas_auth_type auth_type;
    struct str tier;          /* its own x-wso2-throttling-tier; empty: none */
    struct oas_claims claims; /* its own x-tollgate-claims */
};

/* A known x-wso2-* (or older x-throttling-tier, x-auth-type, x-scope, …) key
 * that changes who may call or what happens, and that the program does not
 * enforce yet. Values that ask for nothing (false, "None" for x-auth-type,
 * "Unlimited" tiers) are not listed. */
struct oas_unenforced {
    struct str key;
    struct str where; /* "", "GET /pets", or "/pets" for all of a path */
    struct str file;
    uint32_t line;
    bool security; /* about who may call: `--security off` allows it too */
};

struct openapi {
    struct str file; /* as given, for messages */
    enum oas_version version;
    struct str title;       /* info.title */
    struct str api_version; /* info.version */
    /* Path under which the gateway serves it: x-wso2-basePath, else basePath,
     * else the path of the first server; normalised, no trailing slash, ""
     * for root. "{version}" is replaced. */
    struct str context;
    /* The same without the version segment, when x-wso2-basePath held
     * "{version}" as a whole segment; else empty with has_versioned false. */
    struct str context_unversioned;
    bool has_versioned;
    const struct oas_endpoints *production, *sandbox; /* NULL: none known */
    bool relative_server; /* the servers are only relative: no endpoint known */
    bool http, https;     /* x-wso2-transports; both by default */
    struct str auth_header;   /* x-wso2-auth-header; empty: not said */
    struct str key_header;    /* x-wso2-api-key-header; empty: not said */
    struct str tier;          /* x-wso2-throttling-tier of the root */
    struct oas_claims claims; /* x-tollgate-claims of the root */
    struct oas_cors cors;
    struct oas_operation *operations;
    size_t operation_count;
    struct oas_unenforced *unenforced;
    size_t unenforced_count;
    uint64_t content;  /* hash over the document and every file it pulled in */
    struct str *files; /* all files read, the document first */
    size_t file_count;
};

/* Reads files for references; tests give their own. Text lives in the arena.
 * ERR_NOT_FOUND, ERR_LIMIT (over max_bytes), ERR_IO. */
struct oas_source {
    enum err (*read)(void *arg, struct arena *a, struct str path,
                     struct str *text);
    void *arg;
};
/* Regular files, at most 64 MiB each. */
extern const struct oas_source oas_files;

/* A document that is not usable gives ERR_INVALID and at least one error in
 * ps; warnings go there too (an unknown x-wso2-* key names itself). On success
 * *out and all it points to live in the arena (the parsed tree may live in
 * `scratch`, freed by the caller afterwards). */
enum err openapi_load(struct arena *a, struct arena *scratch,
                      const struct oas_source *source, struct str path,
                      struct problems *ps, struct openapi **out);

/* Whether the root has "swagger" or "openapi". */
bool openapi_looks_like(const struct json *root);

/* The documents a path names, in the arena: a file is one, whatever it holds;
 * a folder gives the .json, .yaml and .yml files below it whose root has
 * "swagger" or "openapi" (what others only refer to has not), sorted by name.
 * Hidden entries are left out, links are followed, depth is at most 8, files
 * at most 100,000. What cannot be read is an error in ps and gives
 * ERR_INVALID; a folder without documents is a warning. */
enum err openapi_find(struct arena *a, struct str path, struct problems *ps,
                      struct conf_strings *files);

#endif
