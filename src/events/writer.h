/* writer.h - the thread that takes events from the rings to where they go.
 *
 *   WAITING -> WRITING   the ledger's lock was free: finish what a dead writer
 *                        had begun, then pass after pass
 *
 * During an upgrade the old process writes for both until it ends. Private to
 * src/events.
 */
#ifndef TG_EVENTS_WRITER_H
#define TG_EVENTS_WRITER_H

#include <pthread.h>

#include "events/events.h"
#include "events/spool.h"

enum { WRITER_BATCH = 1 << 20 }; /* bytes, what fetch.h takes at most */

/* A batch on its way to a collector. */
struct sending {
    struct fetch *fetch; /* NULL: none */
    struct part {
        struct ring_file *file; /* NULL: of the spool */
        uint32_t ring;
        uint64_t bytes, lines;
    } * parts;
    size_t part_count;
    struct ledger_totals after; /* of the spool: its position behind it */
    uint64_t lines;
    uint64_t due_ms; /* when the next may be sent */
    uint64_t pause_ms;
    uint64_t limit; /* events in a batch, while one is refused */
    bool away;
};

struct events {
    struct loop *loop;
    pthread_t thread;
    bool running;
    void (*begin)(void);
    char folder[300], state_dir[256];
    struct ledger *ledger;
    uint64_t boot;
    pthread_mutex_t lock; /* of files: changed by the writer alone */
    struct ring_file *own, *files;
    struct timer tick;
    uint64_t pause_ms;
    struct task wake;
    _Atomic bool woken;
    bool writing, closing, complained;
    uint64_t close_at_ms, looked_ms;
    /* What is configured; of the writer's thread. */
    struct arena *arena;
    struct events_conf conf;
    struct outbound *outbound;
    struct tls_context *tls;
    struct appender file;
    struct spool spool;
    struct fetcher *fetcher;
    struct sending sending;
    char *buf; /* WRITER_BATCH bytes */
    _Atomic uint64_t failures;
};

/* A pass: all that can be done now. True: something was. */
bool writer_pass(struct events *e);
/* Finishes a dead writer's step. */
void writer_recover(struct events *e);
/* Finds the rings of other processes; of those who are not the writer as
 * well, since sums are made of all. */
void writer_find(struct events *e);
/* The same, and lets those go that are empty and
 * belong to nobody. */
void writer_look(struct events *e, bool own_too);

/* collector.c */
bool collector_pass(struct events *e);
void collector_stop(struct events *e);

/* For both: takes lines of a ring, or of the spool (file NULL), by one step;
 * where: what became of them. */
enum fate { FATE_DELIVERED, FATE_SPOOL_FULL, FATE_REFUSED };
void writer_settle(struct events *e, struct ring_file *f, uint32_t ring,
                   uint64_t bytes, uint64_t lines, enum fate fate,
                   const struct ledger_totals *spool);
/* All that is in the rings to the spool. True: something was. */
bool writer_spool(struct events *e);
void writer_fail(struct events *e, const char *what);

#endif
