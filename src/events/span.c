/* span.c - see span.h. */
#include "events/span.h"

#include <inttypes.h>

#include "base/log.h"
#include "format/json.h"

/* Bits 8 and 9 of flags: whether the parent is remote is known, and is so. */
enum { FLAG_REMOTE_KNOWN = 0x100, FLAG_REMOTE = 0x200 };
enum { STATUS_ERROR = 2 };

void span_text(struct span *s, const char *key, struct str text)
{
    if (!text.len)
        return;
    must(s->count < SPAN_ATTRIBUTES);
    s->attributes[s->count++] =
        (struct span_attribute) { .key = key, .text = text };
}

void span_number(struct span *s, const char *key, int64_t number)
{
    must(s->count < SPAN_ATTRIBUTES);
    s->attributes[s->count++] = (struct span_attribute) { .key = key,
                                                          .number = number,
                                                          .is_number = true };
}

/* ---- writing; the first failure stays ---- */

struct out {
    struct buf *b;
    enum err e;
};

static void put(struct out *o, struct str s)
{
    if (!o->e)
        o->e = buf_str(o->b, s);
}

#define PUT(o, literal) put(o, STR(literal))

static void put_text(struct out *o, struct str s)
{
    if (!o->e)
        o->e = json_write_str(o->b, str_head(s, SPAN_TEXT_MAX));
}

static void put_id(struct out *o, const uint8_t *id, size_t n)
{
    char hex[34];

    hex[0] = hex[1 + 2 * n] = '"';
    trace_hex(id, n, hex + 1);
    put(o, str_from(hex, 2 + 2 * n));
}

static void put_u64(struct out *o, uint64_t n)
{
    if (!o->e)
        o->e = buf_printf(o->b, "%" PRIu64, n);
}

static void put_i64(struct out *o, int64_t n)
{
    if (!o->e)
        o->e = buf_printf(o->b, "\"%" PRId64 "\"", n);
}

static void put_time(struct out *o, uint64_t ns)
{
    if (!o->e)
        o->e = buf_printf(o->b, "\"%" PRIu64 "\"", ns);
}

static void put_attribute(struct out *o, const struct span_attribute *a)
{
    PUT(o, "{\"key\":");
    put_text(o, str_z(a->key));
    if (a->is_number) {
        PUT(o, ",\"value\":{\"intValue\":");
        put_i64(o, a->number);
    } else {
        PUT(o, ",\"value\":{\"stringValue\":");
        put_text(o, a->text);
    }
    PUT(o, "}}");
}

static void put_ids(struct out *o, const struct span *s)
{
    const struct trace_context *c = s->context;

    PUT(o, "{\"traceId\":");
    put_id(o, c->trace_id, sizeof(c->trace_id));
    PUT(o, ",\"spanId\":");
    put_id(o, c->span_id, sizeof(c->span_id));
    if (s->state.len) {
        PUT(o, ",\"traceState\":");
        put_text(o, s->state);
    }
    if (s->parent) {
        PUT(o, ",\"parentSpanId\":");
        put_id(o, s->parent, sizeof(c->span_id));
    }
    PUT(o, ",\"flags\":");
    put_u64(o, (unsigned)c->flags | FLAG_REMOTE_KNOWN |
                   (s->parent && s->parent_remote ? FLAG_REMOTE : 0));
}

static void put_link(struct out *o, const struct trace_context *c)
{
    PUT(o, ",\"links\":[{\"traceId\":");
    put_id(o, c->trace_id, sizeof(c->trace_id));
    PUT(o, ",\"spanId\":");
    put_id(o, c->span_id, sizeof(c->span_id));
    PUT(o, ",\"flags\":");
    put_u64(o, (unsigned)c->flags | FLAG_REMOTE_KNOWN | FLAG_REMOTE);
    PUT(o, "}]");
}

static void put_status(struct out *o, const struct span *s)
{
    PUT(o, ",\"status\":{");
    if (s->failed && s->why.len) {
        PUT(o, "\"message\":");
        put_text(o, s->why);
        PUT(o, ",");
    }
    if (s->failed) {
        PUT(o, "\"code\":");
        put_u64(o, STATUS_ERROR);
    }
    PUT(o, "}}");
}

enum err span_write(struct buf *b, const struct span *s)
{
    struct out o = { .b = b };

    put_ids(&o, s);
    PUT(&o, ",\"name\":");
    put_text(&o, s->name);
    PUT(&o, ",\"kind\":");
    put_u64(&o, s->kind);
    PUT(&o, ",\"startTimeUnixNano\":");
    put_time(&o, s->start_ns);
    PUT(&o, ",\"endTimeUnixNano\":");
    put_time(&o, s->end_ns > s->start_ns ? s->end_ns : s->start_ns);
    PUT(&o, ",\"attributes\":[");
    for (uint32_t i = 0; i < s->count; i++) {
        if (i)
            PUT(&o, ",");
        put_attribute(&o, &s->attributes[i]);
    }
    PUT(&o, "]");
    if (s->link)
        put_link(&o, s->link);
    put_status(&o, s);
    return o.e;
}

enum err span_write_text(struct buf *b, struct str key, struct str text)
{
    struct out o = { .b = b };

    PUT(&o, "{\"key\":");
    put_text(&o, key);
    PUT(&o, ",\"value\":{\"stringValue\":");
    put_text(&o, text);
    PUT(&o, "}}");
    return o.e;
}

enum err span_write_value(struct buf *b, struct str text)
{
    return json_write_str(b, str_head(text, SPAN_TEXT_MAX));
}
