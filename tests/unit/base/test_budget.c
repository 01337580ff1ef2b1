/* test_budget.c - the allowance for what strangers make us hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "base/budget.h"

enum { SLICE = 64 * 1024 };

static int begin(void **state)
{
    (void)state;
    budget_set_limit(0);
    return 0;
}

static void what_is_taken_is_counted_to_within_a_slice(void **state)
{
    uint64_t before = budget_used();
    (void)state;

    for (int i = 0; i < 10000; i++)
        budget_take(1000);
    assert_in_range(budget_used(), before + 10000000 - SLICE,
                    before + 10000000 + SLICE);
    for (int i = 0; i < 10000; i++)
        budget_give(1000);
    assert_in_range(budget_used(), before, before + SLICE);
}

static void what_is_given_back_leaves_nothing(void **state)
{
    uint64_t before = budget_used();
    (void)state;

    for (int round = 0; round < 100; round++) {
        budget_take(300000);
        for (int i = 0; i < 300; i++)
            budget_give(1000);
    }
    assert_true(budget_used() <= before + SLICE);
}

static void giving_first_never_counts_below_nothing(void **state)
{
    (void)state;

    budget_give(10 * SLICE);
    assert_true(budget_used() < SLICE);
    budget_take(10 * SLICE);
}

static void nine_tenths_are_tight(void **state)
{
    (void)state;

    budget_set_limit(100 * SLICE);
    assert_true(budget_limit() == 100 * SLICE);
    assert_false(budget_tight());
    budget_take(90 * SLICE);
    assert_false(budget_tight());
    budget_take(SLICE);
    assert_true(budget_tight());
    budget_take(50 * SLICE); /* what is in flight must finish */
    assert_true(budget_used() > budget_limit());
    budget_give(50 * SLICE);
    budget_give(2 * SLICE);
    assert_false(budget_tight());
    budget_give(89 * SLICE);
}

static void without_a_limit_nothing_is_tight(void **state)
{
    (void)state;

    budget_take(1ull << 40);
    assert_false(budget_tight());
    budget_give(1ull << 40);
}

static void memory_from_it_is_counted(void **state)
{
    uint64_t before = budget_used();
    void *p = budget_alloc(10 * SLICE);
    (void)state;

    assert_true(budget_used() >= before + 9 * SLICE);
    budget_free(p, 10 * SLICE);
    budget_free(NULL, 10 * SLICE);
    assert_true(budget_used() <= before + SLICE);
}

static void *take_and_give(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++)
        budget_take(SLICE / 4);
    for (int i = 0; i < 20000; i++)
        budget_give(SLICE / 4);
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    uint64_t before = budget_used();
    pthread_t threads[4];
    (void)state;

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, take_and_give, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_true(budget_used() <= before + 4 * SLICE);
}

static void the_machine_has_something(void **state)
{
    uint64_t physical =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    cpu_set_t set;
    (void)state;

    assert_in_range(budget_machine_bytes(), 1 << 20, physical);
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    assert_in_range(budget_machine_cpus(), 1, CPU_COUNT(&set));
}

static void affinity_counts(void **state)
{
    cpu_set_t was, one;
    (void)state;

    assert_int_equal(sched_getaffinity(0, sizeof(was), &was), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &was)) {
            CPU_SET(i, &one);
            break;
        }
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(budget_machine_cpus(), 1);
    sched_setaffinity(0, sizeof(was), &was);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        TEST(what_is_taken_is_counted_to_within_a_slice),
        TEST(what_is_given_back_leaves_nothing),
        TEST(giving_first_never_counts_below_nothing),
        TEST(nine_tenths_are_tight),
        TEST(without_a_limit_nothing_is_tight),
        TEST(memory_from_it_is_counted),
        TEST(threads_lose_nothing),
        TEST(the_machine_has_something),
        TEST(affinity_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
