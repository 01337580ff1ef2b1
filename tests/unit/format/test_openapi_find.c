/* test_openapi_find.c - which files of a folder are documents. */
#include "openapi_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include "temp_folder.h"

static char folder[TEMP_FOLDER_PATH];
static struct conf_strings found;

static int make_folder(void **state)
{
    temp_folder_make(folder);
    return set_up(state);
}

static int drop_folder(void **state)
{
    temp_folder_remove(folder);
    return tear_down(state);
}

static struct str path_of(struct fixture *f, const char *name)
{
    return arena_printf(f->words, "%s/%s", folder, name);
}

static void file(struct fixture *f, const char *name, const char *text)
{
    temp_file_write(path_of(f, name), text);
}

static void subfolder(struct fixture *f, const char *name)
{
    assert_int_equal(mkdir(path_of(f, name).p, 0700), 0);
}

static enum err find(struct fixture *f, const char *path)
{
    found = (struct conf_strings) { 0 };
    problems_init(&f->ps, f->words);
    return openapi_find(f->model, str_z(path), &f->ps, &found);
}

/* Exactly these, with a space between them. */
static void finds(struct fixture *f, const char *names)
{
    struct buf b;

    if (find(f, folder)) {
        show(f);
        fail_msg("the search failed");
    }
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < found.count; i++)
        buf_printf(&b, "%s%s", i ? " " : "",
                   found.items[i].p + strlen(folder) + 1);
    buf_char(&b, 0);
    assert_string_equal(b.p, names);
    buf_done(&b);
}

static void a_file_is_itself(void **state)
{
    struct fixture *f = *state;

    file(f, "notes.txt", "hello");
    assert_int_equal(find(f, path_of(f, "notes.txt").p), ERR_OK);
    assert_int_equal(found.count, 1);
    assert_text(found.items[0], path_of(f, "notes.txt").p);
}

static void a_folder_gives_its_documents_in_order(void **state)
{
    struct fixture *f = *state;

    file(f, "b.json", "{\"openapi\": \"3.0.0\"}");
    file(f, "c.yaml", "openapi: 3.0.0\n");
    subfolder(f, "a");
    file(f, "a/z.yml", "# by hand\n---\ninfo: {}\n\"swagger\": '2.0'\n");
    file(f, "d.txt", "openapi: 3.0.0\n");
    file(f, ".hidden.yaml", "openapi: 3.0.0\n");
    subfolder(f, ".git");
    file(f, ".git/x.yaml", "openapi: 3.0.0\n");
    finds(f, "a/z.yml b.json c.yaml");
}

static void parts_of_documents_are_left_out(void **state)
{
    struct fixture *f = *state;

    file(f, "a.yaml", "type: object\nproperties:\n  openapi: {}\n");
    file(f, "b.json",
         "{\"a\": {\"openapi\": 1}, \"b\": [\"openapi\"], "
         "\"c\": \"openapi\"}");
    file(f, "c.json", "[{\"openapi\": 1}]");
    file(f, "d.yaml", "a: |\n  openapi: 3\nopenapi-note: x\n");
    file(f, "e.json", "{\"a\\\"\": \"}\", \"swagger\": \"2.0\"}");
    file(f, "f.yaml", "");
    file(f, "g.yaml", "{\"openapi\": 3.1.0}");
    file(f, "h.json", "\xef\xbb\xbf \n{\"openapi\": 1}");
    file(f, "i.json", "\"openapi\"");
    file(f, "j.json", "{\"openapi\"");
    finds(f, "e.json g.yaml h.json");
}

static void the_key_may_stand_at_the_end(void **state)
{
    struct fixture *f = *state;
    struct buf b;

    buf_init(&b, 1 << 20);
    buf_z(&b, "{\"components\": \"");
    for (int i = 0; i < 5000; i++)
        buf_z(&b, "0123456789");
    buf_z(&b, "\", \"openapi\": \"3.0.0\"}");
    buf_char(&b, 0);
    file(f, "a.json", b.p);
    finds(f, "a.json");
    buf_done(&b);
}

static void links_are_followed_once(void **state)
{
    struct fixture *f = *state;

    subfolder(f, "a");
    file(f, "a/x.yaml", "openapi: 3.0.0\n");
    assert_int_equal(symlink("..", path_of(f, "a/loop").p), 0);
    assert_int_equal(symlink("a/x.yaml", path_of(f, "b.yaml").p), 0);
    finds(f, "a/x.yaml b.yaml");
}

static void what_cannot_be_read_is_told(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(find(f, path_of(f, "none").p), ERR_INVALID);
    refused(f, "/none: there is no such file or folder");
    assert_int_equal(symlink("none", path_of(f, "a.yaml").p), 0);
    assert_int_equal(mkfifo(path_of(f, "b.yaml").p, 0600), 0);
    assert_int_equal(find(f, folder), ERR_INVALID);
    refused(f, "/a.yaml: cannot be read");
    refused(f, "/b.yaml: cannot be read");
}

static void an_empty_folder_is_a_warning(void **state)
{
    struct fixture *f = *state;

    finds(f, "");
    assert_int_equal(f->ps.warnings, 1);
    assert_true(
        says(f, PROBLEM_WARNING, "no OpenAPI document is in this folder"));
}

static void folders_lie_at_most_eight_deep(void **state)
{
    struct fixture *f = *state;

    subfolder(f, "1");
    subfolder(f, "1/2");
    subfolder(f, "1/2/3");
    subfolder(f, "1/2/3/4");
    subfolder(f, "1/2/3/4/5");
    subfolder(f, "1/2/3/4/5/6");
    subfolder(f, "1/2/3/4/5/6/7");
    subfolder(f, "1/2/3/4/5/6/7/8");
    file(f, "1/2/3/4/5/6/7/8/a.yaml", "openapi: 3.0.0\n");
    finds(f, "1/2/3/4/5/6/7/8/a.yaml");
    subfolder(f, "1/2/3/4/5/6/7/8/9");
    assert_int_equal(find(f, folder), ERR_INVALID);
    refused(f, "/8/9: folders may lie in each other at most 8 deep");
}

#define IN_FOLDER(t) \
    cmocka_unit_test_setup_teardown(t, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_is_itself),
        IN_FOLDER(a_folder_gives_its_documents_in_order),
        IN_FOLDER(parts_of_documents_are_left_out),
        IN_FOLDER(the_key_may_stand_at_the_end),
        IN_FOLDER(links_are_followed_once),
        IN_FOLDER(what_cannot_be_read_is_told),
        IN_FOLDER(an_empty_folder_is_a_warning),
        IN_FOLDER(folders_lie_at_most_eight_deep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
