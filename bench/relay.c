/* relay.c - the least a proxy can do: it moves bytes and looks at none.
 *
 * One backend connection for each client, two receives and two sends a call,
 * no parser, no fields, no pool. What this costs is the kernel's part, the
 * wall that rows of bench/ are compared with. It is no proxy to use: a client
 * that stops reading stops everybody.
 *
 *   relay PORT BACKEND-PORT
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FD_MAX 20000

static int other[FD_MAX]; /* the far end of each connection */
static char bytes[65536];

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in) { .sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)atoi(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void watch(int poll, int fd)
{
    struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e);
}

static void welcome(int poll, int listener, const struct sockaddr_in *backend)
{
    int client = accept(listener, NULL, NULL);
    int server = socket(AF_INET, SOCK_STREAM, 0);

    if (client < 0 || server < 0 || client >= FD_MAX || server >= FD_MAX ||
        connect(server, (const struct sockaddr *)backend, sizeof(*backend)) <
            0) {
        perror("relay");
        exit(1);
    }
    other[client] = server;
    other[server] = client;
    watch(poll, client);
    watch(poll, server);
}

static void move(int fd)
{
    ssize_t n;

    if (other[fd] == 0) /* closed with its far end, earlier in this turn */
        return;
    n = recv(fd, bytes, sizeof(bytes), 0);
    if (n > 0 && send(other[fd], bytes, (size_t)n, MSG_NOSIGNAL) == n)
        return;
    close(fd);
    close(other[fd]);
    other[other[fd]] = 0;
    other[fd] = 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in here, backend;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int poll = epoll_create1(0);
    int on = 1;
    struct epoll_event ready[256];

    if (argc != 3)
        return 2;
    here = loopback(argv[1]);
    backend = loopback(argv[2]);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&here, sizeof(here)) < 0 ||
        listen(listener, 4096) < 0) {
        perror("relay");
        return 1;
    }
    watch(poll, listener);
    for (;;) {
        int n = epoll_wait(poll, ready, 256, -1);

        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd == listener)
                welcome(poll, listener, &backend);
            else
                move(ready[i].data.fd);
        }
    }
}
