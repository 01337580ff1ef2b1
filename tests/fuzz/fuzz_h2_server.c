/* fuzz_h2_server.c - any bytes, in any pieces, to a server that speaks HTTP/2:
 * every request ends once, what was kept for it is given back, and what the
 * peer may make us do is bounded.
 *
 * An input is a byte of options, then frames as on the wire. The preface is
 * put before them unless the options say otherwise. They go in pieces whose
 * lengths the options choose; between pieces the server works.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/log.h"
#include "refusals.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    BARE = 1,    /* no preface of ours */
    EARLY = 2,   /* answers when the head is there */
    LONG = 4,    /* a reply that no first window holds */
    PAUSES = 8,  /* pauses bodies */
    CUTS = 16,   /* cuts the reply in its middle */
    SMALL = 32,  /* pieces of at most 7 bytes */
    INFORMS = 64 /* sends 103 first */
};

struct call {
    struct http_stream s; /* first */
    struct call *next, **prev;
    size_t got;
    bool answered;
};

static struct loop *loop;
static struct http_conns conns;
static unsigned options;
static struct call *calls;
static unsigned asked, ended;
static char filler[200000];

static void answer(struct call *x)
{
    struct header extra = { .name = STR("X-Fuzz"), .value = STR("1") };
    size_t n = options & LONG ? sizeof(filler) : 10;
    struct http_reply r = { .status = 200,
                            .extra = &extra,
                            .extras = 1,
                            .body = options & EARLY ? BODY_CLOSE : BODY_LENGTH,
                            .length = n };

    if (x->answered)
        return;
    x->answered = true;
    http_respond(&x->s, &r);
    if (options & CUTS) {
        http_body(&x->s, filler, n / 2);
        http_cut(&x->s);
        return;
    }
    http_finish(&x->s, filler, n, STR("x-trailer: 1\r\n"));
}

static void on_request(struct http_stream *s)
{
    struct call *x = (struct call *)s;

    must(s->request.method_text.len && s->request.target.len);
    must(s->request.count <= 20);
    x->next = calls;
    x->prev = &calls;
    if (calls)
        calls->prev = &x->next;
    calls = x;
    asked++;
    if (options & INFORMS)
        http_inform(s, 103, NULL, 0);
    if (options & EARLY)
        answer(x);
}

static void on_body(struct http_stream *s, char *p, size_t n)
{
    struct call *x = (struct call *)s;

    must(n > 0 && p);
    x->got += n;
    must(x->got <= 5000 && x->got == s->body_in);
    if (options & PAUSES)
        http_pause(s);
}

static void on_body_end(struct http_stream *s, struct str trailers)
{
    must(!trailers.len || str_ends(trailers, STR("\r\n")));
    answer((struct call *)s);
}

static void on_drained(struct http_stream *s)
{
    (void)s;
}

static void on_end(struct http_stream *s)
{
    struct call *x = (struct call *)s;

    if (!x->prev)
        return; /* refused before it was told */
    if (x->next)
        x->next->prev = x->prev;
    *x->prev = x->next;
    ended++;
}

static const struct http_handler handler = {
    .stream_size = sizeof(struct call),
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_drained = on_drained,
    .on_end = on_end,
    .on_refused = on_refused,
};

static size_t take(int fd)
{
    static char got[65536];
    size_t sum = 0;
    ssize_t n;

    while ((n = recv(fd, got, sizeof(got), MSG_DONTWAIT)) > 0)
        sum += (size_t)n;
    return sum;
}

static size_t work(int fd)
{
    for (struct call *x = calls, *next; x; x = next) {
        next = x->next;
        if (options & PAUSES)
            http_resume(&x->s);
    }
    loop_turn(loop, 0);
    return take(fd);
}

static void give(int fd, const void *data, size_t size)
{
    const char *p = data;
    unsigned turn = 0;

    while (size) {
        size_t n = options & SMALL ? 1 + turn % 7 : 200 + turn * 97 % 4000;

        if (n > size)
            n = size;
        if (send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) < (ssize_t)n)
            return; /* closed, or full: the rest never existed */
        if (!(turn++ % 3))
            work(fd);
        p += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static struct http_server server;
    struct address who = { .sa.ss_family = AF_UNIX };
    uint64_t used = budget_used();
    size_t sent = 0;
    int fds[2];

    if (!size || size > 65000)
        return 0;
    if (!loop) {
        log_setup(LOG_ERROR, LOG_AUTO, 2);
        loop = loop_new();
        conns.loop = loop;
    }
    options = data[0];
    server = (struct http_server) {
        .refs = 1,
        .handler = &handler,
        .on_free = never_freed,
        .http2 = true,
        .limits = { .head_size = 2000,
                    .target_size = 300,
                    .headers = 20,
                    .body_size = 5000,
                    .pipelined = 1000,
                    .streams = 10,
                    .window = 65535 },
    };
    asked = ended = 0;
    must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
    http_accept(&conns, &server, fds[0], &who);
    if (!(options & BARE))
        give(fds[1], preface, sizeof(preface) - 1);
    give(fds[1], data + 1, size - 1);
    for (int i = 0; i < 10; i++)
        sent += work(fds[1]);
    shutdown(fds[1], SHUT_WR);
    for (int i = 0; i < 10; i++)
        sent += work(fds[1]);
    /* Replies are bounded by the requests; the rest by what came. */
    must(sent <= (asked + 12u) * (sizeof(filler) + 4000) + 20 * size + 4000);
    close(fds[1]);
    http_close_all(&conns);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    must(conns.count == 0 && !calls && asked == ended && server.refs == 1);
    must(budget_used() <= used + 256 * 1024);
    return 0;
}
