/* test_ledger.c - rings, and steps that a kill may end anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "events/appender.h"
#include "events/spool.h"
#include "temp_folder.h"

static char folder[TEMP_FOLDER_PATH];

static int begin(void **state)
{
    (void)state;
    temp_folder_make(folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    return 0;
}

/* ---- rings ---- */

static void put(struct ring *r, const char *line)
{
    uint64_t n;
    char *out = ring_begin(r, &n);

    assert_non_null(out);
    memcpy(out, line, strlen(line));
    ring_commit(r, n, strlen(line));
}

static void take_all(struct ring *r, uint64_t lines)
{
    struct str s = ring_lines(r, SIZE_MAX);

    assert_int_equal(events_count_lines(s), lines);
    ring_take(r, ring_tail(r) + s.len, atomic_load(&r->state->taken) + lines);
}

static void lines_come_out_as_they_went_in_over_the_ring_s_end(void **state)
{
    struct ring_file *f;
    struct ring *r;
    char line[3001];
    (void)state;

    assert_int_equal(ring_file_new(NULL, 1, 1, 1, &f), ERR_OK);
    r = &f->rings[0];
    assert_int_equal(r->size, 65536);
    for (int i = 0; i < 200; i++) {
        struct str s;

        memset(line, 'a' + i % 26, 2999);
        line[2999] = '\n';
        line[3000] = '\0';
        put(r, line);
        s = ring_lines(r, SIZE_MAX);
        assert_int_equal(s.len, 3000);
        assert_memory_equal(s.p, line, 3000);
        take_all(r, 1);
    }
    ring_file_close(f);
}

static void what_finds_no_room_is_counted(void **state)
{
    struct ring_file *f;
    uint64_t n = 0, made = 0;
    struct ring *r;
    char *out;
    (void)state;

    assert_int_equal(ring_file_new(NULL, 1, 1, 1, &f), ERR_OK);
    r = &f->rings[0];
    while ((out = ring_begin(r, &n))) {
        assert_int_equal(n, ++made);
        memset(out, 'x', 9999);
        out[9999] = '\n';
        ring_commit(r, n, 10000);
    }
    assert_int_equal(atomic_load(&r->state->dropped), 1);
    assert_int_equal(atomic_load(&r->state->made), made + 1);
    assert_true(ring_half_full(r));
    take_all(r, made);
    assert_false(ring_half_full(r));
    out = ring_begin(r, &n);
    assert_non_null(out);
    assert_int_equal(n, made + 2); /* the gap tells of the lost one */
    ring_file_close(f);
}

static void a_file_of_rings_has_its_place_on_the_disk(void **state)
{
    struct ring_file *f;
    struct stat st;
    char path[100];
    (void)state;

    assert_int_equal(ring_file_new(folder, 1, 2, 1 << 20, &f), ERR_OK);
    snprintf(path, sizeof(path), "%s/ring-1", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 2 << 20);
    assert_true(st.st_blocks * 512 >= st.st_size);
    ring_file_close(f);
}

static void batches_end_with_a_line(void **state)
{
    struct ring_file *f;
    (void)state;

    assert_int_equal(ring_file_new(NULL, 1, 1, 1, &f), ERR_OK);
    put(&f->rings[0], "one\n");
    put(&f->rings[0], "two two\n");
    assert_int_equal(ring_lines(&f->rings[0], 11).len, 4);
    assert_int_equal(ring_lines(&f->rings[0], 12).len, 12);
    ring_file_close(f);
}

static void another_process_sees_who_lives_and_takes_what_is_left(void **state)
{
    struct ring_file *f;
    int up[2], down[2], status;
    char byte;
    pid_t pid;
    (void)state;

    assert_int_equal(pipe(up) | pipe(down), 0);
    pid = fork();
    if (pid == 0) {
        struct ring_file *own;

        close(down[1]);
        if (ring_file_new(folder, 7, 2, 1, &own))
            _exit(1);
        put(&own->rings[1], "left behind\n");
        _exit(write(up[1], "x", 1) != 1 || read(down[0], &byte, 1) != 0);
    }
    assert_int_equal(read(up[0], &byte, 1), 1);
    assert_int_equal(ring_file_open(folder, 7, &f), ERR_OK);
    assert_int_equal(f->ring_count, 2);
    assert_false(ring_file_look(f));
    close(down[0]);
    close(down[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(ring_file_look(f));
    assert_int_equal(ring_lines(&f->rings[0], SIZE_MAX).len, 0);
    assert_int_equal(ring_lines(&f->rings[1], SIZE_MAX).len, 12);
    ring_file_close(f);
}

static void a_damaged_file_is_refused(void **state)
{
    char path[100], bytes[200];
    struct ring_file *f;
    FILE *out;
    (void)state;

    assert_int_equal(ring_file_new(folder, 1, 1, 1, &f), ERR_OK);
    put(&f->rings[0], "a line\n");
    ring_file_close(f);
    assert_int_equal(ring_file_open(folder, 1, &f), ERR_OK);
    f->rings[0].state->tail = 100; /* behind the head */
    ring_file_close(f);
    assert_int_equal(ring_file_open(folder, 1, &f), ERR_INVALID);
    assert_int_equal(ring_file_open(folder, 2, &f), ERR_INVALID);

    memset(bytes, 0x5a, sizeof(bytes));
    snprintf(path, sizeof(path), "%s/ring-3", folder);
    out = fopen(path, "w");
    assert_int_equal(fwrite(bytes, sizeof(bytes), 1, out), 1);
    fclose(out);
    assert_int_equal(ring_file_open(folder, 3, &f), ERR_INVALID);
    ring_file_remove_bad(folder, 3, (uint64_t)time(NULL));
    assert_int_equal(access(path, F_OK), 0); /* young: somebody is at it */
    ring_file_remove_bad(folder, 3, (uint64_t)time(NULL) + 3600);
    assert_int_equal(access(path, F_OK), -1);
}

/* ---- steps ---- */

static unsigned applied;
static void count_applied(void *arg, const struct ledger_step *step)
{
    (void)arg, (void)step;
    applied++;
}

static struct ledger *open_ledger(void)
{
    struct ledger *l;

    assert_int_equal(ledger_open(folder, &l), ERR_OK);
    return l;
}

static struct appender *open_file(void)
{
    static struct appender a;
    char path[100];

    snprintf(path, sizeof(path), "%s/events", folder);
    appender_init(&a, str_z(path));
    assert_int_equal(appender_ready(&a, 1), ERR_OK);
    return &a;
}

static void write_part(struct appender *a, const char *bytes)
{
    assert_int_equal(write(a->fd, bytes, strlen(bytes)), strlen(bytes));
}

static void a_step_is_there_after_a_reopening(void **state)
{
    struct ledger *l = open_ledger();
    struct ledger_step s = { .totals = ledger_read(l) };
    char gateway[32];
    (void)state;

    strcpy(gateway, ledger_gateway(l));
    assert_int_equal(ledger_boot(l), 1);
    assert_int_equal(s.totals.spool_first, 1);
    s.totals.delivered = 5;
    applied = 0;
    ledger_apply(l, &s, count_applied, NULL);
    assert_int_equal(applied, 1);
    ledger_close(l);
    l = open_ledger();
    assert_int_equal(ledger_read(l).delivered, 5);
    assert_string_equal(ledger_gateway(l), gateway);
    assert_int_equal(ledger_boot(l), 2);
    assert_int_equal(ledger_left(l, &s), LEDGER_NOTHING);
    ledger_close(l);
}

/* What was on its way when the process ended: nothing, a part, all of it. */
static void begun_steps_are_finished_or_undone(void **state)
{
    static const struct {
        const char *before, *written;
        bool whole;
        size_t size;
    } cases[] = {
        { "", "", false, 0 },
        { "", "1234", false, 0 },
        { "", "12345678", true, 8 },
        { "old\n", "", false, 4 },
        { "old\n", "12", false, 4 },
        { "old\n", "12345678", true, 12 },
        { "old\n", "12345678and more", true, 20 },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct appender *a = open_file();
        struct ledger *l = open_ledger();
        struct ledger_step s = { .totals = ledger_read(l) }, left;

        assert_int_equal(ftruncate(a->fd, 0), 0);
        write_part(a, cases[i].before);
        assert_int_equal(appender_ready(a, 1), ERR_OK);
        s.totals.delivered = 77;
        ledger_write_begins(l, &s, &a->place, 8);
        write_part(a, cases[i].written);
        ledger_close(l); /* killed here */

        l = open_ledger();
        assert_int_equal(ledger_left(l, &left), LEDGER_WRITING);
        assert_int_equal(left.totals.delivered, 77);
        assert_int_equal(ledger_written(l), cases[i].whole);
        assert_int_equal(lseek(a->fd, 0, SEEK_END), (off_t)cases[i].size);
        ledger_write_failed(l);
        assert_int_equal(ledger_left(l, &left), LEDGER_NOTHING);
        ledger_close(l);
        appender_close(a);
    }
}

static void a_file_that_has_gone_counts_as_not_written(void **state)
{
    char other[100];
    struct appender *a = open_file();
    struct ledger *l = open_ledger();
    struct ledger_step s = { .totals = ledger_read(l) };
    (void)state;

    ledger_write_begins(l, &s, &a->place, 8);
    write_part(a, "12345678");
    snprintf(other, sizeof(other), "%s/other", folder);
    assert_int_equal(rename(a->path, other), 0);
    assert_false(ledger_written(l));
    appender_close(a);
    a = open_file(); /* another of that name */
    write_part(a, "12345678");
    assert_false(ledger_written(l));
    appender_close(a);
    ledger_close(l);
}

static void one_process_at_a_time_is_the_writer(void **state)
{
    struct ledger *one = open_ledger(), *two = open_ledger();
    (void)state;

    assert_true(ledger_lock(one));
    assert_false(ledger_lock(two));
    ledger_close(one); /* as a process that ends */
    assert_true(ledger_lock(two));
    ledger_unlock(two);
    ledger_close(two);
}

/* ---- the spool ---- */

static void append(struct spool *s, struct ledger_totals *t, const char *line)
{
    size_t taken;

    assert_int_equal(spool_ready(s, t), ERR_OK);
    assert_int_equal(appender_write(&s->last, str_z(line), &taken), ERR_OK);
    assert_int_equal(taken, strlen(line));
}

static void the_spool_gives_back_in_order_over_segments(void **state)
{
    enum { LINES = 40, LINE = 1 << 20 };
    struct ledger_totals t = { .spool_first = 1 };
    char *line = malloc(LINE + 1), *buf = malloc(2 * LINE);
    struct spool s;
    struct str got;
    (void)state;

    spool_init(&s, folder);
    assert_true(spool_empty(&t));
    for (int i = 0; i < LINES; i++) {
        memset(line, 'A' + i, LINE - 1);
        line[LINE - 1] = '\n';
        line[LINE] = '\0';
        append(&s, &t, line);
    }
    assert_true(t.spool_last > 3);
    spool_close(&s); /* another process goes on */
    spool_init(&s, folder);
    for (int i = 0; i < LINES; i++) {
        assert_int_equal(spool_read(&s, &t, buf, 2 * LINE - 1, &got), ERR_OK);
        assert_int_equal(got.len, LINE);
        assert_int_equal(got.p[0], 'A' + i);
        t.spool_at += got.len;
        spool_clean(&s, &t);
    }
    assert_int_equal(spool_read(&s, &t, buf, 2 * LINE, &got), ERR_OK);
    assert_int_equal(got.len, 0);
    assert_true(spool_empty(&t));
    append(&s, &t, "after\n");
    assert_int_equal(spool_read(&s, &t, buf, 2 * LINE, &got), ERR_OK);
    assert_true(str_is(got, "after\n"));
    spool_close(&s);
    free(line);
    free(buf);
}

static void a_segment_that_somebody_removed_is_passed_over(void **state)
{
    struct ledger_totals t = { .spool_first = 1 };
    char buf[100], path[100];
    struct spool s;
    struct str got;
    (void)state;

    spool_init(&s, folder);
    append(&s, &t, "gone\n");
    snprintf(path, sizeof(path), "%s/spool-1", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(spool_read(&s, &t, buf, sizeof(buf), &got), ERR_OK);
    assert_int_equal(got.len, 0);
    assert_true(spool_empty(&t));
    spool_close(&s);
}

/* ---- rotation ---- */

static unsigned rotated(void)
{
    char command[200];
    unsigned n = 0;
    FILE *f;

    snprintf(command, sizeof(command), "ls %s | grep -c '^events\\.'", folder);
    f = popen(command, "r");
    assert_int_equal(fscanf(f, "%u", &n), 1);
    pclose(f);
    return n;
}

static void files_rotate_by_size_and_age_and_the_newest_stay(void **state)
{
    struct rotation r = { .bytes = 10, .age_s = 100, .keep = 2 };
    struct appender *a = open_file();
    uint64_t now = 1764201600;
    (void)state;

    a->opened_s = now;
    appender_rotate(a, &r, now, 100); /* an empty one stays */
    assert_int_equal(rotated(), 0);
    for (unsigned i = 1; i <= 4; i++) {
        write_part(a, "1234567\n");
        assert_int_equal(appender_ready(a, now), ERR_OK);
        appender_rotate(a, &r, now, 2); /* just fits */
        assert_int_equal(rotated(), i - 1 < 2 ? i - 1 : 2);
        appender_rotate(a, &r, now, 3);
        assert_int_equal(rotated(), i < 2 ? i : 2);
        assert_int_equal(appender_ready(a, now), ERR_OK);
        assert_int_equal(a->place.at, 0);
    }
    write_part(a, "x\n");
    assert_int_equal(appender_ready(a, now), ERR_OK);
    appender_rotate(a, &r, now + 99, 1);
    assert_true(a->fd >= 0);
    appender_rotate(a, &r, now + 100, 1);
    assert_int_equal(a->fd, -1);
}

static void a_pipe_that_takes_a_part_gets_the_rest(void **state)
{
    char *big = malloc(300001), *got = malloc(300001);
    struct appender a = { .fd = -1 };
    int p[2], saved = dup(STDOUT_FILENO);
    size_t done = 0, read_n = 0, taken;
    (void)state;

    for (size_t i = 0; i < 300000; i++)
        big[i] = i % 1000 == 999 ? '\n' : (char)('a' + i / 1000 % 26);
    assert_int_equal(pipe(p), 0);
    fflush(stdout);
    dup2(p[1], STDOUT_FILENO);
    assert_int_equal(appender_ready(&a, 1), ERR_OK);
    while (done < 300000) {
        ssize_t n;

        if (appender_write(&a, str_from(big + done, 300000 - done), &taken))
            taken = 0;
        assert_true(taken % 1000 == 0);
        done += taken;
        n = read(p[0], got + read_n, 70000);
        assert_true(n > 0);
        read_n += (size_t)n;
    }
    dup2(saved, STDOUT_FILENO);
    close(p[1]);
    close(saved);
    while (read_n < 300000)
        read_n += (size_t)read(p[0], got + read_n, 300001 - read_n);
    assert_memory_equal(got, big, 300000);
    close(p[0]);
    free(big);
    free(got);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_come_out_as_they_went_in_over_the_ring_s_end),
        TEST(what_finds_no_room_is_counted),
        TEST(a_file_of_rings_has_its_place_on_the_disk),
        TEST(batches_end_with_a_line),
        TEST(another_process_sees_who_lives_and_takes_what_is_left),
        TEST(a_damaged_file_is_refused),
        TEST(a_step_is_there_after_a_reopening),
        TEST(begun_steps_are_finished_or_undone),
        TEST(a_file_that_has_gone_counts_as_not_written),
        TEST(one_process_at_a_time_is_the_writer),
        TEST(the_spool_gives_back_in_order_over_segments),
        TEST(a_segment_that_somebody_removed_is_passed_over),
        TEST(files_rotate_by_size_and_age_and_the_newest_stay),
        TEST(a_pipe_that_takes_a_part_gets_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
