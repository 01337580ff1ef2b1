/* handover.c - see handover.h. A message is the name, a NUL, and the value. */
#include "cmd/handover.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 32, FDS_MAX = 4 };

enum err handover_send(int sock, const char *name, struct str value, int fd)
{
    struct iovec iov[] = { { (void *)(uintptr_t)name, strlen(name) + 1 },
                           { (void *)(uintptr_t)value.p, value.len } };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = value.len ? 2 : 1 };
    ssize_t n;

    if (strlen(name) >= NAME_MAX_BYTES ||
        strlen(name) + 1 + value.len >= HANDOVER_MAX)
        return ERR_LIMIT;
    if (fd >= 0) {
        struct cmsghdr *c;

        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    do {
        n = sendmsg(sock, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? ERR_PEER : ERR_OK;
}

/* The first descriptor that came; more than one is a mistake: all are closed. */
static enum err take_fd(struct msghdr *msg, int *out)
{
    int fds[FDS_MAX];
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (count > FDS_MAX)
            count = FDS_MAX;
        memcpy(fds, CMSG_DATA(c), count * sizeof(int));
    }
    *out = count ? fds[0] : -1;
    if (count <= 1 && !(msg->msg_flags & MSG_CTRUNC))
        return ERR_OK;
    while (count)
        close(fds[--count]);
    *out = -1;
    return ERR_INVALID;
}

static enum err understand(struct handover_message *m, size_t n)
{
    const char *end = memchr(m->bytes, 0, n);

    if (!end || end == m->bytes || end - m->bytes >= NAME_MAX_BYTES)
        return ERR_INVALID;
    m->name = str_from(m->bytes, (size_t)(end - m->bytes));
    m->value = str_from(end + 1, n - m->name.len - 1);
    m->bytes[n] = 0;
    return ERR_OK;
}

enum err handover_take(int sock, int timeout_ms, struct handover_message *m)
{
    struct pollfd p = { .fd = sock, .events = POLLIN };
    struct iovec iov = { m->bytes, HANDOVER_MAX - 1 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes) };
    enum err e;
    ssize_t n;

    if (timeout_ms && poll(&p, 1, timeout_ms) <= 0)
        return ERR_AGAIN;
    n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_PEER;
    if (n == 0)
        return ERR_PEER;
    e = take_fd(&msg, &m->fd);
    if (!e && msg.msg_flags & MSG_TRUNC)
        e = ERR_INVALID;
    if (!e)
        e = understand(m, (size_t)n);
    if (e && m->fd >= 0) {
        close(m->fd);
        m->fd = -1;
    }
    return e;
}
