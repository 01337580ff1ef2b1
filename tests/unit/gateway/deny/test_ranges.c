/* test_ranges.c - which of many ranges hold an address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "base/clock.h"
#include "gateway/deny/ranges.h"
#include "traffic/tier_conditions.h"

static struct arena *a;

static int begin(void **state)
{
    (void)state;
    a = arena_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static void ip_of(const char *text, uint8_t out[16])
{
    uint8_t to[16];

    assert_int_equal(condition_ip(str_z(text), out, to), ERR_OK);
}

static struct ranges *of(const char *const *texts)
{
    struct ranges *r = ranges_new(a);

    for (uint32_t i = 0; texts[i]; i++)
        assert_int_equal(ranges_add(r, str_z(texts[i]), i), ERR_OK);
    ranges_seal(r);
    return r;
}

static bool one_has(const char *range, const char *address)
{
    const char *const texts[] = { range, NULL };
    uint8_t ip[16];

    ip_of(address, ip);
    return ranges_has(of(texts), ip);
}

static void an_empty_set_holds_nothing(void **state)
{
    const char *const none[] = { NULL };
    uint8_t ip[16] = { 0 };
    (void)state;

    assert_true(ranges_empty(of(none)));
    assert_false(ranges_has(of(none), ip));
}

/* For every length of a prefix: its first and last address are in it, the ones
 * beside it are not. */
static void step(uint8_t ip[16], int by)
{
    for (int i = 15; i >= 0; i--) {
        unsigned n = (unsigned)(ip[i] + by) & 0xff;
        bool carries = by > 0 ? n == 0 : ip[i] == 0;

        ip[i] = (uint8_t)n;
        if (!carries)
            break;
    }
}

static void edges_of(const char *base, int bits)
{
    uint8_t from[16], to[16], before[16], after[16];
    char text[80];
    struct ranges *r = ranges_new(a);
    static const uint8_t lowest[16];
    uint8_t highest[16];

    memset(highest, 0xff, 16);
    snprintf(text, sizeof(text), "%s/%d", base, bits);
    assert_int_equal(ranges_add(r, str_z(text), 1), ERR_OK);
    ranges_seal(r);
    assert_int_equal(condition_ip(str_z(text), from, to), ERR_OK);
    memcpy(before, from, 16);
    step(before, -1);
    memcpy(after, to, 16);
    step(after, 1);
    assert_true(ranges_has(r, from));
    assert_true(ranges_has(r, to));
    if (memcmp(from, lowest, 16) != 0)
        assert_false(ranges_has(r, before));
    if (memcmp(to, highest, 16) != 0)
        assert_false(ranges_has(r, after));
}

static void a_network_ends_where_its_length_says(void **state)
{
    (void)state;
    for (int bits = 0; bits <= 32; bits++) {
        edges_of("203.0.113.77", bits);
        edges_of("0.0.0.0", bits);
        edges_of("255.255.255.255", bits);
    }
    for (int bits = 1; bits <= 128; bits++) {
        edges_of("2001:db8:aaaa:5555::1", bits);
        edges_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", bits);
    }
}

static void every_address_of_a_small_range_is_in_it_and_no_other(void **state)
{
    (void)state;
    /* All pairs of ends among 64 addresses around a byte's edge. */
    for (unsigned from = 0; from < 64; from++) {
        for (unsigned to = from; to < 64; to++) {
            struct ranges *r = ranges_new(a);
            char text[64];

            snprintf(text, sizeof(text), "10.0.%u.%u-10.0.%u.%u",
                     (224 + from) / 256, (224 + from) % 256, (224 + to) / 256,
                     (224 + to) % 256);
            assert_int_equal(ranges_add(r, str_z(text), 1), ERR_OK);
            ranges_seal(r);
            for (unsigned i = 0; i < 64; i++) {
                uint8_t ip[16] = { [10] = 0xff,
                                   [11] = 0xff,
                                   [12] = 10,
                                   [14] = (uint8_t)((224 + i) / 256),
                                   [15] = (uint8_t)((224 + i) % 256) };

                assert_int_equal(ranges_has(r, ip), i >= from && i <= to);
            }
        }
    }
}

static void all_of_one_family_are_none_of_the_other(void **state)
{
    (void)state;
    assert_true(one_has("0.0.0.0/0", "255.255.255.255"));
    assert_true(one_has("0.0.0.0/0", "0.0.0.0"));
    assert_false(one_has("0.0.0.0/0", "::1"));
    assert_false(one_has("0.0.0.0/0", "2001:db8::1"));
    assert_true(one_has("::/0", "::1"));
    assert_true(one_has("::/0", "2001:db8::1"));
    assert_true(one_has("::/0", "::"));
    assert_true(one_has("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert_false(one_has("::/0", "0.0.0.0"));
    assert_false(one_has("::/0", "203.0.113.1"));
    assert_false(one_has("::/0", "255.255.255.255"));
    assert_true(one_has("::ffff:10.0.0.0/104", "10.1.2.3"));
    assert_true(one_has("10.1.2.3", "::ffff:10.1.2.3"));
    /* That begins among the mapped ones, and ends behind them. */
    assert_false(one_has("::ffff:10.0.0.0-::1:0:0:0", "10.0.0.1"));
    assert_true(one_has("::ffff:10.0.0.0-::1:0:0:0", "::1:0:0:0"));
}

static void what_is_no_range_is_refused(void **state)
{
    static const char *const bad[] = {
        "",           "x",         "10.0.0.0/33",       "::/129",
        "10.0.0.256", "10.0.0/8",  "10.0.0.1-",         "-10.0.0.1",
        "2-1",        "10.0.0.0/", "10.0.0.9-10.0.0.1", "10.0.0.0/8/8",
        "[::1]",      "::1%eth0",  "10.0.0.0/-1",       "010.0.0.1",
    };
    struct ranges *r = ranges_new(a);
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(ranges_add(r, str_z(bad[i]), 1), ERR_INVALID);
    ranges_seal(r);
    assert_true(ranges_empty(r));
}

static void all_that_hold_an_address_are_named_the_smallest_first(void **state)
{
    static const char *const texts[] = {
        "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "10.2.0.0/16",
        "0.0.0.0/0",  "10.1.2.3",    "::/0",     NULL,
    };
    static const uint32_t wanted[] = { 5, 2, 1, 0, 4 };
    struct ranges *r = of(texts);
    uint32_t at = RANGES_START, number, n = 0;
    uint8_t ip[16];
    (void)state;

    ip_of("10.1.2.3", ip);
    while (ranges_next(r, ip, &at, &number)) {
        assert_true(n < 5);
        assert_int_equal(number, wanted[n++]);
    }
    assert_int_equal(n, 5);
}

/* Against the obvious way, for ranges that lie across each other. */
static void it_agrees_with_looking_at_each(void **state)
{
    enum { RANGES = 300, LOOKS = 3000 };
    static uint8_t from[RANGES][16], to[RANGES][16];
    struct ranges *r = ranges_new(a);
    struct rng rng = { 7 };
    (void)state;

    for (uint32_t i = 0; i < RANGES; i++) {
        uint64_t first = rng_below(&rng, 65536), more = rng_below(&rng, 3000);
        uint64_t last = first + more > 65535 ? 65535 : first + more;
        char text[64];

        snprintf(text, sizeof(text), "10.9.%u.%u-10.9.%u.%u",
                 (unsigned)(first >> 8), (unsigned)(first & 255),
                 (unsigned)(last >> 8), (unsigned)(last & 255));
        assert_int_equal(ranges_add(r, str_z(text), i), ERR_OK);
        assert_int_equal(condition_ip(str_z(text), from[i], to[i]), ERR_OK);
    }
    ranges_seal(r);
    for (int k = 0; k < LOOKS; k++) {
        uint64_t n = rng_below(&rng, 65536);
        uint8_t ip[16] = { [10] = 0xff,
                           [11] = 0xff,
                           [12] = 10,
                           [13] = 9,
                           [14] = (uint8_t)(n >> 8),
                           [15] = (uint8_t)n };
        bool held[RANGES] = { false };
        uint32_t at = RANGES_START, number;

        while (ranges_next(r, ip, &at, &number)) {
            assert_false(held[number]); /* once */
            held[number] = true;
        }
        for (int i = 0; i < RANGES; i++)
            assert_int_equal(held[i], memcmp(ip, from[i], 16) >= 0 &&
                                          memcmp(ip, to[i], 16) <= 0);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_set_holds_nothing),
        TEST(a_network_ends_where_its_length_says),
        TEST(every_address_of_a_small_range_is_in_it_and_no_other),
        TEST(all_of_one_family_are_none_of_the_other),
        TEST(what_is_no_range_is_refused),
        TEST(all_that_hold_an_address_are_named_the_smallest_first),
        TEST(it_agrees_with_looking_at_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
