/* arena.c - blocks behind arena.h.
 *
 * The first block holds struct arena itself, so a small request costs one
 * block. It and the second one come from the thread's own lists: no lock, no
 * malloc. Later blocks double, so that a document of any size needs few of
 * them.
 */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

#if ARENA_FENCED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum {
    FIRST_SIZE = 4096,
    SECOND_SIZE = 2 * FIRST_SIZE,
    LARGEST_SIZE = 256 * 1024,
    SPARE_MAX = 64,
    FENCE = ARENA_FENCED ? 16 : 0,
};

struct arena_block {
    _Alignas(max_align_t) struct arena_block *next;
    size_t size; /* in all */
};

struct arena_call {
    struct arena_call *next;
    void (*fn)(void *arg);
    void *arg;
};

/* Blocks of one size that nobody uses, linked through their first word. */
struct spare {
    struct spare *next;
};
struct spares {
    struct spare *list;
    unsigned count;
};
static _Thread_local struct spares firsts, seconds;

static size_t round_up(size_t n)
{
    return (n + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
}

static _Noreturn void out_of_memory(size_t wanted)
{
    log_error("memory", "out of memory, %zu bytes were wanted", wanted);
    /* No handlers and no core dump: nothing in here went wrong. */
    _exit(EXIT_FAILURE);
}

static void *get(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        out_of_memory(size);
    return p;
}

static void *reuse(struct spares *s, size_t size)
{
    struct spare *p = s->list;

    if (!p)
        return get(size);
    s->list = p->next;
    s->count--;
    return p;
}

static void put_by(struct spares *s, void *block)
{
    struct spare *p = block;

    if (ARENA_FENCED || s->count >= SPARE_MAX) {
        free(p);
        return;
    }
    p->next = s->list;
    s->list = p;
    s->count++;
}

static void free_all(struct spares *s)
{
    while (s->list) {
        struct spare *next = s->list->next;

        free(s->list);
        s->list = next;
    }
    s->count = 0;
}

struct arena *arena_new(void)
{
    struct arena *a = reuse(&firsts, FIRST_SIZE);

    a->at = (char *)a + round_up(sizeof(*a));
    a->end = (char *)a + FIRST_SIZE;
    a->blocks = NULL;
    a->calls = NULL;
    a->held = FIRST_SIZE;
    a->next_size = SECOND_SIZE;
    ASAN_POISON_MEMORY_REGION(a->at, (size_t)(a->end - a->at));
    return a;
}

static void free_blocks(struct arena_block *b)
{
    while (b) {
        struct arena_block *next = b->next;

        if (b->size == SECOND_SIZE)
            put_by(&seconds, b);
        else
            free(b);
        b = next;
    }
}

void arena_free(struct arena *a)
{
    struct arena_call *call;

    if (!a)
        return;
    /* Taken off before it runs: a call may allocate and defer once more. */
    while ((call = a->calls)) {
        a->calls = call->next;
        call->fn(call->arg);
    }
    free_blocks(a->blocks);
    put_by(&firsts, a);
}

void arena_thread_done(void)
{
    free_all(&firsts);
    free_all(&seconds);
}

/* A block with room for n bytes behind its head; returns the room. */
static char *add_block(struct arena *a, size_t n)
{
    size_t size = sizeof(struct arena_block) + n;
    struct arena_block *b =
        size == SECOND_SIZE ? reuse(&seconds, size) : get(size);
    char *room = (char *)(b + 1);

    b->next = a->blocks;
    b->size = size;
    a->blocks = b;
    a->held += size;
    ASAN_POISON_MEMORY_REGION(room, n);
    return room;
}

static char *take_new(struct arena *a, size_t n)
{
    size_t left = (size_t)(a->end - a->at);
    size_t room = a->next_size - sizeof(struct arena_block);
    char *p;

    /* Something big gets a block of its own, and what follows goes on in
     * whichever block has more room left. */
    if (n > room || room - n < left)
        return add_block(a, n);
    p = add_block(a, room);
    a->at = p + n;
    a->end = p + room;
    if (a->next_size < LARGEST_SIZE)
        a->next_size *= 2;
    return p;
}

void *arena_more(struct arena *a, size_t size)
{
    size_t n;
    char *p;

    if (size > SIZE_MAX / 2)
        out_of_memory(size);
    n = round_up(size) + FENCE;
    if (n <= (size_t)(a->end - a->at)) {
        p = a->at;
        a->at += n;
    } else {
        p = take_new(a, n);
    }
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    return p;
}

struct str arena_copy(struct arena *a, struct str s)
{
    char *p = arena_raw(a, s.len + 1);

    if (s.len)
        memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return str_from(p, s.len);
}

struct str arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    int n;
    char *p;

    va_copy(again, ap);
    n = vsnprintf(small, sizeof(small), fmt, ap);
    must(n >= 0);
    p = arena_raw(a, (size_t)n + 1);
    if ((size_t)n < sizeof(small))
        memcpy(p, small, (size_t)n + 1);
    else
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return str_from(p, (size_t)n);
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    struct str s;
    va_list ap;

    va_start(ap, fmt);
    s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}

void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg)
{
    struct arena_call *call = arena_raw(a, sizeof(*call));

    *call = (struct arena_call) { a->calls, fn, arg };
    a->calls = call;
}

size_t arena_size(const struct arena *a)
{
    return a->held;
}

void *x_new(size_t size)
{
    return x_array(1, size);
}

void *x_array(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);

    if (!p)
        out_of_memory(count * size);
    return p;
}

void *x_resize(void *p, size_t size)
{
    void *grown = realloc(p, size ? size : 1);

    if (!grown)
        out_of_memory(size);
    return grown;
}

char *x_strdup(struct str s)
{
    char *p;

    if (s.len == SIZE_MAX)
        out_of_memory(s.len);
    p = get(s.len + 1);
    if (s.len)
        memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return p;
}

void x_free(void *p)
{
    free(p);
}
