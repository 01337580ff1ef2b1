/* outbound.c - see outbound.h. */
#include "http/outbound.h"

#include <ifaddrs.h>
#include <pthread.h>

#include "base/conf_units.h"
#include "base/log.h"
#include "format/uri.h"
#include "net/address_class.h"

#define AT(member) offsetof(struct outbound_conf, member)

const struct conf_field outbound_fields[] = {
    { .name = "allow",
      .type = CONF_STRINGS,
      .at = AT(allow),
      .help = "Loopback, private and other special addresses that may be "
              "connected to all the same where a URL leads there: addresses "
              "and ranges (10.0.0.0/8), an address with a port "
              "(127.0.0.1:8080), hosts (idp.internal, *.internal), hosts with "
              "a port. A host covers loopback, private and shared addresses; "
              "metadata services and link-local addresses need their address, "
              "our own listeners their address and port. Public addresses "
              "need no entry." },
    { .name = "connect_timeout",
      .type = CONF_DURATION_MS,
      .at = AT(connect_ms),
      .min = 10,
      .max = 60 * SECOND,
      .def = "3s",
      .help = "For one address: TCP and TLS together." },
    { .name = "timeout",
      .type = CONF_DURATION_MS,
      .at = AT(total_ms),
      .min = 10,
      .max = 300 * SECOND,
      .def = "10s",
      .help = "For all of it: name, connection, answer, redirects." },
    { .name = "idle_timeout",
      .type = CONF_DURATION_MS,
      .at = AT(idle_ms),
      .min = 10,
      .max = 600 * SECOND,
      .def = "30s",
      .help = "How long a connection is kept for the next request." },
    { .name = "max_size",
      .type = CONF_SIZE,
      .at = AT(max_bytes),
      .min = 1024,
      .max = 64 << 20,
      .def = "1m",
      .help = "Longer answers are refused." },
    { .name = "redirects",
      .type = CONF_U64,
      .at = AT(redirects),
      .max = 10,
      .def = "3",
      .help = "How many redirects are followed, within the same host, port "
              "and scheme. To elsewhere none is." },
    { .name = "connections",
      .type = CONF_U64,
      .at = AT(connections),
      .min = 1,
      .max = 64,
      .def = "4",
      .help = "Connections to one host and port, of each thread. Over HTTP/2 "
              "one carries many requests." },
    { .name = "waiting",
      .type = CONF_U64,
      .at = AT(waiting),
      .min = 1,
      .max = 10000,
      .def = "256",
      .help = "Requests that may wait for such a connection, of each "
              "thread. Further ones fail at once." },
    { .name = "tls",
      .type = CONF_SECTION,
      .at = AT(tls),
      .fields = tls_client_fields,
      .help = "TLS towards them." },
    { 0 },
};

struct allowed {
    struct address_range range;
    struct str host; /* lower case; p NULL: a range */
    bool below;      /* all hosts that end in it; it begins with '.' */
    uint16_t port;   /* 0: any */
};

/* Our own listeners: a fact about the process. */
struct own {
    uint8_t ip[16];
    uint16_t port;
    bool any; /* every address of this machine */
};

static struct {
    pthread_mutex_t lock;
    struct arena *arena;
    struct own *listeners;
    size_t count;
    struct address_range *machine; /* its addresses, for own.any */
    size_t machine_count;
} here = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct outbound {
    _Atomic uint32_t refs;
    struct arena *arena;
    struct outbound_conf conf;
    struct allowed *allowed;
    size_t allowed_count;
    pthread_mutex_t lock; /* of tls, until it is made */
    struct tls_context *tls;
    bool tls_failed;
};

/* Making */

static struct str lower(struct arena *a, struct str s)
{
    char *p = arena_raw(a, s.len + 1);

    for (size_t i = 0; i < s.len; i++)
        p[i] = char_lower(s.p[i]);
    p[s.len] = '\0';
    return str_from(p, s.len);
}

static bool is_name(struct str s)
{
    if (!s.len || s.len > 253 || s.p[0] == '.' || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = char_lower(s.p[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_' || c == '.') ||
            (c == '.' && i && s.p[i - 1] == '.'))
            return false;
    }
    return true;
}

static struct str without_last_dot(struct str host)
{
    return str_head(host,
                    host.len - (host.len > 1 && host.p[host.len - 1] == '.'));
}

static enum err parse_allowed(struct arena *a, struct str text,
                              struct allowed *out)
{
    struct str host, name;
    struct address numeric;

    if (!address_range_parse(text, &out->range))
        return ERR_OK;
    out->below = str_starts(text, STR("*."));
    if (authority_parse(out->below ? str_skip(text, 2) : text, &host,
                        &out->port))
        return ERR_INVALID;
    if (!address_numeric(host, out->port, &numeric)) {
        out->range.bits = 128;
        return out->below ? ERR_INVALID
                          : address_ip((const struct sockaddr *)&numeric.sa,
                                       out->range.ip);
    }
    name = without_last_dot(host);
    /* Digits and dots alone are a mistyped address, not a host. */
    if (!is_name(name) ||
        (name.p[name.len - 1] >= '0' && name.p[name.len - 1] <= '9' &&
         str_find(name, '.') < name.len))
        return ERR_INVALID;
    out->host = lower(a, name);
    if (out->below)
        out->host = arena_printf(a, ".%.*s", STR_ARG(out->host));
    return ERR_OK;
}

static void set_allowed(struct outbound *o, const struct conf_strings *all,
                        struct str file, struct problems *ps)
{
    o->allowed = arena_alloc(o->arena, all->count * sizeof(*o->allowed) + 1);
    for (size_t i = 0; i < all->count; i++) {
        struct allowed *to = &o->allowed[o->allowed_count];

        memset(to, 0, sizeof(*to));
        if (parse_allowed(o->arena, all->items[i], to))
            problem_error(ps, file, 0,
                          "outbound.allow lists \"%.*s\", which is none of: an "
                          "address (10.1.2.3), a range (10.0.0.0/8), a host "
                          "(idp.internal, *.internal), or an address or host "
                          "with a port (127.0.0.1:8080)",
                          STR_ARG(all->items[i]));
        else
            o->allowed_count++;
    }
}

static void keep_tls_conf(struct arena *a, struct tls_client_conf *c)
{
    c->ca = arena_copy(a, c->ca);
    c->pin = arena_copy(a, c->pin);
    c->certificate = arena_copy(a, c->certificate);
    c->key = arena_copy(a, c->key);
    c->server_name = arena_copy(a, c->server_name);
}

enum err outbound_new(const struct outbound_conf *conf, struct str file,
                      struct problems *ps, struct outbound **out)
{
    struct arena *a = arena_new();
    struct outbound *o = arena_alloc(a, sizeof(*o));
    size_t errors = ps->errors;

    o->arena = a;
    o->refs = 1;
    o->conf = *conf;
    o->conf.allow = (struct conf_strings) { 0 };
    keep_tls_conf(a, &o->conf.tls);
    pthread_mutex_init(&o->lock, NULL);
    set_allowed(o, &conf->allow, file, ps);
    /* What somebody has set is looked at now; else it can wait. */
    if (outbound_tls_given(&conf->tls))
        (void)outbound_tls_new(&conf->tls, file, ps, &o->tls);
    if (ps->errors > errors) {
        outbound_unref(o);
        return ERR_INVALID;
    }
    *out = o;
    return ERR_OK;
}

struct outbound *outbound_ref(struct outbound *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

void outbound_unref(struct outbound *o)
{
    if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
        return;
    tls_context_unref(o->tls);
    pthread_mutex_destroy(&o->lock);
    arena_free(o->arena);
}

const struct outbound_conf *outbound_conf(const struct outbound *o)
{
    return &o->conf;
}

/* Our own listeners */

static void set_machine(struct arena *a)
{
    struct ifaddrs *all, *i;
    size_t n = 0;

    if (getifaddrs(&all))
        return;
    for (i = all; i; i = i->ifa_next)
        n++;
    here.machine = arena_alloc(a, n * sizeof(*here.machine) + 1);
    for (i = all; i; i = i->ifa_next) {
        struct address_range *to = &here.machine[here.machine_count];

        to->bits = 128;
        if (i->ifa_addr && !address_ip(i->ifa_addr, to->ip))
            here.machine_count++;
    }
    freeifaddrs(all);
}

static void set_listeners(struct arena *a, const struct address *own,
                          size_t count)
{
    bool any = false;

    here.listeners = arena_alloc(a, count * sizeof(*here.listeners) + 1);
    for (size_t i = 0; i < count; i++) {
        const struct sockaddr *sa = (const struct sockaddr *)&own[i].sa;
        struct own *to = &here.listeners[here.count];

        if (address_ip(sa, to->ip))
            continue; /* a Unix socket: no URL of ours leads there */
        to->port = address_port(sa);
        to->any = address_class(sa) == ADDRESS_UNSPECIFIED;
        any |= to->any;
        here.count++;
    }
    if (any)
        set_machine(a);
}

void outbound_set_own(const struct address *own, size_t count)
{
    pthread_mutex_lock(&here.lock);
    arena_free(here.arena);
    here.arena = NULL;
    here.count = here.machine_count = 0;
    if (count) {
        here.arena = arena_new();
        set_listeners(here.arena, own, count);
    }
    pthread_mutex_unlock(&here.lock);
}

static bool is_own(enum address_class class, const uint8_t ip[16],
                   uint16_t port)
{
    bool local = class == ADDRESS_LOOPBACK || class == ADDRESS_UNSPECIFIED;
    bool found = false;

    pthread_mutex_lock(&here.lock);
    for (size_t i = 0; i < here.machine_count && !local; i++)
        local = address_range_has(&here.machine[i], ip);
    for (size_t i = 0; i < here.count && !found; i++)
        found = here.listeners[i].port == port &&
                ((here.listeners[i].any && local) ||
                 !memcmp(here.listeners[i].ip, ip, 16));
    pthread_mutex_unlock(&here.lock);
    return found;
}

/* Judging */

static bool names(const struct allowed *a, struct str host, uint16_t port)
{
    if (!a->host.p || (a->port && a->port != port))
        return false;
    return a->below ? host.len > a->host.len && str_ends(host, a->host)
                    : str_eq(host, a->host);
}

/* 127.0.0.2 reaches who listens at 127.0.0.1 only if it is that one; but
 * 0.0.0.0 does reach it, which only an address of its own allows. */
const char *outbound_refuses(const struct outbound *o, struct str host,
                             const struct address *address)
{
    const struct sockaddr *sa = (const struct sockaddr *)&address->sa;
    enum address_class class = address_class(sa);
    uint16_t port = address_port(sa);
    uint8_t ip[16];
    bool own, by_host = class == ADDRESS_LOOPBACK || class == ADDRESS_PRIVATE ||
                        class == ADDRESS_SHARED;

    if (address_ip(sa, ip))
        return address_class_name(class);
    own = is_own(class, ip, port);
    if (class == ADDRESS_PUBLIC && !own)
        return NULL;
    host = without_last_dot(host);
    for (size_t i = 0; i < o->allowed_count; i++) {
        const struct allowed *a = &o->allowed[i];

        if (a->host.p) {
            if (!own && by_host && names(a, host, port))
                return NULL;
        } else if (address_range_has(&a->range, ip) &&
                   (a->port ? a->port == port : !own)) {
            return NULL;
        }
    }
    return own ? "a listener of this gateway" : address_class_name(class);
}

/* TLS */

bool outbound_tls_given(const struct tls_client_conf *c)
{
    return c->insecure || c->ca.len || c->pin.len || c->certificate.len ||
           c->key.len || c->server_name.len || c->min_version;
}

enum err outbound_tls_new(const struct tls_client_conf *conf, struct str file,
                          struct problems *ps, struct tls_context **out)
{
    return tls_client_new(conf, STR("\x02h2\x08http/1.1"), file, ps, out);
}

static void make_tls(struct outbound *o)
{
    struct arena *a = arena_new();
    struct problems ps;

    problems_init(&ps, a);
    o->tls_failed = outbound_tls_new(&o->conf.tls, STR_NULL, &ps, &o->tls);
    for (const struct problem *p = ps.first; p; p = p->next)
        log_write(p->kind == PROBLEM_ERROR ? LOG_ERROR : LOG_WARN, "outbound",
                  "%.*s", STR_ARG(problem_line(a, p)));
    arena_free(a);
}

struct tls_context *outbound_tls(struct outbound *o)
{
    pthread_mutex_lock(&o->lock);
    if (!o->tls && !o->tls_failed)
        make_tls(o);
    pthread_mutex_unlock(&o->lock);
    return o->tls;
}
