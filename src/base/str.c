/* str.c - the parts of str.h that are not worth inlining. */
#include "base/str.h"

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (char_lower(a.p[i]) != char_lower(b.p[i]))
            return false;
    return true;
}

size_t str_find(struct str s, char c)
{
    const char *at = s.len ? memchr(s.p, c, s.len) : NULL;

    return at ? (size_t)(at - s.p) : s.len;
}

size_t str_rfind(struct str s, char c)
{
    const char *at = s.len ? memrchr(s.p, c, s.len) : NULL;

    return at ? (size_t)(at - s.p) : s.len;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.len && is_blank(s.p[0]))
        s = str_skip(s, 1);
    while (s.len && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

struct str str_cut(struct str *rest, char sep)
{
    struct str all = *rest;
    size_t at = str_find(all, sep);

    if (at == all.len)
        *rest = STR_NULL;
    else
        *rest = str_from(all.p + at + 1, all.len - at - 1);
    return str_head(all, at);
}

enum err str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    bool over = false;

    if (!s.len)
        return ERR_INVALID;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

        if (digit > 9)
            return ERR_INVALID;
        /* Goes on when it is too big: "99…9x" is no number at all. */
        over = over || __builtin_mul_overflow(n, 10u, &n) ||
               __builtin_add_overflow(n, digit, &n);
    }
    if (over || n > max)
        return ERR_LIMIT;
    *out = n;
    return ERR_OK;
}

bool str_matches(struct str pattern, struct str s)
{
    struct str rest = pattern, part = str_cut(&rest, '*');

    if (!rest.p)
        return str_eq(part, s);
    if (!s.p)
        s = STR("");
    if (!str_starts(s, part))
        return false;
    s = str_skip(s, part.len);
    /* What lies between two stars is found where it first fits: nothing that
     * follows could need an earlier end. */
    while (part = str_cut(&rest, '*'), rest.p) {
        const char *at = part.len ? memmem(s.p, s.len, part.p, part.len) : s.p;

        if (part.len && !at)
            return false;
        s = str_skip(s, (size_t)(at - s.p) + part.len);
    }
    return str_ends(s, part);
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    if (order)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}
