/* server.h - the side that clients talk to: requests in, replies out.
 *
 * A stream is one request and its reply, whatever protocol carries it; the
 * handler embeds struct http_stream at the start of its own struct, of
 * stream_size bytes, made and freed by the server. The order of calls:
 *
 *   on_request            the head is whole; request is filled
 *   on_body*              body bytes, all must be taken
 *   on_body_end           the request is whole (also when it had no body)
 *   on_drained*           unsent reply bytes have gone
 *   on_goodbye            http_goodbye(): the process is about to end, and a
 *                         stream that would not end by itself should (may be
 *                         NULL)
 *   on_answered           the reply's end is about to be handed over
 *   on_end                once, last: the reply was sent, or the client left
 *                         (s->aborted); the stream is freed afterwards
 *
 * After a 101 (to a request with message.upgrade) the connection is a tunnel:
 * on_body*, on_body_end are told once more, of bytes as they come and of the
 * client's end; http_body() and http_finish() send as they are given.
 *
 * The handler answers with http_respond(), http_body(), http_finish(), at any
 * time, from inside a callback or later. Threads: a stream belongs to the
 * thread of its connection.
 */
#ifndef TG_HTTP_SERVER_H
#define TG_HTTP_SERVER_H

#include "http/h1.h"
#include "net/conn.h"

struct http_stream;
struct http_conn;

struct http_handler {
    size_t stream_size; /* at least sizeof(struct http_stream) */
    size_t stream_zero; /* so many bytes of it are zeroed; 0: all */
    void (*on_request)(struct http_stream *s);
    void (*on_body)(struct http_stream *s, char *p, size_t n);
    /* trailers: whole lines with CRLF, validated; often empty. */
    void (*on_body_end)(struct http_stream *s, struct str trailers);
    void (*on_drained)(struct http_stream *s);
    void (*on_goodbye)(struct http_stream *s);
    /* The last bytes of the reply are about to be handed over, n of its body
     * among them; what was handed over before is not the whole reply. Once;
     * not of a reply that is cut or is the server's own. May be NULL. */
    void (*on_answered)(struct http_stream *s, size_t n);
    void (*on_end)(struct http_stream *s);
    /* The reply to a request that could not be read or taken (status of
     * h1_error, or 408, 413, 503): its body and type, and a further field. m:
     * its head when that was read, else NULL; s: its stream when it had become
     * one (on_end() follows), else NULL. NULL: an empty body. */
    void (*on_refused)(struct http_conn *c, unsigned status,
                       const struct message *m, struct http_stream *s,
                       struct str *body, struct str *content_type,
                       struct header *field);
    void *arg; /* the handler's own */
};

/* Ceilings and time-outs; 0 in *_ms or a rate means none. */
struct http_limits {
    uint64_t head_size;    /* bytes of request line and fields */
    uint64_t target_size;  /* bytes of the request target: 414 */
    uint64_t headers;      /* fields */
    uint64_t body_size;    /* 0: none: 413 */
    uint64_t pipelined;    /* bytes read ahead of the current call */
    uint64_t handshake_ms; /* TLS, and a PROXY header */
    uint64_t head_ms;      /* from the first byte of a head to its end */
    uint64_t idle_ms;      /* between calls */
    uint64_t rate_ms;      /* the span over which rates are looked at */
    uint64_t rate;         /* bytes/s a body or reply must move at least */
    uint64_t linger_ms;    /* reading on after a refusal, so it arrives */
    uint64_t streams;      /* HTTP/2: requests at once on a connection */
    uint64_t window;       /* HTTP/2: bytes of a body that come unasked */
};

/* What a listener gives its connections; immutable, counted. */
struct http_server {
    _Atomic uint32_t refs;
    const struct http_handler *handler;
    struct http_limits limits;
    struct tls_context *tls; /* NULL: plain */
    bool http2;              /* by ALPN, or unasked where there is no TLS */
    bool proxy_protocol;     /* from trusted peers */
    bool (*trusted)(void *arg, const struct sockaddr *peer);
    void *trusted_arg;
    /* A connection ended; ip: the socket's peer, whatever PROXY said. */
    void (*on_conn_end)(void *arg, const uint8_t ip[16], uint64_t in_bytes,
                        uint64_t out_bytes);
    void (*on_handshake)(void *arg, bool ok); /* TLS; may be NULL */
    void (*on_free)(struct http_server *s);   /* frees what arg names */
    void *arg;
};
struct http_server *http_server_ref(struct http_server *s);
void http_server_unref(struct http_server *s);

struct client_address {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
    uint8_t text_len;
    bool unix_socket;
    char text[46]; /* numeric, no port */
};
void client_address_set(struct client_address *a, const struct sockaddr *sa);

struct http_stream {
    struct http_conn *conn;
    struct h2_request *h2; /* the protocol's own half of it; or NULL */
    struct arena *arena;   /* lives as long as the stream */
    struct message request;
    uint64_t start_us;          /* loop_now_us() when the head was whole */
    uint64_t body_in, body_out; /* bytes of bodies */
    uint16_t status;            /* of the reply; 0: none yet */
    bool request_done, reply_started, reply_done, aborted;
    bool reply_bodyless;
    bool answered;       /* on_answered() was called */
    bool reply_cut;      /* the reply ended before its announced end */
    bool tunnel;         /* a 101 was sent: bytes both ways */
    bool open_ended;     /* the handler's: no least rate holds for its body */
    uint64_t reply_left; /* BODY_LENGTH */
    uint32_t reply_at, reply_sends; /* where it began; for http_unsend() */
    uint8_t reply_body;             /* enum body_kind */
};

struct http_reply {
    unsigned status;
    struct str reason;          /* empty: the standard phrase */
    const struct message *from; /* fields to pass on but hop-by-hop and skip */
    uint64_t skip;              /* bit per enum field */
    const struct header *extra; /* further fields */
    size_t extras;
    enum body_kind body; /* CLOSE: of unknown length */
    uint64_t length;
    bool close; /* end the connection after this reply */
};

/* Once per stream (informational ones before it). Framing, Date and
 * Connection are written by the protocol. */
void http_respond(struct http_stream *s, const struct http_reply *r);
void http_inform(struct http_stream *s, unsigned status,
                 const struct message *from, uint64_t skip);
void http_body(struct http_stream *s, const void *p, size_t n);
/* The last body bytes (n may be 0) and the end. The stream may be freed when
 * this returns. trailers: whole lines with CRLF, sent when the reply is
 * chunked. */
void http_finish(struct http_stream *s, const void *p, size_t n,
                 struct str trailers);
/* A whole small reply. */
void http_reply_text(struct http_stream *s, unsigned status,
                     struct str content_type, struct str body,
                     const struct header *extra, size_t extras);
/* Takes back a reply of which nothing was sent yet: another may be given.
 * False: too late. */
bool http_unsend(struct http_stream *s);
/* The reply cannot be finished: the client must see that it is cut. With a
 * code of RFC 9113 section 7, for who speaks HTTP/2; 0: INTERNAL_ERROR. */
void http_cut(struct http_stream *s);
void http_cut_with(struct http_stream *s, uint32_t code);
/* Stop and go on reading the request's body. What is under way already still
 * comes: at most a receive buffer, or limits.window. */
void http_pause(struct http_stream *s);
void http_resume(struct http_stream *s);
size_t http_unsent(const struct http_stream *s);

/* One connection. */
struct loop *http_conn_loop(const struct http_conn *c);
const struct http_server *http_conn_server(const struct http_conn *c);
/* The peer, or what its PROXY header says. */
const struct client_address *http_conn_peer(const struct http_conn *c);
/* The socket's peer may speak for others (X-Forwarded-For …). */
bool http_conn_trusted(const struct http_conn *c);
struct tls *http_conn_tls(const struct http_conn *c);

/* For protocols: a stream for this handler, in the arena. */
static inline struct http_stream *http_stream_new(struct arena *a,
                                                  const struct http_handler *h)
{
    size_t zero = h->stream_zero ? h->stream_zero : h->stream_size;

    return memset(arena_raw(a, h->stream_size), 0, zero);
}

/* All connections of one thread. */
struct http_conns {
    struct loop *loop;
    struct http_conn *first, **last; /* in the order they came */
    uint32_t count;                  /* written by the thread, read by any */
    _Atomic uint32_t shared_count;
    bool draining;
    /* Who waited less is not given up by http_shed(): a burst of newcomers
     * must not push out those who are at work. */
    uint32_t shed_idle_ms, shed_body_ms;
};
/* Takes over an accepted descriptor. */
void http_accept(struct http_conns *all, struct http_server *server, int fd,
                 const struct address *peer);
/* Each connection ends with its next reply; one that stays idle, after a
 * second. */
void http_drain(struct http_conns *all);
/* Tells every stream that time is up: on_goodbye(). */
void http_goodbye(struct http_conns *all);
/* Makes room: closes up to n connections, first those that are idle or whose
 * head or TLS handshake is not whole, then those whose body comes in; of equal
 * ones the longest waiting. ip: only of that address, NULL: of any. on_conn_end() is
 * called at once. Returns how many. */
unsigned http_shed(struct http_conns *all, unsigned n, const uint8_t *ip);
/* Ends all at once. */
void http_close_all(struct http_conns *all);
/* Frees this thread's recycled memory. */
void http_thread_done(void);

#endif
