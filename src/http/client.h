/* client.h - the side that talks to backends: one HTTP/1.1 connection, one
 * call at a time.
 *
 *   CONNECTING -> READY  on_ready(): may be given a call
 *   READY -> BUSY        http_call_start()
 *   BUSY -> READY        the reply was read whole and nothing forbids another
 *                        call: on_ready() again, before the call's on_end
 *   any -> CLOSED        on_gone(), once; the connection frees itself
 *
 * In READY any byte from the peer is an error: it is closed, never reused.
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
    HTTP_FAIL_SEND,            /* broke before the reply began */
    HTTP_FAIL_CLOSED,          /* closed before the reply began */
    HTTP_FAIL_FIRST_BYTE,      /* no reply in time */
    HTTP_FAIL_TOTAL,           /* not over in time */
    HTTP_FAIL_STALLED,         /* stopped in the middle for too long */
    HTTP_FAIL_PROTOCOL,        /* what it sent is no valid reply */
    HTTP_FAIL_CUT,             /* ended in the middle of the reply */
};
const char *http_fail_name(enum http_fail f);

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
    /* replied: on_reply had been called; any: at least one byte came. */
    void (*on_fail)(struct http_call *x, enum http_fail why, bool any,
                    const char *detail);
};

/* The client's half of an exchange; embedded in it. */
struct http_call {
    const struct http_call_ops *ops;
    struct http_client *client;
    enum method method;
    bool reused;            /* on a connection that had served a call before */
    bool sent_all;          /* the request was handed over whole */
    bool replied;           /* on_reply was called */
    bool upgrade;           /* a 101 was asked for */
    uint64_t first_byte_ms; /* from the last sent byte to the reply's head */
    uint64_t stall_ms;      /* between two pieces of a reply or request */
    uint64_t total_at_ms;   /* loop_now_ms() when it must be over; 0: never */
};

struct http_client_limits {
    uint64_t head_size, headers;
    uint64_t connect_ms; /* TCP and TLS together */
    uint64_t idle_ms;    /* a kept connection without a call */
};

struct http_client_ops {
    void (*on_ready)(void *arg, struct http_client *c);
    /* why is NULL for an orderly or expected end. connected: it had been
     * ready at least once. */
    void (*on_gone)(void *arg, struct http_client *c, enum http_fail kind,
                    bool connected, const char *why);
};

struct http_client {
    struct conn conn; /* first */
    const struct http_client_ops *ops;
    void *arg;
    const struct http_client_limits *limits; /* outlives the connection */
    struct http_call *call;
    struct http_client *next, **prev; /* for the owner's list of idle ones */
    struct timer timer;
    struct h1_scan scan;
    struct h1_chunks chunks;
    struct buf trailers;
    char *kept;
    uint32_t kept_len, kept_cap;
    uint64_t body_left;
    uint64_t idle_since_ms, idle_ms;
    uint64_t call_turn; /* of the loop, when the call began */
    uint32_t calls;
    uint16_t informs;
    uint8_t in, body;
    bool ready, reusable, any, user_pause;
    bool listed_idle; /* the owner's */
    uint64_t tag;     /* the owner's */
};

/* Begins to connect. NULL: failed at once (errno); no function of ops is
 * called then. */
struct http_client *http_client_new(struct loop *l, const struct address *to,
                                    struct tls *tls,
                                    const struct http_client_limits *limits,
                                    const struct http_client_ops *ops,
                                    void *arg);
/* The same on a descriptor that somebody else has begun to connect; it is
 * owned either way. */
struct http_client *http_client_adopt(struct loop *l, int fd, struct tls *tls,
                                      const struct http_client_limits *limits,
                                      const struct http_client_ops *ops,
                                      void *arg);
void http_client_close(struct http_client *c);

/* Begins call x on a ready connection with the head p[0..n); more: a body
 * follows, and the head waits for its first bytes in this turn. */
void http_call_start(struct http_client *c, struct http_call *x, const char *p,
                     size_t n, bool more);
/* Request body as it should stand on the wire (framed by the caller). end:
 * the request is whole. */
void http_call_body(struct http_call *x, const struct iovec *parts, int count,
                    bool end);
size_t http_call_unsent(const struct http_call *x);
void http_call_pause(struct http_call *x);
void http_call_resume(struct http_call *x);
/* Ends the call without another word to x; the connection is closed. */
void http_call_cancel(struct http_call *x);

#endif
