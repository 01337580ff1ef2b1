/* test_arena.c - memory that lives as long as one thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

static bool aligned(const void *p)
{
    return (uintptr_t)p % _Alignof(max_align_t) == 0;
}

static void every_allocation_is_aligned_and_zeroed(void **state)
{
    struct arena *a = arena_new();
    (void)state;

    memset(arena_raw(a, 1000), 0xff, 1000);
    for (size_t size = 0; size < 3000; size += 7) {
        char *p = arena_alloc(a, size);

        assert_true(aligned(p));
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
    }
    arena_free(a);
}

static void a_recycled_block_is_zeroed_again(void **state)
{
    struct arena *a = arena_new();
    char *p;
    (void)state;

    memset(arena_raw(a, 2000), 0xff, 2000);
    arena_free(a);
    a = arena_new();
    p = arena_alloc(a, 2000);
    for (size_t i = 0; i < 2000; i++)
        assert_int_equal(p[i], 0);
    arena_free(a);
    arena_thread_done();
}

static void allocations_do_not_overlap(void **state)
{
    enum { COUNT = 2000 };
    struct arena *a = arena_new();
    unsigned char *p[COUNT];
    (void)state;

    for (size_t i = 0; i < COUNT; i++) {
        p[i] = arena_raw(a, i % 500 + 1);
        memset(p[i], (int)(i & 0xff), i % 500 + 1);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < i % 500 + 1; j++)
            assert_int_equal(p[i][j], i & 0xff);
    arena_free(a);
}

static void something_big_gets_a_block_of_its_own(void **state)
{
    struct arena *a = arena_new();
    char *small = arena_raw(a, 16);
    size_t before = arena_size(a);
    char *big = arena_raw(a, 10000000);
    (void)state;

    memset(big, 1, 10000000);
    assert_true(arena_size(a) >= before + 10000000);
    assert_true(arena_size(a) < before + 10000000 + 4096);
    /* The block before it is still the one in use. */
    assert_true((size_t)((char *)arena_raw(a, 16) - small) <= 64);
    arena_free(a);
}

static void a_small_arena_is_one_small_block(void **state)
{
    struct arena *a = arena_new();
    (void)state;

    assert_int_equal(arena_size(a), 4096);
    arena_alloc(a, 3000);
    assert_int_equal(arena_size(a), 4096);
    arena_alloc(a, 3000);
    assert_true(arena_size(a) > 4096);
    arena_free(a);
}

struct trace {
    char text[8];
    size_t len;
    struct arena *arena;
};

static struct trace trace;

static void note(void *arg)
{
    trace.text[trace.len++] = *(const char *)arg;
}

static void note_and_defer(void *arg)
{
    note(arg);
    arena_alloc(trace.arena, 10000);
    arena_defer(trace.arena, note, "z");
}

static void deferred_calls_run_newest_first(void **state)
{
    struct arena *a = arena_new();
    (void)state;

    trace = (struct trace) { .arena = a };
    arena_defer(a, note, "a");
    arena_defer(a, note, "b");
    arena_defer(a, note, "c");
    arena_free(a);
    assert_string_equal(trace.text, "cba");
}

static void a_deferred_call_may_defer_and_allocate(void **state)
{
    struct arena *a = arena_new();
    (void)state;

    trace = (struct trace) { .arena = a };
    arena_defer(a, note, "a");
    arena_defer(a, note_and_defer, "b");
    arena_free(a);
    assert_string_equal(trace.text, "bza");
}

static void copies_are_terminated(void **state)
{
    struct arena *a = arena_new();
    struct str s = arena_copy(a, str_from("abcdef", 3));
    struct str none = arena_copy(a, STR_NULL);
    (void)state;

    assert_int_equal(s.len, 3);
    assert_string_equal(s.p, "abc");
    assert_int_equal(none.len, 0);
    assert_string_equal(none.p, "");
    arena_free(a);
}

static void formatted_text_may_be_long(void **state)
{
    struct arena *a = arena_new();
    (void)state;

    for (int n = 250; n < 260; n++) {
        struct str s = arena_printf(a, "%0*d", n, 7);

        assert_int_equal(s.len, n);
        assert_int_equal(strlen(s.p), n);
        assert_int_equal(s.p[n - 1], '7');
    }
    assert_int_equal(arena_printf(a, "%09000d", 1).len, 9000);
    arena_free(a);
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;

    arena_free(NULL);
    arena_thread_done();
}

static void many_arenas_at_once_and_again(void **state)
{
    struct arena *all[200];
    (void)state;

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 200; i++) {
            all[i] = arena_new();
            arena_alloc(all[i], i * 100);
        }
        for (size_t i = 0; i < 200; i++)
            arena_free(all[i]);
    }
    arena_thread_done();
}

static void process_memory_is_zeroed_and_copied(void **state)
{
    uint64_t *n = x_array(10, sizeof(*n));
    char *z = x_strdup(str_from("abcdef", 3));
    (void)state;

    for (size_t i = 0; i < 10; i++)
        assert_int_equal(n[i], 0);
    n[9] = 9;
    n = x_resize(n, 20 * sizeof(*n));
    assert_int_equal(n[9], 9);
    assert_string_equal(z, "abc");
    x_free(n);
    x_free(z);
    x_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_is_aligned_and_zeroed),
        cmocka_unit_test(a_recycled_block_is_zeroed_again),
        cmocka_unit_test(allocations_do_not_overlap),
        cmocka_unit_test(something_big_gets_a_block_of_its_own),
        cmocka_unit_test(a_small_arena_is_one_small_block),
        cmocka_unit_test(deferred_calls_run_newest_first),
        cmocka_unit_test(a_deferred_call_may_defer_and_allocate),
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(formatted_text_may_be_long),
        cmocka_unit_test(freeing_nothing_is_fine),
        cmocka_unit_test(many_arenas_at_once_and_again),
        cmocka_unit_test(process_memory_is_zeroed_and_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
