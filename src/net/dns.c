/* dns.c - c-ares on our loop.
 *
 * c-ares says which sockets it wants watched and when it wants to be woken.
 * It cannot drop a single question, so a question that takes too long is
 * answered by us and left to end on its own, unheard.
 */
#include "net/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include "base/arena.h"
#include "base/log.h"

enum {
    TTL_MIN_S = 1,
    TTL_MAX_S = 3600,
    TTL_UNKNOWN_S = 60, /* /etc/hosts, numbers */
    TRIES = 2,
    TRY_MIN_MS = 50,
    NAME_MAX_BYTES = 253,
};

struct dns {
    struct loop *loop;
    ares_channel channel;
    struct timer wake; /* when c-ares wants to look at its time-outs */
    struct dns_socket *sockets;
    const struct question *asking; /* what comes for it now is local */
    uint64_t timeout_ms;
    bool closing;
};

struct dns_socket {
    struct io io;
    struct dns *dns;
    struct dns_socket *next, **prev;
};

struct question {
    struct timer limit;
    struct dns *dns;
    void (*done)(void *arg, const struct dns_answer *answer);
    void *arg;
    uint16_t port;
};

static void wake_later(struct dns *d)
{
    struct timeval tv;

    if (d->closing)
        return;
    if (!ares_timeout(d->channel, NULL, &tv)) {
        timer_clear(&d->wake);
        return;
    }
    timer_set(d->loop, &d->wake,
              loop_now_ms(d->loop) + (uint64_t)tv.tv_sec * 1000 +
                  (uint64_t)(tv.tv_usec + 999) / 1000);
}

static void on_wake(struct timer *t)
{
    struct dns *d =
        (struct dns *)(void *)((char *)t - offsetof(struct dns, wake));

    ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    wake_later(d);
}

static void on_ready(struct io *io, uint32_t events)
{
    struct dns *d = ((struct dns_socket *)(void *)io)->dns;
    int fd = io->fd; /* c-ares may close it, which frees io */
    bool odd = events & (EPOLLERR | EPOLLHUP);

    ares_process_fd(d->channel,
                    odd || (events & EPOLLIN) ? fd : ARES_SOCKET_BAD,
                    odd || (events & EPOLLOUT) ? fd : ARES_SOCKET_BAD);
    wake_later(d);
}

static struct dns_socket *find_socket(struct dns *d, int fd)
{
    struct dns_socket *s = d->sockets;

    while (s && s->io.fd != fd)
        s = s->next;
    return s;
}

static void forget_socket(struct dns_socket *s)
{
    loop_unwatch(s->dns->loop, &s->io);
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
    x_free(s);
}

static void new_socket(struct dns *d, int fd, uint32_t events)
{
    struct dns_socket *s = x_new(sizeof(*s));

    s->io.fd = fd;
    s->io.ready = on_ready;
    s->dns = d;
    s->next = d->sockets;
    s->prev = &d->sockets;
    if (s->next)
        s->next->prev = &s->next;
    d->sockets = s;
    if (loop_watch(d->loop, &s->io, events))
        log_error("dns", "a socket cannot be watched: %m");
}

/* c-ares opened, closes or wants something else of a socket. */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns *d = arg;
    struct dns_socket *s = find_socket(d, fd);
    uint32_t events = (readable ? (uint32_t)EPOLLIN : 0u) |
                      (writable ? (uint32_t)EPOLLOUT : 0u);

    if (s && !events)
        forget_socket(s);
    else if (s)
        loop_rewatch(d->loop, &s->io, events);
    else if (events)
        new_socket(d, fd, events);
}

/* Answers */

static void answer_error(struct question *q, enum err e)
{
    struct dns_answer answer = { .err = e };

    q->done(q->arg, &answer);
    q->done = NULL;
}

static void on_limit(struct timer *t)
{
    answer_error((struct question *)(void *)t, ERR_TIMEOUT);
}

static void set_port(struct sockaddr *sa, uint16_t port)
{
    if (sa->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)sa)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)sa)->sin6_port = htons(port);
}

static bool add_address(struct dns_answer *answer, const struct sockaddr *sa,
                        socklen_t len, uint16_t port)
{
    struct address *to = &answer->addresses[answer->count];

    if ((sa->sa_family != AF_INET && sa->sa_family != AF_INET6) ||
        len > sizeof(to->sa) || answer->count == DNS_ADDRESSES_MAX)
        return false;
    memcpy(&to->sa, sa, len);
    to->len = len;
    set_port((struct sockaddr *)&to->sa, port);
    answer->count++;
    return true;
}

static uint32_t clamp_ttl(int64_t ttl)
{
    return (uint32_t)(ttl < TTL_MIN_S   ? TTL_MIN_S
                      : ttl > TTL_MAX_S ? TTL_MAX_S
                                        : ttl);
}

static void read_result(struct question *q, const struct ares_addrinfo *result,
                        struct dns_answer *answer)
{
    const struct ares_addrinfo_node *n;
    const struct ares_addrinfo_cname *c;
    int64_t ttl = TTL_MAX_S;

    for (n = result->nodes; n; n = n->ai_next)
        if (add_address(answer, n->ai_addr, n->ai_addrlen, q->port) &&
            n->ai_ttl < ttl)
            ttl = n->ai_ttl;
    for (c = result->cnames; c; c = c->next)
        if (c->ttl < ttl)
            ttl = c->ttl;
    /* What comes without asking anyone has no time to live. */
    answer->ttl_s = q->dns->asking == q ? TTL_UNKNOWN_S : clamp_ttl(ttl);
    answer->err = answer->count ? ERR_OK : ERR_NOT_FOUND;
}

static enum err err_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return ERR_OK;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_EBADNAME:
        return ERR_NOT_FOUND;
    case ARES_ETIMEOUT:
        return ERR_TIMEOUT;
    default:
        return ERR_PEER;
    }
}

static void on_result(void *arg, int status, int timeouts,
                      struct ares_addrinfo *result)
{
    struct question *q = arg;
    struct dns_answer answer = { .err = err_of(status) };

    (void)timeouts;
    timer_clear(&q->limit);
    if (result && !answer.err)
        read_result(q, result, &answer);
    if (result)
        ares_freeaddrinfo(result);
    if (q->done)
        q->done(q->arg, &answer);
    x_free(q);
}

/* Asking */

static int library_status;
static void start_library(void)
{
    library_status = ares_library_init(ARES_LIB_INIT_ALL);
}

struct dns *dns_new(struct loop *l, struct str servers, uint64_t timeout_ms)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char lookups[] = "fb"; /* the file before the network */
    uint64_t try_ms = timeout_ms / (TRIES + 1); /* the second waits twice */
    struct dns *d = x_new(sizeof(*d));
    struct ares_options options = {
        .timeout = (int)(try_ms > TRY_MIN_MS ? try_ms : TRY_MIN_MS),
        .tries = TRIES,
        .lookups = lookups,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = d,
    };
    int status;

    pthread_once(&once, start_library);
    d->loop = l;
    d->timeout_ms = timeout_ms;
    d->wake.fire = on_wake;
    status = library_status;
    if (!status)
        status =
            ares_init_options(&d->channel, &options,
                              ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                  ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (!status && servers.len) {
        char *list = x_strdup(servers);

        status = ares_set_servers_ports_csv(d->channel, list);
        x_free(list);
    }
    if (!status)
        return d;
    log_error("dns", "the resolver cannot start: %s", ares_strerror(status));
    if (d->channel)
        ares_destroy(d->channel);
    x_free(d);
    return NULL;
}

void dns_free(struct dns *d)
{
    if (!d)
        return;
    d->closing = true;
    timer_clear(&d->wake);
    ares_destroy(d->channel); /* ends every question, closes every socket */
    must(!d->sockets);
    x_free(d);
}

/* Without c-ares: numbers, and what can be no name. */
static bool answer_now(const struct dns *d, struct str host, uint16_t port,
                       struct dns_answer *answer)
{
    if (!address_numeric(host, port, &answer->addresses[0])) {
        answer->count = 1;
        answer->ttl_s = TTL_MAX_S; /* it never changes */
        return true;
    }
    if (!host.len || host.len > NAME_MAX_BYTES + 1 ||
        str_find(host, '\0') < host.len)
        answer->err = ERR_NOT_FOUND;
    else if (d->closing)
        answer->err = ERR_PEER;
    return answer->err != ERR_OK;
}

void dns_resolve(struct dns *d, struct str host, uint16_t port,
                 void (*done)(void *arg, const struct dns_answer *answer),
                 void *arg)
{
    struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
                                         .ai_socktype = SOCK_STREAM };
    struct dns_answer answer = { .err = ERR_OK };
    struct question *q;
    char name[NAME_MAX_BYTES + 2];

    if (answer_now(d, host, port, &answer)) {
        done(arg, &answer);
        return;
    }
    memcpy(name, host.p, host.len);
    name[host.len] = 0;
    q = x_new(sizeof(*q));
    q->dns = d;
    q->done = done;
    q->arg = arg;
    q->port = port;
    q->limit.fire = on_limit;
    timer_set(d->loop, &q->limit, loop_now_ms(d->loop) + d->timeout_ms);
    d->asking = q;
    ares_getaddrinfo(d->channel, name, NULL, &hints, on_result, q);
    d->asking = NULL;
    wake_later(d);
}

/* Addresses */

enum err address_numeric(struct str host, uint16_t port, struct address *out)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                               .sin6_port = htons(port) };
    bool brackets =
        host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
    char text[INET6_ADDRSTRLEN];

    if (brackets)
        host = str_from(host.p + 1, host.len - 2);
    if (host.len >= sizeof(text) || str_find(host, '\0') < host.len)
        return ERR_INVALID;
    memcpy(text, host.p ? host.p : "", host.len);
    text[host.len] = 0;
    if (!brackets && inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memset(out, 0, sizeof(*out));
        memcpy(&out->sa, &v4, out->len = sizeof(v4));
    } else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memset(out, 0, sizeof(*out));
        memcpy(&out->sa, &v6, out->len = sizeof(v6));
    } else {
        return ERR_INVALID;
    }
    return ERR_OK;
}

static int format_unix(const struct sockaddr_un *un, char *out, size_t cap)
{
    size_t n = sizeof(un->sun_path);

    if (un->sun_path[0] == 0) /* abstract, or a socket without a name */
        return snprintf(out, cap, "unix:%s%.*s", un->sun_path[1] ? "@" : "",
                        (int)strnlen(un->sun_path + 1, n - 1),
                        un->sun_path + 1);
    return snprintf(out, cap, "unix:%.*s", (int)strnlen(un->sun_path, n),
                    un->sun_path);
}

/* An IPv4 client of a socket for both is written as what it is. */
static const char *format_ip(const struct sockaddr *sa,
                             char text[INET6_ADDRSTRLEN], uint16_t *port)
{
    const struct sockaddr_in *v4 = (const void *)sa;
    const struct sockaddr_in6 *v6 = (const void *)sa;

    if (sa->sa_family == AF_INET) {
        *port = ntohs(v4->sin_port);
        return inet_ntop(AF_INET, &v4->sin_addr, text, INET6_ADDRSTRLEN);
    }
    *port = ntohs(v6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, text,
                         INET6_ADDRSTRLEN);
    return inet_ntop(AF_INET6, &v6->sin6_addr, text, INET6_ADDRSTRLEN);
}

size_t address_format(const struct sockaddr *sa, char *out, size_t cap,
                      bool with_port)
{
    char text[INET6_ADDRSTRLEN];
    uint16_t port;
    int n;

    if (sa->sa_family == AF_UNIX) {
        n = format_unix((const void *)sa, out, cap);
    } else if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6) {
        n = snprintf(out, cap, "unknown");
    } else {
        must(format_ip(sa, text, &port));
        n = !with_port          ? snprintf(out, cap, "%s", text)
            : strchr(text, ':') ? snprintf(out, cap, "[%s]:%u", text, port)
                                : snprintf(out, cap, "%s:%u", text, port);
    }
    if (n < 0 || !cap)
        return 0;
    return (size_t)n < cap ? (size_t)n : cap - 1;
}
