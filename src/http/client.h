/* client.h - the side that talks to backends: connections, and calls on them.
 *
 *   CONNECTING -> READY  on_ready(): may be given calls, http_client_room() of
 *                        them at once: one by HTTP/1.1, many by HTTP/2
 *   READY                on_ready() again whenever a call has ended, or the
 *                        backend allows more, and there is room
 *   any -> CLOSED        on_gone(), once; the connection frees itself
 *
 * Without a call any byte of HTTP/1.1 from the peer is an error: the
 * connection is closed, never reused.
 *
 * A call's functions are told, in this order: on_inform*, on_reply, on_body*,
 * the last one with end set; or on_fail at any point, once, and nothing more.
 * Threads: everything belongs to the loop's thread.
 */
#ifndef TG_HTTP_CLIENT_H
#define TG_HTTP_CLIENT_H

#include "http/h1.h"
#include "net/conn.h"

struct http_client;
struct http_call;

enum http_fail {
    HTTP_FAIL_CONNECT,         /* refused, unreachable, TLS failed */
    HTTP_FAIL_CONNECT_TIMEOUT, /* connect or handshake took too long */
    HTTP_FAIL_REFUSED,         /* the backend says it did not look at it */
    HTTP_FAIL_SEND,            /* broke before the reply began */
    HTTP_FAIL_CLOSED,          /* closed, or reset, before the reply began */
    HTTP_FAIL_FIRST_BYTE,      /* no reply in time */
    HTTP_FAIL_TOTAL,           /* not over in time */
    HTTP_FAIL_STALLED,         /* stopped in the middle for too long */
    HTTP_FAIL_PROTOCOL,        /* what it sent is no valid reply */
    HTTP_FAIL_CUT,             /* ended in the middle of the reply */
};
const char *http_fail_name(enum http_fail f);

/* A request, in the words of no protocol. Views need to last no longer than
 * http_call_start(). */
struct http_request {
    struct str method;
    struct str authority; /* Host, or :authority */
    struct str path[2];   /* one behind the other */
    struct str query;     /* behind '?' */
    bool has_query;
    const struct message *from; /* fields to pass on but hop-by-hop and skip */
    uint64_t skip;              /* bit per enum field */
    const struct header *extra; /* further fields */
    size_t extras;
    enum body_kind body; /* CHUNKED: of unknown length */
    uint64_t length;
    bool trailers;      /* "TE: trailers" */
    struct str upgrade; /* the protocol to switch to; HTTP/1.1 only */
};

struct http_call_ops {
    /* A 1xx; m's views are valid during the call. */
    void (*on_inform)(struct http_call *x, const struct message *m);
    void (*on_reply)(struct http_call *x, const struct message *m);
    /* p may be changed; all of it is taken. n may be 0 when end is set; then
     * trailers holds the reply's trailer lines, whole, with CRLF. */
    void (*on_body)(struct http_call *x, char *p, size_t n, bool end,
                    struct str trailers);
    /* Unsent request bytes have gone. */
    void (*on_drained)(struct http_call *x);
    /* any: at least one byte of a reply came. */
    void (*on_fail)(struct http_call *x, enum http_fail why, bool any,
                    const char *detail);
};

/* The client's half of an exchange; embedded in it. */
struct http_call {
    const struct http_call_ops *ops;
    struct http_client *client;
    struct h2_call *h2; /* the protocol's own half of it, or NULL */
    enum method method;
    bool reused;            /* on a connection that had served a call before */
    bool sent_all;          /* the request was handed over whole */
    bool replied;           /* on_reply was called */
    bool tunnel;            /* ... with a 101 */
    uint32_t reset_code;    /* of the backend's RST_STREAM, with on_fail */
    uint64_t first_byte_ms; /* from the last sent byte to the reply's head */
    uint64_t stall_ms;      /* between two pieces of a reply or request */
    uint64_t total_at_ms;   /* loop_now_ms() when it must be over; 0: never */
};

struct http_client_limits {
    uint64_t head_size, headers;
    uint64_t connect_ms; /* TCP and TLS together */
    uint64_t idle_ms;    /* a kept connection without a call */
    uint64_t streams;    /* HTTP/2: calls at once, at most */
    uint64_t window;     /* HTTP/2: bytes of a reply that come unasked */
};

struct http_client_ops {
    void (*on_ready)(void *arg, struct http_client *c);
    /* why is NULL for an orderly or expected end. connected: it had been
     * ready at least once. */
    void (*on_gone)(void *arg, struct http_client *c, enum http_fail kind,
                    bool connected, const char *why);
};

/* What to speak. ALPN: what the backend chooses of what tls offers. */
enum http_wanted { HTTP_WANT_1, HTTP_WANT_2, HTTP_WANT_ALPN };

struct http_client_protocol;

/* What owners may look at; the protocols keep more behind it. */
struct http_client {
    struct conn conn; /* first */
    const struct http_client_protocol *protocol;
    const struct http_client_ops *ops;
    void *arg;
    const struct http_client_limits *limits; /* outlives the connection */
    struct http_client *next, **prev;        /* for the owner's lists */
    struct h2_client_side *h2;               /* of HTTP/2; else NULL */
    struct timer timer;
    uint64_t idle_since_ms, idle_ms;
    uint32_t calls;     /* begun so far */
    uint32_t calls_now; /* under way */
    uint8_t wanted;     /* enum http_wanted */
    bool ready;
    bool retired;    /* the owner's: no more calls, closed after the last */
    bool connecting; /* the owner's */
    bool idle;       /* the owner's: counted as idle */
    void *alone;     /* the owner's: whom it is for, and nobody else */
    uint64_t tag;    /* the owner's */
};

/* Begins to connect. NULL: failed at once (errno); no function of ops is
 * called then. tls: NULL for clear text; owned either way. */
struct http_client *http_client_new(struct loop *l, const struct address *to,
                                    struct tls *tls, enum http_wanted wanted,
                                    const struct http_client_limits *limits,
                                    const struct http_client_ops *ops,
                                    void *arg);
/* The same on a descriptor that somebody else has begun to connect; it is
 * owned either way. */
struct http_client *http_client_adopt(struct loop *l, int fd, struct tls *tls,
                                      enum http_wanted wanted,
                                      const struct http_client_limits *limits,
                                      const struct http_client_ops *ops,
                                      void *arg);
/* Ends the connection; calls on it fail as closed. */
void http_client_close(struct http_client *c);
/* No further calls; it ends with the last one, at once when there is none. */
void http_client_retire(struct http_client *c);
/* How many more calls it may be given now. */
uint32_t http_client_room(const struct http_client *c);
bool http_client_is_http2(const struct http_client *c);

/* Begins call x on a connection with room. more: a body follows, and the head
 * waits for its first bytes in this turn. */
void http_call_start(struct http_client *c, struct http_call *x,
                     const struct http_request *r, bool more);
/* Bytes of the request's body (of a tunnel: as they are). end: the request is
 * whole; then trailers, whole lines with CRLF, may follow a body of unknown
 * length; they must last as long as the call. */
void http_call_body(struct http_call *x, const void *p, size_t n, bool end,
                    struct str trailers);
size_t http_call_unsent(const struct http_call *x);
void http_call_pause(struct http_call *x);
void http_call_resume(struct http_call *x);
/* Ends the call without another word to x. By HTTP/1.1 the connection is
 * closed, by HTTP/2 the stream is reset. */
void http_call_cancel(struct http_call *x);

/* Frees this thread's recycled memory; http_thread_done() does it too. */
void http_client_thread_done(void);

#endif
