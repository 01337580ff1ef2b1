/* fetch.h - the one client for addresses that somebody else names: key sets,
 * introspection, checks, call-backs, imports.
 *
 *   fetch_start() -> its origin (scheme, host, port, TLS) resolves the name
 *   once; each address is judged by the rules of outbound.h and only those
 *   that pass are connected to, exactly as judged. Connections are kept and
 *   shared by requests to the same origin, by HTTP/1.1 or, where ALPN agrees,
 *   HTTP/2.
 *
 * Everything is bounded: requests in all and for an origin, connections, time,
 * the answer. Redirects are followed within the origin only.
 *
 * Threads: a fetcher and all its requests belong to one loop's thread (a
 * worker's, or the main one's). Nothing blocks.
 */
#ifndef TG_HTTP_FETCH_H
#define TG_HTTP_FETCH_H

#include "http/outbound.h"

struct fetcher;
struct fetch;

enum fetch_fail {
    FETCH_OK,        /* an answer came, whatever its status */
    FETCH_BAD_URL,   /* not http or https, user info, no host, … */
    FETCH_REFUSED,   /* the rules do not let us go there */
    FETCH_BUSY,      /* too many requests wait already */
    FETCH_RESOLVE,   /* no such host, or the name server does not answer */
    FETCH_CONNECT,   /* connection or TLS failed */
    FETCH_TIMEOUT,   /* not over in time */
    FETCH_BROKEN,    /* no valid HTTP, or cut short */
    FETCH_TOO_LARGE, /* more than max_bytes */
    FETCH_REDIRECT,  /* to elsewhere, or too often */
    FETCH_ENDED,     /* fetcher_free() */
};
const char *fetch_fail_name(enum fetch_fail f);

/* All of it is copied by fetch_start(). */
struct fetch_request {
    struct outbound *outbound; /* rules and limits; a reference is kept */
    struct str url;
    struct str method;            /* empty: GET */
    struct str authorization;     /* the field's value, or empty */
    struct str accept;            /* likewise */
    struct str content_type;      /* of body */
    struct str body;              /* up to 1 MiB; with methods that have one */
    const struct header *headers; /* further ones */
    size_t header_count;
    struct tls_context *tls; /* outbound_tls_new(); NULL: outbound's */
    uint64_t timeout_ms;     /* 0: outbound's */
    uint64_t max_bytes;      /* 0: outbound's */
    bool follow;     /* redirects, as many as outbound says; else a 3xx is an
                        answer like others */
    bool repeatable; /* another method than GET that may be sent twice, when a
                        kept connection turns out to be dead */
};

/* Valid during the call-back. */
struct fetch_answer {
    enum fetch_fail fail;
    struct str text; /* for people when it failed: "connect to 10.0.0.1:443 is
                        refused: …"; NUL-terminated. Names the origin, never
                        path or query, which may hold secrets */
    unsigned status;
    struct str content_type, etag, location; /* empty: none */
    struct str body;
    bool has_max_age;       /* Cache-Control, less Age; 0 for no-store and the
                              like */
    uint64_t max_age_s;     /* up to a year */
    uint64_t retry_after_s; /* when given in seconds, up to a day; else 0 */
};

typedef void fetch_done(void *arg, const struct fetch_answer *answer);

/* name_servers: for tests, or empty; see dns.h. max: requests at once. */
struct fetcher *fetcher_new(struct loop *l, struct str name_servers,
                            uint32_t max);
/* Requests under way are told FETCH_ENDED. Not from inside a call-back; the
 * loop must turn once more to free connections. NULL is fine. */
void fetcher_free(struct fetcher *f);

/* done is called once, never from inside, unless fetch_cancel() comes first;
 * the handle is void from then on. */
struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *r,
                          fetch_done *done, void *arg);
void fetch_cancel(struct fetch *q);
/* Under way now. */
uint32_t fetcher_count(const struct fetcher *f);

#endif
