/* limits_quick.c - what nearly every call does, with half the
 * instructions: some windows that exist, go on, and have room for it.
 *
 * It is the same operation as in limits.c, step by step, and gives up before
 * the commit wherever there is more to it: then limits.c begins anew.
 */
#include "traffic/limit_math.h"

/* One take, in the order of slots. */
struct quick {
    struct slot *slot;
    uint64_t first, window, end_s;
    uint32_t take;
};

static inline bool find(struct taker *t, const struct take *k, uint64_t now_s,
                        struct quick *q)
{
    const struct counters *c = t->c;
    const struct cached_span *cached = &t->spans[span_place(k->window)];
    struct slot_key key;
    struct found found;
    uint64_t state;

    if (k->kind != TAKE_WINDOW || k->mark_only || !k->cost ||
        (k->limit | k->cost) > LIMITS_MOST || cached->window.n != k->window.n ||
        cached->window.unit != k->window.unit ||
        now_s - cached->span.start_s >=
            cached->span.end_s - cached->span.start_s)
        return false;
    key = slot_key_of(c, k, 0);
    found = slot_find(c, &key);
    if (found.slot == SLOT_NONE)
        return false;
    q->slot = &c->slots[found.slot];
    q->first = found.first;
    q->window = word_get(&q->slot->window);
    q->end_s = cached->span.end_s;
    state = word_get(&q->slot->state);
    return start_value(word_payload(q->window)) == cached->span.start_s &&
           word_payload(state) + k->cost <= k->limit;
}

/* Sorted in; false when two takes share a slot. */
static inline bool put(struct quick *list, uint32_t n, const struct quick *q)
{
    for (; n && list[n - 1].slot > q->slot; n--)
        list[n] = list[n - 1];
    list[n] = *q;
    return !n || list[n - 1].slot != q->slot;
}

/* Owning the slot: writes down what is to change. */
static inline bool decide(const struct counters *c, const struct take *k,
                          const struct quick *q, struct change *ch,
                          struct limit_state *out)
{
    uint64_t state = word_get(&q->slot->state);
    uint64_t count = word_payload(state) + k->cost;

    if (word_get(&q->slot->key[0]) != q->first ||
        word_get(&q->slot->window) != q->window || count > k->limit)
        return false;
    word_set(&ch->slot, (uint64_t)(q->slot - c->slots));
    word_set(&ch->state_old, state);
    word_set(&ch->state_new, state + k->cost);
    word_set(&ch->window_old, q->window);
    word_set(&ch->window_new, q->window);
    *out = (struct limit_state) {
        .limit = k->limit,
        .remaining = k->limit - count,
        .reset_us = q->end_s * 1000000,
    };
    return true;
}

static bool decide_all(struct taker *t, const struct take *takes,
                       const struct quick *list, uint32_t count,
                       struct limits_result *out)
{
    struct op *op = t->op;

    for (uint32_t i = 0; i < count; i++)
        if (!decide(t->c, &takes[list[i].take], &list[i], &op->changes[i],
                    &out->states[list[i].take]))
            return false;
    word_set(&op->claim, CHANGES);
    word_set(&op->count, count);
    return op_commit(t);
}

static void change_all(const struct op *op, const struct quick *list,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t from = word_get(&op->changes[i].state_old);

        atomic_compare_exchange_strong(&list[i].slot->state, &from,
                                       word_get(&op->changes[i].state_new));
    }
}

bool limits_take_quickly(struct taker *t, const struct take *takes,
                         uint32_t count, uint64_t now_us,
                         struct limits_result *out)
{
    struct quick list[QUICK_MAX], q;
    uint64_t now_s = now_us / 1000000, mine;
    bool done;

    for (uint32_t i = 0; i < count; i++) {
        q.take = i;
        if (!find(t, &takes[i], now_s, &q) || !put(list, i, &q))
            return false;
    }
    op_begin(t);
    mine = ref_make(t->op_index, t->seq);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t none = 0;

        if (!atomic_compare_exchange_strong(&list[i].slot->owner, &none, mine))
            op_own(t, (uint32_t)(list[i].slot - t->c->slots));
    }
    done = decide_all(t, takes, list, count, out);
    if (done)
        change_all(t->op, list, count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t owner = mine;

        atomic_compare_exchange_strong(&list[i].slot->owner, &owner, 0);
    }
    return done;
}
