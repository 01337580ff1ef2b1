/* fetch_origin.c - one scheme, host and port: its addresses, its connections,
 * and who waits for one.
 *
 * A name is resolved once for a burst of requests, each address is judged,
 * and what a connection is opened to is the judged address itself: a name that
 * leads elsewhere a moment later changes nothing.
 */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "http/fetch_internal.h"

enum {
    ADDRESSES_MS = 60000,   /* kept at most, whatever the records say */
    CLIENTS_MAX = 64,       /* kept idle by a fetcher, about */
    EXPECTED_STREAMS = 100, /* of one that spoke HTTP/2 before */
    RESOLVE_MS = 5000,
    HEAD_MAX = 32 * 1024,
    FIELDS_MAX = 128,
};

struct soon {
    struct task task;
    struct origin *origin; /* NULL: gone meanwhile */
};

struct origin {
    struct soon *soon; /* posted */
    struct fetcher *fetcher;
    struct origin *next;
    struct arena *arena;
    struct outbound *outbound;
    struct tls_context *tls; /* NULL: http */
    struct str host, name, authority;
    uint16_t port;
    struct http_client_limits limits;
    struct http_client *clients;
    uint32_t client_count, connecting, room;
    struct fetch *wait_first, **wait_last;
    uint32_t waiting, calling;
    struct address addresses[DNS_ADDRESSES_MAX]; /* judged, and allowed */
    size_t address_count, address_at, tries;
    uint64_t addresses_until_ms;
    uint32_t busy; /* somebody on the stack uses it */
    bool resolving, closing;
};

struct str origin_name(const struct origin *o)
{
    return o->name;
}

struct str origin_authority(const struct origin *o)
{
    return o->authority;
}

/* Those in line */

static void line_add(struct origin *o, struct fetch *q)
{
    q->state = FETCH_WAITING;
    q->next = NULL;
    q->prev = o->wait_last;
    *o->wait_last = q;
    o->wait_last = &q->next;
    o->waiting++;
}

static void line_remove(struct origin *o, struct fetch *q)
{
    *q->prev = q->next;
    if (q->next)
        q->next->prev = q->prev;
    else
        o->wait_last = q->prev;
    q->prev = NULL;
    o->waiting--;
}

/* Ends the first n in line. What they do then may bring new ones, which come
 * behind. */
static void fail_waiting(struct origin *o, uint32_t n, enum fetch_fail fail,
                         const char *text)
{
    o->busy++;
    while (n-- && o->wait_first) {
        struct fetch *q = o->wait_first;

        fetch_end(q, fail, arena_copy(q->arena, str_z(text)));
    }
    o->busy--;
}

/* Connections */

static void unlink_client(struct origin *o, struct http_client *c)
{
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->prev = NULL;
    o->client_count--;
    o->fetcher->clients--;
}

static void link_client(struct origin *o, struct http_client *c)
{
    c->next = o->clients;
    if (c->next)
        c->next->prev = &c->next;
    c->prev = &o->clients;
    o->clients = c;
    o->client_count++;
    o->fetcher->clients++;
}

/* How many of those in line the connections under way will serve. */
static uint32_t expected(const struct origin *o)
{
    return o->connecting * (o->room ? o->room : 1);
}

static void on_ready(void *arg, struct http_client *c)
{
    struct origin *o = arg;

    if (c->connecting) {
        c->connecting = false;
        o->connecting--;
        o->tries = 0;
        o->room =
            http_client_is_http2(c) ? EXPECTED_STREAMS : http_client_room(c);
    }
    origin_pump(o);
    if (c->conn.state != CONN_CLOSED && !c->calls_now &&
        o->fetcher->clients > CLIENTS_MAX)
        http_client_close(c);
}

/* Whether there is another address to try. */
static bool another(struct origin *o)
{
    if (++o->tries < o->address_count)
        return true;
    o->tries = 0;
    o->address_count = 0; /* the name may lead elsewhere by now */
    return false;
}

static void connect_failed(struct origin *o, const char *why)
{
    uint32_t rest = expected(o);
    char text[512];

    snprintf(text, sizeof(text), "connect to %.*s failed: %s", STR_ARG(o->name),
             why ? why : "closed");
    fail_waiting(o, o->waiting > rest ? o->waiting - rest : 0, FETCH_CONNECT,
                 text);
}

static void on_gone(void *arg, struct http_client *c, enum http_fail kind,
                    bool connected, const char *why)
{
    struct origin *o = arg;
    bool was_connecting = c->connecting;

    (void)kind;
    c->connecting = false;
    unlink_client(o, c);
    if (was_connecting)
        o->connecting--;
    if (o->closing)
        return;
    if (was_connecting && !connected && !another(o))
        connect_failed(o, why);
    origin_pump(o);
}

static const struct http_client_ops client_ops = {
    .on_ready = on_ready,
    .on_gone = on_gone,
};

/* false: it failed at once (errno). */
static bool open_one(struct origin *o)
{
    const struct address *to =
        &o->addresses[o->address_at++ % o->address_count];
    struct tls *tls = o->tls ? tls_connect(o->tls, o->host) : NULL;
    struct http_client *c = http_client_new(
        o->fetcher->loop, to, tls, HTTP_WANT_ALPN, &o->limits, &client_ops, o);

    if (!c)
        return false;
    c->connecting = true;
    o->connecting++;
    link_client(o, c);
    return true;
}

/* Names */

static void refused(struct origin *o, const struct address *a, const char *what)
{
    char where[128], text[512];

    address_format((const struct sockaddr *)&a->sa, where, sizeof(where), true);
    snprintf(text, sizeof(text),
             "connect to %s (%.*s) refused: it is %s, and outbound.allow does "
             "not name it",
             where, STR_ARG(o->name), what);
    fail_waiting(o, o->waiting, FETCH_REFUSED, text);
}

static void not_resolved(struct origin *o, enum err e)
{
    char text[512];

    snprintf(text, sizeof(text), "%.*s: %s", STR_ARG(o->host),
             e == ERR_NOT_FOUND ? "no such host"
             : e == ERR_TIMEOUT ? "the name server does not answer"
                                : "the name server failed");
    fail_waiting(o, o->waiting, FETCH_RESOLVE, text);
}

static void on_resolved(void *arg, const struct dns_answer *answer)
{
    struct origin *o = arg;
    const char *what = NULL;
    const struct address *bad = NULL;
    uint64_t keep_ms = answer->ttl_s * 1000ull;

    o->resolving = false;
    if (o->closing)
        return;
    o->address_count = o->address_at = o->tries = 0;
    for (size_t i = 0; !answer->err && i < answer->count; i++) {
        const struct address *a = &answer->addresses[i];
        const char *why = outbound_refuses(o->outbound, o->host, a);

        if (!why) {
            o->addresses[o->address_count++] = *a;
        } else if (!bad) {
            bad = a;
            what = why;
        }
    }
    o->addresses_until_ms = loop_now_ms(o->fetcher->loop) +
                            (keep_ms < ADDRESSES_MS ? keep_ms : ADDRESSES_MS);
    if (answer->err)
        not_resolved(o, answer->err);
    else if (!o->address_count && bad)
        refused(o, bad, what);
    else if (!o->busy) /* else the pump goes on by itself */
        origin_pump(o);
}

static bool knows_addresses(const struct origin *o)
{
    return o->address_count &&
           loop_now_ms(o->fetcher->loop) < o->addresses_until_ms;
}

static void resolve(struct origin *o)
{
    struct fetcher *f = o->fetcher;

    if (!f->dns)
        f->dns = dns_new(f->loop, str_z(f->name_servers), RESOLVE_MS);
    if (!f->dns) {
        not_resolved(o, ERR_IO);
        return;
    }
    o->resolving = true;
    dns_resolve(f->dns, o->host, o->port, on_resolved, o);
}

/* Bringing both together */

static struct http_client *client_with_room(const struct origin *o)
{
    struct http_client *c = o->clients;

    while (c && !http_client_room(c))
        c = c->next;
    return c;
}

void origin_pump(struct origin *o)
{
    struct http_client *c;

    o->busy++;
    while (o->wait_first && !o->closing && !o->resolving) {
        c = client_with_room(o);
        if (c) {
            struct fetch *q = o->wait_first;

            line_remove(o, q);
            o->calling++;
            q->state = FETCH_CALLING;
            fetch_send(q, c);
        } else if (expected(o) >= o->waiting ||
                   o->client_count >= outbound_conf(o->outbound)->connections) {
            break;
        } else if (!knows_addresses(o)) {
            resolve(o); /* may have the answer at once */
        } else if (!open_one(o) && !another(o)) {
            connect_failed(o, strerrordesc_np(errno));
        }
    }
    o->busy--;
}

static void now(struct task *t)
{
    struct soon *s = (struct soon *)t;
    struct origin *o = s->origin;

    x_free(s);
    if (!o)
        return;
    o->soon = NULL;
    origin_pump(o);
}

void origin_pump_soon(struct origin *o)
{
    if (o->waiting == 1 && client_with_room(o)) {
        origin_pump(o);
    } else if (!o->soon) {
        o->soon = x_new(sizeof(*o->soon));
        o->soon->task.run = now;
        o->soon->origin = o;
        loop_post(o->fetcher->loop, &o->soon->task);
    }
}

enum err origin_enter(struct origin *o, struct fetch *q)
{
    if (o->waiting >= outbound_conf(o->outbound)->waiting)
        return ERR_LIMIT;
    line_add(o, q);
    return ERR_OK;
}

void origin_leave(struct origin *o, struct fetch *q)
{
    if (q->state == FETCH_WAITING) {
        line_remove(o, q);
    } else if (q->state == FETCH_CALLING) {
        o->calling--;
        q->state = FETCH_EARLY;
        http_call_cancel(&q->call);
    }
}

/* Lives */

static void free_origin(struct origin *o)
{
    if (o->soon)
        o->soon->origin = NULL;
    outbound_unref(o->outbound);
    tls_context_unref(o->tls);
    arena_free(o->arena);
}

static bool idle(const struct origin *o)
{
    return !o->busy && !o->resolving && !o->waiting && !o->calling &&
           !o->client_count;
}

static void sweep(struct fetcher *f)
{
    struct origin **at = &f->origins, *o;

    while ((o = *at)) {
        if (!idle(o)) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        free_origin(o);
    }
}

static struct origin *make(struct fetch *q)
{
    const struct outbound_conf *conf = outbound_conf(q->outbound);
    struct arena *a = arena_new();
    struct origin *o = arena_alloc(a, sizeof(*o));
    const char *open = q->url.ipv6 ? "[" : "", *close = q->url.ipv6 ? "]" : "";

    o->arena = a;
    o->fetcher = q->fetcher;
    o->outbound = outbound_ref(q->outbound);
    o->tls = q->tls ? tls_context_ref(q->tls) : NULL;
    o->host = arena_copy(a, q->url.host);
    o->port = q->url.port;
    o->name =
        arena_printf(a, "%s%.*s%s:%u", open, STR_ARG(o->host), close, o->port);
    o->authority = o->port == (q->tls ? 443 : 80)
                       ? str_head(o->name, str_rfind(o->name, ':'))
                       : o->name;
    o->wait_last = &o->wait_first;
    o->limits = (struct http_client_limits) {
        .head_size = HEAD_MAX,
        .headers = FIELDS_MAX,
        .connect_ms = conf->connect_ms,
        .idle_ms = conf->idle_ms,
        .streams = EXPECTED_STREAMS,
    };
    return o;
}

struct origin *origin_of(struct fetch *q)
{
    struct fetcher *f = q->fetcher;
    struct origin *o;

    for (o = f->origins; o; o = o->next)
        if (o->tls == q->tls && o->outbound == q->outbound &&
            o->port == q->url.port && str_eq(o->host, q->url.host))
            return o;
    sweep(f);
    o = make(q);
    o->next = f->origins;
    f->origins = o;
    return o;
}

void origins_end(struct fetcher *f)
{
    for (struct origin *o = f->origins; o; o = o->next)
        o->closing = true;
}

void origins_free(struct fetcher *f)
{
    struct origin *o;

    while ((o = f->origins)) {
        f->origins = o->next;
        must(!o->waiting && !o->calling);
        while (o->clients)
            http_client_close(o->clients);
        free_origin(o);
    }
}
