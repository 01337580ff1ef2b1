/* cors.c - see cors.h; facts: the gateway's defaults are WSO2's. */
#include "gateway/policy/cors.h"

#include "base/buf.h"
#include "gateway/exchange.h"

static struct str join(struct arena *a, const struct str *items, size_t n,
                       const char *sep)
{
    struct buf b;
    struct str out;

    buf_init(&b, 65536);
    for (size_t i = 0; i < n; i++) {
        if (i)
            (void)buf_z(&b, sep);
        (void)buf_str(&b, items[i]);
    }
    out = arena_copy(a, buf_view(&b));
    buf_done(&b);
    return out;
}

static struct str copy_list(struct arena *a, const struct str *items, size_t n)
{
    struct str all = join(a, items, n, ",");

    return arena_printf(a, ",%.*s,", STR_ARG(all));
}

struct cors cors_of(struct arena *a, const struct openapi *doc,
                    const struct cors_conf *conf)
{
    const struct oas_cors *d = &doc->cors;
    const struct str *origins = conf->origins.items;
    const struct str *headers = conf->headers.items;
    const struct str *methods = conf->methods.items;
    size_t origin_count = conf->origins.count;
    size_t header_count = conf->headers.count;
    size_t method_count = conf->methods.count;
    struct cors c = { .enabled = conf->enabled,
                      .credentials = conf->credentials };

    if (d->set) {
        c.enabled = d->enabled;
        c.credentials = d->credentials;
        if (d->origin_count)
            origins = d->origins, origin_count = d->origin_count;
        if (d->header_count)
            headers = d->headers, header_count = d->header_count;
        if (d->method_count)
            methods = d->methods, method_count = d->method_count;
        c.expose = join(a, d->expose, d->expose_count, ",");
        if (d->max_age >= 0)
            c.max_age = arena_printf(a, "%lld", (long long)d->max_age);
    } else {
        c.expose = join(a, conf->expose.items, conf->expose.count, ",");
        if (conf->max_age_ms)
            c.max_age = arena_printf(
                a, "%llu", (unsigned long long)conf->max_age_ms / 1000);
    }
    c.origins = arena_alloc(a, origin_count * sizeof(*c.origins) + 1);
    for (size_t i = 0; i < origin_count; i++) {
        c.origins[c.origin_count++] = arena_copy(a, origins[i]);
        if (str_is(origins[i], "*"))
            c.any_origin = true;
    }
    c.headers = join(a, headers, header_count, ",");
    c.methods_listed = copy_list(a, methods, method_count);
    return c;
}

void cors_allow_field(struct cors *c, struct arena *a, struct str name)
{
    struct str rest = c->headers;

    while (rest.p)
        if (str_eq_nocase(str_trim(str_cut(&rest, ',')), name))
            return;
    c->headers =
        c->headers.len
            ? arena_printf(a, "%.*s,%.*s", STR_ARG(c->headers), STR_ARG(name))
            : arena_copy(a, name);
}

bool cors_is_preflight(const struct exchange *x)
{
    const struct message *m = &x->s.request;

    return m->method == METHOD_OPTIONS && message_get(m, FIELD_ORIGIN) &&
           message_get(m, FIELD_ACCESS_CONTROL_REQUEST_METHOD);
}

/* The value of Allow-Origin for this caller; empty: none. */
static struct str allowed_origin(const struct cors *c, struct str origin)
{
    if (c->any_origin)
        return c->credentials ? origin : STR("*");
    for (size_t i = 0; i < c->origin_count; i++)
        if (str_eq(c->origins[i], origin))
            return origin;
    return STR_NULL;
}

void cors_reply(const struct cors *c, struct exchange *x)
{
    struct str origin = message_value(&x->s.request, FIELD_ORIGIN), allow;

    if (!c->enabled)
        return;
    x->drop_cors = true;
    if (!c->any_origin || c->credentials)
        exchange_add_field(x, STR("Vary"), STR("Origin"));
    if (!origin.p)
        return;
    allow = allowed_origin(c, origin);
    if (!allow.p)
        return;
    exchange_add_field(x, STR("Access-Control-Allow-Origin"), allow);
    if (c->credentials)
        exchange_add_field(x, STR("Access-Control-Allow-Credentials"),
                           STR("true"));
    if (c->expose.len && !cors_is_preflight(x))
        exchange_add_field(x, STR("Access-Control-Expose-Headers"), c->expose);
}

void cors_preflight(const struct cors *c, struct exchange *x, uint32_t allowed)
{
    struct str origin = message_value(&x->s.request, FIELD_ORIGIN);
    struct buf b;

    if (allowed_origin(c, origin).p) {
        buf_init(&b, 1024);
        if (allowed & 1u << METHOD_GET)
            allowed |= 1u << METHOD_HEAD;
        for (enum method m = METHOD_GET; m < METHOD_COUNT; m++) {
            struct str name = method_name(m);
            struct str listed =
                arena_printf(x->s.arena, ",%.*s,", STR_ARG(name));

            if (!(allowed & 1u << m) ||
                (!memmem(c->methods_listed.p, c->methods_listed.len, listed.p,
                         listed.len) &&
                 m != METHOD_HEAD))
                continue;
            if (b.len)
                (void)buf_char(&b, ',');
            (void)buf_str(&b, name);
        }
        exchange_add_field(x, STR("Access-Control-Allow-Methods"),
                           arena_copy(x->s.arena, buf_view(&b)));
        buf_done(&b);
        if (c->headers.len)
            exchange_add_field(x, STR("Access-Control-Allow-Headers"),
                               c->headers);
        if (c->max_age.len)
            exchange_add_field(x, STR("Access-Control-Max-Age"), c->max_age);
    }
    exchange_answer(x, 200);
}
