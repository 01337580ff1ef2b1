/* test_signed_key.c - API keys that are signed tokens: making, verifying,
 * reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "gateway/credential/key_signers.h"
#include "gateway/credential/signed_key.h"
#include "temp_folder.h"

static struct arena *a;
static struct problems ps;
static char folder[TEMP_FOLDER_PATH];
static struct keysets *keysets;
static struct key_signers signers;
static struct api_keys_conf conf;
static const uint8_t here[16] = { [10] = 0xff, [11] = 0xff, 10, 1, 1, 1 };

static int begin(void **state)
{
    (void)state;
    a = arena_new();
    problems_init(&ps, a);
    temp_folder_make(folder);
    keysets = keysets_new(NULL, NULL, NULL);
    memset(&signers, 0, sizeof(signers));
    conf = (struct api_keys_conf) { .take_signed = true, .issuer = STR("us") };
    assert_int_equal(key_signers_init(a, &conf, str_z(folder), keysets, true,
                                      STR_NULL, &ps, &signers),
                     ERR_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    watched_close(&signers.revoked);
    arena_free(a);
    keysets_free(keysets);
    arena_thread_done();
    return 0;
}

static struct str sign(const struct api_key *key)
{
    struct str text;

    assert_int_equal(
        signed_key_sign(a, &signers.own, key, signers.issuer, &text), ERR_OK);
    return text;
}

static struct str list_item(struct conf_strings *list, const char *text)
{
    list->items = arena_alloc(a, 2 * sizeof(*list->items));
    list->items[list->count++] = str_z(text);
    return list->items[0];
}

static enum jwt_fault verify(struct str text, uint64_t now_s, struct jwt *t)
{
    const struct key_signer *by = NULL;
    const char *what;
    enum jwt_fault f = jwt_parse(a, text, JWS_MAX_BYTES, t, &what);

    if (!f)
        f = key_signers_verify(&signers, t, now_s, &by);
    assert_int_equal(!f, by != NULL);
    return f;
}

static void what_is_written_is_read(void **state)
{
    struct api_key key = { .name = STR("an \"app\""),
                           .owner = STR("ann"),
                           .tier = STR("Gold"),
                           .created_s = 1000,
                           .expires_s = 2000 },
                   got;
    const char *what;
    struct jwt t;
    (void)state;

    list_item(&key.apis, "Shop:1.0");
    list_item(&key.ips, "10.0.0.0/8");
    list_item(&key.referers, "*.example.com/*");
    list_item(&key.scopes, "read");
    signed_key_name(a, &key);
    assert_int_equal(key.id.len, 22);
    assert_int_equal(verify(sign(&key), 1500, &t), JWT_OK);
    assert_true(str_is(t.iss, "us"));
    assert_true(str_is(t.sub, "ann"));
    assert_int_equal(signed_key_read(a, &t, 0, false, &got, &what), ERR_OK);
    assert_true(str_eq(got.id, key.id));
    assert_true(str_is(got.name, "an \"app\""));
    assert_true(str_is(got.owner, "ann"));
    assert_true(str_is(got.tier, "Gold"));
    assert_int_equal(got.apis.count, 1);
    assert_true(str_is(got.apis.items[0], "Shop:1.0"));
    assert_true(str_is(got.scopes.items[0], "read"));
    assert_int_equal(got.created_s, 1000);
    assert_int_equal(got.expires_s, 2000);
    assert_non_null(got.addresses);
}

static void no_two_keys_have_one_id(void **state)
{
    struct api_key one = { 0 }, two = { 0 };
    (void)state;

    signed_key_name(a, &one);
    signed_key_name(a, &two);
    assert_false(str_eq(one.id, two.id));
}

static void a_key_without_end_is_good_for_ever(void **state)
{
    struct api_key key = { .name = STR("x"), .created_s = 5 }, got;
    const char *what;
    struct jwt t;
    (void)state;

    signed_key_name(a, &key);
    assert_int_equal(verify(sign(&key), 4000000000, &t), JWT_OK);
    assert_int_equal(signed_key_read(a, &t, 5, false, &got, &what), ERR_OK);
    assert_int_equal(got.expires_s, 0);
    assert_false(got.apis_hold);
}

static void what_is_not_ours_is_refused(void **state)
{
    struct api_key key = { .name = STR("x"), .created_s = 5 };
    struct jwt_header header = { .typ = STR("JWT"), .kid = signers.own.kid };
    struct str text, other;
    char *other_byte;
    struct buf b;
    struct jwt t;
    (void)state;

    signed_key_name(a, &key);
    text = sign(&key);
    other = arena_copy(a, text);
    other_byte = (char *)(uintptr_t)other.p + text.len - 5;
    *other_byte = *other_byte == 'A' ? 'B' : 'A';
    assert_int_equal(verify(other, 10, &t), JWT_BAD_SIGNATURE);
    /* signed by us, and something else */
    buf_init(&b, 4096);
    assert_int_equal(jwt_sign(signers.own.pkey, signers.own.alg, &header,
                              STR("{\"jti\":\"x\",\"token_type\":\"apiKey\"}"),
                              &b),
                     ERR_OK);
    assert_int_equal(verify(buf_view(&b), 10, &t), JWT_WRONG_ISSUER);
    buf_done(&b);
    key.expires_s = 8;
    assert_int_equal(verify(sign(&key), 8, &t), JWT_EXPIRED);
}

static void too_much_for_one_key_is_said(void **state)
{
    struct api_key key = { .name = STR("x") };
    char name[13000];
    struct str text;
    (void)state;

    memset(name, 'x', sizeof(name));
    key.name = str_from(name, sizeof(name));
    signed_key_name(a, &key);
    assert_int_equal(
        signed_key_sign(a, &signers.own, &key, signers.issuer, &text),
        ERR_LIMIT);
}

static enum err read_text(const char *text, bool apis_wanted,
                          struct api_key *out)
{
    struct json_error error;
    struct json *claims;
    const char *what = NULL;
    struct jwt t;
    enum err e;

    assert_int_equal(
        json_parse(a, str_z(text), &json_default_limits, &claims, &error),
        ERR_OK);
    assert_int_equal(jwt_of_claims(a, claims, &t, &what), JWT_OK);
    e = signed_key_read(a, &t, 5, apis_wanted, out, &what);
    assert_int_equal(e != ERR_OK, what != NULL);
    return e;
}

#define KEY "\"jti\":\"j\",\"token_type\":\"apiKey\""

static void the_models_claims_are_understood(void **state)
{
    struct key_use use = {
        .api = STR("Shop"), .version = STR("1.0"), .ip = here, .now_s = 1000
    };
    static const struct {
        const char *claims;
        bool wanted;
        enum key_verdict verdict;
    } cases[] = {
        { "{" KEY "}", false, KEY_GOOD },
        { "{" KEY "}", true, KEY_OTHER_API },
        { "{" KEY ",\"subscribedAPIs\":[]}", false, KEY_OTHER_API },
        { "{" KEY ",\"subscribedAPIs\":[{\"name\":\"Shop\",\"version\":"
          "\"1.0\"}]}",
          true, KEY_GOOD },
        { "{" KEY ",\"subscribedAPIs\":[{\"name\":\"Shop\",\"version\":"
          "\"1.1\"}]}",
          true, KEY_OTHER_API },
        { "{" KEY ",\"allowedAPIs\":[{\"name\":\"Shop\",\"versions\":\"*\"}]}",
          true, KEY_GOOD },
        { "{" KEY ",\"allowedAPIs\":[{\"name\":\"Shop\",\"versions\":[\"0\","
          "\"1.0\"]}]}",
          true, KEY_GOOD },
        { "{" KEY ",\"allowedAPIs\":[{\"name\":\"Shop\",\"versions\":[]}]}",
          true, KEY_OTHER_API },
        { "{" KEY ",\"permittedIP\":\"\",\"permittedReferer\":\"\"}", false,
          KEY_GOOD },
        { "{" KEY ",\"permittedIP\":\"192.0.2.1, 10.0.0.0/8\"}", false,
          KEY_GOOD },
        { "{" KEY ",\"permittedIP\":[\"192.0.2.1\"]}", false,
          KEY_OTHER_ADDRESS },
        { "{" KEY ",\"permittedReferer\":\"*.gef.com/*\"}", false,
          KEY_OTHER_REFERER },
        { "{" KEY ",\"exp\":-1}", false, KEY_GOOD },
        { "{" KEY ",\"exp\":996}", false, KEY_GOOD }, /* skew */
        { "{" KEY ",\"exp\":995}", false, KEY_EXPIRED },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct api_key key;

        assert_int_equal(read_text(cases[i].claims, cases[i].wanted, &key),
                         ERR_OK);
        assert_int_equal(api_key_judge(&key, &use), cases[i].verdict);
    }
}

static void claims_in_a_wrong_form_are_refused(void **state)
{
    static const char *const cases[] = {
        "{\"jti\":\"j\"}",
        "{\"token_type\":\"apiKey\"}",
        "{\"jti\":\"\",\"token_type\":\"apiKey\"}",
        "{\"jti\":\"j\",\"token_type\":\"InternalKey\"}",
        "{\"jti\":\"j\",\"token_type\":\"apikey\"}",
        "{" KEY ",\"permittedIP\":\"10.0.0.0/33\"}",
        "{" KEY ",\"permittedIP\":7}",
        "{" KEY ",\"permittedIP\":[7]}",
        "{" KEY ",\"permittedReferer\":{}}",
        "{" KEY ",\"scope\":[1]}",
        "{" KEY ",\"subscribedAPIs\":null}",
        "{" KEY ",\"subscribedAPIs\":\"Shop\"}",
        "{" KEY ",\"subscribedAPIs\":[\"Shop\"]}",
        "{" KEY ",\"subscribedAPIs\":[{\"name\":\"Shop\",\"version\":1}]}",
        "{" KEY ",\"allowedAPIs\":[{\"name\":\"\"}]}",
    };
    struct api_key key;
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(read_text(cases[i], false, &key), ERR_INVALID);
}

static void the_key_that_signs_stays_and_is_private(void **state)
{
    struct str path = key_signers_path(a, &conf, str_z(folder));
    struct signing_key again;
    struct stat st;
    (void)state;

    assert_int_equal(stat(path.p, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(key_signers_own(a, &conf, str_z(folder), &ps, &again),
                     ERR_OK);
    assert_true(str_eq(again.kid, signers.own.kid));
}

/* A check of a configuration writes nothing. */
static void a_check_makes_no_key(void **state)
{
    struct str empty = arena_printf(a, "%s/empty", folder);
    struct key_signers checked = { 0 };
    struct stat st;
    (void)state;

    assert_int_equal(mkdir(empty.p, 0700), 0);
    assert_int_equal(key_signers_init(a, &conf, empty, keysets, false, STR_NULL,
                                      &ps, &checked),
                     ERR_OK);
    assert_int_equal(checked.count, 0);
    assert_int_not_equal(stat(key_signers_path(a, &conf, empty).p, &st), 0);
    watched_close(&checked.revoked);
}

static void an_issuer_needs_one_source_of_keys(void **state)
{
    struct key_issuer_conf neither = { .issuer = STR("x") };
    struct key_signers checked = { 0 };
    (void)state;

    conf.issuers = (struct conf_list) { &neither, 1 };
    assert_int_equal(key_signers_init(a, &conf, str_z(folder), keysets, false,
                                      STR("t.yaml"), &ps, &checked),
                     ERR_INVALID);
    assert_non_null(strstr(ps.first->text.p, "issuers[0]"));
    watched_close(&checked.revoked);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(no_two_keys_have_one_id),
        TEST(a_key_without_end_is_good_for_ever),
        TEST(what_is_not_ours_is_refused),
        TEST(too_much_for_one_key_is_said),
        TEST(the_models_claims_are_understood),
        TEST(claims_in_a_wrong_form_are_refused),
        TEST(the_key_that_signs_stays_and_is_private),
        TEST(a_check_makes_no_key),
        TEST(an_issuer_needs_one_source_of_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
