/* gateway_internal.h - the one struct behind gateway.h, for worker.c,
 * load.c, reclaim.c, admin.c and gateway.c. Main thread only, but for what is
 * atomic.
 */
#ifndef TG_GATEWAY_GATEWAY_INTERNAL_H
#define TG_GATEWAY_GATEWAY_INTERNAL_H

#include "gateway/attempts.h"
#include "gateway/credential/credentials.h"
#include "gateway/credential/slow.h"
#include "gateway/explain_grant.h"
#include "gateway/explain_ring.h"
#include "gateway/gateway.h"
#include "gateway/policies.h"
#include "gateway/replays.h"
#include "gateway/upstream/upstreams.h"
#include "gateway/worker.h"
#include "net/sock.h"

struct admission;

/* An address we listen on: one socket per thread, opened once. A successor may
 * have other threads; it keeps the sockets as they are. */
struct listener {
    struct str conf_text; /* as configured; decides whether it is the same */
    char text[128];       /* as bound */
    struct address address;
    int fds[THREADS_MAX]; /* spread over the threads */
    unsigned fd_count;
    uint32_t id; /* index of snapshot->servers */
    bool tls, wanted, watched, closing;
    bool taken; /* a successor accepts on it */
    struct listener *next;
};

/* A socket that a predecessor left us, until the first load takes it. */
struct inherited {
    char *kind, *key;
    int fd;
    struct inherited *next;
};

/* Something no new reader can find, freed when old readers are gone. */
struct retired {
    struct snapshot *snapshot; /* or */
    struct api *api;           /* or */
    void *thing;
    void (*free)(void *thing);
    uint64_t turns[THREADS_MAX];
    bool graced; /* every thread has begun a turn since */
    struct retired *next;
};

struct gateway {
    struct loop *main;
    char *version, *commit;
    struct worker *workers[THREADS_MAX];
    unsigned worker_count;
    struct snapshot *_Atomic snapshot;
    struct upstreams *upstreams;
    struct admission *admission;
    struct attempts *attempts;
    struct replays *replays; /* from the first load on */
    struct keysets *keysets;
    struct slow *slow;               /* from the first load on */
    struct credentials *credentials; /* of the present settings */
    struct policies *policies;
    struct watched deny;          /* struct deny_rules */
    struct watched countries;     /* struct countries */
    uint64_t credentials_content; /* settings both were made from */
    struct counters *counters;    /* opened by the first load */
    struct explain_ring *explain; /* opened by the first load; or NULL */
    struct otlp *otlp;            /* from the first load on that wants spans */
    struct events *events;        /* from the first load that wants any on */
    struct explain_key explain_key;
    bool has_explain_key;
    struct listener *listeners;
    struct inherited *inherited;
    uint32_t listener_ids;
    struct api *apis;               /* of the present snapshot */
    struct api **slots;             /* who has which slot */
    uint32_t slot_count, slot_next; /* none is free before slot_next */
    struct retired *retired;
    struct timer reclaim;
    struct http_conns admin_conns; /* the private listener's, on main */
    struct listener *admin;
    struct io admin_io;
    struct http_server *admin_server;
    struct timer drain_timer;
    struct timer memory_timer;
    struct timer files_timer;    /* looks whether one was replaced */
    struct timer counters_timer; /* has long windows written */
    uint64_t memory_peak; /* of the budget, since memory was given back */
    uint64_t drain_until_ms;
    uint64_t spans_until_ms; /* of the drain, when calls have ended */
    void (*drained)(void *arg);
    void *drained_arg;
    bool started, draining;
    bool settled; /* the account is what it will be */
    bool goodbye; /* said */
    uint64_t loads_ok, loads_failed, number;
    double last_load_s, start_s;
    _Atomic uint64_t connections_max;
};

/* worker.c */
/* What gateway_set_thread_begin() was given. */
void (*thread_begin_of_workers(void))(void);
struct worker *worker_new(struct gateway *g, unsigned index);
void worker_start(struct worker *w);
/* Begins to accept on fd; on the main thread. */
void worker_listen(struct worker *w, uint32_t listener, int fd);
/* Takes what is queued and closes its socket of that listener. */
void worker_unlisten(struct worker *w, uint32_t listener);
void worker_drain(struct worker *w);
/* For a successor that accepts at this listener: takes what is queued and
 * accepts no more. Ends connections as a drain does. Again as before. Closes
 * all sockets. */
void worker_rest(struct worker *w, uint32_t listener);
void worker_leave(struct worker *w);
void worker_wake(struct worker *w);
void worker_forget(struct worker *w);
/* The time of what is still open is up. */
void worker_goodbye(struct worker *w);
void worker_close_all(struct worker *w);
/* After the loop was stopped and the thread joined. */
void worker_free(struct worker *w);

/* load.c */
/* The next socket of that kind and key left by a predecessor, or -1. */
int take_inherited(struct gateway *g, const char *kind, struct str key);
void close_inherited(struct gateway *g);
struct snapshot *load_snapshot(struct gateway *g, struct arena *a,
                               const struct settings *s, struct problems *ps);
void snapshot_free(struct gateway *g, struct snapshot *s);

/* reclaim.c */
void retire_snapshot(struct gateway *g, struct snapshot *s);
void retire_api(struct gateway *g, struct api *a);
/* Anything else; gateway: a struct gateway. */
void retire_thing(void *gateway, void (*free)(void *thing), void *thing);
/* A number for a new API, with room for its pins on every thread. */
uint32_t slot_take(struct gateway *g, struct api *a);
void slot_free(struct gateway *g, uint32_t slot);
void reclaim_all(struct gateway *g); /* at the end: threads are gone */
void reclaim_init(struct gateway *g);

/* admin.c */
enum err admin_open(struct gateway *g, const struct settings *s,
                    struct problems *ps);
void admin_close(struct gateway *g);
void admin_watch(struct gateway *g, bool on);

/* admission.c: connections per address, process-wide. Any thread. */
struct admission *admission_new(void);
void admission_free(struct admission *a);
void admission_set_limit(struct admission *a, uint64_t per_address);
bool admission_enter(struct admission *a, const uint8_t ip[16]);
void admission_leave(struct admission *a, const uint8_t ip[16]);

#endif
