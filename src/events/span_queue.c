/* span_queue.c - see span_queue.h.
 *
 * A lock, because only sampled calls come here, and the other side comes once
 * a batch: it is free nearly always.
 */
#include "events/span_queue.h"

#include <pthread.h>

#include "base/arena.h"
#include "base/budget.h"

struct piece {
    struct piece *next;
    uint32_t spans;
    size_t len;
    char json[];
};

struct span_queue {
    pthread_mutex_t lock;
    struct piece *first, **last;
    struct span_counts counts;
    size_t bytes;
    uint32_t max, wake_at;
    bool woken;
    void (*wake)(void *arg);
    void *arg;
};

struct span_queue *span_queue_new(void (*wake)(void *arg), void *arg)
{
    struct span_queue *q = x_new(sizeof(*q));

    pthread_mutex_init(&q->lock, NULL);
    q->last = &q->first;
    q->wake = wake;
    q->arg = arg;
    return q;
}

static void free_piece(struct piece *p)
{
    budget_give(sizeof(*p) + p->len);
    x_free(p);
}

void span_queue_free(struct span_queue *q)
{
    struct piece *p, *next;

    if (!q)
        return;
    for (p = q->first; p; p = next) {
        next = p->next;
        free_piece(p);
    }
    pthread_mutex_destroy(&q->lock);
    x_free(q);
}

void span_queue_bound(struct span_queue *q, uint32_t max, uint32_t wake_at)
{
    pthread_mutex_lock(&q->lock);
    q->max = max;
    q->wake_at = wake_at;
    pthread_mutex_unlock(&q->lock);
}

static struct piece *new_piece(struct str json, uint32_t spans)
{
    size_t size = sizeof(struct piece) + json.len;
    struct piece *p = x_resize(NULL, size);

    budget_take(size);
    p->next = NULL;
    p->spans = spans;
    p->len = json.len;
    memcpy(p->json, json.p, json.len);
    return p;
}

static bool fits(const struct span_queue *q, size_t bytes, uint32_t spans)
{
    return bytes <= SPAN_PIECE_BYTES && q->counts.queued + spans <= q->max &&
           q->bytes + bytes <= (size_t)q->max * SPAN_BYTES;
}

bool span_queue_add(struct span_queue *q, struct str json, uint32_t spans)
{
    bool ok, wake = false;
    struct piece *p;

    pthread_mutex_lock(&q->lock);
    q->counts.accepted += spans;
    ok = fits(q, json.len, spans);
    if (ok) {
        p = new_piece(json, spans);
        *q->last = p;
        q->last = &p->next;
        q->counts.queued += spans;
        q->bytes += json.len;
    } else {
        q->counts.dropped += spans;
    }
    if (q->counts.queued >= q->wake_at && !q->woken)
        wake = q->woken = true;
    pthread_mutex_unlock(&q->lock);
    if (wake)
        q->wake(q->arg);
    return ok;
}

uint32_t span_queue_take(struct span_queue *q, uint32_t max, bool first,
                         struct buf *b)
{
    uint32_t n = 0;
    struct piece *p;

    pthread_mutex_lock(&q->lock);
    while ((p = q->first)) {
        if ((n && n + p->spans > max) || n >= max || buf_reserve(b, p->len + 1))
            break;
        if (n || !first)
            (void)buf_char(b, ',');
        (void)buf_add(b, p->json, p->len);
        n += p->spans;
        q->first = p->next;
        if (!q->first)
            q->last = &q->first;
        q->counts.queued -= p->spans;
        q->bytes -= p->len;
        free_piece(p);
    }
    q->woken = false;
    pthread_mutex_unlock(&q->lock);
    return n;
}

struct span_counts span_queue_counts(struct span_queue *q)
{
    struct span_counts c;

    pthread_mutex_lock(&q->lock);
    c = q->counts;
    pthread_mutex_unlock(&q->lock);
    return c;
}
