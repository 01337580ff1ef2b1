/* upstreams.c - the registry of endpoints, names and active checks.
 *
 * A key says all that makes two endpoints the same: origin and the settings
 * that shape its connections. New settings make a new endpoint; the old one
 * goes when the last compiled API that names it has gone.
 */
#include "gateway/upstream/upstreams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/map.h"
#include "gateway/upstream/check.h"
#include "net/sock.h"

enum { RETRY_RESOLVE_MS = 5000 };

struct retired { /* old addresses, kept until no turn can use them */
    struct addresses *addresses;
    uint64_t at_ms;
    struct retired *next;
};

struct upstreams {
    struct loop *main;
    struct dns *dns;
    struct timer timer; /* names to look up again, old addresses to free */
    struct endpoint *first;
    struct map *by_key;
    struct loop *loops[THREADS_MAX];
    unsigned loop_count;
    bool ended; /* no thread is left */
    struct retired *retired;
    struct leaving *leaving;
    uint64_t dns_timeout_ms;
    char *dns_servers;
    uint16_t private_port;
    uint64_t address_sets; /* made so far */
};

/* Freed 10 s later: a loop's turn takes milliseconds. */
enum { RETIRE_MS = 10000 };

static bool same_ip(const struct address *a, const char *text)
{
    struct address b;

    if (address_numeric(str_z(text), 0, &b) ||
        a->sa.ss_family != b.sa.ss_family)
        return false;
    if (a->sa.ss_family == AF_INET)
        return !memcmp(&((const struct sockaddr_in *)&a->sa)->sin_addr,
                       &((const struct sockaddr_in *)&b.sa)->sin_addr, 4);
    return !memcmp(&((const struct sockaddr_in6 *)&a->sa)->sin6_addr,
                   &((const struct sockaddr_in6 *)&b.sa)->sin6_addr, 16);
}

static bool is_local(const struct address *a)
{
    const struct sockaddr_in *v4 = (const void *)&a->sa;
    const struct sockaddr_in6 *v6 = (const void *)&a->sa;

    if (a->sa.ss_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127 ||
               v4->sin_addr.s_addr == 0;
    return a->sa.ss_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
            IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr));
}

static uint16_t port_of(const struct address *a)
{
    return a->sa.ss_family == AF_UNIX
               ? 0
               : ntohs(((const struct sockaddr_in *)&a->sa)->sin_port);
}

/* Where no call goes, whatever a document or a name server says: the metadata
 * services of clouds, link-local addresses (most of them are there), and our
 * own private listener. */
static const char *forbidden(const struct upstreams *u, const struct address *a)
{
    static const char *const metadata[] = { "169.254.169.254",
                                            "100.100.100.200", "192.0.0.192",
                                            "fd00:ec2::254", NULL };
    const struct sockaddr_in *v4 = (const void *)&a->sa;
    const struct sockaddr_in6 *v6 = (const void *)&a->sa;

    for (int i = 0; metadata[i]; i++)
        if (same_ip(a, metadata[i]))
            return "a metadata service";
    if (a->sa.ss_family == AF_INET &&
        ntohl(v4->sin_addr.s_addr) >> 16 == 0xa9fe)
        return "a link-local address";
    if (a->sa.ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
        return "a link-local address";
    if (u->private_port && port_of(a) == u->private_port && is_local(a))
        return "the gateway's own private listener";
    return NULL;
}

void upstreams_set_private(struct upstreams *u, uint16_t port)
{
    u->private_port = port;
}

static void set_addresses(struct upstreams *u, struct endpoint *e,
                          const struct address *items, size_t count)
{
    struct addresses *a = x_new(sizeof(*a) + count * sizeof(*items)), *old;

    a->number = ++u->address_sets;
    a->count = count;
    memcpy(a->items, items, count * sizeof(*items));
    old = atomic_exchange(&e->addresses, a);
    if (old) {
        struct retired *r = x_new(sizeof(*r));

        r->addresses = old;
        r->at_ms = loop_now_ms(u->main) + RETIRE_MS;
        r->next = u->retired;
        u->retired = r;
    }
}

static void free_retired(struct upstreams *u, bool all)
{
    struct retired **at = &u->retired, *r;

    while ((r = *at)) {
        if (!all && r->at_ms > loop_now_ms(u->main)) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        x_free(r->addresses);
        x_free(r);
    }
}

/* Names */

struct lookup {
    struct upstreams *upstreams;
    struct endpoint *endpoint;
};

static bool same_addresses(const struct addresses *a,
                           const struct dns_answer *answer)
{
    if (!a || a->count != answer->count)
        return false;
    return memcmp(a->items, answer->addresses, a->count * sizeof(*a->items)) ==
           0;
}

static void forget(struct upstreams *u, struct endpoint *e);

/* What it may use of an answer. */
static void take_answer(struct upstreams *u, struct endpoint *e,
                        const struct dns_answer *answer)
{
    struct dns_answer good = { .count = 0 };

    for (size_t i = 0; i < answer->count; i++) {
        const char *why = forbidden(u, &answer->addresses[i]);

        if (why)
            log_warn("upstream", "%.*s: the name leads to %s: not used",
                     STR_ARG(e->name), why);
        else
            good.addresses[good.count++] = answer->addresses[i];
    }
    if (!same_addresses(atomic_load(&e->addresses), &good))
        set_addresses(u, e, good.addresses, good.count);
}

static void looked_up(void *arg, const struct dns_answer *answer)
{
    struct lookup *l = arg;
    struct endpoint *e = l->endpoint;
    struct upstreams *u = l->upstreams;
    uint64_t now = loop_now_ms(u->main);

    x_free(l);
    e->resolving = false;
    if (!e->refs) {
        forget(u, e);
        return;
    }
    if (answer->err) {
        /* What was known stays; a name server's hour is no reason to stop. */
        if (!e->resolved || !atomic_load(&e->addresses))
            log_warn("upstream", "%.*s: the name cannot be resolved (%s)",
                     STR_ARG(e->name), err_name(answer->err));
        e->resolve_at_ms = now + RETRY_RESOLVE_MS;
    } else {
        take_answer(u, e, answer);
        e->resolve_at_ms = now + answer->ttl_s * 1000ull;
    }
    e->resolved = true;
}

static void resolve(struct upstreams *u, struct dns *dns, struct endpoint *e)
{
    struct lookup *l = x_new(sizeof(*l));

    l->upstreams = u;
    l->endpoint = e;
    e->resolving = true;
    dns_resolve(dns, e->host, e->port, looked_up, l);
}

static void on_timer(struct timer *t)
{
    struct upstreams *u =
        (struct upstreams *)((char *)t - offsetof(struct upstreams, timer));
    uint64_t now = loop_now_ms(u->main);
    unsigned started = 0;

    for (struct endpoint *e = u->first; e && started < 100; e = e->next) {
        if (e->resolving || !e->resolve_at_ms || e->resolve_at_ms > now ||
            !u->dns)
            continue;
        resolve(u, u->dns, e);
        started++;
    }
    free_retired(u, false);
    timer_set(u->main, t, now + 500);
}

void upstreams_resolve_now(struct upstreams *u, uint64_t max_ms)
{
    struct loop *l = NULL;
    struct dns *dns = NULL;
    uint64_t end;
    bool open;

    for (struct endpoint *e = u->first; e; e = e->next) {
        if (e->resolved || e->resolving || !e->resolve_at_ms)
            continue;
        if (!l) {
            l = loop_new();
            dns = dns_new(l, str_z(u->dns_servers), u->dns_timeout_ms);
            if (!dns)
                break;
        }
        resolve(u, dns, e);
    }
    if (!l)
        return;
    end = loop_now_ms(l) + max_ms;
    do {
        loop_turn(l, 10);
        open = false;
        for (struct endpoint *e = u->first; e; e = e->next)
            open |= e->resolving;
    } while (open && loop_now_ms(l) < end);
    dns_free(dns); /* what is open is answered with ERR_PEER */
    loop_free(l);
}

/* Making and letting go */

static struct str endpoint_key(struct arena *a, const struct url *url,
                               const struct oas_endpoint_config *config,
                               const struct upstreams_conf *conf)
{
    uint64_t h = HASH_CONTENT_START;
    const struct tls_client_conf *t = &conf->tls;
    const struct str texts[] = { t->ca,  t->pin,         t->certificate,
                                 t->key, t->server_name, conf->health.path };
    const uint64_t numbers[] = {
        conf->connect_ms,
        conf->idle_ms,
        conf->max_connections,
        conf->max_idle,
        conf->wait_ms,
        conf->suspend_ms,
        conf->suspend_max_ms,
        conf->suspend_factor,
        conf->head_size,
        conf->headers,
        conf->http2,
        conf->streams,
        conf->window,
        t->insecure,
        (uint64_t)t->min_version,
        conf->health.interval_ms,
        conf->health.timeout_ms,
        conf->health.healthy,
        conf->health.unhealthy,
        config->pool.max_active,
        config->pool.max_idle,
        config->pool.wait_ms,
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        h = hash_content(h, texts[i].p, texts[i].len);
        h = hash_content(h, "|", 1);
    }
    h = hash_content(h, numbers, sizeof(numbers));
    if (config->breaker.on)
        h = hash_content(h, &config->breaker, sizeof(config->breaker));
    return arena_printf(a, "%.*s://%.*s:%u|%016llx", STR_ARG(url->scheme),
                        STR_ARG(url->host), url->port, (unsigned long long)h);
}

static void unix_address(struct upstreams *u, struct endpoint *e,
                         struct str path)
{
    struct address a;
    struct str text = arena_printf(e->arena, "unix:%.*s", STR_ARG(path));

    if (sock_parse(text, &a) == ERR_OK)
        set_addresses(u, e, &a, 1);
    e->resolved = true;
}

static void describe(struct endpoint *e, const struct url *url)
{
    bool plain_port = url->port == (e->tls ? 443 : 80);
    const char *open = url->ipv6 ? "[" : "", *shut = url->ipv6 ? "]" : "";

    e->host = arena_copy(e->arena, url->host);
    e->port = url->port;
    if (e->unix_socket) {
        e->name = arena_printf(e->arena, "unix:%.*s", STR_ARG(url->host));
        e->authority = STR("localhost");
        return;
    }
    if (plain_port)
        e->authority =
            arena_printf(e->arena, "%s%.*s%s", open, STR_ARG(url->host), shut);
    else
        e->authority = arena_printf(e->arena, "%s%.*s%s:%u", open,
                                    STR_ARG(url->host), shut, url->port);
    e->name = arena_printf(e->arena, "%.*s://%.*s", STR_ARG(url->scheme),
                           STR_ARG(e->authority));
}

static void set_limits(struct endpoint *e,
                       const struct oas_endpoint_config *config,
                       const struct upstreams_conf *conf)
{
    e->limits = (struct http_client_limits) {
        .head_size = conf->head_size,
        .headers = conf->headers,
        .connect_ms = conf->connect_ms,
        .idle_ms = conf->idle_ms,
        .streams = conf->streams,
        .window = conf->window,
    };
    e->max_connections = config->pool.max_active ? config->pool.max_active
                                                 : conf->max_connections;
    e->max_idle =
        config->pool.max_idle ? config->pool.max_idle : conf->max_idle;
    e->wait_ms = config->pool.wait_ms ? config->pool.wait_ms : conf->wait_ms;
    e->suspend_ms = conf->suspend_ms;
    e->suspend_max_ms = conf->suspend_max_ms;
    e->suspend_factor = conf->suspend_factor ? conf->suspend_factor : 1;
    endpoint_set_breaker(e, config);
}

static enum http_wanted wanted_by(const struct url *url,
                                  const struct upstreams_conf *conf)
{
    if (str_is(url->scheme, "h2") || str_is(url->scheme, "h2c"))
        return HTTP_WANT_2;
    return str_is(url->scheme, "https") && conf->http2 ? HTTP_WANT_ALPN
                                                       : HTTP_WANT_1;
}

enum err upstreams_get(struct upstreams *u, const struct url *url,
                       const struct oas_endpoint_config *config,
                       const struct upstreams_conf *conf, struct str file,
                       uint32_t line, struct problems *ps,
                       struct endpoint **out)
{
    struct arena *a = arena_new();
    struct str key = endpoint_key(a, url, config, conf);
    struct endpoint *e = map_get(u->by_key, key);
    struct address numeric;

    if (!address_numeric(url->host, url->port, &numeric) &&
        !str_is(url->scheme, "unix") && forbidden(u, &numeric)) {
        problem_error(ps, file, line, "endpoint %.*s is %s: no calls go there",
                      STR_ARG(url->host), forbidden(u, &numeric));
        arena_free(a);
        return ERR_INVALID;
    }
    if (e) {
        arena_free(a);
        e->refs++;
        *out = e;
        return ERR_OK;
    }
    e = x_new(sizeof(*e));
    e->arena = a;
    e->key = key;
    e->refs = 1;
    e->main = u->main;
    e->tls = str_is(url->scheme, "https") || str_is(url->scheme, "h2");
    e->wanted = wanted_by(url, conf);
    e->unix_socket = str_is(url->scheme, "unix");
    describe(e, url);
    set_limits(e, config, conf);
    if (e->tls) {
        static const struct str offers[] = {
            [HTTP_WANT_1] = { "\x08http/1.1", 9 },
            [HTTP_WANT_2] = { "\x02h2", 3 },
            [HTTP_WANT_ALPN] = { "\x02h2\x08http/1.1", 12 },
        };
        enum err bad = tls_client_new(&conf->tls, offers[e->wanted], file, ps,
                                      &e->tls_context);

        if (bad) {
            x_free(e);
            arena_free(a);
            return bad;
        }
    }
    if (e->unix_socket) {
        unix_address(u, e, url->host);
    } else if (!address_numeric(url->host, url->port, &numeric)) {
        set_addresses(u, e, &numeric, 1);
        e->resolved = true;
    } else {
        e->resolve_at_ms = loop_now_ms(u->main);
    }
    map_set(u->by_key, e->key, e);
    e->next = u->first;
    u->first = e;
    if (conf->health.path.len)
        e->check = check_new(u->main, e, conf);
    *out = e;
    return ERR_OK;
}

static void free_endpoint(struct endpoint *e)
{
    for (int i = 0; i < THREADS_MAX; i++)
        free(atomic_load(&e->threads[i]));
    x_free(atomic_load(&e->addresses));
    tls_context_unref(e->tls_context);
    arena_free(e->arena);
    x_free(e);
}

/* An endpoint nobody names any more: its idle connections are closed on each
 * thread in turn, then, when all have ended, it is freed here. */
struct leaving {
    struct task task; /* first */
    struct timer timer;
    struct upstreams *upstreams;
    struct endpoint *endpoint;
    struct leaving *next;
    unsigned at;
};

static void leave_next(struct leaving *l);

static void leave_here(struct task *t)
{
    struct leaving *l = (struct leaving *)t;
    struct endpoint_thread *mine = atomic_load(&l->endpoint->threads[l->at]);

    if (mine)
        endpoint_close_idle(mine);
    l->at++;
    leave_next(l);
}

static void left(struct timer *t)
{
    struct leaving *l =
        (struct leaving *)((char *)t - offsetof(struct leaving, timer));
    struct leaving **at = &l->upstreams->leaving;
    uint32_t idle;

    if (endpoint_connections(l->endpoint, &idle) || l->endpoint->resolving) {
        timer_set(l->upstreams->main, t, loop_now_ms(l->upstreams->main) + 200);
        return;
    }
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    free_endpoint(l->endpoint);
    x_free(l);
}

/* Connections end with the turn they are closed in: a moment later nothing
 * points here. */
static void leave_last(struct task *t)
{
    struct leaving *l = (struct leaving *)t;

    timer_set(l->upstreams->main, &l->timer,
              loop_now_ms(l->upstreams->main) + 200);
}

static void leave_next(struct leaving *l)
{
    struct upstreams *u = l->upstreams;
    bool more = l->at < u->loop_count;

    l->task.run = more ? leave_here : leave_last;
    loop_post(more ? u->loops[l->at] : u->main, &l->task);
}

static void forget(struct upstreams *u, struct endpoint *e)
{
    struct leaving *l;

    if (u->ended) {
        free_endpoint(e);
        return;
    }
    l = x_new(sizeof(*l));
    l->upstreams = u;
    l->endpoint = e;
    l->timer.fire = left;
    l->next = u->leaving;
    u->leaving = l;
    leave_next(l);
}

void upstreams_put(struct upstreams *u, struct endpoint *e)
{
    struct endpoint **at = &u->first;

    must(e->refs > 0);
    if (--e->refs)
        return;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    map_remove(u->by_key, e->key);
    check_free(e->check);
    e->check = NULL;
    if (!e->resolving)
        forget(u, e); /* else looked_up() does */
}

void upstreams_set_threads(struct upstreams *u, struct loop *const *loops,
                           unsigned count)
{
    memcpy(u->loops, loops, count * sizeof(*loops));
    u->loop_count = count;
}

static void close_all(struct upstreams *u, struct endpoint *e)
{
    for (unsigned i = 0; i < u->loop_count; i++) {
        struct endpoint_thread *t = atomic_load(&e->threads[i]);

        if (!t)
            continue;
        endpoint_close_idle(t);
        while (t->busy)
            http_client_close(t->busy);
    }
}

void upstreams_end(struct upstreams *u)
{
    struct leaving *l;

    for (struct endpoint *e = u->first; e; e = e->next)
        close_all(u, e);
    for (l = u->leaving; l; l = l->next)
        close_all(u, l->endpoint);
    /* Connections end with a turn, and who is leaving goes from thread to
     * thread: as many rounds as there are threads. */
    for (unsigned k = 0; k < u->loop_count + 2; k++) {
        for (unsigned i = 0; i < u->loop_count; i++)
            loop_turn(u->loops[i], 0);
        loop_turn(u->main, 0);
    }
    u->ended = true;
    while ((l = u->leaving)) {
        u->leaving = l->next;
        timer_clear(&l->timer);
        free_endpoint(l->endpoint);
        x_free(l);
    }
}

struct endpoint *upstreams_first(const struct upstreams *u)
{
    return u->first;
}

struct upstreams *upstreams_new(struct loop *main, struct str dns_servers,
                                uint64_t dns_timeout_ms)
{
    struct upstreams *u = x_new(sizeof(*u));

    u->main = main;
    u->by_key = map_new(NULL);
    u->dns_timeout_ms = dns_timeout_ms;
    u->dns_servers = x_strdup(dns_servers);
    u->dns = dns_new(main, dns_servers, dns_timeout_ms);
    u->timer.fire = on_timer;
    timer_set(main, &u->timer, loop_now_ms(main) + 500);
    return u;
}

void upstreams_free(struct upstreams *u)
{
    struct endpoint *e;

    if (!u)
        return;
    dns_free(u->dns);
    timer_clear(&u->timer);
    while ((e = u->first)) {
        u->first = e->next;
        check_free(e->check);
        free_endpoint(e);
    }
    free_retired(u, true);
    map_free(u->by_key);
    x_free(u->dns_servers);
    x_free(u);
}
