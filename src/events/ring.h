/* ring.h - where threads leave their events until the writer has taken them:
 * one file per process in the state folder, mapped, with a ring of bytes for
 * each thread.
 *
 * A ring holds lines, each ended by a newline. It has one producer, a loop
 * thread, and one consumer, whoever is the writer (writer.h): this process, or
 * during an upgrade the other one. The ring's memory is mapped twice in a row,
 * so that what goes over its end can be written and read in one piece.
 *
 * The file outlives its process. A line is in the ring once `head` has passed
 * it, which a kill can neither tear nor undo; the process that comes next
 * takes what is left. A live owner holds a lock on its file.
 */
#ifndef TG_EVENTS_RING_H
#define TG_EVENTS_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* The longest line, with its newline. */
#define EVENT_LINE_MAX 20480u
#define EVENT_THREADS_MAX 256u

/* In the file. Positions only grow. */
struct ring_state {
    /* The producer's. made is stored before head: a process that died between
     * the two had one event made that nobody will find. */
    _Alignas(64) _Atomic uint64_t head;
    _Atomic uint64_t made;    /* events, with those that were dropped */
    _Atomic uint64_t dropped; /* there was no room for */
    /* The consumer's. */
    _Alignas(64) _Atomic uint64_t tail;
    _Atomic uint64_t taken; /* events behind tail */
};

struct ring {
    struct ring_state *state;
    char *data; /* size bytes, twice */
    uint64_t size;
    uint64_t tail; /* the producer's idea of it */
};

struct ring_file {
    uint64_t boot; /* in its name */
    uint32_t ring_count;
    bool own;    /* of this process, else mapped to be emptied */
    bool orphan; /* its process is dead */
    struct ring *rings;
    struct ring_file *next;
    int fd;
    void *map;
    uint64_t map_size;
    char path[256];
};

/* Makes FOLDER/ring-BOOT with count rings of bytes each (rounded up to a power
 * of two from 64 KiB). folder NULL: memory only. ERR_IO with errno. */
enum err ring_file_new(const char *folder, uint64_t boot, uint32_t count,
                       uint64_t bytes, struct ring_file **out);
/* One that another process made. ERR_INVALID: no such file of ours. */
enum err ring_file_open(const char *folder, uint64_t boot,
                        struct ring_file **out);
/* Removes what ring_file_open() refused, unless it is so young that its process
 * may still be at it. */
void ring_file_remove_bad(const char *folder, uint64_t boot, uint64_t now_s);
/* Whether the process that made it is gone. */
bool ring_file_look(struct ring_file *f);
/* Its sums stand in the ledger from now on. */
void ring_file_retire(struct ring_file *f);
bool ring_file_retired(const struct ring_file *f);
void ring_file_close(struct ring_file *f);

/* The producer: room for a line, or NULL when there is none, which is counted.
 * *number: of this event, from 1, of its ring. */
char *ring_begin(struct ring *r, uint64_t *number);
/* len bytes were written there, the last one a newline. */
void ring_commit(struct ring *r, uint64_t number, size_t len);

/* Looked at anew only when it was so by the last look. */
static inline bool ring_half_full(struct ring *r)
{
    uint64_t head = atomic_load_explicit(&r->state->head, memory_order_relaxed);

    if (head - r->tail <= r->size / 2)
        return false;
    r->tail = atomic_load_explicit(&r->state->tail, memory_order_acquire);
    return head - r->tail > r->size / 2;
}

/* The consumer: whole lines, at most max bytes (at least EVENT_LINE_MAX);
 * empty when there is none. */
struct str ring_lines(const struct ring *r, size_t max);
void ring_take(struct ring *r, uint64_t tail, uint64_t taken);

static inline uint64_t ring_tail(const struct ring *r)
{
    return atomic_load_explicit(&r->state->tail, memory_order_acquire);
}
static inline uint64_t ring_used(const struct ring *r)
{
    return atomic_load_explicit(&r->state->head, memory_order_acquire) -
           ring_tail(r);
}
/* Lines in it. */
uint64_t events_count_lines(struct str lines);

#endif
