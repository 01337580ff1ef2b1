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
    unsigned process; /* AT_ONCE: whose; only ours is changed */
    uint8_t kind;
    struct slot_key key;
    uint64_t state, window; /* as it was */
    struct value value;     /* as it is to be */
};

enum mode { MODE_TAKE, MODE_GIVE, MODE_DEBIT };

struct job {
    struct counters *c;
    struct taker *t;
    const struct take *takes;
    uint32_t count;
    enum mode mode;
    uint64_t amount;   /* DEBIT */
    bool nothing_left; /* DEBIT */
    uint32_t held;     /* GIVE: bit for each take */
    uint64_t now_us;
    struct limits_result *out; /* NULL for GIVE and DEBIT */
    struct slot_key keys[LIMITS_MAX];
    uint32_t slots[LIMITS_MAX];
    struct window_span spans[LIMITS_MAX];
    struct entry entries[CHANGES]; /* by slot */
    uint32_t n;
};

/* ---- instants ---- */

static struct window_span span_of(struct taker *t, struct window w,
                                  uint64_t now_s)
{
    struct cached_span *cached;

    if (!t)
        return window_at(w, now_s);
    cached = &t->spans[(w.unit + 3 * w.n) % 8];
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
        .span = j->spans[i],
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

/* ---- looking ---- */

/* Fills the state of take i from what lies in the table now; true when that
 * alone refuses it. */
static bool look(struct job *j, uint32_t i, struct limit_state *out)
{
    const struct take *t = &j->takes[i];
    struct instant at = instant_of(j, i);
    struct slot_view view;
    struct value v = limit_empty(t, &at);

    j->slots[i] = slot_find(j->c, &j->keys[i]);
    if (j->slots[i] != SLOT_NONE &&
        slot_look(j->c, j->slots[i], &j->keys[i], &view))
        v = value_of(view.state, view.window);
    limit_roll(t, &at, &v);
    return limit_check(t, &at, &v, out) && !t->mark_only &&
           t->kind != TAKE_AT_ONCE;
}

/* All states as they are; the first that refuses by itself, or count. */
static uint32_t look_all(struct job *j)
{
    uint32_t refused = j->count;

    j->out->count = j->count;
    for (uint32_t i = 0; i < j->count; i++)
        if (look(j, i, &j->out->states[i]) && refused == j->count)
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

static bool takes_part(const struct job *j, uint32_t i)
{
    const struct take *t = &j->takes[i];

    switch (j->mode) {
    case MODE_TAKE:
        return t->cost && !j->out->states[i].uncounted;
    case MODE_GIVE:
        return j->held >> i & 1 && t->kind == TAKE_AT_ONCE;
    case MODE_DEBIT:
        return !t->cost;
    }
    return false;
}

/* Sorted by slot; two takes of one counter share an entry. */
static struct entry *add_entry(struct job *j, uint32_t slot)
{
    uint32_t at = j->n;

    while (at && j->entries[at - 1].slot > slot)
        at--;
    if (at && j->entries[at - 1].slot == slot)
        return &j->entries[at - 1];
    must(j->n < CHANGES);
    memmove(&j->entries[at + 1], &j->entries[at],
            (j->n - at) * sizeof(*j->entries));
    j->n++;
    j->entries[at].slot = slot;
    return &j->entries[at];
}

static struct entry *entry_of(struct job *j, uint32_t slot)
{
    struct entry *e = j->entries;

    while (e->slot != slot)
        e++;
    return e;
}

static uint32_t claim(struct job *j, uint32_t i)
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
    return atomic_load_explicit(&c->header->live, memory_order_acquire) &
           ~(1ull << c->process);
}

/* What other processes have at once of take i. With check, says whether all of
 * that is among the entries; else adds it. */
static bool add_others(struct job *j, uint32_t i, bool check)
{
    for (uint64_t live = others_alive(j->c); live; live &= live - 1) {
        unsigned process = (unsigned)__builtin_ctzll(live);
        struct slot_key k = slot_key_of(j->c, &j->takes[i], process);
        uint32_t slot = slot_find(j->c, &k), at = 0;
        struct entry *e;

        if (slot == SLOT_NONE)
            continue;
        while (at < j->n && j->entries[at].slot != slot)
            at++;
        if (at < j->n)
            continue;
        if (check)
            return false;
        if (j->n == CHANGES)
            break;
        e = add_entry(j, slot);
        e->kind = TAKE_AT_ONCE;
        e->process = process;
        e->key = k;
    }
    return true;
}

/* Finds or makes the slots of all that take part. False: no place for take
 * *full. */
static bool gather(struct job *j, uint32_t *full)
{
    j->n = 0;
    for (uint32_t i = 0; i < j->count; i++) {
        struct entry *e;

        if (!takes_part(j, i))
            continue;
        j->slots[i] = slot_find(j->c, &j->keys[i]);
        if (j->slots[i] == SLOT_NONE && j->mode != MODE_GIVE)
            j->slots[i] = claim(j, i);
        if (j->slots[i] == SLOT_NONE) {
            *full = i;
            if (j->mode == MODE_TAKE)
                return false;
            continue; /* nothing to give back, no place for bytes */
        }
        e = add_entry(j, j->slots[i]);
        e->kind = (uint8_t)j->takes[i].kind;
        e->process = j->c->process;
        e->key = j->keys[i];
    }
    for (uint32_t i = 0; i < j->count && j->mode == MODE_TAKE; i++)
        if (j->takes[i].kind == TAKE_AT_ONCE && takes_part(j, i))
            add_others(j, i, false);
    return true;
}

static void own_all(struct job *j)
{
    op_begin(j->t);
    for (uint32_t i = 0; i < j->n; i++)
        op_own(j->t, j->entries[i].slot);
}

static void release_all(struct job *j)
{
    for (uint32_t i = 0; i < j->n; i++)
        op_release(j->t, j->entries[i].slot);
}

/* Owning them: reads the slots. False when one is another's by now. */
static bool read_all(struct job *j)
{
    for (uint32_t i = 0; i < j->n; i++) {
        struct entry *e = &j->entries[i];
        const struct slot *s = &j->c->slots[e->slot];

        if (!slot_is(j->c, e->slot, &e->key))
            return false;
        e->state = atomic_load_explicit(&s->state, memory_order_acquire);
        e->window = atomic_load_explicit(&s->window, memory_order_acquire);
        e->value = value_of(e->state, e->window);
    }
    for (uint32_t i = 0; i < j->count && j->mode == MODE_TAKE; i++)
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
        uint64_t generation = atomic_load_explicit(
            &j->c->header->processes[process].generation, memory_order_acquire);

        for (uint32_t n = 0; n < j->n; n++) {
            const struct entry *e = &j->entries[n];

            if (e->process == process && e->value.start == generation &&
                memcmp(e->key.part, k.part, sizeof(k.part)) == 0)
                sum += e->value.amount & AT_ONCE_MASK;
        }
    }
    return sum;
}

/* Applies take i to the value of its entry; false when it refuses. */
static bool decide(struct job *j, uint32_t i)
{
    const struct take *t = &j->takes[i];
    struct instant at = instant_of(j, i);
    struct limit_state ignored, *state = j->out ? &j->out->states[i] : &ignored;
    struct value *v;

    if (j->slots[i] == SLOT_NONE)
        return true;
    v = &entry_of(j, j->slots[i])->value;
    if (j->mode == MODE_GIVE) {
        if (v->start == at.generation)
            limit_give_back(v);
        return true;
    }
    limit_roll(t, &at, v);
    if (j->mode == MODE_DEBIT) {
        limit_count(t, &at, j->amount, v);
        if (limit_check(t, &at, v, state) && !t->mark_only)
            j->nothing_left = true;
        return true;
    }
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

/* The first take that refuses, or count. */
static uint32_t decide_all(struct job *j)
{
    for (uint32_t i = 0; i < j->count; i++)
        if (takes_part(j, i) && !decide(j, i))
            return i;
    return j->count;
}

static void set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static void write_changes(struct job *j)
{
    struct op *op = j->t->op;

    for (uint32_t i = 0; i < j->n; i++) {
        const struct entry *e = &j->entries[i];
        struct change *ch = &op->changes[i];
        uint64_t tag = word_tag(e->state) + e->value.rolled;

        set(&ch->slot, e->slot);
        set(&ch->state_old, e->state);
        set(&ch->state_new, word_make(tag, e->value.amount));
        set(&ch->window_old, e->window);
        set(&ch->window_new,
            e->value.rolled
                ? word_make(tag,
                            start_make(e->kind,
                                       e->kind == TAKE_AT_ONCE ? e->process : 0,
                                       e->value.start))
                : e->window);
    }
    set(&op->claim, CHANGES);
    set(&op->count, j->n);
}

enum outcome { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_AGAIN };

static enum outcome attempt(struct job *j, uint32_t *refused)
{
    enum outcome outcome = OUTCOME_AGAIN;

    j->nothing_left = false;
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

    if (j->c->full == COUNTERS_PASS) {
        atomic_fetch_add_explicit(&h->full_passed, 1, memory_order_relaxed);
        j->out->states[i].uncounted = true;
        return true;
    }
    atomic_fetch_add_explicit(&h->full_refused, 1, memory_order_relaxed);
    return refuse(j, i, LIMITS_FULL);
}

static bool run(struct job *j)
{
    uint32_t which = 0;

    for (int i = 0; i < ATTEMPTS && j->t; i++) {
        if (!gather(j, &which)) {
            if (!no_place(j, which))
                return false;
            continue;
        }
        if (!j->n)
            return true;
        switch (attempt(j, &which)) {
        case OUTCOME_DONE:
            return true;
        case OUTCOME_REFUSED: {
            struct limit_state state = j->out->states[which];

            look_all(j); /* those behind it, and those taken in vain */
            j->out->states[which] = state;
            return refuse(j, which, LIMITS_EXCEEDED);
        }
        case OUTCOME_AGAIN:
            break;
        }
    }
    if (j->mode != MODE_TAKE)
        return false;
    for (uint32_t i = 0; i < j->count; i++)
        if (takes_part(j, i) && !no_place(j, i))
            return false;
    return true;
}

/* Only what a job's first lines say is set: the rest is large. */
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
    for (uint32_t i = 0; i < count; i++) {
        const struct take *t = &takes[i];

        must(t->limit <= LIMITS_MOST && t->cost <= LIMITS_MOST);
        must(t->kind != TAKE_RATE ||
             (t->interval_us &&
              (!t->limit || t->interval_us <= LIMITS_MOST / t->limit)));
        j->keys[i] = slot_key_of(c, t, c->process);
        if (t->kind == TAKE_WINDOW)
            j->spans[i] = span_of(j->t, t->window, now_s);
    }
}

bool limits_take(struct counters *c, const struct take *takes, uint32_t count,
                 uint64_t now_us, struct limits_result *out)
{
    struct job j;
    uint32_t refused;

    prepare(&j, c, takes, count, now_us);
    j.mode = MODE_TAKE;
    j.out = out;
    out->refusal = LIMITS_ADMITTED;
    out->refused = 0;
    out->held = 0;
    out->marked = false;
    refused = look_all(&j);
    if (refused < count)
        return refuse(&j, refused, LIMITS_EXCEEDED);
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
    j.held = held;
    run(&j);
}

bool limits_debit(struct counters *c, const struct take *takes, uint32_t count,
                  uint64_t amount, uint64_t now_us)
{
    struct job j;

    prepare(&j, c, takes, count, now_us);
    j.mode = MODE_DEBIT;
    j.amount = amount;
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
