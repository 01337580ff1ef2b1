/* h1_chars.h - which bytes may stand where in HTTP/1.1, and spans of them.
 *
 * Private to the h1_*.c files and their test, and to h2_fields.c. Every span exists twice: in
 * plain C over one table, and with SSE2, which every x86-64 has, sixteen
 * bytes at a time. The test compares the two; -DH1_PLAIN builds without SSE2.
 *
 * The spans look at s[0..end) and return the first byte that does not belong.
 * There must be one (a head ends in CRLF, which never belongs), and the SSE2
 * ones need 16 readable bytes before end; every valid head has that.
 */
#ifndef TG_HTTP_H1_CHARS_H
#define TG_HTTP_H1_CHARS_H

#include "base/str.h"

#if defined(__SSE2__) && !defined(H1_PLAIN)
#define H1_SSE2 1
#include <emmintrin.h>
#else
#define H1_SSE2 0
#endif

enum {
    H1_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
    H1_VALUE = 2,  /* HTAB, SP, VCHAR, obs-text */
    H1_TARGET = 4, /* VCHAR without '#' */
    H1_PATH = 8,   /* the same without '?' */
};
extern const uint8_t h1_class[256];

static inline bool h1_is(char c, int what)
{
    return (h1_class[(unsigned char)c] & what) != 0;
}

static inline const char *h1_span_plain(const char *s, int what)
{
    while (h1_is(*s, what))
        s++;
    return s;
}

#if H1_SSE2

static inline __m128i h1_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Which bytes are from .. from + more. */
static inline __m128i h1_within(__m128i v, char from, char more)
{
    __m128i above = _mm_sub_epi8(v, _mm_set1_epi8(from));

    return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(more)), above);
}

/* A bit for every byte that is no letter, digit or '-'. Rarer token bytes have
 * to be looked up in the table. */
static inline unsigned h1_not_name(__m128i v)
{
    __m128i letter = h1_within(_mm_or_si128(v, _mm_set1_epi8(0x20)), 'a', 25);
    __m128i digit = h1_within(v, '0', 9);
    __m128i dash = _mm_cmpeq_epi8(v, _mm_set1_epi8('-'));
    __m128i ok = _mm_or_si128(_mm_or_si128(letter, digit), dash);

    return (unsigned)_mm_movemask_epi8(ok) ^ 0xffffu;
}

/* A bit for every control, and for every byte from 0x80 on, which may stand in
 * a value but seldom does: h1_value_end() looks again. Adding one takes DEL
 * below zero, so one comparison does. */
static inline unsigned h1_not_plain(__m128i v)
{
    __m128i more = _mm_add_epi8(v, _mm_set1_epi8(1));
    __m128i ok = _mm_cmpgt_epi8(more, _mm_set1_epi8(0x20));

    return (unsigned)_mm_movemask_epi8(ok) ^ 0xffffu;
}

static inline unsigned h1_not_target(__m128i v)
{
    __m128i hash = _mm_cmpeq_epi8(v, _mm_set1_epi8('#'));
    __m128i more = _mm_add_epi8(v, _mm_set1_epi8(1));
    __m128i ok = _mm_cmpgt_epi8(more, _mm_set1_epi8(0x21));

    return (unsigned)_mm_movemask_epi8(_mm_andnot_si128(hash, ok)) ^ 0xffffu;
}

static inline unsigned h1_not_path(__m128i v)
{
    __m128i mark = _mm_cmpeq_epi8(v, _mm_set1_epi8('?'));

    return h1_not_target(v) | (unsigned)_mm_movemask_epi8(mark);
}

/* Near the end the last sixteen bytes are looked at once more and those
 * before s are shifted out, so nothing behind end is ever read. */
static inline __attribute__((always_inline)) const char *
h1_span_sse2(const char *s, const char *end, unsigned (*stops)(__m128i))
{
    const char *last = end - 16;
    unsigned mask;

    for (; s <= last; s += 16) {
        mask = stops(h1_load(s));
        if (mask)
            return s + (size_t)__builtin_ctz(mask);
    }
    mask = stops(h1_load(last)) >> (s - last);
    return s + (size_t)__builtin_ctz(mask);
}

#endif

static inline const char *h1_value_end(const char *s, const char *end)
{
#if H1_SSE2
    for (;; s++) {
        s = h1_span_sse2(s, end, h1_not_plain);
        if (*s == '\r' || !h1_is(*s, H1_VALUE))
            return s;
    }
#else
    (void)end;
    return h1_span_plain(s, H1_VALUE);
#endif
}

static inline const char *h1_target_end(const char *s, const char *end)
{
#if H1_SSE2
    return h1_span_sse2(s, end, h1_not_target);
#else
    (void)end;
    return h1_span_plain(s, H1_TARGET);
#endif
}

static inline const char *h1_path_end(const char *s, const char *end)
{
#if H1_SSE2
    return h1_span_sse2(s, end, h1_not_path);
#else
    (void)end;
    return h1_span_plain(s, H1_PATH);
#endif
}

#endif
