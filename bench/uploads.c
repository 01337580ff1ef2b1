/* uploads.c - a backend that reads a request to its end before it answers.
 *
 * nginx answers a POST as soon as it has the head and throws the body away
 * behind the answer. That would measure how proxies treat early answers, not
 * what an upload costs. This is the least program that does otherwise: kept
 * connections, Content-Length only, one answer for all. bench/ runs nothing
 * else against it, so what it does not expect simply ends the connection.
 *
 *   uploads PORT
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define FD_MAX 20000

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    "Content-Length: 100\r\n\r\n"
    "0123456789012345678901234567890123456789012345678901234567890123456789"
    "012345678901234567890123456789";

/* Between two requests head_len is 0 and body_left is 0. */
struct peer {
    char *head;
    size_t head_len;
    unsigned long long body_left;
};

static struct peer peers[FD_MAX];
static char bytes[262144];

static void drop(int fd)
{
    free(peers[fd].head);
    peers[fd] = (struct peer) { 0 };
    close(fd);
}

/* False when the head says something else than this program reads. */
static bool body_length(char *head, unsigned long long *out)
{
    *out = 0;
    for (char *line = strstr(head, "\r\n"); line;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, "content-length:", 15) == 0)
            *out = strtoull(line + 17, NULL, 10);
        if (strncasecmp(line + 2, "transfer-encoding:", 18) == 0)
            return false;
    }
    return true;
}

static bool say(int fd)
{
    ssize_t n = send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);

    return n == (ssize_t)sizeof(answer) - 1;
}

/* How many of the n bytes belong to the head; the rest is body. */
static size_t take_head(struct peer *p, const char *at, size_t n, bool *whole)
{
    size_t before = p->head_len;
    size_t room = HEAD_MAX - 1 - before;
    char *end;

    *whole = false;
    if (!p->head)
        p->head = malloc(HEAD_MAX);
    if (n > room)
        n = room;
    memcpy(p->head + before, at, n);
    p->head_len += n;
    p->head[p->head_len] = '\0';
    end = strstr(p->head, "\r\n\r\n");
    if (!end)
        return n;
    *whole = true;
    return (size_t)(end + 4 - p->head) - before;
}

static bool feed(int fd, struct peer *p, const char *at, size_t n)
{
    while (n > 0) {
        size_t used = n;
        bool whole = true;

        if (p->body_left == 0) {
            used = take_head(p, at, n, &whole);
            if (used == 0)
                return false; /* the head is too large */
            if (whole && !body_length(p->head, &p->body_left))
                return false;
        } else {
            if (used > p->body_left)
                used = (size_t)p->body_left;
            p->body_left -= used;
        }
        at += used;
        n -= used;
        if (whole && p->body_left == 0) {
            p->head_len = 0;
            if (!say(fd))
                return false;
        }
    }
    return true;
}

static void welcome(int poll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    int on = 1;
    struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

    if (fd < 0)
        return;
    if (fd >= FD_MAX) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e);
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int on = 1;
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons((unsigned short)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(fd, 4096) < 0) {
        perror("uploads");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    int listener = listen_on(argc > 1 ? atoi(argv[1]) : 0);
    int poll = epoll_create1(0);
    struct epoll_event e = { .events = EPOLLIN, .data.fd = listener };
    struct epoll_event ready[256];

    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(poll, ready, 256, -1);

        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            ssize_t got;

            if (fd == listener) {
                welcome(poll, listener);
                continue;
            }
            got = recv(fd, bytes, sizeof(bytes), 0);
            if (got <= 0 || !feed(fd, &peers[fd], bytes, (size_t)got))
                drop(fd);
        }
    }
}
