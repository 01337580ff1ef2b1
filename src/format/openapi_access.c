/* openapi_access.c - extensions that change who may call, and how often.
 *
 * They end as requirements like those of `security`, so that one thing is
 * enforced and shown:
 *
 *   x-wso2-application-security   its types take the place of the schemes of
 *                                 `security`; the scopes asked for stay
 *   x-auth-type                   None opens an operation, everything else
 *                                 wants a token where nothing else does
 *   x-scope, x-scopes             want a token with one of these
 *   x-wso2-mutual-ssl             mandatory: a certificate beside all that;
 *                                 optional: or a certificate
 */
#include "format/openapi_internal.h"

enum { TYPES_MAX = 8 };

struct oas_access {
    const struct oas_scheme *types[TYPES_MAX];
    size_t type_count;
    struct str *room; /* for the scopes of one operation */
    bool optional;    /* application security */
    enum { MUTUAL_NOT, MUTUAL_OPTIONAL, MUTUAL_MANDATORY } mutual;
};

static const struct oas_scheme implied_bearer = {
    .name = { "oauth2", 6 },
    .type = { "oauth2", 6 },
    .kind = OAS_SCHEME_BEARER,
    .implied = true,
};
static const struct oas_scheme implied_basic = {
    .name = { "basic_auth", 10 },
    .type = { "http/basic", 10 },
    .kind = OAS_SCHEME_BASIC,
    .implied = true,
};
static const struct oas_scheme implied_key = {
    .name = { "api_key", 7 },
    .type = { "apiKey", 6 },
    .kind = OAS_SCHEME_API_KEY,
    .implied = true,
};
static const struct oas_scheme implied_certificate = {
    .name = { "mutualTLS", 9 },
    .type = { "mutualTLS", 9 },
    .kind = OAS_SCHEME_MUTUAL_TLS,
    .implied = true,
};

const struct oas_scheme *oas_implied_scheme(enum oas_scheme_kind kind)
{
    switch (kind) {
    case OAS_SCHEME_BEARER:
        return &implied_bearer;
    case OAS_SCHEME_BASIC:
        return &implied_basic;
    case OAS_SCHEME_API_KEY:
        return &implied_key;
    default:
        return NULL;
    }
}

/* The root */

static struct str text_of(struct oas_load *l, struct oas_at at, const char *key,
                          bool (*fine)(struct str), const char *wants)
{
    struct str s;

    at = oas_get(at, key);
    if (!at.json || at.json->type == JSON_NULL)
        return STR("");
    s = json_str(at.json);
    if (at.json->type == JSON_STRING && !s.len)
        return STR("");
    if (at.json->type != JSON_STRING || s.len > 256 || !fine(s)) {
        oas_error(l, at, "%s must be %s", key, wants);
        return STR("");
    }
    return arena_copy(l->a, s);
}

static const struct oas_scheme *type_of(struct str s)
{
    if (str_eq_nocase(s, STR("oauth2")) || str_eq_nocase(s, STR("jwt")))
        return &implied_bearer;
    if (str_eq_nocase(s, STR("basic_auth")) || str_eq_nocase(s, STR("basic")))
        return &implied_basic;
    if (str_eq_nocase(s, STR("api_key")) || str_eq_nocase(s, STR("apikey")))
        return &implied_key;
    return NULL;
}

static void read_types(struct oas_load *l, struct oas_at at)
{
    if (!oas_is(l, at, JSON_ARRAY, "security-types"))
        return;
    for (const struct json *j = at.json->first; j; j = j->next) {
        const struct oas_scheme *s = type_of(json_str(j));

        if (s && l->access->type_count < TYPES_MAX)
            l->access->types[l->access->type_count++] = s;
        else
            oas_error(l, oas_in(at, j),
                      "security-types knows oauth2, basic_auth and api_key, "
                      "each once, not \"%.*s\"",
                      STR_ARG(str_head(oas_scalar(j), 64)));
    }
}

static void read_application(struct oas_load *l)
{
    struct oas_at at = oas_get(l->root, "x-wso2-application-security");
    struct oas_at types, optional;

    if (!at.json || !oas_is(l, at, JSON_OBJECT, "x-wso2-application-security"))
        return;
    for (const struct json *j = at.json->first; j; j = j->next)
        if (!str_is(j->key, "security-types") && !str_is(j->key, "optional"))
            oas_error(l, oas_in(at, j),
                      "unknown key \"%.*s\" in x-wso2-application-security: "
                      "it has security-types and optional",
                      STR_ARG(str_head(j->key, 64)));
    types = oas_get(at, "security-types");
    optional = oas_get(at, "optional");
    if (types.json)
        read_types(l, types);
    if (optional.json && optional.json->type != JSON_BOOL)
        oas_error(l, optional, "optional must be true or false");
    l->access->optional = optional.json && json_true(optional.json);
}

static void read_mutual(struct oas_load *l)
{
    struct oas_at at = oas_get(l->root, "x-wso2-mutual-ssl");
    struct str s = at.json ? json_str(at.json) : STR_NULL;

    if (!at.json || at.json->type == JSON_NULL ||
        (at.json->type == JSON_STRING && !s.len))
        return;
    if (str_eq_nocase(s, STR("optional")))
        l->access->mutual = MUTUAL_OPTIONAL;
    else if (str_eq_nocase(s, STR("mandatory")))
        l->access->mutual = MUTUAL_MANDATORY;
    else
        oas_error(l, at, "x-wso2-mutual-ssl must be mandatory or optional");
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return s.len > 0;
}

static struct str tier_of(struct oas_load *l, struct oas_at at)
{
    static const char wants[] = "the name of a tier";
    struct str tier = text_of(l, at, "x-wso2-throttling-tier", is_name, wants);

    if (!tier.len)
        tier = text_of(l, at, "x-throttling-tier", is_name, wants);
    return str_eq_nocase(tier, STR("unlimited")) ? STR("") : tier;
}

void oas_access_root(struct oas_load *l)
{
    static const char header[] = "the name of a header";

    l->access = arena_alloc(l->scratch, sizeof(*l->access));
    l->access->room =
        arena_alloc(l->scratch, OAS_LIST_MAX * sizeof(*l->access->room));
    l->out->auth_header =
        text_of(l, l->root, "x-wso2-auth-header", oas_is_token, header);
    l->out->key_header =
        text_of(l, l->root, "x-wso2-api-key-header", oas_is_token, header);
    l->out->tier = tier_of(l, l->root);
    (void)oas_claims(l, l->root, &l->out->claims);
    read_application(l);
    read_mutual(l);
}

/* An operation */

static struct oas_requirement *add(struct oas_load *l, struct oas_operation *op,
                                   size_t demands)
{
    struct oas_requirement *list =
        arena_alloc(l->a, (op->security_count + 1) * sizeof(*list));

    if (op->security_count)
        memcpy(list, op->security, op->security_count * sizeof(*list));
    op->security = list;
    list += op->security_count++;
    list->demands = arena_alloc(l->a, (demands + 1) * sizeof(*list->demands));
    return list;
}

static void demand(struct oas_requirement *r, const struct oas_scheme *s,
                   const struct oas_demand *scopes)
{
    struct oas_demand *d = &r->demands[r->count++];

    if (scopes)
        *d = *scopes;
    d->scheme = s;
}

/* The first that asks for a token: its scopes are the operation's. */
static const struct oas_demand *token_demand(const struct oas_operation *op)
{
    for (size_t i = 0; i < op->security_count; i++)
        for (size_t k = 0; k < op->security[i].count; k++)
            if (op->security[i].demands[k].scheme->kind == OAS_SCHEME_BEARER)
                return &op->security[i].demands[k];
    return NULL;
}

static void apply_types(struct oas_load *l, struct oas_operation *op)
{
    const struct oas_access *x = l->access;
    const struct oas_demand *token = token_demand(op);

    if (x->type_count) {
        op->security = NULL;
        op->security_count = 0;
        for (size_t i = 0; i < x->type_count; i++)
            demand(add(l, op, 1), x->types[i],
                   x->types[i]->kind == OAS_SCHEME_API_KEY ? NULL : token);
    }
    if (x->optional && op->security_count)
        (void)add(l, op, 0);
}

static bool read_auth_type(struct oas_load *l, struct oas_at at,
                           struct oas_operation *op, bool *wanted)
{
    struct str s;

    at = oas_get(at, "x-auth-type");
    if (!at.json || at.json->type == JSON_NULL)
        return true;
    s = json_str(at.json);
    *wanted = true;
    if (str_eq_nocase(s, STR("none"))) {
        op->security_disabled = true;
    } else if (str_eq_nocase(s, STR("application"))) {
        op->auth_type = OAS_AUTH_APPLICATION;
    } else if (str_eq_nocase(s, STR("application user")) ||
               str_eq_nocase(s, STR("application_user"))) {
        op->auth_type = OAS_AUTH_USER;
    } else if (!s.len && at.json->type == JSON_STRING) {
        *wanted = false;
    } else if (!str_eq_nocase(s, STR("any")) &&
               !str_eq_nocase(s, STR("application & application user"))) {
        oas_error(l, at,
                  "x-auth-type must be Any, Application, Application User or "
                  "None, not \"%.*s\"",
                  STR_ARG(str_head(oas_scalar(at.json), 64)));
        return false;
    }
    return true;
}

/* Names behind each other with commas or spaces, or a list of such. */
static bool read_names(struct oas_load *l, struct oas_at at,
                       struct oas_demand *out)
{
    struct str rest = json_str(at.json);

    if (at.json->type == JSON_ARRAY) {
        for (const struct json *j = at.json->first; j; j = j->next)
            if (j->type == JSON_ARRAY || !read_names(l, oas_in(at, j), out))
                return false;
        return true;
    }
    if (at.json->type != JSON_STRING && at.json->type != JSON_NULL)
        return false;
    while (rest.len) {
        size_t n = 0;

        while (n < rest.len && rest.p[n] != ',' && rest.p[n] != ' ')
            n++;
        if (n && (!oas_is_scope(str_head(rest, n)) ||
                  out->scope_count == OAS_LIST_MAX))
            return false;
        if (n)
            out->scopes[out->scope_count++] =
                arena_copy(l->a, str_head(rest, n));
        rest = str_skip(rest, n + 1);
    }
    return true;
}

/* x-scope and x-scopes: any of them is enough. */
static bool read_any_scopes(struct oas_load *l, struct oas_at at,
                            struct oas_demand *out)
{
    static const char *const keys[] = { "x-scope", "x-scopes" };
    struct str *room = l->access->room;

    out->scopes = room;
    out->any_scope = true;
    for (size_t i = 0; i < 2; i++) {
        struct oas_at own = oas_get(at, keys[i]);

        if (!own.json || read_names(l, own, out))
            continue;
        oas_error(l, own,
                  "%s must be names of scopes, at most %d of them, with "
                  "commas between them, or a list",
                  keys[i], OAS_LIST_MAX);
        return false;
    }
    out->scopes =
        arena_alloc(l->a, out->scope_count * sizeof(*out->scopes) + 1);
    memcpy(out->scopes, room, out->scope_count * sizeof(*out->scopes));
    return oas_spend(l, at, out->scope_count);
}

/* Puts these scopes in the place of those asked for with tokens and
 * passwords. */
static void replace_scopes(struct oas_load *l, struct oas_operation *op,
                           const struct oas_demand *scopes)
{
    struct oas_requirement *list =
        arena_alloc(l->a, op->security_count * sizeof(*list));

    for (size_t i = 0; i < op->security_count; i++) {
        const struct oas_requirement *from = &op->security[i];
        struct oas_demand *to =
            arena_alloc(l->a, (from->count + 1) * sizeof(*to));

        for (size_t k = 0; k < from->count; k++) {
            to[k] = from->demands[k];
            if (to[k].scheme->kind != OAS_SCHEME_BEARER &&
                to[k].scheme->kind != OAS_SCHEME_BASIC)
                continue;
            to[k].scopes = scopes->scopes;
            to[k].scope_count = scopes->scope_count;
            to[k].any_scope = true;
        }
        list[i] = (struct oas_requirement) { to, from->count };
    }
    op->security = list;
}

static void apply_mutual(struct oas_load *l, struct oas_operation *op)
{
    struct oas_requirement *list;

    if (l->access->mutual == MUTUAL_NOT)
        return;
    if (l->access->mutual == MUTUAL_OPTIONAL || !op->security_count) {
        demand(add(l, op, 1), &implied_certificate, NULL);
        return;
    }
    list = arena_alloc(l->a, op->security_count * sizeof(*list));
    for (size_t i = 0; i < op->security_count; i++) {
        const struct oas_requirement *from = &op->security[i];

        list[i].demands =
            arena_alloc(l->a, (from->count + 1) * sizeof(*from->demands));
        demand(&list[i], &implied_certificate, NULL);
        if (from->count)
            memcpy(list[i].demands + 1, from->demands,
                   from->count * sizeof(*from->demands));
        list[i].count += from->count;
    }
    op->security = list;
}

void oas_access_operation(struct oas_load *l, struct oas_at at,
                          struct oas_operation *op)
{
    struct oas_demand scopes = { 0 };
    bool wanted = false;

    op->tier = tier_of(l, at);
    if (!oas_claims(l, at, &op->claims))
        return;
    if (!oas_spend(l, at, 2) || !read_auth_type(l, at, op, &wanted) ||
        !read_any_scopes(l, at, &scopes))
        return;
    apply_types(l, op);
    if (!op->security_count && (wanted || scopes.scope_count))
        demand(add(l, op, 1), &implied_bearer, NULL);
    if (scopes.scope_count)
        replace_scopes(l, op, &scopes);
    apply_mutual(l, op);
}
