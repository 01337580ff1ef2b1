/* counters_slot.c - finding the slot of a key, and putting keys in. */
#include "traffic/counters_internal.h"

#include "base/log.h"

static inline uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

/* What is counted, beside the name: other windows of one name are other
 * counters. AT_ONCE has one for each process. */
struct slot_key slot_key_of(const struct counters *c, const struct take *take,
                            unsigned process)
{
    uint64_t shape = (uint64_t)take->kind << 60, a, b;

    if (take->kind == TAKE_WINDOW)
        shape |= (uint64_t)take->window.unit << 32 | take->window.n;
    else if (take->kind == TAKE_AT_ONCE)
        shape |= process;
    shape++;
    a = take->key.a ^ shape * 0x9e3779b97f4a7c15ull;
    b = take->key.b ^ shape * 0xc2b2ae3d27d4eb4full;
    return (struct slot_key) {
        .part = { word_payload(a), word_payload(b),
                  word_tag(a) | word_tag(b) << (64 - PAYLOAD_BITS) },
        .home = (uint32_t)a & c->mask,
    };
}

bool slot_is(const struct counters *c, uint32_t slot, const struct slot_key *k)
{
    const struct slot *s = &c->slots[slot];
    uint64_t first = get(&s->key[0]), second, third;

    if (word_payload(first) != k->part[0])
        return false;
    second = get(&s->key[1]);
    third = get(&s->key[2]);
    return second == word_make(word_tag(first), k->part[1]) &&
           third == word_make(word_tag(first), k->part[2]);
}

uint32_t slot_find(const struct counters *c, const struct slot_key *k)
{
    for (uint32_t i = 0; i < PROBES; i++) {
        uint32_t at = (k->home + i) & c->mask;

        if (slot_is(c, at, k))
            return at;
        if (!get(&c->slots[at].key[0]))
            break;
    }
    return SLOT_NONE;
}

bool slot_look(const struct counters *c, uint32_t slot,
               const struct slot_key *k, struct slot_view *out)
{
    const struct slot *s = &c->slots[slot];
    uint64_t first = get(&s->key[0]);

    if (!slot_is(c, slot, k))
        return false;
    out->state = get(&s->state);
    out->window = get(&s->window);
    return word_tag(out->state) == word_tag(out->window) &&
           get(&s->key[0]) == first;
}

bool slot_over(const struct counters *c, const struct slot *s, uint64_t now_us)
{
    uint64_t window = word_payload(get(&s->window));
    uint64_t state = word_payload(get(&s->state));
    uint64_t start = start_value(window);

    if (!get(&s->key[0]))
        return true;
    switch (start_kind(window)) {
    case TAKE_WINDOW:
        return start + word_payload(get(&s->length)) <= now_us / 1000000;
    case TAKE_RATE:
        return start * 1000000 + state <= now_us;
    case TAKE_AT_ONCE:
        return !(state & AT_ONCE_MASK) ||
               start !=
                   get(&c->header->processes[start_process(window)].generation);
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
    uint64_t old[4] = { get(&s->key[0]), get(&s->key[1]), get(&s->key[2]),
                        get(&s->length) };
    uint64_t state_old = get(&s->state), window_old = get(&s->window);
    uint64_t key_tag = word_tag(old[0]) + 1, tag = word_tag(state_old) + 1;

    for (int i = 0; i < 4; i++) {
        set(&op->claim_old[i], old[i]);
        set(&op->claim_new[i],
            word_make(key_tag, i < 3 ? k->part[i] : length_s));
    }
    set(&ch->slot, slot);
    set(&ch->state_old, state_old);
    set(&ch->state_new, word_make(tag, 0));
    set(&ch->window_old, window_old);
    set(&ch->window_new, word_make(tag, window));
    set(&op->claim, 0);
    set(&op->count, 1);
    if (length_s >= LONG_S) /* before flush could miss it */
        atomic_store_explicit(&t->c->blocks[slot / BLOCK], 1,
                              memory_order_release);
}

/* Owning k's home and perhaps another slot: puts the key in. False to begin
 * anew. */
static bool try_claim(struct taker *t, const struct slot_key *k,
                      uint64_t window, uint64_t length_s, uint64_t now_us,
                      uint32_t *slot)
{
    struct counters *c = t->c;
    bool done;

    *slot = slot_find(c, k);
    if (*slot != SLOT_NONE)
        return true;
    *slot = find_over(c, k, now_us);
    if (*slot == SLOT_NONE)
        return true;
    if (*slot != k->home)
        op_own(t, *slot);
    done = slot_over(c, &c->slots[*slot], now_us);
    if (done) {
        plan_claim(t, *slot, k, window, length_s);
        done = op_commit(t);
        if (done) {
            op_apply(t);
            atomic_fetch_add_explicit(&c->header->claims, 1,
                                      memory_order_relaxed);
        }
    }
    if (*slot != k->home)
        op_release(t, *slot);
    return done;
}

uint32_t slot_claim(struct taker *t, const struct slot_key *k, uint64_t window,
                    uint64_t length_s, uint64_t now_us)
{
    uint32_t slot;
    bool done;

    do {
        op_begin(t);
        op_own(t, k->home);
        done = try_claim(t, k, window, length_s, now_us, &slot);
        op_release(t, k->home);
    } while (!done);
    return slot;
}
