/* span.h - one piece of work of a trace, and its JSON for OTLP.
 *
 * The form is the JSON mapping of opentelemetry.proto.trace.v1.Span as OTLP
 * wants it: ids in hexadecimal, 64-bit numbers as text, enumerations as
 * numbers. Texts are cut at SPAN_TEXT_MAX bytes.
 *
 * Threads: none; all are values.
 */
#ifndef TG_EVENTS_SPAN_H
#define TG_EVENTS_SPAN_H

#include "base/buf.h"
#include "events/trace_context.h"

enum { SPAN_TEXT_MAX = 1024, SPAN_ATTRIBUTES = 24 };

/* As OTLP numbers them. */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3 };

struct span_attribute {
    const char *key;
    struct str text;
    int64_t number;
    bool is_number;
};

struct span {
    const struct trace_context *context; /* span_id is its own */
    const uint8_t *parent;               /* span id; NULL: a trace begins */
    bool parent_remote;                  /* it came with the call */
    const struct trace_context *link;    /* another trace; or NULL */
    struct str state;                    /* tracestate */
    struct str name;
    enum span_kind kind;
    uint64_t start_ns, end_ns; /* since 1970 */
    bool failed;
    struct str why; /* for people, when it failed */
    struct span_attribute attributes[SPAN_ATTRIBUTES];
    uint32_t count;
};

/* What has no text is left out. The key lives as long as the span. */
void span_text(struct span *s, const char *key, struct str text);
void span_number(struct span *s, const char *key, int64_t number);

/* Appends its JSON. ERR_LIMIT when the buffer is full. */
enum err span_write(struct buf *b, const struct span *s);
/* {"key":…,"value":{"stringValue":…}}, as all attributes of OTLP. */
enum err span_write_text(struct buf *b, struct str key, struct str text);
/* Only the text, in quotes. */
enum err span_write_value(struct buf *b, struct str text);

#endif
