/* h1_check.h - what holds of every head that was taken, and of the search for
 * its end.
 */
#ifndef TG_FUZZ_H1_CHECK_H
#define TG_FUZZ_H1_CHECK_H

#include <stdlib.h>

#include "base/log.h"
#include "http/h1.h"
#include "http/h1_chars.h"

#define CHECK_HEAD_MAX 4096

static inline void check_inside(struct str s, const char *p, size_t len)
{
    if (s.len)
        must(s.p >= p && s.p + s.len <= p + len);
}

static inline void check_all(struct str s, int what)
{
    size_t i;

    for (i = 0; i < s.len; i++)
        must(h1_is(s.p[i], what));
}

static inline void check_message(const struct message *m, const char *p,
                                 size_t len)
{
    uint32_t i;
    int id;

    must(m->count <= m->capacity);
    for (i = 0; i < m->count; i++) {
        const struct header *f = &m->headers[i];

        check_inside(f->name, p, len);
        check_inside(f->value, p, len);
        must(f->name.len > 0);
        check_all(f->name, H1_TOKEN);
        check_all(f->value, H1_VALUE);
        must(str_eq(f->value, str_trim(f->value)));
        must(f->id == field_id(f->name));
        must(f->hop || !field_hop_by_hop((enum field)f->id));
    }
    for (id = 1; id < FIELD_COUNT; id++) {
        const struct header *f = message_get(m, (enum field)id);

        for (i = 0; i < m->count && m->headers[i].id != id; i++)
            ;
        must(f == (i < m->count && i < 255 ? &m->headers[i] : NULL));
    }
}

/* The end of a head, looked for at once and byte by byte. */
static inline enum err check_scan(bool request, const char *p, size_t len,
                                  size_t *start, size_t *head,
                                  struct h1_error *error)
{
    struct h1_scan s = { 0 }, slow = { 0 };
    size_t slow_start = 0, slow_head = 0, n;
    struct h1_error slow_error = { 0 };
    enum err e, f = ERR_AGAIN;

    e = h1_scan_head(&s, request, p, len, CHECK_HEAD_MAX, start, head, error);
    for (n = 0; n <= len && f == ERR_AGAIN; n++)
        f = h1_scan_head(&slow, request, p, n, CHECK_HEAD_MAX, &slow_start,
                         &slow_head, &slow_error);
    must(e == f);
    if (e == ERR_INVALID || e == ERR_LIMIT)
        must(error->status == slow_error.status && error->what);
    if (e == ERR_OK) {
        must(*start == slow_start && *head == slow_head);
        must(*start + *head <= len && *head <= CHECK_HEAD_MAX);
        must(memcmp(p + *start + *head - 4, "\r\n\r\n", 4) == 0);
    }
    return e;
}

#endif
