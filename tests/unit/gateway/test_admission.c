/* test_admission.c - how many connections each address may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>

#include "gateway/gateway_internal.h"

static struct admission *admission;

static int begin(void **state)
{
    (void)state;
    admission = admission_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    admission_free(admission);
    return 0;
}

static const uint8_t *ip_of(uint32_t n)
{
    static uint8_t ip[16];

    memset(ip, 0, sizeof(ip));
    ip[0] = 0x20;
    memcpy(ip + 12, &n, sizeof(n));
    return ip;
}

static bool enter(uint32_t n)
{
    return admission_enter(admission, ip_of(n));
}

static void leave(uint32_t n)
{
    admission_leave(admission, ip_of(n));
}

static void an_address_may_have_so_many(void **state)
{
    (void)state;

    admission_set_limit(admission, 3);
    assert_true(enter(1) && enter(1) && enter(1));
    assert_false(enter(1));
    assert_true(enter(2)); /* others are others */
    leave(1);
    assert_true(enter(1));
    assert_false(enter(1));
}

static void a_refused_one_is_not_counted(void **state)
{
    (void)state;

    admission_set_limit(admission, 1);
    assert_true(enter(1));
    for (int i = 0; i < 100; i++)
        assert_false(enter(1));
    leave(1);
    assert_true(enter(1));
}

static void no_limit_counts_all_the_same(void **state)
{
    (void)state;

    for (int i = 0; i < 1000; i++)
        assert_true(enter(7));
    admission_set_limit(admission, 999);
    assert_false(enter(7));
    leave(7);
    assert_false(enter(7)); /* still as many as allowed */
    leave(7);
    assert_true(enter(7));
}

/* The counts of thousands of addresses, which come and go in another order,
 * are compared with a plain array. */
static void thousands_of_addresses_come_and_go(void **state)
{
    enum { ADDRESSES = 20000 };
    static uint8_t model[ADDRESSES];
    uint64_t x = 88172645463325252ull;
    (void)state;

    memset(model, 0, sizeof(model));
    admission_set_limit(admission, 3);
    for (int i = 0; i < 400000; i++) {
        uint32_t n;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        n = (uint32_t)(x >> 8) % ADDRESSES;
        /* Mostly coming in the first half, mostly going in the second. */
        if ((x & 7) < (i < 200000 ? 5 : 3)) {
            assert_int_equal(enter(n), model[n] < 3);
            model[n] = (uint8_t)(model[n] < 3 ? model[n] + 1 : 3);
        } else if (model[n]) {
            leave(n);
            model[n]--;
        }
    }
    for (uint32_t n = 0; n < ADDRESSES; n++) {
        while (model[n]) {
            leave(n);
            model[n]--;
        }
        for (int i = 0; i < 3; i++)
            assert_true(enter(n));
        assert_false(enter(n));
        for (int i = 0; i < 3; i++)
            leave(n);
    }
}

static void what_has_gone_takes_no_memory(void **state)
{
    struct mallinfo2 before = mallinfo2(), after;
    (void)state;

    for (uint32_t n = 0; n < 200000; n++)
        assert_true(enter(n));
    for (uint32_t n = 0; n < 200000; n++)
        leave(n);
    after = mallinfo2(); /* sanitizers have their own memory: all zero */
    assert_true(after.uordblks <= before.uordblks + 64 * 1024);
}

static void *come_and_go(void *arg)
{
    uint8_t ip[16] = { 0 };

    memcpy(ip, arg, 4);
    for (int i = 0; i < 20000; i++) {
        ip[8] = (uint8_t)i;
        must(admission_enter(admission, ip));
        admission_leave(admission, ip);
    }
    return NULL;
}

static void threads_may_come_and_go_together(void **state)
{
    pthread_t threads[4];
    uint32_t firsts[4] = { 0, 0, 1, 1 }; /* two and two alike */
    (void)state;

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, come_and_go, &firsts[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    admission_set_limit(admission, 1);
    for (uint32_t n = 0; n < 300; n++)
        assert_true(enter(n)); /* nothing was left behind */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(an_address_may_have_so_many),
        TEST(a_refused_one_is_not_counted),
        TEST(no_limit_counts_all_the_same),
        TEST(thousands_of_addresses_come_and_go),
        TEST(what_has_gone_takes_no_memory),
        TEST(threads_may_come_and_go_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
