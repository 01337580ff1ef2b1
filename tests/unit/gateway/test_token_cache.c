/* test_token_cache.c - what a thread remembers of tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/credential/token_cache.h"

static struct token_cache *c;

static int begin(void **state)
{
    (void)state;
    c = token_cache_new(16);
    return 0;
}

static int end(void **state)
{
    (void)state;
    token_cache_free(c);
    arena_thread_done();
    return 0;
}

static struct token_entry *add(const char *token)
{
    struct arena *a = arena_new();

    return token_cache_add(c, arena_copy(a, str_z(token)), a);
}

static void a_token_is_found_by_all_of_its_bytes(void **state)
{
    char a[200], b[200];
    (void)state;

    memset(a, 'x', sizeof(a));
    a[199] = 0;
    memcpy(b, a, sizeof(a));
    b[3] = 'y'; /* the same end, the same length */
    add(a);
    assert_non_null(token_cache_find(c, str_z(a)));
    assert_null(token_cache_find(c, str_z(b)));
    assert_null(token_cache_find(c, str_head(str_z(a), 198)));
}

static void the_least_used_of_a_set_goes(void **state)
{
    struct token_cache *one = token_cache_new(1); /* a single set */
    struct arena *a;
    char name[16];
    (void)state;

    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        a = arena_new();
        token_cache_add(one, arena_copy(a, str_z(name)), a);
    }
    assert_non_null(token_cache_find(one, STR("t0")));
    token_cache_add(one, STR("t4"), arena_new());
    assert_non_null(token_cache_find(one, STR("t0")));
    assert_null(token_cache_find(one, STR("t1")));
    assert_non_null(token_cache_find(one, STR("t4")));
    token_cache_free(one);
}

static void a_held_entry_outlives_its_place(void **state)
{
    struct token_entry *e = add("one");
    (void)state;

    e->caller.user = arena_copy(e->arena, STR("somebody"));
    token_entry_hold(e);
    token_cache_remove(c, e);
    assert_null(token_cache_find(c, STR("one")));
    assert_true(str_is(e->caller.user, "somebody"));
    token_entry_drop(e);
}

static void the_same_token_has_one_place(void **state)
{
    struct token_entry *first = add("one"), *second;
    (void)state;

    (void)first;
    second = add("one");
    assert_ptr_equal(token_cache_find(c, STR("one")), second);
}

static void a_failure_is_known_for_a_while_and_a_version(void **state)
{
    (void)state;
    token_cache_fail(c, STR("bad"), (struct token_failure) { 7, 100, 0, 3 });
    assert_int_equal(token_cache_failure(c, STR("bad"), 7, 99, 5), 3);
    assert_int_equal(token_cache_failure(c, STR("bad"), 7, 100, 5), 0);
    assert_int_equal(token_cache_failure(c, STR("bad"), 8, 99, 5), 0);
    assert_int_equal(token_cache_failure(c, STR("bae"), 7, 99, 5), 0);
    /* Expired, by a clock that is set back then. */
    token_cache_fail(c, STR("old"), (struct token_failure) { 7, 100, 50, 3 });
    assert_int_equal(token_cache_failure(c, STR("old"), 7, 99, 50), 3);
    assert_int_equal(token_cache_failure(c, STR("old"), 7, 99, 49), 0);
}

static void failures_never_push_out_good_tokens(void **state)
{
    char name[16];
    (void)state;

    add("good");
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "bad%d", i);
        token_cache_fail(c, str_z(name),
                         (struct token_failure) { 1, 100, 0, 1 });
    }
    assert_non_null(token_cache_find(c, STR("good")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_found_by_all_of_its_bytes),
        TEST(the_least_used_of_a_set_goes),
        TEST(a_held_entry_outlives_its_place),
        TEST(the_same_token_has_one_place),
        TEST(a_failure_is_known_for_a_while_and_a_version),
        TEST(failures_never_push_out_good_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
