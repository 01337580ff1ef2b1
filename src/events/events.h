/* events.h - one event per call, from the threads that serve to a file, to
 * standard output or to a collector.
 *
 *   thread: ring_begin(), event_line(), ring_commit(), events_wake()
 *   writer: ring -> target;  ring -> spool -> target while that is away
 *
 * An event is in its ring before the last byte of its answer is handed to the
 * kernel. Rings and ledger lie in STATE_DIR/events, so that kill -9 loses and
 * repeats nothing that went to a file; a collector may get a batch again, and
 * knows it by the numbers (gateway, boot, thread, n). Memory is bounded: what
 * finds a full ring, or a full spool, is dropped and counted, so that always
 *
 *   accepted = delivered + spooled + waiting + dropped
 *
 * Threads: the writer has one of its own, since disks block.
 */
#ifndef TG_EVENTS_EVENTS_H
#define TG_EVENTS_EVENTS_H

#include "base/conf.h"
#include "events/line.h"
#include "http/fetch.h"

enum events_to { EVENTS_OFF, EVENTS_FILE, EVENTS_STDOUT, EVENTS_HTTP };

struct events_conf {
    int to;        /* enum events_to */
    uint64_t ring; /* bytes, of each thread */
    struct str region;
    struct str file; /* empty: STATE_DIR/events.ndjson */
    uint64_t rotate_size, rotate_ms, keep;
    struct str url, authorization;
    uint64_t batch; /* events at most */
    uint64_t interval_ms, timeout_ms;
    struct tls_client_conf tls;
    uint64_t spool; /* bytes at most */
};

extern const struct conf_field events_fields[];

struct events;

/* STATE_DIR/events, with a ring for each thread. Problems name what cannot be
 * opened. Main thread, as are all the others but events_ring() and
 * events_wake(). */
enum err events_open(struct str state_dir, unsigned threads, uint64_t ring,
                     struct problems *ps, struct events **out);
/* Whether what is configured can work: the file can be opened, the address
 * read. */
enum err events_check(const struct events_conf *conf, struct str state_dir,
                      struct str file, struct problems *ps);
/* From now on. conf is copied; outbound is kept. */
void events_use(struct events *e, const struct events_conf *conf,
                struct outbound *outbound, struct str file);
/* begin: called first in the writer's thread; or NULL. */
void events_start(struct events *e, void (*begin)(void));
/* The threads that make events have ended: what is left is written, or sent
 * for at most max_ms; the rest stays for the next process. */
void events_close(struct events *e, unsigned max_ms);

struct ring *events_ring(struct events *e, unsigned thread);
const char *events_gateway(const struct events *e); /* its id */
uint64_t events_boot(const struct events *e);
void events_wake_writer(struct events *e);

/* After ring_commit(): the writer sleeps while little happens. */
static inline void events_wake(struct events *e, struct ring *r)
{
    if (ring_half_full(r))
        events_wake_writer(e);
}

struct events_stats {
    uint64_t accepted, delivered;
    uint64_t waiting; /* in rings */
    uint64_t spooled; /* on disk */
    uint64_t dropped_ring, dropped_spool, dropped_refused, dropped_killed;
    uint64_t failures; /* batches or writes that failed, of this process */
    uint64_t spool_bytes;
};
void events_stats(struct events *e, struct events_stats *out);

/* The file events go to: conf's, or the one in the state folder; in the
 * arena. */
struct str events_file(struct arena *a, const struct events_conf *conf,
                       struct str state_dir);

#endif
