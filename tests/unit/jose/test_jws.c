/* test_jws.c - compact form, and signatures of every algorithm. */
#include "jose_fixture.h"

#include <openssl/bn.h>
#include <pthread.h>

#include "jose/b64.h"
#include "jose/jwk_internal.h"

static const char *what;

static enum jwt_fault parse(struct str token, struct jws *out)
{
    what = NULL;
    return jws_parse(arena, token, JWS_MAX_BYTES, out, &what);
}

/* A token of this header; payload and signature are some bytes. */
static enum jwt_fault parse_header(const char *header)
{
    struct jws t;
    struct str b64 = b64url_encode_in(arena, str_z(header));

    return parse(arena_printf(arena, "%.*s.e30.AAAA", STR_ARG(b64)), &t);
}

static struct str sign(EVP_PKEY *key, enum jose_alg alg, struct str payload)
{
    struct str header =
                   arena_printf(arena, "{\"alg\":\"%s\"}", jose_alg_name(alg)),
               token;
    struct buf b;

    buf_init(&b, 8192);
    assert_int_equal(jws_sign(key, alg, header, payload, &b), ERR_OK);
    token = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return token;
}

static EVP_PKEY *key_for(enum jose_alg alg)
{
    return alg == JOSE_EDDSA   ? new_ed25519()
           : alg == JOSE_ES256 ? new_ec("P-256")
           : alg == JOSE_ES384 ? new_ec("P-384")
           : alg == JOSE_ES512 ? new_ec("P-521")
                               : new_rsa(2048);
}

static void every_algorithm_signs_and_verifies(void **state)
{
    EVP_PKEY *rsa = new_rsa(2048);

    (void)state;
    for (enum jose_alg alg = JOSE_RS256; alg <= JOSE_EDDSA; alg++) {
        EVP_PKEY *key = JOSE_BIT(alg) & (JOSE_RSA_PKCS1 | JOSE_RSA_PSS)
                            ? rsa
                            : key_for(alg);
        struct jwk *k = jwk_of(key, STR_NULL, JOSE_NONE);
        struct str token = sign(key, alg, STR("hello"));
        struct jws t;

        assert_int_equal(parse(token, &t), JWT_OK);
        assert_int_equal(t.alg, alg);
        assert_true(str_is(t.payload, "hello"));
        assert_int_equal(jws_verify_with(&t, JOSE_ASYMMETRIC, k), JWT_OK);
        assert_int_equal(
            jws_verify_with(&t, JOSE_ASYMMETRIC & ~JOSE_BIT(alg), k),
            JWT_ALG_REFUSED);
        /* No other algorithm of the key takes it. */
        for (enum jose_alg o = JOSE_NONE; o < JOSE_ALGS; o++)
            assert_int_equal(jwk_verify(k, o, t.input, t.signature), o == alg);
        jwk_free(k);
        if (key != rsa)
            EVP_PKEY_free(key);
    }
    EVP_PKEY_free(rsa);
}

struct shared {
    const struct jwk *keys[3];
    struct jws tokens[3];
};

static void *verify_often(void *arg)
{
    const struct shared *s = arg;
    uintptr_t wrong = 0;

    for (int round = 0; round < 200; round++)
        for (int i = 0; i < 3; i++)
            wrong += jws_verify_with(&s->tokens[i], JOSE_ASYMMETRIC,
                                     s->keys[i]) != JWT_OK;
    return (void *)wrong;
}

static void threads_share_keys(void **state)
{
    static const enum jose_alg algs[] = { JOSE_RS256, JOSE_ES256, JOSE_EDDSA };
    pthread_t threads[4];
    struct shared s;
    void *wrong;

    (void)state;
    for (int i = 0; i < 3; i++) {
        EVP_PKEY *key = key_for(algs[i]);

        s.keys[i] = jwk_of(key, STR_NULL, JOSE_NONE);
        assert_int_equal(parse(sign(key, algs[i], STR("x")), &s.tokens[i]),
                         JWT_OK);
        EVP_PKEY_free(key);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &s),
                         0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    for (int i = 0; i < 3; i++)
        jwk_free((struct jwk *)(uintptr_t)s.keys[i]);
}

static void one_flipped_bit_is_noticed(void **state)
{
    static const enum jose_alg algs[] = { JOSE_RS256, JOSE_PS256, JOSE_ES256,
                                          JOSE_EDDSA };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        EVP_PKEY *key = key_for(algs[i]);
        struct jwk *k = jwk_of(key, STR_NULL, JOSE_NONE);
        struct jws t;
        char *bytes;

        assert_int_equal(parse(sign(key, algs[i], STR("x")), &t), JWT_OK);
        bytes = (char *)(uintptr_t)t.signature.p;
        for (size_t at = 0; at < t.signature.len; at += 13) {
            bytes[at] ^= 4;
            assert_false(jwk_verify(k, algs[i], t.input, t.signature));
            bytes[at] ^= 4;
        }
        assert_true(jwk_verify(k, algs[i], t.input, t.signature));
        t.signature.len--;
        assert_false(jwk_verify(k, algs[i], t.input, t.signature));
        jwk_free(k);
        EVP_PKEY_free(key);
    }
}

/* Our orders are those of OpenSSL: n + s is s to the arithmetic, and n - s
 * verifies as well as s does, so only the range tells them apart. */
static void r_and_s_must_be_below_the_order(void **state)
{
    static const char *const groups[] = { "P-256", "P-384", "P-521" };

    (void)state;
    for (int i = 0; i < 3; i++) {
        enum jose_alg alg = (enum jose_alg)(JOSE_ES256 + i);
        size_t bytes = jose_ec_bytes(alg);
        EVP_PKEY *key = new_ec(groups[i]);
        struct jwk *k = jwk_of(key, STR_NULL, JOSE_NONE);
        BIGNUM *n = NULL, *s;
        unsigned char *rs;
        struct jws t;

        assert_int_equal(EVP_PKEY_get_bn_param(key, "order", &n), 1);
        assert_int_equal(parse(sign(key, alg, STR("x")), &t), JWT_OK);
        rs = (unsigned char *)(uintptr_t)t.signature.p;
        s = BN_bin2bn(rs + bytes, (int)bytes, NULL);
        BN_sub(s, n, s);
        BN_bn2binpad(s, rs + bytes, (int)bytes);
        assert_true(jwk_verify(k, alg, t.input, t.signature));
        BN_bn2binpad(n, rs + bytes, (int)bytes);
        assert_false(jwk_verify(k, alg, t.input, t.signature));
        memset(rs + bytes, 0, bytes);
        assert_false(jwk_verify(k, alg, t.input, t.signature));
        BN_free(n);
        BN_free(s);
        jwk_free(k);
        EVP_PKEY_free(key);
    }
}

static void keys_sign_only_what_they_are_for(void **state)
{
    EVP_PKEY *rsa = new_rsa(2048), *small = new_rsa(1024),
             *ec = new_ec("P-256"), *ed = new_ed25519();
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    buf_z(&b, "before");
    assert_int_equal(jws_sign(rsa, JOSE_ES256, STR("{}"), STR(""), &b),
                     ERR_UNSUPPORTED);
    assert_int_equal(jws_sign(small, JOSE_RS256, STR("{}"), STR(""), &b),
                     ERR_UNSUPPORTED);
    assert_int_equal(jws_sign(ec, JOSE_ES384, STR("{}"), STR(""), &b),
                     ERR_UNSUPPORTED);
    assert_int_equal(jws_sign(ec, JOSE_HS256, STR("{}"), STR(""), &b),
                     ERR_UNSUPPORTED);
    assert_int_equal(jws_sign(ed, JOSE_NONE, STR("{}"), STR(""), &b),
                     ERR_UNSUPPORTED);
    buf_done(&b);
    buf_init(&b, 64);
    buf_z(&b, "before");
    assert_int_equal(jws_sign(ed, JOSE_EDDSA, STR("{}"), STR(""), &b),
                     ERR_LIMIT);
    assert_true(str_is(buf_view(&b), "before"));
    buf_done(&b);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(small);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ed);
}

static void there_are_three_parts(void **state)
{
    struct jws t;

    (void)state;
    assert_int_equal(parse(STR_NULL, &t), JWT_MALFORMED);
    assert_int_equal(parse(STR(""), &t), JWT_MALFORMED);
    assert_int_equal(parse(STR("."), &t), JWT_MALFORMED);
    assert_int_equal(parse(STR(".."), &t), JWT_MALFORMED);
    assert_int_equal(parse(STR("eyJhbGciOiJFUzI1NiJ9.e30"), &t), JWT_MALFORMED);
    assert_non_null(strstr(what, "fewer than three"));
    assert_int_equal(parse(STR("eyJhbGciOiJFUzI1NiJ9.e30.AAAA.AAAA"), &t),
                     JWT_MALFORMED);
    assert_non_null(strstr(what, "more than three"));
    assert_int_equal(parse(STR("eyJhbGciOiJFUzI1NiJ9.e30.AAAA"), &t), JWT_OK);
    assert_true(str_is(t.input, "eyJhbGciOiJFUzI1NiJ9.e30"));
    assert_int_equal(parse(STR("eyJhbGciOiJFUzI1NiJ9.."), &t), JWT_OK);
    assert_int_equal(t.signature.len, 0);
}

static void headers_are_strict(void **state)
{
    (void)state;
    assert_int_equal(parse_header("{\"alg\":\"ES256\"}"), JWT_OK);
    assert_int_equal(parse_header("{\"alg\":\"none\"}"), JWT_OK);
    assert_int_equal(parse_header("{\"alg\":\"ES256\",\"b64\":true}"), JWT_OK);
    assert_int_equal(parse_header("{\"alg\":\"ES256\",\"alg\":\"ES256\"}"),
                     JWT_MALFORMED);
    assert_int_equal(parse_header("{\"alg\":\"ES256\",\"\\u0061lg\":1}"),
                     JWT_MALFORMED);
    assert_int_equal(parse_header("{\"alg\":1}"), JWT_MALFORMED);
    assert_int_equal(parse_header("{}"), JWT_MALFORMED);
    assert_int_equal(parse_header("[]"), JWT_MALFORMED);
    assert_int_equal(parse_header("\"alg\""), JWT_MALFORMED);
    assert_int_equal(parse_header(""), JWT_MALFORMED);
    assert_int_equal(parse_header("{\"alg\":\"ES256\",\"kid\":null}"),
                     JWT_MALFORMED);
    assert_int_equal(parse_header("{\"alg\":\"ES256\",\"typ\":[]}"),
                     JWT_MALFORMED);
    assert_int_equal(
        parse_header("{\"alg\":\"ES256\",\"x\":[[[[[[[[0]]]]]]]]}"),
        JWT_MALFORMED);
    assert_int_equal(parse_header("{\"alg\":\"ES256\",\"crit\":[\"exp\"]}"),
                     JWT_CRITICAL);
    assert_int_equal(parse_header("{\"alg\":\"ES256\",\"crit\":null}"),
                     JWT_CRITICAL);
    assert_int_equal(parse_header("{\"alg\":\"ES256\",\"b64\":\"true\"}"),
                     JWT_CRITICAL);
}

static void long_tokens_are_refused_unread(void **state)
{
    struct str token = STR("eyJhbGciOiJFUzI1NiJ9.e30.AAAA");
    char *text = arena_alloc(arena, 20000);
    struct jws t;

    (void)state;
    assert_int_equal(jws_parse(arena, token, token.len, &t, &what), JWT_OK);
    assert_int_equal(jws_parse(arena, token, token.len - 1, &t, &what),
                     JWT_TOO_LONG);
    memset(text, 'A', 20000);
    memcpy(text, token.p, 25);
    assert_int_equal(
        jws_parse(arena, str_from(text, 25 + 2731), 1 << 20, &t, &what),
        JWT_OK);
    assert_int_equal(
        jws_parse(arena, str_from(text, 25 + 2736), 1 << 20, &t, &what),
        JWT_MALFORMED);
    assert_non_null(strstr(what, "signature"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_algorithm_signs_and_verifies),
        TEST(threads_share_keys),
        TEST(one_flipped_bit_is_noticed),
        TEST(r_and_s_must_be_below_the_order),
        TEST(keys_sign_only_what_they_are_for),
        TEST(there_are_three_parts),
        TEST(headers_are_strict),
        TEST(long_tokens_are_refused_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
