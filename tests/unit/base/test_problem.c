/* test_problem.c - what is wrong, collected for a person. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/problem.h"

static int new_arena(void **state)
{
    *state = arena_new();
    return 0;
}

static int free_arena(void **state)
{
    arena_free(*state);
    return 0;
}

static void a_problem_names_its_place(void **state)
{
    struct arena *a = *state;
    struct problems ps;
    struct problem *p;

    problems_init(&ps, a);
    problem_error(&ps, STR("pets.yaml"), 14, "%s is %d", "this", 2);
    problem_warn(&ps, STR("pets.yaml"), 0, "odd");
    problem_error(&ps, STR_NULL, 0, "nowhere");
    assert_int_equal(ps.errors, 2);
    assert_int_equal(ps.warnings, 1);
    p = ps.first;
    assert_string_equal(problem_line(a, p).p, "pets.yaml:14: this is 2");
    p = p->next;
    assert_int_equal(p->kind, PROBLEM_WARNING);
    assert_string_equal(problem_line(a, p).p, "pets.yaml: odd");
    p = p->next;
    assert_string_equal(problem_line(a, p).p, "nowhere");
    assert_null(p->next);
    assert_ptr_equal(ps.last, p);
}

static void the_file_name_outlives_its_owner(void **state)
{
    struct arena *a = *state;
    struct problems ps;
    char name[] = "a.yaml";

    problems_init(&ps, a);
    problem_error(&ps, str_z(name), 1, "x");
    problem_error(&ps, str_z(name), 2, "y");
    name[0] = 'b';
    problem_error(&ps, str_z(name), 3, "z");
    assert_string_equal(problem_line(a, ps.first->next).p, "a.yaml:2: y");
    assert_string_equal(problem_line(a, ps.last).p, "b.yaml:3: z");
}

static void more_than_the_most_are_counted_only(void **state)
{
    struct problems ps;
    size_t n = 0;

    problems_init(&ps, *state);
    for (int i = 0; i < 250; i++)
        problem_error(&ps, STR_NULL, 0, "problem %d", i);
    for (struct problem *p = ps.first; p; p = p->next)
        n++;
    assert_int_equal(n, PROBLEMS_MAX);
    assert_int_equal(ps.kept, PROBLEMS_MAX);
    assert_int_equal(ps.errors, 250);
    assert_true(str_is(ps.last->text, "problem 99"));
}

static void a_problem_is_one_line_of_bounded_length(void **state)
{
    struct problems ps;
    char text[5001];

    problems_init(&ps, *state);
    problem_error(&ps, STR_NULL, 0, "a\nb\x1b[2Jc");
    assert_true(str_is(ps.first->text, "a b [2Jc"));
    for (size_t i = 0; i < sizeof(text) - 1; i += 2)
        snprintf(text + i, 3, "\xc3\xa4");
    text[sizeof(text) - 1] = 0;
    for (size_t skip = 0; skip < 4; skip++) {
        struct str s;

        problem_error(&ps, STR_NULL, 0, "%.*s%s", (int)skip, "xxx", text);
        s = ps.last->text;
        assert_in_range(s.len, 1000, 1024);
        assert_true(str_ends(s, STR("\xa4\xe2\x80\xa6")));
    }
}

#define with_arena(test) \
    cmocka_unit_test_setup_teardown(test, new_arena, free_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(a_problem_names_its_place),
        with_arena(the_file_name_outlives_its_owner),
        with_arena(more_than_the_most_are_counted_only),
        with_arena(a_problem_is_one_line_of_bounded_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
