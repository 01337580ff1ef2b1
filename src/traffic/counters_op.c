/* counters_op.c - changing several slots at one instant; the argument for it
 * is in counters_internal.h.
 *
 * The words of an operation are written with release and read with acquire:
 * who reads a word of the next operation sees its sequence number as well, and
 * so knows that what it read is not of one piece.
 */
#include "traffic/counters_internal.h"

#include "base/log.h"

enum {
    SPINS_HELP = 64,   /* before finishing another's operation */
    SPINS_ABORT = 512, /* before undoing it */
};

/* What an operation wants, copied out of the shared memory. */
struct plan {
    uint32_t count, claim;
    uint64_t claim_old[4], claim_new[4];
    struct {
        uint32_t slot;
        uint64_t state_old, state_new, window_old, window_new;
    } changes[CHANGES];
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void swap(_Atomic uint64_t *word, uint64_t from, uint64_t to)
{
    if (from != to)
        atomic_compare_exchange_strong(word, &from, to);
}

static inline uint64_t status_make(uint64_t seq, enum op_state state)
{
    return seq << OP_STATE_BITS | (uint64_t)state;
}

void op_begin(struct taker *t)
{
    t->seq++;
    atomic_store_explicit(&t->op->status, status_make(t->seq, OP_UNDECIDED),
                          memory_order_release);
}

bool op_commit(struct taker *t)
{
    uint64_t expected = status_make(t->seq, OP_UNDECIDED);

    return atomic_compare_exchange_strong(&t->op->status, &expected,
                                          status_make(t->seq, OP_COMMITTED));
}

bool op_undecided(const struct taker *t)
{
    return word_get(&t->op->status) == status_make(t->seq, OP_UNDECIDED);
}

void op_release(struct taker *t, uint32_t slot)
{
    swap(&t->c->slots[slot].owner, ref_make(t->op_index, t->seq), 0);
}

/* The order matters to those who look without owning: once the first key word
 * is another, nobody takes the slot for what it was; until the last one is, for
 * what it becomes. The window goes first, so that nobody takes the state for
 * that of another window. */
static void change_words(struct slot *s, uint64_t window_old,
                         uint64_t window_new, uint64_t state_old,
                         uint64_t state_new)
{
    swap(&s->window, window_old, window_new);
    swap(&s->state, state_old, state_new);
}

void op_apply(struct taker *t)
{
    const struct op *op = t->op;
    uint32_t count = (uint32_t)word_get(&op->count);
    uint32_t claim = (uint32_t)word_get(&op->claim);

    for (uint32_t i = 0; i < count; i++) {
        const struct change *ch = &op->changes[i];
        struct slot *s = &t->c->slots[word_get(&ch->slot)];

        if (i == claim)
            swap(&s->key[0], word_get(&op->claim_old[0]),
                 word_get(&op->claim_new[0]));
        change_words(s, word_get(&ch->window_old), word_get(&ch->window_new),
                     word_get(&ch->state_old), word_get(&ch->state_new));
        if (i == claim) {
            swap(&s->length, word_get(&op->claim_old[3]),
                 word_get(&op->claim_new[3]));
            swap(&s->key[1], word_get(&op->claim_old[1]),
                 word_get(&op->claim_new[1]));
            swap(&s->key[2], word_get(&op->claim_old[2]),
                 word_get(&op->claim_new[2]));
        }
    }
}

/* Copies a committed operation; false when it is over by now. */
static bool read_plan(const struct op *op, uint64_t status, struct plan *p)
{
    p->count = (uint32_t)word_get(&op->count);
    p->claim = (uint32_t)word_get(&op->claim);
    if (p->count > CHANGES)
        return false;
    for (int i = 0; i < 4; i++) {
        p->claim_old[i] = word_get(&op->claim_old[i]);
        p->claim_new[i] = word_get(&op->claim_new[i]);
    }
    for (uint32_t i = 0; i < p->count; i++) {
        const struct change *ch = &op->changes[i];

        p->changes[i].slot = (uint32_t)word_get(&ch->slot);
        p->changes[i].state_old = word_get(&ch->state_old);
        p->changes[i].state_new = word_get(&ch->state_new);
        p->changes[i].window_old = word_get(&ch->window_old);
        p->changes[i].window_new = word_get(&ch->window_new);
    }
    return word_get(&op->status) == status;
}

static void finish(struct counters *c, const struct op *op, uint64_t status)
{
    struct plan p;

    if (!read_plan(op, status, &p))
        return;
    for (uint32_t i = 0; i < p.count; i++) {
        struct slot *s = &c->slots[p.changes[i].slot & c->mask];

        if (i == p.claim)
            swap(&s->key[0], p.claim_old[0], p.claim_new[0]);
        change_words(s, p.changes[i].window_old, p.changes[i].window_new,
                     p.changes[i].state_old, p.changes[i].state_new);
        if (i == p.claim) {
            swap(&s->length, p.claim_old[3], p.claim_new[3]);
            swap(&s->key[1], p.claim_old[1], p.claim_new[1]);
            swap(&s->key[2], p.claim_old[2], p.claim_new[2]);
        }
    }
}

/* Somebody owns the slot: does about it what the time spent waiting allows. */
static void settle(struct counters *c, struct slot *s, uint64_t ref,
                   unsigned spins)
{
    struct op *op = &c->ops[ref % OPS];
    uint64_t status = word_get(&op->status), seq = ref / OPS;

    if (status == status_make(seq, OP_COMMITTED)) {
        if (spins < SPINS_HELP)
            return;
        finish(c, op, status);
        atomic_fetch_add_explicit(&c->header->helped, 1, memory_order_relaxed);
    } else if (status == status_make(seq, OP_UNDECIDED)) {
        if (spins < SPINS_ABORT)
            return;
        if (!atomic_compare_exchange_strong(&op->status, &status,
                                            status_make(seq, OP_ABORTED)))
            return;
        atomic_fetch_add_explicit(&c->header->aborted, 1, memory_order_relaxed);
    }
    /* Finished, aborted, or of an operation that is over anyway. */
    swap(&s->owner, ref, 0);
}

void op_own(struct taker *t, uint32_t slot)
{
    struct slot *s = &t->c->slots[slot];
    uint64_t mine = ref_make(t->op_index, t->seq), before = 0;

    for (unsigned spins = 0;; spins++) {
        uint64_t owner = word_get(&s->owner);

        if (!owner && atomic_compare_exchange_strong(&s->owner, &owner, mine))
            return;
        if (owner) {
            spins = owner == before ? spins : 0;
            before = owner;
            settle(t->c, s, owner, spins);
            relax();
        }
    }
}

void op_bury(struct counters *c, uint32_t index)
{
    struct op *op = &c->ops[index];
    uint64_t status = word_get(&op->status);

    /* Slots it still owns are taken back by whoever meets them. */
    if (status % (1 << OP_STATE_BITS) == OP_COMMITTED)
        finish(c, op, status);
    else if (status % (1 << OP_STATE_BITS) == OP_UNDECIDED)
        swap(&op->status, status,
             status_make(status >> OP_STATE_BITS, OP_ABORTED));
}
