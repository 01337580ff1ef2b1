/* test_explain.c - notes, the ring that keeps them, words, grants. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/json.h"
#include "gateway/explain_grant.h"
#include "gateway/explain_ring.h"
#include "gateway/explain_text.h"
#include "temp_folder.h"

static struct arena *a;
static char folder[TEMP_FOLDER_PATH];

static int begin(void **state)
{
    (void)state;
    a = arena_new();
    temp_folder_make(folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    arena_free(a);
    return 0;
}

static struct str file(const char *name)
{
    return arena_printf(a, "%s/%s", folder, name);
}

/* ---- notes ---- */

static struct explain_head a_head(const char *id)
{
    return (struct explain_head) {
        .id = str_z(id),
        .wall_us = 1764201600000000,
        .configuration = 3,
        .api = STR("Shop"),
        .version = STR("1.0"),
        .method = STR("GET"),
        .path = STR("/shop/orders/7"),
        .operation = STR("/orders/{id}"),
        .client = STR("10.1.1.1"),
        .code = STR("900910"),
        .status = 403,
        .total_us = 1500,
    };
}

static void notes_come_back_as_they_were(void **state)
{
    static const struct str scope = { "admin", 5 };
    struct explain e = { 0 };
    struct explain_head head = a_head("id-1");
    struct explained x = { 0 };
    struct str bytes;
    (void)state;

    explain_note(&e, EXPLAIN_TOKEN, EXPLAIN_PASSED, REASON_TOKEN_GOOD, 0, NULL);
    explain_note(&e, EXPLAIN_SCOPE, EXPLAIN_REFUSED, REASON_SCOPE_MISSING, 7,
                 &scope);
    bytes = explain_encode(a, &head, &e);
    assert_int_equal(explain_decode(bytes, &x), ERR_OK);
    assert_int_equal(x.count, 2);
    assert_int_equal(x.head.configuration, 3);
    assert_true(str_is(x.head.operation, "/orders/{id}"));
    assert_int_equal(x.notes[1].reason, REASON_SCOPE_MISSING);
    assert_int_equal(x.notes[1].number, 7);
    assert_true(str_is(x.notes[1].text, "admin"));
    for (size_t n = 0; n < bytes.len; n++) {
        struct explained cut = { 0 };
        char *exact = malloc(n + 1);

        memcpy(exact, bytes.p, n);
        assert_int_equal(explain_decode(str_from(exact, n), &cut), ERR_INVALID);
        free(exact);
    }
}

static void the_last_note_always_has_room(void **state)
{
    struct explain e = { 0 };
    struct explain_head head = a_head("id-1");
    struct explained x = { 0 };
    (void)state;

    for (int i = 0; i < 100; i++)
        explain_note(&e, EXPLAIN_ENDPOINT, EXPLAIN_SKIPPED,
                     REASON_ENDPOINT_FAILED, 0, NULL);
    explain_note(&e, EXPLAIN_ENDPOINT, EXPLAIN_REFUSED, REASON_ENDPOINT_NONE, 0,
                 NULL);
    assert_int_equal(explain_decode(explain_encode(a, &head, &e), &x), ERR_OK);
    assert_int_equal(x.count, EXPLAIN_RECORDS);
    assert_int_equal(x.lost, 101 - EXPLAIN_RECORDS);
    assert_int_equal(x.notes[x.count - 1].reason, REASON_ENDPOINT_NONE);
}

static void a_refusal_has_the_reason_that_says_most(void **state)
{
    struct explain e = { 0 };
    (void)state;

    assert_int_equal(explain_refusal(&e), REASONS);
    explain_note(&e, EXPLAIN_TOKEN, EXPLAIN_REFUSED, REASON_TOKEN_EXPIRED, 0,
                 NULL);
    assert_int_equal(explain_refusal(&e), REASON_TOKEN_EXPIRED);
    explain_note(&e, EXPLAIN_SCHEME, EXPLAIN_SKIPPED, REASON_CREDENTIAL_ABSENT,
                 0, NULL);
    assert_int_equal(explain_refusal(&e), REASONS);
    explain_note(&e, EXPLAIN_ENDPOINT, EXPLAIN_REFUSED, REASON_OTHER, 0, NULL);
    assert_int_equal(explain_refusal(&e), REASON_TOKEN_EXPIRED);
    /* The other credential was good, so that was not it. */
    explain_note(&e, EXPLAIN_KEY, EXPLAIN_PASSED, REASON_KEY_GOOD, 0, NULL);
    explain_note(&e, EXPLAIN_ENDPOINT, EXPLAIN_REFUSED, REASON_OTHER, 0, NULL);
    assert_int_equal(explain_refusal(&e), REASON_OTHER);
}

static void all_of_it_fits_whatever_the_texts(void **state)
{
    char *huge = arena_raw(a, 100000);
    struct str text = { huge, 100000 };
    struct explain e = { 0 };
    struct explain_head head = a_head("id");
    struct explained x = { 0 };
    (void)state;

    memset(huge, 'x', 100000);
    for (int i = 0; i < EXPLAIN_RECORDS; i++)
        explain_note(&e, EXPLAIN_ROUTE, EXPLAIN_PASSED, REASON_ROUTED, 0,
                     &text);
    head.id = head.api = head.version = head.method = head.path = text;
    head.operation = head.client = head.caller = head.code = text;
    assert_int_equal(explain_decode(explain_encode(a, &head, &e), &x), ERR_OK);
    assert_int_equal(x.notes[0].text.len, 256);
    assert_true(explain_summary(a, &e).len <= 1024);
}

/* ---- words ---- */

static struct str words_of(enum explain_reason reason, struct str text,
                           enum err (*put)(struct buf *,
                                           const struct explained_note *))
{
    struct explained_note n = {
        .verdict = EXPLAIN_REFUSED, .reason = reason, .number = 42, .text = text
    };
    struct buf b;
    struct str out;

    buf_init(&b, 4096);
    assert_int_equal(put(&b, &n), ERR_OK);
    out = arena_copy(a, buf_view(&b));
    buf_done(&b);
    return out;
}

static void every_reason_has_words(void **state)
{
    (void)state;
    for (int r = 0; r < REASONS; r++) {
        enum explain_reason reason = (enum explain_reason)r;
        struct str with = words_of(reason, STR("TEXT"), explain_sentence);
        struct str none = words_of(reason, STR_NULL, explain_sentence);
        struct str fix = words_of(reason, STR("TEXT"), explain_fix);

        assert_true(with.len > 5 && none.len > 5);
        assert_null(memchr(with.p, '%', with.len));
        assert_null(memchr(none.p, '%', none.len));
        assert_null(strstr(fix.p, "%s"));
        /* Nothing ends in the middle of a sentence. */
        assert_null(strchr(" (:", none.p[none.len - 1]));
        assert_true(strlen(explain_reason_word(reason)) < 24);
        for (int k = 0; k < r; k++)
            assert_string_not_equal(
                explain_reason_word(reason),
                explain_reason_word((enum explain_reason)k));
    }
}

static void a_page_says_it_all_and_draws_nothing(void **state)
{
    static const struct str evil = { "a\x1b[31m\nb", 8 };
    struct explain e = { 0 };
    struct explain_head head = a_head("id-1");
    struct explained x = { 0 };
    struct json_error error;
    struct json *j;
    struct buf b;
    (void)state;

    head.path = evil;
    explain_note(&e, EXPLAIN_SCOPE, EXPLAIN_REFUSED, REASON_SCOPE_MISSING, 0,
                 &evil);
    assert_int_equal(explain_decode(explain_encode(a, &head, &e), &x), ERR_OK);
    buf_init(&b, 1 << 16);
    assert_int_equal(explain_text(&b, &x, false), ERR_OK);
    assert_int_equal(buf_char(&b, 0), ERR_OK);
    assert_null(strchr(b.p, 0x1b));
    assert_non_null(strstr(b.p, "was refused with 403 (code 900910)"));
    assert_non_null(strstr(b.p, "To make it pass:\n  - ask the issuer"));
    b.len = 0;
    assert_int_equal(explain_json(&b, &x), ERR_OK);
    assert_int_equal(
        json_parse(a, buf_view(&b), &json_default_limits, &j, &error), ERR_OK);
    assert_true(str_is(json_str(json_at(j, "code")), "900910"));
    buf_done(&b);
}

/* ---- the ring ---- */

static void the_newest_come_first(void **state)
{
    struct explain_ring *w, *r;
    uint64_t at = UINT64_MAX;
    struct str s;
    (void)state;

    assert_int_equal(explain_ring_read(file("ring"), &r), ERR_NOT_FOUND);
    assert_int_equal(explain_ring_open(file("ring"), 0, &w), ERR_OK);
    assert_int_equal(explain_ring_read(file("ring"), &r), ERR_OK);
    assert_false(explain_ring_next(r, a, &at, &s));
    for (int i = 0; i < 3; i++)
        explain_ring_add(w, arena_printf(a, "record %d", i));
    at = UINT64_MAX;
    for (int i = 2; i >= 0; i--) {
        assert_true(explain_ring_next(r, a, &at, &s));
        assert_true(str_eq(s, arena_printf(a, "record %d", i)));
    }
    assert_false(explain_ring_next(r, a, &at, &s));
    explain_ring_close(w);
    explain_ring_close(r);
}

static void old_ones_make_room(void **state)
{
    struct explain_ring *w;
    uint64_t at = UINT64_MAX;
    struct str s;
    int n = 0;
    (void)state;

    assert_int_equal(explain_ring_open(file("ring"), 0, &w), ERR_OK);
    for (int i = 0; i < 5000; i++)
        explain_ring_add(w, arena_printf(a, "%0*d", i % 97 + 1, i));
    while (explain_ring_next(w, a, &at, &s)) {
        uint64_t value;

        assert_int_equal(str_to_u64(s, UINT64_MAX, &value), ERR_OK);
        assert_int_equal(value, (uint64_t)(4999 - n));
        n++;
    }
    assert_in_range(n, 500, 4999);
    explain_ring_close(w);
}

static void what_is_torn_is_passed_over(void **state)
{
    struct explain_ring *w;
    uint64_t at = UINT64_MAX;
    struct str s, path = file("ring");
    FILE *f;
    (void)state;

    assert_int_equal(explain_ring_open(path, 0, &w), ERR_OK);
    for (int i = 0; i < 3; i++)
        explain_ring_add(w, STR("0123456789abcdef"));
    f = fopen(path.p, "r+");
    assert_int_equal(fseek(f, 4096 + 40 + 30, SEEK_SET), 0);
    assert_int_equal(fputc('X', f), 'X');
    fclose(f);
    for (int i = 0; i < 2; i++)
        assert_true(explain_ring_next(w, a, &at, &s));
    assert_false(explain_ring_next(w, a, &at, &s));
    explain_ring_close(w);
}

static void it_outlives_who_wrote_it(void **state)
{
    struct explain_ring *w, *again;
    uint64_t at = UINT64_MAX;
    struct str s;
    (void)state;

    assert_int_equal(explain_ring_open(file("ring"), 0, &w), ERR_OK);
    explain_ring_add(w, STR("one"));
    assert_int_equal(explain_ring_open(file("ring"), 0, &again), ERR_OK);
    explain_ring_add(again, STR("two"));
    explain_ring_add(w, STR("three"));
    explain_ring_close(w);
    assert_true(explain_ring_next(again, a, &at, &s) && str_is(s, "three"));
    assert_true(explain_ring_next(again, a, &at, &s) && str_is(s, "two"));
    assert_true(explain_ring_next(again, a, &at, &s) && str_is(s, "one"));
    explain_ring_close(again);
    /* Another size is another file. */
    at = UINT64_MAX;
    assert_int_equal(explain_ring_open(file("ring"), 1 << 20, &again), ERR_OK);
    assert_false(explain_ring_next(again, a, &at, &s));
    explain_ring_close(again);
}

/* Exits with 0 when all is as it should be on a disk of 3 MiB, with 77 when
 * this machine lets nobody make one. */
static void fill_a_disk(void)
{
    const char *record = memset(arena_raw(a, 1000), 'x', 1000);
    struct explain_ring *w;
    uint64_t at = UINT64_MAX;
    struct str s;
    int n = 0;

    if (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", folder, "tmpfs", 0, "size=3m"))
        _exit(77);
    if (explain_ring_open(file("ring"), 8 << 20, &w))
        _exit(1);
    for (int i = 0; i < 4000; i++)
        explain_ring_add(w, str_from(record, 1000));
    while (explain_ring_next(w, a, &at, &s))
        n++;
    _exit(n > 1000 && n < 3000 ? 0 : 2);
}

static void what_the_disk_has_no_place_for_is_dropped(void **state)
{
    pid_t pid = fork();
    int status;
    (void)state;

    if (!pid)
        fill_a_disk();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status)); /* not by SIGBUS */
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- grants ---- */

static void a_grant_is_for_one_api_and_some_time(void **state)
{
    struct explain_key key, other;
    struct str g, v = STR("1.0");
    (void)state;

    assert_int_equal(explain_key_load(file("key"), false, &key), ERR_NOT_FOUND);
    assert_int_equal(explain_key_load(file("key"), true, &key), ERR_OK);
    assert_int_equal(explain_key_load(file("key"), true, &other), ERR_OK);
    assert_memory_equal(&key, &other, sizeof(key));
    assert_int_equal(explain_key_load(file("other"), true, &other), ERR_OK);
    g = explain_grant(a, &key, STR("Shop"), 1000);
    assert_true(explain_grant_check(&key, g, STR("Shop"), v, 999));
    assert_false(explain_grant_check(&key, g, STR("Shop"), v, 1000));
    assert_false(explain_grant_check(&key, g, STR("Shop2"), v, 999));
    assert_false(explain_grant_check(&other, g, STR("Shop"), v, 999));
    g = explain_grant(a, &key, STR("Shop:1.0"), 1000);
    assert_true(explain_grant_check(&key, g, STR("Shop"), v, 999));
    assert_false(explain_grant_check(&key, g, STR("Shop"), STR("1.1"), 999));
}

static void no_changed_byte_of_a_grant_is_taken(void **state)
{
    struct explain_key key = { { 1, 2, 3 } };
    struct str g = explain_grant(a, &key, STR("Shop"), 1000);
    (void)state;

    for (size_t i = 0; i < g.len; i++) {
        struct str bad = arena_copy(a, g);

        ((char *)(uintptr_t)bad.p)[i] ^= 1;
        assert_false(
            explain_grant_check(&key, bad, STR("Shop"), STR("1"), 999));
        assert_false(explain_grant_check(&key, str_head(g, i), STR("Shop"),
                                         STR("1"), 999));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(notes_come_back_as_they_were),
        TEST(the_last_note_always_has_room),
        TEST(a_refusal_has_the_reason_that_says_most),
        TEST(all_of_it_fits_whatever_the_texts),
        TEST(every_reason_has_words),
        TEST(a_page_says_it_all_and_draws_nothing),
        TEST(the_newest_come_first),
        TEST(old_ones_make_room),
        TEST(what_is_torn_is_passed_over),
        TEST(it_outlives_who_wrote_it),
        TEST(what_the_disk_has_no_place_for_is_dropped),
        TEST(a_grant_is_for_one_api_and_some_time),
        TEST(no_changed_byte_of_a_grant_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
