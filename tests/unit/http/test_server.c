/* test_server.c - the side that clients talk to, over socket pairs.
 *
 * The handler notes what it is told in `story` and does what `asked` (the
 * head came) and `heard` (the request is whole) say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/budget.h"
#include "http/server.h"
#include "http/http_peer.h"
#include "net/hand_loop.h"

struct call {
    struct http_stream s; /* first */
    struct buf body;
    unsigned number;
};

static struct http_conns conns;
static struct http_server server;
static struct peer peer;
static struct reply reply;
static struct buf story;
static struct call *held; /* the last one that was not answered */
static unsigned calls, ended, conns_ended, servers_freed;
static uint8_t ended_ip[16];
static uint64_t wire_in, wire_out;
static void (*asked)(struct call *x);
static void (*heard)(struct call *x);
static struct http_handler handler;

/* What handlers do */

static void say(struct call *x, const char *text)
{
    http_reply_text(&x->s, 200, STR("text/plain"), str_z(text), NULL, 0);
}

static void answer_path(struct call *x)
{
    http_reply_text(&x->s, 200, STR_NULL, x->s.request.path, NULL, 0);
}

static void answer_body(struct call *x)
{
    http_reply_text(&x->s, 200, STR_NULL, buf_view(&x->body), NULL, 0);
}

static void hold(struct call *x)
{
    held = x;
}

static void refuse_early(struct call *x)
{
    http_reply_text(&x->s, 403, STR_NULL, STR("no"), NULL, 0);
}

/* The handler */

static void on_request(struct http_stream *s)
{
    struct call *x = (struct call *)s;

    assert_int_equal(buf_printf(&story, "%.*s %.*s;",
                                STR_ARG(s->request.method_text),
                                STR_ARG(s->request.target)),
                     ERR_OK);
    buf_init(&x->body, 64 << 20);
    x->number = ++calls;
    if (asked)
        asked(x);
}

static void on_body(struct http_stream *s, char *p, size_t n)
{
    struct call *x = (struct call *)s;

    assert_true(n > 0);
    assert_int_equal(buf_add(&x->body, p, n), ERR_OK);
}

static void on_body_end(struct http_stream *s, struct str trailers)
{
    struct call *x = (struct call *)s;

    assert_int_equal(buf_printf(&story, "body %zu;", x->body.len), ERR_OK);
    if (trailers.len)
        assert_int_equal(
            buf_printf(&story, "trailers %.*s;",
                       STR_ARG(str_trim(str_head(trailers, trailers.len - 2)))),
            ERR_OK);
    if (heard && !s->reply_started)
        heard(x);
}

static void on_drained(struct http_stream *s)
{
    (void)s;
    assert_int_equal(buf_z(&story, "drained;"), ERR_OK);
}

static void on_end(struct http_stream *s)
{
    struct call *x = (struct call *)s;

    assert_int_equal(buf_printf(&story, "%s%s;",
                                s->aborted ? "aborted" : "over",
                                s->reply_cut ? " cut" : ""),
                     ERR_OK);
    ended++;
    buf_done(&x->body);
    if (held == x)
        held = NULL;
}

static void on_refused(struct http_conn *c, unsigned status,
                       const struct message *m, struct http_stream *s,
                       struct str *body, struct str *content_type,
                       struct header *field)
{
    (void)m;
    (void)s;
    (void)field;
    (void)c;
    (void)content_type;
    assert_int_equal(buf_printf(&story, "refused %u;", status), ERR_OK);
    *body = STR("{\"refused\":true}");
}

static void on_conn_end(void *arg, const uint8_t ip[16], uint64_t in_bytes,
                        uint64_t out_bytes)
{
    assert_ptr_equal(arg, &server);
    wire_in += in_bytes;
    wire_out += out_bytes;
    memcpy(ended_ip, ip, 16);
    conns_ended++;
}

static void on_free(struct http_server *s)
{
    assert_ptr_equal(s, &server);
    servers_freed++;
}

/* Around */

static struct address address_of(const char *ip)
{
    struct address a;

    assert_int_equal(address_numeric(str_z(ip), 4711, &a), ERR_OK);
    return a;
}

static int begin(void **state)
{
    (void)state;
    loop = loop_new();
    memset(&conns, 0, sizeof(conns));
    conns.loop = loop;
    conns.shed_idle_ms = 100;
    conns.shed_body_ms = 1000;
    handler = (struct http_handler) {
        .stream_size = sizeof(struct call),
        .on_request = on_request,
        .on_body = on_body,
        .on_body_end = on_body_end,
        .on_drained = on_drained,
        .on_end = on_end,
        .on_refused = on_refused,
    };
    memset(&server, 0, sizeof(server));
    server.refs = 1;
    server.handler = &handler;
    server.limits = (struct http_limits) {
        .head_size = 8192,
        .target_size = 4096,
        .headers = 50,
        .body_size = 0,
        .pipelined = 4096,
        .handshake_ms = 1000,
        .head_ms = 2000,
        .idle_ms = 10000,
        .rate_ms = 1000,
        .rate = 100,
        .linger_ms = 500,
    };
    server.on_conn_end = on_conn_end;
    server.on_free = on_free;
    server.arg = &server;
    asked = NULL;
    heard = answer_path;
    held = NULL;
    calls = ended = conns_ended = servers_freed = 0;
    peer.fd = -1;
    buf_init(&story, 64 << 20);
    memset(&reply, 0, sizeof(reply));
    return 0;
}

static int end(void **state)
{
    (void)state;
    http_close_all(&conns);
    turn(2);
    assert_int_equal(conns.count, 0);
    assert_int_equal(calls, ended);
    assert_int_equal(server.refs, 1);
    http_server_unref(&server);
    assert_int_equal(servers_freed, 1);
    reply_done(&reply);
    peer_done(&peer);
    buf_done(&story);
    loop_free(loop);
    budget_set_limit(0);
    http_thread_done();
    return 0;
}

static void open_as(struct peer *p, int type, int send_bytes, const char *ip)
{
    struct address who = address_of(ip);
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
    if (send_bytes)
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &send_bytes,
                   sizeof(send_bytes));
    peer_init(p, fds[1]);
    http_accept(&conns, &server, fds[0], &who);
}

static void open_one(void)
{
    open_as(&peer, SOCK_STREAM, 0, "192.0.2.7");
}

/* Says something and lets the server work. */
static void send_text(const char *text)
{
    peer_say(&peer, text);
    turn(2);
    peer_take_all(&peer);
}

static void assert_told(const char *what)
{
    buf_char(&story, 0);
    assert_string_equal(story.p, what);
    story.len = 0;
}

static void next_reply(unsigned status, const char *body)
{
    reply_done(&reply);
    assert_true(peer_reply(&peer, METHOD_GET, &reply));
    assert_int_equal(reply.status, status);
    if (body)
        assert_true(str_is(reply.body, body));
}

static void assert_no_reply(void)
{
    struct reply none;

    peer_take_all(&peer);
    assert_false(peer_reply(&peer, METHOD_GET, &none));
}

static bool has_field(const char *name)
{
    return message_find(&reply.head, str_z(name)) != NULL;
}

static void assert_closed(void)
{
    turn(2);
    peer_take_all(&peer);
    assert_true(peer.eof || peer.reset);
    assert_int_equal(peer.got.len, peer.at); /* and nothing behind */
}

static void assert_open(void)
{
    turn(2);
    peer_take_all(&peer);
    assert_false(peer.eof);
    send_text("GET /still-open HTTP/1.1\r\nHost: a\r\n\r\n");
    next_reply(200, NULL);
}

/* Requests and replies */

static void a_request_is_told_and_answered(void **state)
{
    (void)state;

    open_one();
    send_text("GET /pets?limit=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_told("GET /pets?limit=1;body 0;over;");
    next_reply(200, "/pets");
    assert_true(has_field("Date"));
    assert_false(has_field("Connection"));
    assert_open();
}

static void a_body_is_told_whole(void **state)
{
    (void)state;

    open_one();
    heard = answer_body;
    send_text("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello");
    assert_told("POST /a;");
    send_text(" world");
    assert_told("body 11;over;");
    next_reply(200, "hello world");
    send_text(
        "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "6\r\nhello \r\n5\r\nworld\r\n0\r\nX-Sum: 5\r\n\r\n");
    assert_told("POST /b;body 11;trailers X-Sum: 5;over;");
    next_reply(200, "hello world");
    send_text("POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    next_reply(200, "");
    assert_open();
}

static void bytes_may_come_one_by_one(void **state)
{
    const char *text = "\r\n\r\nPOST /slow HTTP/1.1\r\nHost: a\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n"
                       "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                       "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    (void)state;

    open_one();
    heard = answer_body;
    for (const char *p = text; *p; p++) {
        assert_int_equal(peer_give(&peer, p, 1), 1);
        turn(1);
    }
    turn(1);
    peer_take_all(&peer);
    next_reply(200, "abcde");
    next_reply(200, "");
    assert_told("POST /slow;body 5;over;GET /next;body 0;over;");
}

static void a_head_cut_anywhere_is_the_same_head(void **state)
{
    const char *text = "GET /one HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n"
                       "GET /two HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t len = strlen(text);
    (void)state;

    open_one();
    for (size_t at = 1; at < len; at++) {
        assert_int_equal(peer_give(&peer, text, at), at);
        turn(2);
        assert_int_equal(peer_give(&peer, text + at, len - at), len - at);
        turn(2);
        peer_take_all(&peer);
        next_reply(200, "/one");
        next_reply(200, "/two");
    }
}

static void replies_keep_the_order_of_requests(void **state)
{
    (void)state;

    open_one();
    heard = hold;
    send_text("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
              "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
              "POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
              "GET /4 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_told("GET /1;body 0;"); /* one at a time */
    assert_no_reply();
    heard = answer_path;
    answer_path(held);
    turn(1);
    peer_take_all(&peer);
    next_reply(200, "/1");
    next_reply(200, "/2");
    next_reply(200, "/3");
    next_reply(200, "/4");
    assert_told("over;GET /2;body 0;over;POST /3;body 3;over;"
                "GET /4;body 0;over;");
}

/* Nothing is lost and not much is kept, however much is sent ahead. */
static void what_is_sent_ahead_is_read_when_its_turn_comes(void **state)
{
    const char *one = "GET /ahead HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t len = strlen(one), sent = 0, all = 3000 * len, got = 0, fed;
    char *text = malloc(all);
    (void)state;

    for (size_t i = 0; i < 3000; i++)
        memcpy(text + i * len, one, len);
    open_one();
    heard = hold;
    do {
        fed = peer_give(&peer, text + sent, all - sent);
        sent += fed;
        turn(3);
    } while (fed && sent < all);
    assert_int_equal(calls, 1);
    assert_true(budget_used() < 4 * 65536);
    for (int i = 0; i < 20; i++) { /* it waits, paused */
        turn(1);
        sent += peer_give(&peer, text + sent, all - sent);
    }
    assert_int_equal(calls, 1);
    heard = answer_path;
    answer_path(held);
    for (int i = 0; i < 10000 && got < 3000; i++) {
        if (sent < all)
            sent += peer_give(&peer, text + sent, all - sent);
        turn(1);
        peer_take_all(&peer);
        while (peer_reply(&peer, METHOD_GET, &reply))
            got++;
    }
    assert_int_equal(got, 3000);
    assert_int_equal(calls, 3000);
    free(text);
}

/* A client that asks and asks and never reads must not make us remember all
 * the answers. */
static void who_does_not_read_is_not_answered_without_end(void **state)
{
    const char *one = "GET /greedy HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t len = strlen(one), sent = 0, got = 0;
    char text[36 * 100];
    (void)state;

    for (size_t i = 0; i < 100; i++)
        memcpy(text + i * len, one, len);
    open_as(&peer, SOCK_STREAM, 4096, "192.0.2.7");
    for (int i = 0; i < 3000; i++) {
        size_t off = sent % (len * 100);

        sent += peer_give(&peer, text + off, len * 100 - off);
        turn(1);
    }
    assert_true(calls < 600);
    assert_true(budget_used() < 4 * 65536);
    /* It still gets all it asked for when it reads. */
    for (int i = 0; i < 10000 && got < sent / len; i++) {
        peer_take_all(&peer);
        while (peer_reply(&peer, METHOD_GET, &reply))
            got++;
        turn(1);
    }
    assert_int_equal(got, sent / len);
}

static void who_does_not_read_is_reset_in_the_end(void **state)
{
    const char *one = "GET /greedy HTTP/1.1\r\nHost: a\r\n\r\n";
    (void)state;

    open_as(&peer, SOCK_STREAM, 4096, "192.0.2.7");
    for (int i = 0; i < 5000 && conns.count; i++) {
        (void)peer_give(&peer, one, strlen(one));
        pass(10);
    }
    assert_int_equal(conns.count, 0);
}

/* Framing */

static void ask(const char *head)
{
    char text[1024];

    snprintf(text, sizeof(text), "%s\r\nHost: a\r\n\r\n", head);
    send_text(text);
}

static void reply_of(struct call *x, unsigned status, enum body_kind body,
                     uint64_t length)
{
    struct http_reply r = { .status = status, .body = body, .length = length };

    http_respond(&x->s, &r);
}

static void in_chunks(struct call *x)
{
    reply_of(x, 200, BODY_CLOSE, 0);
    http_body(&x->s, "hello ", 6);
    http_finish(&x->s, "world", 5, STR("X-Sum: 1\r\n"));
}

static void nothing_at_all(struct call *x)
{
    reply_of(x, x->s.request.path.p[1] == '3' ? 304 : 204, BODY_NONE, 0);
    http_finish(&x->s, NULL, 0, STR_NULL);
}

static void unknown_lengths_are_chunked(void **state)
{
    (void)state;

    open_one();
    heard = in_chunks;
    ask("GET / HTTP/1.1");
    next_reply(200, "hello world");
    assert_int_equal(reply.head.body, BODY_CHUNKED);
    assert_true(str_is(buf_view(&reply.trailers), "X-Sum: 1\r\n"));
    heard = answer_path;
    assert_open();
}

static void http_1_0_has_no_chunks(void **state)
{
    (void)state;

    open_one();
    heard = in_chunks;
    ask("GET / HTTP/1.0\r\nConnection: keep-alive");
    peer_take_all(&peer);
    next_reply(200, "hello world");
    assert_int_equal(reply.head.body, BODY_CLOSE);
    assert_closed();
}

static void http_1_0_closes_unless_asked(void **state)
{
    (void)state;

    open_one();
    ask("GET /1 HTTP/1.0\r\nConnection: keep-alive");
    next_reply(200, "/1");
    assert_true(
        str_is(message_value(&reply.head, FIELD_CONNECTION), "keep-alive"));
    ask("GET /2 HTTP/1.0");
    next_reply(200, "/2");
    assert_true(str_is(message_value(&reply.head, FIELD_CONNECTION), "close"));
    assert_closed();
}

static void close_is_the_last_request(void **state)
{
    (void)state;

    open_one();
    send_text("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
              "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    next_reply(200, "/1");
    assert_closed();
    assert_int_equal(calls, 1);
}

static void a_handler_may_close(void **state)
{
    (void)state;

    open_one();
    heard = hold;
    ask("GET / HTTP/1.1");
    http_respond(&held->s, &(struct http_reply) { .status = 200,
                                                  .close = true,
                                                  .body = BODY_LENGTH });
    http_finish(&held->s, NULL, 0, STR_NULL);
    turn(1);
    peer_take_all(&peer);
    next_reply(200, "");
    assert_closed();
}

static void an_answer_to_head_has_no_body(void **state)
{
    struct reply r;
    (void)state;

    open_one();
    ask("HEAD /five HTTP/1.1");
    assert_true(peer_reply(&peer, METHOD_HEAD, &r));
    assert_true(str_is(message_value(&r.head, FIELD_CONTENT_LENGTH), "5"));
    assert_int_equal(peer.at, peer.got.len);
    heard = in_chunks;
    ask("HEAD / HTTP/1.1");
    assert_true(peer_reply(&peer, METHOD_HEAD, &r));
    assert_int_equal(peer.at, peer.got.len);
    heard = answer_path;
    assert_open();
}

static void some_statuses_have_no_body(void **state)
{
    (void)state;

    open_one();
    heard = nothing_at_all;
    ask("GET /204 HTTP/1.1");
    next_reply(204, "");
    assert_false(has_field("Content-Length"));
    assert_false(has_field("Transfer-Encoding"));
    ask("GET /304 HTTP/1.1");
    next_reply(304, "");
    assert_false(has_field("Content-Length"));
    heard = answer_path;
    assert_open();
}

static void fields_are_passed_on_but_those_of_a_connection(void **state)
{
    struct header in[] = {
        { .name = STR("X-A"), .value = STR("1") },
        { .name = STR("Keep-Alive"),
          .value = STR("timeout=5"),
          .id = FIELD_KEEP_ALIVE,
          .hop = true },
        { .name = STR("Content-Length"),
          .value = STR("99"),
          .id = FIELD_CONTENT_LENGTH },
        { .name = STR("Server"), .value = STR("x"), .id = FIELD_SERVER },
    };
    struct header extra = { .name = STR("X-Own"), .value = STR("yes") };
    struct message from = { .headers = in, .count = 4 };
    (void)state;

    open_one();
    heard = hold;
    ask("GET / HTTP/1.1");
    http_respond(&held->s, &(struct http_reply) { .status = 299,
                                                  .reason = STR("Odd"),
                                                  .from = &from,
                                                  .extra = &extra,
                                                  .extras = 1,
                                                  .skip = 1ull << FIELD_SERVER,
                                                  .body = BODY_LENGTH,
                                                  .length = 2 });
    http_finish(&held->s, "ok", 2, STR_NULL);
    peer_take_all(&peer);
    next_reply(299, "ok");
    assert_true(str_is(reply.head.reason, "Odd"));
    assert_true(has_field("X-A") && has_field("X-Own"));
    assert_false(has_field("Keep-Alive") || has_field("Server"));
}

/* How often it sends: a seqpacket pair keeps sends apart. */

static void a_reply_is_one_send(void **state)
{
    (void)state;

    open_as(&peer, SOCK_SEQPACKET, 0, "192.0.2.7");
    heard = hold;
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn(1);
    say(held, "text");
    assert_true(peer_take(&peer, 65536));
    next_reply(200, "text");
    turn(1);
    assert_false(peer_take(&peer, 65536));
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn(1);
    reply_of(held, 200, BODY_CLOSE, 0);
    http_finish(&held->s, "chunk", 5, STR_NULL);
    assert_true(peer_take(&peer, 65536));
    next_reply(200, "chunk");
    turn(1);
    assert_false(peer_take(&peer, 65536));
}

static void a_head_alone_waits_for_the_end_of_the_turn(void **state)
{
    (void)state;

    open_as(&peer, SOCK_SEQPACKET, 0, "192.0.2.7");
    heard = hold;
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn(1);
    reply_of(held, 200, BODY_LENGTH, 4);
    assert_false(peer_take(&peer, 65536));
    turn(1);
    assert_true(peer_take(&peer, 65536));
    http_finish(&held->s, "late", 4, STR_NULL);
    assert_true(peer_take(&peer, 65536));
    next_reply(200, "late");
}

/* Taking back */

static void an_unsent_reply_can_be_taken_back(void **state)
{
    (void)state;

    open_one();
    heard = hold;
    ask("GET / HTTP/1.1");
    reply_of(held, 200, BODY_CLOSE, 0);
    assert_true(http_unsend(&held->s));
    assert_false(held->s.reply_started);
    reply_of(held, 200, BODY_LENGTH, 5);
    assert_true(http_unsend(&held->s));
    http_reply_text(&held->s, 502, STR_NULL, STR("sorry"), NULL, 0);
    peer_take_all(&peer);
    next_reply(502, "sorry");
    assert_int_equal(peer.at, peer.got.len);
    heard = answer_path;
    assert_open();
}

static void a_sent_reply_cannot_be_taken_back(void **state)
{
    (void)state;

    open_one();
    heard = hold;
    ask("GET / HTTP/1.1");
    reply_of(held, 200, BODY_LENGTH, 5);
    turn(1);
    assert_false(http_unsend(&held->s));
    http_finish(&held->s, "hello", 5, STR_NULL);
    ask("GET / HTTP/1.1");
    reply_of(held, 200, BODY_CLOSE, 0);
    http_body(&held->s, "x", 1);
    assert_false(http_unsend(&held->s));
    http_finish(&held->s, NULL, 0, STR_NULL);
}

/* Behind output the kernel has not taken yet: 1xx, so many that the reply's
 * head does not fit behind what is kept. */
static void taking_back_leaves_earlier_output_alone(void **state)
{
    static char value[4000];
    struct header field = { .name = STR("X-Long"), .value = { value, 1000 } };
    struct message from = { .headers = &field, .count = 1 };
    unsigned informed = 0;
    (void)state;

    memset(value, 'v', sizeof(value));
    open_as(&peer, SOCK_STREAM, 4096, "192.0.2.7");
    heard = hold;
    ask("GET /1 HTTP/1.1");
    for (; http_unsent(&held->s) < 12000; informed++)
        http_inform(&held->s, 103, &from, 0);
    field.value.len = 16384 - 60 - http_unsent(&held->s) - 50;
    http_inform(&held->s, 103, &from, 0);
    while (http_unsent(&held->s) > 14000) {
        peer_take_all(&peer);
        turn(1); /* some of it goes: the rest stands away from the start */
    }
    assert_true(http_unsent(&held->s) > 0);
    reply_of(held, 200, BODY_CLOSE, 0);
    assert_true(http_unsend(&held->s));
    http_reply_text(&held->s, 502, STR_NULL, STR("sorry"), NULL, 0);
    for (int i = 0; i < 50; i++) {
        peer_take_all(&peer);
        turn(1);
    }
    for (unsigned i = 0; i <= informed; i++)
        next_reply(103, "");
    next_reply(502, "sorry");
    assert_int_equal(peer.at, peer.got.len);
}

static void a_cut_reply_is_seen_as_cut(void **state)
{
    struct reply none;
    (void)state;

    open_one();
    heard = hold;
    ask("GET / HTTP/1.1");
    reply_of(held, 200, BODY_CLOSE, 0);
    http_body(&held->s, "half", 4);
    http_cut(&held->s);
    assert_told("GET /;body 0;aborted cut;");
    turn(1);
    peer_take_all(&peer);
    assert_false(peer_reply(&peer, METHOD_GET, &none));
    assert_true(peer.eof || peer.reset);
}

/* Slow readers, pauses */

static void unsent_bytes_are_told_when_gone(void **state)
{
    static char big[100000];
    (void)state;

    open_as(&peer, SOCK_STREAM, 4096, "192.0.2.7");
    heard = hold;
    ask("GET / HTTP/1.1");
    reply_of(held, 200, BODY_LENGTH, sizeof(big));
    http_body(&held->s, big, sizeof(big) - 1);
    story.len = 0;
    for (int i = 0; i < 100; i++) {
        assert_true(http_unsent(&held->s) > 0 || story.len);
        peer_take_all(&peer);
        turn(1);
    }
    assert_told("drained;");
    http_finish(&held->s, "!", 1, STR_NULL);
    peer_take_all(&peer);
    next_reply(200, NULL);
    assert_int_equal(reply.body.len, sizeof(big));
}

static void a_paused_body_waits(void **state)
{
    (void)state;

    open_one();
    asked = hold;
    heard = answer_body;
    send_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    http_pause(&held->s);
    send_text("67890");
    turn(3);
    assert_int_equal(held->body.len, 5);
    http_resume(&held->s);
    turn(2);
    peer_take_all(&peer);
    next_reply(200, "1234567890");
    assert_open();
}

static void a_pause_is_not_a_slow_client(void **state)
{
    (void)state;

    open_one();
    asked = hold;
    heard = answer_body;
    send_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    http_pause(&held->s);
    pass(60000);
    assert_int_equal(conns.count, 1);
    http_resume(&held->s);
    send_text("67890");
    next_reply(200, "1234567890");
}

/* Early replies */

static void an_early_reply_to_a_short_body_keeps_the_connection(void **state)
{
    (void)state;

    open_one();
    asked = refuse_early;
    send_text("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    next_reply(403, "no");
    assert_false(has_field("Connection"));
    for (int i = 0; i < 10; i++)
        send_text(
            "0123456789012345678901234567890123456789"
            "012345678901234567890123456789012345678901234567890123456789");
    assert_told("POST /1;body 0;over;");
    asked = NULL;
    assert_open();
}

static void an_early_reply_to_a_long_body_ends_the_connection(void **state)
{
    static char piece[50000];
    size_t sent = 0;
    (void)state;

    open_one();
    asked = refuse_early;
    send_text("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n");
    next_reply(403, "no");
    assert_true(str_is(message_value(&reply.head, FIELD_CONNECTION), "close"));
    /* What it sends meanwhile is thrown away, so that our reply arrives. */
    while (sent < 900000) {
        size_t n = peer_give(&peer, piece, sizeof(piece));

        assert_true(n > 0);
        sent += n;
        turn(2);
    }
    peer_take_all(&peer);
    assert_true(peer.eof && !peer.reset);
    assert_int_equal(conns.count, 1); /* lingers */
    pass(600);
    assert_int_equal(conns.count, 0);
}

static void an_endless_body_nobody_wants_is_not_read_for_ever(void **state)
{
    static char chunk[10008] = "2710\r\n";
    size_t sent = 0;
    (void)state;

    memset(chunk + 6, 'x', 10000);
    memcpy(chunk + 6 + 10000, "\r\n", 2);
    open_one();
    asked = refuse_early;
    send_text(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    next_reply(403, "no");
    while (sent < 100 * sizeof(chunk) && !peer.eof) {
        sent += peer_give(&peer, chunk, sizeof(chunk));
        turn(2);
        peer_take_all(&peer);
    }
    assert_true(peer.eof);
    assert_true(sent < 40 * sizeof(chunk));
    assert_told("POST /;over;");
}

static void open_tcp(struct peer *p)
{
    struct address at, who;
    int listening, fd, client;

    assert_int_equal(sock_parse(STR("127.0.0.1:0"), &at), ERR_OK);
    assert_int_equal(sock_listen(&at, 8, true, &listening), ERR_OK);
    assert_int_equal(sock_local(listening, &at), ERR_OK);
    client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&at.sa, at.len), 0);
    assert_int_equal(sock_accept(listening, &fd, &who), ERR_OK);
    close(listening);
    peer_init(p, client);
    http_accept(&conns, &server, fd, &who);
}

/* The reply was given whole; who then stops in the middle of a body nobody
 * wants must still be able to read it. */
static void stopping_a_body_after_its_reply_is_no_reset(void **state)
{
    (void)state;

    open_tcp(&peer);
    asked = refuse_early;
    peer_say(&peer,
             "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx");
    for (int i = 0; i < 1000 && !calls; i++)
        turn(1);
    shutdown(peer.fd, SHUT_WR);
    for (int i = 0; i < 1000 && !peer.eof && !peer.reset; i++) {
        usleep(100);
        turn(1);
        if (conns.count == 0)
            peer_take_all(&peer);
    }
    next_reply(403, "no");
    assert_true(peer.eof && !peer.reset);
    assert_told("POST /;over;");
}

/* Expect */

static void go_on(struct call *x)
{
    http_inform(&x->s, 100, NULL, 0);
}

static void a_client_that_asks_is_told_to_go_on(void **state)
{
    (void)state;

    open_one();
    asked = go_on;
    heard = answer_body;
    send_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
              "Expect: 100-continue\r\n\r\n");
    next_reply(100, "");
    send_text("body");
    next_reply(200, "body");
    asked = NULL;
    assert_open();
}

static void who_was_not_told_to_go_on_is_not_waited_for(void **state)
{
    (void)state;

    open_one();
    asked = refuse_early;
    send_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
              "Expect: 100-continue\r\n\r\n");
    next_reply(403, "no");
    assert_true(str_is(message_value(&reply.head, FIELD_CONNECTION), "close"));
    assert_closed();
}

static void http_1_0_is_told_nothing_in_between(void **state)
{
    (void)state;

    open_one();
    asked = go_on;
    ask("GET / HTTP/1.0");
    next_reply(200, "/");
}

/* Refusals */

static void assert_refused(const char *text, unsigned status)
{
    size_t len = strlen(text), at = 0;

    open_one();
    while (at < len && !peer.eof) {
        at += peer_give(&peer, text + at, len - at);
        turn(1);
        peer_take_all(&peer);
    }
    turn(1);
    peer_take_all(&peer);
    next_reply(status, "{\"refused\":true}");
    assert_true(str_is(message_value(&reply.head, FIELD_CONNECTION), "close"));
    assert_true(peer.eof);
    assert_int_equal(peer.at, peer.got.len);
    pass(1000);
    assert_int_equal(conns.count, 0);
    peer_done(&peer);
    peer.fd = -1;
}

static const char *long_text(const char *before, size_t n, const char *after)
{
    static char text[100000];
    size_t k = strlen(before);

    memcpy(text, before, k);
    memset(text + k, 'a', n);
    strcpy(text + k + n, after);
    return text;
}

static void what_cannot_be_read_is_refused_once(void **state)
{
    (void)state;

    assert_refused("GET / HTTP/1.1\nHost: a\n\n", 400);
    assert_refused("\x16\x03\x01", 400);
    assert_refused("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                   400);
    assert_refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    assert_refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n"
                   "\r\n",
                   501);
    assert_refused(long_text("GET /", 4096, " HTTP/1.1\r\nHost: a\r\n\r\n"),
                   414);
    assert_refused(long_text("GET /", 20000, " HTTP/1.1\r\nHost: a\r\n\r\n"),
                   414);
    assert_refused(
        long_text("GET / HTTP/1.1\r\nHost: a\r\nX: ", 20000, "\r\n\r\n"), 431);
    assert_int_equal(calls, 0);
    assert_refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
                   "\r\n\r\nzz\r\n",
                   400);
    assert_int_equal(calls, 1);
}

static void a_head_of_exactly_the_limit_is_read(void **state)
{
    char text[8192 + 1];
    int n;
    (void)state;

    server.limits.target_size = 9000;
    n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(text + n, 'x', sizeof(text) - (size_t)n);
    strcpy(text + 8192 - 4, "\r\n\r\n");
    open_one();
    send_text(text);
    next_reply(200, "/");
    /* In two pieces, and one byte more. */
    assert_int_equal(peer_give(&peer, text, 8190), 8190);
    turn(1);
    send_text("\r\n");
    next_reply(200, "/");
    assert_int_equal(peer_give(&peer, text, 8188), 8188);
    turn(1);
    send_text("x\r\n\r\n");
    next_reply(431, NULL);
}

static void too_many_fields_are_refused(void **state)
{
    char text[4096] = "GET / HTTP/1.1\r\nHost: a\r\n";
    (void)state;

    for (int i = 0; i < 49; i++)
        strcat(text, "X-A: b\r\n");
    open_one();
    send_text(text);
    send_text("\r\n");
    next_reply(200, "/");
    peer_done(&peer);
    strcat(text, "X-A: b\r\n\r\n");
    assert_refused(text, 431);
}

static void a_body_over_the_limit_is_refused(void **state)
{
    (void)state;

    server.limits.body_size = 10;
    assert_refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n",
                   413);
    assert_int_equal(calls, 0);
    assert_refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
                   "\r\n\r\n6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n",
                   413);
    assert_told("refused 413;POST /;refused 413;aborted;");
    heard = answer_body;
    open_one();
    send_text("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
              "\r\n\r\n6\r\n123456\r\n4\r\n1234\r\n0\r\n\r\n");
    next_reply(200, "1234561234");
    send_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
              "0123456789");
    next_reply(200, "0123456789");
}

static void short_memory_refuses_new_calls(void **state)
{
    (void)state;

    budget_set_limit(1000);
    budget_take(1 << 20);
    assert_refused("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 503);
    budget_give(1 << 20);
    budget_set_limit(0);
}

static void a_refused_head_request_gets_no_body(void **state)
{
    struct reply r;
    (void)state;

    open_one();
    send_text(long_text("HEAD /", 4096, " HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(peer_reply(&peer, METHOD_HEAD, &r));
    assert_int_equal(r.status, 414);
    assert_closed();
    peer_done(&peer);
    open_one();
    send_text("HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
              "zz\r\n");
    assert_true(peer_reply(&peer, METHOD_HEAD, &r));
    assert_int_equal(r.status, 400);
    assert_closed();
    peer_done(&peer);
    open_one();
    heard = answer_path;
    ask("HEAD / HTTP/1.1");
    assert_true(peer_reply(&peer, METHOD_HEAD, &r));
    send_text("nonsense\n"); /* whatever this was */
    next_reply(400, "{\"refused\":true}");
}

static void a_broken_body_after_the_reply_began_is_a_cut(void **state)
{
    (void)state;

    open_one();
    asked = hold;
    send_text("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
              "\r\n\r\n");
    reply_of(held, 200, BODY_CLOSE, 0);
    http_body(&held->s, "half", 4);
    send_text("zz\r\n");
    assert_told("POST /;aborted cut;");
    turn(1);
    peer_take_all(&peer);
    assert_true(peer.eof || peer.reset);
}

/* Ends */

static void a_client_may_close_its_side_and_read(void **state)
{
    (void)state;

    open_one();
    heard = hold;
    peer_say(&peer, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                    "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(peer.fd, SHUT_WR);
    turn(3);
    pass(1000);
    heard = answer_path;
    answer_path(held);
    turn(2);
    peer_take_all(&peer);
    next_reply(200, "/1");
    next_reply(200, "/2");
    assert_closed();
    assert_int_equal(conns.count, 0);
}

static void closing_in_a_head_or_body_is_a_bad_request(void **state)
{
    (void)state;

    open_one();
    peer_say(&peer, "GET / HTTP/1.1\r\nHost:");
    shutdown(peer.fd, SHUT_WR);
    turn(3);
    peer_take_all(&peer);
    next_reply(400, NULL);
    assert_closed();
    peer_done(&peer);
    open_one();
    peer_say(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1");
    shutdown(peer.fd, SHUT_WR);
    turn(3);
    peer_take_all(&peer);
    next_reply(400, NULL);
    assert_closed();
    assert_told("refused 400;POST /;refused 400;aborted;");
}

static void closing_between_calls_is_quiet(void **state)
{
    (void)state;

    open_one();
    ask("GET / HTTP/1.1");
    next_reply(200, "/");
    shutdown(peer.fd, SHUT_WR);
    turn(3);
    assert_int_equal(conns.count, 0);
    peer_take_all(&peer);
    assert_true(peer.eof);
    assert_told("GET /;body 0;over;");
}

static void a_client_that_left_aborts_its_call(void **state)
{
    (void)state;

    open_one();
    heard = hold;
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn(1);
    close(peer.fd);
    peer.fd = -1;
    turn(3);
    assert_told("GET /;body 0;aborted;");
    assert_int_equal(conns.count, 0);
}

static void a_half_closed_client_that_stays_silent_has_left(void **state)
{
    (void)state;

    open_one();
    heard = hold;
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(peer.fd, SHUT_WR);
    pass(10000);
    assert_told("GET /;body 0;aborted;");
    assert_int_equal(conns.count, 0);
}

/* The last reply is long, the client slow: it comes whole nevertheless. */
static void a_last_reply_comes_whole(bool half_closes)
{
    static char big[120000];

    memset(big, 'z', sizeof(big));
    open_as(&peer, SOCK_STREAM, 4096, "192.0.2.7");
    heard = hold;
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    turn(1);
    http_reply_text(&held->s, 200, STR_NULL, str_from(big, sizeof(big)), NULL,
                    0);
    turn(1);
    if (half_closes)
        shutdown(peer.fd, SHUT_WR);
    for (int i = 0; i < 2000 && !peer.eof && !peer.reset; i++) {
        peer_take(&peer, 2000);
        pass(100); /* 20 kB/s: much more than the rate asks for */
    }
    next_reply(200, NULL);
    assert_int_equal(reply.body.len, sizeof(big));
    pass(1000);
    assert_int_equal(conns.count, 0);
}

static void a_last_reply_comes_whole_to_a_slow_client(void **state)
{
    (void)state;
    a_last_reply_comes_whole(false);
}

static void a_last_reply_comes_whole_to_who_closed_its_side(void **state)
{
    (void)state;
    a_last_reply_comes_whole(true);
}

static void a_last_reply_nobody_reads_is_given_up(void **state)
{
    static char big[120000];
    (void)state;

    open_as(&peer, SOCK_STREAM, 4096, "192.0.2.7");
    heard = hold;
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    turn(1);
    http_reply_text(&held->s, 200, STR_NULL, str_from(big, sizeof(big)), NULL,
                    0);
    pass(5000);
    assert_int_equal(conns.count, 0);
}

static void a_refusal_nobody_reads_is_given_up(void **state)
{
    static char big[20000];
    (void)state;

    open_as(&peer, SOCK_STREAM, 2048, "192.0.2.7");
    heard = hold;
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\nnonsense\n");
    turn(1);
    http_reply_text(&held->s, 200, STR_NULL, str_from(big, sizeof(big)), NULL,
                    0);
    pass(10000);
    assert_int_equal(conns.count, 0);
}

/* Time-outs */

static void a_silent_connection_is_closed(void **state)
{
    (void)state;

    open_one();
    pass(1900);
    assert_int_equal(conns.count, 1);
    pass(300);
    assert_int_equal(conns.count, 0);
    peer_take_all(&peer);
    assert_true(peer.eof);
    assert_int_equal(peer.got.len, 0);
}

static void an_idle_connection_is_closed_later(void **state)
{
    (void)state;

    open_one();
    for (int i = 0; i < 5; i++) {
        ask("GET / HTTP/1.1");
        next_reply(200, "/");
        pass(9900);
        assert_int_equal(conns.count, 1);
    }
    pass(300);
    assert_int_equal(conns.count, 0);
}

static void a_slow_head_is_refused(void **state)
{
    (void)state;

    open_one();
    ask("GET / HTTP/1.1");
    next_reply(200, "/");
    pass(5000); /* only from its first byte on */
    for (int i = 0; i < 3; i++) {
        send_text("G");
        pass(600);
        peer_say(&peer, "E");
    }
    pass(400);
    peer_take_all(&peer);
    next_reply(408, NULL);
}

static void a_slow_body_is_refused(void **state)
{
    (void)state;

    open_one();
    send_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 30; i++) {
        send_text("0123456789012345678901234567890123456789012345678901234567"
                  "89012345678901234567890123456789012345678901234567890123456"
                  "789");
        pass(500); /* 240 bytes/s are enough */
    }
    assert_no_reply();
    for (int i = 0; i < 3; i++) {
        send_text("0123456789");
        pass(450);
    }
    peer_take_all(&peer);
    next_reply(408, NULL);
    assert_told("POST /;refused 408;aborted;");
}

static void a_slow_reader_is_reset(void **state)
{
    static char big[300000];
    (void)state;

    open_as(&peer, SOCK_STREAM, 4096, "192.0.2.7");
    heard = hold;
    ask("GET / HTTP/1.1");
    reply_of(held, 200, BODY_LENGTH, sizeof(big));
    http_body(&held->s, big, 200000);
    for (int i = 0; i < 20; i++) {
        peer_take(&peer, 65536);
        pass(500);
    }
    assert_int_equal(conns.count, 1);
    pass(3000);
    assert_int_equal(conns.count, 0);
    assert_told("GET /;body 0;aborted cut;");
}

static void no_limits_mean_no_time_outs(void **state)
{
    (void)state;

    server.limits.head_ms = server.limits.idle_ms = server.limits.rate_ms = 0;
    open_one();
    pass(3600 * 1000);
    send_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    pass(600 * 1000);
    send_text("x");
    next_reply(200, "/");
}

static void a_slow_call_is_not_the_clients_fault(void **state)
{
    (void)state;

    open_one();
    heard = hold;
    ask("GET / HTTP/1.1");
    pass(120000);
    assert_int_equal(conns.count, 1);
    say(held, "late");
    peer_take_all(&peer);
    next_reply(200, "late");
}

/* Draining, shedding */

static void draining_ends_each_connection_with_its_reply(void **state)
{
    (void)state;

    open_one();
    heard = hold;
    ask("GET / HTTP/1.1");
    http_drain(&conns);
    say(held, "last");
    turn(1);
    peer_take_all(&peer);
    next_reply(200, "last");
    assert_true(str_is(message_value(&reply.head, FIELD_CONNECTION), "close"));
    assert_closed();
}

static void draining_ends_idle_connections_soon(void **state)
{
    (void)state;

    open_one();
    ask("GET / HTTP/1.1");
    next_reply(200, "/");
    http_drain(&conns);
    pass(1500);
    pass(1000);
    assert_closed();
    assert_int_equal(conns.count, 0);
}

/* 0 and 3 have not asked yet, 1 waits for its reply, 2 and 4 have had one. */
static void who_was_silent_longest_makes_room_first(void **state)
{
    static const int order[] = { 0, 2, 3, 4 };
    struct peer all[5];
    (void)state;

    for (int i = 0; i < 5; i++) {
        heard = i == 1 ? hold : answer_path;
        open_as(&all[i], SOCK_STREAM, 0, i == 3 ? "192.0.2.8" : "192.0.2.7");
        if (i == 1 || i == 2 || i == 4)
            peer_say(&all[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        pass(60);
    }
    pass(100);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(http_shed(&conns, 1, NULL), 1);
        assert_int_equal(conns_ended, i + 1); /* told at once */
        turn(1);
        for (int k = 0; k <= i; k++) {
            peer_take_all(&all[order[k]]);
            assert_true(all[order[k]].eof || all[order[k]].reset);
        }
        for (int k = i + 1; k < 4; k++) {
            peer_take_all(&all[order[k]]);
            assert_false(all[order[k]].eof || all[order[k]].reset);
        }
    }
    assert_int_equal(http_shed(&conns, 10, NULL), 0);
    assert_int_equal(conns.count, 1);
    assert_int_equal(conns_ended, 4);
    for (int i = 0; i < 5; i++)
        peer_done(&all[i]);
    turn(3);
    assert_int_equal(conns.count, 0);
    assert_int_equal(conns_ended, 5);
}

static void who_has_just_come_or_moves_on_is_not_given_up(void **state)
{
    (void)state;

    server.limits.rate_ms = 0;
    open_one();
    assert_int_equal(http_shed(&conns, 1, NULL), 0);
    pass(90);
    assert_int_equal(http_shed(&conns, 1, NULL), 0);
    send_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    pass(900);
    assert_int_equal(http_shed(&conns, 1, NULL), 0);
    pass(200);
    assert_int_equal(http_shed(&conns, 1, NULL), 1);
    assert_told("POST /;aborted;");
}

static void only_an_address_makes_room_for_itself(void **state)
{
    struct peer all[4];
    (void)state;

    for (int i = 0; i < 4; i++) {
        open_as(&all[i], SOCK_STREAM, 0, i % 2 ? "192.0.2.8" : "192.0.2.7");
    }
    pass(150);
    assert_int_equal(http_shed(&conns, 10, (uint8_t[16]) { 1 }), 0);
    assert_int_equal(
        http_shed(&conns, 10,
                  (uint8_t[16]) { [10] = 0xff, 0xff, 192, 0, 2, 8 }),
        2);
    turn(1);
    assert_int_equal(conns.count, 2);
    assert_int_equal(ended_ip[15], 8);
    for (int i = 0; i < 4; i++)
        peer_done(&all[i]);
    turn(3);
}

static void each_connection_is_counted_out_once(void **state)
{
    uint8_t want[16] = {
        [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 7
    };
    (void)state;

    for (int i = 0; i < 3; i++) {
        open_one();
        if (i == 1)
            ask("GET / HTTP/1.0");
        if (i == 2)
            ask("nonsense\n");
        close(peer.fd);
        peer.fd = -1;
        pass(3000);
        peer_done(&peer);
    }
    assert_int_equal(conns_ended, 3);
    assert_memory_equal(ended_ip, want, 16);
    assert_int_equal(conns.shared_count, 0);
}

/* PROXY */

static bool trust_all(void *arg, const struct sockaddr *sa)
{
    (void)sa;
    return *(bool *)arg;
}

static void say_peer(struct call *x)
{
    const struct client_address *a = http_conn_peer(x->s.conn);

    http_reply_text(&x->s, 200, STR_NULL, str_from(a->text, a->text_len), NULL,
                    0);
}

static void a_balancer_names_the_client(void **state)
{
    bool yes = true;
    (void)state;

    server.proxy_protocol = true;
    server.trusted = trust_all;
    server.trusted_arg = &yes;
    heard = say_peer;
    open_one();
    send_text("PROXY TCP4 203.0.113.9 10.0.0.1 4000 80\r\nGET / HT");
    send_text("TP/1.1\r\nHost: a\r\n\r\n");
    next_reply(200, "203.0.113.9");
    peer_done(&peer);
    open_one();
    for (const char *p = "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
         *p; p++) {
        assert_int_equal(peer_give(&peer, p, 1), 1);
        turn(1);
    }
    turn(1);
    peer_take_all(&peer);
    next_reply(200, "192.0.2.7");
    peer_done(&peer);
    open_one();
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn(3);
    peer_take_all(&peer);
    assert_true(peer.eof || peer.reset);
    assert_int_equal(peer.got.len, 0);
    assert_int_equal(calls, 2);
}

static void others_name_nobody(void **state)
{
    bool no = false;
    (void)state;

    server.proxy_protocol = true;
    server.trusted = trust_all;
    server.trusted_arg = &no;
    heard = say_peer;
    open_one();
    ask("GET / HTTP/1.1");
    next_reply(200, "192.0.2.7");
}

static void addresses_are_told_as_people_write_them(void **state)
{
    struct client_address c;
    struct address a = address_of("2001:db8::1");
    struct sockaddr unix_peer = { .sa_family = AF_UNIX };
    (void)state;

    client_address_set(&c, (struct sockaddr *)&a.sa);
    assert_string_equal(c.text, "2001:db8::1");
    assert_int_equal(c.port, 4711);
    a = address_of("::ffff:192.0.2.1");
    client_address_set(&c, (struct sockaddr *)&a.sa);
    assert_string_equal(c.text, "192.0.2.1");
    assert_int_equal(c.text_len, 9);
    client_address_set(&c, &unix_peer);
    assert_true(c.unix_socket);
    assert_string_equal(c.text, "unix:");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_told_and_answered),
        TEST(a_body_is_told_whole),
        TEST(bytes_may_come_one_by_one),
        TEST(a_head_cut_anywhere_is_the_same_head),
        TEST(replies_keep_the_order_of_requests),
        TEST(what_is_sent_ahead_is_read_when_its_turn_comes),
        TEST(who_does_not_read_is_not_answered_without_end),
        TEST(who_does_not_read_is_reset_in_the_end),
        TEST(unknown_lengths_are_chunked),
        TEST(http_1_0_has_no_chunks),
        TEST(http_1_0_closes_unless_asked),
        TEST(close_is_the_last_request),
        TEST(a_handler_may_close),
        TEST(an_answer_to_head_has_no_body),
        TEST(some_statuses_have_no_body),
        TEST(fields_are_passed_on_but_those_of_a_connection),
        TEST(a_reply_is_one_send),
        TEST(a_head_alone_waits_for_the_end_of_the_turn),
        TEST(an_unsent_reply_can_be_taken_back),
        TEST(a_sent_reply_cannot_be_taken_back),
        TEST(taking_back_leaves_earlier_output_alone),
        TEST(a_cut_reply_is_seen_as_cut),
        TEST(unsent_bytes_are_told_when_gone),
        TEST(a_paused_body_waits),
        TEST(a_pause_is_not_a_slow_client),
        TEST(an_early_reply_to_a_short_body_keeps_the_connection),
        TEST(an_early_reply_to_a_long_body_ends_the_connection),
        TEST(an_endless_body_nobody_wants_is_not_read_for_ever),
        TEST(stopping_a_body_after_its_reply_is_no_reset),
        TEST(a_client_that_asks_is_told_to_go_on),
        TEST(who_was_not_told_to_go_on_is_not_waited_for),
        TEST(http_1_0_is_told_nothing_in_between),
        TEST(what_cannot_be_read_is_refused_once),
        TEST(a_head_of_exactly_the_limit_is_read),
        TEST(too_many_fields_are_refused),
        TEST(a_body_over_the_limit_is_refused),
        TEST(short_memory_refuses_new_calls),
        TEST(a_refused_head_request_gets_no_body),
        TEST(a_broken_body_after_the_reply_began_is_a_cut),
        TEST(a_client_may_close_its_side_and_read),
        TEST(closing_in_a_head_or_body_is_a_bad_request),
        TEST(closing_between_calls_is_quiet),
        TEST(a_client_that_left_aborts_its_call),
        TEST(a_half_closed_client_that_stays_silent_has_left),
        TEST(a_last_reply_comes_whole_to_a_slow_client),
        TEST(a_last_reply_comes_whole_to_who_closed_its_side),
        TEST(a_last_reply_nobody_reads_is_given_up),
        TEST(a_refusal_nobody_reads_is_given_up),
        TEST(a_silent_connection_is_closed),
        TEST(an_idle_connection_is_closed_later),
        TEST(a_slow_head_is_refused),
        TEST(a_slow_body_is_refused),
        TEST(a_slow_reader_is_reset),
        TEST(no_limits_mean_no_time_outs),
        TEST(a_slow_call_is_not_the_clients_fault),
        TEST(draining_ends_each_connection_with_its_reply),
        TEST(draining_ends_idle_connections_soon),
        TEST(who_was_silent_longest_makes_room_first),
        TEST(who_has_just_come_or_moves_on_is_not_given_up),
        TEST(only_an_address_makes_room_for_itself),
        TEST(each_connection_is_counted_out_once),
        TEST(a_balancer_names_the_client),
        TEST(others_name_nobody),
        TEST(addresses_are_told_as_people_write_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
