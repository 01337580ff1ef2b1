/* cmd_config.c - looking at a configuration without serving it. */
#include "cmd/cmd.h"
#include "cmd/gateway_options.h"
#include "format/conf_read.h"
#include "gateway/gateway.h"

enum { TEXT_MAX = 256 * 1024 * 1024 };

static int print(const struct cmd *cmd, const struct buf *b, enum err e)
{
    printf("%.*s", STR_ARG(buf_view(b)));
    return e ? cmd_failed(cmd, "that is too much to show") : CMD_OK;
}

/* ---- check ---- */

static enum err load(struct arena *a, const struct gateway_flags *flags,
                     struct buf *text, struct problems *ps)
{
    struct settings s;
    enum err e = gateway_settings(a, flags, &s, ps);

    return e ? e : gateway_check(a, &s, text, ps);
}

static int check(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    struct gateway_flags flags;
    struct problems ps;
    struct buf text;
    struct str wrong;
    int status;

    problems_init(&ps, a);
    buf_init(&text, TEXT_MAX);
    if (gateway_flags(a, args, &flags, &wrong)) {
        status = cmd_usage(cmd, "%.*s", STR_ARG(wrong));
    } else if (gateway_flags_empty(&flags)) {
        status = cmd_usage(cmd, "there is nothing to check: name an OpenAPI "
                                "document, or settings with --config");
    } else {
        status = load(a, &flags, &text, &ps) || ps.errors ? CMD_FAILED : CMD_OK;
        printf("%.*s", STR_ARG(buf_view(&text)));
        fflush(stdout);
        problems_print(&ps, stderr);
    }
    buf_done(&text);
    arena_free(a);
    return status;
}

const struct cmd cmd_config_check = {
    .name = "config check",
    .words = GATEWAY_WORDS,
    .summary = "would the gateway start? what would it serve?",
    .help = "Takes what `tollgate gateway` takes, reads the settings and the "
            "documents, and\nprints what would be served, where calls would "
            "go and what they need. Ends\nwith 0 when the gateway would "
            "start, else with 1 and what is wrong.",
    .options = gateway_options,
    .run = check,
};

/* ---- show ---- */

static int show(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    struct gateway_flags flags;
    struct problems ps;
    struct settings s;
    struct buf text;
    struct str wrong;
    int status;

    problems_init(&ps, a);
    buf_init(&text, TEXT_MAX);
    if (gateway_flags(a, args, &flags, &wrong)) {
        status = cmd_usage(cmd, "%.*s", STR_ARG(wrong));
    } else if (gateway_settings(a, &flags, &s, &ps)) {
        status = cmd_problems(&ps);
    } else {
        status = print(cmd, &text, conf_show(&text, settings_fields, &s, 0));
    }
    buf_done(&text);
    arena_free(a);
    return status;
}

const struct cmd cmd_config_show = {
    .name = "config show",
    .words = GATEWAY_WORDS,
    .summary = "the settings in effect, as YAML",
    .help = "Takes what `tollgate gateway` takes and prints every setting with "
            "the value it\nhas by the file, the environment, the command line "
            "or its default.",
    .options = gateway_options,
    .run = show,
};

/* ---- reference ---- */

#define INTRODUCTION                                                           \
    "# Settings\n"                                                             \
    "\n"                                                                       \
    "What may stand in `tollgate.yaml`. This page is generated from the "      \
    "program\n"                                                                \
    "(`tollgate config reference`).\n"                                         \
    "\n"                                                                       \
    "- A file is named with `--config`. Without it, and without documents on " \
    "the\n"                                                                    \
    "  command line, `./tollgate.yaml` is read.\n"                             \
    "- Relative paths in it start from the folder it stands in.\n"             \
    "- An environment variable wins over the file: "                           \
    "`TOLLGATE_GATEWAY_THREADS` "                                              \
    "sets\n"                                                                   \
    "  `gateway.threads`; lists of texts are comma-separated there. The "      \
    "command line\n"                                                           \
    "  wins over both.\n"                                                      \
    "- A text may hold `${NAME}` or `${NAME:-default}`, taken from the "       \
    "environment;\n"                                                           \
    "  `$$` is a dollar.\n"                                                    \
    "- Sizes are bytes or have a unit: `64k`, `10m`, `2g` (powers of 1024). "  \
    "Durations\n"                                                              \
    "  have a unit: `250ms`, `30s`, `5m`, `12h`, `7d`.\n"                      \
    "- A key the program does not know is an error. `tollgate config check` "  \
    "looks at\n"                                                               \
    "  a file and the documents it names, `tollgate config show` prints all "  \
    "values in\n"                                                              \
    "  effect, `tollgate reload` has a running gateway read them again.\n"     \
    "\n"

static int reference(const struct cmd *cmd, const struct arguments *args)
{
    struct buf text;
    int status;

    (void)args;
    buf_init(&text, TEXT_MAX);
    buf_z(&text, INTRODUCTION);
    status = print(cmd, &text, conf_reference(&text, settings_fields, ""));
    buf_done(&text);
    return status;
}

const struct cmd cmd_config_reference = {
    .name = "config reference",
    .summary = "all settings there are, as Markdown",
    .run = reference,
};
