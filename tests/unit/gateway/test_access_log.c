/* test_access_log.c - lines, what must not be in them, and how they get out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "gateway/access_line.h"

static struct header headers[] = {
    { STR("Host"), STR("example.org"), FIELD_HOST, false },
    { STR("User-Agent"), STR("curl/8 \"x\""), FIELD_USER_AGENT, false },
    { STR("Referer"), STR("https://e.org/?code=abc&b=1#access_token=t"),
      FIELD_REFERER, false },
    { STR("Authorization"), STR("Bearer s3cret"), FIELD_AUTHORIZATION, false },
    { STR("apikey"), STR("s3cret"), FIELD_APIKEY, false },
    { STR("Internal-Key"), STR("s3cret"), FIELD_OTHER, false },
    { STR("X-Access-Token"), STR("s3cret"), FIELD_OTHER, false },
    { STR("X-Long"), STR_NULL, FIELD_OTHER, false },
};

static struct message request = {
    .headers = headers,
    .count = sizeof(headers) / sizeof(*headers),
    .first = { [FIELD_HOST] = 1,
               [FIELD_USER_AGENT] = 2,
               [FIELD_REFERER] = 3,
               [FIELD_AUTHORIZATION] = 4,
               [FIELD_APIKEY] = 5 },
};

static struct access_entry an_entry(void)
{
    return (struct access_entry) {
        .wall_us = 1795248000123456, /* 2026-11-21T08:00:00.123456Z */
        .client = STR("192.0.2.7"),
        .method = STR("GET"),
        .target = STR("/pets/7?limit=10"),
        .minor = 1,
        .status = 200,
        .bytes_in = 3,
        .bytes_out = 1234,
        .duration_us = 2500001,
        .upstream_us = 2400000,
        .activityid = STR("a-1"),
        .api = STR("PetStore"),
        .version = STR("1.0.0"),
        .operation = STR("/pets/{id}"),
        .endpoint = STR("http://127.0.0.1:9000"),
        .retries = 1,
        .request = &request,
    };
}

/* The line of an entry without its newline, good until the next call. */
static const char *line_of(const char *format, const struct access_entry *e)
{
    static char line[ACCESS_LOG_LINE + 1];
    struct access_clock clock = { 0 };
    struct arena *a = arena_new();
    struct problems ps;
    struct access_log_format *f;
    size_t n;

    problems_init(&ps, a);
    f = access_log_format_new(str_z(format), &ps, STR_NULL, 0);
    if (!f)
        fail_msg("%.*s", STR_ARG(ps.first->text));
    n = access_line(f, e, &clock, line);
    assert_true(n <= ACCESS_LOG_LINE);
    assert_int_equal(line[n - 1], '\n');
    line[n - 1] = 0;
    assert_int_equal(strlen(line), n - 1); /* no NUL */
    assert_null(strchr(line, '\n'));
    access_log_format_free(f);
    arena_free(a);
    return line;
}

static const char *line_of_target(const char *format, const char *target)
{
    struct access_entry e = an_entry();

    e.target = str_z(target);
    return line_of(format, &e);
}

/* Formats */

static void json_has_all_that_is_known(void **state)
{
    struct access_entry e = an_entry();
    (void)state;

    assert_string_equal(
        line_of("json", &e),
        "{\"time\":\"2026-11-21T08:00:00.123Z\",\"client\":\"192.0.2.7\","
        "\"method\":\"GET\",\"target\":\"/pets/7?limit=10\","
        "\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes_in\":3,"
        "\"bytes_out\":1234,\"duration_us\":2500001,\"upstream_us\":2400000,"
        "\"activityid\":\"a-1\",\"api\":\"PetStore\",\"version\":\"1.0.0\","
        "\"operation\":\"/pets/{id}\",\"endpoint\":\"http://127.0.0.1:9000\","
        "\"retries\":1,\"user_agent\":\"curl/8 \\\"x\\\"\"}");
}

static void json_leaves_out_what_there_is_not(void **state)
{
    struct access_entry e = { .wall_us = 1,
                              .method = STR("GET"),
                              .target = STR("/"),
                              .status = 404,
                              .refusal = STR("900906") };
    (void)state;

    assert_string_equal(
        line_of("json", &e),
        "{\"time\":\"1970-01-01T00:00:00.000Z\",\"method\":\"GET\","
        "\"target\":\"/\",\"protocol\":\"HTTP/1.0\",\"status\":404,"
        "\"bytes_in\":0,\"bytes_out\":0,\"duration_us\":0,"
        "\"refusal\":\"900906\"}");
}

static void common_and_combined_are_what_others_expect(void **state)
{
    struct access_entry e = an_entry();
    (void)state;

    assert_string_equal(line_of("common", &e),
                        "192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "
                        "\"GET /pets/7?limit=10 HTTP/1.1\" 200 1234");
    assert_string_equal(line_of("combined", &e),
                        "192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "
                        "\"GET /pets/7?limit=10 HTTP/1.1\" 200 1234 "
                        "\"https://e.org/?code=***&b=1#access_token=***\" "
                        "\"curl/8 \\x22x\\x22\"");
}

static void tokens_stand_for_values(void **state)
{
    struct access_entry e = an_entry();
    (void)state;

    assert_string_equal(line_of("%m|%U|%q|%H|%>s|%b|%B|%D|%T|%%|%l", &e),
                        "GET|/pets/7|?limit=10|HTTP/1.1|200|1234|1234|2500001|"
                        "2|%|-");
    assert_string_equal(
        line_of("%{activityid}x|%{api}x|%{version}x|%{operation}x|"
                "%{endpoint}x|%{retries}x|%{upstream_us}x|%{bytes_in}x|"
                "%{refusal}x",
                &e),
        "a-1|PetStore|1.0.0|/pets/{id}|http://127.0.0.1:9000|1|2400000|3|-");
    assert_string_equal(line_of("%{host}i %{Nope}i %{Date}o", &e),
                        "example.org - -");
    e.bytes_out = 0;
    e.status = 0;
    e.target = STR("/");
    assert_string_equal(line_of("%b %B %s [%q]", &e), "- 0 - []");
}

static void the_clock_moves_on(void **state)
{
    struct access_entry e = an_entry();
    struct arena *a = arena_new();
    struct access_clock clock = { 0 };
    struct problems ps;
    struct access_log_format *f;
    char out[ACCESS_LOG_LINE];
    (void)state;

    problems_init(&ps, a);
    f = access_log_format_new(STR("%t"), &ps, STR_NULL, 0);
    for (unsigned i = 0; i < 3; i++) {
        size_t n = access_line(f, &e, &clock, out);
        char want[40];

        snprintf(want, sizeof(want), "[21/Nov/2026:08:0%u:00 +0000]\n", i);
        assert_int_equal(n, strlen(want));
        assert_memory_equal(out, want, n);
        e.wall_us += 60 * 1000000;
    }
    access_log_format_free(f);
    arena_free(a);
}

static void a_bad_format_is_refused(void **state)
{
    static const struct {
        const char *format, *says;
    } bad[] = {
        { "%h %z", "there is no token \"%z\"; there are %h" },
        { "%", "there is no token \"%\"" },
        { "100%", "there is no token \"%\"" },
        { "%{Host", "there is no token \"%{\"" },
        { "%{Host}", "there is no token \"%{\"" },
        { "%{Host}z", "there is no token \"%{Host}z\"" },
        { "%{}i", "there is no token \"%{}i\"" },
        { "%{user}x", "there is no token \"%{user}x\"" },
        { "", "must be json, common, combined" },
        { "a\nb", "control character 0x0a at position 2" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct arena *a = arena_new();
        struct problems ps;
        struct str said;

        problems_init(&ps, a);
        assert_null(access_log_format_new(str_z(bad[i].format), &ps,
                                          STR("t.yaml"), 12));
        assert_int_equal(ps.errors, 1);
        said = problem_line(a, ps.first);
        assert_memory_equal(said.p, "t.yaml:12: ", 11);
        if (!strstr(said.p, bad[i].says))
            fail_msg("%s: %s", bad[i].format, said.p);
        arena_free(a);
    }
}

static void a_format_of_too_many_tokens_is_refused(void **state)
{
    char format[400];
    struct arena *a = arena_new();
    struct problems ps;
    (void)state;

    for (size_t i = 0; i < sizeof(format); i++)
        format[i] = "%h"[i % 2];
    problems_init(&ps, a);
    assert_null(access_log_format_new(str_from(format, sizeof(format)), &ps,
                                      STR_NULL, 0));
    assert_int_equal(ps.errors, 1);
    arena_free(a);
}

/* Escaping and secrets */

static void callers_bytes_are_escaped(void **state)
{
    struct access_entry e = an_entry();
    (void)state;

    e.target = STR("/a\"b\\c\n\x7f\xc3\xa9\xff\xc2\x9b 12345678\"");
    assert_string_equal(line_of("%r", &e),
                        "GET /a\\x22b\\x5cc\\x0a\\x7f\\xc3\\xa9\\xff\\xc2\\x9b "
                        "12345678\\x22 HTTP/1.1");
    assert_non_null(strstr(line_of("json", &e),
                           "\"/a\\\"b\\\\c\\u000a\\u007f\xc3\xa9\xef\xbf\xbd"
                           "\\u009b 12345678\\\"\""));
    e.user = STR("a b");
    assert_string_equal(line_of("%h %u %t", &e),
                        "192.0.2.7 a\\x20b [21/Nov/2026:08:00:00 +0000]");
}

/* Against the definition, for every byte at every place of a word. */
static void every_byte_is_escaped_wherever_it_is(void **state)
{
    struct access_entry e = an_entry();
    (void)state;

    for (unsigned at = 0; at < 17; at++) {
        for (unsigned c = 0; c < 256; c++) {
            char value[18] = "aaaaaaaaaaaaaaaaa", want[64];
            bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

            value[at] = (char)c;
            e.method = str_from(value, 17);
            if (plain)
                snprintf(want, sizeof(want), "%s", value);
            else
                snprintf(want, sizeof(want), "%.*s\\x%02x%s", (int)at, value, c,
                         value + at + 1);
            assert_string_equal(line_of("%m", &e), want);
        }
    }
}

static void credentials_in_headers_are_not_written(void **state)
{
    struct access_entry e = an_entry();
    (void)state;

    assert_string_equal(line_of("%{Authorization}i %{APIKEY}i "
                                "%{internal-key}i %{X-Access-Token}i "
                                "%{Cookie}i %{Proxy-Authorization}i",
                                &e),
                        "(redacted) (redacted) (redacted) (redacted) - -");
}

static void secret_parameters_are_masked(void **state)
{
    static const char *const pairs[][2] = {
        { "/?access_token=abc", "/?access_token=***" },
        { "/?a=1&access_token=abc&b=2", "/?a=1&access_token=***&b=2" },
        { "/?ApiKey=abc;api_key=x", "/?ApiKey=***;api_key=***" },
        { "/?api-key=abc", "/?api-key=***" },
        { "/?access%5Ftoken=abc", "/?access%5Ftoken=***" },
        { "/?%74oken=abc#x", "/?%74oken=***#x" },
        { "/?client_secret=a=b=c&code=&d", "/?client_secret=***&code=***&d" },
        { "/?password", "/?password" },
        { "/?q=code=7", "/?q=code=7" },
        { "/?zipcode=7&codes=8&to=9", "/?zipcode=7&codes=8&to=9" },
        { "/?next=/x?token=abc", "/?next=/x?token=***" },
        { "/#id_token=abc", "/#id_token=***" },
        { "/?", "/?" },
        { "/?&&=&token=", "/?&&=&token=***" },
        { "/token=abc", "/token=abc" },
        { "http://u:pw@e.org/a@b?code=1", "http://***@e.org/a@b?code=***" },
        { "http://u@e.org", "http://***@e.org" },
        { "http://e.org/?a=x@y", "http://e.org/?a=x@y" },
        { "http://e.org:80", "http://e.org:80" },
        { "*", "*" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        char want[100];

        snprintf(want, sizeof(want), "GET %s HTTP/1.1", pairs[i][1]);
        assert_string_equal(line_of_target("%r", pairs[i][0]), want);
        snprintf(want, sizeof(want), "\"target\":\"%s\"", pairs[i][1]);
        assert_non_null(strstr(line_of_target("json", pairs[i][0]), want));
    }
    assert_string_equal(line_of_target("%U %q", "/a?token=abc"),
                        "/a ?token=***");
}

static void long_values_are_cut(void **state)
{
    struct access_entry e = an_entry();
    char *many = malloc(100000);
    const char *line;
    (void)state;

    memset(many, '\n', 100000);
    headers[7].value = str_from(many, 100000);
    line = line_of("<%{X-Long}i>", &e);
    assert_true(strlen(line) <= 2 + ACCESS_LOG_VALUE);
    assert_true(strlen(line) > ACCESS_LOG_VALUE - 8);
    assert_true(str_ends(str_z(line), STR("\\x0a...>")));
    headers[7].value = STR_NULL;
    free(many);
}

static void a_long_line_of_json_is_still_json(void **state)
{
    char *many = malloc(100000);
    struct str s = str_from(many, 100000);
    struct access_entry e = an_entry();
    (void)state;

    memset(many, '\x01', 100000);
    memset(&e.wall_us, 0xff, sizeof(e.wall_us));
    e.client = e.method = e.target = e.activityid = e.api = e.version = s;
    e.operation = e.endpoint = e.user = e.refusal = s;
    e.status = e.retries = UINT32_MAX;
    e.bytes_in = e.bytes_out = e.duration_us = e.upstream_us = UINT64_MAX;
    headers[1].value = s;
    assert_true(str_ends(str_z(line_of("json", &e)), STR("\\u0001...\"}")));
    headers[1].value = STR("curl/8 \"x\"");
    free(many);
}

static void a_long_line_of_text_is_cut(void **state)
{
    char *many = malloc(100000);
    struct access_entry e = an_entry();
    char format[128] = "";
    const char *line;
    (void)state;

    memset(many, '\xff', 100000);
    e.target = str_from(many, 100000);
    for (unsigned i = 0; i < 30; i++)
        strcat(format, "%r");
    line = line_of(format, &e);
    assert_in_range(strlen(line), ACCESS_LOG_LINE - 8, ACCESS_LOG_LINE - 1);
    free(many);
}

/* Files */

struct place {
    char folder[32];
    char path[64];
    struct loop *main, *loop;
    struct arena *arena;
    struct problems ps;
    struct access_log_format *format;
};

static int make_place(void **state)
{
    struct place *p = x_new(sizeof(*p));

    strcpy(p->folder, "/tmp/access_log.XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof(p->path), "%s/log", p->folder);
    p->main = loop_new();
    p->loop = loop_new();
    p->arena = arena_new();
    problems_init(&p->ps, p->arena);
    p->format = access_log_format_new(STR("%m"), &p->ps, STR_NULL, 0);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    char other[80];

    snprintf(other, sizeof(other), "%s.1", p->path);
    unlink(other);
    unlink(p->path);
    assert_int_equal(rmdir(p->folder), 0);
    access_log_format_free(p->format);
    arena_free(p->arena);
    loop_free(p->loop);
    loop_free(p->main);
    x_free(p);
    return 0;
}

static struct access_file *open_place(struct place *p)
{
    struct access_file *f =
        access_file_open(p->main, str_z(p->path), &p->ps, STR_NULL, 0);

    assert_non_null(f);
    return f;
}

static void say(struct place *p, struct access_log *log, const char *word)
{
    struct access_entry e = { .method = str_z(word) };

    access_log_append(log, p->format, &e);
}

/* A line of 1,000 bytes. */
static void say_much(struct place *p, struct access_log *log, char c)
{
    char text[1000];

    memset(text, c, sizeof(text) - 1);
    text[999] = 0;
    say(p, log, text);
}

static void assert_file_is(const char *path, const char *want)
{
    char text[1024];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    assert_true(n >= 0);
    text[n] = 0;
    close(fd);
    assert_string_equal(text, want);
}

static void lines_reach_the_file_through_the_main_loop(void **state)
{
    struct place *p = *state;
    struct access_file *f = open_place(p);
    struct access_log *log = access_log_new(p->loop, f);
    uint64_t written = access_log_written();

    say(p, log, "one");
    say(p, log, "two");
    access_log_flush(log);
    assert_file_is(p->path, "");
    loop_turn(p->main, 0);
    assert_file_is(p->path, "one\ntwo\n");
    assert_int_equal(access_log_written(), written + 2);
    access_log_free(log);
    access_file_unref(f);
}

static void a_buffer_leaves_when_it_is_a_second_old(void **state)
{
    struct place *p = *state;
    struct access_file *f = open_place(p);
    struct access_log *log = access_log_new(p->loop, f);
    uint64_t written = access_log_written();

    say(p, log, "one");
    while (access_log_written() == written) {
        loop_turn(p->loop, -1);
        loop_turn(p->main, 0);
    }
    assert_file_is(p->path, "one\n");
    access_log_free(log);
    access_file_unref(f);
}

static void a_full_buffer_leaves_at_once(void **state)
{
    struct place *p = *state;
    struct access_file *f = open_place(p);
    struct access_log *log = access_log_new(p->loop, f);
    struct stat st;

    for (unsigned i = 0; i < 66; i++)
        say_much(p, log, 'a');
    loop_turn(p->main, 0);
    assert_int_equal(stat(p->path, &st), 0);
    assert_true(st.st_size > 56000);
    assert_int_equal(st.st_size % 1000, 0);
    access_log_free(log);
    access_file_flush(f, 0);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_size, 66000);
    access_file_unref(f);
}

static void the_last_lines_are_written_when_a_file_is_let_go(void **state)
{
    struct place *p = *state;
    struct access_file *f = open_place(p);
    struct access_log *log = access_log_new(p->loop, f);

    access_file_unref(f); /* the log has its own reference */
    say(p, log, "last");
    access_log_free(log);
    assert_file_is(p->path, "last\n");
}

static void a_log_without_a_file_writes_nothing(void **state)
{
    struct place *p = *state;
    struct access_file *f = open_place(p);
    struct access_log *log = access_log_new(p->loop, NULL);

    say(p, log, "nothing");
    access_log_use(log, f);
    say(p, log, "something");
    access_log_use(log, NULL);
    say(p, log, "nothing");
    access_log_free(log);
    access_file_unref(f);
    assert_file_is(p->path, "something\n");
}

static void after_a_rotation_lines_go_to_the_new_file(void **state)
{
    struct place *p = *state;
    struct access_file *f = open_place(p);
    struct access_log *log = access_log_new(p->loop, f);
    char old[80];

    snprintf(old, sizeof(old), "%s.1", p->path);
    say(p, log, "before");
    access_log_flush(log);
    assert_int_equal(rename(p->path, old), 0);
    access_file_reopen(f);
    say(p, log, "after");
    access_log_free(log);
    access_file_unref(f);
    assert_file_is(old, "before\n");
    assert_file_is(p->path, "after\n");
}

static void a_rotation_that_fails_keeps_the_file(void **state)
{
    struct place *p = *state;
    struct access_file *f = open_place(p);
    struct access_log *log = access_log_new(p->loop, f);
    char old[80];

    snprintf(old, sizeof(old), "%s.1", p->path);
    assert_int_equal(rename(p->path, old), 0);
    assert_int_equal(mkdir(p->path, 0700), 0);
    access_file_reopen(f);
    assert_int_equal(rmdir(p->path), 0);
    say(p, log, "kept");
    access_log_free(log);
    access_file_unref(f);
    assert_file_is(old, "kept\n");
}

static void a_path_that_cannot_be_opened_is_a_problem(void **state)
{
    struct place *p = *state;

    assert_null(access_file_open(p->main, STR("/nonexistent/log"), &p->ps,
                                 STR("t.yaml"), 3));
    assert_string_equal(problem_line(p->arena, p->ps.first).p,
                        "t.yaml:3: access_log.file: cannot write to "
                        "/nonexistent/log: No such file or directory; the "
                        "file, or the folder it is to be made in, must be "
                        "writable for this user");
}

static void a_full_disk_costs_lines_and_nothing_else(void **state)
{
    struct place *p = *state;
    struct access_file *f =
        access_file_open(p->main, STR("/dev/full"), &p->ps, STR_NULL, 0);
    struct access_log *log = access_log_new(p->loop, f);
    uint64_t dropped = access_log_dropped();

    say(p, log, "one");
    say(p, log, "two");
    access_log_free(log);
    access_file_flush(f, 1000);
    access_file_unref(f);
    assert_int_equal(access_log_dropped(), dropped + 2);
}

/* Reads all there is now; the lines must be whole. */
static size_t count_pipe_lines(struct place *p, int fd)
{
    static char text[70000];
    size_t lines = 0, column = 0;
    ssize_t n;

    while ((n = read(fd, text, sizeof(text))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] != '\n') {
                column++;
                continue;
            }
            assert_int_equal(column, 999);
            column = 0;
            lines++;
        }
        loop_turn(p->main, 0);
    }
    assert_int_equal(column, 0);
    return lines;
}

static void a_reader_who_does_not_read_costs_lines_only(void **state)
{
    struct place *p = *state;
    struct access_file *f;
    struct access_log *log;
    uint64_t dropped = access_log_dropped();
    size_t read_lines, said = 6000;
    int fd;

    assert_int_equal(mkfifo(p->path, 0600), 0);
    fd = open(p->path, O_RDONLY | O_NONBLOCK);
    f = open_place(p);
    log = access_log_new(p->loop, f);
    for (size_t i = 0; i < said; i++) {
        say_much(p, log, 'a');
        loop_turn(p->main, 0);
    }
    dropped = access_log_dropped() - dropped;
    assert_true(dropped > 0);
    read_lines = count_pipe_lines(p, fd);
    access_log_flush(log);
    loop_turn(p->main, 0);
    read_lines += count_pipe_lines(p, fd);
    assert_int_equal(read_lines + dropped, said);

    say_much(p, log, 'b'); /* all is well again */
    access_log_free(log);
    access_file_flush(f, 1000);
    assert_int_equal(count_pipe_lines(p, fd), 1);
    access_file_unref(f);
    close(fd);
}

static void a_flush_waits_only_so_long(void **state)
{
    struct place *p = *state;
    struct access_file *f;
    struct access_log *log;
    uint64_t dropped = access_log_dropped();
    int fd;

    assert_int_equal(mkfifo(p->path, 0600), 0);
    fd = open(p->path, O_RDONLY | O_NONBLOCK);
    f = open_place(p);
    log = access_log_new(p->loop, f);
    for (size_t i = 0; i < 500; i++)
        say_much(p, log, 'a');
    access_log_free(log);
    access_file_flush(f, 1);
    access_file_unref(f);
    assert_true(access_log_dropped() - dropped > 100);
    assert_true(access_log_dropped() - dropped < 500);
    close(fd);
}

/* Of four threads they fit in the buffers that may be under way. */
enum { LINES = 500 };

struct talker {
    struct place *place;
    struct access_file *file;
    char c;
};

static void *talk(void *arg)
{
    struct talker *t = arg;
    struct loop *loop = loop_new();
    struct access_log *log = access_log_new(loop, t->file);

    access_file_unref(t->file);
    for (unsigned i = 0; i < LINES; i++)
        say_much(t->place, log, t->c);
    access_log_free(log); /* perhaps the last reference */
    loop_free(loop);
    arena_thread_done();
    return NULL;
}

static void lines_of_many_threads_stay_whole(void **state)
{
    struct place *p = *state;
    struct access_file *f = open_place(p);
    struct talker talkers[4];
    pthread_t threads[4];
    uint64_t written = access_log_written();
    size_t lines = 0;
    int fd;

    for (size_t i = 0; i < 4; i++) {
        talkers[i] = (struct talker) { p, access_file_ref(f), (char)('a' + i) };
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &talkers[i]),
                         0);
    }
    access_file_unref(f);
    while (access_log_written() < written + 4 * LINES)
        loop_turn(p->main, 10);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    loop_turn(p->main, 10); /* closes the file */
    fd = open(p->path, O_RDONLY);
    for (char text[1000]; read(fd, text, 1000) == 1000; lines++) {
        for (unsigned i = 1; i < 999; i++)
            assert_int_equal(text[i], text[0]);
        assert_int_equal(text[999], '\n');
    }
    assert_int_equal(lines, 4 * LINES);
    close(fd);
}

int main(void)
{
#define TEST_FILE(name) \
    cmocka_unit_test_setup_teardown(name, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_all_that_is_known),
        cmocka_unit_test(json_leaves_out_what_there_is_not),
        cmocka_unit_test(common_and_combined_are_what_others_expect),
        cmocka_unit_test(tokens_stand_for_values),
        cmocka_unit_test(the_clock_moves_on),
        cmocka_unit_test(a_bad_format_is_refused),
        cmocka_unit_test(a_format_of_too_many_tokens_is_refused),
        cmocka_unit_test(callers_bytes_are_escaped),
        cmocka_unit_test(every_byte_is_escaped_wherever_it_is),
        cmocka_unit_test(credentials_in_headers_are_not_written),
        cmocka_unit_test(secret_parameters_are_masked),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(a_long_line_of_json_is_still_json),
        cmocka_unit_test(a_long_line_of_text_is_cut),
        TEST_FILE(lines_reach_the_file_through_the_main_loop),
        TEST_FILE(a_buffer_leaves_when_it_is_a_second_old),
        TEST_FILE(a_full_buffer_leaves_at_once),
        TEST_FILE(the_last_lines_are_written_when_a_file_is_let_go),
        TEST_FILE(a_log_without_a_file_writes_nothing),
        TEST_FILE(after_a_rotation_lines_go_to_the_new_file),
        TEST_FILE(a_rotation_that_fails_keeps_the_file),
        TEST_FILE(a_path_that_cannot_be_opened_is_a_problem),
        TEST_FILE(a_full_disk_costs_lines_and_nothing_else),
        TEST_FILE(a_reader_who_does_not_read_costs_lines_only),
        TEST_FILE(a_flush_waits_only_so_long),
        TEST_FILE(lines_of_many_threads_stay_whole),
    };

    log_setup(LOG_ERROR, LOG_TEXT, 2); /* warnings are part of the tests */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
