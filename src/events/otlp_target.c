/* otlp_target.c - the collector as configured, and what every body begins
 * with: who this process is.
 */
#include "events/otlp_target.h"

#include <unistd.h>

#include "base/clock.h"
#include "events/span.h"
#include "format/uri.h"

enum { BEGIN_MAX = 64 * 1024 };

#define SCHEMA "https://opentelemetry.io/schemas/1.27.0"

/* ---- who this is ---- */

static void add_text(struct buf *b, const char *key, struct str text)
{
    if (b->p[b->len - 1] == '}')
        (void)buf_char(b, ',');
    (void)span_write_text(b, str_z(key), text);
}

/* Another with each process, so that two on a machine are told apart. */
static struct str instance(struct arena *a)
{
    uint8_t random[16];
    char hex[32];

    random_bytes(random, sizeof(random));
    trace_hex(random, sizeof(random), hex);
    return arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
                        hex + 16, hex + 20);
}

static struct str process_instance(struct arena *a)
{
    static char text[36]; /* main thread */

    if (!text[0])
        memcpy(text, instance(a).p, sizeof(text));
    return str_from(text, sizeof(text));
}

static void add_resource(struct buf *b, struct otlp_target *t,
                         const struct otlp_conf *conf, struct str version)
{
    char host[256] = "";

    (void)buf_z(b, "\"resource\":{\"attributes\":[");
    add_text(b, "service.name", conf->service);
    add_text(b, "service.version", version);
    add_text(b, "service.instance.id", process_instance(t->arena));
    if (!gethostname(host, sizeof(host) - 1) && host[0])
        add_text(b, "host.name", str_z(host));
    for (size_t i = 0; i < conf->resource.count; i++) {
        struct str value = conf->resource.items[i];
        struct str key = str_trim(str_cut(&value, '='));

        add_text(b, arena_copy(t->arena, key).p, str_trim(value));
    }
    (void)buf_z(b, "]}");
}

static struct str begin_of(struct otlp_target *t, const struct otlp_conf *conf,
                           struct str version)
{
    struct buf b;
    struct str out;

    buf_init(&b, BEGIN_MAX);
    (void)buf_z(&b, "{\"resourceSpans\":[{");
    add_resource(&b, t, conf, version);
    (void)buf_z(&b, ",\"schemaUrl\":\"" SCHEMA "\",\"scopeSpans\":[{\"scope\":"
                    "{\"name\":\"tollgate\",\"version\":");
    (void)span_write_value(&b, version);
    (void)buf_z(&b, "},\"schemaUrl\":\"" SCHEMA "\",\"spans\":[");
    out = arena_copy(t->arena, buf_view(&b));
    buf_done(&b);
    return out;
}

/* ---- where it goes ---- */

/* host:port, as outbound.allow wants it. */
static struct str place_of(struct arena *a, const struct url *u)
{
    return arena_printf(a, u->ipv6 ? "[%.*s]:%u" : "%.*s:%u", STR_ARG(u->host),
                        u->port);
}

static enum err set_outbound(struct otlp_target *t, const struct url *u,
                             const struct outbound_conf *rules, struct str file,
                             struct problems *ps)
{
    struct outbound_conf mine = *rules;
    size_t n = rules->allow.count;

    mine.allow.items =
        arena_alloc(t->arena, (n + 1) * sizeof(*mine.allow.items));
    for (size_t i = 0; i < n; i++)
        mine.allow.items[i] = rules->allow.items[i];
    mine.allow.items[n] = place_of(t->arena, u);
    mine.allow.count = n + 1;
    return outbound_new(&mine, file, ps, &t->outbound);
}

static void set_headers(struct otlp_target *t, const struct conf_list *list)
{
    const struct otlp_header *h = list->items;

    t->header_count = list->count;
    t->headers = arena_alloc(t->arena, list->count * sizeof(*t->headers) + 1);
    for (size_t i = 0; i < list->count; i++)
        t->headers[i] =
            (struct header) { .name = arena_copy(t->arena, h[i].name),
                              .value = arena_copy(t->arena, h[i].value) };
}

static enum err set_tls(struct otlp_target *t, const struct otlp_conf *conf,
                        struct str file, struct problems *ps)
{
    if (outbound_tls_given(&conf->tls))
        return outbound_tls_new(&conf->tls, file, ps, &t->tls);
    (void)outbound_tls(t->outbound); /* read the system's store now */
    return ERR_OK;
}

static enum err fill(struct otlp_target *t, const struct otlp_conf *conf,
                     const struct outbound_conf *rules, struct str file,
                     struct problems *ps)
{
    struct url u;

    if (url_parse(t->arena, conf->url, &u)) {
        problem_error(ps, file, 0,
                      "gateway.tracing.collector: \"%.*s\" is "
                      "no URL",
                      STR_ARG(conf->url));
        return ERR_INVALID;
    }
    /* Without a path it is what OTLP calls a base. */
    t->url = u.path.len > 1 ? arena_copy(t->arena, conf->url)
                            : arena_printf(t->arena, "%.*s://%.*s/v1/traces",
                                           STR_ARG(u.scheme),
                                           STR_ARG(place_of(t->arena, &u)));
    if (set_outbound(t, &u, rules, file, ps))
        return ERR_INVALID;
    return str_is(u.scheme, "https") ? set_tls(t, conf, file, ps) : ERR_OK;
}

enum err otlp_target_new(const struct otlp_conf *conf,
                         const struct outbound_conf *rules, struct str version,
                         struct str file, struct problems *ps,
                         struct otlp_target **out)
{
    struct arena *a = arena_new();
    struct otlp_target *t = arena_alloc(a, sizeof(*t));

    t->arena = a;
    t->queue = conf->queue;
    t->batch = conf->batch < conf->queue ? conf->batch : conf->queue;
    t->interval_ms = conf->interval_ms;
    t->timeout_ms = conf->timeout_ms;
    t->give_up_ms = conf->give_up_ms;
    if (fill(t, conf, rules, file, ps)) {
        otlp_target_free(t);
        return ERR_INVALID;
    }
    set_headers(t, &conf->headers);
    t->begin = begin_of(t, conf, version);
    *out = t;
    return ERR_OK;
}

void otlp_target_free(struct otlp_target *t)
{
    if (!t)
        return;
    tls_context_unref(t->tls);
    outbound_unref(t->outbound);
    arena_free(t->arena);
}
