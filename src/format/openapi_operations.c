/* openapi_operations.c - paths and what can be called on them. */
#include "format/openapi_internal.h"

struct oas_slot {
    struct oas_operation op;
    struct oas_at at;
    struct str rest;          /* of its template */
    struct oas_slot *serving; /* the one that shadows it */
    struct oas_slot *next;
};

/* What an operation inherits from its path. */
struct path {
    struct oas_template t;
    const struct oas_endpoints *endpoints;
};

static const struct {
    const char *key;
    const char *method;
    enum oas_version since;
} methods[] = {
    { "get", "GET", OAS_2_0 },         { "put", "PUT", OAS_2_0 },
    { "post", "POST", OAS_2_0 },       { "delete", "DELETE", OAS_2_0 },
    { "options", "OPTIONS", OAS_2_0 }, { "head", "HEAD", OAS_2_0 },
    { "patch", "PATCH", OAS_2_0 },     { "trace", "TRACE", OAS_3_0 },
    { "query", "QUERY", OAS_3_2 },
};

enum { METHOD_COUNT = sizeof(methods) / sizeof(*methods), METHOD_BYTES = 32 };

static bool same_demand(const struct oas_demand *a, const struct oas_demand *b)
{
    if (!str_eq(a->scheme->name, b->scheme->name) ||
        a->scope_count != b->scope_count || a->any_scope != b->any_scope)
        return false;
    for (size_t i = 0; i < a->scope_count; i++)
        if (!str_eq(a->scopes[i], b->scopes[i]))
            return false;
    return true;
}

static bool same_security(const struct oas_operation *a,
                          const struct oas_operation *b)
{
    if (a->security_disabled != b->security_disabled ||
        a->security_count != b->security_count ||
        a->auth_type != b->auth_type ||
        !oas_same_claims(&a->claims, &b->claims))
        return false;
    if (a->security == b->security)
        return true;
    for (size_t i = 0; i < a->security_count; i++) {
        const struct oas_requirement *x = &a->security[i];
        const struct oas_requirement *y = &b->security[i];

        if (x->count != y->count)
            return false;
        for (size_t k = 0; k < x->count; k++)
            if (!same_demand(&x->demands[k], &y->demands[k]))
                return false;
    }
    return true;
}

/* Two operations of one route, neither with anything behind its path. */
static void refuse_twice(struct oas_load *l, const struct oas_slot *s,
                         const struct oas_slot *other)
{
    oas_error(l, s->at,
              "%.*s %.*s is there already, as %.*s in %.*s:%u: names of "
              "parameters do not tell paths apart, so leave one out",
              STR_ARG(s->op.method), STR_ARG(s->op.path),
              STR_ARG(other->op.path), STR_ARG(other->op.file), other->op.line);
}

/* The routes of operations whose path goes on behind a '?' or '#' are known to
 * clash; one without that serves before others, else the first. */
static void enter_route(struct oas_load *l, struct oas_slot *s,
                        struct str shape)
{
    struct str key = arena_printf(l->scratch, "%.*s %.*s",
                                  STR_ARG(s->op.method), STR_ARG(shape));
    struct oas_slot *other = map_get(l->routes, key);

    if (!other) {
        map_set(l->routes, key, s);
    } else if (s->rest.len) {
        s->serving = other;
    } else if (other->rest.len) {
        map_set(l->routes, key, s);
        other->serving = s;
    } else {
        refuse_twice(l, s, other);
    }
}

static void tell_rest(struct oas_load *l, struct oas_slot *s)
{
    struct oas_slot *by = s->serving;

    while (by && by->serving)
        by = by->serving;
    s->op.shadowed = by;
    if (!by) {
        oas_warn(l, s->at,
                 "%.*s %.*s is served at %.*s: a path is matched "
                 "without \"%.*s\"",
                 STR_ARG(s->op.method), STR_ARG(s->op.path),
                 STR_ARG(s->op.route), STR_ARG(s->rest));
    } else if (same_security(&s->op, &by->op)) {
        oas_warn(l, s->at,
                 "%.*s %.*s is served by %.*s (%.*s:%u): a path is matched "
                 "without \"%.*s\"",
                 STR_ARG(s->op.method), STR_ARG(s->op.path),
                 STR_ARG(by->op.path), STR_ARG(by->op.file), by->op.line,
                 STR_ARG(s->rest));
    } else {
        oas_error(l, s->at,
                  "%.*s %.*s would be served by %.*s (%.*s:%u), as a path is "
                  "matched without \"%.*s\", but their security differs: "
                  "give both the same",
                  STR_ARG(s->op.method), STR_ARG(s->op.path),
                  STR_ARG(by->op.path), STR_ARG(by->op.file), by->op.line,
                  STR_ARG(s->rest));
    }
}

static void finish(struct oas_load *l)
{
    struct oas_operation *to = arena_alloc(l->a, l->slot_count * sizeof(*to));

    l->out->operations = to;
    l->out->operation_count = l->slot_count;
    for (struct oas_slot *s = l->first_slot; s; s = s->next) {
        if (s->rest.len)
            tell_rest(l, s);
        *to++ = s->op;
    }
}

static void security_of(struct oas_load *l, struct oas_at at,
                        struct oas_operation *op)
{
    struct oas_at own = oas_get(at, "security");

    op->security = l->security;
    op->security_count = l->security_count;
    if (own.json)
        (void)oas_security(l, own, &op->security, &op->security_count);
    op->security_disabled = oas_security_disabled(l, at, l->security_disabled);
    oas_access_operation(l, at, op);
    op->security_said = own.json || oas_get(l->root, "security").json ||
                        op->security_disabled || op->security_count;
    if (op->security_disabled) {
        op->security = NULL;
        op->security_count = 0;
    }
}

static void endpoints_of(struct oas_load *l, struct oas_at at,
                         const struct path *p, struct oas_operation *op,
                         struct oas_where *where)
{
    struct oas_at servers = oas_get(at, "servers");
    struct oas_at production = oas_get(at, "x-wso2-production-endpoints");

    if (production.json)
        op->production = oas_endpoints(l, production, where);
    else if (servers.json && l->out->version != OAS_2_0)
        op->production = oas_servers_of(l, servers);
    else
        op->production = p->endpoints;
    op->sandbox =
        oas_endpoints(l, oas_get(at, "x-wso2-sandbox-endpoints"), where);
}

/* An object that can be walked, also once more for each that refers to it. */
static bool few_members(struct oas_load *l, struct oas_at at, const char *what)
{
    if (!oas_is(l, at, JSON_OBJECT, what))
        return false;
    if (at.json->count > OAS_MEMBERS_MAX) {
        oas_error(l, at, "%s may have at most %d keys", what, OAS_MEMBERS_MAX);
        return false;
    }
    l->keys += at.json->count;
    if (l->keys <= OAS_KEYS_MAX)
        return true;
    if (!l->stop)
        oas_error(l, at,
                  "all paths together have more than %d keys: split "
                  "the document",
                  OAS_KEYS_MAX);
    l->stop = true;
    return false;
}

static struct oas_slot *new_slot(struct oas_load *l, struct oas_at at)
{
    struct oas_slot *s;

    if (l->slot_count == OAS_OPERATIONS_MAX) {
        oas_error(l, at, "a document may have at most %d operations: split it",
                  OAS_OPERATIONS_MAX);
        l->stop = true;
        return NULL;
    }
    s = arena_alloc(l->scratch, sizeof(*s));
    *l->last_slot = s;
    l->last_slot = &s->next;
    l->slot_count++;
    return s;
}

/* at is the member of the path item, key and all. */
static void operation(struct oas_load *l, struct oas_at at,
                      const struct path *p, struct str method)
{
    static const char *const known[] = {
        "tags",       "summary",   "description", "externalDocs",
        "deprecated", "callbacks", "operationId", "parameters",
        "consumes",   "produces",  "requestBody", "responses",
        "schemes",    "security",  "servers",     "$ref",
        NULL,
    };
    struct oas_where where = { .method = method, .path = p->t.path };
    struct oas_slot *s;
    struct oas_at o;

    if (!few_members(l, at, "an operation") || !oas_resolve(l, at, &o) ||
        (o.json != at.json && !few_members(l, o, "an operation")))
        return;
    s = new_slot(l, at);
    if (!s)
        return;
    s->at = at;
    s->rest = p->t.rest;
    s->op.method = method;
    s->op.path = p->t.path;
    s->op.route = p->t.route;
    s->op.file = at.file->path;
    s->op.line = oas_line(at.json);
    s->op.id = arena_copy(l->a, json_str(json_at(o.json, "operationId")));
    security_of(l, o, &s->op);
    endpoints_of(l, o, p, &s->op, &where);
    oas_extensions(l, o, OAS_AT_OPERATION, &where);
    oas_warn_unknown(l, o, "an operation", known, &where);
    enter_route(l, s, p->t.shape);
}

/* {METHOD: operation}, the methods that have no key of their own. */
static void additional(struct oas_load *l, struct oas_at at,
                       const struct path *p)
{
    if (!few_members(l, at, "additionalOperations"))
        return;
    for (const struct json *j = at.json->first; j && !l->stop; j = j->next) {
        struct str m = j->key;

        if (m.len > METHOD_BYTES || !oas_is_token(m) ||
            str_eq_nocase(m, STR("CONNECT"))) {
            oas_error(l, oas_in(at, j),
                      "\"%.*s\" is no method that can be "
                      "served",
                      STR_ARG(m));
            continue;
        }
        operation(l, oas_in(at, j), p, arena_copy(l->a, m));
    }
}

/* A member of a path item; false when it is none that is known. */
static bool path_member(struct oas_load *l, struct oas_at at,
                        const struct path *p)
{
    static const char *const others[] = { "$ref", "summary", "description",
                                          "servers", "parameters" };
    struct str key = at.json->key;

    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (!str_is(key, methods[i].key) || l->out->version < methods[i].since)
            continue;
        operation(l, at, p, str_z(methods[i].method));
        return true;
    }
    if (l->out->version >= OAS_3_2 && str_is(key, "additionalOperations")) {
        additional(l, at, p);
        return true;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (str_is(key, others[i]))
            return true;
    return str_eq_nocase(str_head(key, 2), STR("x-"));
}

static void warn_member(struct oas_load *l, struct oas_at at,
                        const struct path *p)
{
    const char *known[METHOD_COUNT + 2] = { 0 };
    size_t n = 0;

    if (str_is(at.json->key, "security")) {
        oas_warn(l, at,
                 "\"security\" of %.*s is ignored: OpenAPI has it in "
                 "operations and at the root of the document",
                 STR_ARG(p->t.path));
        return;
    }
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (l->out->version >= methods[i].since)
            known[n++] = methods[i].key;
    if (l->out->version >= OAS_3_2)
        known[n++] = "additionalOperations";
    oas_warn(l, at,
             "\"%.*s\" of %.*s is no method in OpenAPI %d.%d and is "
             "ignored; the nearest is \"%s\"",
             STR_ARG(at.json->key), STR_ARG(p->t.path),
             (int)l->out->version / 10, (int)l->out->version % 10,
             oas_nearest(l, known, at.json->key));
}

static void path_item(struct oas_load *l, struct oas_at at)
{
    struct oas_at chain[OAS_REFS_MAX];
    struct oas_where where = { 0 };
    struct path p = { 0 };
    size_t n;

    if (!oas_template(l, at, &p.t))
        return;
    n = oas_chain(l, at, chain);
    for (size_t i = 0; i < n; i++)
        if (!few_members(l, chain[i], "a path"))
            return;
    where.path = p.t.path;
    for (size_t i = 0; i < n && l->out->version != OAS_2_0; i++) {
        struct oas_at servers = oas_get(chain[i], "servers");

        if (!servers.json)
            continue;
        p.endpoints = oas_servers_of(l, servers);
        break;
    }
    for (size_t i = 0; i < n; i++) {
        oas_extensions(l, chain[i], OAS_AT_PATH, &where);
        for (const struct json *j = chain[i].json->first; j && !l->stop;
             j = j->next)
            if (!path_member(l, oas_in(chain[i], j), &p)) {
                warn_member(l, oas_in(chain[i], j), &p);
                oas_meant_security(l, oas_in(chain[i], j), &where);
            }
    }
}

void oas_operations(struct oas_load *l)
{
    struct oas_at paths = oas_get(l->root, "paths");
    struct oas_where nowhere = { 0 };

    l->routes = map_new(l->scratch);
    l->last_slot = &l->first_slot;
    if (!paths.json && l->out->version <= OAS_3_0)
        oas_error(l, l->root, "the document has no paths");
    if (paths.json && oas_is(l, paths, JSON_OBJECT, "paths")) {
        oas_extensions(l, paths, OAS_AT_PATH, &nowhere);
        for (const struct json *j = paths.json->first; j && !l->stop;
             j = j->next)
            if (!str_eq_nocase(str_head(j->key, 2), STR("x-")))
                path_item(l, oas_in(paths, j));
    }
    finish(l);
}
