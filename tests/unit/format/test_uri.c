/* test_uri.c - URLs, authorities, and the one form of a path.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "format/uri.h"

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

static void assert_text(struct str s, const char *z)
{
    if (!str_is(s, z))
        fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(s), z);
}

/* The normal form, NULL when refused. The input lies in memory of exactly its
 * size, for the sanitizers. */
static const char *normal(struct str path)
{
    char *in = malloc(path.len + 1), *out = malloc(path.len + 1);
    size_t len = 99;
    bool unchanged = false;
    struct str result = STR_NULL;

    memcpy(in, path.p, path.len);
    if (!uri_path_normal(str_from(in, path.len), out, &len, &unchanged)) {
        assert_true(len <= path.len);
        assert_int_equal(unchanged, str_eq(path, str_from(out, len)));
        result = arena_copy(arena, str_from(out, len));
    }
    free(in);
    free(out);
    return result.p;
}

/* Long paths are looked at sixteen bytes at a time: each byte, wherever it
 * stands, counts for what it is in a short one. */
static void every_byte_counts_wherever_it_stands(void **state)
{
    (void)state;

    for (size_t len = 16; len < 50; len++) {
        for (size_t at = 1; at < len; at++) {
            for (unsigned c = 0; c < 256; c++) {
                char path[50], small[] = { '/', 'a', (char)c, 'a' };

                memset(path, 'a', len);
                path[0] = '/';
                path[at] = (char)c;
                if (c == '%') /* an escape is three bytes */
                    continue;
                assert_int_equal(normal(str_from(path, len)) != NULL,
                                 normal(str_from(small, 4)) != NULL);
            }
        }
    }
}

static void a_dot_segment_is_found_wherever_it_stands(void **state)
{
    (void)state;

    for (size_t len = 20; len < 50; len++) {
        for (size_t at = 1; at + 3 < len; at++) {
            char path[50], rest[50];

            memset(path, 'a', len);
            path[0] = '/';
            memcpy(path + at, "/./", 3);
            memcpy(rest, path, at);
            memcpy(rest + at, path + at + 2, len - at - 2);
            rest[len - 2] = 0;
            assert_string_equal(normal(str_from(path, len)), rest);
        }
    }
}

static void paths_have_one_normal_form(void **state)
{
    static const struct {
        const char *path, *normal; /* NULL: refused */
    } table[] = {
        /* nothing to do */
        { "/", "/" },
        { "/a/b.c/~d_e-f", "/a/b.c/~d_e-f" },
        { "/a/", "/a/" },
        { "//", "//" },
        { "/a//b///", "/a//b///" },
        { "/.well-known/x", "/.well-known/x" },
        { "/...", "/..." },
        { "/.../a", "/.../a" },
        { "/..a/b..", "/..a/b.." },
        { "/a./b", "/a./b" },
        { "/!$&'()*+,;=:@", "/!$&'()*+,;=:@" },
        { "/a;x=1/b;y", "/a;x=1/b;y" },
        { "/a;../b", "/a;../b" },
        { "/a;/b", "/a;/b" },
        { "/.;x/b", "/.;x/b" },
        /* dot segments */
        { "/.", "/" },
        { "/./", "/" },
        { "/./a", "/a" },
        { "/a/.", "/a/" },
        { "/a/./b", "/a/b" },
        { "/a/././/b", "/a//b" },
        { "/a/..", "/" },
        { "/a/../", "/" },
        { "/a/../b", "/b" },
        { "/a/b/..", "/a/" },
        { "/a/b/../../c", "/c" },
        { "/a/b/./../c/", "/a/c/" },
        { "/a//..", "/a/" },
        { "/a//../b", "/a/b" },
        { "//../a", "/a" },
        { "/a/..//b", "//b" },
        { "/..", NULL },
        { "/../", NULL },
        { "/../a", NULL },
        { "/a/../..", NULL },
        { "/a/../../a", NULL },
        { "/./..", NULL },
        /* the same, escaped */
        { "/%2e", "/" },
        { "/a/%2E/b", "/a/b" },
        { "/a/%2e%2e/b", "/b" },
        { "/a/%2E./b", "/b" },
        { "/a/.%2e/b", "/b" },
        { "/a/b/%2E%2e", "/a/" },
        { "/%2e%2e/a", NULL },
        { "/%2e%2e", NULL },
        { "/%2e%2e%2e", "/..." },
        { "/%2ea", "/.a" },
        /* escapes */
        { "/%41%7a%30%2d%2E%5f%7e", "/Az0-._~" },
        { "/%c3%a4", "/%C3%A4" },
        { "/%C3%A4", "/%C3%A4" },
        { "/%2f", "/%2F" },
        { "/a%2Fb", "/a%2Fb" },
        { "/a%5cb", "/a%5Cb" },
        { "/%20%21%22%23%25%3b%3f%40", "/%20%21%22%23%25%3B%3F%40" },
        { "/%25%32%65", "/%252e" },
        { "/%252e%252e/a", "/%252e%252e/a" },
        { "/a%3b..", "/a%3B.." },
        { "/a%2fb%2f.", "/a%2Fb%2F." },
        { "/a%2f..b", "/a%2F..b" },
        { "/a%2fb../c", "/a%2Fb../c" },
        { "/%80%ff", "/%80%FF" },
        { "/%", NULL },
        { "/a%2", NULL },
        { "/a%zz", NULL },
        { "/a%2g", NULL },
        { "/a%g2", NULL },
        { "/%%41", NULL },
        { "/%u0041", NULL },
        { "/%00", NULL },
        { "/a%00/../b", NULL },
        { "/%0a", NULL },
        { "/%0D%0A", NULL },
        { "/%1f", NULL },
        { "/%7f", NULL },
        { "/%7F", NULL },
        /* a parent that only some backends would see */
        { "/a/..%2f", NULL },
        { "/a/..%2Fb", NULL },
        { "/a/%2e%2e%2fb", NULL },
        { "/a/%2e%2e%5c", NULL },
        { "/a/..%5cb", NULL },
        { "/a/b%2f..", NULL },
        { "/a/b%5C..%2fc", NULL },
        { "/a/b%2f%2f..", NULL },
        { "/a/%2f%2e%2e", NULL },
        { "/a/..;/b", NULL },
        { "/a/..;x=1", NULL },
        { "/a/%2e.;x/b", NULL },
        { "/a/..%3bx/b", NULL },
        { "/a/b%2f..;x", NULL },
        /* bytes that must not be raw */
        { "", NULL },
        { "a", NULL },
        { "*", NULL },
        { "http://h/", NULL },
        { "%2Fa", NULL },
        { "\\a", NULL },
        { "/a\\b", NULL },
        { "/\\..\\", NULL },
        { "/a b", NULL },
        { "/a\"b", NULL },
        { "/a<b", NULL },
        { "/a>b", NULL },
        { "/a[b", NULL },
        { "/a]b", NULL },
        { "/a^b", NULL },
        { "/a`b", NULL },
        { "/a{b}", NULL },
        { "/a|b", NULL },
        { "/a?b", NULL },
        { "/a#b", NULL },
        { "/a\tb", NULL },
        { "/a\x7f", NULL },
        { "/\xc3\xa4", NULL },
        { "/%41\xc3\xa4", NULL },
        { "/./a b", NULL },
        { "/../\xff", NULL },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        const char *got = normal(str_z(table[i].path));
        const char *want = table[i].normal;

        if (!want != !got || (want && strcmp(want, got) != 0))
            fail_msg("%s: %s, not %s", table[i].path, got ? got : "refused",
                     want ? want : "refused");
    }
    assert_null(normal(STR("/a\0b")));
    assert_null(normal(STR("/%41\0b")));
}

/* Paths made of the pieces that tricks are made of. */
static struct str random_path(struct rng *r)
{
    static const char *const pieces[] = {
        "/",   "/",   "/",   ".",  "..",  "%2e", "%2E", "%2f", "%5C",
        ";",   "%3b", "a",   "bc", "%41", "%c3", "%25", "2e",  "/./",
        "/..", "=",   "%00", "\\", "%",   "~",   "//",  "+",   "%7e",
    };
    char text[128];
    const uint32_t all = sizeof(pieces) / sizeof(*pieces);
    size_t len = 1, n = rng_below(r, 12);

    text[0] = '/';
    while (n--) {
        /* the last few only now and then, or nearly all would be refused */
        const char *piece = pieces[rng_below(r, rng_below(r, 8) ? 16 : all)];

        memcpy(text + len, piece, strlen(piece));
        len += strlen(piece);
    }
    return arena_copy(arena, str_from(text, len));
}

static void a_normal_form_stays_as_it_is(void **state)
{
    struct rng r = { .state = 20261121 };
    size_t taken = 0;
    (void)state;

    for (int i = 0; i < 20000; i++) {
        struct str path = random_path(&r);
        const char *once = normal(path);

        if (!once)
            continue;
        taken++;
        assert_non_null(normal(str_z(once)));
        assert_string_equal(normal(str_z(once)), once);
        assert_int_equal(once[0], '/');
        assert_null(strstr(once, "/../"));
        assert_null(strstr(once, "/./"));
        assert_null(strstr(once, "/..;"));
        assert_null(strstr(once, "/..%2F"));
        assert_null(strstr(once, "%2F..%2F"));
        assert_false(str_ends(str_z(once), STR("/..")));
        assert_false(str_ends(str_z(once), STR("/.")));
    }
    assert_true(taken > 2000);
}

static void a_path_that_is_taken_can_be_written_plainer(void **state)
{
    struct rng r = { .state = 7 };
    (void)state;

    /* escaping unreserved characters changes nothing */
    for (int i = 0; i < 2000; i++) {
        struct str path = random_path(&r);
        const char *want = normal(path);
        struct buf b;

        buf_init(&b, 1024);
        for (size_t k = 0; k < path.len; k++) {
            char c = path.p[k];
            bool in_escape = (k >= 1 && path.p[k - 1] == '%') ||
                             (k >= 2 && path.p[k - 2] == '%');

            if (!in_escape && (c == '.' || c == 'a' || c == '~') &&
                rng_below(&r, 2))
                buf_printf(&b, "%%%02x", (unsigned)c);
            else
                buf_char(&b, c);
        }
        if (want)
            assert_string_equal(normal(buf_view(&b)), want);
        else
            assert_null(normal(buf_view(&b)));
        buf_done(&b);
    }
}

static void queries_are_printable_ascii_without_a_hash(void **state)
{
    (void)state;

    assert_true(uri_query_valid(STR_NULL));
    assert_true(uri_query_valid(STR("a=1&b[]={x}|^`\"<>\\/?:@%zz%")));
    for (int c = 0; c < 256; c++) {
        char text[40];
        bool valid = c > 0x20 && c < 0x7f && c != '#';

        memset(text, 'x', sizeof(text));
        for (size_t at = 0; at < sizeof(text); at += 13) {
            text[at] = (char)c;
            assert_int_equal(uri_query_valid(str_from(text, sizeof(text))),
                             valid);
            text[at] = 'x';
        }
    }
}

static void an_authority_is_a_host_and_maybe_a_port(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } table[] = {
        { "localhost", "localhost", 0 },
        { "Example.COM:8080", "Example.COM", 8080 },
        { "127.0.0.1:0", "127.0.0.1", 0 },
        { "a_b-c.d~e:65535", "a_b-c.d~e", 65535 },
        { "h:00080", "h", 80 },
        { "example.com.", "example.com.", 0 },
        { "[::1]", "[::1]", 0 },
        { "[2001:DB8::1]:443", "[2001:DB8::1]", 443 },
        { "[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]", 1 },
        { "a!$&'()*+,;=b", "a!$&'()*+,;=b", 0 },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct str host = STR_NULL;
        uint16_t port = 9;

        assert_int_equal(authority_parse(str_z(table[i].text), &host, &port),
                         ERR_OK);
        assert_text(host, table[i].host);
        assert_int_equal(port, table[i].port);
    }
}

static void anything_else_is_no_authority(void **state)
{
    static const char *const bad[] = {
        "",
        ":80",
        "h:",
        "h:x",
        "h:99x",
        "h:65536",
        "h:-1",
        "h:+1",
        "h: 80",
        "h:80 ",
        "h:80:80",
        "u@h",
        "u:p@h:80",
        "h/",
        "h/x",
        "h?",
        "h#",
        "h\\",
        " h",
        "h h",
        "h\t",
        "h\r\nx",
        "\xc3\xa4",
        "a%20b",
        "%41",
        "::1",
        "[",
        "[]",
        "[::1",
        "::1]",
        "[::1]x",
        "[::1]:",
        "[::1]:x",
        "[::1%25lo]",
        "[v1.a]",
        "[1.2.3.4]",
        "[:::]",
        "[::1]]",
        "[[::1]]",
        "h\"",
        "h<",
        "h\x7f",
        "h{",
        "h|",
        "h^",
        "[1:2:3:4:5:6:7:8:9]",
        "h:184467440737095516160",
        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]",
    };
    struct str host = STR("before");
    uint16_t port = 9;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (authority_parse(str_z(bad[i]), &host, &port) != ERR_INVALID)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(authority_parse(STR("h\0x"), &host, &port), ERR_INVALID);
    assert_int_equal(authority_parse(STR("[::1\0]"), &host, &port),
                     ERR_INVALID);
    assert_text(host, "before");
    assert_int_equal(port, 9);
}

static struct url url(const char *text)
{
    struct url u;

    if (url_parse(arena, str_z(text), &u))
        fail_msg("refused: %s", text);
    return u;
}

static void urls_come_apart(void **state)
{
    struct url u = url("HTTPS://User:p%40@Api.Example.COM:8443/Base/%2f?x=%");
    (void)state;

    assert_text(u.scheme, "https");
    assert_text(u.userinfo, "User:p%40");
    assert_text(u.host, "api.example.com");
    assert_int_equal(u.port, 8443);
    assert_true(u.port_given);
    assert_text(u.path, "/Base/%2f");
    assert_text(u.query, "x=%");
    assert_true(u.has_query);
    assert_false(u.ipv6);

    u = url("http://h");
    assert_int_equal(u.port, 80);
    assert_false(u.port_given);
    assert_int_equal(u.path.len, 0);
    assert_false(u.has_query);
    u = url("http://h?");
    assert_int_equal(u.path.len, 0);
    assert_true(u.has_query);
    assert_int_equal(url("wss://h/").port, 443);
    assert_int_equal(url("grpc://h/").port, 0);
    assert_int_equal(url("grpc+x-1.2://h:0/").port, 0);
    assert_text(url("http://h//a/../b").path, "//a/../b");
    u = url("http://[2001:DB8::A]:81/x");
    assert_text(u.host, "2001:db8::a");
    assert_true(u.ipv6);
    assert_int_equal(u.port, 81);
}

static void unix_sockets_are_urls_too(void **state)
{
    struct url u = url("unix:/run/App.sock");
    (void)state;

    assert_text(u.scheme, "unix");
    assert_text(u.host, "/run/App.sock");
    assert_int_equal(u.path.len, 0);
    assert_int_equal(u.port, 0);
    u = url("unix:/run/a:b.sock:/base/x?q");
    assert_text(u.host, "/run/a:b.sock");
    assert_text(u.path, "/base/x");
    assert_text(u.query, "q");
}

static void anything_else_is_no_url(void **state)
{
    static const char *const bad[] = {
        "",
        "http",
        "http:",
        "http:/h",
        "http://",
        "http:///x",
        "://h",
        "//h/x",
        "/x",
        "1http://h",
        "ht_tp://h",
        "http ://h",
        "http://h#f",
        "http://h/#",
        "http://h/?a#",
        "http://h/a b",
        "http://h/a\tb",
        "http://h/\xc3\xa4",
        "http://\xc3\xa4/",
        "http://h/?\xc3\xa4",
        "http://h/a%2",
        "http://h/{a}",
        "http://h/a\\b",
        "http://h\\x",
        "http://h:/",
        "http://h:x/",
        "http://h:65536/",
        "http://u@v@h/",
        "http://u%4@h/",
        "http://u@/",
        "http://[::1/",
        "http://[::1]x/",
        "http://h%41/",
        "unix:",
        "unix:run/x",
        "unix::/base",
        "unix:/a b",
        "unix:/a?b",
        "unix:/a#b",
        "unix:/a:/b#c",
        "unix:/a:/b c",
    };
    struct url u = { .port = 9 };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (url_parse(arena, str_z(bad[i]), &u) != ERR_INVALID)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(url_parse(arena, STR("http://h/\0"), &u), ERR_INVALID);
    /* longer than a socket's path can be */
    assert_int_equal(
        url_parse(arena, arena_printf(arena, "unix:/%0107d", 0), &u),
        ERR_INVALID);
    assert_int_equal(
        url_parse(arena, arena_printf(arena, "unix:/%0106d", 0), &u), ERR_OK);
    u.port = 9;
    assert_int_equal(u.port, 9);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_byte_counts_wherever_it_stands),
        TEST(a_dot_segment_is_found_wherever_it_stands),
        TEST(paths_have_one_normal_form),
        TEST(a_normal_form_stays_as_it_is),
        TEST(a_path_that_is_taken_can_be_written_plainer),
        TEST(queries_are_printable_ascii_without_a_hash),
        TEST(an_authority_is_a_host_and_maybe_a_port),
        TEST(anything_else_is_no_authority),
        TEST(urls_come_apart),
        TEST(unix_sockets_are_urls_too),
        TEST(anything_else_is_no_url),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
