/* replays.c - see replays.h.
 *
 * Shards with a lock each. Within a shard an entry lies in one of the NEAR
 * places from that of its hash on, so asking looks at these and no more.
 */
#include "gateway/replays.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"

enum { SHARDS = 64, NEAR = 32, CELLS = 4096, WINDOW_S = 64 };

struct entry {
    uint64_t hash;
    uint64_t until_s; /* 0: free */
};

struct shard {
    pthread_mutex_t lock;
    struct entry *entries;
};

struct replays {
    struct shard shards[SHARDS];
    size_t size;    /* of a shard, a power of two */
    uint32_t share; /* of a holder, in a window */
    struct entry *all;
    /* By the hash of a holder: window number << 32 | count. */
    _Atomic uint64_t cells[CELLS];
};

struct replays *replays_new(size_t room)
{
    struct replays *r = x_new(sizeof(*r));

    for (r->size = 2 * NEAR; r->size * SHARDS < room;)
        r->size *= 2;
    r->share = (uint32_t)(r->size * SHARDS / 4);
    r->all = x_array(r->size * SHARDS, sizeof(*r->all));
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&r->shards[i].lock, NULL);
        r->shards[i].entries = r->all + i * r->size;
    }
    return r;
}

void replays_free(struct replays *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&r->shards[i].lock);
    x_free(r->all);
    x_free(r);
}

/* Counts one more of a holder, unless he has had his share. */
static bool count(struct replays *r, struct str holder, uint64_t now_s)
{
    _Atomic uint64_t *cell =
        &r->cells[hash_bytes(holder.p, holder.len) % CELLS];
    uint64_t window = now_s / WINDOW_S + 1, old = atomic_load(cell), made;

    do {
        made = old >> 32 == window ? old + 1 : window << 32 | 1;
        if ((uint32_t)made > r->share)
            return false;
    } while (!atomic_compare_exchange_weak(cell, &old, made));
    return true;
}

/* With the shard's lock. */
static enum replay look(struct entry *entries, size_t size, uint64_t hash,
                        uint64_t now_s, uint64_t until_s)
{
    struct entry *room = NULL;

    for (size_t i = 0; i < NEAR; i++) {
        struct entry *e = &entries[(hash + i) & (size - 1)];

        if (e->until_s <= now_s) {
            if (!room)
                room = e;
        } else if (e->hash == hash) {
            return REPLAY_AGAIN;
        }
    }
    if (!room)
        return REPLAY_FULL;
    *room = (struct entry) { hash, until_s };
    return REPLAY_FIRST;
}

enum replay replays_use(struct replays *r, struct str holder, struct str id,
                        uint64_t now_s, uint64_t until_s)
{
    char text[REPLAYS_TEXT_MAX + 1];
    struct shard *s;
    enum replay found;
    uint64_t hash;

    must(holder.len + id.len <= REPLAYS_TEXT_MAX && now_s && until_s > now_s);
    memcpy(text, holder.p, holder.len);
    text[holder.len] = '\0';
    memcpy(text + holder.len + 1, id.p, id.len);
    hash = hash_bytes(text, holder.len + 1 + id.len);
    if (!count(r, holder, now_s))
        return REPLAY_FULL;
    s = &r->shards[hash >> 58];
    pthread_mutex_lock(&s->lock);
    found = look(s->entries, r->size, hash, now_s, until_s);
    pthread_mutex_unlock(&s->lock);
    return found;
}
