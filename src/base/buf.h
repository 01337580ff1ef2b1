/* buf.h - growing bytes with a ceiling.
 *
 * A buffer cannot be made without saying how big is too big; growing past
 * that is ERR_LIMIT and leaves the contents as they were. For text a peer or
 * a document chooses the size of, and for everything that is written piece by
 * piece.
 */
#ifndef TG_BASE_BUF_H
#define TG_BASE_BUF_H

#include <stdarg.h>

#include "base/str.h"

struct buf {
    char *p;
    size_t len;
    size_t cap;
    size_t max;
};

void buf_init(struct buf *b, size_t max);
/* Frees; the buffer is empty and usable afterwards. */
void buf_done(struct buf *b);
/* Room for n more bytes at p + len. ERR_LIMIT when len + n > max. */
enum err buf_reserve(struct buf *b, size_t n);
enum err buf_add(struct buf *b, const void *p, size_t n);
enum err buf_str(struct buf *b, struct str s);
enum err buf_z(struct buf *b, const char *z);
enum err buf_char(struct buf *b, char c);
enum err buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
enum err buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* Drops the first n bytes (n <= len). */
void buf_drop(struct buf *b, size_t n);

static inline struct str buf_view(const struct buf *b)
{
    return (struct str) { b->p, b->len };
}

#endif
