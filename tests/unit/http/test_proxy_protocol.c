/* test_proxy_protocol.c - PROXY headers, both versions, whole and in parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "http/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct proxy_header header;

/* Of exactly this size, so that a sanitizer sees reading past it. */
static enum err parse(const char *p, size_t len)
{
    char *copy = malloc(len ? len : 1);
    enum err e;

    assert_non_null(copy);
    memcpy(copy, p, len);
    memset(&header, 0xee, sizeof(header));
    e = proxy_header_parse(copy, len, &header);
    free(copy);
    return e;
}

#define PARSE(literal) parse(literal, sizeof(literal) - 1)

static const char *text_of(const struct sockaddr_storage *a)
{
    static char text[80];
    char ip[INET6_ADDRSTRLEN];
    const void *at = &((const struct sockaddr_in *)a)->sin_addr;
    /* the port is at the same place in both */
    unsigned port = ntohs(((const struct sockaddr_in *)a)->sin_port);

    if (a->ss_family == AF_INET6)
        at = &((const struct sockaddr_in6 *)a)->sin6_addr;
    assert_non_null(inet_ntop(a->ss_family, at, ip, sizeof(ip)));
    snprintf(text, sizeof(text), "%s %u", ip, port);
    return text;
}

static void version_1_gives_both_addresses(void **state)
{
    (void)state;

    assert_int_equal(
        PARSE("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET"), ERR_OK);
    assert_false(header.local);
    assert_int_equal(header.length, 45);
    assert_string_equal(text_of(&header.source), "192.0.2.7 56324");
    assert_string_equal(text_of(&header.destination), "198.51.100.1 443");

    assert_int_equal(PARSE("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), ERR_OK);
    assert_string_equal(text_of(&header.source), "2001:db8::1 0");
    assert_string_equal(text_of(&header.destination), "::1 65535");
}

static void unknown_keeps_the_own_address(void **state)
{
    (void)state;

    assert_int_equal(PARSE("PROXY UNKNOWN\r\n"), ERR_OK);
    assert_true(header.local);
    assert_int_equal(header.length, 15);
    assert_int_equal(PARSE("PROXY UNKNOWN ffff:f...f:ffff 1 2\r\nX"), ERR_OK);
    assert_true(header.local);
    assert_int_equal(header.length, 35);
}

static void broken_version_1_headers_are_refused(void **state)
{
    static const char *const broken[] = {
        "GET / HTTP/1.1\r\n",
        "PROXX TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
    };
    size_t i;
    (void)state;

    for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        if (parse(broken[i], strlen(broken[i])) != ERR_INVALID)
            fail_msg("%s", broken[i]);
    }
}

static void a_line_of_version_1_has_at_most_107_bytes(void **state)
{
    char line[120];
    size_t n;
    (void)state;

    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    for (n = 14; n < 107; n++)
        assert_int_equal(parse(line, n), ERR_AGAIN);
    assert_int_equal(parse(line, 107), ERR_INVALID);
    memcpy(line + 105, "\r\n", 2);
    assert_int_equal(parse(line, 107), ERR_OK);
    memcpy(line + 105, "x\r\n", 3);
    assert_int_equal(parse(line, 108), ERR_INVALID);
    assert_int_equal(parse(line, 107), ERR_INVALID);
}

static void version_2_gives_both_addresses(void **state)
{
    (void)state;

    assert_int_equal(PARSE(SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x07"
                                     "\xc6\x33\x64\x01\xdc\x04\x01\xbbGET"),
                     ERR_OK);
    assert_false(header.local);
    assert_int_equal(header.length, 28);
    assert_string_equal(text_of(&header.source), "192.0.2.7 56324");
    assert_string_equal(text_of(&header.destination), "198.51.100.1 443");

    assert_int_equal(PARSE(SIGNATURE
                           "\x21\x21\x00\x24"
                           "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1\0\2"),
                     ERR_OK);
    assert_string_equal(text_of(&header.source), "2001:db8::1 1");
    assert_string_equal(text_of(&header.destination), "::1 2");
}

static void health_checks_and_unknown_families_are_local(void **state)
{
    (void)state;

    assert_int_equal(PARSE(SIGNATURE "\x20\x00\x00\x00"), ERR_OK);
    assert_true(header.local);
    assert_int_equal(header.length, 16);
    assert_int_equal(PARSE(SIGNATURE "\x20\x11\x00\x03xyz"), ERR_OK);
    assert_true(header.local);
    assert_int_equal(PARSE(SIGNATURE "\x21\x00\x00\x02xy"), ERR_OK);
    assert_true(header.local);
    assert_int_equal(header.length, 18);
}

static void extras_must_fit_exactly(void **state)
{
#define V4 "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
    (void)state;

    assert_int_equal(PARSE(SIGNATURE "\x21\x11\x00\x0f" V4 "\x04\x00\x00"),
                     ERR_OK);
    assert_int_equal(
        PARSE(SIGNATURE "\x21\x11\x00\x14" V4 "\x04\x00\x02zz\x04\x00\x00"),
        ERR_OK);
    assert_int_equal(header.length, 36);
    assert_int_equal(PARSE(SIGNATURE "\x21\x11\x00\x0f" V4 "\x04\x00\x01"),
                     ERR_INVALID);
    assert_int_equal(PARSE(SIGNATURE "\x21\x11\x00\x0e" V4 "\x04\x00"),
                     ERR_INVALID);
#undef V4
}

static void broken_version_2_headers_are_refused(void **state)
{
    (void)state;

    assert_int_equal(PARSE(SIGNATURE "\x11"), ERR_INVALID);     /* version */
    assert_int_equal(PARSE(SIGNATURE "\x22\x11"), ERR_INVALID); /* command */
    assert_int_equal(PARSE(SIGNATURE "\x21\x12\x00\x0c"
                                     "123456789012"),
                     ERR_INVALID); /* UDP */
    assert_int_equal(PARSE(SIGNATURE "\x21\x41\x00\x0c"
                                     "123456789012"),
                     ERR_INVALID);
    assert_int_equal(PARSE(SIGNATURE "\x21\x11\x00\x0b"
                                     "12345678901"),
                     ERR_INVALID); /* too short */
    assert_int_equal(PARSE(SIGNATURE "\x21\x11\x02\x09"), ERR_INVALID);
    assert_int_equal(PARSE("\r\n\r\n\1"), ERR_INVALID);
}

static void a_header_may_arrive_in_parts(void **state)
{
    static const char v1[] = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
    static const char v2[] = SIGNATURE "\x21\x11\x00\x0f\xc0\x00\x02\x07"
                                       "\xc6\x33\x64\x01\xdc\x04\x01\xbb"
                                       "\x04\x00\x00";
    size_t n;
    (void)state;

    for (n = 0; n < sizeof(v1) - 1; n++)
        assert_int_equal(parse(v1, n), ERR_AGAIN);
    for (n = 0; n < sizeof(v2) - 1; n++)
        assert_int_equal(parse(v2, n), ERR_AGAIN);
    assert_int_equal(parse(v1, n = sizeof(v1) - 1), ERR_OK);
    assert_int_equal(header.length, n);
    assert_int_equal(parse(v2, n = sizeof(v2) - 1), ERR_OK);
    assert_int_equal(header.length, n);
}

static void the_longest_header_fits_the_promise(void **state)
{
    char p[PROXY_HEADER_MAX] = SIGNATURE "\x21\x00\x02\x08";
    (void)state;

    assert_int_equal(parse(p, sizeof(p) - 1), ERR_AGAIN);
    assert_int_equal(parse(p, sizeof(p)), ERR_OK);
    assert_int_equal(header.length, PROXY_HEADER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_gives_both_addresses),
        cmocka_unit_test(unknown_keeps_the_own_address),
        cmocka_unit_test(broken_version_1_headers_are_refused),
        cmocka_unit_test(a_line_of_version_1_has_at_most_107_bytes),
        cmocka_unit_test(version_2_gives_both_addresses),
        cmocka_unit_test(health_checks_and_unknown_families_are_local),
        cmocka_unit_test(extras_must_fit_exactly),
        cmocka_unit_test(broken_version_2_headers_are_refused),
        cmocka_unit_test(a_header_may_arrive_in_parts),
        cmocka_unit_test(the_longest_header_fits_the_promise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
