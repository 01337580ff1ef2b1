/* gateway.h - the data plane as one object: threads, listeners, the snapshot.
 *
 * Everything here is called on the main thread, whose loop also serves the
 * private listener, resolves names and checks endpoints.
 */
#ifndef TG_GATEWAY_GATEWAY_H
#define TG_GATEWAY_GATEWAY_H

#include "gateway/settings.h"
#include "net/loop.h"

struct gateway;

/* commit: of the sources, may be empty. */
struct gateway *gateway_new(struct loop *main, const char *version,
                            const char *commit);

/* Loads documents and settings and, when all of it is good, serves them: the
 * first time listeners are opened and threads started, later ones replace what
 * is served without losing a call. On failure nothing changed and ps says
 * why. a: the arena settings live in; taken over on success. */
enum err gateway_load(struct gateway *g, struct arena *a,
                      const struct settings *s, struct problems *ps);

/* What an operator wants to know of a load, as text: APIs, where they are
 * served, where calls go, what is open, what is ignored. Without starting
 * anything: `tollgate config check`. */
enum err gateway_check(struct arena *a, const struct settings *s,
                       struct buf *text, struct problems *ps);

/* Called around what needs rights on the main thread (a Unix socket that is
 * closed to the account the process runs as). May stay unset. */
void gateway_set_rights(void (*raise)(bool on));

/* Addresses it listens on, as text ("127.0.0.1:8280"). kind: 'h' http,
 * 's' https, 'a' admin. NULL after the last. */
const char *gateway_address(const struct gateway *g, char kind, size_t i);

/* No new connections; calls in flight finish, at most timeouts.drain; then
 * done is called. */
void gateway_drain(struct gateway *g, void (*done)(void *arg), void *arg);
/* An upgrade. Before the first load: a socket that a predecessor had opened;
 * kind: "listener" or "admin", key: as it gave it. Sockets that nothing is
 * configured for are closed by the first load. */
void gateway_inherit(struct gateway *g, struct str kind, struct str key,
                     int fd);
/* All of ours, for a successor; none counts as taken by it. In the successor:
 * tells by the same keys which of them it takes. */
enum err gateway_give_sockets(struct gateway *g,
                              enum err (*give)(void *arg, const char *kind,
                                               struct str key, int fd),
                              void *arg);
/* The successor is going to accept at the sockets of that key. */
void gateway_taken(struct gateway *g, struct str key);
/* A successor accepts from now on: connections end as in a drain, sockets it
 * has taken stay open, not watched. What comes at others is served until
 * gateway_leave(). And back. */
void gateway_stop_accepting(struct gateway *g);
void gateway_accept_again(struct gateway *g);
/* After gateway_stop_accepting(), for good: closes the sockets; done is called
 * when the calls are over, or timeouts.drain is. */
void gateway_leave(struct gateway *g, void (*done)(void *arg), void *arg);
/* The process is what it will be (its account): threads that open files may
 * begin. After the first load. */
void gateway_settle(struct gateway *g);
/* What every loop thread does first. Before the first load. */
void gateway_set_thread_begin(void (*begin)(void));

/* Stops threads and frees. */
void gateway_free(struct gateway *g);

#endif
