/* test_conf.c - value forms of settings, and guesses at names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/conf.h"

static void assert_size(const char *text, uint64_t bytes)
{
    uint64_t n = 1;

    assert_int_equal(conf_parse_size(str_z(text), &n), ERR_OK);
    assert_true(n == bytes);
}

static void assert_duration(const char *text, uint64_t ms)
{
    uint64_t n = 1;

    assert_int_equal(conf_parse_duration_ms(str_z(text), &n), ERR_OK);
    assert_true(n == ms);
}

static void sizes_are_powers_of_1024(void **state)
{
    (void)state;

    assert_size("0", 0);
    assert_size("4096", 4096);
    assert_size("64k", 65536);
    assert_size("10M", 10485760);
    assert_size("2g", 2147483648);
    assert_size("1t", 1099511627776);
    assert_size("18446744073709551615", UINT64_MAX);
}

static void durations_have_units(void **state)
{
    (void)state;

    assert_duration("0", 0);
    assert_duration("250ms", 250);
    assert_duration("30s", 30000);
    assert_duration("5m", 300000);
    assert_duration("12h", 43200000);
    assert_duration("7d", 604800000);
}

static void ratios_have_six_places(void **state)
{
    static const struct {
        const char *text;
        uint64_t millionths;
    } good[] = {
        { "0", 0 },         { "1", 1000000 },   { "0.25", 250000 },
        { "0.000001", 1 },  { "1.0", 1000000 }, { "0.100000", 100000 },
        { "3.5", 3500000 },
    };
    static const char *const bad[] = { "",      ".5",  "1.",        "-1",
                                       "1e-3",  "0,5", "0.0000001", "5%",
                                       "1.2.3", "0x1", " 1" };
    char text[CONF_FORMAT_BYTES];
    uint64_t n;
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(conf_parse_ratio(str_z(good[i].text), &n), ERR_OK);
        assert_int_equal(n, good[i].millionths);
        conf_format_ratio(n, text);
        assert_int_equal(conf_parse_ratio(str_z(text), &n), ERR_OK);
        assert_int_equal(n, good[i].millionths);
    }
    n = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(conf_parse_ratio(str_z(bad[i]), &n), ERR_INVALID);
    assert_int_equal(n, 7);
    assert_string_equal(conf_format_ratio(0, text), "0");
    assert_string_equal(conf_format_ratio(1000000, text), "1");
    assert_string_equal(conf_format_ratio(50000, text), "0.05");
    assert_string_equal(conf_format_ratio(10000000, text), "10");
}

static void other_forms_are_refused(void **state)
{
    static const char *const sizes[] = { "",    "k",  "1kb", "1.5m", "-1",
                                         "1 k", " 1", "k1",  "10ms", "0x10" };
    static const char *const durations[] = { "",     "s",     "30",
                                             "1.5s", "1h30m", "-1s",
                                             "1 s",  "5M",    "1w" };
    uint64_t n = 7;
    bool b = true;
    (void)state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        assert_int_equal(conf_parse_size(str_z(sizes[i]), &n), ERR_INVALID);
    for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++)
        assert_int_equal(conf_parse_duration_ms(str_z(durations[i]), &n),
                         ERR_INVALID);
    assert_int_equal(conf_parse_size(STR("16777216t"), &n), ERR_LIMIT);
    assert_int_equal(conf_parse_duration_ms(STR("213503982335d"), &n),
                     ERR_LIMIT);
    assert_int_equal(conf_parse_bool(STR("yes"), &b), ERR_INVALID);
    assert_int_equal(conf_parse_bool(STR("True"), &b), ERR_INVALID);
    assert_int_equal(n, 7);
    assert_true(b);
    assert_int_equal(conf_parse_bool(STR("false"), &b), ERR_OK);
    assert_false(b);
}

static void what_is_formatted_reads_back(void **state)
{
    static const uint64_t numbers[] = {
        0,           1,
        999,         1000,
        1023,        1024,
        1536,        60000,
        90000,       86400000,
        31622400000, 1048576,
        UINT64_MAX,  UINT64_MAX - 1023,
    };
    char text[CONF_FORMAT_BYTES];
    (void)state;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        assert_size(conf_format_size(numbers[i], text), numbers[i]);
        assert_duration(conf_format_duration_ms(numbers[i], text), numbers[i]);
    }
    assert_string_equal(conf_format_size(65536, text), "64k");
    assert_string_equal(conf_format_size(1536, text), "1536");
    assert_string_equal(conf_format_duration_ms(31622400000, text), "366d");
    assert_string_equal(conf_format_duration_ms(90000, text), "90s");
    assert_string_equal(conf_format_duration_ms(0, text), "0s");
    assert_string_equal(conf_format_bool(true), "true");
}

static void typing_errors_are_counted(void **state)
{
    char name[100];
    (void)state;

    assert_int_equal(conf_distance(STR("threads"), STR("threads")), 0);
    assert_int_equal(conf_distance(STR("thread"), STR("threads")), 1);
    assert_int_equal(conf_distance(STR("thraeds"), STR("threads")), 1);
    assert_int_equal(conf_distance(STR("trheadx"), STR("threads")), 2);
    assert_int_equal(conf_distance(STR(""), STR("abc")), 3);
    memset(name, 'x', sizeof(name));
    assert_int_equal(conf_distance(str_from(name, 64), STR("x")), 63);
    assert_int_equal(conf_distance(str_from(name, 100), STR("x")), 100);
}

static void the_nearest_name_is_offered(void **state)
{
    static const struct conf_field fields[] = {
        { .name = "head_size", .type = CONF_SIZE },
        { .name = "threads", .type = CONF_U64 },
        { .name = "thread", .type = CONF_U64 },
        { 0 },
    };
    (void)state;

    assert_string_equal(conf_nearest(fields, STR("threds")), "threads");
    assert_string_equal(conf_nearest(fields, STR("theard")), "thread");
    assert_string_equal(conf_nearest(fields, STR("headsize")), "head_size");
    assert_null(conf_nearest(fields, STR("colour")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(ratios_have_six_places),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(what_is_formatted_reads_back),
        cmocka_unit_test(typing_errors_are_counted),
        cmocka_unit_test(the_nearest_name_is_offered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
