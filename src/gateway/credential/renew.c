/* renew.c - see renew.h. */
#include "gateway/credential/renew.h"

#include "gateway/credential/credentials.h"
#include "gateway/credential/introspect.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

enum { LEAST_MS = 1000 }; /* between two questions, whatever `cache` says */

struct renewal {
    struct exchange *x;
    struct introspection *server;
    struct introspect_wait *wait;
    uint64_t due_ms; /* loop_now_ms() */
    bool over;       /* it is no good any more */
};

static uint64_t now_ms(const struct exchange *x)
{
    return loop_now_ms(x->worker->loop);
}

static void due_at(struct renewal *n, uint64_t ms)
{
    uint64_t least = now_ms(n->x) + LEAST_MS;

    n->due_ms = ms > least ? ms : least;
}

static struct introspection *server_of(const struct credentials *c, uint32_t id)
{
    for (size_t i = 0; i < c->server_count; i++)
        if (c->servers[i]->id == id)
            return c->servers[i];
    return NULL;
}

static struct renewal *begin(struct exchange *x, const struct token_entry *e)
{
    struct renewal *n = x->auth->renewal = arena_alloc(x->s.arena, sizeof(*n));

    n->x = x;
    n->server = server_of(x->api->credentials, e->source);
    due_at(n, e->fresh_until_ms);
    return n;
}

static void settle(struct renewal *n, const struct introspected *r)
{
    if (r->verdict == INTROSPECT_INACTIVE)
        n->over = true;
    else
        due_at(n,
               r->verdict == INTROSPECT_ACTIVE ? r->entry->fresh_until_ms : 0);
}

static void on_judged(void *arg, const struct introspected *r)
{
    struct renewal *n = arg;

    n->wait = NULL;
    settle(n, r);
}

static void ask(struct renewal *n, struct str token)
{
    struct worker *w = n->x->worker;
    struct introspected r;

    introspect(worker_introspector(w), n->server, token,
               loop_wall_us(w->loop) / 1000000, on_judged, n, &r, &n->wait);
    if (r.verdict != INTROSPECT_LATER)
        settle(n, &r);
}

const struct refusal *renew_review(struct exchange *x, const struct caller *c)
{
    const struct token_entry *e =
        (const struct token_entry *)((const char *)c -
                                     offsetof(struct token_entry, caller));
    struct renewal *n = x->auth->renewal;

    if (!e->fresh_until_ms)
        return NULL; /* it was verified here */
    if (!n)
        n = begin(x, e);
    if (n->server && !n->wait && !n->over && now_ms(x) >= n->due_ms)
        ask(n, e->token);
    if (!n->over)
        return NULL;
    explain_note(&x->explain, EXPLAIN_TOKEN, EXPLAIN_REFUSED,
                 REASON_TOKEN_INACTIVE, 0, &n->server->name);
    return &refusal_invalid;
}

void renew_cancel(struct auth_run *run)
{
    struct renewal *n = run->renewal;

    if (n && n->wait)
        introspect_cancel(n->wait);
    run->renewal = NULL;
}
