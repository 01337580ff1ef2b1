/* test_h1_write.c - heads put together in memory that was reserved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "http/h1.h"
#include "http/h1_write.h"

static void a_response_head_is_written(void **state)
{
    char room[128];
    struct h1_out out = { room, room + sizeof(room) };
    (void)state;

    h1_put_status_line(&out, 404, STR("Not Found"));
    h1_put_field(&out, STR("Content-Type"), STR("text/plain"));
    h1_put_str(&out, STR("Content-Length: "));
    h1_put_u64(&out, 0);
    h1_put_crlf(&out);
    h1_put_crlf(&out);
    assert_true(str_is(str_from(room, (size_t)(out.p - room)),
                       "HTTP/1.1 404 Not Found\r\n"
                       "Content-Type: text/plain\r\n"
                       "Content-Length: 0\r\n\r\n"));
}

static void numbers_are_decimal(void **state)
{
    char room[2 * H1_NUMBER_MAX];
    struct h1_out out = { room, room + sizeof(room) };
    (void)state;

    h1_put_u64(&out, 1024);
    h1_put_u64(&out, UINT64_MAX);
    assert_true(str_is(str_from(room, (size_t)(out.p - room)),
                       "102418446744073709551615"));
}

/* Into memory of exactly that size, for every way h1_copy() goes. */
static void copies_have_every_length(void **state)
{
    char from[200];
    size_t n;
    (void)state;

    for (n = 0; n < sizeof(from); n++)
        from[n] = (char)n;
    for (n = 0; n < sizeof(from); n++) {
        char *to = malloc(n ? n : 1), *source = malloc(n ? n : 1);
        struct h1_out out = { to, to + n };

        assert_true(to && source);
        memcpy(source, from, n);
        h1_put_str(&out, str_from(source, n));
        assert_ptr_equal(out.p, out.end);
        assert_memory_equal(to, from, n);
        free(to);
        free(source);
    }
}

static void fields_are_copied_without_those_of_the_connection(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\n"
                               "Server: x\r\n"
                               "Connection: keep-alive, x-hop\r\n"
                               "X-Hop: 1\r\n"
                               "ETag:\"a\"\r\n"
                               "Content-Length: 3\r\n"
                               "set-cookie: a=b\r\n"
                               "set-cookie: c=d\r\n"
                               "Empty:\r\n\r\n";
    struct header headers[16];
    struct message m = { .headers = headers, .capacity = 16 };
    struct h1_error error;
    struct h1_out out;
    char *room;
    (void)state;

    assert_int_equal(
        h1_parse_response(head, sizeof(head) - 1, METHOD_GET, &m, &error),
        ERR_OK);
    room = malloc(h1_fields_size(&m));
    assert_non_null(room);
    out = (struct h1_out) { room, room + h1_fields_size(&m) };
    h1_put_fields(&out, &m, H1_FIELD_BIT(FIELD_SERVER));
    assert_true(str_is(str_from(room, (size_t)(out.p - room)),
                       "ETag: \"a\"\r\n"
                       "Content-Length: 3\r\n"
                       "set-cookie: a=b\r\n"
                       "set-cookie: c=d\r\n"
                       "Empty: \r\n"));
    free(room);
}

/* Lines are written together only where they stand as they are to be. */
static void every_field_comes_out_in_its_own_line(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\n"
                               "a: 1\r\n"
                               "b:\t2\r\n"
                               "c: 3 \t\r\n"
                               "d: 4\r\n"
                               "e: 5\r\n"
                               "f:  6\r\n"
                               "g: 7\r\n\r\n";
    struct header headers[16];
    struct message m = { .headers = headers, .capacity = 16 };
    struct h1_error error;
    char room[128];
    struct h1_out out = { room, room + sizeof(room) };
    (void)state;

    assert_int_equal(
        h1_parse_response(head, sizeof(head) - 1, METHOD_GET, &m, &error),
        ERR_OK);
    assert_int_equal(m.count, 7);
    headers[3].value = STR("another");
    h1_put_fields(&out, &m, 0);
    assert_true(str_is(str_from(room, (size_t)(out.p - room)),
                       "a: 1\r\nb: 2\r\nc: 3\r\nd: another\r\ne: 5\r\n"
                       "f: 6\r\ng: 7\r\n"));
}

static void the_size_is_enough_for_all_fields(void **state)
{
    struct header headers[] = {
        { STR("A"), STR("b"), FIELD_OTHER, false },
        { STR("Host"), STR(""), FIELD_HOST, false },
    };
    struct message m = { .headers = headers, .count = 2 };
    char room[32];
    struct h1_out out = { room, room + h1_fields_size(&m) };
    (void)state;

    h1_put_fields(&out, &m, 0);
    assert_ptr_equal(out.p, out.end);
    assert_int_equal(out.p - room, 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_head_is_written),
        cmocka_unit_test(numbers_are_decimal),
        cmocka_unit_test(copies_have_every_length),
        cmocka_unit_test(fields_are_copied_without_those_of_the_connection),
        cmocka_unit_test(every_field_comes_out_in_its_own_line),
        cmocka_unit_test(the_size_is_enough_for_all_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
