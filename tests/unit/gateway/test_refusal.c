/* test_refusal.c - what callers are told when the gateway answers itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/json.h"
#include "gateway/refusal.h"

static const struct refusal *const all[] = {
    &refusal_bad_request,
    &refusal_not_found,
    &refusal_method,
    &refusal_http_not_allowed,
    &refusal_https_not_allowed,
    &refusal_memory,
    &refusal_connect,
    &refusal_connect_timeout,
    &refusal_timeout,
    &refusal_closed,
    &refusal_protocol,
    &refusal_suspended,
    &refusal_busy,
};

static struct arena *arena;

static int begin(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static const struct json *parse(struct str text)
{
    struct json_error error = { 0 };
    struct json *j = NULL;

    assert_int_equal(json_parse(arena, text, &json_default_limits, &j, &error),
                     ERR_OK);
    return j;
}

static bool member_is(const struct json *j, const char *name, const char *value)
{
    return str_is(json_str(json_get(j, str_z(name))), value);
}

static void a_refusal_is_json_with_four_members(void **state)
{
    struct str type, body = refusal_body(arena, &refusal_not_found, STR_NULL,
                                         false, ERRORS_APIM, &type);
    const struct json *j = parse(body);
    (void)state;

    assert_true(str_is(type, "application/json; charset=UTF-8"));
    assert_true(member_is(j, "code", "404"));
    assert_true(member_is(j, "type", "Status report"));
    assert_true(member_is(j, "message", "Not Found"));
    assert_true(member_is(j, "description",
                          "The requested resource is not available."));
    assert_int_equal(j->count, 4);
}

static void the_older_form_is_a_fault_with_a_number(void **state)
{
    struct str type, body = refusal_body(arena, &refusal_suspended, STR_NULL,
                                         false, ERRORS_MICROGATEWAY, &type);
    const struct json *fault = json_at(parse(body), "fault");
    (void)state;

    assert_non_null(fault);
    assert_int_equal(json_at(fault, "code")->type, JSON_NUMBER);
    assert_true(str_starts(body, STR("{\"fault\":{\"code\":303001,")));
    assert_true(member_is(fault, "message", "Runtime Error"));
}

static void soap_callers_get_a_fault(void **state)
{
    struct str type, body = refusal_body(arena, &refusal_connect, STR_NULL,
                                         true, ERRORS_APIM, &type);
    (void)state;

    assert_true(str_is(type, "text/xml; charset=UTF-8"));
    assert_non_null(strstr(body.p, "<faultcode>soapenv:Server</faultcode>"));
    assert_non_null(strstr(body.p, "<am:code>101503</am:code>"));
    body = refusal_body(arena, &refusal_not_found, STR_NULL, true,
                        ERRORS_MICROGATEWAY, &type);
    assert_non_null(strstr(body.p, "<faultcode>soapenv:Client</faultcode>"));
}

static void every_refusal_reads_well_in_every_form(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct str type;

        assert_in_range(all[i]->status, 400, 599);
        assert_true(*all[i]->code && *all[i]->message && *all[i]->description);
        parse(refusal_body(arena, all[i], STR_NULL, false, ERRORS_APIM, &type));
        parse(refusal_body(arena, all[i], STR_NULL, false, ERRORS_MICROGATEWAY,
                           &type));
        assert_null(strpbrk(all[i]->description, "<>&\"\\"));
        assert_int_equal(all[i]->client, all[i]->status < 500);
    }
}

static void every_status_of_the_parser_has_one(void **state)
{
    static const unsigned statuses[] = { 400, 408, 413, 414, 417,
                                         431, 501, 503, 505 };
    (void)state;

    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        const struct refusal *r = refusal_of_status(statuses[i]);
        struct str type;

        assert_int_equal(r->status, statuses[i]);
        assert_true(*r->code && *r->message && *r->description);
        parse(refusal_body(arena, r, STR_NULL, false, ERRORS_APIM, &type));
    }
    assert_int_equal(refusal_of_status(418)->status, 400);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_refusal_is_json_with_four_members),
        TEST(the_older_form_is_a_fault_with_a_number),
        TEST(soap_callers_get_a_fault),
        TEST(every_refusal_reads_well_in_every_form),
        TEST(every_status_of_the_parser_has_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
