/* load.c - from settings to a snapshot: all of it, or nothing.
 *
 * An API whose files and settings did not change is taken over from the
 * snapshot in use, compiled as it is, so a reload costs what has changed.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/log.h"
#include "base/map.h"
#include "format/conf_read.h"
#include "gateway/apikey_issuer.h"
#include "gateway/deny/denials.h"
#include "gateway/exchange.h"
#include "gateway/gateway_internal.h"

struct load {
    struct gateway *g;
    struct arena *a;
    const struct settings *s;
    struct problems *ps;
    struct snapshot *out;
    struct map *by_file; /* path of a document: struct api in use */
    uint64_t conf_content;
    struct credentials *credentials;
    struct policies *policies;
    struct watched deny, countries;
    size_t capacity;
    bool reopen; /* the log file, once all is well */
};

static uint64_t hash_file(uint64_t h, struct str path)
{
    struct arena *a = arena_new();
    struct str text;

    if (path.len && !oas_files.read(oas_files.arg, a, path, &text))
        h = hash_content(h, text.p, text.len);
    arena_free(a);
    return h;
}

static uint64_t hash_tls(uint64_t h, const struct tls_client_conf *c)
{
    h = hash_file(h, c->ca);
    h = hash_file(h, c->certificate);
    return hash_file(h, c->key);
}

/* Files that credentials are read from once. (Keys of issuers are looked after
 * by themselves.) */
static uint64_t credential_files(uint64_t h, const struct gateway_conf *g)
{
    const struct introspection_conf *c = g->introspection.items;

    for (size_t i = 0; i < g->introspection.count; i++, c++) {
        h = hash_file(h, c->client_secret_file);
        h = hash_file(h, c->token_file);
        h = hash_tls(h, &c->tls);
    }
    h = hash_file(h, g->api_keys.key);
    h = hash_file(h, g->authentication.certificate_ca);
    return hash_tls(h, &g->outbound.tls);
}

/* What, besides its files, decides how an API compiles. */
static uint64_t conf_content(const struct settings *s)
{
    struct settings copy = *s;
    struct buf b;
    uint64_t h;

    copy.file = copy.state_dir = STR_NULL;
    copy.gateway.listeners.count = copy.gateway.apis.count = 0;
    copy.gateway.access_log.file = STR_NULL;
    copy.gateway.access.deny_file = STR_NULL;
    copy.gateway.access.country_file = STR_NULL;
    copy.gateway.events = (struct events_conf) { .to = EVENTS_OFF };
    copy.gateway.tracing = (struct tracing_conf) { .propagation = TRACE_PASS };
    buf_init(&b, 4 << 20);
    (void)conf_show(&b, settings_fields, &copy, 0);
    h = hash_content(HASH_CONTENT_START, b.p, b.len);
    buf_done(&b);
    return credential_files(h, &s->gateway);
}

static uint64_t hash_strings(uint64_t h, const struct conf_strings *all)
{
    h = hash_content(h, "#", 1);
    for (size_t i = 0; i < all->count; i++) {
        h = hash_content(h, "|", 1);
        h = hash_content(h, all->items[i].p, all->items[i].len);
    }
    return h;
}

static uint64_t hash_claims(uint64_t h, const struct conf_list *all)
{
    const struct claim_conf *c = all->items;

    for (size_t i = 0; i < all->count; i++, c++) {
        struct str texts[] = { c->claim, c->equals, c->contains, c->matches };

        h = hash_strings(h, &(struct conf_strings) { texts, 4 });
        h = hash_strings(h, &c->one_of);
    }
    return h;
}

static uint64_t entry_content(uint64_t h, const struct api_conf *e)
{
    h = hash_content(h, e->context.p, e->context.len);
    h = hash_content(h, "|", 1);
    h = hash_content(h, e->upstream.p, e->upstream.len);
    h = hash_strings(h, &e->hosts);
    h = hash_strings(h, &e->issuers);
    h = hash_strings(h, &e->certificates);
    h = hash_content(h, e->tier.p, e->tier.len);
    h = hash_claims(h, &e->claims);
    h = hash_content(h, &e->max_tps, sizeof(e->max_tps));
    return hash_content(h, e->default_version ? "d" : "-", 1);
}

/* Hash over the files an API was made of, as openapi_load() makes it. */
static enum err files_content(const struct api *api, uint64_t *out)
{
    uint64_t h = HASH_CONTENT_START;

    for (size_t i = 0; i < api->file_count; i++) {
        struct arena *a = arena_new();
        struct str text;
        enum err e = oas_files.read(oas_files.arg, a, api->files[i], &text);

        if (!e)
            h = hash_content(h, text.p, text.len);
        arena_free(a);
        if (e)
            return e;
    }
    *out = h;
    return ERR_OK;
}

/* Those in use, when no setting has changed. */
static void load_credentials(struct load *l)
{
    struct gateway *g = l->g;

    if (g->credentials && g->credentials_content == l->conf_content)
        l->credentials = credentials_ref(g->credentials);
    else
        (void)credentials_new(l->s, g->keysets, true, l->ps, &l->credentials);
    if (g->policies && g->credentials_content == l->conf_content)
        l->policies = policies_ref(g->policies);
    else
        (void)policies_new(l->s, g->counters, l->ps, &l->policies);
}

/* From now on these are in use. */
static void keep_credentials(struct load *l)
{
    struct gateway *g = l->g;

    l->out->credentials = credentials_ref(l->credentials);
    policies_unref(g->policies);
    g->policies = l->policies;
    credentials_unref(g->credentials);
    g->credentials = l->credentials;
    g->credentials_content = l->conf_content;
    attempts_set_limit(g->attempts, g->credentials->conf.failures,
                       g->credentials->conf.window_ms);
}

static void keep_rules(struct load *l)
{
    void *old;

    denials_use(l->s);
    watched_take(&l->g->countries, &l->countries, &old);
    if (old)
        retire_thing(l->g, l->countries.kind->free, old);
    watched_take(&l->g->deny, &l->deny, &old);
    if (old)
        retire_thing(l->g, l->deny.kind->free, old);
}

static struct api *unchanged(struct load *l, struct str path, uint64_t entry)
{
    struct api *api = map_get(l->by_file, path);
    uint64_t now;

    if (!api || api->in_use || api->entry_content != entry ||
        files_content(api, &now) || now != api->content)
        return NULL;
    return api;
}

/* What it was made of; the gateway's own document is in no file. */
static void keep_files(struct api *api, const struct openapi *doc)
{
    api->files = arena_alloc(api->arena, doc->file_count * sizeof(*api->files));
    api->file_count = doc->file_count;
    for (size_t i = 0; i < doc->file_count; i++)
        api->files[i] = arena_copy(api->arena, doc->files[i]);
}

static enum err load_document(struct load *l, struct arena *model,
                              struct arena *scratch, struct str path,
                              const struct api_conf *entry,
                              struct openapi **out)
{
    return entry->answer
               ? apikey_issuer_load(model, scratch, &l->s->gateway, l->ps, out)
               : openapi_load(model, scratch, &oas_files, path, l->ps, out);
}

static struct api *compile(struct load *l, struct str path,
                           const struct api_conf *entry, uint64_t content)
{
    struct arena *model = arena_new(), *scratch = arena_new();
    struct openapi *doc = NULL;
    struct api *api = NULL;

    if (load_document(l, model, scratch, path, entry, &doc) == ERR_OK &&
        api_compile(doc, entry, &l->s->gateway, l->credentials, l->policies,
                    l->g->upstreams, doc->content, l->ps, &api) == ERR_OK) {
        api->entry_content = content;
        if (entry->answer)
            api->content = HASH_CONTENT_START;
        else
            keep_files(api, doc);
        api->slot = slot_take(l->g, api);
        api->fresh = true;
    }
    arena_free(scratch);
    arena_free(model);
    return api;
}

static void serve_at(struct load *l, struct api *api, struct str context)
{
    struct api *other = NULL;
    size_t n = api->host_count ? api->host_count : 1;

    for (size_t i = 0; i < n; i++) {
        struct str host = api->host_count ? api->hosts[i] : STR("");

        if (router_add(l->out->router, host, context, api, &other) == ERR_OK)
            continue;
        problem_error(l->ps, api->file, 0,
                      "%.*s is served at %.*s%s already; give one of them "
                      "another `context:` or `hosts:` under gateway.apis, or "
                      "leave one out",
                      STR_ARG(other->file), STR_ARG(host),
                      context.len ? "" : "/");
        return;
    }
}

static void add_document(struct load *l, struct str path,
                         const struct api_conf *entry)
{
    uint64_t content = entry_content(l->conf_content, entry);
    struct api *api = unchanged(l, path, content);
    struct snapshot *out = l->out;

    if (!api)
        api = compile(l, path, entry, content);
    if (!api)
        return;
    if (out->api_count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        out->apis = x_resize(out->apis, l->capacity * sizeof(*out->apis));
    }
    api->in_use = true;
    out->apis[out->api_count++] = api;
    out->operation_count += api->op_count;
    for (size_t i = 0; i < api->op_count; i++)
        out->open_count += api->ops[i].open;
    serve_at(l, api, api->context);
    if (api->has_unversioned)
        serve_at(l, api, api->context_unversioned);
}

static void load_apis(struct load *l)
{
    const struct api_conf *entry = l->s->gateway.apis.items;

    l->by_file = map_new(NULL);
    for (struct api *api = l->g->apis; api; api = api->next) {
        api->in_use = false;
        map_set(l->by_file, api->file, api);
    }
    for (size_t i = 0; i < l->s->gateway.apis.count; i++, entry++) {
        struct conf_strings files = { 0 };

        if (openapi_find(l->a, entry->path, l->ps, &files))
            continue;
        for (size_t k = 0; k < files.count; k++)
            add_document(l, files.items[k], entry);
    }
    if (l->s->gateway.apikey_issuer.enabled)
        add_document(l, apikey_issuer_entry.path, &apikey_issuer_entry);
    map_free(l->by_file);
}

/* Listeners */

/* What makes a listener the same as one before: its address. Port 0 means
 * another port each time it is written, so there the place counts too. */
static struct str listener_key(struct arena *a, const struct settings *s,
                               size_t at)
{
    const struct listener_conf *c = s->gateway.listeners.items;
    unsigned nth = 0;

    if (!str_ends(c[at].address, STR(":0")))
        return c[at].address;
    for (size_t i = 0; i < at; i++)
        nth += str_eq(c[i].address, c[at].address);
    return arena_printf(a, "%.*s#%u", STR_ARG(c[at].address), nth);
}

static struct listener *find_listener(struct gateway *g, struct str conf_text)
{
    for (struct listener *l = g->listeners; l; l = l->next)
        if (!l->closing && str_eq(l->conf_text, conf_text))
            return l;
    return NULL;
}

static void close_sockets(struct listener *l)
{
    while (l->fd_count)
        close(l->fds[--l->fd_count]);
}

int take_inherited(struct gateway *g, const char *kind, struct str key)
{
    for (struct inherited **at = &g->inherited, *i; (i = *at); at = &i->next) {
        int fd = i->fd;

        if (strcmp(i->kind, kind) != 0 || !str_is(key, i->key))
            continue;
        *at = i->next;
        x_free(i->kind);
        x_free(i->key);
        x_free(i);
        return fd;
    }
    return -1;
}

void close_inherited(struct gateway *g)
{
    struct inherited *i;

    while ((i = g->inherited)) {
        g->inherited = i->next;
        close(i->fd);
        x_free(i->kind);
        x_free(i->key);
        x_free(i);
    }
}

static enum err open_sockets(struct gateway *g, struct listener *l,
                             struct str text, struct str file,
                             struct problems *ps)
{
    unsigned wanted = g->worker_count;
    int fd;

    if (sock_parse(text, &l->address)) {
        problem_error(ps, file, 0,
                      "\"%.*s\" is no address to listen on; write HOST:PORT "
                      "or :PORT",
                      STR_ARG(text));
        return ERR_INVALID;
    }
    while (l->fd_count < THREADS_MAX &&
           (fd = take_inherited(g, "listener", l->conf_text)) >= 0)
        l->fds[l->fd_count++] = fd;
    if (l->address.sa.ss_family == AF_UNIX)
        wanted = 1;  /* one socket is all a path can have */
    if (l->fd_count) /* as many as there are: none is closed, none added */
        wanted = l->fd_count;
    while (l->fd_count < wanted) {
        if (sock_listen(&l->address, 4096, l->fd_count == 0, &fd)) {
            problem_error(ps, file, 0,
                          "cannot listen on %.*s: %s; is another program "
                          "there? Choose another address",
                          STR_ARG(text), strerrordesc_np(errno));
            close_sockets(l);
            return ERR_IO;
        }
        l->fds[l->fd_count++] = fd;
        sock_local(fd, &l->address); /* the port of the first */
    }
    sock_local(l->fds[0], &l->address);
    address_format((const struct sockaddr *)&l->address.sa, l->text,
                   sizeof(l->text), true);
    return ERR_OK;
}

/* The number of a listener that has gone, or a new one. */
static uint32_t free_id(struct gateway *g)
{
    for (uint32_t id = 0;; id++) {
        struct listener *l = g->listeners;

        while (l && l->id != id)
            l = l->next;
        if (!l) {
            if (id >= g->listener_ids)
                g->listener_ids = id + 1;
            return id;
        }
    }
}

/* Opens what is configured and not open yet. */
static enum err load_listeners(struct gateway *g, const struct settings *s,
                               struct problems *ps)
{
    const struct listener_conf *c = s->gateway.listeners.items;
    enum err e = ERR_OK;

    for (size_t i = 0; i < s->gateway.listeners.count && !e; i++, c++) {
        struct str key = listener_key(ps->arena, s, i);
        struct listener *l = find_listener(g, key), **last;

        if (l)
            continue;
        l = x_new(sizeof(*l));
        l->conf_text = str_z(x_strdup(key));
        e = open_sockets(g, l, c->address, s->file, ps);
        if (e) {
            x_free((char *)(uintptr_t)l->conf_text.p);
            x_free(l);
            break;
        }
        l->id = free_id(g);
        for (last = &g->listeners; *last;)
            last = &(*last)->next;
        *last = l;
    }
    return e;
}

/* Opened for a configuration that turned out to be refused. */
static void close_unwatched(struct gateway *g)
{
    for (struct listener **at = &g->listeners, *l; (l = *at);) {
        if (l->watched) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        close_sockets(l);
        x_free((char *)(uintptr_t)l->conf_text.p);
        x_free(l);
    }
}

struct server_owner {
    struct http_server server; /* first */
    struct arena *arena;
    struct trust *trust;
    struct gateway *gateway;
};

static bool trusted(void *arg, const struct sockaddr *peer)
{
    return trust_peer(arg, peer);
}

static void conn_end(void *arg, const uint8_t ip[16], uint64_t in_bytes,
                     uint64_t out_bytes)
{
    struct metrics_thread *m = this_worker ? this_worker->metrics : NULL;

    admission_leave(((struct gateway *)arg)->admission, ip);
    if (!m)
        return; /* the process is ending */
    metrics_add(&m->connections_closed, 1);
    metrics_add(&m->bytes_received, in_bytes);
    metrics_add(&m->bytes_sent, out_bytes);
}

static void handshake_end(void *arg, bool ok)
{
    (void)arg;
    if (this_worker)
        metrics_add(ok ? &this_worker->metrics->tls_handshakes
                       : &this_worker->metrics->tls_failures,
                    1);
}

static void free_server(struct http_server *s)
{
    struct server_owner *o = (struct server_owner *)s;

    tls_context_unref(s->tls);
    arena_free(o->arena);
    x_free(o);
}

static struct tls_context *listener_tls(struct load *l,
                                        const struct listener_conf *c,
                                        const struct http_server *old)
{
    struct tls_server_conf conf = c->tls;
    struct tls_context *tls = NULL;
    char host[256] = "localhost";

    if (gethostname(host, sizeof(host) - 1))
        memcpy(host, "localhost", sizeof("localhost"));
    if (c->local_certificate && !conf.certificate.len &&
        tls_local_certificate(l->s->state_dir, str_z(host), l->ps,
                              &conf.certificate, &conf.key, l->a))
        return NULL;
    if (tls_server_new(&conf,
                       l->s->gateway.http2 ? STR("\x02h2\x08http/1.1")
                                           : STR("\x08http/1.1"),
                       l->s->file, l->ps, &tls))
        return NULL;
    if (old && old->tls &&
        tls_context_content(old->tls) == tls_context_content(tls)) {
        tls_context_unref(tls); /* nothing changed: keep the old one */
        tls = tls_context_ref(old->tls);
    }
    return tls;
}

static struct http_server *make_server(struct load *l,
                                       const struct listener_conf *c,
                                       const struct http_server *old)
{
    const struct gateway_conf *g = &l->s->gateway;
    struct server_owner *o = x_new(sizeof(*o));
    struct str bad;

    o->arena = arena_new();
    o->server = (struct http_server) {
        .refs = 1,
        .handler = &exchange_handler,
        .limits = { .head_size = g->limits.head_size,
                    .target_size = g->limits.target_size,
                    .headers = g->limits.headers,
                    .body_size = g->limits.body_size,
                    .pipelined = g->limits.pipelined,
                    .handshake_ms = g->timeouts.handshake_ms,
                    .head_ms = g->timeouts.head_ms,
                    .idle_ms = g->timeouts.idle_ms,
                    .rate_ms = g->timeouts.rate_ms,
                    .rate = g->limits.rate,
                    .streams = g->limits.streams,
                    .window = g->limits.window,
                    .linger_ms = g->timeouts.linger_ms },
        .http2 = g->http2,
        .proxy_protocol = c->proxy_protocol,
        .trusted = trusted,
        .on_free = free_server,
        .on_conn_end = conn_end,
        .on_handshake = handshake_end,
        .arg = l->g,
    };
    (void)trust_new(o->arena, g->trusted_proxies.items,
                    g->trusted_proxies.count, &o->trust, &bad);
    o->server.trusted_arg = o->trust;
    if (c->local_certificate || c->tls.certificate.len) {
        o->server.tls = listener_tls(l, c, old);
        if (!o->server.tls) {
            free_server(&o->server);
            return NULL;
        }
    }
    return &o->server;
}

/* New connections of each listener get what is configured now. Settings of
 * one that goes stay until its queue was taken. */
static void load_servers(struct load *l)
{
    const struct listener_conf *c = l->s->gateway.listeners.items;
    struct snapshot *old = atomic_load(&l->g->snapshot), *out = l->out;

    out->server_count = l->g->listener_ids;
    out->servers =
        arena_alloc(l->a, (out->server_count + 1) * sizeof(*out->servers));
    for (struct listener *k = l->g->listeners; k; k = k->next)
        k->wanted = false;
    for (size_t i = 0; i < l->s->gateway.listeners.count; i++, c++) {
        struct listener *k = find_listener(l->g, listener_key(l->a, l->s, i));
        struct http_server *was = NULL;

        if (!k)
            continue;
        if (k->wanted) {
            problem_error(l->ps, l->s->file, 0,
                          "gateway.listeners: %.*s is there twice",
                          STR_ARG(c->address));
            continue;
        }
        if (old && k->id < old->server_count)
            was = old->servers[k->id];
        k->wanted = true;
        out->servers[k->id] = make_server(l, c, was);
        k->tls = out->servers[k->id] && out->servers[k->id]->tls;
    }
    for (struct listener *k = l->g->listeners; k; k = k->next)
        if (!k->wanted && old && k->id < old->server_count &&
            old->servers[k->id])
            out->servers[k->id] = http_server_ref(old->servers[k->id]);
}

static void load_logs(struct load *l)
{
    const struct gateway_conf *g = &l->s->gateway;
    struct snapshot *old = atomic_load(&l->g->snapshot);

    if (!g->access_log.file.len)
        return;
    l->out->log_format =
        access_log_format_new(g->access_log.format, l->ps, l->s->file, 0);
    l->out->log_wants_reply =
        l->out->log_format && access_log_wants_reply(l->out->log_format);
    if (old && old->log_file &&
        str_eq(access_file_path(old->log_file), g->access_log.file)) {
        l->out->log_file = access_file_ref(old->log_file);
        l->reopen = true;
        return;
    }
    l->out->log_file =
        access_file_open(l->g->main, g->access_log.file, l->ps, l->s->file, 0);
}

static void load_rest(struct load *l)
{
    const struct gateway_conf *g = &l->s->gateway;
    struct str bad;

    if (trust_new(l->a, g->trusted_proxies.items, g->trusted_proxies.count,
                  &l->out->trusted_proxies, &bad))
        problem_error(l->ps, l->s->file, 0,
                      "gateway.trusted_proxies: \"%.*s\" is no address, range "
                      "(10.0.0.0/8) or \"unix\"",
                      STR_ARG(bad));
    if (g->via.len)
        l->out->via = arena_printf(l->a, "1.1 %.*s", STR_ARG(g->via));
    if (g->via.len)
        l->out->via_2 = arena_printf(l->a, "2.0 %.*s", STR_ARG(g->via));
    if (g->tracing.otlp.url.len || g->tracing.propagation == TRACE_W3C)
        l->out->tracing = &g->tracing;
}

/* Undoes a load that failed: what was compiled anew goes. */
static void give_up(struct load *l)
{
    for (size_t i = 0; i < l->out->api_count; i++) {
        struct api *api = l->out->apis[i];

        if (!api->fresh)
            continue;
        slot_free(l->g, api->slot);
        api_free(api, l->g->upstreams);
    }
    l->out->arena = NULL; /* the caller's */
    snapshot_free(l->g, l->out);
}

enum { OPEN_TOLD = 20 };

/* What a document leaves open is no secret to who runs it. told: of how many
 * APIs it was said already. */
static void tell_open(const struct api *api, size_t *told)
{
    enum { NAMED = 5 };
    struct buf names;
    size_t open = 0;

    buf_init(&names, 8192);
    for (size_t i = 0; i < api->op_count; i++) {
        const struct op *op = &api->ops[i];

        if (op->open && open++ < NAMED)
            (void)buf_printf(&names, "%s%.*s %.*s", names.len ? ", " : "",
                             STR_ARG(op->method_text), STR_ARG(op->path));
    }
    if (open && (*told)++ < OPEN_TOLD)
        log_warn("load",
                 "%.*s: %zu of %zu operations are open to anybody: "
                 "%.*s%s",
                 STR_ARG(api->file), open, api->op_count,
                 STR_ARG(buf_view(&names)), open > NAMED ? ", …" : "");
    buf_done(&names);
}

struct snapshot *load_snapshot(struct gateway *g, struct arena *a,
                               const struct settings *s, struct problems *ps)
{
    struct load l = { .g = g, .a = a, .s = s, .ps = ps };
    size_t told = 0;

    l.out = x_new(sizeof(*l.out));
    l.out->arena = a;
    l.out->settings = s;
    l.out->router = router_new(a);
    l.conf_content = conf_content(s) ^ policies_content(s);
    load_rest(&l);
    (void)countries_open(s, ps, &l.countries);
    (void)denials_open(a, s, ps, &l.deny);
    load_credentials(&l);
    if (l.credentials && l.policies)
        load_apis(&l);
    load_logs(&l);
    /* Sockets last: nothing is opened for a configuration that is refused. */
    if (!ps->errors && load_listeners(g, s, ps) == ERR_OK)
        load_servers(&l);
    if (ps->errors) {
        close_unwatched(g);
        give_up(&l);
        credentials_unref(l.credentials);
        policies_unref(l.policies);
        watched_close(&l.deny);
        watched_close(&l.countries);
        return NULL;
    }
    for (size_t i = 0; i < l.out->api_count; i++) {
        if (l.out->apis[i]->fresh && !s->gateway.security_off)
            tell_open(l.out->apis[i], &told);
        l.out->apis[i]->fresh = false;
    }
    if (told > OPEN_TOLD)
        log_warn("load",
                 "%zu more APIs have operations that are open to "
                 "anybody: `tollgate config check` names them",
                 told - OPEN_TOLD);
    keep_credentials(&l);
    keep_rules(&l);
    if (l.reopen)
        access_file_reopen(l.out->log_file);
    return l.out;
}

void snapshot_free(struct gateway *g, struct snapshot *s)
{
    (void)g;
    for (size_t i = 0; i < s->server_count; i++)
        http_server_unref(s->servers[i]);
    access_file_unref(s->log_file);
    credentials_unref(s->credentials);
    access_log_format_free(s->log_format);
    x_free(s->apis);
    arena_free(s->arena);
    x_free(s);
}
