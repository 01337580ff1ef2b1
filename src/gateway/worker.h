/* worker.h - one loop thread of the data plane.
 */
#ifndef TG_GATEWAY_WORKER_H
#define TG_GATEWAY_WORKER_H

#include <pthread.h>

#include "base/clock.h"
#include "gateway/metrics.h"
#include "gateway/snapshot.h"
#include "gateway/watched.h"

enum {
    PIN_CHUNK = 1024,
    PIN_CHUNKS = 1024,
};

/* Counts per compiled API, written by one thread, read by the main one. */
struct pins {
    _Atomic uint32_t counts[PIN_CHUNK];
};

struct worker_socket {
    struct io io;
    struct worker *worker;
    uint32_t listener;  /* id: index into snapshot->servers */
    bool taken;         /* a successor accepts on it, or will */
    struct timer timer; /* out of descriptors: watched again by it */
    struct worker_socket *next;
};

struct worker {
    struct loop *loop;
    struct gateway *gateway;
    pthread_t thread;
    unsigned index;
    struct snapshot *snapshot; /* of this turn */
    uint64_t snapshot_number;
    struct http_conns conns;
    struct metrics_thread *metrics;
    struct access_log *log;
    struct rng rng;
    const struct watched *deny; /* the gateway's rules */
    const struct watched *countries;
    struct attempts *attempts;    /* the gateway's */
    struct replays *replays;      /* likewise */
    struct slow *slow;            /* likewise */
    struct explain_ring *explain; /* the gateway's; or NULL */
    const struct explain_key *explain_key;
    struct events *events;      /* the gateway's; with ring */
    struct ring *ring;          /* this thread's; NULL: no events */
    struct span_queue *spans;   /* likewise; NULL: no spans */
    struct token_cache *tokens; /* for so many */
    uint64_t tokens_capacity;
    struct fetcher *fetcher; /* made when first needed, as the next */
    struct introspector *introspector;
    struct arena *refusal; /* text of the last request nobody could read */
    uint32_t untimed; /* calls until the next one that is timed: tracing.h */
    int spare_fd;     /* given up to accept and close when there is no other */
    uint32_t unmatched_series;
    bool has_unmatched_series;
    struct worker_socket *sockets;
    struct exchange *streams; /* that may live long; streams.h */
    struct timer streams_timer;
    struct pins *_Atomic pins[PIN_CHUNKS];
};

/* Of this thread: requests of our own; questions about tokens. */
struct fetcher *worker_fetcher(struct worker *w);
struct introspector *worker_introspector(struct worker *w);

/* The worker of the calling thread; NULL on others. */
extern _Thread_local struct worker *this_worker;

static inline void worker_pin(struct worker *w, const struct api *a)
{
    _Atomic uint32_t *n = &atomic_load_explicit(&w->pins[a->slot / PIN_CHUNK],
                                                memory_order_relaxed)
                               ->counts[a->slot % PIN_CHUNK];

    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static inline void worker_unpin(struct worker *w, const struct api *a)
{
    _Atomic uint32_t *n = &atomic_load_explicit(&w->pins[a->slot / PIN_CHUNK],
                                                memory_order_relaxed)
                               ->counts[a->slot % PIN_CHUNK];

    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) - 1,
                          memory_order_release);
}

#endif
