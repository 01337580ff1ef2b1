/* openapi_security.c - security requirements, with the kinds they stand for.
 *
 * Names mean the schemes of the document itself, also where a requirement
 * stands in another file. One that is not defined is an error: it asks for
 * something, and nobody knows for what.
 */
#include "format/openapi_internal.h"

struct kind {
    struct str name, kind;
    bool broken; /* which was said */
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

static bool read_kind(struct oas_load *l, struct oas_at at, struct str *out)
{
    struct str type, scheme;

    if (!resolve(l, at, &at)) {
        *out = STR("unknown/unresolved");
        return true;
    }
    if (!oas_is(l, at, JSON_OBJECT, "a security scheme"))
        return false;
    type = json_str(json_at(at.json, "type"));
    scheme = json_str(json_at(at.json, "scheme"));
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

/* The kind of a scheme, read once. NULL: none, which is said where it is
 * asked for (no such scheme) or where it is defined. */
static const struct kind *kind_of(struct oas_load *l, struct oas_at use)
{
    struct kind *k;
    struct oas_at schemes, scheme;

    if (!l->kinds)
        l->kinds = map_new(l->scratch);
    k = map_get(l->kinds, use.json->key);
    if (k)
        return k->broken ? NULL : k;
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
    k->name = arena_copy(l->a, use.json->key);
    k->broken = !read_kind(l, scheme, &k->kind);
    map_set(l->kinds, k->name, k);
    return k->broken ? NULL : k;
}

static bool read_requirement(struct oas_load *l, struct oas_at at,
                             struct oas_requirement *out)
{
    const struct kind *k;
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
    out->schemes = arena_alloc(l->a, room * sizeof(*out->schemes));
    out->kinds = arena_alloc(l->a, room * sizeof(*out->kinds));
    for (const struct json *j = at.json->first; j; j = j->next) {
        k = kind_of(l, oas_in(at, j));
        if (!k) {
            fine = false;
            continue;
        }
        out->schemes[out->count] = k->name;
        out->kinds[out->count++] = k->kind;
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
