/* name_server.h - a name server on the loop of a test. What it answers to
 * questions for A follows from the name's first label: an address with dashes
 * ("10-0-0-1.test" is 10.0.0.1), "both-…" two addresses, "mute" nothing at
 * all; other names, and AAAA, do not exist.
 *
 * name_server_turn makes it answer something else: "now" is that address.
 * Included by one file of a program each, so everything is static.
 */
#ifndef TG_TESTS_NAME_SERVER_H
#define TG_TESTS_NAME_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop.h"

static struct {
    struct io io;
    char address[32];
    char now[4]; /* the address of "now.test" */
    unsigned asked;
} name_server;

static inline size_t name_server_record(unsigned char *out, const char ip[4])
{
    const unsigned char head[12] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 2, 0, 4 };

    memcpy(out, head, 12);
    memcpy(out + 12, ip, 4);
    return 16;
}

/* How many addresses the first label stands for; -1: no such name. */
static inline int name_server_look(const char *label, char ip[2][4])
{
    unsigned a, b, c, d;

    if (!strncmp(label, "now", 3)) {
        memcpy(ip[0], name_server.now, 4);
        return 1;
    }
    if (!strncmp(label, "both", 4)) { /* one that is refused before another */
        memcpy(ip[0], "\x0a\x00\x00\x01", 4);
        memcpy(ip[1], "\x7f\x00\x00\x01", 4);
        return 2;
    }
    if (sscanf(label, "%u-%u-%u-%u", &a, &b, &c, &d) != 4)
        return -1;
    ip[0][0] = (char)a;
    ip[0][1] = (char)b;
    ip[0][2] = (char)c;
    ip[0][3] = (char)d;
    return 1;
}

static inline void name_server_answer(struct io *io, uint32_t events)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    unsigned char ask[512] = { 0 }, out[1024];
    ssize_t n = recvfrom(io->fd, ask, sizeof(ask), 0, (void *)&from, &len);
    size_t end = 12;
    char ip[2][4];
    int count;

    (void)events;
    must(n > 16);
    name_server.asked++;
    if (!strncmp((char *)ask + 13, "mute", 4))
        return;
    while (ask[end])
        end += 1u + ask[end];
    end += 5;
    memcpy(out, ask, end);
    count = name_server_look((char *)ask + 13, ip);
    out[2] = 0x81;
    out[3] = count < 0 ? 0x83 : 0x80;
    memset(out + 4, 0, 8);
    out[5] = 1;
    if (out[end - 3] != 1)
        count = 0;
    for (int i = 0; i < count; i++) {
        out[7]++;
        end += name_server_record(out + end, ip[i]);
    }
    must(sendto(io->fd, out, end, 0, (void *)&from, len) == (ssize_t)end);
}

static inline void name_server_start(struct loop *l)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);

    name_server.io.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    name_server.io.ready = name_server_answer;
    name_server.asked = 0;
    must(!bind(name_server.io.fd, (void *)&at, sizeof(at)));
    must(!getsockname(name_server.io.fd, (void *)&at, &len));
    snprintf(name_server.address, sizeof(name_server.address), "127.0.0.1:%d",
             ntohs(at.sin_port));
    must(loop_watch(l, &name_server.io, EPOLLIN) == ERR_OK);
}

static inline void name_server_stop(struct loop *l)
{
    loop_unwatch(l, &name_server.io);
    close(name_server.io.fd);
}

#endif
