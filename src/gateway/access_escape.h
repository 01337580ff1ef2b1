/* access_escape.h - the pieces of an access log's line; behind access_log.h.
 *
 * What does not fit is left out, and cut says so.
 */
#ifndef TG_GATEWAY_ACCESS_ESCAPE_H
#define TG_GATEWAY_ACCESS_ESCAPE_H

#include "base/str.h"

struct line {
    char *p, *end;
    bool json; /* how values are escaped */
    bool cut;
};

static inline void line_put(struct line *l, const char *p, size_t n)
{
    if (n > (size_t)(l->end - l->p)) {
        l->cut = true;
        return;
    }
    memcpy(l->p, p, n);
    l->p += n;
}

#define LINE(line, literal) line_put(line, literal, sizeof(literal) - 1)

void line_u64(struct line *l, uint64_t n);

/* A value, escaped: as JSON wants it, or else \xHH for all that is not
 * printable ASCII, quotes and backslashes. */
void line_escaped(struct line *l, struct str s);
/* The same for a reference (a target, a Referer), or any text that may hold
 * one: a password in it, and values of query parameters that carry secrets,
 * become "***". */
void line_reference(struct line *l, struct str s);
/* With a ceiling of the escaped bytes; what is cut ends in three dots. */
void line_value(struct line *l, struct str s, size_t max,
                void (*put_it)(struct line *l, struct str s));

#endif
