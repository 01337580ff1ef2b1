/* test_log.c - lines as they leave, read back from a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

static int ends[2];
static char got[65536];

static int open_pipe(void **state)
{
    (void)state;
    return pipe(ends);
}

static int close_pipe(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_AUTO, STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* What one read() finds; a line is one write(), so it comes whole. */
static const char *line(void)
{
    ssize_t n = read(ends[0], got, sizeof(got) - 1);

    assert_true(n > 0);
    got[n] = '\0';
    assert_int_equal(got[n - 1], '\n');
    assert_ptr_equal(strchr(got, '\n'), &got[n - 1]);
    return got;
}

/* The line behind its time, which is only looked at. */
static const char *json_line(void)
{
    const char *l = line();

    assert_int_equal(strncmp(l, "{\"time\":\"20", 11), 0);
    assert_int_equal(strncmp(l + 32, "Z\",\"level\":\"", 12), 0);
    return l + 35;
}

static const char *text_line(void)
{
    const char *l = line();

    assert_int_equal(l[2], ':');
    assert_int_equal(l[8], '.');
    assert_int_equal(l[12], ' ');
    return l + 13;
}

static void a_json_line_has_its_fields(void **state)
{
    (void)state;

    log_setup(LOG_INFO, LOG_JSON, ends[1]);
    log_info("reload", "%d APIs", 3);
    assert_string_equal(json_line(), "\"level\":\"info\",\"area\":\"reload\","
                                     "\"message\":\"3 APIs\"}\n");
}

static void a_call_names_its_activity(void **state)
{
    (void)state;

    log_setup(LOG_INFO, LOG_JSON, ends[1]);
    log_call(LOG_WARN, "upstream", STR("abc-1"), "gone");
    assert_string_equal(json_line(),
                        "\"level\":\"warn\",\"area\":\"upstream\","
                        "\"message\":\"gone\",\"activityid\":\"abc-1\"}\n");
    log_setup(LOG_INFO, LOG_TEXT, ends[1]);
    log_call(LOG_WARN, "upstream", STR("abc-1"), "gone");
    assert_string_equal(text_line(), "warn  upstream: gone activityid=abc-1\n");
}

static void text_lines_are_aligned(void **state)
{
    (void)state;

    log_setup(LOG_DEBUG, LOG_TEXT, ends[1]);
    log_info("area", "message");
    assert_string_equal(text_line(), "info  area: message\n");
    log_error("area", "message");
    assert_string_equal(text_line(), "error area: message\n");
    log_debug("area", "message");
    assert_string_equal(text_line(), "debug area: message\n");
}

static void a_pipe_gets_json_by_itself(void **state)
{
    (void)state;

    log_setup(LOG_INFO, LOG_AUTO, ends[1]);
    log_info("area", "message");
    assert_int_equal(line()[0], '{');
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;

    log_setup(LOG_WARN, LOG_TEXT, ends[1]);
    assert_false(log_wants(LOG_INFO));
    assert_true(log_wants(LOG_WARN));
    log_debug("area", "no");
    log_info("area", "no");
    log_warn("area", "yes");
    assert_string_equal(text_line(), "warn  area: yes\n");
}

static void values_cannot_leave_their_place_in_json(void **state)
{
    (void)state;

    log_setup(LOG_INFO, LOG_JSON, ends[1]);
    log_info("area", "%s", "a\"b\\c\nd\re\tf\x01g\x7fh\xc2\x9bi");
    assert_non_null(strstr(json_line(), "\"a\\\"b\\\\c\\nd\\re\\tf\\u0001g"
                                        "\\u007fh\\u009bi\""));
}

static void values_cannot_leave_their_line_in_text(void **state)
{
    (void)state;

    log_setup(LOG_INFO, LOG_TEXT, ends[1]);
    log_info("area", "%s", "a\n08:00:00.000 error forged\x1b[2J \"q\" \\");
    assert_string_equal(text_line(),
                        "info  area: a\\n08:00:00.000 error forged\\u001b[2J "
                        "\"q\" \\\n");
}

static void what_is_not_utf8_is_replaced(void **state)
{
    (void)state;

    log_setup(LOG_INFO, LOG_JSON, ends[1]);
    log_info("area", "%s", "gr\xc3\xbc\xff\xed\xa0\x80.");
    assert_non_null(strstr(json_line(),
                           "\"gr\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                           "\xef\xbf\xbd.\""));
}

static void an_activity_id_is_escaped_and_bounded(void **state)
{
    char id[1000];
    const char *l;
    (void)state;

    memset(id, '"', sizeof(id));
    log_setup(LOG_INFO, LOG_JSON, ends[1]);
    log_call(LOG_INFO, "area", str_from(id, sizeof(id)), "m");
    l = json_line();
    assert_non_null(strstr(l, "\"activityid\":\"\\\"\\\""));
    assert_true(strlen(l) < 400);
    assert_string_equal(l + strlen(l) - 3, "\"}\n");
}

/* Lengths around the end of a line, so that every cut is tried. */
static void long_lines_are_cut(enum log_format form, const char *unit)
{
    static char text[20000];

    log_setup(LOG_INFO, form, ends[1]);
    for (size_t shift = 0; shift < 8; shift++) {
        size_t n = shift;

        memset(text, 'x', shift);
        while (n + strlen(unit) < sizeof(text)) {
            memcpy(text + n, unit, strlen(unit));
            n += strlen(unit);
        }
        text[n] = '\0';
        log_call(LOG_INFO, "area", STR("abc"), "%s", text);
        line();
        assert_in_range(strlen(got), 8192 - 12, 8192);
        assert_non_null(strstr(got, "\xe2\x80\xa6"));
        assert_non_null(strstr(got, "abc"));
        assert_null(strstr(got, "\xef\xbf\xbd"));
    }
}

static void long_lines_are_cut_between_characters(void **state)
{
    (void)state;

    long_lines_are_cut(LOG_JSON, "x");
    long_lines_are_cut(LOG_JSON, "\"");
    long_lines_are_cut(LOG_JSON, "\x01");
    long_lines_are_cut(LOG_JSON, "\xf0\x9f\x98\x80");
    long_lines_are_cut(LOG_TEXT, "\xe2\x82\xac");
}

static void logging_leaves_errno_alone(void **state)
{
    (void)state;

    log_setup(LOG_INFO, LOG_AUTO, ends[1]);
    errno = ENOENT;
    log_info("area", "%m");
    assert_int_equal(errno, ENOENT);
    assert_non_null(strstr(json_line(), "No such file"));
    log_setup(LOG_INFO, LOG_JSON, -1);
    log_info("area", "nobody reads this");
    assert_int_equal(errno, ENOENT);
}

static void a_broken_invariant_says_what_and_aborts(void **state)
{
    int status = 0;
    pid_t child;
    (void)state;

    log_setup(LOG_ERROR, LOG_TEXT, ends[1]);
    must(1 + 1 == 2);
    child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        must(1 + 1 == 3);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text_line(), "test_log.c"));
    assert_non_null(strstr(got, "1 + 1 == 3"));
}

#define with_pipe(test) \
    cmocka_unit_test_setup_teardown(test, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_pipe(a_json_line_has_its_fields),
        with_pipe(a_call_names_its_activity),
        with_pipe(text_lines_are_aligned),
        with_pipe(a_pipe_gets_json_by_itself),
        with_pipe(what_is_below_the_level_is_not_written),
        with_pipe(values_cannot_leave_their_place_in_json),
        with_pipe(values_cannot_leave_their_line_in_text),
        with_pipe(what_is_not_utf8_is_replaced),
        with_pipe(an_activity_id_is_escaped_and_bounded),
        with_pipe(long_lines_are_cut_between_characters),
        with_pipe(logging_leaves_errno_alone),
        with_pipe(a_broken_invariant_says_what_and_aborts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
