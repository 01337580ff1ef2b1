/* test_tls_passed.c - certificates that came in another way than by TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/certificate.h"
#include "net/tls.h"
#include "net/tls_certs.h"

static struct arena *a;
static struct problems ps;
static struct made authority, between, leaf, server, stranger;
static struct certificate_store *store;
static uint64_t now_s;

static struct str der_of(struct made m)
{
    unsigned char *p = NULL;
    int n = i2d_X509(m.x, &p);
    struct str out = arena_copy(a, str_from((char *)p, (size_t)n));

    OPENSSL_free(p);
    return out;
}

static int begin(void **state)
{
    (void)state;
    a = arena_new();
    problems_init(&ps, a);
    temp_folder_make(folder);
    now_s = (uint64_t)time(NULL);
    authority = make((struct wish) { .name = "CA", .ca = true });
    between = make(
        (struct wish) { .name = "between", .issuer = &authority, .ca = true });
    leaf = make((struct wish) { .name = "leaf", .issuer = &authority });
    server = make((struct wish) { .name = "below", .issuer = &between });
    stranger = make((struct wish) { .name = "stranger" });
    save("ca", authority, NULL);
    assert_int_equal(
        certificate_store_new(str_z(path_of("ca.pem")), STR("t"), &ps, &store),
        ERR_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    certificate_store_free(store);
    unmake(authority);
    unmake(between);
    unmake(leaf);
    unmake(server);
    unmake(stranger);
    temp_folder_remove(folder);
    arena_free(a);
    return 0;
}

static struct certificate look(struct made m, uint64_t at_s)
{
    struct certificate c;

    assert_int_equal(certificate_read(a, der_of(m), NULL, 0, store, at_s, &c),
                     ERR_OK);
    return c;
}

static void one_of_an_authority_is_chained(void **state)
{
    struct certificate c = look(leaf, now_s);
    unsigned char sha256[32];
    (void)state;

    assert_true(c.chained);
    assert_true(str_is(c.subject, "CN=leaf"));
    assert_true(c.from_s < (int64_t)now_s && c.until_s > (int64_t)now_s);
    X509_digest(leaf.x, EVP_sha256(), sha256, NULL);
    assert_memory_equal(c.sha256, sha256, 32);
}

static void one_of_nobody_is_not(void **state)
{
    struct certificate c = look(stranger, now_s);
    (void)state;

    assert_false(c.chained);
    assert_int_equal(
        certificate_read(a, der_of(leaf), NULL, 0, NULL, now_s, &c), ERR_OK);
    assert_false(c.chained);
}

static void outside_of_its_dates_it_is_not(void **state)
{
    (void)state;

    assert_false(look(leaf, now_s + 91 * 86400).chained);
    assert_false(look(leaf, now_s - 3 * 86400).chained);
}

static void those_between_are_needed_and_not_believed(void **state)
{
    struct str more[9];
    struct certificate c;
    (void)state;

    assert_false(look(server, now_s).chained);
    for (size_t i = 0; i < 9; i++)
        more[i] = der_of(between);
    assert_int_equal(
        certificate_read(a, der_of(server), more, 1, store, now_s, &c), ERR_OK);
    assert_true(c.chained);
    /* a self-made authority among them makes nobody trusted */
    more[0] = der_of(stranger);
    assert_int_equal(
        certificate_read(a, der_of(stranger), more, 1, store, now_s, &c),
        ERR_OK);
    assert_false(c.chained);
    assert_int_equal(
        certificate_read(a, der_of(server), more, 9, store, now_s, &c),
        ERR_INVALID);
    more[0] = STR("x");
    assert_int_equal(
        certificate_read(a, der_of(server), more, 1, store, now_s, &c),
        ERR_INVALID);
}

static void bytes_too_many_or_too_few_are_no_certificate(void **state)
{
    struct str der = der_of(leaf);
    char *bytes = arena_raw(a, der.len + 1);
    struct certificate c;
    (void)state;

    memcpy(bytes, der.p, der.len);
    bytes[der.len] = 0;
    assert_int_equal(certificate_read(a, str_from(bytes, der.len + 1), NULL, 0,
                                      store, now_s, &c),
                     ERR_INVALID);
    for (size_t n = 0; n < der.len; n++)
        assert_int_equal(
            certificate_read(a, str_head(der, n), NULL, 0, store, now_s, &c),
            ERR_INVALID);
    assert_int_equal(certificate_read(a, STR(""), NULL, 0, store, now_s, &c),
                     ERR_INVALID);
}

/* Nothing signs what was changed. */
static void a_changed_byte_is_not_chained(void **state)
{
    struct str der = der_of(leaf);
    char *bytes = arena_raw(a, der.len);
    struct certificate c;
    (void)state;

    memcpy(bytes, der.p, der.len);
    for (size_t i = 0; i < der.len; i++) {
        bytes[i] ^= 1;
        if (!certificate_read(a, str_from(bytes, der.len), NULL, 0, store,
                              now_s, &c))
            assert_false(c.chained);
        bytes[i] ^= 1;
    }
}

static void a_bundle_that_is_none_is_named(void **state)
{
    struct certificate_store *none;
    (void)state;

    assert_int_not_equal(
        certificate_store_new(STR("/nowhere.pem"), STR("t"), &ps, &none),
        ERR_OK);
    assert_non_null(strstr(ps.first->text.p, "/nowhere.pem"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_an_authority_is_chained),
        cmocka_unit_test(one_of_nobody_is_not),
        cmocka_unit_test(outside_of_its_dates_it_is_not),
        cmocka_unit_test(those_between_are_needed_and_not_believed),
        cmocka_unit_test(bytes_too_many_or_too_few_are_no_certificate),
        cmocka_unit_test(a_changed_byte_is_not_chained),
        cmocka_unit_test(a_bundle_that_is_none_is_named),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
