/* test_jwks.c - key sets: what is left out, what is refused, what is found. */
#include "jose_fixture.h"

#define P256                                                 \
    "\"kty\":\"EC\",\"crv\":\"P-256\","                      \
    "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"," \
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""
#define ED                                 \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\"," \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define ED_2                               \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\"," \
    "\"x\":\"XPcksKjzWzxh3RZgEe0JmzYo8ytee5iAXajDBIf3Mzw\""
#define SECRET \
    "\"kty\":\"oct\",\"k\":\"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg\""

static struct jwks_report report;

static struct jwks *parse_with(const char *keys, unsigned flags, enum err e)
{
    struct str text = arena_printf(arena, "{\"keys\":[%s]}", keys);
    struct jwks *set = NULL;

    assert_int_equal(jwks_parse(text, flags, &set, &report), e);
    assert_int_equal(!e, set != NULL);
    return set;
}

static struct jwks *parse(const char *keys)
{
    return parse_with(keys, 0, ERR_OK);
}

static void says(const char *words)
{
    if (!strstr(report.why, words))
        fail_msg("\"%s\" does not say \"%s\"", report.why, words);
}

static void keys_for_other_work_are_left_out(void **state)
{
    struct jwks *set = parse("{" P256 ",\"kid\":\"a\",\"use\":\"enc\"},"
                             "{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\"}, 7,"
                             "{" SECRET "},"
                             "{" ED ",\"kid\":\"b\"}");

    (void)state;
    assert_int_equal(jwks_count(set), 1);
    assert_int_equal(report.keys, 5);
    assert_int_equal(report.skipped, 4);
    says("key 1 (\"a\"): use says");
    assert_true(str_is(jwks_at(set, 0)->kid, "b"));
    jwks_unref(set);
}

static void a_set_without_a_usable_key_is_refused(void **state)
{
    (void)state;
    parse_with("", 0, ERR_INVALID);
    says("none of the 0 keys");
    parse_with("{" P256 ",\"kid\":\"a\",\"use\":\"enc\"}", 0, ERR_INVALID);
    says("none of the 1 keys can verify a signature; key 1 (\"a\"): use");
    parse_with("{" SECRET "}", 0, ERR_INVALID);
    says("oct");
}

static void other_texts_are_no_sets(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "null",
        "{\"keys\":{}}",
        "{\"keys\":null}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[]} x",
        "<html>",
    };
    struct jwks *set = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(jwks_parse(str_z(texts[i]), 0, &set, &report),
                         ERR_INVALID);
        assert_true(report.why[0] != 0);
        assert_null(set);
    }
}

static void sets_have_ceilings(void **state)
{
    struct jwks *set = NULL;
    struct buf b;

    (void)state;
    buf_init(&b, 2 << 20);
    buf_z(&b, "{\"keys\":[");
    for (int i = 0; i < JWKS_MAX_KEYS; i++)
        buf_printf(&b, "{" ED ",\"kid\":\"%d\"},", i);
    b.len--;
    buf_z(&b, "]}");
    assert_int_equal(jwks_parse(buf_view(&b), 0, &set, &report), ERR_OK);
    assert_int_equal(jwks_count(set), JWKS_MAX_KEYS);
    assert_non_null(jwks_find(set, STR("255"), JOSE_NONE));
    jwks_unref(set);
    b.len -= 2;
    buf_z(&b, ",{" ED "}]}");
    assert_int_equal(jwks_parse(buf_view(&b), 0, &set, &report), ERR_LIMIT);
    says("256");
    while (b.len <= JWKS_MAX_BYTES)
        buf_char(&b, ' ');
    assert_int_equal(jwks_parse(buf_view(&b), 0, &set, &report), ERR_LIMIT);
    says("too long");
    buf_done(&b);
}

static void secrets_and_public_keys_do_not_mix(void **state)
{
    struct jwks *set;

    (void)state;
    parse_with("{" SECRET "},{" ED "}", JWK_ALLOW_SECRET, ERR_INVALID);
    says("keep them apart");
    set = parse_with("{" SECRET "}", JWK_ALLOW_SECRET, ERR_OK);
    jwks_unref(set);
}

static void one_kid_for_two_keys_names_neither(void **state)
{
    struct jwks *set = parse("{" ED ",\"kid\":\"a\"},{" ED_2
                             ",\"kid\":\"a\"},{" P256 ",\"kid\":\"a\"}");

    (void)state;
    /* The third is for another algorithm, so it can be told apart. */
    assert_int_equal(jwks_count(set), 1);
    assert_int_equal(report.skipped, 2);
    says("key 1 (\"a\"): another key");
    assert_null(jwks_find(set, STR("a"), JOSE_EDDSA));
    assert_non_null(jwks_find(set, STR("a"), JOSE_ES256));
    jwks_unref(set);
}

static void the_same_key_twice_is_one_key(void **state)
{
    struct jwks *set =
        parse("{" ED ",\"kid\":\"a\"},{" ED ",\"kid\":\"a\",\"alg\":"
              "\"EdDSA\"}");

    (void)state;
    assert_int_equal(jwks_count(set), 1);
    assert_int_equal(report.skipped, 1);
    jwks_unref(set);
}

static void tokens_find_their_keys(void **state)
{
    const struct jwk *keys[JWKS_MAX_TRIES];
    struct jwks *set = parse("{" ED ",\"kid\":\"a\"},{" P256
                             ",\"kid\":\"b\"},{" ED_2 ",\"kid\":\"c\"}");
    size_t n = 9;

    (void)state;
    assert_true(jwks_has_kids(set));
    assert_int_equal(jwks_match(set, STR("a"), JOSE_EDDSA, keys, &n),
                     JWKS_FOUND);
    assert_int_equal(n, 1);
    assert_ptr_equal(keys[0], jwks_at(set, 0));
    assert_int_equal(jwks_match(set, STR("a"), JOSE_ES256, keys, &n),
                     JWKS_WRONG_ALG);
    assert_int_equal(n, 0);
    assert_int_equal(jwks_match(set, STR("d"), JOSE_EDDSA, keys, &n),
                     JWKS_NO_KID);
    assert_int_equal(jwks_match(set, STR(""), JOSE_EDDSA, keys, &n),
                     JWKS_NO_KID);
    assert_int_equal(jwks_match(set, STR_NULL, JOSE_EDDSA, keys, &n),
                     JWKS_FOUND);
    assert_int_equal(n, 2);
    assert_int_equal(jwks_match(set, STR_NULL, JOSE_RS256, keys, &n),
                     JWKS_NO_KID);
    jwks_unref(set);
}

static void keys_without_kid_serve_any_kid(void **state)
{
    const struct jwk *keys[JWKS_MAX_TRIES];
    struct jwks *set = parse("{" ED ",\"kid\":\"a\"},{" ED_2 "}");
    size_t n;

    (void)state;
    assert_int_equal(jwks_match(set, STR("zz"), JOSE_EDDSA, keys, &n),
                     JWKS_FOUND);
    assert_int_equal(n, 1);
    assert_null(keys[0]->kid.p);
    assert_int_equal(jwks_match(set, STR("a"), JOSE_EDDSA, keys, &n),
                     JWKS_FOUND);
    assert_int_equal(n, 1);
    assert_ptr_equal(keys[0], jwks_at(set, 0));
    jwks_unref(set);
}

static void a_token_is_tried_with_few_keys(void **state)
{
    const struct jwk *keys[JWKS_MAX_TRIES];
    struct jwks *set;
    struct buf b;
    size_t n;

    (void)state;
    buf_init(&b, 1 << 16);
    for (int i = 0; i < 20; i++)
        buf_printf(&b, "{" ED ",\"kid\":\"%d\"}%s", i, i < 19 ? "," : "");
    set = parse(arena_copy(arena, buf_view(&b)).p);
    assert_int_equal(jwks_match(set, STR_NULL, JOSE_EDDSA, keys, &n),
                     JWKS_FOUND);
    assert_int_equal(n, JWKS_MAX_TRIES);
    jwks_unref(set);
    buf_done(&b);
}

static void a_set_is_written_and_read_back(void **state)
{
    struct jwks *set = parse("{" ED ",\"kid\":\"a\"},{" P256 "}"), *again;
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(jwks_write(&b, set), ERR_OK);
    assert_int_equal(jwks_parse(buf_view(&b), 0, &again, &report), ERR_OK);
    assert_int_equal(jwks_count(again), 2);
    assert_string_equal(jwks_at(again, 1)->thumbprint,
                        jwks_at(set, 1)->thumbprint);
    buf_done(&b);
    jwks_unref(jwks_ref(set));
    jwks_unref(set);
    jwks_unref(again);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_for_other_work_are_left_out),
        TEST(a_set_without_a_usable_key_is_refused),
        TEST(other_texts_are_no_sets),
        TEST(sets_have_ceilings),
        TEST(secrets_and_public_keys_do_not_mix),
        TEST(one_kid_for_two_keys_names_neither),
        TEST(the_same_key_twice_is_one_key),
        TEST(tokens_find_their_keys),
        TEST(keys_without_kid_serve_any_kid),
        TEST(a_token_is_tried_with_few_keys),
        TEST(a_set_is_written_and_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
