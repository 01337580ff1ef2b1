/* admin.c - the private listener: health, readiness, metrics. It runs on the
 * main thread, so it answers while every loop thread is busy. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/log.h"
#include "base/map.h"
#include "gateway/gateway_internal.h"

struct admin_stream {
    struct http_stream s; /* first */
    struct metrics_view view;
    struct metrics_walk walk;
    struct buf piece;
    bool walking;
};

static struct gateway *gateway_of(struct http_stream *s)
{
    return http_conn_server(s->conn)->handler->arg;
}

static void reply(struct http_stream *s, unsigned status, const char *type,
                  struct str body)
{
    struct header fields[] = {
        { .name = STR("Cache-Control"), .value = STR("no-store") },
    };

    http_reply_text(s, status, str_z(type), body, fields, 1);
}

static void health(struct http_stream *s)
{
    reply(s, 200, "application/json", STR("{\"status\":\"UP\"}\n"));
}

static void ready(struct http_stream *s)
{
    struct gateway *g = gateway_of(s);
    struct snapshot *now = atomic_load(&g->snapshot);
    bool ok = g->started && !g->draining;

    reply(s, ok ? 200 : 503, "application/json",
          arena_printf(
              s->arena,
              "{\"status\":\"%s\",\"version\":%llu,\"apis\":%zu,"
              "\"operations\":%zu,\"open\":%zu,"
              "\"security\":\"%s\"}\n",
              ok            ? "ready"
              : g->draining ? "draining"
                            : "starting",
              (unsigned long long)g->number, now ? now->api_count : 0,
              now ? now->operation_count : 0, now ? now->open_count : 0,
              now && now->settings->gateway.security_off ? "off" : "on"));
}

/* Metrics */

static uint64_t resident_bytes(void)
{
    unsigned long long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void view_loops(struct gateway *g, struct arena *a,
                       struct metrics_view *v)
{
    struct metrics_loop *loops =
        arena_alloc(a, g->worker_count * sizeof(*loops) + 1);

    for (unsigned i = 0; i < g->worker_count; i++) {
        loops[i].connections = atomic_load(&g->workers[i]->conns.shared_count);
        loops[i].lag_us = loop_take_lag_us(g->workers[i]->loop);
        loops[i].turns = loop_turns(g->workers[i]->loop) / 2;
    }
    v->loops = loops;
    v->loop_count = g->worker_count;
}

static enum metrics_state state_of(const struct endpoint *e, uint64_t now)
{
    const char *s = endpoint_state(e, now);

    return s[0] == 'u'   ? METRICS_UP
           : s[0] == 's' ? METRICS_SUSPENDED
           : s[0] == 'o' ? METRICS_OPEN
                         : METRICS_DOWN;
}

static void view_endpoints(struct gateway *g, struct arena *a,
                           struct metrics_view *v)
{
    struct map *seen = map_new(a);
    struct metrics_endpoint *all, *m;
    uint64_t now = loop_now_ms(g->main);
    size_t n = 0;

    for (struct endpoint *e = upstreams_first(g->upstreams); e; e = e->next)
        n++;
    all = arena_alloc(a, n * sizeof(*all) + 1);
    for (struct endpoint *e = upstreams_first(g->upstreams); e; e = e->next) {
        uint32_t idle, total = endpoint_connections(e, &idle);

        m = map_get(seen, e->name);
        if (!m) {
            m = &all[v->endpoint_count++];
            m->url = arena_copy(a, e->name);
            m->state = state_of(e, now);
            map_set(seen, m->url, m);
        } else if (state_of(e, now) != METRICS_UP) {
            m->state = state_of(e, now);
        }
        m->outstanding += endpoint_outstanding(e);
        m->idle += idle;
        m->active += total - idle;
        m->failures += atomic_load(&e->failures);
    }
    v->endpoints = all;
}

static void view_certificates(struct gateway *g, struct arena *a,
                              struct metrics_view *v)
{
    struct snapshot *s = atomic_load(&g->snapshot);
    struct metrics_certificate *c;

    if (!s)
        return;
    c = arena_alloc(a, s->server_count * sizeof(*c) + 1);
    for (struct listener *l = g->listeners; l; l = l->next) {
        int64_t expiry = 0;

        if (l->id < s->server_count && s->servers[l->id] &&
            s->servers[l->id]->tls)
            expiry = tls_context_expiry(s->servers[l->id]->tls);
        if (expiry <= 0)
            continue;
        c[v->certificate_count].name = arena_copy(a, str_z(l->text));
        c[v->certificate_count++].expires_s = (uint64_t)expiry;
    }
    v->certificates = c;
}

static void view_keysets(struct gateway *g, struct arena *a,
                         struct metrics_view *v)
{
    struct metrics_keyset *all;
    struct keyset_info info;
    size_t at = 0, n = 0;

    while (keysets_next(g->keysets, &at, &info))
        n++;
    all = arena_alloc(a, n * sizeof(*all) + 1);
    for (at = 0; keysets_next(g->keysets, &at, &info);)
        all[v->keyset_count++] = (struct metrics_keyset) {
            .place = arena_copy(a, info.place),
            .keys = info.keys,
            .age_s = info.age_s,
            .failures = info.failures,
        };
    v->keysets = all;
}

static void view_file(struct metrics_view *v, struct metrics_file *all,
                      const char *name, const struct watched *w)
{
    const void *thing = watched_now(w);

    if (!thing)
        return;
    all[v->file_count++] = (struct metrics_file) {
        .name = name,
        .entries = w->kind->count(thing),
        .stale = w->stale,
        .failures = w->failures,
        .read_s = w->loaded_s,
    };
}

static void view_files(struct gateway *g, struct arena *a,
                       struct metrics_view *v)
{
    struct metrics_file *all = arena_alloc(a, 4 * sizeof(*all));

    view_file(v, all, "deny", &g->deny);
    view_file(v, all, "countries", &g->countries);
    if (g->credentials) {
        view_file(v, all, "api_keys", &g->credentials->keys);
        view_file(v, all, "revoked_keys", &g->credentials->signers.revoked);
    }
    v->files = all;
}

/* As much as the client takes; the rest when that has gone. */
static void walk(struct admin_stream *x)
{
    while (x->walking) {
        if (http_unsent(&x->s) > METRICS_ROOM)
            return; /* on_drained() goes on */
        x->piece.len = 0;
        if (!metrics_more(&x->walk, &x->piece)) {
            x->walking = false;
            http_finish(&x->s, NULL, 0, STR_NULL);
            return;
        }
        http_body(&x->s, x->piece.p, x->piece.len);
    }
}

static void metrics(struct http_stream *s)
{
    struct admin_stream *x = (struct admin_stream *)s;
    struct gateway *g = gateway_of(s);
    struct snapshot *now = atomic_load(&g->snapshot);
    struct header type = { .name = STR("Content-Type"),
                           .value = str_z(METRICS_CONTENT_TYPE) };
    struct http_reply r = {
        .status = 200, .extra = &type, .extras = 1, .body = BODY_CLOSE
    };

    x->view = (struct metrics_view) {
        .version = str_z(g->version),
        .commit = str_z(g->commit),
        .start_s = g->start_s,
        .apis = now ? now->api_count : 0,
        .operations = now ? now->operation_count : 0,
        .loads_ok = g->loads_ok,
        .loads_failed = g->loads_failed,
        .last_load_s = g->last_load_s,
        .draining = g->draining,
        .rss_bytes = resident_bytes(),
        .budget_used = budget_used(),
        .budget_limit = budget_limit(),
    };
    view_loops(g, s->arena, &x->view);
    view_endpoints(g, s->arena, &x->view);
    view_certificates(g, s->arena, &x->view);
    view_keysets(g, s->arena, &x->view);
    view_files(g, s->arena, &x->view);
    x->view.has_limits = g->counters != NULL;
    if (g->counters)
        counters_stats(g->counters, clock_wall_us(), &x->view.limits);
    x->view.has_events = g->events != NULL;
    if (g->events)
        events_stats(g->events, &x->view.events);
    x->view.has_spans = g->otlp != NULL;
    if (g->otlp)
        otlp_stats(g->otlp, &x->view.spans);
    x->walk.view = &x->view;
    buf_init(&x->piece, METRICS_PIECE + 2 * METRICS_ROOM);
    x->walking = true;
    http_respond(s, &r);
    walk(x);
}

static const struct route {
    const char *path;
    void (*fn)(struct http_stream *s);
} routes[] = {
    { "/health", health },   { "/ready", ready },
    { "/metrics", metrics }, { "/server-startup-healthcheck", ready },
    { NULL, NULL },
};

static void on_body_end(struct http_stream *s, struct str trailers)
{
    const struct message *m = &s->request;

    (void)trailers;
    if (m->method != METHOD_GET && m->method != METHOD_HEAD) {
        reply(s, 405, "text/plain", STR("GET and HEAD only\n"));
        return;
    }
    for (const struct route *r = routes; r->path; r++)
        if (str_is(m->path, r->path)) {
            r->fn(s);
            return;
        }
    reply(s, 404, "text/plain", STR("here are /health, /ready and /metrics\n"));
}

static void on_request(struct http_stream *s)
{
    (void)s;
}

static void on_body(struct http_stream *s, char *p, size_t n)
{
    (void)s;
    (void)p;
    (void)n;
}

static void on_drained(struct http_stream *s)
{
    walk((struct admin_stream *)s);
}

static void on_end(struct http_stream *s)
{
    struct admin_stream *x = (struct admin_stream *)s;

    x->walking = false;
    buf_done(&x->piece);
}

/* Listening */

static void on_accept(struct io *io, uint32_t events)
{
    struct gateway *g =
        (struct gateway *)((char *)io - offsetof(struct gateway, admin_io));
    struct address peer;
    int fd;

    (void)events;
    if (sock_accept(io->fd, &fd, &peer) != ERR_OK)
        return;
    if (g->admin_conns.count >= 64) {
        close(fd);
        return;
    }
    http_accept(&g->admin_conns, g->admin_server, fd, &peer);
}

static void free_server(struct http_server *s)
{
    x_free((void *)(uintptr_t)s->handler);
    x_free(s);
}

static struct http_server *admin_server(struct gateway *g)
{
    struct http_server *s = x_new(sizeof(*s));
    struct http_handler *h = x_new(sizeof(*h));

    *h = (struct http_handler) {
        .stream_size = sizeof(struct admin_stream),
        .on_request = on_request,
        .on_body = on_body,
        .on_body_end = on_body_end,
        .on_drained = on_drained,
        .on_end = on_end,
        .arg = g,
    };
    s->refs = 1;
    s->handler = h;
    s->on_free = free_server;
    s->limits = (struct http_limits) {
        .head_size = 16384,
        .target_size = 4096,
        .headers = 64,
        .body_size = 65536,
        .pipelined = 16384,
        .head_ms = 10000,
        .idle_ms = 60000,
        .rate_ms = 10000,
        .rate = 100,
        .linger_ms = 1000,
    };
    return s;
}

enum err admin_open(struct gateway *g, const struct settings *s,
                    struct problems *ps)
{
    struct listener *l;

    if (!s->gateway.admin.address.len)
        return ERR_OK;
    l = x_new(sizeof(*l));
    if (sock_parse(s->gateway.admin.address, &l->address)) {
        problem_error(ps, s->file, 0,
                      "gateway.admin.address: \"%.*s\" is no address to "
                      "listen on",
                      STR_ARG(s->gateway.admin.address));
        x_free(l);
        return ERR_INVALID;
    }
    l->conf_text = s->gateway.admin.address;
    l->fds[0] = take_inherited(g, "admin", l->conf_text);
    if (l->fds[0] < 0 && sock_listen(&l->address, 128, true, &l->fds[0])) {
        problem_error(ps, s->file, 0,
                      "cannot listen on %.*s for health and metrics: %s; "
                      "choose another with --admin or gateway.admin.address",
                      STR_ARG(s->gateway.admin.address),
                      strerrordesc_np(errno));
        x_free(l);
        return ERR_IO;
    }
    sock_local(l->fds[0], &l->address);
    address_format((const struct sockaddr *)&l->address.sa, l->text,
                   sizeof(l->text), true);
    /* The settings' arena goes with the next load. */
    l->conf_text = str_z(x_strdup(l->conf_text));
    l->fd_count = 1;
    g->admin = l;
    g->admin_server = admin_server(g);
    g->admin_io.fd = l->fds[0];
    g->admin_io.ready = on_accept;
    return loop_watch(g->main, &g->admin_io, EPOLLIN);
}

void admin_close(struct gateway *g)
{
    if (!g->admin)
        return;
    http_close_all(&g->admin_conns);
    loop_turn(g->main, 0); /* connections end at the end of a turn */
    loop_unwatch(g->main, &g->admin_io);
    close(g->admin_io.fd);
    http_server_unref(g->admin_server);
    x_free((char *)(uintptr_t)g->admin->conf_text.p);
    x_free(g->admin);
    g->admin = NULL;
}

void admin_watch(struct gateway *g, bool on)
{
    if (g->admin)
        loop_rewatch(g->main, &g->admin_io, on ? EPOLLIN : 0);
}
