/* test_h1_chunks.c - chunked bodies: any split of the bytes gives the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "http/h1.h"

static const struct h1_chunk_limits limits = { .extension = 64, .trailer = 64 };

/* What came out of a body. */
struct result {
    enum err e;
    char data[512];
    size_t len;
    size_t used;
    struct buf trailers;
    struct h1_error error;
};

/* Feeds text in pieces that end at the places in cut (then one of the rest),
 * or one byte at a time when every is set. */
static struct result decode_cut(struct str text, size_t first, size_t second,
                                bool every)
{
    struct h1_chunks c = { 0 };
    struct result r = { .e = ERR_AGAIN };
    size_t from = 0;

    buf_init(&r.trailers, 1024);
    while (from < text.len && r.e == ERR_AGAIN) {
        size_t to = every           ? from + 1
                    : from < first  ? first
                    : from < second ? second
                                    : text.len;
        size_t used = 0, data = 0;
        /* of exactly this size, so that a sanitizer sees going past it */
        char *piece = malloc(to - from);

        assert_non_null(piece);
        memcpy(piece, text.p + from, to - from);
        r.e = h1_chunks_decode(&c, &limits, piece, to - from, &used, &data,
                               &r.trailers, &r.error);
        if (r.e == ERR_OK || r.e == ERR_AGAIN) {
            assert_true(r.e == ERR_OK || used == to - from);
            assert_true(data <= used && r.len + data <= sizeof(r.data));
            memcpy(r.data + r.len, piece, data);
            r.len += data;
            r.used += used;
        }
        free(piece);
        from = to;
    }
    assert_true(r.e == ERR_INVALID || r.e == ERR_LIMIT || c.total == r.len);
    return r;
}

static void same(const struct result *a, const struct result *b)
{
    assert_int_equal(a->e, b->e);
    if (a->e == ERR_INVALID || a->e == ERR_LIMIT) {
        assert_int_equal(a->error.status, b->error.status);
        return;
    }
    assert_int_equal(a->used, b->used);
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
    assert_true(str_eq(buf_view(&a->trailers), buf_view(&b->trailers)));
}

/* Decodes in every way there is, which must all agree. The caller frees the
 * trailers. */
static struct result decode(struct str text)
{
    struct result whole = decode_cut(text, text.len, text.len, false), part;
    size_t i, j;

    part = decode_cut(text, 0, 0, true);
    same(&whole, &part);
    buf_done(&part.trailers);
    for (i = 1; i < text.len; i++) {
        for (j = i; j < text.len; j++) {
            part = decode_cut(text, i, j, false);
            same(&whole, &part);
            buf_done(&part.trailers);
        }
    }
    return whole;
}

static void gives(struct str text, const char *data, size_t used)
{
    struct result r = decode(text);

    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(r.used, used);
    assert_true(str_eq(str_from(r.data, r.len), str_z(data)));
    buf_done(&r.trailers);
}

static void is_refused(struct str text, enum err e, uint16_t status)
{
    struct result r = decode(text);

    if (r.e != e || r.error.status != status)
        fail_msg("\"%.*s\": %s, %u", STR_ARG(text), err_name(r.e),
                 r.error.status);
    assert_non_null(r.error.what);
    buf_done(&r.trailers);
}

static void chunks_are_put_together(void **state)
{
    (void)state;

    gives(STR("0\r\n\r\n"), "", 5);
    gives(STR("000\r\n\r\n"), "", 7);
    gives(STR("5\r\nhello\r\n0\r\n\r\n"), "hello", 15);
    gives(STR("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "hello world", 26);
    gives(STR("a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n"),
          "01234567890123456789", 36);
    gives(STR("2\r\n\r\n\r\n0\r\n\r\n"), "\r\n", 12);
}

static void what_follows_the_body_is_left_alone(void **state)
{
    (void)state;

    gives(STR("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), "x", 11);
    gives(STR("0\r\n\r\n\r\n"), "", 5);
}

static void extensions_are_skipped(void **state)
{
    (void)state;

    gives(STR("1;a=b\r\nx\r\n0;c\r\n\r\n"), "x", 17);
    gives(STR("1;a=\"b;\t c\";d\r\nx\r\n0\r\n\r\n"), "x", 23);
    gives(STR("1;\r\nx\r\n0;\x80\r\n\r\n"), "x", 14);
}

static void extensions_have_a_ceiling_over_the_whole_body(void **state)
{
    char text[256] = "";
    size_t i;
    (void)state;

    for (i = 0; i < 16; i++)
        strcat(text, "1;aaa\r\nx\r\n"); /* four bytes each */
    strcat(text, "0\r\n\r\n");
    gives(str_z(text), "xxxxxxxxxxxxxxxx", strlen(text));
    text[strlen(text) - 4] = '\0';
    strcat(text, ";\r\n\r\n");
    is_refused(str_z(text), ERR_LIMIT, 413);
}

static void bad_sizes_are_refused(void **state)
{
    static const char *const bad[] = {
        "\r\nx",       "g\r\n",      "5g\r\nhello",  "+5\r\nhello",
        "-1\r\nhello", " 5\r\n",     "5 \r\nhello",  "5\t\r\nhello",
        "0x5\r\n",     ";a=b\r\n",   "5\nhello\r\n", "5\rXhello",
        "5;a\nb\r\n",  "5;a\rb\r\n", "5;a\x7f\r\n",  "5,a\r\n",
        "0\n\r\n",     "0\r\r\n",
    };
    size_t i;
    (void)state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        is_refused(str_z(bad[i]), ERR_INVALID, 400);
    is_refused(STR("5\0\r\nhello"), ERR_INVALID, 400);
    is_refused(STR("5;\0\r\nhello"), ERR_INVALID, 400);
}

static void sizes_reach_to_two_to_the_63_minus_1(void **state)
{
    struct result r = decode(STR("7FFFFFFFFFFFFFFF\r\nhello"));
    (void)state;

    assert_int_equal(r.e, ERR_AGAIN);
    assert_int_equal(r.len, 5);
    buf_done(&r.trailers);
    is_refused(STR("8000000000000000\r\n"), ERR_INVALID, 400);
    is_refused(STR("FFFFFFFFFFFFFFFF\r\n"), ERR_INVALID, 400);
    is_refused(STR("10000000000000005\r\n"), ERR_INVALID, 400);
}

static void leading_zeros_have_a_ceiling(void **state)
{
    char text[128];
    (void)state;

    memset(text, '0', sizeof(text));
    memcpy(text + 63, "1\r\nx\r\n0\r\n\r\n", 12);
    gives(str_z(text), "x", 63 + 11);
    text[63] = '0';
    memcpy(text + 64, "1\r\nx\r\n0\r\n\r\n", 12);
    is_refused(str_z(text), ERR_INVALID, 400);
}

static void data_ends_in_crlf_exactly(void **state)
{
    (void)state;

    is_refused(STR("5\r\nhello0\r\n\r\n"), ERR_INVALID, 400);
    is_refused(STR("5\r\nhello\n0\r\n\r\n"), ERR_INVALID, 400);
    is_refused(STR("5\r\nhelloXX0\r\n\r\n"), ERR_INVALID, 400);
    is_refused(STR("5\r\nhello\r0\r\n\r\n"), ERR_INVALID, 400);
    is_refused(STR("3\r\nfoo\r\n\r\n"), ERR_INVALID, 400);
}

static void trailers_are_copied_as_lines(void **state)
{
    struct result r =
        decode(STR("1\r\nx\r\n0\r\nX-T: 1\r\nDigest:\t\"\xe9\"  \r\n\r\nrest"));
    (void)state;

    assert_int_equal(r.e, ERR_OK);
    assert_true(
        str_is(buf_view(&r.trailers), "X-T: 1\r\nDigest:\t\"\xe9\"  \r\n"));
    buf_done(&r.trailers);
}

static void bad_trailers_are_refused(void **state)
{
    static const char *const bad[] = {
        "0\r\nBroken\r\n\r\n",     "0\r\n: a\r\n\r\n",
        "0\r\nA : b\r\n\r\n",      "0\r\n A: b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n", "0\r\nA: b\nC: d\r\n\r\n",
        "0\r\nA: b\rC: d\r\n\r\n", "0\r\nA: \x01\r\n\r\n",
        "0\r\nA(: b\r\n\r\n",      "0\r\n\nA: b\r\n\r\n",
        "0\r\nA: b\r\n\r\r\n",
    };
    size_t i;
    (void)state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        is_refused(str_z(bad[i]), ERR_INVALID, 400);
}

static void trailers_have_a_ceiling(void **state)
{
    char text[128] = "0\r\nA: ";
    size_t n = strlen(text);
    (void)state;

    memset(text + n, 'v', 59);
    strcpy(text + n + 59, "\r\n\r\n"); /* a line of 64 bytes */
    gives(str_z(text), "", strlen(text));
    memset(text + n, 'v', 60);
    strcpy(text + n + 60, "\r\n\r\n");
    is_refused(str_z(text), ERR_LIMIT, 431);
}

static void trailers_may_be_thrown_away(void **state)
{
    char text[] = "1\r\nx\r\n0\r\nX-T: 1\r\n\r\n";
    struct h1_chunks c = { 0 };
    struct h1_error error;
    size_t used, data;
    struct buf small;
    (void)state;

    assert_int_equal(h1_chunks_decode(&c, &limits, text, sizeof(text) - 1,
                                      &used, &data, NULL, &error),
                     ERR_OK);
    assert_int_equal(c.trailer, 8);

    /* and the buffer for them may be smaller than the limit */
    memcpy(text, "0\r\nX-T: 1\r\n\r\n", 14);
    c = (struct h1_chunks) { 0 };
    buf_init(&small, 4);
    assert_int_equal(
        h1_chunks_decode(&c, &limits, text, 13, &used, &data, &small, &error),
        ERR_LIMIT);
    assert_int_equal(error.status, 431);
    buf_done(&small);
}

static void an_ended_body_takes_nothing_more(void **state)
{
    char text[] = "0\r\n\r\n";
    struct h1_chunks c = { 0 };
    struct h1_error error;
    size_t used = 9, data = 9;
    (void)state;

    assert_int_equal(
        h1_chunks_decode(&c, &limits, text, 5, &used, &data, NULL, &error),
        ERR_OK);
    assert_int_equal(
        h1_chunks_decode(&c, &limits, text, 5, &used, &data, NULL, &error),
        ERR_OK);
    assert_int_equal(used, 0);
    assert_int_equal(data, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_put_together),
        cmocka_unit_test(what_follows_the_body_is_left_alone),
        cmocka_unit_test(extensions_are_skipped),
        cmocka_unit_test(extensions_have_a_ceiling_over_the_whole_body),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(sizes_reach_to_two_to_the_63_minus_1),
        cmocka_unit_test(leading_zeros_have_a_ceiling),
        cmocka_unit_test(data_ends_in_crlf_exactly),
        cmocka_unit_test(trailers_are_copied_as_lines),
        cmocka_unit_test(bad_trailers_are_refused),
        cmocka_unit_test(trailers_have_a_ceiling),
        cmocka_unit_test(trailers_may_be_thrown_away),
        cmocka_unit_test(an_ended_body_takes_nothing_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
