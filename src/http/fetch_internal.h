/* fetch_internal.h - what fetch.c (requests and answers) and fetch_origin.c
 * (names and connections) share. Nobody else includes it.
 */
#ifndef TG_HTTP_FETCH_INTERNAL_H
#define TG_HTTP_FETCH_INTERNAL_H

#include "base/buf.h"
#include "format/uri.h"
#include "http/fetch.h"

struct origin;

/* A request is in exactly one of these states.
 *
 *   WAITING -> CALLING   a connection to its origin has room
 *   CALLING -> WAITING   a redirect, or a kept connection was dead
 *   any     -> over      fetch_end(), fetch_cancel(): it is freed
 *
 * EARLY: it failed in fetch_start(); its timer says so.
 */
enum fetch_state { FETCH_EARLY, FETCH_WAITING, FETCH_CALLING };

struct fetch {
    struct http_call call; /* first */
    struct fetcher *fetcher;
    struct origin *origin;
    struct fetch *next, **prev;         /* in the origin's line */
    struct fetch *all_next, **all_prev; /* of the fetcher's */
    struct timer timer;                 /* total time */
    struct arena *arena;
    struct outbound *outbound;
    struct tls_context *tls; /* of https */
    fetch_done *done;
    void *arg;
    struct url url;
    struct str method, body;
    struct header *headers;
    size_t header_count;
    struct fetch_answer answer;
    struct buf got;
    size_t budgeted;  /* of got */
    uint64_t skipped; /* of a redirect's body */
    uint64_t timeout_ms;
    uint8_t state;
    uint8_t redirects, redirects_max;
    bool follow, repeatable, repeated, ending;
};

struct fetcher {
    struct loop *loop;
    struct dns *dns; /* made when first needed */
    char *name_servers;
    struct origin *origins;
    struct fetch *all;
    uint32_t count, max;
    uint32_t clients; /* connections to all origins */
};

/* fetch.c */
extern const struct http_call_ops fetch_call_ops;
/* Over: tells, and frees. text lives in q's arena or is static. */
void fetch_end(struct fetch *q, enum fetch_fail fail, struct str text);
/* The connection c has room: sends the request. */
void fetch_send(struct fetch *q, struct http_client *c);

/* fetch_origin.c */
/* The origin of q's URL. Those that nobody needs go first. */
struct origin *origin_of(struct fetch *q);
/* "idp.example.com:8443", for people and for Host (there without a default
 * port). */
struct str origin_name(const struct origin *o);
struct str origin_authority(const struct origin *o);
/* Puts q in line. ERR_LIMIT: too many wait. */
enum err origin_enter(struct origin *o, struct fetch *q);
/* Takes it out again, or ends its call. */
void origin_leave(struct origin *o, struct fetch *q);
/* Serves those in line. Soon: at once only what calls nobody back. */
void origin_pump(struct origin *o);
void origin_pump_soon(struct origin *o);
/* They open nothing any more. Then, without a request left: connections are
 * closed, memory is freed. */
void origins_end(struct fetcher *f);
void origins_free(struct fetcher *f);

#endif
