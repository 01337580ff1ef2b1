/* test_introspection_answer.c - what servers say about tokens, and what does
 * not count as an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/credential/introspection_answer.h"

static struct arena *arena;

static int begin(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static enum err parse(const char *text, struct introspection_answer *out)
{
    const char *why = NULL;
    enum err e = introspection_answer_parse(arena, str_z(text), out, &why);

    assert_int_equal(e != ERR_OK, why != NULL);
    return e;
}

static void an_active_token_has_its_claims(void **state)
{
    struct introspection_answer a;
    (void)state;

    assert_int_equal(
        parse("{\"active\":true,\"scope\":\"a b\",\"client_id\":\"app\","
              "\"username\":\"jane\",\"token_type\":\"Bearer\",\"sub\":\"u1\","
              "\"aud\":[\"x\",\"y\"],\"iss\":\"https://i\",\"exp\":100,"
              "\"nbf\":50,\"iat\":40,\"jti\":\"j\","
              "\"cnf\":{\"x5t#S256\":\"abc\"},\"more\":{\"deep\":[1]}}",
              &a),
        ERR_OK);
    assert_true(a.active);
    assert_true(str_is(a.claims.client_id, "app"));
    assert_true(str_is(a.claims.sub, "u1"));
    assert_true(str_is(a.claims.iss, "https://i"));
    assert_true(str_is(a.claims.jti, "j"));
    assert_true(jwt_has_audience(&a.claims, STR("y")));
    assert_int_equal(a.claims.exp.ms, 100000);
    assert_int_equal(a.claims.nbf.ms, 50000);
    assert_true(str_is(a.claims.cnf_x5t_s256, "abc"));
    assert_true(
        str_is(json_str(json_at(a.claims.payload, "username")), "jane"));
}

static void little_is_enough(void **state)
{
    struct introspection_answer a;
    (void)state;

    assert_int_equal(parse("{\"active\":true}", &a), ERR_OK);
    assert_true(a.active);
    assert_false(a.claims.exp.set);
    assert_int_equal(parse(" {\"active\" : false} \n", &a), ERR_OK);
    assert_false(a.active);
}

static void of_a_token_that_is_not_active_nothing_else_counts(void **state)
{
    struct introspection_answer a;
    (void)state;

    assert_int_equal(parse("{\"active\":false,\"exp\":\"x\",\"sub\":1}", &a),
                     ERR_OK);
    assert_false(a.active);
    assert_null(a.claims.payload);
}

static void what_is_no_answer_is_refused(void **state)
{
    static const char *const all[] = {
        "",
        "true",
        "[]",
        "{}",
        "null",
        "<html>",
        "{\"active\":\"true\"}",
        "{\"active\":1}",
        "{\"active\":null}",
        "{\"active\":true,\"active\":true}",
        "{\"active\":false,\"active\":true}",
        "{\"active\":true} x",
        "{\"Active\":true}",
        "{\"active\":true,\"exp\":\"100\"}",
        "{\"active\":true,\"exp\":-100}",
        "{\"active\":true,\"exp\":1e300}",
        "{\"active\":true,\"sub\":1}",
        "{\"active\":true,\"username\":[]}",
        "{\"active\":true,\"token_type\":1}",
        "{\"active\":true,\"scope\":1}",
        "{\"active\":true,\"scope\":[1]}",
        "{\"active\":true,\"client_id\":{}}",
        "{\"active\":true,\"aud\":{}}",
        "{\"active\":true,\"cnf\":\"x\"}",
        "{\"active\":true,\"x\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}",
    };
    struct introspection_answer a = { 0 };
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (!parse(all[i], &a))
            fail_msg("%s was taken", all[i]);
    assert_false(a.active);
}

static void long_answers_are_refused(void **state)
{
    struct introspection_answer a;
    struct buf b;
    (void)state;

    buf_init(&b, 1 << 20);
    (void)buf_z(&b, "{\"active\":true,\"x\":\"");
    while (b.len < INTROSPECTION_MAX_BYTES)
        (void)buf_char(&b, 'x');
    (void)buf_z(&b, "\"}");
    (void)buf_char(&b, 0);
    assert_int_equal(parse(b.p, &a), ERR_INVALID);
    buf_done(&b);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_active_token_has_its_claims),
        TEST(little_is_enough),
        TEST(of_a_token_that_is_not_active_nothing_else_counts),
        TEST(what_is_no_answer_is_refused),
        TEST(long_answers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
