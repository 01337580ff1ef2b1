/* streams.c - see streams.h. */
#include "gateway/streams.h"

#include "base/log.h"
#include "gateway/credential/credential.h"
#include "gateway/proxy.h"
#include "gateway/tunnel.h"
#include "gateway/worker.h"
#include "http/websocket.h"

enum { WATCH_MS = 300 };

void streams_join(struct exchange *x)
{
    if (x->stream_prev)
        return;
    x->stream_next = x->worker->streams;
    if (x->stream_next)
        x->stream_next->stream_prev = &x->stream_next;
    x->stream_prev = &x->worker->streams;
    x->worker->streams = x;
    if (!timer_pending(&x->worker->streams_timer))
        streams_watch(x->worker);
}

void streams_leave(struct exchange *x)
{
    if (!x->stream_prev)
        return;
    *x->stream_prev = x->stream_next;
    if (x->stream_next)
        x->stream_next->stream_prev = x->stream_prev;
    x->stream_prev = NULL;
}

/* Where the new API keeps the endpoint that x is connected to; -1: nowhere. */
static int member_of(const struct cluster *c, const struct endpoint *e)
{
    for (uint32_t i = 0; c && i < c->count; i++)
        if (c->members[i].endpoint == e)
            return (int)i;
    return -1;
}

static void end_steps(struct exchange *x)
{
    const struct chain *c = &x->op->chain;

    for (uint32_t i = 0; i < x->next_step; i++)
        if (c->steps[i].policy->on_end)
            c->steps[i].policy->on_end(c->steps[i].conf, x);
}

/* The steps of the new chain say whether it may go on. x may be gone. */
static void pass_chain(struct exchange *x)
{
    credential_uncut(x);
    x->next_step = 0;
    x->again = true;
    streams_resume(x);
}

void streams_resume(struct exchange *x)
{
    const struct chain *c = &x->op->chain;

    while (x->next_step < c->count) {
        const struct step *s = &c->steps[x->next_step++];

        if (s->policy->on_request &&
            s->policy->on_request(s->conf, x) != VERDICT_NEXT)
            return; /* it ends, or exchange_resume() goes on */
    }
    x->again = false;
}

static bool move(struct exchange *x)
{
    struct worker *w = x->worker;
    struct api *old = x->api, *api;
    struct op *op = NULL;
    uint32_t allowed;
    size_t context;
    int member;

    api = router_find(w->snapshot->router, x->s.request.authority, x->path,
                      &context);
    if (api)
        op = op_tree_find(api->tree, str_skip(x->path, context),
                          x->s.request.method, x->s.request.method_text,
                          &allowed);
    member = op ? member_of(op->production, x->endpoint->endpoint) : -1;
    if (member < 0)
        return false;
    end_steps(x);
    worker_pin(w, api);
    x->api = api;
    x->op = op;
    x->rest = str_skip(x->path, context);
    x->cluster = op->production;
    x->member = (uint16_t)member;
    x->tried = 0;
    worker_unpin(w, old);
    pass_chain(x);
    return true;
}

static void drain_one(struct exchange *x)
{
    uint64_t ms = x->worker->snapshot->settings->gateway.timeouts.drain_ms;

    log_call(LOG_DEBUG, "stream", x->activityid, "its API has changed");
    if (x->state == X_TUNNEL) {
        tunnel_close(x, WS_GOING_AWAY, "the API has changed");
    } else if (!x->ending) {
        x->ending = true;
        timer_set(x->worker->loop, &x->timer,
                  loop_now_ms(x->worker->loop) + ms);
    }
}

void streams_review(struct worker *w)
{
    struct exchange *x, *next;

    for (x = w->streams; x; x = next) {
        next = x->stream_next;
        if (!atomic_load_explicit(&x->api->retired, memory_order_relaxed))
            continue;
        if ((x->state != X_TUNNEL && x->state != X_SENT &&
             x->state != X_REPLY) ||
            !move(x))
            drain_one(x);
    }
}

/* May it go on? */
static const struct refusal *review(struct exchange *x)
{
    const struct chain *c = &x->op->chain;
    const struct refusal *r = NULL;

    for (uint32_t i = 0; i < c->count && !r; i++)
        if (c->steps[i].policy->on_review)
            r = c->steps[i].policy->on_review(c->steps[i].conf, x);
    return r;
}

static void end_with(struct exchange *x, const struct refusal *r)
{
    if (x->state != X_TUNNEL) {
        http_call_cancel(&x->call);
        proxy_end_try(x);
    }
    exchange_refuse(x, r);
}

static void watch(struct timer *t)
{
    struct worker *w =
        (struct worker *)((char *)t - offsetof(struct worker, streams_timer));
    struct exchange *x, *next;

    for (x = w->streams; x; x = next) {
        const struct refusal *r;

        next = x->stream_next;
        if (x->state != X_TUNNEL && x->state != X_SENT && x->state != X_REPLY)
            continue;
        r = x->refusal ? NULL : review(x);
        if (!r)
            continue;
        log_call(LOG_DEBUG, "stream", x->activityid, "may go on no longer: %s",
                 r->message);
        end_with(x, r);
    }
    if (w->streams)
        streams_watch(w);
}

void streams_watch(struct worker *w)
{
    w->streams_timer.fire = watch;
    timer_set(w->loop, &w->streams_timer, loop_now_ms(w->loop) + WATCH_MS);
}

void streams_end(struct exchange *x)
{
    end_with(x, &refusal_changed);
}
