/* h2.h - what both sides of HTTP/2 (RFC 9113) share: a session on a
 * connection, header lists as messages, bodies that wait for windows. On
 * nghttp2; nobody outside src/http includes this.
 *
 * Owners: h2_server.c and h2_client.c. They embed struct h2_stream in their
 * own struct and hear of everything through struct h2_ops:
 *
 *   on_begin      a request's header list begins: make a stream (server)
 *   on_head       a header list is whole: a request, a reply, a 1xx
 *   on_data*      body bytes; all are taken
 *   on_end        the peer has said all of this stream; trailers, or empty
 *   on_drained*   kept body bytes have gone to the connection
 *   on_closed     last, at the end of the turn, from nobody's inside: the
 *                 stream is over in both directions, or was reset. Free it.
 *
 * Sending: heads go out at once into the connection's gathered output, bodies
 * as far as windows and the socket allow; the rest is kept (h2_unsent()) and
 * follows by itself. One send per connection and turn, by conn.h. Receiving:
 * a stream that is paused gets no new window; what its window still allows
 * comes and must be taken, so a stream holds at most one window.
 *
 * What a peer may make us do for nothing (resets, pings, settings, empty
 * frames) is paid from an allowance that real work refills; who has used it
 * up is cut off with ENHANCE_YOUR_CALM.
 *
 * Threads: a session belongs to the thread of its connection.
 */
#ifndef TG_HTTP_H2_H
#define TG_HTTP_H2_H

#include <nghttp2/nghttp2.h>

#include "http/message.h"
#include "net/conn.h"

struct h2;
struct h2_stream;

struct h2_ops {
    struct h2_stream *(*on_begin)(struct h2 *h, int32_t id);
    /* m: views into session memory, valid during the call; who keeps it
     * copies it (h2_message_copy()). refuse: 0, or the status to answer a
     * request with that cannot be taken; what was read of it is in m. end:
     * nothing follows, and on_end() is told next. */
    void (*on_head)(struct h2 *h, struct h2_stream *s, struct message *m,
                    unsigned refuse, bool end);
    /* end: these are the last ones, told so that they can be passed on in one
     * piece with the end; on_end() is told next in any case. What was
     * announced may still turn out to be longer: who must know compares. */
    void (*on_data)(struct h2 *h, struct h2_stream *s, char *p, size_t n,
                    bool end);
    /* trailers: whole lines with CRLF, valid during the call. */
    void (*on_end)(struct h2 *h, struct h2_stream *s, struct str trailers);
    void (*on_drained)(struct h2 *h, struct h2_stream *s);
    void (*on_closed)(struct h2 *h, struct h2_stream *s);
    /* The peer's SETTINGS or a GOAWAY came, or a stream ended: there may be
     * more, or no more, room for streams. May be NULL. */
    void (*on_room)(struct h2 *h);
};

struct h2_limits {
    uint32_t streams;     /* the peer may have open at once (server) */
    uint32_t window;      /* bytes of a body that may come unasked */
    uint32_t head_size;   /* of a header list, RFC 9113 section 6.5.2 */
    uint32_t head_fields; /* at most 1000 */
};

/* Part of the owner's stream; zeroed by h2_stream_init(). */
struct h2_stream {
    struct h2 *h2;
    struct h2_stream *next, **prev; /* of the session's streams or dead ones */
    int32_t id;
    uint32_t error; /* the peer's or our RST_STREAM code, when closed */
    char *out;      /* kept body bytes */
    uint32_t out_at, out_len, out_cap;
    const char *now; /* bytes of the h2_body() that is under way */
    size_t now_len;
    struct str trailers; /* to send after the body; the owner's memory */
    uint64_t moved;      /* body bytes handed to the connection */
    uint64_t owed;       /* received while paused, not yet given back */
    bool paused;
    bool head_sent;
    bool ending;       /* what is kept is the last of the body */
    bool ended;        /* our END_STREAM has gone out */
    bool deferred;     /* nghttp2 waits to be told of more bytes */
    bool head_seen;    /* the peer's (final) head came */
    bool peer_ended;   /* the peer's END_STREAM came */
    bool want_drained; /* on_drained() is owed */
    bool dead;         /* closed; on_closed() is due */
};

/* A header list while it comes in; see h2_fields.c. */
struct h2_fields {
    char *text;
    struct h2_item *items;
    struct header *headers; /* of the message made of it */
    uint32_t len, cap;      /* of text */
    uint32_t count, room;   /* of items, and of headers */
    uint64_t size;          /* as RFC 9113 section 6.5.2 counts */
    uint16_t refuse;        /* status, or 0 */
};

struct h2 {
    nghttp2_session *session;
    struct conn *conn;
    const struct h2_ops *ops;
    struct h2_limits limits;
    struct h2_stream *streams; /* alive, newest first */
    struct h2_stream *closed;  /* dead, to be told at the end of the turn */
    uint32_t stream_count;     /* alive */
    struct task reap;
    struct h2_fields fields;
    uint64_t begun_ms;  /* when the header list in hand began; 0: none */
    uint64_t heard_ms;  /* when the peer last sent anything */
    uint64_t pinged_ms; /* when the unanswered ping was sent; 0: none */
    uint64_t refilled_ms;
    uint32_t data_left;    /* of the DATA frame that comes in */
    int32_t allowance;     /* of work for nothing, in frames */
    int32_t last_id;       /* the highest stream a client began */
    int32_t reset_ids[64]; /* streams that we reset lately, a ring */
    uint32_t resets;
    bool server;
    bool receiving, pumping, again;
    bool unread; /* the peer does not read: we do not read from it */
    bool settings_seen;
    bool goaway_seen; /* the peer's: no new streams */
    bool failed;      /* the session is of no use any more */
    bool drained;     /* some stream is owed on_drained() */
    bool room;        /* on_room() is due */
    const char *why;  /* of the failure, for the log */
};

/* Begins a session on an open connection: our SETTINGS are in its output. */
void h2_init(struct h2 *h, struct conn *c, bool server,
             const struct h2_limits *limits, const struct h2_ops *ops);
/* Frees the session; every stream that is left is told on_closed() first. Not
 * from inside one of the ops. */
void h2_done(struct h2 *h);

/* Bytes from the peer, which may be changed. ERR_PEER: the peer broke the
 * protocol, h->why says how; a GOAWAY that says so is in the output: shut the
 * connection down. ERR_NOT_FOUND: the session ended in an orderly way. */
enum err h2_receive(struct h2 *h, char *p, size_t n);
/* The connection's kept output has gone. */
void h2_writable(struct h2 *h);

/* Streams. The server's on_begin(), and the client before it sends, give
 * theirs to the session. */
void h2_stream_init(struct h2 *h, struct h2_stream *s, int32_t id);

/* A head being put together; names are lowered, connection fields left out.
 * Pieces must stay valid until it is sent. */
struct h2_head {
    nghttp2_nv *nv;
    uint32_t count;
};
/* Begins one, in scratch memory of the thread: one at a time. */
void h2_head_begin(struct h2_head *b);
void h2_head_add(struct h2_head *b, struct str name, struct str value);
/* A pseudo-field, first of all; name in lower case with its colon. */
void h2_head_pseudo(struct h2_head *b, const char *name, struct str value);
/* The fields of m but hop-by-hop ones and those with a bit in skip. */
void h2_head_fields(struct h2_head *b, const struct message *m, uint64_t skip);

/* Server: a final head (or 1xx, as often as wanted). body: bytes follow by
 * h2_body(). */
void h2_send_head(struct h2_stream *s, const struct h2_head *b, bool body);
void h2_send_inform(struct h2_stream *s, const struct h2_head *b);
/* Client: opens the stream with a request's head. False: it cannot be opened
 * (no ids are left, or the peer said goodbye): nothing happened. */
bool h2_send_request(struct h2_stream *s, const struct h2_head *b, bool body);
/* How many more streams a client may open now. */
uint32_t h2_room(const struct h2 *h);
/* Body bytes; end: the last ones. trailers: whole lines with CRLF, the
 * owner's memory until the stream is closed. */
void h2_body(struct h2_stream *s, const void *p, size_t n, bool end,
             struct str trailers);
/* Body bytes that wait for a window or the socket. */
static inline size_t h2_unsent(const struct h2_stream *s)
{
    return s->out_len - s->out_at;
}
/* No new window for the stream, and again. */
void h2_pause(struct h2_stream *s);
void h2_resume(struct h2_stream *s);
/* Ends a stream with RST_STREAM; nothing more is told of it but on_closed().
 * code: NGHTTP2_CANCEL, … */
void h2_reset(struct h2_stream *s, uint32_t code);

/* A stream that was never opened is over: on_closed() follows. */
void h2_forget(struct h2 *h, struct h2_stream *s);

/* Takes from the allowance; false: it is used up and the session is cut. */
bool h2_spend(struct h2 *h, int32_t frames);
/* A PING when nothing was heard for quiet_ms. False: the last one has been
 * unanswered for answer_ms: the peer is gone. */
bool h2_alive(struct h2 *h, uint64_t quiet_ms, uint64_t answer_ms);
/* Saying goodbye (server): the first GOAWAY asks the peer to open no more
 * streams, the last one says which were taken. */
void h2_goaway_soon(struct h2 *h);
void h2_goaway(struct h2 *h, uint32_t code);

/* m once more, in arena memory, with all it points to. */
void h2_message_copy(struct h2 *h, struct arena *a, const struct message *m,
                     struct message *out);

/* h2_fields.c: header lists as they come in; for h2.c only. */
void h2_fields_begin(struct h2_fields *f);
/* ERR_LIMIT: far more than limits.head_size, the session must end. */
enum err h2_fields_add(struct h2_fields *f, const struct h2_limits *l,
                       struct str name, struct str value);
/* What was added, as a request or a reply; refuse is set when it is no good
 * one. end: no body follows. */
void h2_fields_message(struct h2_fields *f, bool request, bool end,
                       struct message *m);
/* The same as trailer lines. */
struct str h2_fields_lines(struct h2_fields *f);
/* Gives the memory back. */
void h2_fields_end(struct h2_fields *f);

/* Frees this thread's scratch memory. */
void h2_thread_done(void);

#endif
