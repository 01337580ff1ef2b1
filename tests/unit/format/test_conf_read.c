/* test_conf_read.c - settings from YAML and the environment, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "format/conf_read.h"
#include "format/yaml.h"

struct tls {
    struct str certificate;
    struct str key;
};

struct listener {
    struct str address;
    struct tls tls;
    uint64_t backlog;
};

struct api {
    struct str path;
    struct str context;
};

struct limits {
    uint64_t head_size;
    uint64_t idle_ms;
};

struct settings {
    bool drain;
    uint64_t threads;
    uint64_t stack;
    struct str name;
    int errors;
    struct conf_strings proxies;
    struct limits limits;
    struct conf_list listeners;
    struct conf_list apis;
};

static const struct conf_field tls_fields[] = {
    { .name = "certificate",
      .type = CONF_STRING,
      .at = offsetof(struct tls, certificate),
      .required = true,
      .help = "PEM file." },
    { .name = "key",
      .type = CONF_STRING,
      .at = offsetof(struct tls, key),
      .required = true,
      .help = "PEM file." },
    { 0 },
};

static const struct conf_field listener_fields[] = {
    { .name = "address",
      .type = CONF_STRING,
      .at = offsetof(struct listener, address),
      .required = true,
      .help = "Where to listen." },
    { .name = "tls",
      .type = CONF_SECTION,
      .at = offsetof(struct listener, tls),
      .fields = tls_fields,
      .help = "Makes it HTTPS." },
    { .name = "backlog",
      .type = CONF_U64,
      .at = offsetof(struct listener, backlog),
      .def = "511",
      .help = "Of listen(2)." },
    { 0 },
};

static const struct conf_field api_fields[] = {
    { .name = "path",
      .type = CONF_STRING,
      .at = offsetof(struct api, path),
      .required = true,
      .help = "File or folder." },
    { .name = "context",
      .type = CONF_STRING,
      .at = offsetof(struct api, context),
      .help = "Instead of the document's." },
    { 0 },
};

static const struct conf_field limits_fields[] = {
    { .name = "head_size",
      .type = CONF_SIZE,
      .at = offsetof(struct limits, head_size),
      .min = 1024,
      .max = 1024 * 1024,
      .def = "64k",
      .help = "Bytes of a head." },
    { .name = "idle",
      .type = CONF_DURATION_MS,
      .at = offsetof(struct limits, idle_ms),
      .min = 1000,
      .def = "75s",
      .help = "Time | without\na call." },
    { 0 },
};

static const char *const errors_names[] = { "wso2", "microgateway", NULL };

static const struct conf_field fields[] = {
    { .name = "drain",
      .type = CONF_BOOL,
      .at = offsetof(struct settings, drain),
      .def = "true",
      .help = "Finish what runs." },
    { .name = "threads",
      .type = CONF_U64,
      .at = offsetof(struct settings, threads),
      .min = 1,
      .max = 64,
      .help = "As many as there are processors when not set." },
    { .name = "stack",
      .type = CONF_SIZE,
      .at = offsetof(struct settings, stack),
      .help = "Of a thread." },
    { .name = "name",
      .type = CONF_STRING,
      .at = offsetof(struct settings, name),
      .def = "gw",
      .help = "In Via." },
    { .name = "errors",
      .type = CONF_ENUM,
      .at = offsetof(struct settings, errors),
      .choices = errors_names,
      .help = "Form of bodies." },
    { .name = "trusted_proxies",
      .type = CONF_STRINGS,
      .at = offsetof(struct settings, proxies),
      .def = "127.0.0.1, ::1",
      .help = "Whose headers count." },
    { .name = "limits",
      .type = CONF_SECTION,
      .at = offsetof(struct settings, limits),
      .fields = limits_fields,
      .help = "Ceilings." },
    { .name = "listeners",
      .type = CONF_SECTIONS,
      .at = offsetof(struct settings, listeners),
      .fields = listener_fields,
      .item_size = sizeof(struct listener),
      .scalar_field = "address",
      .def = ":8280",
      .help = "Open doors." },
    { .name = "apis",
      .type = CONF_SECTIONS,
      .at = offsetof(struct settings, apis),
      .fields = api_fields,
      .item_size = sizeof(struct api),
      .scalar_field = "path",
      .help = "What is served." },
    { 0 },
};

struct fixture {
    struct arena *arena;
    struct problems problems;
    struct settings s;
};

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f.s, 0x5a, sizeof(f.s)); /* nothing may depend on zeroes */
    f.arena = arena_new();
    problems_init(&f.problems, f.arena);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    arena_free(f->arena);
    return 0;
}

static enum err read_text(struct fixture *f, const char *yaml)
{
    struct json *tree = NULL;
    struct json_error error = { 0 };

    if (yaml)
        assert_int_equal(yaml_parse(f->arena, str_z(yaml), &json_default_limits,
                                    &tree, &error),
                         ERR_OK);
    return conf_read(f->arena, fields, tree, STR("tollgate.yaml"), "gateway.",
                     "TOLLGATE_", &f->s, &f->problems);
}

static void reads(struct fixture *f, const char *yaml)
{
    enum err e = read_text(f, yaml);

    for (struct problem *p = f->problems.first; p; p = p->next)
        print_error("%s\n", problem_line(f->arena, p).p);
    assert_int_equal(e, ERR_OK);
    assert_int_equal(f->problems.errors, 0);
}

/* Exactly one problem, in these words. */
static void refuses(struct fixture *f, const char *yaml, const char *line)
{
    problems_init(&f->problems, f->arena);
    assert_int_equal(read_text(f, yaml), ERR_INVALID);
    assert_non_null(f->problems.first);
    assert_string_equal(problem_line(f->arena, f->problems.first).p, line);
    assert_int_equal(f->problems.errors, 1);
}

static const struct listener *listener(const struct settings *s, size_t n)
{
    assert_true(n < s->listeners.count);
    return (const struct listener *)s->listeners.items + n;
}

static const struct api *api(const struct settings *s, size_t n)
{
    assert_true(n < s->apis.count);
    return (const struct api *)s->apis.items + n;
}

static void assert_defaults(const struct settings *s)
{
    assert_true(s->drain);
    assert_int_equal(s->threads, 0);
    assert_int_equal(s->stack, 0);
    assert_string_equal(s->name.p, "gw");
    assert_int_equal(s->errors, 0);
    assert_int_equal(s->proxies.count, 2);
    assert_string_equal(s->proxies.items[1].p, "::1");
    assert_int_equal(s->limits.head_size, 65536);
    assert_int_equal(s->limits.idle_ms, 75000);
    assert_int_equal(s->listeners.count, 1);
    assert_string_equal(listener(s, 0)->address.p, ":8280");
    assert_int_equal(listener(s, 0)->backlog, 511);
    assert_int_equal(s->apis.count, 0);
}

static void without_a_file_everything_has_its_default(void **state)
{
    struct fixture *f = *state;

    reads(f, NULL);
    assert_defaults(&f->s);
}

static void a_name_with_nothing_behind_it_is_a_default(void **state)
{
    struct fixture *f = *state;

    reads(f, "threads:\nname:\nlimits:\nlisteners:\ntrusted_proxies:\n");
    assert_defaults(&f->s);
}

static void every_type_is_read(void **state)
{
    struct fixture *f = *state;

    reads(f, "drain: false\n"
             "threads: 8\n"
             "stack: 1m\n"
             "name: \"a b\"\n"
             "errors: microgateway\n"
             "trusted_proxies: [10.0.0.0/8, 192.168.1.1]\n"
             "limits:\n"
             "  head_size: 4096\n"
             "  idle: 250s\n"
             "listeners:\n"
             "  - address: 8280\n"
             "  - address: \":8243\"\n"
             "    tls: {certificate: c.pem, key: k.pem}\n"
             "    backlog: 10\n"
             "apis:\n"
             "  - petstore.yaml\n"
             "  - {path: more, context: /more}\n");
    assert_false(f->s.drain);
    assert_int_equal(f->s.threads, 8);
    assert_int_equal(f->s.stack, 1048576);
    assert_string_equal(f->s.name.p, "a b");
    assert_int_equal(f->s.errors, 1);
    assert_int_equal(f->s.proxies.count, 2);
    assert_string_equal(f->s.proxies.items[0].p, "10.0.0.0/8");
    assert_int_equal(f->s.limits.head_size, 4096);
    assert_int_equal(f->s.limits.idle_ms, 250000);
    assert_int_equal(f->s.listeners.count, 2);
    assert_string_equal(listener(&f->s, 0)->address.p, "8280");
    assert_null(listener(&f->s, 0)->tls.key.p);
    assert_string_equal(listener(&f->s, 1)->tls.key.p, "k.pem");
    assert_int_equal(listener(&f->s, 1)->backlog, 10);
    assert_int_equal(f->s.apis.count, 2);
    assert_string_equal(api(&f->s, 0)->path.p, "petstore.yaml");
    assert_null(api(&f->s, 0)->context.p);
    assert_string_equal(api(&f->s, 1)->context.p, "/more");
}

static void an_unknown_key_is_answered_with_the_nearest(void **state)
{
    struct fixture *f = *state;

    refuses(f, "name: x\n\nthread: 3\n",
            "tollgate.yaml:3: unknown key gateway.thread; did you mean "
            "threads?");
    refuses(f, "limits:\n  headsize: 2k\n",
            "tollgate.yaml:2: unknown key gateway.limits.headsize; did you "
            "mean head_size?");
    refuses(f, "listeners:\n  - address: a\n    adress: b\n",
            "tollgate.yaml:3: unknown key gateway.listeners[0].adress; did "
            "you mean address?");
    refuses(f, "colour: red\n", "tollgate.yaml:1: unknown key gateway.colour");
}

static void bounds_are_told_with_what_was_found(void **state)
{
    struct fixture *f = *state;

    refuses(f, "limits:\n  head_size: 2g\n",
            "tollgate.yaml:2: gateway.limits.head_size must be between 1k and "
            "1m, got \"2g\"");
    assert_int_equal(f->s.limits.head_size, 65536);
    refuses(f, "limits:\n  head_size: 1023\n",
            "tollgate.yaml:2: gateway.limits.head_size must be between 1k and "
            "1m, got \"1023\"");
    refuses(f, "threads: 65\n",
            "tollgate.yaml:1: gateway.threads must be "
            "between 1 and 64, got \"65\"");
    refuses(f, "threads: 0\n",
            "tollgate.yaml:1: gateway.threads must be "
            "between 1 and 64, got \"0\"");
    refuses(f, "threads: 99999999999999999999\n",
            "tollgate.yaml:1: gateway.threads must be between 1 and 64, got "
            "\"99999999999999999999\"");
    refuses(f, "limits: {idle: 999ms}\n",
            "tollgate.yaml:1: gateway.limits.idle must be at least 1s, got "
            "\"999ms\"");
}

static void bounds_themselves_are_allowed(void **state)
{
    struct fixture *f = *state;

    reads(f, "limits: {head_size: 1m, idle: 1s}\nthreads: 64\n");
    reads(f, "limits: {head_size: 1k, idle: 9999999d}\nthreads: 1\n");
}

static void a_wrong_form_says_what_was_expected(void **state)
{
    struct fixture *f = *state;

    refuses(f, "threads: many\n",
            "tollgate.yaml:1: gateway.threads must be a whole number between "
            "1 and 64, got \"many\"");
    refuses(f, "stack: big\n",
            "tollgate.yaml:1: gateway.stack must be a size such as 4096, 64k "
            "or 10m, got \"big\"");
    refuses(f, "stack: 99999999t\n",
            "tollgate.yaml:1: gateway.stack must be a size such as 4096, 64k "
            "or 10m, got \"99999999t\"");
    refuses(f, "limits: {idle: 5}\n",
            "tollgate.yaml:1: gateway.limits.idle must be a duration such as "
            "250ms, 30s or 5m, at least 1s, got \"5\"");
    refuses(f, "drain: yes\n",
            "tollgate.yaml:1: gateway.drain must be true "
            "or false, got \"yes\"");
    refuses(f, "errors: wso3\n",
            "tollgate.yaml:1: gateway.errors must be one "
            "of wso2, microgateway, got \"wso3\"");
}

static void a_wrong_type_says_what_was_expected(void **state)
{
    struct fixture *f = *state;

    refuses(f, "threads: [1]\n",
            "tollgate.yaml:1: gateway.threads must be a whole number between "
            "1 and 64, got a list");
    refuses(f, "name: true\n",
            "tollgate.yaml:1: gateway.name must be a text, got true");
    refuses(f, "name: {a: b}\n",
            "tollgate.yaml:1: gateway.name must be a text, got a section");
    refuses(f, "limits: 5\n",
            "tollgate.yaml:1: gateway.limits must be a "
            "section of settings, got a number");
    refuses(f, "trusted_proxies: a\n",
            "tollgate.yaml:1: gateway.trusted_proxies must be a list of "
            "texts, got a text");
    refuses(f, "trusted_proxies:\n  - a\n  - [b]\n",
            "tollgate.yaml:3: gateway.trusted_proxies[1] must be a text, got "
            "a list");
    refuses(f, "apis: a.yaml\n",
            "tollgate.yaml:1: gateway.apis must be a list, got a text");
    refuses(f, "apis: [true]\n",
            "tollgate.yaml:1: gateway.apis[0] must be a "
            "text or a section of settings, got true");
    refuses(f, "[a]\n",
            "tollgate.yaml:1: gateway must be a section of "
            "settings (name: value), got a list");
}

static void what_is_required_is_missed(void **state)
{
    struct fixture *f = *state;

    refuses(f, "listeners:\n  - backlog: 1\n",
            "tollgate.yaml:2: gateway.listeners[0].address is missing");
    refuses(f, "listeners:\n  - address: a\n    tls:\n      key: k\n",
            "tollgate.yaml:3: gateway.listeners[0].tls.certificate is "
            "missing");
}

static void all_problems_are_found_in_one_run(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(read_text(f, "threads: x\nlimits: {idle: x, a: 1}\n"
                                  "nam: x\n"),
                     ERR_INVALID);
    assert_int_equal(f->problems.errors, 4);
    assert_defaults(&f->s);
}

static void the_environment_wins(void **state)
{
    struct fixture *f = *state;

    setenv("TOLLGATE_GATEWAY_THREADS", "3", 1);
    setenv("TOLLGATE_GATEWAY_DRAIN", "false", 1);
    setenv("TOLLGATE_GATEWAY_NAME", "${HOME}", 1);
    setenv("TOLLGATE_GATEWAY_ERRORS", "microgateway", 1);
    setenv("TOLLGATE_GATEWAY_LIMITS_HEAD_SIZE", "2k", 1);
    setenv("TOLLGATE_GATEWAY_TRUSTED_PROXIES", "a, b ,c", 1);
    setenv("TOLLGATE_GATEWAY_LISTENERS", "ignored", 1);
    reads(f, "threads: 8\nlimits: {head_size: 4k, idle: 2s}\n");
    unsetenv("TOLLGATE_GATEWAY_THREADS");
    unsetenv("TOLLGATE_GATEWAY_DRAIN");
    unsetenv("TOLLGATE_GATEWAY_NAME");
    unsetenv("TOLLGATE_GATEWAY_ERRORS");
    unsetenv("TOLLGATE_GATEWAY_LIMITS_HEAD_SIZE");
    unsetenv("TOLLGATE_GATEWAY_TRUSTED_PROXIES");
    unsetenv("TOLLGATE_GATEWAY_LISTENERS");
    assert_int_equal(f->s.threads, 3);
    assert_false(f->s.drain);
    assert_string_equal(f->s.name.p, "${HOME}");
    assert_int_equal(f->s.errors, 1);
    assert_int_equal(f->s.limits.head_size, 2048);
    assert_int_equal(f->s.limits.idle_ms, 2000);
    assert_int_equal(f->s.proxies.count, 3);
    assert_string_equal(f->s.proxies.items[1].p, "b");
}

static void a_bad_variable_is_named(void **state)
{
    struct fixture *f = *state;

    setenv("TOLLGATE_GATEWAY_LIMITS_IDLE", "0s", 1);
    refuses(f, "threads: 8\n",
            "TOLLGATE_GATEWAY_LIMITS_IDLE must be at "
            "least 1s, got \"0s\"");
    unsetenv("TOLLGATE_GATEWAY_LIMITS_IDLE");
}

static void an_empty_variable_empties_a_list(void **state)
{
    struct fixture *f = *state;

    setenv("TOLLGATE_GATEWAY_TRUSTED_PROXIES", "", 1);
    reads(f, "trusted_proxies: [a]\n");
    unsetenv("TOLLGATE_GATEWAY_TRUSTED_PROXIES");
    assert_int_equal(f->s.proxies.count, 0);
}

static void variables_are_put_into_texts(void **state)
{
    struct fixture *f = *state;

    setenv("CONF_TEST_A", "eight", 1);
    setenv("CONF_TEST_N", "8", 1);
    setenv("CONF_TEST_EMPTY", "", 1);
    unsetenv("CONF_TEST_UNSET");
    reads(f, "name: \"<${CONF_TEST_A}${CONF_TEST_UNSET:-, nine}>\"\n"
             "threads: ${CONF_TEST_N}\n"
             "drain: ${CONF_TEST_UNSET:-false}\n"
             "trusted_proxies: [\"${CONF_TEST_A}\", \"$$${CONF_TEST_N}\"]\n"
             "apis: [\"${CONF_TEST_A}.yaml\", \"$5 $${x} a$\",\n"
             "  \"${CONF_TEST_EMPTY}|${CONF_TEST_EMPTY:-d}\"]\n");
    assert_string_equal(f->s.name.p, "<eight, nine>");
    assert_int_equal(f->s.threads, 8);
    assert_false(f->s.drain);
    assert_string_equal(f->s.proxies.items[0].p, "eight");
    assert_string_equal(f->s.proxies.items[1].p, "$8");
    assert_string_equal(api(&f->s, 0)->path.p, "eight.yaml");
    assert_string_equal(api(&f->s, 1)->path.p, "$5 ${x} a$");
    assert_string_equal(api(&f->s, 2)->path.p, "|d");
}

static void a_variable_that_is_not_set_is_a_problem(void **state)
{
    struct fixture *f = *state;

    unsetenv("CONF_TEST_UNSET");
    refuses(f, "\nname: a${CONF_TEST_UNSET}\n",
            "tollgate.yaml:2: gateway.name: the environment variable "
            "CONF_TEST_UNSET is not set; set it or write "
            "${CONF_TEST_UNSET:-default}");
    refuses(f, "name: \"${A-B}\"\n",
            "tollgate.yaml:1: gateway.name: \"${A-B}\" names no variable; "
            "write ${NAME} or ${NAME:-default}, or $$ for a dollar");
    refuses(f, "name: \"a ${HOME\"\n",
            "tollgate.yaml:1: gateway.name: \"${\" without \"}\"; write $$ "
            "for a dollar");
}

static void texts_do_not_grow_without_end(void **state)
{
    struct fixture *f = *state;
    static char big[60000];

    memset(big, 'x', sizeof(big) - 1);
    setenv("CONF_TEST_BIG", big, 1);
    refuses(f, "name: ${CONF_TEST_BIG}${CONF_TEST_BIG}\n",
            "tollgate.yaml:1: gateway.name: longer than 64k with its "
            "variables");
    unsetenv("CONF_TEST_BIG");
}

static const char *show(struct fixture *f, const struct settings *s,
                        unsigned indent)
{
    struct buf b;
    const char *text;

    buf_init(&b, 100000);
    assert_int_equal(conf_show(&b, fields, s, indent), ERR_OK);
    text = arena_copy(f->arena, buf_view(&b)).p;
    buf_done(&b);
    return text;
}

static void what_is_shown_is_yaml(void **state)
{
    struct fixture *f = *state;

    reads(f, "apis: [a.yaml]\nlisteners: []\nstack: 64k\n");
    assert_string_equal(show(f, &f->s, 2),
                        "  drain: true\n"
                        "  threads:\n"
                        "  stack: 64k\n"
                        "  name: \"gw\"\n"
                        "  errors: \"wso2\"\n"
                        "  trusted_proxies: [\"127.0.0.1\", \"::1\"]\n"
                        "  limits:\n"
                        "    head_size: 64k\n"
                        "    idle: 75s\n"
                        "  listeners: []\n"
                        "  apis:\n"
                        "    - path: \"a.yaml\"\n"
                        "      context:\n");
}

static void what_is_shown_reads_back(void **state)
{
    struct fixture *f = *state;
    const char *first;

    reads(f, "drain: false\n"
             "threads: 8\n"
             "name: \"q\\\" b\\\\ $$ $${x} \\n\\t\\x7f \\u0085 \\u2028 "
             "\\ufeff gr\\u00fc\\U0001f600 # : - ' \"\n"
             "trusted_proxies: []\n"
             "errors: microgateway\n"
             "limits: {head_size: 1025, idle: 1001ms}\n"
             "listeners:\n"
             "  - address: a\n"
             "    tls: {certificate: \"\", key: \"- x\"}\n"
             "  - b\n"
             "apis: [{path: x, context: \"\"}]\n");
    first = show(f, &f->s, 0);
    memset(&f->s, 0x5a, sizeof(f->s));
    reads(f, first);
    assert_string_equal(show(f, &f->s, 0), first);
    assert_string_equal(f->s.name.p,
                        "q\" b\\ $ ${x} \n\t\x7f \xc2\x85 \xe2\x80\xa8 "
                        "\xef\xbb\xbf gr\xc3\xbc\xf0\x9f\x98\x80 # : - ' ");
    assert_int_equal(f->s.limits.idle_ms, 1001);
    assert_int_equal(f->s.proxies.count, 0);
    assert_string_equal(listener(&f->s, 0)->tls.key.p, "- x");
    assert_non_null(listener(&f->s, 0)->tls.certificate.p);
    assert_string_equal(api(&f->s, 0)->context.p, "");
}

static void defaults_read_back_too(void **state)
{
    struct fixture *f = *state;
    const char *first;

    reads(f, NULL);
    first = show(f, &f->s, 0);
    reads(f, first);
    assert_string_equal(show(f, &f->s, 0), first);
}

static void a_full_buffer_is_said(void **state)
{
    struct fixture *f = *state;
    struct buf b;

    reads(f, NULL);
    buf_init(&b, 20);
    assert_int_equal(conf_show(&b, fields, &f->s, 0), ERR_LIMIT);
    assert_int_equal(conf_reference(&b, fields, "gateway."), ERR_LIMIT);
    buf_done(&b);
}

static void the_manual_has_every_field(void **state)
{
    struct fixture *f = *state;
    struct buf b;
    const char *text;

    buf_init(&b, 100000);
    assert_int_equal(conf_reference(&b, fields, "gateway."), ERR_OK);
    text = arena_copy(f->arena, buf_view(&b)).p;
    buf_done(&b);
    assert_ptr_equal(strstr(text, "## gateway\n\n| Key | Type |"), text);
    assert_non_null(strstr(text, "| `threads` | number |  | 1 to 64 | As "));
    assert_non_null(strstr(text, "| `drain` | boolean | `true` | `true`, "
                                 "`false` | Finish what runs. |\n"));
    assert_non_null(strstr(text, "| `errors` | choice | `wso2` | `wso2`, "
                                 "`microgateway` | Form of bodies. |\n"));
    assert_non_null(strstr(text, "\n## gateway.limits\n\n"));
    assert_non_null(strstr(text, "| `idle` | duration | `75s` | at least 1s "
                                 "| Time \\| without a call. |\n"));
    assert_non_null(strstr(text, "\n## gateway.listeners[].tls\n\n"));
    assert_non_null(strstr(text, "| `key` | text | required |  | PEM file. "
                                 "|\n"));
    assert_non_null(strstr(text, "this `path`."));
}

#define a_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(without_a_file_everything_has_its_default),
        a_test(a_name_with_nothing_behind_it_is_a_default),
        a_test(every_type_is_read),
        a_test(an_unknown_key_is_answered_with_the_nearest),
        a_test(bounds_are_told_with_what_was_found),
        a_test(bounds_themselves_are_allowed),
        a_test(a_wrong_form_says_what_was_expected),
        a_test(a_wrong_type_says_what_was_expected),
        a_test(what_is_required_is_missed),
        a_test(all_problems_are_found_in_one_run),
        a_test(the_environment_wins),
        a_test(a_bad_variable_is_named),
        a_test(an_empty_variable_empties_a_list),
        a_test(variables_are_put_into_texts),
        a_test(a_variable_that_is_not_set_is_a_problem),
        a_test(texts_do_not_grow_without_end),
        a_test(what_is_shown_is_yaml),
        a_test(what_is_shown_reads_back),
        a_test(defaults_read_back_too),
        a_test(a_full_buffer_is_said),
        a_test(the_manual_has_every_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
