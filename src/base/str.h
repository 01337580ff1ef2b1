/* str.h - text as pointer and length; never owned, seldom terminated.
 *
 * Bytes, not characters: nothing here knows UTF-8. Case folding is ASCII
 * only, as header names, schemes and hosts want it.
 */
#ifndef TG_BASE_STR_H
#define TG_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct str {
    const char *p;
    size_t len;
};

#define STR(literal) ((struct str) { "" literal, sizeof(literal) - 1 })
#define STR_NULL ((struct str) { NULL, 0 })
/* For printf("%.*s"). */
#define STR_ARG(s) (int)(s).len, (s).p ? (s).p : ""

static inline struct str str_from(const char *p, size_t len)
{
    return (struct str) { p, len };
}

static inline struct str str_z(const char *z)
{
    return (struct str) { z, z ? strlen(z) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool str_is(struct str a, const char *z)
{
    return str_eq(a, str_z(z));
}

static inline char char_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len &&
           (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

static inline bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 ||
            memcmp(s.p + s.len - suffix.len, suffix.p, suffix.len) == 0);
}

static inline struct str str_skip(struct str s, size_t n)
{
    return n >= s.len ? (struct str) { s.p ? s.p + s.len : NULL, 0 }
                      : (struct str) { s.p + n, s.len - n };
}

static inline struct str str_head(struct str s, size_t n)
{
    return n >= s.len ? s : (struct str) { s.p, n };
}

/* ASCII case-insensitive equality. */
bool str_eq_nocase(struct str a, struct str b);
/* Index of c, or s.len when there is none. */
size_t str_find(struct str s, char c);
/* Index of the last c, or s.len when there is none. */
size_t str_rfind(struct str s, char c);
/* Without leading and trailing spaces and tabs. */
struct str str_trim(struct str s);
/* Cuts *rest at the first sep: returns what is before it and moves *rest
 * behind it. Without a sep returns all and *rest becomes {NULL, 0}, so
 * `while (rest.p) part = str_cut(&rest, ',')` visits every part. */
struct str str_cut(struct str *rest, char sep);
/* All of s as decimal digits, no sign, no space; ERR_INVALID for anything
 * else, ERR_LIMIT above max. */
enum err str_to_u64(struct str s, uint64_t max, uint64_t *out);
/* Whether s is as pattern says, in which each * stands for any bytes, also
 * none. Linear in s. */
bool str_matches(struct str pattern, struct str s);

/* Negative, 0 or positive, like memcmp, shorter first when one is the prefix
 * of the other. */
int str_cmp(struct str a, struct str b);

#endif
