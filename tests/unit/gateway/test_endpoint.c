/* test_endpoint.c - suspension and circuit breaker; time is an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/log.h"
#include "gateway/upstream/endpoint.h"

static struct endpoint *e;
static bool trial;

static int begin(void **state)
{
    (void)state;
    e = calloc(1, sizeof(*e));
    e->name = STR("http://backend");
    e->suspend_ms = 1000;
    e->suspend_max_ms = 5000;
    e->suspend_factor = 2;
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < THREADS_MAX; i++)
        free(e->threads[i]);
    free(e);
    return 0;
}

static void ok(uint64_t now)
{
    endpoint_result(e, now, ENDPOINT_OK, NULL);
}

static void failed(uint64_t now)
{
    endpoint_result(e, now, ENDPOINT_FAILED, "no");
}

static void unreachable(uint64_t now)
{
    endpoint_result(e, now, ENDPOINT_UNREACHABLE, "no");
}

/* May a call go, and is it no trial? */
static bool usable(uint64_t now)
{
    return endpoint_usable(e, now, &trial) && !trial;
}

static bool tried(uint64_t now)
{
    return endpoint_usable(e, now, &trial) && trial;
}

static bool state_is(uint64_t now, const char *state)
{
    return strcmp(endpoint_state(e, now), state) == 0;
}

/* Suspension */

static void a_new_endpoint_is_up(void **state)
{
    (void)state;

    assert_true(usable(1));
    assert_true(endpoint_looks_usable(e, 1));
    assert_true(state_is(1, "up"));
    assert_int_equal(endpoint_outstanding(e), 0);
}

static void an_unreachable_one_rests_and_is_tried_once(void **state)
{
    (void)state;

    unreachable(10000);
    assert_true(state_is(10000, "suspended"));
    assert_false(endpoint_usable(e, 10000, &trial));
    assert_false(endpoint_usable(e, 10999, &trial));
    assert_true(tried(11000));
    assert_false(endpoint_usable(e, 11000, &trial)); /* one at a time */
    assert_false(endpoint_looks_usable(e, 11000));
    ok(11010);
    assert_true(usable(11010));
    assert_true(state_is(11010, "up"));
}

static void a_trial_that_ends_without_outcome_lets_another_try(void **state)
{
    (void)state;

    unreachable(10000);
    assert_true(tried(11000));
    atomic_store(&e->trial, false); /* the caller left */
    assert_true(tried(11001));
}

static void the_rest_grows_to_a_maximum_and_begins_anew(void **state)
{
    static const uint64_t rests[] = { 1000, 2000, 4000, 5000, 5000 };
    uint64_t now = 10000;
    (void)state;

    for (size_t i = 0; i < 5; i++) {
        unreachable(now);
        assert_false(endpoint_looks_usable(e, now + rests[i] - 1));
        assert_true(endpoint_looks_usable(e, now + rests[i]));
        now += rests[i];
        assert_true(tried(now));
    }
    ok(now);
    unreachable(now);
    assert_true(endpoint_looks_usable(e, now + 1000));
}

static void failures_of_calls_under_way_do_not_prolong_a_rest(void **state)
{
    (void)state;

    unreachable(10000);
    for (int i = 0; i < 10; i++)
        unreachable(10500);
    assert_true(endpoint_looks_usable(e, 11000));
}

static void a_failure_is_no_suspension(void **state)
{
    (void)state;

    for (int i = 0; i < 100; i++)
        failed(10000);
    assert_true(usable(10000));
    assert_true(atomic_load(&e->failures) == 100);
}

static void no_time_means_no_suspension(void **state)
{
    (void)state;

    e->suspend_ms = 0;
    unreachable(10000);
    assert_true(usable(10000));
}

static void what_checks_call_down_is_not_used(void **state)
{
    (void)state;

    atomic_store(&e->down, true);
    assert_false(endpoint_looks_usable(e, 1));
    assert_false(endpoint_usable(e, 1, &trial));
    assert_true(state_is(1, "down"));
    ok(2);
    assert_false(endpoint_looks_usable(e, 2)); /* only checks say otherwise */
    atomic_store(&e->down, false);
    assert_true(usable(3));
}

/* The breaker */

static void set_breaker(uint32_t volume, double threshold, uint32_t window_ms,
                        uint32_t bucket_ms, uint32_t reset_ms)
{
    struct oas_endpoint_config config = { 0 };

    config.breaker.on = true;
    config.breaker.request_volume = volume;
    config.breaker.failure_threshold = threshold;
    config.breaker.window_ms = window_ms;
    config.breaker.bucket_ms = bucket_ms;
    config.breaker.reset_ms = reset_ms;
    endpoint_set_breaker(e, &config);
}

static void enough_failures_open_it(void **state)
{
    (void)state;

    set_breaker(10, 0.5, 10000, 1000, 3000);
    for (int i = 0; i < 5; i++)
        ok(50000);
    for (int i = 0; i < 4; i++)
        failed(50100);
    assert_true(usable(50100)); /* nine calls are too few to judge */
    failed(50200);
    assert_true(state_is(50200, "open"));
    assert_false(endpoint_looks_usable(e, 53199));
}

static void fewer_failures_than_the_share_leave_it(void **state)
{
    (void)state;

    set_breaker(10, 0.5, 10000, 1000, 3000);
    for (int i = 0; i < 100; i++) {
        ok(50000);
        ok(50000);
        failed(50000);
    }
    assert_true(usable(50000));
}

static void old_failures_leave_the_window(void **state)
{
    (void)state;

    set_breaker(4, 0.5, 10000, 1000, 3000);
    failed(50000);
    failed(50000);
    failed(50999);
    assert_true(usable(50999));
    failed(60000); /* those of 50 are ten buckets away: alone, too few */
    assert_true(usable(60000));
    failed(60000);
    failed(60000);
    failed(60000);
    assert_true(state_is(60000, "open"));
}

static void failures_at_both_ends_of_the_window_count(void **state)
{
    (void)state;

    set_breaker(4, 0.5, 10000, 1000, 3000);
    failed(50999);
    failed(55000);
    failed(59000);
    assert_true(usable(59999));
    failed(59999);
    assert_true(state_is(59999, "open"));
}

static void an_open_one_is_tried_once_and_closes(void **state)
{
    (void)state;

    set_breaker(2, 0.5, 10000, 1000, 3000);
    failed(50000);
    failed(50000);
    assert_false(endpoint_usable(e, 52999, &trial));
    assert_true(tried(53000));
    assert_false(endpoint_usable(e, 53000, &trial));
    ok(53001);
    assert_true(usable(53001));
    failed(53002); /* the past is forgotten */
    assert_true(usable(53002));
    failed(53002);
    assert_false(endpoint_looks_usable(e, 53002));
}

static void an_open_one_whose_trial_fails_stays_open(void **state)
{
    (void)state;

    set_breaker(2, 0.5, 10000, 1000, 3000);
    failed(50000);
    failed(50000);
    assert_true(tried(53000));
    failed(54000);
    assert_false(endpoint_usable(e, 56999, &trial));
    assert_true(tried(57000));
    ok(57000);
    assert_true(usable(57000));
}

static void a_success_of_before_does_not_close_it(void **state)
{
    (void)state;

    set_breaker(2, 0.5, 10000, 1000, 3000);
    failed(50000);
    failed(50000);
    ok(50100); /* was under way */
    assert_true(state_is(50100, "open"));
    assert_false(endpoint_usable(e, 50100, &trial));
}

static void a_breaker_that_is_off_counts_nothing(void **state)
{
    (void)state;

    for (int i = 0; i < 1000; i++)
        failed(50000);
    assert_true(usable(50000));
}

/* A document may say any of the numbers, or none. */
static void any_numbers_make_a_breaker(void **state)
{
    static const uint32_t values[] = { 0, 1, 7, 1000, 10000, 86400000 };
    enum { N = sizeof(values) / sizeof(*values) };
    (void)state;

    for (int i = 0; i < N * N * N; i++) {
        uint64_t now = 1000000000;

        memset(e->buckets, 0, sizeof(e->buckets));
        atomic_store(&e->open_until_ms, 0);
        set_breaker(3, 0.5, values[i % N], values[i / N % N],
                    values[i / N / N]);
        for (int k = 0; k < 3; k++)
            failed(now);
        assert_true(state_is(now, "open"));
        now += e->breaker.breaker.reset_ms;
        assert_true(tried(now));
        ok(now);
        assert_true(usable(now));
    }
}

static void a_window_of_many_buckets_is_seen_whole(void **state)
{
    (void)state;

    set_breaker(4, 0.5, 60000, 100, 3000); /* 600 of them */
    failed(100000);
    failed(120000);
    failed(140000);
    failed(158000);
    assert_true(state_is(158000, "open"));
}

/* Threads */

static void counts_of_all_threads_are_one(void **state)
{
    uint32_t idle;
    (void)state;

    for (unsigned i = 0; i < 3; i++) {
        struct endpoint_thread *t = endpoint_here(e, i * 20, NULL, NULL);

        assert_ptr_equal(t->endpoint, e);
        assert_ptr_equal(endpoint_here(e, i * 20, NULL, NULL), t);
        atomic_store(&t->outstanding, i + 1);
        atomic_store(&t->total_count, 10);
        atomic_store(&t->idle_count, i);
    }
    assert_int_equal(endpoint_outstanding(e), 6);
    assert_int_equal(endpoint_connections(e, &idle), 30);
    assert_int_equal(idle, 3);
}

static int quiet(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, LOG_AUTO, 2);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_new_endpoint_is_up),
        TEST(an_unreachable_one_rests_and_is_tried_once),
        TEST(a_trial_that_ends_without_outcome_lets_another_try),
        TEST(the_rest_grows_to_a_maximum_and_begins_anew),
        TEST(failures_of_calls_under_way_do_not_prolong_a_rest),
        TEST(a_failure_is_no_suspension),
        TEST(no_time_means_no_suspension),
        TEST(what_checks_call_down_is_not_used),
        TEST(enough_failures_open_it),
        TEST(fewer_failures_than_the_share_leave_it),
        TEST(old_failures_leave_the_window),
        TEST(failures_at_both_ends_of_the_window_count),
        TEST(an_open_one_is_tried_once_and_closes),
        TEST(an_open_one_whose_trial_fails_stays_open),
        TEST(a_success_of_before_does_not_close_it),
        TEST(a_breaker_that_is_off_counts_nothing),
        TEST(any_numbers_make_a_breaker),
        TEST(a_window_of_many_buckets_is_seen_whole),
        TEST(counts_of_all_threads_are_one),
    };

    return cmocka_run_group_tests(tests, quiet, NULL);
}
