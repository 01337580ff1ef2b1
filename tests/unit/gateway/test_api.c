/* test_api.c - from a document to what the data plane runs. */
#include "format/openapi_fixture.h"

#include "base/log.h"
#include "gateway/api.h"
#include "gateway/credential/credentials.h"
#include "gateway/policies.h"
#include "gateway/upstream/upstreams.h"
#include "net/fake_time.h"

static struct settings settings;
static struct api_conf entry;
static struct api *api; /* of the last compile(), or NULL */
static struct upstreams *upstreams;
static struct credentials *credentials;
static struct policies *policies;
static struct loop *loop;
static struct keysets *keysets;

static int begin(void **state)
{
    struct fixture *f;

    set_up(state);
    f = *state;
    memset(&entry, 0, sizeof(entry));
    assert_int_equal(settings_read(f->words, STR_NULL, &settings, &f->ps),
                     ERR_OK);
    keysets = keysets_new(NULL, NULL, NULL);
    assert_int_equal(
        credentials_new(&settings, keysets, false, &f->ps, &credentials),
        ERR_OK);
    assert_int_equal(policies_new(&settings, NULL, &f->ps, &policies), ERR_OK);
    api = NULL;
    loop = NULL;
    upstreams = NULL;
    return 0;
}

static int end(void **state)
{
    api_free(api, upstreams);
    credentials_unref(credentials);
    keysets_free(keysets);
    policies_unref(policies);
    if (upstreams) {
        upstreams_end(upstreams);
        upstreams_free(upstreams);
    }
    loop_free(loop);
    return tear_down(state);
}

static void use_upstreams(void)
{
    loop = loop_new();
    upstreams = upstreams_new(loop, STR("127.0.0.1:9"), 1000);
}

/* The document's text as an API of its own. */
static struct api *make(struct fixture *f, const char *text)
{
    struct api *made = NULL;
    enum err e;

    problems_init(&f->ps, f->words);
    load(f, text);
    if (!f->api) {
        show(f);
        fail_msg("the document was refused");
    }
    e = api_compile(f->api, &entry, &settings.gateway, credentials, policies,
                    upstreams, 1, &f->ps, &made);
    assert_int_equal(e, made ? ERR_OK : ERR_INVALID);
    assert_int_equal(f->ps.errors == 0, made != NULL);
    return made;
}

static struct api *compile(struct fixture *f, const char *text)
{
    api_free(api, upstreams);
    return api = make(f, text);
}

#define HEAD           \
    "openapi: 3.0.0\n" \
    "info: {title: Pets, version: 1.2.0}\n"
#define SERVER "servers: [{url: 'http://127.0.0.1:8080/base/'}]\n"
#define PATHS                     \
    "paths:\n"                    \
    "  /pets:\n"                  \
    "    get: {responses: {}}\n"  \
    "    post: {responses: {}}\n" \
    "  /pets/{id}:\n"             \
    "    get: {responses: {}}\n"

static struct op *find(const char *method, const char *path)
{
    uint32_t allowed;

    return op_tree_find(api->tree, str_z(path), method_id(str_z(method)),
                        str_z(method), &allowed);
}

static void every_operation_is_found(void **state)
{
    struct fixture *f = *state;

    assert_non_null(compile(f, HEAD SERVER PATHS));
    assert_int_equal(api->op_count, 3);
    assert_text(api->name, "Pets");
    assert_text(api->version, "1.2.0");
    assert_text(api->context, "/base");
    assert_text(find("GET", "/pets")->path, "/pets");
    assert_text(find("POST", "/pets")->method_text, "POST");
    assert_text(find("GET", "/pets/7")->path, "/pets/{id}");
    assert_ptr_equal(find("GET", "/pets/7")->api, api);
    assert_null(find("DELETE", "/pets"));
}

static void all_operations_share_the_endpoints_of_the_document(void **state)
{
    struct fixture *f = *state;
    struct cluster *c;

    compile(f, HEAD SERVER PATHS);
    c = find("GET", "/pets")->production;
    assert_ptr_equal(c, find("POST", "/pets")->production);
    assert_ptr_equal(c, api->clusters);
    assert_null(c->next);
    assert_int_equal(c->count, 1);
    assert_text(c->members[0].base, "/base");
    assert_ptr_equal(c->lb, &lb_round_robin);
}

static void an_operation_may_have_its_own(void **state)
{
    struct fixture *f = *state;

    compile(f, HEAD SERVER
            "paths:\n"
            "  /a: {get: {responses: {}}}\n"
            "  /b:\n"
            "    get:\n"
            "      responses: {}\n"
            "      x-wso2-production-endpoints:\n"
            "        urls: ['http://127.0.0.1:1/x', 'http://127.0.0.1:2']\n"
            "        type: failover\n");
    assert_ptr_not_equal(find("GET", "/a")->production,
                         find("GET", "/b")->production);
    assert_int_equal(find("GET", "/b")->production->count, 2);
    assert_ptr_equal(find("GET", "/b")->production->lb, &lb_failover);
    assert_text(find("GET", "/b")->production->members[0].base, "/x");
    assert_text(find("GET", "/b")->production->members[1].base, "");
}

static void settings_choose_how_to_balance(void **state)
{
    struct fixture *f = *state;

    settings.gateway.upstreams.balance = BALANCE_WEIGHTED;
    compile(f, HEAD PATHS "x-wso2-production-endpoints:\n"
                          "  urls:\n"
                          "    - {url: 'http://127.0.0.1:1', weight: 3}\n"
                          "    - {url: 'http://127.0.0.1:2'}\n");
    assert_ptr_equal(api->clusters->lb, &lb_weighted);
    assert_true(api->clusters->weights == 4);
    assert_int_equal(api->clusters->members[0].weight, 3);
    settings.gateway.upstreams.balance = BALANCE_LEAST;
    compile(f, HEAD SERVER PATHS);
    assert_ptr_equal(api->clusters->lb, &lb_least_outstanding);
}

static void one_url_may_replace_them_all(void **state)
{
    struct fixture *f = *state;

    settings.gateway.upstream = STR("http://127.0.0.1:9/all/");
    compile(f, HEAD SERVER PATHS);
    assert_text(api->clusters->members[0].base, "/all");
    assert_null(api->clusters->next);
    entry.upstream = STR("http://127.0.0.1:9/this");
    compile(f, HEAD PATHS); /* which names none */
    assert_text(api->clusters->members[0].base, "/this");
    entry.upstream = STR("http://user@127.0.0.1:9");
    assert_null(compile(f, HEAD PATHS));
    refused(f, "upstream must be a URL");
    entry.upstream = STR("http://127.0.0.1:9/?x");
    assert_null(compile(f, HEAD PATHS));
    refused(f, "upstream must be a URL");
}

static void no_endpoint_is_an_error_that_says_what_to_do(void **state)
{
    struct fixture *f = *state;

    assert_null(compile(f, HEAD PATHS));
    refused(f, "GET /pets has no endpoint: ");
    refused(f, "give one with --upstream URL");
    assert_null(compile(f, HEAD "servers: [{url: /v1}]\n" PATHS));
    refused(f, "the servers are relative");
}

static void too_many_endpoints_are_an_error(void **state)
{
    struct fixture *f = *state;
    struct buf text;

    buf_init(&text, 1 << 20);
    buf_z(&text, HEAD PATHS "x-wso2-production-endpoints:\n  urls:\n");
    for (int i = 0; i <= MEMBERS_MAX; i++)
        buf_printf(&text, "    - http://127.0.0.1:%d\n", i + 1);
    buf_char(&text, 0);
    assert_null(compile(f, text.p));
    refused(f, "at most 256 endpoints, got 257");
    buf_done(&text);
}

static void the_documents_times_win(void **state)
{
    struct fixture *f = *state;

    settings.gateway.upstreams.first_byte_ms = 111;
    settings.gateway.upstreams.stall_ms = 222;
    settings.gateway.upstreams.total_ms = 333;
    settings.gateway.upstreams.retries = 4;
    compile(f, HEAD SERVER PATHS);
    assert_true(api->clusters->first_byte_ms == 111);
    assert_true(api->clusters->stall_ms == 222);
    assert_true(api->clusters->total_ms == 333);
    assert_int_equal(api->clusters->retries, 4);
    compile(f, HEAD PATHS "x-wso2-production-endpoints:\n"
                          "  urls: ['http://127.0.0.1:1']\n"
                          "  advanceEndpointConfig:\n"
                          "    timeoutInMillis: 5000\n"
                          "    retryConfig: {count: 2, statusCodes: [503]}\n");
    assert_true(api->clusters->first_byte_ms == 5000);
    assert_true(api->clusters->stall_ms == 5000);
    assert_int_equal(api->clusters->retries, 2);
    assert_true(cluster_retries_status(api->clusters, 503));
    assert_true(cluster_take_retry(api->clusters)); /* from the beginning */
}

/* Who may call */

#define SECURED                                                          \
    HEAD SERVER "components: {securitySchemes: {user: {type: http, "     \
                "scheme: basic}}}\n"                                     \
                "paths:\n"                                               \
                "  /a: {get: {security: [{user: []}], responses: {}}}\n" \
                "  /b: {get: {responses: {}}}\n"

static void what_cannot_be_checked_is_not_served(void **state)
{
    struct fixture *f = *state;

    assert_null(compile(f, SECURED));
    refused(f, "GET /a requires user (http/basic), and there are no users");
    assert_int_equal(f->ps.errors, 1);
    settings.gateway.security_off = 1;
    assert_non_null(compile(f, SECURED));
    assert_non_null(find("GET", "/a"));
}

static void an_empty_alternative_does_not_excuse_the_others(void **state)
{
    struct fixture *f = *state;

    assert_null(compile(f, HEAD SERVER
                        "components: {securitySchemes: {user: {type: http, "
                        "scheme: basic}}}\n"
                        "security: [{user: []}, {}]\n" PATHS));
    refused(f, "requires user (http/basic)");
}

static void what_is_not_enforced_is_refused_or_ignored_by_name(void **state)
{
    struct fixture *f = *state;
    struct str ignored = STR("x-wso2-response-cache");
    const char *text = HEAD SERVER PATHS "x-wso2-response-cache: {enabled: "
                                         "true}\n";

    assert_null(compile(f, text));
    refused(f, "x-wso2-response-cache is not enforced yet");
    refused(f, "gateway.ignore: [x-wso2-response-cache]");
    settings.gateway.ignore = (struct conf_strings) { &ignored, 1 };
    assert_non_null(compile(f, text));
}

static void a_tier_that_nobody_knows_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_non_null(
        compile(f, HEAD SERVER PATHS "x-wso2-throttling-tier: 10kpermin\n"));
    assert_int_equal(find("GET", "/pets")->chain.count, 2);
    assert_null(
        compile(f, HEAD SERVER PATHS "x-wso2-throttling-tier: 10KPerMinn\n"));
    refused(f, "there is no tier \"10KPerMinn\"; the nearest is \"10KPerMin\"");
    assert_non_null(
        compile(f, HEAD SERVER PATHS "x-wso2-throttling-tier: Unlimited\n"));
    assert_int_equal(find("GET", "/pets")->chain.count, 1);
}

static void a_transport_that_is_not_offered_is_a_step(void **state)
{
    struct fixture *f = *state;

    compile(f, HEAD SERVER PATHS);
    assert_int_equal(find("GET", "/pets")->chain.count, 1);
    assert_ptr_equal(find("GET", "/pets")->chain.steps[0].policy, &policy_deny);
    compile(f, HEAD SERVER PATHS "x-wso2-transports: [https]\n");
    assert_int_equal(find("GET", "/pets")->chain.count, 2);
    assert_ptr_equal(find("GET", "/pets")->chain.steps[0].policy,
                     &policy_transport);
}

/* Where it is served */

static void a_context_may_be_given(void **state)
{
    struct fixture *f = *state;

    entry.context = STR("/shop/v2/");
    compile(f, HEAD SERVER PATHS);
    assert_text(api->context, "/shop/v2");
    entry.context = STR("/");
    compile(f, HEAD SERVER PATHS);
    assert_text(api->context, "");
    entry.context = STR("shop");
    assert_null(compile(f, HEAD SERVER PATHS));
    refused(f, "context must begin with '/'");
}

static void a_version_may_be_left_out_when_it_is_the_default(void **state)
{
    struct fixture *f = *state;
    const char *text = HEAD SERVER PATHS "x-wso2-basePath: /pets/{version}\n";

    compile(f, text);
    assert_text(api->context, "/pets/1.2.0");
    assert_false(api->has_unversioned);
    entry.default_version = true;
    compile(f, text);
    assert_true(api->has_unversioned);
    assert_text(api->context_unversioned, "/pets");
}

static void hosts_are_lower_case(void **state)
{
    struct fixture *f = *state;
    struct str hosts[] = { STR("API.Test"), STR("b.test") };

    entry.hosts = (struct conf_strings) { hosts, 2 };
    compile(f, HEAD SERVER PATHS);
    assert_int_equal(api->host_count, 2);
    assert_text(api->hosts[0], "api.test");
}

/* Documents tell operations apart by a query; a router cannot. */
static void a_shadowed_operation_is_not_routed(void **state)
{
    struct fixture *f = *state;

    compile(f, HEAD SERVER
            "paths:\n"
            "  /a?kind=x: {get: {operationId: one, responses: {}}}\n"
            "  /a?kind=y: {get: {operationId: two, responses: {}}}\n"
            "  /b: {get: {operationId: three, responses: {}}}\n");
    assert_non_null(api);
    assert_text(find("GET", "/a")->path, "/a?kind=x");
    assert_text(find("GET", "/b")->path, "/b");
    assert_int_equal(api->op_count, 2);
}

static void one_cause_is_not_told_a_thousand_times(void **state)
{
    struct fixture *f = *state;
    struct buf text;

    buf_init(&text, 1 << 20);
    buf_z(&text, HEAD "paths:\n");
    for (int i = 0; i < 1000; i++)
        buf_printf(&text, "  /p%d: {get: {responses: {}}}\n", i);
    buf_char(&text, 0);
    assert_null(compile(f, text.p));
    assert_in_range(f->ps.errors, 2, 30);
    buf_done(&text);
}

/* Endpoints are shared */

static void the_same_origin_is_one_endpoint(void **state)
{
    struct fixture *f = *state;
    struct endpoint *e;
    struct api *other;

    use_upstreams();
    compile(f, HEAD SERVER PATHS);
    e = api->clusters->members[0].endpoint;
    assert_text(e->name, "http://127.0.0.1:8080");
    assert_text(e->authority, "127.0.0.1:8080");
    assert_int_equal(e->refs, 1);
    other =
        make(f, HEAD "servers: [{url: 'http://127.0.0.1:8080/other'}]\n" PATHS);
    assert_ptr_equal(other->clusters->members[0].endpoint, e);
    assert_int_equal(e->refs, 2);
    api_free(other, upstreams);
    assert_int_equal(e->refs, 1);
    assert_ptr_equal(upstreams_first(upstreams), e);
}

static void other_settings_make_another_endpoint(void **state)
{
    struct fixture *f = *state;
    struct api *other;

    use_upstreams();
    compile(f, HEAD SERVER PATHS);
    settings.gateway.upstreams.connect_ms++;
    other = make(f, HEAD SERVER PATHS);
    assert_ptr_not_equal(other->clusters->members[0].endpoint,
                         api->clusters->members[0].endpoint);
    api_free(other, upstreams);
}

static void a_document_that_is_refused_leaves_no_endpoint(void **state)
{
    struct fixture *f = *state;

    use_upstreams();
    assert_null(compile(f, HEAD PATHS
                        "x-wso2-production-endpoints: {urls: "
                        "['http://127.0.0.1:1', 'http://169.254.169.254']}\n"));
    assert_null(upstreams_first(upstreams));
    for (int i = 0; i < 4; i++) { /* it is freed a moment later */
        fake_pass(150);
        loop_turn(loop, 0);
    }
}

static void names_people_read_are_short(void **state)
{
    struct fixture *f = *state;

    use_upstreams();
    compile(f, HEAD PATHS
            "x-wso2-production-endpoints: {urls: ['http://127.0.0.1', "
            "'http://[::1]:81', 'unix:/run/app.sock:/base']}\n");
    assert_text(api->clusters->members[0].endpoint->name, "http://127.0.0.1");
    assert_text(api->clusters->members[1].endpoint->name, "http://[::1]:81");
    assert_text(api->clusters->members[1].endpoint->authority, "[::1]:81");
    assert_text(api->clusters->members[2].endpoint->name, "unix:/run/app.sock");
    assert_text(api->clusters->members[2].endpoint->authority, "localhost");
    assert_text(api->clusters->members[2].base, "/base");
    for (int i = 0; i < 3; i++)
        assert_non_null(
            atomic_load(&api->clusters->members[i].endpoint->addresses));
}

/* A breaker without numbers must not divide by them. */
static void a_breaker_without_numbers_has_some(void **state)
{
    struct fixture *f = *state;
    struct endpoint *e;

    use_upstreams();
    compile(f, HEAD PATHS
            "x-wso2-production-endpoints:\n"
            "  urls: ['http://127.0.0.1:1']\n"
            "  advanceEndpointConfig: {circuitBreaker: {failureThreshold: "
            "0.5}}\n");
    e = api->clusters->members[0].endpoint;
    assert_true(e->breaker.breaker.on);
    endpoint_result(e, 1000, ENDPOINT_FAILED, "no");
    assert_string_equal(endpoint_state(e, 1000), "open");
}

static int quiet(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, LOG_AUTO, 2);
    return 0;
}

#undef TEST
int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(every_operation_is_found),
        TEST(all_operations_share_the_endpoints_of_the_document),
        TEST(an_operation_may_have_its_own),
        TEST(settings_choose_how_to_balance),
        TEST(one_url_may_replace_them_all),
        TEST(no_endpoint_is_an_error_that_says_what_to_do),
        TEST(too_many_endpoints_are_an_error),
        TEST(the_documents_times_win),
        TEST(what_cannot_be_checked_is_not_served),
        TEST(an_empty_alternative_does_not_excuse_the_others),
        TEST(what_is_not_enforced_is_refused_or_ignored_by_name),
        TEST(a_tier_that_nobody_knows_is_refused),
        TEST(a_transport_that_is_not_offered_is_a_step),
        TEST(a_context_may_be_given),
        TEST(a_version_may_be_left_out_when_it_is_the_default),
        TEST(hosts_are_lower_case),
        TEST(a_shadowed_operation_is_not_routed),
        TEST(one_cause_is_not_told_a_thousand_times),
        TEST(the_same_origin_is_one_endpoint),
        TEST(other_settings_make_another_endpoint),
        TEST(a_document_that_is_refused_leaves_no_endpoint),
        TEST(names_people_read_are_short),
        TEST(a_breaker_without_numbers_has_some),
    };

    return cmocka_run_group_tests(tests, quiet, NULL);
}
