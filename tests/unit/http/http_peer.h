/* http_peer.h - the other end of a connection under test: it writes what it
 * is told, collects what comes, and reads replies out of it one by one.
 *
 * Included by one file of a program each, so everything is static.
 */
#ifndef TG_TESTS_HTTP_PEER_H
#define TG_TESTS_HTTP_PEER_H

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "http/h1.h"
#include "net/loop.h"

struct peer {
    int fd;
    struct buf got;
    size_t at; /* replies were read up to here */
    bool eof;  /* an orderly end came */
    bool reset;
};

struct reply {
    unsigned status;
    struct message head;
    struct header fields[64];
    struct str body;
    struct buf decoded; /* of a chunked body */
    struct buf trailers;
};

static inline void peer_init(struct peer *p, int fd)
{
    memset(p, 0, sizeof(*p));
    p->fd = fd;
    buf_init(&p->got, 256 << 20);
}

static inline void peer_done(struct peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    buf_done(&p->got);
}

/* Takes what is there, at most max bytes. False: there was nothing. */
static inline bool peer_take(struct peer *p, size_t max)
{
    ssize_t n;

    assert_int_equal(buf_reserve(&p->got, 65536), ERR_OK);
    n = recv(p->fd, p->got.p + p->got.len, max < 65536 ? max : 65536,
             MSG_DONTWAIT);
    if (n > 0)
        p->got.len += (size_t)n;
    else if (n == 0)
        p->eof = true;
    else if (errno == ECONNRESET)
        p->reset = true;
    else
        assert_int_equal(errno, EAGAIN);
    return n > 0;
}

static inline void peer_take_all(struct peer *p)
{
    while (peer_take(p, 65536))
        ;
}

/* As much of the bytes as goes; returns how much that was. */
static inline size_t peer_give(struct peer *p, const char *bytes, size_t n)
{
    ssize_t k = send(p->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

    return k < 0 ? 0 : (size_t)k;
}

static inline void peer_say(struct peer *p, const char *text)
{
    assert_int_equal(peer_give(p, text, strlen(text)), strlen(text));
}

/* The next whole reply to a request with that method, of what was taken.
 * False: there is none. What is no valid reply fails the test. */
static inline bool peer_reply(struct peer *p, enum method method,
                              struct reply *r)
{
    struct h1_chunk_limits limits = { 16384, 8192 };
    char *from = p->got.p + p->at;
    size_t n = p->got.len - p->at, start, head, used, data;
    struct h1_scan scan = { 0 };
    struct h1_error error = { 0 };
    struct h1_chunks chunks = { 0 };
    enum err e;

    memset(r, 0, sizeof(*r));
    r->head.headers = r->fields;
    r->head.capacity = 64;
    if (!n)
        return false;
    e = h1_scan_head(&scan, false, from, n, 65536, &start, &head, &error);
    if (e == ERR_AGAIN)
        return false;
    if (!e)
        e = h1_parse_response(from, head, method, &r->head, &error);
    if (e)
        fail_msg("not a reply (%s): %.*s", error.what, (int)n, from);
    r->status = r->head.status;
    switch (r->head.body) {
    case BODY_NONE:
        break;
    case BODY_LENGTH:
        if (n - head < r->head.length)
            return false;
        r->body = str_from(from + head, r->head.length);
        head += r->head.length;
        break;
    case BODY_CHUNKED:
        buf_init(&r->decoded, n + 1);
        buf_init(&r->trailers, 8192);
        assert_int_equal(buf_add(&r->decoded, from + head, n - head), ERR_OK);
        e = h1_chunks_decode(&chunks, &limits, r->decoded.p, n - head, &used,
                             &data, &r->trailers, &error);
        if (e == ERR_AGAIN) {
            buf_done(&r->decoded);
            buf_done(&r->trailers);
            return false;
        }
        assert_int_equal(e, ERR_OK);
        r->decoded.len = data;
        r->body = buf_view(&r->decoded);
        head += used;
        break;
    case BODY_CLOSE:
        if (!p->eof)
            return false;
        r->body = str_from(from + head, n - head);
        head = n;
        break;
    }
    p->at += head;
    return true;
}

static inline void reply_done(struct reply *r)
{
    buf_done(&r->decoded);
    buf_done(&r->trailers);
}

#endif
