/* test_window.c - where windows begin and end. */
#include "traffic/fixture.h"

#include <time.h>

static uint64_t at(const char *text)
{
    struct tm tm = { 0 };
    const char *end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);

    must(end && !*end);
    return (uint64_t)timegm(&tm);
}

static void is(enum window_unit unit, uint32_t n, const char *now,
               const char *start, const char *end)
{
    struct window_span s = window_at((struct window) { unit, n }, at(now));

    if (s.start_s != at(start) || s.end_s != at(end))
        fail_msg("%s: [%llu, %llu), not [%s, %s)", now,
                 (unsigned long long)s.start_s, (unsigned long long)s.end_s,
                 start, end);
}

static void fixed_lengths_begin_on_their_multiples(void **state)
{
    (void)state;
    is(WINDOW_SECOND, 1, "2025-11-27 12:00:00", "2025-11-27 12:00:00",
       "2025-11-27 12:00:01");
    is(WINDOW_SECOND, 10, "2025-11-27 12:00:59", "2025-11-27 12:00:50",
       "2025-11-27 12:01:00");
    is(WINDOW_MINUTE, 1, "2025-11-27 12:00:59", "2025-11-27 12:00:00",
       "2025-11-27 12:01:00");
    is(WINDOW_MINUTE, 15, "2025-11-27 12:44:59", "2025-11-27 12:30:00",
       "2025-11-27 12:45:00");
    is(WINDOW_HOUR, 1, "2025-12-31 23:59:59", "2025-12-31 23:00:00",
       "2026-01-01 00:00:00");
    is(WINDOW_HOUR, 6, "2025-11-27 12:00:00", "2025-11-27 12:00:00",
       "2025-11-27 18:00:00");
}

static void the_end_belongs_to_the_next_window(void **state)
{
    (void)state;
    is(WINDOW_MINUTE, 1, "2025-11-27 12:01:00", "2025-11-27 12:01:00",
       "2025-11-27 12:02:00");
    is(WINDOW_DAY, 1, "2025-11-27 00:00:00", "2025-11-27 00:00:00",
       "2025-11-28 00:00:00");
    is(WINDOW_MONTH, 1, "2025-12-01 00:00:00", "2025-12-01 00:00:00",
       "2026-01-01 00:00:00");
}

static void days_begin_at_midnight_utc(void **state)
{
    (void)state;
    is(WINDOW_DAY, 1, "2025-11-27 23:59:59", "2025-11-27 00:00:00",
       "2025-11-28 00:00:00");
    is(WINDOW_DAY, 2, "1970-01-02 23:59:59", "1970-01-01 00:00:00",
       "1970-01-03 00:00:00");
}

static void weeks_begin_on_monday(void **state)
{
    (void)state;
    is(WINDOW_WEEK, 1, "2025-11-27 12:00:00", "2025-11-24 00:00:00",
       "2025-12-01 00:00:00");
    is(WINDOW_WEEK, 1, "2025-11-30 23:59:59", "2025-11-24 00:00:00",
       "2025-12-01 00:00:00");
    is(WINDOW_WEEK, 1, "2025-12-01 00:00:00", "2025-12-01 00:00:00",
       "2025-12-08 00:00:00");
    /* The first week of an ISO year may begin in the old one. */
    is(WINDOW_WEEK, 1, "2026-01-01 00:00:00", "2025-12-29 00:00:00",
       "2026-01-05 00:00:00");
    /* The clock begins on a Thursday. */
    is(WINDOW_WEEK, 1, "1970-01-04 23:59:59", "1970-01-01 00:00:00",
       "1970-01-05 00:00:00");
    is(WINDOW_WEEK, 1, "1970-01-05 00:00:00", "1970-01-05 00:00:00",
       "1970-01-12 00:00:00");
}

static void months_have_their_own_lengths(void **state)
{
    (void)state;
    is(WINDOW_MONTH, 1, "2025-11-30 23:59:59", "2025-11-01 00:00:00",
       "2025-12-01 00:00:00");
    is(WINDOW_MONTH, 1, "2025-12-31 23:59:59", "2025-12-01 00:00:00",
       "2026-01-01 00:00:00");
    is(WINDOW_MONTH, 1, "2025-02-28 23:59:59", "2025-02-01 00:00:00",
       "2025-03-01 00:00:00");
    is(WINDOW_MONTH, 1, "2024-02-29 12:00:00", "2024-02-01 00:00:00",
       "2024-03-01 00:00:00");
    is(WINDOW_MONTH, 1, "2100-02-28 12:00:00", "2100-02-01 00:00:00",
       "2100-03-01 00:00:00");
    is(WINDOW_MONTH, 1, "2000-02-29 12:00:00", "2000-02-01 00:00:00",
       "2000-03-01 00:00:00");
    is(WINDOW_MONTH, 1, "1970-01-01 00:00:00", "1970-01-01 00:00:00",
       "1970-02-01 00:00:00");
}

static void months_are_grouped_as_the_calendar_does(void **state)
{
    (void)state;
    is(WINDOW_MONTH, 3, "2025-11-27 12:00:00", "2025-10-01 00:00:00",
       "2026-01-01 00:00:00");
    is(WINDOW_MONTH, 6, "2026-01-01 00:00:00", "2026-01-01 00:00:00",
       "2026-07-01 00:00:00");
    is(WINDOW_MONTH, 12, "2025-11-27 12:00:00", "2025-01-01 00:00:00",
       "2026-01-01 00:00:00");
}

static void years_begin_in_january(void **state)
{
    (void)state;
    is(WINDOW_YEAR, 1, "2024-12-31 23:59:59", "2024-01-01 00:00:00",
       "2025-01-01 00:00:00");
    is(WINDOW_YEAR, 1, "2025-01-01 00:00:00", "2025-01-01 00:00:00",
       "2026-01-01 00:00:00");
    is(WINDOW_YEAR, 10, "2025-01-01 00:00:00", "2020-01-01 00:00:00",
       "2030-01-01 00:00:00");
}

/* Against the C library, day by day through four centuries. */
static void every_day_lies_in_the_month_the_calendar_says(void **state)
{
    (void)state;
    for (uint64_t day = 0; day < 146097; day++) {
        struct window_span s =
            window_at((struct window) { WINDOW_MONTH, 1 }, day * 86400 + 86399);
        time_t now = (time_t)(day * 86400);
        struct tm tm;

        gmtime_r(&now, &tm);
        assert_int_equal(s.start_s, (day - (uint64_t)tm.tm_mday + 1) * 86400);
        tm = (struct tm) { .tm_year = tm.tm_year,
                           .tm_mon = tm.tm_mon + 1,
                           .tm_mday = 1 };
        assert_int_equal(s.end_s, timegm(&tm));
    }
}

static void windows_follow_each_other_without_gap(void **state)
{
    (void)state;
    for (int unit = WINDOW_SECOND; unit <= WINDOW_YEAR; unit++) {
        for (uint32_t n = 1; n <= 4; n++) {
            struct window w = { (enum window_unit)unit, n };
            struct window_span s = window_at(w, 1700000000);

            for (int i = 0; i < 200; i++) {
                struct window_span next = window_at(w, s.end_s);

                assert_int_equal(next.start_s, s.end_s);
                assert_true(next.end_s - next.start_s <= window_length_s(w));
                assert_int_equal(window_at(w, next.end_s - 1).start_s,
                                 next.start_s);
                s = next;
            }
        }
    }
}

static void parses(const char *text, enum window_unit unit, uint32_t n)
{
    struct window w;

    assert_int_equal(window_parse(str_z(text), &w), ERR_OK);
    assert_int_equal(w.unit, unit);
    assert_int_equal(w.n, n);
}

static void windows_are_read_as_people_write_them(void **state)
{
    char text[WINDOW_FORMAT_BYTES];
    struct window w;
    (void)state;

    parses("1m", WINDOW_MINUTE, 1);
    parses("30s", WINDOW_SECOND, 30);
    parses("12h", WINDOW_HOUR, 12);
    parses("1d", WINDOW_DAY, 1);
    parses("2w", WINDOW_WEEK, 2);
    parses("3month", WINDOW_MONTH, 3);
    parses("3 months", WINDOW_MONTH, 3);
    parses("1y", WINDOW_YEAR, 1);
    parses("min", WINDOW_MINUTE, 1);
    parses("Hours", WINDOW_HOUR, 1);
    parses("10y", WINDOW_YEAR, 10);
    assert_int_equal(window_parse(STR("11y"), &w), ERR_LIMIT);
    assert_int_equal(window_parse(STR("0s"), &w), ERR_LIMIT);
    assert_int_equal(window_parse(STR("1"), &w), ERR_INVALID);
    assert_int_equal(window_parse(STR(""), &w), ERR_INVALID);
    assert_int_equal(window_parse(STR("1fortnight"), &w), ERR_INVALID);
    assert_int_equal(window_parse(STR("-1m"), &w), ERR_INVALID);
    assert_string_equal(
        window_format((struct window) { WINDOW_MONTH, 3 }, text), "3month");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_lengths_begin_on_their_multiples),
        cmocka_unit_test(the_end_belongs_to_the_next_window),
        cmocka_unit_test(days_begin_at_midnight_utc),
        cmocka_unit_test(weeks_begin_on_monday),
        cmocka_unit_test(months_have_their_own_lengths),
        cmocka_unit_test(months_are_grouped_as_the_calendar_does),
        cmocka_unit_test(years_begin_in_january),
        cmocka_unit_test(every_day_lies_in_the_month_the_calendar_says),
        cmocka_unit_test(windows_follow_each_other_without_gap),
        cmocka_unit_test(windows_are_read_as_people_write_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
