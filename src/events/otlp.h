/* otlp.h - spans to a collector: OTLP over HTTP, in JSON.
 *
 * Spans wait in a queue of each thread (span_queue.h). A loop's thread takes
 * batches of them and posts them, a few at once:
 *
 *   queue -> SENDING            a batch is full, or the interval is over
 *   SENDING -> sent             2xx; what the answer rejects is dropped
 *   SENDING -> WAITING          no answer, 429, 502, 503, 504
 *   WAITING -> SENDING          after Retry-After, or a growing pause
 *   WAITING -> dropped          it was tried for conf.give_up
 *   SENDING -> dropped          any other status
 *
 * While one waits no new batch is begun, so that a collector in trouble is
 * asked once at a time; what comes meanwhile fills the queues, and is dropped
 * when they are full. At any time
 *
 *   accepted == sent + all of dropped + queued
 *
 * Threads: all but otlp_queue() belong to the loop's thread.
 */
#ifndef TG_EVENTS_OTLP_H
#define TG_EVENTS_OTLP_H

#include "events/span_queue.h"
#include "http/fetch.h"

struct otlp_header {
    struct str name, value;
};

struct otlp_conf {
    struct str url;           /* empty: nothing is exported */
    struct conf_list headers; /* struct otlp_header */
    struct str service;
    struct conf_strings resource; /* "key=value" */
    uint64_t queue;               /* spans of each thread */
    uint64_t batch;               /* spans at most, more or less one call */
    uint64_t interval_ms, timeout_ms, give_up_ms;
    struct tls_client_conf tls; /* else as rules say */
};

/* Where spans go, ready to be used. */
struct otlp_target;
/* rules: gateway.outbound. Who configures a collector may name any address,
 * so its own is added to what they allow. ERR_INVALID with problems. */
enum err otlp_target_new(const struct otlp_conf *conf,
                         const struct outbound_conf *rules, struct str version,
                         struct str file, struct problems *ps,
                         struct otlp_target **out);
void otlp_target_free(struct otlp_target *t); /* NULL is fine */

struct otlp;
struct otlp *otlp_new(struct loop *l, unsigned threads);
/* What is not sent is lost, which the log says. NULL is fine. */
void otlp_free(struct otlp *o);
struct span_queue *otlp_queue(struct otlp *o, unsigned thread);
/* From now on; t is owned. NULL: nothing goes anywhere, what waits is dropped
 * in time. */
void otlp_use(struct otlp *o, struct otlp_target *t);

/* Sends what there is without waiting for the interval. */
void otlp_flush(struct otlp *o);
/* Whether that is still under way, with a collector that answers. */
bool otlp_busy(const struct otlp *o);

enum otlp_drop {
    OTLP_FULL,     /* the queue was */
    OTLP_REJECTED, /* by the collector */
    OTLP_GAVE_UP,  /* it took none for too long */
    OTLP_DROPS,
};

struct otlp_stats {
    uint64_t accepted, sent, queued;
    uint64_t dropped[OTLP_DROPS];
    uint64_t failures; /* requests that did not come to 2xx */
};
void otlp_stats(const struct otlp *o, struct otlp_stats *out);

/* How many spans an answer's body says were rejected, at most of; 0 also for
 * what is no such answer, and then *bad is set. *why: the collector's words, in
 * a. */
uint64_t otlp_read_answer(struct arena *a, struct str body, uint64_t of,
                          struct str *why, bool *bad);

#endif
