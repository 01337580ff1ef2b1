/* ledger.h - what became of each event, in a mapped file that a kill at any
 * instant leaves exact.
 *
 * The writer changes totals and positions only by steps. A step is written
 * down whole before it is done, with the values that will hold after it, so
 * that who comes next can finish it: storing the same values again changes
 * nothing. A step that appends to a file also says where and how much; whether
 * it happened can be seen from the file's size, and half of it is cut off.
 *
 *   NONE -> WRITE   ledger_write_begins()   bytes will be appended to a file
 *   WRITE -> NONE   ledger_write_failed()   they were not, or cut off again
 *   NONE, WRITE -> APPLY -> NONE   ledger_apply()
 *
 * One process at a time is the writer and changes anything here; all may read.
 */
#ifndef TG_EVENTS_LEDGER_H
#define TG_EVENTS_LEDGER_H

#include "events/ring.h"

struct ledger_totals {
    uint64_t delivered;
    uint64_t spooled;      /* written to the spool */
    uint64_t unspooled;    /* and have left it: delivered or dropped */
    uint64_t dropped_full; /* the spool was full */
    uint64_t dropped_refused;
    uint64_t dropped_killed; /* made in a ring, and lost with their process */
    uint64_t past_accepted;  /* of rings that have gone */
    uint64_t past_dropped;   /* likewise: there was no room in the ring */
    /* Segments of the spool: the first one's bytes before `spool_at` have been
     * delivered. first > last: it is empty. */
    uint64_t spool_first, spool_at, spool_last;
    uint64_t spool_bytes; /* in all, not yet delivered */
};

struct ledger_step {
    struct ledger_totals totals; /* after it */
    /* Lines of a ring were taken: where its tail is then. boot 0: none. */
    uint64_t boot;
    uint32_t ring;
    uint64_t tail, taken;
    uint64_t retire; /* this boot's file of rings goes; 0: none */
};

struct ledger;

/* FOLDER/ledger; made when it is missing or not ours. ERR_IO with errno. */
enum err ledger_open(const char *folder, struct ledger **out);
void ledger_close(struct ledger *l);

/* 16 hexadecimal digits, drawn when the ledger was made; NUL-terminated. */
const char *ledger_gateway(const struct ledger *l);
/* A number for this process, from 1, never given twice. Any process. */
uint64_t ledger_boot(struct ledger *l);

/* Being the writer: a lock that ends with the process. */
bool ledger_lock(struct ledger *l);
void ledger_unlock(struct ledger *l);

/* Consistent; any process. */
struct ledger_totals ledger_read(const struct ledger *l);
/* Changes when a step is applied; odd meanwhile. */
uint64_t ledger_version(const struct ledger *l);

/* The writer's. */

/* The end of a file that is appended to. */
struct ledger_place {
    char path[512];
    uint64_t dev, ino;
    uint64_t at; /* its size before */
};

/* What a dead writer had begun. */
enum ledger_left { LEDGER_NOTHING, LEDGER_WRITING, LEDGER_APPLYING };
enum ledger_left ledger_left(const struct ledger *l, struct ledger_step *step);
/* Of LEDGER_WRITING: whether all of it stands in the file. Half of it is cut
 * off. A file that is no longer at its place counts as not written. */
bool ledger_written(struct ledger *l);

void ledger_write_begins(struct ledger *l, const struct ledger_step *step,
                         const struct ledger_place *place, uint64_t bytes);
void ledger_write_failed(struct ledger *l);
/* apply() stores the ring's tail and removes what retires; it may be run
 * again. */
void ledger_apply(struct ledger *l, const struct ledger_step *step,
                  void (*apply)(void *arg, const struct ledger_step *step),
                  void *arg);

#endif
