/* test_map.c - keys to pointers, in the order they came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/map.h"

enum { MANY = 100000 };

/* The number behind a key, as a pointer that is not NULL. */
static void *number(size_t n)
{
    return (void *)(uintptr_t)(n + 1);
}

static struct str *many_keys(struct arena *a)
{
    struct str *keys = arena_alloc(a, MANY * sizeof(*keys));

    for (unsigned i = 0; i < MANY; i++)
        keys[i] = arena_printf(a, "key-%u", i);
    return keys;
}

static void what_was_set_is_found(void **state)
{
    struct map *m = map_new(NULL);
    (void)state;

    assert_null(map_get(m, STR("a")));
    assert_null(map_set(m, STR("a"), number(1)));
    assert_null(map_set(m, STR(""), number(2)));
    assert_ptr_equal(map_get(m, STR("a")), number(1));
    assert_ptr_equal(map_get(m, STR_NULL), number(2));
    assert_null(map_get(m, STR("A")));
    assert_int_equal(map_count(m), 2);
    map_free(m);
}

static void setting_again_returns_the_old_value(void **state)
{
    struct map *m = map_new(NULL);
    (void)state;

    map_set(m, STR("a"), number(1));
    assert_ptr_equal(map_set(m, STR("a"), number(2)), number(1));
    assert_ptr_equal(map_get(m, STR("a")), number(2));
    assert_int_equal(map_count(m), 1);
    map_free(m);
}

static void many_keys_are_set_removed_and_visited(struct map *m)
{
    struct arena *a = arena_new();
    struct str *keys = many_keys(a), key;
    size_t at = 0, seen = 0;
    void *value;

    for (size_t i = 0; i < MANY; i++)
        assert_null(map_set(m, keys[i], number(i)));
    for (size_t i = 0; i < MANY; i += 3)
        assert_ptr_equal(map_remove(m, keys[i]), number(i));
    for (size_t i = 0; i < MANY; i++)
        assert_ptr_equal(map_get(m, keys[i]), i % 3 ? number(i) : NULL);
    assert_null(map_remove(m, keys[0]));
    assert_int_equal(map_count(m), MANY - (MANY + 2) / 3);
    for (size_t i = 0; map_next(m, &at, &key, &value); i++, seen++) {
        size_t nth = i / 2 * 3 + 1 + i % 2;

        assert_true(str_eq(key, keys[nth]));
        assert_ptr_equal(value, number(nth));
    }
    assert_int_equal(seen, map_count(m));
    for (size_t i = 0; i < MANY; i++)
        map_remove(m, keys[i]);
    assert_int_equal(map_count(m), 0);
    arena_free(a);
}

static void it_holds_many_keys_in_order(void **state)
{
    struct map *m = map_new(NULL);
    struct arena *a = arena_new();
    (void)state;

    many_keys_are_set_removed_and_visited(m);
    many_keys_are_set_removed_and_visited(m);
    map_free(m);
    many_keys_are_set_removed_and_visited(map_new(a));
    arena_free(a);
}

static void coming_and_going_does_not_make_it_grow(void **state)
{
    struct arena *a = arena_new(), *keys_arena = arena_new();
    struct map *m = map_new(a);
    struct str *keys = many_keys(keys_arena);
    size_t before = 0;
    (void)state;

    for (size_t i = 0; i < MANY; i++) {
        map_set(m, keys[i], number(i));
        if (i >= 40)
            assert_ptr_equal(map_remove(m, keys[i - 40]), number(i - 40));
        if (i == 1000)
            before = arena_size(a);
    }
    assert_int_equal(arena_size(a), before);
    assert_int_equal(map_count(m), 40);
    for (size_t i = MANY - 40; i < MANY; i++)
        assert_ptr_equal(map_get(m, keys[i]), number(i));
    arena_free(a);
    arena_free(keys_arena);
}

static void an_empty_map_has_nothing_to_visit(void **state)
{
    struct map *m = map_new(NULL);
    struct str key;
    void *value;
    size_t at = 0;
    (void)state;

    assert_false(map_next(m, &at, &key, &value));
    assert_null(map_remove(m, STR("a")));
    map_free(m);
    map_free(NULL);
}

static void a_hash_depends_on_every_byte(void **state)
{
    char text[40] = { 0 };
    (void)state;

    for (size_t n = 0; n <= sizeof(text); n++) {
        uint64_t h = hash_bytes(text, n);

        assert_true(h == hash_bytes(text, n));
        assert_true(n == 0 || h != hash_bytes(text, n - 1));
        for (size_t i = 0; i < n; i++) {
            text[i] = 1;
            assert_true(h != hash_bytes(text, n));
            text[i] = 0;
        }
    }
}

static void a_folded_hash_ignores_case_of_ascii_letters_only(void **state)
{
    (void)state;

    assert_true(hash_nocase("Accept-ENCODING", 15) ==
                hash_nocase("accept-encoding", 15));
    assert_true(hash_nocase("accept-encoding", 15) ==
                hash_bytes("accept-encoding", 15));
    for (unsigned c = 0; c < 256; c++) {
        char one[9], other[9];

        memset(one, (int)c, sizeof(one));
        memset(other, (int)(c ^ 0x20), sizeof(other));
        assert_int_equal(hash_nocase(one, 9) == hash_nocase(other, 9),
                         (c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    }
}

static void the_content_hash_is_the_same_everywhere(void **state)
{
    uint64_t h = hash_content(HASH_CONTENT_START, "foo", 3);
    (void)state;

    /* Published values of 64-bit FNV-1a. */
    assert_true(hash_content(HASH_CONTENT_START, "a", 1) ==
                0xaf63dc4c8601ec8cull);
    assert_true(hash_content(h, "bar", 3) == 0x85944171f73967e8ull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_set_is_found),
        cmocka_unit_test(setting_again_returns_the_old_value),
        cmocka_unit_test(it_holds_many_keys_in_order),
        cmocka_unit_test(coming_and_going_does_not_make_it_grow),
        cmocka_unit_test(an_empty_map_has_nothing_to_visit),
        cmocka_unit_test(a_hash_depends_on_every_byte),
        cmocka_unit_test(a_folded_hash_ignores_case_of_ascii_letters_only),
        cmocka_unit_test(the_content_hash_is_the_same_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
