/* test_introspect.c - questions about tokens; the server is the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/log.h"
#include "format/conf_read.h"
#include "gateway/credential/introspect.h"
#include "http/http_peer.h"
#include "net/hand_loop.h"
#include "temp_folder.h"

struct told {
    unsigned times;
    enum introspect_verdict verdict;
    enum jwt_fault fault;
    char text[256], application[64], user[64];
    bool known;
};

static struct arena *arena;
static struct problems problems;
static struct outbound *rules;
static struct fetcher *fetcher;
static struct introspector *asker;
static struct introspection *server;
static struct introspection_conf conf;
static int listener;
static struct str secret_path;
static struct peer *peer, peers[32];
static unsigned peer_count;
static struct told told;

static enum err make_server(void)
{
    introspection_unref(server);
    server = NULL;
    return introspection_new(&conf, 3, rules, STR("t.yaml"), &problems,
                             &server);
}

static int begin(void **state)
{
    struct str allow = STR("127.0.0.1");
    struct outbound_conf out = {
        .allow = { &allow, 1 },
        .connect_ms = 1000,
        .total_ms = 3000,
        .idle_ms = 60000,
        .max_bytes = 1 << 20,
        .connections = 4,
        .waiting = 100,
    };
    unsigned port;

    (void)state;
    loop = loop_new();
    arena = arena_new();
    problems_init(&problems, arena);
    rules = NULL;
    server = NULL;
    assert_int_equal(outbound_new(&out, STR_NULL, &problems, &rules), ERR_OK);
    fetcher = fetcher_new(loop, STR(""), 1000);
    asker = introspector_new(loop, fetcher, 64, metrics_thread_new());
    /* The defaults; that url is missing is mended below. */
    (void)conf_read(arena, introspection_fields, NULL, STR_NULL, "", NULL,
                    &conf, &problems);
    problems_init(&problems, arena);
    listener = listen_here(&port);
    conf.url = arena_printf(arena, "http://127.0.0.1:%u/introspect", port);
    secret_path =
        arena_printf(arena, "/tmp/tollgate-introspect-%d", (int)getpid());
    temp_file_write(secret_path, "p:w d\n");
    conf.client_id = STR("gate way");
    conf.client_secret_file = secret_path;
    conf.failures = 2;
    assert_int_equal(make_server(), ERR_OK);
    memset(&told, 0, sizeof(told));
    peer = NULL;
    peer_count = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    introspector_free(asker);
    fetcher_free(fetcher);
    turn(3);
    metrics_done();
    for (unsigned i = 0; i < peer_count; i++)
        peer_done(&peers[i]);
    close(listener);
    unlink(secret_path.p);
    introspection_unref(server);
    outbound_unref(rules);
    arena_free(arena);
    loop_free(loop);
    http_client_thread_done();
    conn_thread_done();
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

static void tell(void *arg, const struct introspected *r)
{
    struct told *t = arg;

    t->times++;
    t->verdict = r->verdict;
    t->fault = r->fault;
    t->known = r->known;
    copy(t->text, sizeof(t->text), r->text);
    if (r->entry) {
        copy(t->application, sizeof(t->application),
             r->entry->caller.application);
        copy(t->user, sizeof(t->user), r->entry->caller.user);
    }
}

static uint64_t now_s(void)
{
    return loop_wall_us(loop) / 1000000;
}

static struct introspect_wait *ask_as(const char *token, struct told *to)
{
    struct introspect_wait *wait = NULL;
    struct introspected r;

    memset(to, 0, sizeof(*to));
    introspect(asker, server, str_z(token), now_s(), tell, to, &r, &wait);
    if (r.verdict == INTROSPECT_LATER)
        assert_non_null(wait);
    else
        tell(to, &r);
    return wait;
}

static struct introspect_wait *ask(const char *token)
{
    return ask_as(token, &told);
}

/* The request that came, or NULL. Connections that still live are looked at
 * too. */
static const char *request(void)
{
    struct address from;
    int fd;

    for (int i = 0; i < 10; i++) {
        turn(1);
        if (sock_accept(listener, &fd, &from) == ERR_OK) {
            assert_true(peer_count < 32);
            peer_init(&peers[peer_count++], fd);
        }
        for (unsigned k = 0; k < peer_count; k++) {
            char *start;

            peer = &peers[k];
            if (peer->eof || peer->reset)
                continue;
            peer_take_all(peer);
            if (peer->got.len == peer->at)
                continue;
            assert_int_equal(buf_char(&peer->got, 0), ERR_OK);
            peer->got.len--;
            start = peer->got.p + peer->at;
            peer->at = peer->got.len;
            return start;
        }
    }
    return NULL;
}

static void reply(const char *status, const char *body)
{
    peer_say(peer,
             arena_printf(arena, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s",
                          status, strlen(body), body)
                 .p);
    turn(3);
}

static void expect(enum introspect_verdict verdict)
{
    assert_int_equal(told.times, 1);
    if (told.verdict != verdict)
        fail_msg("verdict %d, %s", told.verdict, told.text);
}

static void have(const char *token, const char *body)
{
    ask(token);
    assert_non_null(request());
    reply("200 OK", body);
    assert_int_equal(told.times, 1);
}

/* One question */

static void a_server_is_asked_as_the_rfc_says(void **state)
{
    const char *asked;
    (void)state;

    ask("a+b/c=");
    asked = request();
    assert_ptr_equal(strstr(asked, "POST /introspect HTTP/1.1\r\n"), asked);
    /* base64 of gate%20way:p%3Aw%20d */
    assert_non_null(strstr(
        asked, "\r\nAuthorization: Basic Z2F0ZSUyMHdheTpwJTNBdyUyMGQ=\r\n"));
    assert_non_null(
        strstr(asked, "\r\nContent-Type: application/x-www-form-urlencoded"));
    assert_non_null(strstr(
        asked, "\r\n\r\ntoken_type_hint=access_token&token=a%2Bb%2Fc%3D"));
    reply("200 OK", "{\"active\":true,\"client_id\":\"app\",\"sub\":\"u\","
                    "\"username\":\"jane\"}");
    expect(INTROSPECT_ACTIVE);
    assert_string_equal(told.application, "app");
    assert_string_equal(told.user, "jane");
}

static void a_server_may_want_a_token_of_ours(void **state)
{
    (void)state;

    conf.client_id = conf.client_secret_file = STR_NULL;
    conf.token_file = secret_path;
    temp_file_write(secret_path, "abc\r\n");
    assert_int_equal(make_server(), ERR_OK);
    ask("t");
    assert_non_null(strstr(request(), "\r\nAuthorization: Bearer abc\r\n"));
}

static void an_active_token_is_asked_about_once(void **state)
{
    (void)state;

    have("t", "{\"active\":true,\"client_id\":\"app\"}");
    expect(INTROSPECT_ACTIVE);
    assert_false(told.known);
    ask("t");
    expect(INTROSPECT_ACTIVE);
    assert_true(told.known);
    assert_string_equal(told.application, "app");
    assert_non_null(introspect_known(asker, server, STR("t"), now_s()));
    assert_null(introspect_known(asker, server, STR("u"), now_s()));
    assert_null(request());
    fake_pass(899999);
    turn(1);
    assert_non_null(introspect_known(asker, server, STR("t"), 0));
    fake_pass(1); /* whatever the wall's clock says */
    turn(1);
    assert_null(introspect_known(asker, server, STR("t"), 0));
}

static void it_is_remembered_no_longer_than_it_is_valid(void **state)
{
    (void)state;

    have("t", arena_printf(arena, "{\"active\":true,\"exp\":%llu}",
                           (unsigned long long)now_s() + 60)
                  .p);
    expect(INTROSPECT_ACTIVE);
    assert_non_null(introspect_known(asker, server, STR("t"), now_s() + 64));
    assert_null(introspect_known(asker, server, STR("t"), now_s() + 66));
}

static void without_a_cache_every_call_asks(void **state)
{
    (void)state;

    conf.cache_ms = conf.refused_cache_ms = 0;
    assert_int_equal(make_server(), ERR_OK);
    for (int i = 0; i < 3; i++)
        have("t", i % 2 ? "{\"active\":false}" : "{\"active\":true}");
}

static void a_token_that_is_not_active_is_remembered_apart(void **state)
{
    char token[16];
    (void)state;

    have("good", "{\"active\":true}");
    have("bad", "{\"active\":false}");
    expect(INTROSPECT_INACTIVE);
    ask("bad");
    expect(INTROSPECT_INACTIVE);
    assert_true(told.known);
    for (int i = 0; i < 200; i++) { /* more than there is room for good ones */
        snprintf(token, sizeof(token), "bad%d", i);
        have(token, "{\"active\":false}");
    }
    assert_non_null(introspect_known(asker, server, STR("good"), now_s()));
}

static void another_server_says_its_own(void **state)
{
    (void)state;

    have("t", "{\"active\":false}");
    assert_int_equal(make_server(), ERR_OK);
    ask("t");
    assert_int_equal(told.times, 0);
    assert_non_null(request());
}

static void what_it_says_is_judged(void **state)
{
    struct str audience = STR("api"), claim = STR("plan=gold");
    (void)state;

    conf.issuer = STR("https://i");
    conf.audiences = (struct conf_strings) { &audience, 1 };
    conf.claims = (struct conf_strings) { &claim, 1 };
    assert_int_equal(make_server(), ERR_OK);
    have("1", "{\"active\":true,\"iss\":\"https://x\",\"aud\":\"api\"}");
    expect(INTROSPECT_INACTIVE);
    assert_int_equal(told.fault, JWT_WRONG_ISSUER);
    have("2", "{\"active\":true,\"iss\":\"https://i\",\"aud\":\"x\"}");
    assert_int_equal(told.fault, JWT_WRONG_AUDIENCE);
    have("3", "{\"active\":true,\"iss\":\"https://i\",\"aud\":\"api\"}");
    assert_int_equal(told.fault, JWT_MISSING_CLAIM);
    assert_string_equal(told.text, "plan");
    have("4", "{\"active\":true,\"iss\":\"https://i\",\"aud\":\"api\","
              "\"plan\":\"gold\",\"exp\":1000}");
    assert_int_equal(told.fault, JWT_EXPIRED);
    have("5", "{\"active\":true,\"iss\":\"https://i\",\"aud\":\"api\","
              "\"plan\":\"gold\"}");
    expect(INTROSPECT_ACTIVE);
    ask("3");
    assert_int_equal(told.fault, JWT_MISSING_CLAIM);
    assert_true(told.known);
}

/* Many questions */

static void who_asks_the_same_shares_the_answer(void **state)
{
    struct told more[5];
    (void)state;

    for (int i = 0; i < 5; i++)
        ask_as("t", &more[i]);
    ask("u");
    assert_non_null(request());
    reply("200 OK", "{\"active\":true}");
    assert_non_null(request());
    reply("200 OK", "{\"active\":true}");
    assert_null(request());
    for (int i = 0; i < 5; i++) {
        assert_int_equal(more[i].times, 1);
        assert_int_equal(more[i].verdict, INTROSPECT_ACTIVE);
    }
    assert_int_equal(introspector_counts(asker)->asked, 2);
    assert_int_equal(introspector_counts(asker)->shared, 4);
}

static void who_left_is_not_told_and_the_answer_is_kept(void **state)
{
    struct introspect_wait *w = ask("t");
    static struct told other;
    (void)state;

    ask_as("t", &other);
    assert_non_null(request());
    introspect_cancel(w);
    reply("200 OK", "{\"active\":true}");
    assert_int_equal(told.times, 0);
    assert_int_equal(other.times, 1);
    assert_non_null(introspect_known(asker, server, STR("t"), now_s()));
}

static void questions_under_way_end_with_the_asker(void **state)
{
    (void)state;

    ask("t");
    assert_non_null(request());
    introspector_free(asker);
    asker = NULL;
    turn(2);
    assert_int_equal(told.times, 0);
}

/* Servers that are no good */

static void a_stalled_server_is_given_up(void **state)
{
    (void)state;

    ask("t");
    assert_non_null(request());
    pass(3100);
    expect(INTROSPECT_UNAVAILABLE);
    assert_non_null(strstr(told.text, "within 3000 ms"));
    ask("t"); /* not remembered */
    assert_non_null(request());
}

static void answers_that_are_none_say_nothing_of_the_token(void **state)
{
    static const char *const all[][2] = {
        { "200 OK", "<html>" },
        { "200 OK", "{\"active\":\"yes\"}" },
        { "401 Unauthorized", "" },
        { "302 Found", "{\"active\":true}" },
        { "500 Oops", "{\"active\":true}" },
    };
    (void)state;

    conf.failures = 100;
    assert_int_equal(make_server(), ERR_OK);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        ask("t");
        assert_non_null(request());
        reply(all[i][0], all[i][1]);
        expect(INTROSPECT_UNAVAILABLE);
    }
    ask("t");
    assert_non_null(request());
    reply("200 OK", "{\"active\":true}");
    expect(INTROSPECT_ACTIVE);
}

static void too_long_an_answer_is_none(void **state)
{
    (void)state;

    ask("t");
    assert_non_null(request());
    peer_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n");
    turn(3);
    expect(INTROSPECT_UNAVAILABLE);
}

static void a_server_that_keeps_failing_is_left_alone(void **state)
{
    (void)state;

    for (int i = 0; i < 2; i++) {
        ask("t");
        assert_non_null(request());
        reply("503 Busy", "");
        expect(INTROSPECT_UNAVAILABLE);
    }
    ask("t");
    expect(INTROSPECT_UNAVAILABLE); /* at once */
    assert_null(request());
    pass(10100);
    ask("t"); /* one tries */
    assert_int_equal(told.times, 0);
    {
        static struct told other;

        ask_as("u", &other);
        assert_int_equal(other.verdict, INTROSPECT_UNAVAILABLE);
        ask_as("t", &other); /* the same question may wait too */
        assert_int_equal(other.times, 0);
    }
    assert_non_null(request());
    reply("503 Busy", "");
    ask("t");
    expect(INTROSPECT_UNAVAILABLE);
    assert_null(request());
    pass(10100);
    have("t", "{\"active\":true}");
    expect(INTROSPECT_ACTIVE);
    have("u", "{\"active\":false}");
    expect(INTROSPECT_INACTIVE);
}

static void what_a_caller_can_provoke_is_no_failure_of_the_server(void **state)
{
    static const char *const all[] = { "400 Bad", "403 No", "413 Long",
                                       "414 Long", "422 No" };
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        ask("t");
        assert_non_null(request());
        reply(all[i], "{\"error\":\"invalid_request\"}");
        expect(INTROSPECT_UNAVAILABLE);
    }
    have("u", "{\"active\":true}");
    expect(INTROSPECT_ACTIVE);
}

static void a_token_of_a_kind_it_does_not_judge_is_not_active(void **state)
{
    (void)state;

    ask("t");
    assert_non_null(request());
    reply("400 Bad", "{\"error\":\"unsupported_token_type\"}");
    expect(INTROSPECT_INACTIVE);
    ask("t");
    expect(INTROSPECT_INACTIVE); /* remembered */
    assert_null(request());
}

static void what_is_remembered_outlives_an_outage(void **state)
{
    (void)state;

    have("t", "{\"active\":true}");
    for (int i = 0; i < 2; i++) {
        ask("u");
        assert_non_null(request());
        reply("500 Oops", "");
    }
    ask("u");
    expect(INTROSPECT_UNAVAILABLE);
    ask("t");
    expect(INTROSPECT_ACTIVE);
}

static void a_private_address_is_not_asked(void **state)
{
    (void)state;

    conf.url = STR("http://10.0.0.1/introspect");
    assert_int_equal(make_server(), ERR_OK);
    ask("t");
    pass(200);
    expect(INTROSPECT_UNAVAILABLE);
    assert_non_null(strstr(told.text, "outbound.allow"));
}

/* Settings */

static const char *problem_with(void)
{
    size_t before = problems.errors;

    assert_int_equal(make_server(), ERR_INVALID);
    assert_int_equal(problems.errors, before + 1);
    return problem_line(arena, problems.last).p;
}

static void settings_that_cannot_be_are_problems(void **state)
{
    struct introspection_conf good = conf;
    (void)state;

    conf.url = STR("ftp://x/");
    assert_non_null(strstr(problem_with(), "t.yaml: gateway.introspection[3]"
                                           ".url must be https://host/path"));
    conf = good;
    conf.client_secret_file = STR_NULL;
    assert_non_null(strstr(problem_with(), "client_id needs"));
    conf = good;
    conf.token_file = secret_path;
    assert_non_null(strstr(problem_with(), "keep one"));
    conf = good;
    conf.client_id = conf.client_secret_file = STR_NULL;
    assert_non_null(strstr(problem_with(), "is missing"));
    conf = good;
    conf.client_secret_file = STR("/nowhere/x");
    assert_non_null(strstr(problem_with(), "cannot be read"));
    conf = good;
    temp_file_write(secret_path, "two\nlines\n");
    assert_non_null(strstr(problem_with(), "one line"));
    temp_file_write(secret_path, "\n");
    assert_non_null(strstr(problem_with(), "must hold 1 to"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_server_is_asked_as_the_rfc_says),
        TEST(a_server_may_want_a_token_of_ours),
        TEST(an_active_token_is_asked_about_once),
        TEST(it_is_remembered_no_longer_than_it_is_valid),
        TEST(without_a_cache_every_call_asks),
        TEST(a_token_that_is_not_active_is_remembered_apart),
        TEST(another_server_says_its_own),
        TEST(what_it_says_is_judged),
        TEST(who_asks_the_same_shares_the_answer),
        TEST(who_left_is_not_told_and_the_answer_is_kept),
        TEST(questions_under_way_end_with_the_asker),
        TEST(a_stalled_server_is_given_up),
        TEST(answers_that_are_none_say_nothing_of_the_token),
        TEST(too_long_an_answer_is_none),
        TEST(a_server_that_keeps_failing_is_left_alone),
        TEST(what_a_caller_can_provoke_is_no_failure_of_the_server),
        TEST(a_token_of_a_kind_it_does_not_judge_is_not_active),
        TEST(what_is_remembered_outlives_an_outage),
        TEST(a_private_address_is_not_asked),
        TEST(settings_that_cannot_be_are_problems),
    };

    log_setup(LOG_ERROR, LOG_TEXT, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
