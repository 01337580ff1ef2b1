/* test_json.c - what the JSON parser takes, what it refuses, and that text
 * comes back as it went in.
 */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "format/json.h"

static struct arena *arena;
static struct json_error error;

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

static struct json *parse(const char *text)
{
    struct json *j = NULL;

    if (json_parse(arena, str_z(text), &json_default_limits, &j, &error))
        return NULL;
    return j;
}

static enum err parse_error(struct str text, const struct json_limits *limits)
{
    struct json *j = NULL;
    enum err e = json_parse(arena, text, limits, &j, &error);

    assert_true(e == ERR_OK || j == NULL);
    return e;
}

static struct str written(const struct json *j)
{
    struct buf b;
    struct str s;

    buf_init(&b, 1 << 24);
    assert_int_equal(json_write(&b, j), ERR_OK);
    s = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return s;
}

#define assert_text(s, z)                        \
    do {                                         \
        struct str s_ = (s);                     \
        struct str z_ = str_z(z);                \
        assert_int_equal(s_.len, z_.len);        \
        assert_memory_equal(s_.p, z_.p, z_.len); \
    } while (0)

static void every_type_is_read(void **state)
{
    struct json *j = parse("{\"n\": null, \"t\": true, \"f\": false,\n"
                           " \"i\": -12.50e+3, \"s\": \"x\",\n"
                           " \"a\": [1, [], {}]}");
    (void)state;

    assert_non_null(j);
    assert_int_equal(j->type, JSON_OBJECT);
    assert_int_equal(j->count, 6);
    assert_int_equal(json_at(j, "n")->type, JSON_NULL);
    assert_true(json_true(json_at(j, "t")));
    assert_false(json_true(json_at(j, "f")));
    assert_int_equal(json_at(j, "f")->type, JSON_BOOL);
    assert_text(json_at(j, "i")->text, "-12.50e+3");
    assert_text(json_str(json_at(j, "s")), "x");
    assert_int_equal(json_at(j, "a")->count, 3);
    assert_int_equal(json_at(j, "a")->last->type, JSON_OBJECT);
    assert_null(json_at(j, "missing"));
    assert_null(json_str(json_at(j, "i")).p);
    assert_null(json_at(NULL, "x"));
    assert_null(json_at(json_at(j, "s"), "x"));
}

static void nodes_know_their_lines(void **state)
{
    struct json *j = parse("\n\n{\r\n\"a\"\n:\n1,                        \n"
                           "              \"b\": [2,\n\n\n3]}");
    (void)state;

    assert_non_null(j);
    assert_int_equal(j->line, 3);
    assert_int_equal(json_at(j, "a")->key_line, 4);
    assert_int_equal(json_at(j, "a")->line, 6);
    assert_int_equal(json_at(j, "b")->key_line, 7);
    assert_int_equal(json_at(j, "b")->first->line, 7);
    assert_int_equal(json_at(j, "b")->last->line, 10);
}

static void errors_name_line_and_column(void **state)
{
    (void)state;

    assert_null(parse("{\n  \"\xc3\xa4\": nul\n}"));
    assert_int_equal(error.line, 2);
    assert_int_equal(error.column, 8);
    assert_non_null(error.what);
    assert_null(parse(""));
    assert_int_equal(error.line, 1);
    assert_int_equal(error.column, 1);
    assert_null(parse("[1,\n2"));
    assert_int_equal(error.line, 2);
    assert_int_equal(error.column, 2);
    assert_null(parse("{\"a\":1,\n \"b\":2,\n \"a\"\n:3}"));
    assert_int_equal(error.line, 3);
    assert_int_equal(error.column, 2);
    assert_null(parse("[\n \"ok \\u12 \"]"));
    assert_int_equal(error.line, 2);
    assert_int_equal(error.column, 6);
}

static void escapes_are_decoded(void **state)
{
    struct json *j = parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20AC"
                           "\\ud83d\\uDE00 and plain text behind them\"");
    (void)state;

    assert_non_null(j);
    assert_text(j->text, "\"\\/\b\f\n\r\tA\xc3\xa4\xe2\x82\xac"
                         "\xf0\x9f\x98\x80 and plain text behind them");
    j = parse("\"\\u0000\"");
    assert_non_null(j);
    assert_int_equal(j->text.len, 1);
    assert_int_equal(j->text.p[0], 0);
    assert_null(parse("\"\\x\""));
    assert_null(parse("\"\\u12g4\""));
    assert_null(parse("\"\\"));
    assert_null(parse("\"\\\""));
}

static void lone_surrogates_are_refused(void **state)
{
    (void)state;

    assert_null(parse("\"\\ud800\""));
    assert_null(parse("\"\\udc00\""));
    assert_null(parse("\"\\ud800\\u0041\""));
    assert_null(parse("\"\\ud800\\ud800\""));
    assert_null(parse("\"\\udc00\\ud800\""));
    assert_null(parse("\"\\ud800 \\udc00\""));
    assert_null(parse("{\"\\udfff\": 1}"));
}

static void only_well_formed_utf8_is_taken(void **state)
{
    static const char *const good[] = {
        "\x7f",         "\xc2\x80",         "\xdf\xbf",
        "\xe0\xa0\x80", "\xed\x9f\xbf",     "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
    };
    static const char *const bad[] = {
        "\x80",     "\xbf",         "\xc0\x80",         "\xc1\xbf",
        "\xc2",     "\xc2\x41",     "\xe0\x9f\xbf",     "\xed\xa0\x80",
        "\xe1\x80", "\xe1\x80\x41", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80", "\xf1\x80\x80", "\xf1\x80\x80\x41", "\xff",
    };
    (void)state;

    /* at every distance from the start, so also across a block's end */
    for (int pad = 0; pad < 34; pad++) {
        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
            struct str s = arena_printf(arena, "\"%*s%s%*s\"", pad, "", good[i],
                                        34 - pad, "");
            assert_int_equal(parse_error(s, &json_default_limits), ERR_OK);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
            struct str s = arena_printf(arena, "\"%*s%s%*s\"", pad, "", bad[i],
                                        34 - pad, "");
            assert_int_equal(parse_error(s, &json_default_limits), ERR_INVALID);
        }
    }
}

static void strings_end_where_they_end_at_every_length(void **state)
{
    (void)state;

    for (int n = 0; n < 70; n++) {
        struct json *j =
            parse(arena_printf(arena, "[\"%0*d\",\"%0*d\\n\"]", n, 0, n, 0).p);

        assert_non_null(j);
        assert_int_equal(j->first->text.len, n ? n : 1);
        assert_int_equal(j->last->text.len, (n ? n : 1) + 1);
        assert_null(parse(arena_printf(arena, "[\"%0*d", n, 0).p));
        assert_null(parse(arena_printf(arena, "[\"%0*d\x01\"]", n, 0).p));
        assert_null(parse(arena_printf(arena, "[\"%0*d\n\"]", n, 0).p));
    }
}

static void numbers_are_json_numbers_and_keep_their_text(void **state)
{
    static const char *const good[] = {
        "0",
        "-0",
        "10",
        "1.0",
        "0.10",
        "1e5",
        "1E+5",
        "1.5e-10",
        "123456789012345678901234567890.123456789012345678901234567890",
    };
    static const char *const bad[] = {
        "+1", "01",  "-01", ".5", "1.",  "1.e1", "1e",  "1e+",
        "-",  "--1", "0x1", "1a", "NaN", "1_0",  "1 2", "Infinity",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct json *j = parse(good[i]);

        assert_non_null(j);
        assert_int_equal(j->type, JSON_NUMBER);
        assert_text(j->text, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_null(parse(bad[i]));
}

static void whole_numbers_are_read_within_a_maximum(void **state)
{
    uint64_t n = 7;
    (void)state;

    assert_int_equal(json_u64(parse("18446744073709551615"), UINT64_MAX, &n),
                     ERR_OK);
    assert_true(n == UINT64_MAX);
    assert_int_equal(json_u64(parse("11"), 10, &n), ERR_LIMIT);
    assert_int_equal(json_u64(parse("1.0"), 10, &n), ERR_INVALID);
    assert_int_equal(json_u64(parse("1e0"), 10, &n), ERR_INVALID);
    assert_int_equal(json_u64(parse("-1"), 10, &n), ERR_INVALID);
    assert_int_equal(json_u64(parse("\"1\""), 10, &n), ERR_INVALID);
    assert_int_equal(json_u64(NULL, 10, &n), ERR_INVALID);
    assert_true(n == UINT64_MAX);
}

static void duplicate_names_are_refused_or_the_last_wins(void **state)
{
    struct json_limits lax = json_default_limits;
    struct json *j = NULL;
    (void)state;

    lax.duplicate_keys = true;
    assert_null(parse("{\"a\":1,\"b\":2,\"a\":3}"));
    assert_null(parse("{\"a\":1,\"\\u0061\":3}"));
    assert_null(parse("{\"\":1,\"\":3}"));
    assert_non_null(parse("{\"a\":{\"a\":{\"a\":1}}}"));
    assert_int_equal(json_parse(arena,
                                STR("{\"a\":[1],\"b\":2,\"a\":{\"x\":3},"
                                    "\"a\":[4,5],\"b\":null}"),
                                &lax, &j, &error),
                     ERR_OK);
    assert_text(written(j), "{\"a\":[4,5],\"b\":null}");
    assert_int_equal(j->count, 2);
}

static struct str big_object(size_t members, const char *extra)
{
    struct buf b;
    struct str s;

    buf_init(&b, 1 << 24);
    for (size_t i = 0; i < members; i++)
        buf_printf(&b, "%c\"name %zu\":%zu", i ? ',' : '{', i, i);
    buf_printf(&b, "%s}", extra);
    s = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return s;
}

static void large_objects_find_members_and_duplicates_too(void **state)
{
    struct json_limits lax = json_default_limits;
    struct json *j;
    (void)state;

    for (size_t n = 14; n < 20; n++) {
        struct str text = big_object(n, "");

        assert_int_equal(
            json_parse(arena, text, &json_default_limits, &j, &error), 0);
        assert_int_equal(j->count, n);
        assert_text(json_at(j, "name 0")->text, "0");
        assert_ptr_equal(json_get(j, j->last->key), j->last);
        assert_null(json_at(j, "name 99"));
        assert_int_equal(j->index != NULL, n > 16);
        assert_int_equal(
            parse_error(big_object(n, ",\"name 3\":0"), &json_default_limits),
            ERR_INVALID);
    }
    lax.duplicate_keys = true;
    assert_int_equal(
        json_parse(arena, big_object(500, ",\"name 3\":{}"), &lax, &j, &error),
        ERR_OK);
    assert_int_equal(j->count, 500);
    assert_int_equal(json_at(j, "name 3")->type, JSON_OBJECT);
    assert_ptr_equal(json_at(j, "name 3"), j->first->next->next->next);
}

static struct str nested(size_t depth, char open, char close)
{
    char *p = arena_raw(arena, 2 * depth + 1);

    memset(p, open, depth);
    memset(p + depth, close, depth);
    return str_from(p, 2 * depth);
}

static void limits_are_kept(void **state)
{
    struct json_limits few = json_default_limits;
    (void)state;

    few.max_depth = 3;
    few.max_nodes = 5;
    few.max_bytes = 20;
    assert_int_equal(parse_error(STR("[[[1]]]"), &few), ERR_OK);
    assert_int_equal(parse_error(STR("[[[[1]]]]"), &few), ERR_LIMIT);
    assert_int_equal(parse_error(STR("[1,2,3,4]"), &few), ERR_OK);
    assert_int_equal(parse_error(STR("[1,2,3,4,5]"), &few), ERR_LIMIT);
    assert_int_equal(parse_error(STR("\"123456789012345678\""), &few), ERR_OK);
    assert_int_equal(parse_error(STR("\"1234567890123456789\""), &few),
                     ERR_LIMIT);
    few.max_depth = 0;
    assert_int_equal(parse_error(STR("1"), &few), ERR_OK);
    assert_int_equal(parse_error(STR("[]"), &few), ERR_LIMIT);
}

static void *parse_deeply(void *arg)
{
    struct json_limits deep = json_default_limits;
    struct json *j = NULL;
    struct json_error e;
    struct buf b;

    (void)arg;
    deep.max_depth = 1000;
    buf_init(&b, 1 << 16);
    if (json_parse(arena, nested(1001, '[', ']'), &deep, &j, &e) != ERR_LIMIT ||
        json_parse(arena, nested(1000, '[', ']'), &deep, &j, &e) ||
        json_write(&b, j) || b.len != 2000)
        j = NULL;
    buf_done(&b);
    return j;
}

static void the_deepest_nesting_fits_a_small_stack(void **state)
{
    pthread_attr_t attr;
    pthread_t thread;
    void *result;
    (void)state;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    assert_int_equal(pthread_create(&thread, &attr, parse_deeply, NULL), 0);
    pthread_join(thread, &result);
    pthread_attr_destroy(&attr);
    assert_non_null(result);
}

static void pointers_lead_to_members_and_items(void **state)
{
    struct json *j = parse("{\"a/b\":{\"m~n\":[10,{\"\":[20]}]},\"\":1,"
                           "\"c\":\"x\",\"~1\":2}");
    struct str long_name = arena_printf(arena, "/%0300d~0", 0);
    (void)state;

    assert_non_null(j);
    assert_ptr_equal(json_pointer(j, STR("")), j);
    assert_text(json_pointer(j, STR("/a~1b/m~0n/0"))->text, "10");
    assert_text(json_pointer(j, STR("/a~1b/m~0n/1//0"))->text, "20");
    assert_text(json_pointer(j, STR("/"))->text, "1");
    assert_text(json_pointer(j, STR("/~01"))->text, "2");
    assert_null(json_pointer(j, STR("a")));
    assert_null(json_pointer(j, STR("/a~1b/m~0n/2")));
    assert_null(json_pointer(j, STR("/a~1b/m~0n/00")));
    assert_null(json_pointer(j, STR("/a~1b/m~0n/-")));
    assert_null(json_pointer(j, STR("/a~1b/m~0n/")));
    assert_null(json_pointer(j, STR("/a~1b/m~n")));
    assert_null(json_pointer(j, STR("/a~")));
    assert_null(json_pointer(j, STR("/a~2")));
    assert_null(json_pointer(j, STR("/c/x")));
    assert_null(json_pointer(j, long_name));
    json_member(j, arena_printf(arena, "%0300d~", 0),
                json_new_str(arena, STR("y")));
    assert_text(json_pointer(j, long_name)->text, "y");
}

static void writing_gives_the_text_back(void **state)
{
    static const char *const texts[] = {
        "null",
        "[]",
        "{}",
        "[[],{},[[1]],{\"a\":{}}]",
        "{\"a\":[true,false,null,-1.50e3,\"x\"],\"b\":{\"c\":[{}]}}",
        "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f/\x7f\"",
        "\"\xc3\xa4 \xf0\x9f\x98\x80\"",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct json *j = parse(texts[i]);

        assert_non_null(j);
        assert_text(written(j), texts[i]);
    }
}

static void a_subtree_is_written_without_its_neighbours(void **state)
{
    struct json *j = parse("[[1,2],3]");
    (void)state;

    assert_text(written(j->first), "[1,2]");
    assert_text(written(j->first->first), "1");
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    struct buf b;
    (void)state;

    buf_init(&b, 1000);
    assert_int_equal(json_write_str(&b, STR("a\xff\xc3\xa4\xc3")), ERR_OK);
    assert_text(buf_view(&b), "\"a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\"");
    buf_done(&b);
    assert_int_equal(json_write_str(&b, STR_NULL), ERR_OK);
    assert_text(buf_view(&b), "\"\"");
    buf_done(&b);
}

static void a_full_buffer_is_a_limit_and_keeps_its_contents(void **state)
{
    struct json *j = parse("{\"name\":[1,2,\"three\"]}");
    struct buf b;
    (void)state;

    for (size_t max = 1; max < 23; max++) {
        buf_init(&b, max);
        buf_char(&b, 'x');
        assert_int_equal(json_write(&b, j), ERR_LIMIT);
        assert_text(buf_view(&b), "x");
        buf_done(&b);
    }
    buf_init(&b, 23);
    buf_char(&b, 'x');
    assert_int_equal(json_write(&b, j), ERR_OK);
    buf_done(&b);
}

static void trees_can_be_built_by_hand(void **state)
{
    struct json *object = json_new(arena, JSON_OBJECT);
    struct json *array = json_new(arena, JSON_ARRAY);
    struct str key = STR_NULL;
    (void)state;

    json_append(array, json_new_str(arena, STR("one")));
    json_append(array, json_new(arena, JSON_NULL));
    json_member(object, STR("list"), array);
    json_member(object, STR("yes"), json_new(arena, JSON_BOOL));
    assert_text(written(object), "{\"list\":[\"one\",null],\"yes\":false}");
    assert_ptr_equal(json_at(object, "list"), array);

    for (int i = 0; i < 40; i++) {
        if (i == 20)
            json_index(arena, object);
        key = arena_printf(arena, "k%d", i);
        json_member(object, key, json_new(arena, JSON_NULL));
    }
    assert_non_null(object->index);
    assert_ptr_equal(json_get(object, key), object->last);
    assert_ptr_equal(json_at(object, "list"), array);
}

static void types_have_names(void **state)
{
    (void)state;

    assert_string_equal(json_type_name(parse("{}")), "object");
    assert_string_equal(json_type_name(parse("[]")), "array");
    assert_string_equal(json_type_name(parse("\"\"")), "string");
    assert_string_equal(json_type_name(parse("1")), "number");
    assert_string_equal(json_type_name(parse("true")), "boolean");
    assert_string_equal(json_type_name(parse("null")), "null");
    assert_string_equal(json_type_name(NULL), "nothing");
}

static struct str read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t n;
    char *p;

    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    n = (size_t)ftell(f);
    rewind(f);
    /* of exactly this size, so that a sanitizer sees reading past it */
    p = malloc(n ? n : 1);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, n, f), n);
    fclose(f);
    return str_from(p, n);
}

static void the_published_texts_are_judged_as_they_must_be(void **state)
{
    /* they hold that a grammar is no reason to refuse a name given twice */
    struct json_limits lax = json_default_limits;
    static const char folder[] = TEST_DATA_DIR "/json-parsing/test_parsing";
    DIR *dir = opendir(folder);
    struct dirent *entry;
    size_t count = 0;
    (void)state;

    lax.duplicate_keys = true;
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        struct str text;
        enum err first;

        if (entry->d_name[0] == '.')
            continue;
        text = read_file(arena_printf(arena, "%s/%s", folder, entry->d_name).p);
        first = parse_error(text, &lax);
        if (entry->d_name[0] == 'y' ? first != ERR_OK
                                    : entry->d_name[0] == 'n' && !first)
            fail_msg("%s: %s", entry->d_name, err_name(first));
        assert_int_equal(parse_error(text, &lax), first);
        free((void *)(uintptr_t)text.p);
        count++;
    }
    closedir(dir);
    assert_int_equal(count, 318);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_type_is_read),
        TEST(nodes_know_their_lines),
        TEST(errors_name_line_and_column),
        TEST(escapes_are_decoded),
        TEST(lone_surrogates_are_refused),
        TEST(only_well_formed_utf8_is_taken),
        TEST(strings_end_where_they_end_at_every_length),
        TEST(numbers_are_json_numbers_and_keep_their_text),
        TEST(whole_numbers_are_read_within_a_maximum),
        TEST(duplicate_names_are_refused_or_the_last_wins),
        TEST(large_objects_find_members_and_duplicates_too),
        TEST(limits_are_kept),
        TEST(the_deepest_nesting_fits_a_small_stack),
        TEST(pointers_lead_to_members_and_items),
        TEST(writing_gives_the_text_back),
        TEST(a_subtree_is_written_without_its_neighbours),
        TEST(bytes_that_are_no_utf8_are_replaced),
        TEST(a_full_buffer_is_a_limit_and_keeps_its_contents),
        TEST(trees_can_be_built_by_hand),
        TEST(types_have_names),
        TEST(the_published_texts_are_judged_as_they_must_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
