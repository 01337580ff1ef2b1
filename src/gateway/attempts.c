/* attempts.c - failed authentications per client address. See attempts.h. */
#include "gateway/attempts.h"

#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/map.h"

/* An entry is one word: 24 bits of the address's hash, 24 bits of the window's
 * number, 16 bits of count. Of the four an address may be in, the one of an
 * older window, else with the smallest count, is given up. */
enum { SETS = 16384, WAYS = 4, COUNT_MAX = 0xffff };

struct attempts {
    _Atomic uint64_t failures, window_ms;
    _Atomic uint64_t entries[SETS][WAYS];
};

struct attempts *attempts_new(void)
{
    return x_new(sizeof(struct attempts));
}

void attempts_free(struct attempts *a)
{
    x_free(a);
}

void attempts_set_limit(struct attempts *a, uint64_t failures,
                        uint64_t window_ms)
{
    atomic_store(&a->failures, failures);
    atomic_store(&a->window_ms, window_ms ? window_ms : 1);
}

/* What the address and the time make of an entry, but for the count. */
static uint64_t entry_of(const uint8_t ip[16], uint64_t window, uint32_t *set)
{
    static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };
    uint64_t h = hash_bytes(ip, memcmp(ip, v4, 12) == 0 ? 16 : 8);

    *set = (uint32_t)h % SETS;
    return (h >> 40) << 40 | (window & 0xffffff) << 16;
}

static uint64_t window_of(const struct attempts *a, uint64_t now_ms)
{
    uint64_t ms = atomic_load_explicit(&a->window_ms, memory_order_relaxed);

    return 1 + now_ms / (ms ? ms : 1);
}

bool attempts_allow(const struct attempts *a, const uint8_t ip[16],
                    uint64_t now_ms)
{
    uint64_t most = atomic_load_explicit(&a->failures, memory_order_relaxed);
    uint32_t set;
    uint64_t wanted;

    if (!most)
        return true;
    wanted = entry_of(ip, window_of(a, now_ms), &set);
    for (int i = 0; i < WAYS; i++) {
        uint64_t e =
            atomic_load_explicit(&a->entries[set][i], memory_order_relaxed);

        if (e >> 16 == wanted >> 16)
            return (e & COUNT_MAX) < most;
    }
    return true;
}

/* The entry of the address, or the one to give up for it. */
static _Atomic uint64_t *place(struct attempts *a, uint32_t set,
                               uint64_t wanted)
{
    _Atomic uint64_t *least = &a->entries[set][0];
    uint64_t least_rank = UINT64_MAX;

    for (int i = 0; i < WAYS; i++) {
        _Atomic uint64_t *at = &a->entries[set][i];
        uint64_t e = atomic_load_explicit(at, memory_order_relaxed);
        bool now = (e >> 16 & 0xffffff) == (wanted >> 16 & 0xffffff);
        uint64_t rank = now ? 1 + (e & COUNT_MAX) : 0;

        if (e >> 16 == wanted >> 16)
            return at;
        if (rank < least_rank) {
            least_rank = rank;
            least = at;
        }
    }
    return least;
}

void attempts_failed(struct attempts *a, const uint8_t ip[16], uint64_t now_ms)
{
    uint32_t set;
    uint64_t wanted = entry_of(ip, window_of(a, now_ms), &set);

    for (;;) {
        _Atomic uint64_t *at = place(a, set, wanted);
        uint64_t e = atomic_load_explicit(at, memory_order_relaxed);
        uint64_t next = wanted | 1;

        if (e >> 16 == wanted >> 16)
            next = (e & COUNT_MAX) == COUNT_MAX ? e : e + 1;
        if (atomic_compare_exchange_weak_explicit(
                at, &e, next, memory_order_relaxed, memory_order_relaxed))
            return;
    }
}

uint32_t attempts_wait_s(const struct attempts *a, uint64_t now_ms)
{
    uint64_t ms = atomic_load_explicit(&a->window_ms, memory_order_relaxed);
    uint64_t left = ms ? ms - now_ms % ms : 0;

    return (uint32_t)(left / 1000 + 1);
}
