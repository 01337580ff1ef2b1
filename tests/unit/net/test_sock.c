/* test_sock.c - addresses as people write them, and the sockets behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/sock.h"

static char folder[] = "/tmp/tollgate-sock-XXXXXX";

static void assert_parsed(const char *text, const char *as)
{
    char out[128];
    struct address a;

    assert_int_equal(sock_parse(str_z(text), &a), ERR_OK);
    address_format((const struct sockaddr *)&a.sa, out, sizeof(out), true);
    assert_string_equal(out, as);
}

static void addresses_are_read_as_people_write_them(void **state)
{
    (void)state;

    assert_parsed("127.0.0.1:8280", "127.0.0.1:8280");
    assert_parsed("0.0.0.0:80", "0.0.0.0:80");
    assert_parsed("[::1]:8280", "[::1]:8280");
    assert_parsed("[::]:1", "[::]:1");
    assert_parsed(":8280", "[::]:8280");
    assert_parsed("8280", "[::]:8280");
    assert_parsed("*:8280", "[::]:8280");
    assert_parsed("localhost:8280", "127.0.0.1:8280");
    assert_parsed("127.0.0.1:0", "127.0.0.1:0");
    assert_parsed("127.0.0.1:65535", "127.0.0.1:65535");
    assert_parsed("unix:/run/x.sock", "unix:/run/x.sock");
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        "127.0.0.1:1x",
        "[::1]",
        "[::1:80",
        "example.com:80",
        "1.2.3:80",
        "256.1.1.1:80",
        "unix:",
        "tcp://127.0.0.1:80",
        "127.0.0.1:80:80",
    };
    struct address a;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(sock_parse(str_z(bad[i]), &a), ERR_INVALID);
}

static void a_unix_path_must_fit_and_hold_no_nul(void **state)
{
    char text[256] = "unix:/";
    size_t most = 5 + sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    struct address a;
    (void)state;

    memset(text + 6, 'a', sizeof(text) - 6);
    assert_int_equal(sock_parse(str_from(text, most), &a), ERR_OK);
    assert_int_equal(strlen(((struct sockaddr_un *)&a.sa)->sun_path), most - 5);
    assert_int_equal(sock_parse(str_from(text, most + 1), &a), ERR_INVALID);
    text[8] = 0;
    assert_int_equal(sock_parse(str_from(text, 20), &a), ERR_INVALID);
}

static int listen_on(struct address *at, bool first)
{
    int fd;

    if (sock_listen(at, 8, first, &fd))
        return -1;
    assert_int_equal(sock_local(fd, at), ERR_OK);
    return fd;
}

static void the_first_listener_wants_the_address_alone(void **state)
{
    struct address at;
    int one, two;
    (void)state;

    assert_int_equal(sock_parse(STR("127.0.0.1:0"), &at), ERR_OK);
    one = listen_on(&at, true);
    assert_true(one >= 0);
    assert_int_equal(listen_on(&at, true), -1);
    assert_int_equal(errno, EADDRINUSE);
    two = listen_on(&at, false); /* the next thread's */
    assert_true(two >= 0);
    close(one);
    close(two);
    one = listen_on(&at, true);
    assert_true(one >= 0);
    close(one);
}

static void sockets_do_not_block_and_are_not_inherited(void **state)
{
    struct address at, who;
    int listening, client, fd = -1;
    (void)state;

    assert_int_equal(sock_parse(STR("127.0.0.1:0"), &at), ERR_OK);
    listening = listen_on(&at, true);
    assert_int_equal(sock_accept(listening, &fd, &who), ERR_AGAIN);
    assert_int_equal(sock_connect(&at, &client), ERR_OK);
    assert_int_equal(poll(&(struct pollfd) { listening, POLLIN, 0 }, 1, 5000),
                     1);
    assert_int_equal(sock_accept(listening, &fd, &who), ERR_OK);
    assert_int_equal(who.sa.ss_family, AF_INET);
    assert_int_equal(sock_connected(client), ERR_OK);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(listening, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(client, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(listening, F_GETFD) & FD_CLOEXEC);
    close(fd);
    close(client);
    close(listening);
}

static void a_refused_connection_tells_why(void **state)
{
    struct address at;
    int client;
    (void)state;

    assert_int_equal(sock_parse(STR("127.0.0.1:0"), &at), ERR_OK);
    close(listen_on(&at, true));
    if (sock_connect(&at, &client) == ERR_OK) {
        poll(&(struct pollfd) { client, POLLOUT, 0 }, 1, 5000);
        assert_int_equal(sock_connected(client), ERR_IO);
        close(client);
    }
    assert_int_equal(errno, ECONNREFUSED);
}

static void running_out_of_descriptors_is_a_limit(void **state)
{
    struct rlimit was, now;
    struct address at, who;
    int listening, client, fd = -1;
    (void)state;

    assert_int_equal(sock_parse(STR("127.0.0.1:0"), &at), ERR_OK);
    listening = listen_on(&at, true);
    assert_int_equal(sock_connect(&at, &client), ERR_OK);
    assert_int_equal(poll(&(struct pollfd) { listening, POLLIN, 0 }, 1, 5000),
                     1);
    getrlimit(RLIMIT_NOFILE, &was);
    now = was;
    now.rlim_cur = 1;
    setrlimit(RLIMIT_NOFILE, &now);
    assert_int_equal(sock_accept(listening, &fd, &who), ERR_LIMIT);
    setrlimit(RLIMIT_NOFILE, &was);
    assert_int_equal(sock_accept(listening, &fd, &who), ERR_OK);
    close(fd);
    close(client);
    close(listening);
}

static struct address in_folder(const char *name)
{
    struct address a;
    char text[128];

    snprintf(text, sizeof(text), "unix:%s/%s", folder, name);
    assert_int_equal(sock_parse(str_z(text), &a), ERR_OK);
    return a;
}

static const char *path_of(const struct address *a)
{
    return ((const struct sockaddr_un *)&a->sa)->sun_path;
}

static void a_unix_socket_nobody_listens_on_is_replaced(void **state)
{
    struct address at = in_folder("stale");
    int one, two, client;
    (void)state;

    one = listen_on(&at, true);
    assert_true(one >= 0);
    close(one); /* its file stays */
    two = listen_on(&at, true);
    assert_true(two >= 0);
    assert_int_equal(sock_connect(&at, &client), ERR_OK);
    close(client);
    close(two);
    unlink(path_of(&at));
}

static void a_living_unix_socket_is_not_taken_away(void **state)
{
    struct address at = in_folder("living");
    int one, client;
    (void)state;

    one = listen_on(&at, true);
    assert_true(one >= 0);
    assert_int_equal(listen_on(&at, true), -1);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(sock_connect(&at, &client), ERR_OK);
    close(client);
    close(one);
    unlink(path_of(&at));
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    struct address at = in_folder("precious");
    struct stat st;
    int fd;
    (void)state;

    fd = open(path_of(&at), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(listen_on(&at, true), -1);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(stat(path_of(&at), &st), 0);
    assert_true(S_ISREG(st.st_mode));
    unlink(path_of(&at));
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_as_people_write_them),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_unix_path_must_fit_and_hold_no_nul),
        cmocka_unit_test(the_first_listener_wants_the_address_alone),
        cmocka_unit_test(sockets_do_not_block_and_are_not_inherited),
        cmocka_unit_test(a_refused_connection_tells_why),
        cmocka_unit_test(running_out_of_descriptors_is_a_limit),
        cmocka_unit_test(a_unix_socket_nobody_listens_on_is_replaced),
        cmocka_unit_test(a_living_unix_socket_is_not_taken_away),
        cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
