/* openapi.c - from files to the model of openapi.h. */
#include "format/openapi_internal.h"

uint32_t oas_line(const struct json *j)
{
    return j->key_line ? j->key_line : j->line;
}

bool oas_spend(struct oas_load *l, struct oas_at at, size_t n)
{
    l->parts += n;
    if (l->parts <= OAS_PARTS_MAX)
        return true;
    if (!l->stop)
        oas_error(l, at,
                  "endpoints, requirements and extensions of all "
                  "operations are more than %d: split the document",
                  OAS_PARTS_MAX);
    l->stop = true;
    return false;
}

bool oas_is(struct oas_load *l, struct oas_at at, enum json_type type,
            const char *what)
{
    static const struct json object = { .type = JSON_OBJECT };
    static const struct json array = { .type = JSON_ARRAY };

    if (at.json && at.json->type == type)
        return true;
    oas_error(l, at.json ? at : l->root, "%s must be an %s, not %s", what,
              json_type_name(type == JSON_OBJECT ? &object : &array),
              json_type_name(at.json));
    return false;
}

struct str oas_scalar(const struct json *j)
{
    return j && (j->type == JSON_STRING || j->type == JSON_NUMBER) ? j->text
                                                                   : STR_NULL;
}

bool oas_is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = char_lower(s.p[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            !(c && strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.len;
}

const char *oas_nearest(const struct oas_load *l, const char *const *known,
                        struct str key)
{
    const char *best = *known;
    size_t least = SIZE_MAX;

    /* The message will not be kept; a document can have a million. */
    if (l->ps->kept == PROBLEMS_MAX)
        return best;
    for (; *known; known++) {
        size_t d = conf_distance(key, str_z(*known));

        if (d < least) {
            least = d;
            best = *known;
        }
    }
    return best;
}

void oas_warn_unknown(struct oas_load *l, struct oas_at at, const char *what,
                      const char *const *known, struct oas_where *where)
{
    for (const struct json *j = at.json->first; j; j = j->next) {
        const char *const *k = known;

        if (str_eq_nocase(str_head(j->key, 2), STR("x-")))
            continue;
        while (*k && !str_is(j->key, *k))
            k++;
        if (*k)
            continue;
        oas_warn(l, oas_in(at, j),
                 "unknown key \"%.*s\" in %s is ignored; the nearest "
                 "known one is \"%s\"",
                 STR_ARG(j->key), what, oas_nearest(l, known, j->key));
        oas_meant_security(l, oas_in(at, j), where);
    }
}

bool openapi_looks_like(const struct json *root)
{
    return json_at(root, "openapi") || json_at(root, "swagger");
}

/* "3.0", "3.0.4"; YAML may have read 2.0 as a number, which kept its text. */
static bool is_version(struct str s, const char *want)
{
    size_t n = strlen(want);

    return str_starts(s, str_z(want)) && (s.len == n || s.p[n] == '.');
}

static bool read_version(struct oas_load *l)
{
    static const struct {
        const char *text;
        enum oas_version version;
    } known[] = { { "3.0", OAS_3_0 }, { "3.1", OAS_3_1 }, { "3.2", OAS_3_2 } };
    struct oas_at swagger = oas_get(l->root, "swagger");
    struct oas_at openapi = oas_get(l->root, "openapi");
    struct oas_at at = openapi.json ? openapi : swagger;
    struct str s = oas_scalar(at.json);

    if (!at.json) {
        oas_error(l, l->root,
                  "this is no OpenAPI document: \"openapi\" or "
                  "\"swagger\" is missing at its root");
        return false;
    }
    if (!openapi.json && is_version(s, "2.0")) {
        l->out->version = OAS_2_0;
        return true;
    }
    for (size_t i = 0; openapi.json && i < 3; i++) {
        if (!is_version(s, known[i].text))
            continue;
        l->out->version = known[i].version;
        return true;
    }
    oas_error(l, at,
              "OpenAPI 2.0 (swagger), 3.0, 3.1 and 3.2 are known, not "
              "\"%.*s\"",
              STR_ARG(s));
    return false;
}

static void read_info(struct oas_load *l)
{
    struct oas_at info = oas_get(l->root, "info");

    l->out->title = arena_copy(l->a, oas_scalar(json_at(info.json, "title")));
    l->out->api_version =
        arena_copy(l->a, oas_scalar(json_at(info.json, "version")));
}

static void warn_root(struct oas_load *l)
{
    static const char *const v2[] = {
        "swagger",   "info",     "host",  "basePath",     "schemes",
        "consumes",  "produces", "paths", "definitions",  "parameters",
        "responses", "security", "tags",  "externalDocs", "securityDefinitions",
        NULL,
    };
    static const char *const v3[] = {
        "openapi",  "$self", "info",         "jsonSchemaDialect",
        "servers",  "paths", "webhooks",     "components",
        "security", "tags",  "externalDocs", NULL,
    };
    struct oas_where where = { 0 };

    oas_warn_unknown(l, l->root, "the document",
                     l->out->version == OAS_2_0 ? v2 : v3, &where);
}

static void read_security(struct oas_load *l)
{
    struct oas_at security = oas_get(l->root, "security");

    if (security.json)
        (void)oas_security(l, security, &l->security, &l->security_count);
    l->security_disabled = oas_security_disabled(l, l->root, false);
    oas_access_root(l);
}

static void read_document(struct oas_load *l)
{
    struct oas_where nowhere = { 0 };

    if (!read_version(l))
        return;
    read_info(l);
    warn_root(l);
    oas_extensions(l, l->root, OAS_AT_ROOT, &nowhere);
    read_security(l);
    oas_servers(l);
    oas_transports(l);
    oas_cors(l);
    oas_operations(l);
    oas_finish_unenforced(l);
}

static bool open_document(struct oas_load *l, struct str path)
{
    size_t slash = str_rfind(path, '/');
    size_t name = slash < path.len ? slash + 1 : 0;
    const struct oas_file *f;

    l->folder = str_head(path, name);
    f = oas_open_first(l, str_skip(path, name));
    if (!f)
        return false;
    l->root = (struct oas_at) { f, f->root };
    return oas_is(l, l->root, JSON_OBJECT, "an OpenAPI document");
}

static void list_files(struct oas_load *l)
{
    struct openapi *out = l->out;

    out->files = arena_alloc(l->a, l->file_count * sizeof(*out->files));
    for (size_t i = 0; i < l->file_count; i++)
        out->files[i] = l->files[i].path;
    out->file_count = l->file_count;
}

enum err openapi_load(struct arena *a, struct arena *scratch,
                      const struct oas_source *source, struct str path,
                      struct problems *ps, struct openapi **out)
{
    struct oas_load *l = arena_alloc(scratch, sizeof(*l));
    size_t errors = ps->errors;

    l->a = a;
    l->scratch = scratch;
    l->source = source;
    l->ps = ps;
    l->last_unenforced = &l->first_unenforced;
    l->out = arena_alloc(a, sizeof(*l->out));
    l->out->file = arena_copy(a, path);
    l->out->content = HASH_CONTENT_START;
    if (open_document(l, path))
        read_document(l);
    list_files(l);
    if (ps->errors != errors)
        return ERR_INVALID;
    *out = l->out;
    return ERR_OK;
}
