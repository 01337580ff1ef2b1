/* buf.c - see buf.h.
 *
 * One byte more than cap is always allocated: vsnprintf() writes a NUL, and
 * text that fills the buffer to max exactly must still fit.
 */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

enum { SMALLEST = 64 };

void buf_init(struct buf *b, size_t max)
{
    must(max < SIZE_MAX);
    *b = (struct buf) { .max = max };
}

void buf_done(struct buf *b)
{
    free(b->p);
    buf_init(b, b->max);
}

static size_t grown_cap(const struct buf *b, size_t need)
{
    size_t cap = SMALLEST;

    if (b->cap)
        cap = b->cap > b->max / 2 ? b->max : b->cap * 2;
    if (cap < need)
        cap = need;
    return cap < b->max ? cap : b->max;
}

enum err buf_reserve(struct buf *b, size_t n)
{
    size_t cap;
    char *p;

    if (n > b->max - b->len)
        return ERR_LIMIT;
    if (b->p && n <= b->cap - b->len)
        return ERR_OK;
    cap = grown_cap(b, b->len + n);
    /* Big buffers are what fails when memory is short; that is a limit like
     * any other and must not end the process. */
    p = realloc(b->p, cap + 1);
    if (!p)
        return ERR_LIMIT;
    b->p = p;
    b->cap = cap;
    return ERR_OK;
}

enum err buf_add(struct buf *b, const void *p, size_t n)
{
    enum err e = buf_reserve(b, n);

    if (e)
        return e;
    if (n)
        memcpy(b->p + b->len, p, n);
    b->len += n;
    return ERR_OK;
}

enum err buf_str(struct buf *b, struct str s)
{
    return buf_add(b, s.p, s.len);
}

enum err buf_z(struct buf *b, const char *z)
{
    return buf_add(b, z, strlen(z));
}

enum err buf_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

enum err buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    size_t room = b->p ? b->cap - b->len + 1 : 0;
    enum err e = ERR_OK;
    int n;

    va_copy(again, ap);
    n = vsnprintf(room ? b->p + b->len : NULL, room, fmt, ap);
    must(n >= 0);
    if ((size_t)n >= room) {
        e = buf_reserve(b, (size_t)n);
        if (!e)
            vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
    }
    if (!e)
        b->len += (size_t)n;
    va_end(again);
    return e;
}

enum err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    enum err e;

    va_start(ap, fmt);
    e = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return e;
}

void buf_drop(struct buf *b, size_t n)
{
    must(n <= b->len);
    b->len -= n;
    if (b->len && n)
        memmove(b->p, b->p + n, b->len);
}
