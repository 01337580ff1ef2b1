/* test_b64.c - texts and bytes, one for one. */
#include "jose_fixture.h"

#include "jose/b64.h"

static enum err decode(const char *text, char *out, size_t *len)
{
    struct str s = str_z(text);
    char *copy = malloc(s.len + 1), *to = malloc(b64_decoded(s.len) + 1);
    enum err e;

    /* On the heap and of exact size, for the sanitizer. */
    memcpy(copy, s.p, s.len);
    e = b64url_decode(str_from(copy, s.len), to, len);
    if (!e)
        memcpy(out, to, *len);
    free(copy);
    free(to);
    return e;
}

static void every_length_goes_there_and_back(void **state)
{
    unsigned char bytes[256], back[256];
    char text[512];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 151 + 7);
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        size_t chars = b64url_encode(bytes, n, text);

        assert_int_equal(chars, b64url_encoded(n));
        assert_int_equal(b64url_decode(str_from(text, chars), back, &len),
                         ERR_OK);
        assert_int_equal(len, n);
        assert_memory_equal(back, bytes, n);
        chars = b64_encode(bytes, n, text);
        assert_int_equal(chars, b64_encoded(n));
        assert_int_equal(b64_decode(str_from(text, chars), back, &len), ERR_OK);
        assert_int_equal(len, n);
        assert_memory_equal(back, bytes, n);
    }
}

static void examples_of_rfc_4648(void **state)
{
    static const char *const pairs[][2] = {
        { "", "" },
        { "f", "Zg" },
        { "fo", "Zm8" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg" },
        { "fooba", "Zm9vYmE" },
        { "foobar", "Zm9vYmFy" },
    };
    char text[16];

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        size_t n = b64url_encode(pairs[i][0], strlen(pairs[i][0]), text);

        assert_true(str_is(str_from(text, n), pairs[i][1]));
    }
}

static void the_alphabet_is_that_of_urls(void **state)
{
    char out[8];
    size_t len;

    (void)state;
    assert_int_equal(decode("-_-_", out, &len), ERR_OK);
    assert_memory_equal(out, "\xfb\xff\xbf", 3);
    assert_int_equal(decode("+/+/", out, &len), ERR_INVALID);
    assert_int_equal(b64_decode(STR("+/+/"), out, &len), ERR_OK);
    assert_memory_equal(out, "\xfb\xff\xbf", 3);
    assert_int_equal(b64_decode(STR("-_-_"), out, &len), ERR_INVALID);
}

static void other_bytes_are_refused_at_every_place(void **state)
{
    char out[16];
    size_t len;

    (void)state;
    for (int c = 1; c < 256; c++) {
        bool good = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
                           "wxyz0123456789-_",
                           c) != NULL;

        for (size_t at = 0; at < 6; at++) {
            char text[] = "AAAAAAA"; /* its last one keeps unused bits zero */

            text[at] = (char)c;
            assert_int_equal(decode(text, out, &len),
                             good ? ERR_OK : ERR_INVALID);
        }
    }
}

static void unused_bits_must_be_zero(void **state)
{
    char out[8];
    size_t len;

    (void)state;
    assert_int_equal(decode("AQ", out, &len), ERR_OK);
    assert_int_equal(decode("AR", out, &len), ERR_INVALID);
    assert_int_equal(decode("AB", out, &len), ERR_INVALID);
    assert_int_equal(decode("AAE", out, &len), ERR_OK);
    assert_int_equal(decode("AAF", out, &len), ERR_INVALID);
    assert_int_equal(decode("AAC", out, &len), ERR_INVALID);
}

static void wrong_lengths_and_padding_are_refused(void **state)
{
    char out[8];
    size_t len;

    (void)state;
    assert_int_equal(decode("A", out, &len), ERR_INVALID);
    assert_int_equal(decode("AAAAA", out, &len), ERR_INVALID);
    assert_int_equal(decode("AA==", out, &len), ERR_INVALID);
    assert_int_equal(decode("AAA=", out, &len), ERR_INVALID);
    assert_int_equal(decode("AAAA\n", out, &len), ERR_INVALID);
    assert_int_equal(decode(" AAAA", out, &len), ERR_INVALID);
    /* With the other alphabet it is the other way round. */
    assert_int_equal(b64_decode(STR("AA=="), out, &len), ERR_OK);
    assert_int_equal(len, 1);
    assert_int_equal(b64_decode(STR("AA"), out, &len), ERR_INVALID);
    assert_int_equal(b64_decode(STR("A==="), out, &len), ERR_INVALID);
    assert_int_equal(b64_decode(STR("===="), out, &len), ERR_INVALID);
    assert_int_equal(b64_decode(STR("AA==AA=="), out, &len), ERR_INVALID);
    assert_int_equal(b64_decode(STR("AB=="), out, &len), ERR_INVALID);
}

static void nothing_is_nothing(void **state)
{
    struct str out;
    size_t len = 7;

    (void)state;
    assert_int_equal(b64url_decode(STR_NULL, NULL, &len), ERR_OK);
    assert_int_equal(len, 0);
    assert_int_equal(b64url_decode_in(arena, STR(""), &out), ERR_OK);
    assert_int_equal(out.len, 0);
    assert_string_equal(b64url_encode_in(arena, STR("foo")).p, "Zm9v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_goes_there_and_back),
        cmocka_unit_test(examples_of_rfc_4648),
        cmocka_unit_test(the_alphabet_is_that_of_urls),
        cmocka_unit_test(other_bytes_are_refused_at_every_place),
        cmocka_unit_test(unused_bits_must_be_zero),
        cmocka_unit_test(wrong_lengths_and_padding_are_refused),
        cmocka_unit_test_setup_teardown(nothing_is_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
