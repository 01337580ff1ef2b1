/* test_fetch.c - requests to addresses that somebody else names; the servers
 * are the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/fetch.h"
#include "http/http_peer.h"
#include "http/name_server.h"
#include "net/hand_loop.h"

/* What one request ended with. */
struct told {
    unsigned times, status;
    enum fetch_fail fail;
    char text[512], body[65536], type[64], etag[64];
    bool has_max_age;
    uint64_t max_age_s, retry_after_s;
};

static struct arena *arena;
static struct problems problems;
static struct outbound *rules;
static struct fetcher *fetcher;
static int listener;
static unsigned port;
static struct peer peers[8];
static unsigned peer_count;
static struct told told;

static void make_rules(const char *allow, uint64_t connections)
{
    struct str items[8], rest = str_z(allow);
    struct outbound_conf conf = {
        .allow.items = items,
        .connect_ms = 1000,
        .total_ms = 5000,
        .idle_ms = 20000,
        .max_bytes = 10000,
        .redirects = 2,
        .connections = connections,
        .waiting = 4,
    };

    while (rest.p && rest.len)
        items[conf.allow.count++] = str_cut(&rest, ',');
    outbound_unref(rules);
    assert_int_equal(outbound_new(&conf, STR_NULL, &problems, &rules), ERR_OK);
}

static int begin(void **state)
{
    (void)state;
    loop = loop_new();
    arena = arena_new();
    problems_init(&problems, arena);
    rules = NULL;
    make_rules("127.0.0.1,*.ok", 2);
    name_server_start(loop);
    fetcher = fetcher_new(loop, str_z(name_server.address), 6);
    listener = listen_here(&port);
    peer_count = 0;
    memset(&told, 0, sizeof(told));
    return 0;
}

static int end(void **state)
{
    (void)state;
    fetcher_free(fetcher);
    turn(3);
    name_server_stop(loop);
    for (unsigned i = 0; i < peer_count; i++)
        peer_done(&peers[i]);
    close(listener);
    outbound_unref(rules);
    arena_free(arena);
    loop_free(loop);
    http_client_thread_done();
    conn_thread_done();
    tls_thread_done();
    arena_thread_done();
    return 0;
}

static void copy(char *to, size_t room, struct str from)
{
    assert_true(from.len < room);
    if (from.len)
        memcpy(to, from.p, from.len);
    to[from.len] = 0;
}

static void tell(void *arg, const struct fetch_answer *a)
{
    struct told *t = arg;

    t->times++;
    t->fail = a->fail;
    t->status = a->status;
    copy(t->text, sizeof(t->text), a->text);
    copy(t->body, sizeof(t->body), a->body);
    copy(t->type, sizeof(t->type), a->content_type);
    copy(t->etag, sizeof(t->etag), a->etag);
    t->has_max_age = a->has_max_age;
    t->max_age_s = a->max_age_s;
    t->retry_after_s = a->retry_after_s;
    if (a->fail)
        assert_true(a->text.len > 0);
}

/* "%u" in the URL is the port. */
static struct fetch *get_with(const char *url, struct fetch_request r,
                              struct told *to)
{
    struct fetch *q;
    unsigned before = to->times;

    r.outbound = rules;
    r.url = arena_printf(arena, url, port);
    q = fetch_start(fetcher, &r, tell, to);
    assert_int_equal(to->times, before); /* never from inside */
    return q;
}

static struct fetch *get(const char *url)
{
    return get_with(url, (struct fetch_request) { 0 }, &told);
}

/* The next connection that came. */
static struct peer *accept_one(void)
{
    struct address from;
    int fd;

    for (int i = 0; i < 20; i++) {
        enum err e = sock_accept(listener, &fd, &from);

        if (e == ERR_OK) {
            peer_init(&peers[peer_count], fd);
            return &peers[peer_count++];
        }
        turn(1);
    }
    return NULL;
}

/* Whether a whole head is there that is behind the ones before. */
static const char *request_of(struct peer *p)
{
    char *start, *over;

    for (int i = 0; i < 20; i++) {
        turn(1);
        peer_take_all(p);
        if (!p->got.len)
            continue;
        assert_int_equal(buf_char(&p->got, 0), ERR_OK);
        p->got.len--;
        start = p->got.p + p->at;
        over = strstr(start, "\r\n\r\n");
        if (over) {
            p->at = p->got.len;
            return start;
        }
    }
    return NULL;
}

static void say(struct peer *p, const char *text)
{
    peer_say(p, text);
    turn(3);
}

static void expect(enum fetch_fail fail, const char *text)
{
    for (int i = 0; i < 50 && !told.times; i++) {
        turn(1);
        fake_pass(2);
    }
    assert_int_equal(told.times, 1);
    if (told.fail != fail)
        fail_msg("%s: %s", fetch_fail_name(told.fail), told.text);
    if (!strstr(told.text, text))
        fail_msg("\"%s\" is not about \"%s\"", told.text, text);
    told.times = 0;
}

static void expect_body(unsigned status, const char *body)
{
    expect(FETCH_OK, "");
    assert_int_equal(told.status, status);
    assert_string_equal(told.body, body);
}

/* Whole exchanges */

static void an_answer_comes_with_what_it_says_of_itself(void **state)
{
    struct peer *p;
    const char *request;
    (void)state;

    get("http://127.0.0.1:%u/keys?a=b");
    p = accept_one();
    request = request_of(p);
    assert_non_null(request);
    assert_ptr_equal(strstr(request, "GET /keys?a=b HTTP/1.1\r\n"), request);
    assert_non_null(strstr(
        request, arena_printf(arena, "\r\nHost: 127.0.0.1:%u\r\n", port).p));
    assert_null(strstr(request, "Content-Length"));
    say(p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
           "ETag: \"x\"\r\nCache-Control: public, max-age=600\r\nAge: 100\r\n"
           "Retry-After: 7\r\nContent-Length: 5\r\n\r\nhello");
    expect_body(200, "hello");
    assert_string_equal(told.type, "application/json");
    assert_string_equal(told.etag, "\"x\"");
    assert_true(told.has_max_age);
    assert_int_equal(told.max_age_s, 500);
    assert_int_equal(told.retry_after_s, 7);
    assert_int_equal(fetcher_count(fetcher), 0);
}

static void a_form_is_posted_with_credentials(void **state)
{
    struct fetch_request r = {
        .method = STR("POST"),
        .authorization = STR("Basic YTpi"),
        .content_type = STR("application/x-www-form-urlencoded"),
        .accept = STR("application/json"),
        .body = STR("token=abc"),
    };
    struct peer *p;
    const char *request;
    (void)state;

    get_with("http://127.0.0.1:%u", r, &told);
    p = accept_one();
    request = request_of(p);
    assert_ptr_equal(strstr(request, "POST / HTTP/1.1\r\n"), request);
    assert_non_null(strstr(request, "\r\nAuthorization: Basic YTpi\r\n"));
    assert_non_null(strstr(request, "\r\nContent-Length: 9\r\n"));
    assert_non_null(strstr(request, "\r\n\r\ntoken=abc"));
    say(p, "HTTP/1.1 204 No Content\r\n\r\n");
    expect_body(204, "");
}

static void a_connection_serves_one_request_after_the_other(void **state)
{
    struct peer *p;
    (void)state;

    get("http://127.0.0.1:%u/1");
    p = accept_one();
    for (int i = 0; i < 3; i++) {
        assert_non_null(request_of(p));
        say(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        expect_body(200, "ok");
        get("http://127.0.0.1:%u/2");
    }
    assert_null(accept_one());
    assert_non_null(request_of(p));
}

static void a_kept_connection_that_was_dead_is_no_failure(void **state)
{
    struct peer *p;
    (void)state;

    get("http://127.0.0.1:%u/1");
    p = accept_one();
    request_of(p);
    say(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_body(200, "");
    get("http://127.0.0.1:%u/2"); /* is sent before the end is seen */
    assert_non_null(request_of(p));
    peer_done(p);
    p->fd = -1;
    p = accept_one();
    assert_non_null(p);
    assert_non_null(request_of(p));
    say(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_body(200, "");
}

static void a_post_is_not_sent_twice_unless_it_may_be(void **state)
{
    struct fetch_request r = { .method = STR("POST"), .body = STR("x") };
    struct peer *p;
    (void)state;

    get("http://127.0.0.1:%u/1");
    p = accept_one();
    request_of(p);
    say(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_body(200, "");
    get_with("http://127.0.0.1:%u/2", r, &told);
    assert_non_null(request_of(p));
    peer_done(p);
    p->fd = -1;
    expect(FETCH_BROKEN, "127.0.0.1");
    assert_null(accept_one());
}

static void requests_share_few_connections_and_wait_in_line(void **state)
{
    static struct told more[5];
    struct peer *a, *b;
    (void)state;

    for (int i = 0; i < 4; i++)
        get_with("http://127.0.0.1:%u/", (struct fetch_request) { 0 },
                 &more[i]);
    a = accept_one();
    b = accept_one();
    assert_non_null(b);
    assert_null(accept_one());
    for (int i = 0; i < 2; i++) {
        assert_non_null(request_of(a));
        say(a, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_non_null(request_of(b));
        say(b, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(more[i].times, 1);
        assert_int_equal(more[i].fail, FETCH_OK);
    }
}

static void the_line_has_an_end(void **state)
{
    static struct told more[6];
    (void)state;

    for (int i = 0; i < 6; i++)
        get_with("http://127.0.0.1:%u/", (struct fetch_request) { 0 },
                 &more[i]);
    for (int i = 0; i < 40; i++) {
        turn(1);
        fake_pass(2);
    }
    for (int i = 0; i < 4; i++) /* of an origin */
        assert_int_equal(more[i].times, 0);
    assert_int_equal(more[4].fail, FETCH_BUSY);
    assert_int_equal(more[5].fail, FETCH_BUSY);
    assert_int_equal(fetcher_count(fetcher), 4);
    for (int i = 0; i < 2; i++)
        get_with("http://127.0.0.1:%u/",
                 (struct fetch_request) { .method = STR("HEAD") }, &more[4]);
    get("http://1-2-3-4.test/"); /* of all */
    expect(FETCH_BUSY, "too many");
}

static void who_cancels_hears_nothing(void **state)
{
    struct fetch *q = get("http://127.0.0.1:%u/");
    struct peer *p = accept_one();
    (void)state;

    assert_non_null(request_of(p));
    fetch_cancel(q);
    turn(3);
    peer_take_all(p);
    assert_true(p->eof || p->reset);
    q = get("http://127.0.0.1:%u/"); /* in line */
    fetch_cancel(q);
    q = get("ftp://a/"); /* failed, and not told yet */
    fetch_cancel(q);
    for (int i = 0; i < 20; i++) {
        turn(1);
        fake_pass(10);
    }
    assert_int_equal(told.times, 0);
    assert_int_equal(fetcher_count(fetcher), 0);
}

static void the_end_of_a_fetcher_is_told(void **state)
{
    struct peer *p;
    (void)state;

    get("http://127.0.0.1:%u/");
    p = accept_one();
    assert_non_null(request_of(p));
    get("http://mute.test/");
    turn(2);
    fetcher_free(fetcher);
    fetcher = NULL;
    assert_int_equal(told.times, 2);
    assert_int_equal(told.fail, FETCH_ENDED);
}

/* Whom we do not connect to */

static void private_addresses_are_refused_before_a_byte_is_sent(void **state)
{
    static const char *const urls[] = {
        "http://10.0.0.1:%u/",        "http://[::1]:%u/",
        "http://127.0.0.2:%u/",       "http://169.254.169.254/latest",
        "http://[::ffff:10.0.0.1]/",  "http://10-0-0-1.test/",
        "http://127-0-0-2.test:%u/",  "http://0.0.0.0:%u/",
        "http://169-254-169-254.ok/",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
        get(urls[i]);
        expect(FETCH_REFUSED, "outbound.allow does not name it");
    }
    assert_null(accept_one());
    get("http://10-0-0-1.test:444/");
    expect(FETCH_REFUSED, "connect to 10.0.0.1:444 (10-0-0-1.test:444) "
                          "refused: it is a private address");
}

static void a_name_that_leads_elsewhere_later_is_judged_again(void **state)
{
    struct peer *p;
    (void)state;

    memcpy(name_server.now, "\x7f\x00\x00\x01", 4);
    get("http://now.ok:%u/");
    p = accept_one();
    assert_non_null(request_of(p));
    memcpy(name_server.now, "\xa9\xfe\xa9\xfe", 4); /* metadata */
    say(p, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    expect_body(200, "");
    fake_pass(3000);
    get("http://now.ok:%u/");
    expect(FETCH_REFUSED, "the metadata service of a cloud");
    assert_null(accept_one());
}

static void of_several_addresses_only_allowed_ones_are_used(void **state)
{
    struct peer *p;
    (void)state;

    get("http://both.test:%u/");
    p = accept_one(); /* 127.0.0.1, not 10.0.0.1 */
    assert_non_null(p);
    assert_non_null(request_of(p));
    say(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_body(200, "");
    assert_true(name_server.asked >= 1);
}

static void one_look_up_serves_a_burst(void **state)
{
    static struct told more[4];
    unsigned asked;
    (void)state;

    for (int i = 0; i < 4; i++)
        get_with("http://127-0-0-1.ok:%u/", (struct fetch_request) { 0 },
                 &more[i]);
    assert_non_null(accept_one());
    assert_non_null(accept_one());
    asked = name_server.asked;
    assert_in_range(asked, 1, 2); /* A and AAAA */
}

static void urls_that_are_none_of_ours_are_refused(void **state)
{
    static const char *const urls[] = {
        "",
        "ftp://127.0.0.1/",
        "unix:/run/x.sock",
        "http://user:pw@127.0.0.1/",
        "127.0.0.1",
        "http://127.0.0.1/a b",
        "http:///x",
        "http://127.0.0.1:0/",
        "file:///etc/passwd",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
        get(urls[i]);
        expect(FETCH_BAD_URL, "not sent");
    }
}

static void fields_with_line_ends_are_refused(void **state)
{
    struct fetch_request r = { .authorization = STR("Bearer x\r\nX: y") };
    (void)state;

    get_with("http://127.0.0.1:%u/", r, &told);
    expect(FETCH_BAD_URL, "line end");
}

/* Servers that are no good */

static void nobody_there_is_told(void **state)
{
    (void)state;

    close(listener);
    listener = -1;
    get("http://127.0.0.1:%u/");
    expect(FETCH_CONNECT, "connect to 127.0.0.1:");
    get("http://nobody.test/");
    expect(FETCH_RESOLVE, "nobody.test: no such host");
}

static void a_stalled_server_is_given_up(void **state)
{
    struct peer *p;
    (void)state;

    get_with("http://127.0.0.1:%u/",
             (struct fetch_request) { .timeout_ms = 700 }, &told);
    p = accept_one();
    assert_non_null(request_of(p));
    for (int i = 0; i < 10 && !told.times; i++) { /* a byte now and then */
        say(p, i ? "x" : "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
        pass(100);
    }
    expect(FETCH_TIMEOUT, "within 700 ms");
    get_with("http://mute.test:%u/",
             (struct fetch_request) { .timeout_ms = 700 }, &told);
    pass(800);
    expect(FETCH_TIMEOUT, "no connection to mute.test");
}

static void garbage_is_no_answer(void **state)
{
    static const char *const garbage[] = {
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
        struct peer *p;

        get("http://127.0.0.1:%u/");
        p = accept_one();
        assert_non_null(request_of(p));
        say(p, garbage[i]);
        expect(FETCH_BROKEN, "127.0.0.1");
    }
}

static void an_answer_cut_short_is_none(void **state)
{
    struct peer *p;
    (void)state;

    get("http://127.0.0.1:%u/");
    p = accept_one();
    request_of(p);
    say(p, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    peer_done(p);
    p->fd = -1;
    expect(FETCH_BROKEN, "cut");
}

static void too_long_an_answer_is_refused(void **state)
{
    char chunk[2100];
    struct peer *p;
    (void)state;

    get("http://127.0.0.1:%u/");
    p = accept_one();
    request_of(p);
    say(p, "HTTP/1.1 200 OK\r\nContent-Length: 10001\r\n\r\n");
    expect(FETCH_TOO_LARGE, "more than 10000 bytes");
    get("http://127.0.0.1:%u/");
    p = accept_one();
    request_of(p);
    say(p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    memset(chunk, 'x', sizeof(chunk));
    memcpy(chunk, "800\r\n", 5);
    memcpy(chunk + 5 + 2048, "\r\n", 3);
    for (int i = 0; i < 5 && !told.times; i++)
        say(p, chunk);
    expect(FETCH_TOO_LARGE, "more than 10000 bytes");
}

/* Redirects */

static const struct fetch_request following = { .follow = true };

static struct peer *redirected_to(const char *location)
{
    struct peer *p;

    get_with("http://127.0.0.1:%u/a/b?c", following, &told);
    p = peer_count ? &peers[peer_count - 1] : accept_one();
    if (!request_of(p)) {
        p = accept_one();
        assert_non_null(request_of(p));
    }
    say(p, arena_printf(arena,
                        "HTTP/1.1 302 Found\r\nContent-Length: 4\r\n"
                        "Location: %s\r\n\r\nhere",
                        location)
               .p);
    return p;
}

static void redirects_within_the_origin_are_followed(void **state)
{
    static const char *const cases[][2] = {
        { "/x?y", "GET /x?y HTTP" },   { "d", "GET /a/d HTTP" },
        { "?z", "GET /a/b?z HTTP" },   { "../e#f", "GET /e HTTP" },
        { "/x/./y", "GET /x/y HTTP" },
    };
    struct peer *p;
    const char *request;
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        p = redirected_to(cases[i][0]);
        request = request_of(p); /* by the same connection */
        assert_non_null(request);
        if (strncmp(request, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("%s: %s", cases[i][0], request);
        say(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        expect_body(200, "ok");
    }
    p = redirected_to(arena_printf(arena, "http://127.0.0.1:%u/abs", port).p);
    assert_non_null(strstr(request_of(p), "GET /abs HTTP"));
}

static void redirects_to_elsewhere_are_not(void **state)
{
    static const char *const all[] = {
        "http://127.0.0.1:1/x", "https://127.0.0.1/",
        "//a.test/x",           "http://a.test/",
        "http://x@127.0.0.1/",  "file:///etc/passwd",
        "http://a b/",          "/%zz",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        redirected_to(all[i]);
        expect(FETCH_REDIRECT, "it redirects to ");
    }
}

static void a_loop_of_redirects_ends(void **state)
{
    struct peer *p = redirected_to("/b");
    (void)state;

    for (int i = 0; i < 2; i++) {
        assert_non_null(request_of(p));
        say(p, "HTTP/1.1 307 Again\r\nContent-Length: 0\r\n"
               "Location: /b\r\n\r\n");
    }
    expect(FETCH_REDIRECT, "too often");
}

static void who_does_not_follow_gets_the_redirect(void **state)
{
    struct peer *p;
    (void)state;

    get("http://127.0.0.1:%u/");
    p = accept_one();
    request_of(p);
    say(p,
        "HTTP/1.1 302 Found\r\nContent-Length: 4\r\nLocation: /x\r\n\r\nhere");
    expect_body(302, "here");
}

static void a_post_is_redirected_as_it_is_or_not_at_all(void **state)
{
    struct fetch_request r = { .method = STR("POST"),
                               .body = STR("secret"),
                               .follow = true };
    struct peer *p;
    (void)state;

    get_with("http://127.0.0.1:%u/", r, &told);
    p = accept_one();
    request_of(p);
    say(p, "HTTP/1.1 308 There\r\nContent-Length: 0\r\nLocation: /x\r\n\r\n");
    assert_non_null(strstr(request_of(p), "\r\n\r\nsecret"));
    say(p, "HTTP/1.1 302 There\r\nContent-Length: 0\r\nLocation: /y\r\n\r\n");
    expect(FETCH_REDIRECT, "with a body");
}

/* How long an answer is fresh */

static void freshness_is_read_from_all_fields(void **state)
{
    static const struct {
        const char *fields;
        int max_age; /* -1: none */
    } cases[] = {
        { "", -1 },
        { "Cache-Control: max-age=60\r\n", 60 },
        { "cache-control: MAX-AGE = \"60\"\r\n", 60 },
        { "Cache-Control: public\r\nCache-Control: max-age=7\r\n", 7 },
        { "Cache-Control: max-age=60, no-store\r\n", 0 },
        { "Cache-Control: max-age=9, max-age=60\r\n", 9 },
        { "Cache-Control: max-age=x\r\n", 0 },
        { "Cache-Control: max-age=99999999999999999999\r\n", 31622400 },
        { "Cache-Control: max-age=60\r\nAge: 100\r\n", 0 },
        { "Cache-Control: s-maxage=60\r\n", -1 },
    };
    struct peer *p = NULL;
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        get("http://127.0.0.1:%u/");
        p = p ? p : accept_one();
        request_of(p);
        say(p, arena_printf(arena,
                            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%s\r\n",
                            cases[i].fields)
                   .p);
        expect_body(200, "");
        assert_int_equal(told.has_max_age ? (int)told.max_age_s : -1,
                         cases[i].max_age);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_comes_with_what_it_says_of_itself),
        TEST(a_form_is_posted_with_credentials),
        TEST(a_connection_serves_one_request_after_the_other),
        TEST(a_kept_connection_that_was_dead_is_no_failure),
        TEST(a_post_is_not_sent_twice_unless_it_may_be),
        TEST(requests_share_few_connections_and_wait_in_line),
        TEST(the_line_has_an_end),
        TEST(who_cancels_hears_nothing),
        TEST(the_end_of_a_fetcher_is_told),
        TEST(private_addresses_are_refused_before_a_byte_is_sent),
        TEST(a_name_that_leads_elsewhere_later_is_judged_again),
        TEST(of_several_addresses_only_allowed_ones_are_used),
        TEST(one_look_up_serves_a_burst),
        TEST(urls_that_are_none_of_ours_are_refused),
        TEST(fields_with_line_ends_are_refused),
        TEST(nobody_there_is_told),
        TEST(a_stalled_server_is_given_up),
        TEST(garbage_is_no_answer),
        TEST(an_answer_cut_short_is_none),
        TEST(too_long_an_answer_is_refused),
        TEST(redirects_within_the_origin_are_followed),
        TEST(redirects_to_elsewhere_are_not),
        TEST(a_loop_of_redirects_ends),
        TEST(who_does_not_follow_gets_the_redirect),
        TEST(a_post_is_redirected_as_it_is_or_not_at_all),
        TEST(freshness_is_read_from_all_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
