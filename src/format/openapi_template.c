/* openapi_template.c - the path of an operation as a router needs it.
 *
 * A template is literal text and {names}. Names may stand beside text in a
 * segment ("{id}.json", "v{n}"), but not beside each other: where one ends
 * could not be said. A last segment "*" stands for any rest.
 *
 * Some documents tell operations apart by what is behind a '?' or '#'
 * ("/responses?beta=true", "/cookies#exploded") or have an RFC 6570 query
 * ("/search{?q}"). A path is matched without that.
 */
#include "format/openapi_internal.h"

struct writer {
    char *route, *shape;
    size_t route_len, shape_len;
    bool after_name; /* the last thing was a {name} */
    const char *why;
};

static void put(struct writer *w, char c)
{
    w->route[w->route_len++] = c;
    w->shape[w->shape_len++] = c;
    w->after_name = false;
}

static bool unreserved(unsigned char c)
{
    unsigned char low = c | 0x20;

    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

static void put_escaped(struct writer *w, unsigned char c)
{
    static const char hex[] = "0123456789ABCDEF";

    put(w, '%');
    put(w, hex[c >> 4]);
    put(w, hex[c & 15]);
}

/* %XX in its normal form. Returns how many more bytes it took. */
static size_t put_escape(struct writer *w, struct str rest)
{
    unsigned char c;

    if (!oas_escape(rest, &c))
        w->why = "a % is not followed by two hexadecimal digits";
    else if (c < 0x20 || c == 0x7f)
        w->why = "it has a control character";
    else if (unreserved(c))
        put(w, (char)c);
    else
        put_escaped(w, c);
    return 2;
}

/* One byte of literal text as a request has it. */
static size_t put_literal(struct writer *w, struct str rest)
{
    unsigned char c = (unsigned char)rest.p[0];

    if (c == '%')
        return put_escape(w, rest);
    if (c < 0x20 || c == 0x7f)
        w->why = "it has a control character";
    else if (unreserved(c) || strchr("/!$&'()*+,;=:@", c))
        put(w, (char)c);
    else
        put_escaped(w, c);
    return 0;
}

/* Where the part that is matched ends: at ? or #, or at {?, {& and {#. */
static size_t route_end(struct str path)
{
    bool inside = false;

    for (size_t i = 0; i < path.len; i++) {
        char c = path.p[i];

        if (c == '{' && i + 1 < path.len && strchr("?&#", path.p[i + 1]))
            return i;
        if (!inside && (c == '?' || c == '#'))
            return i;
        inside = c == '{' || (inside && c != '}');
    }
    return path.len;
}

/* {name} at the start of rest. Returns its length without the last }. */
static size_t put_name(struct writer *w, struct str rest)
{
    size_t end = str_find(rest, '}');

    if (end == rest.len)
        w->why = "a } is missing";
    else if (end == 1)
        w->why = "a parameter has no name";
    else if (w->after_name)
        w->why = "two parameters need text between them";
    for (size_t i = 1; i < end && !w->why; i++)
        if ((unsigned char)rest.p[i] < 0x20 || rest.p[i] == 0x7f ||
            strchr("{/?#", rest.p[i]))
            w->why = "a parameter's name cannot have {, /, ?, # or control "
                     "characters";
    if (w->why)
        return 0;
    memcpy(w->route + w->route_len, rest.p, end + 1);
    w->route_len += end + 1;
    memcpy(w->shape + w->shape_len, "{}", 2);
    w->shape_len += 2;
    w->after_name = true;
    return end;
}

static bool has_dot_segment(struct str path)
{
    while (path.p) {
        struct str part = str_cut(&path, '/');

        if (str_is(part, ".") || str_is(part, ".."))
            return true;
    }
    return false;
}

/* Walks the part that is matched, writing route and shape. */
static void convert(struct writer *w, struct str path)
{
    for (size_t i = 0; i < path.len && !w->why; i++) {
        struct str rest = str_skip(path, i);

        if (rest.p[0] == '{')
            i += put_name(w, rest);
        else if (rest.p[0] == '}')
            w->why = "a { is missing";
        else
            i += put_literal(w, rest);
    }
    if (!w->why && has_dot_segment(str_from(w->shape, w->shape_len)))
        w->why = "no request has . or .. as a segment";
}

bool oas_template(struct oas_load *l, struct oas_at item,
                  struct oas_template *out)
{
    struct str path = item.json->key;
    struct writer w = { 0 };
    size_t end;

    if (!path.len || path.p[0] != '/') {
        w.why = "a path begins with /";
    } else if (path.len > OAS_TEXT_MAX) {
        w.why = "a path may have at most 4096 bytes";
    } else {
        end = route_end(path);
        /* A byte becomes at most three. */
        w.route = arena_raw(l->scratch, 3 * end);
        w.shape = arena_raw(l->scratch, 3 * end);
        convert(&w, str_head(path, end));
        if (str_starts(str_skip(path, end), STR("{")) &&
            str_rfind(path, '/') > end && str_rfind(path, '/') < path.len)
            w.why = "{?…} belongs at its end";
    }
    if (w.why) {
        oas_error(l, item, "cannot use the path \"%.*s\": %s", STR_ARG(path),
                  w.why);
        return false;
    }
    out->path = arena_copy(l->a, path);
    out->route = arena_copy(l->a, str_from(w.route, w.route_len));
    /* Mostly they are the same; then one copy serves. */
    if (str_eq(out->route, out->path))
        out->route = out->path;
    out->shape = str_from(w.shape, w.shape_len);
    out->rest = str_skip(out->path, end);
    return true;
}
