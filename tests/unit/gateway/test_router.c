/* test_router.c - which operation a path and method find, which API a host
 * and path.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "gateway/api.h"

static struct arena *arena;
static struct op_tree *tree;
static struct router *router;

static int begin(void **state)
{
    (void)state;
    arena = arena_new();
    tree = op_tree_new(arena);
    router = router_new(arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static enum err add(const char *method, const char *path)
{
    struct op *op = arena_alloc(arena, sizeof(*op));

    op->method_text = str_z(method);
    op->method = method_id(op->method_text);
    op->path = arena_copy(arena, str_z(path));
    return op_tree_add(tree, op->path, op);
}

static uint32_t allowed;

static const char *find(const char *method, const char *path)
{
    struct str m = str_z(method);
    struct op *op = op_tree_find(tree, str_z(path), method_id(m), m, &allowed);

    return op ? op->path.p : "none";
}

#define GET_FINDS(path, template) \
    assert_string_equal(find("GET", path), template)

/* Operations */

static void a_literal_beats_a_template_that_beats_a_parameter(void **state)
{
    (void)state;

    add("GET", "/pets/{id}");
    add("GET", "/pets/p-{id}");
    add("GET", "/pets/p-{id}.json");
    add("GET", "/pets/mine");
    add("GET", "/*");
    GET_FINDS("/pets/mine", "/pets/mine");
    GET_FINDS("/pets/p-1", "/pets/p-{id}");
    GET_FINDS("/pets/p-1.json", "/pets/p-{id}.json");
    GET_FINDS("/pets/7", "/pets/{id}");
    GET_FINDS("/pets/7/toys", "/*");
    GET_FINDS("/pets", "/*");
    GET_FINDS("/", "/*");
    GET_FINDS("", "/*");
}

static void more_text_is_tried_first_whatever_came_first(void **state)
{
    (void)state;

    add("GET", "/{a}");
    add("GET", "/x{a}");
    add("GET", "/xyz{a}");
    add("GET", "/xy{a}");
    GET_FINDS("/xyzw", "/xyz{a}");
    GET_FINDS("/xyw", "/xy{a}");
    GET_FINDS("/xw", "/x{a}");
    GET_FINDS("/w", "/{a}");
    GET_FINDS("/xyz", "/xy{a}"); /* a parameter takes at least a byte */
    GET_FINDS("/x", "/{a}");
}

static void text_between_parameters_is_found(void **state)
{
    (void)state;

    add("GET", "/{a}-{b}");
    add("GET", "/{a}-{b}-end");
    add("GET", "/v{major}.{minor}/x");
    GET_FINDS("/1-2", "/{a}-{b}");
    GET_FINDS("/1-2-3", "/{a}-{b}");
    GET_FINDS("/1-2-end", "/{a}-{b}-end");
    GET_FINDS("/1-end", "/{a}-{b}");
    GET_FINDS("/--", "none");
    GET_FINDS("/---", "/{a}-{b}");
    GET_FINDS("/-1", "none");
    GET_FINDS("/1-", "none");
    GET_FINDS("/12", "none");
    GET_FINDS("/v1.2/x", "/v{major}.{minor}/x");
    GET_FINDS("/v.2/x", "none");
    GET_FINDS("/v1./x", "none");
    GET_FINDS("/v12/x", "none");
    add("GET", "/f/{name}.{type}");
    add("GET", "/f/{name}..{type}");
    GET_FINDS("/f/a.b", "/f/{name}.{type}");
    GET_FINDS("/f/a..b", "/f/{name}..{type}");
    GET_FINDS("/f/ab", "none");
}

static void parameters_side_by_side_take_a_byte_each(void **state)
{
    (void)state;

    add("GET", "/{a}{b}");
    GET_FINDS("/12", "/{a}{b}");
    GET_FINDS("/1", "none");
    GET_FINDS("/123456", "/{a}{b}");
}

static void a_branch_that_leads_nowhere_is_left(void **state)
{
    (void)state;

    add("GET", "/a/b/c");
    add("GET", "/a/{x}/d");
    add("GET", "/{y}/b/e");
    add("GET", "/a/*");
    GET_FINDS("/a/b/c", "/a/b/c");
    GET_FINDS("/a/b/d", "/a/{x}/d");
    GET_FINDS("/a/b/e", "/a/*"); /* the literal's own rest comes first */
    GET_FINDS("/z/b/e", "/{y}/b/e");
    GET_FINDS("/z/b/d", "none");
    assert_int_equal(allowed, 0);
}

static void a_branch_without_the_method_is_left(void **state)
{
    (void)state;

    add("GET", "/pets/mine");
    add("DELETE", "/pets/{id}");
    add("PUT", "/pets/*");
    assert_string_equal(find("DELETE", "/pets/mine"), "/pets/{id}");
    assert_string_equal(find("PUT", "/pets/mine"), "/pets/*");
    assert_string_equal(find("POST", "/pets/mine"), "none");
    assert_int_equal(allowed,
                     1u << METHOD_GET | 1u << METHOD_DELETE | 1u << METHOD_PUT);
    assert_string_equal(find("GET", "/pets/7"), "none");
    assert_int_equal(allowed, 1u << METHOD_DELETE | 1u << METHOD_PUT);
    assert_string_equal(find("GET", "/other"), "none");
    assert_int_equal(allowed, 0);
}

static void a_trailing_slash_makes_no_difference(void **state)
{
    (void)state;

    add("GET", "/pets");
    add("GET", "/toys/");
    add("GET", "/");
    GET_FINDS("/pets/", "/pets");
    GET_FINDS("/toys", "/toys/");
    GET_FINDS("/toys/", "/toys/");
    GET_FINDS("/", "/");
    GET_FINDS("", "/");
    GET_FINDS("/pets//", "none"); /* an empty segment is data */
    assert_int_equal(add("GET", "/pets/"), ERR_CONFLICT);
}

static void an_empty_segment_is_a_segment(void **state)
{
    (void)state;

    add("GET", "/a//b");
    add("GET", "/x/{id}/y");
    GET_FINDS("/a//b", "/a//b");
    GET_FINDS("/a/b", "none");
    GET_FINDS("/x//y", "none"); /* a parameter takes at least a byte */
}

static void head_finds_get(void **state)
{
    (void)state;

    add("GET", "/a");
    add("GET", "/b");
    add("HEAD", "/b/");
    assert_string_equal(find("HEAD", "/a"), "/a");
    assert_string_equal(find("HEAD", "/b"), "/b/");
    assert_string_equal(find("GET", "/b"), "/b");
    add("POST", "/c");
    assert_string_equal(find("HEAD", "/c"), "none");
}

static void methods_are_told_apart_also_odd_ones(void **state)
{
    (void)state;

    assert_int_equal(add("GET", "/a"), ERR_OK);
    assert_int_equal(add("PURGE", "/a"), ERR_OK);
    assert_int_equal(add("LINK", "/a"), ERR_OK);
    assert_int_equal(add("PURGE", "/a"), ERR_CONFLICT);
    assert_int_equal(add("GET", "/a"), ERR_CONFLICT);
    assert_string_equal(find("LINK", "/a"), "/a");
    assert_string_equal(find("purge", "/a"), "none");
    assert_string_equal(find("UNLINK", "/a"), "none");
    assert_int_equal(allowed, 1u << METHOD_GET | 1u << METHOD_OTHER);
    assert_string_equal(find("UNLINK", "/b"), "none");
    assert_int_equal(allowed, 0);
}

static void names_of_parameters_do_not_tell_templates_apart(void **state)
{
    (void)state;

    assert_int_equal(add("GET", "/pets/{id}"), ERR_OK);
    assert_int_equal(add("GET", "/pets/{name}"), ERR_CONFLICT);
    assert_int_equal(add("GET", "/pets/x{name}"), ERR_OK);
    assert_int_equal(add("GET", "/pets/x{id}"), ERR_CONFLICT);
    assert_int_equal(add("PUT", "/pets/{name}"), ERR_OK);
}

static void a_star_takes_all_that_is_left(void **state)
{
    (void)state;

    add("GET", "/files/*");
    GET_FINDS("/files/a", "/files/*");
    GET_FINDS("/files/a/b/c/", "/files/*");
    GET_FINDS("/files", "/files/*");
    GET_FINDS("/file", "none");
    GET_FINDS("/filesx", "none");
    assert_int_equal(add("GET", "/files/*"), ERR_CONFLICT);
    add("GET", "/files/*/x"); /* not at the end: a segment called "*" */
    GET_FINDS("/files/*/x", "/files/*/x");
}

static void text_is_matched_in_its_normal_form(void **state)
{
    (void)state;

    add("GET", "/%7euser");
    add("GET", "/a b");
    add("GET", "/\xc3\xa9");
    add("GET", "/{x}\xc3\xa9");
    GET_FINDS("/~user", "/%7euser");
    GET_FINDS("/a%20b", "/a b");
    GET_FINDS("/%C3%A9", "/\xc3\xa9");
    GET_FINDS("/caf%C3%A9", "/{x}\xc3\xa9");
}

static void a_path_has_a_depth(void **state)
{
    char path[1024] = "";
    (void)state;

    for (int i = 0; i < 128; i++)
        strcat(path, "/a");
    assert_int_equal(add("GET", path), ERR_OK);
    GET_FINDS(path, path);
    strcat(path, "/a");
    assert_int_equal(add("GET", path), ERR_LIMIT);
    GET_FINDS(path, "none");
}

/* Every branch of these forks, and none has the method asked for. */
static void forking_templates_cost_no_more_than_so_much(void **state)
{
    char path[512];
    (void)state;

    for (unsigned mask = 0; mask < 1024; mask++) {
        path[0] = 0;
        for (unsigned i = 0; i < 10; i++)
            strcat(path, mask >> i & 1 ? "/{x}" : "/a");
        assert_int_equal(add("POST", path), ERR_OK);
    }
    GET_FINDS("/a/a/a/a/a/a/a/a/a/a", "none");
    assert_int_equal(allowed, 1u << METHOD_POST);
    GET_FINDS("/a/a/a/a/a/a/a/a/a/b", "none");
}

static void fifty_thousand_routes_are_all_found(void **state)
{
    char path[64], expected[64];
    (void)state;

    for (unsigned i = 0; i < 50000; i++) {
        snprintf(path, sizeof(path), "/r%u/sub%u%s", i % 500, i / 500,
                 i % 3 ? "" : "/{id}");
        assert_int_equal(add("GET", path), ERR_OK);
    }
    for (unsigned i = 0; i < 50000; i++) {
        snprintf(expected, sizeof(expected), "/r%u/sub%u%s", i % 500, i / 500,
                 i % 3 ? "" : "/{id}");
        snprintf(path, sizeof(path), "/r%u/sub%u%s", i % 500, i / 500,
                 i % 3 ? "" : "/4711");
        GET_FINDS(path, expected);
    }
    GET_FINDS("/r500/sub1", "none");
    GET_FINDS("/r1/sub100", "none");
}

/* Hosts and contexts */

static struct api *serve(const char *host, const char *context)
{
    struct api *api = arena_alloc(arena, sizeof(*api)), *other;

    api->name = arena_printf(arena, "%s%s", host, context);
    /* The router copies neither. */
    assert_int_equal(router_add(router, arena_copy(arena, str_z(host)),
                                arena_copy(arena, str_z(context)), api, &other),
                     ERR_OK);
    return api;
}

static size_t context_len;

static struct api *at(const char *authority, const char *path)
{
    context_len = 9999;
    return router_find(router, str_z(authority), str_z(path), &context_len);
}

static void the_longest_context_wins(void **state)
{
    struct api *root = serve("", ""), *a = serve("", "/a"),
               *abc = serve("", "/a/b/c");
    (void)state;

    assert_ptr_equal(at("h", "/a/b/c/d"), abc);
    assert_int_equal(context_len, 6);
    assert_ptr_equal(at("h", "/a/b/c"), abc);
    assert_int_equal(context_len, 6);
    assert_ptr_equal(at("h", "/a/b/x"), a);
    assert_int_equal(context_len, 2);
    assert_ptr_equal(at("h", "/a/"), a);
    assert_int_equal(context_len, 2);
    assert_ptr_equal(at("h", "/ab"), root);
    assert_int_equal(context_len, 0);
    assert_ptr_equal(at("h", "/"), root);
    assert_int_equal(context_len, 0);
}

static void no_context_is_no_api(void **state)
{
    struct api *a = serve("", "/a");
    (void)state;

    assert_null(at("h", "/"));
    assert_null(at("h", "/b"));
    assert_ptr_equal(at("", "/a"), a);
}

static void a_context_is_taken_once(void **state)
{
    struct api *a = serve("", "/a"), b, *other = NULL;
    (void)state;

    assert_int_equal(router_add(router, STR(""), STR("/a"), &b, &other),
                     ERR_CONFLICT);
    assert_ptr_equal(other, a);
    assert_int_equal(router_add(router, STR("x.test"), STR("/a"), &b, &other),
                     ERR_OK);
}

static void a_host_has_its_own_apis(void **state)
{
    struct api *any = serve("", "/a"), *x = serve("x.test", "/a"),
               *deep = serve("", "/a/b"), *y = serve("y.test", ""),
               *v6 = serve("[::1]", "/a");
    (void)state;

    assert_ptr_equal(at("x.test", "/a"), x);
    assert_ptr_equal(at("X.TEST:8280", "/a"), x);
    assert_ptr_equal(at("x.test", "/a/b"), deep); /* the longer context */
    assert_int_equal(context_len, 4);
    assert_ptr_equal(at("y.test", "/a/b"), deep);
    assert_ptr_equal(at("y.test", "/x"), y);
    assert_int_equal(context_len, 0);
    assert_ptr_equal(at("z.test", "/a/b"), deep);
    assert_ptr_equal(at("z.test", "/a"), any);
    assert_ptr_equal(at("[::1]:80", "/a"), v6);
    assert_ptr_equal(at("not a host", "/a"), any);
    assert_ptr_equal(at("", "/a"), any);
    serve("x.test", "/only");
    assert_null(at("z.test", "/only"));
}

static void many_hosts_and_contexts_are_all_found(void **state)
{
    static struct api *all[2000];
    char host[32], context[32];
    (void)state;

    for (int i = 0; i < 2000; i++) {
        snprintf(host, sizeof(host), "h%d.test", i / 4);
        snprintf(context, sizeof(context), "/c%d/v%d", i % 4, i);
        all[i] = serve(host, context);
    }
    for (int i = 0; i < 2000; i++) {
        snprintf(host, sizeof(host), "H%d.test:443", i / 4);
        snprintf(context, sizeof(context), "/c%d/v%d/x", i % 4, i);
        assert_ptr_equal(at(host, context), all[i]);
        assert_int_equal(context_len, strlen(context) - 2);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_literal_beats_a_template_that_beats_a_parameter),
        TEST(more_text_is_tried_first_whatever_came_first),
        TEST(text_between_parameters_is_found),
        TEST(parameters_side_by_side_take_a_byte_each),
        TEST(a_branch_that_leads_nowhere_is_left),
        TEST(a_branch_without_the_method_is_left),
        TEST(a_trailing_slash_makes_no_difference),
        TEST(an_empty_segment_is_a_segment),
        TEST(head_finds_get),
        TEST(methods_are_told_apart_also_odd_ones),
        TEST(names_of_parameters_do_not_tell_templates_apart),
        TEST(a_star_takes_all_that_is_left),
        TEST(text_is_matched_in_its_normal_form),
        TEST(a_path_has_a_depth),
        TEST(forking_templates_cost_no_more_than_so_much),
        TEST(fifty_thousand_routes_are_all_found),
        TEST(the_longest_context_wins),
        TEST(no_context_is_no_api),
        TEST(a_context_is_taken_once),
        TEST(a_host_has_its_own_apis),
        TEST(many_hosts_and_contexts_are_all_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
