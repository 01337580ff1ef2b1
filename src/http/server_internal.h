/* server_internal.h - what the files of the server side share: server.c (life
 * of connections), h1_server.c and h2_server.c (protocols). Nobody else
 * includes it.
 *
 * Every connection begins as HTTP/1.1, which reads a PROXY header and runs the
 * TLS handshake; h2_begin() makes it one of HTTP/2 when ALPN or the client's
 * preface says so. From then on its conn_ops and its protocol are those.
 */
#ifndef TG_HTTP_SERVER_INTERNAL_H
#define TG_HTTP_SERVER_INTERNAL_H

#include "http/server.h"

enum {
    /* While draining: a client that calls often learns of the end by its next
     * answer; closing at once could meet a request on its way. */
    DRAIN_IDLE_MS = 1000,
    DISCARD_MAX = 256 * 1024, /* of a body nobody wants, to keep going */
};

/* The functions of server.h, by protocol. */
struct http_protocol {
    void (*respond)(struct http_stream *s, const struct http_reply *r);
    void (*inform)(struct http_stream *s, unsigned status,
                   const struct message *from, uint64_t skip);
    void (*body)(struct http_stream *s, const void *p, size_t n);
    void (*finish)(struct http_stream *s, const void *p, size_t n,
                   struct str trailers);
    bool (*unsend)(struct http_stream *s);
    void (*cut)(struct http_stream *s, uint32_t code);
    void (*pause)(struct http_stream *s);
    void (*resume)(struct http_stream *s);
    size_t (*unsent)(const struct http_stream *s);
    /* Of connections: see http_drain(), http_shed(), http_close_all(). */
    void (*drain)(struct http_conn *c);
    void (*goodbye)(struct http_conn *c);
    int (*shed_rank)(const struct http_conn *c); /* 0: not at all; 1, 2 */
    /* The connection ends now; its streams are told that they were aborted.
     * reset: the peer sees a reset. */
    void (*end)(struct http_conn *c, bool reset);
};
extern const struct http_protocol http_protocol_1, http_protocol_2;

struct http_conn {
    struct conn conn; /* first */
    const struct http_protocol *protocol;
    struct http_conns *all;
    struct http_conn *next, **prev;
    struct http_server *server;
    struct h2_side *h2; /* of HTTP/2; else NULL */
    struct timer timer;
    uint64_t since_ms; /* when its state was entered */
    struct client_address peer;
    uint8_t socket_ip[16];
    bool trusted;
    bool served; /* it had at least one call */
    bool told;   /* on_conn_end() was called */
};

static inline struct http_conn *http_conn_of(struct conn *c)
{
    return (struct http_conn *)c; /* its first member */
}

static inline struct http_conn *http_conn_of_timer(struct timer *t)
{
    return (struct http_conn *)((char *)t - offsetof(struct http_conn, timer));
}

/* Moves the connection's timer; 0: as it is. */
static inline void http_conn_arm(struct http_conn *c, uint64_t ms)
{
    if (ms)
        timer_set(c->conn.loop, &c->timer, loop_now_ms(c->conn.loop) + ms);
}

/* Does a status have a body, in answer to this request? */
static inline bool http_has_body(const struct http_stream *s, unsigned status)
{
    return s->request.method != METHOD_HEAD && status >= 200 && status != 204 &&
           status != 304;
}

/* server.c */

/* Tells the server, once, that the connection has ended. */
void http_conn_tell_end(struct http_conn *c);
/* Unlinks and frees what is common; from on_closed(). */
void http_conn_free(struct http_conn *c);

/* h1_server.c: a new connection, zeroed, with its conn_ops; and its begin
 * after conn_accept() (NULL tls: plain). */
struct http_conn *h1_conn_new(const struct conn_ops **ops);
void h1_expect_proxy(struct http_conn *c);
void h1_begin(struct http_conn *c);
void h1_thread_done(void);

/* h2_server.c: from here on it speaks HTTP/2; p[0..n) are the client's first
 * bytes, with its preface. */
void h2_begin(struct http_conn *c, char *p, size_t n);

#endif
