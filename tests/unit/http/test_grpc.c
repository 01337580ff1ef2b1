/* test_grpc.c - what a proxy knows of gRPC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/grpc.h"

static void a_call_is_known_by_its_type(void **state)
{
    static const char *const good[] = { "application/grpc",
                                        "application/grpc+proto",
                                        "application/grpc; charset=utf-8",
                                        "Application/GRPC+json" };
    static const char *const bad[] = { "",
                                       "application/grp",
                                       "application/grpc-web",
                                       "application/grpc-web+proto",
                                       "application/grpcx",
                                       "application/json" };
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(grpc_is_type(str_z(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(grpc_is_type(str_z(bad[i])));
}

static void timeouts_have_a_unit_and_round_up(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = { { "1H", 3600000 }, { "2M", 120000 },
                 { "3S", 3000 },    { "4m", 4 },
                 { "1u", 1 },       { "1001u", 2 },
                 { "1n", 1 },       { "1000001n", 2 },
                 { "0S", 0 },       { "99999999H", 99999999ull * 3600000 } };
    static const char *const bad[] = { "",           "S",   "5",   "5s",
                                       "5x",         "-1S", "+1S", "1.5S",
                                       "123456789S", " 1S", "1S " };
    uint64_t ms;
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(grpc_timeout_parse(str_z(good[i].text), &ms), ERR_OK);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(grpc_timeout_parse(str_z(bad[i]), &ms), ERR_INVALID);
}

static void statuses_become_codes(void **state)
{
    (void)state;

    assert_int_equal(grpc_code_of_status(401), 16);
    assert_int_equal(grpc_code_of_status(403), 7);
    assert_int_equal(grpc_code_of_status(404), 12);
    assert_int_equal(grpc_code_of_status(429), 8);
    assert_int_equal(grpc_code_of_status(500), 2);
    assert_int_equal(grpc_code_of_status(502), 14);
    assert_int_equal(grpc_code_of_status(503), 14);
    assert_int_equal(grpc_code_of_status(504), 4);
    assert_int_equal(grpc_code_of_status(400), 13);
    assert_int_equal(grpc_code_of_status(599), 2);
}

static void messages_are_percent_encoded(void **state)
{
    char out[64];
    size_t n = grpc_message_encode(STR("50% of \xc3\xa4\n"), out);
    (void)state;

    assert_true(str_is(str_from(out, n), "50%25 of %C3%A4%0A"));
    assert_int_equal(grpc_message_encode(STR(""), out), 0);
}

/* Two messages, the second one empty, and a third one of 300 bytes. */
static size_t sample(char p[512])
{
    size_t n = 0;

    memcpy(p, "\0\0\0\0\3abc\1\0\0\0\0\0\0\0\1\x2c", n = 18);
    memset(p + n, 'x', 300);
    return n + 300;
}

static void messages_are_counted_however_they_come(void **state)
{
    char p[512];
    size_t n = sample(p);
    (void)state;

    for (size_t cut = 0; cut <= n; cut++) {
        struct grpc_frames f = { 0 };

        assert_int_equal(grpc_frames_follow(&f, p, cut, 0), ERR_OK);
        assert_int_equal(grpc_frames_between(&f),
                         cut == 0 || cut == 8 || cut == 13 || cut == n);
        assert_int_equal(grpc_frames_follow(&f, p + cut, n - cut, 0), ERR_OK);
        assert_int_equal(f.messages, 3);
        assert_true(grpc_frames_between(&f));
    }
}

static void a_flag_or_a_length_may_be_wrong(void **state)
{
    struct grpc_frames f = { 0 };
    char p[512];
    size_t n = sample(p);
    (void)state;

    assert_int_equal(grpc_frames_follow(&f, "\2", 1, 0), ERR_INVALID);
    memset(&f, 0, sizeof(f));
    assert_int_equal(grpc_frames_follow(&f, p, n, 300), ERR_OK);
    memset(&f, 0, sizeof(f));
    assert_int_equal(grpc_frames_follow(&f, p, n, 299), ERR_LIMIT);
    assert_int_equal(f.messages, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_known_by_its_type),
        cmocka_unit_test(timeouts_have_a_unit_and_round_up),
        cmocka_unit_test(statuses_become_codes),
        cmocka_unit_test(messages_are_percent_encoded),
        cmocka_unit_test(messages_are_counted_however_they_come),
        cmocka_unit_test(a_flag_or_a_length_may_be_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
