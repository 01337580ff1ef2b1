/* openapi_internal.h - what the files of the OpenAPI reader share.
 *
 *   openapi.c             openapi_load(): version, info, the order of things
 *   openapi_files.c       reading and parsing files, each once
 *   openapi_refs.c        $ref
 *   openapi_servers.c     servers, host and basePath, the context
 *   openapi_endpoints.c   x-wso2-*-endpoints, endpoint URLs
 *   openapi_fields.c      objects of settings inside extensions
 *   openapi_security.c    security requirements
 *   openapi_access.c      extensions that change who may call, and how often
 *   openapi_claims.c      x-tollgate-claims
 *   openapi_extensions.c  the table of x-* keys; transports and CORS
 *   openapi_template.c    path templates
 *   openapi_operations.c  paths and operations
 *   openapi_find.c        documents in folders
 *
 * Only what a gateway needs is visited; schemas are not, so they may be
 * circular. A referenced node can be visited once per place that refers to
 * it, so small documents could ask for much: the ceilings below hold for the
 * model, not only for the text.
 */
#ifndef TG_FORMAT_OPENAPI_INTERNAL_H
#define TG_FORMAT_OPENAPI_INTERNAL_H

#include "base/log.h"
#include "base/map.h"
#include "format/openapi.h"

enum {
    OAS_FILES_MAX = 64,
    OAS_FILE_BYTES = 64 << 20,
    OAS_ALL_BYTES = 256 << 20,
    OAS_REFS_MAX = 32, /* one behind the other */
    OAS_OPERATIONS_MAX = 100 * 1000,
    OAS_LIST_MAX = 1000,    /* servers, endpoints, requirements, … */
    OAS_MEMBERS_MAX = 1000, /* of a path item or an operation */
    OAS_TEXT_MAX = 4096,    /* a template, a URL, a reference */
    /* Endpoints, requirements and unenforced keys, all together. */
    OAS_PARTS_MAX = 1000 * 1000,
    /* Keys of path items and operations, as often as they are looked at. */
    OAS_KEYS_MAX = 10 * 1000 * 1000,
};

struct oas_file {
    struct str path;   /* as opened, in the model's arena */
    struct str rel;    /* below the document's folder, no dot segments */
    struct json *root; /* NULL: it cannot be used */
    const char *why;   /* and why */
};

/* A node and the file it stands in, which every message names. */
struct oas_at {
    const struct oas_file *file;
    const struct json *json;
};

struct oas_slot; /* an operation while loading */

struct oas_load {
    struct arena *a, *scratch;
    const struct oas_source *source;
    struct problems *ps;
    struct openapi *out;

    struct str folder; /* of the document, with its '/', or empty */
    struct oas_file files[OAS_FILES_MAX];
    size_t file_count;
    size_t bytes;
    struct oas_at root; /* of the document itself */

    /* What the document says once for all operations. */
    struct oas_requirement *security;
    size_t security_count;
    bool security_disabled;

    struct map *schemes;         /* name to struct scheme */
    struct oas_access *access;   /* openapi_access.c */
    struct map *named_endpoints; /* of x-wso2-endpoints: struct named */
    struct map *routes;          /* method and shape to struct oas_slot */
    struct oas_slot *first_slot, **last_slot;
    size_t slot_count;
    struct unenforced_item *first_unenforced, **last_unenforced;
    size_t parts, keys;
    bool stop; /* a ceiling was reached, which was said */
    /* A reference that cannot be followed is a warning: who follows it knows
     * a safe answer without it. */
    bool lenient;
};

/* The line of a node for messages: that of its key when it has one. */
uint32_t oas_line(const struct json *j);
#define oas_error(l, at, ...) \
    problem_error((l)->ps, (at).file->path, oas_line((at).json), __VA_ARGS__)
#define oas_warn(l, at, ...) \
    problem_warn((l)->ps, (at).file->path, oas_line((at).json), __VA_ARGS__)

#define oas_ref_problem(l, at, ...)                \
    ((l)->lenient ? problem_warn : problem_error)( \
        (l)->ps, (at).file->path, oas_line((at).json), __VA_ARGS__)

static inline struct oas_at oas_in(struct oas_at parent, const struct json *j)
{
    return (struct oas_at) { parent.file, j };
}

static inline struct oas_at oas_get(struct oas_at at, const char *key)
{
    return oas_in(at, json_get(at.json, str_z(key)));
}

/* Counts n parts of the model. False when there are too many. */
bool oas_spend(struct oas_load *l, struct oas_at at, size_t n);
/* An object (or array), or an error that calls it what. NULL is an error. */
bool oas_is(struct oas_load *l, struct oas_at at, enum json_type type,
            const char *what);
/* The text of a string or number ("version: 1.0" is one in YAML), else
 * STR_NULL. */
struct str oas_scalar(const struct json *j);

/* A token of RFC 9110: what methods and header names are made of. */
bool oas_is_token(struct str s);
/* The known name nearest to key, for a message; known ends with NULL. */
const char *oas_nearest(const struct oas_load *l, const char *const *known,
                        struct str key);
struct oas_where;
/* Warns of members of at that are neither known nor x-*. */
void oas_warn_unknown(struct oas_load *l, struct oas_at at, const char *what,
                      const char *const *known, struct oas_where *where);

/* openapi_files.c: the file of this name below the document's folder, read
 * and parsed when it is the first time. NULL: no, and the reason was said, at
 * the reference. */
const struct oas_file *oas_open(struct oas_load *l, struct oas_at ref,
                                struct str rel);
/* The document itself. */
const struct oas_file *oas_open_first(struct oas_load *l, struct str rel);

/* openapi_refs.c: at, and what its $ref leads to, and so on. Returns how many,
 * 0 after an error. */
size_t oas_chain(struct oas_load *l, struct oas_at at,
                 struct oas_at chain[OAS_REFS_MAX]);
/* The end of that chain. */
bool oas_resolve(struct oas_load *l, struct oas_at at, struct oas_at *out);

/* The byte that s begins with as %XX; false when it does not. */
bool oas_escape(struct str s, unsigned char *byte);

/* openapi_servers.c */
void oas_servers(struct oas_load *l);
/* The endpoint of servers of a path or operation; NULL: as the API. */
const struct oas_endpoints *oas_servers_of(struct oas_load *l,
                                           struct oas_at servers);
/* The normal form of a base path: "" or begins with '/' and does not end with
 * it. False for anything that is none; then *why says it. */
bool oas_base_path(struct arena *a, struct str text, struct str *out,
                   const char **why);

/* What an unenforced key is found in. */
struct oas_where {
    struct str method, path; /* both, one or none */
    struct str text;         /* made when first needed */
};

/* openapi_endpoints.c */
const struct oas_endpoints *
oas_endpoints(struct oas_load *l, struct oas_at value, struct oas_where *where);
/* Text that is an endpoint's URL, into out. */
bool oas_endpoint_url(struct oas_load *l, struct oas_at at, struct str text,
                      struct oas_endpoint *out);

/* openapi_fields.c: objects of settings. Offsets are of one struct, for
 * nested sections too. */
enum oas_field_type {
    OAS_BOOL,
    OAS_U16,
    OAS_U32,
    OAS_U64,
    OAS_I64,
    OAS_DOUBLE,
    OAS_STATUSES, /* uint16_t[32], number at `count` */
    OAS_STRINGS,  /* struct str *, number at `count` */
    OAS_SECTION,  /* `fields` of the same struct; bool at `at` when not 0 */
    OAS_OTHER,    /* known, read by somebody else */
};

struct oas_field {
    const char *name;
    enum oas_field_type type;
    size_t at, count;
    double min, max;
    bool unlimited; /* -1 stands for 0 */
    const struct oas_field *fields;
    /* STRINGS: whether one is fine, and what it should be. */
    bool (*check)(struct str s);
    const char *wants;
};

/* Writes what is said; false after an error. Names are compared without case
 * and dashes. An unknown member is a warning. */
bool oas_fields(struct oas_load *l, struct oas_at at, const char *what,
                const struct oas_field *fields, void *out);

/* openapi_security.c: false after an error; then nothing is written. */
bool oas_security(struct oas_load *l, struct oas_at at,
                  struct oas_requirement **items, size_t *count);

/* openapi_access.c: the root's extensions, once; then those of an operation,
 * whose requirements are read already. */
void oas_access_root(struct oas_load *l);
void oas_access_operation(struct oas_load *l, struct oas_at at,
                          struct oas_operation *op);

/* openapi_claims.c: x-tollgate-claims of the object. False after an error. */
bool oas_claims(struct oas_load *l, struct oas_at at, struct oas_claims *out);
bool oas_same_claims(const struct oas_claims *a, const struct oas_claims *b);

/* openapi_extensions.c */
enum oas_place { OAS_AT_ROOT = 1, OAS_AT_PATH = 2, OAS_AT_OPERATION = 4 };

/* Looks at all x-* keys of an object: unknown ones are warnings, unenforced
 * ones go to the list. */
void oas_extensions(struct oas_load *l, struct oas_at at, enum oas_place place,
                    struct oas_where *where);
void oas_add_unenforced(struct oas_load *l, struct oas_at at, struct str key,
                        struct oas_where *where, bool security);
/* A key that nobody reads: is listed when it most likely was to ask for
 * security. To pass over it would open the API. */
void oas_meant_security(struct oas_load *l, struct oas_at at,
                        struct oas_where *where);
/* The list, into the model. */
void oas_finish_unenforced(struct oas_load *l);
/* Whether x-wso2-disable-security of the object, else inherited, is set. */
bool oas_security_disabled(struct oas_load *l, struct oas_at at,
                           bool inherited);
void oas_transports(struct oas_load *l);
void oas_cors(struct oas_load *l);

/* openapi_template.c */
struct oas_template {
    struct str path;  /* as written */
    struct str route; /* see struct oas_operation */
    struct str shape; /* route with {} for every {name}, in scratch */
    struct str rest;  /* what is behind route: "?a=b", "#x" or empty */
};
bool oas_template(struct oas_load *l, struct oas_at item,
                  struct oas_template *out);

/* openapi_operations.c */
void oas_operations(struct oas_load *l);

#endif
