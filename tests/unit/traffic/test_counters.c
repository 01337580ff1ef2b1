/* test_counters.c - the table outlives processes, kills and reboots. */
#include "traffic/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"

static void reopen(struct table *t, uint64_t now_us)
{
    counters_close(t->c);
    table_open_at(t, now_us);
}

static void counts_outlive_the_process(void **state)
{
    struct table *t = *state;
    struct take k = per_minute(t->c, "a", 2);

    assert_true(t->opened.created);
    assert_int_equal(t->opened.boots, 1);
    assert_true(take_one(t->c, &k, NOON_US));
    reopen(t, NOON_US);
    assert_false(t->opened.created);
    assert_null(t->opened.replaced);
    assert_int_equal(t->opened.boots, 2);
    assert_true(take_one(t->c, &k, NOON_US));
    assert_false(take_one(t->c, &k, NOON_US));
}

static void two_processes_use_the_same_slots(void **state)
{
    struct table *t = *state;
    struct counters_conf conf = table_conf(t);
    struct take k = per_minute(t->c, "a", 3);
    struct counters_opened opened;
    struct counters *successor;

    assert_true(take_one(t->c, &k, NOON_US));
    must(!counters_open(&conf, NOON_US, &successor, &opened));
    assert_true(take_one(successor, &k, NOON_US));
    assert_true(take_one(t->c, &k, NOON_US));
    assert_false(take_one(successor, &k, NOON_US));
    counters_close(t->c);
    t->c = successor;
    assert_false(take_one(successor, &k, NOON_US));
}

static void memory_without_a_file_is_handed_on_by_descriptor(void **state)
{
    struct counters_conf conf = { .fd = -1, .slots = 1024 };
    struct counters_opened opened;
    struct counters *old, *successor;
    struct take k;
    (void)state;

    must(!counters_open(&conf, NOON_US, &old, &opened));
    assert_true(opened.created);
    k = per_minute(old, "a", 1);
    assert_true(take_one(old, &k, NOON_US));
    conf.fd = dup(counters_fd(old));
    must(!counters_open(&conf, NOON_US, &successor, &opened));
    assert_false(opened.created);
    counters_close(old);
    assert_false(take_one(successor, &k, NOON_US));
    counters_close(successor);
    close(conf.fd);
}

static void overwrite(const char *path, off_t at, const char *bytes)
{
    int fd = open(path, O_WRONLY);

    must(fd >= 0 && pwrite(fd, bytes, strlen(bytes), at) > 0);
    close(fd);
}

static void a_table_of_another_layout_is_replaced_and_said(void **state)
{
    struct table *t = *state;
    struct counters_conf conf = table_conf(t);
    struct take k = per_minute(t->c, "a", 2);
    struct counters_opened opened;
    struct counters *successor;

    assert_true(take_one(t->c, &k, NOON_US));
    overwrite(t->path, 8, "\xff"); /* version */
    must(!counters_open(&conf, NOON_US, &successor, &opened));
    assert_string_equal(opened.replaced,
                        "it has the layout of another version");
    assert_true(opened.created);
    /* The one who has it open goes on with the old one. */
    assert_int_equal(used_of(t->c, k, NOON_US), 1);
    k = per_minute(successor, "a", 2);
    assert_int_equal(used_of(successor, k, NOON_US), 0);
    counters_close(t->c);
    t->c = successor;
}

static void what_is_no_table_is_replaced(void **state)
{
    struct table *t = *state;
    int fd;

    counters_close(t->c);
    must(!truncate(t->path, 100));
    table_open_at(t, NOON_US);
    assert_string_equal(t->opened.replaced, "it is cut short");
    counters_close(t->c);
    fd = open(t->path, O_WRONLY | O_TRUNC);
    must(fd >= 0 && !ftruncate(fd, 1 << 20));
    close(fd);
    table_open_at(t, NOON_US);
    assert_non_null(t->opened.replaced);
}

static void another_size_takes_the_counters_along(void **state)
{
    struct table *t = *state;
    struct counters_conf conf = table_conf(t);
    struct take k[500];

    for (int i = 0; i < 500; i++) {
        char name[16];

        snprintf(name, sizeof(name), "k%d", i);
        k[i] = per(t->c, name, 2, i % 2 ? WINDOW_SECOND : WINDOW_HOUR, 1);
        assert_true(take_one(t->c, &k[i], NOON_US));
    }
    counters_close(t->c);
    conf.slots = 16384;
    must(!counters_open(&conf, NOON_US, &t->c, &t->opened));
    assert_int_equal(t->opened.slots, 16384);
    assert_int_equal(t->opened.moved, 500);
    assert_int_equal(t->opened.boots, 2);
    for (int i = 0; i < 500; i++)
        assert_int_equal(used_of(t->c, k[i], NOON_US), 1);
}

static void a_table_in_use_keeps_its_size(void **state)
{
    struct table *t = *state;
    struct counters_conf conf = table_conf(t);
    struct counters_opened opened;
    struct counters *other;

    conf.slots = 16384;
    must(!counters_open(&conf, NOON_US, &other, &opened));
    assert_int_equal(opened.slots, 4096);
    counters_close(other);
}

static void seventeen_processes_are_too_many(void **state)
{
    struct table *t = *state;
    struct counters_conf conf = table_conf(t);
    struct counters_opened opened;
    struct counters *others[15], *none;

    for (int i = 0; i < 15; i++)
        must(!counters_open(&conf, NOON_US, &others[i], &opened));
    assert_int_equal(counters_open(&conf, NOON_US, &none, &opened), ERR_LIMIT);
    counters_close(others[7]);
    must(!counters_open(&conf, NOON_US, &others[7], &opened));
    for (int i = 0; i < 15; i++)
        counters_close(others[i]);
}

/* ---- disk ---- */

/* Memory is gone, the disk is not. */
static void reboot(struct table *t, uint64_t now_us)
{
    counters_close(t->c);
    unlink(t->path);
    table_open_at(t, now_us);
}

static void long_windows_outlive_a_reboot(void **state)
{
    struct table *t = *state;
    struct take month = per(t->c, "a", 5, WINDOW_MONTH, 1);
    struct take hour = per(t->c, "a", 5, WINDOW_HOUR, 1);
    struct take minute = per_minute(t->c, "a", 5);
    struct take slow = { .key = key_named(t->c, "r"),
                         .kind = TAKE_RATE,
                         .interval_us = 3600 * SECOND_US,
                         .limit = 3,
                         .cost = 1 };

    for (int i = 0; i < 2; i++) {
        assert_true(take_one(t->c, &month, NOON_US));
        assert_true(take_one(t->c, &hour, NOON_US));
        assert_true(take_one(t->c, &minute, NOON_US));
        assert_true(take_one(t->c, &slow, NOON_US));
    }
    assert_int_equal(counters_flush(t->c, NOON_US), ERR_OK);
    assert_true(take_one(t->c, &month, NOON_US));
    assert_int_equal(counters_flush(t->c, NOON_US), ERR_OK);
    assert_true(take_one(t->c, &month, NOON_US)); /* the last second is lost */
    reboot(t, NOON_US);
    assert_true(t->opened.created);
    assert_null(t->opened.disk_bad);
    assert_int_equal(used_of(t->c, month, NOON_US), 3);
    assert_int_equal(used_of(t->c, hour, NOON_US), 2);
    assert_int_equal(used_of(t->c, minute, NOON_US), 0);
    assert_int_equal(used_of(t->c, slow, NOON_US), 2);
    reboot(t, NOON_US + 3600 * SECOND_US);
    assert_int_equal(used_of(t->c, month, NOON_US + 3600 * SECOND_US), 3);
    assert_int_equal(used_of(t->c, hour, NOON_US + 3600 * SECOND_US), 0);
}

static off_t size_of(const char *path)
{
    struct stat st;

    must(!stat(path, &st));
    return st.st_size;
}

static void only_what_changed_is_written(void **state)
{
    struct table *t = *state;
    struct take a = per(t->c, "a", 5, WINDOW_DAY, 1);
    struct take b = per(t->c, "b", 5, WINDOW_DAY, 1);
    off_t size;

    assert_true(take_one(t->c, &a, NOON_US));
    assert_true(take_one(t->c, &b, NOON_US));
    must(!counters_flush(t->c, NOON_US));
    size = size_of(t->disk);
    must(!counters_flush(t->c, NOON_US));
    assert_int_equal(size_of(t->disk), size);
    assert_true(take_one(t->c, &a, NOON_US));
    must(!counters_flush(t->c, NOON_US));
    assert_int_equal(size_of(t->disk), size + 16 + 48);
}

static void the_file_does_not_grow_for_ever(void **state)
{
    struct table *t = *state;
    struct take a = per(t->c, "a", 100000, WINDOW_DAY, 1);

    for (int i = 0; i < 10000; i++) {
        assert_true(take_one(t->c, &a, NOON_US));
        if (i % 2)
            must(!counters_flush(t->c, NOON_US));
    }
    assert_true(size_of(t->disk) < 300000);
    reboot(t, NOON_US);
    assert_int_equal(used_of(t->c, a, NOON_US), 10000);
}

static void half_a_batch_is_left_out_and_said(void **state)
{
    struct table *t = *state;
    struct take a = per(t->c, "a", 5, WINDOW_DAY, 1);

    assert_true(take_one(t->c, &a, NOON_US));
    must(!counters_flush(t->c, NOON_US));
    assert_true(take_one(t->c, &a, NOON_US));
    must(!counters_flush(t->c, NOON_US));
    must(!truncate(t->disk, size_of(t->disk) - 3));
    reboot(t, NOON_US);
    assert_string_equal(t->opened.disk_bad, "its end is cut short or damaged");
    assert_int_equal(used_of(t->c, a, NOON_US), 1);
    /* What is written afterwards is not hidden behind it. */
    assert_true(take_one(t->c, &a, NOON_US));
    must(!counters_flush(t->c, NOON_US));
    assert_true(take_one(t->c, &a, NOON_US));
    must(!counters_flush(t->c, NOON_US));
    reboot(t, NOON_US);
    assert_null(t->opened.disk_bad);
    assert_int_equal(used_of(t->c, a, NOON_US), 3);
}

static void a_foreign_file_on_disk_is_said_and_written_over(void **state)
{
    struct table *t = *state;
    struct take a;
    FILE *f = fopen(t->disk, "w");

    must(f && fputs("not ours at all, but longer than a head", f) > 0);
    fclose(f);
    reboot(t, NOON_US);
    assert_string_equal(t->opened.disk_bad,
                        "it is not of this program, or damaged");
    a = per(t->c, "a", 5, WINDOW_DAY, 1);
    assert_true(take_one(t->c, &a, NOON_US));
    must(!counters_flush(t->c, NOON_US));
    reboot(t, NOON_US);
    assert_int_equal(used_of(t->c, a, NOON_US), 1);
}

static void
a_disk_that_cannot_be_written_is_an_error_and_tried_again(void **state)
{
    struct table *t = *state;
    struct take a = per(t->c, "a", 5, WINDOW_DAY, 1);
    char blocked[128];

    assert_true(take_one(t->c, &a, NOON_US));
    snprintf(blocked, sizeof(blocked), "%s.new", t->disk);
    must(!mkdir(blocked, 0700));
    assert_int_equal(counters_flush(t->c, NOON_US), ERR_IO);
    must(!rmdir(blocked));
    assert_int_equal(counters_flush(t->c, NOON_US), ERR_OK);
    reboot(t, NOON_US);
    assert_int_equal(used_of(t->c, a, NOON_US), 1);
}

/* ---- kill -9 ---- */

enum { CHILDREN = 4, KINDS = 3 };

struct told {
    _Atomic uint64_t begun, served[KINDS];
};

static void takes_of(const struct counters *c, uint32_t kind, uint64_t limit,
                     struct take t[4], uint32_t *n)
{
    *n = 0;
    if (kind != 1)
        t[(*n)++] = per(c, "x", limit, WINDOW_HOUR, 1);
    if (kind != 2)
        t[(*n)++] = per(c, "y", limit + limit / 2, WINDOW_MONTH, 1);
    t[(*n)++] = (struct take) { .key = key_named(c, "at once"),
                                .kind = TAKE_AT_ONCE,
                                .limit = 100,
                                .cost = 1 };
}

static _Noreturn void child(struct table *t, struct told *told, uint64_t limit)
{
    struct counters_conf conf = table_conf(t);
    struct counters_opened opened;
    struct counters *c;

    if (counters_open(&conf, NOON_US, &c, &opened))
        _exit(1);
    for (uint32_t i = 0;; i++) {
        struct take takes[4];
        struct limits_result r;
        uint32_t n, kind = i % KINDS;

        takes_of(c, kind, limit, takes, &n);
        atomic_fetch_add(&told->begun, 1);
        if (limits_take(c, takes, n, NOON_US, &r)) {
            atomic_fetch_add(&told->served[kind], 1);
            limits_give(c, takes, r.held, NOON_US);
        }
    }
}

static pid_t start(struct table *t, struct told *told, uint64_t limit)
{
    pid_t pid = fork();

    must(pid >= 0);
    if (!pid)
        child(t, told, limit);
    return pid;
}

/* Kills one after the other and starts another in its place. */
static unsigned kill_for_a_while(struct table *t, struct told *told,
                                 uint64_t limit, unsigned kills)
{
    pid_t pids[CHILDREN];
    struct rng r;

    rng_seed(&r);
    for (int i = 0; i < CHILDREN; i++)
        pids[i] = start(t, told, limit);
    for (unsigned k = 0; k < kills; k++) {
        int which = (int)rng_below(&r, CHILDREN);

        usleep(1000 + rng_below(&r, 3000));
        must(!kill(pids[which], SIGKILL));
        must(waitpid(pids[which], NULL, 0) == pids[which]);
        pids[which] = start(t, told, limit);
    }
    for (int i = 0; i < CHILDREN; i++) {
        must(!kill(pids[i], SIGKILL));
        must(waitpid(pids[i], NULL, 0) == pids[i]);
    }
    return kills + CHILDREN;
}

static void kills_lose_and_invent_nothing(void **state)
{
    struct table *t = *state;
    struct told *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const uint64_t limit = 1000000000;
    uint64_t x, y, served_x, served_y, killed;
    struct take takes[4];
    struct limits_result r;
    uint32_t n;

    must(told != MAP_FAILED);
    killed = kill_for_a_while(t, told, limit, 150);
    counters_flush(t->c, NOON_US); /* buries the dead */
    takes_of(t->c, 0, limit, takes, &n);
    assert_true(limits_take(t->c, takes, n, NOON_US, &r));
    limits_give(t->c, takes, r.held, NOON_US);
    x = limit - r.states[0].remaining - 1;
    y = limit + limit / 2 - r.states[1].remaining - 1;
    assert_int_equal(r.states[2].remaining, 99); /* none of the dead counts */
    served_x = told->served[0] + told->served[2];
    served_y = told->served[0] + told->served[1];
    /* Never served and not counted; counted and not served only in flight. */
    assert_in_range(x, served_x, served_x + killed);
    assert_in_range(y, served_y, served_y + killed);
    assert_true(served_x > 1000);
    munmap(told, sizeof(*told));
}

static void kills_do_not_move_the_limit(void **state)
{
    struct table *t = *state;
    struct told *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const uint64_t limit = 60000;
    uint64_t served_x, served_y, killed;
    struct take takes[4];
    struct limits_result r;
    uint32_t n;

    must(told != MAP_FAILED);
    killed = kill_for_a_while(t, told, limit, 100);
    takes_of(t->c, 2, limit, takes, &n);
    while (limits_take(t->c, takes, n, NOON_US, &r)) { /* what is left */
        told->served[2]++;
        limits_give(t->c, takes, r.held, NOON_US);
    }
    assert_int_equal(r.refused, 0);
    takes_of(t->c, 0, limit, takes, &n);
    served_x = told->served[0] + told->served[2];
    served_y = told->served[0] + told->served[1];
    assert_int_equal(used_of(t->c, takes[0], NOON_US), limit);
    assert_in_range(served_x, limit - killed, limit);
    assert_in_range(served_y, 0, limit + limit / 2);
    assert_in_range(used_of(t->c, takes[1], NOON_US), served_y,
                    served_y + killed);
    munmap(told, sizeof(*told));
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, table_setup, table_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counts_outlive_the_process),
        TEST(two_processes_use_the_same_slots),
        cmocka_unit_test(memory_without_a_file_is_handed_on_by_descriptor),
        TEST(a_table_of_another_layout_is_replaced_and_said),
        TEST(what_is_no_table_is_replaced),
        TEST(another_size_takes_the_counters_along),
        TEST(a_table_in_use_keeps_its_size),
        TEST(seventeen_processes_are_too_many),
        TEST(long_windows_outlive_a_reboot),
        TEST(only_what_changed_is_written),
        TEST(the_file_does_not_grow_for_ever),
        TEST(half_a_batch_is_left_out_and_said),
        TEST(a_foreign_file_on_disk_is_said_and_written_over),
        TEST(a_disk_that_cannot_be_written_is_an_error_and_tried_again),
        TEST(kills_lose_and_invent_nothing),
        TEST(kills_do_not_move_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
