/* test_trust.c - sets of addresses and ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/trust.h"
#include "net/dns.h"

static struct arena *arena;
static struct trust *trust;

static int begin(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void set(struct str all)
{
    struct str items[16], bad;
    size_t n = 0;

    while (all.p)
        items[n++] = str_trim(str_cut(&all, ' '));
    assert_int_equal(trust_new(arena, items, n, &trust, &bad), ERR_OK);
}

static bool has(const char *ip)
{
    struct address a;
    const struct sockaddr *sa = (const struct sockaddr *)&a.sa;

    assert_int_equal(address_numeric(str_z(ip), 80, &a), ERR_OK);
    return trust_peer(trust, sa);
}

static void nobody_is_trusted_unless_named(void **state)
{
    struct sockaddr unix_peer = { .sa_family = AF_UNIX };
    struct str bad;
    (void)state;

    assert_int_equal(trust_new(arena, NULL, 0, &trust, &bad), ERR_OK);
    assert_false(has("127.0.0.1"));
    assert_false(has("::1"));
    assert_false(has("0.0.0.0"));
    assert_false(trust_peer(trust, &unix_peer));
    assert_false(trust_has_unix(trust));
}

static void one_address_is_itself(void **state)
{
    (void)state;

    set(STR("192.0.2.7 2001:db8::7"));
    assert_true(has("192.0.2.7"));
    assert_false(has("192.0.2.6"));
    assert_false(has("192.0.2.8"));
    assert_true(has("2001:db8::7"));
    assert_false(has("2001:db8::8"));
    assert_false(has("::192.0.2.7")); /* not the mapped form */
}

static void a_range_has_edges(void **state)
{
    (void)state;

    set(STR("10.0.0.0/8 192.0.2.64/26 198.51.100.7/32 203.0.113.0/31"));
    assert_true(has("10.0.0.0") && has("10.255.255.255"));
    assert_false(has("9.255.255.255") || has("11.0.0.0"));
    assert_true(has("192.0.2.64") && has("192.0.2.127"));
    assert_false(has("192.0.2.63") || has("192.0.2.128"));
    assert_true(has("198.51.100.7"));
    assert_false(has("198.51.100.6"));
    assert_true(has("203.0.113.0") && has("203.0.113.1"));
    assert_false(has("203.0.113.2"));
}

static void a_range_has_edges_in_ipv6_too(void **state)
{
    (void)state;

    set(STR("2001:db8::/32 fd00::/7 2001:db9::8000/113"));
    assert_true(has("2001:db8::") &&
                has("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert_false(has("2001:db7:ffff::") || has("2001:dba::"));
    assert_true(has("fc00::1") && has("fdff::1"));
    assert_false(has("fe00::1") || has("fb00::1"));
    assert_true(has("2001:db9::8000") && has("2001:db9::ffff"));
    assert_false(has("2001:db9::7fff") || has("2001:db9::1:8000"));
    assert_false(has("10.0.0.1"));
}

static void bits_behind_the_prefix_do_not_matter(void **state)
{
    (void)state;

    set(STR("10.1.2.3/8"));
    assert_true(has("10.200.0.1"));
    assert_false(has("11.1.2.3"));
}

static void ipv4_is_the_same_when_mapped(void **state)
{
    (void)state;

    set(STR("10.0.0.0/8"));
    assert_true(has("::ffff:10.1.1.1"));
    assert_false(has("::ffff:11.1.1.1"));
    set(STR("::ffff:10.0.0.0/104"));
    assert_true(has("10.1.1.1"));
    assert_false(has("11.1.1.1"));
}

static void everybody_of_a_family_is_that_family(void **state)
{
    (void)state;

    set(STR("0.0.0.0/0"));
    assert_true(has("0.0.0.0") && has("255.255.255.255"));
    assert_false(has("::1"));
    set(STR("::/0"));
    assert_true(has("::1") && has("ffff::"));
}

static void unix_peers_are_named_as_such(void **state)
{
    struct sockaddr unix_peer = { .sa_family = AF_UNIX };
    (void)state;

    set(STR("unix"));
    assert_true(trust_has_unix(trust));
    assert_true(trust_peer(trust, &unix_peer));
    assert_false(has("127.0.0.1") || has("::"));
    set(STR("0.0.0.0/0 ::/0"));
    assert_false(trust_peer(trust, &unix_peer));
}

static void what_is_no_range_is_named(void **state)
{
    static const char *const all[] = {
        "",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "10.0.0/8",
        "::1/129",
        "example.com",
        "10.0.0.0/ 8",
        "Unix",
        "10.0.0.0/0x8",
        "256.0.0.1",
        "2001:db8:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:1",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct str items[2] = { STR("10.0.0.0/8"), str_z(all[i]) };
        struct str bad = STR_NULL;

        assert_int_equal(trust_new(arena, items, 2, &trust, &bad), ERR_INVALID);
        assert_ptr_equal(bad.p, all[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(nobody_is_trusted_unless_named),
        TEST(one_address_is_itself),
        TEST(a_range_has_edges),
        TEST(a_range_has_edges_in_ipv6_too),
        TEST(bits_behind_the_prefix_do_not_matter),
        TEST(ipv4_is_the_same_when_mapped),
        TEST(everybody_of_a_family_is_that_family),
        TEST(unix_peers_are_named_as_such),
        TEST(what_is_no_range_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
