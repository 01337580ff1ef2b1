/* test_dpop.c - proofs of possession: the example of RFC 9449, and what is
 * wrong with others.
 */
#include "jose_fixture.h"

#include "jose/dpop.h"

#define NOW 1562262620u

#define EXAMPLE                                                            \
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwi" \
    "eCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5" \
    "IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNy" \
    "diI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCI" \
    "sImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTY" \
    "yMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiO" \
    "SsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
#define EXAMPLE_KEY "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
#define EXAMPLE_TOKEN "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
#define EXAMPLE_ATH "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"

#define URI "https://api.test/pets"
#define GOOD \
    "\"jti\":\"1\",\"htm\":\"GET\",\"htu\":\"" URI "\",\"iat\":1562262620"

static EVP_PKEY *pkey;
static struct dpop dpop;
static const char *what;

static int make_key(void **state)
{
    (void)state;
    pkey = new_ec("P-256");
    return 0;
}

static int drop_key(void **state)
{
    (void)state;
    EVP_PKEY_free(pkey);
    return 0;
}

static struct dpop_rules rules(void)
{
    return (struct dpop_rules) {
        .method = STR("GET"), .uri = STR(URI), .max_age_s = 60, .skew_s = 5
    };
}

/* jwk: JSON text, or NULL for the key that signs. */
static struct str prove_as(const char *typ, const char *jwk, EVP_PKEY *key,
                           enum jose_alg alg, const char *claims)
{
    struct jwk *k = jwk_of(key, STR_NULL, JOSE_NONE);
    struct str header, token;
    struct buf b;

    buf_init(&b, 16384);
    if (!jwk) {
        assert_int_equal(jwk_write(&b, k), ERR_OK);
        jwk = arena_copy(arena, buf_view(&b)).p;
    }
    header = arena_printf(arena, "{\"typ\":\"%s\",\"alg\":\"%s\",\"jwk\":%s}",
                          typ, jose_alg_name(alg), jwk);
    b.len = 0;
    assert_int_equal(
        jws_sign(key, alg, header, arena_printf(arena, "{%s}", claims), &b),
        ERR_OK);
    token = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    jwk_free(k);
    return token;
}

static struct str prove(const char *claims)
{
    return prove_as("dpop+jwt", NULL, pkey, JOSE_ES256, claims);
}

static enum jwt_fault verify(struct str proof, const struct dpop_rules *r)
{
    return dpop_verify(arena, proof, r, NOW, &dpop, &what);
}

static enum jwt_fault verify_claims(const char *claims)
{
    struct dpop_rules r = rules();

    return verify(prove(claims), &r);
}

static void the_example_of_rfc_9449_verifies(void **state)
{
    struct dpop_rules r = { .method = STR("POST"),
                            .uri = STR("https://server.example.com/token"),
                            .thumbprint = STR(EXAMPLE_KEY),
                            .max_age_s = 60 };

    (void)state;
    assert_int_equal(verify(STR(EXAMPLE), &r), JWT_OK);
    assert_true(str_is(dpop.jti, "-BwC3ESc6acc2lTc"));
    assert_string_equal(dpop.thumbprint, EXAMPLE_KEY);
    assert_true(dpop.iat.ms == 1562262616000);
    assert_null(dpop.nonce.p);
    r.thumbprint = STR(EXAMPLE_ATH);
    assert_int_equal(verify(STR(EXAMPLE), &r), JWT_WRONG_KEY);
}

static void the_access_token_must_be_the_one_proved(void **state)
{
    struct dpop_rules r = rules();

    (void)state;
    r.access_token = STR(EXAMPLE_TOKEN);
    assert_int_equal(verify(prove(GOOD ",\"ath\":\"" EXAMPLE_ATH "\""), &r),
                     JWT_OK);
    assert_int_equal(verify(prove(GOOD), &r), JWT_MISSING_CLAIM);
    assert_string_equal(what, "ath");
    assert_int_equal(verify(prove(GOOD ",\"ath\":\"\""), &r), JWT_WRONG_TOKEN);
    r.access_token = STR("another");
    assert_int_equal(verify(prove(GOOD ",\"ath\":\"" EXAMPLE_ATH "\""), &r),
                     JWT_WRONG_TOKEN);
}

static void claims_must_be_there_and_fit(void **state)
{
#define PROOF(jti, htm, htu, iat) \
    "\"jti\":" jti ",\"htm\":" htm ",\"htu\":" htu ",\"iat\":" iat
    (void)state;
    assert_int_equal(verify_claims(GOOD), JWT_OK);
    assert_int_equal(
        verify_claims("\"jti\":\"1\",\"htm\":\"GET\",\"htu\":\"" URI "\""),
        JWT_MISSING_CLAIM);
    assert_string_equal(what, "iat");
    assert_int_equal(
        verify_claims(PROOF("\"\"", "\"GET\"", "\"" URI "\"", "1562262620")),
        JWT_MISSING_CLAIM);
    assert_string_equal(what, "jti");
    assert_int_equal(
        verify_claims(PROOF("\"1\"", "\"get\"", "\"" URI "\"", "1562262620")),
        JWT_WRONG_METHOD);
    assert_int_equal(
        verify_claims(PROOF("\"1\"", "7", "\"" URI "\"", "1562262620")),
        JWT_MALFORMED);
    assert_int_equal(
        verify_claims(PROOF("\"1\"", "\"GET\"", "[]", "1562262620")),
        JWT_MALFORMED);
    assert_int_equal(
        verify_claims(PROOF("\"1\"", "\"GET\"", "\"" URI "\"", "1562262555")),
        JWT_OK);
    assert_int_equal(
        verify_claims(PROOF("\"1\"", "\"GET\"", "\"" URI "\"", "1562262554")),
        JWT_EXPIRED);
    assert_int_equal(
        verify_claims(PROOF("\"1\"", "\"GET\"", "\"" URI "\"", "1562262625")),
        JWT_OK);
    assert_int_equal(
        verify_claims(PROOF("\"1\"", "\"GET\"", "\"" URI "\"", "1562262626")),
        JWT_NOT_YET);
#undef PROOF
}

static enum jwt_fault verify_htu(const char *htu, const char *uri)
{
    struct dpop_rules r = rules();

    r.uri = str_z(uri);
    return verify(prove(arena_printf(arena,
                                     "\"jti\":\"1\",\"htm\":\"GET\",\"htu\":"
                                     "\"%s\",\"iat\":1562262620",
                                     htu)
                            .p),
                  &r);
}

static void uris_are_compared_in_their_normal_form(void **state)
{
    (void)state;
    assert_int_equal(verify_htu("https://a.test/x", "https://a.test/x?q=1"),
                     JWT_OK);
    assert_int_equal(verify_htu("HTTPS://A.TEST:443/%78#f", "https://a.test/x"),
                     JWT_OK);
    assert_int_equal(verify_htu("https://a.test", "https://a.test/"), JWT_OK);
    assert_int_equal(verify_htu("https://a.test/y/../x", "https://a.test/x"),
                     JWT_OK);
    assert_int_equal(verify_htu("http://a.test/x", "https://a.test/x"),
                     JWT_WRONG_URI);
    assert_int_equal(verify_htu("https://a.test:444/x", "https://a.test/x"),
                     JWT_WRONG_URI);
    assert_int_equal(verify_htu("https://b.test/x", "https://a.test/x"),
                     JWT_WRONG_URI);
    assert_int_equal(verify_htu("https://a.test/X", "https://a.test/x"),
                     JWT_WRONG_URI);
    assert_int_equal(verify_htu("https://u@a.test/x", "https://a.test/x"),
                     JWT_WRONG_URI);
    assert_int_equal(verify_htu("/x", "https://a.test/x"), JWT_WRONG_URI);
    assert_int_equal(verify_htu("", "https://a.test/x"), JWT_WRONG_URI);
}

static void nonces_must_be_ours(void **state)
{
    struct dpop_rules r = rules();

    (void)state;
    r.nonce = STR("n1");
    assert_int_equal(verify(prove(GOOD ",\"nonce\":\"n1\""), &r), JWT_OK);
    assert_true(str_is(dpop.nonce, "n1"));
    assert_int_equal(verify(prove(GOOD ",\"nonce\":\"n2\""), &r),
                     JWT_MISSING_CLAIM);
    assert_string_equal(what, "nonce");
    assert_int_equal(verify(prove(GOOD), &r), JWT_MISSING_CLAIM);
}

static void other_tokens_are_no_proofs(void **state)
{
    struct dpop_rules r = rules();

    (void)state;
    assert_int_equal(verify(prove_as("JWT", NULL, pkey, JOSE_ES256, GOOD), &r),
                     JWT_WRONG_TYPE);
    assert_int_equal(
        verify(prove_as("application/DPoP+JWT", NULL, pkey, JOSE_ES256, GOOD),
               &r),
        JWT_OK);
    assert_int_equal(verify(STR("a.b.c"), &r), JWT_MALFORMED);
    r.algs = JOSE_BIT(JOSE_RS256) | JOSE_SYMMETRIC;
    assert_int_equal(verify(prove(GOOD), &r), JWT_ALG_REFUSED);
}

static void keys_that_prove_nothing_are_refused(void **state)
{
    static const char secret[] =
        "{\"kty\":\"oct\",\"k\":"
        "\"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg\"}";
    static const char private[] =
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
        "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\","
        "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}";
    static const char other[] =
        "{\"kty\":\"EC\",\"crv\":\"P-256\","
        "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
        "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}";
    static const char *const wrong[] = { secret, private, "null", "[]", "{}" };
    struct dpop_rules r = rules();

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(
            verify(prove_as("dpop+jwt", wrong[i], pkey, JOSE_ES256, GOOD), &r),
            JWT_WRONG_KEY);
        assert_true(what[0] != 0);
    }
    assert_int_equal(
        verify(prove_as("dpop+jwt", other, pkey, JOSE_ES256, GOOD), &r),
        JWT_BAD_SIGNATURE);
}

static void large_keys_are_refused(void **state)
{
    EVP_PKEY *large = new_rsa(4104);
    struct dpop_rules r = rules();

    (void)state;
    assert_int_equal(
        verify(prove_as("dpop+jwt", NULL, large, JOSE_PS256, GOOD), &r),
        JWT_WRONG_KEY);
    assert_non_null(strstr(what, "4096"));
    EVP_PKEY_free(large);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_example_of_rfc_9449_verifies),
        TEST(the_access_token_must_be_the_one_proved),
        TEST(claims_must_be_there_and_fit),
        TEST(uris_are_compared_in_their_normal_form),
        TEST(nonces_must_be_ours),
        TEST(other_tokens_are_no_proofs),
        TEST(keys_that_prove_nothing_are_refused),
        TEST(large_keys_are_refused),
    };

    return cmocka_run_group_tests(tests, make_key, drop_key);
}
