/* cmd_deny.c - making, showing and taking back deny rules.
 *
 * They work on the file of rules in the gateway's state folder, or the one its
 * settings name, whether or not a gateway runs; one that runs sees the change
 * within a second.
 */
#include <stdio.h>

#include "base/clock.h"
#include "cmd/local_tool.h"
#include "gateway/deny/rules.h"

#define PLACE                                                             \
    { .name = "file",                                                     \
      .value = "FILE",                                                    \
      .help = "the file of rules. Default: gateway.access.deny_file of\n" \
              "the settings, else deny.yaml in the state folder" },       \
        LOCAL_TOOL_PLACE

static const struct option add_options[] = {
    { .name = "api",
      .value = "NAME[:VERSION]",
      .repeats = true,
      .help = "calls of this API (or /context); * stands for anything" },
    { .name = "application",
      .value = "NAME",
      .repeats = true,
      .help = "calls of this application: of a token or key" },
    { .name = "user",
      .value = "NAME",
      .repeats = true,
      .help = "calls on behalf of this user, as *@example.com" },
    { .name = "address",
      .value = "ADDRESS",
      .repeats = true,
      .help = "calls from this address or range: 10.0.0.0/8,\n"
              "10.0.0.1-10.0.0.9" },
    { .name = "not-address",
      .value = "ADDRESS",
      .repeats = true,
      .help = "calls from anywhere else" },
    { .name = "country",
      .value = "CODE",
      .repeats = true,
      .help = "calls from this country, as two letters" },
    { .name = "not-country",
      .value = "CODE",
      .repeats = true,
      .help = "calls from anywhere else, or nobody knows where" },
    { .name = "method",
      .value = "METHOD",
      .repeats = true,
      .help = "calls with this method" },
    { .name = "path",
      .value = "PATTERN",
      .repeats = true,
      .help = "calls of these paths: /shop/admin/*" },
    { .name = "header",
      .value = "NAME[=PATTERN]",
      .repeats = true,
      .help = "calls with this field" },
    { .name = "for",
      .value = "TIME",
      .help = "how long from now: 10m, 30d. Default: until it is removed" },
    { .name = "note", .value = "TEXT", .help = "why; `explain` shows it" },
    PLACE,
    { 0 },
};

static const struct option place_options[] = { PLACE, { 0 } };

static int find_file(const struct cmd *cmd, struct arena *a,
                     const struct arguments *args, struct str *out)
{
    struct settings settings;
    struct str folder;
    int status;

    *out = str_z(arguments_get(args, "file", NULL));
    if (out->len)
        return CMD_OK;
    status = local_tool_folder(cmd, a, args, &settings, &folder);
    if (status != CMD_OK)
        return status;
    *out = settings.gateway.access.deny_file;
    if (!out->len)
        *out = arena_printf(a, "%.*s/deny.yaml", STR_ARG(folder));
    return CMD_OK;
}

/* ---- add ---- */

/* Eight letters and digits that nobody mistakes for each other. */
static struct str new_id(struct arena *a)
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    unsigned char bytes[8];
    char *id = arena_raw(a, sizeof(bytes));

    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        id[i] = letters[bytes[i] % 32];
    return str_from(id, sizeof(bytes));
}

static int read_rule(const struct cmd *cmd, struct arena *a,
                     const struct arguments *args, struct deny_rule *rule)
{
    char until[25];
    uint64_t ms = 0;

    *rule = (struct deny_rule) {
        .id = new_id(a),
        .apis = arguments_all(a, args, "api"),
        .applications = arguments_all(a, args, "application"),
        .users = arguments_all(a, args, "user"),
        .addresses = arguments_all(a, args, "address"),
        .not_addresses = arguments_all(a, args, "not-address"),
        .countries = arguments_all(a, args, "country"),
        .not_countries = arguments_all(a, args, "not-country"),
        .methods = arguments_all(a, args, "method"),
        .paths = arguments_all(a, args, "path"),
        .headers = arguments_all(a, args, "header"),
        .note = str_z(arguments_get(args, "note", NULL)),
        .enabled = true,
    };
    if (arguments_time(args, "for", 100 * 366, &ms))
        return cmd_usage(cmd, "--for wants a time, as 10m or 30d, got \"%s\"",
                         arguments_get(args, "for", NULL));
    if (!ms)
        return CMD_OK;
    clock_iso8601(clock_wall_us() + ms * 1000, until);
    rule->until = arena_printf(a, "%.19sZ", until);
    return CMD_OK;
}

static int run_add(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    struct deny_rule rule;
    struct problems ps;
    struct str file;
    int status = read_rule(cmd, a, args, &rule);

    problems_init(&ps, a);
    if (status == CMD_OK)
        status = find_file(cmd, a, args, &file);
    if (status == CMD_OK && deny_file_add(file, &rule, &ps))
        status = cmd_problems(&ps);
    if (status == CMD_OK) {
        printf("%.*s\n", STR_ARG(rule.id));
        fflush(stdout);
        fprintf(stderr,
                "The rule holds within a second. To take it back: tollgate "
                "deny remove %.*s\n",
                STR_ARG(rule.id));
    }
    arena_free(a);
    return status;
}

const struct cmd cmd_deny_add = {
    .name = "deny add",
    .summary = "block calls by API, application, user, address, path or field",
    .help = "A rule holds for calls that meet all of its parts; of a part that "
            "is given\nseveral times one must fit. The caller gets 403 and "
            "900805. Prints the rule's id.",
    .options = add_options,
    .run = run_add,
};

/* ---- list ---- */

static const char *state_of(const struct deny_rule *rule, uint64_t now_s)
{
    return !rule->enabled                            ? "disabled"
           : rule->until_s && now_s >= rule->until_s ? "over"
                                                     : "blocks";
}

static int run_list(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    uint64_t now_s = clock_wall_us() / 1000000;
    struct deny_rules *rules = NULL;
    struct problems ps;
    struct str file;
    int status = find_file(cmd, a, args, &file);

    problems_init(&ps, a);
    if (status == CMD_OK && deny_rules_load(file, &ps, &rules))
        status = cmd_problems(&ps);
    for (size_t i = 0; rules && i < deny_rules_count(rules); i++) {
        const struct deny_rule *rule = deny_rules_at(rules, i);

        printf("%-8s  %.*s\n", state_of(rule, now_s), STR_ARG(rule->text));
    }
    if (rules && !deny_rules_count(rules))
        fprintf(stderr,
                "There are no rules in %.*s. `tollgate deny add` makes one.\n",
                STR_ARG(file));
    deny_rules_free(rules);
    arena_free(a);
    return status;
}

const struct cmd cmd_deny_list = {
    .name = "deny list",
    .summary = "the deny rules there are",
    .options = place_options,
    .run = run_list,
};

/* ---- remove ---- */

static int remove_one(const struct cmd *cmd, struct str file, struct str id,
                      struct problems *ps)
{
    enum err e = deny_file_remove(file, id, ps);

    if (e == ERR_NOT_FOUND)
        return cmd_failed(cmd,
                          "there is no rule %.*s in %.*s; `tollgate deny list` "
                          "shows the ids",
                          STR_ARG(str_head(id, 64)), STR_ARG(file));
    return e ? cmd_problems(ps) : CMD_OK;
}

static int run_remove(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    struct problems ps;
    struct str file;
    int status;

    problems_init(&ps, a);
    if (!args->word_count)
        status = cmd_usage(cmd, "name the rules to take back, by their ids");
    else
        status = find_file(cmd, a, args, &file);
    for (size_t i = 0; i < args->word_count && status == CMD_OK; i++)
        status = remove_one(cmd, file, str_z(args->words[i]), &ps);
    arena_free(a);
    return status;
}

const struct cmd cmd_deny_remove = {
    .name = "deny remove",
    .words = "ID…",
    .summary = "take deny rules back",
    .options = place_options,
    .run = run_remove,
};
