/* conn.c - one receive and one send per turn.
 *
 * Buffers belong to the thread: an idle connection has none. Output that the
 * kernel did not take is kept in a block of its own (drawn from the budget)
 * until it has gone.
 */
#include "net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/budget.h"
#include "base/log.h"
#include "net/sock.h"
#include "net/sys.h"

enum {
    SMALL = 4096, /* output blocks of this size are recycled */
    SPARE_MAX = 32,
    TLS_GATHER = 16 * 1024, /* one record */
};

static _Thread_local char *receive_buf, *full_buf, *plain_buf, *gather_buf;
static _Thread_local char *spare[SPARE_MAX];
static _Thread_local int spares;

static char *thread_buf(char **buf, size_t size)
{
    if (!*buf)
        *buf = x_new(size);
    return *buf;
}

void conn_thread_done(void)
{
    while (spares)
        x_free(spare[--spares]);
    x_free(receive_buf);
    x_free(full_buf);
    x_free(plain_buf);
    x_free(gather_buf);
    receive_buf = full_buf = plain_buf = gather_buf = NULL;
    tls_thread_done();
}

/* Unsent output */

static void out_free(struct conn *c)
{
    if (c->out && c->out_cap == SMALL && spares < SPARE_MAX)
        spare[spares++] = c->out;
    else if (c->out)
        free(c->out);
    if (c->out)
        budget_give(c->out_cap);
    c->out = NULL;
    c->out_len = c->out_at = c->out_cap = 0;
}

static void out_reserve(struct conn *c, size_t n)
{
    size_t cap = c->out_cap ? c->out_cap : SMALL;
    char *p;

    if (c->out_len + n <= c->out_cap)
        return;
    if (c->out_at) {
        memmove(c->out, c->out + c->out_at, c->out_len - c->out_at);
        c->out_len -= c->out_at;
        c->out_at = 0;
    }
    while (cap < c->out_len + n)
        cap *= 2;
    if (cap <= c->out_cap)
        return;
    must(cap <= 1u << 30);
    if (cap == SMALL && spares) {
        p = spare[--spares];
    } else {
        p = malloc(cap);
        must(p != NULL);
    }
    if (c->out_len)
        memcpy(p, c->out, c->out_len);
    {
        uint32_t len = c->out_len;

        out_free(c);
        c->out_len = len;
    }
    c->out = p;
    c->out_cap = (uint32_t)cap;
    budget_take(cap);
}

static void out_add(struct conn *c, const void *p, size_t n)
{
    out_reserve(c, n);
    memcpy(c->out + c->out_len, p, n);
    c->out_len += (uint32_t)n;
}

size_t conn_unsent(const struct conn *c)
{
    return c->out_len - c->out_at + (c->tls ? tls_pending(c->tls).len : 0);
}

/* What epoll should watch */

static void rewatch(struct conn *c)
{
    uint32_t events = 0;

    if (c->state == CONN_CLOSED)
        return;
    if (c->state == CONN_CONNECTING || c->waiting)
        events |= EPOLLOUT;
    if (!c->eof && (!c->paused || c->state == CONN_HANDSHAKE))
        events |= EPOLLIN;
    else if (!c->eof && !c->hangup)
        events |= EPOLLRDHUP;
    if (!c->unwatched) {
        loop_rewatch(c->loop, &c->io, events);
    } else if (events) {
        c->unwatched = false;
        must(loop_watch(c->loop, &c->io, events) == ERR_OK);
    }
}

static void fail(struct conn *c, enum err e, const char *why)
{
    if (c->state != CONN_CLOSED)
        c->ops->on_error(c, e, why);
}

/* Sending */

/* Told to the owner at the end of the turn, never from inside a send. */
static void broken(struct conn *c, const char *why)
{
    out_free(c);
    if (c->broken)
        return;
    c->broken = why ? why : "sending failed";
    loop_at_end(c->loop, &c->end);
}

static bool took(struct conn *c, ssize_t n, size_t wanted)
{
    if (n > 0)
        c->out_bytes += (uint64_t)n;
    if (n >= 0 && (size_t)n == wanted)
        return true;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        broken(c, strerrordesc_np(errno));
        return false;
    }
    if (!c->waiting) {
        c->waiting = true;
        rewatch(c);
    }
    return true;
}

static void drained(struct conn *c)
{
    if (!c->waiting)
        return;
    c->waiting = false;
    rewatch(c);
    if (c->state == CONN_OPEN)
        c->ops->on_drained(c);
}

static void maybe_shut(struct conn *c)
{
    if (c->shut && c->state == CONN_OPEN && !conn_unsent(c)) {
        c->shut = false;
        shutdown(c->io.fd, SHUT_WR);
    }
}

static void keep_rest(struct conn *c, const struct iovec *parts, int count,
                      size_t skip)
{
    for (int i = 0; i < count; i++) {
        size_t n = parts[i].iov_len, k = skip < n ? skip : n;

        skip -= k;
        if (n > k)
            out_add(c, (const char *)parts[i].iov_base + k, n - k);
    }
}

static size_t total(const struct iovec *parts, int count)
{
    size_t n = 0;

    for (int i = 0; i < count; i++)
        n += parts[i].iov_len;
    return n;
}

static void send_plain(struct conn *c, const struct iovec *parts, int count)
{
    struct iovec iov[1 + CONN_PARTS];
    struct msghdr msg = { .msg_iov = iov };
    size_t kept = c->out_len - c->out_at, all = kept + total(parts, count);
    ssize_t sent;

    if (c->waiting) {
        keep_rest(c, parts, count, 0);
        return;
    }
    if (!all)
        return;
    if (kept)
        iov[msg.msg_iovlen++] = (struct iovec) { c->out + c->out_at, kept };
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len)
            iov[msg.msg_iovlen++] = parts[i];
    if (msg.msg_iovlen == 1)
        sent = sys_send(c->io.fd, iov[0].iov_base, iov[0].iov_len);
    else
        sent = sys_sendmsg(c->io.fd, &msg);
    if (!took(c, sent, all))
        return;
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < kept) {
        c->out_at += (uint32_t)sent;
        keep_rest(c, parts, count, 0);
    } else {
        out_free(c);
        keep_rest(c, parts, count, (size_t)sent - kept);
    }
}

static void send_cipher(struct conn *c)
{
    struct str s = tls_pending(c->tls);
    ssize_t n;

    if (!s.len || c->waiting || c->broken)
        return;
    n = sys_send(c->io.fd, s.p, s.len);
    if (n > 0)
        tls_sent(c->tls, (size_t)n);
    (void)took(c, n, s.len);
}

static void encrypt(struct conn *c, const char *p, size_t n)
{
    if (n && !c->broken && tls_write(c->tls, p, n))
        broken(c, tls_reason(c->tls));
}

static void send_tls(struct conn *c, const struct iovec *parts, int count)
{
    size_t kept = c->out_len - c->out_at, all = kept + total(parts, count);

    if (all > 0 && all <= TLS_GATHER && count + (kept > 0) > 1) {
        char *g = thread_buf(&gather_buf, TLS_GATHER), *at = g;

        if (kept)
            at = mempcpy(at, c->out + c->out_at, kept);
        for (int i = 0; i < count; i++)
            if (parts[i].iov_len)
                at = mempcpy(at, parts[i].iov_base, parts[i].iov_len);
        out_free(c);
        encrypt(c, g, all);
    } else {
        if (kept) {
            encrypt(c, c->out + c->out_at, kept);
            out_free(c);
        }
        for (int i = 0; i < count; i++)
            encrypt(c, parts[i].iov_base, parts[i].iov_len);
    }
    send_cipher(c);
}

void conn_sendv(struct conn *c, const struct iovec *parts, int count)
{
    must(count <= CONN_PARTS);
    if (c->state == CONN_CLOSED || c->broken)
        return;
    c->sends++;
    if (c->state != CONN_OPEN)
        keep_rest(c, parts, count, 0);
    else if (c->tls)
        send_tls(c, parts, count);
    else
        send_plain(c, parts, count);
    maybe_shut(c);
}

void conn_send(struct conn *c, const void *p, size_t n)
{
    struct iovec part = { (void *)(uintptr_t)p, n };

    conn_sendv(c, &part, n ? 1 : 0);
}

void conn_flush(struct conn *c)
{
    conn_send(c, NULL, 0);
}

void conn_write(struct conn *c, const void *p, size_t n)
{
    if (c->state == CONN_CLOSED || c->broken)
        return;
    out_add(c, p, n);
    if (c->state == CONN_OPEN)
        loop_at_end(c->loop, &c->end);
}

/* The socket takes more: sends what is kept. */
static void writable(struct conn *c)
{
    c->waiting = false;
    c->sends++;
    if (c->tls && c->state == CONN_HANDSHAKE)
        send_cipher(c); /* what was written waits until it is open */
    else if (c->tls)
        send_tls(c, NULL, 0);
    else
        send_plain(c, NULL, 0);
    if (c->state == CONN_CLOSED)
        return;
    maybe_shut(c);
    if (!c->waiting) {
        c->waiting = true; /* for drained() */
        drained(c);
    }
}

/* Receiving */

static void opened(struct conn *c)
{
    c->state = CONN_OPEN;
    rewatch(c);
    c->ops->on_open(c);
    if (c->state == CONN_OPEN && c->out_len)
        loop_at_end(c->loop, &c->end);
}

static void handshake(struct conn *c)
{
    enum err e = tls_handshake(c->tls);

    send_cipher(c);
    if (c->state == CONN_CLOSED)
        return;
    if (e == ERR_OK)
        opened(c);
    else if (e != ERR_AGAIN)
        fail(c, ERR_PEER, tls_reason(c->tls));
}

static void end_of_input(struct conn *c)
{
    if (c->eof)
        return;
    c->eof = true;
    rewatch(c);
    if (c->state == CONN_OPEN)
        c->ops->on_eof(c);
    else
        fail(c, ERR_PEER, "closed during the TLS handshake");
}

static void receive_tls(struct conn *c, char *p, size_t n)
{
    char *plain = thread_buf(&plain_buf, CONN_RECEIVE_MAX);
    size_t have = 0, got;
    enum err e;

    tls_feed(c->tls, p, n);
    if (c->state == CONN_HANDSHAKE) {
        handshake(c);
        if (c->state != CONN_OPEN)
            return;
    }
    do {
        e = tls_read(c->tls, plain + have, CONN_RECEIVE_MAX - have, &got);
        if (e == ERR_OK)
            have += got;
        if (have && (e != ERR_OK || have == CONN_RECEIVE_MAX)) {
            c->ops->on_data(c, plain, have);
            have = 0;
            if (c->state == CONN_CLOSED)
                return;
        }
    } while (e == ERR_OK);
    if (tls_pending(c->tls).len) /* a key update's or alert's answer */
        send_cipher(c);
    if (c->state == CONN_CLOSED || e == ERR_AGAIN)
        return;
    if (e == ERR_NOT_FOUND)
        end_of_input(c);
    else
        fail(c, ERR_PEER, tls_reason(c->tls));
}

static void readable(struct conn *c)
{
    size_t max = c->full ? CONN_RECEIVE_FULL : CONN_RECEIVE_MAX;
    char *p = thread_buf(c->full ? &full_buf : &receive_buf, max);
    ssize_t n = sys_recv(c->io.fd, p, max);

    /* The larger buffer is for those who have that much on the way: it would
     * push everybody else's out of the cache. */
    c->full = n >= CONN_RECEIVE_MAX;
    if (n > 0) {
        c->in_bytes += (uint64_t)n;
        if (c->tls)
            receive_tls(c, p, (size_t)n);
        else
            c->ops->on_data(c, p, (size_t)n);
    } else if (n == 0) {
        if (c->tls && c->state == CONN_OPEN && !c->eof)
            fail(c, ERR_PEER, "closed without close_notify");
        else
            end_of_input(c);
    } else if (errno != EAGAIN && errno != EINTR) {
        const char *why = strerrordesc_np(errno);

        fail(c, ERR_PEER, why ? why : "receive failed");
    }
}

static void connected(struct conn *c)
{
    if (sock_connected(c->io.fd)) {
        const char *why = strerrordesc_np(errno);

        fail(c, ERR_IO, why ? why : "connect failed");
        return;
    }
    if (!c->tls) {
        opened(c);
        return;
    }
    c->state = CONN_HANDSHAKE;
    rewatch(c);
    handshake(c);
}

/* A Unix socket's peer has gone, and epoll says so whatever it is asked for.
 * While nobody wants what came before, it is not asked at all. */
static bool hung_up_paused(struct conn *c, uint32_t events)
{
    if ((events & EPOLLERR) || !c->paused || c->eof || c->broken ||
        c->state != CONN_OPEN)
        return false;
    loop_unwatch(c->loop, &c->io);
    c->unwatched = true;
    return true;
}

static void ready(struct io *io, uint32_t events)
{
    struct conn *c = (struct conn *)io; /* its first member */

    if (c->state == CONN_CONNECTING) {
        connected(c);
        return;
    }
    if (events & EPOLLIN)
        readable(c);
    else if (events & EPOLLRDHUP && !c->hangup && c->state == CONN_OPEN) {
        c->hangup = true;
        rewatch(c);
        if (c->ops->on_hangup)
            c->ops->on_hangup(c);
    }
    if (c->state != CONN_CLOSED && (events & EPOLLOUT))
        writable(c);
    if (c->state != CONN_CLOSED && (events & (EPOLLERR | EPOLLHUP)) &&
        !(events & EPOLLIN) && !hung_up_paused(c, events)) {
        int e = 0;
        socklen_t len = sizeof(e);
        const char *why = NULL;

        if (!getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &e, &len) && e)
            why = strerrordesc_np(e);
        fail(c, ERR_PEER, why ? why : "the connection was closed");
    }
}

/* Life */

/* A peer that went may have said why just before. */
static void hear_out(struct conn *c)
{
    uint64_t before;
    int pieces = 0;

    do {
        before = c->in_bytes;
        readable(c);
    } while (c->state == CONN_OPEN && !c->eof && !c->paused &&
             c->in_bytes > before && ++pieces < 16);
}

static void at_end(struct task *t)
{
    struct conn *c = (struct conn *)((char *)t - offsetof(struct conn, end));

    if (c->state == CONN_CLOSED) {
        c->ops->on_closed(c);
    } else if (c->broken) {
        if (c->hears_out && c->state == CONN_OPEN && !c->paused)
            hear_out(c);
        fail(c, ERR_PEER, c->broken);
    } else if (c->out_len) {
        conn_flush(c); /* not sent along with something since */
    }
}

static enum err start(struct conn *c, struct loop *l, int fd, struct tls *tls,
                      const struct conn_ops *ops, uint32_t events)
{
    memset(c, 0, sizeof(*c));
    c->io.fd = fd;
    c->io.ready = ready;
    c->loop = l;
    c->ops = ops;
    c->tls = tls;
    c->end.run = at_end;
    if (loop_watch(l, &c->io, events)) {
        close(fd);
        tls_free(tls);
        c->tls = NULL;
        return ERR_IO;
    }
    return ERR_OK;
}

enum err conn_accept(struct conn *c, struct loop *l, int fd, struct tls *tls,
                     const struct conn_ops *ops)
{
    if (start(c, l, fd, tls, ops, EPOLLIN))
        return ERR_IO;
    c->state = tls ? CONN_HANDSHAKE : CONN_OPEN;
    return ERR_OK;
}

enum err conn_connect(struct conn *c, struct loop *l, const struct address *to,
                      struct tls *tls, const struct conn_ops *ops)
{
    int fd;

    if (sock_connect(to, &fd)) {
        tls_free(tls);
        return ERR_IO;
    }
    return conn_adopt(c, l, fd, tls, ops);
}

enum err conn_adopt(struct conn *c, struct loop *l, int fd, struct tls *tls,
                    const struct conn_ops *ops)
{
    if (start(c, l, fd, tls, ops, EPOLLOUT))
        return ERR_IO;
    c->state = CONN_CONNECTING;
    return ERR_OK;
}

void conn_start_tls(struct conn *c, struct tls *tls, char *p, size_t n)
{
    must(!c->tls && c->state == CONN_OPEN);
    c->tls = tls;
    c->state = CONN_HANDSHAKE;
    if (n)
        receive_tls(c, p, n);
}

void conn_pause(struct conn *c)
{
    if (c->paused)
        return;
    c->paused = true;
    rewatch(c);
}

void conn_resume(struct conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    rewatch(c);
}

void conn_shutdown(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    if (c->out_len)
        conn_flush(c);
    if (c->state == CONN_OPEN && c->tls) {
        tls_shutdown(c->tls);
        send_cipher(c);
    }
    c->shut = true;
    maybe_shut(c);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    if (c->tls && c->state == CONN_OPEN && !conn_unsent(c)) {
        struct str s;

        tls_shutdown(c->tls);
        s = tls_pending(c->tls);
        if (s.len)
            (void)sys_send(c->io.fd, s.p, s.len);
    }
    c->state = CONN_CLOSED;
    loop_unwatch(c->loop, &c->io);
    close(c->io.fd);
    c->io.fd = -1;
    out_free(c);
    if (c->tls)
        tls_free(c->tls);
    c->tls = NULL;
    loop_at_end(c->loop, &c->end);
}

void conn_reset(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    sock_reset(c->io.fd);
    c->state = CONN_CONNECTING; /* no close_notify */
    conn_close(c);
}
