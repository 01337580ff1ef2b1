/* counters_slot.c - putting keys into slots whose window is over. */
#include "traffic/counters_internal.h"

#include "base/log.h"

bool slot_over(const struct counters *c, const struct slot *s, uint64_t now_us)
{
    uint64_t window = word_payload(word_get(&s->window));
    uint64_t state = word_payload(word_get(&s->state));
    uint64_t start = start_value(window);

    if (!word_get(&s->key[0]))
        return true;
    switch (start_kind(window)) {
    case TAKE_WINDOW:
        return start + word_payload(word_get(&s->length)) <= now_us / 1000000;
    case TAKE_RATE:
        return start * 1000000 + state <= now_us;
    case TAKE_AT_ONCE:
        return !(state & AT_ONCE_MASK) ||
               start !=
                   word_get(
                       &c->header->processes[start_process(window)].generation);
    }
    return false;
}

/* The first slot of k's that another key may have. */
static uint32_t find_over(const struct counters *c, const struct slot_key *k,
                          uint64_t now_us)
{
    for (uint32_t i = 0; i < PROBES; i++) {
        uint32_t at = (k->home + i) & c->mask;

        if (slot_over(c, &c->slots[at], now_us))
            return at;
    }
    return SLOT_NONE;
}

static void plan_claim(struct taker *t, uint32_t slot, const struct slot_key *k,
                       uint64_t window, uint64_t length_s)
{
    struct op *op = t->op;
    struct slot *s = &t->c->slots[slot];
    struct change *ch = &op->changes[0];
    uint64_t old[4] = { word_get(&s->key[0]), word_get(&s->key[1]),
                        word_get(&s->key[2]), word_get(&s->length) };
    uint64_t state_old = word_get(&s->state), window_old = word_get(&s->window);
    uint64_t key_tag = word_tag(old[0]) + 1, tag = word_tag(state_old) + 1;

    for (int i = 0; i < 4; i++) {
        word_set(&op->claim_old[i], old[i]);
        word_set(&op->claim_new[i],
                 word_make(key_tag, i < 3 ? k->part[i] : length_s));
    }
    word_set(&ch->slot, slot);
    word_set(&ch->state_old, state_old);
    word_set(&ch->state_new, word_make(tag, 0));
    word_set(&ch->window_old, window_old);
    word_set(&ch->window_new, word_make(tag, window));
    word_set(&op->claim, 0);
    word_set(&op->count, 1);
    if (length_s >= LONG_S) /* before flush could miss it */
        atomic_store_explicit(&t->c->blocks[slot / BLOCK], 1,
                              memory_order_release);
}

/* Owning k's home and perhaps another slot: puts the key in. False to begin
 * anew. */
static bool try_claim(struct taker *t, const struct slot_key *k,
                      uint64_t window, uint64_t length_s, uint64_t now_us,
                      struct found *found)
{
    struct counters *c = t->c;
    uint32_t slot;
    bool done;

    *found = slot_find(c, k);
    if (found->slot != SLOT_NONE)
        return true;
    slot = find_over(c, k, now_us);
    if (slot == SLOT_NONE)
        return true;
    if (slot != k->home)
        op_own(t, slot);
    done = slot_over(c, &c->slots[slot], now_us);
    if (done) {
        plan_claim(t, slot, k, window, length_s);
        done = op_commit(t);
        if (done) {
            op_apply(t);
            *found = (struct found) { slot, word_get(&t->op->claim_new[0]) };
            atomic_fetch_add_explicit(&c->header->claims, 1,
                                      memory_order_relaxed);
        }
    }
    if (slot != k->home)
        op_release(t, slot);
    return done;
}

struct found slot_claim(struct taker *t, const struct slot_key *k,
                        uint64_t window, uint64_t length_s, uint64_t now_us)
{
    struct found found;
    bool done;

    do {
        op_begin(t);
        op_own(t, k->home);
        done = try_claim(t, k, window, length_s, now_us, &found);
        op_release(t, k->home);
    } while (!done);
    return found;
}
