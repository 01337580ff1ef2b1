/* test_passed_certificate.c - the forms in which balancers pass certificates
 * on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/credential/passed_certificate.h"

#define B "-----BEGIN CERTIFICATE-----"
#define E "-----END CERTIFICATE-----"

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

/* What is inside is not looked at here: "hello, certificate". */
static void all_forms_give_the_same_bytes(void **state)
{
    static const char *const forms[] = {
        "aGVsbG8sIGNlcnRpZmljYXRl",
        " aGVsbG8sIGNlcnRpZmljYXRl ",
        ":aGVsbG8sIGNlcnRpZmljYXRl:",
        B " aGVsbG8sIGNl cnRpZmljYXRl " E,
        B "aGVsbG8sIGNlcnRpZmljYXRl" E,
        B "\taGVsbG8sIGNl\tcnRpZmljYXRl\t" E,
        "-----BEGIN%20CERTIFICATE-----%0AaGVsbG8sIGNl%0AcnRpZmljYXRl%0A"
        "-----END%20CERTIFICATE-----%0A",
        "-----BEGIN%20CERTIFICATE-----%0d%0aaGVsbG8sIGNl%0d%0acnRpZmljYXRl"
        "%0D%0A-----END%20CERTIFICATE-----",
        "-----BEGIN+CERTIFICATE-----%0AaGVsbG8sIGNlcnRpZmljYXRl%0A"
        "-----END+CERTIFICATE-----%0A",
        "%2D%2D%2D%2D%2DBEGIN%20CERTIFICATE-----aGVsbG8sIGNlcnRpZmljYXRl" E,
        "aGVsbG8sIGNlcnRpZmljYX%52l",
        /* base64 of the PEM text */
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCmFHVnNiRzhzSUdObGNuUnBabWxqWVhS"
        "bAotLS0tLUVORCBDRVJUSUZJQ0FURS0tLS0tCg==",
    };
    struct str der;
    (void)state;

    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        assert_int_equal(passed_certificate_der(a, str_z(forms[i]), &der),
                         ERR_OK);
        assert_true(str_is(der, "hello, certificate"));
    }
}

static void other_forms_are_refused(void **state)
{
    static const char *const forms[] = {
        "",
        ":",
        "::",
        ":aGVsbG8:",
        "aGVsbG8",
        "aGVs bG8s",
        "aGVsbG8%",
        "aGVsbG8%3",
        "aGVsbG8%3x",
        B,
        E,
        B E,
        B "aGVs",
        "aGVs" E,
        B "aGVs" E "x",
        "x" B "aGVs" E,
        B "aGVs" E B "aGVs" E,
        B "aG=s" E,
        "-----BEGIN PRIVATE KEY-----aGVs-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----END CERTIFICATE-----",
    };
    struct str der;
    (void)state;

    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
        assert_int_equal(passed_certificate_der(a, str_z(forms[i]), &der),
                         ERR_INVALID);
}

static void a_chain_is_a_list_of_byte_sequences(void **state)
{
    struct str more[PASSED_CHAIN_MAX];
    size_t n = 99;
    (void)state;

    assert_int_equal(
        passed_certificate_chain(a, STR(":aGVs:, :bG8s: ,:aGVs:"), more, &n),
        ERR_OK);
    assert_int_equal(n, 3);
    assert_true(str_is(more[0], "hel"));
    assert_true(str_is(more[1], "lo,"));
    assert_int_equal(passed_certificate_chain(a, STR(""), more, &n),
                     ERR_INVALID);
    assert_int_equal(passed_certificate_chain(a, STR(":aGVs:,"), more, &n),
                     ERR_INVALID);
    assert_int_equal(passed_certificate_chain(a, STR("aGVs"), more, &n),
                     ERR_INVALID);
    assert_int_equal(
        passed_certificate_chain(
            a,
            STR(":aGVs:,:aGVs:,:aGVs:,:aGVs:,:aGVs:,:aGVs:,:aGVs:,:aGVs:,"
                ":aGVs:"),
            more, &n),
        ERR_INVALID);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_forms_give_the_same_bytes),
        TEST(other_forms_are_refused),
        TEST(a_chain_is_a_list_of_byte_sequences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
