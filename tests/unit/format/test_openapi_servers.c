/* test_openapi_servers.c - contexts and endpoints. */
#include "openapi_fixture.h"

static struct openapi *load_server(struct fixture *f, const char *server)
{
    return load_root(f, arena_printf(f->words, "servers: [%s]", server).p);
}

static void server_gives(struct fixture *f, const char *server,
                         const char *context, const char *endpoint)
{
    fine(f, load_server(f, server));
    assert_text(f->api->context, context);
    assert_int_equal(f->api->relative_server, !endpoint);
    if (!endpoint) {
        assert_null(f->api->production);
        return;
    }
    assert_int_equal(f->api->production->count, 1);
    assert_text(f->api->production->items[0].text, endpoint);
    assert_int_equal(f->api->production->items[0].weight, 1);
    assert_int_equal(f->api->production->line, 4);
}

static void the_first_server_is_context_and_endpoint(void **state)
{
    struct fixture *f = *state;

    server_gives(f, "{url: 'https://a.example'}", "", "https://a.example");
    server_gives(f, "{url: 'https://a.example/'}", "", "https://a.example/");
    server_gives(f, "{url: 'http://a.example:8080/v1/x/'}, {url: /no}", "/v1/x",
                 "http://a.example:8080/v1/x/");
    assert_text(f->api->production->items[0].url.host, "a.example");
    assert_text(f->api->production->items[0].url.path, "/v1/x");
    assert_int_equal(f->api->production->items[0].url.port, 8080);
    server_gives(f, "{url: 'https://a.example/%7ex%2fy'}", "/~x%2Fy",
                 "https://a.example/%7ex%2fy");
}

static void relative_servers_are_only_a_context(void **state)
{
    struct fixture *f = *state;

    server_gives(f, "{url: /}", "", NULL);
    server_gives(f, "{url: ''}", "", NULL);
    server_gives(f, "{url: ./}", "", NULL);
    server_gives(f, "{url: .}", "", NULL);
    server_gives(f, "{url: /api/v1.0/}", "/api/v1.0", NULL);
    server_gives(f, "{url: api}", "/api", NULL);
    server_gives(f, "", "", NULL);
    fine(f, load_root(f, ""));
    assert_text(f->api->context, "");
    assert_true(f->api->relative_server);
}

static void variables_have_their_defaults(void **state)
{
    struct fixture *f = *state;

    server_gives(f,
                 "{url: '{s}://{h}:{p}/{b}', variables: {s: {default: https}, "
                 "h: {default: h.example}, p: {default: 8443}, "
                 "b: {default: v2}}}",
                 "/v2", "https://h.example:8443/v2");
    server_gives(f,
                 "{url: '{root}/x', variables: {root: {default: "
                 "'http://h:1/y'}}}",
                 "/y/x", "http://h:1/y/x");
    server_gives(f, "{url: '{root}/x', variables: {root: {default: ''}}}", "/x",
                 NULL);
    load_server(f, "{url: 'https://{h}/', variables: {g: {}}}");
    refused(f, "api.yaml:4: the server variable \"h\" needs a default");
    load_server(f, "{url: 'https://{h}/',\n variables: {h: {enum: [a]}}}");
    refused(f, "api.yaml:5: the server variable \"h\" needs a default");
    load_server(f, "{url: 'https://{h/'}");
    refused(f, "a } is missing in the server's URL");
}

static void unusable_servers_say_the_way_out(void **state)
{
    static const char *const wrong[][2] = {
        { "{url: 'http://u:p@h/'}", "leave out the user and password" },
        { "{url: 'http://h/#a'}", "leave out the fragment behind the #" },
        { "{url: 'http://h/?a'}", "leave out the query behind the ?" },
        { "{url: 'ftp://h/'}", "the scheme must be http, https, h2, h2c" },
        { "{url: 'http://h h/'}", "write it as http://HOST[:PORT][/PATH]" },
        { "{url: 'http:///x'}", "write it as http://HOST[:PORT][/PATH]" },
        { "{url: 'localhost:80/x'}", "write it as http://HOST" },
        { "{url: 'http://h/a/../b'}", "cannot have . and .. as segments" },
        { "{url: 'http://h/%2E%2e'}", "cannot have . and .. as segments" },
        { "{url: '//h/x'}", "write it with its scheme" },
        { "{url: 'h.example/x'}", "write it with its scheme" },
        { "{url: '../x'}", "write it with its scheme" },
        { "{url: '/a/./b'}", "cannot have . and .. as segments" },
        { "{url: '/a b'}", "must be escaped as %XX" },
        { "{url: '/a?b'}", "must be escaped as %XX" },
        { "{url: '/a\xc3\xa9'}", "must be escaped as %XX" },
        { "{}", "a server needs a url, a string" },
        { "{url: 1}", "a server needs a url, a string" },
        { "1", "a server must be an object, not number" },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_null(load_server(f, wrong[i][0]));
        refused(f, wrong[i][1]);
        refused(f, "api.yaml:4: ");
    }
}

static void a_path_or_operation_has_its_own_endpoint(void **state)
{
    struct fixture *f = *state;
    const struct oas_operation *o;

    fine(f, load(f, "openapi: 3.0.0\nservers: [{url: 'http://a/v1'}]\npaths:\n"
                    "  /1: {get: {}}\n"
                    "  /2: {servers: [{url: 'http://b/x'}], get: {},\n"
                    "       put: {servers: [{url: 'http://c'}]}}\n"));
    o = f->api->operations;
    assert_text(f->api->context, "/v1");
    assert_null(o[0].production);
    assert_text(o[1].production->items[0].text, "http://b/x");
    assert_int_equal(o[1].production->line, 5);
    assert_text(o[2].production->items[0].text, "http://c");
    assert_null(o[2].sandbox);
    load_paths(f, "  /1: {get: {servers: [{url: /v2}]}}\n");
    warned(f, "api.yaml:4: the server \"/v2\" has no host and is not used");
}

static void version_2_has_host_and_base_path(void **state)
{
    struct fixture *f = *state;

    fine(f, load(f, "swagger: '2.0'\nhost: h:8080\nbasePath: /v1/\n"
                    "schemes: [http, https, ws]\npaths: {}\n"));
    assert_text(f->api->context, "/v1");
    assert_text(f->api->production->items[0].text, "https://h:8080/v1");
    assert_int_equal(f->api->production->line, 2);
    fine(f, load(f, "swagger: '2.0'\nhost: h\nschemes: [http]\npaths: {}\n"));
    assert_text(f->api->context, "");
    assert_text(f->api->production->items[0].text, "http://h");
    fine(f, load(f, "swagger: '2.0'\nhost: h\npaths: {}\n"));
    assert_text(f->api->production->items[0].text, "https://h");
    fine(f, load(f, "swagger: '2.0'\nbasePath: /v1\npaths: {}\n"));
    assert_text(f->api->context, "/v1");
    assert_true(f->api->relative_server);
}

static void version_2_mistakes_have_their_line(void **state)
{
    struct fixture *f = *state;

    load(f, "swagger: '2.0'\nbasePath: v1\npaths: {}\n");
    refused(f, "api.yaml:2: cannot use basePath \"v1\": a path begins with /");
    load(f, "swagger: '2.0'\nbasePath: 1\npaths: {}\n");
    refused(f, "api.yaml:2: cannot use basePath \"\": a path is a string");
    load(f, "swagger: '2.0'\nhost: h\nschemes: [wss]\npaths: {}\n");
    refused(f, "api.yaml:3: schemes must have http or https");
    load(f, "swagger: '2.0'\nhost: u@h\npaths: {}\n");
    refused(f, "api.yaml:2: cannot use the URL \"https://u@h\": leave out");
    load(f, "swagger: '2.0'\nhost: h/x y\npaths: {}\n");
    refused(f, "api.yaml:2: cannot use the URL");
}

static void base_path_overrides_the_context(void **state)
{
    struct fixture *f = *state;

    fine(f, load_root(f, "servers: [{url: 'http://h/v1'}]\n"
                         "x-wso2-basePath: /pets/"));
    assert_text(f->api->context, "/pets");
    assert_false(f->api->has_versioned);
    assert_text(f->api->production->items[0].url.path, "/v1");
    fine(f, load_root(f, "x-wso2-basePath: /pets/{version}"));
    assert_text(f->api->context, "/pets/1.0.0");
    assert_true(f->api->has_versioned);
    assert_text(f->api->context_unversioned, "/pets");
    fine(f, load_root(f, "x-wso2-basePath: '/{version}/pets'"));
    assert_text(f->api->context, "/1.0.0/pets");
    assert_text(f->api->context_unversioned, "/pets");
    fine(f, load_root(f, "x-wso2-basePath: '/{version}'"));
    assert_text(f->api->context_unversioned, "");
    assert_true(f->api->has_versioned);
    fine(f, load_root(f, "x-wso2-basePath: '/pets/v{version}'"));
    assert_text(f->api->context, "/pets/v1.0.0");
    assert_false(f->api->has_versioned);
}

static struct openapi *load_version(struct fixture *f, const char *version)
{
    return load(f, arena_printf(f->words,
                                "openapi: 3.1.0\ninfo: {version: '%s'}\n"
                                "x-wso2-basePath: '/p/{version}'\n",
                                version)
                       .p);
}

static void a_version_in_a_path_is_one_segment(void **state)
{
    struct fixture *f = *state;

    fine(f, load_version(f, "2 \xc3\xa9"
                            "%"));
    assert_text(f->api->context, "/p/2%20%C3%A9%25");
    load_version(f, "1/2");
    refused(f, "api.yaml:3: x-wso2-basePath has {version}, but info.version "
               "\"1/2\" cannot be a segment of a path");
    load_version(f, "..");
    refused(f, "cannot be a segment of a path");
    load_version(f, "");
    refused(f, "cannot be a segment of a path");
}

static void wrong_base_paths_are_refused(void **state)
{
    struct fixture *f = *state;

    load_root(f, "x-wso2-basePath: pets");
    refused(f, "api.yaml:4: cannot use x-wso2-basePath \"pets\": a path "
               "begins with /");
    load_root(f, "x-wso2-basePath: '/a/{other}'");
    refused(f, "must be escaped as %XX");
    load_root(f, "x-wso2-basePath: /a/../b");
    refused(f, "cannot have . and .. as segments");
    load_root(f, "x-wso2-basePath: ''");
    refused(f, "x-wso2-basePath must be a path");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_server_is_context_and_endpoint),
        TEST(relative_servers_are_only_a_context),
        TEST(variables_have_their_defaults),
        TEST(unusable_servers_say_the_way_out),
        TEST(a_path_or_operation_has_its_own_endpoint),
        TEST(version_2_has_host_and_base_path),
        TEST(version_2_mistakes_have_their_line),
        TEST(base_path_overrides_the_context),
        TEST(a_version_in_a_path_is_one_segment),
        TEST(wrong_base_paths_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
