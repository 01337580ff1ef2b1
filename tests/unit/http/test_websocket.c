/* test_websocket.c - frames followed, and messages taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "http/websocket.h"

/* RFC 6455 section 5.7. */
#define HELLO "\x81\x05Hello"
#define HELLO_MASKED "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
#define HEL_LO "\x01\x03Hel\x80\x02lo"
#define PING "\x89\x05Hello"
#define BYTES(literal) literal, sizeof(literal) - 1

static void the_sample_key_has_the_sample_answer(void **state)
{
    char out[WEBSOCKET_ACCEPT_LEN];
    (void)state;

    websocket_accept(STR("dGhlIHNhbXBsZSBub25jZQ=="), out);
    assert_memory_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof(out));
}

/* Following */

static enum err follow(bool client, bool extensions, const char *p, size_t n,
                       struct ws_track *t, size_t *boundary)
{
    ws_track_init(t, client, extensions);
    return ws_track_follow(t, p, n, boundary);
}

static void the_samples_are_good(void **state)
{
    struct ws_track t;
    size_t at;
    (void)state;

    assert_int_equal(follow(false, false, BYTES(HELLO HEL_LO PING), &t, &at),
                     ERR_OK);
    assert_int_equal(at, sizeof(HELLO HEL_LO PING) - 1);
    assert_int_equal(t.messages, 2);
    assert_true(ws_track_between(&t));
    assert_int_equal(follow(true, false, BYTES(HELLO_MASKED), &t, &at), ERR_OK);
    assert_int_equal(at, sizeof(HELLO_MASKED) - 1);
}

static void broken_framing_is_found(void **state)
{
    static const struct {
        bool client, extensions;
        const char *p;
        size_t n;
    } bad[] = {
        { true, false, BYTES(HELLO) },         /* no mask */
        { false, false, BYTES(HELLO_MASKED) }, /* a mask */
        { false, false, BYTES("\x83\x00") },   /* an unknown opcode */
        { false, false, BYTES("\x8b\x00") },   /* an unknown control */
        { false, false, BYTES("\xc1\x00") },   /* a reserved bit */
        { false, true, BYTES("\xc9\x00") },    /* ... in a control frame */
        { false, false, BYTES("\x09\x00") },   /* a ping in pieces */
        { false, false, BYTES("\x89\x7e\x00\x7e") }, /* a long ping */
        { false, false, BYTES("\x80\x00") },         /* the rest of nothing */
        { false, false, BYTES("\x01\x00\x81\x00") }, /* a message inside */
        { false, false, BYTES("\x82\x7e\x00\x7d") }, /* length 125 in two */
        { false, false, BYTES("\x82\x7f\0\0\0\0\0\0\xff\xff") }, /* ... in 8 */
        { false, false, BYTES("\x82\x7f\x80\0\0\0\0\0\0\0") },   /* 2^63 */
        { false, false, BYTES("\x88\x01\x03") }, /* half a code */
    };
    struct ws_track t;
    size_t at;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(follow(bad[i].client, bad[i].extensions, bad[i].p,
                                bad[i].n, &t, &at),
                         ERR_INVALID);
        assert_non_null(t.why);
    }
    assert_int_equal(follow(false, true, BYTES("\xc1\x00"), &t, &at), ERR_OK);
}

static void lengths_may_be_large(void **state)
{
    struct ws_track t;
    size_t at;
    (void)state;

    assert_int_equal(follow(false, false,
                            BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
                            &t, &at),
                     ERR_OK);
    assert_int_equal(at, 0);
    assert_int_equal(t.left, INT64_MAX);
    assert_false(ws_track_between(&t));
}

static void nothing_counts_after_a_close(void **state)
{
    struct ws_track t;
    size_t at;
    (void)state;

    assert_int_equal(follow(false, false,
                            BYTES(HELLO "\x88\x05\x0f\xa0"
                                        "bye\xff\xff\xff"),
                            &t, &at),
                     ERR_OK);
    assert_true(t.closed);
    assert_int_equal(t.code, 4000);
    assert_int_equal(at, sizeof(HELLO) - 1 + 7);
    assert_int_equal(follow(false, false, BYTES("\x88\x00"), &t, &at), ERR_OK);
    assert_int_equal(t.code, WS_NO_CODE);
    assert_true(t.closed);
    assert_int_equal(
        follow(true, false, BYTES("\x88\x82\1\2\3\4\x02\xea"), &t, &at),
        ERR_OK);
    assert_int_equal(t.code, 1000);
}

static void every_cut_gives_the_same(void **state)
{
    static const char p[] = HELLO HEL_LO PING "\x82\x7e\x01\x00";
    char all[sizeof(p) - 1 + 256 + 4];
    size_t n = sizeof(all);
    (void)state;

    memcpy(all, p, sizeof(p) - 1);
    memset(all + sizeof(p) - 1, 'z', 256);
    memcpy(all + n - 4, "\x88\x02\x03\xe8", 4);
    for (size_t cut = 0; cut <= n; cut++) {
        struct ws_track t;
        size_t first, second;

        ws_track_init(&t, false, false);
        assert_int_equal(ws_track_follow(&t, all, cut, &first), ERR_OK);
        assert_true(first <= cut);
        assert_int_equal(ws_track_between(&t), first == cut);
        assert_int_equal(ws_track_follow(&t, all + cut, n - cut, &second),
                         ERR_OK);
        assert_int_equal(t.messages, 3);
        assert_true(t.closed);
        assert_int_equal(t.code, 1000);
        assert_int_equal(second, n - cut);
    }
}

static void our_close_frames_are_good_frames(void **state)
{
    static const uint8_t mask[4] = { 9, 8, 7, 6 };
    char out[WS_CLOSE_MAX], reason[200];
    struct ws_track t;
    size_t at, n;
    (void)state;

    memset(reason, 'r', sizeof(reason));
    for (size_t len = 0; len <= sizeof(reason); len++) {
        n = ws_close_frame(out, 1001, str_from(reason, len), NULL);
        assert_int_equal(follow(false, false, out, n, &t, &at), ERR_OK);
        assert_true(t.closed && t.code == 1001 && at == n);
        n = ws_close_frame(out, 1002, str_from(reason, len), mask);
        assert_true(n <= sizeof(out));
        assert_int_equal(follow(true, false, out, n, &t, &at), ERR_OK);
        assert_true(t.closed && t.code == 1002 && at == n);
    }
}

/* Taking apart */

static struct buf text;
static unsigned firsts, lasts, pings;

static void on_piece(struct ws_parser *w, enum ws_opcode opcode, char *p,
                     size_t n, bool first, bool last)
{
    (void)w;
    if (opcode >= WS_CLOSE) {
        pings += opcode == WS_PING;
        return;
    }
    firsts += first;
    lasts += last;
    assert_int_equal(buf_add(&text, p, n), ERR_OK);
}

static const struct ws_parser_ops parser_ops = { .on_piece = on_piece };

static enum err take_apart(bool client, uint64_t max, const char *p, size_t n,
                           size_t piece, struct ws_parser *w)
{
    char copy[1024];
    enum err e = ERR_OK;

    buf_done(&text);
    buf_init(&text, 4096);
    firsts = lasts = pings = 0;
    memcpy(copy, p, n);
    ws_parser_init(w, &parser_ops, client, false, max);
    for (size_t at = 0; at < n && !e; at += piece)
        e = ws_parser_feed(w, copy + at, n - at < piece ? n - at : piece);
    return e;
}

static void messages_come_whole_whatever_the_pieces(void **state)
{
    static const char mixed[] = "\x01\x03Hel" PING "\x00\x00\x80\x02lo" HELLO;
    struct ws_parser w;
    (void)state;

    for (size_t piece = 1; piece < 40; piece++) {
        assert_int_equal(take_apart(true, 0, BYTES(HELLO_MASKED), piece, &w),
                         ERR_OK);
        assert_true(str_is(buf_view(&text), "Hello"));
        assert_int_equal(take_apart(false, 0, BYTES(mixed), piece, &w), ERR_OK);
        assert_true(str_is(buf_view(&text), "HelloHello"));
        assert_int_equal(firsts, 2);
        assert_int_equal(lasts, 2);
        assert_int_equal(pings, 1);
    }
    buf_done(&text);
}

static void texts_are_utf8_across_frames(void **state)
{
    struct ws_parser w;
    (void)state;

    assert_int_equal(
        take_apart(false, 0, BYTES("\x01\x02\xe2\x82\x80\x01\xac"), 1, &w),
        ERR_OK); /* a euro sign */
    assert_int_equal(take_apart(false, 0, BYTES("\x81\x02\xe2\x82"), 9, &w),
                     ERR_INVALID);
    assert_int_equal(w.code, WS_INVALID_DATA);
    assert_int_equal(take_apart(false, 0, BYTES("\x81\x02\xc0\x80"), 9, &w),
                     ERR_INVALID); /* overlong */
    assert_int_equal(take_apart(false, 0, BYTES("\x81\x03\xed\xa0\x80"), 9, &w),
                     ERR_INVALID); /* a surrogate */
    assert_int_equal(take_apart(false, 0, BYTES("\x82\x02\xc0\x80"), 9, &w),
                     ERR_OK); /* binary is anything */
    buf_done(&text);
}

static void close_frames_and_sizes_are_checked(void **state)
{
    struct ws_parser w;
    (void)state;

    assert_int_equal(take_apart(false, 0, BYTES("\x88\x02\x03\xe8"), 9, &w),
                     ERR_OK);
    assert_true(w.closed);
    for (const char *const *c =
             (const char *const[]) { "\x88\x02\x03\xed", "\x88\x02\x03\xee",
                                     "\x88\x02\x03\xe7", "\x88\x02\x0b\xb7",
                                     NULL };
         *c; c++) {
        assert_int_equal(take_apart(false, 0, *c, 4, 9, &w), ERR_INVALID);
        assert_int_equal(w.code, WS_PROTOCOL_ERROR);
    }
    assert_int_equal(take_apart(false, 4, BYTES(HELLO), 9, &w), ERR_LIMIT);
    assert_int_equal(w.code, WS_TOO_BIG);
    assert_int_equal(take_apart(false, 4, BYTES(HEL_LO), 1, &w), ERR_LIMIT);
    assert_int_equal(take_apart(false, 5, BYTES(HELLO HEL_LO), 1, &w), ERR_OK);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_key_has_the_sample_answer),
        cmocka_unit_test(the_samples_are_good),
        cmocka_unit_test(broken_framing_is_found),
        cmocka_unit_test(lengths_may_be_large),
        cmocka_unit_test(nothing_counts_after_a_close),
        cmocka_unit_test(every_cut_gives_the_same),
        cmocka_unit_test(our_close_frames_are_good_frames),
        cmocka_unit_test(messages_come_whole_whatever_the_pieces),
        cmocka_unit_test(texts_are_utf8_across_frames),
        cmocka_unit_test(close_frames_and_sizes_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
