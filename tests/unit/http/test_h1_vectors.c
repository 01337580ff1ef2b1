/* test_h1_vectors.c - whole connections' bytes, from tests/data/http1.
 *
 * vectors.json says what a gateway must do; here only what the reader alone
 * can judge is checked, the rest is tested from outside. llhttp_requests.json
 * says what another strict parser made of its own test requests: where we take
 * more there must be a reason, and where we take less as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "format/json.h"
#include "http/h1.h"

#define HEAD_MAX (64 << 10)

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* ---- a connection that only reads ---- */

struct reading {
    unsigned messages;  /* whole ones */
    bool refused, more; /* ended by an error, in the middle of a message */
    bool without_host;  /* the error is that */
    struct h1_error error;
};

static enum err read_body(const struct message *m, char *p, size_t len,
                          size_t *used, struct h1_error *error)
{
    const struct h1_chunk_limits limits = { 16 << 10, 8 << 10 };
    struct h1_chunks chunks = { 0 };
    size_t data;

    switch (m->body) {
    case BODY_LENGTH:
        *used = (size_t)m->length;
        return m->length > len ? ERR_AGAIN : ERR_OK;
    case BODY_CHUNKED:
        return h1_chunks_decode(&chunks, &limits, p, len, used, &data, NULL,
                                error);
    default:
        *used = 0;
        return ERR_OK;
    }
}

/* One message; *used bytes belong to it. */
static enum err read_message(char *p, size_t len, size_t *used,
                             struct message *m, struct h1_error *error)
{
    struct h1_scan s = { 0 };
    size_t start = 0, head = 0, body = 0;
    enum err e;

    e = h1_scan_head(&s, true, p, len, HEAD_MAX, &start, &head, error);
    if (e)
        return e;
    e = h1_parse_request(p + start, head, m, error);
    if (e)
        return e;
    *used = start + head;
    e = read_body(m, p + *used, len - *used, &body, error);
    *used += body;
    return e;
}

static struct reading read_all(struct str text)
{
    struct header headers[128];
    struct message m = { .headers = headers, .capacity = 128 };
    struct reading r = { 0 };
    char *bytes = malloc(text.len), *p = bytes;
    size_t left = text.len, used = 0;

    assert_non_null(bytes);
    memcpy(bytes, text.p, text.len);
    while (left > 0) {
        enum err e = read_message(p, left, &used, &m, &r.error);

        r.more = e == ERR_AGAIN;
        r.refused = e && e != ERR_AGAIN;
        r.without_host = r.refused && !strcmp(r.error.what, "no Host");
        if (e)
            break;
        r.messages++;
        p += used;
        left -= used;
        if (!m.keep_alive || m.upgrade || m.method == METHOD_CONNECT)
            break; /* what follows is not HTTP/1.1, or not read */
    }
    free(bytes);
    return r;
}

/* ---- files ---- */

static struct json *load(const char *name)
{
    struct json_error error;
    struct json *j = NULL;
    struct buf b;
    FILE *f = fopen(name, "rb");
    size_t n;

    assert_non_null(f);
    buf_init(&b, 1 << 20);
    assert_int_equal(buf_reserve(&b, 512 << 10), ERR_OK);
    n = fread(b.p, 1, 512 << 10, f);
    fclose(f);
    assert_int_equal(json_parse(arena, arena_copy(arena, str_from(b.p, n)),
                                &json_default_limits, &j, &error),
                     ERR_OK);
    buf_done(&b);
    return json_at(j, "vectors");
}

/* Characters U+0000 to U+00FF stand for bytes. */
static void add_bytes(struct buf *b, struct str text)
{
    size_t i;

    for (i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c >= 0x80) {
            assert_in_range(c, 0xc2, 0xc3);
            c = (unsigned char)(c << 6 | (text.p[++i] & 0x3f));
        }
        buf_char(b, (char)c);
    }
}

static void add_text(struct buf *b, struct str text)
{
    while (text.len > 0) {
        if (str_starts(text, STR("{P}")))
            buf_z(b, "/base");
        else if (str_starts(text, STR("{H}")))
            buf_z(b, "localhost");
        else {
            size_t n = 1 + str_find(str_skip(text, 1), '{');

            add_bytes(b, str_head(text, n));
            text = str_skip(text, n);
            continue;
        }
        text = str_skip(text, 3);
    }
}

static void add_part(struct buf *b, const struct json *part)
{
    const struct json *rep = json_at(part, "rep");
    uint64_t n = 1;

    if (json_at(part, "n"))
        assert_int_equal(json_u64(json_at(part, "n"), 1 << 20, &n), ERR_OK);
    while (n-- > 0) {
        add_text(b, json_str(json_at(part, "s")));
        add_text(b, json_str(json_at(part, "split")));
        add_text(b, json_str(rep));
    }
}

static struct str raw_of(const struct json *raw)
{
    const struct json *part;
    struct str text;
    struct buf b;

    buf_init(&b, 4 << 20);
    if (raw->type == JSON_STRING)
        add_text(&b, raw->text);
    else
        for (part = raw->first; part; part = part->next)
            add_part(&b, part);
    text = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return text;
}

/* ---- our vectors ---- */

/* Well-formed to the reader; the layers above refuse them, or wait. */
static const char *const left_to_others[] = {
    "reqline-connect",      /* no tunnel here */
    "reqline-method-lower", /* a method like any other, which nobody has */
    "cl-u32-plus",          /* a length that is too much for the limit */
    "chunk-size-max63",     /* likewise */
};

static bool is_left(struct str id)
{
    size_t i;

    for (i = 0; i < sizeof(left_to_others) / sizeof(left_to_others[0]); i++) {
        if (str_is(id, left_to_others[i]))
            return true;
    }
    return false;
}

static bool allows_status(const struct json *expect, unsigned status)
{
    const struct json *s;
    uint64_t n;

    for (s = json_at(expect, "status")->first; s; s = s->next) {
        if (!json_u64(s, 999, &n) && n == status)
            return true;
    }
    return false;
}

static void what_must_be_refused_is_and_with_an_allowed_status(void **state)
{
    const struct json *v;
    unsigned count = 0;
    (void)state;

    for (v = load(TEST_DATA_DIR "/http1/vectors.json")->first; v; v = v->next) {
        struct str id = json_str(json_at(v, "id"));
        struct str kind = json_str(json_at(json_at(v, "expect"), "kind"));
        struct reading r = read_all(raw_of(json_at(v, "raw")));

        count++;
        if (str_is(kind, "accept") && (r.refused || r.messages == 0))
            fail_msg("%.*s is refused: %s", STR_ARG(id),
                     r.error.what ? r.error.what : "not whole");
        if (str_is(kind, "reject") && r.refused == is_left(id))
            fail_msg("%.*s: refused %d", STR_ARG(id), r.refused);
        if (r.refused && !allows_status(json_at(v, "expect"), r.error.status))
            fail_msg("%.*s is refused with %u", STR_ARG(id), r.error.status);
    }
    assert_in_range(count, 150, 1000);
}

/* ---- llhttp's requests ---- */

struct difference {
    const char *id;
    const char *why;
};

/* llhttp refuses these and we do not. */
static const struct difference taken[] = {
    { "llhttp-connection-3", "bytes behind a close are not read" },
    { "llhttp-invalid-32", "any token is a method; nobody has that one" },
    { "llhttp-invalid-41", "likewise" },
    { "llhttp-transfer-encoding-92",
      "an extension is skipped up to its CRLF, also an empty one" },
    { "llhttp-transfer-encoding-94", "likewise one with an open quote" },
};

/* llhttp takes these and we refuse them with our reason, once they have the
 * Host that most of them lack. */
static const struct difference refused[] = {
    { "llhttp-method-63", "a bad HTTP version" }, /* ICE/1.0 */
    { "llhttp-method-64", "a bad HTTP version" }, /* RTSP/1.0 */
    { "llhttp-method-65", "a bad HTTP version" },
    { "llhttp-method-56", "* is for OPTIONS only" },
    { "llhttp-method-66", "* is for OPTIONS only" },    /* PRI * HTTP/1.1 */
    { "llhttp-sample-78", "a head that is too short" }, /* HTTP/0.9 */
    /* also with a coding before chunked, but their fragment comes first */
    { "llhttp-transfer-encoding-100", "a bad byte in the request target" },
    { "llhttp-transfer-encoding-101", "a bad byte in the request target" },
    { "llhttp-uri-115", "a bad byte in the request target" }, /* a fragment */
    { "llhttp-uri-117", "a bad authority in the request target" },
};

static const char *why(const struct difference *list, size_t n, struct str id)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (str_is(id, list[i].id))
            return list[i].why;
    }
    return NULL;
}

/* The same bytes with a Host behind every first line of a message; the
 * authority of an absolute form has to be in it. */
static struct str with_host(struct str text)
{
    size_t blank = str_starts(text, STR("\r\n")) ? 2 : 0;
    size_t line = blank + str_find(str_skip(text, blank), '\n') + 1;
    struct str authority = STR("h");
    const char *at = memmem(text.p, line, "http://", 7);

    if (at) {
        authority = str_from(at + 7, (size_t)(text.p + line - at - 7));
        authority.len = strcspn(authority.p, "/? ");
    }
    return arena_printf(arena, "%.*sHost: %.*s\r\n%.*s", (int)line, text.p,
                        STR_ARG(authority), STR_ARG(str_skip(text, line)));
}

/* Some of those that llhttp refuses early lack the end of their head. */
static struct reading read_llhttp(const struct json *v, const char *ending)
{
    struct str raw = raw_of(json_at(v, "raw_latin1"));
    struct str text = arena_printf(arena, "%.*s%s", STR_ARG(raw), ending);
    struct reading r = read_all(text);

    if (r.without_host && r.messages == 0)
        r = read_all(with_host(text));
    return r;
}

static void nothing_is_taken_that_llhttp_refuses_without_a_reason(void **state)
{
    const struct json *v;
    unsigned count = 0;
    (void)state;

    for (v = load(TEST_DATA_DIR "/http1/llhttp_requests.json")->first; v;
         v = v->next) {
        struct str id = json_str(json_at(v, "id"));
        bool error = str_is(json_str(json_at(v, "strict_parser")), "error");
        struct reading r = read_llhttp(v, error ? "\r\n\r\n" : "");
        const char *reason = why(taken, sizeof(taken) / sizeof(taken[0]), id);

        count++;
        if (error && !r.refused && !reason)
            fail_msg("%.*s is taken (%u messages, more %d)", STR_ARG(id),
                     r.messages, r.more);
        if (reason && (!error || r.refused))
            fail_msg("%.*s needs no reason", STR_ARG(id));
    }
    assert_int_equal(count, 118);
}

static void what_is_refused_beyond_llhttp_has_a_reason(void **state)
{
    const struct json *v;
    (void)state;

    for (v = load(TEST_DATA_DIR "/http1/llhttp_requests.json")->first; v;
         v = v->next) {
        struct str id = json_str(json_at(v, "id"));
        bool error = str_is(json_str(json_at(v, "strict_parser")), "error");
        struct reading r = read_llhttp(v, "");
        const char *reason =
            why(refused, sizeof(refused) / sizeof(refused[0]), id);

        if (error || (r.without_host && r.messages > 0))
            continue;
        if (r.refused != (reason != NULL) ||
            (reason && strcmp(reason, r.error.what) != 0))
            fail_msg("%.*s: %s", STR_ARG(id),
                     r.refused ? r.error.what : "is taken");
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_must_be_refused_is_and_with_an_allowed_status),
        TEST(nothing_is_taken_that_llhttp_refuses_without_a_reason),
        TEST(what_is_refused_beyond_llhttp_has_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
