/* access_escape.c - see access_escape.h. Every call pays for this, so plain
 * text is copied many bytes at a time, and nothing goes through printf.
 */
#include "gateway/access_escape.h"

#if defined(__SSE2__) && !defined(H1_PLAIN)
#include <emmintrin.h>
#endif

#include "base/utf8.h"

static unsigned digits_of(uint64_t n)
{
    static const uint64_t powers[] = {
        0,
        10ull,
        100ull,
        1000ull,
        10000ull,
        100000ull,
        1000000ull,
        10000000ull,
        100000000ull,
        1000000000ull,
        10000000000ull,
        100000000000ull,
        1000000000000ull,
        10000000000000ull,
        100000000000000ull,
        1000000000000000ull,
        10000000000000000ull,
        100000000000000000ull,
        1000000000000000000ull,
        10000000000000000000ull,
    };
    unsigned bits = 64 - (unsigned)__builtin_clzll(n | 1);
    unsigned least = bits * 1233 >> 12; /* times log10(2) */

    return least + (n >= powers[least]);
}

void line_u64(struct line *l, uint64_t n)
{
    unsigned digits = n ? digits_of(n) : 1;
    char *p = l->p + digits;

    if (digits > (size_t)(l->end - l->p)) {
        l->cut = true;
        return;
    }
    l->p = p;
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
}

/* Escaping. Plain bytes are printable ASCII but quote and backslash; the same
 * ones for JSON and for text. */

#define EACH(byte) (0x0101010101010101ull * (byte))

/* Not 0 when one of eight bytes is not plain. The subtractions borrow across
 * bytes only from one that is not plain itself. */
static inline uint64_t not_plain(uint64_t x)
{
    return (x | (x + EACH(1)) | (x - EACH(0x20)) | ((x ^ EACH('"')) - EACH(1)) |
            ((x ^ EACH('\\')) - EACH(1))) &
           EACH(0x80);
}

static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static char hex_digit(unsigned n)
{
    return "0123456789abcdef"[n & 15];
}

static void put_hex(struct line *l, unsigned char c)
{
    char text[4] = { '\\', 'x', hex_digit(c >> 4), hex_digit(c) };

    line_put(l, text, sizeof(text));
}

static void put_json_ascii(struct line *l, unsigned char c)
{
    char text[6] = { '\\', 'u', '0', '0', hex_digit(c >> 4), hex_digit(c) };

    if (c == '"' || c == '\\') {
        text[1] = (char)c;
        line_put(l, text, 2);
    } else {
        line_put(l, text, sizeof(text));
    }
}

/* The first character of s, which is not plain; returns its bytes. */
static size_t put_special(struct line *l, struct str s)
{
    uint32_t code = 0;
    size_t n;

    if (!l->json) {
        put_hex(l, (unsigned char)s.p[0]);
        return 1;
    }
    n = utf8_next(s, &code);
    if (!n)
        line_put(l, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT));
    else if (code < 0xa0) /* C1 controls move a terminal's cursor too */
        put_json_ascii(l, (unsigned char)code);
    else
        line_put(l, s.p, n);
    return n ? n : 1;
}

/* Up to the first special character, and that. */
static struct str put_slowly(struct line *l, struct str s)
{
    size_t n = 0;

    while (n < s.len && is_plain((unsigned char)s.p[n]))
        n++;
    if (n > (size_t)(l->end - l->p)) {
        n = (size_t)(l->end - l->p);
        l->cut = true;
    }
    line_put(l, s.p, n);
    s = str_skip(s, n);
    if (s.len && !l->cut)
        s = str_skip(s, put_special(l, s));
    return s;
}

/* Copying plain text. Each of these copies n bytes when they are all plain,
 * which for the last ones of a text means some of them twice. */

static inline bool copy_few(char *out, const char *p, size_t n) /* 1 to 3 */
{
    uint32_t x = (uint32_t)(unsigned char)p[0] << 16 |
                 (uint32_t)(unsigned char)p[n / 2] << 8 |
                 (unsigned char)p[n - 1];

    if (not_plain(x | EACH('a') << 24))
        return false;
    out[0] = p[0];
    out[n / 2] = p[n / 2];
    out[n - 1] = p[n - 1];
    return true;
}

static inline bool copy_4_to_8(char *out, const char *p, size_t n)
{
    uint32_t head, tail;

    memcpy(&head, p, 4);
    memcpy(&tail, p + n - 4, 4);
    if (not_plain((uint64_t)head << 32 | tail))
        return false;
    memcpy(out, &head, 4);
    memcpy(out + n - 4, &tail, 4);
    return true;
}

/* Sixteen bytes, eight from each of two places. */
static inline bool copy_16(char *out, char *out2, const char *p, const char *p2)
{
    uint64_t x, y;
    bool plain;

    memcpy(&x, p, 8);
    memcpy(&y, p2, 8);
#if defined(__SSE2__) && !defined(H1_PLAIN)
    {
        __m128i v = _mm_set_epi64x((int64_t)y, (int64_t)x);
        __m128i bad = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));

        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
        /* As signed numbers those from 0x80 on are small, too. */
        bad = _mm_or_si128(bad, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)));
        plain = !_mm_movemask_epi8(bad);
    }
#else
    plain = !(not_plain(x) | not_plain(y));
#endif
    if (plain) {
        memcpy(out, &x, 8);
        memcpy(out2, &y, 8);
    }
    return plain;
}

/* Copies text as far as it is plain, or a little less; returns how far. */
static inline size_t copy_plain(char *out, const char *p, size_t n)
{
    size_t i;

    if (n < 4)
        return copy_few(out, p, n) ? n : 0;
    if (n < 8)
        return copy_4_to_8(out, p, n) ? n : 0;
    for (i = 0; i + 16 <= n; i += 16)
        if (!copy_16(out + i, out + i + 8, p + i, p + i + 8))
            return i;
    if (i == n)
        return n;
    if (i == 0)
        return copy_16(out, out + n - 8, p, p + n - 8) ? n : 0;
    out += n - 16;
    p += n - 16;
    return copy_16(out, out + 8, p, p + 8) ? n : i;
}

/* From the n-th byte on, which may not be plain or not fit. */
static __attribute__((noinline)) void escape_rest(struct line *l, struct str s,
                                                  size_t n)
{
    for (;;) {
        l->p += n;
        s = str_skip(s, n);
        if (!s.len || l->cut)
            return;
        s = put_slowly(l, s);
        n = 0;
        if (s.len && s.len <= (size_t)(l->end - l->p))
            n = copy_plain(l->p, s.p, s.len);
    }
}

/* Most texts are plain and fit: that way saves no registers. */
void line_escaped(struct line *l, struct str s)
{
    size_t n = 0;

    if (!s.len)
        return;
    if (s.len <= (size_t)(l->end - l->p))
        n = copy_plain(l->p, s.p, s.len);
    if (n == s.len)
        l->p += n;
    else
        escape_rest(l, s, n);
}

/* Secrets in queries */

enum { PARAMETER_MAX = 16 }; /* the longest of them */

/* By length, in lower case, "-" and "_" alike. */
static const char *const secret_parameters[PARAMETER_MAX + 1][3] = {
    [3] = { "jwt", "pwd" },
    [4] = { "code" },
    [5] = { "token" },
    [6] = { "apikey", "secret", "passwd" },
    [7] = { "api_key" },
    [8] = { "password", "id_token" },
    [9] = { "assertion", "x_api_key" },
    [12] = { "access_token", "internal_key" },
    [13] = { "refresh_token", "client_secret" },
    [16] = { "client_assertion", "subscription_key" },
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = char_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A parameter's name as a backend will read it: decoded and in lower case.
 * Returns its length, or more than PARAMETER_MAX. */
static size_t parameter_name(struct str s, char out[PARAMETER_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < s.len && n <= PARAMETER_MAX; i++, n++) {
        char c = s.p[i];

        if (c == '%' && i + 2 < s.len && hex_value(s.p[i + 1]) >= 0 &&
            hex_value(s.p[i + 2]) >= 0) {
            c = (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
            i += 2;
        }
        if (n < PARAMETER_MAX)
            out[n] = c == '-' ? '_' : char_lower(c);
    }
    return n;
}

static bool is_secret_parameter(struct str name)
{
    char text[PARAMETER_MAX];
    size_t n;

    if (name.len < 3 || name.len > 3 * PARAMETER_MAX)
        return false;
    n = parameter_name(name, text);
    if (n > PARAMETER_MAX)
        return false;
    for (size_t i = 0; i < 3 && secret_parameters[n][i]; i++)
        if (memcmp(secret_parameters[n][i], text, n) == 0)
            return true;
    return false;
}

static inline bool ends_parameter(char c)
{
    static const bool ends[256] = {
        ['&'] = true, [';'] = true, ['?'] = true, ['#'] = true
    };

    return ends[(unsigned char)c];
}

/* What is behind the "?" or "#" of a reference: everything but the values of
 * secret parameters, which are searched for between all that may separate
 * parameters somewhere. */
static void put_query(struct line *l, struct str s)
{
    size_t from = 0, name = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (ends_parameter(s.p[i])) {
            name = i + 1;
            continue;
        }
        if (s.p[i] != '=')
            continue;
        i++;
        if (is_secret_parameter(str_from(s.p + name, i - 1 - name))) {
            line_escaped(l, str_from(s.p + from, i - from));
            LINE(l, "***");
            while (i < s.len && !ends_parameter(s.p[i]))
                i++;
            from = i;
        } else {
            while (i < s.len && !ends_parameter(s.p[i]))
                i++;
        }
        name = i + 1;
    }
    line_escaped(l, str_skip(s, from));
}

/* "https://user:password@host": all up to the "@", or nothing when there is no
 * such thing. */
static struct str put_userinfo(struct line *l, struct str s)
{
    const char *colon = s.len ? memchr(s.p, ':', s.len) : NULL, *at;
    struct str rest, authority;

    if (!colon)
        return s;
    rest = str_skip(s, (size_t)(colon - s.p));
    if (!str_starts(rest, STR("://")))
        return s;
    rest = str_skip(rest, 3);
    at = rest.len ? memrchr(rest.p, '@', rest.len) : NULL;
    if (!at)
        return s;
    /* The last one before what ends the authority. */
    authority = str_head(rest, str_find(rest, '/'));
    authority = str_head(authority, str_find(authority, '?'));
    authority = str_head(authority, str_find(authority, '#'));
    at = authority.len ? memrchr(authority.p, '@', authority.len) : NULL;
    if (!at)
        return s;
    line_escaped(l, str_head(s, (size_t)(rest.p - s.p)));
    LINE(l, "***");
    return str_skip(s, (size_t)(at - s.p));
}

void line_reference(struct line *l, struct str s)
{
    const char *mark;
    size_t path;

    if (s.len && s.p[0] != '/')
        s = put_userinfo(l, s);
    mark = s.len ? memchr(s.p, '?', s.len) : NULL;
    path = mark ? (size_t)(mark - s.p) : s.len;
    mark = path ? memchr(s.p, '#', path) : NULL;
    if (mark)
        path = (size_t)(mark - s.p);
    line_escaped(l, str_head(s, path));
    if (path < s.len)
        put_query(l, str_skip(s, path));
}

void line_value(struct line *l, struct str s, size_t max,
                void (*put_it)(struct line *l, struct str s))
{
    char *end = l->end;
    bool before = l->cut, cut;

    if (s.len <= max / 6) { /* an escape is at most six bytes */
        put_it(l, s);
        return;
    }
    if (max + 3 <= (size_t)(end - l->p))
        l->end = l->p + max;
    l->cut = false;
    put_it(l, s);
    cut = l->cut;
    l->end = end;
    l->cut = before;
    if (cut)
        LINE(l, "...");
}
