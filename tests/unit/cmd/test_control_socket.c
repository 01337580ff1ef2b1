/* test_control_socket.c - requests, answers, and clients that do not behave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/control_socket.h"
#include "temp_folder.h"

static struct arena *arena;
static struct problems ps;
static struct state_dir dir;
static struct loop *loop;
static char folder[TEMP_FOLDER_PATH], root[200];

static enum err parse(const char *text, struct str *verb)
{
    return control_parse(text, strlen(text), verb);
}

static void a_request_is_one_word_and_a_line_feed(void **state)
{
    struct str verb;
    (void)state;

    assert_int_equal(parse("reload\n", &verb), ERR_OK);
    assert_true(str_is(verb, "reload"));
    assert_int_equal(parse("status\r\n", &verb), ERR_OK);
    assert_true(str_is(verb, "status"));
}

static void a_request_may_come_in_pieces(void **state)
{
    struct str verb;
    (void)state;

    assert_int_equal(parse("", &verb), ERR_AGAIN);
    assert_int_equal(parse("rel", &verb), ERR_AGAIN);
}

static void what_is_no_request_is_refused(void **state)
{
    struct str verb;
    char long_line[65];
    (void)state;

    assert_int_equal(parse("\n", &verb), ERR_INVALID);
    assert_int_equal(parse("re load\n", &verb), ERR_INVALID);
    assert_int_equal(parse("RELOAD\n", &verb), ERR_INVALID);
    assert_int_equal(parse("../x\n", &verb), ERR_INVALID);
    memset(long_line, 'a', 64);
    long_line[64] = '\0';
    assert_int_equal(parse(long_line, &verb), ERR_INVALID);
}

/* ---- a server that answers, on a loop turned by hand ---- */

static void answer_verb(void *arg, struct str verb, struct buf *answer)
{
    (void)arg;
    if (str_is(verb, "much")) {
        for (int i = 0; i < 10000; i++)
            buf_z(answer, "0123456789\n");
        return;
    }
    buf_printf(answer, "ok %.*s\n", STR_ARG(verb));
}

struct asker {
    const char *verb;
    struct buf answer;
    enum err e;
    _Atomic bool done;
};

static void *ask(void *arg)
{
    struct asker *a = arg;

    a->e = control_ask(str_z(root), a->verb, 10000, &a->answer);
    a->done = true;
    return NULL;
}

static void ask_and_wait(struct asker *a, const char *verb)
{
    pthread_t thread;

    *a = (struct asker) { .verb = verb };
    buf_init(&a->answer, 1024 * 1024);
    assert_int_equal(pthread_create(&thread, NULL, ask, a), 0);
    while (!a->done)
        loop_turn(loop, 10);
    pthread_join(thread, NULL);
}

static int open_client(void)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d/" CONTROL_NAME,
             dir.fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

static void an_answer_comes_whole(void **state)
{
    struct control_socket *c;
    struct asker a;
    (void)state;

    assert_int_equal(control_socket_new(loop, &dir, answer_verb, NULL, &c),
                     ERR_OK);
    ask_and_wait(&a, "status");
    assert_int_equal(a.e, ERR_OK);
    assert_true(str_is(buf_view(&a.answer), "ok status\n"));
    buf_done(&a.answer);
    ask_and_wait(&a, "much"); /* more than a socket buffers */
    assert_int_equal(a.e, ERR_OK);
    assert_int_equal(a.answer.len, 110000);
    buf_done(&a.answer);
    control_socket_free(c);
}

static void only_the_owner_may_use_the_file(void **state)
{
    struct control_socket *c;
    struct stat st;
    (void)state;

    assert_int_equal(control_socket_new(loop, &dir, answer_verb, NULL, &c),
                     ERR_OK);
    assert_int_equal(fstatat(dir.fd, CONTROL_NAME, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    control_socket_free(c);
    assert_true(fstatat(dir.fd, CONTROL_NAME, &st, 0) != 0);
}

/* As after a kill: something has the name, nobody listens. */
static void a_dead_process_leaves_no_hindrance(void **state)
{
    struct control_socket *c;
    struct asker a;
    (void)state;

    assert_int_equal(state_dir_write(&dir, CONTROL_NAME, STR("stale")), ERR_OK);
    assert_int_equal(control_socket_new(loop, &dir, answer_verb, NULL, &c),
                     ERR_OK);
    ask_and_wait(&a, "version");
    assert_int_equal(a.e, ERR_OK);
    buf_done(&a.answer);
    control_socket_free(c);
}

static void many_silent_clients_hinder_nobody(void **state)
{
    struct control_socket *c;
    struct asker a;
    int silent[100];
    (void)state;

    assert_int_equal(control_socket_new(loop, &dir, answer_verb, NULL, &c),
                     ERR_OK);
    for (int i = 0; i < 100; i++) {
        silent[i] = open_client();
        loop_turn(loop, 0);
    }
    ask_and_wait(&a, "status");
    assert_int_equal(a.e, ERR_OK);
    buf_done(&a.answer);
    for (int i = 0; i < 100; i++)
        close(silent[i]);
    loop_turn(loop, 0);
    control_socket_free(c);
}

static void nobody_there_is_not_found(void **state)
{
    struct buf b;
    (void)state;

    buf_init(&b, 1024);
    assert_int_equal(control_ask(str_z(root), "status", 100, &b),
                     ERR_NOT_FOUND);
    assert_int_equal(control_ask(STR("/nonexistent/x"), "status", 100, &b),
                     ERR_NOT_FOUND);
    buf_done(&b);
}

static void who_does_not_answer_is_not_waited_for(void **state)
{
    struct control_socket *c;
    struct buf b;
    (void)state;

    buf_init(&b, 8192);
    assert_int_equal(control_socket_new(loop, &dir, answer_verb, NULL, &c),
                     ERR_OK);
    assert_int_equal(control_ask(str_z(root), "status", 1, &b), ERR_TIMEOUT);
    buf_done(&b);
    control_socket_free(c);
}

/* A path longer than a socket's name may be. */
static int set_up(void **state)
{
    long owner;
    (void)state;

    arena = arena_new();
    problems_init(&ps, arena);
    temp_folder_make(folder);
    snprintf(root, sizeof(root), "%s/%0120d", folder, 0);
    loop = loop_new();
    return state_dir_open(arena, str_z(root), &dir, &owner, &ps) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    state_dir_close(&dir);
    loop_free(loop);
    arena_free(arena);
    temp_folder_remove(folder);
    return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_one_word_and_a_line_feed),
        cmocka_unit_test(a_request_may_come_in_pieces),
        cmocka_unit_test(what_is_no_request_is_refused),
        EACH(an_answer_comes_whole),
        EACH(only_the_owner_may_use_the_file),
        EACH(a_dead_process_leaves_no_hindrance),
        EACH(many_silent_clients_hinder_nobody),
        EACH(nobody_there_is_not_found),
        EACH(who_does_not_answer_is_not_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
