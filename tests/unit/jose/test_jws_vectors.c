/* test_jws_vectors.c - Wycheproof's tests of signatures and keys, and the
 * worked examples of RFC 7520, 8037 and 7797.
 */
#include "jose_fixture.h"

#include "jose/b64.h"

#define ALL (JOSE_ASYMMETRIC | JOSE_SYMMETRIC)

/* ---- Wycheproof ---- */

/* Where we do not do what the file says. */
static const struct exception {
    const char *file;
    uint64_t id;
    bool accepted; /* by us */
    const char *reason;
} exceptions[] = {
    { "signature", 346, false, "the token is PS384, the key's alg PS256" },
    { "signature", 350, false, "the token is PS384, the key's alg PS256" },
    { "signature", 347, false, "the key's alg is ES521, which is none" },
    { "signature", 351, false, "the key's alg is ES521, which is none" },
    { "signature", 367, true, "the same token as test 357, which is valid" },
    { "signature", 370, true, "the same token as test 357, which is valid" },
    { "signature", 372, false, "a ? in base64url: RFC 7515 knows no such" },
    { "signature", 373, false, "a ? in base64url: RFC 7515 knows no such" },
    { "key", 4, true, "the other key is broken: unused bits in its k" },
};

static const struct exception *exception_of(const char *file, uint64_t id)
{
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
        if (exceptions[i].id == id && strcmp(exceptions[i].file, file) == 0)
            return &exceptions[i];
    return NULL;
}

static bool verifies(struct str token, const struct jwks *set)
{
    const char *what = NULL;
    struct jws t;
    enum jwt_fault fault;

    if (!set)
        return false;
    fault = jws_parse(arena, token, JWS_MAX_BYTES, &t, &what);
    if (fault) {
        assert_non_null(what);
        return false;
    }
    return jws_verify(&t, ALL, set, NULL) == JWT_OK;
}

static struct jwks *set_of(const struct json *group)
{
    struct json *root = json_new(arena, JSON_OBJECT);
    struct jwks_report report;
    struct jwks *set = NULL;

    json_member(root, STR("keys"), json_at(group, "keys"));
    if (jwks_parse(write_json(root), JWK_ALLOW_SECRET, &set, &report)) {
        assert_true(report.why[0] != 0);
        return NULL;
    }
    return set;
}

static unsigned check_group(const char *file, const struct json *group)
{
    struct jwks *set = set_of(group);
    unsigned wrong = 0;

    for (const struct json *t = json_at(group, "tests")->first; t;
         t = t->next) {
        const struct json *jws = json_at(t, "jws");
        struct str token =
            jws->type == JSON_STRING ? jws->text : write_json(jws);
        bool valid = str_is(json_str(json_at(t, "result")), "valid");
        const struct exception *ex;
        uint64_t id;

        assert_int_equal(json_u64(json_at(t, "tcId"), 1000, &id), ERR_OK);
        ex = exception_of(file, id);
        if (ex)
            assert_int_not_equal(ex->accepted, valid);
        if (verifies(token, set) != (ex ? ex->accepted : valid)) {
            print_error("%s %u (%.*s) should be %s\n", file, (unsigned)id,
                        STR_ARG(json_str(json_at(t, "comment"))),
                        valid ? "valid" : "invalid");
            wrong++;
        }
    }
    jwks_unref(set);
    return wrong;
}

static void wycheproof_agrees(void **state)
{
    struct json *root = load("wycheproof.json");
    unsigned groups = 0, wrong = 0;

    (void)state;
    for (const struct json *file = root->first; file; file = file->next)
        for (const struct json *g = file->first; g; g = g->next) {
            struct str name = arena_copy(arena, file->key);

            wrong += check_group(name.p, g);
            groups++;
        }
    assert_int_equal(wrong, 0);
    assert_in_range(groups, 50, 100);
}

static const struct json *wycheproof_test(const struct json *root,
                                          struct str file, uint64_t wanted,
                                          const struct json **group)
{
    uint64_t id;

    for (*group = json_get(root, file)->first; *group; *group = (*group)->next)
        for (const struct json *t = json_at(*group, "tests")->first; t;
             t = t->next)
            if (!json_u64(json_at(t, "tcId"), 1000, &id) && id == wanted)
                return t;
    return NULL;
}

/* The exceptions are what their reasons say. */
static void exceptions_have_their_reasons(void **state)
{
    static const struct {
        uint64_t id;
        const char *wrong, *right;
    } renamed[] = {
        { 346, "PS256", "PS384" },
        { 350, "PS256", "PS384" },
        { 347, "ES521", "ES512" },
        { 351, "ES521", "ES512" },
    };
    struct json *root = load("wycheproof.json");
    const struct json *g,
        *valid = wycheproof_test(root, STR("signature"), 357, &g), *t;
    struct jwks *set;
    struct json *alg, *key;

    (void)state;
    for (uint64_t id = 367; id <= 370; id += 3)
        assert_true(
            str_eq(json_str(json_at(
                       wycheproof_test(root, STR("signature"), id, &g), "jws")),
                   json_str(json_at(valid, "jws"))));
    for (uint64_t id = 372; id <= 373; id++) {
        struct str jws = json_str(
            json_at(wycheproof_test(root, STR("signature"), id, &g), "jws"));

        assert_true(str_find(jws, '?') < jws.len);
    }
    for (size_t i = 0; i < 4; i++) { /* as RFC 7520 has them */
        t = wycheproof_test(root, STR("signature"), renamed[i].id, &g);
        alg = json_at(json_at(g, "keys")->first, "alg");
        assert_true(str_is(json_str(alg), renamed[i].wrong));
        alg->text = str_z(renamed[i].right);
        set = set_of(g);
        assert_true(verifies(json_str(json_at(t, "jws")), set));
        jwks_unref(set);
    }
    /* Mended, the second key makes the first one ambiguous. */
    t = wycheproof_test(root, STR("key"), 4, &g);
    key = json_at(json_at(g, "keys")->last, "k");
    assert_true(str_ends(json_str(key), STR("ge")));
    key->text =
        arena_printf(arena, "%.*sg", (int)key->text.len - 1, key->text.p);
    assert_non_null(t);
    assert_null(set_of(g));
}

/* ---- RFC 7520 ---- */

static struct jwk *key_of(const struct json *input)
{
    const char *why = "";
    struct jwk *k = NULL;

    assert_int_equal(jwk_parse(json_at(input, "key"),
                               JWK_ALLOW_SECRET | JWK_ALLOW_PRIVATE, &k, &why),
                     ERR_OK);
    return k;
}

/* A compact token, made of the parts of one signature. */
static struct str token_of(const struct json *signing)
{
    return arena_printf(arena, "%.*s.%.*s",
                        STR_ARG(json_str(json_at(signing, "sig-input"))),
                        STR_ARG(json_str(json_at(signing, "sig"))));
}

static enum jwt_fault verify_one(struct str token, const struct jwk *key,
                                 struct str payload)
{
    const char *what;
    struct jws t;
    enum jwt_fault fault = jws_parse(arena, token, JWS_MAX_BYTES, &t, &what);

    if (fault)
        return fault;
    assert_true(str_eq(t.payload, payload));
    return jws_verify_with(&t, ALL, key);
}

/* Also those that RFC 7520 shows detached or in JSON form only: what is
 * signed is the same. */
static void examples_of_rfc_7520_verify(void **state)
{
    static const char *const names[] = {
        "rfc7520/4_1.rsa_v15_signature.json",
        "rfc7520/4_2.rsa-pss_signature.json",
        "rfc7520/4_3.ecdsa_signature.json",
        "rfc7520/4_4.hmac-sha2_integrity_protection.json",
        "rfc7520/4_5.signature_with_detached_content.json",
        "rfc7520/4_6.protecting_specific_header_fields.json",
        "rfc7520/rfc8037_ed25519.json",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct json *root = load(names[i]);
        const struct json *input = json_at(root, "input");
        struct str payload = json_str(json_at(input, "payload"));
        struct str token = token_of(json_at(root, "signing"));
        struct jwk *key = key_of(input);
        char *flipped = (char *)(uintptr_t)token.p;

        assert_int_equal(verify_one(token, key, payload), JWT_OK);
        flipped[token.len - 20] ^= 1; /* stays in the alphabet */
        assert_int_not_equal(verify_one(token, key, payload), JWT_OK);
        jwk_free(key);
    }
}

/* PKCS #1 v1.5 and Ed25519 signatures are the same each time. */
static void examples_can_be_made_again(void **state)
{
    static const char *const names[] = {
        "rfc7520/4_1.rsa_v15_signature.json",
        "rfc7520/rfc8037_ed25519.json",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct json *root = load(names[i]);
        const struct json *input = json_at(root, "input"),
                          *signing = json_at(root, "signing");
        struct jwk *key = key_of(input);
        struct str header;
        struct buf b;

        buf_init(&b, 4096);
        assert_true(key->is_private);
        assert_int_equal(
            b64url_decode_in(
                arena, json_str(json_at(signing, "protected_b64u")), &header),
            ERR_OK);
        assert_int_equal(
            jws_sign(key->pkey, jose_alg_parse(json_str(json_at(input, "alg"))),
                     header, json_str(json_at(input, "payload")), &b),
            ERR_OK);
        assert_true(
            str_eq(buf_view(&b),
                   json_str(json_at(json_at(root, "output"), "compact"))));
        buf_done(&b);
        jwk_free(key);
    }
}

/* 4.8 has three signatures; the second protects no alg, which only the JSON
 * form can say. */
static void multiple_signatures_verify_one_by_one(void **state)
{
    struct json *root = load("rfc7520/4_8.multiple_signatures.json");
    const struct json *input = json_at(root, "input"),
                      *keys = json_at(input, "key");
    const struct json *s = json_at(root, "signing")->first;
    unsigned verified = 0, refused = 0;

    (void)state;
    for (const struct json *k = keys->first; k; k = k->next, s = s->next) {
        const char *why = "";
        struct jwk *key = NULL;
        enum jwt_fault fault;

        assert_int_equal(
            jwk_parse(k, JWK_ALLOW_SECRET | JWK_ALLOW_PRIVATE, &key, &why),
            ERR_OK);
        fault =
            verify_one(token_of(s), key, json_str(json_at(input, "payload")));
        verified += fault == JWT_OK;
        refused += fault == JWT_MALFORMED;
        jwk_free(key);
    }
    assert_int_equal(verified, 2);
    assert_int_equal(refused, 1);
}

static void headers_outside_the_signature_do_not_count(void **state)
{
    struct json *root = load("rfc7520/4_7.protecting_content_only.json");
    const struct json *input = json_at(root, "input");
    struct jwk *key = key_of(input);

    (void)state;
    assert_int_equal(verify_one(token_of(json_at(root, "signing")), key,
                                json_str(json_at(input, "payload"))),
                     JWT_MALFORMED);
    jwk_free(key);
}

static void unencoded_payloads_are_refused(void **state)
{
    struct json *root = load("rfc7520/rfc7797.json");
    struct str token = json_str(json_at(json_at(root, "output"), "compact"));
    const char *what = NULL;
    struct jws t;

    (void)state;
    /* As it is, the payload is no base64url … */
    assert_int_equal(jws_parse(arena, token, JWS_MAX_BYTES, &t, &what),
                     JWT_MALFORMED);
    /* … and when it happens to be, the header still says what it is. */
    token = arena_printf(arena, "%.*s.text.c2ln", (int)str_find(token, '.'),
                         token.p);
    assert_int_equal(jws_parse(arena, token, JWS_MAX_BYTES, &t, &what),
                     JWT_CRITICAL);
    root = load("rfc7520/rfc7797_json_only.json");
    token = arena_printf(
        arena, "%.*s.text.c2ln",
        STR_ARG(json_str(json_at(json_at(root, "signing"), "protected_b64u"))));
    assert_int_equal(jws_parse(arena, token, JWS_MAX_BYTES, &t, &what),
                     JWT_CRITICAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wycheproof_agrees),
        TEST(exceptions_have_their_reasons),
        TEST(examples_of_rfc_7520_verify),
        TEST(examples_can_be_made_again),
        TEST(multiple_signatures_verify_one_by_one),
        TEST(headers_outside_the_signature_do_not_count),
        TEST(unencoded_payloads_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
