/* test_cluster.c - which member is next, and how many retries there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/log.h"
#include "gateway/upstream/cluster.h"

enum { MOST = 100 };

static struct endpoint *endpoints[MOST];
static struct member members[MOST];
static struct cluster cluster;
static bool trial;

static int begin(void **state)
{
    (void)state;
    for (int i = 0; i < MOST; i++) {
        endpoints[i] = calloc(1, sizeof(*endpoints[i]));
        endpoints[i]->suspend_ms = 1000;
        endpoints[i]->suspend_max_ms = 1000;
        endpoints[i]->suspend_factor = 1;
        members[i] = (struct member) { .endpoint = endpoints[i], .weight = 1 };
    }
    memset(&cluster, 0, sizeof(cluster));
    cluster.members = members;
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < MOST; i++) {
        for (int k = 0; k < THREADS_MAX; k++)
            free(endpoints[i]->threads[k]);
        free(endpoints[i]);
    }
    return 0;
}

static void use(const struct lb *lb, uint32_t count)
{
    cluster.lb = lb;
    cluster.count = count;
}

static int pick_after(uint64_t tried, uint32_t random)
{
    return cluster_pick(&cluster, tried, 5000, random, &trial);
}

static int pick(void)
{
    return pick_after(0, 0);
}

static void take_down(int i)
{
    atomic_store(&endpoints[i]->down, true);
}

static void bring_up(int i)
{
    atomic_store(&endpoints[i]->down, false);
}

/* One by one */

static void round_robin_takes_turns(void **state)
{
    (void)state;

    use(&lb_round_robin, 3);
    for (int i = 0; i < 9; i++)
        assert_int_equal(pick(), i % 3);
}

static void round_robin_passes_over_who_is_down(void **state)
{
    unsigned seen[3] = { 0 };
    (void)state;

    use(&lb_round_robin, 3);
    take_down(1);
    for (int i = 0; i < 30; i++)
        seen[pick()]++;
    assert_int_equal(seen[1], 0);
    assert_true(seen[0] >= 10 && seen[2] >= 10);
    bring_up(1);
    for (int i = 0; i < 30; i++)
        seen[pick()]++;
    assert_int_equal(seen[1], 10);
}

static void round_robin_survives_the_end_of_numbers(void **state)
{
    (void)state;

    use(&lb_round_robin, 3);
    take_down(0);
    take_down(1);
    atomic_store(&cluster.turn, UINT32_MAX - 2);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pick(), 2);
}

static void one_member_is_that_one(void **state)
{
    (void)state;

    use(&lb_round_robin, 1);
    assert_int_equal(pick(), 0);
    assert_int_equal(pick(), 0);
    take_down(0);
    assert_int_equal(pick(), -1);
}

/* By weight */

static void weights_are_exact_over_a_cycle(void **state)
{
    static const uint32_t weights[] = { 1, 5, 3, 91 };
    (void)state;

    use(&lb_weighted, 4);
    for (int i = 0; i < 4; i++)
        members[i].weight = weights[i];
    for (int cycle = 0; cycle < 5; cycle++) {
        unsigned seen[4] = { 0 };

        for (int i = 0; i < 100; i++)
            seen[pick()]++;
        for (int i = 0; i < 4; i++)
            assert_int_equal(seen[i], weights[i]);
    }
}

static void any_sum_of_weights_works(void **state)
{
    (void)state;

    use(&lb_weighted, 2);
    for (uint32_t w = 1; w < 300; w++) {
        unsigned seen[2] = { 0 };

        members[0].weight = w;
        members[1].weight = 300 - w;
        for (int i = 0; i < 300; i++)
            seen[pick()]++;
        assert_int_equal(seen[0], w);
    }
    for (int i = 0; i < MOST; i++)
        members[i].weight = 1000; /* the most a document may say */
    use(&lb_weighted, MOST);
    atomic_store(&cluster.turn, UINT32_MAX - 50);
    for (int i = 0; i < 1000; i++)
        assert_in_range(pick(), 0, MOST - 1);
}

static void a_heavy_member_does_not_take_its_turns_at_once(void **state)
{
    int run = 0, longest = 0;
    (void)state;

    use(&lb_weighted, 2);
    members[0].weight = 50;
    members[1].weight = 50;
    for (int i = 0; i < 200; i++) {
        run = pick() == 0 ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    assert_true(longest <= 4);
}

static void the_rest_share_the_weight_of_who_is_down(void **state)
{
    unsigned seen[3] = { 0 };
    (void)state;

    use(&lb_weighted, 3);
    members[0].weight = 8;
    members[1].weight = 1;
    members[2].weight = 3;
    take_down(0);
    for (int i = 0; i < 400; i++)
        seen[pick()]++;
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 100);
    assert_int_equal(seen[2], 300);
}

/* By calls under way */

static void set_outstanding(int i, uint32_t n)
{
    struct endpoint_thread *t = endpoint_here(endpoints[i], 0, NULL, NULL);

    atomic_store(&t->outstanding, n);
}

static void the_least_busy_is_next(void **state)
{
    (void)state;

    use(&lb_least_outstanding, 3);
    set_outstanding(0, 5);
    set_outstanding(1, 2);
    set_outstanding(2, 9);
    for (uint32_t random = 0; random < 10; random++)
        assert_int_equal(pick_after(0, random), 1);
    take_down(1);
    assert_int_equal(pick_after(0, 2), 0);
}

static void equals_are_drawn_by_lot(void **state)
{
    (void)state;

    use(&lb_least_outstanding, 3);
    assert_int_equal(pick_after(0, 0), 0);
    assert_int_equal(pick_after(0, 1), 1);
    assert_int_equal(pick_after(0, 2), 2);
}

static void every_lot_looks_at_everybody(void **state)
{
    (void)state;

    use(&lb_least_outstanding, 3);
    for (int i = 0; i < 3; i++)
        set_outstanding(i, i == 2 ? 0 : 1);
    for (uint32_t k = 0; k < 10; k++)
        assert_int_equal(pick_after(0, UINT32_MAX - k), 2);
}

/* The first that works */

static void failover_keeps_the_order_of_the_document(void **state)
{
    (void)state;

    use(&lb_failover, 3);
    assert_int_equal(pick(), 0);
    assert_int_equal(pick(), 0);
    take_down(0);
    assert_int_equal(pick(), 1);
    take_down(1);
    assert_int_equal(pick(), 2);
    bring_up(0);
    assert_int_equal(pick(), 0);
    take_down(0);
    take_down(2);
    assert_int_equal(pick(), -1);
}

/* Tried ones */

static const struct lb *const all[] = { &lb_round_robin, &lb_weighted,
                                        &lb_least_outstanding, &lb_failover };

static void tried_ones_come_again_only_when_all_were(void **state)
{
    (void)state;

    for (int k = 0; k < 4; k++) {
        use(all[k], 3);
        for (uint32_t random = 0; random < 6; random++) {
            assert_int_equal(pick_after(3, random), 2);
            assert_in_range(pick_after(7, random), 0, 2);
        }
        take_down(2);
        for (uint32_t random = 0; random < 6; random++)
            assert_in_range(pick_after(3, random), 0, 1);
        bring_up(2);
    }
}

static void a_look_takes_nothing(void **state)
{
    (void)state;

    use(&lb_failover, 3);
    assert_true(cluster_has(&cluster, 0, 5000));
    assert_true(cluster_has(&cluster, 3, 5000));
    assert_false(cluster_has(&cluster, 7, 5000));
    take_down(2);
    assert_false(cluster_has(&cluster, 3, 5000));
}

/* A member whose rest is over is tried by one; the others go on meanwhile,
 * wherever it stands. */
static void one_trial_does_not_stop_the_others(void **state)
{
    (void)state;

    for (int k = 0; k < 4; k++) {
        use(all[k], MOST);
        for (int i = 0; i < MOST; i++)
            if (i != 70 && i != 80)
                take_down(i);
        endpoint_result(endpoints[70], 4000, ENDPOINT_UNREACHABLE, "no");
        for (int i = 0; i < 200; i++) {
            int at = pick_after(0, (uint32_t)i);

            assert_true(at == 80 || (at == 70 && trial));
        }
        endpoint_result(endpoints[70], 5000, ENDPOINT_OK, NULL);
    }
}

static void a_trial_is_told_apart(void **state)
{
    (void)state;

    use(&lb_failover, 2);
    endpoint_result(endpoints[0], 4000, ENDPOINT_UNREACHABLE, "no");
    assert_int_equal(cluster_pick(&cluster, 0, 4500, 0, &trial), 1);
    assert_false(trial);
    assert_int_equal(cluster_pick(&cluster, 0, 5000, 0, &trial), 0);
    assert_true(trial);
    assert_int_equal(cluster_pick(&cluster, 0, 5000, 0, &trial), 1);
    assert_false(trial);
}

/* Retries */

static void retries_have_a_budget(void **state)
{
    (void)state;

    cluster.retry_percent = 20;
    assert_false(cluster_take_retry(&cluster));
    for (int i = 0; i < 4; i++)
        cluster_count_call(&cluster);
    assert_false(cluster_take_retry(&cluster));
    cluster_count_call(&cluster);
    assert_true(cluster_take_retry(&cluster)); /* one per five calls */
    assert_false(cluster_take_retry(&cluster));
    assert_true(atomic_load(&cluster.budget) == 0);
}

static void a_budget_does_not_grow_without_end(void **state)
{
    unsigned taken = 0;
    (void)state;

    cluster.retry_percent = 20;
    for (int i = 0; i < 100000; i++)
        cluster_count_call(&cluster);
    while (cluster_take_retry(&cluster))
        taken++;
    assert_in_range(taken, 100, 101);
}

static void no_percentage_means_no_retries(void **state)
{
    (void)state;

    for (int i = 0; i < 1000; i++)
        cluster_count_call(&cluster);
    assert_false(cluster_take_retry(&cluster));
}

static void statuses_are_looked_up_in_the_document(void **state)
{
    (void)state;

    assert_false(cluster_retries_status(&cluster, 503));
    cluster.config.retry.statuses[0] = 503;
    cluster.config.retry.statuses[1] = 504;
    cluster.config.retry.status_count = 2;
    cluster.config.breaker.statuses[0] = 500;
    cluster.config.breaker.status_count = 1;
    assert_true(cluster_retries_status(&cluster, 504));
    assert_false(cluster_retries_status(&cluster, 500));
    assert_true(cluster_fails_status(&cluster, 500));
    assert_false(cluster_fails_status(&cluster, 503));
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
        TEST(round_robin_takes_turns),
        TEST(round_robin_passes_over_who_is_down),
        TEST(round_robin_survives_the_end_of_numbers),
        TEST(one_member_is_that_one),
        TEST(weights_are_exact_over_a_cycle),
        TEST(any_sum_of_weights_works),
        TEST(a_heavy_member_does_not_take_its_turns_at_once),
        TEST(the_rest_share_the_weight_of_who_is_down),
        TEST(the_least_busy_is_next),
        TEST(equals_are_drawn_by_lot),
        TEST(every_lot_looks_at_everybody),
        TEST(failover_keeps_the_order_of_the_document),
        TEST(tried_ones_come_again_only_when_all_were),
        TEST(a_look_takes_nothing),
        TEST(one_trial_does_not_stop_the_others),
        TEST(a_trial_is_told_apart),
        TEST(retries_have_a_budget),
        TEST(a_budget_does_not_grow_without_end),
        TEST(no_percentage_means_no_retries),
        TEST(statuses_are_looked_up_in_the_document),
    };

    return cmocka_run_group_tests(tests, quiet, NULL);
}
