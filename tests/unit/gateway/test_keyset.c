/* test_keyset.c - keys of issuers from URLs and files; the issuer is the
 * test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "gateway/credential/keyset.h"
#include "http/http_peer.h"
#include "net/hand_loop.h"
#include "temp_folder.h"

#define KEY(kid)                                             \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"" kid "\"," \
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define SET(keys) "{\"keys\":[" keys "]}"

static struct arena *arena;
static struct problems problems;
static struct outbound *rules;
static struct keysets *all;
static struct keyset *k;
static int listener;
static struct str url;
static struct peer *peer, peers[8];
static unsigned peer_count, retired, woken;
static char why[KEYSET_WHY];

static void retire(void *arg, void (*fn)(void *thing), void *thing)
{
    assert_ptr_equal(arg, &loop);
    retired++;
    fn(thing);
}

static int begin(void **state)
{
    struct str allow = STR("127.0.0.1");
    struct outbound_conf conf = {
        .allow = { &allow, 1 },
        .connect_ms = 1000,
        .total_ms = 3000,
        .idle_ms = 20000,
        .max_bytes = 1 << 20,
        .redirects = 2,
        .connections = 2,
        .waiting = 100,
    };
    unsigned port;

    (void)state;
    loop = loop_new();
    arena = arena_new();
    problems_init(&problems, arena);
    rules = NULL;
    assert_int_equal(outbound_new(&conf, STR_NULL, &problems, &rules), ERR_OK);
    listener = listen_here(&port);
    url = arena_printf(arena, "http://127.0.0.1:%u/jwks?secret=x", port);
    all = keysets_new(loop, retire, &loop);
    k = NULL;
    peer = NULL;
    peer_count = retired = woken = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    keyset_unref(k);
    keysets_end(all);
    turn(3);
    keysets_free(all);
    for (unsigned i = 0; i < peer_count; i++)
        peer_done(&peers[i]);
    close(listener);
    outbound_unref(rules);
    arena_free(arena);
    loop_free(loop);
    http_client_thread_done();
    conn_thread_done();
    arena_thread_done();
    return 0;
}

static struct keyset_source source(enum keyset_kind kind, struct str place)
{
    return (struct keyset_source) {
        .kind = kind,
        .place = place,
        .refresh_ms = 600000,
        .want_ms = 5000,
        .outbound = rules,
    };
}

static enum err get(enum keyset_kind kind, struct str place)
{
    struct keyset_source s = source(kind, place);

    return keysets_get(all, &s, &k, why);
}

/* The request that came, or NULL. */
static const char *request(void)
{
    struct address from;
    char *start;
    int fd;

    for (int i = 0; i < 10; i++) {
        turn(1);
        if (sock_accept(listener, &fd, &from) == ERR_OK) {
            peer = &peers[peer_count++];
            peer_init(peer, fd);
        }
        if (!peer || peer->fd < 0)
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
    return NULL;
}

/* The one that comes after more than from and at most to. */
static const char *request_after(uint64_t from, uint64_t to)
{
    const char *got = NULL;

    pass(from);
    assert_null(request());
    for (uint64_t ms = from; ms <= to && !got; ms += 50) {
        pass(50);
        got = request();
    }
    assert_non_null(got);
    return got;
}

static void reply(const char *status, const char *fields, const char *body)
{
    peer_say(peer, arena_printf(
                       arena, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s",
                       status, strlen(body), fields, body)
                       .p);
    turn(3);
}

static size_t count(void)
{
    const struct keyset_now *n = keyset_now(k);

    return n ? jwks_count(n->set) : 0;
}

static struct keyset_info info(void)
{
    struct keyset_info i;
    size_t at = 0;

    assert_true(keysets_next(all, &at, &i));
    return i;
}

static void wake(void *arg)
{
    assert_ptr_equal(arg, &woken);
    woken++;
}

static struct keyset_wait *want(void)
{
    return keyset_want(k, loop, keyset_version(k), 2000, wake, &woken);
}

static void have_one(void)
{
    assert_int_equal(get(KEYSET_URL, url), ERR_OK);
    assert_non_null(request());
    reply("200 OK", "", SET(KEY("a")));
    assert_int_equal(count(), 1);
}

/* URLs */

static void keys_come_by_and_by(void **state)
{
    const char *asked;
    (void)state;

    assert_int_equal(get(KEYSET_URL, url), ERR_OK);
    assert_int_equal(keyset_version(k), 0);
    assert_null(keyset_now(k));
    asked = request();
    assert_ptr_equal(strstr(asked, "GET /jwks?secret=x HTTP/1.1\r\n"), asked);
    assert_non_null(strstr(asked, "application/jwk-set+json"));
    reply("200 OK", "", SET(KEY("a")));
    assert_int_equal(count(), 1);
    assert_int_equal(keyset_version(k), 1);
    assert_null(memchr(info().place.p, '?', info().place.len));
}

static void they_are_fetched_again_after_refresh(void **state)
{
    (void)state;

    have_one();
    (void)request_after(530000, 670000);
    reply("200 OK", "", SET(KEY("a")));
    assert_int_equal(keyset_version(k), 1); /* the same keys */
    assert_int_equal(info().age_s, 0);
    (void)request_after(530000, 670000);
    reply("200 OK", "", SET(KEY("a") "," KEY("b")));
    assert_int_equal(keyset_version(k), 2);
    assert_int_equal(count(), 2);
    assert_int_equal(retired, 1);
}

static void max_age_brings_the_next_fetch_nearer_within_bounds(void **state)
{
    (void)state;

    assert_int_equal(get(KEYSET_URL, url), ERR_OK);
    request();
    reply("200 OK", "Cache-Control: max-age=120\r\n", SET(KEY("a")));
    (void)request_after(100000, 135000);
    reply("200 OK", "Cache-Control: no-store\r\n", SET(KEY("a")));
    (void)request_after(50000, 70000); /* a minute at least */
    reply("200 OK", "Cache-Control: max-age=86400\r\n", SET(KEY("a")));
    (void)request_after(530000, 670000); /* refresh at most */
}

static void unchanged_keys_need_not_be_sent(void **state)
{
    (void)state;

    assert_int_equal(get(KEYSET_URL, url), ERR_OK);
    assert_null(strstr(request(), "If-None-Match"));
    reply("200 OK", "ETag: \"v1\"\r\n", SET(KEY("a")));
    assert_non_null(
        strstr(request_after(530000, 670000), "\r\nIf-None-Match: \"v1\"\r\n"));
    peer_say(peer, "HTTP/1.1 304 Not Modified\r\n\r\n");
    turn(3);
    assert_int_equal(info().failures, 0);
    assert_int_equal(keyset_version(k), 1);
}

static void an_outage_leaves_the_last_good_keys(void **state)
{
    static const char *const bodies[] = { "", "{", "{\"keys\":[]}", "[]" };
    (void)state;

    have_one();
    (void)request_after(530000, 670000);
    for (size_t i = 0; i < 4; i++) {
        reply("200 OK", "", bodies[i]);
        assert_int_equal(count(), 1);
        assert_int_equal(info().failures, i + 1);
        /* 1 s, 2 s, 4 s, … */
        (void)request_after(850ull << i, 1200ull << i);
    }
    reply("500 Oops", "", "");
    assert_string_equal(info().problem, "it answered 500");
    assert_in_range(info().age_s, 540, 700);
    (void)request_after(13000, 18000);
    reply("200 OK", "", SET(KEY("b")));
    assert_int_equal(info().failures, 0);
    assert_int_equal(keyset_version(k), 2);
}

static void a_server_may_ask_for_a_longer_pause(void **state)
{
    (void)state;

    assert_int_equal(get(KEYSET_URL, url), ERR_OK);
    request();
    reply("503 Busy", "Retry-After: 60\r\n", "");
    (void)request_after(50000, 70000);
}

static void a_private_address_is_said(void **state)
{
    (void)state;

    assert_int_equal(get(KEYSET_URL, STR("http://10.0.0.1/x")), ERR_OK);
    pass(200);
    assert_non_null(strstr(info().problem, "outbound.allow does not name it"));
    assert_null(keyset_now(k));
}

/* Wishes of workers */

static void a_wish_fetches_once_for_all_who_wait(void **state)
{
    (void)state;

    have_one();
    pass(6000);
    for (int i = 0; i < 10; i++)
        assert_non_null(want());
    assert_int_equal(woken, 0);
    assert_non_null(request());
    assert_non_null(want()); /* shares it too */
    reply("200 OK", "", SET(KEY("a") "," KEY("b")));
    turn(2);
    assert_int_equal(woken, 11);
    assert_int_equal(count(), 2);
    assert_null(request());
    assert_null(want()); /* fetched a moment ago */
    pass(5100);
    assert_non_null(want());
    assert_non_null(request());
}

static void who_asks_too_soon_waits_for_the_next_fetch(void **state)
{
    (void)state;

    have_one();
    pass(3500);
    assert_non_null(want()); /* it may be fetched in a second and a half */
    assert_null(request());
    pass(1400);
    assert_null(request());
    pass(200);
    assert_non_null(request());
    assert_int_equal(woken, 0);
    reply("200 OK", "", SET(KEY("a") "," KEY("b")));
    turn(2);
    assert_int_equal(woken, 1);
    assert_int_equal(count(), 2);
}

static void an_answer_from_before_the_wish_is_not_the_last_word(void **state)
{
    (void)state;

    have_one();
    pass(6000);
    assert_non_null(want());
    assert_non_null(request());
    assert_non_null(
        keyset_want(k, loop, keyset_version(k), 9000, wake, &woken));
    turn(1);
    reply("200 OK", "", SET(KEY("a"))); /* nothing new */
    turn(2);
    assert_int_equal(woken, 1);
    pass(5100);
    assert_non_null(request());
    reply("200 OK", "", SET(KEY("b")));
    turn(2);
    assert_int_equal(woken, 2);
    assert_int_equal(keyset_version(k), 2);
}

static void the_first_fetch_is_waited_for(void **state)
{
    (void)state;

    assert_int_equal(get(KEYSET_URL, url), ERR_OK);
    assert_non_null(want());
    assert_non_null(request());
    reply("200 OK", "", SET(KEY("a")));
    turn(2);
    assert_int_equal(woken, 1);
    assert_int_equal(count(), 1);
}

static void nobody_waits_longer_than_he_said(void **state)
{
    (void)state;

    have_one();
    pass(6000);
    assert_non_null(want());
    assert_non_null(request());
    pass(1900);
    assert_int_equal(woken, 0);
    pass(200);
    assert_int_equal(woken, 1);
    reply("200 OK", "", SET(KEY("b")));
    turn(2);
    assert_int_equal(woken, 1);
    assert_int_equal(keyset_version(k), 2);
}

static void who_left_is_not_called(void **state)
{
    struct keyset_wait *w;
    (void)state;

    have_one();
    pass(6000);
    w = want();
    keyset_wait_cancel(w);
    assert_non_null(request());
    w = want();
    turn(1);
    keyset_wait_cancel(w);
    reply("200 OK", "", SET(KEY("b")));
    pass(3000);
    assert_int_equal(woken, 0);
}

static void who_waits_at_the_end_is_forgotten(void **state)
{
    (void)state;

    have_one();
    pass(6000);
    assert_non_null(want());
    assert_non_null(request());
}

/* The registry */

static void a_reload_keeps_the_keys(void **state)
{
    struct keyset *before;
    struct keyset_source s = source(KEYSET_URL, url);
    (void)state;

    have_one();
    before = k;
    s.refresh_ms = 60000;
    assert_int_equal(keysets_get(all, &s, &k, why), ERR_OK);
    assert_ptr_equal(k, before);
    keyset_unref(before);
    (void)request_after(0, 700000); /* the timer set before runs */
    reply("200 OK", "", SET(KEY("a")));
    (void)request_after(53000, 67000);
}

static void a_source_nobody_names_any_more_goes(void **state)
{
    struct keyset_info i;
    size_t at = 0;
    (void)state;

    have_one();
    keyset_unref(k);
    k = NULL;
    pass(1100);
    assert_false(keysets_next(all, &at, &i));
    pass(700000);
    assert_null(request());
}

/* Files */

static struct str path;

static void a_file_is_read_again_when_it_changes(void **state)
{
    (void)state;

    path = arena_printf(arena, "/tmp/tollgate-keyset-%d", (int)getpid());
    temp_file_write(path, SET(KEY("a")));
    assert_int_equal(get(KEYSET_FILE, path), ERR_OK);
    assert_int_equal(keyset_version(k), 1);
    assert_null(want());
    pass(3000);
    assert_int_equal(keyset_version(k), 1);
    temp_file_write(path, SET(KEY("a") "," KEY("b")));
    pass(1100);
    assert_int_equal(keyset_version(k), 2);
    temp_file_write(path, "{");
    pass(1100);
    assert_int_equal(count(), 2);
    assert_int_equal(info().failures, 1);
    assert_non_null(strstr(info().problem, path.p));
    unlink(path.p);
    pass(1100);
    assert_int_equal(count(), 2);
}

static void a_file_that_is_no_good_is_no_source(void **state)
{
    struct keyset_info i;
    size_t at = 0;
    (void)state;

    path = arena_printf(arena, "/tmp/tollgate-keyset-%d", (int)getpid());
    assert_int_not_equal(get(KEYSET_FILE, STR("/nowhere/x")), ERR_OK);
    assert_non_null(strstr(why, "/nowhere/x, which cannot be read"));
    temp_file_write(path, "short");
    assert_int_equal(get(KEYSET_SECRET, path), ERR_INVALID);
    assert_non_null(strstr(why, "no secret to verify with"));
    assert_int_equal(get(KEYSET_PEM, path), ERR_INVALID);
    assert_non_null(strstr(why, "no usable key"));
    assert_int_equal(get(KEYSET_FILE, path), ERR_INVALID);
    assert_false(keysets_next(all, &at, &i));
    temp_file_write(path, "0123456789012345678901234567890123456789\n");
    assert_int_equal(get(KEYSET_SECRET, path), ERR_OK);
    assert_int_equal(count(), 1);
    unlink(path.p);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_come_by_and_by),
        TEST(they_are_fetched_again_after_refresh),
        TEST(max_age_brings_the_next_fetch_nearer_within_bounds),
        TEST(unchanged_keys_need_not_be_sent),
        TEST(an_outage_leaves_the_last_good_keys),
        TEST(a_server_may_ask_for_a_longer_pause),
        TEST(a_private_address_is_said),
        TEST(a_wish_fetches_once_for_all_who_wait),
        TEST(who_asks_too_soon_waits_for_the_next_fetch),
        TEST(an_answer_from_before_the_wish_is_not_the_last_word),
        TEST(the_first_fetch_is_waited_for),
        TEST(nobody_waits_longer_than_he_said),
        TEST(who_left_is_not_called),
        TEST(who_waits_at_the_end_is_forgotten),
        TEST(a_reload_keeps_the_keys),
        TEST(a_source_nobody_names_any_more_goes),
        TEST(a_file_is_read_again_when_it_changes),
        TEST(a_file_that_is_no_good_is_no_source),
    };

    log_setup(LOG_ERROR, LOG_TEXT, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
