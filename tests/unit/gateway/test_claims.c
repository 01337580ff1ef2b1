/* test_claims.c - conditions on claims. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "format/openapi.h"
#include "gateway/policy/claims.h"

static struct arena *a;
static struct problems ps;

static int begin(void **state)
{
    (void)state;
    a = arena_new();
    problems_init(&ps, a);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static struct claim_condition *condition(const char *name,
                                         enum oas_claim_test test,
                                         const char *value, const char *other)
{
    struct str values[] = { str_z(value), str_z(other) };
    struct oas_claim c = {
        .name = str_z(name),
        .test = test,
        .values = values,
        .value_count = (size_t)(value != NULL) + (other != NULL),
    };
    struct claim_condition *out = NULL;

    assert_int_equal(claim_condition_new(a, &c, &ps, &out), ERR_OK);
    return out;
}

static enum claim_verdict verdict(const struct claim_condition *c,
                                  const char *claims)
{
    struct json_error error;
    struct json *j;

    assert_int_equal(
        json_parse(a, str_z(claims), &json_default_limits, &j, &error), ERR_OK);
    return claim_judge(c, j);
}

static void nothing_has_no_claims(void **state)
{
    struct claim_condition *c = condition("a", OAS_CLAIM_THERE, NULL, NULL);
    (void)state;

    assert_int_equal(claim_judge(c, NULL), CLAIM_MISSING);
    assert_int_equal(verdict(c, "{}"), CLAIM_MISSING);
    assert_int_equal(verdict(c, "{\"a\":null}"), CLAIM_MISSING);
    assert_int_equal(verdict(c, "{\"a\":false}"), CLAIM_GOOD);
}

static void a_value_is_compared_as_text(void **state)
{
    struct claim_condition *c = condition("a", OAS_CLAIM_EQUALS, "1", "true");
    (void)state;

    assert_int_equal(verdict(c, "{\"a\":1}"), CLAIM_GOOD);
    assert_int_equal(verdict(c, "{\"a\":\"1\"}"), CLAIM_GOOD);
    assert_int_equal(verdict(c, "{\"a\":true}"), CLAIM_GOOD);
    assert_int_equal(verdict(c, "{\"a\":1.0}"), CLAIM_OTHER);
    assert_int_equal(verdict(c, "{\"a\":[1]}"), CLAIM_OTHER);
    assert_int_equal(verdict(c, "{\"a\":{\"1\":1}}"), CLAIM_OTHER);
    assert_int_equal(verdict(c, "{\"a\":false}"), CLAIM_OTHER);
}

static void a_list_or_words_contain(void **state)
{
    struct claim_condition *c = condition("a", OAS_CLAIM_CONTAINS, "x", NULL);
    (void)state;

    assert_int_equal(verdict(c, "{\"a\":[\"y\",\"x\"]}"), CLAIM_GOOD);
    assert_int_equal(verdict(c, "{\"a\":\"y x\"}"), CLAIM_GOOD);
    assert_int_equal(verdict(c, "{\"a\":\"xy\"}"), CLAIM_OTHER);
    assert_int_equal(verdict(c, "{\"a\":[[\"x\"]]}"), CLAIM_OTHER);
    assert_int_equal(verdict(c, "{\"a\":{\"x\":\"x\"}}"), CLAIM_OTHER);
    assert_int_equal(verdict(c, "{\"a\":[]}"), CLAIM_OTHER);
}

static void an_expression_is_found(void **state)
{
    struct claim_condition *c = condition("a", OAS_CLAIM_MATCHES, "^x+$", NULL);
    (void)state;

    assert_int_equal(verdict(c, "{\"a\":\"xx\"}"), CLAIM_GOOD);
    assert_int_equal(verdict(c, "{\"a\":[\"y\",\"x\"]}"), CLAIM_GOOD);
    assert_int_equal(verdict(c, "{\"a\":\"xy\"}"), CLAIM_OTHER);
    assert_int_equal(verdict(c, "{\"a\":{}}"), CLAIM_OTHER);
}

static void one_that_takes_ages_does_not_match(void **state)
{
    struct claim_condition *c =
        condition("a", OAS_CLAIM_MATCHES, "^(x+)+$", NULL);
    char claims[4200];
    (void)state;

    memset(claims, 'x', sizeof(claims));
    memcpy(claims, "{\"a\":\"", 6);
    memcpy(claims + sizeof(claims) - 4, "y\"}", 4);
    assert_int_equal(verdict(c, claims), CLAIM_OTHER);
}

static void a_slash_begins_a_way_and_nothing_else_does(void **state)
{
    struct claim_condition *way =
        condition("/a/b~1c/0", OAS_CLAIM_EQUALS, "x", NULL);
    struct claim_condition *name =
        condition("http://a.test/b", OAS_CLAIM_EQUALS, "x", NULL);
    (void)state;

    assert_int_equal(verdict(way, "{\"a\":{\"b/c\":[\"x\"]}}"), CLAIM_GOOD);
    assert_int_equal(verdict(way, "{\"/a/b~1c/0\":\"x\"}"), CLAIM_MISSING);
    assert_int_equal(verdict(way, "{\"a\":\"x\"}"), CLAIM_MISSING);
    assert_int_equal(verdict(name, "{\"http://a.test/b\":\"x\"}"), CLAIM_GOOD);
    assert_int_equal(verdict(name, "{\"http:\":{\"\":\"x\"}}"), CLAIM_MISSING);
}

static void a_broken_expression_is_refused(void **state)
{
    struct str value = STR("(");
    struct oas_claim c = { .name = STR("a"),
                           .test = OAS_CLAIM_MATCHES,
                           .values = &value,
                           .value_count = 1,
                           .file = STR("x.yaml"),
                           .line = 7 };
    struct claim_condition *out;
    (void)state;

    assert_int_equal(claim_condition_new(a, &c, &ps, &out), ERR_INVALID);
    assert_int_equal(ps.first->line, 7);
    assert_non_null(strstr(ps.first->text.p, "\"a\""));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_has_no_claims),
        TEST(a_value_is_compared_as_text),
        TEST(a_list_or_words_contain),
        TEST(an_expression_is_found),
        TEST(one_that_takes_ages_does_not_match),
        TEST(a_slash_begins_a_way_and_nothing_else_does),
        TEST(a_broken_expression_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
