/* test_metrics.c - counting per thread, and the text Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/arena.h"
#include "gateway/metrics.h"

static const struct metrics_view no_view;

static int clean(void **state)
{
    (void)state;
    metrics_done();
    return 0;
}

static uint32_t pets(void)
{
    return metrics_series(STR("PetStore"), STR("1.0.0"), STR("GET"),
                          STR("/pets/{id}"));
}

#define PETS                                                  \
    "api=\"PetStore\",version=\"1.0.0\",method=\"GET\",path=" \
    "\"/pets/{id}\""

static struct buf text_of(const struct metrics_view *v)
{
    struct buf b;

    buf_init(&b, 1 << 26);
    metrics_text(&b, v);
    assert_int_equal(buf_char(&b, 0), ERR_OK);
    b.len--;
    return b;
}

static void assert_shows(const struct metrics_view *v, const char *line)
{
    struct buf b = text_of(v);
    size_t n = strlen(line);
    const char *at = b.p;

    while (strncmp(at, line, n) != 0) {
        at = strchr(at, '\n');
        if (!at)
            fail_msg("not there: %s", line);
        at++;
    }
    buf_done(&b);
}

static void assert_hides(const struct metrics_view *v, const char *part)
{
    struct buf b = text_of(v);

    assert_null(strstr(b.p, part));
    buf_done(&b);
}

/* Buckets */

static unsigned bucket_by_search(uint64_t us)
{
    unsigned i = 0;

    while (us > metrics_bounds_us[i])
        i++;
    return i;
}

static void a_latency_falls_in_the_first_bucket_that_holds_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < METRICS_BOUNDS; i++)
        for (uint64_t us = metrics_bounds_us[i] - 1;
             us <= metrics_bounds_us[i] + 1; us++)
            assert_int_equal(metrics_bucket(us), bucket_by_search(us));
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_int_equal(metrics_bucket(1ull << bit),
                         bucket_by_search(1ull << bit));
        assert_int_equal(metrics_bucket((1ull << bit) - 1),
                         bucket_by_search((1ull << bit) - 1));
    }
    assert_int_equal(metrics_bucket(UINT64_MAX), METRICS_BOUNDS);
}

/* Series */

static void the_same_texts_are_the_same_series(void **state)
{
    uint32_t id = pets();
    (void)state;

    assert_int_not_equal(id, METRICS_OTHER);
    assert_int_equal(pets(), id);
    assert_int_not_equal(metrics_series(STR("PetStore"), STR("1.0.0"),
                                        STR("PUT"), STR("/pets/{id}")),
                         id);
}

static void texts_cannot_be_shifted_between_labels(void **state)
{
    (void)state;
    assert_int_not_equal(
        metrics_series(STR("a\",version=\""), STR("b"), STR("c"), STR("d")),
        metrics_series(STR("a"), STR("\",version=\"b"), STR("c"), STR("d")));
}

static void what_comes_after_the_ceiling_is_other(void **state)
{
    char path[32];
    uint32_t id = 0;
    (void)state;

    for (unsigned i = 0; i < METRICS_SERIES; i++) {
        snprintf(path, sizeof(path), "/%u", i);
        id = metrics_series(STR("a"), STR("1"), STR("GET"), str_z(path));
        assert_int_equal(id, i + 1);
    }
    assert_int_equal(pets(), METRICS_OTHER);
    assert_int_equal(metrics_series(STR("a"), STR("1"), STR("GET"), STR("/77")),
                     78);

    metrics_record(metrics_thread_new(), METRICS_SERIES, 200, 1, 0, 0);
    metrics_record(metrics_thread_new(), METRICS_OTHER, 200, 1, 0, 0);
    assert_shows(&no_view, "tollgate_http_requests_total{api=\"a\",version="
                           "\"1\",method=\"GET\",path=\"/9999\",status="
                           "\"2xx\"} 1\n");
    assert_shows(&no_view, "tollgate_http_requests_total{api=\"other\","
                           "version=\"other\",method=\"other\",path=\"other\","
                           "status=\"2xx\"} 1\n");
    assert_shows(&no_view, "tollgate_metric_series 10000\n");
}

/* The text */

static void calls_of_all_threads_are_added_up(void **state)
{
    struct metrics_thread *a = metrics_thread_new();
    struct metrics_thread *b = metrics_thread_new();
    (void)state;

    metrics_record(a, pets(), 200, 400, 10, 1000);
    metrics_record(a, pets(), 204, 1000, 20, 0);
    metrics_record(b, pets(), 200, 1001, 30, 1);
    metrics_record(b, pets(), 503, 40000000, 0, 5);
    metrics_record(b, pets(), 0, 5, 0, 0);

#define REQUESTS "tollgate_http_requests_total{" PETS ",status="
#define DURATION "tollgate_http_request_duration_seconds_"
    assert_shows(&no_view, REQUESTS "\"2xx\"} 3\n");
    assert_shows(&no_view, REQUESTS "\"5xx\"} 1\n");
    assert_shows(&no_view, REQUESTS "\"none\"} 1\n");
    assert_hides(&no_view, REQUESTS "\"4xx\"}");
    assert_shows(&no_view, DURATION "bucket{" PETS ",le=\"0.0005\"} 2\n");
    assert_shows(&no_view, DURATION "bucket{" PETS ",le=\"0.001\"} 3\n");
    assert_shows(&no_view, DURATION "bucket{" PETS ",le=\"0.0025\"} 4\n");
    assert_shows(&no_view, DURATION "bucket{" PETS ",le=\"30\"} 4\n");
    assert_shows(&no_view, DURATION "bucket{" PETS ",le=\"+Inf\"} 5\n");
    assert_shows(&no_view, DURATION "sum{" PETS "} 40.002406\n");
    assert_shows(&no_view, DURATION "count{" PETS "} 5\n");
    assert_shows(&no_view,
                 "tollgate_http_request_body_bytes_total{" PETS "} 60\n");
    assert_shows(&no_view,
                 "tollgate_http_response_body_bytes_total{" PETS "} 1006\n");
}

static void counters_of_all_threads_are_added_up(void **state)
{
    struct metrics_thread *a = metrics_thread_new();
    struct metrics_thread *b = metrics_thread_new();
    (void)state;

    metrics_add(&a->connections_accepted, 2);
    metrics_add(&b->connections_accepted, 40);
    metrics_add(&b->upstream_reused, 7);
    assert_shows(&no_view, "tollgate_connections_accepted_total 42\n");
    assert_shows(&no_view, "tollgate_upstream_reused_total 7\n");
    assert_shows(&no_view, "tollgate_connections_refused_total 0\n");
}

static void times_of_phases_are_added_up(void **state)
{
    struct metrics_thread *a = metrics_thread_new();
    struct metrics_thread *b = metrics_thread_new();
    (void)state;

    metrics_phase(a, PHASE_BACKEND, 2500);
    metrics_phase(b, PHASE_BACKEND, 2501);
    metrics_phase(b, PHASE_BACKEND, 40000000000);
    metrics_phase(b, PHASE_LIMITS, 0);

#define PHASE "tollgate_phase_duration_seconds_"
    assert_shows(&no_view,
                 PHASE "bucket{phase=\"backend\",le=\"0.000001\"} 0\n");
    assert_shows(&no_view,
                 PHASE "bucket{phase=\"backend\",le=\"0.0000025\"} 1\n");
    assert_shows(&no_view,
                 PHASE "bucket{phase=\"backend\",le=\"0.000005\"} 2\n");
    assert_shows(&no_view, PHASE "bucket{phase=\"backend\",le=\"30\"} 2\n");
    assert_shows(&no_view, PHASE "bucket{phase=\"backend\",le=\"+Inf\"} 3\n");
    assert_shows(&no_view, PHASE "sum{phase=\"backend\"} 40.000005001\n");
    assert_shows(&no_view, PHASE "count{phase=\"backend\"} 3\n");
    assert_shows(&no_view,
                 PHASE "bucket{phase=\"limits\",le=\"0.000001\"} 1\n");
    assert_shows(&no_view, PHASE "count{phase=\"response_body\"} 0\n");
}

static void who_may_not_pass_is_shown_by_reason(void **state)
{
    struct metrics_thread *a = metrics_thread_new();
    struct metrics_thread *b = metrics_thread_new();
    const struct metrics_view v = {
        .has_limits = true,
        .limits = { .slots = 1024, .live = 5, .claims = 9, .full_passed = 2 },
    };
    (void)state;

    metrics_add(&a->refusals[REASON_TOKEN_EXPIRED], 2);
    metrics_add(&b->refusals[REASON_TOKEN_EXPIRED], 1);
    metrics_lookup(a, CACHE_JWT, LOOKUP_HIT);
    metrics_lookup(b, CACHE_JWT, LOOKUP_HIT);
    metrics_lookup(b, CACHE_BASIC, LOOKUP_MISS);
    assert_shows(&v, "tollgate_refusals_total{reason=\"token_expired\"} 3\n");
    assert_hides(&v, "reason=\"token_issuer\"");
#define LOOKUPS "tollgate_token_cache_lookups_total{cache="
    assert_shows(&v, LOOKUPS "\"jwt\",result=\"hit\"} 2\n");
    assert_shows(&v, LOOKUPS "\"jwt\",result=\"bad\"} 0\n");
    assert_shows(&v, LOOKUPS "\"basic\",result=\"miss\"} 1\n");
    assert_shows(&v, "tollgate_limit_slots 1024\n");
    assert_shows(&v, "tollgate_limit_slots_live 5\n");
    assert_shows(&v, "tollgate_limit_slots_begun_total 9\n");
    assert_shows(&v, "tollgate_limit_slots_full_total{result=\"passed\"} 2\n");
    assert_hides(&no_view, "tollgate_limit_slots");
}

static void an_operation_nobody_called_is_not_shown(void **state)
{
    (void)state;
    metrics_thread_new();
    assert_int_equal(pets(), 1);
    assert_hides(&no_view, "PetStore");
    assert_hides(&no_view, "other\"}");
}

static void label_values_are_escaped(void **state)
{
    struct metrics_thread *t = metrics_thread_new();
    uint32_t id = metrics_series(STR("a\"b\\c\nd\r"), STR("\xff\xc3\xa9"),
                                 STR("GET"), STR("/{x}"));
    (void)state;

    metrics_record(t, id, 200, 1, 0, 0);
    assert_shows(&no_view, "tollgate_http_requests_total{api=\"a\\\"b\\\\c\\nd"
                           "\xef\xbf\xbd\",version=\"\xef\xbf\xbd\xc3\xa9\","
                           "method=\"GET\",path=\"/{x}\",status=\"2xx\"} 1\n");
}

static void what_others_know_is_shown(void **state)
{
    static const struct metrics_loop loops[] = { { 12, 1500, 99 },
                                                 { 13, 0, 3 } };
    static const struct metrics_endpoint endpoints[] = {
        { STR("http://a:80"), METRICS_UP, 1, 2, 3, 4 },
        { STR("http://b:80"), METRICS_OPEN, 0, 0, 0, 9 },
    };
    static const struct metrics_file files[] = {
        { .name = "deny",
          .entries = 3,
          .stale = 1,
          .failures = 2,
          .read_s = 9 },
    };
    static const struct metrics_keyset keysets[] = {
        { STR("https://idp.test/jwks"), 2, 77, 3 },
    };
    static const struct metrics_certificate certificates[] = {
        { STR("api.example.org"), 1800000000 },
    };
    const struct metrics_view v = {
        .version = STR("1.2.3"),
        .commit = STR("abc"),
        .start_s = 1700000000.25,
        .apis = 3,
        .operations = 45,
        .loads_ok = 2,
        .loads_failed = 1,
        .draining = true,
        .loops = loops,
        .loop_count = 2,
        .rss_bytes = 4096,
        .endpoints = endpoints,
        .endpoint_count = 2,
        .certificates = certificates,
        .certificate_count = 1,
        .keysets = keysets,
        .keyset_count = 1,
        .files = files,
        .file_count = 1,
    };
    (void)state;

    assert_shows(&v, "tollgate_build_info{version=\"1.2.3\",commit=\"abc\"}"
                     " 1\n");
    assert_shows(&v, "process_start_time_seconds 1700000000.250\n");
    assert_shows(&v, "process_resident_memory_bytes 4096\n");
    assert_shows(&v, "process_open_fds ");
    assert_shows(&v, "tollgate_operations 45\n");
    assert_shows(&v, "tollgate_config_loads_total{result=\"failed\"} 1\n");
    assert_shows(&v, "tollgate_draining 1\n");
    assert_shows(&v, "tollgate_connections{thread=\"1\"} 13\n");
    assert_shows(&v, "tollgate_loop_lag_seconds{thread=\"0\"} 0.001500\n");
    assert_shows(&v, "tollgate_upstream_up{endpoint=\"http://b:80\"} 0\n");
    assert_shows(&v, "tollgate_upstream_state{endpoint=\"http://b:80\","
                     "state=\"open\"} 1\n");
    assert_shows(&v, "tollgate_upstream_state{endpoint=\"http://b:80\","
                     "state=\"up\"} 0\n");
    assert_shows(&v, "tollgate_upstream_connections_active{endpoint="
                     "\"http://a:80\"} 3\n");
    assert_shows(&v,
                 "tollgate_keyset_keys{keys=\"https://idp.test/jwks\"} 2\n");
    assert_shows(&v, "tollgate_keyset_age_seconds{keys=\"https://idp.test/"
                     "jwks\"} 77\n");
    assert_shows(&v, "tollgate_file_entries{file=\"deny\"} 3\n");
    assert_shows(&v, "tollgate_file_stale{file=\"deny\"} 1\n");
    assert_shows(&v, "tollgate_file_failures_total{file=\"deny\"} 2\n");
    assert_shows(&v, "tollgate_file_read_timestamp_seconds{file=\"deny\"} 9\n");
    assert_shows(&v, "tollgate_keyset_failures{keys=\"https://idp.test/jwks\"} "
                     "3\n");
    assert_shows(&v, "tollgate_introspections_total 0\n");
    assert_shows(&v, "tollgate_certificate_expiry_timestamp_seconds{name="
                     "\"api.example.org\"} 1800000000\n");
}

static void every_family_has_its_heading_once(void **state)
{
    struct buf b;
    struct str rest;
    char name[128] = "";
    size_t samples = 0;
    (void)state;

    metrics_record(metrics_thread_new(), pets(), 200, 1, 0, 0);
    b = text_of(&no_view);
    rest = buf_view(&b);
    while (rest.len) {
        struct str line = str_cut(&rest, '\n');

        if (str_starts(line, STR("# HELP ")))
            continue;
        if (str_starts(line, STR("# TYPE "))) {
            line = str_skip(line, 7);
            line = str_head(line, str_find(line, ' '));
            snprintf(name, sizeof(name), "%.*s", STR_ARG(line));
            continue;
        }
        assert_true(str_starts(line, str_z(name)));
        assert_true(line.p[line.len - 1] >= '0' && line.p[line.len - 1] <= '9');
        samples++;
    }
    assert_true(samples > 40);
    buf_done(&b);
}

/* Series with the longest texts there can be, every line of them used. */
static void fill_with_long_series(struct metrics_thread *t, unsigned count)
{
    char api[400], path[600];

    memset(api, '"', sizeof(api));
    memset(path, '\n', sizeof(path));
    for (unsigned i = 0; i < count; i++) {
        char method[16];
        uint32_t id;

        snprintf(method, sizeof(method), "%u", i);
        id = metrics_series(str_from(api, sizeof(api)),
                            str_from(path, sizeof(path)), str_z(method),
                            str_from(path, sizeof(path)));
        assert_int_equal(id, i + 1);
        for (unsigned class = 0; class < METRICS_CLASSES; class ++)
            metrics_record(t, id, class * 100, UINT64_MAX / 8, UINT64_MAX / 8,
                           UINT64_MAX / 8);
    }
}

static void the_pieces_make_the_whole_text(void **state)
{
    struct metrics_walk w = { .view = &no_view };
    struct buf piece, all, whole;
    unsigned pieces = 0;
    const char *tail = "# HELP tollgate_http_requests_total";
    (void)state;

    fill_with_long_series(metrics_thread_new(), 100);
    buf_init(&piece, METRICS_ROOM);
    buf_init(&all, 1 << 26);
    while (metrics_more(&w, &piece)) {
        assert_int_equal(piece.p[piece.len - 1], '\n');
        assert_int_equal(buf_str(&all, buf_view(&piece)), ERR_OK);
        buf_drop(&piece, piece.len);
        pieces++;
    }
    assert_true(pieces > 10);
    assert_int_equal(buf_char(&all, 0), ERR_OK);
    whole = text_of(&no_view);
    /* What comes before changes with time. */
    assert_string_equal(strstr(all.p, tail), strstr(whole.p, tail));
    buf_done(&piece);
    buf_done(&all);
    buf_done(&whole);
}

static void a_text_that_does_not_fit_says_so(void **state)
{
    (void)state;
    fill_with_long_series(metrics_thread_new(), 20);
    for (size_t max = 0; max < 100000; max += 997) {
        struct buf b;

        buf_init(&b, max);
        metrics_text(&b, &no_view);
        assert_true(b.len <= max);
        assert_true(
            str_ends(buf_view(&b), max < 12 ? STR("") : STR("# truncated\n")));
        if (b.len > 12)
            assert_int_equal(b.p[b.len - 13], '\n');
        buf_done(&b);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, clean)
    const struct CMUnitTest tests[] = {
        TEST(a_latency_falls_in_the_first_bucket_that_holds_it),
        TEST(the_same_texts_are_the_same_series),
        TEST(texts_cannot_be_shifted_between_labels),
        TEST(what_comes_after_the_ceiling_is_other),
        TEST(calls_of_all_threads_are_added_up),
        TEST(counters_of_all_threads_are_added_up),
        TEST(times_of_phases_are_added_up),
        TEST(who_may_not_pass_is_shown_by_reason),
        TEST(an_operation_nobody_called_is_not_shown),
        TEST(label_values_are_escaped),
        TEST(what_others_know_is_shown),
        TEST(every_family_has_its_heading_once),
        TEST(the_pieces_make_the_whole_text),
        TEST(a_text_that_does_not_fit_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
