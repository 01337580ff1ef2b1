/* test_handover.c - messages between a process and its successor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/handover.h"

static int pair[2];
static struct handover_message m;

static int begin(void **state)
{
    (void)state;
    m.fd = -1;
    return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
}

static int end(void **state)
{
    (void)state;
    close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
    return 0;
}

static void a_message_arrives_with_its_descriptor(void **state)
{
    int fds[2];
    char got[3] = "";
    (void)state;

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(
        handover_send(pair[0], "listener", STR("[::]:8280#1"), fds[1]), ERR_OK);
    assert_int_equal(handover_take(pair[1], 1000, &m), ERR_OK);
    assert_true(str_is(m.name, "listener"));
    assert_true(str_is(m.value, "[::]:8280#1"));
    assert_true(m.fd >= 0 && m.fd != fds[1]);
    assert_true(fcntl(m.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(m.fd, "hi", 2), 2);
    assert_int_equal(read(fds[0], got, 2), 2);
    assert_string_equal(got, "hi");
    close(m.fd);
    close(fds[0]);
    close(fds[1]);
}

static void a_value_may_be_empty_or_any_bytes(void **state)
{
    (void)state;

    assert_int_equal(handover_send(pair[0], "end", STR_NULL, -1), ERR_OK);
    assert_int_equal(handover_send(pair[0], "tickets", STR("a\0b\n"), -1),
                     ERR_OK);
    assert_int_equal(handover_take(pair[1], 1000, &m), ERR_OK);
    assert_true(str_is(m.name, "end"));
    assert_int_equal(m.value.len, 0);
    assert_int_equal(m.fd, -1);
    assert_int_equal(handover_take(pair[1], 1000, &m), ERR_OK);
    assert_int_equal(m.value.len, 4);
    assert_memory_equal(m.value.p, "a\0b\n", 5); /* and a NUL behind it */
}

static void what_is_too_long_is_not_sent(void **state)
{
    static char big[HANDOVER_MAX];
    (void)state;

    assert_int_equal(
        handover_send(pair[0], "x", str_from(big, sizeof(big) - 2), -1),
        ERR_LIMIT);
    assert_int_equal(handover_send(pair[0],
                                   "a-name-that-is-longer-than-any-name-is",
                                   STR_NULL, -1),
                     ERR_LIMIT);
    assert_int_equal(
        handover_send(pair[0], "x", str_from(big, sizeof(big) - 3), -1),
        ERR_OK);
    assert_int_equal(handover_take(pair[1], 1000, &m), ERR_OK);
    assert_int_equal(m.value.len, sizeof(big) - 3);
}

static void what_is_no_message_is_refused(void **state)
{
    static char big[HANDOVER_MAX + 10];
    (void)state;

    assert_int_equal(send(pair[0], "no end", 6, 0), 6);
    assert_int_equal(send(pair[0], "\0x", 2, 0), 2);
    assert_int_equal(send(pair[0], big, sizeof(big), 0), sizeof(big));
    for (int i = 0; i < 3; i++)
        assert_int_equal(handover_take(pair[1], 1000, &m), ERR_INVALID);
    assert_int_equal(handover_take(pair[1], 0, &m), ERR_AGAIN);
}

static void descriptors_of_a_bad_message_are_closed(void **state)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control = { 0 };
    char text[] = "listener";
    struct iovec iov = { text, sizeof(text) };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int fds[3] = { pair[0], pair[0], pair[0] }, next = dup(0);
    (void)state;

    close(next);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    assert_true(sendmsg(pair[0], &msg, 0) > 0);
    assert_int_equal(handover_take(pair[1], 1000, &m), ERR_INVALID);
    assert_int_equal(m.fd, -1);
    assert_int_equal(fcntl(next, F_GETFD), -1); /* nothing was left open */
}

static void the_other_side_may_be_gone(void **state)
{
    (void)state;

    close(pair[1]);
    pair[1] = -1;
    assert_int_equal(handover_send(pair[0], "ready", STR_NULL, -1), ERR_PEER);
    assert_int_equal(handover_take(pair[0], 1000, &m), ERR_PEER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_arrives_with_its_descriptor),
        TEST(a_value_may_be_empty_or_any_bytes),
        TEST(what_is_too_long_is_not_sent),
        TEST(what_is_no_message_is_refused),
        TEST(descriptors_of_a_bad_message_are_closed),
        TEST(the_other_side_may_be_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
