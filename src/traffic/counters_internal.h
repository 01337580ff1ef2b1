/* counters_internal.h - the layout of the shared memory, and why it is exact.
 *
 * Words. Everything shared is a 64-bit atomic word. The words of a slot but
 * for its owner are a tag of 21 bits and a payload of 43. A word changes by
 * compare-and-swap only, from a value to another that it never had before:
 * counts only grow under one tag, and whatever could bring an old value back
 * (another window, another counter) raises the tag. So a thread that was held
 * up for long and then still wants to change a word from what it once was
 * fails, whatever happened in between. (Tags repeat after two million changes
 * of window of one slot; a thread would have to sleep that long between two
 * instructions.)
 *
 * Operations. A thread that wants to change slots has an operation, in shared
 * memory too. It
 *   1. raises the sequence number of its operation: UNDECIDED;
 *   2. becomes owner of each slot, in the order of their places: CAS of the
 *      slot's owner from 0 to (operation, sequence number);
 *   3. reads the slots and decides. To refuse, it gives the slots back: nothing
 *      was changed, so nothing is given back that somebody could have missed;
 *   4. to admit, writes into the operation each word's old and new value, and
 *      then makes it COMMITTED by one CAS. This is the instant of the call;
 *   5. changes the words, all of them, then gives back the slots.
 * Who meets a slot that has an owner looks a moment later again. If it is still
 * owned, then by a thread that the system halted, or that was killed. A
 * COMMITTED operation is finished by whoever meets it (5 is the same for
 * everybody, and doing it twice changes nothing). An UNDECIDED one is made
 * ABORTED by a CAS of the same word; its thread finds out in step 4 and begins
 * anew. So nobody waits for a thread that does not run.
 *
 * Why it is exact. While an operation is UNDECIDED the slots it owns change
 * neither words nor owner: others change a slot's words only in step 5 of an
 * operation that owns the slot, and a late one's CAS fails as said above. So at
 * the instant of the commit all that was read in step 3 still holds: the
 * operations are as if they ran one after the other.
 *   - Not one more: each committed take saw, at its own instant, the count
 *     after all committed before it, and was within every limit.
 *   - Not one less: a take is refused only by a count that committed takes
 *     made. One that has not committed is not visible in any count, so a call
 *     that is refused by its second limit is never seen in its first.
 * What a dead process had committed is counted, by whoever comes next;
 * limits_take() returns "admitted" only after the commit. So at most the calls
 * in flight are counted and not served.
 *
 * A look without owning refuses at once, and cheaply, when it sees a limit
 * exhausted: that is step 3's refusal at the instant of the look, since counts
 * of a window never shrink. Where they do (calls at once) it decides nothing.
 *
 * Finding. Keys lie in one of the 32 slots behind their home (linear probing).
 * A slot never used ends the search; a slot whose window is over may be taken
 * for another key. A key is put in by an operation that also owns its home,
 * and looks again through all 32 while it does: two threads cannot put in the
 * same key twice. No slot of an operation is given back before all its words
 * are changed, so the next owner of the home finds the key.
 *
 * Processes. Each holds a lock of one byte of the file, which the kernel takes
 * away when it dies. Who gets another's lock knows it is dead: it ends its
 * operations and raises its generation, which makes the calls void that it had
 * at once.
 */
#ifndef TG_TRAFFIC_COUNTERS_INTERNAL_H
#define TG_TRAFFIC_COUNTERS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "traffic/limits.h"

#define COUNTERS_MAGIC 0x31544e435f475432ull
#define COUNTERS_VERSION 1

enum {
    PROCESSES = 16,
    OPS = 512,
    CHANGES = 2 * LIMITS_MAX, /* slots of one operation */
    PROBES = 32,
    BLOCK = 256, /* slots of which one flag says whether any is long */
    HEADER_BYTES = 4096,
    LONG_S = 3600, /* windows at least so long are written to disk */
};

/* ---- words ---- */

#define PAYLOAD_BITS 43
#define PAYLOAD_MAX ((1ull << PAYLOAD_BITS) - 1)

static inline uint64_t word_payload(uint64_t w)
{
    return w & PAYLOAD_MAX;
}

static inline uint64_t word_tag(uint64_t w)
{
    return w >> PAYLOAD_BITS;
}

/* Tags wrap. */
static inline uint64_t word_make(uint64_t tag, uint64_t payload)
{
    return tag << PAYLOAD_BITS | payload;
}

/* A slot's window word: two bits of kind, four of process, and the start of
 * the window (RATE: what times are relative to; AT_ONCE: the generation). */
#define START_BITS 37
#define START_MAX ((1ull << START_BITS) - 1)

static inline uint64_t start_make(enum take_kind kind, unsigned process,
                                  uint64_t start)
{
    return (uint64_t)kind << 41 | (uint64_t)process << START_BITS | start;
}

static inline enum take_kind start_kind(uint64_t payload)
{
    return (enum take_kind)(payload >> 41);
}

static inline unsigned start_process(uint64_t payload)
{
    return (unsigned)(payload >> START_BITS) & (PROCESSES - 1);
}

static inline uint64_t start_value(uint64_t payload)
{
    return payload & START_MAX;
}

/* State of AT_ONCE: a number of changes above, the calls below. */
#define AT_ONCE_BITS 20
#define AT_ONCE_MASK ((1ull << AT_ONCE_BITS) - 1)

struct slot {
    _Alignas(64) _Atomic uint64_t owner; /* 0, or who (ref_make()) */
    _Atomic uint64_t state;  /* WINDOW: count; RATE: microseconds since the
                               start at which it is all back; AT_ONCE */
    _Atomic uint64_t window; /* same tag as state */
    _Atomic uint64_t key[3]; /* same tag each, another than state's */
    _Atomic uint64_t length; /* seconds; tag of key */
    _Atomic uint64_t saved;  /* state that is on disk; only flush writes it */
};

/* ---- operations ---- */

enum op_state { OP_UNDECIDED, OP_COMMITTED, OP_ABORTED };

#define OP_STATE_BITS 2

struct change {
    _Atomic uint64_t slot;
    _Atomic uint64_t state_old, state_new;
    _Atomic uint64_t window_old, window_new;
};

struct op {
    _Alignas(64) _Atomic uint64_t status; /* sequence number, op_state */
    _Atomic uint64_t holder;              /* 0: free; else the process plus 1 */
    _Atomic uint64_t count;
    /* Key words and length of changes[claim], when it is below count. */
    _Atomic uint64_t claim;
    _Atomic uint64_t claim_old[4], claim_new[4];
    struct change changes[CHANGES];
};

/* An owner: operation, sequence number. */
static inline uint64_t ref_make(uint32_t op, uint64_t seq)
{
    return seq * OPS + op;
}

/* ---- the memory ---- */

struct process {
    _Atomic uint64_t generation; /* below START_MAX */
};

struct header {
    _Atomic uint64_t magic; /* written last */
    uint64_t version, slots, slot_bytes, op_bytes;
    struct limit_seed seed;
    _Atomic uint64_t boots;
    struct process processes[PROCESSES];
    _Alignas(64) _Atomic uint64_t live; /* bit for each process */
    _Alignas(64) _Atomic uint64_t full_refused, full_passed;
    _Atomic uint64_t claims, helped, aborted, flushed;
};

/* Bytes of the file that are locks. */
enum { LOCK_PROCESS = 0, LOCK_OPEN = 100, LOCK_FLUSH = 101 };

struct cached_span {
    struct window window;
    struct window_span span;
};

/* What one thread has, not shared. */
struct taker {
    struct counters *c;
    struct op *op; /* NULL: no place was left */
    uint32_t op_index;
    uint64_t seq;
    pthread_t thread;
    struct taker *next;
    struct cached_span spans[8];
};

struct counters {
    struct header *header;
    struct slot *slots;
    struct op *ops;
    _Atomic unsigned char *blocks; /* has long windows */
    size_t bytes;                  /* of the mapping */
    uint32_t mask;                 /* slots - 1 */
    unsigned process;
    uint64_t generation;
    uint64_t id; /* of this handle, in this process */
    enum counters_full full;
    int fd;
    char *disk_path;
    uint64_t disk_bytes;   /* of the file as we left it; 0: write it anew */
    uint64_t disk_live;    /* counters worth keeping at the last look */
    pthread_mutex_t mutex; /* of takers */
    struct taker *takers;
};

/* ---- counters_op.c ---- */

/* Begins an operation: raises the sequence number. */
void op_begin(struct taker *t);
/* Becomes owner of the slot. */
void op_own(struct taker *t, uint32_t slot);
/* Gives back a slot, changed or not. */
void op_release(struct taker *t, uint32_t slot);
/* The decision; false when somebody aborted the operation. What is to change
 * must be in the operation. */
bool op_commit(struct taker *t);
/* Nobody has aborted it so far, so what was read holds. */
bool op_undecided(const struct taker *t);
/* Changes the words of a committed operation of this thread. */
void op_apply(struct taker *t);
/* Ends what the operation at index was about, its thread being gone. */
void op_bury(struct counters *c, uint32_t index);

/* ---- finding ---- */

#define SLOT_NONE UINT32_MAX

struct slot_key {
    uint64_t part[3]; /* payloads */
    uint32_t home;
};

/* Where a key was found. The first word stands for all of the key: as long as
 * it is the same, tag and all, nobody else took the slot. */
struct found {
    uint32_t slot; /* or SLOT_NONE */
    uint64_t first;
};

static inline uint64_t word_get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void word_set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

/* What is counted, beside the name: other windows of one name are other
 * counters. AT_ONCE has one for each process. */
static inline struct slot_key
slot_key_of(const struct counters *c, const struct take *take, unsigned process)
{
    uint64_t shape = (uint64_t)take->kind << 60 | 1, a, b;

    if (take->kind == TAKE_WINDOW)
        shape |= (uint64_t)take->window.unit << 56 | (uint64_t)take->window.n
                                                         << 1;
    else if (take->kind == TAKE_AT_ONCE)
        shape |= (uint64_t)process << 1;
    a = take->key.a ^ shape * 0x9e3779b97f4a7c15ull;
    b = take->key.b ^ shape * 0xc2b2ae3d27d4eb4full;
    return (struct slot_key) {
        .part = { word_payload(a), word_payload(b),
                  word_tag(a) | word_tag(b) << (64 - PAYLOAD_BITS) },
        .home = (uint32_t)a & c->mask,
    };
}

static inline bool slot_is(const struct slot *s, uint64_t first,
                           const struct slot_key *k)
{
    return word_payload(first) == k->part[0] &&
           word_get(&s->key[1]) == word_make(word_tag(first), k->part[1]) &&
           word_get(&s->key[2]) == word_make(word_tag(first), k->part[2]);
}

static inline struct found slot_find(const struct counters *c,
                                     const struct slot_key *k)
{
    for (uint32_t i = 0; i < PROBES; i++) {
        uint32_t at = (k->home + i) & c->mask;
        uint64_t first = word_get(&c->slots[at].key[0]);

        if (slot_is(&c->slots[at], first, k))
            return (struct found) { at, first };
        if (!first)
            break;
    }
    return (struct found) { SLOT_NONE, 0 };
}

/* The words of a slot nobody needs to own; false when it is being changed or
 * another's by now. */
static inline bool slot_look(const struct counters *c, struct found f,
                             uint64_t *state, uint64_t *window)
{
    const struct slot *s;

    if (f.slot == SLOT_NONE)
        return false;
    s = &c->slots[f.slot];
    *state = word_get(&s->state);
    *window = word_get(&s->window);
    return word_tag(*state) == word_tag(*window) &&
           word_get(&s->key[0]) == f.first;
}

/* ---- counters_slot.c ---- */

/* Finds the key or puts it in with this window payload and nothing counted.
 * SLOT_NONE: no place. */
struct found slot_claim(struct taker *t, const struct slot_key *k,
                        uint64_t window, uint64_t length_s, uint64_t now_us);
/* The slot was never used or its window is over. */
bool slot_over(const struct counters *c, const struct slot *s, uint64_t now_us);

/* ---- counters_disk.c ---- */

struct record {
    uint64_t key[3];
    uint64_t length_s;
    uint64_t window; /* payload */
    uint64_t amount; /* payload of state */
};

/* Puts a counter into a table that nobody else sees yet. The larger of two
 * stays. False: no place, or its window is over. */
bool record_put(struct counters *c, const struct record *r, uint64_t now_us);
/* True when the slot holds something to keep. */
bool record_from(const struct counters *c, uint32_t slot, uint64_t now_us,
                 struct record *out, uint64_t *state);
/* The seed of what is on disk; false when there is nothing usable. */
bool disk_seed(const char *path, struct limit_seed *out);
uint64_t disk_load(struct counters *c, uint64_t now_us, const char **bad);

/* ---- counters.c ---- */

struct taker *counters_taker_slow(struct counters *c);
void counters_bury_dead(struct counters *c);
/* Lock one byte of the file; kind F_WRLCK or F_UNLCK. */
bool counters_lock(int fd, int byte, short kind, bool wait);

struct taker_of_thread {
    uint64_t id; /* of the counters */
    struct taker *taker;
};
extern _Thread_local struct taker_of_thread taker_of_thread;

/* This thread's, NULL when all places are taken. */
static inline struct taker *counters_taker(struct counters *c)
{
    struct taker_of_thread *mine = &taker_of_thread;

    return mine->id == c->id ? mine->taker : counters_taker_slow(c);
}

#endif
