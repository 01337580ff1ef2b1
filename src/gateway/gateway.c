/* gateway.c - the data plane's life: load, serve, drain, end. */
#include "gateway/gateway.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/log.h"
#include "events/events.h"
#include "events/otlp.h"
#include "gateway/apikey_issuer.h"
#include "gateway/deny/denials.h"
#include "gateway/gateway_internal.h"
#include "gateway/policy/authenticate.h"

enum { MEMORY_LOOK_MS = 1000, MEMORY_PEAK = 8 << 20 };
enum { FILES_LOOK_MS = 250, COUNTERS_LOOK_MS = 500 };
enum { SLOW_LINE = 256 };        /* passwords that wait */
enum { EVENTS_CLOSE_MS = 2000 }; /* to hand over what is left */
enum { SPANS_MS = 2000 };        /* for the last spans to be sent */
enum { GOODBYE_MS = 1000 }; /* for tunnels to close before the drain ends */

/* Dead processes give back what they held; and see counters.h. */
static void look_counters(struct timer *t)
{
    struct gateway *g =
        (struct gateway *)((char *)t -
                           offsetof(struct gateway, counters_timer));

    if (g->counters && counters_flush(g->counters, clock_wall_us()))
        log_debug("limits", "counters were not written: %m");
    timer_set(g->main, t, loop_now_ms(g->main) + COUNTERS_LOOK_MS);
}

/* Calls may look at what is out of use until their turn ends. */
static void look_file(struct gateway *g, struct watched *w)
{
    void *old;

    if (watched_refresh(w, &old) && old)
        retire_thing(g, w->kind->free, old);
}

/* Files that are watched may have changed. */
static void look_files(struct timer *t)
{
    struct gateway *g =
        (struct gateway *)((char *)t - offsetof(struct gateway, files_timer));

    if (g->credentials) {
        look_file(g, &g->credentials->keys);
        look_file(g, &g->credentials->signers.revoked);
    }
    look_file(g, &g->countries);
    look_file(g, &g->deny);
    timer_set(g->main, t, loop_now_ms(g->main) + FILES_LOOK_MS);
}

/* After a burst the allocator keeps its pages; once half of what was taken is
 * back, they are given to the system. */
static void look_memory(struct timer *t)
{
    struct gateway *g =
        (struct gateway *)((char *)t - offsetof(struct gateway, memory_timer));
    uint64_t used = budget_used();

    if (used > g->memory_peak)
        g->memory_peak = used;
    if (g->memory_peak > MEMORY_PEAK && used < g->memory_peak / 2) {
        malloc_trim(0);
        g->memory_peak = used;
    }
    timer_set(g->main, t, loop_now_ms(g->main) + MEMORY_LOOK_MS);
}

struct gateway *gateway_new(struct loop *main, const char *version,
                            const char *commit)
{
    struct gateway *g = x_new(sizeof(*g));

    g->main = main;
    g->version = x_strdup(str_z(version));
    g->commit = x_strdup(str_z(commit));
    g->admission = admission_new();
    g->attempts = attempts_new();
    g->keysets = keysets_new(main, retire_thing, g);
    g->start_s = (double)clock_wall_us() / 1e6;
    g->admin_conns.loop = main;
    reclaim_init(g);
    g->memory_timer.fire = look_memory;
    timer_set(main, &g->memory_timer, loop_now_ms(main) + MEMORY_LOOK_MS);
    g->files_timer.fire = look_files;
    timer_set(main, &g->files_timer, loop_now_ms(main) + FILES_LOOK_MS);
    g->counters_timer.fire = look_counters;
    timer_set(main, &g->counters_timer, loop_now_ms(main) + COUNTERS_LOOK_MS);
    return g;
}

static uint64_t max_descriptors(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur == RLIM_INFINITY)
        return 1u << 20;
    return r.rlim_cur;
}

/* Ceilings that follow from the machine when nobody set them. */
static void set_ceilings(struct gateway *g, const struct settings *s)
{
    uint64_t bytes = s->memory.limit ? s->memory.limit : budget_machine_bytes();
    uint64_t files = max_descriptors(), all, each;

    budget_set_limit(bytes / 10 * 6);
    all = s->gateway.limits.connections;
    if (!all)
        all = files > 2048  ? files / 8 * 7
              : files > 128 ? files / 2 - 32
                            : files / 3;
    each = s->gateway.limits.connections_per_address;
    if (!each)
        each = all / 4 * 3;
    atomic_store(&g->connections_max, all);
    admission_set_limit(g->admission, each);
}

/* What threads share in the state folder. None of it is worth not to start. */
static void open_explain(struct gateway *g, const struct settings *s)
{
    struct arena *a = arena_new();
    struct str folder = s->state_dir;

    if (folder.len && s->gateway.explain.size &&
        explain_ring_open(arena_printf(a, "%.*s/explain.ring", STR_ARG(folder)),
                          s->gateway.explain.size, &g->explain))
        log_warn("explain",
                 "%.*s/explain.ring cannot be opened: %m; refused "
                 "calls will not be explained",
                 STR_ARG(folder));
    g->has_explain_key =
        folder.len &&
        !explain_key_load(arena_printf(a, "%.*s/explain.key", STR_ARG(folder)),
                          true, &g->explain_key);
    arena_free(a);
}

/* Without a place to count in, limits would mean nothing. */
static enum err open_counters(struct gateway *g, const struct settings *s,
                              struct problems *ps)
{
    struct str path =
        arena_printf(ps->arena, "%.*s/counters", STR_ARG(s->state_dir));
    struct counters_conf conf = {
        .path = s->state_dir.len ? path.p : NULL,
        .fd = -1,
        .slots = s->gateway.counters.slots,
        .full = (enum counters_full)s->gateway.counters.full,
    };
    struct counters_opened opened = { 0 };

    if (counters_open(&conf, clock_wall_us(), &g->counters, &opened)) {
        problem_error(ps, path, 0,
                      "cannot be opened: %s; limits are counted "
                      "there",
                      strerrordesc_np(errno));
        return ERR_IO;
    }
    if (opened.replaced)
        log_warn("limits", "%.*s was begun anew: %s", STR_ARG(path),
                 opened.replaced);
    return ERR_OK;
}

/* Rings are there from the first load on that wants events. */
static enum err open_events(struct gateway *g, const struct settings *s,
                            struct problems *ps)
{
    const struct events_conf *c = &s->gateway.events;

    if (c->to != EVENTS_OFF && events_check(c, s->state_dir, s->file, ps))
        return ERR_INVALID;
    if (c->to == EVENTS_OFF || g->events)
        return ERR_OK;
    if (events_open(s->state_dir, g->worker_count, c->ring, ps, &g->events))
        return ERR_INVALID;
    if (g->settled)
        events_start(g->events, thread_begin_of_workers());
    return ERR_OK;
}

/* The collector as configured; *out NULL: none. */
static enum err open_spans(struct gateway *g, const struct settings *s,
                           struct problems *ps, struct otlp_target **out)
{
    const struct otlp_conf *c = &s->gateway.tracing.otlp;
    struct str version = str_z(g->version); /* "0.1.0 (1f2e3d)" */

    *out = NULL;
    if (!c->url.len)
        return ERR_OK;
    version = str_head(version, str_find(version, ' '));
    if (otlp_target_new(c, &s->gateway.outbound, version, s->file, ps, out))
        return ERR_INVALID;
    if (!g->otlp)
        g->otlp = otlp_new(g->main, g->worker_count);
    return ERR_OK;
}

void gateway_settle(struct gateway *g)
{
    g->settled = true;
    if (g->events)
        events_start(g->events, thread_begin_of_workers());
}

static void make_workers(struct gateway *g, const struct settings *s)
{
    struct loop *loops[THREADS_MAX];
    unsigned n = (unsigned)s->gateway.threads;

    open_explain(g, s);
    g->slow = slow_new(SLOW_LINE);
    g->replays = replays_new(s->gateway.authentication.dpop.replays);
    if (!n)
        n = budget_machine_cpus();
    if (n > THREADS_MAX)
        n = THREADS_MAX;
    for (unsigned i = 0; i < n; i++) {
        g->workers[i] = worker_new(g, i);
        loops[i] = g->workers[i]->loop;
    }
    g->worker_count = n;
    upstreams_set_threads(g->upstreams, loops, n);
}

static void watch_listeners(struct gateway *g)
{
    for (struct listener *l = g->listeners, *next; l; l = next) {
        next = l->next;
        if (l->wanted && !l->watched) {
            for (unsigned i = 0; i < l->fd_count; i++)
                worker_listen(g->workers[i % g->worker_count], l->id,
                              l->fds[i]);
            l->watched = true;
            log_info("gateway", "listening on %s (%s)", l->text,
                     l->tls ? "https" : "http");
        } else if (!l->wanted && !l->closing) {
            for (unsigned i = 0; i < g->worker_count; i++)
                worker_unlisten(g->workers[i], l->id);
            l->closing = true;
            log_info("gateway", "no longer listening on %s", l->text);
        }
    }
}

/* Listeners told to close in an earlier load are out of every thread's hands:
 * their numbers may be used again. */
static void forget_closed(struct gateway *g)
{
    struct listener **at = &g->listeners, *l;

    while ((l = *at)) {
        if (!l->closing) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        x_free((char *)(uintptr_t)l->conf_text.p);
        x_free(l);
    }
}

static void publish(struct gateway *g, struct snapshot *s)
{
    struct snapshot *old = atomic_load(&g->snapshot);
    struct api *api, *next;

    s->number = ++g->number;
    for (api = g->apis; api; api = api->next)
        atomic_store_explicit(&api->retired, !api->in_use,
                              memory_order_relaxed);
    atomic_store(&g->snapshot, s);
    if (old)
        retire_snapshot(g, old);
    for (api = g->apis; api; api = next) {
        next = api->next;
        if (!api->in_use)
            retire_api(g, api);
    }
    g->apis = NULL;
    for (size_t i = 0; i < s->api_count; i++) {
        s->apis[i]->next = g->apis;
        g->apis = s->apis[i];
    }
}

static void warn_loud(const struct settings *s)
{
    if (s->gateway.security_off)
        log_warn("gateway", "security is off: every operation is open to "
                            "anybody; for development only");
    for (size_t i = 0; i < s->gateway.ignore.count; i++)
        log_warn("gateway", "gateway.ignore: %.*s is not enforced",
                 STR_ARG(s->gateway.ignore.items[i]));
    if (s->gateway.outbound.tls.insecure)
        log_warn("gateway", "outbound.tls.insecure: certificates of issuers "
                            "and the like are not verified");
    if (s->gateway.upstreams.tls.insecure)
        log_warn("gateway", "upstreams.tls.insecure: certificates of "
                            "backends are not verified");
}

/* Settings that a running process cannot change. */
static void warn_fixed(const struct gateway *g, const struct settings *s,
                       struct problems *ps)
{
    const struct snapshot *now =
        atomic_load(&((struct gateway *)(uintptr_t)g)->snapshot);
    const struct gateway_conf *old, *new = &s->gateway;
    const char *name = NULL;

    if (!now)
        return;
    old = &now->settings->gateway;
    if (new->threads &&new->threads != g->worker_count)
        name = "threads";
    else if (!str_eq(new->user, old->user))
        name = "user";
    else if (!str_eq(new->admin.address, old->admin.address))
        name = "admin.address";
    else if (!str_eq(new->upstreams.dns.servers, old->upstreams.dns.servers))
        name = "upstreams.dns.servers";
    else if (new->authentication.dpop.replays !=
             old->authentication.dpop.replays)
        name = "authentication.dpop.replays";
    if (name)
        problem_warn(ps, s->file, 0,
                     "gateway.%s: takes effect at the next start", name);
}

static void set_private(struct gateway *g, const struct settings *s)
{
    struct address a;

    if (g->admin)
        a = g->admin->address; /* with the port the kernel chose */
    else if (sock_parse(s->gateway.admin.address, &a))
        return;
    if (a.sa.ss_family != AF_UNIX)
        upstreams_set_private(
            g->upstreams, ntohs(((const struct sockaddr_in *)&a.sa)->sin_port));
}

/* Where requests of our own must not lead. */
static void tell_own(struct gateway *g)
{
    struct address all[64];
    size_t n = 0;

    if (g->admin)
        all[n++] = g->admin->address;
    for (struct listener *l = g->listeners; l && n < 64; l = l->next)
        if (!l->closing)
            all[n++] = l->address;
    outbound_set_own(all, n);
}

enum err gateway_load(struct gateway *g, struct arena *a,
                      const struct settings *s, struct problems *ps)
{
    struct otlp_target *spans;
    struct snapshot *snapshot;

    if (!g->upstreams)
        g->upstreams = upstreams_new(g->main, s->gateway.upstreams.dns.servers,
                                     s->gateway.upstreams.dns.timeout_ms);
    if (!g->counters && open_counters(g, s, ps))
        return ERR_IO;
    if (!g->worker_count)
        make_workers(g, s);
    if (open_events(g, s, ps) || open_spans(g, s, ps, &spans)) {
        g->loads_failed++;
        return ERR_INVALID;
    }
    warn_fixed(g, s, ps);
    set_private(g, s);
    forget_closed(g);
    snapshot = load_snapshot(g, a, s, ps);
    if (!snapshot || (!g->started && admin_open(g, s, ps))) {
        otlp_target_free(spans);
        g->loads_failed++;
        return ERR_INVALID;
    }
    upstreams_resolve_now(g->upstreams, 2000);
    set_ceilings(g, s);
    for (unsigned i = 0; i < g->worker_count; i++)
        loop_set_spin(g->workers[i]->loop, (uint32_t)s->gateway.spin);
    publish(g, snapshot);
    if (g->otlp)
        otlp_use(g->otlp, spans);
    if (g->events)
        events_use(g->events, &s->gateway.events, g->credentials->outbound,
                   s->file);
    if (!g->started)
        for (unsigned i = 0; i < g->worker_count; i++)
            worker_start(g->workers[i]);
    g->started = true;
    watch_listeners(g);
    tell_own(g);
    close_inherited(g);
    g->loads_ok++;
    g->last_load_s = (double)clock_wall_us() / 1e6;
    warn_loud(s);
    malloc_trim(0);
    return ERR_OK;
}

void gateway_set_rights(void (*raise)(bool on))
{
    endpoint_rights = raise;
}

const char *gateway_address(const struct gateway *g, char kind, size_t i)
{
    if (kind == 'a')
        return i == 0 && g->admin ? g->admin->text : NULL;
    for (const struct listener *l = g->listeners; l; l = l->next)
        if (!l->closing && l->tls == (kind == 's') && i-- == 0)
            return l->text;
    return NULL;
}

/* An upgrade */

void gateway_inherit(struct gateway *g, struct str kind, struct str key, int fd)
{
    struct inherited *i = x_new(sizeof(*i)), **last = &g->inherited;

    i->kind = x_strdup(kind);
    i->key = x_strdup(key);
    i->fd = fd;
    while (*last)
        last = &(*last)->next;
    *last = i;
}

enum err gateway_give_sockets(struct gateway *g,
                              enum err (*give)(void *arg, const char *kind,
                                               struct str key, int fd),
                              void *arg)
{
    enum err e = ERR_OK;

    for (struct listener *l = g->listeners; l && !e; l = l->next) {
        l->taken = false;
        for (unsigned i = 0; i < l->fd_count && !l->closing && !e; i++)
            e = give(arg, "listener", l->conf_text, l->fds[i]);
    }
    if (g->admin && !e) {
        g->admin->taken = false;
        e = give(arg, "admin", g->admin->conf_text, g->admin->fds[0]);
    }
    return e;
}

void gateway_taken(struct gateway *g, struct str key)
{
    for (struct listener *l = g->listeners; l; l = l->next)
        if (str_eq(l->conf_text, key))
            l->taken = true;
    if (g->admin && str_eq(g->admin->conf_text, key))
        g->admin->taken = true;
}

static uint64_t drain_ms(const struct gateway *g)
{
    const struct snapshot *s =
        atomic_load(&((struct gateway *)(uintptr_t)g)->snapshot);

    return s ? s->settings->gateway.timeouts.drain_ms : 0;
}

void gateway_stop_accepting(struct gateway *g)
{
    for (unsigned i = 0; i < g->worker_count; i++) {
        for (const struct listener *l = g->listeners; l; l = l->next)
            if (l->taken)
                worker_rest(g->workers[i], l->id);
        worker_leave(g->workers[i]);
    }
    if (g->admin && g->admin->taken)
        admin_watch(g, false);
    g->drain_until_ms = loop_now_ms(g->main) + drain_ms(g);
}

void gateway_accept_again(struct gateway *g)
{
    for (unsigned i = 0; i < g->worker_count; i++)
        worker_wake(g->workers[i]);
    admin_watch(g, true);
}

/* The end */

static bool spans_left(struct gateway *g)
{
    uint64_t now = loop_now_ms(g->main);

    if (!g->otlp)
        return false;
    if (!g->spans_until_ms)
        g->spans_until_ms = now + SPANS_MS;
    otlp_flush(g->otlp);
    return otlp_busy(g->otlp) && now < g->spans_until_ms;
}

static void look_drained(struct timer *t)
{
    struct gateway *g =
        (struct gateway *)((char *)t - offsetof(struct gateway, drain_timer));
    uint64_t now = loop_now_ms(g->main);
    uint32_t open = 0;

    for (unsigned i = 0; i < g->worker_count; i++)
        open += atomic_load(&g->workers[i]->conns.shared_count);
    /* Of calls that just ended; a collector in trouble is not waited for. */
    if (!open && spans_left(g)) {
        timer_set(g->main, t, now + 20);
        return;
    }
    if (open && !g->goodbye && now + GOODBYE_MS >= g->drain_until_ms) {
        g->goodbye = true;
        for (unsigned i = 0; i < g->worker_count; i++)
            worker_goodbye(g->workers[i]);
    }
    if (open && now < g->drain_until_ms) {
        timer_set(g->main, t, now + 20);
        return;
    }
    if (open)
        log_warn("gateway", "%u connections did not end in time", open);
    g->drained(g->drained_arg);
}

void gateway_leave(struct gateway *g, void (*done)(void *arg), void *arg)
{
    if (g->draining)
        return;
    g->draining = true;
    g->drained = done;
    g->drained_arg = arg;
    for (unsigned i = 0; i < g->worker_count; i++)
        worker_forget(g->workers[i]);
    g->drain_timer.fire = look_drained;
    timer_set(g->main, &g->drain_timer, loop_now_ms(g->main) + 50);
}

void gateway_drain(struct gateway *g, void (*done)(void *arg), void *arg)
{
    if (g->draining)
        return;
    g->draining = true;
    g->drained = done;
    g->drained_arg = arg;
    g->drain_until_ms = loop_now_ms(g->main) + drain_ms(g);
    for (unsigned i = 0; i < g->worker_count; i++)
        worker_drain(g->workers[i]);
    g->drain_timer.fire = look_drained;
    /* A moment for the threads to take what is queued. */
    timer_set(g->main, &g->drain_timer, loop_now_ms(g->main) + 50);
}

static void stop_workers(struct gateway *g)
{
    for (unsigned i = 0; i < g->worker_count; i++) {
        if (!g->started)
            break;
        worker_close_all(g->workers[i]);
        loop_stop(g->workers[i]->loop);
    }
    for (unsigned i = 0; i < g->worker_count && g->started; i++)
        pthread_join(g->workers[i]->thread, NULL);
}

void gateway_free(struct gateway *g)
{
    struct snapshot *s = atomic_load(&g->snapshot);
    struct access_file *log = s ? access_file_ref(s->log_file) : NULL;
    struct api *api;

    stop_workers(g);
    slow_free(g->slow);
    for (unsigned i = 0; i < g->worker_count; i++)
        loop_finish(g->workers[i]->loop);
    admin_close(g);
    if (g->upstreams)
        upstreams_end(g->upstreams);
    keysets_end(g->keysets);
    loop_settle(g->main);
    reclaim_all(g);
    for (unsigned i = 0; i < g->worker_count; i++)
        worker_free(g->workers[i]);
    if (log) {
        access_file_flush(log, 2000);
        access_file_unref(log);
    }
    if (s)
        snapshot_free(g, s);
    while ((api = g->apis)) {
        g->apis = api->next;
        api_free(api, g->upstreams);
    }
    upstreams_free(g->upstreams);
    forget_closed(g);
    close_inherited(g);
    for (struct listener *l; (l = g->listeners);) {
        g->listeners = l->next;
        x_free((char *)(uintptr_t)l->conf_text.p);
        x_free(l);
    }
    admission_free(g->admission);
    attempts_free(g->attempts);
    replays_free(g->replays);
    explain_ring_close(g->explain);
    credentials_unref(g->credentials);
    keysets_free(g->keysets);
    outbound_set_own(NULL, 0);
    policies_unref(g->policies);
    watched_close(&g->deny);
    watched_close(&g->countries);
    counters_close(g->counters);
    otlp_free(g->otlp);
    events_close(g->events, EVENTS_CLOSE_MS);
    timer_clear(&g->drain_timer);
    timer_clear(&g->memory_timer);
    timer_clear(&g->files_timer);
    timer_clear(&g->counters_timer);
    x_free(g->slots);
    x_free(g->version);
    x_free(g->commit);
    x_free(g);
}

/* tollgate config check */

static void describe_demand(struct buf *text, const struct oas_demand *d)
{
    (void)buf_printf(text, "%.*s (%.*s", STR_ARG(d->scheme->name),
                     STR_ARG(d->scheme->type));
    for (size_t i = 0; i < d->scope_count; i++)
        (void)buf_printf(text, "%s%.*s",
                         i              ? ", "
                         : d->any_scope ? ", any scope of "
                                        : ", scopes ",
                         STR_ARG(d->scopes[i]));
    (void)buf_char(text, ')');
}

static bool is_open(const struct oas_operation *o, const struct settings *s)
{
    for (size_t i = 0; i < o->security_count; i++)
        if (!o->security[i].count)
            return true;
    return !o->security_count && !auth_default(o, &s->gateway);
}

/* Their names; of what an operation asks for, and its API. */
static void describe_claims(struct buf *text, const struct openapi *doc,
                            const struct api_conf *entry,
                            const struct oas_operation *o)
{
    const struct oas_claims *lists[] = { &doc->claims, &o->claims };
    const struct claim_conf *c = entry->claims.items;
    const char *before = ", with claims ";

    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < lists[i]->count; k++, before = ", ")
            (void)buf_printf(text, "%s%.*s", before,
                             STR_ARG(lists[i]->items[k].name));
    for (size_t i = 0; i < entry->claims.count; i++, before = ", ")
        (void)buf_printf(text, "%s%.*s", before, STR_ARG(c[i].claim));
}

static void describe_op(struct buf *text, const struct openapi *doc,
                        const struct api_conf *entry,
                        const struct oas_operation *o, const struct settings *s)
{
    const struct oas_scheme *by_default = auth_default(o, &s->gateway);

    (void)buf_printf(text, "    %-7.*s %.*s  ", STR_ARG(o->method),
                     STR_ARG(o->path));
    if (by_default)
        (void)buf_printf(text, "requires %.*s (%.*s, by default_security)",
                         STR_ARG(by_default->name), STR_ARG(by_default->type));
    else if (!o->security_count)
        (void)buf_z(text,
                    o->security_disabled ? "OPEN (security disabled)" : "OPEN");
    for (size_t i = 0; i < o->security_count; i++) {
        (void)buf_z(text, i ? " or " : "requires ");
        if (!o->security[i].count)
            (void)buf_z(text, "nothing: OPEN");
        for (size_t k = 0; k < o->security[i].count; k++) {
            (void)buf_z(text, k ? " and " : "");
            describe_demand(text, &o->security[i].demands[k]);
        }
    }
    if (o->security_count || by_default)
        describe_claims(text, doc, entry, o);
    (void)buf_char(text, '\n');
}

static void describe(struct buf *text, const struct openapi *doc,
                     const struct settings *s, const struct api_conf *entry)
{
    struct str upstream =
        entry->upstream.len ? entry->upstream : s->gateway.upstream;
    struct str context = entry->context.len ? entry->context : doc->context;
    size_t open = 0;

    (void)buf_printf(text, "%.*s: %.*s %.*s, %zu operations, served at %.*s%s",
                     STR_ARG(doc->file), STR_ARG(doc->title),
                     STR_ARG(doc->api_version), doc->operation_count,
                     STR_ARG(context), context.len ? "" : "/");
    if (upstream.len)
        (void)buf_printf(text, " -> %.*s", STR_ARG(upstream));
    else if (doc->production && doc->production->count)
        (void)buf_printf(text, " -> %.*s%s",
                         STR_ARG(doc->production->items[0].text),
                         doc->production->count > 1 ? ", …" : "");
    (void)buf_char(text, '\n');
    for (size_t i = 0; i < doc->operation_count; i++) {
        describe_op(text, doc, entry, &doc->operations[i], s);
        open += is_open(&doc->operations[i], s);
    }
    if (open && !s->gateway.security_off)
        (void)buf_printf(text,
                         "    %zu of %zu operations are OPEN to anybody\n",
                         open, doc->operation_count);
    if (s->gateway.security_off && open < doc->operation_count)
        (void)buf_printf(text,
                         "    security is off: %zu operations that "
                         "require something are open\n",
                         doc->operation_count - open);
}

static void free_checked(void *arg)
{
    api_free(arg, NULL);
}

static void check_document(struct arena *a, struct str path,
                           const struct settings *s,
                           const struct api_conf *entry,
                           struct credentials *credentials,
                           struct policies *policies, struct router *router,
                           struct buf *text, struct problems *ps)
{
    struct arena *scratch = arena_new();
    struct openapi *doc;
    struct api *api = NULL, *other;

    enum err e = entry->answer
                     ? apikey_issuer_load(a, scratch, &s->gateway, ps, &doc)
                     : openapi_load(a, scratch, &oas_files, path, ps, &doc);

    if (e == ERR_OK) {
        describe(text, doc, s, entry);
        if (api_compile(doc, entry, &s->gateway, credentials, policies, NULL, 0,
                        ps, &api) == ERR_OK &&
            router_add(router, api->host_count ? api->hosts[0] : STR(""),
                       arena_copy(a, api->context), api, &other))
            problem_error(ps, path, 0,
                          "%.*s is served at %.*s/ already; give one of them "
                          "another `context:` under gateway.apis",
                          STR_ARG(other->file), STR_ARG(api->context));
    }
    if (api)
        arena_defer(a, free_checked, api);
    arena_free(scratch);
}

/* What a start would refuse besides documents. */
static void check_settings(const struct settings *s, struct problems *ps)
{
    const struct listener_conf *c = s->gateway.listeners.items;
    const struct tls_client_conf *own = &s->gateway.upstreams.tls;
    struct tls_context *tls = NULL;
    struct otlp_target *spans;

    for (size_t i = 0; i < s->gateway.listeners.count; i++, c++) {
        if (!c->tls.certificate.len)
            continue;
        if (!tls_server_new(&c->tls, STR_NULL, s->file, ps, &tls))
            tls_context_unref(tls);
    }
    if (own->ca.len || own->pin.len || own->certificate.len)
        if (!tls_client_new(own, STR_NULL, s->file, ps, &tls))
            tls_context_unref(tls);
    if (s->gateway.tracing.otlp.url.len &&
        !otlp_target_new(&s->gateway.tracing.otlp, &s->gateway.outbound,
                         STR(""), s->file, ps, &spans))
        otlp_target_free(spans);
    if (s->gateway.access_log.file.len)
        access_log_format_free(access_log_format_new(
            s->gateway.access_log.format, ps, s->file, 0));
}

enum err gateway_check(struct arena *a, const struct settings *s,
                       struct buf *text, struct problems *ps)
{
    const struct api_conf *entry = s->gateway.apis.items;
    struct arena *apis; /* has what holds on to credentials */
    struct router *router;
    struct keysets *keysets = keysets_new(NULL, NULL, NULL);
    struct credentials *credentials;
    struct policies *policies;
    struct watched deny = { 0 }, countries = { 0 };

    check_settings(s, ps);
    (void)countries_open(s, ps, &countries);
    (void)denials_open(a, s, ps, &deny);
    watched_close(&deny);
    watched_close(&countries);
    if (credentials_new(s, keysets, false, ps, &credentials)) {
        keysets_free(keysets);
        return ERR_INVALID;
    }
    if (policies_new(s, NULL, ps, &policies)) {
        credentials_unref(credentials);
        keysets_free(keysets);
        return ERR_INVALID;
    }
    apis = arena_new();
    router = router_new(apis);
    for (size_t i = 0; i < s->gateway.apis.count; i++, entry++) {
        struct conf_strings files = { 0 };

        if (openapi_find(a, entry->path, ps, &files))
            continue;
        for (size_t k = 0; k < files.count; k++)
            check_document(apis, files.items[k], s, entry, credentials,
                           policies, router, text, ps);
    }
    if (s->gateway.apikey_issuer.enabled)
        check_document(apis, apikey_issuer_entry.path, s, &apikey_issuer_entry,
                       credentials, policies, router, text, ps);
    arena_free(apis);
    credentials_unref(credentials);
    keysets_free(keysets);
    policies_unref(policies);
    return ps->errors ? ERR_INVALID : ERR_OK;
}
