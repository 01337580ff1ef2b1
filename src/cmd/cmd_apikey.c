/* cmd_apikey.c - making, showing and revoking API keys.
 *
 * They work on the files in the gateway's state folder, whether or not one
 * runs; one that runs sees the change within a second.
 */
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/local_tool.h"
#include "format/openapi.h"
#include "gateway/credential/key_signers.h"
#include "gateway/credential/keyfile.h"
#include "gateway/trust.h"
#include "http/h1_chars.h"

#define PLACE                                                         \
    { .name = "file",                                                 \
      .value = "FILE",                                                \
      .help = "the file of keys. Default: gateway.api_keys.file of\n" \
              "the settings, else apikeys in the state folder" },     \
        LOCAL_TOOL_PLACE,                                             \
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
    { .name = "signed",
      .help = "a signed key (JWT): it is kept nowhere, and taken by\n"
              "all gateways with the same gateway.api_keys.key" },
    PLACE,
    { 0 },
};

static const struct option place_options[] = { PLACE, { 0 } };

static const struct option revoke_options[] = {
    { .name = "signed",
      .help = "the ids are those (jti) of signed keys, whatever they\n"
              "look like" },
    PLACE,
    { 0 },
};

/* ---- where ---- */

struct place {
    struct str file; /* of keys */
    struct str folder;
    struct api_keys_conf conf;
};

/* signed_: what is wanted lies not in the file of keys. */
static int find_place(const struct cmd *cmd, struct arena *a,
                      const struct arguments *args, bool signed_,
                      struct place *out)
{
    struct settings settings;
    int status;

    *out = (struct place) { .file = str_z(arguments_get(args, "file", NULL)) };
    if (out->file.len && signed_)
        return cmd_usage(cmd, "--file is for keys that are not signed");
    if (out->file.len)
        return CMD_OK;
    status = local_tool_folder(cmd, a, args, &settings, &out->folder);
    if (status != CMD_OK)
        return status;
    out->conf = settings.gateway.api_keys;
    if (!out->conf.issuer.len)
        out->conf.issuer = STR("tollgate/apikey");
    out->file = out->conf.file;
    if (!out->file.len)
        out->file = arena_printf(a, "%.*s/apikeys", STR_ARG(out->folder));
    return CMD_OK;
}

/* ---- new ---- */

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
    struct trust *addresses;
    struct str bad;
    uint64_t ms = 0;

    key->name = str_z(arguments_get(args, "name", NULL));
    key->tier = str_z(arguments_get(args, "tier", NULL));
    key->apis = arguments_all(a, args, "api");
    key->ips = arguments_all(a, args, "ip");
    key->referers = arguments_all(a, args, "referer");
    key->scopes = arguments_all(a, args, "scope");
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
        if (!oas_is_scope(key->scopes.items[i]))
            return cmd_usage(cmd,
                             "--scope wants the name of a scope, got "
                             "\"%.*s\"",
                             STR_ARG(key->scopes.items[i]));
    if (arguments_time(args, "expires", 100 * 366, &ms))
        return cmd_usage(cmd,
                         "--expires wants a time from now, as 12h or 30d, "
                         "got \"%s\"",
                         arguments_get(args, "expires", NULL));
    if (ms)
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

static int new_filed(struct arena *a, const struct arguments *args,
                     const struct place *place, struct api_key *key,
                     struct problems *ps)
{
    char text[API_KEY_TEXT + 1];

    api_key_make(a, key, text);
    if (keyfile_add(place->file, key, ps))
        return cmd_problems(ps);
    print_new(args, key, text, place->file);
    return CMD_OK;
}

static void print_signed(const struct arguments *args,
                         const struct api_key *key, struct str text)
{
    if (arguments_get(args, "json", NULL)) {
        printf("{\"apikey\":\"%.*s\",\"id\":\"%.*s\"", STR_ARG(text),
               STR_ARG(key->id));
        if (key->expires_s)
            printf(",\"expires\":%llu", (unsigned long long)key->expires_s);
        printf("}\n");
        return;
    }
    printf("%.*s\n", STR_ARG(text));
    fflush(stdout);
    fprintf(stderr,
            "The key is kept nowhere. Its id is %.*s: note it down, `tollgate "
            "apikey revoke`\nwants it, or the whole key.\n",
            STR_ARG(key->id));
}

static int new_signed(const struct cmd *cmd, struct arena *a,
                      const struct arguments *args, const struct place *place,
                      struct api_key *key, struct problems *ps)
{
    struct signing_key with;
    struct str text;

    if (key_signers_own(a, &place->conf, place->folder, ps, &with))
        return cmd_problems(ps);
    signed_key_name(a, key);
    if (signed_key_sign(a, &with, key, place->conf.issuer, &text))
        return cmd_failed(cmd, "a signed key has no room for so much; name "
                               "fewer APIs, addresses or pages");
    print_signed(args, key, text);
    return CMD_OK;
}

static int run_new(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    bool signed_ = arguments_get(args, "signed", NULL);
    struct api_key key = { 0 };
    struct problems ps;
    struct place place;
    int status = read_key(cmd, a, args, clock_wall_us() / 1000000, &key);

    problems_init(&ps, a);
    if (status == CMD_OK)
        status = find_place(cmd, a, args, signed_, &place);
    if (status == CMD_OK)
        status = signed_ ? new_signed(cmd, a, args, &place, &key, &ps)
                         : new_filed(a, args, &place, &key, &ps);
    arena_free(a);
    return status;
}

const struct cmd cmd_apikey_new = {
    .name = "apikey new",
    .summary = "make an API key, and print it once",
    .help = "Only the hash of a key is kept, so a key that was lost is revoked "
            "and made\nanew. Of a signed one nothing is kept: what it may do "
            "stands in it.",
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
    struct place place;
    int status = find_place(cmd, a, args, false, &place);

    problems_init(&ps, a);
    if (status == CMD_OK && keyfile_load(place.file, &ps, &keys))
        status = cmd_problems(&ps);
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
                STR_ARG(place.file));
    keyfile_free(keys);
    arena_free(a);
    return status;
}

const struct cmd cmd_apikey_list = {
    .name = "apikey list",
    .summary = "the API keys there are, without their secrets",
    .help = "Signed keys are kept nowhere, so they are not among them.",
    .options = place_options,
    .run = run_list,
};

/* ---- revoke ---- */

static int revoke_filed(const struct cmd *cmd, const struct place *place,
                        struct str id, uint64_t now_s, struct problems *ps)
{
    enum err e = keyfile_revoke(place->file, id, now_s, ps);

    if (e == ERR_NOT_FOUND)
        return cmd_failed(cmd,
                          "there is no key %.*s in %.*s; `tollgate apikey "
                          "list` shows the ids; of a signed key, give the "
                          "whole key, or --signed and its id",
                          STR_ARG(str_head(id, 64)), STR_ARG(place->file));
    return e ? cmd_problems(ps) : CMD_OK;
}

/* Id and end of a whole key. Its signature is not looked at: who may write the
 * file may take back any id. */
static bool read_whole(struct arena *a, struct str text, struct str *id,
                       uint64_t *expires_s)
{
    const char *what;
    struct jwt t;

    if (jwt_parse(a, text, 64 * 1024, &t, &what) || !t.jti.len)
        return false;
    *id = t.jti;
    if (t.exp.set && t.exp.ms > 0)
        *expires_s = (uint64_t)(t.exp.ms + 999) / 1000;
    return true;
}

static int revoke_signed(const struct cmd *cmd, struct arena *a,
                         const struct place *place, struct str word,
                         uint64_t now_s, struct problems *ps)
{
    struct str path = key_signers_revoked(a, &place->conf, place->folder);
    struct str id = word;
    uint64_t expires_s = 0;
    enum err e;

    if (signed_key_looks(word) && !read_whole(a, word, &id, &expires_s))
        return cmd_failed(cmd, "this is no signed key, or it has no id (jti); "
                               "give the whole key, or its id alone");
    e = revoked_add(path, id, expires_s, now_s, ps);
    if (e == ERR_LIMIT)
        return cmd_failed(cmd, "no key has an id like this");
    if (e)
        return cmd_problems(ps);
    fprintf(stderr,
            "Signed keys with the id %.*s are refused from now on; they are "
            "listed in\n%.*s.\n",
            STR_ARG(str_head(id, 64)), STR_ARG(path));
    return CMD_OK;
}

/* Ids of the file have ten characters, and its keys begin with tg_; whoever
 * has the whole key at hand may give that. */
static int revoke_one(const struct cmd *cmd, struct arena *a,
                      const struct arguments *args, struct str word,
                      struct problems *ps)
{
    uint64_t now_s = clock_wall_us() / 1000000;
    bool filed = word.len == API_KEY_TEXT && str_starts(word, STR("tg_"));
    bool signed_ = arguments_get(args, "signed", NULL) ||
                   (!filed && word.len != API_KEY_ID);
    struct place place;
    int status = find_place(cmd, a, args, signed_, &place);

    if (status != CMD_OK)
        return status;
    if (signed_)
        return revoke_signed(cmd, a, &place, word, now_s, ps);
    return revoke_filed(cmd, &place,
                        filed ? str_from(word.p + 3, API_KEY_ID) : word, now_s,
                        ps);
}

static int run_revoke(const struct cmd *cmd, const struct arguments *args)
{
    struct arena *a = arena_new();
    struct problems ps;
    int status = args->word_count
                     ? CMD_OK
                     : cmd_usage(cmd, "say which: `tollgate apikey list` shows "
                                      "the ids");

    problems_init(&ps, a);
    for (size_t i = 0; i < args->word_count && status == CMD_OK; i++)
        status = revoke_one(cmd, a, args, str_z(args->words[i]), &ps);
    arena_free(a);
    return status;
}

const struct cmd cmd_apikey_revoke = {
    .name = "apikey revoke",
    .words = "ID…",
    .summary = "take API keys back",
    .help = "An ID is that of a key of the file, or of a signed key (its jti); "
            "or it is the\nwhole key. A running gateway refuses them within a "
            "second.",
    .options = revoke_options,
    .run = run_revoke,
};
