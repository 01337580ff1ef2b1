/* reclaim.c - freeing what loop threads may still look at.
 *
 * After the store that took a thing out of reach, a thread that waits in
 * epoll, or has begun another turn, can no longer find it; what an exchange
 * keeps across turns is pinned. So: every thread seen once outside its old
 * turn, and no pin left.
 */
#include "gateway/gateway_internal.h"

enum { LOOK_MS = 50 };

static void stamp(struct gateway *g, struct retired *r)
{
    for (unsigned i = 0; i < g->worker_count; i++)
        r->turns[i] = loop_turns(g->workers[i]->loop);
    r->next = g->retired;
    g->retired = r;
    if (!timer_pending(&g->reclaim))
        timer_set(g->main, &g->reclaim, loop_now_ms(g->main) + LOOK_MS);
}

void retire_snapshot(struct gateway *g, struct snapshot *s)
{
    struct retired *r = x_new(sizeof(*r));

    r->snapshot = s;
    stamp(g, r);
}

void retire_api(struct gateway *g, struct api *a)
{
    struct retired *r = x_new(sizeof(*r));

    r->api = a;
    stamp(g, r);
}

void retire_thing(void *gateway, void (*free)(void *thing), void *thing)
{
    struct retired *r = x_new(sizeof(*r));

    r->thing = thing;
    r->free = free;
    stamp(gateway, r);
}

static bool graced(struct gateway *g, struct retired *r)
{
    for (unsigned i = 0; i < g->worker_count && !r->graced; i++) {
        uint64_t then = r->turns[i];

        /* Odd: it was inside a turn then; has it left that one? */
        if (then % 2 && loop_turns(g->workers[i]->loop) == then)
            return false;
    }
    r->graced = true;
    return true;
}

static bool pinned(struct gateway *g, const struct api *a)
{
    for (unsigned i = 0; i < g->worker_count; i++) {
        struct pins *p = g->workers[i]->pins[a->slot / PIN_CHUNK];

        if (atomic_load_explicit(&p->counts[a->slot % PIN_CHUNK],
                                 memory_order_acquire))
            return true;
    }
    return false;
}

void slot_free(struct gateway *g, uint32_t slot)
{
    g->slots[slot] = NULL;
    if (slot < g->slot_next)
        g->slot_next = slot;
}

static void free_one(struct gateway *g, struct retired *r)
{
    if (r->snapshot) {
        snapshot_free(g, r->snapshot);
    } else if (r->thing) {
        r->free(r->thing);
    } else {
        slot_free(g, r->api->slot);
        api_free(r->api, g->upstreams);
    }
    x_free(r);
}

static void look(struct timer *t)
{
    struct gateway *g =
        (struct gateway *)((char *)t - offsetof(struct gateway, reclaim));
    struct retired **at = &g->retired, *r;

    while ((r = *at)) {
        if (!graced(g, r) || (r->api && pinned(g, r->api))) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        free_one(g, r);
    }
    if (g->retired)
        timer_set(g->main, t, loop_now_ms(g->main) + LOOK_MS);
}

void reclaim_init(struct gateway *g)
{
    g->reclaim.fire = look;
}

void reclaim_all(struct gateway *g)
{
    struct retired *r;

    timer_clear(&g->reclaim);
    while ((r = g->retired)) {
        g->retired = r->next;
        free_one(g, r);
    }
}

uint32_t slot_take(struct gateway *g, struct api *a)
{
    uint32_t slot = g->slot_next, chunk;

    while (slot < g->slot_count && g->slots[slot])
        slot++;
    if (slot == g->slot_count) {
        uint32_t n = g->slot_count ? g->slot_count * 2 : 64;

        must(n <= PIN_CHUNK * PIN_CHUNKS);
        g->slots = x_resize(g->slots, n * sizeof(*g->slots));
        memset(g->slots + g->slot_count, 0,
               (n - g->slot_count) * sizeof(*g->slots));
        g->slot_count = n;
    }
    g->slots[slot] = a;
    g->slot_next = slot + 1;
    chunk = slot / PIN_CHUNK;
    for (unsigned i = 0; i < g->worker_count; i++)
        if (!atomic_load(&g->workers[i]->pins[chunk]))
            atomic_store(&g->workers[i]->pins[chunk],
                         x_new(sizeof(struct pins)));
    return slot;
}
