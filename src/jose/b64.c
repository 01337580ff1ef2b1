/* b64.c - four characters at a time; what is wrong is gathered in one bit
 * and looked at once, so that the loop has no branch of its own.
 */
#include "jose/b64.h"

/* The value of a character in the low six bits. URL and PLAIN mark those that
 * only one alphabet has; what is in neither has both. 256 places, so that no
 * byte has to be looked at before. */
enum { URL = 0x80, PLAIN = 0x40 };

/* clang-format off */
static const uint8_t value_of[256] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0x7e, 0xff, 0xbe, 0xff, 0x7f,
    0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b,
    0x3c, 0x3d, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
    0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
    0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
    0x17, 0x18, 0x19, 0xff, 0xff, 0xff, 0xff, 0xbf,
    0xff, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20,
    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30,
    0x31, 0x32, 0x33, 0xff, 0xff, 0xff, 0xff, 0xff,
    [128 ... 255] = 0xff,
};
/* clang-format on */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789-_";

static inline unsigned value(unsigned char c)
{
    return value_of[c];
}

/* The last one to three characters. wrong is what other places of the text
 * had, in the bit `foreign`. */
static enum err decode_tail(const unsigned char *p, size_t n, uint8_t *to,
                            unsigned wrong, unsigned foreign, size_t *len)
{
    unsigned a, b, c;

    if (n == 1)
        return ERR_INVALID;
    if (n > 1) {
        a = value(p[0]);
        b = value(p[1]);
        c = n > 2 ? value(p[2]) : 0;
        wrong |= a | b | c;
        if (n == 2 ? b & 0x0f : c & 0x03)
            return ERR_INVALID;
        to[0] = (uint8_t)((a & 63) << 2 | (b & 63) >> 4);
        if (n == 3)
            to[1] = (uint8_t)((b & 15) << 4 | (c & 63) >> 2);
        *len += n - 1;
    }
    return wrong & foreign ? ERR_INVALID : ERR_OK;
}

static enum err decode(struct str text, unsigned foreign, void *out,
                       size_t *len)
{
    const unsigned char *p = (const unsigned char *)text.p;
    size_t whole = text.len / 4, n = whole * 3;
    unsigned wrong = 0;
    uint8_t *to = out;
    enum err e;

    for (; whole; whole--, p += 4, to += 3) {
        unsigned a = value(p[0]), b = value(p[1]), c = value(p[2]),
                 d = value(p[3]);
        unsigned bits =
            (a & 63) << 18 | (b & 63) << 12 | (c & 63) << 6 | (d & 63);

        wrong |= a | b | c | d;
        to[0] = (uint8_t)(bits >> 16);
        to[1] = (uint8_t)(bits >> 8);
        to[2] = (uint8_t)bits;
    }
    e = decode_tail(p, text.len % 4, to, wrong, foreign, &n);
    if (!e)
        *len = n;
    return e;
}

enum err b64url_decode(struct str text, void *to, size_t *len)
{
    return decode(text, PLAIN, to, len);
}

enum err b64_decode(struct str text, void *to, size_t *len)
{
    if (text.len % 4)
        return ERR_INVALID;
    for (int i = 0; i < 2 && text.len && text.p[text.len - 1] == '='; i++)
        text.len--;
    return decode(text, URL, to, len);
}

static size_t encode(const uint8_t *p, size_t n, char *to)
{
    char *start = to;

    for (; n >= 3; n -= 3, p += 3) {
        *to++ = alphabet[p[0] >> 2];
        *to++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
        *to++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
        *to++ = alphabet[p[2] & 63];
    }
    if (n) {
        unsigned second = n > 1 ? p[1] : 0;

        *to++ = alphabet[p[0] >> 2];
        *to++ = alphabet[(p[0] & 3) << 4 | second >> 4];
        if (n > 1)
            *to++ = alphabet[(second & 15) << 2];
    }
    return (size_t)(to - start);
}

size_t b64url_encode(const void *bytes, size_t n, char *to)
{
    return encode(bytes, n, to);
}

size_t b64_encode(const void *bytes, size_t n, char *to)
{
    size_t len = encode(bytes, n, to);

    for (size_t i = 0; i < len; i++)
        to[i] = (char)(to[i] == '-' ? '+' : to[i] == '_' ? '/' : to[i]);
    while (len % 4)
        to[len++] = '=';
    return len;
}

struct str b64url_encode_in(struct arena *a, struct str bytes)
{
    char *text = arena_raw(a, b64url_encoded(bytes.len) + 1);
    size_t n = encode((const uint8_t *)bytes.p, bytes.len, text);

    text[n] = 0;
    return str_from(text, n);
}

enum err b64url_decode_in(struct arena *a, struct str text, struct str *out)
{
    char *bytes = arena_raw(a, b64_decoded(text.len) + 1);
    size_t n;
    enum err e = b64url_decode(text, bytes, &n);

    if (e)
        return e;
    bytes[n] = 0;
    *out = str_from(bytes, n);
    return ERR_OK;
}
