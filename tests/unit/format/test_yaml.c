/* test_yaml.c - YAML becomes the tree that the same JSON would.
 *
 * A document and the compact JSON it must give stand side by side.
 */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "format/yaml.h"

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

static enum err try_limits(struct str text, const struct json_limits *limits,
                           struct json **out)
{
    *out = NULL;
    error = (struct json_error) { 0 };
    return yaml_parse(arena, text, limits, out, &error);
}

static struct json *parse(const char *text)
{
    struct json *j;
    enum err e = try_limits(str_z(text), &json_default_limits, &j);

    if (e)
        fail_msg("%u:%u: %s in\n%s", error.line, error.column, error.what,
                 text);
    return j;
}

static struct str written(const struct json *j)
{
    struct buf b;
    struct str s;

    buf_init(&b, 1 << 26);
    assert_int_equal(json_write(&b, j), ERR_OK);
    s = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return s;
}

static void assert_gives(const char *yaml, const char *json)
{
    struct str s = written(parse(yaml));

    if (!str_is(s, json))
        fail_msg("%s\n gave %s\n not  %s", yaml, s.p, json);
}

static void assert_refused(const char *yaml, enum err expected)
{
    struct json *j;
    enum err e = try_limits(str_z(yaml), &json_default_limits, &j);

    if (e != expected || j || !error.what || !error.line || !error.column)
        fail_msg("%s: %s instead of %s", yaml, err_name(e), err_name(expected));
}

static void plain_scalars_follow_the_core_schema(void **state)
{
    (void)state;

    assert_gives("[null, Null, NULL, ~, ]", "[null,null,null,null]");
    assert_gives("- \n- nULL\n- null x\n", "[null,\"nULL\",\"null x\"]");
    assert_gives("[true, True, TRUE, tRUE]", "[true,true,true,\"tRUE\"]");
    assert_gives("[false, False, FALSE, f]", "[false,false,false,\"f\"]");
    assert_gives("[yes, no, on, off, y, n, No]",
                 "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\",\"No\"]");
    assert_gives("[2026-11-21, 2026-11-21T08:00:00Z, 1:30, 190:20:30]",
                 "[\"2026-11-21\",\"2026-11-21T08:00:00Z\",\"1:30\","
                 "\"190:20:30\"]");
    assert_gives("[.inf, -.inf, +.INF, .nan, .NaN]",
                 "[\".inf\",\"-.inf\",\"+.INF\",\".nan\",\".NaN\"]");
}

static void numbers_are_written_as_json_writes_them(void **state)
{
    (void)state;

    assert_gives("[0, -0, 12, -12, 1.50, 1e5, 1E+5, -1.5e-3]",
                 "[0,-0,12,-12,1.50,1e5,1E+5,-1.5e-3]");
    assert_gives("[+1, .5, -.5, +.5, 1., -1., 1.e3, .5e1]",
                 "[1,0.5,-0.5,0.5,1.0,-1.0,1.0e3,0.5e1]");
    assert_gives("[007, -007, 00, 00.5, +00, 08]", "[7,-7,0,0.5,0,8]");
    assert_gives("[0x1f, 0xFF, 0o17, 0x0, 0xffffffffffffffff]",
                 "[31,255,15,0,18446744073709551615]");
    assert_gives("[123456789012345678901234567890]",
                 "[123456789012345678901234567890]");
    assert_gives("[0x10000000000000000, 0x, 0o, 0o8, 0xg, -0x1, 0b1, 0X1F]",
                 "[\"0x10000000000000000\",\"0x\",\"0o\",\"0o8\",\"0xg\","
                 "\"-0x1\",\"0b1\",\"0X1F\"]");
    assert_gives("[., +, '-', +., -e1, 1e, 1e+, 1_000, 1.2.3, 1 2, 1a]",
                 "[\".\",\"+\",\"-\",\"+.\",\"-e1\",\"1e\",\"1e+\","
                 "\"1_000\",\"1.2.3\",\"1 2\",\"1a\"]");
}

static void quoted_and_block_scalars_are_strings(void **state)
{
    (void)state;

    assert_gives("[\"1\", 'true', \"\", '', 'it''s', \"a\\tb\\u00e4\"]",
                 "[\"1\",\"true\",\"\",\"\",\"it's\",\"a\\tb\xc3\xa4\"]");
    assert_gives("a: |\n  1\n  2\nb: >-\n  3\n  4\n",
                 "{\"a\":\"1\\n2\\n\",\"b\":\"3 4\"}");
    assert_gives("\"\\0\"", "\"\\u0000\"");
}

static void keys_are_text_whatever_they_look_like(void **state)
{
    (void)state;

    assert_gives("200: a\n1.0: b\n0x1f: c\ntrue: d\nnull: e\n~: f\nno: g\n",
                 "{\"200\":\"a\",\"1.0\":\"b\",\"0x1f\":\"c\",\"true\":\"d\","
                 "\"null\":\"e\",\"~\":\"f\",\"no\":\"g\"}");
    assert_gives("? a\n: b\n? c\n", "{\"a\":\"b\",\"c\":null}");
    assert_gives("? \n: x\n", "{\"\":\"x\"}");
    assert_gives("!!str k: v\n", "{\"k\":\"v\"}");
    assert_refused("[1, 2]: x\n", ERR_INVALID);
    assert_refused("{a: b}: x\n", ERR_INVALID);
    assert_refused("? [a]\n: x\n", ERR_INVALID);
}

static void lists_and_maps_nest(void **state)
{
    (void)state;

    assert_gives("a:\n- b: 1\n  c: [x, {d: e}]\n- - 2\n  - {}\n- []\nf:\n",
                 "{\"a\":[{\"b\":1,\"c\":[\"x\",{\"d\":\"e\"}]},[2,{}],[]],"
                 "\"f\":null}");
    assert_gives("%YAML 1.2\n---\n# comment\na: b # too\n...\n",
                 "{\"a\":\"b\"}");
    assert_gives("---\n", "null");
    assert_gives("\xef\xbb\xbf"
                 "a: b",
                 "{\"a\":\"b\"}");
}

static void nodes_know_their_lines(void **state)
{
    struct json *j = parse("# one\n\na: x\nb:\n  - 1\n\n  - c: |\n      t\n");
    (void)state;

    assert_int_equal(j->line, 3);
    assert_int_equal(json_at(j, "a")->line, 3);
    assert_int_equal(json_at(j, "b")->key_line, 4);
    assert_int_equal(json_at(j, "b")->line, 5);
    assert_int_equal(json_at(j, "b")->first->line, 5);
    assert_int_equal(json_at(json_at(j, "b")->last, "c")->key_line, 7);
}

static void errors_name_line_and_column(void **state)
{
    (void)state;

    assert_refused("a: b\n c: d\n", ERR_INVALID);
    assert_int_equal(error.line, 2);
    assert_int_equal(error.column, 3);
    assert_refused("a:\n  b: 1\n  b: 2\n", ERR_INVALID);
    assert_int_equal(error.line, 3);
    assert_int_equal(error.column, 3);
    assert_refused("a: b\nc: \xff\n", ERR_INVALID);
    assert_int_equal(error.line, 2);
    assert_refused("a: b\nc: \x01\n", ERR_INVALID);
    assert_int_equal(error.line, 2);
    assert_refused("a: *b\n", ERR_INVALID);
    assert_int_equal(error.column, 4);
    assert_refused("a: 1\n<<: 3\nb: 2\n", ERR_INVALID);
    assert_int_equal(error.line, 2);
}

static void exactly_one_document_is_read(void **state)
{
    (void)state;

    assert_refused("", ERR_INVALID);
    assert_refused("# nothing\n", ERR_INVALID);
    assert_refused("a: b\n---\nc: d\n", ERR_INVALID);
    assert_refused("---\n---\n", ERR_INVALID);
}

static void what_is_no_yaml_is_refused(void **state)
{
    (void)state;

    assert_refused("{", ERR_INVALID);
    assert_refused("a: [1, 2", ERR_INVALID);
    assert_refused("a: 'b", ERR_INVALID);
    assert_refused("a: \"\\ud800\"", ERR_INVALID);
    assert_refused("a: \"\\q\"", ERR_INVALID);
    assert_refused("\ta: b", ERR_INVALID);
    assert_refused("a: @b", ERR_INVALID);
    assert_refused("a: b: c", ERR_INVALID);
    assert_refused("\xff\xfe"
                   "a\x01",
                   ERR_INVALID);
    assert_refused("\xed\xa0\x80", ERR_INVALID);
    assert_refused("\xc0\x80", ERR_INVALID);
}

static void only_core_tags_are_known(void **state)
{
    (void)state;

    assert_gives("[!!str 1, !!int \"0x10\", !!float 1, !!float '.5', "
                 "!!bool 'true', !!null '', !!str , ! 'a']",
                 "[\"1\",16,1,0.5,true,null,\"\",\"a\"]");
    assert_gives("!!map {a: !!seq [b]}", "{\"a\":[\"b\"]}");
    assert_gives("!<tag:yaml.org,2002:str> 1", "\"1\"");
    assert_refused("!!int 1.5", ERR_INVALID);
    assert_refused("!!int x", ERR_INVALID);
    assert_refused("!!bool 1", ERR_INVALID);
    assert_refused("!!float .inf", ERR_INVALID);
    assert_refused("!!null x", ERR_INVALID);
    assert_refused("!!map [a]", ERR_INVALID);
    assert_refused("!!seq {a: b}", ERR_INVALID);
    assert_refused("!!str [a]", ERR_INVALID);
    assert_refused("!!map a", ERR_INVALID);
    assert_refused("!!binary aGk=", ERR_INVALID);
    assert_refused("!!timestamp 2026-11-21", ERR_INVALID);
    assert_refused("!!set {a}", ERR_INVALID);
    assert_refused("!ref a", ERR_INVALID);
    assert_refused("!ref [a]", ERR_INVALID);
    assert_refused("!ref a: b", ERR_INVALID);
    assert_refused("%TAG ! tag:x,2026:\n---\n!a b\n", ERR_INVALID);
}

static void duplicate_keys_are_refused(void **state)
{
    struct json_limits lax = json_default_limits;
    struct buf b;
    struct json *j;
    (void)state;

    lax.duplicate_keys = true; /* that is for JSON */
    assert_int_equal(try_limits(STR("a: 1\na: 2\n"), &lax, &j), ERR_INVALID);
    assert_refused("a: 1\n\"a\": 2\n", ERR_INVALID);
    assert_refused("{a: 1, b: {a: 1}, a: 2}", ERR_INVALID);
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 100; i++)
        buf_printf(&b, "key%d: %d\n", i, i);
    assert_int_equal(try_limits(buf_view(&b), &lax, &j), ERR_OK);
    assert_non_null(j->index);
    assert_true(str_is(json_at(j, "key77")->text, "77"));
    buf_printf(&b, "key50: x\n");
    assert_int_equal(try_limits(buf_view(&b), &lax, &j), ERR_INVALID);
    assert_int_equal(error.line, 101);
    buf_done(&b);
}

static void aliases_become_copies(void **state)
{
    struct json *j = parse("a: &x {k: [1, &y two, {}]}\nb: *x\nc: [*y, *x]\n");
    struct json *first = json_at(json_at(j, "a"), "k");
    struct json *second = json_at(json_at(j, "b"), "k");
    (void)state;

    assert_true(str_is(written(j), "{\"a\":{\"k\":[1,\"two\",{}]},"
                                   "\"b\":{\"k\":[1,\"two\",{}]},"
                                   "\"c\":[\"two\",{\"k\":[1,\"two\",{}]}]}"));
    assert_ptr_not_equal(first->first, second->first);
    assert_gives("[&a 1, *a, &a 2, *a]", "[1,1,2,2]");
    assert_gives("&a k: *a", "{\"k\":\"k\"}");
    assert_gives("[&a k, {*a : v}]", "[\"k\",{\"k\":\"v\"}]");
    assert_gives("- &a\n- *a\n", "[null,null]");
    assert_refused("[&a 1, {*a : v}]", ERR_INVALID);
    assert_refused("[*a, &a 1]", ERR_INVALID);
}

static void an_alias_inside_its_anchor_is_refused(void **state)
{
    (void)state;

    assert_refused("&a [*a]", ERR_INVALID);
    assert_refused("&a {b: [{c: *a}]}", ERR_INVALID);
    assert_refused("&a {<<: *a}", ERR_INVALID);
    assert_refused("x: &a\n  <<: &b\n    y: *b\n", ERR_INVALID);
    assert_gives("&a [&a 1, *a]", "[1,1]");
}

static void large_copies_have_an_index_of_their_own(void **state)
{
    struct buf b;
    struct json *j, *copy;
    (void)state;

    buf_init(&b, 1 << 20);
    buf_printf(&b, "a: &a\n");
    for (int i = 0; i < 40; i++)
        buf_printf(&b, "  key%d: %d\n", i, i);
    buf_printf(&b, "b: *a\nc:\n  <<: *a\n  key3: own\n");
    assert_int_equal(try_limits(buf_view(&b), &json_default_limits, &j), 0);
    copy = json_at(j, "b");
    assert_ptr_equal(json_at(copy, "key39"), copy->last);
    assert_ptr_equal(json_at(copy, "key0"), copy->first);
    copy = json_at(j, "c");
    assert_int_equal(copy->count, 40);
    assert_true(str_is(json_at(copy, "key3")->text, "own"));
    assert_ptr_equal(json_at(copy, "key39"), copy->last);
    buf_done(&b);
}

static void an_alias_bomb_is_refused(void **state)
{
    struct json_limits small = json_default_limits;
    struct buf b;
    struct json *j;
    (void)state;

    buf_init(&b, 1 << 20);
    buf_printf(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++) {
        buf_printf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            buf_printf(&b, "*a%d,", i - 1);
        buf_printf(&b, "]\n");
    }
    small.max_nodes = 100000;
    assert_int_equal(try_limits(buf_view(&b), &small, &j), ERR_LIMIT);
    buf_done(&b);

    /* few nodes, much text */
    buf_init(&b, 1 << 20);
    buf_printf(&b, "a: &a x%0100000d\nb: [", 1);
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "*a,");
    buf_printf(&b, "]\n");
    small.max_bytes = 1 << 20;
    assert_int_equal(try_limits(buf_view(&b), &small, &j), ERR_LIMIT);
    buf_done(&b);

    /* each alias one deeper than the last */
    buf_init(&b, 1 << 20);
    buf_printf(&b, "a0: &a0 []\n");
    for (int i = 1; i < 300; i++)
        buf_printf(&b, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    assert_int_equal(try_limits(buf_view(&b), &json_default_limits, &j),
                     ERR_LIMIT);
    buf_done(&b);
}

static void merge_keys_fill_in_what_is_missing(void **state)
{
    (void)state;

    assert_gives("a: &a {x: 1, y: 2}\nb:\n  y: 3\n  <<: *a\n  z: 4\n",
                 "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"y\":3,\"z\":4,\"x\":1}}");
    assert_gives("[&a {x: 1, y: 2}, &b {y: 3, z: 4}, {<<: [*a, *b], z: 5}]",
                 "[{\"x\":1,\"y\":2},{\"y\":3,\"z\":4},"
                 "{\"z\":5,\"x\":1,\"y\":2}]");
    assert_gives("<<: {a: 1}\nb: 2\n", "{\"b\":2,\"a\":1}");
    assert_gives("{<<: []}", "{}");
    assert_gives("[&a {<<: {x: {y: 1}}, z: 2}, {<<: *a}, *a]",
                 "[{\"z\":2,\"x\":{\"y\":1}},{\"z\":2,\"x\":{\"y\":1}},"
                 "{\"z\":2,\"x\":{\"y\":1}}]");
    /* the merged map has an anchor and is used once more */
    assert_gives("a: {<<: &m {x: 1, y: [2]}, w: 0}\nb: *m\n",
                 "{\"a\":{\"w\":0,\"x\":1,\"y\":[2]},"
                 "\"b\":{\"x\":1,\"y\":[2]}}");
    assert_gives("\"<<\": 1\n'x': 2\n", "{\"<<\":1,\"x\":2}");
    assert_refused("<<: 1\n", ERR_INVALID);
    assert_refused("<<:\n", ERR_INVALID);
    assert_refused("<<: [{a: b}, 1]\n", ERR_INVALID);
    assert_refused("<<: {a: b}\n<<: {c: d}\n", ERR_INVALID);
}

static struct str nested(size_t depth)
{
    char *p = arena_raw(arena, 2 * depth);

    memset(p, '[', depth);
    memset(p + depth, ']', depth);
    return str_from(p, 2 * depth);
}

static void limits_are_kept(void **state)
{
    struct json_limits few = json_default_limits;
    struct buf b;
    struct json *j;
    (void)state;

    few.max_depth = 3;
    few.max_nodes = 5;
    few.max_bytes = 20;
    assert_int_equal(try_limits(nested(3), &few, &j), ERR_OK);
    assert_int_equal(try_limits(nested(4), &few, &j), ERR_LIMIT);
    assert_int_equal(try_limits(STR("- - - - 1"), &few, &j), ERR_LIMIT);
    assert_int_equal(try_limits(STR("[1,2,3,4]"), &few, &j), ERR_OK);
    assert_int_equal(try_limits(STR("[1,2,3,4,5]"), &few, &j), ERR_LIMIT);
    assert_int_equal(try_limits(STR("12345678901234567890"), &few, &j), ERR_OK);
    assert_int_equal(try_limits(STR("123456789012345678901"), &few, &j),
                     ERR_LIMIT);
    few.max_bytes = 1 << 20;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 100; i++)
        buf_printf(&b, "%%TAG !a%d! tag:x,2026:\n", i);
    buf_printf(&b, "---\na\n");
    assert_int_equal(try_limits(buf_view(&b), &few, &j), ERR_LIMIT);
    buf_done(&b);
}

static void *parse_deeply(void *arg)
{
    struct json_limits deep = json_default_limits;
    struct json *j = NULL;

    (void)arg;
    deep.max_depth = 1000;
    if (try_limits(nested(1001), &deep, &j) != ERR_LIMIT ||
        try_limits(nested(1000), &deep, &j))
        return NULL;
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

static void a_document_may_be_json_or_yaml(void **state)
{
    static const struct {
        const char *text;
        enum err e;
    } table[] = {
        { " \r\n\t{\"a\": 1}", ERR_OK }, { "[\t1,\n\t2]", ERR_OK },
        { "{a: 1}", ERR_INVALID }, /* begins as JSON does, and is not */
        { "a: {b: 1}", ERR_OK },         { "\"x\"", ERR_OK },
        { "--- {a: 1}", ERR_OK },        { "", ERR_INVALID },
        { "  \n ", ERR_INVALID },
    };
    struct json *j;
    (void)state;

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        assert_int_equal(document_parse(arena, str_z(table[i].text),
                                        &json_default_limits, &j, &error),
                         table[i].e);
    assert_int_equal(
        document_parse(arena, STR("\0{}"), &json_default_limits, &j, &error),
        ERR_INVALID);
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
    p = malloc(n ? n : 1);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, n, f), n);
    fclose(f);
    return str_from(p, n);
}

/* What was read, written as JSON and read again, must be the same. */
static void check_document(const char *path)
{
    struct str text = read_file(path), once;
    struct json *j, *again;

    if (document_parse(arena, text, &json_default_limits, &j, &error))
        fail_msg("%s:%u:%u: %s", path, error.line, error.column, error.what);
    assert_int_equal(j->type, JSON_OBJECT);
    once = written(j);
    assert_int_equal(
        json_parse(arena, once, &json_default_limits, &again, &error), 0);
    assert_true(str_eq(written(again), once));
    free((void *)(uintptr_t)text.p);
}

static void real_api_descriptions_are_read(void **state)
{
    const char *root = getenv("CONFORMANCE_DIR");
    struct str folder;
    struct dirent *entry;
    DIR *dir;
    size_t count = 0;
    (void)state;

    if (!root)
        skip();
    folder = arena_printf(arena, "%s/openapi", root);
    dir = opendir(folder.p);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        struct str name = str_z(entry->d_name);

        if (str_is(name, "manifest.json") ||
            !(str_ends(name, STR(".json")) || str_ends(name, STR(".yaml")) ||
              str_ends(name, STR(".yml"))))
            continue;
        check_document(arena_printf(arena, "%s/%s", folder.p, name.p).p);
        count++;
    }
    closedir(dir);
    assert_true(count >= 40);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_scalars_follow_the_core_schema),
        TEST(numbers_are_written_as_json_writes_them),
        TEST(quoted_and_block_scalars_are_strings),
        TEST(keys_are_text_whatever_they_look_like),
        TEST(lists_and_maps_nest),
        TEST(nodes_know_their_lines),
        TEST(errors_name_line_and_column),
        TEST(exactly_one_document_is_read),
        TEST(what_is_no_yaml_is_refused),
        TEST(only_core_tags_are_known),
        TEST(duplicate_keys_are_refused),
        TEST(aliases_become_copies),
        TEST(an_alias_inside_its_anchor_is_refused),
        TEST(large_copies_have_an_index_of_their_own),
        TEST(an_alias_bomb_is_refused),
        TEST(merge_keys_fill_in_what_is_missing),
        TEST(limits_are_kept),
        TEST(the_deepest_nesting_fits_a_small_stack),
        TEST(a_document_may_be_json_or_yaml),
        TEST(real_api_descriptions_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
