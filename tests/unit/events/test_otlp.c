/* test_otlp.c - batches on their way to a collector, which is the test; time
 * is its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "events/otlp.h"
#include "http/http_peer.h"
#include "net/hand_loop.h"

static struct arena *arena;
static struct problems problems;
static struct otlp *otlp;
static int listener;
static unsigned port;
static struct peer peers[16];
static unsigned peer_count;

static const struct outbound_conf rules = {
    .connect_ms = 1000,
    .total_ms = 5000,
    .idle_ms = 600000,
    .max_bytes = 10000,
    .connections = 4,
    .waiting = 16,
};

static struct otlp_conf conf_with(uint64_t queue, uint64_t batch)
{
    return (struct otlp_conf) {
        .url = arena_printf(arena, "http://127.0.0.1:%u", port),
        .service = STR("gw"),
        .queue = queue,
        .batch = batch,
        .interval_ms = 1000,
        .timeout_ms = 2000,
        .give_up_ms = 60000,
    };
}

static void use(const struct otlp_conf *conf)
{
    struct otlp_target *t;

    assert_int_equal(
        otlp_target_new(conf, &rules, STR("9.9"), STR_NULL, &problems, &t),
        ERR_OK);
    otlp_use(otlp, t);
}

static int begin(void **state)
{
    struct otlp_conf conf;
    (void)state;

    loop = loop_new();
    arena = arena_new();
    problems_init(&problems, arena);
    listener = listen_here(&port);
    peer_count = 0;
    otlp = otlp_new(loop, 2);
    conf = conf_with(100, 10);
    use(&conf);
    return 0;
}

static int end(void **state)
{
    (void)state;
    otlp_free(otlp);
    loop_turn(loop, 0);
    for (unsigned i = 0; i < peer_count; i++)
        peer_done(&peers[i]);
    close(listener);
    arena_free(arena);
    loop_free(loop);
    http_client_thread_done();
    conn_thread_done();
    arena_thread_done();
    return 0;
}

static void add(unsigned thread, uint32_t spans)
{
    char text[400];
    size_t n = 0;

    for (uint32_t i = 0; i < spans; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{}", i ? "," : "");
    (void)span_queue_add(otlp_queue(otlp, thread), str_from(text, n), spans);
}

static struct peer *accept_one(void)
{
    struct address from;
    int fd;

    for (int i = 0; i < 10; i++) {
        if (sock_accept(listener, &fd, &from) == ERR_OK) {
            assert_true(peer_count < 16);
            peer_init(&peers[peer_count], fd);
            return &peers[peer_count++];
        }
        turn(1);
    }
    return NULL;
}

/* A whole request that is behind the ones before, or NULL. Its spans: how
 * often "{}" is in it. */
static const char *request_of(struct peer *p, unsigned *spans)
{
    char *start;

    for (int i = 0; i < 10; i++) {
        turn(1);
        peer_take_all(p);
    }
    assert_int_equal(buf_char(&p->got, 0), ERR_OK);
    p->got.len--;
    start = p->got.p + p->at;
    if (!strstr(start, "\r\n\r\n") || !strstr(start, "]}]}]}"))
        return NULL;
    p->at = p->got.len;
    *spans = 0;
    for (const char *at = start; (at = strstr(at, "{}")); at += 2)
        ++*spans;
    return start;
}

/* The next request, within that time. */
static const char *awaited(struct peer *p, uint64_t ms, unsigned *spans)
{
    const char *r = NULL;

    for (uint64_t t = 0; t <= ms && !r; t += 50) {
        pass(50);
        r = request_of(p, spans);
    }
    return r;
}

static void say(struct peer *p, const char *text)
{
    peer_say(p, text);
    turn(4);
}

static void ok(struct peer *p)
{
    say(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
}

/* The next connection, with a request of so many spans. */
static struct peer *accept_with(unsigned spans)
{
    struct peer *p = accept_one();
    unsigned n;

    assert_non_null(p);
    assert_non_null(request_of(p, &n));
    assert_int_equal(n, spans);
    return p;
}

/* Four spans, on their way over a new connection. */
static struct peer *a_batch_of_four(void)
{
    add(0, 4);
    pass(1100);
    return accept_with(4);
}

static void away(struct peer *p)
{
    say(p, "HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n");
}

static struct otlp_stats stats(void)
{
    struct otlp_stats s;
    uint64_t dropped = 0;

    otlp_stats(otlp, &s);
    for (size_t i = 0; i < OTLP_DROPS; i++)
        dropped += s.dropped[i];
    assert_int_equal(s.accepted, s.sent + dropped + s.queued);
    return s;
}

/* ---- */

static void a_batch_goes_after_the_interval(void **state)
{
    struct peer *p;
    const char *r;
    unsigned n;
    (void)state;

    add(0, 3);
    add(1, 2);
    pass(900);
    assert_null(accept_one());
    pass(200);
    p = accept_one();
    assert_non_null(p);
    r = request_of(p, &n);
    assert_non_null(r);
    assert_int_equal(n, 5);
    assert_ptr_equal(strstr(r, "POST /v1/traces HTTP/1.1\r\n"), r);
    assert_non_null(strstr(r, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(
        r, "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"gw\"}}"));
    assert_non_null(strstr(r, "\"spans\":[{},{},{},{},{}]}]}]}"));
    assert_int_equal(stats().queued, 5);
    ok(p);
    assert_int_equal(stats().sent, 5);
    pass(5000);
    assert_null(request_of(p, &n)); /* nothing is nothing to send */
}

static void a_full_batch_goes_at_once(void **state)
{
    (void)state;

    for (int i = 0; i < 4; i++)
        add(0, 3);
    ok(accept_with(9)); /* a call more would be too many */
    assert_int_equal(stats().sent, 9);
    assert_int_equal(stats().queued, 3);
}

static void four_batches_are_under_way_at_most(void **state)
{
    unsigned n, seen = 0;
    struct peer *p;
    (void)state;

    for (int i = 0; i < 9; i++) {
        add(0, 10);
        turn(2);
    }
    while ((p = accept_one()))
        seen += request_of(p, &n) != NULL;
    assert_int_equal(seen, 4);
    assert_int_equal(stats().queued, 90);
    ok(&peers[0]);
    assert_non_null(request_of(&peers[0], &n)); /* the fifth */
    assert_int_equal(n, 10);
}

static void threads_take_turns(void **state)
{
    struct peer *p;
    unsigned n;
    (void)state;

    for (int i = 0; i < 5; i++)
        add(0, 10);
    add(1, 1);
    turn(3);
    p = accept_one();
    while (p)
        p = accept_one();
    for (unsigned i = 0; i < peer_count; i++)
        (void)request_of(&peers[i], &n);
    /* Of four batches one began with the other thread's. */
    assert_int_equal(span_queue_counts(otlp_queue(otlp, 1)).queued, 0);
}

static void a_collector_in_trouble_is_asked_again(void **state)
{
    static const char *const trouble[] = {
        "HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n",
    };
    struct peer *p;
    unsigned n;
    (void)state;

    add(0, 4);
    pass(1100);
    p = accept_one();
    for (size_t i = 0; i < 4; i++) {
        /* Twice as long each time, more or less by a half. */
        assert_non_null(awaited(p, i ? (500u << (i - 1)) * 3 / 2 : 0, &n));
        assert_int_equal(n, 4);
        say(p, trouble[i]);
        assert_null(awaited(p, (500u << i) / 2 - 150, &n));
        assert_int_equal(stats().queued, 4);
    }
    assert_non_null(awaited(p, 6000, &n));
    ok(p);
    assert_int_equal(stats().sent, 4);
    assert_int_equal(stats().failures, 4);
}

static void while_one_waits_no_other_is_sent(void **state)
{
    struct peer *p;
    unsigned n;
    (void)state;

    add(0, 10);
    p = accept_with(10);
    say(p, "HTTP/1.1 503 Away\r\nContent-Length: 0\r\nRetry-After: 20\r\n\r\n");
    for (int i = 0; i < 15; i++)
        add(1, 10);
    pass(19500);
    assert_null(accept_one());
    assert_null(request_of(p, &n));
    assert_int_equal(stats().queued, 110); /* the batch, and a full queue */
    assert_int_equal(stats().dropped[OTLP_FULL], 50);
    pass(1000);
    assert_non_null(request_of(p, &n));
    ok(p);
    assert_int_equal(stats().sent, 10);
    assert_non_null(request_of(p, &n)); /* the others follow */
}

static void in_the_end_it_gives_up(void **state)
{
    struct peer *p;
    unsigned n, tries = 0;
    (void)state;

    add(0, 4);
    pass(1100);
    p = accept_one();
    for (int i = 0; i < 70 && stats().queued; i++) {
        if (request_of(p, &n)) {
            tries++;
            away(p);
        }
        pass(1000);
    }
    assert_int_equal(stats().dropped[OTLP_GAVE_UP], 4);
    assert_in_range(tries, 5, 12);
    add(0, 1); /* and is asked about others */
    pass(1100);
    assert_non_null(request_of(p, &n));
    ok(p);
    assert_int_equal(stats().sent, 1);
}

static void silence_is_a_failure(void **state)
{
    (void)state;

    a_batch_of_four();
    pass(2050);
    assert_int_equal(stats().failures, 1);
    pass(1000);
    ok(accept_with(4)); /* another connection */
    assert_int_equal(stats().sent, 4);
}

static void what_is_refused_is_not_sent_again(void **state)
{
    struct peer *p = a_batch_of_four();
    unsigned n;
    (void)state;

    say(p, "HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(stats().dropped[OTLP_REJECTED], 4);
    pass(5000);
    assert_null(request_of(p, &n));
}

static void a_part_may_be_rejected(void **state)
{
    (void)state;

    say(a_batch_of_four(), "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n"
                           "{\"partialSuccess\":{\"rejectedSpans\":\"3\"}} ");
    assert_int_equal(stats().dropped[OTLP_REJECTED], 3);
    assert_int_equal(stats().sent, 1);
}

static void garbage_is_lived_with(void **state)
{
    struct peer *p = a_batch_of_four();
    unsigned n;
    (void)state;

    say(p, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>");
    assert_int_equal(stats().sent, 4); /* it said 200 */
    add(0, 2);
    pass(1100);
    assert_non_null(request_of(p, &n));
    say(p, "220 smtp.example ESMTP\r\n");
    assert_int_equal(stats().queued, 2);
    pass(1000);
    ok(accept_with(2));
    assert_int_equal(stats().sent, 6);
}

static void the_end_waits_for_what_is_under_way(void **state)
{
    struct peer *p;
    unsigned n;
    (void)state;

    assert_false(otlp_busy(otlp));
    add(0, 4);
    assert_true(otlp_busy(otlp));
    otlp_flush(otlp);
    p = accept_with(4);
    assert_true(otlp_busy(otlp));
    away(p);
    assert_false(otlp_busy(otlp)); /* it will not come to an end soon */
    pass(1000);
    assert_non_null(request_of(p, &n));
    ok(p);
    assert_false(otlp_busy(otlp));
    assert_int_equal(stats().sent, 4);
}

static void another_collector_gets_what_waits(void **state)
{
    struct otlp_conf conf = conf_with(100, 10);
    struct otlp_header header = { STR("X-Key"), STR("secret") };
    struct str resource = STR("a = b=c");
    struct peer *p = a_batch_of_four();
    const char *r;
    unsigned n;
    (void)state;

    away(p);
    conf.url = arena_printf(arena, "http://127.0.0.1:%u/in?x=y", port);
    conf.headers = (struct conf_list) { &header, 1 };
    conf.resource = (struct conf_strings) { &resource, 1 };
    use(&conf);
    pass(1000);
    p = accept_one(); /* other rules, another connection */
    assert_non_null(p);
    r = request_of(p, &n);
    assert_non_null(r);
    assert_ptr_equal(strstr(r, "POST /in?x=y HTTP/1.1\r\n"), r);
    assert_non_null(strstr(r, "\r\nX-Key: secret\r\n"));
    ok(p);
    add(0, 1);
    pass(1100);
    r = request_of(p, &n);
    assert_non_null(
        strstr(r, "{\"key\":\"a\",\"value\":{\"stringValue\":\"b=c\"}}]"));
}

static void without_a_collector_nothing_waits_for_long(void **state)
{
    struct peer *p = a_batch_of_four();
    unsigned n;
    (void)state;

    add(0, 3);
    otlp_use(otlp, NULL);
    assert_int_equal(stats().dropped[OTLP_GAVE_UP], 3);
    away(p);
    assert_int_equal(stats().dropped[OTLP_GAVE_UP], 7);
    add(0, 1);
    assert_int_equal(stats().dropped[OTLP_FULL], 1);
    pass(3000);
    assert_null(request_of(p, &n));
}

#define a_test(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(a_batch_goes_after_the_interval),
        a_test(a_full_batch_goes_at_once),
        a_test(four_batches_are_under_way_at_most),
        a_test(threads_take_turns),
        a_test(a_collector_in_trouble_is_asked_again),
        a_test(while_one_waits_no_other_is_sent),
        a_test(in_the_end_it_gives_up),
        a_test(silence_is_a_failure),
        a_test(what_is_refused_is_not_sent_again),
        a_test(a_part_may_be_rejected),
        a_test(garbage_is_lived_with),
        a_test(the_end_waits_for_what_is_under_way),
        a_test(another_collector_gets_what_waits),
        a_test(without_a_collector_nothing_waits_for_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
