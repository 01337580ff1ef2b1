/* test_state_dir.c - one owner per folder, files replaced whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/state_dir.h"
#include "temp_folder.h"

static struct arena *arena;
static struct problems ps;
static char root[TEMP_FOLDER_PATH];

static struct str in_root(const char *name)
{
    return arena_printf(arena, "%s/%s", root, name);
}

static void make_file(struct str path)
{
    int fd = open(path.p, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static struct str read_file(struct str path)
{
    char text[256];
    FILE *f = fopen(path.p, "re");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof(text), f);
    fclose(f);
    return arena_copy(arena, str_from(text, n));
}

static void the_folder_is_made_private(void **state)
{
    struct state_dir d;
    struct stat st;
    long owner;
    (void)state;

    assert_int_equal(state_dir_open(arena, in_root("a/b/c"), &d, &owner, &ps),
                     ERR_OK);
    assert_int_equal(stat(d.path.p, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    state_dir_close(&d);
}

static void an_open_folder_becomes_private(void **state)
{
    struct str path = in_root("open");
    struct state_dir d;
    struct stat st;
    long owner;
    (void)state;

    assert_int_equal(mkdir(path.p, 0755), 0);
    assert_int_equal(state_dir_open(arena, path, &d, &owner, &ps), ERR_OK);
    assert_int_equal(stat(path.p, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    state_dir_close(&d);
}

static void a_second_owner_learns_of_the_first(void **state)
{
    struct state_dir first, second;
    long owner = 0;
    (void)state;

    assert_int_equal(state_dir_open(arena, in_root("s"), &first, &owner, &ps),
                     ERR_OK);
    assert_int_equal(state_dir_open(arena, in_root("s"), &second, &owner, &ps),
                     ERR_CONFLICT);
    assert_true(owner == getpid());
    state_dir_close(&first);
    assert_int_equal(state_dir_open(arena, in_root("s"), &second, &owner, &ps),
                     ERR_OK);
    state_dir_close(&second);
}

static void the_lock_ends_with_its_process(void **state)
{
    struct state_dir d;
    long owner;
    int status;
    pid_t child = fork();
    (void)state;

    if (child == 0)
        _exit(state_dir_open(arena, in_root("k"), &d, &owner, &ps));
    assert_true(waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
    assert_int_equal(state_dir_open(arena, in_root("k"), &d, &owner, &ps),
                     ERR_OK);
    state_dir_close(&d);
}

static void a_chosen_folder_that_is_taken_is_refused(void **state)
{
    struct state_dir first, second;
    char text[64];
    (void)state;

    assert_int_equal(state_dir_take(arena, in_root("t"), 8280, &first, &ps),
                     ERR_OK);
    assert_int_equal(state_dir_take(arena, in_root("t"), 8281, &second, &ps),
                     ERR_CONFLICT);
    snprintf(text, sizeof(text), "process %d,", getpid());
    assert_non_null(strstr(ps.last->text.p, text));
    assert_non_null(strstr(ps.last->text.p, "--state-dir"));
    state_dir_close(&first);
}

static void the_usual_folder_that_is_taken_has_one_by_port(void **state)
{
    struct state_dir first, second, third;
    (void)state;

    setenv("XDG_STATE_HOME", root, 1);
    assert_int_equal(state_dir_take(arena, STR_NULL, 8280, &first, &ps),
                     ERR_OK);
    assert_int_equal(state_dir_take(arena, STR_NULL, 8281, &second, &ps),
                     ERR_OK);
    assert_string_equal(second.path.p, in_root("tollgate/8281").p);
    assert_int_equal(state_dir_take(arena, STR_NULL, 8281, &third, &ps),
                     ERR_CONFLICT);
    assert_int_equal(state_dir_take(arena, STR_NULL, 0, &third, &ps),
                     ERR_CONFLICT);
    state_dir_close(&second);
    state_dir_close(&first);
    /* Alone again, and what the first left behind is no hindrance. */
    assert_int_equal(state_dir_take(arena, STR_NULL, 8280, &first, &ps),
                     ERR_OK);
    assert_string_equal(first.path.p, in_root("tollgate").p);
    state_dir_close(&first);
    unsetenv("XDG_STATE_HOME");
}

static void a_folder_of_other_things_is_left_alone(void **state)
{
    struct str path = in_root("home");
    struct state_dir d;
    struct stat st;
    long owner;
    (void)state;

    assert_int_equal(mkdir(path.p, 0755), 0);
    make_file(in_root("home/letter.txt"));
    assert_int_equal(state_dir_open(arena, path, &d, &owner, &ps), ERR_INVALID);
    assert_int_equal(stat(path.p, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_true(access(in_root("home/lock").p, F_OK) != 0);
}

static void what_is_no_folder_is_said(void **state)
{
    struct state_dir d;
    long owner;
    (void)state;

    make_file(in_root("file"));
    assert_int_equal(state_dir_open(arena, in_root("file"), &d, &owner, &ps),
                     ERR_IO);
    assert_true(ps.errors > 0);
}

static void files_are_replaced_whole(void **state)
{
    struct state_dir d;
    struct stat st;
    long owner;
    (void)state;

    assert_int_equal(state_dir_open(arena, in_root("w"), &d, &owner, &ps),
                     ERR_OK);
    make_file(in_root("w/pid.new")); /* of one that was killed */
    assert_int_equal(state_dir_write(&d, "pid", STR("12345\n")), ERR_OK);
    assert_int_equal(state_dir_write(&d, "pid", STR("1\n")), ERR_OK);
    assert_string_equal(read_file(in_root("w/pid")).p, "1\n");
    assert_int_equal(stat(in_root("w/pid").p, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    state_dir_remove(&d, "pid");
    assert_true(access(in_root("w/pid").p, F_OK) != 0);
    state_dir_close(&d);
}

/* Only root may give files away. */
static void only_what_is_in_it_is_given_away(void **state)
{
    struct state_dir d;
    struct stat st;
    long owner;
    (void)state;

    if (geteuid() != 0)
        skip();
    assert_int_equal(state_dir_open(arena, in_root("g"), &d, &owner, &ps),
                     ERR_OK);
    make_file(in_root("outside"));
    make_file(in_root("inside"));
    assert_int_equal(mkdir(in_root("g/keys").p, 0700), 0);
    make_file(in_root("g/keys/key"));
    assert_int_equal(symlink(in_root("outside").p, in_root("g/link").p), 0);
    assert_int_equal(link(in_root("inside").p, in_root("g/hard").p), 0);
    assert_int_equal(state_dir_give(&d, 65534, 65534), ERR_OK);
    assert_int_equal(stat(in_root("g/keys/key").p, &st), 0);
    assert_int_equal(st.st_uid, 65534);
    assert_int_equal(stat(in_root("g").p, &st), 0);
    assert_int_equal(st.st_uid, 65534);
    assert_int_equal(stat(in_root("outside").p, &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(stat(in_root("inside").p, &st), 0);
    assert_int_equal(st.st_uid, 0);
    state_dir_close(&d);
}

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    problems_init(&ps, arena);
    temp_folder_make(root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    temp_folder_remove(root);
    return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(the_folder_is_made_private),
        EACH(an_open_folder_becomes_private),
        EACH(a_second_owner_learns_of_the_first),
        EACH(the_lock_ends_with_its_process),
        EACH(a_chosen_folder_that_is_taken_is_refused),
        EACH(the_usual_folder_that_is_taken_has_one_by_port),
        EACH(a_folder_of_other_things_is_left_alone),
        EACH(what_is_no_folder_is_said),
        EACH(files_are_replaced_whole),
        EACH(only_what_is_in_it_is_given_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
