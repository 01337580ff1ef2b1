/* test_password.c - hashes of passwords, and which are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/credential/password.h"

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

static bool taken(const char *hash)
{
    enum password_form form;
    const char *why;

    return password_check_form(str_z(hash), &form, &why) == ERR_OK;
}

static void a_hash_is_of_one_password(void **state)
{
    struct str one, two;
    (void)state;

    assert_int_equal(password_hash(a, STR("secret"), &one), ERR_OK);
    assert_int_equal(password_hash(a, STR("secret"), &two), ERR_OK);
    assert_false(str_eq(one, two)); /* the salt */
    assert_true(taken(one.p));
    assert_true(password_matches(one, STR("secret")));
    assert_true(password_matches(two, STR("secret")));
    assert_false(password_matches(one, STR("secreT")));
    assert_false(password_matches(one, STR("")));
}

static void sha_forms_are_taken(void **state)
{
    (void)state;
    /* of "abc", FIPS 180 */
    static const char *const hashes[] = {
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "A9993E364706816ABA3E25717850C26C9CD0D89D",
        "@sha256:{ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61"
        "f20015ad}",
        "@sha512:{ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee6"
        "4b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94f"
        "a54ca49f}",
    };

    for (size_t i = 0; i < sizeof(hashes) / sizeof(*hashes); i++) {
        assert_true(taken(hashes[i]));
        assert_true(password_matches(str_z(hashes[i]), STR("abc")));
        assert_false(password_matches(str_z(hashes[i]), STR("abd")));
    }
}

static void other_forms_are_not(void **state)
{
    static const char *const bad[] = {
        "",
        "secret",
        "a9993e364706816aba3e25717850c26c9cd0d89",
        "@sha256:{}",
        "@sha256:ba78",
        "@sha1:{a9993e364706816aba3e25717850c26c9cd0d89d}",
        "$2b$10$abcdefghijklmnopqrstuv",
        "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$AAAA",
        "$argon2id$v=19$m=999999999,t=2,p=1$c2FsdHNhbHQ$AAAA",
        "$argon2id$v=19$m=19456,t=99,p=1$c2FsdHNhbHQ$AAAA",
        "$argon2id$v=19$m=19456,t=2,p=99$c2FsdHNhbHQ$AAAA",
        "$argon2id$v=19$m=0,t=2,p=1$c2FsdHNhbHQ$AAAA",
        "$argon2id$v=19$t=2,m=19456,p=1$c2FsdHNhbHQ$AAAA",
        "$argon2id$v=19$m=19456,t=2,p=1$",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (taken(bad[i]))
            fail_msg("%s", bad[i]);
}

static void nobody_has_a_password(void **state)
{
    (void)state;
    assert_true(taken(password_nobody().p));
    assert_false(password_matches(password_nobody(), STR("")));
    assert_false(password_matches(password_nobody(), STR("x")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hash_is_of_one_password),
        TEST(sha_forms_are_taken),
        TEST(other_forms_are_not),
        TEST(nobody_has_a_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
