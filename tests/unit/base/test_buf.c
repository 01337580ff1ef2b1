/* test_buf.c - growing bytes with a ceiling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"

static void it_grows_to_its_ceiling_and_no_further(void **state)
{
    struct buf b;
    (void)state;

    buf_init(&b, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_char(&b, (char)('a' + i % 26)), ERR_OK);
    assert_int_equal(buf_char(&b, 'x'), ERR_LIMIT);
    assert_int_equal(b.len, 1000);
    assert_true(b.cap <= 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(b.p[i], 'a' + i % 26);
    buf_done(&b);
}

static void what_does_not_fit_leaves_it_as_it_was(void **state)
{
    struct buf b;
    (void)state;

    buf_init(&b, 5);
    assert_int_equal(buf_z(&b, "abc"), ERR_OK);
    assert_int_equal(buf_z(&b, "def"), ERR_LIMIT);
    assert_int_equal(buf_printf(&b, "%d", 123), ERR_LIMIT);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_LIMIT);
    assert_true(str_is(buf_view(&b), "abc"));
    assert_int_equal(buf_str(&b, STR("de")), ERR_OK);
    assert_true(str_is(buf_view(&b), "abcde"));
    buf_done(&b);
}

static void formatted_text_may_fill_it_exactly(void **state)
{
    struct buf b;
    (void)state;

    buf_init(&b, 300);
    assert_int_equal(buf_printf(&b, "%0300d", 7), ERR_OK);
    assert_int_equal(b.len, 300);
    assert_int_equal(b.p[299], '7');
    assert_int_equal(buf_printf(&b, "%s", ""), ERR_OK);
    assert_int_equal(buf_printf(&b, "x"), ERR_LIMIT);
    buf_done(&b);
}

static void reserved_room_can_be_written_to(void **state)
{
    struct buf b;
    (void)state;

    buf_init(&b, 4096);
    assert_int_equal(buf_reserve(&b, 4096), ERR_OK);
    assert_int_equal(b.len, 0);
    memset(b.p, 'x', 4096);
    b.len = 4096;
    assert_int_equal(buf_reserve(&b, 1), ERR_LIMIT);
    buf_done(&b);
}

static void dropping_takes_from_the_front(void **state)
{
    struct buf b;
    (void)state;

    buf_init(&b, 100);
    buf_z(&b, "hello world");
    buf_drop(&b, 0);
    buf_drop(&b, 6);
    assert_true(str_is(buf_view(&b), "world"));
    buf_drop(&b, 5);
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

static void it_is_usable_after_done(void **state)
{
    struct buf b;
    (void)state;

    buf_init(&b, 3);
    buf_z(&b, "abc");
    buf_done(&b);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_z(&b, "def"), ERR_OK);
    assert_int_equal(buf_z(&b, "g"), ERR_LIMIT);
    buf_done(&b);
}

static void nothing_fits_into_a_buffer_of_nothing(void **state)
{
    struct buf b;
    (void)state;

    buf_init(&b, 0);
    assert_int_equal(buf_add(&b, NULL, 0), ERR_OK);
    assert_int_equal(buf_printf(&b, "%s", ""), ERR_OK);
    assert_int_equal(buf_char(&b, 'x'), ERR_LIMIT);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_to_its_ceiling_and_no_further),
        cmocka_unit_test(what_does_not_fit_leaves_it_as_it_was),
        cmocka_unit_test(formatted_text_may_fill_it_exactly),
        cmocka_unit_test(reserved_room_can_be_written_to),
        cmocka_unit_test(dropping_takes_from_the_front),
        cmocka_unit_test(it_is_usable_after_done),
        cmocka_unit_test(nothing_fits_into_a_buffer_of_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
