/* test_str.c - text, UTF-8 and the names of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "base/utf8.h"

static void a_cut_visits_every_part(void **state)
{
    struct str rest = STR("a,,b");
    (void)state;

    assert_true(str_is(str_cut(&rest, ','), "a"));
    assert_true(str_is(str_cut(&rest, ','), ""));
    assert_non_null(rest.p);
    assert_true(str_is(str_cut(&rest, ','), "b"));
    assert_null(rest.p);
}

static void a_trailing_separator_leaves_an_empty_part(void **state)
{
    struct str rest = STR("a,");
    (void)state;

    str_cut(&rest, ',');
    assert_non_null(rest.p);
    assert_int_equal(str_cut(&rest, ',').len, 0);
    assert_null(rest.p);
}

static void finding_nothing_gives_the_length(void **state)
{
    (void)state;

    assert_int_equal(str_find(STR("a.b.c"), '.'), 1);
    assert_int_equal(str_rfind(STR("a.b.c"), '.'), 3);
    assert_int_equal(str_find(STR("abc"), '.'), 3);
    assert_int_equal(str_rfind(STR("abc"), '.'), 3);
    assert_int_equal(str_find(STR_NULL, '.'), 0);
    assert_int_equal(str_rfind(STR_NULL, '.'), 0);
}

static void trimming_takes_spaces_and_tabs_only(void **state)
{
    (void)state;

    assert_true(str_is(str_trim(STR(" \t a b\t ")), "a b"));
    assert_true(str_is(str_trim(STR("\na")), "\na"));
    assert_int_equal(str_trim(STR(" \t ")).len, 0);
    assert_int_equal(str_trim(STR_NULL).len, 0);
}

static void case_is_folded_in_ascii_only(void **state)
{
    (void)state;

    assert_true(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
    assert_false(str_eq_nocase(STR("a"), STR("ab")));
    assert_false(str_eq_nocase(STR("@"), STR("`")));
    assert_false(str_eq_nocase(STR("\xc4"), STR("\xe4")));
    assert_true(str_eq_nocase(STR_NULL, STR("")));
}

static void a_prefix_is_less_than_the_whole(void **state)
{
    (void)state;

    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("b"), STR("ab")) > 0);
    assert_int_equal(str_cmp(STR("ab"), STR("ab")), 0);
    assert_int_equal(str_cmp(STR_NULL, STR("")), 0);
    assert_true(str_cmp(STR("\x7f"), STR("\x80")) < 0);
}

static void numbers_are_digits_and_nothing_else(void **state)
{
    static const char *const wrong[] = {
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1.0",
        "0x1",
        "1e3",
        "/",
        ":",
        "99999999999999999999999x",
    };
    uint64_t n = 7;
    (void)state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_int_equal(str_to_u64(str_z(wrong[i]), UINT64_MAX, &n),
                         ERR_INVALID);
    assert_int_equal(n, 7);
    assert_int_equal(str_to_u64(STR("0042"), 42, &n), ERR_OK);
    assert_int_equal(n, 42);
}

static void numbers_stop_at_their_ceiling(void **state)
{
    uint64_t n = 7;
    (void)state;

    assert_int_equal(str_to_u64(STR("43"), 42, &n), ERR_LIMIT);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &n),
                     ERR_LIMIT);
    assert_int_equal(n, 7);
    assert_int_equal(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &n),
                     ERR_OK);
    assert_true(n == UINT64_MAX);
}

static void well_formed_utf8_is_read_whole(void **state)
{
    uint32_t c = 0;
    (void)state;

    assert_int_equal(utf8_next(STR("a"), &c), 1);
    assert_int_equal(utf8_next(STR("\xc3\xa4"), &c), 2);
    assert_int_equal(c, 0xe4);
    assert_int_equal(utf8_next(STR("\xe2\x82\xac"), &c), 3);
    assert_int_equal(c, 0x20ac);
    assert_int_equal(utf8_next(STR("\xf4\x8f\xbf\xbf"), &c), 4);
    assert_int_equal(c, 0x10ffff);
    assert_true(utf8_valid(STR("gr\xc3\xbc\xc3\x9f")));
}

static void ill_formed_utf8_is_noticed(void **state)
{
    static const char *const wrong[] = {
        "\x80",
        "\xc3",
        "\xc3(",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xe2\x82",
    };
    uint32_t c;
    (void)state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_int_equal(utf8_next(str_z(wrong[i]), &c), 0);
        assert_false(utf8_valid(str_z(wrong[i])));
    }
    assert_int_equal(utf8_next(STR_NULL, &c), 0);
}

static void every_error_has_a_name(void **state)
{
    (void)state;

    for (enum err e = ERR_OK; e <= ERR_UNSUPPORTED; e++)
        assert_string_not_equal(err_name(e), "unknown");
    assert_string_equal(err_name((enum err)99), "unknown");
}

static bool matches(const char *pattern, const char *s)
{
    return str_matches(str_z(pattern), str_z(s));
}

static void a_star_stands_for_anything(void **state)
{
    (void)state;
    assert_true(matches("", ""));
    assert_false(matches("", "a"));
    assert_true(matches("*", ""));
    assert_true(matches("*", "abc"));
    assert_true(matches("**", "abc"));
    assert_true(matches("abc", "abc"));
    assert_false(matches("abc", "abcd"));
    assert_false(matches("abc", "ABC"));
    assert_true(matches("a*", "a"));
    assert_true(matches("a*", "abc"));
    assert_false(matches("a*", "ba"));
    assert_true(matches("*c", "abc"));
    assert_false(matches("*c", "abcd"));
    assert_true(matches("a*c", "ac"));
    assert_true(matches("a*c", "abcbc"));
    assert_false(matches("a*a", "a"));
    assert_true(matches("*b*", "abc"));
    assert_false(matches("*x*", "abc"));
    assert_true(matches("a*b*a", "aba"));
    assert_false(matches("a*b*ab", "aab"));
    assert_true(matches("*ab*ab", "abab"));
    assert_false(matches("*ab*ab", "ab"));
    assert_true(str_matches(STR("*"), STR_NULL));
    assert_false(str_matches(STR("*a*b"), STR_NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_visits_every_part),
        cmocka_unit_test(a_trailing_separator_leaves_an_empty_part),
        cmocka_unit_test(finding_nothing_gives_the_length),
        cmocka_unit_test(trimming_takes_spaces_and_tabs_only),
        cmocka_unit_test(case_is_folded_in_ascii_only),
        cmocka_unit_test(a_prefix_is_less_than_the_whole),
        cmocka_unit_test(numbers_are_digits_and_nothing_else),
        cmocka_unit_test(numbers_stop_at_their_ceiling),
        cmocka_unit_test(well_formed_utf8_is_read_whole),
        cmocka_unit_test(ill_formed_utf8_is_noticed),
        cmocka_unit_test(every_error_has_a_name),
        cmocka_unit_test(a_star_stands_for_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
