/* cmd_apikey.c - making, showing and revoking API keys.
 *
 * They work on the file of keys, whether or not a gateway runs; one that runs
 * sees the change within a second.
 */
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/local_tool.h"
#include "gateway/credential/keyfile.h"
#include "gateway/trust.h"
#include "http/h1_chars.h"

#define PLACE                                                         \
    { .name = "file",                                                 \
      .value = "FILE",                                                \
      .help = "the file of keys. Default: gateway.api_keys.file of\n" \
              "the settings, else apikeys in the state folder" },     \
        { .name = "state-dir",                                        \
          .value = "DIR",                                             \
          .help = "the gateway's state folder" },                     \
        { .name = "config",                                           \
          .value = "FILE",                                            \
          .help = "the gateway's settings, to find its files\n"       \
                  "Default: ./tollgate.yaml, when there is one" },    \
    {                                                                 \
        .name = "json", .help = "answer as JSON"                      \
    }

static const struct option new_options[] = {
    { .name = "name", .value = "NAME", .help = "of the application: wanted" },
    { .name = "api",
      .value = "NAME[:VERSION]",
      .repeats = true,
      .help = "an API it is for (title and version of its\n"
              "document). Default: all" },
    { .name = "ip",
      .value = "ADDRESS",
      .repeats = true,
      .help = "an address or range (10.0.0.0/8) it is taken from.\n"
              "Default: any" },
    { .name = "referer",
      .value = "PATTERN",
      .repeats = true,
      .help = "pages it is taken from: *.example.com/*. Default: any" },
    { .name = "scope",
      .value = "SCOPE",
      .repeats = true,
      .help = "a scope it has" },
    { .name = "tier",
      .value = "TIER",
      .help = "the limit for its calls, by name" },
    { .name = "expires",
      .value = "TIME",
      .help = "from now: 12h, 30d. Default: never" },
    PLACE,
    { 0 },
};

static const struct option place_options[] = { PLACE, { 0 } };

/* ---- where ---- */

static int find_file(const struct cmd *cmd, struct arena *a,
                     const struct arguments *args, struct str *path)
{
    struct settings settings;
    struct str folder;
    int status;

    *path = str_z(arguments_get(args, "file", NULL));
    if (path->len)
        return CMD_OK;
    status = local_tool_folder(cmd, a, args, &settings, &folder);
    if (status != CMD_OK)
        return status;
    *path = settings.gateway.api_keys.file;
    if (!path->len)
        *path = arena_printf(a, "%.*s/apikeys", STR_ARG(folder));
    return CMD_OK;
}

static int show_problems(const struct problems *ps)
{
    problems_print(ps, stderr);
    return CMD_FAILED;
}

/* ---- new ---- */

static struct conf_strings all_of(struct arena *a, const struct arguments *args,
                                  const char *name)
{
    struct conf_strings list = {
        arena_alloc(a, args->given_count * sizeof(struct str) + 1), 0
    };
    const char *value;
    size_t at = 0;

    while ((value = arguments_get(args, name, &at)))
        list.items[list.count++] = str_z(value);
    return list;
}

static bool is_scope(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\')
            return false;
    return s.len > 0;
}

static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!h1_is(s.p[i], H1_VALUE))
            return false;
    return s.len > 0 && s.len <= 256;
}

/* What a key may be, from the command line; CMD_OK or said what is wrong. */
static int read_key(const struct cmd *cmd, struct arena *a,
                    const struct arguments *args, uint64_t now_s,
                    struct api_key *key)
{
    const char *expires = arguments_get(args, "expires", NULL);
    struct trust *addresses;
    struct str bad;
    uint64_t ms;

    key->name = str_z(arguments_get(args, "name", NULL));
    key->tier = str_z(arguments_get(args, "tier", NULL));
    key->apis = all_of(a, args, "api");
    key->ips = all_of(a, args, "ip");
    key->referers = all_of(a, args, "referer");
    key->scopes = all_of(a, args, "scope");
    key->created_s = now_s;
    if (!is_text(key->name))
        return cmd_usage(cmd, "say whose key it is: --name NAME");
    if (key->tier.len && !is_text(key->tier))
        return cmd_usage(cmd, "--tier wants the name of a tier");
    if (trust_new(a, key->ips.items, key->ips.count, &addresses, &bad))
        return cmd_usage(cmd,
                         "--ip wants an address or range (10.0.0.0/8, "
                         "::1), got \"%.*s\"",
                         STR_ARG(bad));
    for (size_t i = 0; i < key->scopes.count; i++)
        if (!is_scope(key->scopes.items[i]))
            return cmd_usage(cmd,
                             "--scope wants the name of a scope, got "
                             "\"%.*s\"",
                             STR_ARG(key->scopes.items[i]));
    if (!expires)
        return CMD_OK;
    if (conf_parse_duration_ms(str_z(expires), &ms) || ms < 1000 ||
        ms > 100ull * 366 * 24 * 3600 * 1000)
        return cmd_usage(cmd,
                         "--expires wants a time from now, as 12h or 30d, "
                         "got \"%s\"",
                         expires);
    key->expires_s = now_s + ms / 1000;
    return CMD_OK;
}

static void print_new(const struct arguments *args, const struct api_key *key,
                      const char *text, struct str path)
{
    struct buf b;

    if (!arguments_get(args, "json", NULL)) {
        printf("%s\n", text);
        fflush(stdout);
        fprintf(stderr,
                "This is the only time the key is shown; its id is %.*s. It "
                "was added to\n%.*s, and a running gateway takes it "
                "within a second.\n",
                STR_ARG(key->id), STR_ARG(path));
        return;
    }
    buf_init(&b, 1 << 20);
    if (!api_key_write(&b, key))
        printf("{\"key\":\"%s\",%.*s\n", text,
               STR_ARG(str_skip(buf_view(&b), 1)));
    buf_done(&b);
}

static int run_new(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    struct api_key key = { 0 };
    char text[API_KEY_TEXT + 1];
    struct problems ps;
    struct str path;
    int status = read_key(cmd, a, args, clock_wall_us() / 1000000, &key);

    problems_init(&ps, a);
    if (status == CMD_OK)
        status = find_file(cmd, a, args, &path);
    if (status == CMD_OK) {
        api_key_make(a, &key, text);
        if (keyfile_add(path, &key, &ps))
            status = show_problems(&ps);
        else
            print_new(args, &key, text, path);
    }
    arena_free(a);
    return status;
}

const struct cmd cmd_apikey_new = {
    .name = "apikey new",
    .summary = "make an API key, and print it once",
    .help = "Only the hash of a key is kept, so a key that was lost is revoked "
            "and made anew.",
    .options = new_options,
    .run = run_new,
};

/* ---- list ---- */

static const char *state_of(const struct api_key *key, uint64_t now_s)
{
    return key->revoked_s                              ? "revoked"
           : key->expires_s && now_s >= key->expires_s ? "expired"
                                                       : "good";
}

static void print_list(const char *what, const struct conf_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        printf("%s%.*s", i ? "," : what, STR_ARG(list->items[i]));
}

static void print_key(const struct api_key *key, uint64_t now_s)
{
    char created[25], expires[25];

    clock_iso8601(key->created_s * 1000000, created);
    clock_iso8601(key->expires_s * 1000000, expires);
    printf("%.*s  %-7s  %.10s  %.*s", STR_ARG(key->id), state_of(key, now_s),
           created, STR_ARG(key->name));
    print_list("  api=", &key->apis);
    print_list("  ip=", &key->ips);
    print_list("  referer=", &key->referers);
    print_list("  scope=", &key->scopes);
    if (key->tier.len)
        printf("  tier=%.*s", STR_ARG(key->tier));
    if (key->expires_s)
        printf("  until %.16sZ", expires);
    printf("\n");
}

static void print_json(const struct api_key *key)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    if (!api_key_write(&b, key))
        printf("%.*s\n", STR_ARG(buf_view(&b)));
    buf_done(&b);
}

static int run_list(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    uint64_t now_s = clock_wall_us() / 1000000;
    struct keyfile *keys = NULL;
    struct problems ps;
    struct str path;
    int status = find_file(cmd, a, args, &path);

    problems_init(&ps, a);
    if (status == CMD_OK && keyfile_load(path, &ps, &keys))
        status = show_problems(&ps);
    for (size_t i = 0; keys && i < keyfile_count(keys); i++) {
        if (arguments_get(args, "json", NULL))
            print_json(keyfile_at(keys, i));
        else
            print_key(keyfile_at(keys, i), now_s);
    }
    if (keys && !keyfile_count(keys))
        fprintf(stderr,
                "There are no keys in %.*s. `tollgate apikey new "
                "--name NAME` makes one.\n",
                STR_ARG(path));
    keyfile_free(keys);
    arena_free(a);
    return status;
}

const struct cmd cmd_apikey_list = {
    .name = "apikey list",
    .summary = "the API keys there are, without their secrets",
    .options = place_options,
    .run = run_list,
};

/* ---- revoke ---- */

/* Who has the whole key at hand may give that. */
static struct str id_of(const char *word)
{
    struct str s = str_z(word);

    return s.len == API_KEY_TEXT && str_starts(s, STR("tg_"))
               ? str_from(word + 3, API_KEY_ID)
               : s;
}

static int run_revoke(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    uint64_t now_s = clock_wall_us() / 1000000;
    struct problems ps;
    struct str path;
    int status;

    problems_init(&ps, a);
    status = args->word_count ? find_file(cmd, a, args, &path)
                              : cmd_usage(cmd, "say which: `tollgate apikey "
                                               "list` shows the ids");
    for (size_t i = 0; i < args->word_count && status == CMD_OK; i++) {
        struct str id = id_of(args->words[i]);
        enum err e = keyfile_revoke(path, id, now_s, &ps);

        if (e == ERR_NOT_FOUND)
            status = cmd_failed(cmd,
                                "there is no key %.*s in %.*s; `tollgate "
                                "apikey list` shows the ids",
                                STR_ARG(str_head(id, 64)), STR_ARG(path));
        else if (e)
            status = show_problems(&ps);
    }
    arena_free(a);
    return status;
}

const struct cmd cmd_apikey_revoke = {
    .name = "apikey revoke",
    .words = "ID…",
    .summary = "take API keys back",
    .help = "A running gateway refuses them within a second.",
    .options = place_options,
    .run = run_revoke,
};
