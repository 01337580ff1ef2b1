/* h1_write.h - heads as bytes, written behind each other into memory the
 * caller has reserved.
 *
 *   size_t room = H1_STATUS_LINE_MAX + reason.len + h1_fields_size(m) + …;
 *   struct h1_out out = { p, p + room };
 *   h1_put_status_line(&out, status, reason);
 *   h1_put_fields(&out, m, skip);
 *   h1_put_crlf(&out);            out.p is now the end of the head
 *
 * Who reserves too little has a bug, and the process stops. Names and values
 * are written as they are: they were validated when they were read.
 */
#ifndef TG_HTTP_H1_WRITE_H
#define TG_HTTP_H1_WRITE_H

#include "base/log.h"
#include "http/message.h"

struct h1_out {
    char *p;
    char *end;
};

/* Room for a status line, without the reason. */
#define H1_STATUS_LINE_MAX 16
/* Room for a number. */
#define H1_NUMBER_MAX 20
/* Room for a field, CR LF and all. */
#define H1_FIELD_SIZE(name_len, value_len) ((name_len) + (value_len) + 4)

/* Most names and values are short: two overlapping copies of a fixed size,
 * which compile to a few instructions, cover every length up to 64. */
static inline void h1_copy(char *to, const char *from, size_t n)
{
    if (n > 64) {
        memcpy(to, from, n);
    } else if (n > 32) {
        memcpy(to, from, 32);
        memcpy(to + n - 32, from + n - 32, 32);
    } else if (n >= 16) {
        memcpy(to, from, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else if (n > 0) {
        to[0] = from[0];
        to[n / 2] = from[n / 2];
        to[n - 1] = from[n - 1];
    }
}

static inline void h1_put_str(struct h1_out *o, struct str s)
{
    must((size_t)(o->end - o->p) >= s.len);
    h1_copy(o->p, s.p, s.len);
    o->p += s.len;
}

static inline void h1_put_crlf(struct h1_out *o)
{
    must(o->end - o->p >= 2);
    memcpy(o->p, "\r\n", 2);
    o->p += 2;
}

/* "Name: value" and CR LF. */
static inline void h1_put_field(struct h1_out *o, struct str name,
                                struct str value)
{
    char *p = o->p;

    must((size_t)(o->end - p) >= H1_FIELD_SIZE(name.len, value.len));
    h1_copy(p, name.p, name.len);
    p += name.len;
    memcpy(p, ": ", 2);
    p += 2;
    h1_copy(p, value.p, value.len);
    p += value.len;
    memcpy(p, "\r\n", 2);
    o->p = p + 2;
}

/* In decimal. */
static inline void h1_put_u64(struct h1_out *o, uint64_t n)
{
    char digits[H1_NUMBER_MAX];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    h1_put_str(o, str_from(digits + at, sizeof(digits) - at));
}

/* "HTTP/1.1 200 OK" and CR LF; status has three digits. The version is ours,
 * whatever the message came with (RFC 9110 section 2.5). */
static inline void h1_put_status_line(struct h1_out *o, unsigned status,
                                      struct str reason)
{
    char *p = o->p;

    must((size_t)(o->end - p) >= H1_STATUS_LINE_MAX + reason.len);
    memcpy(p, "HTTP/1.1 000 ", 13);
    p[9] = (char)('0' + status / 100);
    p[10] = (char)('0' + status / 10 % 10);
    p[11] = (char)('0' + status % 10);
    p += 13;
    h1_copy(p, reason.p, reason.len);
    p += reason.len;
    memcpy(p, "\r\n", 2);
    o->p = p + 2;
}

/* What h1_put_fields() writes at most. */
static inline size_t h1_fields_size(const struct message *m)
{
    size_t size = 0;
    uint32_t i;

    for (i = 0; i < m->count; i++)
        size += H1_FIELD_SIZE(m->headers[i].name.len, m->headers[i].value.len);
    return size;
}

/* A set of fields for `skip` below. */
#define H1_FIELD_BIT(id) (1ull << (id))

/* Whether a and b lie two bytes apart, and these are the two. */
static inline bool h1_joined(const char *a, const char *b, const char *two)
{
    return a + 2 == b && memcmp(a, two, 2) == 0;
}

/* Lines that stand behind each other as they are to be written, from p to
 * before their last CR LF. */
static inline void h1_put_lines(struct h1_out *o, const char *p,
                                const char *end)
{
    size_t n = (size_t)(end - p);

    must((size_t)(o->end - o->p) >= n + 2);
    memcpy(o->p, p, n);
    memcpy(o->p + n, "\r\n", 2);
    o->p += n + 2;
}

/* The fields of m in their order, without the hop-by-hop ones and without
 * those whose id is in skip. Most stand in memory as they came, one line
 * behind the other: these are written together. */
static inline void h1_put_fields(struct h1_out *o, const struct message *m,
                                 uint64_t skip)
{
    const struct header *f = m->headers, *last = f + m->count;
    const char *begin = NULL, *end = NULL; /* of the lines not yet written */

    for (; f < last; f++) {
        if (f->hop || skip >> f->id & 1)
            continue;
        if (begin && !h1_joined(end, f->name.p, "\r\n")) {
            h1_put_lines(o, begin, end);
            begin = NULL;
        }
        if (h1_joined(f->name.p + f->name.len, f->value.p, ": ")) {
            begin = begin ? begin : f->name.p;
            end = f->value.p + f->value.len;
        } else {
            if (begin)
                h1_put_lines(o, begin, end);
            begin = NULL;
            h1_put_field(o, f->name, f->value);
        }
    }
    if (begin)
        h1_put_lines(o, begin, end);
}

/* In hexadecimal, as a chunk's size wants it. */
static inline void h1_put_hex(struct h1_out *o, uint64_t n)
{
    char digits[16];
    size_t at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[n & 15];
        n >>= 4;
    } while (n);
    h1_put_str(o, str_from(digits + at, sizeof(digits) - at));
}

#endif
