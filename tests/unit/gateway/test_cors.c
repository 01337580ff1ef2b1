/* test_cors.c - cross-origin requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "exchange_fixture.h"
#include "gateway/policy/cors.h"

static struct openapi doc;
static struct cors_conf conf;
static struct cors cors;
static struct reply reply;

static struct conf_strings list(const char *text)
{
    struct conf_strings all = { arena_alloc(arena, 16 * sizeof(struct str)),
                                0 };
    struct str rest = str_z(text);

    while (rest.len)
        all.items[all.count++] = str_cut(&rest, ' ');
    return all;
}

static int begin(void **state)
{
    set_up(state);
    memset(&doc, 0, sizeof(doc));
    memset(&conf, 0, sizeof(conf));
    memset(&reply, 0, sizeof(reply));
    conf.enabled = true;
    conf.origins = list("*");
    conf.methods = list("GET PUT POST DELETE PATCH OPTIONS");
    conf.headers = list("authorization Content-Type");
    doc.cors.max_age = -1;
    return 0;
}

static int end(void **state)
{
    reply_done(&reply);
    return tear_down(state);
}

static void ask(const char *method, const char *more)
{
    char text[2048];

    snprintf(text, sizeof(text), "%s /a HTTP/1.1\r\nHost: a\r\n%s\r\n", method,
             more);
    request_from("192.0.2.1", text);
    x->field_count = 0;
    x->drop_cors = false;
    cors = cors_of(arena, &doc, &conf);
}

static const char *field(const char *name)
{
    const char *found = "none";

    for (uint32_t i = 0; i < x->field_count; i++) {
        if (!str_is(x->fields[i].name, name))
            continue;
        assert_string_equal(found, "none"); /* at most once */
        found = arena_copy(arena, x->fields[i].value).p;
    }
    return found;
}

/* A plain call from that origin. */
static void call_from(const char *origin)
{
    char more[256];

    snprintf(more, sizeof(more), "Origin: %s\r\n", origin);
    ask("GET", more);
    cors_reply(&cors, x);
}

static void preflight(const char *origin, uint32_t allowed)
{
    char more[256];

    snprintf(more, sizeof(more),
             "Origin: %s\r\nAccess-Control-Request-Method: PUT\r\n", origin);
    ask("OPTIONS", more);
    assert_true(cors_is_preflight(x));
    cors_reply(&cors, x);
    cors_preflight(&cors, x, allowed);
    loop_turn(loop, 0);
    peer_take_all(&peer);
    reply_done(&reply);
    assert_true(peer_reply(&peer, METHOD_OPTIONS, &reply));
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body.len, 0);
}

static const char *told(const char *name)
{
    const struct header *h = message_find(&reply.head, str_z(name));

    return h ? arena_copy(arena, h->value).p : "none";
}

static void any_origin_is_a_star(void **state)
{
    (void)state;

    call_from("https://shop.test");
    assert_string_equal(field("Access-Control-Allow-Origin"), "*");
    assert_string_equal(field("Vary"), "none"); /* the same for all */
    assert_string_equal(field("Access-Control-Allow-Credentials"), "none");
    assert_true(x->drop_cors);
}

static void listed_origins_are_named_one_by_one(void **state)
{
    (void)state;

    conf.origins = list("https://shop.test https://admin.test:8443");
    call_from("https://admin.test:8443");
    assert_string_equal(field("Access-Control-Allow-Origin"),
                        "https://admin.test:8443");
    assert_string_equal(field("Vary"), "Origin");
    call_from("https://admin.test");
    assert_string_equal(field("Access-Control-Allow-Origin"), "none");
    assert_string_equal(field("Vary"), "Origin"); /* a cache must know */
    call_from("https://shop.test.evil.test");
    assert_string_equal(field("Access-Control-Allow-Origin"), "none");
    call_from("null");
    assert_string_equal(field("Access-Control-Allow-Origin"), "none");
}

static void without_an_origin_only_caches_are_told(void **state)
{
    (void)state;

    conf.origins = list("https://shop.test");
    ask("GET", "");
    cors_reply(&cors, x);
    assert_int_equal(x->field_count, 1);
    assert_string_equal(field("Vary"), "Origin");
}

static void credentials_never_meet_a_star(void **state)
{
    (void)state;

    conf.credentials = true;
    call_from("https://shop.test");
    assert_string_equal(field("Access-Control-Allow-Origin"),
                        "https://shop.test");
    assert_string_equal(field("Access-Control-Allow-Credentials"), "true");
    assert_string_equal(field("Vary"), "Origin");
    conf.origins = list("https://other.test");
    call_from("https://shop.test");
    assert_string_equal(field("Access-Control-Allow-Credentials"), "none");
}

static void what_may_be_read_is_exposed_on_replies_only(void **state)
{
    (void)state;

    conf.expose = list("X-A X-B");
    call_from("https://shop.test");
    assert_string_equal(field("Access-Control-Expose-Headers"), "X-A,X-B");
    preflight("https://shop.test", 1u << METHOD_PUT);
    assert_string_equal(told("Access-Control-Expose-Headers"), "none");
}

static void switched_off_it_does_nothing(void **state)
{
    (void)state;

    conf.enabled = false;
    call_from("https://shop.test");
    assert_int_equal(x->field_count, 0);
    assert_false(x->drop_cors); /* the backend may do it itself */
}

static void a_preflight_tells_what_the_path_has(void **state)
{
    (void)state;

    preflight("https://shop.test",
              1u << METHOD_GET | 1u << METHOD_PUT | 1u << METHOD_OTHER);
    assert_string_equal(told("Access-Control-Allow-Origin"), "*");
    assert_string_equal(told("Access-Control-Allow-Methods"), "GET,HEAD,PUT");
    assert_string_equal(told("Access-Control-Allow-Headers"),
                        "authorization,Content-Type");
    assert_string_equal(told("Access-Control-Max-Age"), "none");
}

static void methods_that_are_not_listed_are_not_told(void **state)
{
    (void)state;

    conf.methods = list("GET");
    conf.max_age_ms = 600000;
    preflight("https://shop.test", 1u << METHOD_GET | 1u << METHOD_DELETE);
    assert_string_equal(told("Access-Control-Allow-Methods"), "GET,HEAD");
    assert_string_equal(told("Access-Control-Max-Age"), "600");
    preflight("https://shop.test", 1u << METHOD_DELETE);
    assert_string_equal(told("Access-Control-Allow-Methods"), "");
}

static void a_preflight_from_elsewhere_is_told_nothing(void **state)
{
    (void)state;

    conf.origins = list("https://shop.test");
    preflight("https://evil.test", 1u << METHOD_PUT);
    assert_string_equal(told("Access-Control-Allow-Origin"), "none");
    assert_string_equal(told("Access-Control-Allow-Methods"), "none");
    assert_string_equal(told("Access-Control-Allow-Headers"), "none");
    assert_string_equal(told("Vary"), "Origin");
}

static void not_every_options_is_a_preflight(void **state)
{
    (void)state;

    ask("OPTIONS", "Origin: https://shop.test\r\n");
    assert_false(cors_is_preflight(x));
    ask("OPTIONS", "Access-Control-Request-Method: PUT\r\n");
    assert_false(cors_is_preflight(x));
    ask("GET", "Origin: https://shop.test\r\n"
               "Access-Control-Request-Method: PUT\r\n");
    assert_false(cors_is_preflight(x));
}

static void the_document_comes_before_the_settings(void **state)
{
    struct conf_strings origins = list("https://doc.test"),
                        methods = list("PUT"), headers = list("X-Doc"),
                        expose = list("X-Shown");
    (void)state;

    conf.expose = list("X-Conf");
    conf.max_age_ms = 1000;
    doc.cors = (struct oas_cors) {
        .set = true,
        .enabled = true,
        .credentials = true,
        .origins = origins.items,
        .origin_count = 1,
        .methods = methods.items,
        .method_count = 1,
        .headers = headers.items,
        .header_count = 1,
        .expose = expose.items,
        .expose_count = 1,
        .max_age = 7,
    };
    call_from("https://doc.test");
    assert_string_equal(field("Access-Control-Allow-Origin"),
                        "https://doc.test");
    assert_string_equal(field("Access-Control-Allow-Credentials"), "true");
    assert_string_equal(field("Access-Control-Expose-Headers"), "X-Shown");
    preflight("https://doc.test", 1u << METHOD_PUT | 1u << METHOD_GET);
    assert_string_equal(told("Access-Control-Allow-Methods"), "HEAD,PUT");
    assert_string_equal(told("Access-Control-Allow-Headers"), "X-Doc");
    assert_string_equal(told("Access-Control-Max-Age"), "7");
}

static void a_document_may_leave_lists_to_the_settings(void **state)
{
    (void)state;

    doc.cors =
        (struct oas_cors) { .set = true, .enabled = true, .max_age = -1 };
    preflight("https://shop.test", 1u << METHOD_PUT);
    assert_string_equal(told("Access-Control-Allow-Origin"), "*");
    assert_string_equal(told("Access-Control-Allow-Methods"), "PUT");
    assert_string_equal(told("Access-Control-Allow-Headers"),
                        "authorization,Content-Type");
    doc.cors.enabled = false;
    call_from("https://shop.test");
    assert_int_equal(x->field_count, 0);
}

static void fields_of_credentials_may_be_sent(void **state)
{
    (void)state;

    request_from("192.0.2.1", "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    cors = cors_of(arena, &doc, &conf);
    cors_allow_field(&cors, arena, STR("Authorization")); /* is there */
    cors_allow_field(&cors, arena, STR("X-Key"));
    cors_allow_field(&cors, arena, STR("x-key"));
    cors_allow_field(&cors, arena, STR("Type")); /* no part of another */
    assert_true(str_is(cors.headers, "authorization,Content-Type,X-Key,Type"));
    cors.headers = STR_NULL;
    cors_allow_field(&cors, arena, STR("X-Key"));
    assert_true(str_is(cors.headers, "X-Key"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(any_origin_is_a_star),
        TEST(listed_origins_are_named_one_by_one),
        TEST(without_an_origin_only_caches_are_told),
        TEST(credentials_never_meet_a_star),
        TEST(what_may_be_read_is_exposed_on_replies_only),
        TEST(switched_off_it_does_nothing),
        TEST(a_preflight_tells_what_the_path_has),
        TEST(methods_that_are_not_listed_are_not_told),
        TEST(a_preflight_from_elsewhere_is_told_nothing),
        TEST(not_every_options_is_a_preflight),
        TEST(the_document_comes_before_the_settings),
        TEST(a_document_may_leave_lists_to_the_settings),
        TEST(fields_of_credentials_may_be_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
