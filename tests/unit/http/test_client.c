/* test_client.c - calls to backends; the backend is the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>

#include "base/budget.h"
#include "http/client.h"
#include "net/hand_loop.h"

struct call {
    struct http_call x; /* first */
    struct buf body;
    unsigned informs, replies, ends, fails, drained;
    unsigned status;
    enum http_fail why;
    bool any;
    char trailer_text[256];
    /* What its functions do besides */
    bool cancels_on_reply, pauses_on_reply, closes_on_reply;
};

static struct http_client *client; /* NULL when gone */
static int backend;
static unsigned readies, gones;
static enum http_fail gone_kind;
static bool gone_connected;
static struct call *next; /* begun from inside on_ready() */
static struct http_client_limits limits;
static struct arena *arena;

static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

static void on_inform(struct http_call *x, const struct message *m)
{
    assert_in_range(m->status, 100, 199);
    ((struct call *)x)->informs++;
}

static void on_reply(struct http_call *x, const struct message *m)
{
    struct call *c = (struct call *)x;

    assert_int_equal(c->replies + c->fails, 0);
    c->replies++;
    c->status = m->status;
    if (c->pauses_on_reply)
        http_call_pause(x);
    if (c->closes_on_reply)
        http_client_close(x->client);
    else if (c->cancels_on_reply)
        http_call_cancel(x);
}

static void on_body(struct http_call *x, char *p, size_t n, bool last,
                    struct str trailers)
{
    struct call *c = (struct call *)x;

    assert_int_equal(c->replies, 1);
    assert_int_equal(c->ends + c->fails, 0);
    assert_true(n || last);
    assert_int_equal(buf_add(&c->body, p, n), ERR_OK);
    if (last) {
        assert_null(x->client);
        assert_true(trailers.len < sizeof(c->trailer_text));
        if (trailers.len)
            memcpy(c->trailer_text, trailers.p, trailers.len);
        c->ends++;
    } else {
        assert_int_equal(trailers.len, 0);
    }
    if (n)
        memset(p, 'X', n); /* ours to change */
}

static void on_drained(struct http_call *x)
{
    ((struct call *)x)->drained++;
}

static void on_fail(struct http_call *x, enum http_fail why, bool any,
                    const char *detail)
{
    struct call *c = (struct call *)x;

    (void)detail;
    assert_int_equal(c->ends + c->fails, 0);
    assert_null(x->client);
    assert_null(client); /* on_gone() was first */
    c->fails++;
    c->why = why;
    c->any = any;
}

static const struct http_call_ops call_ops = {
    .on_inform = on_inform,
    .on_reply = on_reply,
    .on_body = on_body,
    .on_drained = on_drained,
    .on_fail = on_fail,
};

static void start(struct call *c, const char *text, bool more);

static void on_ready(void *arg, struct http_client *c)
{
    assert_ptr_equal(arg, &loop);
    if (client)
        assert_ptr_equal(c, client);
    client = c;
    readies++;
    if (next) {
        struct call *now = next;

        next = NULL;
        start(now, get, false);
    }
}

static void on_gone(void *arg, struct http_client *c, enum http_fail kind,
                    bool connected, const char *why)
{
    (void)why;
    assert_ptr_equal(arg, &loop);
    assert_ptr_equal(c, client);
    assert_int_equal(gones, 0);
    gones++;
    gone_kind = kind;
    gone_connected = connected;
    client = NULL;
}

static const struct http_client_ops client_ops = {
    .on_ready = on_ready,
    .on_gone = on_gone,
};

/* Around */

static int begin(void **state)
{
    (void)state;
    loop = loop_new();
    arena = arena_new();
    client = NULL;
    backend = -1;
    readies = gones = 0;
    next = NULL;
    limits = (struct http_client_limits) {
        .head_size = 4096,
        .headers = 30,
        .connect_ms = 1000,
        .idle_ms = 20000,
    };
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (client)
        http_client_close(client);
    turn(2);
    if (backend >= 0)
        close(backend);
    arena_free(arena);
    loop_free(loop);
    conn_thread_done();
    arena_thread_done();
    return 0;
}

static void free_body(void *arg)
{
    buf_done(arg);
}

static struct call *new_call(void)
{
    struct call *c = arena_alloc(arena, sizeof(*c));

    c->x.ops = &call_ops;
    c->x.method = METHOD_GET;
    c->x.first_byte_ms = 2000;
    c->x.stall_ms = 3000;
    buf_init(&c->body, 16 << 20);
    arena_defer(arena, free_body, &c->body);
    return c;
}

static void connect_as(int type, int send_bytes)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
    if (send_bytes)
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &send_bytes,
                   sizeof(send_bytes));
    backend = fds[1];
    client = http_client_adopt(loop, fds[0], NULL, HTTP_WANT_1, &limits,
                               &client_ops, &loop);
    assert_non_null(client);
    assert_int_equal(readies, 0); /* never from inside */
    turn(1);
    assert_int_equal(readies, 1);
}

static void connect_pair(void)
{
    connect_as(SOCK_STREAM, 0);
}

static void start(struct call *c, const char *text, bool more)
{
    struct header fields[30];
    struct message m = { .headers = fields, .capacity = 30 };
    struct h1_error error;
    struct http_request r;

    assert_int_equal(h1_parse_request(text, strlen(text), &m, &error), ERR_OK);
    r = (struct http_request) {
        .method = m.method_text,
        .authority = m.authority,
        .path = { m.path, STR("") },
        .query = m.query,
        .has_query = m.has_query,
        .from = &m,
        .skip = 1ull << FIELD_HOST | 1ull << FIELD_CONTENT_LENGTH,
        .body = m.body,
        .length = m.length,
        .upgrade = m.upgrade ? message_value(&m, FIELD_UPGRADE) : STR_NULL,
    };
    http_call_start(client, &c->x, &r, more);
}

static void answer(const char *text)
{
    assert_int_equal(send(backend, text, strlen(text), MSG_NOSIGNAL),
                     strlen(text));
    turn(1);
}

static void assert_backend_got(const char *text)
{
    char got[4096];
    ssize_t n = recv(backend, got, sizeof(got) - 1, MSG_DONTWAIT);

    assert_true(n >= 0);
    got[n] = 0;
    assert_string_equal(got, text);
}

static void assert_body(const struct call *c, unsigned status, const char *text)
{
    assert_int_equal(c->fails, 0);
    assert_int_equal(c->ends, 1);
    assert_int_equal(c->status, status);
    assert_true(str_is(buf_view(&c->body), text));
}

static void assert_failed(const struct call *c, enum http_fail why)
{
    assert_int_equal(c->fails, 1);
    assert_string_equal(http_fail_name(c->why), http_fail_name(why));
    assert_int_equal(gones, 1);
    assert_null(client);
}

/* One whole call. */
static struct call *call(const char *reply)
{
    struct call *c = new_call();

    start(c, get, false);
    turn(1);
    assert_backend_got(get);
    answer(reply);
    return c;
}

/* Calls */

static void a_connection_serves_one_call_after_another(void **state)
{
    (void)state;

    connect_pair();
    for (unsigned i = 0; i < 5; i++) {
        struct call *c = call("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
                              "hello");

        assert_body(c, 200, "hello");
        assert_int_equal(c->x.reused, i > 0);
        assert_int_equal(readies, 2 + i);
    }
    assert_int_equal(gones, 0);
}

static void a_reply_may_come_byte_by_byte(void **state)
{
    const char *text = "HTTP/1.1 100 Continue\r\n\r\n"
                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n";
    struct call *c = new_call();
    (void)state;

    connect_pair();
    start(c, get, false);
    for (const char *p = text; *p; p++) {
        char one[2] = { *p, 0 };

        answer(one);
    }
    assert_body(c, 200, "abcde");
    assert_string_equal(c->trailer_text, "X-Sum: 5\r\n");
    assert_int_equal(c->informs, 1);
    assert_int_equal(readies, 2);
}

static void replies_without_a_body_are_over_with_their_head(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    assert_body(call("HTTP/1.1 204 No Content\r\n\r\n"), 204, "");
    assert_body(call("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
                304, "");
    assert_body(call("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 200, "");
    c->x.method = METHOD_HEAD;
    start(c, get, false);
    turn(1);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_body(c, 200, "");
    assert_int_equal(readies, 5);
}

static void a_reply_may_end_with_the_connection(void **state)
{
    struct call *c;
    (void)state;

    connect_pair();
    c = call("HTTP/1.1 200 OK\r\n\r\nall of ");
    answer("this");
    assert_int_equal(c->ends, 0);
    close(backend);
    backend = -1;
    turn(2);
    assert_body(c, 200, "all of this");
    assert_int_equal(gones, 1);
    assert_int_equal(readies, 1);
}

static void who_says_close_is_not_used_again(void **state)
{
    (void)state;

    connect_pair();
    assert_body(call("HTTP/1.1 200 OK\r\nConnection: close\r\n"
                     "Content-Length: 2\r\n\r\nok"),
                200, "ok");
    assert_int_equal(readies, 1);
    assert_int_equal(gones, 1);
    assert_true(gone_connected);
}

static void http_1_0_is_not_used_again_unless_it_says_so(void **state)
{
    (void)state;

    connect_pair();
    assert_body(call("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
                     "Content-Length: 2\r\n\r\nok"),
                200, "ok");
    assert_int_equal(readies, 2);
    assert_body(call("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), 200,
                "ok");
    assert_int_equal(readies, 2);
    assert_int_equal(gones, 1);
}

static void a_call_may_begin_as_soon_as_the_one_before_is_over(void **state)
{
    struct call *second = new_call(), *first;
    (void)state;

    connect_pair();
    next = second;
    first = call("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
    assert_body(first, 200, "first");
    assert_ptr_equal(second->x.client, client);
    assert_backend_got(get);
    answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "6\r\nsecond\r\n0\r\nX-A: 1\r\n\r\n");
    assert_body(second, 200, "second");
    assert_string_equal(second->trailer_text, "X-A: 1\r\n");
}

/* Trailers of the first are handed over after the second has begun. */
static void trailers_outlive_the_next_begin(void **state)
{
    struct call *second = new_call(), *first;
    (void)state;

    connect_pair();
    next = second;
    first = call("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "5\r\nfirst\r\n0\r\nX-First: 1\r\n\r\n");
    assert_body(first, 200, "first");
    assert_string_equal(first->trailer_text, "X-First: 1\r\n");
    answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "0\r\nX-Second: 2\r\n\r\n");
    assert_body(second, 200, "");
    assert_string_equal(second->trailer_text, "X-Second: 2\r\n");
}

/* Sending */

static void say(struct call *c, const char *text, bool last)
{
    http_call_body(&c->x, text, strlen(text), last, STR_NULL);
}

static void head_and_first_body_bytes_are_one_send(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_as(SOCK_SEQPACKET, 0);
    start(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", true);
    say(c, "body", true);
    assert_backend_got("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4"
                       "\r\n\r\nbody");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_body(c, 200, "");
    assert_int_equal(readies, 2);
}

static void a_head_alone_goes_at_the_end_of_the_turn(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_as(SOCK_SEQPACKET, 0);
    start(c, "POST / HTTP/1.1\r\nHost: a\r\n\r\n", true);
    turn(1);
    assert_backend_got("POST / HTTP/1.1\r\nHost: a\r\n\r\n");
    say(c, "tail", true);
    assert_backend_got("tail");
}

static void a_body_of_unknown_length_goes_in_chunks(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_as(SOCK_SEQPACKET, 0);
    start(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
          true);
    say(c, "0123456789abcdef0", false);
    assert_backend_got("POST / HTTP/1.1\r\nHost: a\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n"
                       "11\r\n0123456789abcdef0\r\n");
    say(c, "xy", false);
    assert_backend_got("2\r\nxy\r\n");
    http_call_body(&c->x, "z", 1, true, STR("X-Sum: 3\r\n"));
    assert_backend_got("1\r\nz\r\n0\r\nX-Sum: 3\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_body(c, 200, "");
    assert_int_equal(readies, 2);
}

static const char upgrade[] = "GET /chat HTTP/1.1\r\nHost: a\r\n"
                              "Connection: Upgrade\r\n"
                              "Upgrade: websocket\r\n\r\n";
static const char switched[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Connection: Upgrade\r\n"
                               "Upgrade: websocket\r\n\r\nhello";

static void after_a_101_bytes_pass_as_they_come(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_as(SOCK_STREAM, 0);
    start(c, upgrade, false);
    assert_backend_got("GET /chat HTTP/1.1\r\nHost: a\r\n"
                       "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    answer(switched);
    assert_int_equal(c->status, 101);
    assert_true(c->x.tunnel);
    assert_true(str_is(buf_view(&c->body), "hello"));
    say(c, "0\r\n\r\n", false);
    assert_backend_got("0\r\n\r\n");
    pass(10000); /* silence is no stall */
    answer("HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(c->ends + c->fails, 0);
    say(c, "bye", true);
    assert_backend_got("bye");
    assert_backend_got(""); /* its end */
    answer("bye");
    shutdown(backend, SHUT_WR);
    turn(1);
    assert_body(c, 101, "helloHTTP/1.1 200 OK\r\n\r\nbye");
    assert_int_equal(gones, 1);
}

static void a_101_nobody_asked_for_is_an_error(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    start(c, get, false);
    answer(switched);
    assert_failed(c, HTTP_FAIL_PROTOCOL);
}

static void sent_bytes_are_told_when_gone(void **state)
{
    static char big[300000];
    struct call *c = new_call();
    char got[65536];
    (void)state;

    connect_as(SOCK_STREAM, 4096);
    start(c, get, true);
    http_call_body(&c->x, big, sizeof(big), true, STR_NULL);
    assert_true(http_call_unsent(&c->x) > 200000);
    while (!c->drained) {
        assert_true(recv(backend, got, sizeof(got), MSG_DONTWAIT) > 0);
        turn(1);
    }
    assert_int_equal(http_call_unsent(&c->x), 0);
    while (recv(backend, got, sizeof(got), MSG_DONTWAIT) > 0)
        ;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_body(c, 200, "");
}

/* What is odd */

static void bytes_nobody_asked_for_end_an_idle_connection(void **state)
{
    (void)state;

    connect_pair();
    assert_body(call("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 200,
                "ok");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    assert_int_equal(gones, 1);
    assert_string_equal(http_fail_name(gone_kind),
                        http_fail_name(HTTP_FAIL_PROTOCOL));
}

static void bytes_behind_a_reply_are_never_the_next_ones(void **state)
{
    struct call *c;
    (void)state;

    connect_pair();
    c = call("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
             "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    assert_body(c, 200, "ok");
    assert_int_equal(readies, 1);
    assert_int_equal(gones, 1);
}

static void bytes_behind_an_empty_reply_are_odd_as_well(void **state)
{
    (void)state;

    connect_pair();
    assert_body(call("HTTP/1.1 204 No Content\r\n\r\nX"), 204, "");
    assert_int_equal(readies, 1);
    assert_int_equal(gones, 1);
}

static void bytes_from_before_the_call_are_not_its_reply(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    assert_body(call("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 200,
                "ok");
    assert_int_equal(send(backend, "HTTP/1.1 200 OK\r\n", 17, 0), 17);
    start(c, get, false);
    turn(1);
    answer("Content-Length: 4\r\n\r\nevil");
    if (c->fails) /* else it came within the call: cannot be told apart */
        assert_failed(c, HTTP_FAIL_CLOSED);
}

static void an_end_while_idle_is_quiet(void **state)
{
    (void)state;

    connect_pair();
    assert_body(call("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 200,
                "ok");
    close(backend);
    backend = -1;
    turn(2);
    assert_int_equal(gones, 1);
    assert_true(gone_connected);
}

static void an_early_answer_is_passed_on_and_ends_the_connection(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    start(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", true);
    say(c, "1234", false);
    turn(1);
    answer("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert_body(c, 413, "no");
    assert_int_equal(readies, 1);
    assert_int_equal(gones, 1);
    say(c, "56789", true); /* goes nowhere */
    http_call_pause(&c->x);
    http_call_resume(&c->x);
    http_call_cancel(&c->x);
    assert_int_equal(http_call_unsent(&c->x), 0);
}

/* Its head came before the request was whole, its end after. */
static void a_half_early_answer_ends_the_connection_too(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    start(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", true);
    turn(1);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    say(c, "1234", true);
    turn(1);
    answer("k");
    assert_body(c, 200, "ok");
    assert_int_equal(readies, 1);
    assert_int_equal(gones, 1);
}

static void informational_replies_are_passed_on_up_to_a_number(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    start(c, get, false);
    for (int i = 0; i < 16; i++)
        answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert_int_equal(c->informs, 16);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_body(c, 200, "");
    c = new_call();
    start(c, get, false);
    for (int i = 0; i < 16; i++)
        answer("HTTP/1.1 103 Early Hints\r\n\r\n");
    answer("HTTP/1.1 103 Early Hints\r\n\r\n");
    assert_failed(c, HTTP_FAIL_PROTOCOL);
    assert_int_equal(c->informs, 16);
}

static void switching_protocols_unasked_is_refused(void **state)
{
    (void)state;

    connect_pair();
    assert_failed(call("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
                  HTTP_FAIL_PROTOCOL);
}

static const char *many(const char *before, const char *each, int n)
{
    static char text[20000];

    strcpy(text, before);
    while (n--)
        strcat(text, each);
    return strcat(text, "\r\n");
}

static void an_invalid_reply_is_no_reply(void **state)
{
    static const char *const bad[] = {
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"
         "\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        connect_pair();
        assert_failed(call(bad[i]), HTTP_FAIL_PROTOCOL);
        turn(1);
        close(backend);
        gones = readies = 0;
    }
    connect_pair();
    assert_failed(call(many("HTTP/1.1 200 OK\r\n", "A: b\r\n", 31)),
                  HTTP_FAIL_PROTOCOL);
    turn(1);
    close(backend);
    gones = readies = 0;
    connect_pair();
    assert_failed(call(many("HTTP/1.1 200 OK\r\nA: b",
                            "0123456789012345678901234567890123456789", 120)),
                  HTTP_FAIL_PROTOCOL);
}

static void a_broken_chunk_is_no_body(void **state)
{
    struct call *c;
    (void)state;

    connect_pair();
    c = call("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok");
    answer("xx");
    assert_failed(c, HTTP_FAIL_PROTOCOL);
    assert_int_equal(c->replies, 1);
    assert_true(c->any);
}

/* Ends in the middle */

static void assert_cut(const char *so_far, enum http_fail why, bool any)
{
    struct call *c = new_call();

    connect_pair();
    start(c, get, false);
    turn(1);
    assert_backend_got(get);
    if (*so_far)
        answer(so_far);
    close(backend);
    backend = -1;
    turn(2);
    assert_failed(c, why);
    assert_int_equal(c->any, any);
    gones = readies = 0;
}

static void a_reply_that_ends_too_soon_is_cut(void **state)
{
    (void)state;

    assert_cut("", HTTP_FAIL_CLOSED, false);
    assert_cut("H", HTTP_FAIL_PROTOCOL, true);
    assert_cut("HTTP/1.1 200 OK\r\nContent", HTTP_FAIL_PROTOCOL, true);
    assert_cut("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234",
               HTTP_FAIL_CUT, true);
    assert_cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               "5\r\nhello\r\n",
               HTTP_FAIL_CUT, true);
    assert_cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               "0\r\n",
               HTTP_FAIL_CUT, true);
    assert_cut("HTTP/1.1 100 Continue\r\n\r\n", HTTP_FAIL_PROTOCOL, true);
}

static void a_send_that_fails_is_told(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    close(backend);
    backend = -1;
    start(c, get, false);
    turn(1);
    assert_int_equal(c->fails, 1);
    assert_true(c->why == HTTP_FAIL_SEND || c->why == HTTP_FAIL_CLOSED);
    assert_false(c->any);
    assert_null(client);
}

/* All in one turn, behind its events: the backend refuses and goes, and the
 * next piece of the request meets a closed connection. */
static struct call *uploading;

static void refuse_and_go(struct task *t)
{
    static const char no[] =
        "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";

    (void)t;
    assert_int_equal(send(backend, no, strlen(no), 0), strlen(no));
    close(backend);
    backend = -1;
    say(uploading, "more", false);
    say(uploading, "and more", true);
}

static void what_a_backend_said_before_it_went_is_heard(void **state)
{
    struct task t = { .run = refuse_and_go };
    (void)state;

    connect_pair();
    uploading = new_call();
    start(uploading, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n",
          true);
    turn(1);
    loop_post(loop, &t);
    turn(2);
    assert_body(uploading, 413, "no");
    assert_int_equal(readies, 1); /* and it is not used again */
    assert_int_equal(gones, 1);
}

static void a_cancelled_call_hears_nothing_more(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    start(c, get, false);
    turn(1);
    http_call_cancel(&c->x);
    assert_int_equal(gones, 1);
    turn(2);
    assert_int_equal(c->replies + c->ends + c->fails, 0);
    http_call_cancel(&c->x); /* twice is once */
    assert_int_equal(gones, 1);
}

static void a_call_may_be_cancelled_from_its_reply(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    c->cancels_on_reply = true;
    start(c, get, false);
    turn(1);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_int_equal(c->replies, 1);
    assert_int_equal(c->ends + c->fails, 0);
    assert_int_equal(gones, 1);
}

static void closing_the_connection_from_a_reply_fails_the_call(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    c->closes_on_reply = true;
    start(c, get, false);
    for (const char *p = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
         *p && !gones; p++) {
        char one[2] = { *p, 0 };

        answer(one);
    }
    assert_failed(c, HTTP_FAIL_CLOSED);
    assert_int_equal(c->replies, 1);
}

/* Time */

static void no_reply_in_time_fails(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    start(c, get, false);
    turn(1);
    pass(1900);
    assert_int_equal(c->fails, 0);
    answer("HTTP/1.1 103 Early Hints\r\n\r\n"); /* gives no more time */
    pass(200);
    assert_failed(c, HTTP_FAIL_FIRST_BYTE);
}

static void time_for_a_reply_begins_when_the_request_is_sent(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    start(c, get, true);
    for (int i = 0; i < 20; i++) {
        pass(1500);
        say(c, "x", false); /* a slow client is not the backend's fault */
    }
    pass(10000);
    say(c, "x", true);
    pass(1900);
    assert_int_equal(c->fails, 0);
    pass(200);
    assert_failed(c, HTTP_FAIL_FIRST_BYTE);
}

static void a_backend_that_does_not_read_stalls(void **state)
{
    static char big[100000];
    struct call *c = new_call();
    (void)state;

    connect_as(SOCK_STREAM, 4096);
    start(c, get, true);
    http_call_body(&c->x, big, sizeof(big), false, STR_NULL);
    pass(2900);
    assert_int_equal(c->fails, 0);
    pass(200);
    assert_failed(c, HTTP_FAIL_STALLED);
}

static void a_reply_that_stops_stalls(void **state)
{
    struct call *c;
    (void)state;

    connect_pair();
    c = call("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        pass(2800);
        answer("x");
    }
    assert_int_equal(c->fails, 0);
    pass(3200);
    assert_failed(c, HTTP_FAIL_STALLED);
}

static void a_pause_is_not_a_stall(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    c->pauses_on_reply = true;
    start(c, get, false);
    turn(1);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    answer("cde");
    pass(60000);
    assert_int_equal(c->fails, 0);
    assert_int_equal(c->body.len, 2);
    http_call_resume(&c->x);
    turn(1);
    assert_body(c, 200, "abcde");
    assert_int_equal(readies, 2);
}

static void a_total_time_ends_anything(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    c->x.total_at_ms = loop_now_ms(loop) + 5000;
    start(c, get, false);
    turn(1);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    for (int i = 0; i < 4; i++) {
        pass(1200);
        answer("x");
    }
    assert_int_equal(c->fails, 0);
    pass(300);
    assert_failed(c, HTTP_FAIL_TOTAL);
}

static void a_total_time_ends_a_paused_reply_too(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    c->x.total_at_ms = loop_now_ms(loop) + 5000;
    c->pauses_on_reply = true;
    start(c, get, false);
    turn(1);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    pass(5100);
    assert_failed(c, HTTP_FAIL_TOTAL);
}

static void an_idle_connection_grows_old(void **state)
{
    (void)state;

    connect_pair();
    pass(15000);
    assert_body(call("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 200, "");
    pass(19900);
    assert_int_equal(gones, 0);
    pass(200);
    assert_int_equal(gones, 1);
}

static void an_idle_connection_goes_before_the_backend_closes_it(void **state)
{
    (void)state;

    connect_pair();
    assert_body(call("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                     "Keep-Alive: timeout=5\r\n\r\n"),
                200, "");
    pass(3900);
    assert_int_equal(gones, 0);
    pass(200);
    assert_int_equal(gones, 1);
    assert_int_equal(recv(backend, &(char) { 0 }, 1, MSG_DONTWAIT), 0);
}

static void zero_times_mean_none(void **state)
{
    struct call *c = new_call();
    (void)state;

    connect_pair();
    c->x.first_byte_ms = c->x.stall_ms = 0;
    start(c, get, false);
    pass(600000);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    pass(600000);
    answer("ok");
    assert_body(c, 200, "ok");
}

/* Connecting */

static int listen_full(struct address *at, int *first)
{
    int fd;

    assert_int_equal(sock_parse(STR("127.0.0.1:0"), at), ERR_OK);
    assert_int_equal(sock_listen(at, 0, true, &fd), ERR_OK);
    assert_int_equal(sock_local(fd, at), ERR_OK);
    assert_int_equal(sock_connect(at, first), ERR_OK);
    return fd;
}

static void connecting_that_takes_too_long_fails(void **state)
{
    struct address at;
    int first, more, fd = listen_full(&at, &first);
    (void)state;

    assert_int_equal(sock_connect(&at, &more), ERR_OK); /* fills the queue */
    client = http_client_new(loop, &at, NULL, HTTP_WANT_1, &limits, &client_ops,
                             &loop);
    assert_non_null(client);
    pass(900);
    if (!readies) { /* the queue was full: nobody answers */
        assert_int_equal(gones, 0);
        pass(200);
        assert_int_equal(gones, 1);
        assert_int_equal(gone_kind, HTTP_FAIL_CONNECT_TIMEOUT);
        assert_false(gone_connected);
    }
    close(first);
    close(more);
    close(fd);
}

static void a_refused_connection_fails(void **state)
{
    struct address at;
    int first, fd = listen_full(&at, &first);
    (void)state;

    close(first);
    close(fd);
    client = http_client_new(loop, &at, NULL, HTTP_WANT_1, &limits, &client_ops,
                             &loop);
    if (!client)
        return; /* refused at once: nothing is told */
    turn(3);
    assert_int_equal(gones, 1);
    assert_int_equal(gone_kind, HTTP_FAIL_CONNECT);
    assert_false(gone_connected);
    assert_int_equal(readies, 0);
}

static void what_was_kept_is_given_back(void **state)
{
    uint64_t before = budget_used();
    (void)state;

    for (int i = 0; i < 200; i++) {
        connect_pair();
        call("HTTP/1.1 200 OK\r\nX-Unfinished: 1");
        close(backend);
        backend = -1;
        turn(3);
        gones = readies = 0;
    }
    assert_true(budget_used() <= before + 65536);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_connection_serves_one_call_after_another),
        TEST(a_reply_may_come_byte_by_byte),
        TEST(replies_without_a_body_are_over_with_their_head),
        TEST(a_reply_may_end_with_the_connection),
        TEST(who_says_close_is_not_used_again),
        TEST(http_1_0_is_not_used_again_unless_it_says_so),
        TEST(a_call_may_begin_as_soon_as_the_one_before_is_over),
        TEST(trailers_outlive_the_next_begin),
        TEST(head_and_first_body_bytes_are_one_send),
        TEST(a_head_alone_goes_at_the_end_of_the_turn),
        TEST(a_body_of_unknown_length_goes_in_chunks),
        TEST(after_a_101_bytes_pass_as_they_come),
        TEST(a_101_nobody_asked_for_is_an_error),
        TEST(sent_bytes_are_told_when_gone),
        TEST(bytes_nobody_asked_for_end_an_idle_connection),
        TEST(bytes_behind_a_reply_are_never_the_next_ones),
        TEST(bytes_behind_an_empty_reply_are_odd_as_well),
        TEST(bytes_from_before_the_call_are_not_its_reply),
        TEST(an_end_while_idle_is_quiet),
        TEST(an_early_answer_is_passed_on_and_ends_the_connection),
        TEST(a_half_early_answer_ends_the_connection_too),
        TEST(informational_replies_are_passed_on_up_to_a_number),
        TEST(switching_protocols_unasked_is_refused),
        TEST(an_invalid_reply_is_no_reply),
        TEST(a_broken_chunk_is_no_body),
        TEST(a_reply_that_ends_too_soon_is_cut),
        TEST(a_send_that_fails_is_told),
        TEST(what_a_backend_said_before_it_went_is_heard),
        TEST(a_cancelled_call_hears_nothing_more),
        TEST(a_call_may_be_cancelled_from_its_reply),
        TEST(closing_the_connection_from_a_reply_fails_the_call),
        TEST(no_reply_in_time_fails),
        TEST(time_for_a_reply_begins_when_the_request_is_sent),
        TEST(a_backend_that_does_not_read_stalls),
        TEST(a_reply_that_stops_stalls),
        TEST(a_pause_is_not_a_stall),
        TEST(a_total_time_ends_anything),
        TEST(a_total_time_ends_a_paused_reply_too),
        TEST(an_idle_connection_grows_old),
        TEST(an_idle_connection_goes_before_the_backend_closes_it),
        TEST(zero_times_mean_none),
        TEST(connecting_that_takes_too_long_fails),
        TEST(a_refused_connection_fails),
        TEST(what_was_kept_is_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
