/* fuzz_openapi.c - any document, in one file or several: no crash, no
 * explosion, and a model that keeps its promises.
 *
 * A line "%%%" begins the next file: what follows it up to the line's end is
 * its path. The document itself is "d/api.yaml".
 */
#include <stdlib.h>

#include "base/log.h"
#include "format/openapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct str text;
};

static const struct str mark = { "\n%%%", 4 };

/* Where the next mark is, or the length. */
static size_t find_mark(struct str s)
{
    const char *p = s.len ? memmem(s.p, s.len, mark.p, mark.len) : NULL;

    return p ? (size_t)(p - s.p) : s.len;
}

static enum err read_part(void *arg, struct arena *a, struct str path,
                          struct str *text)
{
    struct str rest = ((const struct input *)arg)->text;
    size_t end = find_mark(rest);

    /* Nothing outside the document's folder is ever asked for. */
    must(str_starts(path, STR("d/")) && path.len > 2);
    must(!memmem(path.p, path.len, "/../", 4));
    must(!str_ends(path, STR("/..")));
    if (str_is(path, "d/api.yaml")) {
        *text = arena_copy(a, str_head(rest, end));
        return ERR_OK;
    }
    while (end < rest.len) {
        struct str name;

        rest = str_skip(rest, end + mark.len);
        name = str_cut(&rest, '\n');
        end = find_mark(rest);
        if (!str_eq(name, str_skip(path, 2)))
            continue;
        *text = arena_copy(a, str_head(rest, end));
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

static void check_path(struct str s)
{
    char *out = malloc(s.len + 1);
    bool unchanged;
    size_t n;

    must(!s.len || (s.p[0] == '/' && s.p[s.len - 1] != '/'));
    must(!s.len || (!uri_path_normal(s, out, &n, &unchanged) && unchanged));
    free(out);
}

static void check_endpoints(const struct oas_endpoints *e)
{
    if (!e)
        return;
    must(e->count && e->line && e->file.len);
    for (size_t i = 0; i < e->count; i++) {
        must(e->items[i].url.host.len && e->items[i].weight);
        must(!e->items[i].url.has_query);
        must(!e->items[i].url.userinfo.p);
        check_path(e->items[i].url.path);
    }
}

static void check_operation(const struct oas_operation *o)
{
    must(o->method.len && o->line && o->file.len);
    must(o->path.len && o->path.p[0] == '/');
    must(o->route.len && o->route.p[0] == '/');
    must(!memchr(o->route.p, '?', o->route.len));
    must(!memchr(o->route.p, '#', o->route.len));
    must(!o->security_disabled || !o->security_count);
    for (size_t i = 0; i < o->security_count; i++)
        for (size_t k = 0; k < o->security[i].count; k++)
            must(o->security[i].demands[k].scheme->type.len);
    check_endpoints(o->production);
    check_endpoints(o->sandbox);
}

static void check_model(const struct openapi *o)
{
    must(o->http || o->https);
    check_path(o->context);
    check_path(o->context_unversioned);
    check_endpoints(o->production);
    check_endpoints(o->sandbox);
    for (size_t i = 0; i < o->operation_count; i++)
        check_operation(&o->operations[i]);
    for (size_t i = 0; i < o->unenforced_count; i++)
        must(o->unenforced[i].key.len && o->unenforced[i].line);
    for (size_t i = 0; i < o->cors.method_count; i++)
        must(o->cors.methods[i].len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { str_from((const char *)data, size) };
    struct oas_source source = { read_part, &input };
    struct arena *model = arena_new(), *scratch = arena_new();
    struct arena *words = arena_new();
    struct openapi *o = NULL;
    struct problems ps;
    enum err e;

    problems_init(&ps, words);
    e = openapi_load(model, scratch, &source, STR("d/api.yaml"), &ps, &o);
    must(e == (ps.errors ? ERR_INVALID : ERR_OK) && !e == (o != NULL));
    for (const struct problem *p = ps.first; p; p = p->next)
        must(p->text.len && str_starts(p->file, STR("d/")));
    /* Now a pointer into the tree would be found. */
    arena_free(scratch);
    arena_thread_done();
    if (o)
        check_model(o);
    arena_free(model);
    arena_free(words);
    return 0;
}
