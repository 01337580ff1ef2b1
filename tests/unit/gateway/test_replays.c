/* test_replays.c - what may be used once is used once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/replays.h"

static struct replays *r;

static int begin(void **state)
{
    (void)state;
    r = replays_new(1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    replays_free(r);
    return 0;
}

static enum replay use(const char *holder, unsigned id, uint64_t now_s,
                       uint64_t until_s)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%u", id);

    return replays_use(r, str_z(holder), str_from(text, (size_t)n), now_s,
                       until_s);
}

static void the_second_use_is_one_too_many(void **state)
{
    (void)state;
    assert_int_equal(use("a", 1, 10, 20), REPLAY_FIRST);
    assert_int_equal(use("a", 1, 10, 20), REPLAY_AGAIN);
    assert_int_equal(use("a", 1, 19, 29), REPLAY_AGAIN);
    assert_int_equal(use("a", 2, 10, 20), REPLAY_FIRST);
}

static void others_may_use_the_same_id(void **state)
{
    (void)state;
    assert_int_equal(use("a", 1, 10, 20), REPLAY_FIRST);
    assert_int_equal(use("b", 1, 10, 20), REPLAY_FIRST);
    /* "a" + "1b" is not "a1" + "b" */
    assert_int_equal(use("a1", 1, 10, 20), REPLAY_FIRST);
    assert_int_equal(use("a", 11, 10, 20), REPLAY_FIRST);
}

static void it_is_forgotten_when_its_time_is_over(void **state)
{
    (void)state;
    assert_int_equal(use("a", 1, 10, 20), REPLAY_FIRST);
    assert_int_equal(use("a", 1, 20, 30), REPLAY_FIRST);
    assert_int_equal(use("a", 1, 29, 39), REPLAY_AGAIN);
}

/* Nobody's entry is given up for another one. */
static void a_full_table_says_so_and_forgets_nothing(void **state)
{
    unsigned taken[8192], n = 0;
    char holder[16];
    (void)state;

    for (unsigned i = 0; i < 8192; i++) {
        enum replay found;

        snprintf(holder, sizeof(holder), "h%u", i % 64);
        found = use(holder, i, 100, 200);
        assert_int_not_equal(found, REPLAY_AGAIN);
        if (found == REPLAY_FIRST)
            taken[n++] = i;
    }
    assert_in_range(n, 2000, 4096);
    for (unsigned i = 0; i < n; i++) {
        snprintf(holder, sizeof(holder), "h%u", taken[i] % 64);
        assert_int_equal(use(holder, taken[i], 170, 270), REPLAY_AGAIN);
    }
    assert_int_equal(use("new", 1, 200, 300), REPLAY_FIRST);
}

static void one_holder_takes_a_quarter_at_most(void **state)
{
    unsigned n = 0;
    (void)state;

    for (unsigned i = 0; i < 4096; i++)
        n += use("greedy", i, 128, 200) == REPLAY_FIRST;
    assert_in_range(n, 900, 1024);
    assert_int_equal(use("modest", 1, 128, 200), REPLAY_FIRST);
    assert_int_equal(use("greedy", 9999, 128, 200), REPLAY_FULL);
    /* in the next minute again */
    assert_int_equal(use("greedy", 9999, 192, 256), REPLAY_FIRST);
}

enum { THREADS = 4, IDS = 3000 };

static _Atomic unsigned firsts[IDS];
static pthread_barrier_t together;

static void *all_ids(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&together);
    for (unsigned i = 0; i < IDS; i++) {
        char holder[16];

        snprintf(holder, sizeof(holder), "h%u", i % 64);
        if (use(holder, i, 100 + i / 100, 200) == REPLAY_FIRST)
            atomic_fetch_add(&firsts[i], 1);
    }
    return NULL;
}

static void of_threads_that_ask_at_once_one_is_the_first(void **state)
{
    pthread_t threads[THREADS];
    (void)state;

    replays_free(r);
    r = replays_new(1 << 16);
    pthread_barrier_init(&together, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, all_ids, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&together);
    for (unsigned i = 0; i < IDS; i++)
        assert_int_equal(atomic_load(&firsts[i]), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_second_use_is_one_too_many),
        TEST(others_may_use_the_same_id),
        TEST(it_is_forgotten_when_its_time_is_over),
        TEST(a_full_table_says_so_and_forgets_nothing),
        TEST(one_holder_takes_a_quarter_at_most),
        TEST(of_threads_that_ask_at_once_one_is_the_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
