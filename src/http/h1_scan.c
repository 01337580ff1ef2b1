/* h1_scan.c - where a head ends, while its bytes arrive.
 *
 * Only line ends and the first bytes are looked at here: enough to send away
 * who does not speak HTTP at once, and to stop at the ceiling. Everything
 * else waits until h1_head.c has the whole head.
 */
#include "http/h1.h"

#include "base/log.h"
#include "http/h1_chars.h"

#define METHOD_MAX 32
#define EMPTY_LINES 4 /* bytes of them before a request: CR LF CR LF */

/* Bits of h1_class, H1_TOKEN and so on. */
/* clang-format off */
const uint8_t h1_class[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, /* 0 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 10 */
    2, 15, 14, 3, 15, 15, 15, 15, 14, 14, 15, 15, 14, 15, 15, 14, /* 20 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 14, 14, 14, 14, 14, 6, /* 30 */
    14, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, /* 40 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 14, 14, 14, 15, 15, /* 50 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, /* 60 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 14, 15, 14, 15, 0, /* 70 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* 80 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* 90 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* a0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* b0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* c0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* d0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* e0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* f0 */
};
/* clang-format on */

static enum err refuse(struct h1_error *error, uint16_t status,
                       const char *what)
{
    error->status = status;
    error->what = what;
    return ERR_INVALID;
}

/* Empty lines, then the method up to its space. */
static enum err begin_request(struct h1_scan *s, const char *p, size_t len,
                              struct h1_error *error)
{
    while (s->at == s->start && s->at < EMPTY_LINES && s->at < len &&
           p[s->at] == '\r') {
        if (s->at + 1 == len)
            return ERR_AGAIN;
        if (p[s->at + 1] != '\n')
            return refuse(error, 400, "a bare CR before the request");
        s->at += 2;
        s->start = s->at;
    }
    for (; s->at < len; s->at++) {
        if (p[s->at] == ' ' && s->at > s->start) {
            s->first_done = true;
            s->at++;
            return ERR_OK;
        }
        if (!h1_is(p[s->at], H1_TOKEN))
            return refuse(error, 400, "not a request: no method");
        if (s->at - s->start == METHOD_MAX)
            return refuse(error, 501, "the method is too long");
    }
    return ERR_AGAIN;
}

static enum err begin_response(struct h1_scan *s, const char *p, size_t len,
                               struct h1_error *error)
{
    static const char name[5] = "HTTP/";
    size_t have = len < sizeof(name) ? len : sizeof(name);

    if (have == sizeof(name) ? memcmp(p, name, sizeof(name)) != 0
                             : memcmp(p, name, have) != 0)
        return refuse(error, 400, "not a response: no HTTP version");
    s->at = (uint32_t)have;
    s->first_done = have == sizeof(name);
    return s->first_done ? ERR_OK : ERR_AGAIN;
}

#if H1_SSE2

static inline unsigned lf32(const char *p)
{
    __m128i lf = _mm_set1_epi8('\n');
    int low = _mm_movemask_epi8(_mm_cmpeq_epi8(h1_load(p), lf));
    int high = _mm_movemask_epi8(_mm_cmpeq_epi8(h1_load(p + 16), lf));

    return (unsigned)low | (unsigned)high << 16;
}

/* Of the LFs in mask the first that is not simply the end of a line. */
static inline const char *notable_lf(const char *block, unsigned mask)
{
    for (; mask; mask &= mask - 1) {
        const char *lf = block + (size_t)__builtin_ctz(mask);

        if (lf[-1] != '\r' || lf[-2] == '\n')
            return lf;
    }
    return NULL;
}

/* The place of the first such LF from at on, or n; or of a byte before it when
 * there are too few for a block. The last block reaches back. */
static size_t skip_lines(const char *p, size_t at, size_t n)
{
    const char *lf;
    unsigned seen;

    for (; n - at >= 32; at += 32) {
        lf = notable_lf(p + at, lf32(p + at));
        if (lf)
            return (size_t)(lf - p);
    }
    if (n < 32 || at == n)
        return at;
    seen = (unsigned)(32 - (n - at));
    lf = notable_lf(p + n - 32, lf32(p + n - 32) >> seen << seen);
    return lf ? (size_t)(lf - p) : n;
}

#else

static size_t skip_lines(const char *p, size_t at, size_t n)
{
    (void)p;
    (void)n;
    return at;
}

#endif

/* Lines up to the empty one; n is the end of what may be looked at. Two bytes
 * have been looked at already, so p[at - 2] is there. */
static enum err scan_lines(struct h1_scan *s, const char *p, size_t n,
                           struct h1_error *error)
{
    size_t at;

    if (s->at >= n)
        return ERR_AGAIN;
    for (at = skip_lines(p, s->at, n); at < n; at++) {
        if (p[at] != '\n')
            continue;
        if (p[at - 1] != '\r')
            return refuse(error, 400, "a line that does not end in CR LF");
        if (p[at - 2] == '\n') {
            s->at = (uint32_t)(at + 1);
            return ERR_OK;
        }
    }
    s->at = (uint32_t)n;
    return ERR_AGAIN;
}

enum err h1_scan_head(struct h1_scan *s, bool request, const char *p,
                      size_t len, size_t max, size_t *start, size_t *head_len,
                      struct h1_error *error)
{
    enum err e = ERR_OK;

    must(max < UINT32_MAX / 2);
    if (!s->first_done)
        e = request ? begin_request(s, p, len, error)
                    : begin_response(s, p, len, error);
    if (!e)
        e = scan_lines(s, p, len - s->start > max ? s->start + max : len,
                       error);
    if (!e) {
        *start = s->start;
        *head_len = s->at - s->start;
        return ERR_OK;
    }
    if (e == ERR_AGAIN && len - s->start >= max) {
        if (!memchr(p + s->start, '\n', max))
            refuse(error, 414, "the first line is too long");
        else
            refuse(error, 431, "the head is too long");
        return ERR_LIMIT;
    }
    return e;
}
