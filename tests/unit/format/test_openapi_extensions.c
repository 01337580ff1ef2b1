/* test_openapi_extensions.c - x-wso2-* and their older friends. */
#include "openapi_fixture.h"

static void all_keys_that_are_used_work_together(void **state)
{
    struct fixture *f = *state;
    struct arena *scratch = arena_new();
    const struct oas_endpoint_config *c;
    struct openapi *o;

    assert_int_equal(openapi_load(f->model, scratch, &oas_files,
                                  STR(TEST_DATA_DIR "/openapi/extensions.yaml"),
                                  &f->ps, &o),
                     ERR_OK);
    arena_free(scratch);
    fine(f, o);
    assert_text(o->context, "/orders/1.2.0");
    assert_true(o->https && !o->http);
    assert_int_equal(o->production->count, 2);
    assert_text(o->production->items[1].url.path, "/b");
    assert_int_equal(o->production->balance, OAS_ROUND_ROBIN);
    c = &o->production->config;
    assert_int_equal(c->timeout_ms, 5000);
    assert_int_equal(c->retry.count, 3);
    assert_int_equal(c->retry.interval_ms, 200);
    assert_true(c->retry.back_off_factor == 1.5);
    assert_int_equal(c->retry.max_wait_ms, 2000);
    assert_int_equal(c->retry.status_count, 2);
    assert_int_equal(c->retry.statuses[1], 503);
    assert_true(c->breaker.on);
    assert_int_equal(c->breaker.request_volume, 10);
    assert_int_equal(c->breaker.window_ms, 10000);
    assert_int_equal(c->breaker.bucket_ms, 1000);
    assert_true(c->breaker.failure_threshold == 0.3);
    assert_int_equal(c->breaker.reset_ms, 15000);
    assert_int_equal(c->breaker.statuses[0], 500);
    assert_int_equal(c->pool.max_active, 0);
    assert_int_equal(c->pool.max_idle, 50);
    assert_text(o->sandbox->items[0].text, "http://127.0.0.1:9503");
    assert_false(o->sandbox->config.breaker.on);
    assert_int_equal(o->operation_count, 3);
    assert_int_equal(o->operations[2].production->balance, OAS_FAILOVER);
    assert_int_equal(o->operations[2].production->count, 2);
    assert_true(o->operations[1].security_disabled);
    assert_int_equal(o->unenforced_count, 0);
}

static void cors_is_read_in_both_spellings(void **state)
{
    struct fixture *f = *state;
    struct oas_cors *c;

    fine(f, load_root(f, ""));
    assert_false(f->api->cors.set);
    fine(f, load_root(f, "x-wso2-cors:\n"
                         "  accessControlAllowOrigins: ['*', 'http://a:1']\n"
                         "  access-control-allow-methods: [get, PUT]\n"
                         "  accessControlAllowHeaders: [X-A]\n"
                         "  accessControlExposeHeaders: [X-B, X-C]\n"
                         "  accessControlAllowCredentials: true\n"
                         "  access-control-max-age: 60\n"));
    c = &f->api->cors;
    assert_true(c->set && c->enabled && c->credentials);
    assert_int_equal(c->origin_count, 2);
    assert_text(c->origins[1], "http://a:1");
    assert_int_equal(c->method_count, 2);
    assert_text(c->methods[0], "GET");
    assert_int_equal(c->header_count, 1);
    assert_int_equal(c->expose_count, 2);
    assert_int_equal(c->max_age, 60);
    fine(f, load_root(f, "x-wso2-cors: {corsConfigurationEnabled: false}"));
    assert_true(f->api->cors.set && !f->api->cors.enabled);
    assert_int_equal(f->api->cors.max_age, -1);
}

static void cors_values_cannot_break_a_header(void **state)
{
    struct fixture *f = *state;

    load_root(f, "x-wso2-cors: {accessControlAllowHeaders: [\"a\\r\\nb\"]}");
    refused(f, "api.yaml:4: x-wso2-cors.accessControlAllowHeaders: \"a  b\" "
               "is no header name");
    load_root(f, "x-wso2-cors: {accessControlAllowMethods: ['']}");
    refused(f, "is no method");
    load_root(f, "x-wso2-cors: {accessControlAllowOrigins: ['http://a/b']}");
    refused(f, "is no origin: write \"*\" or scheme://host[:port]");
    load_root(f, "x-wso2-cors: {accessControlAllowOrigins: [a.example]}");
    refused(f, "is no origin");
    load_root(f, "x-wso2-cors: {accessControlAllowOrigins: '*'}");
    refused(f, "accessControlAllowOrigins must be an array, not string");
    load_root(f, "x-wso2-cors: {accessControlAllowCredentials: 'true'}");
    refused(f, "must be true or false");
    load_root(f, "x-wso2-cors: {accessControlAllowOrigin: []}");
    warned(f, "api.yaml:4: unknown key \"accessControlAllowOrigin\" in "
              "x-wso2-cors is ignored; the nearest known one is "
              "\"accessControlAllowOrigins\"");
}

static void transports_are_http_and_https(void **state)
{
    struct fixture *f = *state;

    fine(f, load_root(f, ""));
    assert_true(f->api->http && f->api->https);
    fine(f, load_root(f, "x-wso2-transports: [HTTP]"));
    assert_true(f->api->http && !f->api->https);
    fine(f, load_root(f, "x-wso2-transports: [Https, http]"));
    assert_true(f->api->http && f->api->https);
    load_root(f, "x-wso2-transports: [https, ws]");
    refused(f, "api.yaml:4: x-wso2-transports knows http and https, not "
               "\"ws\"");
    load_root(f, "x-wso2-transports: []");
    refused(f, "api.yaml:4: x-wso2-transports is empty");
    load_root(f, "x-wso2-transports: https");
    refused(f, "x-wso2-transports must be an array, not string");
}

/* --- endpoints -------------------------------------------------------------
 */

static struct openapi *load_endpoints(struct fixture *f, const char *value)
{
    return load_root(
        f, arena_printf(f->words, "x-wso2-production-endpoints: %s", value).p);
}

static void endpoints_may_be_of_several_kinds(void **state)
{
    struct fixture *f = *state;

    fine(f, load_endpoints(f, "{urls: ['http://a', 'https://b:1/c/', "
                              "'unix:/run/x.sock', 'h2c://d', 'h2://e'], "
                              "type: loadbalance}"));
    assert_int_equal(f->api->production->count, 5);
    assert_text(f->api->production->items[1].url.path, "/c");
    assert_text(f->api->production->items[2].url.host, "/run/x.sock");
    assert_text(f->api->production->items[3].url.scheme, "h2c");
    assert_false(f->api->relative_server);
    fine(f, load_endpoints(f, "{urls: ['http://a'], type: FAILOVER}"));
    assert_int_equal(f->api->production->balance, OAS_FAILOVER);
    fine(f, load_endpoints(f, "{urls: [{url: 'http://a', weight: 3}, "
                              "'http://b'], type: http}"));
    assert_int_equal(f->api->production->items[0].weight, 3);
    assert_int_equal(f->api->production->items[1].weight, 1);
}

static void endpoints_override_the_servers(void **state)
{
    struct fixture *f = *state;

    fine(f, load_root(f, "servers: [{url: 'http://s/v1'}]\n"
                         "x-wso2-production-endpoints: {urls: [http://p]}\n"
                         "x-wso2-sandbox-endpoints: {urls: [http://q]}\n"));
    assert_text(f->api->context, "/v1");
    assert_text(f->api->production->items[0].text, "http://p");
    assert_text(f->api->sandbox->items[0].text, "http://q");
    fine(f, load(f, "openapi: 3.0.0\npaths:\n  /a:\n"
                    "    servers: [{url: 'http://s'}]\n    get:\n"
                    "      servers: [{url: 'http://t'}]\n"
                    "      x-wso2-production-endpoints: {urls: [http://p]}\n"
                    "      x-wso2-sandbox-endpoints: {urls: [http://q]}\n"));
    assert_text(f->api->operations[0].production->items[0].text, "http://p");
    assert_int_equal(f->api->operations[0].production->line, 7);
    assert_text(f->api->operations[0].sandbox->items[0].text, "http://q");
}

static void wrong_endpoints_say_the_way_out(void **state)
{
    static const char *const wrong[][2] = {
        { "http://a", "endpoints are an object with urls" },
        { "['http://a']", "endpoints must be an object, not array" },
        { "", "endpoints must be an object, not null" },
        { "{}", "urls must be a list of 1 to 1000 URLs" },
        { "{urls: []}", "urls must be a list of 1 to 1000 URLs" },
        { "{urls: 'http://a'}", "urls must be a list of 1 to 1000 URLs" },
        { "{urls: [1]}", "an item of urls must be a URL" },
        { "{urls: ['http://u@a']}", "leave out the user and password" },
        { "{urls: ['http://a?b']}", "leave out the query" },
        { "{urls: ['ws://a']}", "the scheme must be http, https" },
        { "{urls: ['etcd(key, http://a:1/b)']}",
          "endpoints are not read from etcd: write \"http://a:1/b\", the "
          "default, instead" },
        { "{urls: ['etcd (key,http://a)']}", "write \"http://a\"" },
        { "{urls: ['etcd(key)']}", "write the URL instead of \"etcd(key)\"" },
        { "{urls: ['http://a'], type: ws}",
          "type must be http, load_balance or failover, got \"ws\"" },
        { "{urls: ['http://a'], advanceEndpointConfig: {timeoutInMillis: x}}",
          "advanceEndpointConfig.timeoutInMillis must be a whole number from "
          "0 to 86400000, got x" },
        { "{urls: ['http://a'], advanceEndpointConfig: {circuitBreaker: "
          "{failureThreshold: 30}}}",
          "circuitBreaker.failureThreshold must be a number from 0 to 1, got "
          "30" },
        { "{urls: ['http://a'], advanceEndpointConfig: {retryConfig: "
          "{count: 1.5}}}",
          "retryConfig.count must be a whole number from 0 to 100, got 1.5" },
        { "{urls: ['http://a'], advanceEndpointConfig: {retryConfig: "
          "{statusCodes: [99]}}}",
          "at most 32 statuses from 100 to 599" },
        { "{urls: ['http://a'], advanceEndpointConfig: {poolConfig: "
          "{maxIdleConnections: -2}}}",
          "from 0 to 1000000 (or -1: no limit), got -2" },
        { "{urls: [{url: 'http://a', weight: 0}]}",
          "weight must be a whole number from 1 to 1000, got 0" },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_null(load_endpoints(f, wrong[i][0]));
        refused(f, "api.yaml:4: ");
        refused(f, wrong[i][1]);
    }
    load_endpoints(f, "{urls: ['http://a'], advancedEndpointConfig: {}}");
    warned(f, "api.yaml:4: unknown key \"advancedEndpointConfig\" in the "
              "endpoints is ignored; the nearest known one is "
              "\"advanceEndpointConfig\"");
}

static void endpoints_may_have_names(void **state)
{
    struct fixture *f = *state;

    fine(f, load_root(f, "x-wso2-production-endpoints: "
                         "'#/x-wso2-endpoints/one'\n"
                         "x-wso2-sandbox-endpoints: "
                         "'#/x-wso2-endpoints/one'\n"
                         "x-wso2-endpoints: {one: {urls: [http://a]}}\n"));
    assert_ptr_equal(f->api->production, f->api->sandbox);
    load_root(f, "x-wso2-production-endpoints: '#/x-wso2-endpoints/two'\n"
                 "x-wso2-endpoints: [{one: {urls: [http://a]}}]\n");
    refused(f, "api.yaml:4: x-wso2-endpoints has no \"two\": add it there");
    load_root(f, "x-wso2-production-endpoints: '#/components/x'\n");
    refused(f, "api.yaml:4: endpoints are an object with urls, or "
               "\"#/x-wso2-endpoints/NAME\"");
    load_root(f, "x-wso2-production-endpoints: '#/x-wso2-endpoints/one'\n"
                 "x-wso2-endpoints:\n  - one: {urls: [http://a]}\n"
                 "  - one: {urls: [http://b]}\n");
    refused(f, "api.yaml:7: x-wso2-endpoints has \"one\" twice");
}

/* --- what is not enforced --------------------------------------------------
 */

static void check_listed(struct fixture *f, const char *entry,
                         const char *where, uint32_t line, bool security)
{
    const struct oas_unenforced *u;

    if (!f->api)
        show(f);
    assert_non_null(f->api);
    if (f->api->unenforced_count != 1)
        fail_msg("%s: %zu listed", entry, f->api->unenforced_count);
    u = &f->api->unenforced[0];
    assert_true(str_starts(str_z(entry), u->key));
    assert_text(u->where, where);
    assert_text(u->file, "api.yaml");
    assert_int_equal(u->line, line);
    assert_int_equal(u->security, security);
}

static void what_was_meant_as_security_is_listed(void **state)
{
    struct fixture *f = *state;

    load_root(f, "securty: [{k: []}]");
    check_listed(f, "securty", "", 4, true);
    load_root(f, "x-wso2-mutual-sl: mandatory");
    check_listed(f, "x-wso2-mutual-sl", "", 4, true);
    load_paths(f, "  /a:\n    get:\n      Security: [{k: []}]\n");
    check_listed(f, "Security", "GET /a", 6, true);
    load_paths(f, "  /a:\n    security: [{k: []}]\n    get: {}\n");
    check_listed(f, "security", "/a", 5, true);
    warned(f, "\"security\" of /a is ignored: OpenAPI has it in operations");
    load_paths(f, "  /a:\n    get:\n      x-scopess: [a]\n");
    check_listed(f, "x-scopess", "GET /a", 6, true);
    /* Asks for nothing, or is somebody else's. */
    load_root(f, "securty: []\nsecrets: [a]\nx-shape: [a]");
    assert_int_equal(f->api->unenforced_count, 0);
}

static void about_who_may_call_is_listed_so(void **state)
{
    static const char *const entries[] = {
        /* At a place where nobody looks for them. */
        "x-auth-type: Any",
        "x-scope: admin",
        "x-scopes: [a]",
        "x-basic-auth-scopes: [a]",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
        fine(f, load_root(f, entries[i]));
        check_listed(f, entries[i], "", 4, true);
    }
}

static void what_happens_to_a_call_is_listed_so(void **state)
{
    static const char *const entries[] = {
        "x-wso2-response-cache: {enabled: true}",
        "x-throttling-bandwidth: 1MB",
        "x-mediation-script: mc.setProperty()",
        "x-wso2-request-interceptor: java:A",
        "x-wso2-response-interceptor: b",
        "x-amzn-resource-name: arn",
        "x-wso2-mock-payload: '{}'",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
        fine(f,
             load_paths(f, arena_printf(f->words, "  /a:\n    get:\n      %s",
                                        entries[i])
                               .p));
        check_listed(f, entries[i], "GET /a", 6, false);
    }
}

static void keys_that_ask_for_nothing_are_not_listed(void **state)
{
    struct fixture *f = *state;

    fine(f, load_root(f, "x-wso2-throttling-tier: Unlimited\n"
                         "x-throttling-tier: ''\nx-auth-type: None\n"
                         "x-wso2-response-cache: {enabled: false}\n"
                         "x-scopes: []\nx-scope:\nx-wso2-mutual-ssl: ''\n"
                         "x-wso2-owner: me\nx-wso2-label: [a]\n"
                         "x-wso2-labels: [b]\nx-codegen: {}\n"));
    assert_int_equal(f->api->unenforced_count, 0);
}

static void keys_of_a_path_are_listed_with_it(void **state)
{
    struct fixture *f = *state;

    fine(f, load_paths(f, "  /a:\n    x-wso2-throttling-tier: Gold\n"
                          "    get: {}\n"));
    check_listed(f, "x-wso2-throttling-tier", "/a", 5, false);
}

static void credentials_of_backends_are_listed(void **state)
{
    struct fixture *f = *state;

    fine(f, load_endpoints(f, "\n  urls: ['http://a']\n"
                              "  securityConfig: {type: basic, username: u}"));
    check_listed(f, "securityConfig", "", 6, false);
    fine(f, load_endpoints(f, "{urls: ['http://a'], "
                              "securityConfig: {type: NONE}}"));
    assert_int_equal(f->api->unenforced_count, 0);
}

static void unknown_keys_name_the_nearest(void **state)
{
    struct fixture *f = *state;

    load_root(f, "x-wso2-basepath: /a\nX-WSO2-cors: {}");
    assert_int_equal(f->ps.warnings, 2);
    warned(f, "api.yaml:4: unknown key \"x-wso2-basepath\" is ignored; the "
              "nearest known one is \"x-wso2-basePath\"");
    warned(f, "api.yaml:5: unknown key \"X-WSO2-cors\" is ignored");
    load_paths(f, "  /a:\n    x-wso2-disable-securty: true\n    get:\n"
                  "      x-wso2-throtling-tier: x\n  x-wso2-foo: 1\n");
    assert_int_equal(f->ps.warnings, 3);
    warned(f, "api.yaml:5: unknown key \"x-wso2-disable-securty\" is ignored; "
              "the nearest known one is \"x-wso2-disable-security\"");
    warned(f, "api.yaml:7: unknown key \"x-wso2-throtling-tier\"");
    warned(f, "api.yaml:8: unknown key \"x-wso2-foo\"");
}

static void keys_at_a_wrong_place_are_told(void **state)
{
    struct fixture *f = *state;

    load_paths(f, "  /a:\n    x-wso2-disable-security: true\n    get:\n"
                  "      x-wso2-cors: {}\n");
    assert_int_equal(f->ps.warnings, 2);
    warned(f, "api.yaml:5: \"x-wso2-disable-security\" is ignored here: it "
              "belongs into an operation or to the root of the document");
    warned(f, "api.yaml:7: \"x-wso2-cors\" is ignored here: it belongs to the "
              "root of the document");
    assert_false(f->api->operations[0].security_disabled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_keys_that_are_used_work_together),
        TEST(cors_is_read_in_both_spellings),
        TEST(cors_values_cannot_break_a_header),
        TEST(transports_are_http_and_https),
        TEST(endpoints_may_be_of_several_kinds),
        TEST(endpoints_override_the_servers),
        TEST(wrong_endpoints_say_the_way_out),
        TEST(endpoints_may_have_names),
        TEST(what_was_meant_as_security_is_listed),
        TEST(about_who_may_call_is_listed_so),
        TEST(what_happens_to_a_call_is_listed_so),
        TEST(keys_that_ask_for_nothing_are_not_listed),
        TEST(keys_of_a_path_are_listed_with_it),
        TEST(credentials_of_backends_are_listed),
        TEST(unknown_keys_name_the_nearest),
        TEST(keys_at_a_wrong_place_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
