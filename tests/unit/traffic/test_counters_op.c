/* test_counters_op.c - a thread that stands still between any two steps holds
 * up nobody, and what it committed is counted.
 */
#include "traffic/fixture.h"

#include <fcntl.h>

#include "traffic/counters_internal.h"

/* Two handles are two threads, one of which stops where the test wants. */
struct stage {
    struct table *t;
    struct counters *other;
    struct take takes[2];
    struct found found[2];
};

static void reach(struct stage *s, void **state)
{
    struct counters_opened opened;
    struct counters_conf conf;

    s->t = *state;
    conf = table_conf(s->t);
    must(!counters_open(&conf, NOON_US, &s->other, &opened));
    s->takes[0] = per_minute(s->other, "a", 10);
    s->takes[1] = per_minute(s->other, "b", 10);
    for (int i = 0; i < 2; i++) {
        struct slot_key k = slot_key_of(s->other, &s->takes[i], 0);

        assert_true(take_one(s->other, &s->takes[i], NOON_US));
        s->found[i] = slot_find(s->other, &k);
    }
}

static void leave(struct stage *s)
{
    counters_close(s->other);
}

/* What limits_take() would do: owns both and writes down one more of each. */
static struct taker *halt_before_commit(struct stage *s)
{
    struct taker *t = counters_taker(s->t->c);

    op_begin(t);
    for (int i = 0; i < 2; i++) {
        struct slot *slot = &s->t->c->slots[s->found[i].slot];
        struct change *ch = &t->op->changes[i];
        uint64_t state = word_get(&slot->state);

        op_own(t, s->found[i].slot);
        word_set(&ch->slot, s->found[i].slot);
        word_set(&ch->state_old, state);
        word_set(&ch->state_new, state + 1);
        word_set(&ch->window_old, word_get(&slot->window));
        word_set(&ch->window_new, word_get(&slot->window));
    }
    word_set(&t->op->claim, CHANGES);
    word_set(&t->op->count, 2);
    return t;
}

static void one_halted_before_its_commit_is_undone(void **state)
{
    struct counters_stats stats;
    struct limits_result r;
    struct taker *halted;
    struct stage s;

    reach(&s, state);
    halted = halt_before_commit(&s);
    assert_true(limits_take(s.other, s.takes, 2, NOON_US, &r));
    assert_int_equal(r.states[0].remaining, 8);
    assert_int_equal(r.states[1].remaining, 8);
    assert_false(op_undecided(halted));
    assert_false(op_commit(halted));
    counters_stats(s.other, NOON_US, &stats);
    assert_int_equal(stats.aborted, 1);
    assert_int_equal(stats.helped, 0);
    leave(&s);
}

static void one_halted_behind_its_commit_is_finished(void **state)
{
    struct counters_stats stats;
    struct limits_result r;
    struct taker *halted;
    struct stage s;

    reach(&s, state);
    halted = halt_before_commit(&s);
    assert_true(op_commit(halted));
    assert_true(limits_take(s.other, s.takes, 2, NOON_US, &r));
    assert_int_equal(r.states[0].remaining, 7);
    assert_int_equal(r.states[1].remaining, 7);
    counters_stats(s.other, NOON_US, &stats);
    assert_true(stats.helped >= 1);
    /* It wakes up, and does what was done already. */
    op_apply(halted);
    op_release(halted, s.found[0].slot);
    op_release(halted, s.found[1].slot);
    assert_int_equal(used_of(s.other, s.takes[0], NOON_US), 3);
    assert_int_equal(used_of(s.other, s.takes[1], NOON_US), 3);
    leave(&s);
}

static void one_that_wakes_up_in_another_window_changes_nothing(void **state)
{
    const uint64_t later = NOON_US + 60 * SECOND_US;
    struct limits_result r;
    struct taker *halted;
    struct stage s;

    reach(&s, state);
    halted = halt_before_commit(&s);
    assert_true(op_commit(halted));
    for (int i = 0; i < 3; i++)
        assert_true(limits_take(s.other, s.takes, 2, later, &r));
    op_apply(halted);
    op_release(halted, s.found[0].slot);
    assert_int_equal(used_of(s.other, s.takes[0], later), 3);
    leave(&s);
}

static void
one_that_wakes_up_when_the_slot_is_anothers_changes_nothing(void **state)
{
    const uint64_t later = NOON_US + 60 * SECOND_US;
    struct taker *halted, *t;
    struct slot_key k;
    struct found claimed;
    struct take fresh;
    struct stage s;

    reach(&s, state);
    halted = halt_before_commit(&s);
    assert_true(op_commit(halted));
    /* Another key whose home is that very slot. */
    fresh = per_minute(s.other, "fresh", 10);
    k = slot_key_of(s.other, &fresh, 0);
    k.home = s.found[0].slot;
    t = counters_taker(s.other);
    claimed = slot_claim(t, &k, start_make(TAKE_WINDOW, 0, later / SECOND_US),
                         60, later);
    assert_int_equal(claimed.slot, s.found[0].slot);
    assert_true(slot_is(&s.other->slots[claimed.slot], claimed.first, &k));
    op_apply(halted);
    op_release(halted, s.found[0].slot);
    assert_true(slot_is(&s.other->slots[claimed.slot],
                        word_get(&s.other->slots[claimed.slot].key[0]), &k));
    assert_int_equal(
        word_payload(word_get(&s.other->slots[claimed.slot].state)), 0);
    leave(&s);
}

static void the_operation_of_a_dead_process_is_ended(void **state)
{
    struct limits_result r;
    struct taker *halted;
    struct stage s;

    reach(&s, state);
    halted = halt_before_commit(&s);
    assert_true(op_commit(halted));
    /* As the kernel would: the lock is gone, nothing else is tidied up. */
    counters_lock(s.t->c->fd, LOCK_PROCESS + (int)s.t->c->process, F_UNLCK,
                  false);
    counters_bury_dead(s.other);
    assert_int_equal(used_of(s.other, s.takes[0], NOON_US), 2);
    assert_int_equal(used_of(s.other, s.takes[1], NOON_US), 2);
    assert_true(limits_take(s.other, s.takes, 2, NOON_US, &r));
    assert_int_equal(r.states[0].remaining, 7);
    leave(&s);
}

/* A look does not take for a count what is being changed. */
static void a_slot_half_changed_refuses_nobody(void **state)
{
    const uint64_t later = NOON_US + 60 * SECOND_US;
    struct slot *slot;
    struct limits_result r;
    struct take full;
    uint64_t window;
    struct stage s;

    reach(&s, state);
    full = s.takes[0];
    full.limit = 1;
    assert_false(take_one(s.other, &full, NOON_US));
    /* The window is the next one by now, the count not yet. */
    slot = &s.other->slots[s.found[0].slot];
    window = word_get(&slot->window);
    word_set(&slot->window,
             word_make(word_tag(window) + 1,
                       start_make(TAKE_WINDOW, 0, later / SECOND_US)));
    limits_look(s.other, &full, 1, later, &r);
    assert_int_equal(r.states[0].remaining, 1);
    word_set(&slot->window, window);
    leave(&s);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, table_setup, table_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_halted_before_its_commit_is_undone),
        TEST(one_halted_behind_its_commit_is_finished),
        TEST(one_that_wakes_up_in_another_window_changes_nothing),
        TEST(one_that_wakes_up_when_the_slot_is_anothers_changes_nothing),
        TEST(the_operation_of_a_dead_process_is_ended),
        TEST(a_slot_half_changed_refuses_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
