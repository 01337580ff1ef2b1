/* test_dns.c - names to addresses, with a name server of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "net/dns.h"

/* A name server on the same loop. What it answers depends on the first label:
 * two-…: A 192.0.2.1 and .2, ttl 5, no AAAA; six-…: AAAA 2001:db8::1, ttl 0;
 * long-…: A, ttl a million; none-…: NXDOMAIN; fail-…: SERVFAIL; mute-…:
 * silence. */
struct server {
    struct io io;
    char address[32];
    int asked;
};

static struct loop *loop;
static struct server server;
static struct dns *dns;

static size_t put_question(unsigned char *out, const unsigned char *ask,
                           size_t n, int rcode, int answers)
{
    size_t end = 12;

    while (end < n && ask[end])
        end += 1u + ask[end];
    end += 5;
    must(end <= n);
    memcpy(out, ask, end);
    out[2] = 0x81; /* an answer, recursion as asked */
    out[3] = (unsigned char)(0x80 | rcode);
    memset(out + 4, 0, 8);
    out[5] = 1;
    out[7] = (unsigned char)answers;
    return end;
}

static size_t put_record(unsigned char *p, int type, uint32_t ttl,
                         const void *data, size_t len)
{
    unsigned char head[12] = { 0xc0, 12, 0, (unsigned char)type, 0, 1 };

    ttl = htonl(ttl);
    memcpy(head + 6, &ttl, 4);
    head[11] = (unsigned char)len;
    memcpy(p, head, 12);
    memcpy(p + 12, data, len);
    return 12 + len;
}

static size_t make_answer(const unsigned char *ask, size_t n,
                          unsigned char *out)
{
    const char *name = (const char *)ask + 13;
    size_t end = put_question(out, ask, n, 0, 0);
    int type = out[end - 3];
    unsigned char six[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

    if (!strncmp(name, "none", 4)) {
        out[3] |= 3;
    } else if (!strncmp(name, "fail", 4)) {
        out[3] |= 2;
    } else if (!strncmp(name, "two", 3) && type == 1) {
        out[7] = 2;
        end += put_record(out + end, 1, 7, "\xc0\x00\x02\x01", 4);
        end += put_record(out + end, 1, 5, "\xc0\x00\x02\x02", 4);
    } else if (!strncmp(name, "long", 4) && type == 1) {
        out[7] = 1;
        end += put_record(out + end, 1, 1000000, "\xc0\x00\x02\x01", 4);
    } else if (!strncmp(name, "six", 3) && type == 28) {
        out[7] = 1;
        end += put_record(out + end, 28, 0, six, 16);
    }
    return end;
}

static void on_question(struct io *io, uint32_t events)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    unsigned char ask[512], out[1024];
    ssize_t n = recvfrom(io->fd, ask, sizeof(ask), 0, (void *)&from, &len);
    (void)events;

    must(n > 16);
    server.asked++;
    if (!strncmp((char *)ask + 13, "mute", 4))
        return;
    n = (ssize_t)make_answer(ask, (size_t)n, out);
    must(sendto(io->fd, out, (size_t)n, 0, (void *)&from, len) == n);
}

static void start_server(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);

    server.io.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    server.io.ready = on_question;
    must(!bind(server.io.fd, (void *)&at, sizeof(at)));
    must(!getsockname(server.io.fd, (void *)&at, &len));
    snprintf(server.address, sizeof(server.address), "127.0.0.1:%d",
             ntohs(at.sin_port));
    must(loop_watch(loop, &server.io, EPOLLIN) == ERR_OK);
}

/* The answer of one question, and how often it was given. */
struct told {
    struct dns_answer answer;
    int times;
};

static void tell(void *arg, const struct dns_answer *answer)
{
    struct told *told = arg;

    told->answer = *answer;
    told->times++;
}

static void ask(const char *host, uint16_t port, struct told *told)
{
    memset(told, 0, sizeof(*told));
    dns_resolve(dns, str_z(host), port, tell, told);
}

static void wait_for(struct told *told)
{
    uint64_t end = loop_now_ms(loop) + 5000;

    while (!told->times && loop_now_ms(loop) < end)
        loop_turn(loop, 50);
    assert_int_equal(told->times, 1);
}

static void expect_address(const struct told *told, size_t i, const char *text)
{
    char out[128];

    assert_true(i < told->answer.count);
    address_format((const void *)&told->answer.addresses[i].sa, out,
                   sizeof(out), true);
    assert_string_equal(out, text);
}

static bool has_address(const struct told *told, const char *text)
{
    char out[128];
    size_t i;

    for (i = 0; i < told->answer.count; i++) {
        address_format((const void *)&told->answer.addresses[i].sa, out,
                       sizeof(out), true);
        if (!strcmp(out, text))
            return true;
    }
    return false;
}

static void a_name_has_addresses_and_the_smallest_ttl(void **state)
{
    struct told told;
    (void)state;

    ask("two.test.", 8080, &told);
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_OK);
    assert_int_equal(told.answer.count, 2);
    assert_true(has_address(&told, "192.0.2.1:8080"));
    assert_true(has_address(&told, "192.0.2.2:8080"));
    assert_int_equal(told.answer.ttl_s, 5);
}

static void a_ttl_is_kept_within_bounds(void **state)
{
    struct told told;
    (void)state;

    ask("six.test.", 443, &told);
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_OK);
    assert_int_equal(told.answer.count, 1);
    expect_address(&told, 0, "[2001:db8::1]:443");
    assert_int_equal(told.answer.ttl_s, 1);
    ask("long.test.", 443, &told);
    wait_for(&told);
    assert_int_equal(told.answer.ttl_s, 3600);
}

static void a_name_that_is_not_there_is_not_found(void **state)
{
    struct told told;
    (void)state;

    ask("none.test.", 80, &told);
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_NOT_FOUND);
    ask("empty.test.", 80, &told); /* the name exists, without addresses */
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_NOT_FOUND);
    assert_int_equal(told.answer.count, 0);
}

static void a_server_that_fails_is_told(void **state)
{
    struct told told;
    (void)state;

    ask("fail.test.", 80, &told);
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_PEER);
}

static void silence_ends_at_the_time_limit(void **state)
{
    uint64_t begin = loop_now_ms(loop);
    struct told told, other;
    (void)state;

    ask("mute.test.", 80, &told);
    ask("two.test.", 80, &other); /* does not wait for the first */
    wait_for(&other);
    assert_int_equal(told.times, 0);
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_TIMEOUT);
    assert_true(loop_now_ms(loop) - begin < 2000);
    while (loop_now_ms(loop) - begin < 600)
        loop_turn(loop, 50);
    assert_int_equal(told.times, 1); /* and is not told again */
}

static void hosts_and_numbers_need_no_server(void **state)
{
    int before = server.asked;
    struct told told;
    (void)state;

    ask("localhost", 80, &told);
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_OK);
    assert_true(has_address(&told, "127.0.0.1:80") ||
                has_address(&told, "[::1]:80"));
    assert_int_equal(told.answer.ttl_s, 60);
    ask("10.0.0.9", 81, &told);
    assert_int_equal(told.times, 1); /* at once */
    expect_address(&told, 0, "10.0.0.9:81");
    ask("[fd00::1]", 82, &told);
    expect_address(&told, 0, "[fd00::1]:82");
    assert_int_equal(server.asked, before);
}

static void what_can_be_no_name_is_not_found(void **state)
{
    char longest[300];
    struct told told;
    (void)state;

    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    ask(longest, 80, &told);
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_NOT_FOUND);
    ask("", 80, &told);
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_NOT_FOUND);
    ask("a..b", 80, &told);
    wait_for(&told);
    assert_int_equal(told.answer.err, ERR_NOT_FOUND);
}

static void many_questions_run_at_once(void **state)
{
    struct told told[100];
    char name[32];
    int i;
    (void)state;

    for (i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "two-%d.test.", i);
        ask(name, (uint16_t)i, &told[i]);
    }
    for (i = 0; i < 100; i++) {
        wait_for(&told[i]);
        assert_int_equal(told[i].answer.err, ERR_OK);
    }
}

static void freeing_answers_what_is_open(void **state)
{
    struct told told;
    (void)state;

    ask("mute.test.", 80, &told);
    loop_turn(loop, 0);
    dns_free(dns);
    assert_int_equal(told.times, 1);
    assert_int_equal(told.answer.err, ERR_PEER);
    dns = dns_new(loop, str_z(server.address), 300);
    assert_non_null(dns);
}

static void servers_that_are_none_are_refused(void **state)
{
    (void)state;

    log_setup(LOG_ERROR, LOG_TEXT, open("/dev/null", O_WRONLY));
    assert_null(dns_new(loop, STR("nonsense:x"), 300));
    log_setup(LOG_INFO, LOG_AUTO, 2);
}

static void addresses_are_read_and_written(void **state)
{
    static const char *const good[][2] = {
        { "1.2.3.4", "1.2.3.4:9" },
        { "::1", "[::1]:9" },
        { "[::1]", "[::1]:9" },
        { "2001:DB8::A", "[2001:db8::a]:9" },
        { "::ffff:1.2.3.4", "1.2.3.4:9" },
    };
    static const char *const bad[] = { "",      "1.2.3",     "1.2.3.4.5",
                                       "[",     "[]",        "[1.2.3.4]",
                                       "::1]",  "localhost", "1.2.3.4 ",
                                       "0x7f.1" };
    struct address a;
    char out[128];
    size_t i;
    (void)state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(address_numeric(str_z(good[i][0]), 9, &a), ERR_OK);
        assert_int_equal(
            address_format((const void *)&a.sa, out, sizeof(out), true),
            strlen(good[i][1]));
        assert_string_equal(out, good[i][1]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(address_numeric(str_z(bad[i]), 9, &a), ERR_INVALID);
    assert_int_equal(address_numeric(STR("1.2.3.4\0"), 9, &a), ERR_INVALID);
    address_numeric(STR("::1"), 9, &a);
    address_format((const void *)&a.sa, out, sizeof(out), false);
    assert_string_equal(out, "::1");
    assert_int_equal(address_format((const void *)&a.sa, out, 4, true), 3);
    assert_string_equal(out, "[::"); /* cut, with its NUL */
}

static void unix_sockets_have_paths(void **state)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    char out[128];
    (void)state;

    address_format((const void *)&un, out, sizeof(out), true);
    assert_string_equal(out, "unix:");
    strcpy(un.sun_path, "/run/a.sock");
    address_format((const void *)&un, out, sizeof(out), true);
    assert_string_equal(out, "unix:/run/a.sock");
    memcpy(un.sun_path, "\0abstract", 10);
    address_format((const void *)&un, out, sizeof(out), true);
    assert_string_equal(out, "unix:@abstract");
    memset(un.sun_path, 'x', sizeof(un.sun_path)); /* no NUL at all */
    assert_int_equal(address_format((const void *)&un, out, sizeof(out), true),
                     5 + sizeof(un.sun_path));
}

static int open_group(void **state)
{
    (void)state;
    loop = loop_new();
    start_server();
    dns = dns_new(loop, str_z(server.address), 300);
    return dns ? 0 : -1;
}

static int close_group(void **state)
{
    (void)state;
    dns_free(dns);
    loop_unwatch(loop, &server.io);
    close(server.io.fd);
    loop_free(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_addresses_and_the_smallest_ttl),
        cmocka_unit_test(a_ttl_is_kept_within_bounds),
        cmocka_unit_test(a_name_that_is_not_there_is_not_found),
        cmocka_unit_test(a_server_that_fails_is_told),
        cmocka_unit_test(silence_ends_at_the_time_limit),
        cmocka_unit_test(hosts_and_numbers_need_no_server),
        cmocka_unit_test(what_can_be_no_name_is_not_found),
        cmocka_unit_test(many_questions_run_at_once),
        cmocka_unit_test(freeing_answers_what_is_open),
        cmocka_unit_test(servers_that_are_none_are_refused),
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(unix_sockets_have_paths),
    };

    return cmocka_run_group_tests(tests, open_group, close_group);
}
