/* openapi_refs.c - $ref, in the document and to files beside it.
 *
 * A document is somebody else's text: what it may name are files of its own
 * folder and the folders below. Absolute paths, ".." that leads out and URLs
 * are refused, so that nobody can make a gateway read other files or call
 * other hosts. Links in the folder are its owner's and are followed (mounted
 * configuration consists of them).
 */
#include "format/openapi_internal.h"

enum { POINTER_DEPTH = 64, ARRAY_MAX = 1000 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = char_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool oas_escape(struct str s, unsigned char *byte)
{
    int high, low;

    if (s.len < 3 || s.p[0] != '%')
        return false;
    high = hex_digit(s.p[1]);
    low = hex_digit(s.p[2]);
    if (high < 0 || low < 0)
        return false;
    *byte = (unsigned char)(high * 16 + low);
    return true;
}

/* %XX of s decoded into the arena; false for a broken escape. */
static bool unescape(struct arena *a, struct str s, struct str *out)
{
    char *p = arena_raw(a, s.len + 1);
    unsigned char byte;
    size_t n = 0;

    while (s.len) {
        bool escaped = oas_escape(s, &byte);

        if (s.p[0] == '%' && !escaped)
            return false;
        p[n++] = escaped ? (char)byte : s.p[0];
        s = str_skip(s, escaped ? 3 : 1);
    }
    *out = str_from(p, n);
    return true;
}

/* "http:", "urn:", "//host": leads away from the file system. */
static bool is_url(struct str s)
{
    size_t colon = str_find(s, ':');

    return str_starts(s, STR("//")) ||
           (colon < s.len && colon < str_find(s, '/'));
}

/* Takes the last segment off; false when there is none. */
static bool up(struct str *path)
{
    struct str p = *path;

    if (!p.len)
        return false;
    p.len--; /* the slash at its end */
    path->len = str_rfind(p, '/') < p.len ? str_rfind(p, '/') + 1 : 0;
    return true;
}

/* The file that a reference in the file `from` names, relative to the
 * document's folder. NULL, or why it is refused. */
static const char *file_of(struct arena *scratch, struct str from,
                           struct str name, struct str *rel)
{
    size_t slash = str_rfind(from, '/');
    struct str folder = slash < from.len ? str_head(from, slash + 1) : STR("");
    char *to = arena_raw(scratch, folder.len + name.len + 1);
    struct str path = str_from(to, folder.len);

    if (is_url(name))
        return "only files of the document's own folder are read, no URLs: "
               "save a copy there";
    if (name.p[0] == '/')
        return "absolute paths are refused: write it relative to this file";
    if (memchr(name.p, 0, name.len))
        return "a file name cannot hold a zero byte";
    if (folder.len)
        memcpy(to, folder.p, folder.len);
    while (name.p) {
        struct str part = str_cut(&name, '/');

        if (!part.len || str_is(part, "."))
            continue;
        if (str_is(part, "..")) {
            if (!up(&path))
                return "it leads out of the document's folder: move the file "
                       "there";
            continue;
        }
        memcpy(to + path.len, part.p, part.len);
        path.len += part.len;
        to[path.len++] = '/';
    }
    if (!path.len)
        return "it names no file";
    path.len--;
    *rel = path;
    return NULL;
}

/* One step of a pointer. Long arrays hold no path items, and walking them once
 * per reference would be slow. */
static const struct json *step(struct arena *scratch, const struct json *j,
                               struct str token)
{
    char *p = arena_raw(scratch, token.len + 1);
    size_t n = 0;
    uint64_t index;

    for (size_t i = 0; i < token.len; i++) {
        char c = token.p[i];

        if (c == '~') {
            char next = ++i < token.len ? token.p[i] : 0;

            if (next != '0' && next != '1')
                return NULL;
            c = next == '0' ? '~' : '/';
        }
        p[n++] = c;
    }
    if (j->type != JSON_ARRAY)
        return json_get(j, str_from(p, n));
    if (str_to_u64(str_from(p, n), ARRAY_MAX, &index) || index >= j->count)
        return NULL;
    for (j = j->first; index; index--)
        j = j->next;
    return j;
}

static const struct json *walk(struct oas_load *l, struct oas_at ref,
                               const struct oas_file *file, struct str pointer)
{
    const struct json *j = file->root;
    struct str rest = str_skip(pointer, 1);
    int depth = 0;

    if (pointer.len && pointer.p[0] != '/') {
        oas_ref_problem(l, ref,
                        "$ref \"%.*s\": what is behind # must begin with /",
                        STR_ARG(ref.json->text));
        return NULL;
    }
    while (j && pointer.len && rest.p && depth++ < POINTER_DEPTH)
        j = step(l->scratch, j, str_cut(&rest, '/'));
    if (j && (!pointer.len || !rest.p))
        return j;
    oas_ref_problem(l, ref, "$ref \"%.*s\" leads nowhere: %.*s has no \"%.*s\"",
                    STR_ARG(ref.json->text), STR_ARG(file->path),
                    STR_ARG(pointer));
    return NULL;
}

static bool follow(struct oas_load *l, struct oas_at ref, struct oas_at *to)
{
    struct str text = json_str(ref.json);
    struct str name, pointer, rel;
    const char *why = NULL;

    if (!text.len || text.len > OAS_TEXT_MAX) {
        oas_ref_problem(l, ref, "$ref must be a string of at most %d bytes",
                        OAS_TEXT_MAX);
        return false;
    }
    name = str_head(text, str_find(text, '#'));
    if (!unescape(l->scratch, str_skip(text, name.len + 1), &pointer) ||
        !unescape(l->scratch, name, &name))
        why = "a % is not followed by two hexadecimal digits";
    else if (name.len)
        why = file_of(l->scratch, ref.file->rel, name, &rel);
    if (why) {
        oas_ref_problem(l, ref, "$ref \"%.*s\": %s", STR_ARG(text), why);
        return false;
    }
    to->file = name.len ? oas_open(l, ref, rel) : ref.file;
    to->json = to->file ? walk(l, ref, to->file, pointer) : NULL;
    return to->json;
}

size_t oas_chain(struct oas_load *l, struct oas_at at,
                 struct oas_at chain[OAS_REFS_MAX])
{
    size_t n = 0;

    chain[n++] = at;
    for (;;) {
        struct oas_at ref = oas_get(at, "$ref");

        if (!ref.json)
            return n;
        if (!follow(l, ref, &at))
            return 0;
        for (size_t i = 0; i < n; i++) {
            if (chain[i].json != at.json)
                continue;
            oas_ref_problem(l, ref, "$ref \"%.*s\" leads back to itself",
                            STR_ARG(ref.json->text));
            return 0;
        }
        if (n == OAS_REFS_MAX) {
            oas_ref_problem(l, ref,
                            "more than %d references lead from one to the "
                            "next, here by \"%.*s\"",
                            OAS_REFS_MAX, STR_ARG(ref.json->text));
            return 0;
        }
        chain[n++] = at;
    }
}

bool oas_resolve(struct oas_load *l, struct oas_at at, struct oas_at *out)
{
    struct oas_at chain[OAS_REFS_MAX];
    size_t n = oas_chain(l, at, chain);

    if (n)
        *out = chain[n - 1];
    return n;
}
