/* test_openapi_operations.c - paths, methods, templates, security. */
#include "openapi_fixture.h"

static struct openapi *load_path(struct fixture *f, const char *path)
{
    return load_paths(f, arena_printf(f->words, "  %s: {get: {}}", path).p);
}

static void route_is(struct fixture *f, const char *path, const char *route)
{
    struct openapi *api = load_path(f, path);

    if (!api)
        show(f);
    assert_non_null(api);
    assert_text(api->operations[0].route, route);
}

static void methods_come_in_the_order_of_the_document(void **state)
{
    struct fixture *f = *state;
    const char *want[] = { "DELETE", "GET",   "PUT",     "POST",
                           "HEAD",   "PATCH", "OPTIONS", "TRACE" };

    fine(f, load_paths(f, "  /a:\n    summary: s\n    parameters: []\n"
                          "    delete: {}\n    get: {operationId: getA}\n"
                          "    put: {}\n    post: {}\n    head: {}\n"
                          "    patch: {}\n    options: {}\n    trace: {}\n"
                          "  x-other: 1\n"));
    assert_int_equal(f->api->operation_count, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_text(f->api->operations[i].method, want[i]);
        assert_int_equal(f->api->operations[i].line, 7 + i);
    }
    assert_text(f->api->operations[1].id, "getA");
}

static void methods_of_later_versions_are_named(void **state)
{
    struct fixture *f = *state;

    load_paths(f, "  /a:\n    query: {}\n    Get: {}\n    get: {}\n");
    warned(f, "api.yaml:5: \"query\" of /a is no method in OpenAPI 3.0 and is "
              "ignored");
    warned(f, "api.yaml:6: \"Get\" of /a is no method in OpenAPI 3.0 and is "
              "ignored; the nearest is \"get\"");
    assert_int_equal(f->api->operation_count, 1);
    load(f, "swagger: '2.0'\npaths: {/a: {trace: {}}}");
    warned(f, "api.yaml:2: \"trace\" of /a is no method in OpenAPI 2.0");
}

static void version_3_2_has_query_and_others(void **state)
{
    struct fixture *f = *state;

    fine(f, load(f, "openapi: 3.2.0\npaths:\n  /a:\n    query: {}\n"
                    "    additionalOperations:\n      LINK: {}\n"
                    "      m-search: {operationId: s}\n"));
    assert_int_equal(f->api->operation_count, 3);
    assert_text(f->api->operations[0].method, "QUERY");
    assert_text(f->api->operations[1].method, "LINK");
    assert_int_equal(f->api->operations[1].line, 6);
    assert_text(f->api->operations[2].method, "m-search");
    load(f, "openapi: 3.2.0\npaths: {/a: {additionalOperations:\n"
            "  {\"A B\": {}}}}\n");
    refused(f, "api.yaml:3: \"A B\" is no method that can be served");
    load(f, "openapi: 3.2.0\npaths: {/a: {additionalOperations:\n"
            "  {connect: {}}}}\n");
    refused(f, "api.yaml:3: \"connect\" is no method");
    load(f, "openapi: 3.2.0\npaths: {/a: {get: {},\n"
            "  additionalOperations: {GET: {}}}}\n");
    refused(f, "api.yaml:3: GET /a is there already, as /a in api.yaml:2");
}

static void operations_and_paths_are_objects(void **state)
{
    struct fixture *f = *state;

    load_paths(f, "  /a:\n    get:\n");
    refused(f, "api.yaml:5: an operation must be an object, not null");
    load_paths(f, "  /a: [1]\n");
    refused(f, "api.yaml:4: a path must be an object, not array");
    load(f, "openapi: 3.0.0\npaths: []\n");
    refused(f, "api.yaml:2: paths must be an object, not array");
}

static void templates_keep_their_text(void **state)
{
    struct fixture *f = *state;

    route_is(f, "/", "/");
    route_is(f, "/a/{x}", "/a/{x}");
    route_is(f, "/a/{x}.json", "/a/{x}.json");
    route_is(f, "/v{n}/{a}-{b}:go", "/v{n}/{a}-{b}:go");
    route_is(f, "/files/*", "/files/*");
    route_is(f, "'/a//b/'", "/a//b/");
    route_is(f, "/@me/{a b}", "/@me/{a b}");
}

static void literal_text_takes_its_normal_form(void **state)
{
    struct fixture *f = *state;

    route_is(f, "/%7euser/a%2fb", "/~user/a%2Fb");
    route_is(f, "'/a b/caf\xc3\xa9'", "/a%20b/caf%C3%A9");
    route_is(f, "'/a|b[c]'", "/a%7Cb%5Bc%5D");
    route_is(f, "'/%7Bx%7d'", "/%7Bx%7D");
    assert_text(f->api->operations[0].path, "/%7Bx%7d");
}

static void wrong_templates_are_refused(void **state)
{
    static const char *const wrong[][2] = {
        { "a/b", "a path begins with /" },
        { "'/a/{x'", "a } is missing" },
        { "'/a/x}'", "a { is missing" },
        { "'/a/{}'", "a parameter has no name" },
        { "'/a/{x}{y}'", "two parameters need text between them" },
        { "'/a/{x/y}'", "a parameter's name cannot have {, /, ?, #" },
        { "'/a/{x{y}}'", "a parameter's name cannot have {" },
        { "'/a/{x?}'", "a parameter's name cannot have {" },
        { "'/a/../b'", "no request has . or .. as a segment" },
        { "'/a/%2e%2E'", "no request has . or .. as a segment" },
        { "'/a/%zz'", "a % is not followed by two hexadecimal digits" },
        { "'/a/%0d'", "it has a control character" },
        { "\"/a\\n\"", "it has a control character" },
        { "'/a/{?q}/b'", "belongs at its end" },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_null(load_path(f, wrong[i][0]));
        assert_int_equal(f->ps.errors, 1);
        refused(f, "api.yaml:4: cannot use the path \"");
        refused(f, wrong[i][1]);
    }
}

/* YAML ends plain keys at 1,024 characters, JSON has no such end. */
static struct openapi *load_length(struct fixture *f, int length)
{
    return load(f, arena_printf(f->words,
                                "{\"openapi\": \"3.0.0\",\n"
                                "\"paths\": {\"/%0*d\": {\"get\": {}}}}",
                                length - 1, 0)
                       .p);
}

static void templates_have_a_longest(void **state)
{
    struct fixture *f = *state;

    fine(f, load_length(f, 4096));
    assert_int_equal(f->api->operations[0].route.len, 4096);
    load_length(f, 4097);
    refused(f, "api.yaml:2: cannot use the path");
    assert_int_equal(f->ps.errors, 1);
}

static void names_do_not_tell_paths_apart(void **state)
{
    struct fixture *f = *state;

    load_paths(f, "  /a/{x}/b:\n    get: {}\n    put: {}\n"
                  "  /a/{y}/b:\n    post: {}\n    get: {}\n");
    assert_int_equal(f->ps.errors, 1);
    refused(f, "api.yaml:9: GET /a/{y}/b is there already, as /a/{x}/b in "
               "api.yaml:5: names of parameters do not tell paths apart");
    load_paths(f, "  /a/%41: {get: {}}\n  /a/A: {get: {}}\n");
    refused(f, "api.yaml:5: GET /a/A is there already");
    fine(f, load_paths(f, "  /a/{x}: {get: {}}\n  /a/{y}.z: {get: {}}\n"
                          "  /a/b: {get: {}}\n  /a/{z}: {put: {}}\n"
                          "  /a/{x}/: {get: {}}\n  /a/*: {get: {}}\n"));
}

static void what_is_behind_a_path_is_not_matched(void **state)
{
    struct fixture *f = *state;

    load_paths(f, "  /a?x=1: {get: {}}\n  '/b#c': {get: {}}\n"
                  "  '/c{?q,r}': {get: {}}\n");
    assert_int_equal(f->api->operation_count, 3);
    assert_int_equal(f->ps.warnings, 3);
    warned(f, "api.yaml:4: GET /a?x=1 is served at /a: a path is matched "
              "without \"?x=1\"");
    warned(f, "api.yaml:5: GET /b#c is served at /b");
    warned(f, "api.yaml:6: GET /c{?q,r} is served at /c");
    assert_text(f->api->operations[0].path, "/a?x=1");
    assert_text(f->api->operations[0].route, "/a");
    assert_false(f->api->operations[0].shadowed);
}

static void the_plain_path_serves_before_others(void **state)
{
    struct fixture *f = *state;

    load_paths(f, "  /a?x=1: {get: {}, put: {}}\n  /a?x=2: {get: {}}\n"
                  "  /a: {get: {}}\n  '/a#3': {get: {}, put: {}}\n");
    assert_int_equal(f->api->operation_count, 6);
    assert_true(f->api->operations[0].shadowed);
    assert_false(f->api->operations[1].shadowed); /* PUT /a?x=1 */
    assert_true(f->api->operations[2].shadowed);
    assert_false(f->api->operations[3].shadowed); /* GET /a */
    assert_true(f->api->operations[4].shadowed);
    assert_true(f->api->operations[5].shadowed);
    warned(f, "api.yaml:4: GET /a?x=1 is served by /a (api.yaml:6)");
    warned(f, "api.yaml:5: GET /a?x=2 is served by /a (api.yaml:6)");
    warned(f, "api.yaml:7: PUT /a#3 is served by /a?x=1 (api.yaml:4)");
}

static void one_route_has_one_security(void **state)
{
    struct fixture *f = *state;

    load(f, "swagger: '2.0'\nsecurityDefinitions: {k: {type: apiKey}}\n"
            "paths:\n  /a: {get: {}}\n"
            "  /a?admin: {get: {security: [{k: []}]}}\n");
    refused(f, "api.yaml:5: GET /a?admin would be served by /a (api.yaml:4)");
    refused(f, "but their security differs: give both the same");
}

/* --- security --------------------------------------------------------------
 */

#define SCHEMES                                                    \
    "components:\n  securitySchemes:\n"                            \
    "    key: {type: apiKey, in: header, name: k}\n"               \
    "    user: {type: http, scheme: Basic}\n"                      \
    "    token: {type: http, scheme: bearer}\n"                    \
    "    oauth: {type: oauth2}\n    oidc: {type: openIdConnect}\n" \
    "    cert: {type: mutualTLS}\n    odd: {type: voodoo}\n"       \
    "    ref: {$ref: '#/components/securitySchemes/token'}\n"      \
    "    far: {$ref: '../x.yaml#/a'}\n"                            \
    "    bare: {type: http}\n    none: {}\n"

static struct openapi *load_secure(struct fixture *f, const char *root,
                                   const char *operation)
{
    return load(f, arena_printf(f->words,
                                "openapi: 3.1.0\nsecurity: %s\n"
                                "paths: {/a: {get: {\n  %s\n}}}\n" SCHEMES,
                                root, operation)
                       .p);
}

static void kind_is(struct fixture *f, const char *scheme, const char *kind)
{
    const struct oas_operation *o;

    load_secure(f, "[]",
                arena_printf(f->words, "security: [{%s: []}]", scheme).p);
    assert_non_null(f->api);
    o = &f->api->operations[0];
    assert_int_equal(o->security_count, 1);
    assert_int_equal(o->security[0].count, 1);
    assert_text(o->security[0].demands[0].scheme->name, scheme);
    assert_text(o->security[0].demands[0].scheme->type, kind);
}

static void schemes_have_kinds(void **state)
{
    struct fixture *f = *state;

    kind_is(f, "key", "apiKey");
    kind_is(f, "user", "http/basic");
    kind_is(f, "token", "http/bearer");
    kind_is(f, "oauth", "oauth2");
    kind_is(f, "oidc", "openIdConnect");
    kind_is(f, "cert", "mutualTLS");
    kind_is(f, "ref", "http/bearer");
    kind_is(f, "odd", "unknown/voodoo");
    kind_is(f, "far", "unknown/unresolved");
    warned(f, "$ref \"../x.yaml#/a\": it leads out");
    fine(f, load(f, "swagger: '2.0'\nsecurity: [{u: []}]\n"
                    "securityDefinitions: {u: {type: basic}}\n"
                    "paths: {/a: {get: {}}}\n"));
    assert_text(f->api->operations[0].security[0].demands[0].scheme->type,
                "basic");
}

static void an_operation_overrides_the_document(void **state)
{
    struct fixture *f = *state;
    const struct oas_operation *o;

    fine(f, load_secure(f, "[{key: []}]", ""));
    assert_text(f->api->operations[0].security[0].demands[0].scheme->name,
                "key");
    fine(f, load_secure(f, "[{key: []}]", "security: []"));
    assert_int_equal(f->api->operations[0].security_count, 0);
    assert_false(f->api->operations[0].security_disabled);
    fine(f, load_secure(f, "[{key: []}]",
                        "security: [{user: [], token: []}, {}, {oauth: [a]}]"));
    o = &f->api->operations[0];
    assert_int_equal(o->security_count, 3);
    assert_int_equal(o->security[0].count, 2);
    assert_text(o->security[0].demands[1].scheme->type, "http/bearer");
    assert_int_equal(o->security[1].count, 0);
    assert_text(o->security[2].demands[0].scheme->name, "oauth");
}

static void security_that_nobody_understands_is_refused(void **state)
{
    struct fixture *f = *state;

    load_secure(f, "[]", "security: [{keey: []}]");
    refused(f, "api.yaml:4: security asks for \"keey\", which is not in "
               "components.securitySchemes");
    load_secure(f, "[{keey: []}]", "");
    refused(f, "api.yaml:2: security asks for \"keey\"");
    load_secure(f, "[]", "security:");
    refused(f, "api.yaml:4: security must be an array, not null");
    load_secure(f, "[]", "security: {key: []}");
    refused(f, "api.yaml:4: security must be an array, not object");
    load_secure(f, "[]", "security: [key]");
    refused(f, "api.yaml:4: a security requirement must be an object");
    load_secure(f, "[{bare: []}]", "");
    refused(f, "api.yaml:17: a security scheme of type http needs a scheme");
    load_secure(f, "[{none: []}]", "");
    refused(f, "api.yaml:18: a security scheme needs a type");
}

static void disable_security_clears_it(void **state)
{
    struct fixture *f = *state;

    fine(f, load_secure(f, "[{key: []}]", "x-wso2-disable-security: true"));
    assert_true(f->api->operations[0].security_disabled);
    assert_int_equal(f->api->operations[0].security_count, 0);
    fine(f, load_secure(f, "[{key: []}]\nx-wso2-disable-security: true", ""));
    assert_true(f->api->operations[0].security_disabled);
    assert_int_equal(f->api->operations[0].security_count, 0);
    fine(f, load_secure(f, "[{key: []}]\nx-wso2-disable-security: true",
                        "x-wso2-disable-security: false"));
    assert_false(f->api->operations[0].security_disabled);
    assert_int_equal(f->api->operations[0].security_count, 1);
    load_secure(f, "[]", "x-wso2-disable-security: 'true'");
    refused(f, "api.yaml:4: x-wso2-disable-security must be true or false");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(methods_come_in_the_order_of_the_document),
        TEST(methods_of_later_versions_are_named),
        TEST(version_3_2_has_query_and_others),
        TEST(operations_and_paths_are_objects),
        TEST(templates_keep_their_text),
        TEST(literal_text_takes_its_normal_form),
        TEST(wrong_templates_are_refused),
        TEST(templates_have_a_longest),
        TEST(names_do_not_tell_paths_apart),
        TEST(what_is_behind_a_path_is_not_matched),
        TEST(the_plain_path_serves_before_others),
        TEST(one_route_has_one_security),
        TEST(schemes_have_kinds),
        TEST(an_operation_overrides_the_document),
        TEST(security_that_nobody_understands_is_refused),
        TEST(disable_security_clears_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
