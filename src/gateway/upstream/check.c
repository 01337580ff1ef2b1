/* check.c - one small request per interval, on a connection of its own. */
#include "gateway/upstream/check.h"

#include "base/log.h"

struct check {
    struct http_call call; /* first */
    struct loop *loop;
    struct endpoint *endpoint;
    struct timer timer;
    struct http_client *client;
    struct str path;
    uint64_t interval_ms, timeout_ms;
    uint64_t healthy, unhealthy;
    struct http_client_limits limits;
    uint32_t turn;
    uint16_t status;
    bool asked;
};

static void judged(struct check *c, bool good)
{
    struct endpoint *e = c->endpoint;
    struct http_client *client = c->client;

    c->asked = false;
    c->client = NULL;
    if (client && !client->calls_now)
        http_client_close(client);
    if (good) {
        e->bad = 0;
        if (++e->good >= c->healthy && atomic_exchange(&e->down, false))
            log_info("upstream", "%.*s: healthy again", STR_ARG(e->name));
    } else {
        e->good = 0;
        if (++e->bad >= c->unhealthy && !atomic_exchange(&e->down, true))
            log_warn("upstream", "%.*s: unhealthy", STR_ARG(e->name));
    }
}

static void on_reply(struct http_call *call, const struct message *m)
{
    ((struct check *)call)->status = m->status;
}

static void on_body(struct http_call *call, char *p, size_t n, bool end,
                    struct str trailers)
{
    struct check *c = (struct check *)call;

    (void)p;
    (void)n;
    (void)trailers;
    if (end)
        judged(c, c->status < 400);
}

static void on_inform(struct http_call *call, const struct message *m)
{
    (void)call;
    (void)m;
}

static void on_drained(struct http_call *call)
{
    (void)call;
}

static void on_fail(struct http_call *call, enum http_fail why, bool any,
                    const char *detail)
{
    struct check *c = (struct check *)call;

    (void)why;
    (void)any;
    (void)detail;
    judged(c, false);
}

static const struct http_call_ops call_ops = {
    .on_inform = on_inform,
    .on_reply = on_reply,
    .on_body = on_body,
    .on_drained = on_drained,
    .on_fail = on_fail,
};

static void on_ready(void *arg, struct http_client *client)
{
    const struct header agent = { .name = STR("User-Agent"),
                                  .value = STR("tollgate-health") };
    struct check *c = arg;
    struct http_request request = { .method = STR("GET"),
                                    .authority = c->endpoint->authority,
                                    .path = { STR(""), c->path },
                                    .extra = &agent,
                                    .extras = 1 };

    if (c->asked)
        return; /* after the reply: judged() closes it */
    c->asked = true;
    c->status = 0;
    c->call.ops = &call_ops;
    c->call.method = METHOD_GET;
    c->call.first_byte_ms = c->call.stall_ms = c->timeout_ms;
    c->call.total_at_ms = loop_now_ms(c->loop) + c->timeout_ms;
    http_call_start(client, &c->call, &request, false);
}

static void on_gone(void *arg, struct http_client *client, enum http_fail kind,
                    bool connected, const char *why)
{
    struct check *c = arg;

    (void)kind;
    (void)why;
    if (c->client == client)
        c->client = NULL;
    if (!connected)
        judged(c, false);
}

static const struct http_client_ops client_ops = {
    .on_ready = on_ready,
    .on_gone = on_gone,
};

static void on_timer(struct timer *t)
{
    struct check *c =
        (struct check *)((char *)t - offsetof(struct check, timer));
    struct addresses *a = atomic_load(&c->endpoint->addresses);
    struct tls *tls = NULL;

    timer_set(c->loop, t, loop_now_ms(c->loop) + c->interval_ms);
    if (c->client)
        return; /* the last one is still under way */
    if (!a || !a->count) {
        judged(c, false);
        return;
    }
    if (c->endpoint->tls)
        tls = tls_connect(c->endpoint->tls_context, c->endpoint->host);
    c->client =
        http_client_new(c->loop, &a->items[c->turn++ % a->count], tls,
                        c->endpoint->wanted, &c->limits, &client_ops, c);
    if (!c->client)
        judged(c, false);
}

struct check *check_new(struct loop *main, struct endpoint *e,
                        const struct upstreams_conf *conf)
{
    struct check *c = x_new(sizeof(*c));

    c->loop = main;
    c->endpoint = e;
    c->interval_ms = conf->health.interval_ms;
    c->timeout_ms = conf->health.timeout_ms;
    c->healthy = conf->health.healthy;
    c->unhealthy = conf->health.unhealthy;
    c->limits = e->limits;
    c->limits.connect_ms = c->timeout_ms;
    c->path = arena_copy(e->arena, conf->health.path);
    c->timer.fire = on_timer;
    timer_set(main, &c->timer, loop_now_ms(main) + 10);
    return c;
}

void check_free(struct check *c)
{
    if (!c)
        return;
    timer_clear(&c->timer);
    if (c->client) {
        struct http_client *client = c->client;

        c->client = NULL;
        http_call_cancel(&c->call);
        http_client_close(client);
    }
    x_free(c);
}
