/* span_queue.h - spans of one thread on their way to the exporter.
 *
 * Bounded in spans and bytes: what does not fit is dropped at once and
 * counted, a call never waits. The spans of a call go in and out together.
 *
 * Threads: span_queue_add() is its thread's; the others are the exporter's,
 * and span_queue_counts() anybody's.
 */
#ifndef TG_EVENTS_SPAN_QUEUE_H
#define TG_EVENTS_SPAN_QUEUE_H

#include "base/buf.h"

struct span_queue;

enum {
    SPAN_BYTES = 2048,             /* for each span a queue may hold */
    SPAN_PIECE_BYTES = 256 * 1024, /* of one call */
};

/* wake: called by the adding thread, once, when there are wake_at spans; again
 * after the next span_queue_take(). */
struct span_queue *span_queue_new(void (*wake)(void *arg), void *arg);
void span_queue_free(struct span_queue *q);
void span_queue_bound(struct span_queue *q, uint32_t max, uint32_t wake_at);

/* JSON of the spans of one call, comma-separated. False: dropped. */
bool span_queue_add(struct span_queue *q, struct str json, uint32_t spans);

/* Appends as many calls as fit into max spans and what b may hold, at least
 * one if that fits at all, comma-separated and behind a comma unless first.
 * How many spans that was. */
uint32_t span_queue_take(struct span_queue *q, uint32_t max, bool first,
                         struct buf *b);

struct span_counts {
    uint64_t accepted; /* added or dropped */
    uint64_t dropped;  /* because the queue was full */
    uint64_t queued;   /* now */
};
struct span_counts span_queue_counts(struct span_queue *q);

#endif
