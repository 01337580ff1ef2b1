/* cmd_echo.c - a backend to try a gateway with: it answers what it was asked.
 *
 * One thread, and as little work per call as the answer allows: it also stands
 * behind the benchmarks.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/signals.h"
#include "format/json.h"
#include "http/server.h"
#include "net/sock.h"

#define DEFAULT_ADDRESS "127.0.0.1:8290"

enum {
    TEXT_MAX = 64 * 1024, /* of a body that is shown */
    ANSWER_MAX = 8 * 1024 * 1024,
    UNSENT_MAX = 64 * 1024, /* events wait for the client above this */
    EVENTS_MAX = 1000000,
    DELAY_MAX_MS = 3600 * 1000,
    ACCEPT_MAX = 64, /* per turn */
    AGAIN_MS = 100,
    LOOK_AGAIN_MS = 20,
};

/* One backend; there is one per process. */
struct backend {
    struct io io; /* first */
    struct loop *loop;
    struct http_handler handler;
    struct http_conns conns;
    struct signals signals;
    struct timer again; /* accepting, after a want of descriptors */
    struct buf text;    /* of the answer in hand */
    uint64_t connections;
    uint64_t status, delay_ms;
};

/* Each connection has a server of its own, which carries its number. */
struct numbered {
    struct http_server server; /* first */
    struct backend *backend;
    uint64_t number;
};

struct call {
    struct http_stream s; /* first */
    struct timer timer;
    struct buf body;
    uint64_t status;
    uint64_t events, every_ms, event; /* of a stream */
    bool streams, answered;
};

static struct numbered *numbered_of(const struct call *c)
{
    const struct http_server *s = http_conn_server(c->s.conn);

    return s->arg;
}

static struct loop *loop_of(const struct call *c)
{
    return http_conn_loop(c->s.conn);
}

/* ---- what is asked for ---- */

static bool query_number(struct str query, const char *name, uint64_t max,
                         uint64_t *out)
{
    while (query.p) {
        struct str value = str_cut(&query, '&');
        struct str key = str_cut(&value, '=');

        if (str_is(key, name))
            return !str_to_u64(value, max, out);
    }
    return true;
}

/* /status/N and /stream; anything else is just shown. */
static void understand(struct call *c)
{
    const struct message *m = &c->s.request;
    bool good = true;

    if (str_starts(m->path, STR("/status/"))) {
        good = !str_to_u64(str_skip(m->path, 8), 599, &c->status) &&
               c->status >= 200;
    } else if (str_is(m->path, "/stream")) {
        c->streams = true;
        c->events = 5;
        c->every_ms = 100;
        good = query_number(m->query, "n", EVENTS_MAX, &c->events) &&
               query_number(m->query, "ms", DELAY_MAX_MS, &c->every_ms);
    }
    if (good)
        return;
    c->status = 400;
    c->streams = false;
}

/* ---- answers ---- */

static void put_member(struct buf *b, const char *before, struct str value)
{
    buf_z(b, before);
    json_write_str(b, value);
}

static void put_headers(struct buf *b, const struct message *m)
{
    buf_z(b, ",\"headers\":[");
    for (uint32_t i = 0; i < m->count; i++) {
        put_member(b, i ? ",[" : "[", m->headers[i].name);
        put_member(b, ",", m->headers[i].value);
        buf_char(b, ']');
    }
    buf_char(b, ']');
}

static void answer(struct call *c)
{
    const struct message *m = &c->s.request;
    struct numbered *n = numbered_of(c);
    struct buf *b = &n->backend->text;
    bool bare = c->status == 204 || c->status == 304;

    c->answered = true;
    b->len = 0;
    put_member(b, "{\"method\":", m->method_text);
    put_member(b, ",\"path\":", m->path);
    put_member(b, ",\"query\":", m->query);
    put_headers(b, m);
    put_member(b, ",\"body\":", buf_view(&c->body));
    buf_printf(b, ",\"body_bytes\":%" PRIu64 ",\"connection\":%" PRIu64 "}\n",
               c->s.body_in, n->number);
    http_reply_text(&c->s, (unsigned)c->status, STR("application/json"),
                    bare ? STR_NULL : buf_view(b), NULL, 0);
}

static void put_event(struct call *c)
{
    char text[128];
    int n = snprintf(text, sizeof(text),
                     "id: %" PRIu64 "\ndata: {\"event\":%" PRIu64 "}\n\n",
                     c->event, c->event);

    c->event++;
    http_body(&c->s, text, (size_t)n);
}

/* Events that are due; the rest when their time comes, and no more than the
 * client takes. May free the call. */
static void go_on(struct call *c)
{
    struct loop *l = loop_of(c);

    while (c->event < c->events) {
        if (http_unsent(&c->s) > UNSENT_MAX) {
            timer_set(l, &c->timer, loop_now_ms(l) + LOOK_AGAIN_MS);
            return;
        }
        put_event(c);
        if (c->every_ms && c->event < c->events) {
            timer_set(l, &c->timer, loop_now_ms(l) + c->every_ms);
            return;
        }
    }
    c->streams = false;
    http_finish(&c->s, NULL, 0, STR_NULL);
}

static void begin_stream(struct call *c)
{
    const struct header fields[] = {
        { .name = STR("Content-Type"),
          .value = STR("text/event-stream"),
          .id = FIELD_CONTENT_TYPE },
        { .name = STR("Cache-Control"), .value = STR("no-cache") },
    };
    struct http_reply r = {
        .status = (unsigned)c->status,
        .extra = fields,
        .extras = 2,
        .body = BODY_CLOSE,
    };

    c->answered = true;
    http_respond(&c->s, &r);
    go_on(c);
}

static void begin_answer(struct call *c)
{
    if (c->streams && c->s.request.method != METHOD_HEAD)
        begin_stream(c);
    else
        answer(c);
}

static void on_timer(struct timer *t)
{
    struct call *c = (void *)((char *)t - offsetof(struct call, timer));

    if (c->answered)
        go_on(c);
    else
        begin_answer(c);
}

/* ---- the handler ---- */

static void on_request(struct http_stream *s)
{
    struct call *c = (struct call *)s;

    c->timer.fire = on_timer;
    c->status = numbered_of(c)->backend->status;
    buf_init(&c->body, TEXT_MAX);
    understand(c);
    if (s->request.expect_continue)
        http_inform(s, 100, NULL, 0);
}

static void on_body(struct http_stream *s, char *p, size_t n)
{
    struct call *c = (struct call *)s;
    size_t room = TEXT_MAX - c->body.len;

    buf_add(&c->body, p, n < room ? n : room);
}

static void on_body_end(struct http_stream *s, struct str trailers)
{
    struct call *c = (struct call *)s;
    uint64_t delay = numbered_of(c)->backend->delay_ms;

    (void)trailers;
    if (delay)
        timer_set(loop_of(c), &c->timer, loop_now_ms(loop_of(c)) + delay);
    else
        begin_answer(c);
}

static void on_drained(struct http_stream *s)
{
    (void)s; /* the timer of a stream looks */
}

static void on_end(struct http_stream *s)
{
    struct call *c = (struct call *)s;

    timer_clear(&c->timer);
    buf_done(&c->body);
}

/* ---- connections ---- */

static void free_numbered(struct http_server *s)
{
    x_free(s->arg);
}

static void admit(struct backend *b, int fd, const struct address *peer)
{
    struct numbered *n = x_new(sizeof(*n));

    n->backend = b;
    n->number = ++b->connections;
    n->server = (struct http_server) {
        .refs = 1,
        .handler = &b->handler,
        .limits = { .head_size = 1024 * 1024,
                    .target_size = 1024 * 1024,
                    .headers = 1000,
                    .pipelined = 256 * 1024,
                    .linger_ms = 2000,
                    .streams = 1000,
                    .window = 1024 * 1024 },
        .http2 = true,
        .on_free = free_numbered,
        .arg = n,
    };
    http_accept(&b->conns, &n->server, fd, peer);
    http_server_unref(&n->server);
}

static void accept_again(struct timer *t)
{
    struct backend *b = (void *)((char *)t - offsetof(struct backend, again));

    loop_rewatch(b->loop, &b->io, EPOLLIN);
}

static void on_accept(struct io *io, uint32_t events)
{
    struct backend *b = (struct backend *)io;
    struct address peer;
    enum err e = ERR_OK;
    int fd;

    (void)events;
    for (int i = 0; i < ACCEPT_MAX && (!e || e == ERR_IO); i++) {
        e = sock_accept(io->fd, &fd, &peer);
        if (!e)
            admit(b, fd, &peer);
    }
    if (e == ERR_LIMIT && !http_shed(&b->conns, ACCEPT_MAX, NULL)) {
        loop_rewatch(b->loop, io, 0);
        timer_set(b->loop, &b->again, loop_now_ms(b->loop) + AGAIN_MS);
    }
}

static void on_signal(struct signals *s, int number)
{
    struct backend *b = (void *)((char *)s - offsetof(struct backend, signals));

    (void)number;
    loop_stop(b->loop);
}

/* ---- the process ---- */

static int listen_at(const struct cmd *cmd, struct backend *b, const char *text)
{
    struct address at;
    char name[128];

    if (sock_parse(str_z(text), &at))
        return cmd_usage(cmd,
                         "--listen must be an address (127.0.0.1:8290, :8290 "
                         "or unix:/run/x.sock), got \"%s\"",
                         text);
    if (sock_listen(&at, 4096, true, &b->io.fd) || sock_local(b->io.fd, &at))
        return cmd_failed(cmd, "cannot listen on %s: %m", text);
    address_format((const struct sockaddr *)&at.sa, name, sizeof(name), true);
    log_info("echo", "listening on %s", name);
    return CMD_OK;
}

static int read_numbers(const struct cmd *cmd, const struct arguments *args,
                        struct backend *b)
{
    const char *status = arguments_get(args, "status", NULL);
    const char *delay = arguments_get(args, "delay", NULL);

    b->status = 200;
    if (status &&
        (str_to_u64(str_z(status), 599, &b->status) || b->status < 200))
        return cmd_usage(cmd, "--status must be from 200 to 599, got \"%s\"",
                         status);
    if (delay && (str_to_u64(str_z(delay), DELAY_MAX_MS, &b->delay_ms)) &&
        (conf_parse_duration_ms(str_z(delay), &b->delay_ms) ||
         b->delay_ms > DELAY_MAX_MS))
        return cmd_usage(cmd,
                         "--delay must be milliseconds (250) or a duration "
                         "(2s) of at most an hour, got \"%s\"",
                         delay);
    return CMD_OK;
}

static void serve(struct backend *b)
{
    static const int numbers[] = { SIGTERM, SIGINT, 0 };
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    b->conns.loop = b->loop;
    b->again.fire = accept_again;
    b->io.ready = on_accept;
    b->handler = (struct http_handler) {
        .stream_size = sizeof(struct call),
        .on_request = on_request,
        .on_body = on_body,
        .on_body_end = on_body_end,
        .on_drained = on_drained,
        .on_end = on_end,
    };
    if (signals_begin(&b->signals, b->loop, numbers, on_signal) ||
        loop_watch(b->loop, &b->io, EPOLLIN))
        must_fail("a loop that watches", __FILE__, __LINE__);
    loop_run(b->loop);
    http_close_all(&b->conns);
    loop_turn(b->loop, 0); /* where they are freed */
    loop_unwatch(b->loop, &b->io);
    signals_end(&b->signals, b->loop);
    timer_clear(&b->again);
}

static int run(const struct cmd *cmd, const struct arguments *args)
{
    const char *address = arguments_get(args, "listen", NULL);
    struct backend b = { 0 };
    int status = read_numbers(cmd, args, &b);

    if (status == CMD_OK)
        status = listen_at(cmd, &b, address ? address : DEFAULT_ADDRESS);
    if (status != CMD_OK)
        return status;
    buf_init(&b.text, ANSWER_MAX);
    b.loop = loop_new();
    serve(&b);
    loop_free(b.loop);
    close(b.io.fd);
    buf_done(&b.text);
    http_thread_done();
    conn_thread_done();
    arena_thread_done();
    return CMD_OK;
}

static const struct option options[] = {
    { .name = "listen",
      .value = "ADDR",
      .help = "where; default " DEFAULT_ADDRESS },
    { .name = "status",
      .value = "N",
      .help = "the status of every answer; default 200" },
    { .name = "delay",
      .value = "MS",
      .help = "wait so many milliseconds before each answer" },
    { 0 },
};

const struct cmd cmd_echo = {
    .name = "echo",
    .summary = "a sample backend that answers what it was asked",
    .help = "Answers every request with JSON: method, path, query, headers "
            "in order, body\n(the first 64 KiB as text), its size, and the "
            "number of the connection.\n\n"
            "  /status/404        that status\n"
            "  /stream?n=5&ms=100 five server-sent events, 100 ms apart",
    .options = options,
    .run = run,
};
