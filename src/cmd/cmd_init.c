/* cmd_init.c - a folder to begin with: settings, limits, a document, a key.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/cmd.h"
#include "format/openapi.h"
#include "format/yaml.h"
#include "gateway/credential/keyfile.h"

#define ECHO_URL "http://127.0.0.1:8290"

static const char settings_text[] =
    "# Settings of the gateway in this folder: `tollgate gateway` reads them.\n"
    "# `tollgate config reference` tells of every key, `tollgate config "
    "check`\n"
    "# prints what would be served and what each operation requires.\n"
    "\n"
    "# What the process keeps for itself: its lock, certificates, counters.\n"
    "state_dir: state\n"
    "\n"
    "gateway:\n"
    "  # Where it listens. HTTPS has a certificate of a private authority\n"
    "  # that is made in state_dir; name your own with tls.certificate.\n"
    "  listeners:\n"
    "    - address: \"127.0.0.1:8280\"\n"
    "    - address: \"127.0.0.1:8243\"\n"
    "      local_certificate: true\n"
    "\n"
    "  # OpenAPI documents: files, or folders of them.\n"
    "  apis:\n"
    "    - path: apis\n"
    "      # The limit where a document names none: a tier of policies.yaml.\n"
    "      tier: Starter\n"
    "%s"
    "\n"
    "  # Named limits.\n"
    "  policies: policies.yaml\n"
    "\n"
    "  # Operations whose documents say nothing about security want an API\n"
    "  # key, in the field ApiKey. `security: []` in a document opens one.\n"
    "  default_security: api_key\n"
    "\n"
    "  # Hashes of API keys. `tollgate apikey new --name NAME` adds one; a\n"
    "  # running gateway takes it within a second.\n"
    "  api_keys:\n"
    "    file: apikeys\n"
    "\n"
    "  # Tokens: whose are taken, where documents ask for oauth2,\n"
    "  # openIdConnect or http bearer.\n"
    "  # issuers:\n"
    "  #   - issuer: https://idp.example.com\n"
    "  #     jwks: https://idp.example.com/jwks\n"
    "  #     audiences: [https://api.example.com]\n"
    "\n"
    "  # Users with passwords; `tollgate password` makes the hash.\n"
    "  # users:\n"
    "  #   - {name: ann, password: \"$argon2id$…\", scopes: [admin]}\n"
    "\n"
    "  # A signed token that tells backends who called.\n"
    "  # backend_jwt: {enabled: true}\n";

static const char policies_text[] =
    "# Named limits (docs/rate-limits.md). Documents name one with\n"
    "# x-wso2-throttling-tier, tollgate.yaml with `tier:` of an API, keys "
    "with\n"
    "# `tollgate apikey new --tier`. 10KPerMin, Gold, Unlimited and the like\n"
    "# are there without being listed here.\n"
    "tiers:\n"
    "  - name: Starter\n"
    "    description: Ten calls a minute for each caller.\n"
    "    limits:\n"
    "      - {requests: 10, window: 1m, per: [key]}\n"
    "  # - name: Busy\n"
    "  #   limits:\n"
    "  #     - {requests: 100000, window: 1d, per: [key]}\n"
    "  #     - {requests: 1000000, window: 1month, per: [key]}\n"
    "  #   burst_control: {requests: 50, window: 1s}\n"
    "  #   concurrency: 20\n";

static const char sample_text[] =
    "# A sample; its backend is `tollgate echo`, which answers what it was\n"
    "# asked.\n"
    "openapi: 3.0.3\n"
    "info: {title: Hello, version: 1.0.0}\n"
    "servers: [{url: \"" ECHO_URL "/hello\"}]\n"
    "paths:\n"
    "  /{name}:\n"
    "    parameters:\n"
    "      - {name: name, in: path, required: true, schema: {type: string}}\n"
    "    get:\n"
    "      operationId: sayHello\n"
    "      responses: {'200': {description: What was asked.}}\n";

/* ---- files ---- */

static int cannot(const struct cmd *cmd, struct str path)
{
    return cmd_failed(cmd, "%.*s cannot be written: %s", STR_ARG(path),
                      strerrordesc_np(errno));
}

/* Nothing that is there is ever touched. */
static int write_new(const struct cmd *cmd, struct str path, struct str text)
{
    int fd = open(path.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    bool fine = fd >= 0 && write(fd, text.p, text.len) == (ssize_t)text.len;

    if (fd >= 0)
        fine = !close(fd) && fine;
    return fine ? CMD_OK : cannot(cmd, path);
}

static int make_folder(const struct cmd *cmd, struct str path)
{
    return mkdir(path.p, 0755) && errno != EEXIST ? cannot(cmd, path) : CMD_OK;
}

/* ---- the document ---- */

struct project {
    struct arena *a;
    struct str folder, document, name; /* the document's text and file name */
    const char *upstream;
    struct str sample; /* a call to try, "/hello/world"; or empty */
    char key[API_KEY_TEXT + 1];
};

/* A path of the document that can be called as it stands, for the example. */
static struct str callable(struct arena *a, const struct openapi *doc)
{
    for (size_t i = 0; i < doc->operation_count; i++) {
        const struct oas_operation *o = &doc->operations[i];

        if (str_is(o->method, "GET") && str_find(o->route, '{') == o->route.len)
            return arena_printf(a, "%.*s%.*s", STR_ARG(doc->context),
                                STR_ARG(o->route));
    }
    return doc->context.len ? doc->context : STR("/");
}

static int take_document(const struct cmd *cmd, struct project *p,
                         struct str from)
{
    struct arena *scratch = arena_new();
    size_t slash = str_rfind(from, '/');
    struct openapi *doc = NULL;
    struct problems ps;
    int status = CMD_OK;

    problems_init(&ps, p->a);
    if (openapi_load(p->a, scratch, &oas_files, from, &ps, &doc) ||
        oas_files.read(oas_files.arg, p->a, from, &p->document)) {
        status = cmd_problems(&ps);
    } else if (doc->file_count > 1) {
        status = cmd_failed(cmd,
                            "%.*s refers to other files; make the folder "
                            "without --from, and copy them into apis/",
                            STR_ARG(from));
    } else {
        p->name = slash < from.len ? str_skip(from, slash + 1) : from;
        p->sample = callable(p->a, doc);
    }
    arena_free(scratch);
    return status;
}

/* ---- the project ---- */

static struct str inside(const struct project *p, const char *name)
{
    return arena_printf(p->a, "%.*s/%s", STR_ARG(p->folder), name);
}

static int write_all(const struct cmd *cmd, struct project *p)
{
    struct str upstream =
        p->upstream
            ? arena_printf(p->a, "      upstream: \"%s\"\n", p->upstream)
            : STR("");
    struct str settings =
        arena_printf(p->a, settings_text, upstream.len ? upstream.p : "");
    struct str document = arena_printf(p->a, "%.*s/apis/%.*s",
                                       STR_ARG(p->folder), STR_ARG(p->name));
    int status = make_folder(cmd, p->folder);

    if (status == CMD_OK)
        status = write_new(cmd, inside(p, "tollgate.yaml"), settings);
    if (status == CMD_OK)
        status =
            write_new(cmd, inside(p, "policies.yaml"), str_z(policies_text));
    if (status == CMD_OK)
        status = make_folder(cmd, inside(p, "apis"));
    return status == CMD_OK ? write_new(cmd, document, p->document) : status;
}

static int add_key(struct project *p)
{
    struct api_key key = { .name = STR("first"),
                           .created_s = clock_wall_us() / 1000000 };
    struct problems ps;

    problems_init(&ps, p->a);
    api_key_make(p->a, &key, p->key);
    if (keyfile_add(inside(p, "apikeys"), &key, &ps))
        return cmd_problems(&ps);
    return CMD_OK;
}

static void print_next(const struct project *p, bool sample)
{
    printf("Made %.*s: tollgate.yaml, policies.yaml, apis/%.*s and a first API "
           "key.\n\nNext:\n",
           STR_ARG(p->folder), STR_ARG(p->name));
    if (!str_is(p->folder, "."))
        printf("  cd %.*s\n", STR_ARG(p->folder));
    if (sample)
        printf("  tollgate echo &\n");
    printf("  tollgate gateway &\n"
           "  curl -H \"ApiKey: %s\" http://127.0.0.1:8280%.*s\n\n"
           "The key is shown this once. After ten calls a minute it gets 429; "
           "`tollgate explain\nID`, with the activityid of an answer, tells "
           "why a call was refused.\n",
           p->key, STR_ARG(p->sample));
}

static int run(const struct cmd *cmd, const struct arguments *args)
{
    struct str from = str_z(arguments_get(args, "from", NULL));
    struct project p = {
        .a = arena_new(),
        .folder = args->word_count ? str_z(args->words[0]) : STR("."),
        .document = str_z(sample_text),
        .name = STR("hello.yaml"),
        .sample = STR("/hello/world"),
        .upstream = arguments_get(args, "upstream", NULL),
    };
    int status = CMD_OK;

    if (args->word_count > 1)
        status = cmd_usage(cmd, "one folder at a time");
    else if (!p.folder.len)
        status = cmd_usage(cmd, "the folder needs a name");
    if (status == CMD_OK && !access(inside(&p, "tollgate.yaml").p, F_OK))
        status = cmd_failed(cmd, "there is a tollgate.yaml in %.*s already",
                            STR_ARG(p.folder));
    if (status == CMD_OK && from.len)
        status = take_document(cmd, &p, from);
    if (status == CMD_OK)
        status = write_all(cmd, &p);
    if (status == CMD_OK)
        status = add_key(&p);
    if (status == CMD_OK)
        print_next(&p, !from.len);
    arena_free(p.a);
    return status;
}

static const struct option options[] = {
    { .name = "from",
      .value = "FILE",
      .help = "your OpenAPI document. Default: a sample" },
    { .name = "upstream",
      .value = "URL",
      .help = "the backend, where the document names none" },
    { 0 },
};

const struct cmd cmd_init = {
    .name = "init",
    .words = "[DIR]",
    .summary = "a folder to begin with: settings, limits, a key",
    .help = "Writes tollgate.yaml and policies.yaml, with comments, apis/ with "
            "your document or\na sample, and a first API key, into DIR (here, "
            "when it is left out). Nothing that\nis there is overwritten.",
    .options = options,
    .run = run,
};
