/* settings.c - reading tollgate.yaml: the file, paths in it, and the rules
 * that one field's bounds cannot say. The fields are in settings_fields.c. */
#include "gateway/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "format/conf_read.h"
#include "format/uri.h"
#include "format/yaml.h"
#include "gateway/access_log.h"
#include "http/h1_chars.h"
#include "net/sock.h"

#define ENV_PREFIX "TOLLGATE_"

enum {
    FILE_MAX = 4 * 1024 * 1024,
    NODES_MAX = 1000000,
    DEPTH_MAX = 64,
    NAME_BYTES = 256,
};

struct reader {
    struct arena *a;
    struct problems *ps;
    struct str file;
    const struct json *tree; /* NULL: no file */
};

/* ---- where a setting comes from ---- */

static void env_name(const char *path, char env[NAME_BYTES])
{
    int n = snprintf(env, NAME_BYTES, "%s%s", ENV_PREFIX, path);

    must(n > 0 && n < NAME_BYTES);
    for (char *p = env; *p; p++) {
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
        else if (*p == '.')
            *p = '_';
    }
}

/* A value that stands in the environment is not the file's. */
static bool from_env(const char *path)
{
    char env[NAME_BYTES];

    env_name(path, env);
    return getenv(env) != NULL;
}

static const struct json *item_at(const struct json *list, uint64_t i)
{
    const struct json *j = list ? list->first : NULL;

    while (j && i--)
        j = j->next;
    return j;
}

/* "gateway.apis[2].path": the line it stands on, that of the nearest thing
 * around it, or 0. */
static uint32_t line_of(const struct json *tree, const char *path)
{
    struct str rest = str_z(path);
    uint32_t line = 0;

    while (tree && rest.p) {
        struct str part = str_cut(&rest, '.');
        struct str name = str_head(part, str_find(part, '['));
        struct str number = str_skip(part, name.len + 1);
        uint64_t i;

        tree = json_get(tree, name);
        if (tree)
            line = tree->key_line ? tree->key_line : tree->line;
        if (!tree || !number.len)
            continue;
        number.len--; /* the bracket */
        if (str_to_u64(number, UINT32_MAX, &i))
            break;
        tree = item_at(tree, i);
        if (tree)
            line = tree->line;
    }
    return line;
}

__attribute__((format(printf, 3, 4))) static void
complain(const struct reader *r, const char *path, const char *fmt, ...)
{
    char env[NAME_BYTES];
    struct str text;
    va_list ap;

    va_start(ap, fmt);
    text = arena_vprintf(r->a, fmt, ap);
    va_end(ap);
    env_name(path, env);
    if (getenv(env))
        problem_error(r->ps, STR_NULL, 0, "%s %.*s", env, STR_ARG(text));
    else
        problem_error(r->ps, r->file, line_of(r->tree, path), "%s %.*s", path,
                      STR_ARG(text));
}

/* ---- the file ---- */

static enum err read_bytes(int fd, struct buf *b)
{
    for (;;) {
        enum err e = buf_reserve(b, 16384);
        ssize_t n;

        if (e)
            return e;
        n = read(fd, b->p + b->len, 16384);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? ERR_IO : ERR_OK;
        b->len += (size_t)n;
    }
}

static enum err read_file(struct reader *r, struct str *text)
{
    int fd = open(arena_copy(r->a, r->file).p, O_RDONLY | O_CLOEXEC);
    struct buf b;
    enum err e;

    buf_init(&b, FILE_MAX + 16384);
    e = fd < 0 ? ERR_IO : read_bytes(fd, &b);
    if (e == ERR_LIMIT)
        problem_error(r->ps, r->file, 0, "is longer than 4m");
    else if (e)
        problem_error(r->ps, r->file, 0, "cannot be read: %m");
    else
        *text = arena_copy(r->a, buf_view(&b));
    buf_done(&b);
    if (fd >= 0)
        close(fd);
    return e;
}

/* Nothing but white space and comments: a file in which all was taken out. */
static bool is_blank(struct str text)
{
    while (text.p) {
        struct str line = str_trim(str_cut(&text, '\n'));

        if (line.len && line.p[0] != '#' && !str_is(line, "\r"))
            return false;
    }
    return true;
}

static enum err read_tree(struct reader *r)
{
    const struct json_limits limits = { FILE_MAX, DEPTH_MAX, NODES_MAX, false };
    struct json_error error = { 0 };
    struct json *tree = NULL;
    struct str text = STR_NULL;
    enum err e = read_file(r, &text);

    if (e || is_blank(text))
        return e;
    e = document_parse(r->a, text, &limits, &tree, &error);
    if (e)
        problem_error(r->ps, r->file, error.line, "column %u: %s", error.column,
                      error.what);
    r->tree = tree;
    return e;
}

/* ---- relative paths belong to the file they stand in ---- */

static void resolve(const struct reader *r, struct str *path)
{
    size_t slash = str_rfind(r->file, '/');

    if (slash == r->file.len || !path->len || path->p[0] == '/')
        return;
    *path = arena_printf(r->a, "%.*s/%.*s", STR_ARG(str_head(r->file, slash)),
                         STR_ARG(*path));
}

static void resolve_named(const struct reader *r, const char *name,
                          struct str *path)
{
    if (!from_env(name))
        resolve(r, path);
}

static void resolve_listener(const struct reader *r, struct listener_conf *l)
{
    struct tls_pair *pairs = l->tls.more.items;

    resolve(r, &l->tls.certificate);
    resolve(r, &l->tls.key);
    resolve(r, &l->tls.client_ca);
    for (size_t i = 0; i < l->tls.more.count; i++) {
        resolve(r, &pairs[i].certificate);
        resolve(r, &pairs[i].key);
    }
}

static bool is_url_text(struct str s)
{
    return str_starts(s, STR("http://")) || str_starts(s, STR("https://"));
}

static void resolve_tls(const struct reader *r, struct tls_client_conf *tls)
{
    resolve(r, &tls->ca);
    resolve(r, &tls->certificate);
    resolve(r, &tls->key);
}

static void resolve_tokens(const struct reader *r, struct gateway_conf *g)
{
    struct issuer_conf *issuers = g->issuers.items;
    struct introspection_conf *servers = g->introspection.items;

    for (size_t i = 0; i < g->issuers.count; i++) {
        if (!is_url_text(issuers[i].jwks))
            resolve(r, &issuers[i].jwks);
        resolve(r, &issuers[i].certificate);
        resolve(r, &issuers[i].secret_file);
        resolve_tls(r, &issuers[i].tls);
    }
    for (size_t i = 0; i < g->introspection.count; i++) {
        resolve(r, &servers[i].client_secret_file);
        resolve(r, &servers[i].token_file);
        resolve_tls(r, &servers[i].tls);
    }
    resolve_named(r, "gateway.outbound.tls.ca", &g->outbound.tls.ca);
    resolve_named(r, "gateway.outbound.tls.certificate",
                  &g->outbound.tls.certificate);
    resolve_named(r, "gateway.outbound.tls.key", &g->outbound.tls.key);
    resolve_named(r, "gateway.tracing.tls.ca", &g->tracing.otlp.tls.ca);
    resolve_named(r, "gateway.tracing.tls.certificate",
                  &g->tracing.otlp.tls.certificate);
    resolve_named(r, "gateway.tracing.tls.key", &g->tracing.otlp.tls.key);
}

static void resolve_paths(const struct reader *r, struct settings *s)
{
    struct gateway_conf *g = &s->gateway;
    struct tls_client_conf *tls = &g->upstreams.tls;
    struct listener_conf *listeners = g->listeners.items;
    struct api_conf *apis = g->apis.items;

    for (size_t i = 0; i < g->listeners.count; i++)
        resolve_listener(r, &listeners[i]);
    for (size_t i = 0; i < g->apis.count; i++) {
        resolve(r, &apis[i].path);
        for (size_t k = 0; k < apis[i].certificates.count; k++)
            resolve(r, &apis[i].certificates.items[k]);
    }
    resolve_tokens(r, g);
    resolve_named(r, "gateway.policies", &g->policies);
    resolve_named(r, "gateway.api_keys.file", &g->api_keys.file);
    resolve_named(r, "gateway.api_keys.key", &g->api_keys.key);
    resolve_named(r, "gateway.api_keys.revoked", &g->api_keys.revoked);
    for (size_t i = 0; i < g->api_keys.issuers.count; i++) {
        struct key_issuer_conf *k = g->api_keys.issuers.items;

        resolve(r, &k[i].certificate);
        resolve(r, &k[i].jwks);
    }
    resolve_named(r, "gateway.access.deny_file", &g->access.deny_file);
    resolve_named(r, "gateway.backend_jwt.key", &g->backend_jwt.key);
    resolve_named(r, "gateway.authentication.certificate_ca",
                  &g->authentication.certificate_ca);
    resolve_named(r, "state_dir", &s->state_dir);
    resolve_named(r, "gateway.upstreams.tls.ca", &tls->ca);
    resolve_named(r, "gateway.upstreams.tls.certificate", &tls->certificate);
    resolve_named(r, "gateway.upstreams.tls.key", &tls->key);
    if (!str_is(g->access_log.file, "-"))
        resolve_named(r, "gateway.access_log.file", &g->access_log.file);
}

/* ---- rules ---- */

static bool all_of(struct str s, int class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!h1_is(s.p[i], class))
            return false;
    return s.len > 0;
}

static struct listener_conf *listener(const struct gateway_conf *g, size_t i)
{
    return (struct listener_conf *)g->listeners.items + i;
}

/* Whether somebody wants TLS here. All keys at their defaults is how `config
 * show` writes a plain listener. */
static bool wants_tls(const struct reader *r, const struct listener_conf *l,
                      size_t i)
{
    const struct json *gateway = r->tree ? json_at(r->tree, "gateway") : NULL;
    const struct json *item = item_at(json_at(gateway, "listeners"), i);
    const struct json *tls = json_at(item, "tls");
    struct tls_server_conf plain;
    struct problems none;
    struct buf a, b;
    bool differ;

    if (!tls || tls->type != JSON_OBJECT || !tls->count)
        return tls && tls->type == JSON_OBJECT;
    problems_init(&none, r->a);
    conf_read(r->a, tls_server_fields, NULL, STR_NULL, "", NULL, &plain, &none);
    buf_init(&a, FILE_MAX);
    buf_init(&b, FILE_MAX);
    differ = conf_show(&a, tls_server_fields, &l->tls, 0) ||
             conf_show(&b, tls_server_fields, &plain, 0) ||
             !str_eq(buf_view(&a), buf_view(&b));
    buf_done(&a);
    buf_done(&b);
    return differ;
}

static void check_tls(const struct reader *r, const struct gateway_conf *g,
                      size_t i, const char *name)
{
    const struct listener_conf *l = listener(g, i);
    bool given = l->tls.certificate.len > 0;

    if (given && l->local_certificate)
        complain(r, arena_printf(r->a, "%s.local_certificate", name).p,
                 "stands beside a tls.certificate; take one of them out");
    /* Who writes a tls section must never get a plain listener. */
    if (!given && !l->local_certificate && wants_tls(r, l, i))
        complain(r, arena_printf(r->a, "%s.tls", name).p,
                 "has no certificate; name one, or write "
                 "local_certificate: true beside tls");
}

/* false: said so. */
static bool check_address(const struct reader *r, const char *name,
                          struct str text, struct address *out)
{
    if (!sock_parse(text, out))
        return true;
    complain(r, name,
             "must be an address to listen on (127.0.0.1:8280, [::1]:8280, "
             ":8280 or unix:/run/x.sock), got \"%.*s\"",
             STR_ARG(text));
    return false;
}

static bool same_place(const struct address *a, struct str b)
{
    struct address other;
    const struct sockaddr_in *in = (const void *)&a->sa; /* as IPv6 */

    return !sock_parse(b, &other) && a->len == other.len &&
           memcmp(&a->sa, &other.sa, a->len) == 0 &&
           (a->sa.ss_family == AF_UNIX || in->sin_port);
}

static void check_listener(const struct reader *r, const struct gateway_conf *g,
                           size_t i)
{
    const char *name = arena_printf(r->a, "gateway.listeners[%zu]", i).p;
    const char *at = arena_printf(r->a, "%s.address", name).p;
    const struct listener_conf *l = listener(g, i);
    struct address address;

    if (l->address.len && check_address(r, at, l->address, &address)) {
        if (same_place(&address, g->admin.address))
            complain(r, at, "is gateway.admin.address as well");
        for (size_t k = 0; k < i; k++)
            if (same_place(&address, listener(g, k)->address))
                complain(r, at, "is that of gateway.listeners[%zu] as well", k);
    }
    if (l->proxy_protocol && !g->trusted_proxies.count)
        complain(r, arena_printf(r->a, "%s.proxy_protocol", name).p,
                 "does nothing without gateway.trusted_proxies; list the "
                 "balancers there");
    check_tls(r, g, i, name);
}

static enum err parse_range(struct str text)
{
    struct str rest = text, host = str_cut(&rest, '/');
    struct address address;
    uint64_t bits, most;

    if (str_is(text, "unix"))
        return ERR_OK; /* peers on Unix sockets */
    if (address_numeric(host, 0, &address))
        return ERR_INVALID;
    most = address.sa.ss_family == AF_INET6 ? 128 : 32;
    return rest.p ? str_to_u64(rest, most, &bits) : ERR_OK;
}

static void check_ranges(const struct reader *r, const struct conf_strings *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (parse_range(all->items[i]))
            complain(r, "gateway.trusted_proxies",
                     "must list addresses and ranges (192.0.2.7, 10.0.0.0/8, "
                     "fd00::/8) or unix, got \"%.*s\"",
                     STR_ARG(all->items[i]));
}

static void check_url(const struct reader *r, const char *name, struct str text)
{
    struct url url;

    if (!text.len)
        return;
    if (url_parse(r->a, text, &url) ||
        !(str_is(url.scheme, "http") || str_is(url.scheme, "https") ||
          str_is(url.scheme, "h2") || str_is(url.scheme, "h2c") ||
          str_is(url.scheme, "unix")) ||
        !url.host.len || url.has_query || url.userinfo.p)
        complain(
            r, name,
            "must be a URL such as http://127.0.0.1:8080/base, "
            "h2c://127.0.0.1:9090 or unix:/run/app.sock:/base, got \"%.*s\"",
            STR_ARG(text));
}

static void check_apis(const struct reader *r, const struct gateway_conf *g)
{
    const struct api_conf *apis = g->apis.items;

    for (size_t i = 0; i < g->apis.count; i++) {
        const char *name = arena_printf(r->a, "gateway.apis[%zu]", i).p;
        struct str context = apis[i].context;

        check_url(r, arena_printf(r->a, "%s.upstream", name).p,
                  apis[i].upstream);
        if (context.len && context.p[0] != '/')
            complain(r, arena_printf(r->a, "%s.context", name).p,
                     "must begin with a slash, got \"%.*s\"", STR_ARG(context));
    }
}

/* The name and the value of a field, in the section where. */
static void check_field(const struct reader *r, const char *where,
                        struct str name, struct str value)
{
    if (name.len && !all_of(name, H1_TOKEN))
        complain(r, arena_printf(r->a, "%s.name", where).p,
                 "must be the name of a field, got \"%.*s\"", STR_ARG(name));
    if (value.len && !all_of(value, H1_VALUE))
        complain(r, arena_printf(r->a, "%s.value", where).p,
                 "has bytes that a field cannot hold");
}

static void check_reply_headers(const struct reader *r,
                                const struct conf_list *list)
{
    const struct header_conf *h = list->items;
    size_t values = 0;

    for (size_t i = 0; i < list->count; i++)
        values += h[i].value.len > 0;
    if (values > REPLY_VALUES_MAX)
        complain(r, "gateway.reply_headers",
                 "may give a value to at most %d fields, got %zu",
                 REPLY_VALUES_MAX, values);
    for (size_t i = 0; i < list->count; i++) {
        const char *name =
            arena_printf(r->a, "gateway.reply_headers[%zu]", i).p;

        check_field(r, name, h[i].name, h[i].value);
        if (h[i].preserve && h[i].value.len)
            complain(r, arena_printf(r->a, "%s.preserve", name).p,
                     "stands beside a value; take one of them out");
    }
}

static void check_tokens(const struct reader *r, const char *name,
                         const char *what, const struct conf_strings *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (!all_of(all->items[i], H1_TOKEN))
            complain(r, name, "must list %s, got \"%.*s\"", what,
                     STR_ARG(all->items[i]));
}

static bool is_origin(struct str text)
{
    size_t scheme = str_find(text, ':');

    return str_is(text, "*") ||
           (str_starts(str_skip(text, scheme), STR("://")) && scheme &&
            text.len > scheme + 3 && text.p[text.len - 1] != '/' &&
            all_of(text, H1_TARGET));
}

static void check_cors(const struct reader *r, const struct cors_conf *c)
{
    bool any = false;

    for (size_t i = 0; i < c->origins.count; i++) {
        any = any || str_is(c->origins.items[i], "*");
        if (!is_origin(c->origins.items[i]))
            complain(r, "gateway.cors.origins",
                     "must list origins (https://example.com, without a path) "
                     "or *, got \"%.*s\"",
                     STR_ARG(c->origins.items[i]));
    }
    if (c->enabled && c->credentials && any)
        complain(r, "gateway.cors.credentials",
                 "cannot be true while origins holds *: any site could act as "
                 "its visitor; list the origins");
    check_tokens(r, "gateway.cors.methods", "methods", &c->methods);
    check_tokens(r, "gateway.cors.headers", "names of fields", &c->headers);
    check_tokens(r, "gateway.cors.expose", "names of fields", &c->expose);
}

static void check_name_servers(const struct reader *r, struct str rest)
{
    while (rest.len) {
        struct str one = str_trim(str_cut(&rest, ','));
        struct address address;

        if (address_numeric(one, 53, &address) && sock_parse(one, &address))
            complain(r, "gateway.upstreams.dns.servers",
                     "must hold addresses (10.0.0.2, 10.0.0.3:5353), got "
                     "\"%.*s\"",
                     STR_ARG(one));
    }
}

static void check_upstreams(const struct reader *r,
                            const struct upstreams_conf *u)
{
    if (u->health.timeout_ms > u->health.interval_ms)
        complain(r, "gateway.upstreams.health.timeout",
                 "must not be longer than gateway.upstreams.health.interval");
    if (u->health.path.len &&
        (u->health.path.p[0] != '/' || !all_of(u->health.path, H1_TARGET)))
        complain(r, "gateway.upstreams.health.path",
                 "must be a path such as /health, got \"%.*s\"",
                 STR_ARG(u->health.path));
    if (u->suspend_ms > u->suspend_max_ms)
        complain(r, "gateway.upstreams.suspend_max",
                 "must not be shorter than gateway.upstreams.suspend");
    check_name_servers(r, u->dns.servers);
}

static void check_access_log(const struct reader *r, struct str format)
{
    const char *name = "gateway.access_log.format";
    struct str file = from_env(name) ? STR_NULL : r->file;
    uint32_t line = file.len ? line_of(r->tree, name) : 0;

    access_log_format_free(access_log_format_new(format, r->ps, file, line));
}

static void check_own_path(const struct reader *r, const char *name,
                           struct str path)
{
    char *out = arena_raw(r->a, path.len + 1);
    size_t len;
    bool unchanged = false;

    if (path.len < 2 || path.p[0] != '/' || path.p[path.len - 1] == '/' ||
        str_find(path, '{') < path.len ||
        uri_path_normal(path, out, &len, &unchanged) || !unchanged)
        complain(r, name, "must be a plain path such as /apikey, got \"%.*s\"",
                 STR_ARG(path));
}

static void check_tracing(const struct reader *r, const struct otlp_conf *c)
{
    const struct otlp_header *h = c->headers.items;
    struct url url;

    if (c->url.len &&
        (url_parse(r->a, c->url, &url) ||
         !(str_is(url.scheme, "http") || str_is(url.scheme, "https")) ||
         !url.host.len || url.userinfo.p))
        complain(r, "gateway.tracing.collector",
                 "must be a URL such as http://127.0.0.1:4318, got \"%.*s\"",
                 STR_ARG(c->url));
    for (size_t i = 0; i < c->headers.count; i++)
        check_field(r, arena_printf(r->a, "gateway.tracing.headers[%zu]", i).p,
                    h[i].name, h[i].value);
    for (size_t i = 0; i < c->resource.count; i++) {
        struct str item = c->resource.items[i];

        if (str_find(item, '=') == item.len || !str_find(item, '='))
            complain(r, "gateway.tracing.resource",
                     "must list KEY=VALUE, got \"%.*s\"", STR_ARG(item));
    }
}

static void check_gateway(const struct reader *r, const struct gateway_conf *g)
{
    struct address address;

    for (size_t i = 0; i < g->listeners.count; i++)
        check_listener(r, g, i);
    if (g->admin.address.len)
        check_address(r, "gateway.admin.address", g->admin.address, &address);
    check_apis(r, g);
    if (g->user.len && !getpwnam(g->user.p))
        complain(r, "gateway.user",
                 "must be an account of this machine, got \"%.*s\"",
                 STR_ARG(g->user));
    check_ranges(r, &g->trusted_proxies);
    check_url(r, "gateway.upstream", g->upstream);
    if (g->via.len && !all_of(g->via, H1_TOKEN))
        complain(r, "gateway.via",
                 "must be a plain name without spaces, got \"%.*s\"",
                 STR_ARG(g->via));
    if (!all_of(g->backend_jwt.header, H1_TOKEN))
        complain(r, "gateway.backend_jwt.header",
                 "must be the name of a field, got \"%.*s\"",
                 STR_ARG(g->backend_jwt.header));
    if (g->authentication.certificate_header.len &&
        !all_of(g->authentication.certificate_header, H1_TOKEN))
        complain(r, "gateway.authentication.certificate_header",
                 "must be the name of a field, got \"%.*s\"",
                 STR_ARG(g->authentication.certificate_header));
    check_own_path(r, "gateway.apikey_issuer.path", g->apikey_issuer.path);
    check_reply_headers(r, &g->reply_headers);
    check_upstreams(r, &g->upstreams);
    check_cors(r, &g->cors);
    check_access_log(r, g->access_log.format);
    check_tracing(r, &g->tracing.otlp);
}

enum err settings_check(struct arena *a, const struct settings *s,
                        struct problems *ps)
{
    struct reader r = { a, ps, s->file, NULL };
    size_t errors = ps->errors;

    check_gateway(&r, &s->gateway);
    return ps->errors > errors ? ERR_INVALID : ERR_OK;
}

enum err settings_read(struct arena *a, struct str file, struct settings *out,
                       struct problems *ps)
{
    struct reader r = { a, ps, file, NULL };
    size_t errors = ps->errors;

    memset(out, 0, sizeof(*out));
    if (file.len && read_tree(&r))
        return ERR_INVALID;
    conf_read(a, settings_fields, r.tree, file, "", ENV_PREFIX, out, ps);
    out->file = arena_copy(a, file);
    resolve_paths(&r, out);
    check_gateway(&r, &out->gateway);
    return ps->errors > errors ? ERR_INVALID : ERR_OK;
}
