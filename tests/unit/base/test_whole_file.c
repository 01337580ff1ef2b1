/* test_whole_file.c - replacing a file, and seeing that one was replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/whole_file.h"
#include "temp_folder.h"

static struct arena *a;
static struct problems ps;
static char folder[TEMP_FOLDER_PATH];
static struct str path;

static int begin(void **state)
{
    (void)state;
    a = arena_new();
    problems_init(&ps, a);
    temp_folder_make(folder);
    path = arena_printf(a, "%s/file", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    arena_free(a);
    return 0;
}

static struct file_mark mark(void)
{
    struct file_mark m;

    file_mark_take(path, &m);
    return m;
}

static void replace(const char *text)
{
    assert_int_equal(whole_file_replace(path, str_z(text), &ps), ERR_OK);
}

static void a_file_that_is_not_there_differs_from_one_that_is(void **state)
{
    struct file_mark before = mark(), after;
    (void)state;

    assert_int_equal(before.s.st_ino, 0);
    after = mark();
    assert_false(file_mark_differs(&before, &after));
    replace("one");
    after = mark();
    assert_true(file_mark_differs(&before, &after));
}

static void a_replaced_file_differs_though_it_says_the_same(void **state)
{
    struct file_mark before, after;
    (void)state;

    replace("same");
    before = mark();
    replace("same");
    after = mark();
    assert_true(file_mark_differs(&before, &after));
    before = mark();
    assert_false(file_mark_differs(&before, &after));
}

static void the_mode_stays_and_a_first_file_is_for_its_owner_alone(void **state)
{
    struct stat s;
    (void)state;

    replace("one");
    assert_int_equal(stat(path.p, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    assert_int_equal(chmod(path.p, 0640), 0);
    replace("two");
    assert_int_equal(stat(path.p, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0640);
    assert_int_equal(s.st_size, 3);
}

static void what_cannot_be_written_leaves_the_old_and_says_where(void **state)
{
    struct str elsewhere = arena_printf(a, "%s/none/file", folder);
    (void)state;

    assert_int_equal(whole_file_replace(elsewhere, STR("x"), &ps), ERR_IO);
    assert_non_null(strstr(ps.first->file.p, "none/file"));
    assert_int_equal(whole_file_lock(elsewhere, &ps), -1);
    assert_int_equal(ps.errors, 2);
}

static void a_lock_is_held_until_it_is_closed(void **state)
{
    int fd = whole_file_lock(path, &ps);
    (void)state;

    assert_true(fd >= 0);
    close(fd);
    fd = whole_file_lock(path, &ps); /* would wait for ever */
    assert_true(fd >= 0);
    close(fd);
}

static void a_file_is_read_up_to_its_ceiling(void **state)
{
    struct str text = STR_NULL;
    (void)state;

    assert_int_equal(whole_file_read(a, path, 10, &ps, &text), ERR_NOT_FOUND);
    assert_int_equal(ps.errors, 0);
    replace("0123456789");
    assert_int_equal(whole_file_read(a, path, 10, &ps, &text), ERR_OK);
    assert_string_equal(text.p, "0123456789");
    assert_int_equal(whole_file_read(a, path, 9, &ps, &text), ERR_LIMIT);
    assert_int_equal(ps.errors, 1);
    assert_int_equal(
        whole_file_read(a, arena_printf(a, "%s", folder), 9, &ps, &text),
        ERR_IO);
    assert_int_equal(ps.errors, 2);
    assert_int_equal(whole_file_read(a,
                                     arena_printf(a, "%.*s/x", STR_ARG(path)),
                                     9, &ps, &text),
                     ERR_NOT_FOUND);
    unlink(path.p);
    assert_int_equal(mkfifo(path.p, 0600), 0); /* is not waited for */
    assert_int_equal(whole_file_read(a, path, 9, &ps, &text), ERR_IO);
    assert_int_equal(ps.errors, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_not_there_differs_from_one_that_is),
        TEST(a_replaced_file_differs_though_it_says_the_same),
        TEST(the_mode_stays_and_a_first_file_is_for_its_owner_alone),
        TEST(what_cannot_be_written_leaves_the_old_and_says_where),
        TEST(a_file_is_read_up_to_its_ceiling),
        TEST(a_lock_is_held_until_it_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
