/* openapi_claims.c - x-tollgate-claims: what must stand in a caller's token.
 *
 *   x-tollgate-claims:
 *     - { claim: plan, one_of: [gold, silver] }
 *     - { claim: /address/country, equals: DE }
 *     - { claim: groups, contains: admins }
 *     - { claim: email, matches: "@example\\.com$" }
 *     - { claim: tenant }                 # it must be there
 */
#include "format/openapi_internal.h"

static const char wants[] =
    "a list of {claim: NAME}, each with at most one of equals, one_of, "
    "contains and matches";

static const struct {
    const char *key;
    enum oas_claim_test test;
} tests[] = {
    { "equals", OAS_CLAIM_EQUALS },
    { "one_of", OAS_CLAIM_EQUALS },
    { "contains", OAS_CLAIM_CONTAINS },
    { "matches", OAS_CLAIM_MATCHES },
};

/* Also of a boolean or a number, as people write them. */
static bool read_value(struct oas_load *l, struct oas_at at, struct str *out)
{
    struct str s = oas_scalar(at.json);

    if (at.json->type == JSON_BOOL)
        s = at.json->boolean ? STR("true") : STR("false");
    if (!s.len || s.len > OAS_CLAIM_TEXT_MAX) {
        oas_error(l, at, "a claim is compared with a text of 1 to %d bytes",
                  OAS_CLAIM_TEXT_MAX);
        return false;
    }
    *out = arena_copy(l->a, s);
    return true;
}

static bool read_values(struct oas_load *l, struct oas_at at,
                        struct oas_claim *c)
{
    size_t n = at.json->type == JSON_ARRAY ? at.json->count : 1;

    if (!n || n > OAS_CLAIM_VALUES_MAX ||
        (at.json->type == JSON_ARRAY && !str_is(at.json->key, "one_of"))) {
        oas_error(l, at, "%.*s of a claim must be %s", STR_ARG(at.json->key),
                  str_is(at.json->key, "one_of") ? "a list of 1 to 64 values"
                                                 : "one value");
        return false;
    }
    c->values = arena_alloc(l->a, n * sizeof(*c->values));
    if (!oas_spend(l, at, n))
        return false;
    if (at.json->type != JSON_ARRAY)
        return read_value(l, at, &c->values[c->value_count++]);
    for (const struct json *j = at.json->first; j; j = j->next)
        if (!read_value(l, oas_in(at, j), &c->values[c->value_count++]))
            return false;
    return true;
}

static bool read_member(struct oas_load *l, struct oas_at at,
                        struct oas_claim *c)
{
    struct str key = at.json->key;

    if (str_is(key, "claim"))
        return read_value(l, at, &c->name);
    for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
        if (!str_is(key, tests[i].key))
            continue;
        if (c->test != OAS_CLAIM_THERE)
            break;
        c->test = tests[i].test;
        return read_values(l, at, c);
    }
    oas_error(l, at, "x-tollgate-claims must be %s; \"%.*s\" %s", wants,
              STR_ARG(str_head(key, 64)),
              c->test != OAS_CLAIM_THERE ? "is one too many" : "is unknown");
    return false;
}

static bool read_claim(struct oas_load *l, struct oas_at at,
                       struct oas_claim *c)
{
    c->file = at.file->path;
    c->line = oas_line(at.json);
    if (at.json->type == JSON_OBJECT)
        for (const struct json *j = at.json->first; j; j = j->next)
            if (!read_member(l, oas_in(at, j), c))
                return false;
    if (c->name.len)
        return true;
    oas_error(l, at, "x-tollgate-claims must be %s", wants);
    return false;
}

bool oas_claims(struct oas_load *l, struct oas_at at, struct oas_claims *out)
{
    struct oas_claim *items;
    size_t n = 0;

    at = oas_get(at, "x-tollgate-claims");
    if (!at.json || at.json->type == JSON_NULL)
        return true;
    if (at.json->type != JSON_ARRAY || at.json->count > OAS_CLAIMS_MAX) {
        oas_error(l, at, "x-tollgate-claims must be %s; at most %d", wants,
                  OAS_CLAIMS_MAX);
        return false;
    }
    if (!oas_spend(l, at, at.json->count))
        return false;
    items = arena_alloc(l->a, at.json->count * sizeof(*items) + 1);
    for (const struct json *j = at.json->first; j; j = j->next)
        if (!read_claim(l, oas_in(at, j), &items[n++]))
            return false;
    *out = (struct oas_claims) { items, n };
    return true;
}

static bool same_claim(const struct oas_claim *a, const struct oas_claim *b)
{
    if (!str_eq(a->name, b->name) || a->test != b->test ||
        a->value_count != b->value_count)
        return false;
    for (size_t i = 0; i < a->value_count; i++)
        if (!str_eq(a->values[i], b->values[i]))
            return false;
    return true;
}

bool oas_same_claims(const struct oas_claims *a, const struct oas_claims *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_claim(&a->items[i], &b->items[i]))
            return false;
    return true;
}
