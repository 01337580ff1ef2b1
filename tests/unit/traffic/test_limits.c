/* test_limits.c - what one call takes, is refused and gives back. */
#include "traffic/fixture.h"

static struct counters *table(void **state)
{
    return ((struct table *)*state)->c;
}

static void a_window_admits_its_limit_and_starts_anew(void **state)
{
    struct counters *c = table(state);
    struct take t = per_minute(c, "a", 2);

    assert_true(take_one(c, &t, NOON_US));
    assert_true(take_one(c, &t, NOON_US + 59 * SECOND_US));
    assert_false(take_one(c, &t, NOON_US + 60 * SECOND_US - 1));
    assert_true(take_one(c, &t, NOON_US + 60 * SECOND_US));
    assert_int_equal(used_of(c, t, NOON_US + 60 * SECOND_US), 1);
}

static void a_result_says_what_is_left_and_until_when(void **state)
{
    struct counters *c = table(state);
    struct take t[2] = { per_minute(c, "a", 2),
                         per(c, "b", 9, WINDOW_HOUR, 1) };
    struct limits_result r;

    assert_true(limits_take(c, t, 2, NOON_US + SECOND_US, &r));
    assert_int_equal(r.refusal, LIMITS_ADMITTED);
    assert_int_equal(r.count, 2);
    assert_int_equal(r.states[0].limit, 2);
    assert_int_equal(r.states[0].remaining, 1);
    assert_int_equal(r.states[0].reset_us, NOON_US + 60 * SECOND_US);
    assert_int_equal(r.states[1].remaining, 8);
    assert_int_equal(r.states[1].reset_us, NOON_US + 3600 * SECOND_US);
    assert_int_equal(r.states[1].retry_us, 0);
    assert_true(limits_take(c, t, 2, NOON_US + SECOND_US, &r));
    assert_false(limits_take(c, t, 2, NOON_US + SECOND_US, &r));
    assert_int_equal(r.refusal, LIMITS_EXCEEDED);
    assert_int_equal(r.refused, 0);
    assert_int_equal(r.states[0].remaining, 0);
    assert_int_equal(r.states[0].retry_us, NOON_US + 60 * SECOND_US);
    assert_int_equal(r.states[1].remaining, 7);
}

static void a_refused_call_consumes_nothing(void **state)
{
    struct counters *c = table(state);
    struct take t[3] = { per_minute(c, "a", 10), per_minute(c, "b", 1),
                         per_minute(c, "c", 10) };
    struct limits_result r;

    assert_true(limits_take(c, t, 3, NOON_US, &r));
    for (int i = 0; i < 5; i++) {
        assert_false(limits_take(c, t, 3, NOON_US, &r));
        assert_int_equal(r.refused, 1);
    }
    assert_int_equal(used_of(c, t[0], NOON_US), 1);
    assert_int_equal(used_of(c, t[1], NOON_US), 1);
    assert_int_equal(used_of(c, t[2], NOON_US), 1);
}

static void a_clock_set_back_reopens_no_window(void **state)
{
    struct counters *c = table(state);
    struct take t = per_minute(c, "a", 2);
    const uint64_t next = NOON_US + 60 * SECOND_US;
    struct limits_result r;

    assert_true(take_one(c, &t, NOON_US));
    assert_true(take_one(c, &t, next));
    /* Back in the first minute: counts into the second. */
    assert_true(limits_take(c, &t, 1, NOON_US, &r));
    assert_int_equal(r.states[0].remaining, 0);
    assert_int_equal(r.states[0].reset_us, next + 60 * SECOND_US);
    assert_false(take_one(c, &t, NOON_US));
    assert_false(take_one(c, &t, next));
    assert_true(take_one(c, &t, next + 60 * SECOND_US));
}

static void a_clock_set_forward_begins_the_window_it_shows(void **state)
{
    struct counters *c = table(state);
    struct take t = per(c, "a", 1, WINDOW_MONTH, 1);

    assert_true(take_one(c, &t, NOON_US));
    assert_true(take_one(c, &t, NOON_US + 40ull * 86400 * SECOND_US));
    assert_false(take_one(c, &t, NOON_US + 41ull * 86400 * SECOND_US));
    assert_false(take_one(c, &t, NOON_US));
}

static void windows_of_another_length_are_other_counters(void **state)
{
    struct counters *c = table(state);
    struct take minute = per_minute(c, "a", 1);
    struct take hour = per(c, "a", 1, WINDOW_HOUR, 1);
    struct take two = per(c, "a", 1, WINDOW_HOUR, 2);

    assert_true(take_one(c, &minute, NOON_US));
    assert_true(take_one(c, &hour, NOON_US));
    assert_true(take_one(c, &two, NOON_US));
    assert_false(take_one(c, &hour, NOON_US));
}

static void another_limit_of_the_same_counter_goes_on_counting(void **state)
{
    struct counters *c = table(state);
    struct take t = per_minute(c, "a", 1);

    assert_true(take_one(c, &t, NOON_US));
    assert_false(take_one(c, &t, NOON_US));
    t.limit = 2; /* a plan was changed */
    assert_true(take_one(c, &t, NOON_US));
    t.limit = 1;
    assert_false(take_one(c, &t, NOON_US));
}

static void one_counter_twice_in_a_call_counts_twice(void **state)
{
    struct counters *c = table(state);
    struct take t[2] = { per_minute(c, "a", 3), per_minute(c, "a", 3) };
    struct limits_result r;

    assert_true(limits_take(c, t, 2, NOON_US, &r));
    assert_int_equal(used_of(c, t[0], NOON_US), 2);
    assert_false(limits_take(c, t, 2, NOON_US, &r));
    assert_int_equal(used_of(c, t[0], NOON_US), 2);
    assert_true(take_one(c, t, NOON_US));
}

static void what_only_marks_lets_pass_and_counts_on(void **state)
{
    struct counters *c = table(state);
    struct take t[2] = { per_minute(c, "a", 1), per_minute(c, "b", 5) };
    struct limits_result r;

    t[0].mark_only = true;
    assert_true(limits_take(c, t, 2, NOON_US, &r));
    assert_false(r.marked);
    assert_true(limits_take(c, t, 2, NOON_US, &r));
    assert_true(r.marked);
    assert_true(r.states[0].exceeded);
    assert_int_equal(r.states[1].remaining, 3);
    t[0].limit = 10;
    assert_int_equal(used_of(c, t[0], NOON_US), 2);
}

static void a_limit_of_nothing_refuses_all(void **state)
{
    struct counters *c = table(state);
    struct take t = per_minute(c, "a", 0);
    struct limits_result r;

    assert_false(limits_take(c, &t, 1, NOON_US, &r));
    assert_int_equal(r.states[0].retry_us, 0);
}

static void no_limit_at_all_admits(void **state)
{
    struct limits_result r;

    assert_true(limits_take(table(state), NULL, 0, NOON_US, &r));
    assert_int_equal(r.count, 0);
}

static void sixteen_limits_are_taken_together(void **state)
{
    struct counters *c = table(state);
    struct take t[LIMITS_MAX];
    struct limits_result r;

    for (int i = 0; i < LIMITS_MAX; i++) {
        char name[16];

        snprintf(name, sizeof(name), "n%d", i);
        t[i] = per_minute(c, name, i == 15 ? 1 : 100);
    }
    assert_true(limits_take(c, t, LIMITS_MAX, NOON_US, &r));
    assert_false(limits_take(c, t, LIMITS_MAX, NOON_US, &r));
    assert_int_equal(r.refused, 15);
    for (int i = 0; i < LIMITS_MAX; i++)
        assert_int_equal(used_of(c, t[i], NOON_US), 1);
}

static void amounts_of_a_terabyte_fit_a_second_and_a_year(void **state)
{
    struct counters *c = table(state);
    const enum window_unit units[] = { WINDOW_SECOND, WINDOW_YEAR };

    for (int i = 0; i < 2; i++) {
        struct take t = per(c, "big", 1ull << 40, units[i], 1);

        t.cost = (1ull << 40) - 1;
        assert_true(take_one(c, &t, NOON_US));
        t.cost = 2;
        assert_false(take_one(c, &t, NOON_US));
        t.cost = 1;
        assert_true(take_one(c, &t, NOON_US));
        assert_false(take_one(c, &t, NOON_US));
    }
}

/* ---- bytes ---- */

static void bytes_are_checked_before_and_debited_while_they_flow(void **state)
{
    struct counters *c = table(state);
    struct take t[2] = { per_minute(c, "bytes", 1000), per_minute(c, "n", 9) };
    struct limits_result r;

    t[0].cost = 0;
    assert_true(limits_take(c, t, 2, NOON_US, &r));
    assert_int_equal(r.states[0].remaining, 1000);
    assert_true(limits_debit(c, t, 2, 600, NOON_US));
    assert_true(limits_take(c, t, 2, NOON_US, &r));
    assert_int_equal(r.states[0].remaining, 400);
    /* The last one may go over; nothing is cut off. */
    assert_false(limits_debit(c, t, 2, 600, NOON_US));
    assert_false(limits_take(c, t, 2, NOON_US, &r));
    assert_int_equal(r.refused, 0);
    assert_int_equal(used_of(c, t[1], NOON_US), 2);
    assert_true(limits_take(c, t, 2, NOON_US + 60 * SECOND_US, &r));
}

static void debits_end_at_the_largest_number_and_do_not_wrap(void **state)
{
    struct counters *c = table(state);
    struct take t = per(c, "bytes", LIMITS_MOST, WINDOW_YEAR, 1);

    t.cost = 0;
    for (int i = 0; i < 5; i++)
        limits_debit(c, &t, 1, 1ull << 42, NOON_US);
    assert_false(take_one(c, &t, NOON_US));
}

/* ---- rates ---- */

static struct take rate(const struct counters *c, uint64_t interval_us,
                        uint64_t burst)
{
    return (struct take) { .key = key_named(c, "rate"),
                           .kind = TAKE_RATE,
                           .interval_us = interval_us,
                           .limit = burst,
                           .cost = 1 };
}

static void a_rate_admits_its_burst_then_one_each_interval(void **state)
{
    struct counters *c = table(state);
    struct take t = rate(c, 100000, 3);
    struct limits_result r;

    for (uint64_t i = 0; i < 3; i++) {
        assert_true(limits_take(c, &t, 1, NOON_US, &r));
        assert_int_equal(r.states[0].remaining, 2 - i);
        assert_int_equal(r.states[0].reset_us, NOON_US + (i + 1) * 100000);
    }
    assert_false(limits_take(c, &t, 1, NOON_US, &r));
    assert_int_equal(r.states[0].retry_us, NOON_US + 100000);
    assert_false(take_one(c, &t, NOON_US + 99999));
    assert_true(take_one(c, &t, NOON_US + 100000));
    assert_false(take_one(c, &t, NOON_US + 100001));
    /* All is back after three intervals without a call, and no more. */
    for (int i = 0; i < 3; i++)
        assert_true(take_one(c, &t, NOON_US + 10 * SECOND_US));
    assert_false(take_one(c, &t, NOON_US + 10 * SECOND_US));
}

static void a_slow_rate_keeps_its_microseconds_for_days(void **state)
{
    struct counters *c = table(state);
    const uint64_t day = 86400 * SECOND_US;
    struct take t = rate(c, day, 20);

    for (int i = 0; i < 20; i++)
        assert_true(take_one(c, &t, NOON_US));
    for (uint64_t d = 1; d < 200; d++) {
        assert_false(take_one(c, &t, NOON_US + d * day - 1));
        assert_true(take_one(c, &t, NOON_US + d * day));
    }
}

static void a_clock_set_back_refills_no_rate(void **state)
{
    struct counters *c = table(state);
    struct take t = rate(c, 100000, 1);

    assert_true(take_one(c, &t, NOON_US));
    assert_false(take_one(c, &t, NOON_US - 3600 * SECOND_US));
    assert_true(take_one(c, &t, NOON_US + 100000));
}

/* ---- at once ---- */

static void calls_at_once_come_back_when_they_end(void **state)
{
    struct counters *c = table(state);
    struct take t[2] = { { .key = key_named(c, "a"),
                           .kind = TAKE_AT_ONCE,
                           .limit = 2,
                           .cost = 1 },
                         per_minute(c, "n", 100) };
    struct limits_result r;
    uint32_t held;

    assert_true(limits_take(c, t, 2, NOON_US, &r));
    held = r.held;
    assert_int_equal(held, 1);
    assert_true(limits_take(c, t, 2, NOON_US, &r));
    assert_int_equal(r.states[0].remaining, 0);
    assert_false(limits_take(c, t, 2, NOON_US, &r));
    assert_int_equal(r.held, 0);
    limits_give(c, t, held, NOON_US);
    assert_true(limits_take(c, t, 2, NOON_US, &r));
    assert_int_equal(used_of(c, t[1], NOON_US), 3);
}

static void what_another_process_has_at_once_counts(void **state)
{
    struct table *t = *state;
    struct counters_conf conf = table_conf(t);
    struct take k = {
        .key = key_named(t->c, "a"), .kind = TAKE_AT_ONCE, .limit = 3, .cost = 1
    };
    struct counters_opened opened;
    struct counters *successor;

    assert_true(take_one(t->c, &k, NOON_US));
    assert_true(take_one(t->c, &k, NOON_US));
    must(!counters_open(&conf, NOON_US, &successor, &opened));
    assert_true(take_one(successor, &k, NOON_US));
    assert_false(take_one(successor, &k, NOON_US));
    assert_false(take_one(t->c, &k, NOON_US));
    limits_give(t->c, &k, 1, NOON_US);
    assert_true(take_one(successor, &k, NOON_US));
    /* The old one goes with one call left: it is not waited for. */
    counters_close(t->c);
    t->c = successor;
    assert_true(take_one(successor, &k, NOON_US));
    assert_false(take_one(successor, &k, NOON_US));
}

/* ---- a full table ---- */

static void fill(struct counters *c)
{
    for (unsigned i = 0; i < 20000; i++) {
        char name[16];
        struct take t;

        snprintf(name, sizeof(name), "fill%u", i);
        t = per_minute(c, name, 1);
        take_one(c, &t, NOON_US);
    }
}

static struct counters *sized(struct table *t, uint64_t slots,
                              enum counters_full full)
{
    struct counters_conf conf = table_conf(t);

    counters_close(t->c);
    unlink(t->path);
    conf.slots = slots;
    conf.full = full;
    must(!counters_open(&conf, NOON_US, &t->c, &t->opened));
    return t->c;
}

static void how_many_are_live_is_counted_or_estimated(void **state)
{
    struct counters *c = sized(*state, 1024, COUNTERS_PASS);
    struct counters_stats s;

    fill(c);
    counters_stats(c, NOON_US, &s);
    assert_int_equal(s.live, s.slots);
    c = sized(*state, 1 << 20, COUNTERS_PASS);
    counters_stats(c, NOON_US, &s);
    assert_int_equal(s.live, 0);
    fill(c);
    counters_stats(c, NOON_US, &s);
    assert_in_range(s.live, 18000, 22000);
}

static void a_full_table_refuses_new_counters_and_keeps_the_old(void **state)
{
    struct counters *c = sized(*state, 1024, COUNTERS_REFUSE);
    struct take known = per_minute(c, "known", 2), fresh;
    struct take both[2];
    struct limits_result r;
    struct counters_stats before, after;

    assert_true(take_one(c, &known, NOON_US));
    fill(c);
    fresh = per_minute(c, "fresh", 2);
    both[0] = known;
    both[1] = fresh;
    counters_stats(c, NOON_US, &before);
    assert_false(limits_take(c, both, 2, NOON_US, &r));
    assert_int_equal(r.refusal, LIMITS_FULL);
    assert_int_equal(r.refused, 1);
    counters_stats(c, NOON_US, &after);
    assert_int_equal(after.full_refused, before.full_refused + 1);
    assert_true(take_one(c, &known, NOON_US));
    assert_false(take_one(c, &known, NOON_US));
    /* A minute later every place is free again. */
    assert_true(take_one(c, &fresh, NOON_US + 60 * SECOND_US));
}

static void a_full_table_may_let_pass_what_it_cannot_count(void **state)
{
    struct counters *c = sized(*state, 1024, COUNTERS_PASS);
    struct take known = per_minute(c, "known", 2), both[2];
    struct limits_result r;
    struct counters_stats s;

    assert_true(take_one(c, &known, NOON_US));
    fill(c);
    both[0] = per_minute(c, "fresh", 1);
    both[1] = known;
    assert_true(limits_take(c, both, 2, NOON_US, &r));
    assert_true(r.states[0].uncounted);
    assert_int_equal(r.states[1].remaining, 0);
    assert_false(limits_take(c, both, 2, NOON_US, &r));
    assert_int_equal(r.refused, 1);
    counters_stats(c, NOON_US, &s);
    assert_true(s.full_passed > 0);
    assert_int_equal(s.full_refused, 0);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, table_setup, table_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_window_admits_its_limit_and_starts_anew),
        TEST(a_result_says_what_is_left_and_until_when),
        TEST(a_refused_call_consumes_nothing),
        TEST(a_clock_set_back_reopens_no_window),
        TEST(a_clock_set_forward_begins_the_window_it_shows),
        TEST(windows_of_another_length_are_other_counters),
        TEST(another_limit_of_the_same_counter_goes_on_counting),
        TEST(one_counter_twice_in_a_call_counts_twice),
        TEST(what_only_marks_lets_pass_and_counts_on),
        TEST(a_limit_of_nothing_refuses_all),
        TEST(no_limit_at_all_admits),
        TEST(sixteen_limits_are_taken_together),
        TEST(amounts_of_a_terabyte_fit_a_second_and_a_year),
        TEST(bytes_are_checked_before_and_debited_while_they_flow),
        TEST(debits_end_at_the_largest_number_and_do_not_wrap),
        TEST(a_rate_admits_its_burst_then_one_each_interval),
        TEST(a_slow_rate_keeps_its_microseconds_for_days),
        TEST(a_clock_set_back_refills_no_rate),
        TEST(calls_at_once_come_back_when_they_end),
        TEST(what_another_process_has_at_once_counts),
        TEST(a_full_table_refuses_new_counters_and_keeps_the_old),
        TEST(a_full_table_may_let_pass_what_it_cannot_count),
        TEST(how_many_are_live_is_counted_or_estimated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
