/* h1_internal.h - what the files of HTTP/1.1's server side share:
 * h1_server.c (states, requests), h1_reply.c (replies) and h1_timer.c
 * (time-outs). Nobody else includes it.
 */
#ifndef TG_HTTP_H1_INTERNAL_H
#define TG_HTTP_H1_INTERNAL_H

#include "http/h1.h"
#include "http/server_internal.h"

/* h1_server.c says what leads from one to another. */
enum in_state {
    IN_PROXY,
    IN_HEAD,
    IN_BODY,
    IN_DONE,
    IN_TUNNEL,
    IN_OTHER,
    IN_LINGER
};

enum {
    /* A client that sent FIN may only have closed its sending side, or be
     * gone: it keeps its call while bytes of the reply move. */
    HALF_CLOSED_MS = 3000,
};

struct h1_conn {
    struct http_conn http; /* first */
    struct http_stream *stream;
    struct task again; /* go on with kept bytes */
    char *kept;        /* part of a head, or pipelined bytes */
    uint32_t kept_len, kept_cap;
    struct h1_scan scan;
    struct h1_chunks chunks;
    uint64_t body_left;
    uint64_t body_seen; /* of the body in hand */
    uint64_t rate_mark; /* bytes moved when the rate was last looked at */
    struct buf trailers;
    uint8_t in;
    bool busy;       /* inside feed(): do not re-enter */
    bool close_next; /* after the reply in hand */
    bool user_pause; /* the handler asked for a pause */
    bool rate_out;   /* output is being watched */
    bool head;       /* the request in hand is a HEAD */
};

static inline struct h1_conn *h1_conn_of(struct conn *c)
{
    return (struct h1_conn *)c; /* http_conn is its first member */
}

static inline struct h1_conn *h1_conn_of_stream(const struct http_stream *s)
{
    return (struct h1_conn *)s->conn;
}

/* Moves the connection's timer; 0: as it is. */
static inline void h1_arm(struct h1_conn *c, uint64_t ms)
{
    http_conn_arm(&c->http, ms);
}

/* h1_server.c */

/* Answers a request that cannot be read, once, and nothing after it. */
void h1_refuse(struct h1_conn *c, unsigned status, const char *what);
/* The stream's end is told to the handler, whatever the reason. */
void h1_end_stream(struct h1_conn *c, bool aborted);
void h1_close_now(struct h1_conn *c);
/* Request and reply are both over. */
void h1_stream_over(struct h1_conn *c);
/* What conn_ops has; the peer's FIN is also looked at again after kept bytes. */
void h1_on_eof(struct conn *conn);
void h1_on_error(struct conn *conn, enum err e, const char *why);

/* h1_reply.c: http_protocol's functions for streams. */
void h1_respond(struct http_stream *s, const struct http_reply *r);
void h1_inform(struct http_stream *s, unsigned status,
               const struct message *from, uint64_t skip);
void h1_body(struct http_stream *s, const void *p, size_t n);
void h1_finish(struct http_stream *s, const void *p, size_t n,
               struct str trailers);
bool h1_unsend(struct http_stream *s);
void h1_cut(struct http_stream *s, uint32_t code);
void h1_pause(struct http_stream *s);
void h1_resume(struct http_stream *s);
size_t h1_unsent(const struct http_stream *s);

/* h1_timer.c: one timer, moved lazily; what it means depends on the state. */

/* A state begins, and its time with it. */
void h1_enter(struct h1_conn *c, enum in_state in);
/* From now on the peer must take our bytes at limits.rate. */
void h1_watch_output(struct h1_conn *c);
void h1_on_timer(struct timer *t);

#endif
