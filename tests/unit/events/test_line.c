/* test_line.c - one call as one line of JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "events/line.h"
#include "events/user_agent.h"
#include "format/json.h"

static struct arena *a;

static int begin(void **state)
{
    (void)state;
    a = arena_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static struct json *parsed(const struct event *e)
{
    static char out[EVENT_LINE_MAX];
    size_t n = event_line(e, out);
    struct json_error error;
    struct json *j;

    assert_int_equal(out[n - 1], '\n');
    assert_null(memchr(out, '\n', n - 1));
    assert_int_equal(json_parse(a, arena_copy(a, str_from(out, n)),
                                &json_default_limits, &j, &error),
                     ERR_OK);
    return j;
}

static struct str text_of(const struct json *j, const char *name)
{
    return json_str(json_get(j, str_z(name)));
}

static uint64_t number_of(const struct json *j, const char *name)
{
    uint64_t n = 0;

    assert_int_equal(json_u64(json_get(j, str_z(name)), UINT64_MAX, &n),
                     ERR_OK);
    return n;
}

#define assert_text(j, name, expected) \
    assert_true(str_is(text_of(j, name), expected))

static void says_who_called_what_and_what_came_of_it(void **state)
{
    char api[8192];
    size_t n =
        event_api_text(api, sizeof(api), STR("Shop"), STR("1.0"), STR("/shop"));
    struct event e = {
        .gateway = STR("00ff"),
        .boot = 3,
        .number = 18446744073709551615ull,
        .thread = 2,
        .wall_us = 1764201600123456,
        .api = str_from(api, n),
        .method = STR("GET"),
        .resource = STR("/items/{id}"),
        .status = 200,
        .target_status = 200,
        .total_us = 12345,
        .backend_us = 10000,
        .before_us = 2000,
    };
    struct json *j;
    (void)state;

    j = parsed(&e);
    assert_text(j, "requestTimestamp", "2025-11-27T00:00:00.123Z");
    assert_text(j, "apiId", "Shop:1.0");
    assert_text(j, "apiContext", "/shop");
    assert_text(j, "apiResourceTemplate", "/items/{id}");
    assert_text(j, "eventType", "response");
    assert_true(str_is(json_at(j, "n")->text, "18446744073709551615"));
    assert_int_equal(number_of(j, "responseLatency"), 12);
    assert_int_equal(number_of(j, "backendLatency"), 10);
    assert_int_equal(number_of(j, "requestMediationLatency"), 2);
    assert_int_equal(number_of(j, "responseMediationLatency"), 0);
    assert_null(json_at(j, "userName"));
    assert_null(json_at(j, "errorCode"));
}

/* Each byte alone, first, last and in the middle of plain ones. */
static void every_byte_comes_out_as_it_is_or_as_a_replacement(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++)
        for (size_t at = 0; at < 19; at++) {
            char text[19];
            struct event e = { .user = str_from(text, 19) };
            struct str got;

            memset(text, 'x', sizeof(text));
            text[at] = (char)c;
            got = text_of(parsed(&e), "userName");
            if (c < 0x80) {
                assert_true(str_eq(got, e.user));
            } else {
                assert_int_equal(got.len, 21);
                assert_memory_equal(got.p + at, UTF8_REPLACEMENT, 3);
            }
            arena_free(a);
            a = arena_new();
        }
}

static void characters_stay_whole_where_there_is_room(void **state)
{
    struct event e = { .user = STR("Zo\xc3\xab \xf0\x9f\x98\x80 \"q\" \\") };
    char many[400];
    struct str got;
    (void)state;

    assert_true(str_eq(text_of(parsed(&e), "userName"), e.user));
    for (size_t i = 0; i < sizeof(many); i += 2)
        memcpy(many + i, "\xc3\xab", 2);
    e.user = str_from(many + 1, 399); /* begins and is cut within one */
    got = text_of(parsed(&e), "userName");
    assert_true(utf8_valid(got));
    assert_true(got.len < 400);
}

static void the_longest_texts_fit(void **state)
{
    static char worst[70000], api[8192];
    struct str w = { worst, sizeof(worst) };
    struct event e = {
        .gateway = w,
        .boot = UINT64_MAX,
        .thread = UINT32_MAX,
        .number = UINT64_MAX,
        .wall_us = 1764201600123456,
        .type = STR("HTTP"),
        .method = w,
        .resource = w,
        .application_id = w,
        .application = w,
        .user = w,
        .user_agent = w,
        .common_name = w,
        .tier = w,
        .destination = w,
        .region = w,
        .response_type = w,
        .status = 999,
        .target_status = 999,
        .request_bytes = UINT64_MAX,
        .response_bytes = UINT64_MAX,
        .total_us = UINT64_MAX,
        .backend_us = UINT64_MAX,
        .before_us = UINT64_MAX,
        .retries = UINT32_MAX,
        .configuration = UINT64_MAX,
        .fault = EVENT_FAULT_TARGET,
        .error_code = "900902",
        .error = "SUBSCRIPTION_VALIDATION_FAILURE",
        .reason = "a_reason",
    };
    (void)state;

    memset(worst, 1, sizeof(worst)); /* six bytes each */
    e.api = str_from(api, event_api_text(api, sizeof(api), w, w, w));
    assert_non_null(parsed(&e));
}

static void refusals_have_the_models_words(void **state)
{
    static const struct {
        const char *code;
        unsigned status;
        enum event_fault fault;
        const char *error;
    } cases[] = {
        { "900902", 401, EVENT_FAULT_AUTH, "AUTHENTICATION_FAILURE" },
        { "900901", 401, EVENT_FAULT_AUTH, "AUTHENTICATION_FAILURE" },
        { "900900", 500, EVENT_FAULT_AUTH, "OTHER" },
        { "900910", 403, EVENT_FAULT_AUTH, "AUTHORIZATION_FAILURE" },
        { "900914", 403, EVENT_FAULT_AUTH, "AUTHORIZATION_FAILURE" },
        { "900908", 403, EVENT_FAULT_AUTH, "SUBSCRIPTION_VALIDATION_FAILURE" },
        { "900800", 429, EVENT_FAULT_THROTTLED, "API_LEVEL_LIMIT_EXCEEDED" },
        { "900801", 503, EVENT_FAULT_THROTTLED, "HARD_LIMIT_EXCEEDED" },
        { "900805", 403, EVENT_FAULT_THROTTLED, "BLOCKED" },
        { "101504", 504, EVENT_FAULT_TARGET, "CONNECTION_TIMEOUT" },
        { "303001", 503, EVENT_FAULT_TARGET, "CONNECTION_SUSPENDED" },
        { "101503", 500, EVENT_FAULT_TARGET, "OTHER" },
        { "404", 404, EVENT_FAULT_OTHER, "RESOURCE_NOT_FOUND" },
        { "405", 405, EVENT_FAULT_OTHER, "METHOD_NOT_ALLOWED" },
        { "413", 413, EVENT_FAULT_OTHER, "UNCLASSIFIED" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *error;

        assert_int_equal(event_fault_of(cases[i].code, cases[i].status, &error),
                         cases[i].fault);
        assert_string_equal(error, cases[i].error);
    }
}

static void clients_are_told_apart(void **state)
{
    static const struct {
        const char *text, *family, *platform;
    } cases[] = {
        { "curl/8.5.0", "curl", "" },
        { "okhttp/4.9 (Linux; Android 13)", "okhttp", "Android" },
        { "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
          "(KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0",
          "Edge", "Windows" },
        { "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) "
          "AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1",
          "Safari", "iOS" },
        { "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:121.0) "
          "Gecko/20100101 Firefox/121.0",
          "Firefox", "Mac OS X" },
        { "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 "
          "Chrome/120.0.0.0 Safari/537.36",
          "Chrome", "Chrome OS" },
        { "Mozilla/5.0 something", "Mozilla", "" },
        { "", "", "" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct user_agent u = user_agent_parse(str_z(cases[i].text));

        assert_true(str_is(u.family, cases[i].family));
        assert_true(str_is(u.platform, cases[i].platform));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_who_called_what_and_what_came_of_it),
        cmocka_unit_test(every_byte_comes_out_as_it_is_or_as_a_replacement),
        cmocka_unit_test(characters_stay_whole_where_there_is_room),
        cmocka_unit_test(the_longest_texts_fit),
        cmocka_unit_test(refusals_have_the_models_words),
        cmocka_unit_test(clients_are_told_apart),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
