/* sock.c - see sock.h. */
#include "net/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static enum err unix_address(struct str path, struct address *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->sa;

    if (path.len == 0 || path.len >= sizeof(un->sun_path) ||
        memchr(path.p, 0, path.len))
        return ERR_INVALID;
    memset(out, 0, sizeof(*out));
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.len);
    out->len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return ERR_OK;
}

enum err sock_parse(struct str text, struct address *out)
{
    size_t colon = str_rfind(text, ':');
    struct str host, port_text;
    uint64_t port;

    if (str_starts(text, STR("unix:")))
        return unix_address(str_skip(text, 5), out);
    if (colon == text.len) {
        host = STR("");
        port_text = text;
    } else {
        host = str_head(text, colon);
        port_text = str_skip(text, colon + 1);
    }
    if (str_to_u64(port_text, 65535, &port))
        return ERR_INVALID;
    if (host.len == 0 || str_is(host, "*"))
        host = STR("[::]");
    else if (str_is(host, "localhost"))
        host = STR("127.0.0.1");
    return address_numeric(host, (uint16_t)port, out);
}

/* Could the address be bound without sharing it, or taking it away from a
 * living owner (Unix sockets)? */
static bool is_free(const struct address *at)
{
    int one = 1, zero = 0, s;
    bool ok;

    if (at->sa.ss_family == AF_UNIX) {
        if (sock_connect(at, &s))
            return errno != EAGAIN;
        close(s);
        return false;
    }
    s = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return false;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (at->sa.ss_family == AF_INET6)
        setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    ok = bind(s, (const struct sockaddr *)&at->sa, at->len) == 0 &&
         listen(s, 1) == 0;
    if (!ok && errno != EADDRINUSE)
        ok = true; /* sock_listen() meets the same error and says so */
    close(s);
    return ok;
}

/* What an earlier run left; never a file somebody wants. */
static void remove_socket(const char *path)
{
    struct stat st;

    if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
        unlink(path);
}

enum err sock_listen(const struct address *at, int backlog, bool first, int *fd)
{
    int one = 1, zero = 0, s;
    int family = at->sa.ss_family;

    if (first && !is_free(at)) {
        errno = EADDRINUSE;
        return ERR_IO;
    }
    s = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0)
        return ERR_IO;
    if (family == AF_UNIX) {
        remove_socket(((const struct sockaddr_un *)&at->sa)->sun_path);
    } else {
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    if (family == AF_INET6)
        setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (bind(s, (const struct sockaddr *)&at->sa, at->len) ||
        listen(s, backlog)) {
        int e = errno;

        close(s);
        errno = e;
        return ERR_IO;
    }
    *fd = s;
    return ERR_OK;
}

enum err sock_connect(const struct address *to, int *fd)
{
    int one = 1, s;

    s = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0)
        return ERR_IO;
    if (to->sa.ss_family != AF_UNIX)
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(s, (const struct sockaddr *)&to->sa, to->len) &&
        errno != EINPROGRESS) {
        int e = errno;

        close(s);
        errno = e;
        return ERR_IO;
    }
    *fd = s;
    return ERR_OK;
}

enum err sock_connected(int fd)
{
    int e = 0;
    socklen_t len = sizeof(e);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len))
        return ERR_IO;
    if (e) {
        errno = e;
        return ERR_IO;
    }
    return ERR_OK;
}

enum err sock_accept(int listen_fd, int *fd, struct address *peer)
{
    int s;

    peer->len = sizeof(peer->sa);
    s = accept4(listen_fd, (struct sockaddr *)&peer->sa, &peer->len,
                SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (s >= 0) {
        *fd = s;
        return ERR_OK;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return ERR_AGAIN;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
        errno == ENOMEM)
        return ERR_LIMIT;
    return ERR_IO;
}

enum err sock_local(int fd, struct address *out)
{
    out->len = sizeof(out->sa);
    return getsockname(fd, (struct sockaddr *)&out->sa, &out->len) ? ERR_IO
                                                                   : ERR_OK;
}

void sock_reset(int fd)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}
