/* metrics.h - what is counted, and how it is shown to Prometheus.
 *
 * Every loop thread counts in memory of its own, with plain loads and stores;
 * who reads adds the threads up. A series is one operation of one version of
 * one API; its id is found by text, so it survives reloads, and the operation
 * keeps it. There are at most METRICS_SERIES of them; what comes later is
 * counted together as "other".
 * Threads: metrics_series() and metrics_thread_new() any; a struct
 * metrics_thread is written by one; the text is read by one at a time.
 */
#ifndef TG_GATEWAY_METRICS_H
#define TG_GATEWAY_METRICS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "events/events.h"
#include "events/otlp.h"
#include "gateway/explain.h"
#include "traffic/counters.h"

#define METRICS_OTHER 0
#define METRICS_SERIES 10000 /* besides "other" */
#define METRICS_CHUNK 64     /* series whose cells are allocated together */
#define METRICS_CHUNKS ((METRICS_SERIES + METRICS_CHUNK) / METRICS_CHUNK)
#define METRICS_BOUNDS 15 /* of the latency histogram, without +Inf */
#define METRICS_TIMES 23  /* likewise, of the phases' */
#define METRICS_CLASSES 6 /* 0: no reply was begun; 1xx … 5xx */

/* What one thread counted of one series. Buckets are not cumulative here. */
struct metrics_cell {
    _Atomic uint64_t classes[METRICS_CLASSES];
    _Atomic uint64_t buckets[METRICS_BOUNDS + 1];
    _Atomic uint64_t sum_us, bytes_in, bytes_out;
};

struct metrics_chunk {
    struct metrics_cell cells[METRICS_CHUNK];
};

/* Where the time of a call goes. */
enum metrics_phase {
    PHASE_REQUEST_BODY, /* until its last byte was here */
    PHASE_AUTHENTICATION,
    PHASE_LIMITS,
    PHASE_POLICIES,      /* the other steps of the chain */
    PHASE_BACKEND,       /* until it replied or failed; all tries */
    PHASE_RESPONSE_BODY, /* from the reply's head to the end */
    METRICS_PHASES,
};

/* What one thread counted of one phase. */
struct metrics_times {
    _Atomic uint64_t buckets[METRICS_TIMES + 1];
    _Atomic uint64_t sum_ns;
};

/* What a thread remembers of credentials (token_cache.h), by kind. */
enum metrics_cache {
    CACHE_JWT,
    CACHE_OPAQUE,
    CACHE_API_KEY, /* signed ones */
    CACHE_BASIC,
    CACHE_CERTIFICATE, /* that a balancer passed on */
    CACHE_ASSERTION,   /* that we make for backends */
    METRICS_CACHES,
};

enum metrics_lookup {
    LOOKUP_HIT,
    LOOKUP_BAD,  /* known to be no good */
    LOOKUP_MISS, /* it is verified, a server asked */
    METRICS_LOOKUPS,
};

struct metrics_thread {
    /* Connections of clients. */
    _Atomic uint64_t connections_accepted;
    _Atomic uint64_t connections_refused; /* over a limit */
    _Atomic uint64_t connections_closed;
    _Atomic uint64_t tls_handshakes; /* finished */
    _Atomic uint64_t tls_failures;
    _Atomic uint64_t requests_refused;           /* could not be read */
    _Atomic uint64_t tunnels;                    /* WebSockets begun */
    _Atomic uint64_t bytes_received, bytes_sent; /* all bytes, heads too */

    /* Questions to introspection servers. */
    _Atomic uint64_t introspections; /* asked */
    _Atomic uint64_t introspection_failures;
    _Atomic uint64_t introspections_refused; /* by the breaker or a ceiling */

    /* Connections to endpoints. */
    _Atomic uint64_t upstream_connects; /* begun */
    _Atomic uint64_t upstream_connect_failures;
    _Atomic uint64_t upstream_reused; /* calls on a kept connection */
    _Atomic uint64_t retries;
    _Atomic uint64_t breaker_opened;
    _Atomic uint64_t suspended;

    /* Who may pass. */
    _Atomic uint64_t refusals[REASONS];
    _Atomic uint64_t lookups[METRICS_CACHES][METRICS_LOOKUPS];

    struct metrics_times phases[METRICS_PHASES]; /* of calls that are timed */
    _Atomic(struct metrics_chunk *) chunks[METRICS_CHUNKS];
    struct metrics_thread *next;
};

/* The id of a series, made when it is new. The texts are copied; long ones
 * are cut. METRICS_OTHER when there are too many. */
uint32_t metrics_series(struct str api, struct str version, struct str method,
                        struct str path);
/* One per loop thread; lives until the process ends. */
struct metrics_thread *metrics_thread_new(void);
/* Frees all threads and series (tests). */
void metrics_done(void);

/* The owner's increment: nobody else writes, so nothing is locked. */
static inline void metrics_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
        memory_order_relaxed);
}

/* The chunk of a series, allocated. */
struct metrics_chunk *metrics_chunk_new(struct metrics_thread *t,
                                        uint32_t index);

extern const uint64_t metrics_bounds_us[METRICS_BOUNDS + 1];
/* By number of significant bits: the first bound that is not below all
 * numbers of that many bits. No two bounds share a number of bits. */
extern const uint8_t metrics_first_bound[65];

static inline unsigned metrics_bucket(uint64_t us)
{
    unsigned bits = us ? 64 - (unsigned)__builtin_clzll(us) : 0;
    unsigned first = metrics_first_bound[bits];

    return first + (us > metrics_bounds_us[first]);
}

/* A call ended. status 0: the client left before a reply. */
static inline void metrics_record(struct metrics_thread *t, uint32_t series,
                                  unsigned status, uint64_t us,
                                  uint64_t bytes_in, uint64_t bytes_out)
{
    uint32_t index = series / METRICS_CHUNK;
    struct metrics_chunk *chunk =
        atomic_load_explicit(&t->chunks[index], memory_order_relaxed);
    struct metrics_cell *cell;
    unsigned class = status / 100;

    if (__builtin_expect(chunk == NULL, 0))
        chunk = metrics_chunk_new(t, index);
    cell = &chunk->cells[series % METRICS_CHUNK];
    metrics_add(&cell->classes[class < METRICS_CLASSES ? class : 5], 1);
    metrics_add(&cell->buckets[metrics_bucket(us)], 1);
    metrics_add(&cell->sum_us, us);
    metrics_add(&cell->bytes_in, bytes_in);
    metrics_add(&cell->bytes_out, bytes_out);
}

/* A credential was looked up. */
static inline void metrics_lookup(struct metrics_thread *t,
                                  enum metrics_cache cache,
                                  enum metrics_lookup result)
{
    metrics_add(&t->lookups[cache][result], 1);
}

/* A call that was timed had that phase. */
void metrics_phase(struct metrics_thread *t, enum metrics_phase phase,
                   uint64_t ns);
/* "request_body" */
const char *metrics_phase_name(enum metrics_phase phase);

struct metrics_loop {
    uint64_t connections; /* of clients, open now */
    uint64_t lag_us;      /* longest turn since the last look */
    uint64_t turns;
};

enum metrics_state {
    METRICS_UP,
    METRICS_SUSPENDED,
    METRICS_DOWN,
    METRICS_OPEN
};

struct metrics_endpoint {
    struct str url; /* each once */
    enum metrics_state state;
    uint64_t outstanding;  /* calls under way */
    uint64_t idle, active; /* connections */
    uint64_t failures;
};

struct metrics_certificate {
    struct str name;
    uint64_t expires_s; /* seconds since 1970 */
};

struct metrics_keyset {
    struct str place;
    uint64_t keys;     /* 0: none came yet */
    uint64_t age_s;    /* since they were last known to be right */
    uint64_t failures; /* in a row */
};

/* A file that is read again when it was replaced. */
struct metrics_file {
    const char *name;
    uint64_t entries;
    uint64_t stale;    /* 1: it is no good, and what was read before is used */
    uint64_t failures; /* reads that left things as they were */
    uint64_t read_s;   /* when it was last good; seconds since 1970 */
};

/* What others know. All of it must stay as it is until the walk is over. */
struct metrics_view {
    struct str version;
    struct str commit; /* may be empty */
    double start_s;    /* wall clock */
    uint64_t apis, operations;
    uint64_t loads_ok, loads_failed; /* of the configuration */
    double last_load_s;              /* wall clock, of the last good one */
    bool draining;
    const struct metrics_loop *loops;
    size_t loop_count;
    uint64_t rss_bytes, budget_used, budget_limit; /* limit 0: none */
    const struct metrics_endpoint *endpoints;
    size_t endpoint_count;
    const struct metrics_certificate *certificates;
    size_t certificate_count;
    const struct metrics_keyset *keysets;
    size_t keyset_count;
    const struct metrics_file *files;
    size_t file_count;
    bool has_limits;
    struct counters_stats limits;
    bool has_events;
    struct events_stats events;
    bool has_spans;
    struct otlp_stats spans;
};

/* The text (exposition format 0.0.4), piece by piece, because 10,000 series
 * are some 20 MB:
 *
 *   struct metrics_walk w = { .view = &view };
 *   while (metrics_more(&w, &b))
 *       send b, then empty it
 *
 * Each call appends whole lines, some METRICS_PIECE bytes of them (b->max must
 * allow METRICS_ROOM more than b->len); false, and nothing appended, when all
 * has been said. */
#define METRICS_PIECE 32768
#define METRICS_ROOM 65536
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_walk {
    const struct metrics_view *view;
    size_t subject, family, at; /* where it goes on */
};
bool metrics_more(struct metrics_walk *w, struct buf *b);

/* All of it at once. When b's ceiling is reached the text ends after the last
 * thing that fits whole, with a line "# truncated". */
void metrics_text(struct buf *b, const struct metrics_view *v);

#endif
