/* test_jwk.c - which keys are taken, and what becomes of them. */
#include "jose_fixture.h"

#include <openssl/bn.h>
#include <openssl/pem.h>

#include "jose/b64.h"

/* RFC 7638 section 3.1, with its thumbprint. */
#define RFC_7638_N                                                        \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1" \
    "RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5" \
    "n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8K" \
    "JZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQF" \
    "h6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJz" \
    "KnqDKgw"
#define RFC_7638_THUMBPRINT "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

#define P256_X "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
#define P256_Y "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED_D "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
#define SECRET_32 "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"

static enum err parse(const char *text, unsigned flags, struct jwk **out,
                      const char **why)
{
    *out = NULL;
    *why = NULL;
    return jwk_parse(parse_json(str_z(text)), flags, out, why);
}

static struct jwk *good(const char *text, unsigned flags)
{
    const char *why;
    struct jwk *k;

    if (parse(text, flags, &k, &why))
        fail_msg("%s: %s", text, why);
    return k;
}

/* Refused with this error, and a reason that holds the words. */
static void bad(const char *text, unsigned flags, enum err e, const char *words)
{
    const char *why;
    struct jwk *k;

    assert_int_equal(parse(text, flags, &k, &why), e);
    assert_null(k);
    assert_non_null(why);
    if (!strstr(why, words))
        fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void the_thumbprint_is_that_of_rfc_7638(void **state)
{
    struct jwk *k = good("{\"kty\":\"RSA\",\"n\":\"" RFC_7638_N
                         "\",\"e\":\"AQAB\",\"alg\":\"RS256\","
                         "\"kid\":\"2011-04-29\"}",
                         0);

    (void)state;
    assert_string_equal(k->thumbprint, RFC_7638_THUMBPRINT);
    assert_int_equal(k->type, JWK_RSA);
    assert_int_equal(k->bits, 2048);
    assert_int_equal(k->alg, JOSE_RS256);
    assert_int_equal(k->algs, JOSE_BIT(JOSE_RS256));
    assert_true(str_is(k->kid, "2011-04-29"));
    assert_false(k->is_private);
    jwk_free(k);
}

static void a_key_without_alg_does_what_its_kind_can(void **state)
{
    struct jwk *k =
        good("{\"kty\":\"RSA\",\"n\":\"" RFC_7638_N "\",\"e\":\"AQAB\"}", 0);

    (void)state;
    assert_int_equal(k->algs, JOSE_RSA_PKCS1 | JOSE_RSA_PSS);
    assert_null(k->kid.p);
    jwk_free(k);
    k = good("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X
             "\",\"y\":\"" P256_Y "\"}",
             0);
    assert_int_equal(k->algs, JOSE_BIT(JOSE_ES256));
    jwk_free(k);
    k = good("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"}", 0);
    assert_int_equal(k->algs, JOSE_BIT(JOSE_EDDSA));
    /* RFC 8037 appendix A.3 */
    assert_string_equal(k->thumbprint,
                        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    jwk_free(k);
    k = good("{\"kty\":\"oct\",\"k\":\"" SECRET_32 "\"}", JWK_ALLOW_SECRET);
    assert_int_equal(k->algs, JOSE_BIT(JOSE_HS256));
    jwk_free(k);
}

static void what_is_for_other_work_is_not_taken(void **state)
{
#define EC_MORE(more)                                                        \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "\",\"y\":\"" P256_Y \
    "\"," more "}"
    (void)state;
    bad(EC_MORE("\"use\":\"enc\""), 0, ERR_UNSUPPORTED, "use");
    bad(EC_MORE("\"use\":1"), 0, ERR_INVALID, "use");
    bad(EC_MORE("\"key_ops\":[\"deriveKey\"]"), 0, ERR_UNSUPPORTED, "key_ops");
    bad(EC_MORE("\"key_ops\":[]"), 0, ERR_UNSUPPORTED, "key_ops");
    bad(EC_MORE("\"key_ops\":\"verify\""), 0, ERR_INVALID, "key_ops");
    bad(EC_MORE("\"key_ops\":[1]"), 0, ERR_INVALID, "key_ops");
    bad(EC_MORE("\"alg\":\"ECDH-ES\""), 0, ERR_UNSUPPORTED, "alg");
    bad(EC_MORE("\"alg\":\"ES384\""), 0, ERR_INVALID, "alg");
    bad(EC_MORE("\"alg\":\"HS256\""), JWK_ALLOW_SECRET, ERR_INVALID, "alg");
    bad(EC_MORE("\"alg\":\"es256\""), 0, ERR_UNSUPPORTED, "alg");
    bad(EC_MORE("\"alg\":[\"ES256\"]"), 0, ERR_INVALID, "alg");
    bad(EC_MORE("\"kid\":7"), 0, ERR_INVALID, "kid");
    bad("{\"kty\":\"AKP\",\"pub\":\"AA\"}", 0, ERR_UNSUPPORTED, "kty");
    bad("{\"kty\":\"ec\"}", 0, ERR_UNSUPPORTED, "kty");
    bad("{}", 0, ERR_INVALID, "kty");
    bad("[]", 0, ERR_INVALID, "object");
    jwk_free(good(EC_MORE("\"use\":\"sig\",\"key_ops\":[\"verify\"]"), 0));
#undef EC_MORE
}

static void secrets_need_leave_and_length(void **state)
{
    (void)state;
    bad("{\"kty\":\"oct\",\"k\":\"" SECRET_32 "\"}", 0, ERR_UNSUPPORTED,
        "secret");
    bad("{\"kty\":\"oct\",\"k\":\"" SECRET_32 "\",\"alg\":\"HS384\"}",
        JWK_ALLOW_SECRET, ERR_INVALID, "as long as its hash");
    bad("{\"kty\":\"oct\",\"k\":\"AAAA\"}", JWK_ALLOW_SECRET, ERR_INVALID,
        "as long as its hash");
    bad("{\"kty\":\"oct\",\"k\":\"\"}", JWK_ALLOW_SECRET, ERR_INVALID,
        "as long as its hash");
    bad("{\"kty\":\"oct\"}", JWK_ALLOW_SECRET, ERR_INVALID, "k must be");
    bad("{\"kty\":\"oct\",\"k\":\"" SECRET_32 "\",\"alg\":\"RS256\"}",
        JWK_ALLOW_SECRET, ERR_INVALID, "hash");
}

static void private_halves_need_leave(void **state)
{
    static const char text[] =
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\",\"d\":\"" ED_D
        "\"}";
    struct jwk *k = good(text, JWK_ALLOW_PRIVATE);

    (void)state;
    assert_true(k->is_private);
    jwk_free(k);
    bad(text, 0, ERR_INVALID, "private half");
    bad("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\",\"d\":\"" ED_X
        "\"}",
        JWK_ALLOW_PRIVATE, ERR_INVALID, "d is not");
}

/* An RSA key of any numbers: bits of n, then e. */
static struct str rsa_text(int bits, bool odd, const char *e)
{
    BIGNUM *n = BN_new();
    unsigned char bytes[3000];
    struct str text;
    int len;

    assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE,
                             odd ? BN_RAND_BOTTOM_ODD : BN_RAND_BOTTOM_ANY),
                     1);
    if (!odd)
        BN_clear_bit(n, 0);
    len = BN_bn2bin(n, bytes);
    BN_free(n);
    text = b64url_encode_in(arena, str_from((char *)bytes, (size_t)len));
    return arena_printf(arena, "{\"kty\":\"RSA\",\"n\":\"%.*s\",\"e\":\"%s\"}",
                        STR_ARG(text), e);
}

static void weak_and_huge_rsa_keys_are_refused(void **state)
{
    (void)state;
    jwk_free(good(rsa_text(2048, true, "AQAB").p, 0));
    jwk_free(good(rsa_text(2048, true, "Aw").p, 0));
    jwk_free(good(rsa_text(16384, true, "AQAB").p, 0));
    bad(rsa_text(2047, true, "AQAB").p, 0, ERR_INVALID, "2048");
    bad(rsa_text(1024, true, "AQAB").p, 0, ERR_INVALID, "2048");
    bad(rsa_text(16385, true, "AQAB").p, 0, ERR_LIMIT, "16384");
    bad(rsa_text(20000, true, "AQAB").p, 0, ERR_INVALID, "16384");
    bad(rsa_text(2048, false, "AQAB").p, 0, ERR_INVALID, "odd");
    bad(rsa_text(2048, true, "AQ").p, 0, ERR_INVALID, "exponent");
    bad(rsa_text(2048, true, "Ag").p, 0, ERR_INVALID, "exponent");
    bad(rsa_text(2048, true, "AA").p, 0, ERR_INVALID, "exponent");
    bad(rsa_text(2048, true, "AQAAAAE").p, 0, ERR_INVALID, "exponent");
    bad(rsa_text(2048, true, "").p, 0, ERR_INVALID, "n and e");
    bad(rsa_text(2048, true, "AQAB=").p, 0, ERR_INVALID, "n and e");
}

static void points_must_be_on_their_curve(void **state)
{
#define EC(crv, x, y) \
    "{\"kty\":\"EC\",\"crv\":\"" crv "\",\"x\":\"" x "\",\"y\":\"" y "\"}"
    (void)state;
    jwk_free(good(EC("P-256", P256_X, P256_Y), 0));
    bad(EC("P-256", P256_Y, P256_X), 0, ERR_INVALID, "point");
    bad(EC("P-256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
           "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        0, ERR_INVALID, "point");
    bad(EC("P-384", P256_X, P256_Y), 0, ERR_INVALID, "size");
    bad(EC("P-256", "AA" P256_X, P256_Y), 0, ERR_INVALID, "size");
    bad(EC("P-256", "AQ", P256_Y), 0, ERR_INVALID, "size");
    bad(EC("secp256k1", P256_X, P256_Y), 0, ERR_UNSUPPORTED, "crv");
    bad("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED_X "\"}", 0,
        ERR_UNSUPPORTED, "crv");
    bad("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}", 0, ERR_INVALID,
        "32 bytes");
#undef EC
}

/* A key of each kind is written as JSON and read back the same. */
static void what_is_written_is_read_back(void **state)
{
    EVP_PKEY *pkeys[] = { new_rsa(2048), new_ec("P-256"), new_ec("P-384"),
                          new_ec("P-521"), new_ed25519() };

    (void)state;
    for (size_t i = 0; i < sizeof(pkeys) / sizeof(pkeys[0]); i++) {
        struct jwk *k = jwk_of(pkeys[i], STR("a \"kid\""), JOSE_NONE), *again;
        struct buf b;

        buf_init(&b, 4096);
        assert_int_equal(jwk_write(&b, k), ERR_OK);
        again = good(arena_copy(arena, buf_view(&b)).p, 0);
        assert_true(str_eq(again->kid, k->kid));
        assert_int_equal(again->algs, k->algs);
        assert_int_equal(again->bits, k->bits);
        assert_string_equal(again->thumbprint, k->thumbprint);
        assert_int_equal(EVP_PKEY_eq(again->pkey, k->pkey), 1);
        jwk_free(k);
        jwk_free(again);
        buf_done(&b);
        EVP_PKEY_free(pkeys[i]);
    }
}

static void secrets_and_small_buffers_are_not_written(void **state)
{
    struct jwk *k =
        good("{\"kty\":\"oct\",\"k\":\"" SECRET_32 "\"}", JWK_ALLOW_SECRET);
    struct buf b;

    (void)state;
    buf_init(&b, 64);
    assert_int_equal(jwk_write(&b, k), ERR_UNSUPPORTED);
    jwk_free(k);
    k = good("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"}", 0);
    assert_int_equal(jwk_write(&b, k), ERR_LIMIT);
    assert_int_equal(b.len, 0);
    jwk_free(k);
    buf_done(&b);
}

/* A certificate and its public key; nobody has the private one. */
static const char certificate_pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBfzCCASWgAwIBAgIUbAyLXHAP62HIiLAHcGchNYyeJEcwCgYIKoZIzj0EAwIw\n"
    "FDESMBAGA1UEAwwJam9zZS50ZXN0MCAXDTI2MTEyNzAwNDQyM1oYDzIxMjYxMTAz\n"
    "MDA0NDIzWjAUMRIwEAYDVQQDDAlqb3NlLnRlc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
    "PQMBBwNCAATPuKH/KrLcwQc+twO55SgVEZKmDR6GUd1dP2fjcgvAVLABj5evpqKS\n"
    "PH1gWiqOtEssa7ktxT2Ib6KGJORgrfrCo1MwUTAdBgNVHQ4EFgQUT2btWQpFgCvo\n"
    "LM0D0pU4BDucWMgwHwYDVR0jBBgwFoAUT2btWQpFgCvoLM0D0pU4BDucWMgwDwYD\n"
    "VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAn17bAfe1hQcwN8c6jY5v\n"
    "OvRlLhymf8guhFmWiELxazUCIAxK+28VEbRufYmeRHjsJM2J6Q3AQadnJxGdwhQn\n"
    "qugD\n"
    "-----END CERTIFICATE-----\n";
static const char public_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEz7ih/yqy3MEHPrcDueUoFRGSpg0e\n"
    "hlHdXT9n43ILwFSwAY+Xr6aikjx9YFoqjrRLLGu5LcU9iG+ihiTkYK36wg==\n"
    "-----END PUBLIC KEY-----\n";
#define CERTIFICATE_X5T_S256 "GUa8mnec4uvzeIy_IqS_j88QQ_jv0wdRxfPkeKDrLC4"

static void pem_certificates_and_keys_are_read(void **state)
{
    const char *why = NULL;
    struct jwk *k = NULL, *cert = NULL;

    (void)state;
    assert_int_equal(
        jwk_from_pem(str_z(certificate_pem), STR("c"), JOSE_ES256, &cert, &why),
        ERR_OK);
    assert_true(str_is(cert->x5t_s256, CERTIFICATE_X5T_S256));
    assert_int_equal(cert->x5t.len, 27);
    assert_true(str_is(cert->kid, "c"));
    assert_int_equal(
        jwk_from_pem(str_z(public_pem), STR_NULL, JOSE_NONE, &k, &why), ERR_OK);
    assert_string_equal(k->thumbprint, cert->thumbprint);
    assert_null(k->kid.p);
    assert_null(k->x5t.p);
    jwk_free(k);
    jwk_free(cert);
}

static void other_pem_is_refused(void **state)
{
    const char *why = NULL;
    struct jwk *k = NULL;

    (void)state;
    assert_int_equal(jwk_from_pem(STR_NULL, STR_NULL, 0, &k, &why),
                     ERR_INVALID);
    assert_int_equal(jwk_from_pem(STR("{}"), STR_NULL, 0, &k, &why),
                     ERR_INVALID);
    assert_non_null(strstr(why, "PUBLIC KEY"));
    assert_int_equal(jwk_from_pem(str_head(str_z(certificate_pem), 300),
                                  STR_NULL, 0, &k, &why),
                     ERR_INVALID);
    assert_int_equal(
        jwk_from_pem(str_z(public_pem), STR_NULL, JOSE_RS256, &k, &why),
        ERR_INVALID);
    assert_non_null(strstr(why, "alg"));
    assert_null(k);
}

static void keys_of_other_kinds_are_refused(void **state)
{
    EVP_PKEY *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519"),
             *k1 = new_ec("secp256k1"), *small = new_rsa(1024);
    const char *why = NULL;
    struct jwk *k = NULL;

    (void)state;
    assert_int_equal(jwk_from_pkey(x, STR_NULL, 0, &k, &why), ERR_UNSUPPORTED);
    assert_int_equal(jwk_from_pkey(k1, STR_NULL, 0, &k, &why), ERR_UNSUPPORTED);
    assert_int_equal(jwk_from_pkey(small, STR_NULL, 0, &k, &why), ERR_INVALID);
    assert_null(k);
    EVP_PKEY_free(x);
    EVP_PKEY_free(k1);
    EVP_PKEY_free(small);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_thumbprint_is_that_of_rfc_7638),
        TEST(a_key_without_alg_does_what_its_kind_can),
        TEST(what_is_for_other_work_is_not_taken),
        TEST(secrets_need_leave_and_length),
        TEST(private_halves_need_leave),
        TEST(weak_and_huge_rsa_keys_are_refused),
        TEST(points_must_be_on_their_curve),
        TEST(what_is_written_is_read_back),
        TEST(secrets_and_small_buffers_are_not_written),
        TEST(pem_certificates_and_keys_are_read),
        TEST(other_pem_is_refused),
        TEST(keys_of_other_kinds_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
