/* fuzz_server.c - any bytes, in any pieces, to a server: whatever it answers
 * reads as replies, one per request in order, and nothing is left over.
 *
 * An input is a byte of options, then records: a length byte and as many
 * bytes. A record of no bytes lets the server work, reads, or lets the handler
 * answer what it has put off.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/log.h"
#include "refusals.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    EARLY = 1,     /* answers when the head is there */
    CHUNKED = 2,   /* of unknown length, with trailers */
    LATER = 4,     /* answers only when the input says so */
    PAUSES = 8,    /* pauses bodies, resumed as above */
    SMALL = 16,    /* a small send buffer, so that output waits */
    PROXY = 32,    /* expects a PROXY header */
    UNSENDS = 64,  /* takes each reply back once */
    INFORMS = 128, /* sends 100 and 103 first */
};

struct call {
    struct http_stream s; /* first */
    struct call *next;
    struct buf body;
    bool whole, answered;
};

static struct loop *loop;
static struct http_conns conns;
static unsigned options;
static struct call *waiting; /* the one call of the one connection */
static uint8_t methods[70000];
static unsigned asked, ended;
static char got[8 << 20];
static size_t got_len;

static void answer(struct call *x)
{
    struct header extra = { .name = STR("X-Fuzz"), .value = STR("1") };
    struct http_reply r = { .status = 200,
                            .extra = &extra,
                            .extras = 1,
                            .body = BODY_LENGTH,
                            .length = x->body.len };

    if (x->answered)
        return;
    x->answered = true;
    if (options & CHUNKED)
        r.body = BODY_CLOSE;
    http_respond(&x->s, &r);
    if (options & UNSENDS && http_unsend(&x->s)) {
        r.status = 500;
        http_respond(&x->s, &r);
    }
    if (options & CHUNKED && x->body.len) {
        http_body(&x->s, x->body.p, x->body.len / 2);
        http_finish(&x->s, x->body.p + x->body.len / 2,
                    x->body.len - x->body.len / 2, STR("X-Trailer: 1\r\n"));
    } else {
        http_finish(&x->s, x->body.p, x->body.len, STR_NULL);
    }
}

static void on_request(struct http_stream *s)
{
    struct call *x = (struct call *)s;

    must(!waiting && asked < sizeof(methods));
    methods[asked++] = (uint8_t)s->request.method;
    buf_init(&x->body, 1 << 20);
    waiting = x;
    if (options & INFORMS) {
        http_inform(s, 100, NULL, 0);
        http_inform(s, 103, NULL, 0);
    }
    if (options & EARLY)
        answer(x);
}

static void on_body(struct http_stream *s, char *p, size_t n)
{
    struct call *x = (struct call *)s;

    must(n > 0 && waiting == x && !x->whole);
    must(buf_add(&x->body, p, n) == ERR_OK);
    if (options & PAUSES)
        http_pause(s);
}

static void on_body_end(struct http_stream *s, struct str trailers)
{
    struct call *x = (struct call *)s;

    must(waiting == x && !x->whole);
    must(!trailers.len || str_ends(trailers, STR("\r\n")));
    x->whole = true;
    if (!(options & LATER))
        answer(x);
}

static void on_drained(struct http_stream *s)
{
    must(waiting == (struct call *)s);
}

static void on_end(struct http_stream *s)
{
    must(waiting == (struct call *)s);
    buf_done(&waiting->body);
    waiting = NULL;
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

static bool trust(void *arg, const struct sockaddr *peer)
{
    (void)arg;
    (void)peer;
    return true;
}

static bool take(int fd)
{
    ssize_t n = recv(fd, got + got_len, sizeof(got) - got_len, MSG_DONTWAIT);

    must(got_len < sizeof(got));
    if (n > 0)
        got_len += (size_t)n;
    return n > 0;
}

static void work(int fd)
{
    loop_turn(loop, 0);
    (void)take(fd);
    if (!waiting)
        return;
    if (options & PAUSES)
        http_resume(&waiting->s);
    if (waiting && waiting->whole)
        answer(waiting);
}

/* One reply of p[0..n); its length, or 0 when it is not whole. */
static size_t read_reply(char *p, size_t n, enum method method, bool *informs)
{
    static const struct h1_chunk_limits limits = { 16384, 8192 };
    struct header headers[32];
    struct message m = { .headers = headers, .capacity = 32 };
    struct h1_scan scan = { 0 };
    struct h1_chunks chunks = { 0 };
    struct h1_error error = { 0 };
    size_t start, head, used, data;
    enum err e;

    e = h1_scan_head(&scan, false, p, n, 65536, &start, &head, &error);
    if (e == ERR_AGAIN)
        return 0;
    must(e == ERR_OK && start == 0);
    must(h1_parse_response(p, head, method, &m, &error) == ERR_OK);
    *informs = m.status < 200;
    must(m.status == 100 || m.status == 103 || m.status == 200 ||
         m.status == 500 || m.status >= 400);
    switch (m.body) {
    case BODY_NONE:
        return head;
    case BODY_LENGTH:
        return n - head < m.length ? 0 : head + m.length;
    case BODY_CHUNKED:
        e = h1_chunks_decode(&chunks, &limits, p + head, n - head, &used, &data,
                             NULL, &error);
        must(e == ERR_OK || e == ERR_AGAIN);
        return e == ERR_OK ? head + used : 0;
    case BODY_CLOSE:
        break;
    }
    return n;
}

static void check_replies(void)
{
    size_t at = 0, replies = 0, n;
    bool informs = false;

    while (at < got_len) {
        enum method method =
            replies < asked ? (enum method)methods[replies] : METHOD_GET;

        /* What was refused for its size has a method nobody told us. */
        n = read_reply(got + at, got_len - at, method, &informs);
        if (!n)
            break; /* cut */
        at += n;
        replies += !informs;
    }
    must(replies <= asked + 1);
}

/* As much as goes; the rest never existed. */
static void give(int fd, const uint8_t *p, size_t n)
{
    (void)!send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void feed(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        size_t n = data[0];

        data++;
        size--;
        if (n > size)
            n = size;
        if (n)
            give(fd, data, n);
        else
            work(fd);
        if (n % 2)
            loop_turn(loop, 0);
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_server server;
    struct address who = { .sa.ss_family = AF_UNIX };
    uint64_t used = budget_used();
    int fds[2], small = 4096;

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
        .proxy_protocol = options & PROXY,
        .trusted = trust,
        .limits = { .head_size = 2000,
                    .target_size = 300,
                    .headers = 20,
                    .body_size = 5000,
                    .pipelined = 1000 },
    };
    asked = ended = 0;
    got_len = 0;
    must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
    if (options & SMALL)
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    http_accept(&conns, &server, fds[0], &who);
    feed(fds[1], data + 1, size - 1);
    shutdown(fds[1], SHUT_WR);
    for (int i = 0; i < 40 || take(fds[1]); i++)
        work(fds[1]);
    check_replies();
    close(fds[1]);
    http_close_all(&conns);
    loop_turn(loop, 0);
    must(conns.count == 0 && !waiting && asked == ended && server.refs == 1);
    must(budget_used() <= used + 128 * 1024);
    return 0;
}
