/* counters.h - the table that limits are counted in, shared by all threads,
 * and by the old and the new process during an upgrade.
 *
 * It lies in memory that outlives the process: a file on tmpfs, or a
 * descriptor that somebody else holds. Nothing in it is a lock that a dead
 * process could keep (counters_internal.h says how), so kill -9 at any instant
 * loses nothing. Windows of an hour and more are also written to disk by
 * counters_flush(), to survive a reboot.
 *
 * Threads: all, but for open and close. After fork() a child has nothing of
 * this: it must open the table for itself.
 */
#ifndef TG_TRAFFIC_COUNTERS_H
#define TG_TRAFFIC_COUNTERS_H

#include "base/err.h"
#include "traffic/limit_key.h"

struct counters;

/* What a call meets that needs a new counter when no place is left. */
enum counters_full { COUNTERS_REFUSE, COUNTERS_PASS };

#define COUNTERS_LEAST_SLOTS 1024u
#define COUNTERS_MOST_SLOTS (1u << 24)

struct counters_conf {
    const char *path; /* on tmpfs; NULL: fd */
    int fd;           /* inherited, stays the caller's; -1 and no path: own
                         memory, for its successor by counters_fd() */
    uint64_t slots;   /* 64 bytes each; rounded up to a power of two */
    enum counters_full full;
    const char *disk_path;         /* long windows; NULL: not kept */
    const struct limit_seed *seed; /* for a new table; NULL: drawn */
};

struct counters_opened {
    bool created; /* the table is new */
    /* Why one that was there could not be used, or NULL. */
    const char *replaced;
    uint32_t slots;       /* it has: those of the table that is in use by
                             another process are kept */
    uint64_t moved;       /* counters taken over into another size */
    uint64_t loaded;      /* counters read from disk */
    const char *disk_bad; /* why what is on disk was not (all) read, or NULL */
    uint64_t boots;       /* how often it was opened */
};

/* ERR_IO with errno; ERR_LIMIT when sixteen processes have it open. now_us is
 * the wall's clock. */
enum err counters_open(const struct counters_conf *conf, uint64_t now_us,
                       struct counters **out, struct counters_opened *opened);
/* No thread may be inside. NULL is fine. */
void counters_close(struct counters *c);
/* A thread that ends gives back its place (512 for all processes). */
void counters_thread_done(struct counters *c);
/* For handing the memory on; stays ours. */
int counters_fd(const struct counters *c);
struct limit_seed counters_seed(const struct counters *c);

/* Call each second, from a thread that may block: writes what changed of the
 * long windows, and drops what dead processes had at once. ERR_IO with errno;
 * it is tried again at the next call. One process at a time writes: another
 * one's call does nothing. */
enum err counters_flush(struct counters *c, uint64_t now_us);

/* For metrics; since the table is new, all processes together. */
struct counters_stats {
    uint64_t slots;
    /* Slots whose window goes on, counted by looking. Keys lie anywhere with
     * equal chances: a part of a large table says how many there are in all. */
    uint64_t live;
    uint64_t full_refused; /* calls that found no place for a counter */
    uint64_t full_passed;
    uint64_t claims;  /* counters begun */
    uint64_t helped;  /* steps of a halted thread finished by another */
    uint64_t aborted; /* attempts of a halted thread undone by another */
    uint64_t flushed; /* counters written to disk */
    uint64_t boots;
    uint32_t processes; /* that have it open */
};
void counters_stats(struct counters *c, uint64_t now_us,
                    struct counters_stats *out);

#endif
