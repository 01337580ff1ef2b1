/* arena.h - memory that lives exactly as long as one thing: a request, a
 * document, a compiled API.
 *
 * Who has one allocates and never frees. Allocation does not fail: out of
 * memory ends the process. Bytes whose number a peer chooses go into a struct
 * buf (buf.h), which has a ceiling and can say ERR_LIMIT.
 * Threads: none. An arena belongs to one thread at a time. First and
 * second blocks are recycled through small lists per thread.
 */
#ifndef TG_BASE_ARENA_H
#define TG_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

/* Address-sanitized builds fence every allocation and recycle nothing, so
 * that overruns and use after arena_free() are found. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_FENCED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_FENCED 1
#endif
#endif
#ifndef ARENA_FENCED
#define ARENA_FENCED 0
#endif

#define ARENA_ALIGN _Alignof(max_align_t)

/* Visible for the inline functions only; nobody else looks inside. */
struct arena {
    char *at, *end;             /* room of the current block, both aligned */
    struct arena_block *blocks; /* all but the first, newest first */
    struct arena_call *calls;   /* deferred, newest first */
    size_t held;
    size_t next_size; /* of the next block */
};

struct arena *arena_new(void);
/* Runs the deferred calls, newest first, then frees all. NULL is fine. */
void arena_free(struct arena *a);
/* arena_raw() when the current block has no room. */
void *arena_more(struct arena *a, size_t size);

/* Aligned for any type, not zeroed, valid until arena_free(). */
static inline void *arena_raw(struct arena *a, size_t size)
{
    char *p = a->at;

    /* The room is a multiple of the alignment, so what fits still fits when
     * it is rounded up. */
    if (ARENA_FENCED || size > (size_t)(a->end - p))
        return arena_more(a, size);
    a->at = p + ((size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1));
    return p;
}

/* The same, zeroed. */
static inline void *arena_alloc(struct arena *a, size_t size)
{
    return memset(arena_raw(a, size), 0, size);
}

/* A copy, with a terminating NUL behind it that len does not count. */
struct str arena_copy(struct arena *a, struct str s);
/* Formatted, likewise NUL-terminated. */
struct str arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
struct str arena_vprintf(struct arena *a, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Call fn(arg) in arena_free(): close a file, reset a statement, unref. */
void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg);
/* Bytes held, blocks and all. */
size_t arena_size(const struct arena *a);
/* Frees this thread's recycled blocks; call before a thread ends. */
void arena_thread_done(void);

/* For what lives as long as the process: malloc and free that end the process
 * when memory is out. x_new() and x_array() zero, x_resize() does not. */
void *x_new(size_t size);
void *x_array(size_t count, size_t size);
void *x_resize(void *p, size_t size);
char *x_strdup(struct str s); /* NUL-terminated copy */
void x_free(void *p);

#endif
