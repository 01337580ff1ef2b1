/* test_revoked.c - the list of signed keys that were taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "gateway/credential/revoked.h"
#include "temp_folder.h"

enum { DAY_S = 24 * 3600 };

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
    path = arena_printf(a, "%s/list", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    arena_free(a);
    return 0;
}

static struct revoked *load(void)
{
    struct revoked *r = NULL;

    assert_int_equal(revoked_load(path, &ps, &r), ERR_OK);
    return r;
}

static void an_id_that_was_added_is_there_and_no_other(void **state)
{
    struct revoked *r = load();
    struct stat st;
    (void)state;

    assert_int_equal(revoked_count(r), 0);
    assert_false(revoked_has(r, STR("one")));
    assert_int_equal(revoked_add(path, STR("one \"1\""), 0, 5, &ps), ERR_OK);
    revoked_free(r);
    r = load();
    assert_true(revoked_has(r, STR("one \"1\"")));
    assert_false(revoked_has(r, STR("one")));
    assert_int_equal(stat(path.p, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    revoked_free(r);
}

static void an_id_is_there_once(void **state)
{
    struct revoked *r;
    (void)state;

    assert_int_equal(revoked_add(path, STR("x"), 0, 5, &ps), ERR_OK);
    assert_int_equal(revoked_add(path, STR("x"), 9, 6, &ps), ERR_OK);
    r = load();
    assert_int_equal(revoked_count(r), 1);
    revoked_free(r);
}

/* Also when nobody knows its end; clocks may differ by a day. */
static void only_what_expired_long_ago_goes(void **state)
{
    struct revoked *r;
    (void)state;

    assert_int_equal(revoked_add(path, STR("never"), 0, 1, &ps), ERR_OK);
    assert_int_equal(revoked_add(path, STR("soon"), 100, 1, &ps), ERR_OK);
    assert_int_equal(revoked_add(path, STR("x"), 0, 99 + DAY_S, &ps), ERR_OK);
    r = load();
    assert_true(revoked_has(r, STR("soon")));
    revoked_free(r);
    assert_int_equal(revoked_add(path, STR("y"), 0, 100 + DAY_S, &ps), ERR_OK);
    r = load();
    assert_false(revoked_has(r, STR("soon")));
    assert_true(revoked_has(r, STR("never")));
    assert_int_equal(revoked_count(r), 3);
    revoked_free(r);
}

static void an_id_that_no_key_can_have_is_refused(void **state)
{
    char longest[REVOKED_ID_MAX + 1];
    (void)state;

    memset(longest, 'x', sizeof(longest));
    assert_int_equal(revoked_add(path, STR(""), 0, 1, &ps), ERR_LIMIT);
    assert_int_equal(
        revoked_add(path, str_from(longest, sizeof(longest)), 0, 1, &ps),
        ERR_LIMIT);
    assert_int_equal(
        revoked_add(path, str_from(longest, REVOKED_ID_MAX), 0, 1, &ps),
        ERR_OK);
}

static void a_broken_file_names_its_line_and_is_not_written(void **state)
{
    static const char *const broken[] = {
        "x",
        "[]",
        "{}",
        "{\"id\":7}",
        "{\"id\":\"\"}",
        "{\"id\":\"a\",\"revoked\":-1}",
        "{\"id\":\"a\",\"expires\":\"1\"}",
    };
    struct revoked *r;
    (void)state;

    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        struct str text = arena_printf(a, "\n{\"id\":\"b\"}\n%s\n", broken[i]);

        problems_init(&ps, a);
        temp_file_write(path, text.p);
        assert_int_equal(revoked_load(path, &ps, &r), ERR_INVALID);
        assert_int_equal(ps.first->line, 3);
        assert_int_equal(revoked_add(path, STR("c"), 0, 1, &ps), ERR_INVALID);
    }
}

static void no_two_tables_have_one_number(void **state)
{
    struct revoked *r = load(), *again = load();
    (void)state;

    assert_true(revoked_number(r) && revoked_number(again));
    assert_true(revoked_number(r) != revoked_number(again));
    revoked_free(r);
    revoked_free(again);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_id_that_was_added_is_there_and_no_other),
        TEST(an_id_is_there_once),
        TEST(only_what_expired_long_ago_goes),
        TEST(an_id_that_no_key_can_have_is_refused),
        TEST(a_broken_file_names_its_line_and_is_not_written),
        TEST(no_two_tables_have_one_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
