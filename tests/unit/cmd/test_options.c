/* test_options.c - command lines against tables of options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cmd/cmd.h"
#include "cmd/options.h"

enum { ARGS_MAX = 16 };

static const struct option table[] = {
    { .name = "config", .value = "FILE" },
    { .name = "http", .value = "ADDR", .repeats = true },
    { .name = "quiet" },
    { 0 },
};

static struct arena *arena;
static struct str wrong;

static enum err parse(struct arguments *out, const char *line)
{
    char *argv[ARGS_MAX];
    struct str rest = str_z(line);
    int argc = 0;

    wrong = STR_NULL;
    while (rest.len && argc < ARGS_MAX)
        argv[argc++] =
            (char *)(uintptr_t)arena_copy(arena, str_cut(&rest, ' ')).p;
    return options_parse(arena, table, argc, argv, out, &wrong);
}

static void assert_wrong(const char *line, const char *why)
{
    struct arguments args;

    assert_int_equal(parse(&args, line), ERR_INVALID);
    assert_string_equal(wrong.p, why);
}

static void options_and_words_may_be_mixed(void **state)
{
    struct arguments args;
    (void)state;

    assert_int_equal(parse(&args, "a.yaml --config x b.yaml --quiet"), ERR_OK);
    assert_string_equal(arguments_get(&args, "config", NULL), "x");
    assert_non_null(arguments_get(&args, "quiet", NULL));
    assert_null(arguments_get(&args, "http", NULL));
    assert_int_equal(args.word_count, 2);
    assert_string_equal(args.words[0], "a.yaml");
    assert_string_equal(args.words[1], "b.yaml");
}

static void a_value_may_follow_an_equals_sign(void **state)
{
    struct arguments args;
    (void)state;

    assert_int_equal(parse(&args, "--config=a=b"), ERR_OK);
    assert_string_equal(arguments_get(&args, "config", NULL), "a=b");
}

static void some_options_repeat(void **state)
{
    struct arguments args;
    size_t at = 0;
    (void)state;

    assert_int_equal(parse(&args, "--http :1 --http=:2"), ERR_OK);
    assert_string_equal(arguments_get(&args, "http", &at), ":1");
    assert_string_equal(arguments_get(&args, "http", &at), ":2");
    assert_null(arguments_get(&args, "http", &at));
    assert_wrong("--config a --config b", "--config is given twice");
}

static void all_values_of_an_option_are_a_list(void **state)
{
    struct arguments args;
    struct conf_strings all;
    (void)state;

    assert_int_equal(parse(&args, "--http :1 --config x --http :2"), ERR_OK);
    all = arguments_all(arena, &args, "http");
    assert_int_equal(all.count, 2);
    assert_true(str_is(all.items[0], ":1"));
    assert_true(str_is(all.items[1], ":2"));
    assert_int_equal(arguments_all(arena, &args, "quiet").count, 0);
}

static void a_time_is_a_second_to_so_many_days(void **state)
{
    static const char *const bad[] = { "soon",  "3",   "0s",
                                       "999ms", "25h", "1000000000d" };
    struct arguments args;
    uint64_t ms = 7;
    (void)state;

    assert_int_equal(parse(&args, "--quiet"), ERR_OK);
    assert_int_equal(arguments_time(&args, "config", 1, &ms), ERR_OK);
    assert_int_equal(ms, 7); /* not given: what it was */
    assert_int_equal(parse(&args, "--config 24h"), ERR_OK);
    assert_int_equal(arguments_time(&args, "config", 1, &ms), ERR_OK);
    assert_int_equal(ms, 24 * 3600 * 1000);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        parse(&args, arena_printf(arena, "--config %s", bad[i]).p);
        assert_int_equal(arguments_time(&args, "config", 1, &ms), ERR_INVALID);
        assert_int_equal(ms, 24 * 3600 * 1000);
    }
}

static void two_dashes_end_options(void **state)
{
    struct arguments args;
    (void)state;

    assert_int_equal(parse(&args, "-- --config -h"), ERR_OK);
    assert_int_equal(args.word_count, 2);
    assert_false(args.help);
    assert_int_equal(parse(&args, "-"), ERR_OK);
    assert_int_equal(args.word_count, 1);
}

static void mistakes_are_named(void **state)
{
    (void)state;

    assert_wrong("--confg x", "unknown option --confg; did you mean --config?");
    assert_wrong("--zzzzzzz", "unknown option --zzzzzzz");
    assert_wrong("-x", "unknown option -x");
    assert_wrong("--config", "--config wants FILE");
    assert_wrong("--config=", "--config wants FILE");
    assert_wrong("--quiet=yes", "--quiet takes no value");
}

static void help_wins_over_mistakes(void **state)
{
    struct arguments args;
    (void)state;

    assert_int_equal(parse(&args, "--nonsense --help"), ERR_OK);
    assert_true(args.help);
    assert_int_equal(parse(&args, "-h"), ERR_OK);
    assert_true(args.help);
}

static void commands_have_one_or_two_words(void **state)
{
    char *gateway[] = { "gateway", "x" };
    char *check[] = { "config", "check" };
    char *none[] = { "config", "chek" };
    int used = 0;
    (void)state;

    assert_ptr_equal(cmd_find(2, gateway, &used), &cmd_gateway);
    assert_int_equal(used, 1);
    assert_ptr_equal(cmd_find(2, check, &used), &cmd_config_check);
    assert_int_equal(used, 2);
    assert_null(cmd_find(2, none, &used));
    assert_true(cmd_is_group("config"));
    assert_false(cmd_is_group("gateway"));
}

static void every_command_says_what_it_is_for(void **state)
{
    (void)state;

    for (const struct cmd *const *c = cmd_table; *c; c++) {
        assert_non_null((*c)->run);
        assert_non_null((*c)->summary);
        for (const struct option *o = (*c)->options; o && o->name; o++)
            assert_non_null(o->help);
    }
}

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_may_be_mixed),
        cmocka_unit_test(a_value_may_follow_an_equals_sign),
        cmocka_unit_test(some_options_repeat),
        cmocka_unit_test(all_values_of_an_option_are_a_list),
        cmocka_unit_test(a_time_is_a_second_to_so_many_days),
        cmocka_unit_test(two_dashes_end_options),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(help_wins_over_mistakes),
        cmocka_unit_test(commands_have_one_or_two_words),
        cmocka_unit_test(every_command_says_what_it_is_for),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
