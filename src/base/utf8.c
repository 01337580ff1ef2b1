/* utf8.c - see utf8.h; the ranges are table 3-7 of the Unicode Standard. */
#include "base/utf8.h"

static bool continues(struct str s, size_t i)
{
    return i < s.len && ((unsigned char)s.p[i] & 0xc0) == 0x80;
}

static uint32_t low6(struct str s, size_t i)
{
    return (unsigned char)s.p[i] & 0x3f;
}

static size_t next_long(struct str s, uint32_t first, uint32_t *code)
{
    uint32_t c;

    if (first >= 0xc2 && first <= 0xdf && continues(s, 1)) {
        *code = (first & 0x1f) << 6 | low6(s, 1);
        return 2;
    }
    if ((first & 0xf0) == 0xe0 && continues(s, 1) && continues(s, 2)) {
        c = (first & 0x0f) << 12 | low6(s, 1) << 6 | low6(s, 2);
        if (c < 0x800 || (c >= 0xd800 && c <= 0xdfff))
            return 0;
        *code = c;
        return 3;
    }
    if (first >= 0xf0 && first <= 0xf4 && continues(s, 1) && continues(s, 2) &&
        continues(s, 3)) {
        c = (first & 0x07) << 18 | low6(s, 1) << 12 | low6(s, 2) << 6 |
            low6(s, 3);
        if (c < 0x10000 || c > 0x10ffff)
            return 0;
        *code = c;
        return 4;
    }
    return 0;
}

size_t utf8_next(struct str s, uint32_t *code)
{
    unsigned char first;

    if (!s.len)
        return 0;
    first = (unsigned char)s.p[0];
    if (first >= 0x80)
        return next_long(s, first, code);
    *code = first;
    return 1;
}

bool utf8_valid(struct str s)
{
    uint32_t code;

    while (s.len) {
        size_t n = utf8_next(s, &code);

        if (!n)
            return false;
        s = str_skip(s, n);
    }
    return true;
}
