/* test_message.c - names of fields and methods, and what they stand for. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ctype.h>
#include <stdlib.h>
#include <cmocka.h>

#include "http/message.h"

/* Of exactly this size, so that a sanitizer sees reading past it. */
static enum field id_of(const char *p, size_t len)
{
    char *copy = malloc(len ? len : 1);
    enum field id;

    assert_non_null(copy);
    memcpy(copy, p, len);
    id = field_id(str_from(copy, len));
    free(copy);
    return id;
}

static void every_field_is_known_by_its_name_in_any_case(void **state)
{
    int id;
    size_t i;
    (void)state;

    for (id = 1; id < FIELD_COUNT; id++) {
        struct str name = field_name((enum field)id);
        char upper[64], lower[64];

        assert_in_range(name.len, 2, sizeof(upper));
        for (i = 0; i < name.len; i++) {
            upper[i] = (char)toupper((unsigned char)name.p[i]);
            lower[i] = (char)tolower((unsigned char)name.p[i]);
        }
        assert_int_equal(id_of(name.p, name.len), id);
        assert_int_equal(id_of(upper, name.len), id);
        assert_int_equal(id_of(lower, name.len), id);
    }
}

/* Every byte in every place of every name. */
static void a_name_that_differs_in_one_byte_is_another(void **state)
{
    int id, byte;
    size_t i;
    (void)state;

    for (id = 1; id < FIELD_COUNT; id++) {
        struct str name = field_name((enum field)id);
        char other[64];

        for (i = 0; i < name.len; i++) {
            for (byte = 0; byte < 256; byte++) {
                memcpy(other, name.p, name.len);
                other[i] = (char)byte;
                if (tolower(byte) == tolower((unsigned char)name.p[i]))
                    continue;
                assert_int_not_equal(id_of(other, name.len), id);
            }
        }
    }
}

static void longer_and_shorter_names_are_others(void **state)
{
    int id;
    (void)state;

    for (id = 1; id < FIELD_COUNT; id++) {
        struct str name = field_name((enum field)id);
        char longer[64];

        memcpy(longer, name.p, name.len);
        longer[name.len] = 's';
        assert_int_equal(id_of(longer, name.len + 1), FIELD_OTHER);
        assert_int_not_equal(id_of(name.p, name.len - 1), id);
        assert_int_not_equal(id_of(name.p + 1, name.len - 1), id);
    }
    assert_int_equal(id_of("", 0), FIELD_OTHER);
    assert_int_equal(id_of("x", 1), FIELD_OTHER);
    assert_int_equal(id_of("Cooked", 6), FIELD_OTHER);
    assert_int_equal(field_name(FIELD_OTHER).len, 0);
}

static void names_are_spelled_as_is_usual(void **state)
{
    (void)state;

    assert_true(str_is(field_name(FIELD_CONTENT_LENGTH), "Content-Length"));
    assert_true(str_is(field_name(FIELD_TE), "TE"));
    assert_true(str_is(field_name(FIELD_ACTIVITYID), "activityid"));
    assert_true(str_is(field_name(FIELD_HTTP2_SETTINGS), "HTTP2-Settings"));
    assert_true(str_is(field_name(FIELD_X_REAL_IP), "X-Real-IP"));
    assert_true(str_is(field_name(FIELD_SOAPACTION), "SOAPAction"));
}

static void ten_fields_belong_to_one_connection(void **state)
{
    int id, count = 0;
    (void)state;

    for (id = 0; id < FIELD_COUNT; id++)
        count += field_hop_by_hop((enum field)id);
    assert_int_equal(count, 10);
    assert_true(field_hop_by_hop(FIELD_CONNECTION));
    assert_true(field_hop_by_hop(FIELD_TRANSFER_ENCODING));
    assert_true(field_hop_by_hop(FIELD_PROXY_AUTHORIZATION));
    assert_false(field_hop_by_hop(FIELD_OTHER));
    assert_false(field_hop_by_hop(FIELD_CONTENT_LENGTH));
    assert_false(field_hop_by_hop(FIELD_AUTHORIZATION));
}

static void methods_are_known_by_their_exact_name(void **state)
{
    int m;
    (void)state;

    for (m = 1; m < METHOD_COUNT; m++) {
        struct str name = method_name((enum method)m);
        char lower[16];

        assert_int_equal(method_id(name), m);
        memcpy(lower, name.p, name.len);
        lower[0] = (char)tolower((unsigned char)lower[0]);
        assert_int_equal(method_id(str_from(lower, name.len)), METHOD_OTHER);
        assert_int_equal(method_id(str_head(name, name.len - 1)), METHOD_OTHER);
    }
    assert_int_equal(method_id(STR("")), METHOD_OTHER);
    assert_int_equal(method_id(STR("PURGE")), METHOD_OTHER);
    assert_int_equal(method_id(STR("PROPFIND")), METHOD_OTHER);
    assert_int_equal(method_name(METHOD_OTHER).len, 0);
}

static void what_changes_nothing_twice_is_idempotent(void **state)
{
    (void)state;

    assert_true(method_idempotent(METHOD_GET));
    assert_true(method_idempotent(METHOD_PUT));
    assert_true(method_idempotent(METHOD_DELETE));
    assert_true(method_idempotent(METHOD_QUERY));
    assert_false(method_idempotent(METHOD_POST));
    assert_false(method_idempotent(METHOD_PATCH));
    assert_false(method_idempotent(METHOD_CONNECT));
    assert_false(method_idempotent(METHOD_OTHER));
}

static void fields_are_found_by_name(void **state)
{
    struct header headers[] = {
        { STR("X-Tenant"), STR("a"), FIELD_OTHER, false },
        { STR("host"), STR("b"), FIELD_HOST, false },
        { STR("x-tenant"), STR("c"), FIELD_OTHER, false },
    };
    struct message m = { .headers = headers, .count = 3, .capacity = 3 };
    (void)state;

    m.first[FIELD_HOST] = 2;
    assert_ptr_equal(message_find(&m, STR("X-TENANT")), &headers[0]);
    assert_ptr_equal(message_find(&m, STR("Host")), &headers[1]);
    assert_ptr_equal(message_get(&m, FIELD_HOST), &headers[1]);
    assert_true(str_is(message_value(&m, FIELD_HOST), "b"));
    assert_null(message_find(&m, STR("Via")));
    assert_null(message_get(&m, FIELD_VIA));
    assert_null(message_value(&m, FIELD_VIA).p);
    /* an index too large for first[] */
    m.first[FIELD_HOST] = 0;
    assert_ptr_equal(message_find(&m, STR("Host")), &headers[1]);
}

static void statuses_have_reasons(void **state)
{
    unsigned phrases = 0;
    (void)state;

    for (unsigned status = 0; status < 1000; status++)
        phrases += status_reason(status).len > 0;
    assert_int_equal(phrases, 60);
    assert_true(str_is(status_reason(100), "Continue"));
    assert_true(str_is(status_reason(200), "OK"));
    assert_true(str_is(status_reason(226), "IM Used"));
    assert_true(str_is(status_reason(304), "Not Modified"));
    assert_true(str_is(status_reason(413), "Content Too Large"));
    assert_true(str_is(status_reason(429), "Too Many Requests"));
    assert_true(str_is(status_reason(504), "Gateway Timeout"));
    assert_true(str_is(status_reason(511), "Network Authentication Required"));
    assert_true(str_is(status_reason(0), ""));
    assert_true(str_is(status_reason(299), ""));
    assert_true(str_is(status_reason(512), ""));
    assert_true(str_is(status_reason(UINT_MAX), ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_known_by_its_name_in_any_case),
        cmocka_unit_test(a_name_that_differs_in_one_byte_is_another),
        cmocka_unit_test(longer_and_shorter_names_are_others),
        cmocka_unit_test(names_are_spelled_as_is_usual),
        cmocka_unit_test(ten_fields_belong_to_one_connection),
        cmocka_unit_test(methods_are_known_by_their_exact_name),
        cmocka_unit_test(what_changes_nothing_twice_is_idempotent),
        cmocka_unit_test(fields_are_found_by_name),
        cmocka_unit_test(statuses_have_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
