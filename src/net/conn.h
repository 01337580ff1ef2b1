/* conn.h - a connection that moves bytes: a socket, TLS or not, with output
 * that waits its turn.
 *
 * Embedded in who owns it (server side, client side). Reading: whatever one
 * receive brought (at most 64 KiB, or 256 KiB when the one before was full;
 * decrypted) is handed to on_data(), in the
 * thread's own buffer: the owner may change it in place, and takes all of it
 * before it returns; to slow the peer down it calls conn_pause(). Writing:
 * conn_write() gathers, sent once at the end of the loop's turn; conn_send()
 * sends what was gathered and its own bytes at once, keeping what the kernel
 * does not take. on_drained() is called when kept output has all gone.
 *
 *   CONNECTING -> HANDSHAKE -> OPEN     (on_open is called)
 *   any -> CLOSED   conn_close(), the only way out; on_closed() follows at
 *                   the end of the turn, where the owner frees
 *
 * After conn_close() no other function of ops is called. A failed send is told
 * at the end of the turn, so no function here frees its caller's things.
 * Threads: none.
 */
#ifndef TG_NET_CONN_H
#define TG_NET_CONN_H

#include <sys/uio.h>

#include "net/dns.h"
#include "net/loop.h"
#include "net/tls.h"

#define CONN_RECEIVE_MAX (64 * 1024)
#define CONN_RECEIVE_FULL (256 * 1024)
#define CONN_PARTS 3

struct conn;

struct conn_ops {
    void (*on_open)(struct conn *c);
    void (*on_data)(struct conn *c, char *p, size_t n);
    /* The peer will send no more (FIN or close_notify). */
    void (*on_eof)(struct conn *c);
    /* Connecting, the handshake or a transfer failed; close it. why is a
     * static or per-thread phrase for the log. */
    void (*on_error)(struct conn *c, enum err e, const char *why);
    void (*on_drained)(struct conn *c);
    /* While paused: the peer's FIN is there, behind what was not read yet.
     * Told once. */
    void (*on_hangup)(struct conn *c);
    /* The last call: free the owner here. */
    void (*on_closed)(struct conn *c);
};

enum conn_state { CONN_CONNECTING, CONN_HANDSHAKE, CONN_OPEN, CONN_CLOSED };

struct conn {
    struct io io;
    struct loop *loop;
    const struct conn_ops *ops;
    struct tls *tls;
    struct task end; /* flush, or on_closed */
    char *out;       /* unsent plain output (sockets without TLS) */
    uint32_t out_len, out_at, out_cap;
    const char *broken; /* sending failed: why */
    uint8_t state;
    bool paused;    /* the owner wants no more data */
    bool eof;       /* the peer sent its last byte */
    bool hangup;    /* on_hangup() was called */
    bool unwatched; /* the peer is gone, what it sent waits for resume */
    bool hears_out; /* the owner's: what the peer sent counts, even after
                       sending to it failed */
    bool full;      /* the last receive filled its buffer */
    bool waiting;   /* unsent output waits for the kernel */
    bool shut;      /* close the sending side when all is out */
    uint64_t in_bytes, out_bytes; /* on the wire */
    uint32_t sends;               /* times gathered output was passed on */
};

/* A connection the peer opened. ERR_IO when it cannot be watched (fd is
 * closed then). tls NULL: plain. */
enum err conn_accept(struct conn *c, struct loop *l, int fd, struct tls *tls,
                     const struct conn_ops *ops);
/* From inside on_data(): the bytes from here on are TLS, p[0..n) the first of
 * them; on_open() follows. */
void conn_start_tls(struct conn *c, struct tls *tls, char *p, size_t n);
/* Begins to connect; on_open() or on_error() follows, never from inside.
 * ERR_IO with errno when it failed at once. tls is owned either way. */
enum err conn_connect(struct conn *c, struct loop *l, const struct address *to,
                      struct tls *tls, const struct conn_ops *ops);
/* The same for a descriptor somebody else has begun to connect; it is owned
 * either way. */
enum err conn_adopt(struct conn *c, struct loop *l, int fd, struct tls *tls,
                    const struct conn_ops *ops);
void conn_write(struct conn *c, const void *p, size_t n);
void conn_send(struct conn *c, const void *p, size_t n);
/* The same for up to CONN_PARTS pieces. */
void conn_sendv(struct conn *c, const struct iovec *parts, int count);
/* Sends what was gathered now. */
void conn_flush(struct conn *c);
/* Bytes gathered or unsent. */
size_t conn_unsent(const struct conn *c);
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/* Sends what is left, then FIN (and close_notify); reading goes on. */
void conn_shutdown(struct conn *c);
void conn_close(struct conn *c);
/* As conn_close(), but the peer sees a reset, not an orderly end. */
void conn_reset(struct conn *c);
/* Frees this thread's buffers. */
void conn_thread_done(void);

#endif
