/* control_socket.c - see control_socket.h. */
#include "cmd/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    REQUEST_MAX = 64,
    ANSWER_MAX = 256 * 1024,
    CONNECTIONS_MAX = 16,
    ASK_MS = 5000,     /* for a client to send its line */
    LISTEN_MS = 10000, /* for it to take the answer */
    LATER_MS = 120000, /* for an answer that follows */
    AGAIN_MS = 200,
};

/* One client.
 *
 *   ASKING    -> ANSWERING  ask()          a whole line came
 *   any       -> gone       drop()         done, too slow, left, or too many
 */
struct client {
    struct io io; /* first */
    struct control_socket *owner;
    struct client *next, **prev; /* newest first */
    struct timer timer;
    char request[REQUEST_MAX];
    size_t request_len;
    struct buf answer;
    bool answering;
    bool waiting; /* its answer follows */
};

struct control_socket {
    struct io io; /* first */
    struct loop *loop;
    const struct state_dir *dir;
    control_answer *answer;
    void *arg;
    struct timer again; /* accepting, after a want of descriptors */
    struct client *clients;
    size_t count;
    bool rests; /* the listening end is closed */
};

enum err control_parse(const char *p, size_t n, struct str *verb)
{
    const char *end = memchr(p, '\n', n);
    struct str line = str_from(p, end ? (size_t)(end - p) : n);

    if (!end)
        return n >= REQUEST_MAX ? ERR_INVALID : ERR_AGAIN;
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    for (size_t i = 0; i < line.len; i++)
        if (line.p[i] < 'a' || line.p[i] > 'z')
            return ERR_INVALID;
    if (!line.len)
        return ERR_INVALID;
    *verb = line;
    return ERR_OK;
}

/* ---- clients ---- */

static void drop(struct client *c)
{
    struct control_socket *s = c->owner;

    timer_clear(&c->timer);
    loop_unwatch(s->loop, &c->io);
    close(c->io.fd);
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->count--;
    buf_done(&c->answer);
    x_free(c);
}

static void too_slow(struct timer *t)
{
    drop((struct client *)((char *)t - offsetof(struct client, timer)));
}

static void arm(struct client *c, uint64_t ms)
{
    struct loop *l = c->owner->loop;

    timer_set(l, &c->timer, loop_now_ms(l) + ms);
}

/* What the socket takes now; the rest when it can be written again. */
static void send_some(struct client *c)
{
    while (c->answer.len) {
        ssize_t n = send(c->io.fd, c->answer.p, c->answer.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            loop_rewatch(c->owner->loop, &c->io, EPOLLOUT);
            return;
        }
        if (n < 0)
            break;
        buf_drop(&c->answer, (size_t)n);
    }
    drop(c);
}

static void ask(struct client *c, struct str verb, bool understood)
{
    struct control_socket *s = c->owner;

    c->answering = true;
    if (understood)
        s->answer(s->arg, verb, &c->answer);
    else
        buf_z(&c->answer, "error\nnot a request: one word and a line feed\n");
    c->waiting = !c->answer.len;
    arm(c, c->waiting ? LATER_MS : LISTEN_MS);
    if (!c->waiting)
        send_some(c);
}

static void client_ready(struct io *io, uint32_t events)
{
    struct client *c = (struct client *)io;
    struct str verb = STR_NULL;
    ssize_t n;
    enum err e;

    (void)events;
    if (c->waiting) { /* it has nothing more to say: it left */
        drop(c);
        return;
    }
    if (c->answering) {
        send_some(c);
        return;
    }
    n = recv(io->fd, c->request + c->request_len, REQUEST_MAX - c->request_len,
             0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    c->request_len += (size_t)n;
    e = control_parse(c->request, c->request_len, &verb);
    if (e != ERR_AGAIN)
        ask(c, verb, e == ERR_OK);
}

/* ---- the listening end ---- */

/* The file's rights say the same; this holds wherever those do not. */
static bool may_ask(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static struct client *oldest(struct control_socket *s)
{
    struct client *c = s->clients;

    while (c && c->next)
        c = c->next;
    return c;
}

static void admit(struct control_socket *s, int fd)
{
    struct client *c;

    if (!may_ask(fd)) {
        close(fd);
        return;
    }
    if (s->count >= CONNECTIONS_MAX)
        drop(oldest(s));
    c = x_new(sizeof(*c));
    c->owner = s;
    c->io.fd = fd;
    c->io.ready = client_ready;
    c->timer.fire = too_slow;
    buf_init(&c->answer, ANSWER_MAX);
    if (loop_watch(s->loop, &c->io, EPOLLIN)) {
        close(fd);
        x_free(c);
        return;
    }
    c->next = s->clients;
    c->prev = &s->clients;
    if (c->next)
        c->next->prev = &c->next;
    s->clients = c;
    s->count++;
    arm(c, ASK_MS);
}

static void accept_again(struct timer *t)
{
    struct control_socket *s =
        (void *)((char *)t - offsetof(struct control_socket, again));

    loop_rewatch(s->loop, &s->io, EPOLLIN);
}

static void listener_ready(struct io *io, uint32_t events)
{
    struct control_socket *s = (struct control_socket *)io;
    int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd >= 0) {
        admit(s, fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
               errno == ENOMEM) {
        /* It would be ready again at once, for nothing. */
        loop_rewatch(s->loop, io, 0);
        timer_set(s->loop, &s->again, loop_now_ms(s->loop) + AGAIN_MS);
    }
}

/* Paths of sockets are short; through the folder's descriptor any fits. */
static socklen_t address_of(int folder, struct sockaddr_un *un)
{
    memset(un, 0, sizeof(*un));
    un->sun_family = AF_UNIX;
    snprintf(un->sun_path, sizeof(un->sun_path), "/proc/self/fd/%d/%s", folder,
             CONTROL_NAME);
    return sizeof(*un);
}

static enum err listen_at(int folder, int fd)
{
    struct sockaddr_un un;
    socklen_t len = address_of(folder, &un);
    mode_t before;
    int failed;

    /* Whoever holds the lock may replace what is there. */
    unlinkat(folder, CONTROL_NAME, 0);
    before = umask(0177);
    failed = bind(fd, (struct sockaddr *)&un, len);
    umask(before);
    return failed || listen(fd, CONNECTIONS_MAX) ? ERR_IO : ERR_OK;
}

enum err control_socket_new(struct loop *l, const struct state_dir *d,
                            control_answer *answer, void *arg,
                            struct control_socket **out)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct control_socket *s;
    int saved;

    if (fd < 0)
        return ERR_IO;
    s = x_new(sizeof(*s));
    s->loop = l;
    s->dir = d;
    s->answer = answer;
    s->arg = arg;
    s->io.fd = fd;
    s->io.ready = listener_ready;
    s->again.fire = accept_again;
    if (!listen_at(d->fd, fd) && !loop_watch(l, &s->io, EPOLLIN)) {
        *out = s;
        return ERR_OK;
    }
    saved = errno;
    close(fd);
    x_free(s);
    errno = saved;
    return ERR_IO;
}

void control_socket_answer(struct control_socket *s, struct str text)
{
    struct client *c, *next;

    for (c = s ? s->clients : NULL; c; c = next) {
        next = c->next;
        if (!c->waiting)
            continue;
        c->waiting = false;
        (void)buf_str(&c->answer, text);
        arm(c, LISTEN_MS);
        send_some(c);
    }
}

void control_socket_rest(struct control_socket *s)
{
    if (!s || s->rests)
        return;
    s->rests = true;
    timer_clear(&s->again);
    loop_unwatch(s->loop, &s->io);
    close(s->io.fd);
}

void control_socket_free(struct control_socket *s)
{
    if (!s)
        return;
    while (s->clients)
        drop(s->clients);
    if (!s->rests) {
        control_socket_rest(s);
        unlinkat(s->dir->fd, CONTROL_NAME, 0);
    }
    x_free(s);
}

/* ---- the client's side ---- */

static enum err connect_to(struct str folder, int *out)
{
    struct sockaddr_un un;
    char path[4096];
    int dir, fd, failed, saved;

    if (folder.len >= sizeof(path))
        return ERR_NOT_FOUND;
    memcpy(path, folder.p, folder.len);
    path[folder.len] = '\0';
    dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    failed =
        fd < 0 || connect(fd, (struct sockaddr *)&un, address_of(dir, &un));
    saved = errno;
    close(dir);
    if (!failed) {
        *out = fd;
        return ERR_OK;
    }
    if (fd >= 0)
        close(fd);
    errno = saved;
    return errno == ENOENT || errno == ECONNREFUSED ? ERR_NOT_FOUND : ERR_IO;
}

static enum err take_answer(int fd, uint64_t until_us, struct buf *answer)
{
    for (;;) {
        uint64_t now = clock_mono_us();
        struct pollfd p = { .fd = fd, .events = POLLIN };
        enum err e = buf_reserve(answer, 4096);
        ssize_t n;

        if (e)
            return e;
        if (now >= until_us)
            return ERR_TIMEOUT;
        if (poll(&p, 1, (int)((until_us - now) / 1000 + 1)) <= 0)
            continue;
        n = read(fd, answer->p + answer->len, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == ECONNRESET ? ERR_PEER : ERR_IO;
        if (n == 0)
            return answer->len && answer->p[answer->len - 1] == '\n' ? ERR_OK
                                                                     : ERR_PEER;
        answer->len += (size_t)n;
    }
}

enum err control_ask(struct str folder, const char *verb, int timeout_ms,
                     struct buf *answer)
{
    uint64_t until = clock_mono_us() + (uint64_t)timeout_ms * 1000;
    char line[REQUEST_MAX];
    int n = snprintf(line, sizeof(line), "%s\n", verb), fd = -1;
    enum err e;

    must(n > 0 && n < REQUEST_MAX);
    e = connect_to(folder, &fd);
    if (e)
        return e;
    if (send(fd, line, (size_t)n, MSG_NOSIGNAL) != n)
        e = errno == EPIPE || errno == ECONNRESET ? ERR_PEER : ERR_IO;
    else
        e = take_answer(fd, until, answer);
    close(fd);
    return e;
}
