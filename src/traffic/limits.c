/* limits.c - the takes of one call as one operation on the table. */
#include "traffic/limits.h"

#include "base/log.h"
#include "traffic/limit_math.h"

/* Attempts that others undid, or whose slots others took; then there is no
 * place for the call. Nobody has seen a tenth one. */
enum { ATTEMPTS = 1000 };

/* One slot of the operation. */
struct entry {
    uint32_t slot;
    uint8_t kind;
    uint8_t process;        /* AT_ONCE: whose; only ours is changed */
    uint64_t first;         /* of its key, as it was found */
    uint64_t state, window; /* as it was */
    struct value value;     /* as it is to be */
};

enum mode { MODE_TAKE, MODE_GIVE, MODE_DEBIT };

/* Large, and of the arrays only what is used is ever written. */
struct job {
    struct counters *c;
    struct taker *t;
    const struct take *takes;
    uint32_t count;
    enum mode mode;
    uint64_t amount;   /* DEBIT */
    bool nothing_left; /* DEBIT */
    uint64_t now_us;
    struct limits_result *out; /* NULL for GIVE and DEBIT */
    uint32_t part;             /* bit for each take that changes a slot */
    uint32_t n;                /* of entries */
    struct slot_key keys[LIMITS_MAX];
    struct found found[LIMITS_MAX];
    struct window_span spans[LIMITS_MAX];
    uint8_t entry_of[LIMITS_MAX];
    uint8_t order[CHANGES]; /* of entries, by slot */
    struct entry entries[CHANGES];
};

/* ---- instants ---- */

static inline struct window_span span_of(struct taker *t, struct window w,
                                         uint64_t now_s)
{
    struct cached_span *cached;

    if (!t)
        return window_at(w, now_s);
    cached = &t->spans[span_place(w)];
    if (cached->window.n != w.n || cached->window.unit != w.unit ||
        now_s < cached->span.start_s || now_s >= cached->span.end_s) {
        cached->window = w;
        cached->span = window_at(w, now_s);
    }
    return cached->span;
}

static inline struct instant instant_of(const struct job *j, uint32_t i)
{
    return (struct instant) {
        .now_us = j->now_us,
        .span = &j->spans[i],
        .generation = j->c->generation,
    };
}

static inline struct value value_of(uint64_t state, uint64_t window)
{
    return (struct value) {
        .start = start_value(word_payload(window)),
        .amount = word_payload(state),
    };
}

static void prepare(struct job *j, struct counters *c, const struct take *takes,
                    uint32_t count, uint64_t now_us)
{
    uint64_t now_s = now_us / 1000000;

    must(count <= LIMITS_MAX);
    j->c = c;
    j->t = counters_taker(c);
    j->takes = takes;
    j->count = count;
    j->now_us = now_us;
    j->out = NULL;
    j->nothing_left = false;
    j->part = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct take *t = &takes[i];

        must(t->limit <= LIMITS_MOST && t->cost <= LIMITS_MOST);
        must(t->kind != TAKE_RATE ||
             (t->interval_us &&
              (!t->limit || t->interval_us <= LIMITS_MOST / t->limit)));
        j->keys[i] = slot_key_of(c, t, c->process);
        j->found[i] = slot_find(c, &j->keys[i]);
        j->spans[i] = t->kind == TAKE_WINDOW ? span_of(j->t, t->window, now_s)
                                             : (struct window_span) { 0 };
    }
}

/* ---- looking ---- */

/* Fills the state of take i from what lies in the table now; true when that
 * alone refuses it. */
static bool look(struct job *j, uint32_t i)
{
    const struct take *t = &j->takes[i];
    struct instant at = instant_of(j, i);
    struct value v = limit_empty(t, &at);
    uint64_t state, window;

    if (slot_look(j->c, j->found[i], &state, &window))
        v = value_of(state, window);
    limit_roll(t, &at, &v);
    return limit_check(t, &at, &v, &j->out->states[i]) && !t->mark_only &&
           t->kind != TAKE_AT_ONCE;
}

/* The same, for what has its state filled later if it passes. */
static inline bool look_quickly(struct job *j, uint32_t i)
{
    const struct take *t = &j->takes[i];
    uint64_t state, window;

    j->part |= (uint32_t)(t->cost > 0) << i;
    if (t->kind != TAKE_WINDOW || !t->cost)
        return look(j, i);
    if (t->mark_only)
        return false;
    if (!slot_look(j->c, j->found[i], &state, &window) ||
        start_value(word_payload(window)) < j->spans[i].start_s)
        return t->cost > t->limit;
    return word_payload(state) + t->cost > t->limit;
}

/* All states as they are; the first that refuses by itself, or count. */
static uint32_t look_all(struct job *j)
{
    uint32_t refused = j->count;

    j->out->count = j->count;
    for (uint32_t i = 0; i < j->count; i++)
        if (look(j, i) && refused == j->count)
            refused = i;
    return refused;
}

static bool refuse(struct job *j, uint32_t i, enum limits_refusal why)
{
    j->out->refusal = why;
    j->out->refused = i;
    return false;
}

/* ---- the slots of an operation ---- */

static inline bool takes_part(const struct job *j, uint32_t i)
{
    return j->part >> i & 1;
}

/* Two takes of one counter share an entry. */
static inline uint32_t add_entry(struct job *j, struct found f,
                                 enum take_kind kind, unsigned process)
{
    uint32_t at = 0;

    while (at < j->n && j->entries[at].slot != f.slot)
        at++;
    if (at < j->n)
        return at;
    must(at < CHANGES);
    for (; at && j->entries[j->order[at - 1]].slot > f.slot; at--)
        j->order[at] = j->order[at - 1];
    j->order[at] = (uint8_t)j->n;
    j->entries[j->n].slot = f.slot;
    j->entries[j->n].first = f.first;
    j->entries[j->n].kind = (uint8_t)kind;
    j->entries[j->n].process = (uint8_t)process;
    return j->n++;
}

static struct found claim(struct job *j, uint32_t i)
{
    const struct take *t = &j->takes[i];
    struct instant at = instant_of(j, i);
    uint64_t length_s = 0;

    if (t->kind == TAKE_WINDOW)
        length_s = window_length_s(t->window);
    else if (t->kind == TAKE_RATE)
        length_s = t->interval_us * t->limit / 1000000 + 1;
    return slot_claim(j->t, &j->keys[i],
                      start_make(t->kind,
                                 t->kind == TAKE_AT_ONCE ? j->c->process : 0,
                                 limit_empty(t, &at).start),
                      length_s, j->now_us);
}

static uint64_t others_alive(const struct counters *c)
{
    return word_get(&c->header->live) & ~(1ull << c->process);
}

/* What other processes have at once of take i. With check, says whether all of
 * that is among the entries; else adds it. */
static bool add_others(struct job *j, uint32_t i, bool check)
{
    for (uint64_t live = others_alive(j->c); live; live &= live - 1) {
        unsigned process = (unsigned)__builtin_ctzll(live);
        struct slot_key k = slot_key_of(j->c, &j->takes[i], process);
        struct found f = slot_find(j->c, &k);
        uint32_t at = 0;

        while (at < j->n && j->entries[at].slot != f.slot)
            at++;
        /* Beyond CHANGES not all others can be owned, only read. */
        if (f.slot == SLOT_NONE || at < j->n || j->n == CHANGES)
            continue;
        if (check)
            return false;
        add_entry(j, f, TAKE_AT_ONCE, process);
    }
    return true;
}

/* Finds or makes the slots of all that take part. False: no place for take
 * *full. */
static bool gather(struct job *j, bool again, uint32_t *full)
{
    bool at_once = false;

    j->n = 0;
    for (uint32_t i = 0; i < j->count; i++) {
        if (!takes_part(j, i))
            continue;
        if (again)
            j->found[i] = slot_find(j->c, &j->keys[i]);
        if (j->found[i].slot == SLOT_NONE && j->mode != MODE_GIVE)
            j->found[i] = claim(j, i);
        if (j->found[i].slot == SLOT_NONE) {
            *full = i;
            if (j->mode == MODE_TAKE)
                return false;
            continue; /* nothing to give back, no place for bytes */
        }
        j->entry_of[i] =
            (uint8_t)add_entry(j, j->found[i], j->takes[i].kind, j->c->process);
        at_once |= j->takes[i].kind == TAKE_AT_ONCE;
    }
    for (uint32_t i = 0; at_once && i < j->count && j->mode == MODE_TAKE; i++)
        if (j->takes[i].kind == TAKE_AT_ONCE && takes_part(j, i))
            add_others(j, i, false);
    return true;
}

static void own_all(struct job *j)
{
    op_begin(j->t);
    for (uint32_t i = 0; i < j->n; i++)
        op_own(j->t, j->entries[j->order[i]].slot);
}

static void release_all(struct job *j)
{
    for (uint32_t i = 0; i < j->n; i++)
        op_release(j->t, j->entries[i].slot);
}

/* Owning them: reads the slots. False when one is another's by now. */
static bool read_all(struct job *j)
{
    bool at_once = false;

    for (uint32_t i = 0; i < j->n; i++) {
        struct entry *e = &j->entries[i];
        const struct slot *s = &j->c->slots[e->slot];

        if (word_get(&s->key[0]) != e->first)
            return false;
        e->state = word_get(&s->state);
        e->window = word_get(&s->window);
        e->value = value_of(e->state, e->window);
        at_once |= e->kind == TAKE_AT_ONCE;
    }
    for (uint32_t i = 0; at_once && i < j->count && j->mode == MODE_TAKE; i++)
        if (j->takes[i].kind == TAKE_AT_ONCE && takes_part(j, i) &&
            !add_others(j, i, true))
            return false;
    return true;
}

/* ---- deciding ---- */

static uint64_t others_at_once(struct job *j, uint32_t i)
{
    uint64_t sum = 0;

    for (uint64_t live = others_alive(j->c); live; live &= live - 1) {
        unsigned process = (unsigned)__builtin_ctzll(live);
        struct slot_key k = slot_key_of(j->c, &j->takes[i], process);
        uint32_t slot = slot_find(j->c, &k).slot;

        for (uint32_t n = 0; n < j->n; n++) {
            const struct entry *e = &j->entries[n];

            if (e->slot == slot &&
                e->value.start ==
                    word_get(&j->c->header->processes[process].generation))
                sum += e->value.amount & AT_ONCE_MASK;
        }
    }
    return sum;
}

/* Applies take i to the value of its entry; false when it refuses. */
static bool decide(struct job *j, uint32_t i, struct limit_state *state)
{
    const struct take *t = &j->takes[i];
    struct value *v = &j->entries[j->entry_of[i]].value;
    struct instant at;

    if (t->kind == TAKE_WINDOW)
        return !limit_window(t, &j->spans[i], v, state);
    at = instant_of(j, i);
    limit_roll(t, &at, v);
    if (t->kind == TAKE_AT_ONCE)
        at.others = others_at_once(j, i);
    if (limit_check(t, &at, v, state) && !t->mark_only)
        return false;
    /* What only marks is counted on; a rate would never come back. */
    if (t->kind != TAKE_RATE || !state->exceeded)
        limit_count(t, &at, t->cost, v);
    state->remaining -= t->cost < state->remaining ? t->cost : state->remaining;
    if (t->kind == TAKE_RATE)
        state->reset_us = v->start * 1000000 + v->amount;
    return true;
}

/* GIVE and DEBIT refuse nothing. */
static void decide_other(struct job *j, uint32_t i)
{
    const struct take *t = &j->takes[i];
    struct instant at = instant_of(j, i);
    struct value *v = &j->entries[j->entry_of[i]].value;
    struct limit_state state;

    if (j->mode == MODE_GIVE) {
        if (v->start == at.generation)
            limit_give_back(v);
        return;
    }
    limit_roll(t, &at, v);
    limit_count(t, &at, j->amount, v);
    j->nothing_left |= limit_check(t, &at, v, &state) && !t->mark_only;
}

/* The first take that refuses, or count. */
static uint32_t decide_all(struct job *j)
{
    j->nothing_left = false;
    for (uint32_t i = 0; i < j->count; i++) {
        if (!takes_part(j, i) || j->found[i].slot == SLOT_NONE)
            continue;
        if (j->mode != MODE_TAKE)
            decide_other(j, i);
        else if (!decide(j, i, &j->out->states[i]))
            return i;
    }
    return j->count;
}

static void write_changes(struct job *j)
{
    struct op *op = j->t->op;

    for (uint32_t i = 0; i < j->n; i++) {
        const struct entry *e = &j->entries[i];
        struct change *ch = &op->changes[i];
        uint64_t tag = word_tag(e->state) + e->value.rolled;
        uint64_t window = e->window;

        if (e->value.rolled)
            window = word_make(
                tag,
                start_make(e->kind, e->kind == TAKE_AT_ONCE ? e->process : 0,
                           e->value.start));
        word_set(&ch->slot, e->slot);
        word_set(&ch->state_old, e->state);
        word_set(&ch->state_new, word_make(tag, e->value.amount));
        word_set(&ch->window_old, e->window);
        word_set(&ch->window_new, window);
    }
    word_set(&op->claim, CHANGES);
    word_set(&op->count, j->n);
}

enum outcome { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_AGAIN };

static enum outcome attempt(struct job *j, uint32_t *refused)
{
    enum outcome outcome = OUTCOME_AGAIN;

    own_all(j);
    if (read_all(j)) {
        *refused = decide_all(j);
        if (*refused < j->count) {
            /* What was read holds if nobody undid the operation meanwhile. */
            if (op_undecided(j->t))
                outcome = OUTCOME_REFUSED;
        } else {
            write_changes(j);
            if (op_commit(j->t)) {
                op_apply(j->t);
                outcome = OUTCOME_DONE;
            }
        }
    }
    release_all(j);
    return outcome;
}

/* ---- the public functions ---- */

static bool no_place(struct job *j, uint32_t i)
{
    struct header *h = j->c->header;

    look(j, i);
    if (j->c->full == COUNTERS_PASS) {
        atomic_fetch_add_explicit(&h->full_passed, 1, memory_order_relaxed);
        j->out->states[i].uncounted = true;
        j->part &= ~(1u << i);
        return true;
    }
    atomic_fetch_add_explicit(&h->full_refused, 1, memory_order_relaxed);
    look_all(j);
    return refuse(j, i, LIMITS_FULL);
}

/* Those before it were taken in vain, those behind it not looked at. */
static bool refuse_exceeded(struct job *j, uint32_t i)
{
    struct limit_state state = j->out->states[i];

    for (uint32_t k = 0; k < j->count; k++)
        j->found[k] = slot_find(j->c, &j->keys[k]);
    look_all(j);
    j->out->states[i] = state;
    return refuse(j, i, LIMITS_EXCEEDED);
}

static bool run(struct job *j)
{
    uint32_t which = 0;

    for (int i = 0; i < ATTEMPTS && j->t; i++) {
        enum outcome outcome;

        if (!gather(j, i > 0, &which)) {
            if (!no_place(j, which))
                return false;
            continue;
        }
        if (!j->n)
            return true;
        outcome = attempt(j, &which);
        if (outcome == OUTCOME_DONE)
            return true;
        if (outcome == OUTCOME_REFUSED)
            return refuse_exceeded(j, which);
    }
    for (uint32_t i = 0; i < j->count && j->mode == MODE_TAKE; i++)
        if (takes_part(j, i) && !no_place(j, i))
            return false;
    return true;
}

bool limits_take(struct counters *c, const struct take *takes, uint32_t count,
                 uint64_t now_us, struct limits_result *out)
{
    struct taker *t = counters_taker(c);
    struct job j;

    out->refusal = LIMITS_ADMITTED;
    out->refused = 0;
    out->held = 0;
    out->marked = false;
    out->count = count;
    if (t && count - 1 < QUICK_MAX &&
        limits_take_quickly(t, takes, count, now_us, out))
        return true;
    prepare(&j, c, takes, count, now_us);
    j.mode = MODE_TAKE;
    j.out = out;
    for (uint32_t i = 0; i < count; i++) {
        if (look_quickly(&j, i)) {
            look_all(&j);
            return refuse(&j, i, LIMITS_EXCEEDED);
        }
    }
    if (!run(&j))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        out->marked |= out->states[i].exceeded;
        if (takes[i].kind == TAKE_AT_ONCE && takes_part(&j, i))
            out->held |= 1u << i;
    }
    return true;
}

void limits_give(struct counters *c, const struct take *takes, uint32_t held,
                 uint64_t now_us)
{
    struct job j;

    if (!held)
        return;
    prepare(&j, c, takes, 32 - (uint32_t)__builtin_clz(held), now_us);
    j.mode = MODE_GIVE;
    j.part = held;
    run(&j);
}

bool limits_debit(struct counters *c, const struct take *takes, uint32_t count,
                  uint64_t amount, uint64_t now_us)
{
    struct job j;

    prepare(&j, c, takes, count, now_us);
    j.mode = MODE_DEBIT;
    j.amount = amount;
    for (uint32_t i = 0; i < count; i++)
        j.part |= (uint32_t)!takes[i].cost << i;
    run(&j);
    return !j.nothing_left;
}

void limits_look(struct counters *c, const struct take *takes, uint32_t count,
                 uint64_t now_us, struct limits_result *out)
{
    struct job j;

    prepare(&j, c, takes, count, now_us);
    j.out = out;
    out->refused = look_all(&j);
    out->refusal = out->refused < count ? LIMITS_EXCEEDED : LIMITS_ADMITTED;
    out->held = 0;
    out->marked = false;
}
