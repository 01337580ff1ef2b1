/* watched.h - what was read from a file, and is read again when that file was
 * replaced: API keys, deny rules, countries of addresses.
 *
 * The thing is immutable; a new file makes a new one, whose pointer takes the
 * old one's place. A file that is no good keeps what was read before: it is
 * said once for each state of the file, and counted. Main thread, but for
 * watched_now().
 */
#ifndef TG_GATEWAY_WATCHED_H
#define TG_GATEWAY_WATCHED_H

#include <stdatomic.h>

#include "base/whole_file.h"

struct watched_kind {
    const char *topic; /* of its lines in the log */
    const char *what;  /* "keys" */
    /* One that is not there may be an empty one. ERR_INVALID, ERR_IO with
     * problems that name file and line. */
    enum err (*load)(struct str path, struct problems *ps, void **out);
    void (*free)(void *thing); /* NULL is fine */
    size_t (*count)(const void *thing);
    bool stays; /* a file that has gone is an error, not an empty one */
};

struct watched {
    const struct watched_kind *kind;
    struct str path; /* its owner's; empty: no file, nothing to look for */
    struct file_mark seen, bad;
    void *_Atomic thing;
    uint64_t loaded_s; /* wall clock */
    uint64_t failures; /* reads that left the old thing in place */
    bool stale;        /* the file is no good now */
};

/* Reads the file. An error with problems; w is zeroed then, but for kind. */
enum err watched_open(struct watched *w, const struct watched_kind *kind,
                      struct str path, struct problems *ps);
/* Reads the file when it was replaced. *old: what is out of use now, to be
 * freed when every thread has begun another turn. True: it was read. */
bool watched_refresh(struct watched *w, void **old);
/* What another one has read is w's now, path and all; its count of failures
 * stays. *old as above. */
void watched_take(struct watched *w, const struct watched *from, void **old);
void watched_close(struct watched *w);

/* To be looked at in this turn only. Any thread. */
static inline const void *watched_now(const struct watched *w)
{
    return atomic_load_explicit(&w->thing, memory_order_acquire);
}

#endif
