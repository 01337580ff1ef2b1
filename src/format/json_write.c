/* json_write.c - a tree as compact text.
 *
 * No recursion: the path from the root down is kept in an array, so a tree
 * deeper than that is refused instead of using up the stack.
 */
#include "format/json.h"

#include "base/utf8.h"

enum { WRITE_DEPTH_MAX = 2048 };

/* What stands behind the backslash for c; 'u' when c has no short form. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 'u';
    }
}

static enum err write_escape(struct buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {
        '\\', short_escape(c), '0', '0', hex[c >> 4], hex[c & 15]
    };

    return buf_add(b, text, text[1] == 'u' ? 6 : 2);
}

static inline bool is_plain(unsigned char c)
{
    return c >= ' ' && c < 0x80 && c != '"' && c != '\\';
}

/* Where the bytes from p on can no longer be copied as they are. */
static const char *copy_until(const char *p, const char *end)
{
    uint32_t code;

    while (p < end) {
        size_t n = 1;

        if (!is_plain((unsigned char)*p)) {
            if ((signed char)*p >= 0)
                return p;
            n = utf8_next(str_from(p, (size_t)(end - p)), &code);
            if (!n)
                return p;
        }
        p += n;
    }
    return p;
}

static enum err write_text(struct buf *b, const char *p, const char *end)
{
    while (p < end) {
        const char *stop = copy_until(p, end);
        enum err e = buf_add(b, p, (size_t)(stop - p));

        if (!e && stop < end) {
            e = (signed char)*stop < 0 ? buf_z(b, UTF8_REPLACEMENT)
                                       : write_escape(b, (unsigned char)*stop);
            stop++;
        }
        if (e)
            return e;
        p = stop;
    }
    return ERR_OK;
}

enum err json_write_str(struct buf *b, struct str s)
{
    size_t before = b->len;
    enum err e = buf_char(b, '"');

    if (!e && s.len)
        e = write_text(b, s.p, s.p + s.len);
    if (!e)
        e = buf_char(b, '"');
    if (e)
        b->len = before;
    return e;
}

static bool is_parent(const struct json *j)
{
    return j->type == JSON_ARRAY || j->type == JSON_OBJECT;
}

/* A scalar whole, of an array or object only the bracket. */
static enum err write_start(struct buf *b, const struct json *j)
{
    switch (j->type) {
    case JSON_NULL:
        return buf_str(b, STR("null"));
    case JSON_BOOL:
        return buf_str(b, j->boolean ? STR("true") : STR("false"));
    case JSON_NUMBER:
        return buf_str(b, j->text);
    case JSON_STRING:
        return json_write_str(b, j->text);
    case JSON_ARRAY:
        return buf_char(b, '[');
    case JSON_OBJECT:
        return buf_char(b, '{');
    }
    return ERR_INVALID;
}

static enum err write_end(struct buf *b, const struct json *j)
{
    return buf_char(b, j->type == JSON_OBJECT ? '}' : ']');
}

/* A member with what stands before it: the comma, the name. */
static enum err write_member(struct buf *b, const struct json *parent,
                             const struct json *j)
{
    enum err e = ERR_OK;

    if (j != parent->first)
        e = buf_char(b, ',');
    if (!e && parent->type == JSON_OBJECT) {
        e = json_write_str(b, j->key);
        if (!e)
            e = buf_char(b, ':');
    }
    return e ? e : write_start(b, j);
}

static enum err write_tree(struct buf *b, const struct json *root)
{
    const struct json *open[WRITE_DEPTH_MAX], *next;
    const struct json *at[WRITE_DEPTH_MAX]; /* the member to come, in each */
    size_t depth = 0;
    enum err e = write_start(b, root);

    if (is_parent(root)) {
        open[depth] = root;
        at[depth++] = root->first;
    }
    while (!e && depth) {
        next = at[depth - 1];
        if (!next) {
            e = write_end(b, open[--depth]);
            continue;
        }
        at[depth - 1] = next->next;
        e = write_member(b, open[depth - 1], next);
        if (e || !is_parent(next))
            continue;
        if (depth == WRITE_DEPTH_MAX)
            return ERR_LIMIT;
        open[depth] = next;
        at[depth++] = next->first;
    }
    return e;
}

enum err json_write(struct buf *b, const struct json *j)
{
    size_t before = b->len;
    enum err e = write_tree(b, j);

    if (e)
        b->len = before;
    return e;
}
