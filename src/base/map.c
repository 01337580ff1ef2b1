/* map.c - an array of entries in insertion order, and an index into it.
 *
 * The index is open addressing with linear probing, at most half full; a slot
 * holds the number of an entry plus one, 0 when empty. Removing closes the gap
 * in the index at once (no tombstones to probe over) and leaves an entry
 * without value, which the next growth squeezes out.
 */
#include "base/map.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sip.h"

enum { SMALLEST = 8 }; /* entries; a power of two */
#define LARGEST (1u << 30)

struct entry {
    struct str key;
    void *value; /* NULL: removed */
    uint32_t hash;
};

struct map {
    struct arena *arena; /* NULL: malloc */
    struct entry *entries;
    uint32_t *index; /* 2 * cap slots */
    uint32_t cap;
    uint32_t used; /* entries in use, removed ones counted */
    uint32_t live;
};

static void *get_array(struct arena *a, size_t count, size_t size)
{
    return a ? arena_alloc(a, count * size) : x_array(count, size);
}

struct map *map_new(struct arena *a)
{
    struct map *m = get_array(a, 1, sizeof(*m));

    m->arena = a;
    return m;
}

void map_free(struct map *m)
{
    if (!m)
        return;
    must(!m->arena);
    x_free(m->entries);
    x_free(m->index);
    x_free(m);
}

static uint32_t mask_of(const struct map *m)
{
    return 2 * m->cap - 1;
}

static uint32_t hash_key(struct str key)
{
    return (uint32_t)hash_bytes(key.p, key.len);
}

/* The slot that holds key, or the empty one where it would go. */
static uint32_t find_slot(const struct map *m, struct str key, uint32_t hash)
{
    uint32_t mask = mask_of(m);
    uint32_t i = hash & mask;

    for (; m->index[i]; i = (i + 1) & mask) {
        const struct entry *e = &m->entries[m->index[i] - 1];

        if (e->hash == hash && str_eq(e->key, key))
            break;
    }
    return i;
}

static void index_entry(struct map *m, uint32_t number)
{
    uint32_t mask = mask_of(m);
    uint32_t i = m->entries[number].hash & mask;

    while (m->index[i])
        i = (i + 1) & mask;
    m->index[i] = number + 1;
}

/* Fills the empty index, and the array of entries from another or itself. */
static void take_entries(struct map *m, const struct entry *from,
                         uint32_t count)
{
    m->used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!from[i].value)
            continue;
        m->entries[m->used] = from[i];
        index_entry(m, m->used++);
    }
}

static void grow(struct map *m)
{
    struct map old = *m;

    must(m->cap < LARGEST);
    m->cap = old.cap ? 2 * old.cap : SMALLEST;
    m->entries = get_array(m->arena, m->cap, sizeof(*m->entries));
    m->index = get_array(m->arena, 2 * (size_t)m->cap, sizeof(*m->index));
    take_entries(m, old.entries, old.used);
    if (!m->arena) {
        x_free(old.entries);
        x_free(old.index);
    }
}

/* Room for one entry more. Where at least a quarter was removed that room is
 * already there; using it keeps a map in an arena from growing for ever. */
static void make_room(struct map *m)
{
    if (!m->cap || m->live > m->cap - m->cap / 4) {
        grow(m);
        return;
    }
    memset(m->index, 0, 2 * (size_t)m->cap * sizeof(*m->index));
    take_entries(m, m->entries, m->used);
}

void *map_get(const struct map *m, struct str key)
{
    uint32_t slot;

    if (!m->live)
        return NULL;
    slot = m->index[find_slot(m, key, hash_key(key))];
    return slot ? m->entries[slot - 1].value : NULL;
}

void *map_set(struct map *m, struct str key, void *value)
{
    uint32_t hash = hash_key(key);

    must(value);
    if (m->live) {
        uint32_t slot = m->index[find_slot(m, key, hash)];

        if (slot) {
            void *old = m->entries[slot - 1].value;

            m->entries[slot - 1].value = value;
            return old;
        }
    }
    if (m->used == m->cap)
        make_room(m);
    m->entries[m->used] = (struct entry) { key, value, hash };
    index_entry(m, m->used++);
    m->live++;
    return NULL;
}

/* Empties a slot and moves back what had been pushed over it. */
static void close_gap(struct map *m, uint32_t gap)
{
    uint32_t mask = mask_of(m);

    for (uint32_t i = (gap + 1) & mask; m->index[i]; i = (i + 1) & mask) {
        uint32_t home = m->entries[m->index[i] - 1].hash & mask;

        /* Stays when its home lies behind the gap, cyclically. */
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        m->index[gap] = m->index[i];
        gap = i;
    }
    m->index[gap] = 0;
}

void *map_remove(struct map *m, struct str key)
{
    uint32_t at;
    struct entry *e;
    void *old;

    if (!m->live)
        return NULL;
    at = find_slot(m, key, hash_key(key));
    if (!m->index[at])
        return NULL;
    e = &m->entries[m->index[at] - 1];
    old = e->value;
    close_gap(m, at);
    *e = (struct entry) { 0 };
    if (--m->live == 0)
        m->used = 0;
    return old;
}

size_t map_count(const struct map *m)
{
    return m->live;
}

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
    while (*at < m->used) {
        const struct entry *e = &m->entries[(*at)++];

        if (!e->value)
            continue;
        *key = e->key;
        *value = e->value;
        return true;
    }
    return false;
}

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void draw_seed(void)
{
    random_bytes(seed, sizeof(seed));
}

/* Eight letters at once: the top bit of a byte says whether it is ASCII and
 * in 'A' to 'Z'; moved down two places it is the bit of lower case. */
static uint64_t lower8(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101ull;
    uint64_t low = w & 0x7f * ones;
    uint64_t from_a = low + (0x80 - 'A') * ones;
    uint64_t past_z = low + (0x7f - 'Z') * ones;

    return w | ((from_a ^ past_z) & ~w & 0x80 * ones) >> 2;
}

static inline uint64_t load(const char *p, size_t n, bool fold)
{
    uint64_t w = 0;

    memcpy(&w, p, n);
    return fold ? lower8(w) : w;
}

static inline uint64_t sip13(const char *p, size_t n, bool fold)
{
    uint64_t length = (uint64_t)n << 56;
    struct sip s;

    pthread_once(&seed_once, draw_seed);
    s = sip_begin(seed[0], seed[1]);
    for (; n >= 8; p += 8, n -= 8)
        sip_word(&s, load(p, 8, fold));
    sip_word(&s, length | (n ? load(p, n, fold) : 0));
    s.v2 ^= 0xff;
    return sip_end(&s);
}

uint64_t hash_bytes(const void *p, size_t n)
{
    return sip13(p, n, false);
}

uint64_t hash_nocase(const void *p, size_t n)
{
    return sip13(p, n, true);
}

uint64_t hash_content(uint64_t h, const void *p, size_t n)
{
    const unsigned char *at = p;

    for (size_t i = 0; i < n; i++)
        h = (h ^ at[i]) * 0x100000001b3ull;
    return h;
}
