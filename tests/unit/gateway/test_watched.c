/* test_watched.c - a file that is read again when it was replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/watched.h"
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

/* The thing is a copy of the text; one that begins with ! is no good. */
static unsigned reads;

static enum err load(struct str from, struct problems *to, void **out)
{
    FILE *f = fopen(from.p, "r");
    char text[64] = "";

    reads++;
    if (f) {
        text[fread(text, 1, sizeof(text) - 1, f)] = 0;
        (void)fclose(f);
    }
    if (text[0] == '!') {
        problem_error(to, from, 1, "begins badly");
        return ERR_INVALID;
    }
    *out = x_strdup(str_z(text));
    return ERR_OK;
}

static size_t count(const void *thing)
{
    return strlen(thing);
}

static const struct watched_kind kind = {
    .topic = "test",
    .what = "letters",
    .load = load,
    .free = x_free,
    .count = count,
};
static const struct watched_kind staying = {
    .topic = "test",
    .what = "letters",
    .load = load,
    .free = x_free,
    .count = count,
    .stays = true,
};

static void put(const char *text)
{
    assert_int_equal(whole_file_replace(path, str_z(text), &ps), ERR_OK);
}

static bool refresh(struct watched *w)
{
    void *old;
    bool read = watched_refresh(w, &old);

    x_free(old);
    return read;
}

static void a_new_file_takes_the_place_of_the_old(void **state)
{
    struct watched w;
    void *old;
    (void)state;

    put("one");
    assert_int_equal(watched_open(&w, &kind, path, &ps), ERR_OK);
    assert_string_equal(watched_now(&w), "one");
    assert_false(watched_refresh(&w, &old));
    put("two");
    assert_true(watched_refresh(&w, &old));
    assert_string_equal(old, "one");
    assert_string_equal(watched_now(&w), "two");
    x_free(old);
    watched_close(&w);
}

static void a_bad_one_is_read_once_and_keeps_the_last_good(void **state)
{
    struct watched w;
    (void)state;

    put("one");
    assert_int_equal(watched_open(&w, &kind, path, &ps), ERR_OK);
    put("!");
    reads = 0;
    assert_false(refresh(&w));
    assert_false(refresh(&w));
    assert_int_equal(reads, 1);
    assert_true(w.stale);
    assert_int_equal(w.failures, 1);
    assert_string_equal(watched_now(&w), "one");
    put("!!");
    assert_false(refresh(&w));
    assert_int_equal(w.failures, 2);
    put("good");
    assert_true(refresh(&w));
    assert_false(w.stale);
    assert_string_equal(watched_now(&w), "good");
    watched_close(&w);
}

static void one_that_has_gone_is_empty_or_an_error(void **state)
{
    struct watched w, strict;
    (void)state;

    put("one");
    assert_int_equal(watched_open(&w, &kind, path, &ps), ERR_OK);
    assert_int_equal(watched_open(&strict, &staying, path, &ps), ERR_OK);
    assert_int_equal(unlink(path.p), 0);
    assert_true(refresh(&w));
    assert_string_equal(watched_now(&w), "");
    assert_false(refresh(&strict));
    assert_string_equal(watched_now(&strict), "one");
    assert_true(strict.stale);
    watched_close(&w);
    watched_close(&strict);
}

static void a_bad_first_one_is_a_problem_with_its_place(void **state)
{
    struct watched w;
    (void)state;

    put("!");
    assert_int_equal(watched_open(&w, &kind, path, &ps), ERR_INVALID);
    assert_int_equal(ps.first->line, 1);
    assert_null(watched_now(&w));
    watched_close(&w);
}

static void without_a_path_there_is_nothing(void **state)
{
    struct watched w;
    (void)state;

    assert_int_equal(watched_open(&w, &kind, STR_NULL, &ps), ERR_OK);
    assert_null(watched_now(&w));
    assert_false(refresh(&w));
    watched_close(&w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_takes_the_place_of_the_old),
        TEST(a_bad_one_is_read_once_and_keeps_the_last_good),
        TEST(one_that_has_gone_is_empty_or_an_error),
        TEST(a_bad_first_one_is_a_problem_with_its_place),
        TEST(without_a_path_there_is_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
