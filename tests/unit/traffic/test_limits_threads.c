/* test_limits_threads.c - what is admitted equals the limit exactly, whoever
 * asks at once: not one more, not one less.
 */
#include "traffic/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS_MOST = 4, COUNTERS = 5 };

struct crowd {
    struct counters *c;
    struct take takes[8][COUNTERS]; /* kinds of call */
    uint32_t counts[8];
    uint32_t kinds;
    uint64_t calls; /* of each thread */
    uint64_t now_us;
    pthread_barrier_t start;
    _Atomic uint64_t admitted[8], refused[8];
    _Atomic uint64_t inside, most_inside;
    bool give;
};

static void call(struct crowd *w, uint32_t kind)
{
    struct limits_result r;
    uint64_t inside, most;

    if (!limits_take(w->c, w->takes[kind], w->counts[kind], w->now_us, &r)) {
        atomic_fetch_add(&w->refused[kind], 1);
        return;
    }
    atomic_fetch_add(&w->admitted[kind], 1);
    if (!w->give)
        return;
    inside = atomic_fetch_add(&w->inside, 1) + 1;
    most = atomic_load(&w->most_inside);
    while (inside > most &&
           !atomic_compare_exchange_weak(&w->most_inside, &most, inside))
        ;
    atomic_fetch_sub(&w->inside, 1);
    limits_give(w->c, w->takes[kind], r.held, w->now_us);
}

static void *member(void *arg)
{
    struct crowd *w = arg;

    pthread_barrier_wait(&w->start);
    for (uint64_t i = 0; i < w->calls; i++)
        call(w, (uint32_t)(i % w->kinds));
    counters_thread_done(w->c);
    return NULL;
}

static void gather(struct crowd *w, unsigned threads)
{
    pthread_t t[THREADS_MOST];

    pthread_barrier_init(&w->start, NULL, threads);
    for (unsigned i = 0; i < threads; i++)
        must(!pthread_create(&t[i], NULL, member, w));
    for (unsigned i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    pthread_barrier_destroy(&w->start);
}

static void one_limit_each_window(struct counters *c, unsigned threads)
{
    static const enum window_unit units[] = { WINDOW_SECOND, WINDOW_MINUTE,
                                              WINDOW_HOUR,   WINDOW_DAY,
                                              WINDOW_WEEK,   WINDOW_MONTH,
                                              WINDOW_YEAR };
    const uint64_t limit = 5003;

    for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
        for (uint32_t n = 1; n <= 3; n += 2) {
            struct crowd w = { .c = c, .kinds = 1, .now_us = NOON_US };

            w.takes[0][0] =
                per(c, threads == 2 ? "two" : "four", limit, units[u], n);
            w.counts[0] = 1;
            w.calls = 4 * limit / threads + 1;
            gather(&w, threads);
            assert_int_equal(w.admitted[0], limit);
            assert_int_equal(used_of(c, w.takes[0][0], NOON_US), limit);
        }
    }
}

static void two_threads_are_admitted_exactly_the_limit(void **state)
{
    one_limit_each_window(((struct table *)*state)->c, 2);
}

static void four_threads_are_admitted_exactly_the_limit(void **state)
{
    one_limit_each_window(((struct table *)*state)->c, 4);
}

static void a_rate_admits_exactly_its_burst_at_one_instant(void **state)
{
    struct table *t = *state;

    for (unsigned threads = 2; threads <= 4; threads += 2) {
        struct crowd w = { .c = t->c, .kinds = 1, .now_us = NOON_US };

        w.takes[0][0] =
            (struct take) { .key = key_named(t->c, threads == 2 ? "r2" : "r4"),
                            .kind = TAKE_RATE,
                            .interval_us = 1000,
                            .limit = 7001,
                            .cost = 1 };
        w.counts[0] = 1;
        w.calls = 4 * 7001 / threads + 1;
        gather(&w, threads);
        assert_int_equal(w.admitted[0], 7001);
    }
}

/* Every kind of call takes "all" and some of the others, so that each is
 * refused by another counter, over and over. */
static void mix(struct crowd *w, const char *round)
{
    static const char *const kinds[] = { "ab",   "bc", "cd",   "ad",
                                         "abcd", "db", "dcba", "a" };
    static const uint64_t limits[] = { 900, 1700, 600, 1100 };

    w->kinds = 8;
    for (uint32_t k = 0; k < w->kinds; k++) {
        w->counts[k] = 0;
        for (const char *p = kinds[k]; *p; p++) {
            char name[64];

            snprintf(name, sizeof(name), "%s-%c", round, *p);
            w->takes[k][w->counts[k]++] = per(w->c, name, limits[*p - 'a'],
                                              *p == 'a'   ? WINDOW_SECOND
                                              : *p == 'b' ? WINDOW_MONTH
                                                          : WINDOW_MINUTE,
                                              1);
        }
    }
}

static void several_limits_at_once_are_each_exact(void **state)
{
    static const char *const kinds[] = { "ab",   "bc", "cd",   "ad",
                                         "abcd", "db", "dcba", "a" };
    struct table *t = *state;

    for (int round = 0; round < 30; round++) {
        unsigned threads = round % 2 ? 4 : 2;
        uint64_t used[4] = { 0 }, left[4];
        char name[32];
        struct crowd w = { .c = t->c, .now_us = NOON_US };

        snprintf(name, sizeof(name), "mix%d", round);
        mix(&w, name);
        w.calls = 4 * 4300 / threads;
        gather(&w, threads);
        for (uint32_t k = 0; k < w.kinds; k++)
            for (const char *p = kinds[k]; *p; p++)
                used[*p - 'a'] += w.admitted[k];
        for (int i = 0; i < 4; i++) {
            snprintf(name, sizeof(name), "mix%d-%c", round, 'a' + i);
            left[i] = i == 0 ? 900 : i == 1 ? 1700 : i == 2 ? 600 : 1100;
            left[i] -= used[i]; /* never below 0 */
            assert_true(left[i] <= 1700);
        }
        /* Nothing was refused that there was room for: each kind of call has
         * at least one limit that is used up to the last. */
        for (uint32_t k = 0; k < w.kinds; k++) {
            uint64_t least = UINT64_MAX;

            for (const char *p = kinds[k]; *p; p++)
                least = left[*p - 'a'] < least ? left[*p - 'a'] : least;
            assert_int_equal(least, 0);
        }
        /* And what was refused left nothing behind. */
        for (uint32_t i = 0; i < w.counts[4]; i++)
            assert_int_equal(used_of(t->c, w.takes[4][i], NOON_US), used[i]);
    }
}

/* The first call refused by "narrow" must not make another one believe that
 * "wide" was used up: the race of taking and giving back. */
static void a_refused_call_is_never_seen_in_another_limit(void **state)
{
    struct table *t = *state;

    for (int round = 0; round < 200; round++) {
        struct crowd w = {
            .c = t->c, .kinds = 2, .now_us = NOON_US, .calls = 400
        };
        char wide[32], narrow[32];

        snprintf(wide, sizeof(wide), "wide%d", round);
        snprintf(narrow, sizeof(narrow), "narrow%d", round);
        w.takes[0][0] = w.takes[1][0] = per_minute(t->c, wide, 100);
        w.takes[0][1] = per_minute(t->c, narrow, 50);
        w.counts[0] = 2;
        w.counts[1] = 1;
        gather(&w, 4);
        assert_int_equal(w.admitted[0] + w.admitted[1], 100);
        assert_true(w.admitted[0] <= 50);
    }
}

static void calls_at_once_never_exceed_theirs(void **state)
{
    struct table *t = *state;
    struct crowd w = {
        .c = t->c, .kinds = 1, .now_us = NOON_US, .calls = 20000, .give = true
    };

    w.takes[0][0] = (struct take) { .key = key_named(t->c, "at once"),
                                    .kind = TAKE_AT_ONCE,
                                    .limit = 3,
                                    .cost = 1 };
    w.takes[0][1] = per_minute(t->c, "of all", 1000000);
    w.counts[0] = 2;
    gather(&w, 4);
    assert_true(w.most_inside <= 3);
    assert_true(w.admitted[0] > 0);
    assert_int_equal(used_of(t->c, w.takes[0][0], NOON_US), 0);
    assert_int_equal(used_of(t->c, w.takes[0][1], NOON_US), w.admitted[0]);
}

struct many {
    struct counters *c;
    pthread_barrier_t start;
    _Atomic uint64_t admitted;
};

enum { KEYS = 8000, KEYS_A_SECOND = 400 };

/* New counters all the time, in places of old ones. */
static void *newcomer(void *arg)
{
    struct many *m = arg;

    for (uint64_t i = 0; i < KEYS; i++) {
        char name[32];
        struct take t;

        /* The clock is one for all. */
        if (i % KEYS_A_SECOND == 0)
            pthread_barrier_wait(&m->start);
        snprintf(name, sizeof(name), "new%u", (unsigned)i);
        t = per(m->c, name, 1, WINDOW_SECOND, 1);
        if (take_one(m->c, &t, NOON_US + i / KEYS_A_SECOND * SECOND_US))
            atomic_fetch_add(&m->admitted, 1);
    }
    counters_thread_done(m->c);
    return NULL;
}

static void one_key_is_never_put_in_twice(void **state)
{
    struct table *t = *state;
    struct counters_conf conf = table_conf(t);
    struct many m = { 0 };
    pthread_t threads[4];

    counters_close(t->c);
    unlink(t->path);
    conf.slots = 1024;
    must(!counters_open(&conf, NOON_US, &t->c, &t->opened));
    m.c = t->c;
    pthread_barrier_init(&m.start, NULL, 4);
    for (int i = 0; i < 4; i++)
        must(!pthread_create(&threads[i], NULL, newcomer, &m));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    /* A key that was put in twice would be admitted twice. */
    assert_int_equal(m.admitted, KEYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            two_threads_are_admitted_exactly_the_limit, table_setup,
            table_teardown),
        cmocka_unit_test_setup_teardown(
            four_threads_are_admitted_exactly_the_limit, table_setup,
            table_teardown),
        cmocka_unit_test_setup_teardown(
            a_rate_admits_exactly_its_burst_at_one_instant, table_setup,
            table_teardown),
        cmocka_unit_test_setup_teardown(several_limits_at_once_are_each_exact,
                                        table_setup, table_teardown),
        cmocka_unit_test_setup_teardown(
            a_refused_call_is_never_seen_in_another_limit, table_setup,
            table_teardown),
        cmocka_unit_test_setup_teardown(calls_at_once_never_exceed_theirs,
                                        table_setup, table_teardown),
        cmocka_unit_test_setup_teardown(one_key_is_never_put_in_twice,
                                        table_setup, table_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
