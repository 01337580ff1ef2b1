/* test_settings.c - tollgate.yaml: defaults, paths, rules between settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "format/conf_read.h"
#include "gateway/settings.h"

static struct arena *arena;
static struct problems ps;
static struct settings s;
static char file[64];

static enum err read_yaml(const char *yaml)
{
    FILE *f = fopen(file, "we");

    assert_non_null(f);
    fputs(yaml, f);
    fclose(f);
    problems_init(&ps, arena);
    return settings_read(arena, str_z(file), &s, &ps);
}

/* The line and the beginning of the only problem. */
static void assert_refused(const char *yaml, uint32_t line, const char *text)
{
    assert_int_equal(read_yaml(yaml), ERR_INVALID);
    assert_int_equal(ps.errors, 1);
    assert_int_equal(ps.first->line, line);
    assert_true(str_starts(ps.first->text, str_z(text)));
}

static void nothing_is_needed(void **state)
{
    (void)state;

    problems_init(&ps, arena);
    assert_int_equal(settings_read(arena, STR_NULL, &s, &ps), ERR_OK);
    assert_true(s.gateway.limits.head_size == 32768);
    assert_true(s.gateway.timeouts.idle_ms == 60000);
    assert_true(s.gateway.upstreams.idle_ms == 5000);
    assert_true(str_is(s.gateway.admin.address, "127.0.0.1:9797"));
    assert_true(str_is(s.gateway.via, "tollgate"));
    assert_int_equal(s.gateway.cors.methods.count, 6);
    assert_true(s.gateway.cors.enabled);
    assert_int_equal(s.gateway.listeners.count, 0);
    assert_int_equal(s.log.level, LOG_INFO);
    assert_int_equal(s.gateway.security_off, 0);
}

static void an_empty_file_is_a_file(void **state)
{
    (void)state;

    assert_int_equal(read_yaml(""), ERR_OK);
    assert_int_equal(read_yaml("# all of it\n\n  # taken out\n"), ERR_OK);
}

static void short_forms_of_lists(void **state)
{
    const struct listener_conf *l;
    const struct api_conf *a;
    (void)state;

    assert_int_equal(
        read_yaml("gateway:\n"
                  "  security: off\n"
                  "  listeners: ['127.0.0.1:1', {address: ':2', "
                  "local_certificate: true}]\n"
                  "  apis: [/a.yaml, {path: /b, default: true}]\n"),
        ERR_OK);
    l = s.gateway.listeners.items;
    a = s.gateway.apis.items;
    assert_true(str_is(l[0].address, "127.0.0.1:1"));
    assert_false(l[0].local_certificate);
    assert_true(l[1].local_certificate);
    assert_true(str_is(a[0].path, "/a.yaml"));
    assert_true(a[1].default_version);
    assert_int_equal(s.gateway.security_off, 1);
}

static void relative_paths_start_from_the_file(void **state)
{
    const struct listener_conf *l;
    const struct api_conf *a;
    (void)state;

    assert_int_equal(
        read_yaml("state_dir: state\n"
                  "gateway:\n"
                  "  listeners: [{address: ':1', tls: {certificate: c.pem}}]\n"
                  "  apis: [a.yaml, /b.yaml]\n"
                  "  access_log: {file: '-'}\n"
                  "  upstreams: {tls: {ca: ca.pem}}\n"),
        ERR_OK);
    l = s.gateway.listeners.items;
    a = s.gateway.apis.items;
    assert_string_equal(s.state_dir.p, "/tmp/state");
    assert_string_equal(l->tls.certificate.p, "/tmp/c.pem");
    assert_string_equal(a[0].path.p, "/tmp/a.yaml");
    assert_string_equal(a[1].path.p, "/b.yaml");
    assert_string_equal(s.gateway.access_log.file.p, "-");
    assert_string_equal(s.gateway.upstreams.tls.ca.p, "/tmp/ca.pem");
}

static void paths_of_the_environment_start_from_here(void **state)
{
    (void)state;

    setenv("TOLLGATE_STATE_DIR", "here", 1);
    assert_int_equal(read_yaml("state_dir: there\n"), ERR_OK);
    assert_string_equal(s.state_dir.p, "here");
    unsetenv("TOLLGATE_STATE_DIR");
}

static void a_rule_names_its_line(void **state)
{
    (void)state;

    assert_refused("gateway:\n"
                   "  upstreams:\n"
                   "    health:\n"
                   "      interval: 1s\n"
                   "      timeout: 2s\n",
                   5, "gateway.upstreams.health.timeout must not be longer");
    assert_refused("gateway:\n"
                   "  cors:\n"
                   "    credentials: true\n",
                   3, "gateway.cors.credentials cannot be true while");
    assert_refused("gateway:\n"
                   "  trusted_proxies:\n"
                   "    - 10.0.0.0/8\n"
                   "    - 10.0.0.0/40\n",
                   2, "gateway.trusted_proxies must list");
    assert_refused("gateway:\n"
                   "  listeners:\n"
                   "    - :8280\n"
                   "    - address: nowhere\n",
                   4, "gateway.listeners[1].address must be an address");
    assert_refused("gateway: {user: no-such-account}\n", 1,
                   "gateway.user must be an account");
    assert_refused("gateway: {upstream: 'ftp://x'}\n", 1,
                   "gateway.upstream must be a URL");
    assert_refused("gateway: {via: 'a b'}\n", 1, "gateway.via must be");
    assert_refused("gateway: {upstreams: {suspend: 2m}}\n", 1,
                   "gateway.upstreams.suspend_max must not be shorter");
    assert_refused("gateway: {cors: {origins: [example.com]}}\n", 1,
                   "gateway.cors.origins must list origins");
    assert_refused("gateway:\n"
                   "  access_log:\n"
                   "    format: '%Z'\n",
                   3, "access_log.format: there is no token");
    assert_refused("gateway: {reply_headers: [{name: 'a:'}]}\n", 1,
                   "gateway.reply_headers[0].name must be");
}

static void replies_take_so_many_fields(void **state)
{
    char yaml[2048] = "gateway: {reply_headers: [{name: Server}";
    (void)state;

    for (int i = 0; i < 16; i++)
        strcat(yaml, ", {name: X-A, value: b}");
    strcat(yaml, "]}\n");
    assert_int_equal(read_yaml(yaml), ERR_OK);
    strcpy(strchr(yaml, ']'), ", {name: X-A, value: b}]}\n");
    assert_refused(yaml, 1,
                   "gateway.reply_headers may give a value to at "
                   "most 16 fields, got 17");
}

static void a_rule_names_its_variable(void **state)
{
    (void)state;

    setenv("TOLLGATE_GATEWAY_VIA", "a b", 1);
    assert_refused("gateway: {via: fine}\n", 0,
                   "TOLLGATE_GATEWAY_VIA must be a plain name");
    unsetenv("TOLLGATE_GATEWAY_VIA");
}

static void who_asks_for_tls_never_gets_plain(void **state)
{
    (void)state;

    assert_refused("gateway: {listeners: [{address: ':1', tls: {}}]}\n", 1,
                   "gateway.listeners[0].tls has no certificate");
    assert_refused("gateway:\n"
                   "  listeners:\n"
                   "    - address: ':1'\n"
                   "      tls: {min_version: '1.3'}\n",
                   4, "gateway.listeners[0].tls has no certificate");
    assert_refused("gateway:\n"
                   "  listeners:\n"
                   "    - address: ':1'\n"
                   "      tls: {certificate: c.pem}\n"
                   "      local_certificate: true\n",
                   5, "gateway.listeners[0].local_certificate stands beside");
    assert_int_equal(read_yaml("gateway:\n"
                               "  listeners:\n"
                               "    - address: ':1'\n"
                               "      local_certificate: true\n"
                               "      tls: {min_version: '1.3'}\n"),
                     ERR_OK);
}

static void an_address_is_listened_on_once(void **state)
{
    (void)state;

    assert_refused("gateway:\n"
                   "  listeners:\n"
                   "    - localhost:1\n"
                   "    - 127.0.0.1:1\n",
                   4, "gateway.listeners[1].address is that of");
    assert_refused("gateway:\n"
                   "  listeners: ['127.0.0.1:9797']\n",
                   2, "gateway.listeners[0].address is gateway.admin.address");
    assert_int_equal(read_yaml("gateway: {listeners: ['127.0.0.1:0', "
                               "'127.0.0.1:0']}\n"),
                     ERR_OK);
}

static void a_proxy_header_needs_somebody_to_trust(void **state)
{
    (void)state;

    assert_refused("gateway:\n"
                   "  listeners: [{address: ':1', proxy_protocol: true}]\n",
                   2, "gateway.listeners[0].proxy_protocol does nothing");
}

static void files_that_cannot_be_read_are_said(void **state)
{
    (void)state;

    problems_init(&ps, arena);
    assert_int_equal(settings_read(arena, STR("/nonexistent.yaml"), &s, &ps),
                     ERR_INVALID);
    assert_int_equal(ps.errors, 1);
    assert_refused("a: [\n", 2, "column");
}

static void what_is_shown_reads_back(void **state)
{
    struct buf first, second;
    (void)state;

    buf_init(&first, 100000);
    buf_init(&second, 100000);
    assert_int_equal(read_yaml("gateway: {listeners: [':1'], apis: [/a]}\n"),
                     ERR_OK);
    assert_int_equal(conf_show(&first, settings_fields, &s, 0), ERR_OK);
    assert_int_equal(buf_char(&first, '\0'), ERR_OK);
    assert_int_equal(read_yaml(first.p), ERR_OK);
    assert_int_equal(conf_show(&second, settings_fields, &s, 0), ERR_OK);
    assert_int_equal(buf_char(&second, '\0'), ERR_OK);
    assert_string_equal(first.p, second.p);
    buf_done(&first);
    buf_done(&second);
}

static void every_setting_is_explained(const struct conf_field *f)
{
    for (; f->name; f++) {
        assert_non_null(f->help);
        assert_true(strlen(f->help) > 10);
        if (f->fields)
            every_setting_is_explained(f->fields);
    }
}

static void the_manual_is_whole(void **state)
{
    (void)state;

    every_setting_is_explained(settings_fields);
}

static int set_up(void **state)
{
    int fd;
    (void)state;

    arena = arena_new();
    snprintf(file, sizeof(file), "/tmp/tollgate-settings-XXXXXX");
    fd = mkstemp(file);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_needed),
        cmocka_unit_test(an_empty_file_is_a_file),
        cmocka_unit_test(short_forms_of_lists),
        cmocka_unit_test(relative_paths_start_from_the_file),
        cmocka_unit_test(paths_of_the_environment_start_from_here),
        cmocka_unit_test(a_rule_names_its_line),
        cmocka_unit_test(replies_take_so_many_fields),
        cmocka_unit_test(a_rule_names_its_variable),
        cmocka_unit_test(who_asks_for_tls_never_gets_plain),
        cmocka_unit_test(an_address_is_listened_on_once),
        cmocka_unit_test(a_proxy_header_needs_somebody_to_trust),
        cmocka_unit_test(files_that_cannot_be_read_are_said),
        cmocka_unit_test(what_is_shown_reads_back),
        cmocka_unit_test(the_manual_is_whole),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
