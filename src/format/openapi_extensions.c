/* openapi_extensions.c - x-* keys: which there are, and what is done with them.
 *
 * A key of the table is used by this reader, or has no meaning for a gateway,
 * or asks for something that is not enforced; the latter goes to a list, and
 * who serves the document decides. Other x-wso2-* keys are most likely typing
 * errors of one of these; other x-* keys are other programs'.
 */
#include <stddef.h>

#include "format/openapi_internal.h"

enum treatment {
    USED,       /* read elsewhere, at `places` only */
    HARMLESS,   /* nothing to do */
    UNENFORCED, /* listed, wherever it stands */
};

struct key {
    const char *name; /* a * at the end: whatever follows */
    enum treatment treatment;
    unsigned places;
    bool security;                          /* about who may call */
    bool (*asks)(const struct json *value); /* for something? NULL: yes */
};

static bool asks_unless_empty(const struct json *j)
{
    switch (j->type) {
    case JSON_NULL:
        return false;
    case JSON_BOOL:
        return j->boolean;
    case JSON_STRING:
        return j->text.len;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return j->count;
    default:
        return true;
    }
}

static bool asks_for_tier(const struct json *j)
{
    return asks_unless_empty(j) &&
           !str_eq_nocase(json_str(j), STR("unlimited"));
}

static bool asks_for_auth(const struct json *j)
{
    return asks_unless_empty(j) && !str_eq_nocase(json_str(j), STR("none"));
}

static bool asks_for_cache(const struct json *j)
{
    const struct json *enabled = json_at(j, "enabled");

    /* Anything but a plain "no" counts as yes. */
    return enabled ? asks_unless_empty(enabled)
                   : j->type != JSON_OBJECT && asks_unless_empty(j);
}

static const struct key keys[] = {
    { "x-wso2-basePath", USED, OAS_AT_ROOT, false, NULL },
    { "x-wso2-production-endpoints", USED, OAS_AT_ROOT | OAS_AT_OPERATION,
      false, NULL },
    { "x-wso2-sandbox-endpoints", USED, OAS_AT_ROOT | OAS_AT_OPERATION, false,
      NULL },
    { "x-wso2-endpoints", USED, OAS_AT_ROOT, false, NULL },
    { "x-wso2-cors", USED, OAS_AT_ROOT, false, NULL },
    { "x-wso2-transports", USED, OAS_AT_ROOT, false, NULL },
    { "x-wso2-disable-security", USED, OAS_AT_ROOT | OAS_AT_OPERATION, false,
      NULL },

    { "x-wso2-owner", HARMLESS, 0, false, NULL },
    { "x-wso2-label", HARMLESS, 0, false, NULL },
    { "x-wso2-labels", HARMLESS, 0, false, NULL },

    { "x-wso2-auth-header", USED, OAS_AT_ROOT, true, asks_unless_empty },
    { "x-wso2-api-key-header", USED, OAS_AT_ROOT, true, asks_unless_empty },
    { "x-wso2-mutual-ssl", USED, OAS_AT_ROOT, true, asks_unless_empty },
    { "x-wso2-application-security", USED, OAS_AT_ROOT, true, NULL },
    /* Which roles are given a scope is the key manager's business. */
    { "x-wso2-security", HARMLESS, 0, false, NULL },
    { "x-scopes-bindings", HARMLESS, 0, false, NULL },
    { "x-auth-type", USED, OAS_AT_OPERATION, true, asks_for_auth },
    { "x-scope", USED, OAS_AT_OPERATION, true, asks_unless_empty },
    { "x-scopes", USED, OAS_AT_OPERATION, true, asks_unless_empty },
    { "x-tollgate-claims", USED, OAS_AT_ROOT | OAS_AT_OPERATION, true,
      asks_unless_empty },
    { "x-basic-auth-scopes", UNENFORCED, 0, true, asks_unless_empty },

    { "x-wso2-response-cache", UNENFORCED, 0, false, asks_for_cache },
    { "x-wso2-throttling-tier", USED, OAS_AT_ROOT | OAS_AT_OPERATION, false,
      asks_for_tier },
    { "x-throttling-tier", USED, OAS_AT_ROOT | OAS_AT_OPERATION, false,
      asks_for_tier },
    { "x-throttling-bandwidth", UNENFORCED, 0, false, asks_for_tier },
    { "x-mediation-script", UNENFORCED, 0, false, asks_unless_empty },
    { "x-wso2-request-interceptor", UNENFORCED, 0, false, asks_unless_empty },
    { "x-wso2-response-interceptor", UNENFORCED, 0, false, asks_unless_empty },
    { "x-wso2-mock*", UNENFORCED, 0, false, asks_unless_empty },
    { "x-amzn-*", UNENFORCED, 0, false, asks_unless_empty },
};

enum { KEY_COUNT = sizeof(keys) / sizeof(*keys) };

static bool is_key(const struct key *k, struct str name)
{
    size_t n = strlen(k->name);

    if (k->name[n - 1] == '*')
        return str_starts(name, str_from(k->name, n - 1));
    return str_is(name, k->name);
}

static const struct key *find_key(struct str name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (is_key(&keys[i], name))
            return &keys[i];
    return NULL;
}

/* What nobody else would write. */
static bool is_ours(struct str name)
{
    return str_eq_nocase(str_head(name, 7), STR("x-wso2-")) ||
           str_eq_nocase(str_head(name, 11), STR("x-tollgate-"));
}

static void warn_unknown(struct oas_load *l, struct oas_at at)
{
    const char *known[KEY_COUNT + 1] = { 0 };

    if (!is_ours(at.json->key))
        return;
    for (size_t i = 0; i < KEY_COUNT; i++)
        known[i] = keys[i].name;
    oas_warn(l, at,
             "unknown key \"%.*s\" is ignored; the nearest known one is "
             "\"%s\"",
             STR_ARG(at.json->key), oas_nearest(l, known, at.json->key));
}

struct unenforced_item {
    struct oas_unenforced item;
    struct unenforced_item *next;
};

static struct str where_text(struct oas_load *l, struct oas_where *w)
{
    if (!w->text.p && w->method.len)
        w->text = arena_printf(l->a, "%.*s %.*s", STR_ARG(w->method),
                               STR_ARG(w->path));
    else if (!w->text.p)
        w->text = w->path.len ? w->path : STR("");
    return w->text;
}

void oas_add_unenforced(struct oas_load *l, struct oas_at at, struct str key,
                        struct oas_where *where, bool security)
{
    struct unenforced_item *u;

    if (!oas_spend(l, at, 1))
        return;
    u = arena_alloc(l->scratch, sizeof(*u));
    u->item.key = key;
    u->item.where = where_text(l, where);
    u->item.file = at.file->path;
    u->item.line = oas_line(at.json);
    u->item.security = security;
    *l->last_unenforced = u;
    l->last_unenforced = &u->next;
    l->out->unenforced_count++;
}

void oas_finish_unenforced(struct oas_load *l)
{
    size_t n = 0;

    l->out->unenforced = arena_alloc(l->a, l->out->unenforced_count *
                                               sizeof(*l->out->unenforced));
    for (struct unenforced_item *u = l->first_unenforced; u; u = u->next)
        l->out->unenforced[n++] = u->item;
}

void oas_meant_security(struct oas_load *l, struct oas_at at,
                        struct oas_where *where)
{
    if (conf_distance(at.json->key, STR("security")) <= 2 &&
        asks_unless_empty(at.json))
        oas_add_unenforced(l, at, arena_copy(l->a, at.json->key), where, true);
}

/* Likewise for extensions. Of keys that may be other programs' only the very
 * nearest. */
static void meant_extension(struct oas_load *l, struct oas_at at,
                            struct oas_where *where)
{
    struct str name = at.json->key;
    size_t far = is_ours(name) ? 2 : 1;

    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *k = &keys[i];

        if (!k->security || conf_distance(name, str_z(k->name)) > far ||
            (k->asks && !k->asks(at.json)))
            continue;
        oas_add_unenforced(l, at, arena_copy(l->a, name), where, true);
        return;
    }
}

static void one_key(struct oas_load *l, struct oas_at at, enum oas_place place,
                    struct oas_where *where)
{
    const struct key *k = find_key(at.json->key);

    if (!k) {
        warn_unknown(l, at);
        meant_extension(l, at, where);
    } else if (k->treatment == USED && !(k->places & place) &&
               (k->asks || str_is(at.json->key, "x-wso2-transports"))) {
        /* It narrows who may call, or how often: passing over it would open
         * the API. */
        if (!k->asks || k->asks(at.json))
            oas_add_unenforced(l, at, str_z(k->name), where, k->security);
    } else if (k->treatment == USED && !(k->places & place)) {
        oas_warn(l, at, "\"%s\" is ignored here: it belongs %s%s", k->name,
                 k->places & OAS_AT_OPERATION ? "into an operation or " : "",
                 "to the root of the document");
    } else if (k->treatment == UNENFORCED && (!k->asks || k->asks(at.json))) {
        struct str name = str_z(k->name);

        if (name.p[name.len - 1] == '*')
            name = arena_copy(l->a, at.json->key);
        oas_add_unenforced(l, at, name, where, k->security);
    }
}

void oas_extensions(struct oas_load *l, struct oas_at at, enum oas_place place,
                    struct oas_where *where)
{
    if (at.json->type != JSON_OBJECT)
        return;
    for (const struct json *j = at.json->first; j && !l->stop; j = j->next)
        if (str_eq_nocase(str_head(j->key, 2), STR("x-")))
            one_key(l, oas_in(at, j), place, where);
}

bool oas_security_disabled(struct oas_load *l, struct oas_at at, bool inherited)
{
    at = oas_get(at, "x-wso2-disable-security");
    if (!at.json)
        return inherited;
    if (at.json->type != JSON_BOOL)
        oas_error(l, at, "x-wso2-disable-security must be true or false");
    return json_true(at.json);
}

void oas_transports(struct oas_load *l)
{
    struct oas_at at = oas_get(l->root, "x-wso2-transports");

    l->out->http = l->out->https = !at.json;
    if (!at.json || !oas_is(l, at, JSON_ARRAY, "x-wso2-transports"))
        return;
    for (const struct json *j = at.json->first; j; j = j->next) {
        if (str_eq_nocase(json_str(j), STR("http")))
            l->out->http = true;
        else if (str_eq_nocase(json_str(j), STR("https")))
            l->out->https = true;
        else
            oas_error(l, oas_in(at, j),
                      "x-wso2-transports knows http and https, not \"%.*s\"",
                      STR_ARG(oas_scalar(j)));
    }
    if (!at.json->count)
        oas_error(l, at,
                  "x-wso2-transports is empty, so nobody could call: "
                  "write [http, https], or leave it out");
}

/* "*", "null" or scheme://host[:port]. Browsers send nothing else, and it
 * becomes part of a header. */
static bool is_origin(struct str s)
{
    size_t colon = str_find(s, ':');
    struct str host = str_skip(s, colon + 3);

    if (str_is(s, "*") || str_is(s, "null"))
        return true;
    if (!colon || !str_starts(str_skip(s, colon), STR("://")) || !host.len)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\",;\\<>", s.p[i]))
            return false;
    return str_find(host, '/') == host.len;
}

#define AT(member) offsetof(struct oas_cors, member)

static const struct oas_field cors_fields[] = {
    { "corsConfigurationEnabled", OAS_BOOL, .at = AT(enabled) },
    { "accessControlAllowOrigins", OAS_STRINGS, .at = AT(origins),
      .count = AT(origin_count), .check = is_origin,
      .wants = "origin: write \"*\" or scheme://host[:port] without a path" },
    { "accessControlAllowCredentials", OAS_BOOL, .at = AT(credentials) },
    { "accessControlAllowHeaders", OAS_STRINGS, .at = AT(headers),
      .count = AT(header_count), .check = oas_is_token,
      .wants = "header name" },
    { "accessControlAllowMethods", OAS_STRINGS, .at = AT(methods),
      .count = AT(method_count), .check = oas_is_token, .wants = "method" },
    { "accessControlExposeHeaders", OAS_STRINGS, .at = AT(expose),
      .count = AT(expose_count), .check = oas_is_token,
      .wants = "header name" },
    { "accessControlMaxAge", OAS_I64, .at = AT(max_age), .min = -1,
      .max = 86400.0 * 366 },
    { 0 },
};

static void upper(struct str *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *p = (char *)(uintptr_t)items[i].p; /* our own copy */

        for (size_t k = 0; k < items[i].len; k++)
            if (p[k] >= 'a' && p[k] <= 'z')
                p[k] = (char)(p[k] & ~0x20);
    }
}

void oas_cors(struct oas_load *l)
{
    struct oas_at at = oas_get(l->root, "x-wso2-cors");
    struct oas_cors *c = &l->out->cors;

    c->max_age = -1;
    if (!at.json)
        return;
    c->set = c->enabled = true;
    if (oas_fields(l, at, "x-wso2-cors", cors_fields, c))
        upper(c->methods, c->method_count);
}
