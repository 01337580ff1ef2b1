/* exchange_fixture.h - an exchange for tests of what looks at one: a real
 * connection, a real request, and a handler that does nothing.
 *
 * Included by one file of a program each, so everything is static.
 */
#ifndef TG_TESTS_EXCHANGE_FIXTURE_H
#define TG_TESTS_EXCHANGE_FIXTURE_H

#include <sys/socket.h>

#include "gateway/exchange.h"
#include "gateway/trust.h"
#include "http/http_peer.h"
#include "net/dns.h"

static struct arena *arena;
static struct loop *loop;
static struct http_conns conns;
static struct http_server server;
static struct peer peer;
static struct exchange *x; /* the one that waits for an answer */
static struct trust *trust;
static bool is_trusted;

static void hold_request(struct http_stream *s)
{
    x = (struct exchange *)s;
}

static void ignore_body(struct http_stream *s, char *p, size_t n)
{
    (void)s;
    (void)p;
    (void)n;
}

static void ignore_body_end(struct http_stream *s, struct str trailers)
{
    (void)s;
    (void)trailers;
}

static void forget_stream(struct http_stream *s)
{
    if (x == (struct exchange *)s)
        x = NULL;
}

static void ignore_stream(struct http_stream *s)
{
    (void)s;
}

static const struct http_handler holding_handler = {
    .stream_size = sizeof(struct exchange),
    .on_request = hold_request,
    .on_body = ignore_body,
    .on_body_end = ignore_body_end,
    .on_drained = ignore_stream,
    .on_end = forget_stream,
};

static bool fixture_trusted(void *arg, const struct sockaddr *sa)
{
    (void)arg;
    (void)sa;
    return is_trusted;
}

static void ignore_server(struct http_server *s)
{
    (void)s;
}

static inline int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    loop = loop_new();
    memset(&conns, 0, sizeof(conns));
    conns.loop = loop;
    server = (struct http_server) {
        .refs = 1,
        .handler = &holding_handler,
        .limits = { .head_size = 16384,
                    .target_size = 4096,
                    .headers = 60,
                    .pipelined = 65536 },
        .trusted = fixture_trusted,
        .on_free = ignore_server,
    };
    is_trusted = false;
    x = NULL;
    peer.fd = -1;
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    http_close_all(&conns);
    loop_turn(loop, 0);
    assert_int_equal(conns.count, 0);
    peer_done(&peer);
    loop_free(loop);
    arena_free(arena);
    http_thread_done();
    return 0;
}

/* A request from that address ("unix" is one too); x is the exchange. */
static inline void request_from(const char *ip, const char *text)
{
    struct address who = { .len = sizeof(sa_family_t),
                           .sa.ss_family = AF_UNIX };
    int fds[2];

    if (peer.fd >= 0) {
        http_close_all(&conns);
        loop_turn(loop, 0);
        peer_done(&peer);
    }
    if (strcmp(ip, "unix") != 0)
        assert_int_equal(address_numeric(str_z(ip), 4711, &who), ERR_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    peer_init(&peer, fds[1]);
    http_accept(&conns, &server, fds[0], &who);
    peer_say(&peer, text);
    loop_turn(loop, 100);
    assert_non_null(x);
    x->s.start_us = 0;
}

/* Ranges, separated by spaces, whose word is believed. */
static inline void believe(const char *text)
{
    struct str items[16], bad, rest = str_z(text);
    size_t n = 0;

    while (rest.len)
        items[n++] = str_cut(&rest, ' ');
    assert_int_equal(trust_new(arena, items, n, &trust, &bad), ERR_OK);
}

#endif
