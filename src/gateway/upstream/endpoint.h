/* endpoint.h - one origin calls go to: its addresses, its health, its
 * connections.
 *
 * State is process-wide (suspension, breaker, health, outstanding), only
 * connections belong to a thread. Endpoints are made, counted and freed on
 * the main thread; loop threads reach them through compiled APIs they pin.
 *
 *   UP -> SUSPENDED   a call or check failed to reach it; the period grows
 *   SUSPENDED -> UP   the period is over and a call (one at a time) worked
 *   UP -> OPEN        the breaker's window has too many failures
 *   OPEN -> HALF      reset_ms later one call may try
 *   HALF -> UP, OPEN  by that call's outcome
 */
#ifndef TG_GATEWAY_UPSTREAM_ENDPOINT_H
#define TG_GATEWAY_UPSTREAM_ENDPOINT_H

#include "format/openapi.h"
#include "gateway/settings.h"
#include "http/client.h"

#define THREADS_MAX 64

struct exchange;
struct metrics_thread;

/* Addresses of a name; replaced as a whole. */
struct addresses {
    uint64_t number; /* another one for each set */
    size_t count;
    struct address items[];
};

/* One thread's share of an endpoint. */
struct endpoint_thread {
    struct endpoint *endpoint;
    struct loop *loop;
    struct metrics_thread *metrics;
    struct http_client *free; /* with room, most recently used first */
    struct http_client *busy; /* connecting, or with as many calls as go */
    struct exchange *wait_first, **wait_last; /* for a connection */
    uint32_t waiting;
    uint32_t connecting;
    uint32_t next_address;
    uint64_t addresses_seen; /* number of the set idle ones were checked by */
    struct timer look;       /* waits for connections of other threads */
    bool starving;           /* counted in the endpoint's */
    uint32_t room;           /* of its last new connection; 0: none yet */
    _Atomic uint32_t idle_count, total_count, outstanding;
    bool closing;
} __attribute__((aligned(64)));

/* The circuit breaker; the times are what a document leaves out. */
enum {
    BREAKER_BUCKETS = 64,
    BREAKER_WINDOW_MS = 60000,
    BREAKER_BUCKET_MS = 10000,
    BREAKER_RESET_MS = 30000,
};

struct breaker_bucket {
    _Atomic uint64_t stamp; /* number of the bucket's span */
    _Atomic uint32_t calls, failures;
};

struct endpoint {
    struct endpoint *next; /* registry */
    struct str key;
    struct str name;      /* "http://host:port", for people */
    struct str authority; /* for the Host field */
    struct str host;
    uint16_t port;
    bool tls, unix_socket;
    enum http_wanted wanted;
    struct loop *main; /* where what needs rights is done */
    uint32_t refs;     /* main thread */
    struct tls_context *tls_context;
    struct http_client_limits limits;
    uint64_t max_connections, max_idle, wait_ms;
    uint64_t suspend_ms, suspend_max_ms, suspend_factor;
    struct oas_endpoint_config breaker; /* only .breaker is used */
    struct addresses *_Atomic addresses;
    _Atomic uint64_t suspended_until_ms; /* monotonic; 0: not suspended */
    _Atomic uint64_t suspended_for_ms;   /* the present period */
    _Atomic bool trial; /* a suspended or open endpoint is being tried */
    _Atomic uint64_t open_until_ms; /* breaker; 0: closed */
    _Atomic bool down;              /* active checks say so */
    _Atomic uint32_t starving; /* threads that wait for others' connections */
    _Atomic uint64_t failures;
    struct breaker_bucket buckets[BREAKER_BUCKETS];
    struct endpoint_thread *_Atomic threads[THREADS_MAX];
    /* Main thread only */
    struct arena *arena;
    uint64_t resolve_at_ms;
    bool resolving, resolved;
    struct check *check; /* active health checks */
    unsigned good, bad;
};

/* Takes over a document's breaker, with times it can work with. */
void endpoint_set_breaker(struct endpoint *e,
                          const struct oas_endpoint_config *config);
/* May calls go there now? *trial is set when the answer is "one, to see":
 * then endpoint_result() must follow. */
bool endpoint_usable(struct endpoint *e, uint64_t now_ms, bool *trial);
/* Only a look, nothing is taken. */
bool endpoint_looks_usable(const struct endpoint *e, uint64_t now_ms);
enum endpoint_outcome {
    ENDPOINT_OK,
    ENDPOINT_UNREACHABLE, /* suspends, and counts for the breaker */
    ENDPOINT_FAILED,      /* counts for the breaker: time-outs, statuses */
};
/* why: for the log, of a failure. */
void endpoint_result(struct endpoint *e, uint64_t now_ms,
                     enum endpoint_outcome outcome, const char *why);
/* "up", "suspended", "open", "down". */
const char *endpoint_state(const struct endpoint *e, uint64_t now_ms);
uint32_t endpoint_outstanding(const struct endpoint *e);
uint32_t endpoint_connections(const struct endpoint *e, uint32_t *idle);

/* See gateway_set_rights(). */
extern void (*endpoint_rights)(bool on);

/* This thread's share; made on first use. */
struct endpoint_thread *endpoint_here(struct endpoint *e, unsigned thread,
                                      struct loop *l, struct metrics_thread *m);

/* An idle connection for x, or NULL: then x waits in line (x->wait_*), a
 * connection is being opened when one may be, and exchange_connected(x, c) or
 * exchange_connect_failed(x, …) follows. ERR_LIMIT: all are in use and nobody
 * may wait. ERR_NOT_FOUND: no address is known. */
enum err endpoint_connect(struct endpoint_thread *t, struct exchange *x,
                          struct http_client **out);
/* The same, but a new connection by HTTP/1.1 that is for x alone: it will be a
 * tunnel. ERR_INVALID: the endpoint speaks only HTTP/2. */
enum err endpoint_connect_alone(struct endpoint_thread *t, struct exchange *x);
/* Takes x out of the line, or gives up the connection it waits for. */
void endpoint_forget(struct endpoint_thread *t, struct exchange *x);
/* Closes this thread's idle connections (the endpoint goes away). */
void endpoint_close_idle(struct endpoint_thread *t);

#endif
