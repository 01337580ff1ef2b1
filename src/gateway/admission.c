/* admission.c - how many connections each address has.
 *
 * A table in shards, each behind its lock: taken when a connection comes or
 * goes, never during a call.
 */
#include "base/map.h"
#include "gateway/gateway_internal.h"

enum { SHARDS = 64, FIRST_SIZE = 16 };

struct entry {
    uint8_t ip[16];
    uint32_t count; /* 0: free */
};

struct shard {
    pthread_mutex_t lock;
    struct entry *entries; /* open addressing, size a power of two */
    uint32_t size, used;
} __attribute__((aligned(64)));

struct admission {
    _Atomic uint64_t limit;
    struct shard shards[SHARDS];
};

struct admission *admission_new(void)
{
    struct admission *a = x_new(sizeof(*a));

    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&a->shards[i].lock, NULL);
        a->shards[i].size = FIRST_SIZE;
        a->shards[i].entries = x_array(FIRST_SIZE, sizeof(struct entry));
    }
    return a;
}

void admission_free(struct admission *a)
{
    if (!a)
        return;
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&a->shards[i].lock);
        x_free(a->shards[i].entries);
    }
    x_free(a);
}

void admission_set_limit(struct admission *a, uint64_t per_address)
{
    atomic_store(&a->limit, per_address);
}

static struct entry *find(struct shard *s, const uint8_t ip[16], uint64_t h)
{
    uint32_t i = (uint32_t)(h >> 8) & (s->size - 1);

    while (s->entries[i].count && memcmp(s->entries[i].ip, ip, 16) != 0)
        i = (i + 1) & (s->size - 1);
    return &s->entries[i];
}

static void rebuild(struct shard *s, uint32_t size)
{
    struct entry *old = s->entries;
    uint32_t n = s->size;

    s->entries = x_array(size, sizeof(*old));
    s->size = size;
    for (uint32_t i = 0; i < n; i++)
        if (old[i].count)
            *find(s, old[i].ip, hash_bytes(old[i].ip, 16)) = old[i];
    x_free(old);
}

/* Closes the gap an entry leaves, so that no search stops short. */
static void take_out(struct shard *s, struct entry *e)
{
    uint32_t mask = s->size - 1, hole = (uint32_t)(e - s->entries), i = hole;

    s->used--;
    for (;;) {
        uint32_t home;

        i = (i + 1) & mask;
        if (!s->entries[i].count)
            break;
        home = (uint32_t)(hash_bytes(s->entries[i].ip, 16) >> 8) & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        s->entries[hole] = s->entries[i];
        hole = i;
    }
    memset(&s->entries[hole], 0, sizeof(*s->entries));
}

bool admission_enter(struct admission *a, const uint8_t ip[16])
{
    uint64_t h = hash_bytes(ip, 16), limit = atomic_load(&a->limit);
    struct shard *s = &a->shards[h % SHARDS];
    struct entry *e;
    bool ok;

    pthread_mutex_lock(&s->lock);
    e = find(s, ip, h);
    ok = !limit || e->count < limit;
    if (ok) {
        if (!e->count) {
            memcpy(e->ip, ip, 16);
            s->used++;
        }
        e->count++;
        if (s->used * 2 > s->size)
            rebuild(s, s->size * 2);
    }
    pthread_mutex_unlock(&s->lock);
    return ok;
}

void admission_leave(struct admission *a, const uint8_t ip[16])
{
    uint64_t h = hash_bytes(ip, 16);
    struct shard *s = &a->shards[h % SHARDS];
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    e = find(s, ip, h);
    must(e->count > 0);
    if (--e->count == 0) {
        take_out(s, e);
        if (s->size > FIRST_SIZE && s->used * 8 < s->size)
            rebuild(s, s->size / 2);
    }
    pthread_mutex_unlock(&s->lock);
}
