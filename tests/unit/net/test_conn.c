/* test_conn.c - connections over socket pairs, and over TCP where it matters.
 *
 * The other end is the test: it reads and writes its descriptor directly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/budget.h"
#include "net/conn.h"
#include "net/fake_time.h"
#include "net/sock.h"
#include "tls_certs.h"

struct side {
    struct conn c; /* first */
    struct buf got;
    unsigned opened, eofs, errors, drained, hangups, closed, pieces;
    size_t longest;
    enum err error;
    /* What on_data() does besides collecting. */
    bool closes, pauses, echoes;
    bool closes_when_drained, stays; /* stays: does not close on an error */
};

static struct loop *loop;
static struct side a, b;
static int peer; /* the other end of a */
static struct tls_context *server_tls, *client_tls;

static void on_open(struct conn *c)
{
    ((struct side *)c)->opened++;
}

static void on_data(struct conn *c, char *p, size_t n)
{
    struct side *s = (struct side *)c;

    assert_int_equal(s->closed, 0);
    assert_true(n > 0 && n <= CONN_RECEIVE_FULL);
    assert_int_equal(buf_add(&s->got, p, n), ERR_OK);
    s->pieces++;
    if (n > s->longest)
        s->longest = n;
    if (s->echoes)
        conn_send(c, p, n);
    if (s->pauses)
        conn_pause(c);
    if (s->closes)
        conn_close(c);
    memset(p, 'X', n); /* the owner's to change */
}

static void on_eof(struct conn *c)
{
    ((struct side *)c)->eofs++;
}

static void on_error(struct conn *c, enum err e, const char *why)
{
    struct side *s = (struct side *)c;

    assert_non_null(why);
    s->errors++;
    s->error = e;
    if (!s->stays)
        conn_close(c);
}

static void on_drained(struct conn *c)
{
    struct side *s = (struct side *)c;

    assert_int_equal(conn_unsent(c), 0);
    s->drained++;
    if (s->closes_when_drained)
        conn_close(c);
}

static void on_hangup(struct conn *c)
{
    ((struct side *)c)->hangups++;
}

static void on_closed(struct conn *c)
{
    ((struct side *)c)->closed++;
}

static const struct conn_ops ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drained = on_drained,
    .on_hangup = on_hangup,
    .on_closed = on_closed,
};

/* Around */

static int begin(void **state)
{
    (void)state;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    buf_init(&a.got, 64 << 20);
    buf_init(&b.got, 64 << 20);
    peer = -1;
    loop = loop_new();
    return 0;
}

static void turn(unsigned times)
{
    while (times--)
        loop_turn(loop, 0);
}

/* Until something is so, in turns that wait for the other end for real. */
#define turn_until(what)                             \
    do {                                             \
        time_is_real = true;                         \
        for (int i_ = 0; !(what) && i_ < 5000; i_++) \
            loop_turn(loop, 1);                      \
        time_is_real = false;                        \
        assert_true(what);                           \
    } while (0)

static int end(void **state)
{
    (void)state;
    if (a.c.loop && a.c.state != CONN_CLOSED)
        conn_close(&a.c);
    if (b.c.loop && b.c.state != CONN_CLOSED)
        conn_close(&b.c);
    turn(1);
    assert_int_equal(a.closed, a.c.loop ? 1 : 0);
    assert_int_equal(b.closed, b.c.loop ? 1 : 0);
    if (peer >= 0)
        close(peer);
    buf_done(&a.got);
    buf_done(&b.got);
    loop_free(loop);
    conn_thread_done();
    tls_thread_done();
    return 0;
}

/* a on one end of a pair. SOCK_SEQPACKET keeps sends apart. */
static void open_pair(int type, int send_bytes)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
    if (send_bytes)
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &send_bytes,
                   sizeof(send_bytes));
    peer = fds[1];
    assert_int_equal(conn_accept(&a.c, loop, fds[0], NULL, &ops), ERR_OK);
}

static int listen_anywhere(struct address *at)
{
    int fd;

    assert_int_equal(sock_parse(STR("127.0.0.1:0"), at), ERR_OK);
    assert_int_equal(sock_listen(at, 8, true, &fd), ERR_OK);
    assert_int_equal(sock_local(fd, at), ERR_OK);
    return fd;
}

/* a accepted over TCP, peer a plain descriptor. */
static void open_tcp(void)
{
    struct address at, who;
    int listening = listen_anywhere(&at), fd;

    peer = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&at.sa, at.len), 0);
    assert_int_equal(sock_accept(listening, &fd, &who), ERR_OK);
    close(listening);
    fcntl(peer, F_SETFL, O_NONBLOCK);
    assert_int_equal(conn_accept(&a.c, loop, fd, NULL, &ops), ERR_OK);
}

/* What the peer gets in one receive. */
static ssize_t peer_reads(char *out, size_t size)
{
    return recv(peer, out, size, 0);
}

static void assert_peer_reads(const char *text)
{
    char got[256];
    ssize_t n = peer_reads(got, sizeof(got));

    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void assert_peer_waits(void)
{
    char got[16];

    assert_int_equal(peer_reads(got, sizeof(got)), -1);
    assert_int_equal(errno, EAGAIN);
}

static void peer_writes(const char *text)
{
    assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL),
                     strlen(text));
}

static void assert_got(const struct side *s, const char *text)
{
    assert_true(str_is(buf_view(&s->got), text));
}

/* Sending */

static void a_turn_ends_with_one_send(void **state)
{
    (void)state;

    open_pair(SOCK_SEQPACKET, 0);
    conn_write(&a.c, "one ", 4);
    conn_write(&a.c, "two ", 4);
    conn_write(&a.c, "three", 5);
    assert_int_equal(conn_unsent(&a.c), 13);
    assert_peer_waits();
    turn(1);
    assert_peer_reads("one two three");
    assert_peer_waits();
    assert_int_equal(conn_unsent(&a.c), 0);
    assert_int_equal(a.drained, 0); /* nothing had to wait */
    assert_true(a.c.out_bytes == 13);
}

static void a_send_takes_what_was_gathered_along(void **state)
{
    struct iovec parts[3] = { { (char[]) { 'b' }, 1 },
                              { NULL, 0 },
                              { (char[]) { 'c' }, 1 } };
    (void)state;

    open_pair(SOCK_SEQPACKET, 0);
    conn_write(&a.c, "a", 1);
    conn_sendv(&a.c, parts, 3);
    assert_peer_reads("abc");
    conn_send(&a.c, "alone", 5);
    assert_peer_reads("alone");
    conn_write(&a.c, "last", 4);
    conn_flush(&a.c);
    assert_peer_reads("last");
    conn_flush(&a.c);
    turn(2);
    assert_peer_waits();
}

static char pattern_at(size_t i)
{
    return (char)('a' + i * 31 / 7 % 26);
}

static char *make_pattern(size_t n)
{
    char *p = malloc(n);

    for (size_t i = 0; i < n; i++)
        p[i] = pattern_at(i);
    return p;
}

/* Reads up to n bytes and checks that they go on at *at. */
static void drink(size_t *at, size_t n)
{
    char got[70000];
    ssize_t k;

    while (n && (k = peer_reads(got, n < sizeof(got) ? n : sizeof(got))) > 0) {
        for (ssize_t i = 0; i < k; i++)
            assert_int_equal(got[i], pattern_at(*at + (size_t)i));
        *at += (size_t)k;
        n -= (size_t)k;
    }
}

static void what_the_kernel_does_not_take_is_kept_in_order(void **state)
{
    size_t all = 3 << 20, at = 0, sent = 0;
    char *p = make_pattern(all);
    uint64_t before = budget_used();
    (void)state;

    open_pair(SOCK_STREAM, 8192);
    /* Mixed sizes and ways, while the kernel takes a little now and then. */
    for (size_t n = 1; sent < all; n = n * 7 % 60013) {
        size_t k = n < all - sent ? n : all - sent;

        if (n % 3)
            conn_send(&a.c, p + sent, k);
        else
            conn_write(&a.c, p + sent, k);
        sent += k;
        if (n % 5 == 0) {
            drink(&at, n % 9000);
            turn(1);
        }
    }
    turn(1);
    assert_true(conn_unsent(&a.c) > 0);
    assert_true(a.c.waiting);
    while (at < all) {
        size_t was = at;

        drink(&at, 50000);
        turn(1);
        assert_true(at > was);
    }
    turn(1);
    assert_int_equal(conn_unsent(&a.c), 0);
    assert_int_equal(a.c.waiting, false);
    assert_true(a.drained >= 1);
    assert_true(a.c.out_bytes == all);
    assert_peer_waits();
    assert_int_equal(a.errors, 0);
    assert_true(budget_used() <= before + 65536);
    free(p);
}

static void drained_is_told_once(void **state)
{
    size_t all = 200000, at = 0;
    char *p = make_pattern(all);
    (void)state;

    open_pair(SOCK_STREAM, 8192);
    conn_send(&a.c, p, all);
    assert_true(conn_unsent(&a.c) > 0 && conn_unsent(&a.c) < all);
    while (at < all) {
        assert_int_equal(a.drained, conn_unsent(&a.c) == 0);
        drink(&at, 30000);
        turn(1);
    }
    turn(5);
    assert_int_equal(a.drained, 1);
    free(p);
}

static void it_may_be_closed_when_drained(void **state)
{
    size_t all = 200000, at = 0;
    char *p = make_pattern(all), c;
    (void)state;

    open_pair(SOCK_STREAM, 8192);
    a.closes_when_drained = true;
    conn_send(&a.c, p, all);
    while (at < all) {
        drink(&at, 30000);
        turn(1);
    }
    assert_int_equal(a.closed, 1);
    assert_int_equal(peer_reads(&c, 1), 0);
    free(p);
}

/* The end */

static void closing_with_output_unsent_tells_only_the_end(void **state)
{
    char *p = make_pattern(300000);
    (void)state;

    open_pair(SOCK_STREAM, 8192);
    conn_send(&a.c, p, 300000);
    conn_write(&a.c, p, 10);
    conn_close(&a.c);
    conn_close(&a.c);
    conn_write(&a.c, "x", 1);
    conn_send(&a.c, "x", 1);
    conn_flush(&a.c);
    conn_shutdown(&a.c);
    conn_pause(&a.c);
    conn_resume(&a.c);
    conn_reset(&a.c);
    assert_int_equal(a.closed, 0);
    turn(1);
    assert_int_equal(a.closed, 1);
    turn(2);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.drained + a.errors + a.eofs, 0);
    free(p);
}

static void closing_inside_on_data_is_the_end(void **state)
{
    (void)state;

    open_pair(SOCK_STREAM, 0);
    a.closes = a.echoes = true;
    peer_writes("hello");
    turn(1);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.pieces, 1);
    assert_peer_reads("hello"); /* was sent before */
}

static void an_end_of_input_leaves_the_sending_side(void **state)
{
    (void)state;

    open_pair(SOCK_STREAM, 0);
    peer_writes("question");
    shutdown(peer, SHUT_WR);
    turn(3);
    assert_got(&a, "question");
    assert_int_equal(a.eofs, 1);
    conn_send(&a.c, "answer", 6);
    assert_peer_reads("answer");
    turn(2);
    assert_int_equal(a.eofs, 1);
    assert_int_equal(a.errors, 0);
}

static void a_failed_send_is_told_at_the_end_of_the_turn(void **state)
{
    (void)state;

    open_pair(SOCK_STREAM, 0);
    close(peer);
    peer = -1;
    conn_send(&a.c, "x", 1);
    conn_send(&a.c, "y", 1);
    conn_write(&a.c, "z", 1);
    assert_int_equal(a.errors, 0);
    assert_int_equal(conn_unsent(&a.c), 0);
    turn(1);
    assert_int_equal(a.errors, 1);
    assert_int_equal(a.closed, 1);
}

static void a_reset_is_seen_by_the_peer(void **state)
{
    char c;
    (void)state;

    open_tcp();
    conn_reset(&a.c);
    turn(1);
    assert_int_equal(a.closed, 1);
    assert_int_equal(peer_reads(&c, 1), -1);
    assert_int_equal(errno, ECONNRESET);
}

static void a_reset_by_the_peer_is_an_error(void **state)
{
    (void)state;

    open_tcp();
    sock_reset(peer);
    close(peer);
    peer = -1;
    turn_until(a.errors);
    assert_int_equal(a.errors, 1);
    assert_int_equal(a.error, ERR_PEER);
    assert_int_equal(a.eofs, 0);
}

static void a_reset_is_an_error_also_while_paused(void **state)
{
    (void)state;

    open_tcp();
    conn_pause(&a.c);
    sock_reset(peer);
    close(peer);
    peer = -1;
    turn_until(a.errors);
    assert_int_equal(a.errors, 1);
}

static void shutting_down_sends_the_rest_first(void **state)
{
    size_t all = 200000, at = 0;
    char *p = make_pattern(all), c;
    (void)state;

    open_pair(SOCK_STREAM, 8192);
    conn_send(&a.c, p, all - 10);
    conn_write(&a.c, p + all - 10, 10);
    conn_shutdown(&a.c);
    while (at < all) {
        drink(&at, 30000);
        turn(1);
    }
    assert_int_equal(peer_reads(&c, 1), 0);
    peer_writes("still heard");
    turn(1);
    assert_got(&a, "still heard");
    free(p);
}

static void shutting_down_at_rest_is_at_once(void **state)
{
    char c;
    (void)state;

    open_pair(SOCK_STREAM, 0);
    conn_write(&a.c, "bye", 3);
    conn_shutdown(&a.c);
    assert_peer_reads("bye");
    assert_int_equal(peer_reads(&c, 1), 0);
}

/* Pausing */

static void a_pause_holds_data_back(void **state)
{
    (void)state;

    open_pair(SOCK_STREAM, 0);
    conn_pause(&a.c);
    peer_writes("one");
    turn(3);
    assert_int_equal(a.pieces, 0);
    conn_resume(&a.c);
    turn(1);
    assert_got(&a, "one");
    a.pauses = true;
    peer_writes(" two");
    turn(1);
    peer_writes(" three");
    turn(3);
    assert_got(&a, "one two");
    conn_send(&a.c, "pauses only reading", 19);
    assert_peer_reads("pauses only reading");
    a.pauses = false;
    conn_resume(&a.c);
    turn(1);
    assert_got(&a, "one two three");
}

/* A Unix socket whose peer is gone says so whatever one asks it for; what the
 * peer had sent is there nevertheless. */
static void what_came_before_the_end_survives_a_pause(void **state)
{
    (void)state;

    open_pair(SOCK_STREAM, 0);
    conn_pause(&a.c);
    peer_writes("the last words");
    close(peer);
    peer = -1;
    turn(3);
    assert_int_equal(a.errors, 0);
    assert_int_equal(a.hangups, 1);
    conn_resume(&a.c);
    turn(3);
    assert_got(&a, "the last words");
    assert_int_equal(a.eofs, 1);
}

static void a_hangup_while_paused_is_told_once(void **state)
{
    (void)state;

    open_tcp();
    conn_pause(&a.c);
    peer_writes("tail");
    shutdown(peer, SHUT_WR);
    turn_until(a.hangups);
    turn(5);
    assert_int_equal(a.hangups, 1);
    assert_int_equal(a.pieces + a.eofs + a.errors, 0);
    conn_resume(&a.c);
    turn_until(a.eofs);
    assert_got(&a, "tail");
}

static void a_piece_is_never_longer_than_said(void **state)
{
    char *p = make_pattern(400000);
    size_t at = 0;
    (void)state;

    open_pair(SOCK_STREAM, 0);
    while (at < 400000) {
        ssize_t n = send(peer, p + at, 400000 - at, MSG_NOSIGNAL);

        if (n > 0)
            at += (size_t)n;
        turn(1);
    }
    turn(20);
    assert_int_equal(a.got.len, 400000);
    assert_memory_equal(a.got.p, p, 400000);
    assert_true(a.longest <= CONN_RECEIVE_FULL);
    assert_true(a.c.in_bytes == 400000);
    free(p);
}

/* Connecting */

static void connecting_opens_and_sends_what_waited(void **state)
{
    struct address at, who;
    int listening = listen_anywhere(&at);
    (void)state;

    assert_int_equal(conn_connect(&a.c, loop, &at, NULL, &ops), ERR_OK);
    assert_int_equal(a.opened, 0); /* never from inside */
    conn_write(&a.c, "early ", 6);
    conn_send(&a.c, "bird", 4);
    turn_until(a.opened);
    assert_int_equal(sock_accept(listening, &peer, &who), ERR_OK);
    turn(1);
    assert_peer_reads("early bird");
    close(listening);
}

static void a_refused_connection_is_an_error(void **state)
{
    struct address at;
    (void)state;

    close(listen_anywhere(&at));
    if (conn_connect(&a.c, loop, &at, NULL, &ops)) {
        memset(&a.c, 0, sizeof(a.c)); /* refused at once: nothing is told */
        return;
    }
    turn_until(a.errors);
    assert_int_equal(a.error, ERR_IO);
    assert_int_equal(a.opened, 0);
    assert_int_equal(a.closed, 1);
}

static void closing_while_connecting_is_quiet(void **state)
{
    struct address at;
    int listening = listen_anywhere(&at);
    (void)state;

    assert_int_equal(conn_connect(&a.c, loop, &at, NULL, &ops), ERR_OK);
    conn_write(&a.c, "never sent", 10);
    conn_close(&a.c);
    turn(2);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.opened + a.errors + a.eofs, 0);
    close(listening);
}

/* TLS: a is the client, b the server. */

static void open_tls(bool later)
{
    struct tls *accepting = later ? NULL : tls_accept(server_tls);
    struct address at, who;
    int listening = listen_anywhere(&at), fd;

    assert_int_equal(conn_connect(&a.c, loop, &at,
                                  tls_connect(client_tls, STR("localhost")),
                                  &ops),
                     ERR_OK);
    assert_int_equal(sock_accept(listening, &fd, &who), ERR_OK);
    assert_int_equal(conn_accept(&b.c, loop, fd, accepting, &ops), ERR_OK);
    close(listening);
}

static void tls_opens_both_ends_and_carries_both_ways(void **state)
{
    (void)state;

    open_tls(false);
    turn_until(a.opened && b.opened);
    conn_write(&a.c, "ping", 4);
    turn_until(b.got.len == 4);
    conn_send(&b.c, "pong", 4);
    turn_until(a.got.len == 4);
    assert_got(&b, "ping");
    assert_got(&a, "pong");
}

static void tls_sends_what_waited_for_the_handshake(void **state)
{
    (void)state;

    open_tls(false);
    conn_write(&a.c, "from the ", 9);
    conn_send(&a.c, "first moment", 12);
    turn_until(b.got.len == 21);
    assert_got(&b, "from the first moment");
    assert_int_equal(a.errors + b.errors, 0);
}

static void tls_carries_much_both_ways(void **state)
{
    char *p = make_pattern(700000);
    size_t at = 0;
    (void)state;

    open_tls(false);
    b.echoes = true;
    turn_until(a.opened && b.opened);
    while (at < 700000) {
        struct iovec parts[3] = { { p + at, 17 },
                                  { NULL, 0 },
                                  { p + at + 17, 6983 } };

        conn_sendv(&a.c, parts, 3);
        at += 7000;
        turn(1);
    }
    turn_until(a.got.len == 700000);
    assert_memory_equal(a.got.p, p, 700000);
    assert_memory_equal(b.got.p, p, 700000);
    free(p);
}

static void tls_gathers_one_record(void **state)
{
    struct iovec parts[3] = { { (char[]) { 'b' }, 1 },
                              { NULL, 0 },
                              { (char[]) { 'c' }, 1 } };
    (void)state;

    open_tls(false);
    turn_until(a.opened && b.opened);
    conn_write(&a.c, "a", 1);
    conn_sendv(&a.c, parts, 3);
    turn_until(b.got.len == 3);
    assert_got(&b, "abc");
    assert_int_equal(b.pieces, 1);
}

static void tls_says_goodbye(void **state)
{
    (void)state;

    open_tls(false);
    turn_until(a.opened && b.opened);
    conn_write(&a.c, "bye", 3);
    conn_shutdown(&a.c);
    turn_until(b.eofs);
    assert_got(&b, "bye");
    conn_send(&b.c, "you too", 7); /* reading goes on */
    turn_until(a.got.len == 7);
    conn_close(&b.c);
    turn_until(a.eofs);
    assert_int_equal(a.errors + b.errors, 0);
}

static void tls_cut_short_is_an_error_and_no_end(void **state)
{
    (void)state;

    open_tls(false);
    turn_until(a.opened && b.opened);
    shutdown(a.c.io.fd, SHUT_WR); /* a FIN without close_notify */
    turn_until(b.errors);
    assert_int_equal(b.eofs, 0);
    assert_int_equal(b.error, ERR_PEER);
}

static void a_tls_peer_that_speaks_otherwise_is_an_error(void **state)
{
    struct address at, who;
    int listening = listen_anywhere(&at), fd;
    (void)state;

    peer = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&at.sa, at.len), 0);
    assert_int_equal(sock_accept(listening, &fd, &who), ERR_OK);
    assert_int_equal(conn_accept(&a.c, loop, fd, tls_accept(server_tls), &ops),
                     ERR_OK);
    peer_writes("GET / HTTP/1.1\r\n\r\n");
    turn_until(a.errors);
    assert_int_equal(a.opened, 0);
    close(listening);
}

static void closing_in_a_handshake_is_an_error(void **state)
{
    (void)state;

    open_tls(false);
    shutdown(a.c.io.fd, SHUT_WR);
    turn_until(b.errors);
    assert_int_equal(b.opened + b.eofs, 0);
    assert_int_equal(b.errors, 1);
}

/* b begins in plain and changes to TLS at the first bytes. */
static void on_first_bytes(struct conn *c, char *p, size_t n)
{
    struct side *s = (struct side *)c;

    if (c->tls)
        on_data(c, p, n);
    else if (s->pieces++ == 0)
        conn_start_tls(c, tls_accept(server_tls), p, n);
}

static void tls_may_start_in_the_middle(void **state)
{
    static struct conn_ops changing;
    (void)state;

    changing = ops;
    changing.on_data = on_first_bytes;
    open_tls(true);
    b.c.ops = &changing;
    conn_write(&a.c, "hello", 5);
    turn_until(a.opened && b.opened && b.got.len == 5);
    assert_got(&b, "hello");
    conn_send(&b.c, "world", 5);
    turn_until(a.got.len == 5);
    assert_int_equal(a.errors + b.errors, 0);
}

static int open_group(void **state)
{
    struct arena *arena = arena_new();
    struct problems ps;
    struct made ca = make((struct wish) { .name = "Test CA", .ca = true });
    struct made leaf = make((struct wish) {
        .name = "localhost", .alt = "DNS:localhost", .issuer = &ca });
    struct tls_server_conf server = { .max_version = 1, .tickets = 1 };
    struct tls_client_conf client = { 0 };
    (void)state;

    problems_init(&ps, arena);
    temp_folder_make(folder);
    save("ca", ca, NULL);
    save("server", leaf, NULL);
    server.certificate = str_z(path_of("server.pem"));
    server.key = str_z(path_of("server.key"));
    client.ca = str_z(path_of("ca.pem"));
    must(!tls_server_new(&server, STR_NULL, STR("t"), &ps, &server_tls));
    must(!tls_client_new(&client, STR_NULL, STR("t"), &ps, &client_tls));
    unmake(ca);
    unmake(leaf);
    arena_free(arena);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tls_context_unref(server_tls);
    tls_context_unref(client_tls);
    temp_folder_remove(folder);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_turn_ends_with_one_send),
        TEST(a_send_takes_what_was_gathered_along),
        TEST(what_the_kernel_does_not_take_is_kept_in_order),
        TEST(drained_is_told_once),
        TEST(it_may_be_closed_when_drained),
        TEST(closing_with_output_unsent_tells_only_the_end),
        TEST(closing_inside_on_data_is_the_end),
        TEST(an_end_of_input_leaves_the_sending_side),
        TEST(a_failed_send_is_told_at_the_end_of_the_turn),
        TEST(a_reset_is_seen_by_the_peer),
        TEST(a_reset_by_the_peer_is_an_error),
        TEST(a_reset_is_an_error_also_while_paused),
        TEST(shutting_down_sends_the_rest_first),
        TEST(shutting_down_at_rest_is_at_once),
        TEST(a_pause_holds_data_back),
        TEST(what_came_before_the_end_survives_a_pause),
        TEST(a_hangup_while_paused_is_told_once),
        TEST(a_piece_is_never_longer_than_said),
        TEST(connecting_opens_and_sends_what_waited),
        TEST(a_refused_connection_is_an_error),
        TEST(closing_while_connecting_is_quiet),
        TEST(tls_opens_both_ends_and_carries_both_ways),
        TEST(tls_sends_what_waited_for_the_handshake),
        TEST(tls_carries_much_both_ways),
        TEST(tls_gathers_one_record),
        TEST(tls_says_goodbye),
        TEST(tls_cut_short_is_an_error_and_no_end),
        TEST(a_tls_peer_that_speaks_otherwise_is_an_error),
        TEST(closing_in_a_handshake_is_an_error),
        TEST(tls_may_start_in_the_middle),
    };

    return cmocka_run_group_tests(tests, open_group, close_group);
}
