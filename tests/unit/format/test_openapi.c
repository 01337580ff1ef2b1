/* test_openapi.c - whole documents: versions, real ones, large ones. */
#include "openapi_fixture.h"

#include <time.h>

#include "format/yaml.h"

static void versions_2_0_to_3_2_are_known(void **state)
{
    struct fixture *f = *state;

    fine(f, load(f, "{\"swagger\": \"2.0\", \"paths\": {}}"));
    assert_int_equal(f->api->version, OAS_2_0);
    fine(f, load(f, "swagger: 2.0\npaths: {}"));
    assert_int_equal(f->api->version, OAS_2_0);
    fine(f, load(f, "openapi: 3.0.4\npaths: {}"));
    assert_int_equal(f->api->version, OAS_3_0);
    fine(f, load(f, "openapi: 3.1\n"));
    assert_int_equal(f->api->version, OAS_3_1);
    fine(f, load(f, "openapi: 3.2.0\n"));
    assert_int_equal(f->api->version, OAS_3_2);
}

static void other_versions_are_refused_with_their_line(void **state)
{
    struct fixture *f = *state;

    load(f, "info: {}\nopenapi: 3.3.0\n");
    refused(f, "api.yaml:2: OpenAPI 2.0 (swagger), 3.0, 3.1 and 3.2 are "
               "known, not \"3.3.0\"");
    load(f, "swagger: '3.0'\n");
    refused(f, "api.yaml:1: OpenAPI 2.0");
    load(f, "openapi: '2.0'\n");
    refused(f, "api.yaml:1: OpenAPI 2.0");
    load(f, "openapi: 3.01\n");
    refused(f, "api.yaml:1: OpenAPI 2.0");
    load(f, "openapi: [3]\n");
    refused(f, "api.yaml:1: OpenAPI 2.0");
}

static void what_is_no_document_is_refused(void **state)
{
    struct fixture *f = *state;

    load(f, "title: x\n");
    refused(f, "api.yaml:1: this is no OpenAPI document");
    load(f, "[1]");
    refused(f, "api.yaml:1: an OpenAPI document must be an object, not array");
    load(f, "{\n\"openapi\": }");
    refused(f, "api.yaml:2: column 12: ");
    load(f, "openapi: 3.0.0\n");
    refused(f, "api.yaml:1: the document has no paths");
}

static void a_missing_file_is_named(void **state)
{
    const struct text_file files[] = { { 0 } };
    struct oas_source source = { fixture_read, *state };
    struct fixture *f = *state;
    struct openapi *api;

    f->files = files;
    assert_int_equal(openapi_load(f->model, f->words, &source, STR("a/b.yaml"),
                                  &f->ps, &api),
                     ERR_INVALID);
    refused(f, "a/b.yaml: cannot be used: there is no such file");
}

static void title_and_version_are_text_whatever_their_form(void **state)
{
    struct fixture *f = *state;

    fine(f, load(f, "openapi: 3.1.0\ninfo: {title: 7, version: 1.10}\n"));
    assert_text(f->api->title, "7");
    assert_text(f->api->api_version, "1.10");
    assert_text(f->api->file, "api.yaml");
}

static void unknown_keys_are_warnings_with_the_nearest(void **state)
{
    struct fixture *f = *state;

    load_root(f, "x-any: 1\nsecurty: []");
    assert_int_equal(f->ps.warnings, 1);
    warned(f, "api.yaml:5: unknown key \"securty\" in the document is "
              "ignored; the nearest known one is \"security\"");
    load_paths(f, "  /a:\n    get:\n      secruity: []\n");
    warned(f, "api.yaml:6: unknown key \"secruity\" in an operation is "
              "ignored; the nearest known one is \"security\"");
}

static void content_changes_with_every_file(void **state)
{
    struct fixture *f = *state;
    struct text_file files[] = {
        { "a.yaml", "openapi: 3.1.0\npaths: {/a: {$ref: b.yaml}}" },
        { "b.yaml", "get: {}" },
        { 0 },
    };
    uint64_t before = fine(f, load_files(f, files))->content;

    assert_int_equal(f->api->file_count, 2);
    assert_text(f->api->files[0], "a.yaml");
    assert_text(f->api->files[1], "b.yaml");
    assert_true(fine(f, load_files(f, files))->content == before);
    files[1].text = "get: {} ";
    assert_true(fine(f, load_files(f, files))->content != before);
}

static void looks_like_asks_for_the_two_keys(void **state)
{
    struct fixture *f = *state;
    struct json *root = json_new(f->words, JSON_OBJECT);

    assert_false(openapi_looks_like(root));
    json_member(root, STR("swagger"), json_new(f->words, JSON_NULL));
    assert_true(openapi_looks_like(root));
    assert_false(openapi_looks_like(NULL));
}

/* --- real documents --------------------------------------------------------
 */

static struct openapi *load_path(struct fixture *f, struct str path)
{
    struct arena *scratch = arena_new();
    enum err e;

    f->api = NULL;
    problems_init(&f->ps, f->words);
    e = openapi_load(f->model, scratch, &oas_files, path, &f->ps, &f->api);
    arena_free(scratch);
    arena_thread_done();
    if (e) {
        show(f);
        fail_msg("%s was refused", path.p);
    }
    return f->api;
}

static void check_entry(struct fixture *f, struct str folder,
                        const struct json *entry)
{
    struct str name = json_str(json_at(entry, "file"));
    uint64_t want;
    size_t n;

    assert_int_equal(json_u64(json_at(entry, "operations"), 10000, &want), 0);
    n = load_path(f, arena_printf(f->words, "%s%.*s", folder.p, STR_ARG(name)))
            ->operation_count;
    if (n != want)
        fail_msg("%.*s: %zu operations, not %llu", STR_ARG(name), n,
                 (unsigned long long)want);
}

static void real_documents_have_the_operations_they_should(void **state)
{
    const char *root = getenv("CONFORMANCE_DIR");
    struct fixture *f = *state;
    struct str folder, text;
    struct json_error error;
    struct json *list;
    size_t n = 0;

    if (!root)
        skip();
    folder = arena_printf(f->words, "%s/openapi/", root);
    assert_int_equal(
        oas_files.read(NULL, f->words,
                       arena_printf(f->words, "%smanifest.json", folder.p),
                       &text),
        ERR_OK);
    assert_int_equal(
        json_parse(f->words, text, &json_default_limits, &list, &error), 0);
    for (const struct json *e = list->first; e; e = e->next, n++)
        check_entry(f, folder, e);
    assert_true(n >= 40);
}

static void a_document_in_several_files_is_one(void **state)
{
    struct fixture *f = *state;
    struct openapi *o;

    o = load_path(f, STR(TEST_DATA_DIR "/openapi/split/library.yaml"));
    fine(f, o);
    assert_int_equal(o->operation_count, 6);
    assert_int_equal(o->file_count, 3);
    assert_text(o->operations[0].id, "listBooks");
    assert_int_equal(o->operations[0].security_count, 0);
    assert_int_equal(o->operations[0].line, 1);
    assert_true(str_ends(o->operations[0].file, STR("/paths/books.yaml")));
    assert_text(o->operations[1].id, "addBook");
    assert_text(o->operations[1].security[0].demands[0].scheme->type, "apiKey");
    assert_text(o->operations[2].id, "getBook");
    assert_text(o->operations[4].id, "getMember");
    assert_text(o->operations[5].path, "/shelves/{shelf}");
}

/* --- ceilings --------------------------------------------------------------
 */

static struct str many(size_t operations)
{
    struct buf b;

    buf_init(&b, 256 << 20);
    buf_z(&b, "{\"openapi\": \"3.0.0\", \"info\": {\"title\": \"Many\", "
              "\"version\": \"1\"}, \"servers\": [{\"url\": "
              "\"https://many.example/v1\"}],\n\"paths\": {");
    for (size_t i = 0; i < operations; i++)
        buf_printf(&b,
                   "%s\n\"/things%zu/{id}/parts/{part}\": {\"get\": "
                   "{\"operationId\": \"op%zu\", \"tags\": [\"a\"], "
                   "\"parameters\": [{\"name\": \"id\", \"in\": \"path\", "
                   "\"required\": true, \"schema\": {\"type\": \"string\"}}], "
                   "\"responses\": {\"200\": {\"description\": \"OK\", "
                   "\"content\": {\"application/json\": {\"schema\": "
                   "{\"$ref\": \"#/components/schemas/Thing\"}}}}}}}",
                   i ? "," : "", i, i);
    buf_z(&b, "}}");
    buf_char(&b, 0);
    return str_head(buf_view(&b), b.len - 1);
}

static double milliseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void five_thousand_operations_load_at_once(void **state)
{
    struct fixture *f = *state;
    struct str text = many(5000);
    struct text_file files[] = { { "many.json", text.p }, { 0 } };
    double before = milliseconds();

    fine(f, load_files(f, files));
    print_message("  5,000 operations, %zu bytes: %.1f ms\n", text.len,
                  milliseconds() - before);
    assert_true(milliseconds() - before < 5000);
    assert_int_equal(f->api->operation_count, 5000);
    assert_text(f->api->operations[4999].path, "/things4999/{id}/parts/{part}");
    free((char *)(uintptr_t)text.p);
}

static void more_than_100000_operations_are_refused(void **state)
{
    struct fixture *f = *state;
    struct str text = many(100 * 1000 + 1);
    struct text_file files[] = { { "many.json", text.p }, { 0 } };

    assert_null(load_files(f, files));
    assert_int_equal(f->ps.errors, 1);
    refused(f, "many.json:100003: a document may have at most 100000 "
               "operations: split it");
    free((char *)(uintptr_t)text.p);
}

static void one_node_used_often_cannot_ask_for_too_much(void **state)
{
    struct fixture *f = *state;
    struct buf b;

    buf_init(&b, 64 << 20);
    buf_z(&b, "openapi: 3.1.0\npaths:\n");
    for (int i = 0; i < 3000; i++)
        buf_printf(&b, "  /p%d: {$ref: '#/x-item'}\n", i);
    buf_z(&b, "x-item:\n  get:\n    x-wso2-production-endpoints:\n"
              "      urls:\n");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "        - http://h%d\n", i);
    buf_char(&b, 0);
    assert_null(load(f, b.p));
    refused(f, "are more than 1000000: split the document");
    buf_done(&b);
}

static void one_node_cannot_be_walked_for_ever(void **state)
{
    struct fixture *f = *state;
    struct buf b;

    buf_init(&b, 64 << 20);
    buf_z(&b, "{\"openapi\": \"3.1.0\", \"paths\": {");
    for (int i = 0; i < 11000; i++)
        buf_printf(&b, "\"/p%d\": {\"$ref\": \"#/x-item\"}, ", i);
    buf_z(&b, "\"/\": {}}, \"x-item\": {");
    for (int i = 0; i < 990; i++)
        buf_printf(&b, "\"x-%d\": 0, ", i);
    buf_z(&b, "\"get\": {}}}");
    buf_char(&b, 0);
    assert_null(load(f, b.p));
    assert_int_equal(f->ps.errors, 1);
    refused(f, "all paths together have more than 10000000 keys");
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(versions_2_0_to_3_2_are_known),
        TEST(other_versions_are_refused_with_their_line),
        TEST(what_is_no_document_is_refused),
        TEST(a_missing_file_is_named),
        TEST(title_and_version_are_text_whatever_their_form),
        TEST(unknown_keys_are_warnings_with_the_nearest),
        TEST(content_changes_with_every_file),
        TEST(looks_like_asks_for_the_two_keys),
        TEST(real_documents_have_the_operations_they_should),
        TEST(a_document_in_several_files_is_one),
        TEST(five_thousand_operations_load_at_once),
        TEST(more_than_100000_operations_are_refused),
        TEST(one_node_used_often_cannot_ask_for_too_much),
        TEST(one_node_cannot_be_walked_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
