/* cmd_explain.c - why a call came out as it did. */
#include <langinfo.h>
#include <locale.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/local_tool.h"
#include "gateway/explain_grant.h"
#include "gateway/explain_ring.h"
#include "gateway/explain_text.h"

enum { TEXT_MAX = 1 << 20 };

#define PLACE                                    \
    LOCAL_TOOL_PLACE,                            \
    {                                            \
        .name = "json", .help = "answer as JSON" \
    }

/* ---- reading the ring ---- */

static int open_ring(const struct cmd *cmd, struct arena *a,
                     const struct arguments *args, struct explain_ring **ring)
{
    struct settings settings;
    struct str folder, path;
    int status = local_tool_folder(cmd, a, args, &settings, &folder);
    enum err e;

    if (status != CMD_OK)
        return status;
    path = arena_printf(a, "%.*s/explain.ring", STR_ARG(folder));
    e = explain_ring_read(path, ring);
    if (!e)
        return CMD_OK;
    if (e == ERR_NOT_FOUND)
        return cmd_failed(cmd,
                          "there is no %.*s: no gateway has run with this "
                          "state folder (name another with --state-dir), "
                          "or gateway.explain.size is 0",
                          STR_ARG(path));
    return cmd_failed(cmd, "%.*s cannot be read%s", STR_ARG(path),
                      e == ERR_INVALID ? ": a gateway of another version "
                                         "wrote it"
                                       : "");
}

static bool wants_utf8(void)
{
    setlocale(LC_CTYPE, "");
    return isatty(1) && !strcmp(nl_langinfo(CODESET), "UTF-8");
}

static void show(const struct explained *x, bool json, bool line)
{
    struct buf b;
    enum err e;

    buf_init(&b, TEXT_MAX);
    e = json   ? explain_json(&b, x)
        : line ? explain_line(&b, x)
               : explain_text(&b, x, wants_utf8());
    if (!e)
        printf("%.*s", STR_ARG(buf_view(&b)));
    buf_done(&b);
}

/* ---- explain ID ---- */

static bool find(const struct explain_ring *ring, struct str id, bool json)
{
    uint64_t at = UINT64_MAX;
    bool found = false;

    while (!found) {
        struct arena *a = arena_new();
        struct explained x = { 0 };
        struct str record;
        bool more = explain_ring_next(ring, a, &at, &record);

        if (more && !explain_decode(record, &x) && str_eq(x.head.id, id)) {
            show(&x, json, false);
            found = true;
        }
        arena_free(a);
        if (!more)
            break;
    }
    return found;
}

static int run_explain(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    struct explain_ring *ring = NULL;
    int status;

    if (args->word_count != 1) {
        status = cmd_usage(cmd, "name one call by its id: the answer's field "
                                "activityid, or see `tollgate explain list`");
    } else {
        status = open_ring(cmd, a, args, &ring);
        if (status == CMD_OK && !find(ring, str_z(args->words[0]),
                                      arguments_get(args, "json", NULL)))
            status = cmd_failed(
                cmd,
                "nothing is known of call %s. Calls are kept that were "
                "refused, that came with a grant (`tollgate explain grant`) or "
                "that gateway.explain.sample picked; newer ones may have taken "
                "its place (gateway.explain.size)",
                args->words[0]);
    }
    explain_ring_close(ring);
    arena_free(a);
    return status;
}

static const struct option explain_options[] = { PLACE, { 0 } };

const struct cmd cmd_explain = {
    .name = "explain",
    .words = "ID",
    .summary = "why a call was refused, step by step",
    .help = "ID is what the answer has in its field activityid. Shows every "
            "decision about the\ncall in order, and for a refusal what would "
            "have made it pass. Secrets are never\nkept.",
    .options = explain_options,
    .run = run_explain,
};

/* ---- explain list ---- */

static bool wanted(const struct explained *x, struct str api, bool refused)
{
    return (!api.len || str_eq(x->head.api, api)) &&
           (!refused || x->head.code.len);
}

static int run_list(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *all = arena_new();
    struct str api = str_z(arguments_get(args, "api", NULL));
    const char *count = arguments_get(args, "n", NULL);
    struct explain_ring *ring = NULL;
    uint64_t at = UINT64_MAX, left = 20;
    bool more = true;
    int status;

    if (count && str_to_u64(str_z(count), 1000000, &left)) {
        arena_free(all);
        return cmd_usage(cmd, "--n wants a number, got \"%s\"", count);
    }
    status = open_ring(cmd, all, args, &ring);
    while (status == CMD_OK && left && more) {
        struct arena *a = arena_new();
        struct explained x = { 0 };
        struct str record;

        more = explain_ring_next(ring, a, &at, &record);
        if (more && !explain_decode(record, &x) &&
            wanted(&x, api, arguments_get(args, "refused", NULL))) {
            show(&x, arguments_get(args, "json", NULL), true);
            left--;
        }
        arena_free(a);
    }
    explain_ring_close(ring);
    arena_free(all);
    return status;
}

static const struct option list_options[] = {
    { .name = "api", .value = "NAME", .help = "only calls of this API" },
    { .name = "refused", .help = "only calls that were refused" },
    { .name = "n", .value = "COUNT", .help = "so many; default: 20" },
    PLACE,
    { 0 },
};

const struct cmd cmd_explain_list = {
    .name = "explain list",
    .summary = "calls that can be explained, newest first",
    .options = list_options,
    .run = run_list,
};

/* ---- explain grant ---- */

static int run_grant(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    const char *api = arguments_get(args, "api", NULL);
    struct settings settings;
    struct explain_key key;
    struct str folder, path;
    uint64_t ms = 600000;
    int status = CMD_OK;

    if (!api || !*api || strlen(api) > 256)
        status = cmd_usage(cmd, "say for which API: --api NAME or NAME:VERSION "
                                "(title and version of its document)");
    else if (arguments_time(args, "for", 7, &ms))
        status = cmd_usage(cmd, "--for wants a time from 1s to 7d, got \"%s\"",
                           arguments_get(args, "for", NULL));
    if (status == CMD_OK)
        status = local_tool_folder(cmd, a, args, &settings, &folder);
    if (status == CMD_OK) {
        path = arena_printf(a, "%.*s/explain.key", STR_ARG(folder));
        if (explain_key_load(path, false, &key))
            status = cmd_failed(cmd,
                                "%.*s cannot be read; a gateway makes it "
                                "when it starts, and only its account may "
                                "read it",
                                STR_ARG(path));
        else
            printf(
                "X-Tollgate-Explain: %.*s\n",
                STR_ARG(explain_grant(a, &key, str_z(api),
                                      (clock_wall_us() / 1000 + ms) / 1000)));
    }
    arena_free(a);
    return status;
}

static const struct option grant_options[] = {
    { .name = "api",
      .value = "NAME[:VERSION]",
      .help = "the API whose calls may be explained: wanted" },
    { .name = "for", .value = "TIME", .help = "from now; default: 10m" },
    PLACE,
    { 0 },
};

const struct cmd cmd_explain_grant = {
    .name = "explain grant",
    .summary = "a header that has calls of one API explained",
    .help = "Send the line with a call: its answer then has a field of the "
            "same name with every\ndecision, and the call is kept, with times, "
            "for `tollgate explain ID`, whatever\ncame of it. The backend does "
            "not get the field.",
    .options = grant_options,
    .run = run_grant,
};
