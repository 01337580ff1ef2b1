/* test_span.c - spans as JSON of OTLP, queues of them, and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "base/arena.h"
#include "base/budget.h"
#include "events/otlp.h"
#include "events/span.h"
#include "events/span_queue.h"
#include "format/json.h"

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

/* ---- spans ---- */

static const struct trace_context context = {
    .trace_id = { 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce,
                  0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36 },
    .span_id = { 0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 2, 0xb7 },
    .flags = TRACE_SAMPLED,
};

static const char *written(const struct span *s)
{
    struct buf b;
    struct str out;

    buf_init(&b, 1 << 20);
    assert_int_equal(span_write(&b, s), ERR_OK);
    out = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return out.p;
}

static void a_span_has_the_form_of_otlp(void **state)
{
    struct span s = { .context = &context,
                      .name = STR("GET /pets/{id}"),
                      .kind = SPAN_SERVER,
                      .start_ns = 1795780586418577042,
                      .end_ns = 1795780586429606001 };
    (void)state;

    span_text(&s, "url.path", STR("/pets/7"));
    span_text(&s, "empty", STR(""));
    span_number(&s, "http.response.status_code", 200);
    assert_string_equal(
        written(&s),
        "{\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
        "\"spanId\":\"00f067aa0ba902b7\",\"flags\":257,"
        "\"name\":\"GET /pets/{id}\",\"kind\":2,"
        "\"startTimeUnixNano\":\"1795780586418577042\","
        "\"endTimeUnixNano\":\"1795780586429606001\",\"attributes\":["
        "{\"key\":\"url.path\",\"value\":{\"stringValue\":\"/pets/7\"}},"
        "{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":"
        "\"200\"}}],\"status\":{}}");
}

static void a_child_names_its_parent_and_what_failed(void **state)
{
    static const uint8_t parent[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    struct span s = { .context = &context,
                      .parent = parent,
                      .parent_remote = true,
                      .link = &context,
                      .state = STR("a=1"),
                      .name = STR("GET"),
                      .kind = SPAN_CLIENT,
                      .start_ns = 5,
                      .end_ns = 4,
                      .failed = true,
                      .why = STR("no \"answer\"") };
    (void)state;

    assert_string_equal(
        written(&s),
        "{\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
        "\"spanId\":\"00f067aa0ba902b7\",\"traceState\":\"a=1\","
        "\"parentSpanId\":\"0102030405060708\",\"flags\":769,"
        "\"name\":\"GET\",\"kind\":3,"
        "\"startTimeUnixNano\":\"5\",\"endTimeUnixNano\":\"5\","
        "\"attributes\":[],\"links\":[{\"traceId\":"
        "\"4bf92f3577b34da6a3ce929d0e0e4736\",\"spanId\":"
        "\"00f067aa0ba902b7\",\"flags\":769}],"
        "\"status\":{\"message\":\"no \\\"answer\\\"\",\"code\":2}}");
}

static void any_text_stays_json_and_short(void **state)
{
    char text[5000];
    struct span s = { .context = &context, .name = STR("x"), .kind = 1 };
    struct json *tree;
    struct json_error error;
    const char *json;
    (void)state;

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)i;
    span_text(&s, "a", str_from(text, sizeof(text)));
    json = written(&s);
    assert_int_equal(
        json_parse(arena, str_z(json), &json_default_limits, &tree, &error),
        ERR_OK);
    assert_true(strlen(json) < 400 + 6 * SPAN_TEXT_MAX);
}

static void a_full_buffer_is_said(void **state)
{
    struct span s = { .context = &context, .name = STR("x"), .kind = 1 };
    struct buf b;
    (void)state;

    for (size_t max = 0; max < strlen(written(&s)); max++) {
        buf_init(&b, max);
        assert_int_equal(span_write(&b, &s), ERR_LIMIT);
        buf_done(&b);
    }
}

/* ---- queues ---- */

static unsigned wakes;

static void count_wake(void *arg)
{
    (void)arg;
    wakes++;
}

static struct span_queue *new_queue(uint32_t max, uint32_t wake_at)
{
    struct span_queue *q = span_queue_new(count_wake, NULL);

    wakes = 0;
    span_queue_bound(q, max, wake_at);
    return q;
}

static const char *taken(struct span_queue *q, uint32_t max, size_t bytes,
                         uint32_t *n)
{
    struct buf b;
    struct str out;

    buf_init(&b, bytes);
    *n = span_queue_take(q, max, true, &b);
    out = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return out.p;
}

static void calls_go_in_and_out_whole(void **state)
{
    struct span_queue *q = new_queue(100, 100);
    struct span_counts c;
    struct buf b;
    uint32_t n;
    (void)state;

    assert_true(span_queue_add(q, STR("a,b"), 2));
    assert_true(span_queue_add(q, STR("c,d,e"), 3));
    assert_true(span_queue_add(q, STR("f"), 1));
    assert_string_equal(taken(q, 4, 1000, &n), "a,b");
    assert_int_equal(n, 2);
    assert_string_equal(taken(q, 1, 1000, &n), "c,d,e"); /* one at least */
    assert_int_equal(n, 3);
    assert_string_equal(taken(q, 9, 1, &n), ""); /* no room with its comma */
    assert_int_equal(n, 0);
    buf_init(&b, 100);
    assert_int_equal(span_queue_take(q, 9, false, &b), 1);
    assert_int_equal(b.len, 2);
    assert_memory_equal(b.p, ",f", 2);
    buf_done(&b);
    c = span_queue_counts(q);
    assert_int_equal(c.accepted, 6);
    assert_int_equal(c.queued, 0);
    assert_int_equal(c.dropped, 0);
    span_queue_free(q);
}

static void what_does_not_fit_is_dropped_and_counted(void **state)
{
    struct span_queue *q = new_queue(4, 100);
    char *big = x_new(SPAN_PIECE_BYTES + 1);
    uint64_t before = budget_used();
    struct span_counts c;
    uint32_t n;
    (void)state;

    assert_true(span_queue_add(q, STR("a,b,c"), 3));
    assert_false(span_queue_add(q, STR("d,e"), 2));
    assert_true(span_queue_add(q, STR("f"), 1));
    assert_false(span_queue_add(q, STR("g"), 1));
    assert_string_equal(taken(q, 9, 1000, &n), "a,b,c,f");
    /* Not more bytes than so many spans may have, nor than a call may. */
    assert_true(span_queue_add(q, str_from(big, 4 * SPAN_BYTES - 1), 1));
    assert_false(span_queue_add(q, STR("hi"), 1));
    taken(q, 9, 100000, &n);
    span_queue_bound(q, 100000, 100);
    assert_false(span_queue_add(q, str_from(big, SPAN_PIECE_BYTES + 1), 1));
    assert_true(span_queue_add(q, str_from(big, SPAN_PIECE_BYTES), 1));
    c = span_queue_counts(q);
    assert_int_equal(c.accepted, 11);
    assert_int_equal(c.dropped, 5);
    assert_int_equal(c.queued, 1);
    span_queue_free(q);
    assert_int_equal(budget_used(), before);
    x_free(big);
}

static void a_batch_wakes_once(void **state)
{
    struct span_queue *q = new_queue(100, 3);
    uint32_t n;
    (void)state;

    span_queue_add(q, STR("a,b"), 2);
    assert_int_equal(wakes, 0);
    span_queue_add(q, STR("c"), 1);
    assert_int_equal(wakes, 1);
    span_queue_add(q, STR("d"), 1);
    assert_int_equal(wakes, 1);
    taken(q, 1, 1000, &n);
    assert_int_equal(wakes, 1);
    span_queue_add(q, STR("e,f"), 2);
    assert_int_equal(wakes, 2);
    span_queue_free(q);
}

enum { ADDED = 20000 };

static void *add_many(void *arg)
{
    for (int i = 0; i < ADDED; i++)
        span_queue_add(arg, STR("x"), 1);
    return NULL;
}

static void two_threads_lose_nothing_uncounted(void **state)
{
    struct span_queue *q = new_queue(64, 1000);
    uint64_t got = 0;
    pthread_t thread;
    struct span_counts c;
    uint32_t n;
    (void)state;

    assert_int_equal(pthread_create(&thread, NULL, add_many, q), 0);
    do {
        taken(q, 7, 1000, &n);
        got += n;
        c = span_queue_counts(q);
        assert_int_equal(c.accepted, got + c.queued + c.dropped);
    } while (c.accepted < ADDED || c.queued);
    pthread_join(thread, NULL);
    assert_int_equal(c.accepted, ADDED);
    span_queue_free(q);
}

/* ---- answers ---- */

static void what_a_collector_says_is_read(void **state)
{
    static const struct {
        const char *body;
        uint64_t rejected;
        const char *why;
        bool bad;
    } all[] = {
        { "", 0, "", false },
        { " \n", 0, "", false },
        { "{}", 0, "", false },
        { "{\"partialSuccess\":{}}", 0, "", false },
        { "{\"partialSuccess\":null}", 0, "", false },
        { "{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":"
          "\"too old\"}}",
          3, "too old", false },
        { "{\"partialSuccess\":{\"rejectedSpans\":4}}", 4, "", false },
        { "{\"partialSuccess\":{\"rejectedSpans\":\"99\"}}", 10, "", false },
        { "{\"partialSuccess\":{\"errorMessage\":\"slower\"}}", 0, "slower",
          false },
        { "{\"more\":1}", 0, "", false },
        { "{\"partialSuccess\":{\"rejectedSpans\":\"-1\"}}", 0, "", true },
        { "{\"partialSuccess\":{\"rejectedSpans\":\"x\"}}", 0, "", true },
        { "{\"partialSuccess\":{\"rejectedSpans\":[]}}", 0, "", true },
        { "{\"partialSuccess\":[]}", 0, "", true },
        { "[]", 0, "", true },
        { "OK", 0, "", true },
        { "<html>", 0, "", true },
        { "{\"partialSuccess\":", 0, "", true },
    };
    struct str why;
    bool bad;
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        uint64_t n =
            otlp_read_answer(arena, str_z(all[i].body), 10, &why, &bad);

        if (n != all[i].rejected || bad != all[i].bad ||
            !str_is(why, all[i].why))
            fail_msg("%s: %llu rejected, bad %d", all[i].body,
                     (unsigned long long)n, bad);
    }
}

#define a_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(a_span_has_the_form_of_otlp),
        a_test(a_child_names_its_parent_and_what_failed),
        a_test(any_text_stays_json_and_short),
        a_test(a_full_buffer_is_said),
        a_test(calls_go_in_and_out_whole),
        a_test(what_does_not_fit_is_dropped_and_counted),
        a_test(a_batch_wakes_once),
        a_test(two_threads_lose_nothing_uncounted),
        a_test(what_a_collector_says_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
