/* test_forwarding.c - who the client is, and what backends are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "exchange_fixture.h"
#include "gateway/forwarding.h"

static struct header fields[FORWARDING_FIELDS];
static size_t field_count;

static void ask(const char *ip, const char *more)
{
    char text[8192];

    snprintf(text, sizeof(text),
             "GET /a HTTP/1.1\r\nHost: api.test:8280\r\n%s\r\n", more);
    request_from(ip, text);
    forwarding_client(x, trust);
}

/* From a trusted balancer at 10.0.0.1. */
static void assert_client(const char *more, const char *client)
{
    is_trusted = true;
    ask("10.0.0.1", more);
    if (strcmp(x->client.text, client) != 0)
        fail_msg("%s for %s", x->client.text, more);
    assert_int_equal(x->client.text_len, strlen(client));
}

static const char *field(const char *name)
{
    for (size_t i = 0; i < field_count; i++)
        if (str_is(fields[i].name, name))
            return arena_copy(arena, fields[i].value).p;
    return "none";
}

static void tell(enum forwarded how)
{
    field_count = forwarding_fields(x, how, fields);
    assert_true(field_count <= FORWARDING_FIELDS);
}

/* Who it is */

static void a_stranger_is_itself_whatever_it_says(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    is_trusted = false;
    ask("198.51.100.9",
        "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n");
    assert_string_equal(x->client.text, "198.51.100.9");
}

static void a_balancer_names_the_client(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    assert_client("", "10.0.0.1");
    assert_client("X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9");
    assert_client("x-forwarded-for:203.0.113.9:4711\r\n", "203.0.113.9");
    assert_client("X-Forwarded-For: 2001:db8::9\r\n", "2001:db8::9");
    assert_client("X-Forwarded-For: [2001:db8::9]:4711\r\n", "2001:db8::9");
    assert_client("X-Forwarded-For: ::ffff:203.0.113.9\r\n", "203.0.113.9");
    assert_client("Forwarded: for=203.0.113.9\r\n", "203.0.113.9");
    assert_client("Forwarded: proto=https;For=\"[2001:db8::9]:4711\";by=x\r\n",
                  "2001:db8::9");
    assert_client("Forwarded: for=\"203.0.113.9:80\"\r\n", "203.0.113.9");
}

static void the_right_most_stranger_is_the_client(void **state)
{
    (void)state;

    believe("10.0.0.0/8 192.0.2.0/24");
    assert_client("X-Forwarded-For: 1.1.1.1, 203.0.113.9\r\n", "203.0.113.9");
    assert_client("X-Forwarded-For: 1.1.1.1,203.0.113.9,192.0.2.1 , 10.9.9.9"
                  "\r\n",
                  "203.0.113.9");
    assert_client("X-Forwarded-For: 192.0.2.1, 10.9.9.9\r\n", "192.0.2.1");
    assert_client("Forwarded: for=1.1.1.1, for=203.0.113.9;proto=http, "
                  "for=10.2.2.2\r\n",
                  "203.0.113.9");
}

static void lines_are_one_list(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    assert_client("X-Forwarded-For: 1.1.1.1\r\n"
                  "X-Forwarded-For: 203.0.113.9\r\nX-Other: 5\r\n"
                  "X-Forwarded-For: 10.3.3.3\r\n",
                  "203.0.113.9");
    assert_client("Forwarded: for=1.1.1.1\r\nForwarded: for=203.0.113.9\r\n",
                  "203.0.113.9");
}

static void garbage_ends_the_list(void **state)
{
    static const char *const garbage[] = {
        "unknown", "_hidden",   "example.com",  "300.1.1.1", "1.2.3",
        "[::1",    "[::1]x",    "[]",           "\"",        "",
        ",",       "1.2.3.4.5", "fe80::1%eth0", ":",
    };
    char more[256];
    (void)state;

    believe("10.0.0.0/8");
    for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
        snprintf(more, sizeof(more),
                 "X-Forwarded-For: 1.1.1.1, %s, 10.4.4.4\r\n", garbage[i]);
        assert_client(more, "10.4.4.4");
        snprintf(more, sizeof(more), "Forwarded: for=1.1.1.1, for=%s\r\n",
                 garbage[i]);
        assert_client(more, "10.0.0.1");
    }
    assert_client("X-Forwarded-For: 1.1.1.1, 203.0.113.9, oops\r\n",
                  "10.0.0.1");
    assert_client("Forwarded: proto=https\r\n", "10.0.0.1");
}

/* A Host may hold commas and semicolons; the proxy quotes it. */
static void what_stands_in_quotes_names_nobody(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    assert_client("Forwarded: for=203.0.113.9;host=\"a,for=6.6.6.6\"\r\n",
                  "203.0.113.9");
    assert_client("Forwarded: for=203.0.113.9;host=\"a,for=6.6.6.6;b\";"
                  "proto=http\r\n",
                  "203.0.113.9");
    assert_client("Forwarded: host=\"a;for=6.6.6.6;b\";for=203.0.113.9\r\n",
                  "203.0.113.9");
    assert_client("Forwarded: for=203.0.113.9;host=\"a\\\",for=6.6.6.6;b\"\r\n",
                  "203.0.113.9");
    assert_client("Forwarded: for=203.0.113.9;host=\"a\\\\\", for=10.1.1.1\r\n",
                  "203.0.113.9");
    assert_client("X-Forwarded-For: \"6.6.6.6, 203.0.113.9\r\n",
                  "203.0.113.9"); /* where quotes mean nothing */
}

/* ... and a client's own broken quotes swallow nothing behind them. */
static void broken_quotes_hide_nobody(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    assert_client("Forwarded: for=\", for=203.0.113.9\r\n", "203.0.113.9");
    assert_client("Forwarded: for=\"\\, for=203.0.113.9;host=\"a,b\"\r\n",
                  "203.0.113.9");
    assert_client("Forwarded: \", for=203.0.113.9;host=\"x,for=6.6.6.6\"\r\n",
                  "203.0.113.9");
}

static void the_older_field_wins_when_both_are_there(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    assert_client("Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 203.0.113.9\r\n",
                  "203.0.113.9");
}

static void unix_peers_are_believed_when_named(void **state)
{
    (void)state;

    is_trusted = true;
    believe("unix");
    ask("unix", "X-Forwarded-For: 203.0.113.9\r\n");
    assert_string_equal(x->client.text, "203.0.113.9");
    believe("10.0.0.0/8");
    ask("unix", "X-Forwarded-For: 203.0.113.9\r\n");
    assert_string_equal(x->client.text, "unix:");
}

static void long_lists_end(void **state)
{
    char more[4096] = "X-Forwarded-For: 203.0.113.9";
    (void)state;

    believe("10.0.0.0/8");
    for (int i = 0; i < 200; i++)
        strcat(more, ", 10.5.5.5");
    strcat(more, "\r\n");
    assert_client(more, "10.5.5.5");
}

/* What backends are told */

static void a_strangers_fields_are_replaced(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    is_trusted = false;
    ask("198.51.100.9", "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
                        "X-Forwarded-Proto: https\r\n"
                        "X-Forwarded-Host: evil.test\r\n");
    tell(FORWARDED_BOTH);
    assert_string_equal(field("X-Forwarded-For"), "198.51.100.9");
    assert_string_equal(field("X-Forwarded-Proto"), "http");
    assert_string_equal(field("X-Forwarded-Host"), "api.test:8280");
    assert_string_equal(field("Forwarded"),
                        "for=198.51.100.9;host=\"api.test:8280\";proto=http");
    assert_int_equal(field_count, 4);
}

static void a_balancers_fields_are_kept_and_it_is_appended(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    is_trusted = true;
    ask("10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n"
                    "X-Forwarded-Proto: https\r\n"
                    "X-Forwarded-Host: shop.test\r\n"
                    "Forwarded: for=1.1.1.1\r\n");
    x->tls = false;
    tell(FORWARDED_BOTH);
    assert_string_equal(field("X-Forwarded-For"), "1.1.1.1, 2.2.2.2, 10.0.0.1");
    assert_string_equal(field("X-Forwarded-Proto"), "https");
    assert_string_equal(field("X-Forwarded-Host"), "shop.test");
    assert_string_equal(field("Forwarded"),
                        "for=1.1.1.1, for=10.0.0.1;host=\"api.test:8280\";"
                        "proto=http");
}

/* The balancer works on TCP: it names the client in a PROXY header, and the
 * fields are the client's own. */
static void behind_a_proxy_header_stands_a_stranger(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    is_trusted = server.proxy_protocol = true;
    request_from("10.0.0.1",
                 "PROXY TCP4 203.0.113.9 10.0.0.1 4000 80\r\n"
                 "GET /a HTTP/1.1\r\nHost: a\r\n"
                 "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
                 "X-Forwarded-Host: evil.test\r\nForwarded: for=6.6.6.6\r\n"
                 "\r\n");
    forwarding_client(x, trust);
    assert_string_equal(x->client.text, "203.0.113.9");
    tell(FORWARDED_BOTH);
    assert_string_equal(field("X-Forwarded-For"), "203.0.113.9");
    assert_string_equal(field("X-Forwarded-Proto"), "http");
    assert_string_equal(field("X-Forwarded-Host"), "a");
    assert_string_equal(field("Forwarded"),
                        "for=203.0.113.9;host=\"a\";proto=http");
}

static void ipv6_is_quoted_where_it_must_be(void **state)
{
    (void)state;

    believe("");
    ask("2001:db8::9", "");
    x->tls = true;
    tell(FORWARDED_BOTH);
    assert_string_equal(field("X-Forwarded-For"), "2001:db8::9");
    assert_string_equal(field("X-Forwarded-Proto"), "https");
    assert_string_equal(field("Forwarded"),
                        "for=\"[2001:db8::9]\";host=\"api.test:8280\";"
                        "proto=https");
}

static void a_unix_peer_is_unknown(void **state)
{
    (void)state;

    believe("");
    ask("unix", "");
    tell(FORWARDED_BOTH);
    assert_string_equal(field("X-Forwarded-For"), "unknown");
    assert_string_equal(field("Forwarded"),
                        "for=unknown;host=\"api.test:8280\";proto=http");
}

static void one_form_or_the_other_or_none(void **state)
{
    (void)state;

    believe("");
    ask("198.51.100.9", "");
    tell(FORWARDED_X);
    assert_int_equal(field_count, 3);
    assert_string_equal(field("Forwarded"), "none");
    tell(FORWARDED_RFC);
    assert_int_equal(field_count, 1);
    tell(FORWARDED_NONE);
    assert_int_equal(field_count, 0);
}

static void assert_uri(const char *more, const char *uri)
{
    ask("10.0.0.1", more);
    if (!str_is(forwarding_uri(x), uri))
        fail_msg("%.*s for %s", STR_ARG(forwarding_uri(x)), more);
}

static void the_uri_is_what_the_client_wrote(void **state)
{
    (void)state;

    believe("10.0.0.0/8");
    assert_uri("X-Forwarded-Proto: https\r\nX-Forwarded-Host: b.test\r\n",
               "http://api.test:8280/a"); /* nobody trusts him */
    is_trusted = true;
    assert_uri("", "http://api.test:8280/a");
    assert_uri("X-Forwarded-Proto: https\r\n", "https://api.test:8280/a");
    assert_uri("X-Forwarded-Proto: https\r\nX-Forwarded-Host: b.test\r\n",
               "https://b.test/a");
    assert_uri("X-Forwarded-Host: b.test\r\nX-Forwarded-Port: 81\r\n",
               "http://b.test:81/a");
    assert_uri("X-Forwarded-Host: b.test:8\r\nX-Forwarded-Port: 81\r\n",
               "http://b.test:8/a");
    assert_uri("X-Forwarded-Host: [::1]\r\n", "http://[::1]/a");
    assert_uri("X-Forwarded-Host: evil.test, b.test\r\n", "http://b.test/a");
    assert_uri("Forwarded: for=1.2.3.4;host=\"b.test:1\";proto=https\r\n",
               "https://b.test:1/a");
    assert_uri("Forwarded: host=evil.test, for=1.2.3.4;proto=https\r\n",
               "https://api.test:8280/a");
    /* where both are, the older ones hold, as for the address */
    assert_uri("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: b.test\r\n"
               "Forwarded: host=c.test\r\n",
               "http://b.test/a");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_stranger_is_itself_whatever_it_says),
        TEST(a_balancer_names_the_client),
        TEST(the_right_most_stranger_is_the_client),
        TEST(lines_are_one_list),
        TEST(garbage_ends_the_list),
        TEST(what_stands_in_quotes_names_nobody),
        TEST(broken_quotes_hide_nobody),
        TEST(the_older_field_wins_when_both_are_there),
        TEST(unix_peers_are_believed_when_named),
        TEST(long_lists_end),
        TEST(a_strangers_fields_are_replaced),
        TEST(a_balancers_fields_are_kept_and_it_is_appended),
        TEST(behind_a_proxy_header_stands_a_stranger),
        TEST(ipv6_is_quoted_where_it_must_be),
        TEST(a_unix_peer_is_unknown),
        TEST(one_form_or_the_other_or_none),
        TEST(the_uri_is_what_the_client_wrote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
