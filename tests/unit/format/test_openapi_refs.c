/* test_openapi_refs.c - $ref: where it may lead, and where not. */
#include "openapi_fixture.h"

/* A path item that is this reference, in line 3 of dir/api.yaml. */
static struct openapi *refer(struct fixture *f, const char *ref)
{
    const struct text_file files[] = {
        { "dir/api.yaml",
          arena_printf(f->words,
                       "openapi: 3.1.0\npaths:\n  /p: {$ref: '%s'}\n"
                       "x-parts:\n  a/b c~d: {get: {}}\n"
                       "  list: [{get: {}}, {post: {}}]\n"
                       "  loop: {$ref: '#/x-parts/loop2'}\n"
                       "  loop2: {$ref: '#/x-parts/loop'}\n",
                       ref)
              .p },
        { "dir/b.yaml", "x-one: {get: {}}\nget: {}\n" },
        { "dir/sub/c.yaml", "up: {$ref: ../b.yaml}\n"
                            "out: {$ref: ../../x.yaml}\n"
                            "self: {get: {}}\nnear: {$ref: '#/self'}\n" },
        { "dir/broken.yaml", "a: {\n" },
        { "x.yaml", "get: {}\n" },
        { "/x.yaml", "get: {}\n" },
        { 0 },
    };

    return load_files(f, files);
}

static void leads_within_the_document(void **state)
{
    struct fixture *f = *state;

    fine(f, refer(f, "#/x-parts/a~1b%20c~0d"));
    assert_int_equal(f->api->operation_count, 1);
    assert_text(f->api->operations[0].path, "/p");
    assert_int_equal(f->api->operations[0].line, 5);
    fine(f, refer(f, "#/x-parts/list/1"));
    assert_text(f->api->operations[0].method, "POST");
    fine(f, refer(f, "./api.yaml#/x-parts/list/0"));
    assert_int_equal(f->api->file_count, 1);
}

static void leads_to_other_files_below(void **state)
{
    struct fixture *f = *state;

    fine(f, refer(f, "b.yaml#/x-one"));
    fine(f, refer(f, "b.yaml"));
    fine(f, refer(f, "b.yaml#"));
    fine(f, refer(f, "sub/../b%2eyaml#/x-one"));
    fine(f, refer(f, "sub/c.yaml#/up"));
    assert_int_equal(f->api->file_count, 3);
    assert_text(f->api->operations[0].file, "dir/b.yaml");
    assert_int_equal(f->api->operations[0].line, 2);
    fine(f, refer(f, "sub/c.yaml#/near"));
}

static void never_leads_out_of_the_folder(void **state)
{
    struct fixture *f = *state;

    refer(f, "../x.yaml");
    refused(f, "dir/api.yaml:3: $ref \"../x.yaml\": it leads out of the "
               "document's folder: move the file there");
    refer(f, "sub/../../x.yaml");
    refused(f, "it leads out of the document's folder");
    refer(f, "%2e%2e/x.yaml");
    refused(f, "it leads out of the document's folder");
    refer(f, "sub/c.yaml#/out");
    refused(f, "dir/sub/c.yaml:2: $ref \"../../x.yaml\": it leads out");
    refer(f, "/x.yaml");
    refused(f, "absolute paths are refused");
    refer(f, "%2Fx.yaml");
    refused(f, "absolute paths are refused");
    refer(f, "http://host/x.yaml#/a");
    refused(f, "are read, no URLs: save a copy there");
    refer(f, "//host/x.yaml");
    refused(f, "are read, no URLs");
    refer(f, "file:///x.yaml");
    refused(f, "are read, no URLs");
    refer(f, "b.yaml%00.yaml");
    refused(f, "a file name cannot hold a zero byte");
}

static void says_what_is_missing(void **state)
{
    struct fixture *f = *state;

    refer(f, "none.yaml");
    refused(f, "dir/api.yaml:3: cannot use dir/none.yaml: there is no such "
               "file");
    refer(f, "broken.yaml");
    refused(f, "dir/broken.yaml:");
    refused(f, "dir/api.yaml:3: cannot use dir/broken.yaml: it is no valid");
    refer(f, "#/x-parts/nowhere");
    refused(f, "dir/api.yaml:3: $ref \"#/x-parts/nowhere\" leads nowhere: "
               "dir/api.yaml has no \"/x-parts/nowhere\"");
    refer(f, "#/x-parts/list/2");
    refused(f, "leads nowhere");
    refer(f, "#/x-parts/a~2b");
    refused(f, "leads nowhere");
    refer(f, "#anchor");
    refused(f, "what is behind # must begin with /");
    refer(f, "#/a%2");
    refused(f, "a % is not followed by two hexadecimal digits");
    refer(f, "");
    refused(f, "$ref must be a string");
    refer(f, "#/openapi");
    refused(f, "dir/api.yaml:1: a path must be an object, not string");
}

static void loops_are_refused(void **state)
{
    struct fixture *f = *state;

    refer(f, "#/x-parts/loop");
    refused(f, "dir/api.yaml:8: $ref \"#/x-parts/loop\" leads back to itself");
    refer(f, "#/paths/~1p");
    refused(f, "dir/api.yaml:3: $ref \"#/paths/~1p\" leads back to itself");
}

static struct openapi *load_chain(struct fixture *f, int n)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    buf_z(&b, "openapi: 3.1.0\npaths: {/p: {$ref: '#/x-0'}}\n");
    for (int i = 0; i < n; i++)
        buf_printf(&b, "x-%d: {$ref: '#/x-%d'}\n", i, i + 1);
    buf_printf(&b, "x-%d: {get: {}}", n);
    buf_char(&b, 0);
    load(f, b.p);
    buf_done(&b);
    return f->api;
}

static void chains_have_an_end(void **state)
{
    struct fixture *f = *state;

    fine(f, load_chain(f, 30));
    load_chain(f, 31);
    refused(f, "more than 32 references lead from one to the next");
}

static void files_are_at_most_64(void **state)
{
    struct text_file files[66] = { { 0 } };
    struct fixture *f = *state;
    struct buf b;

    buf_init(&b, 1 << 20);
    buf_z(&b, "openapi: 3.1.0\npaths:\n");
    for (int i = 1; i < 65; i++) {
        files[i].path = arena_printf(f->words, "f%d.yaml", i).p;
        files[i].text = "get: {}";
        buf_printf(&b, "  /p%d: {$ref: f%d.yaml}\n", i, i);
    }
    buf_char(&b, 0);
    files[0] = (struct text_file) { "api.yaml", b.p };
    load_files(f, files);
    assert_int_equal(f->ps.errors, 1);
    refused(f, "api.yaml:66: a document may be spread over at most 64 files");
    buf_done(&b);
}

static void what_stands_beside_a_reference_counts_too(void **state)
{
    struct fixture *f = *state;

    fine(f, load(f, "openapi: 3.1.0\n"
                    "paths: {/p: {$ref: '#/x-i', post: {}}}\n"
                    "x-i: {get: {}, servers: [{url: http://i}]}\n"));
    assert_int_equal(f->api->operation_count, 2);
    assert_text(f->api->operations[0].production->items[0].url.host, "i");
    load(f, "openapi: 3.1.0\npaths: {/p: {$ref: '#/x-i',\n"
            "   get: {}}}\nx-i:\n   get: {}\n");
    refused(f, "api.yaml:5: GET /p is there already, as /p in api.yaml:3");
}

static void an_operation_may_be_a_reference(void **state)
{
    struct fixture *f = *state;

    /* Not in the specification, but ignoring it would forget its security. */
    fine(f, load(f, "openapi: 3.1.0\n"
                    "paths: {/p: {get: {$ref: '#/x-o'}}}\n"
                    "x-o: {operationId: o, security: [{k: []}]}\n"
                    "components: {securitySchemes: {k: {type: oauth2}}}\n"));
    assert_text(f->api->operations[0].id, "o");
    assert_int_equal(f->api->operations[0].security_count, 1);
}

static void
a_file_that_only_a_scheme_wanted_is_told_when_a_path_does(void **state)
{
    struct fixture *f = *state;

    load(f, "openapi: 3.1.0\nsecurity: [{k: []}]\n"
            "components: {securitySchemes: {k: {$ref: 'no.yaml#/k'}}}\n"
            "paths:\n  /p: {$ref: no.yaml}\n");
    refused(f, "api.yaml:5: cannot use no.yaml: there is no such file");
}

static void schemas_are_not_visited(void **state)
{
    struct fixture *f = *state;

    fine(f, load(f, "openapi: 3.1.0\npaths: {/p: {get: {parameters: [{$ref: "
                    "'http://x/y'}], responses: {200: {$ref: '#/no'}}}}}\n"
                    "components: {schemas: {A: {$ref: "
                    "'#/components/schemas/A'}}}\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(leads_within_the_document),
        TEST(leads_to_other_files_below),
        TEST(never_leads_out_of_the_folder),
        TEST(says_what_is_missing),
        TEST(loops_are_refused),
        TEST(chains_have_an_end),
        TEST(files_are_at_most_64),
        TEST(what_stands_beside_a_reference_counts_too),
        TEST(an_operation_may_be_a_reference),
        TEST(a_file_that_only_a_scheme_wanted_is_told_when_a_path_does),
        TEST(schemas_are_not_visited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
