/* b64.h - base64url and base64 (RFC 4648), strictly: bytes have one text.
 *
 * Refused are white space, bytes of the other alphabet, a wrong length, and
 * unused bits of the last character that are not zero: two texts of one token
 * would be two keys of one cache entry. base64url here has no padding (RFC
 * 7515 section 2), base64 must have it.
 */
#ifndef TG_JOSE_B64_H
#define TG_JOSE_B64_H

#include "base/arena.h"

/* Characters for n bytes. */
static inline size_t b64url_encoded(size_t n)
{
    return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}

static inline size_t b64_encoded(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* Bytes that len characters stand for, padding not counted as such. */
static inline size_t b64_decoded(size_t len)
{
    return len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0);
}

/* Write the characters for n bytes to `to`, without a NUL. Return how many:
 * b64url_encoded(n), b64_encoded(n). */
size_t b64url_encode(const void *bytes, size_t n, char *to);
size_t b64_encode(const void *bytes, size_t n, char *to);

/* `to` has room for b64_decoded(text.len) bytes; it may have been written to
 * when the answer is ERR_INVALID. */
enum err b64url_decode(struct str text, void *to, size_t *len);
enum err b64_decode(struct str text, void *to, size_t *len);

/* The same into an arena. */
struct str b64url_encode_in(struct arena *a, struct str bytes);
enum err b64url_decode_in(struct arena *a, struct str text, struct str *out);

#endif
