/* problem.c - see problem.h. */
#include "base/problem.h"

#include <stdio.h>

#include "base/log.h"
#include "base/utf8.h"

enum { TEXT_BYTES = 1024 };

#define ELLIPSIS "\xe2\x80\xa6"

void problems_init(struct problems *ps, struct arena *a)
{
    *ps = (struct problems) { .arena = a };
}

/* Cuts at the end of a character and says that something is missing. */
static size_t shorten(char text[TEXT_BYTES])
{
    size_t n = TEXT_BYTES - sizeof(ELLIPSIS);

    while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    memcpy(text + n, ELLIPSIS, sizeof(ELLIPSIS));
    return n + strlen(ELLIPSIS);
}

/* One line, whatever the input that is quoted in it holds. */
static struct str one_line(struct arena *a, const char *fmt, va_list ap)
{
    char text[TEXT_BYTES];
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    size_t len;

    must(n >= 0);
    len = (size_t)n < sizeof(text) ? (size_t)n : shorten(text);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = ' ';
    return arena_copy(a, str_from(text, len));
}

static void add(struct problems *ps, enum problem_kind kind, struct str file,
                uint32_t line, const char *fmt, va_list ap)
{
    struct problem *p;

    *(kind == PROBLEM_ERROR ? &ps->errors : &ps->warnings) += 1;
    if (ps->kept == PROBLEMS_MAX)
        return;
    p = arena_alloc(ps->arena, sizeof(*p));
    p->kind = kind;
    p->line = line;
    p->file = ps->last && str_eq(ps->last->file, file)
                  ? ps->last->file
                  : arena_copy(ps->arena, file);
    p->text = one_line(ps->arena, fmt, ap);
    if (ps->last)
        ps->last->next = p;
    else
        ps->first = p;
    ps->last = p;
    ps->kept++;
}

void problem_error(struct problems *ps, struct str file, uint32_t line,
                   const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(ps, PROBLEM_ERROR, file, line, fmt, ap);
    va_end(ap);
}

void problem_warn(struct problems *ps, struct str file, uint32_t line,
                  const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(ps, PROBLEM_WARNING, file, line, fmt, ap);
    va_end(ap);
}

struct str problem_line(struct arena *a, const struct problem *p)
{
    if (!p->file.len)
        return arena_printf(a, "%.*s", STR_ARG(p->text));
    if (!p->line)
        return arena_printf(a, "%.*s: %.*s", STR_ARG(p->file),
                            STR_ARG(p->text));
    return arena_printf(a, "%.*s:%u: %.*s", STR_ARG(p->file), p->line,
                        STR_ARG(p->text));
}
