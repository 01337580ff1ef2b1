/* local_tool.c - see local_tool.h. */
#include "cmd/local_tool.h"

#include "cmd/control_socket.h"
#include "cmd/gateway_options.h"
#include "cmd/state_dir.h"

enum { WAIT_MS = 300 * 1000, ANSWER_MAX = 1024 * 1024 };

const struct option local_tool_options[] = { LOCAL_TOOL_PLACE, { 0 } };

/* Where the gateway with the same flags keeps its state. */
int local_tool_folder(const struct cmd *cmd, struct arena *a,
                      const struct arguments *args, struct settings *settings,
                      struct str *folder)
{
    struct arguments options = *args; /* its words are no documents */
    struct problems ps;
    struct gateway_flags flags;
    struct str wrong;

    options.word_count = 0;
    problems_init(&ps, a);
    memset(settings, 0, sizeof(*settings));
    *folder = str_z(arguments_get(args, "state-dir", NULL));
    if (folder->len && !arguments_get(args, "config", NULL))
        return CMD_OK;
    if (gateway_flags(a, &options, &flags, &wrong))
        return cmd_usage(cmd, "%.*s", STR_ARG(wrong));
    /* What else is wrong with the file, the gateway will say. */
    settings_read(a, flags.file, settings, &ps);
    if (!folder->len)
        *folder = settings->state_dir.len ? settings->state_dir
                                          : state_dir_default(a);
    if (folder->len)
        return CMD_OK;
    problems_print(&ps, stderr);
    return cmd_failed(cmd, "there is no home folder to look for a gateway in; "
                           "name its folder with --state-dir");
}

static int show_answer(struct str answer)
{
    struct str rest = answer, first = str_cut(&rest, '\n');
    bool ok = str_starts(first, STR("ok"));

    if (ok && first.len > 3)
        printf("%.*s\n", STR_ARG(str_skip(first, 3)));
    fprintf(stderr, "%.*s", STR_ARG(rest));
    return ok ? CMD_OK : CMD_FAILED;
}

static int explain(const struct cmd *cmd, enum err e, struct str folder)
{
    switch (e) {
    case ERR_NOT_FOUND:
        return cmd_failed(cmd,
                          "no gateway runs with the state folder %.*s; name "
                          "another one with --state-dir",
                          STR_ARG(folder));
    case ERR_TIMEOUT:
        return cmd_failed(cmd, "no answer from the gateway of %.*s for %d s",
                          STR_ARG(folder), WAIT_MS / 1000);
    case ERR_PEER:
        return cmd_failed(cmd, "the gateway of %.*s left without an answer",
                          STR_ARG(folder));
    default:
        return cmd_failed(cmd, "cannot speak to the gateway of %.*s: %m",
                          STR_ARG(folder));
    }
}

int local_tool_ask(const struct cmd *cmd, const struct arguments *args,
                   const char *verb)
{
    struct arena *a = arena_new();
    struct str folder = STR_NULL;
    struct settings settings;
    struct buf answer;
    int status = local_tool_folder(cmd, a, args, &settings, &folder);
    enum err e;

    buf_init(&answer, ANSWER_MAX);
    if (status == CMD_OK) {
        e = control_ask(folder, verb, WAIT_MS, &answer);
        status = e ? explain(cmd, e, folder) : show_answer(buf_view(&answer));
    }
    buf_done(&answer);
    arena_free(a);
    return status;
}
