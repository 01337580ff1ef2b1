/* test_clock.c - written forms of time, and randomness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "base/clock.h"

static void assert_times(uint64_t us, const char *iso, const char *http)
{
    char out[30];

    clock_iso8601(us, out);
    assert_string_equal(out, iso);
    clock_http_date(us, out);
    assert_string_equal(out, http);
}

static void known_moments_are_written_as_known(void **state)
{
    (void)state;

    assert_times(0, "1970-01-01T00:00:00.000Z",
                 "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_times(1795248000123999, "2026-11-21T08:00:00.123Z",
                 "Sat, 21 Nov 2026 08:00:00 GMT");
    assert_times(784111777000000, "1994-11-06T08:49:37.000Z",
                 "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_times(951782399999999, "2000-02-28T23:59:59.999Z",
                 "Mon, 28 Feb 2000 23:59:59 GMT");
    assert_times(951868799000000, "2000-02-29T23:59:59.000Z",
                 "Tue, 29 Feb 2000 23:59:59 GMT");
}

static void every_day_agrees_with_the_library(void **state)
{
    (void)state;

    for (uint64_t day = 0; day < 150000; day++) {
        time_t t = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        char expected[64], out[30];

        gmtime_r(&t, &tm);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        clock_iso8601((uint64_t)t * 1000000, out);
        assert_string_equal(out, expected);
        strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        clock_http_date((uint64_t)t * 1000000, out);
        assert_string_equal(out, expected);
    }
}

static void the_far_future_is_the_end_of_9999(void **state)
{
    (void)state;

    assert_times(UINT64_MAX, "9999-12-31T23:59:59.999Z",
                 "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void clocks_go_forward(void **state)
{
    uint64_t before = clock_mono_us();
    (void)state;

    assert_true(clock_mono_us() >= before);
    assert_true(clock_wall_us() > 1700000000000000);
}

static void random_bytes_differ(void **state)
{
    unsigned char a[32] = { 0 }, b[32] = { 0 };
    (void)state;

    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    random_bytes(b, 0);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void choices_are_even(void **state)
{
    struct rng r = { 42 };
    unsigned seen[7] = { 0 };
    (void)state;

    for (int i = 0; i < 70000; i++) {
        uint32_t n = rng_below(&r, 7);

        assert_true(n < 7);
        seen[n]++;
    }
    for (size_t i = 0; i < 7; i++)
        assert_in_range(seen[i], 9500, 10500);
    assert_int_equal(rng_below(&r, 1), 0);
    assert_true(rng_below(&r, UINT32_MAX) < UINT32_MAX);
}

static void a_seed_gives_its_own_numbers(void **state)
{
    struct rng a, b;
    (void)state;

    rng_seed(&a);
    rng_seed(&b);
    assert_true(rng_next(&a) != rng_next(&b));
    b = a;
    assert_true(rng_next(&a) == rng_next(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_moments_are_written_as_known),
        cmocka_unit_test(every_day_agrees_with_the_library),
        cmocka_unit_test(the_far_future_is_the_end_of_9999),
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(choices_are_even),
        cmocka_unit_test(a_seed_gives_its_own_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
