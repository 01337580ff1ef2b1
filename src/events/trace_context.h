/* trace_context.h - which trace a call belongs to: the fields traceparent and
 * tracestate of W3C Trace Context.
 *
 * What is read is read strictly, as the recommendation (level 1, and 2 where
 * it says more) wants it: a traceparent that is not valid, or there twice,
 * says nothing, and a tracestate without a valid traceparent neither. Versions
 * to come are read as far as this one goes; version 00 is written.
 *
 * Threads: any; nothing is kept.
 */
#ifndef TG_EVENTS_TRACE_CONTEXT_H
#define TG_EVENTS_TRACE_CONTEXT_H

#include "http/message.h"

enum {
    TRACE_PARENT_BYTES = 55,
    TRACE_STATE_BYTES = 512, /* of tracestate, in all */
    TRACE_STATE_MEMBERS = 32,
};

enum {
    TRACE_SAMPLED = 1, /* who sent it records this trace */
    TRACE_RANDOM = 2,  /* the last seven bytes of the id are random (level 2) */
};

struct trace_context {
    uint8_t trace_id[16]; /* never all zero */
    uint8_t span_id[8];   /* of the caller's span; likewise */
    uint8_t flags;        /* those named above */
};

/* The value of one field. ERR_INVALID, and *out as it was. */
enum err trace_parent_parse(struct str value, struct trace_context *out);
/* What a request says. ERR_NOT_FOUND: nothing; ERR_INVALID: nothing that
 * counts. */
enum err trace_parent_read(const struct message *m, struct trace_context *out);
/* Version 00, no NUL. */
void trace_parent_format(const struct trace_context *c,
                         char out[TRACE_PARENT_BYTES]);

struct trace_state {
    char text[TRACE_STATE_BYTES];
    size_t len; /* 0: there is none */
};

/* All tracestate fields of a request as one, in their order, without empty
 * members and without the second of two with the same key. What is longer than
 * TRACE_STATE_BYTES loses members, long ones (above 128 bytes) first, from the
 * end. ERR_INVALID, and an empty *out: one of them is not valid, or there are
 * too many. */
enum err trace_state_read(const struct message *m, struct trace_state *out);

/* Lower-case hexadecimal digits, twice as many as bytes. */
void trace_hex(const uint8_t *bytes, size_t n, char *out);

#endif
