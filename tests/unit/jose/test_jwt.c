/* test_jwt.c - claims: their types, the rules, and the clock. */
#include "jose_fixture.h"

#define NOW 1800000000u
#define ISSUER "https://issuer.test"

static EVP_PKEY *pkey;
static struct jwks *set;
static const char *what;
static struct str claim;

static int make_key(void **state)
{
    struct jwk *k;

    (void)state;
    pkey = new_ed25519();
    k = jwk_of(pkey, STR("k"), JOSE_NONE);
    set = jwks_new(&k, 1);
    return 0;
}

static int drop_key(void **state)
{
    (void)state;
    jwks_unref(set);
    EVP_PKEY_free(pkey);
    return 0;
}

static struct str sign_as(const char *typ, const char *kid, const char *claims)
{
    struct jwt_header h = { .typ = str_z(typ), .kid = str_z(kid) };
    struct str token;
    struct buf b;

    buf_init(&b, 1 << 20);
    assert_int_equal(jwt_sign(pkey, JOSE_EDDSA, &h, str_z(claims), &b), ERR_OK);
    token = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return token;
}

static enum jwt_fault parse(const char *claims, struct jwt *out)
{
    what = NULL;
    return jwt_parse(arena, sign_as("JWT", "k", claims), 1 << 20, out, &what);
}

static enum jwt_fault verify_typed(const struct jwt_rules *r, const char *typ,
                                   const char *claims)
{
    struct jwt_result result;
    struct jwt t;
    enum jwt_fault fault;

    assert_int_equal(
        jwt_parse(arena, sign_as(typ, "k", claims), JWS_MAX_BYTES, &t, &what),
        JWT_OK);
    fault = jwt_verify(r, set, &t, NOW, &result);
    assert_ptr_equal(result.key, jwks_at(set, 0));
    claim = result.claim;
    return fault;
}

static enum jwt_fault verify(const struct jwt_rules *r, const char *claims)
{
    return verify_typed(r, "JWT", claims);
}

static void claims_become_typed(void **state)
{
    struct jwt t;

    (void)state;
    assert_int_equal(
        parse("{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":[\"a\",\"b\"],"
              "\"exp\":1800000000.25,\"nbf\":1.8e9,\"iat\":0,\"jti\":\"j\","
              "\"azp\":\"z\",\"client_id\":\"c\",\"scope\":\"x y\","
              "\"cnf\":{\"x5t#S256\":\"h\",\"jkt\":\"i\"}}",
              &t),
        JWT_OK);
    assert_true(str_is(t.iss, ISSUER) && str_is(t.sub, "s"));
    assert_true(str_is(t.jti, "j") && str_is(t.azp, "z"));
    assert_true(str_is(t.client_id, "c"));
    assert_int_equal(t.aud_count, 2);
    assert_true(jwt_has_audience(&t, STR("b")));
    assert_false(jwt_has_audience(&t, STR("ab")));
    assert_true(t.exp.ms == 1800000000250);
    assert_true(t.nbf.ms == 1800000000000);
    assert_true(t.iat.set && t.iat.ms == 0);
    assert_true(str_is(t.cnf_x5t_s256, "h") && str_is(t.cnf_jkt, "i"));
    assert_true(str_is(json_str(json_at(t.payload, "scope")), "x y"));
    assert_true(str_is(t.jws.kid, "k") && str_is(t.jws.typ, "JWT"));
}

static void absent_claims_are_null(void **state)
{
    struct jwt t;

    (void)state;
    assert_int_equal(parse("{}", &t), JWT_OK);
    assert_null(t.iss.p);
    assert_null(t.sub.p);
    assert_null(t.aud);
    assert_false(t.exp.set || t.nbf.set || t.iat.set);
    assert_null(t.cnf_jkt.p);
    assert_int_equal(parse("{\"iss\":\"\"}", &t), JWT_OK);
    assert_non_null(t.iss.p);
}

static void wrong_types_are_malformed(void **state)
{
    static const char *const claims[] = {
        "{\"iss\":1}",
        "{\"iss\":null}",
        "{\"sub\":[\"a\"]}",
        "{\"jti\":{}}",
        "{\"azp\":true}",
        "{\"client_id\":1}",
        "{\"exp\":\"1800000000\"}",
        "{\"exp\":null}",
        "{\"exp\":1e400}",
        "{\"exp\":-1e400}",
        "{\"exp\":1800000000000}", /* milliseconds */
        "{\"exp\":-2}",
        "{\"nbf\":[]}",
        "{\"iat\":\"now\"}",
        ("{\"exp\":1.0000000000000000000000000000000000000000000000000000000"
         "0000000000000000}"), /* in parentheses, or clang misses a comma */
        "{\"aud\":1}",
        "{\"aud\":[1]}",
        "{\"aud\":[\"a\",null]}",
        "{\"aud\":null}",
        "{\"cnf\":\"x\"}",
        "{\"cnf\":{\"jkt\":1}}",
        "{\"cnf\":{\"x5t#S256\":[]}}",
        "{\"a\":1,\"a\":1}",
        "{\"x\":{\"a\":1,\"\\u0061\":1}}",
        "[]",
        "\"text\"",
        "",
        "{} {}",
        "{\"sub\":\"\xff\"}",
    };
    struct jwt t;

    (void)state;
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        if (parse(claims[i], &t) != JWT_MALFORMED)
            fail_msg("%s is taken", claims[i]);
        assert_non_null(what);
    }
}

static void depth_and_audiences_have_ceilings(void **state)
{
    struct jwt t;
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    buf_z(&b, "{\"a\":");
    for (int i = 0; i < 31; i++)
        buf_char(&b, '[');
    for (int i = 0; i < 31; i++)
        buf_char(&b, ']');
    buf_z(&b, "}");
    buf_char(&b, 0);
    assert_int_equal(parse(b.p, &t), JWT_OK);
    b.len = 0;
    buf_z(&b, "{\"a\":");
    for (int i = 0; i < 32; i++)
        buf_char(&b, '[');
    for (int i = 0; i < 32; i++)
        buf_char(&b, ']');
    buf_z(&b, "}");
    buf_char(&b, 0);
    assert_int_equal(parse(b.p, &t), JWT_MALFORMED);
    b.len = 0;
    buf_z(&b, "{\"aud\":[\"a\"");
    for (int i = 1; i < JWT_MAX_AUDIENCES; i++)
        buf_z(&b, ",\"a\"");
    buf_char(&b, 0);
    assert_int_equal(parse(arena_printf(arena, "%s]}", b.p).p, &t), JWT_OK);
    assert_int_equal(t.aud_count, JWT_MAX_AUDIENCES);
    assert_int_equal(parse(arena_printf(arena, "%s,\"a\"]}", b.p).p, &t),
                     JWT_MALFORMED);
    buf_done(&b);
}

static void time_has_exact_edges(void **state)
{
    struct jwt_rules r = { .skew_s = 5 };

    (void)state;
    assert_int_equal(verify(&r, "{\"exp\":1799999996}"), JWT_OK);
    assert_int_equal(verify(&r, "{\"exp\":1799999995.5}"), JWT_OK);
    assert_int_equal(verify(&r, "{\"exp\":1799999995}"), JWT_EXPIRED);
    assert_true(str_is(claim, "exp"));
    assert_int_equal(verify(&r, "{\"exp\":0}"), JWT_EXPIRED);
    assert_int_equal(verify(&r, "{\"exp\":2e9,\"nbf\":1800000005}"), JWT_OK);
    assert_int_equal(verify(&r, "{\"exp\":2e9,\"nbf\":1800000005.1}"),
                     JWT_NOT_YET);
    assert_true(str_is(claim, "nbf"));
    assert_int_equal(verify(&r, "{\"exp\":2e9,\"iat\":1800086405}"), JWT_OK);
    assert_int_equal(verify(&r, "{\"exp\":2e9,\"iat\":1800086406}"),
                     JWT_NOT_YET);
    assert_true(str_is(claim, "iat"));
}

static void exp_is_needed_unless_the_rules_say_so(void **state)
{
    struct jwt_rules r = { 0 };

    (void)state;
    assert_int_equal(verify(&r, "{}"), JWT_MISSING_CLAIM);
    assert_true(str_is(claim, "exp"));
    assert_int_equal(verify(&r, "{\"exp\":-1}"), JWT_EXPIRED);
    r.exp_minus_one = true;
    assert_int_equal(verify(&r, "{\"exp\":-1}"), JWT_OK);
    assert_int_equal(verify(&r, "{\"exp\":-0.5}"), JWT_EXPIRED);
    assert_int_equal(verify(&r, "{}"), JWT_MISSING_CLAIM);
    r.exp_optional = true;
    assert_int_equal(verify(&r, "{}"), JWT_OK);
    assert_int_equal(verify(&r, "{\"exp\":1}"), JWT_EXPIRED);
}

static void issuer_and_audience_are_compared_exactly(void **state)
{
    struct str audiences[] = { STR("one"), STR("two") };
    struct jwt_rules r = { .issuer = STR(ISSUER),
                           .audiences = audiences,
                           .audience_count = 2 };

    (void)state;
#define WITH(claims) "{\"exp\":2e9," claims "}"
    assert_int_equal(verify(&r, WITH("\"iss\":\"" ISSUER "\",\"aud\":\"two\"")),
                     JWT_OK);
    assert_int_equal(
        verify(&r, WITH("\"iss\":\"" ISSUER "\",\"aud\":[\"x\",\"one\"]")),
        JWT_OK);
    assert_int_equal(verify(&r, WITH("\"iss\":\"" ISSUER "\",\"aud\":[\"x\"]")),
                     JWT_WRONG_AUDIENCE);
    assert_int_equal(verify(&r, WITH("\"iss\":\"" ISSUER "\",\"aud\":[]")),
                     JWT_WRONG_AUDIENCE);
    assert_int_equal(verify(&r, WITH("\"iss\":\"" ISSUER "\",\"aud\":\"On"
                                     "e\"")),
                     JWT_WRONG_AUDIENCE);
    assert_int_equal(verify(&r, WITH("\"iss\":\"" ISSUER "\"")),
                     JWT_MISSING_CLAIM);
    assert_true(str_is(claim, "aud"));
    assert_int_equal(
        verify(&r, WITH("\"iss\":\"" ISSUER "/\",\"aud\":\"one\"")),
        JWT_WRONG_ISSUER);
    assert_int_equal(
        verify(&r, WITH("\"iss\":\"" ISSUER "\\u0000\",\"aud\":\"one\"")),
        JWT_WRONG_ISSUER);
    assert_int_equal(verify(&r, WITH("\"aud\":\"one\"")), JWT_MISSING_CLAIM);
    assert_true(str_is(claim, "iss"));
#undef WITH
}

static void required_claims_are_named_when_missing(void **state)
{
    struct str required[] = { STR("sub"), STR("scope") };
    struct jwt_rules r = { .required = required, .required_count = 2 };

    (void)state;
    assert_int_equal(verify(&r, "{\"exp\":2e9,\"sub\":\"\",\"scope\":[]}"),
                     JWT_OK);
    assert_int_equal(verify(&r, "{\"exp\":2e9,\"sub\":\"a\"}"),
                     JWT_MISSING_CLAIM);
    assert_true(str_is(claim, "scope"));
    assert_int_equal(verify(&r, "{\"exp\":2e9,\"sub\":\"a\",\"scope\":null}"),
                     JWT_MISSING_CLAIM);
}

static void other_kinds_of_token_are_refused(void **state)
{
    struct str types[] = { STR("at+jwt"), STR("") };
    struct jwt_rules r = { 0 };
    const char *claims = "{\"exp\":2e9}";

    (void)state;
    assert_int_equal(verify_typed(&r, NULL, claims), JWT_OK);
    assert_int_equal(verify_typed(&r, "jwt", claims), JWT_OK);
    assert_int_equal(verify_typed(&r, "AT+JWT", claims), JWT_OK);
    assert_int_equal(verify_typed(&r, "application/at+jwt", claims), JWT_OK);
    assert_int_equal(verify_typed(&r, "dpop+jwt", claims), JWT_WRONG_TYPE);
    assert_int_equal(verify_typed(&r, "logout+jwt", claims), JWT_WRONG_TYPE);
    assert_int_equal(verify_typed(&r, "", claims), JWT_WRONG_TYPE);
    r.types = types;
    r.type_count = 1;
    assert_int_equal(verify_typed(&r, "Application/AT+JWT", claims), JWT_OK);
    assert_int_equal(verify_typed(&r, "JWT", claims), JWT_WRONG_TYPE);
    assert_int_equal(verify_typed(&r, NULL, claims), JWT_WRONG_TYPE);
    r.type_count = 2;
    assert_int_equal(verify_typed(&r, NULL, claims), JWT_OK);
}

static void the_signature_comes_before_the_claims(void **state)
{
    struct jwt_rules r = { .issuer = STR(ISSUER) };
    struct str token = sign_as("JWT", "k", "{\"exp\":1}");
    EVP_PKEY *other = new_ed25519();
    struct jwk *k = jwk_of(other, STR("k"), JOSE_NONE);
    struct jwks *wrong = jwks_new(&k, 1);
    struct jwt_result result;
    struct jwt t;

    (void)state;
    assert_int_equal(jwt_parse(arena, token, JWS_MAX_BYTES, &t, &what), JWT_OK);
    assert_int_equal(jwt_verify(&r, wrong, &t, NOW, &result),
                     JWT_BAD_SIGNATURE);
    assert_null(result.key);
    assert_null(result.claim.p);
    r.algs = JOSE_BIT(JOSE_ES256);
    assert_int_equal(jwt_verify(&r, wrong, &t, NOW, NULL), JWT_ALG_REFUSED);
    jwks_unref(wrong);
    EVP_PKEY_free(other);
}

static void an_unknown_kid_is_told_apart(void **state)
{
    struct jwt_rules r = { 0 };
    struct jwt t;

    (void)state;
    assert_int_equal(jwt_parse(arena, sign_as("JWT", "new", "{\"exp\":2e9}"),
                               JWS_MAX_BYTES, &t, &what),
                     JWT_OK);
    assert_int_equal(jwt_verify(&r, set, &t, NOW, NULL), JWT_UNKNOWN_KEY);
    assert_int_equal(jwt_parse(arena, sign_as("JWT", NULL, "{\"exp\":2e9}"),
                               JWS_MAX_BYTES, &t, &what),
                     JWT_OK);
    assert_int_equal(jwt_verify(&r, set, &t, NOW, NULL), JWT_OK);
}

/* A PEM file gives a key without kid; its tokens may still name one. */
static void a_key_without_kid_verifies_any_kid(void **state)
{
    struct jwk *k = jwk_of(pkey, STR_NULL, JOSE_NONE);
    struct jwks *pem = jwks_new(&k, 1);
    struct jwt_rules r = { 0 };
    struct jwt t;

    (void)state;
    assert_int_equal(jwt_parse(arena, sign_as("JWT", "x", "{\"exp\":2e9}"),
                               JWS_MAX_BYTES, &t, &what),
                     JWT_OK);
    assert_int_equal(jwt_verify(&r, pem, &t, NOW, NULL), JWT_OK);
    jwks_unref(pem);
}

static void tokens_can_be_bound(void **state)
{
    struct str der = STR("any bytes");
    char digest[JWK_THUMBPRINT + 1];
    struct jwt t;

    (void)state;
    jwk_sha256(der, digest);
    assert_int_equal(
        parse(arena_printf(arena, "{\"cnf\":{\"x5t#S256\":\"%s\"}}", digest).p,
              &t),
        JWT_OK);
    assert_true(jwt_bound_to_certificate(&t, der));
    assert_false(jwt_bound_to_certificate(&t, STR("other bytes")));
    assert_false(jwt_bound_to_key(&t, str_z(digest)));
    assert_int_equal(
        parse(arena_printf(arena, "{\"cnf\":{\"jkt\":\"%s\"}}", digest).p, &t),
        JWT_OK);
    assert_true(jwt_bound_to_key(&t, str_z(digest)));
    assert_false(jwt_bound_to_certificate(&t, der));
    assert_int_equal(parse("{}", &t), JWT_OK);
    assert_false(jwt_bound_to_certificate(&t, der));
    assert_false(jwt_bound_to_key(&t, STR("")));
}

static void faults_have_words(void **state)
{
    (void)state;
    for (int i = 0; i < JWT_FAULTS; i++) {
        assert_true(jwt_fault_name((enum jwt_fault)i)[0] != 0);
        assert_true(jwt_fault_text((enum jwt_fault)i)[0] != 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(claims_become_typed),
        TEST(absent_claims_are_null),
        TEST(wrong_types_are_malformed),
        TEST(depth_and_audiences_have_ceilings),
        TEST(time_has_exact_edges),
        TEST(exp_is_needed_unless_the_rules_say_so),
        TEST(issuer_and_audience_are_compared_exactly),
        TEST(required_claims_are_named_when_missing),
        TEST(other_kinds_of_token_are_refused),
        TEST(the_signature_comes_before_the_claims),
        TEST(an_unknown_kid_is_told_apart),
        TEST(a_key_without_kid_verifies_any_kid),
        TEST(tokens_can_be_bound),
        TEST(faults_have_words),
    };

    return cmocka_run_group_tests(tests, make_key, drop_key);
}
