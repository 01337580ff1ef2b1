/* test_loop.c - the event loop, driven turn by turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "net/fake_time.h"
#include "net/loop.h"

static struct loop *loop;

static int begin(void **state)
{
    (void)state;
    time_is_real = false;
    loop = loop_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static uint64_t now(void)
{
    return loop_now_ms(loop);
}

/* Timers */

struct alarm {
    struct timer timer; /* first */
    uint64_t wanted_ms, fired_ms;
    unsigned times, order;
    uint64_t again_ms; /* sets itself anew when it fires */
    struct timer *clears;
};

static unsigned fired;

static void ring(struct timer *t)
{
    struct alarm *a = (struct alarm *)t;

    assert_false(timer_pending(t));
    assert_true(now() >= a->wanted_ms); /* never early */
    a->fired_ms = now();
    a->order = ++fired;
    a->times++;
    if (a->clears)
        timer_clear(a->clears);
    if (a->again_ms) {
        a->wanted_ms = now() + a->again_ms;
        timer_set(loop, t, a->wanted_ms);
    }
}

static void set(struct alarm *a, uint64_t in_ms)
{
    a->timer.fire = ring;
    a->wanted_ms = now() + in_ms;
    timer_set(loop, &a->timer, a->wanted_ms);
}

static void turn_for(uint64_t ms)
{
    uint64_t until = now() + ms;

    while (now() < until)
        loop_turn(loop, (int)(until - now()));
}

static void timers_fire_in_order_and_never_early(void **state)
{
    struct alarm a = { 0 }, b = { 0 }, c = { 0 };
    (void)state;

    fired = 0;
    set(&c, 90);
    set(&a, 10);
    set(&b, 50);
    turn_for(130);
    assert_int_equal(a.order, 1);
    assert_int_equal(b.order, 2);
    assert_int_equal(c.order, 3);
    assert_int_equal(a.times + b.times + c.times, 3);
}

static void a_timer_is_at_most_a_slot_late(void **state)
{
    (void)state;

    for (uint64_t in = 0; in < 9000; in += 7) {
        struct alarm a = { 0 };

        set(&a, in);
        while (!a.times)
            loop_turn(loop, -1);
        assert_true(a.fired_ms <= a.wanted_ms + 16);
    }
}

static void a_timer_in_the_past_fires_soon(void **state)
{
    struct alarm a = { 0 };
    (void)state;

    a.timer.fire = ring;
    timer_set(loop, &a.timer, 1);
    turn_for(20);
    assert_int_equal(a.times, 1);
}

static void a_timer_that_moved_later_fires_once_and_later(void **state)
{
    struct alarm a = { 0 };
    (void)state;

    set(&a, 20);
    for (int i = 0; i < 1000; i++) {
        turn_for(10);
        set(&a, 20);
    }
    assert_int_equal(a.times, 0);
    turn_for(40);
    assert_int_equal(a.times, 1);
}

static void a_timer_that_moved_earlier_fires_earlier(void **state)
{
    struct alarm a = { 0 };
    (void)state;

    set(&a, 3600 * 1000);
    set(&a, 60 * 1000);
    set(&a, 5000);
    set(&a, 10);
    turn_for(40);
    assert_int_equal(a.times, 1);
}

static void a_cleared_timer_does_not_fire(void **state)
{
    struct alarm a = { 0 }, never = { 0 };
    (void)state;

    timer_clear(&never.timer); /* was never set */
    set(&a, 10);
    assert_true(timer_pending(&a.timer));
    timer_clear(&a.timer);
    timer_clear(&a.timer);
    assert_false(timer_pending(&a.timer));
    turn_for(40);
    assert_int_equal(a.times, 0);
}

static void a_timer_may_clear_its_neighbours(void **state)
{
    struct alarm all[3] = { 0 };
    (void)state;

    /* One slot: whichever fires first clears another in the list. */
    for (int i = 0; i < 3; i++)
        set(&all[i], 20);
    for (int i = 0; i < 3; i++)
        all[i].clears = &all[(i + 2) % 3].timer;
    turn_for(60);
    assert_int_equal(all[0].times + all[1].times + all[2].times, 2);
    for (int i = 0; i < 3; i++)
        assert_false(timer_pending(&all[i].timer));
}

static void a_timer_that_sets_itself_goes_on(void **state)
{
    struct alarm a = { .again_ms = 10 };
    (void)state;

    set(&a, 10);
    turn_for(1000);
    timer_clear(&a.timer);
    assert_true(a.times >= 1000 / (10 + 16) && a.times <= 100);
}

static void a_timer_that_sets_itself_to_now_does_not_spin(void **state)
{
    struct alarm a = { .again_ms = 1 };
    (void)state;

    set(&a, 1);
    fake_pass(5000); /* there is much to catch up with */
    loop_turn(loop, 0);
    assert_int_equal(a.times, 1);
    timer_clear(&a.timer);
}

/* From a second to two hours, one in each second: a wrong slot would fire
 * something early or lose it. */
static void far_timers_come_down_in_time(void **state)
{
    static struct alarm far[7200];
    unsigned turns = 0;
    (void)state;

    memset(far, 0, sizeof(far));
    for (unsigned i = 0; i < 7200; i++)
        set(&far[i], 1000 + i * 1000ull);
    while (!far[7199].times) {
        loop_turn(loop, -1);
        turns++;
    }
    for (unsigned i = 0; i < 7200; i++) {
        assert_int_equal(far[i].times, 1);
        assert_true(far[i].fired_ms <= far[i].wanted_ms + 16);
    }
    assert_true(turns < 20000);
}

static void a_far_timer_wakes_nobody_but_every_four_seconds(void **state)
{
    struct alarm a = { 0 };
    unsigned turns = 0;
    (void)state;

    set(&a, 3600 * 1000);
    while (!a.times) {
        loop_turn(loop, -1);
        turns++;
    }
    assert_true(turns <= 3600 / 4 + 2);
}

static void far_timers_may_be_moved_and_cleared(void **state)
{
    static struct alarm far[600];
    (void)state;

    memset(far, 0, sizeof(far));
    for (unsigned i = 0; i < 600; i++)
        set(&far[i], 5000 + i * 4096ull);
    for (unsigned i = 0; i < 600; i += 3)
        set(&far[i], 20);
    for (unsigned i = 1; i < 600; i += 3)
        timer_clear(&far[i].timer);
    turn_for(40);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(far[i].times, i % 3 == 0);
    turn_for(5000 + 600 * 4096);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(far[i].times, i % 3 != 1);
}

static void nobody_waits_for_a_timer_nobody_set(void **state)
{
    (void)state;

    loop_turn(loop, 0);
    fake_pass(3600 * 1000);
    loop_turn(loop, 7);
    assert_int_equal(last_wait_ms, 7); /* else it would wait for ever */
}

/* A first timer long after the loop was made, and before it has turned. */
static void a_loop_that_slept_long_still_knows_the_time(void **state)
{
    struct alarm a = { 0 };
    (void)state;

    loop_turn(loop, 0);
    fake_pass(40 * 60 * 1000);
    loop_turn(loop, 0);
    set(&a, 100);
    while (!a.times)
        loop_turn(loop, -1);
    assert_true(a.fired_ms <= a.wanted_ms + 16);
}

static void waste(struct task *t)
{
    (void)t;
    fake_pass(300);
}

static void a_long_turn_does_not_put_timers_off(void **state)
{
    struct task slow = { .run = waste };
    struct alarm a = { 0 };
    (void)state;

    set(&a, 300);
    loop_post(loop, &slow);
    loop_turn(loop, -1); /* takes as long as the timer */
    loop_turn(loop, -1);
    loop_turn(loop, -1);
    assert_int_equal(a.times, 1);
    assert_true(a.fired_ms <= a.wanted_ms + 16);
}

/* Descriptors */

struct pipe_end {
    struct io io; /* first */
    unsigned calls;
    struct pipe_end *drops;
};

static void on_byte(struct io *io, uint32_t events)
{
    struct pipe_end *e = (struct pipe_end *)io;

    assert_true(events & EPOLLIN);
    e->calls++;
    if (e->drops)
        loop_unwatch(loop, &e->drops->io);
}

static void unwatching_drops_what_was_fetched(void **state)
{
    struct pipe_end a = { 0 }, b = { 0 };
    int x[2], y[2];
    (void)state;

    assert_int_equal(pipe(x), 0);
    assert_int_equal(pipe(y), 0);
    a.io = (struct io) { .fd = x[0], .ready = on_byte };
    b.io = (struct io) { .fd = y[0], .ready = on_byte };
    a.drops = &b;
    b.drops = &a;
    assert_int_equal(loop_watch(loop, &a.io, EPOLLIN), ERR_OK);
    assert_int_equal(loop_watch(loop, &b.io, EPOLLIN), ERR_OK);
    assert_int_equal(write(x[1], "x", 1), 1);
    assert_int_equal(write(y[1], "y", 1), 1);
    loop_turn(loop, 100); /* both are ready; the first one drops the other */
    assert_int_equal(a.calls + b.calls, 1);
    loop_turn(loop, 0); /* level-triggered: the one that is left, again */
    assert_int_equal(a.calls + b.calls, 2);
    for (int i = 0; i < 2; i++) {
        close(x[i]);
        close(y[i]);
    }
}

static void watching_for_nothing_is_quiet(void **state)
{
    struct pipe_end a = { 0 };
    int x[2];
    (void)state;

    assert_int_equal(pipe(x), 0);
    a.io = (struct io) { .fd = x[0], .ready = on_byte };
    assert_int_equal(loop_watch(loop, &a.io, 0), ERR_OK);
    assert_int_equal(write(x[1], "x", 1), 1);
    loop_turn(loop, 0);
    assert_int_equal(a.calls, 0);
    loop_rewatch(loop, &a.io, EPOLLIN);
    loop_turn(loop, 100);
    assert_int_equal(a.calls, 1);
    loop_unwatch(loop, &a.io);
    loop_turn(loop, 0);
    assert_int_equal(a.calls, 1);
    close(x[0]);
    close(x[1]);
}

static void a_bad_descriptor_is_an_error(void **state)
{
    struct pipe_end a = { .io = { .fd = -1, .ready = on_byte } };
    (void)state;

    assert_int_equal(loop_watch(loop, &a.io, EPOLLIN), ERR_IO);
}

/* Tasks */

struct job {
    struct task task; /* first */
    unsigned order, runs;
    struct job *then; /* asked for at the end of the turn, or posted */
    bool posts;
};

static unsigned jobs_run;

static void run_job(struct task *t)
{
    struct job *j = (struct job *)t;

    j->order = ++jobs_run;
    j->runs++;
    if (j->then && j->posts)
        loop_post(loop, &j->then->task);
    else if (j->then)
        loop_at_end(loop, &j->then->task);
}

static void *post_all(void *arg)
{
    struct job *jobs = arg;

    for (int i = 0; i < 1000; i++)
        loop_post(loop, &jobs[i].task);
    return NULL;
}

static void tasks_of_another_thread_run_in_order(void **state)
{
    static struct job jobs[1000];
    pthread_t thread;
    (void)state;

    time_is_real = true;
    jobs_run = 0;
    memset(jobs, 0, sizeof(jobs));
    for (int i = 0; i < 1000; i++)
        jobs[i].task.run = run_job;
    assert_int_equal(pthread_create(&thread, NULL, post_all, jobs), 0);
    while (jobs_run < 1000)
        loop_turn(loop, 1000);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(jobs[i].order, i + 1);
}

static void a_task_may_post_another(void **state)
{
    struct job b = { .task.run = run_job };
    struct job a = { .task.run = run_job, .then = &b, .posts = true };
    (void)state;

    loop_post(loop, &a.task);
    loop_turn(loop, 1000);
    loop_turn(loop, 1000);
    assert_int_equal(a.runs, 1);
    assert_int_equal(b.runs, 1);
}

/* Threads post at the same moment, while the loop is busy turning; then one
 * of them posts to a loop that sleeps. */
enum { POSTERS = 3, BURST = 4 };

struct poster {
    pthread_t thread;
    struct job jobs[BURST], last;
    bool wakes; /* posts last as well */
    unsigned seen;
};

static atomic_uint go; /* odd: a burst, even: the last one; 0: the end */
static unsigned posters_jobs, last_jobs;

static void count_job(struct task *t)
{
    (void)t;
    posters_jobs++;
}

static void count_last(struct task *t)
{
    (void)t;
    last_jobs++;
}

static void *post_when_told(void *arg)
{
    struct poster *p = arg;
    unsigned told;

    for (;;) {
        while ((told = atomic_load(&go)) == p->seen)
            sched_yield();
        p->seen = told;
        if (told == UINT32_MAX)
            return NULL;
        for (int i = 0; i < BURST && told % 2; i++)
            loop_post(loop, &p->jobs[i].task);
        if (told % 2 == 0 && p->wakes)
            loop_post(loop, &p->last.task);
    }
}

static void no_post_is_slept_through(void **state)
{
    static struct poster all[POSTERS];
    uint64_t longest_us = 0, start_us;
    (void)state;

    time_is_real = true;
    atomic_store(&go, 0);
    posters_jobs = last_jobs = 0;
    memset(all, 0, sizeof(all));
    for (int i = 0; i < POSTERS; i++) {
        all[i].wakes = i == 0;
        all[i].last.task.run = count_last;
        for (int k = 0; k < BURST; k++)
            all[i].jobs[k].task.run = count_job;
        assert_int_equal(
            pthread_create(&all[i].thread, NULL, post_when_told, &all[i]), 0);
    }
    for (unsigned i = 1; i <= 100 && longest_us < 1900000; i++) {
        atomic_store(&go, 2 * i - 1);
        while (posters_jobs < POSTERS * BURST * i)
            loop_turn(loop, 0);
        for (int k = 0; k < 20; k++)
            loop_turn(loop, 0); /* whatever they wrote has been read */
        atomic_store(&go, 2 * i);
        start_us = clock_mono_us();
        while (last_jobs < i)
            loop_turn(loop, 2000);
        if (clock_mono_us() - start_us > longest_us)
            longest_us = clock_mono_us() - start_us;
    }
    atomic_store(&go, UINT32_MAX);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(all[i].thread, NULL);
    assert_true(longest_us < 1900000);
}

static void the_end_of_a_turn_comes_once_and_last(void **state)
{
    struct job last = { .task.run = run_job };
    struct job first = { .task.run = run_job, .then = &last };
    (void)state;

    jobs_run = 0;
    loop_at_end(loop, &last.task);
    loop_at_end(loop, &last.task);
    loop_post(loop, &first.task); /* asks for the end once more */
    loop_turn(loop, 1000);
    assert_int_equal(first.order, 1);
    assert_int_equal(last.runs, 1);
    assert_int_equal(last.order, 2);
    loop_turn(loop, 0);
    assert_int_equal(last.runs, 1);
}

static void what_the_end_asks_for_comes_in_the_same_turn(void **state)
{
    struct job b = { .task.run = run_job };
    struct job a = { .task.run = run_job, .then = &b };
    (void)state;

    loop_at_end(loop, &a.task);
    loop_turn(loop, 0);
    assert_int_equal(a.runs, 1);
    assert_int_equal(b.runs, 1);
}

static unsigned begun;
static uint64_t turns_inside;

static void count_turn(void *arg)
{
    assert_ptr_equal(arg, &begun);
    begun++;
    turns_inside = loop_turns(loop);
}

static void turns_are_odd_inside_and_even_outside(void **state)
{
    (void)state;

    begun = 0;
    loop_on_turn(loop, count_turn, &begun);
    assert_true(loop_turns(loop) % 2 == 0);
    loop_turn(loop, 0);
    assert_int_equal(begun, 1);
    assert_true(turns_inside % 2 == 1);
    assert_true(loop_turns(loop) == turns_inside + 1);
}

/* Stopping */

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void what_was_posted_before_a_stop_runs(void **state)
{
    struct job j = { .task.run = run_job };
    pthread_t thread;
    (void)state;

    time_is_real = true;
    assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
    loop_post(loop, &j.task);
    loop_stop(loop);
    pthread_join(thread, NULL);
    assert_int_equal(j.runs, 1);
}

static void stopping_twice_is_stopping(void **state)
{
    (void)state;

    loop_stop(loop);
    loop_stop(loop);
    loop_run(loop);
}

/* Clocks */

static void the_lag_is_told_once(void **state)
{
    struct job j = { .task.run = run_job };
    (void)state;

    loop_post(loop, &j.task);
    loop_turn(loop, 0);
    (void)loop_take_lag_us(loop);
    assert_int_equal(loop_take_lag_us(loop), 0);
}

static void clocks_agree(void **state)
{
    uint64_t wall = clock_wall_us();
    (void)state;

    loop_turn(loop, 0);
    assert_true(loop_now_ms(loop) == loop_now_us(loop) / 1000);
    assert_true(loop_wall_us(loop) + 1000000 > wall);
    assert_true(loop_wall_us(loop) < wall + 60000000);
    assert_int_equal(strlen(loop_http_date(loop)), 29);
    assert_ptr_equal(loop_http_date(loop), loop_http_date(loop));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_in_order_and_never_early),
        TEST(a_timer_is_at_most_a_slot_late),
        TEST(a_timer_in_the_past_fires_soon),
        TEST(a_timer_that_moved_later_fires_once_and_later),
        TEST(a_timer_that_moved_earlier_fires_earlier),
        TEST(a_cleared_timer_does_not_fire),
        TEST(a_timer_may_clear_its_neighbours),
        TEST(a_timer_that_sets_itself_goes_on),
        TEST(a_timer_that_sets_itself_to_now_does_not_spin),
        TEST(far_timers_come_down_in_time),
        TEST(a_far_timer_wakes_nobody_but_every_four_seconds),
        TEST(far_timers_may_be_moved_and_cleared),
        TEST(nobody_waits_for_a_timer_nobody_set),
        TEST(a_loop_that_slept_long_still_knows_the_time),
        TEST(a_long_turn_does_not_put_timers_off),
        TEST(unwatching_drops_what_was_fetched),
        TEST(watching_for_nothing_is_quiet),
        TEST(a_bad_descriptor_is_an_error),
        TEST(tasks_of_another_thread_run_in_order),
        TEST(a_task_may_post_another),
        TEST(no_post_is_slept_through),
        TEST(the_end_of_a_turn_comes_once_and_last),
        TEST(what_the_end_asks_for_comes_in_the_same_turn),
        TEST(turns_are_odd_inside_and_even_outside),
        TEST(what_was_posted_before_a_stop_runs),
        TEST(stopping_twice_is_stopping),
        TEST(the_lag_is_told_once),
        TEST(clocks_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
