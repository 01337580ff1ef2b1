/* openapi_security.c - security requirements, with the kinds they stand for.
 *
 * Names mean the schemes of the document itself, also where a requirement
 * stands in another file. One that is not defined is an error: it asks for
 * something, and nobody knows for what.
 */
#include "format/openapi_internal.h"

struct scheme {
    const struct oas_scheme *out; /* NULL: broken, which was said */
};

static struct oas_at schemes_of(struct oas_load *l)
{
    if (l->out->version == OAS_2_0)
        return oas_get(l->root, "securityDefinitions");
    return oas_get(oas_get(l->root, "components"), "securitySchemes");
}

static struct str lower(struct arena *a, struct str s)
{
    char *p = arena_raw(a, s.len + 1);

    for (size_t i = 0; i < s.len; i++)
        p[i] = char_lower(s.p[i]);
    return str_from(p, s.len);
}

static bool known_type(struct oas_load *l, struct str type)
{
    static const char *const v2[] = { "basic", "apiKey", "oauth2", NULL };
    static const char *const v3[] = { "apiKey", "oauth2", "openIdConnect",
                                      "mutualTLS", NULL };

    for (const char *const *t = l->out->version == OAS_2_0 ? v2 : v3; *t; t++)
        if (str_is(type, *t))
            return true;
    return false;
}

/* A scheme that is defined where nothing is read from stays required: its kind
 * is unknown, so nothing can satisfy it until somebody decides. */
static bool resolve(struct oas_load *l, struct oas_at at, struct oas_at *out)
{
    bool found;

    l->lenient = true;
    found = oas_resolve(l, at, out);
    l->lenient = false;
    return found;
}

static enum oas_scheme_kind kind_of(struct str type)
{
    static const struct {
        const char *type;
        enum oas_scheme_kind kind;
    } known[] = {
        { "oauth2", OAS_SCHEME_BEARER },
        { "openIdConnect", OAS_SCHEME_BEARER },
        { "http/bearer", OAS_SCHEME_BEARER },
        { "http/basic", OAS_SCHEME_BASIC },
        { "basic", OAS_SCHEME_BASIC },
        { "apiKey", OAS_SCHEME_API_KEY },
        { "mutualTLS", OAS_SCHEME_MUTUAL_TLS },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (str_is(type, known[i].type))
            return known[i].kind;
    return OAS_SCHEME_UNKNOWN;
}

/* Where an API key is sent. What is not said is left empty: who serves the
 * document can tell then. */
static bool read_place(struct oas_load *l, struct oas_at at,
                       struct oas_scheme *out)
{
    struct str in = json_str(json_at(at.json, "in"));
    struct str name = json_str(json_at(at.json, "name"));

    if (!in.len || !name.len)
        return true;
    if (str_is(in, "header")) {
        out->in = OAS_IN_HEADER;
    } else if (str_is(in, "query")) {
        out->in = OAS_IN_QUERY;
    } else if (str_is(in, "cookie")) {
        out->in = OAS_IN_COOKIE;
    } else {
        oas_error(l, at,
                  "an API key is sent in header, query or cookie, not "
                  "in \"%.*s\"",
                  STR_ARG(str_head(in, 64)));
        return false;
    }
    if (name.len > 256 || (out->in != OAS_IN_QUERY && !oas_is_token(name))) {
        oas_error(l, at, "\"%.*s\" is no name of a %s",
                  STR_ARG(str_head(name, 256)),
                  out->in == OAS_IN_HEADER ? "header" : "cookie");
        return false;
    }
    out->param = arena_copy(l->a, name);
    return true;
}

static bool read_type(struct oas_load *l, struct oas_at at, struct str *out)
{
    struct str type = json_str(json_at(at.json, "type"));
    struct str scheme = json_str(json_at(at.json, "scheme"));

    if (!type.len || type.len > OAS_TEXT_MAX || scheme.len > OAS_TEXT_MAX) {
        oas_error(l, at, "a security scheme needs a type");
        return false;
    }
    if (known_type(l, type)) {
        *out = arena_copy(l->a, type);
    } else if (l->out->version == OAS_2_0 || !str_is(type, "http")) {
        *out = arena_printf(l->a, "unknown/%.*s", STR_ARG(type));
    } else if (scheme.len) {
        scheme = lower(l->scratch, scheme);
        *out = arena_printf(l->a, "http/%.*s", STR_ARG(scheme));
    } else {
        oas_error(l, at,
                  "a security scheme of type http needs a scheme, as "
                  "basic or bearer");
        return false;
    }
    return true;
}

static bool read_scheme(struct oas_load *l, struct oas_at at,
                        struct oas_scheme *out)
{
    if (!resolve(l, at, &at)) {
        out->type = STR("unknown/unresolved");
        return true;
    }
    if (!oas_is(l, at, JSON_OBJECT, "a security scheme") ||
        !read_type(l, at, &out->type))
        return false;
    out->kind = kind_of(out->type);
    return out->kind != OAS_SCHEME_API_KEY || read_place(l, at, out);
}

/* A scheme, read once. NULL: none, which is said where it is asked for (no
 * such scheme) or where it is defined. */
static const struct oas_scheme *find_scheme(struct oas_load *l,
                                            struct oas_at use)
{
    struct scheme *k;
    struct oas_at schemes, scheme;
    struct oas_scheme *out;

    if (!l->schemes)
        l->schemes = map_new(l->scratch);
    k = map_get(l->schemes, use.json->key);
    if (k)
        return k->out;
    schemes = schemes_of(l);
    scheme = oas_in(schemes, json_get(schemes.json, use.json->key));
    if (!scheme.json) {
        oas_error(l, use, "security asks for \"%.*s\", which is not in %s",
                  STR_ARG(use.json->key),
                  l->out->version == OAS_2_0 ? "securityDefinitions"
                                             : "components.securitySchemes");
        return NULL;
    }
    k = arena_alloc(l->scratch, sizeof(*k));
    out = arena_alloc(l->a, sizeof(*out));
    out->name = arena_copy(l->a, use.json->key);
    k->out = read_scheme(l, scheme, out) ? out : NULL;
    map_set(l->schemes, out->name, k);
    return k->out;
}

static bool read_scopes(struct oas_load *l, struct oas_at at,
                        struct oas_demand *out)
{
    if (!oas_is(l, at, JSON_ARRAY, "the scopes of a security requirement"))
        return false;
    if (at.json->count > OAS_LIST_MAX) {
        oas_error(l, at, "a security requirement may have at most %d scopes",
                  OAS_LIST_MAX);
        return false;
    }
    if (!oas_spend(l, at, at.json->count))
        return false;
    out->scopes = arena_alloc(l->a, at.json->count * sizeof(*out->scopes) + 1);
    for (const struct json *j = at.json->first; j; j = j->next) {
        struct str s = json_str(j);

        if (!oas_is_scope(s)) {
            oas_error(l, oas_in(at, j), "\"%.*s\" is no name of a scope",
                      STR_ARG(str_head(oas_scalar(j), 256)));
            return false;
        }
        out->scopes[out->scope_count++] = arena_copy(l->a, s);
    }
    return true;
}

bool oas_is_scope(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\')
            return false;
    return s.len > 0 && s.len <= OAS_TEXT_MAX;
}

static bool read_requirement(struct oas_load *l, struct oas_at at,
                             struct oas_requirement *out)
{
    size_t room;
    bool fine = true;

    if (!oas_is(l, at, JSON_OBJECT, "a security requirement"))
        return false;
    room = at.json->count;
    if (room > OAS_LIST_MAX) {
        oas_error(l, at, "a security requirement may have at most %d schemes",
                  OAS_LIST_MAX);
        return false;
    }
    if (!oas_spend(l, at, 1 + room))
        return false;
    out->demands = arena_alloc(l->a, room * sizeof(*out->demands) + 1);
    for (const struct json *j = at.json->first; j; j = j->next) {
        struct oas_demand *d = &out->demands[out->count];

        d->scheme = find_scheme(l, oas_in(at, j));
        if (d->scheme && read_scopes(l, oas_in(at, j), d))
            out->count++;
        else
            fine = false;
    }
    return fine;
}

bool oas_security(struct oas_load *l, struct oas_at at,
                  struct oas_requirement **items, size_t *count)
{
    struct oas_requirement *list;
    size_t n = 0;
    bool fine = true;

    if (!oas_is(l, at, JSON_ARRAY, "security"))
        return false;
    if (at.json->count > OAS_LIST_MAX) {
        oas_error(l, at, "security may have at most %d alternatives",
                  OAS_LIST_MAX);
        return false;
    }
    list = arena_alloc(l->a, at.json->count * sizeof(*list));
    for (const struct json *j = at.json->first; j; j = j->next)
        if (!read_requirement(l, oas_in(at, j), &list[n++]))
            fine = false;
    if (fine) {
        *items = list;
        *count = n;
    }
    return fine;
}
