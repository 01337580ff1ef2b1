/* test_h1.c - heads of requests and responses: where they end, what they say,
 * and everything that is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "http/h1.h"
#include "http/h1_chars.h"

#define FIELDS 120

static struct header headers[FIELDS];
static struct message m;
static struct h1_error error;
static char *head; /* what m's views point into */

/* Scans and parses text, which must be one whole head; 0, or the status it is
 * refused with. The memory has exactly its size, so that a sanitizer sees
 * reading past it. */
static unsigned read_head(struct str text, bool request, enum method method)
{
    struct h1_scan s = { 0 };
    size_t start = 0, len = 0;
    enum err e;

    free(head);
    head = malloc(text.len);
    assert_non_null(head);
    memcpy(head, text.p, text.len);
    memset(&m, 0xee, sizeof(m));
    m.headers = headers;
    m.capacity = FIELDS;
    error = (struct h1_error) { 0 };
    e = h1_scan_head(&s, request, head, text.len, 65536, &start, &len, &error);
    assert_int_not_equal(e, ERR_AGAIN);
    if (!e) {
        assert_int_equal(start + len, text.len);
        e = request ? h1_parse_request(head + start, len, &m, &error)
                    : h1_parse_response(head + start, len, method, &m, &error);
    }
    assert_true(!e == !error.status && !e == !error.what);
    return error.status;
}

static unsigned request(const char *text)
{
    return read_head(str_z(text), true, METHOD_OTHER);
}

static unsigned response(const char *text)
{
    return read_head(str_z(text), false, METHOD_GET);
}

static unsigned response_to(enum method method, const char *text)
{
    return read_head(str_z(text), false, method);
}

/* A good request with these lines more. */
static unsigned with(const char *lines)
{
    char text[8192];

    snprintf(text, sizeof(text), "POST /a HTTP/1.1\r\nHost: h\r\n%s\r\n",
             lines);
    return request(text);
}

static unsigned answer_with(const char *lines)
{
    char text[8192];

    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n", lines);
    return response(text);
}

static int let_go(void **state)
{
    (void)state;
    free(head);
    head = NULL;
    return 0;
}

/* ---- spans ---- */

#if H1_SSE2

static void spans_are_the_same_with_and_without_sse2(void **state)
{
    uint64_t x = 88172645463325252u;
    char text[80];
    int round, i;
    (void)state;

    for (round = 0; round < 20000; round++) {
        size_t len = 16 + (size_t)round % 60, from;

        for (i = 0; i < (int)len; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            text[i] = (char)(x % 8 ? 'a' + x % 26 : x >> 32);
        }
        text[len - 2] = '\r';
        text[len - 1] = '\n';
        from = x % (len - 1);
        assert_ptr_equal(h1_value_end(text + from, text + len),
                         h1_span_plain(text + from, H1_VALUE));
        assert_ptr_equal(h1_target_end(text + from, text + len),
                         h1_span_plain(text + from, H1_TARGET));
        assert_ptr_equal(h1_path_end(text + from, text + len),
                         h1_span_plain(text + from, H1_PATH));
    }
}

static void every_byte_is_classed_alike(void **state)
{
    char text[16];
    int c;
    (void)state;

    for (c = 0; c < 256; c++) {
        const char *end = text + sizeof(text);

        memset(text, 'a', sizeof(text));
        memcpy(text + 14, "\r\n", 2);
        text[5] = (char)c;
        assert_ptr_equal(h1_value_end(text, end),
                         h1_span_plain(text, H1_VALUE));
        assert_ptr_equal(h1_target_end(text, end),
                         h1_span_plain(text, H1_TARGET));
        assert_ptr_equal(h1_path_end(text, end), h1_span_plain(text, H1_PATH));
        /* what the quick look takes for part of a name is one */
        if (!(h1_not_name(h1_load(text)) >> 5 & 1))
            assert_true(h1_is((char)c, H1_TOKEN));
    }
}

#endif

static void classes_are_those_of_the_grammar(void **state)
{
    int c;
    (void)state;

    for (c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                     (c >= 'A' && c <= 'Z');
        bool mark = c && strchr("!#$%&'*+-.^_`|~", c);
        bool visible = c > 0x20 && c < 0x7f;

        assert_int_equal(h1_is((char)c, H1_TOKEN), alnum || mark);
        assert_int_equal(h1_is((char)c, H1_VALUE),
                         visible || c == ' ' || c == '\t' || c >= 0x80);
        assert_int_equal(h1_is((char)c, H1_TARGET), visible && c != '#');
        assert_int_equal(h1_is((char)c, H1_PATH),
                         visible && c != '#' && c != '?');
    }
}

/* ---- the end of a head ---- */

/* One call for all of p[0..len). */
static enum err scan(bool is_request, const char *p, size_t len, size_t max,
                     size_t *start, size_t *head_len)
{
    struct h1_scan s = { 0 };
    char *copy = malloc(len ? len : 1);
    enum err e;

    assert_non_null(copy);
    memcpy(copy, p, len);
    e = h1_scan_head(&s, is_request, copy, len, max, start, head_len, &error);
    free(copy);
    return e;
}

/* A call for each byte that arrives; the bytes may move meanwhile. */
static enum err scan_slowly(bool is_request, const char *p, size_t len,
                            size_t max, size_t *start, size_t *head_len)
{
    struct h1_scan s = { 0 };
    enum err e = ERR_AGAIN;
    size_t n;

    for (n = 1; n <= len && e == ERR_AGAIN; n++) {
        char *copy = malloc(n);

        assert_non_null(copy);
        memcpy(copy, p, n);
        e = h1_scan_head(&s, is_request, copy, n, max, start, head_len, &error);
        free(copy);
    }
    return e;
}

static void a_head_ends_at_its_empty_line(void **state)
{
    char text[256];
    size_t fill;
    (void)state;

    /* all lengths, so that the end is at every place of a block */
    for (fill = 0; fill < 100; fill++) {
        size_t len, start = 9, head_len = 0;

        len = (size_t)sprintf(text, "GET / HTTP/1.1\r\nA: %0*d\r\n\r\n",
                              (int)fill + 1, 7);
        memcpy(text + len, "body\r\n\r\n", 8);
        assert_int_equal(scan(true, text, len + 8, 1000, &start, &head_len),
                         ERR_OK);
        assert_int_equal(start, 0);
        assert_int_equal(head_len, len);
        assert_int_equal(scan(true, text, len - 1, 1000, &start, &head_len),
                         ERR_AGAIN);
        assert_int_equal(
            scan_slowly(true, text, len + 8, 1000, &start, &head_len), ERR_OK);
        assert_int_equal(head_len, len);
    }
}

static void a_line_that_ends_otherwise_is_seen_at_once(void **state)
{
    char text[256];
    size_t fill, start, head_len;
    (void)state;

    for (fill = 0; fill < 70; fill++) {
        size_t len = (size_t)sprintf(text, "GET / HTTP/1.1\r\nA: %0*d\nB: c",
                                     (int)fill + 1, 7);

        assert_int_equal(scan(true, text, len, 1000, &start, &head_len),
                         ERR_INVALID);
        assert_int_equal(error.status, 400);
        assert_int_equal(scan_slowly(true, text, len, 1000, &start, &head_len),
                         ERR_INVALID);
    }
    assert_int_equal(
        scan(true, "GET / HTTP/1.1\n\n", 16, 99, &start, &head_len),
        ERR_INVALID);
    assert_int_equal(scan(true, "G \n", 3, 99, &start, &head_len), ERR_INVALID);
}

static void two_empty_lines_may_come_before_a_request(void **state)
{
    static const char text[] = "\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    size_t start = 0, head_len = 0;
    (void)state;

    assert_int_equal(scan(true, text, sizeof(text) - 1, 99, &start, &head_len),
                     ERR_OK);
    assert_int_equal(start, 4);
    assert_int_equal(head_len, 18);
    assert_int_equal(
        scan_slowly(true, text, sizeof(text) - 1, 99, &start, &head_len),
        ERR_OK);
    assert_int_equal(start, 4);
    assert_int_equal(scan(true, text + 2, 20, 99, &start, &head_len), ERR_OK);
    assert_int_equal(start, 2);

    assert_int_equal(scan(true, "\r\n\r\n\r", 5, 99, &start, &head_len),
                     ERR_INVALID);
    assert_int_equal(scan(true, "\n", 1, 99, &start, &head_len), ERR_INVALID);
    assert_int_equal(scan(true, "\rG", 2, 99, &start, &head_len), ERR_INVALID);
    assert_int_equal(scan(true, "\r\n", 2, 99, &start, &head_len), ERR_AGAIN);
    assert_int_equal(scan(false, "\r\n", 2, 99, &start, &head_len),
                     ERR_INVALID);
}

static void who_does_not_speak_http_is_sent_away_at_once(void **state)
{
    size_t start, head_len;
    (void)state;

    assert_int_equal(scan(true, "\x16\x03\x01", 3, 99, &start, &head_len),
                     ERR_INVALID);
    assert_int_equal(scan(true, " GET", 4, 99, &start, &head_len), ERR_INVALID);
    assert_int_equal(scan(true, "GE(T /", 6, 99, &start, &head_len),
                     ERR_INVALID);
    assert_int_equal(scan(true, "GET\t/", 5, 99, &start, &head_len),
                     ERR_INVALID);
    assert_int_equal(scan(false, "SSH-2", 5, 99, &start, &head_len),
                     ERR_INVALID);
    assert_int_equal(scan(false, "HTTP", 4, 99, &start, &head_len), ERR_AGAIN);
    assert_int_equal(scan(false, "HTTP ", 5, 99, &start, &head_len),
                     ERR_INVALID);
}

static void a_method_has_at_most_32_bytes(void **state)
{
    char text[64];
    size_t start, head_len;
    (void)state;

    memset(text, 'M', 33);
    memcpy(text + 33, " / HTTP/1.0\r\n\r\n", 16);
    assert_int_equal(scan(true, text, 32, 99, &start, &head_len), ERR_AGAIN);
    assert_int_equal(scan(true, text, 33, 99, &start, &head_len), ERR_INVALID);
    assert_int_equal(error.status, 501);
    assert_int_equal(request(text), 501);
    assert_int_equal(request(text + 1), 0);
    assert_int_equal(m.method_text.len, 32);
}

static void a_head_has_a_ceiling(void **state)
{
    static const char text[] = "GET / HTTP/1.0\r\nA: b\r\nC: dddddddd\r\n\r\n";
    size_t len = sizeof(text) - 1, start, head_len, n;
    (void)state;

    assert_int_equal(scan(true, text, len, len, &start, &head_len), ERR_OK);
    for (n = 17; n < len; n++) {
        assert_int_equal(scan(true, text, len, n, &start, &head_len),
                         ERR_LIMIT);
        assert_int_equal(error.status, 431);
        assert_int_equal(scan_slowly(true, text, len, n, &start, &head_len),
                         ERR_LIMIT);
        assert_int_equal(scan(true, text, n - 1, n, &start, &head_len),
                         ERR_AGAIN);
    }
    assert_int_equal(scan(true, text, len, 10, &start, &head_len), ERR_LIMIT);
    assert_int_equal(error.status, 414);
    assert_int_equal(
        scan(false, "HTTP/1.1 200 OK\r\n", 17, 17, &start, &head_len),
        ERR_LIMIT);
}

/* ---- requests ---- */

static void a_request_is_taken_apart(void **state)
{
    (void)state;

    assert_int_equal(request("GET /b%20100?a=b?c HTTP/1.1\r\n"
                             "Host: Example.com:8080\r\n"
                             "accept:\t */* \t\r\n"
                             "X_y.z: caf\xe9 \x80\r\n"
                             "Empty:\r\n"
                             "Accept: text/html\r\n\r\n"),
                     0);
    assert_int_equal(m.method, METHOD_GET);
    assert_true(str_is(m.method_text, "GET"));
    assert_true(str_is(m.target, "/b%20100?a=b?c"));
    assert_true(str_is(m.path, "/b%20100"));
    assert_true(m.has_query);
    assert_true(str_is(m.query, "a=b?c"));
    assert_true(str_is(m.authority, "Example.com:8080"));
    assert_int_equal(m.minor, 1);
    assert_int_equal(m.body, BODY_NONE);
    assert_true(m.keep_alive);
    assert_false(m.upgrade);
    assert_false(m.expect_continue);
    assert_false(m.trailers_ok);
    assert_int_equal(m.count, 5);
    assert_int_equal(m.headers[0].id, FIELD_HOST);
    assert_false(m.headers[0].hop);
    assert_true(str_is(m.headers[1].name, "accept"));
    assert_true(str_is(m.headers[1].value, "*/*"));
    assert_int_equal(m.headers[2].id, FIELD_OTHER);
    assert_true(str_is(m.headers[2].name, "X_y.z"));
    assert_true(str_is(m.headers[2].value, "caf\xe9 \x80"));
    assert_int_equal(m.headers[3].value.len, 0);
    assert_ptr_equal(message_get(&m, FIELD_ACCEPT), &m.headers[1]);
    assert_ptr_equal(message_find(&m, STR("x_Y.Z")), &m.headers[2]);
    assert_null(message_get(&m, FIELD_VIA));
}

/* Every known field, at every distance from the end of the head. */
static void fields_are_known_wherever_they_stand(void **state)
{
    char text[256];
    int id, fill;
    (void)state;

    for (id = 1; id < FIELD_COUNT; id++) {
        struct str name = field_name((enum field)id);

        for (fill = 0; fill < 40; fill++) {
            sprintf(text, "HTTP/1.1 200 OK\r\n%.*s:%*s\r\n\r\n", STR_ARG(name),
                    fill, "");
            if (id == FIELD_CONTENT_LENGTH || id == FIELD_TRANSFER_ENCODING)
                continue;
            assert_int_equal(response(text), 0);
            assert_int_equal(m.headers[0].id, id);
            assert_int_equal(m.headers[0].value.len, 0);
            assert_int_equal(m.headers[0].hop, field_hop_by_hop(m.headers->id));
            assert_ptr_equal(message_get(&m, (enum field)id), m.headers);
        }
    }
}

/* A control byte must not pass for '-' or a digit, nor a name be cut. */
static void names_that_only_look_known_are_refused(void **state)
{
    (void)state;

    assert_int_equal(with("Content\rLength: 3\r\n"), 400);
    assert_int_equal(with("HTTP\x12-Settings: 3\r\n"), 400);
    assert_int_equal(with("Content_Length: 3\r\n"), 0);
    assert_int_equal(m.headers[1].id, FIELD_OTHER);
    assert_int_equal(m.body, BODY_NONE);
    assert_int_equal(with("Transfer_Encoding: chunked\r\n"), 0);
    assert_int_equal(m.body, BODY_NONE);
}

static void names_and_values_may_have_any_length(void **state)
{
    char text[4096];
    int name, value;
    (void)state;

    for (name = 1; name < 70; name++) {
        for (value = 0; value < 70; value += 1 + value / 20) {
            sprintf(text, "GET / HTTP/1.0\r\n%.*s: %.*s\r\n\r\n", name,
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    "aaaaaaaaaaaaaaaa",
                    value,
                    "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
                    "vvvvvvvvvvvvvvvv");
            assert_int_equal(request(text), 0);
            assert_int_equal(m.count, 1);
            assert_int_equal(m.headers[0].name.len, name);
            assert_int_equal(m.headers[0].value.len, value);
            assert_int_equal(m.headers[0].id, FIELD_OTHER);
        }
    }
}

static void bad_request_lines_are_refused(void **state)
{
    static const struct {
        const char *line;
        unsigned status;
    } bad[] = {
        { "GET  / HTTP/1.1", 400 },
        { "GET / HTTP/1.1 ", 400 },
        { "GET /  HTTP/1.1", 400 },
        { "GET /\tHTTP/1.1", 400 },
        { "GET /x y HTTP/1.1", 400 },
        { "GET /x", 400 },
        { "GET / HTTP/1.10", 400 },
        { "GET / HTTP/01.1", 400 },
        { "GET / HTTP1.1", 400 },
        { "GET / HTTP/1,1", 400 },
        { "GET / http/1.1", 400 },
        { "GET / HTTP/1.", 400 },
        { "GET / HTTP/", 400 },
        { "GET / ", 400 },
        { "GET  HTTP/1.1", 400 },
        { "GET / HTTP/1.2", 505 },
        { "GET / HTTP/1.9", 505 },
        { "GET / HTTP/2.0", 505 },
        { "GET / HTTP/0.9", 505 },
        { "PRI * HTTP/2.0", 505 },
        { "GET /\x01 HTTP/1.1", 400 },
        { "GET /\x7f HTTP/1.1", 400 },
        { "GET /\xc3\xa9 HTTP/1.1", 400 },
        { "GET /a#b HTTP/1.1", 400 },
        { "GET /?a#b HTTP/1.1", 400 },
        { "GET /a\rb HTTP/1.1", 400 },
        { "GET x HTTP/1.1", 400 },
        { "GET * HTTP/1.1", 400 },
        { "OPTIONS *?a HTTP/1.1", 400 },
        { "OPTIONS ** HTTP/1.1", 400 },
        { "GET ?a HTTP/1.1", 400 },
        { "GET h:80 HTTP/1.1", 400 },
        { "GET ftp://h/ HTTP/1.1", 400 },
        { "GET http:/h HTTP/1.1", 400 },
        { "GET http:///x HTTP/1.1", 400 },
        { "GET http://?x HTTP/1.1", 400 },
        { "GET http://u@h/ HTTP/1.1", 400 },
        { "CONNECT / HTTP/1.1", 400 },
        { "CONNECT h HTTP/1.1", 400 },
        { "CONNECT h:80?a HTTP/1.1", 400 },
        { "CONNECT http://h:80 HTTP/1.1", 400 },
    };
    char text[256];
    size_t i;
    (void)state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "%s\r\nHost: h\r\n\r\n", bad[i].line);
        if (request(text) != bad[i].status)
            fail_msg("%s: %u", bad[i].line, error.status);
    }
    assert_int_equal(read_head(STR("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"), true,
                               METHOD_OTHER),
                     400);
    assert_int_equal(request("GET / HTTP\r\n\r\n"), 400);
}

static void the_absolute_form_names_the_authority(void **state)
{
    (void)state;

    assert_int_equal(request("GET http://h.example/a?b HTTP/1.1\r\n"
                             "Host: H.example:80\r\n\r\n"),
                     0);
    assert_true(str_is(m.authority, "h.example"));
    assert_true(str_is(m.path, "/a"));
    assert_true(str_is(m.query, "b"));
    assert_true(str_is(m.target, "http://h.example/a?b"));
    assert_int_equal(request("GET HTTPS://h:443 HTTP/1.1\r\nHost: h\r\n\r\n"),
                     0);
    assert_true(str_is(m.path, "/"));
    assert_int_equal(request("GET http://h?b/c HTTP/1.1\r\nHost: h\r\n\r\n"),
                     0);
    assert_true(str_is(m.path, "/"));
    assert_true(str_is(m.query, "b/c"));
    assert_int_equal(request("GET http://h/ HTTP/1.0\r\n\r\n"), 0);
    assert_true(str_is(m.authority, "h"));
    assert_int_equal(request("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n"),
                     0);
    assert_true(str_is(m.path, "*"));
    assert_int_equal(request("OPTIONS http://h? HTTP/1.1\r\nHost: h\r\n\r\n"),
                     0);
    assert_true(str_is(m.path, "/"));
}

static void an_absolute_form_and_host_must_agree(void **state)
{
    (void)state;

    assert_int_equal(request("GET http://h/ HTTP/1.1\r\nHost: i\r\n\r\n"), 400);
    assert_int_equal(request("GET http://h/ HTTP/1.1\r\nHost: h:81\r\n\r\n"),
                     400);
    assert_int_equal(request("GET https://h/ HTTP/1.1\r\nHost: h:80\r\n\r\n"),
                     400);
    assert_int_equal(request("GET http://h/ HTTP/1.1\r\n\r\n"), 400);
    assert_int_equal(request("GET http://h/ HTTP/1.1\r\nHost: h/\r\n\r\n"),
                     400);
}

static void connect_and_options_have_their_own_forms(void **state)
{
    (void)state;

    assert_int_equal(
        request(
            "CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n"),
        0);
    assert_int_equal(m.method, METHOD_CONNECT);
    assert_true(str_is(m.authority, "h.example:443"));
    assert_int_equal(m.path.len, 0);
    assert_int_equal(request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    assert_true(str_is(m.path, "*"));
    assert_int_equal(request("PURGE //x HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    assert_int_equal(m.method, METHOD_OTHER);
    assert_true(str_is(m.method_text, "PURGE"));
    assert_true(str_is(m.path, "//x"));
}

static void there_is_one_valid_host(void **state)
{
    (void)state;

    assert_int_equal(request("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_int_equal(request("GET / HTTP/1.0\r\n\r\n"), 0);
    assert_null(m.authority.p);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 400);
    assert_int_equal(request("GET / HTTP/1.0\r\nHost:\r\n\r\n"), 400);
    assert_int_equal(with("hOsT: h\r\n"), 400);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost: h/admin\r\n\r\n"), 400);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost: a@h\r\n\r\n"), 400);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost: h:9x\r\n\r\n"), 400);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), 0);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), 0);
    assert_true(str_is(m.authority, "[::1]:80"));
}

static void bad_field_lines_are_refused(void **state)
{
    static const char *const bad[] = {
        "Broken\r\n",
        "X-A : b\r\n",
        "X-A\t: b\r\n",
        ": b\r\n",
        " X-A: b\r\n",
        "X-A: b\r\n c\r\n",
        "X A: b\r\n",
        "\"X\": b\r\n",
        "X\x7f: b\r\n",
        "X-\xc3\xa9: b\r\n",
        "X-A: b\x01\r\n",
        "X-A: \x7f\r\n",
        "X-A: b\rC: d\r\n",
        "\rX-A: b\r\n",
        "X-A: b\r\r\n",
        "X-A:\x0b b\r\n",
        "X-A: \x0c\r\n",
        "\t\r\n",
        "X\r\n",
    };
    size_t i;
    (void)state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (with(bad[i]) != 400)
            fail_msg("%s: %u", bad[i], error.status);
        if (answer_with(bad[i]) != 400)
            fail_msg("%s: %u", bad[i], error.status);
    }
    assert_int_equal(
        read_head(STR("GET / HTTP/1.0\r\nA\0: b\r\n\r\n"), true, METHOD_OTHER),
        400);
    assert_int_equal(
        read_head(STR("GET / HTTP/1.0\r\nA: b\0c\r\n\r\n"), true, METHOD_OTHER),
        400);
}

static void there_is_a_ceiling_for_fields(void **state)
{
    char text[2048] = "";
    int i;
    (void)state;

    for (i = 1; i < FIELDS; i++) /* and the Host */
        strcat(text, "X-A: b\r\n");
    assert_int_equal(with(text), 0);
    assert_int_equal(m.count, FIELDS);
    strcat(text, "X-A: b\r\n");
    assert_int_equal(with(text), 431);
}

static void an_empty_line_inside_a_head_is_refused(void **state)
{
    static const char text[] = "GET / HTTP/1.0\r\n\r\nA: b\r\n\r\n";
    (void)state;

    m.headers = headers;
    m.capacity = FIELDS;
    assert_int_equal(h1_parse_request(text, sizeof(text) - 1, &m, &error),
                     ERR_INVALID);
    assert_int_equal(h1_parse_request("\r\n\r\n", 4, &m, &error), ERR_INVALID);
}

/* ---- framing ---- */

static void content_length_is_digits(void **state)
{
    static const char *const bad[] = {
        "",
        "+5",
        "-1",
        "0x5",
        "5a",
        "1e1",
        "1_0",
        "5;",
        "5, 5",
        "5,",
        "5 5",
        "\v5",
        "9223372036854775808",
        "18446744073709551621",
        "99999999999999999999999",
    };
    char line[128];
    size_t i;
    (void)state;

    assert_int_equal(with("Content-Length: 0\r\n"), 0);
    assert_int_equal(m.body, BODY_LENGTH);
    assert_int_equal(m.length, 0);
    assert_int_equal(with("content-length:\t0042 \r\n"), 0);
    assert_int_equal(m.length, 42);
    assert_int_equal(with("Content-Length: 9223372036854775807\r\n"), 0);
    assert_true(m.length == INT64_MAX);
    assert_int_equal(
        with("Content-Length: 00000000000009223372036854775807\r\n"), 0);
    assert_true(m.length == INT64_MAX);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "Content-Length: %s\r\n", bad[i]);
        if (with(line) != 400)
            fail_msg("%s", line);
        if (answer_with(line) != 400)
            fail_msg("%s", line);
    }
    assert_int_equal(with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400);
    assert_int_equal(answer_with("Content-Length: 5\r\nContent-Length: 5\r\n"),
                     400);
}

static void only_chunked_is_a_transfer_coding(void **state)
{
    static const char *const bad[] = {
        "",
        "identity",
        "identity, chunked",
        "chunked, chunked",
        "chunked;q=1",
        "chun ked",
        "chunkedx",
        "chunked;",
        "chunked.",
        "gzip",
        "'chunked'",
        ", chunked",
        "chunked,",
        "\240chunked",
    };
    char line[128];
    size_t i;
    (void)state;

    assert_int_equal(with("transfer-ENCODING: \tChUnKeD \r\n"), 0);
    assert_int_equal(m.body, BODY_CHUNKED);
    assert_true(m.headers[1].hop);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "Transfer-Encoding: %s\r\n", bad[i]);
        if (with(line) != 501)
            fail_msg("%s", line);
        if (answer_with(line) != 501)
            fail_msg("%s", line);
    }
    assert_int_equal(
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        400);
    assert_int_equal(
        with("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n"), 501);
}

static void a_length_beside_chunks_is_refused(void **state)
{
    (void)state;

    assert_int_equal(
        with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400);
    assert_int_equal(
        with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), 400);
    assert_int_equal(
        answer_with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        400);
    assert_int_equal(request("POST / HTTP/1.0\r\nHost: h\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n"),
                     400);
    assert_int_equal(
        response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

/* Fields in a place that first[] cannot name are seen all the same. */
static void framing_counts_behind_the_255th_field_too(void **state)
{
    static struct header many[400];
    static char text[8192];
    struct message big = { .headers = many, .capacity = 400 };
    size_t n;
    int i;
    (void)state;

    strcpy(text, "POST / HTTP/1.1\r\nHost: h\r\n");
    for (i = 0; i < 300; i++)
        strcat(text, "X-A: b\r\n");
    n = strlen(text);
    strcpy(text + n, "Content-Length: 5\r\nConnection: close, x-a\r\n\r\n");
    assert_int_equal(h1_parse_request(text, strlen(text), &big, &error),
                     ERR_OK);
    assert_int_equal(big.body, BODY_LENGTH);
    assert_int_equal(big.length, 5);
    assert_false(big.keep_alive);
    assert_true(big.headers[1].hop);
    assert_non_null(message_find(&big, STR("content-length")));
    strcpy(text + n, "Content-Length: 5\r\nContent-Length: 5\r\n\r\n");
    assert_int_equal(h1_parse_request(text, strlen(text), &big, &error),
                     ERR_INVALID);
    strcpy(text + n, "Host: h\r\n\r\n");
    assert_int_equal(h1_parse_request(text, strlen(text), &big, &error),
                     ERR_INVALID);
}

/* ---- Connection, Expect, TE ---- */

static void connections_persist_by_version_and_by_choice(void **state)
{
    (void)state;

    assert_int_equal(with(""), 0);
    assert_true(m.keep_alive);
    assert_int_equal(with("Connection: close\r\n"), 0);
    assert_false(m.keep_alive);
    assert_int_equal(with("Connection: CLOSE\r\n"), 0);
    assert_false(m.keep_alive);
    assert_int_equal(with("Connection: foo,\tclose , , bar\r\n"), 0);
    assert_false(m.keep_alive);
    assert_int_equal(with("Connection: keep-alive\r\nConnection: close\r\n"),
                     0);
    assert_false(m.keep_alive);
    assert_int_equal(
        with("Connection: keep-alive, x\r\nConnection: y,close\r\n"), 0);
    assert_false(m.keep_alive);
    assert_int_equal(with("Connection: closed\r\n"), 0);
    assert_true(m.keep_alive);

    assert_int_equal(request("GET / HTTP/1.0\r\n\r\n"), 0);
    assert_false(m.keep_alive);
    assert_int_equal(
        request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), 0);
    assert_true(m.keep_alive);
    assert_int_equal(
        request("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n"), 0);
    assert_false(m.keep_alive);
    assert_int_equal(
        request("GET / HTTP/1.0\r\nConnection: keep\ralive\r\n\r\n"), 400);
}

static void what_connection_names_is_of_the_connection(void **state)
{
    (void)state;

    assert_int_equal(with("X-Hop: 1\r\nX-Stay: 2\r\nConnection: x-hop\r\n"
                          "X-HOP: 3\r\nAccept: a\r\nConnection: accept\r\n"),
                     0);
    assert_true(m.headers[1].hop);
    assert_false(m.headers[2].hop);
    assert_true(m.headers[3].hop);
    assert_true(m.headers[4].hop);
    assert_true(m.headers[5].hop);
}

static void some_fields_cannot_be_stripped_by_naming_them(void **state)
{
    static const char *const kept[] = {
        "Content-Type",
        "Authorization",
        "activityid",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "Forwarded",
        "Via",
        "Date",
        "Location",
    };
    char lines[256];
    size_t i;
    (void)state;

    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        snprintf(lines, sizeof(lines), "%s: 1\r\nConnection: close, %s\r\n",
                 kept[i], kept[i]);
        assert_int_equal(with(lines), 0);
        assert_false(m.headers[1].hop);
    }
    assert_int_equal(with("Content-Length: 1\r\n"
                          "Connection: host, content-length\r\n"),
                     0);
    assert_false(m.headers[0].hop);
    assert_false(m.headers[1].hop);
    /* those that are of the connection anyway stay so */
    assert_int_equal(with("TE: trailers\r\nConnection: close\r\n"), 0);
    assert_true(m.headers[1].hop);
}

static void connection_is_a_list_of_32_tokens_at_most(void **state)
{
    char lines[256] = "Connection: a";
    int i;
    (void)state;

    for (i = 1; i < 32; i++)
        strcat(lines, ",a");
    strcat(lines, "\r\n");
    assert_int_equal(with(lines), 0);
    lines[strlen(lines) - 2] = '\0';
    strcat(lines, ",a\r\n");
    assert_int_equal(with(lines), 400);
    assert_int_equal(with("Connection: a b\r\n"), 400);
    assert_int_equal(with("Connection: \"close\"\r\n"), 400);
    assert_int_equal(with("Connection:\r\n"), 0);
    assert_int_equal(with("Connection: ,,\r\n"), 0);
}

static void an_upgrade_is_asked_for_in_two_places(void **state)
{
    (void)state;

    assert_int_equal(with("Connection: Upgrade\r\nUpgrade: websocket\r\n"), 0);
    assert_true(m.upgrade);
    assert_int_equal(with("Upgrade: h2c\r\n"
                          "Connection: keep-alive, upgrade\r\n"),
                     0);
    assert_true(m.upgrade);
    assert_int_equal(with("Upgrade: websocket\r\n"), 0);
    assert_false(m.upgrade);
    assert_int_equal(with("Connection: upgrade\r\n"), 0);
    assert_false(m.upgrade);
    assert_int_equal(request("GET / HTTP/1.0\r\nConnection: upgrade\r\n"
                             "Upgrade: websocket\r\n\r\n"),
                     0);
    assert_false(m.upgrade);
}

static void only_100_continue_can_be_expected(void **state)
{
    (void)state;

    assert_int_equal(with("Expect: 100-Continue\r\n"), 0);
    assert_true(m.expect_continue);
    assert_int_equal(with("Expect: 200-ok\r\n"), 417);
    assert_int_equal(with("Expect:\r\n"), 417);
    assert_int_equal(with("Expect: 100-continue, x\r\n"), 417);
    assert_int_equal(request("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
                     0);
    assert_false(m.expect_continue);
    assert_int_equal(answer_with("Expect: whatever\r\n"), 0);
}

static void trailers_are_announced(void **state)
{
    (void)state;

    assert_int_equal(with("TE: gzip , Trailers\r\n"), 0);
    assert_true(m.trailers_ok);
    assert_int_equal(with("TE: trailersx\r\n"), 0);
    assert_false(m.trailers_ok);
    assert_int_equal(answer_with("Trailer: Digest\r\n"), 0);
    assert_true(m.trailers_ok);
}

/* ---- responses ---- */

static void a_response_is_taken_apart(void **state)
{
    (void)state;

    assert_int_equal(response("HTTP/1.1 200 OK\r\n"
                              "Server: nginx/1.22.1\r\n"
                              "Date: Sat, 21 Nov 2026 08:00:00 GMT\r\n"
                              "Content-Type: application/octet-stream\r\n"
                              "Content-Length: 100\r\n"
                              "Connection: keep-alive\r\n\r\n"),
                     0);
    assert_int_equal(m.status, 200);
    assert_true(str_is(m.reason, "OK"));
    assert_int_equal(m.minor, 1);
    assert_int_equal(m.body, BODY_LENGTH);
    assert_int_equal(m.length, 100);
    assert_true(m.keep_alive);
    assert_int_equal(m.count, 5);
    assert_true(str_is(message_value(&m, FIELD_SERVER), "nginx/1.22.1"));
    assert_null(m.target.p);
    assert_null(m.authority.p);
}

static void status_lines_may_lack_a_reason(void **state)
{
    (void)state;

    assert_int_equal(response("HTTP/1.1 200\r\n\r\n"), 0);
    assert_int_equal(m.reason.len, 0);
    assert_int_equal(response("HTTP/1.1 200 \r\n\r\n"), 0);
    assert_int_equal(m.reason.len, 0);
    assert_int_equal(response("HTTP/1.0 599 \tN\xe9\t \r\n\r\n"), 0);
    assert_true(str_is(m.reason, "\tN\xe9\t "));
    assert_int_equal(m.status, 599);
}

static void bad_status_lines_are_refused(void **state)
{
    static const char *const bad[] = {
        "HTTP/1.1 20",       "HTTP/1.1 099 x",    "HTTP/1.1 600 x",
        "HTTP/1.1 2000",     "HTTP/1.1 200OK",    "HTTP/1.1  200 OK",
        "HTTP/1.1\t200",     "HTTP/1.1 2a0 OK",   "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 \x01", "HTTP/1.1 200 a\rb", "HTTP/1.10 200 OK",
        "HTTP/1.1 -20 OK",   "HTTP/1.1 200\rOK",
    };
    char text[128];
    size_t i;
    (void)state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "%s\r\nA: b\r\n\r\n", bad[i]);
        if (response(text) != 400)
            fail_msg("%s: %u", bad[i], error.status);
    }
    assert_int_equal(response("HTTP/2.0 200 OK\r\n\r\n"), 505);
    assert_int_equal(response("HTTP/1.2 200 OK\r\n\r\n"), 505);
}

static void some_responses_have_no_body_whatever_they_say(void **state)
{
    static const char chunked[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    (void)state;

    assert_int_equal(response(chunked), 0);
    assert_int_equal(m.body, BODY_CHUNKED);
    assert_int_equal(response_to(METHOD_HEAD, chunked), 0);
    assert_int_equal(m.body, BODY_NONE);
    assert_int_equal(response_to(METHOD_CONNECT, chunked), 0);
    assert_int_equal(m.body, BODY_NONE);
    assert_int_equal(response("HTTP/1.1 304 -\r\nContent-Length: 9\r\n\r\n"),
                     0);
    assert_int_equal(m.body, BODY_NONE);
    assert_true(m.keep_alive);
    assert_int_equal(response("HTTP/1.1 204 -\r\n\r\n"), 0);
    assert_int_equal(m.body, BODY_NONE);
    assert_int_equal(response("HTTP/1.1 100 Continue\r\n\r\n"), 0);
    assert_int_equal(m.body, BODY_NONE);
    assert_int_equal(response("HTTP/1.1 101 -\r\nUpgrade: x\r\n"
                              "Connection: upgrade\r\n\r\n"),
                     0);
    assert_int_equal(m.body, BODY_NONE);
    assert_true(m.upgrade);
    /* but what they say must be well-formed */
    assert_int_equal(response("HTTP/1.1 304 -\r\nContent-Length: x\r\n\r\n"),
                     400);
}

static void a_response_may_end_with_the_connection(void **state)
{
    (void)state;

    assert_int_equal(response("HTTP/1.1 200 OK\r\n\r\n"), 0);
    assert_int_equal(m.body, BODY_CLOSE);
    assert_false(m.keep_alive);
    assert_int_equal(
        response("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"), 0);
    assert_int_equal(m.body, BODY_CLOSE);
    assert_false(m.keep_alive);
}

static void a_server_may_say_how_long_it_waits(void **state)
{
    (void)state;

    assert_int_equal(answer_with("Keep-Alive: timeout=5\r\n"), 0);
    assert_int_equal(h1_keep_alive_timeout(&m), 5);
    assert_int_equal(answer_with("Keep-Alive: max=9 , Timeout = 75\r\n"), 0);
    assert_int_equal(h1_keep_alive_timeout(&m), 75);
    assert_int_equal(answer_with("Keep-Alive: timeout=99999\r\n"), 0);
    assert_int_equal(h1_keep_alive_timeout(&m), 86400);
    assert_int_equal(answer_with("Keep-Alive: timeout, timeout=x\r\n"), 0);
    assert_int_equal(h1_keep_alive_timeout(&m), 0);
    assert_int_equal(answer_with(""), 0);
    assert_int_equal(h1_keep_alive_timeout(&m), 0);
}

#define TEST(f) cmocka_unit_test_teardown(f, let_go)

int main(void)
{
    const struct CMUnitTest tests[] = {
#if H1_SSE2
        TEST(spans_are_the_same_with_and_without_sse2),
        TEST(every_byte_is_classed_alike),
#endif
        TEST(classes_are_those_of_the_grammar),
        TEST(a_head_ends_at_its_empty_line),
        TEST(a_line_that_ends_otherwise_is_seen_at_once),
        TEST(two_empty_lines_may_come_before_a_request),
        TEST(who_does_not_speak_http_is_sent_away_at_once),
        TEST(a_method_has_at_most_32_bytes),
        TEST(a_head_has_a_ceiling),
        TEST(a_request_is_taken_apart),
        TEST(fields_are_known_wherever_they_stand),
        TEST(names_that_only_look_known_are_refused),
        TEST(names_and_values_may_have_any_length),
        TEST(bad_request_lines_are_refused),
        TEST(the_absolute_form_names_the_authority),
        TEST(an_absolute_form_and_host_must_agree),
        TEST(connect_and_options_have_their_own_forms),
        TEST(there_is_one_valid_host),
        TEST(bad_field_lines_are_refused),
        TEST(there_is_a_ceiling_for_fields),
        TEST(an_empty_line_inside_a_head_is_refused),
        TEST(content_length_is_digits),
        TEST(only_chunked_is_a_transfer_coding),
        TEST(a_length_beside_chunks_is_refused),
        TEST(framing_counts_behind_the_255th_field_too),
        TEST(connections_persist_by_version_and_by_choice),
        TEST(what_connection_names_is_of_the_connection),
        TEST(some_fields_cannot_be_stripped_by_naming_them),
        TEST(connection_is_a_list_of_32_tokens_at_most),
        TEST(an_upgrade_is_asked_for_in_two_places),
        TEST(only_100_continue_can_be_expected),
        TEST(trailers_are_announced),
        TEST(a_response_is_taken_apart),
        TEST(status_lines_may_lack_a_reason),
        TEST(bad_status_lines_are_refused),
        TEST(some_responses_have_no_body_whatever_they_say),
        TEST(a_response_may_end_with_the_connection),
        TEST(a_server_may_say_how_long_it_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
