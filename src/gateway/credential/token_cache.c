/* token_cache.c - verified tokens of one thread. See token_cache.h.
 *
 * Sets of four places. The place is chosen by a keyed hash of a token's end
 * and length: the end is the signature, and whoever makes tokens of equal
 * ends crowds one set only. A hit compares the whole token.
 */
#include "gateway/credential/token_cache.h"

#include "base/log.h"
#include "base/map.h"

enum { WAYS = 4, FAILURES = 2048, TAIL = 32 };

struct failure {
    uint64_t hash; /* keyed, of the whole token; 0: free */
    struct token_failure it;
};

struct token_cache {
    struct token_entry **places; /* sets * WAYS */
    size_t sets;
    uint64_t turn;
    struct failure failures[FAILURES];
};

uint64_t token_from_s(const struct jwt *t, uint64_t skew_s)
{
    uint64_t nbf_s =
        t->nbf.set && t->nbf.ms > 0 ? (uint64_t)t->nbf.ms / 1000 : 0;

    return nbf_s > skew_s ? nbf_s - skew_s : 0;
}

struct token_cache *token_cache_new(size_t capacity)
{
    struct token_cache *c = x_new(sizeof(*c));

    c->sets = 1;
    while (c->sets * WAYS < capacity)
        c->sets *= 2;
    c->places = x_array(c->sets * WAYS, sizeof(*c->places));
    return c;
}

void token_entry_hold(struct token_entry *e)
{
    e->refs++;
}

void token_entry_drop(void *entry)
{
    struct token_entry *e = entry;

    must(e->refs > 0);
    if (--e->refs == 0)
        arena_free(e->arena); /* which holds the entry too */
}

void token_cache_free(struct token_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->sets * WAYS; i++)
        if (c->places[i])
            token_entry_drop(c->places[i]);
    x_free(c->places);
    x_free(c);
}

static uint64_t hash_of(struct str token)
{
    struct str tail = str_skip(token, token.len > TAIL ? token.len - TAIL : 0);

    return hash_bytes(tail.p, tail.len) + token.len;
}

static struct token_entry **set_of(struct token_cache *c, uint64_t hash)
{
    return c->places + (hash & (c->sets - 1)) * WAYS;
}

struct token_entry *token_cache_find(struct token_cache *c, struct str token)
{
    uint64_t hash = hash_of(token);
    struct token_entry **set = set_of(c, hash);

    for (int i = 0; i < WAYS; i++) {
        struct token_entry *e = set[i];

        if (e && e->hash == hash && str_eq(e->token, token)) {
            e->used = ++c->turn;
            return e;
        }
    }
    return NULL;
}

struct token_entry *token_cache_add(struct token_cache *c, struct str token,
                                    struct arena *a)
{
    struct token_entry *e = arena_alloc(a, sizeof(*e));
    struct token_entry **set, **place;

    e->arena = a;
    e->token = token;
    e->hash = hash_of(token);
    e->used = ++c->turn;
    e->refs = 1;
    set = place = set_of(c, e->hash);
    for (int i = 0; i < WAYS; i++) {
        if (set[i] && set[i]->hash == e->hash && str_eq(set[i]->token, token)) {
            place = &set[i];
            break;
        }
        if (!set[i] || (*place && set[i]->used < (*place)->used))
            place = &set[i];
    }
    if (*place)
        token_entry_drop(*place);
    *place = e;
    return e;
}

void token_cache_remove(struct token_cache *c, struct token_entry *e)
{
    struct token_entry **set = set_of(c, e->hash);

    for (int i = 0; i < WAYS; i++) {
        if (set[i] != e)
            continue;
        set[i] = NULL;
        token_entry_drop(e);
        return;
    }
}

static uint64_t whole_hash(struct str token)
{
    uint64_t h = hash_bytes(token.p, token.len);

    return h ? h : 1;
}

unsigned token_cache_failure(const struct token_cache *c, struct str token,
                             uint64_t version, uint64_t now_ms, uint64_t now_s)
{
    uint64_t h = whole_hash(token);
    const struct failure *f = &c->failures[h % FAILURES];
    bool stands = f->hash == h && f->it.version == version &&
                  now_ms < f->it.until_ms && now_s >= f->it.from_s;

    return stands ? f->it.why : 0;
}

void token_cache_fail(struct token_cache *c, struct str token,
                      struct token_failure failure)
{
    uint64_t h = whole_hash(token);

    must(failure.why);
    c->failures[h % FAILURES] = (struct failure) { h, failure };
}
