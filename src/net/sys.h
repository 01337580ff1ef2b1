/* sys.h - the four system calls of a proxied call, asked for directly.
 *
 * The C library's recv() and its like are cancellation points and take two
 * atomic operations each to be one; no thread of this program is ever
 * cancelled. They return what the library's return, and set errno. Under
 * sanitizers the library's are used, which those watch.
 */
#ifndef TG_NET_SYS_H
#define TG_NET_SYS_H

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SYS_WATCHED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SYS_WATCHED 1
#endif

static inline ssize_t sys_recv(int fd, void *p, size_t n)
{
#ifdef SYS_WATCHED
    return recv(fd, p, n, 0);
#else
    return syscall(SYS_recvfrom, fd, p, n, 0, NULL, NULL);
#endif
}

/* A peer that has gone is an error (EPIPE), never a signal. */
static inline ssize_t sys_send(int fd, const void *p, size_t n)
{
#ifdef SYS_WATCHED
    return send(fd, p, n, MSG_NOSIGNAL);
#else
    return syscall(SYS_sendto, fd, p, n, MSG_NOSIGNAL, NULL, 0);
#endif
}

static inline ssize_t sys_sendmsg(int fd, const struct msghdr *msg)
{
#ifdef SYS_WATCHED
    return sendmsg(fd, msg, MSG_NOSIGNAL);
#else
    return syscall(SYS_sendmsg, fd, msg, MSG_NOSIGNAL);
#endif
}

#endif
