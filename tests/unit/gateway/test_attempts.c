/* test_attempts.c - who fails too often has to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/attempts.h"

static struct attempts *a;

static int begin(void **state)
{
    (void)state;
    a = attempts_new();
    attempts_set_limit(a, 3, 60000);
    return 0;
}

static int end(void **state)
{
    (void)state;
    attempts_free(a);
    return 0;
}

static const uint8_t *v4(uint32_t n)
{
    static uint8_t ip[16] = { [10] = 0xff, [11] = 0xff };

    memcpy(ip + 12, &n, 4);
    return ip;
}

static void an_address_may_fail_so_often_and_no_more(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(attempts_allow(a, v4(1), 1000));
        attempts_failed(a, v4(1), 1000);
    }
    assert_false(attempts_allow(a, v4(1), 1000));
    assert_true(attempts_allow(a, v4(2), 1000));
    assert_false(attempts_allow(a, v4(1), 59999));
    assert_int_equal(attempts_wait_s(a, 59500), 1);
    assert_int_equal(attempts_wait_s(a, 1000), 60);
    assert_true(attempts_allow(a, v4(1), 60000));
}

static void hosts_of_one_ipv6_network_count_together(void **state)
{
    uint8_t one[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [15] = 1 };
    uint8_t two[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [15] = 2 };
    uint8_t other[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, [15] = 1 };
    (void)state;

    for (int i = 0; i < 3; i++)
        attempts_failed(a, one, 0);
    assert_false(attempts_allow(a, two, 0));
    assert_true(attempts_allow(a, other, 0));
}

static void no_limit_is_no_limit(void **state)
{
    (void)state;
    attempts_set_limit(a, 0, 60000);
    for (int i = 0; i < 100; i++)
        attempts_failed(a, v4(1), 0);
    assert_true(attempts_allow(a, v4(1), 0));
}

/* Newcomers take the places of those who failed less. */
static void a_flood_of_addresses_does_not_hide_the_worst(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        attempts_failed(a, v4(1), 0);
    for (uint32_t i = 2; i < 200000; i++)
        attempts_failed(a, v4(i), 0);
    assert_false(attempts_allow(a, v4(1), 0));
}

static void a_count_does_not_run_over(void **state)
{
    (void)state;
    for (int i = 0; i < 70000; i++)
        attempts_failed(a, v4(1), 0);
    assert_false(attempts_allow(a, v4(1), 0));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_address_may_fail_so_often_and_no_more),
        TEST(hosts_of_one_ipv6_network_count_together),
        TEST(no_limit_is_no_limit),
        TEST(a_flood_of_addresses_does_not_hide_the_worst),
        TEST(a_count_does_not_run_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
