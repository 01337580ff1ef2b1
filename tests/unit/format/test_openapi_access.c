/* test_openapi_access.c - extensions that change who may call. */
#include "openapi_fixture.h"

#define SCHEMES                                                          \
    "components:\n  securitySchemes:\n"                                  \
    "    token: {type: oauth2}\n    user: {type: http, scheme: basic}\n" \
    "    key: {type: apiKey, in: query, name: k}\n"

static struct openapi *load_with(struct fixture *f, const char *root,
                                 const char *operation)
{
    return load(f, arena_printf(f->words,
                                "openapi: 3.1.0\n%s\n"
                                "paths: {/a: {get: {\n  %s\n}}}\n" SCHEMES,
                                root, operation)
                       .p);
}

/* What an operation asks for, as text: "a[x y]&b|c". */
static const char *asked(struct fixture *f, const char *root,
                         const char *operation)
{
    const struct oas_operation *o;
    struct str text = STR("");

    fine(f, load_with(f, root, operation));
    o = &f->api->operations[0];
    for (size_t i = 0; i < o->security_count; i++) {
        text = arena_printf(f->words, "%.*s%s", STR_ARG(text), i ? "|" : "");
        for (size_t k = 0; k < o->security[i].count; k++) {
            const struct oas_demand *d = &o->security[i].demands[k];

            text = arena_printf(f->words, "%.*s%s%.*s", STR_ARG(text),
                                k ? "&" : "", STR_ARG(d->scheme->name));
            for (size_t s = 0; s < d->scope_count; s++)
                text = arena_printf(f->words, "%.*s%s%.*s", STR_ARG(text),
                                    s              ? ","
                                    : d->any_scope ? " any:"
                                                   : " all:",
                                    STR_ARG(d->scopes[s]));
        }
    }
    return text.p;
}

static void scopes_of_security_are_kept(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(asked(f, "", "security: [{token: [a, 'b:c']}]"),
                        "token all:a,b:c");
    load_with(f, "", "security: [{token: a}]");
    refused(f, "the scopes of a security requirement must be an array");
    load_with(f, "", "security: [{token: ['a b']}]");
    refused(f, "\"a b\" is no name of a scope");
}

static void a_key_knows_its_place(void **state)
{
    struct fixture *f = *state;
    const struct oas_scheme *s;

    assert_string_equal(asked(f, "", "security: [{key: []}]"), "key");
    s = f->api->operations[0].security[0].demands[0].scheme;
    assert_int_equal(s->kind, OAS_SCHEME_API_KEY);
    assert_int_equal(s->in, OAS_IN_QUERY);
    assert_text(s->param, "k");
    load(f, "openapi: 3.1.0\nsecurity: [{k: []}]\npaths: {/a: {get: {}}}\n"
            "components: {securitySchemes: {k: {type: apiKey, in: body, "
            "name: k}}}\n");
    refused(f, "an API key is sent in header, query or cookie");
    load(f, "openapi: 3.1.0\nsecurity: [{k: []}]\npaths: {/a: {get: {}}}\n"
            "components: {securitySchemes: {k: {type: apiKey, in: header, "
            "name: 'a b'}}}\n");
    refused(f, "\"a b\" is no name of a header");
}

static void types_take_the_place_of_schemes(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(
        asked(f,
              "x-wso2-application-security: {security-types: [oauth2, "
              "api_key]}",
              "security: [{token: [a]}]"),
        "oauth2 all:a|api_key");
    assert_string_equal(
        asked(f, "x-wso2-application-security: {security-types: [basic_auth]}",
              ""),
        "basic_auth");
    assert_string_equal(
        asked(f, "x-wso2-application-security: {}", "security: [{user: []}]"),
        "user");
    load_with(f, "x-wso2-application-security: {security-types: [voodoo]}", "");
    refused(f, "security-types knows oauth2, basic_auth and api_key");
    load_with(f, "x-wso2-application-security: {type: [oauth2]}", "");
    refused(f, "unknown key \"type\" in x-wso2-application-security");
}

static void optional_security_may_be_left_out(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(
        asked(f,
              "x-wso2-application-security: {security-types: [oauth2], "
              "optional: true}",
              ""),
        "oauth2|");
    /* With a certificate that must be there, it is that or both. */
    assert_string_equal(
        asked(f,
              "x-wso2-application-security: {security-types: [oauth2], "
              "optional: true}\nx-wso2-mutual-ssl: mandatory",
              ""),
        "mutualTLS&oauth2|mutualTLS");
}

static void certificates_are_asked_for(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(asked(f, "x-wso2-mutual-ssl: mandatory",
                              "security: [{token: []}, {key: []}]"),
                        "mutualTLS&token|mutualTLS&key");
    assert_string_equal(
        asked(f, "x-wso2-mutual-ssl: optional", "security: [{token: []}]"),
        "token|mutualTLS");
    assert_string_equal(asked(f, "x-wso2-mutual-ssl: Mandatory", ""),
                        "mutualTLS");
    assert_string_equal(asked(f, "x-wso2-mutual-ssl: ''", ""), "");
    load_with(f, "x-wso2-mutual-ssl: perhaps", "");
    refused(f, "x-wso2-mutual-ssl must be mandatory or optional");
}

static void an_auth_type_opens_or_asks(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(asked(f, "", "x-auth-type: Any"), "oauth2");
    assert_string_equal(
        asked(f, "", "x-auth-type: Application & Application User"), "oauth2");
    assert_string_equal(
        asked(f, "security: [{token: [a]}]", "x-auth-type: Application User"),
        "token all:a");
    assert_int_equal(f->api->operations[0].auth_type, OAS_AUTH_USER);
    assert_string_equal(asked(f, "", "x-auth-type: Application"), "oauth2");
    assert_int_equal(f->api->operations[0].auth_type, OAS_AUTH_APPLICATION);
    assert_string_equal(
        asked(f, "security: [{token: []}]", "x-auth-type: None"), "");
    assert_true(f->api->operations[0].security_disabled);
    load_with(f, "", "x-auth-type: Nobody");
    refused(f, "x-auth-type must be Any, Application, Application User or "
               "None, not \"Nobody\"");
    /* A path has none: passing over it would open what is below. */
    fine(f, load(f, "openapi: 3.1.0\npaths:\n  /a:\n    x-auth-type: Any\n"
                    "    get: {}\n"));
    assert_int_equal(f->api->unenforced_count, 1);
    assert_true(f->api->unenforced[0].security);
}

static void any_of_these_scopes_is_enough(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(asked(f, "", "x-scope: admin"), "oauth2 any:admin");
    assert_string_equal(asked(f, "security: [{token: [z]}, {key: []}]",
                              "x-scopes: [a, 'b, c']"),
                        "token any:a,b,c|key");
    assert_string_equal(asked(f, "", "x-scopes: []"), "");
    load_with(f, "", "x-scopes: {a: b}");
    refused(f, "x-scopes must be names of scopes");
    load_with(f, "", "x-scopes: ['a\"']");
    refused(f, "x-scopes must be names of scopes");
}

static void headers_and_tiers_have_names(void **state)
{
    struct fixture *f = *state;

    fine(f, load_with(f,
                      "x-wso2-auth-header: X-Auth\n"
                      "x-wso2-api-key-header: X-Key\n"
                      "x-wso2-throttling-tier: Gold",
                      "x-throttling-tier: 10KPerMin"));
    assert_text(f->api->auth_header, "X-Auth");
    assert_text(f->api->key_header, "X-Key");
    assert_text(f->api->tier, "Gold");
    assert_text(f->api->operations[0].tier, "10KPerMin");
    fine(f, load_with(f, "x-wso2-throttling-tier: Unlimited", ""));
    assert_text(f->api->tier, "");
    load_with(f, "x-wso2-auth-header: 'X Auth'", "");
    refused(f, "x-wso2-auth-header must be the name of a header");
    load_with(f, "x-wso2-throttling-tier: 7", "");
    refused(f, "x-wso2-throttling-tier must be the name of a tier");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scopes_of_security_are_kept),
        TEST(a_key_knows_its_place),
        TEST(types_take_the_place_of_schemes),
        TEST(optional_security_may_be_left_out),
        TEST(certificates_are_asked_for),
        TEST(an_auth_type_opens_or_asks),
        TEST(any_of_these_scopes_is_enough),
        TEST(headers_and_tiers_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
