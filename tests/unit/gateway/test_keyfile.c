/* test_keyfile.c - API keys and the file with their hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "gateway/credential/keyfile.h"
#include "temp_folder.h"

static struct arena *a;
static struct problems ps;
static char folder[TEMP_FOLDER_PATH];
static struct str path;
static const uint8_t here[16] = { [10] = 0xff, [11] = 0xff, 10, 1, 1, 1 };

static int begin(void **state)
{
    (void)state;
    a = arena_new();
    problems_init(&ps, a);
    temp_folder_make(folder);
    path = arena_printf(a, "%s/keys", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    arena_free(a);
    return 0;
}

static struct keyfile *load(void)
{
    struct keyfile *k = NULL;

    assert_int_equal(keyfile_load(path, &ps, &k), ERR_OK);
    return k;
}

static struct key_use a_use(void)
{
    return (struct key_use) {
        .api = STR("Shop"), .version = STR("1.0"), .ip = here, .now_s = 1000
    };
}

static enum key_verdict verdict(const char *text, const struct key_use *use)
{
    struct keyfile *k = load();
    const struct api_key *key = NULL;
    enum key_verdict v = keyfile_check(k, str_z(text), use, &key);

    assert_int_equal(key != NULL, v == KEY_GOOD || v > KEY_UNKNOWN);
    keyfile_free(k);
    return v;
}

static struct conf_strings one(const char *s)
{
    struct str *items = arena_alloc(a, sizeof(*items));

    *items = str_z(s);
    return (struct conf_strings) { items, 1 };
}

static void a_key_that_was_added_is_good(void **state)
{
    struct api_key key = { .name = STR("shop \"app\""), .created_s = 5 };
    struct key_use use = a_use();
    char text[API_KEY_TEXT + 1];
    struct keyfile *k;
    struct stat st;
    (void)state;

    api_key_make(a, &key, text);
    assert_int_equal(strlen(text), API_KEY_TEXT);
    assert_int_equal(keyfile_add(path, &key, &ps), ERR_OK);
    assert_int_equal(verdict(text, &use), KEY_GOOD);
    assert_int_equal(stat(path.p, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    k = load();
    assert_int_equal(keyfile_count(k), 1);
    assert_true(str_is(keyfile_at(k, 0)->name, "shop \"app\""));
    assert_int_equal(keyfile_at(k, 0)->created_s, 5);
    keyfile_free(k);
}

static void no_changed_byte_of_a_key_is_taken(void **state)
{
    struct api_key key = { .name = STR("x") };
    struct key_use use = a_use();
    char text[API_KEY_TEXT + 1];
    const struct api_key *out;
    struct keyfile *k;
    (void)state;

    api_key_make(a, &key, text);
    assert_int_equal(keyfile_add(path, &key, &ps), ERR_OK);
    k = load();
    for (size_t i = 0; i < API_KEY_TEXT; i++) {
        text[i] ^= 1;
        assert_int_equal(keyfile_check(k, str_z(text), &use, &out),
                         KEY_MALFORMED);
        text[i] ^= 1;
        assert_int_equal(keyfile_check(k, str_from(text, i), &use, &out),
                         KEY_MALFORMED);
    }
    keyfile_free(k);
}

/* Well formed, and of nobody: the id of a key with another's secret. */
static void a_wrong_secret_is_like_no_key_at_all(void **state)
{
    struct api_key key = { .name = STR("x") }, other = { .name = STR("y") };
    struct key_use use = a_use();
    char text[API_KEY_TEXT + 1], another[API_KEY_TEXT + 1];
    (void)state;

    api_key_make(a, &key, text);
    api_key_make(a, &other, another);
    assert_int_equal(verdict(text, &use), KEY_UNKNOWN);
    other.id = key.id;
    assert_int_equal(keyfile_add(path, &other, &ps), ERR_OK);
    assert_int_equal(verdict(text, &use), KEY_UNKNOWN);
}

static void a_key_is_bound_to_what_it_names(void **state)
{
    struct api_key key = { .name = STR("x"),
                           .apis = one("Shop:1.0"),
                           .ips = one("10.0.0.0/8"),
                           .referers = one("*.example.com/*"),
                           .expires_s = 2000 };
    struct key_use use = a_use();
    static const uint8_t elsewhere[16] = { [10] = 0xff, [11] = 0xff, 11 };
    char text[API_KEY_TEXT + 1];
    (void)state;

    api_key_make(a, &key, text);
    assert_int_equal(keyfile_add(path, &key, &ps), ERR_OK);
    use.referer = STR("https://a.example.com/page");
    assert_int_equal(verdict(text, &use), KEY_GOOD);
    use.version = STR("1.1");
    assert_int_equal(verdict(text, &use), KEY_OTHER_API);
    use.version = STR("1.0");
    use.ip = elsewhere;
    assert_int_equal(verdict(text, &use), KEY_OTHER_ADDRESS);
    use.ip = here;
    use.referer = STR("https://example.com.evil.org/");
    assert_int_equal(verdict(text, &use), KEY_OTHER_REFERER);
    use.referer = STR("");
    assert_int_equal(verdict(text, &use), KEY_OTHER_REFERER);
    use.referer = STR("a.EXAMPLE.com/");
    assert_int_equal(verdict(text, &use), KEY_GOOD);
    use.now_s = 2000;
    assert_int_equal(verdict(text, &use), KEY_EXPIRED);
    assert_int_equal(keyfile_revoke(path, key.id, 1500, &ps), ERR_OK);
    assert_int_equal(verdict(text, &use), KEY_REVOKED);
    assert_int_equal(keyfile_revoke(path, STR("nosuchkey0"), 1, &ps),
                     ERR_NOT_FOUND);
}

static void patterns_match_as_written(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } table[] = {
        { "*", "", true },
        { "*", "x", true },
        { "", "", true },
        { "", "x", false },
        { "a*b", "ab", true },
        { "a*b", "axxb", true },
        { "a*b", "axxbc", false },
        { "*.gef.com/*", "x.gef.com/", true },
        { "*.gef.com/*", "gef.com/", false },
        { "sub.cds.com/*", "SUB.cds.com/a/b", true },
        { "a**b*", "aab", true },
        { "*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (referer_matches(str_z(table[i].pattern), str_z(table[i].text)) !=
            table[i].match)
            fail_msg("%s and %s", table[i].pattern, table[i].text);
}

#define HASH64 \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void a_broken_file_names_its_line(void **state)
{
    static const char *const broken[] = {
        "{}",
        "x",
        "[]",
        "{\"id\":\"short\",\"hash\":\"" HASH64 "\"}",
        "{\"id\":\"0123456789\",\"hash\":\"12\"}",
        "{\"id\":\"0123456789\",\"hash\":\"" HASH64 "\",\"color\":1}",
        "{\"id\":\"0123456789\",\"hash\":\"" HASH64 "\",\"ips\":[\"x\"]}",
        "{\"id\":\"0123456789\",\"hash\":\"" HASH64 "\",\"apis\":[1]}",
        "{\"id\":\"0123456789\",\"hash\":\"" HASH64 "\",\"expires\":-1}",
        "{\"id\":\"abcdefghij\",\"hash\":\"" HASH64 "\"}",
    };
    struct keyfile *k;
    (void)state;

    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        struct str text = arena_printf(
            a, "\n{\"id\":\"abcdefghij\",\"hash\":\"" HASH64 "\"}\n%s\n",
            broken[i]);

        problems_init(&ps, a);
        temp_file_write(path, text.p);
        assert_int_equal(keyfile_load(path, &ps, &k), ERR_INVALID);
        assert_int_equal(ps.first->line, 3);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_that_was_added_is_good),
        TEST(no_changed_byte_of_a_key_is_taken),
        TEST(a_wrong_secret_is_like_no_key_at_all),
        TEST(a_key_is_bound_to_what_it_names),
        TEST(patterns_match_as_written),
        TEST(a_broken_file_names_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
