/* openapi_endpoints.c - x-wso2-production-endpoints, x-wso2-sandbox-endpoints
 * and the named ones of x-wso2-endpoints.
 */
#include <stddef.h>

#include "format/openapi_internal.h"

#define DAY_MS 86400e3

#define AT(member) offsetof(struct oas_endpoint_config, member)

static const struct oas_field retry_fields[] = {
    { "count", OAS_U32, .at = AT(retry.count), .max = 100 },
    { "intervalInMillis", OAS_U32, .at = AT(retry.interval_ms), .max = DAY_MS },
    { "backOffFactor", OAS_DOUBLE, .at = AT(retry.back_off_factor),
      .max = 1000 },
    { "maxWaitIntervalInMillis", OAS_U32, .at = AT(retry.max_wait_ms),
      .max = DAY_MS },
    { "statusCodes", OAS_STATUSES, .at = AT(retry.statuses),
      .count = AT(retry.status_count) },
    { 0 },
};

static const struct oas_field window_fields[] = {
    { "requestVolumeThreshold", OAS_U32, .at = AT(breaker.request_volume),
      .max = 1e6 },
    { "timeWindowInMillis", OAS_U32, .at = AT(breaker.window_ms),
      .max = DAY_MS },
    { "bucketSizeInMillis", OAS_U32, .at = AT(breaker.bucket_ms),
      .max = DAY_MS },
    { 0 },
};

static const struct oas_field breaker_fields[] = {
    { "rollingWindow", OAS_SECTION, .fields = window_fields },
    { "failureThreshold", OAS_DOUBLE, .at = AT(breaker.failure_threshold),
      .max = 1 },
    { "resetTimeInMillis", OAS_U32, .at = AT(breaker.reset_ms), .max = DAY_MS },
    { "statusCodes", OAS_STATUSES, .at = AT(breaker.statuses),
      .count = AT(breaker.status_count) },
    { 0 },
};

static const struct oas_field pool_fields[] = {
    { "maxActiveConnections", OAS_U32, .at = AT(pool.max_active), .max = 1e6,
      .unlimited = true },
    { "maxIdleConnections", OAS_U32, .at = AT(pool.max_idle), .max = 1e6,
      .unlimited = true },
    { "waitTimeInMillis", OAS_U32, .at = AT(pool.wait_ms), .max = DAY_MS,
      .unlimited = true },
    { .name = "maxActiveStreamsPerConnection", .type = OAS_OTHER },
    { 0 },
};

static const struct oas_field config_fields[] = {
    { "timeoutInMillis", OAS_U64, .at = AT(timeout_ms), .max = DAY_MS },
    { "retryConfig", OAS_SECTION, .fields = retry_fields },
    { "circuitBreaker", OAS_SECTION, .at = AT(breaker.on),
      .fields = breaker_fields },
    { "poolConfig", OAS_SECTION, .fields = pool_fields },
    { 0 },
};

static const struct oas_field endpoint_fields[] = {
    { .name = "urls", .type = OAS_OTHER },
    { .name = "type", .type = OAS_OTHER },
    { .name = "securityConfig", .type = OAS_OTHER },
    { "advanceEndpointConfig", OAS_SECTION, .fields = config_fields },
    { 0 },
};

static const struct oas_field item_fields[] = {
    { .name = "url", .type = OAS_OTHER },
    { "weight", OAS_U32, .at = offsetof(struct oas_endpoint, weight), .min = 1,
      .max = 1000 },
    { 0 },
};

/* etcd(key, default): the older gateway asked etcd at start. */
static bool refuse_etcd(struct oas_load *l, struct oas_at at, struct str text)
{
    struct str inner = str_trim(str_skip(text, 4));
    size_t comma;

    if (!str_starts(text, STR("etcd")) || !str_starts(inner, STR("(")))
        return false;
    inner = str_head(inner, str_find(inner, ')'));
    comma = str_find(inner, ',');
    inner = str_trim(str_skip(inner, comma + 1));
    if (inner.len)
        oas_error(l, at,
                  "endpoints are not read from etcd: write \"%.*s\", "
                  "the default, instead",
                  STR_ARG(inner));
    else
        oas_error(l, at,
                  "endpoints are not read from etcd: write the URL "
                  "instead of \"%.*s\"",
                  STR_ARG(text));
    return true;
}

static bool known_scheme(struct str s)
{
    return str_is(s, "http") || str_is(s, "https") || str_is(s, "h2") ||
           str_is(s, "h2c") || str_is(s, "unix");
}

/* What a gateway cannot use in a URL, or NULL. */
static const char *url_fault(const struct url *u)
{
    if (!known_scheme(u->scheme))
        return "the scheme must be http, https, h2, h2c or unix";
    if (u->userinfo.p)
        return "leave out the user and password before the @";
    if (u->has_query)
        return "leave out the query behind the ?";
    if (!u->host.len)
        return "the host is missing";
    return NULL;
}

bool oas_endpoint_url(struct oas_load *l, struct oas_at at, struct str text,
                      struct oas_endpoint *out)
{
    struct oas_endpoint e = { .weight = 1, .line = oas_line(at.json) };
    const char *why = NULL;

    if (refuse_etcd(l, at, text))
        return false;
    if (text.len > OAS_TEXT_MAX) {
        oas_error(l, at, "a URL may have at most %d bytes", OAS_TEXT_MAX);
        return false;
    }
    e.text = arena_copy(l->a, text);
    if (str_find(text, '#') < text.len)
        why = "leave out the fragment behind the #";
    else if (url_parse(l->a, e.text, &e.url))
        why = "write it as http://HOST[:PORT][/PATH]";
    else
        why = url_fault(&e.url);
    if (!why && !oas_base_path(l->a, e.url.path, &e.url.path, &why))
        must(why);
    if (why) {
        oas_error(l, at, "cannot use the URL \"%.*s\": %s", STR_ARG(text), why);
        return false;
    }
    *out = e;
    return true;
}

/* One of urls: a string, or {url, weight}. */
static bool read_item(struct oas_load *l, struct oas_at at,
                      struct oas_endpoint *out)
{
    struct oas_at url = at;

    if (at.json->type == JSON_OBJECT)
        url = oas_get(at, "url");
    if (!url.json || url.json->type != JSON_STRING) {
        oas_error(l, at, "an item of urls must be a URL, or {url, weight}");
        return false;
    }
    return oas_endpoint_url(l, url, url.json->text, out) &&
           (at.json == url.json ||
            oas_fields(l, at, "an item of urls", item_fields, out));
}

static bool read_urls(struct oas_load *l, struct oas_at at,
                      struct oas_endpoints *out)
{
    struct oas_at urls = oas_get(at, "urls");
    bool fine = true;

    if (!urls.json || urls.json->type != JSON_ARRAY || !urls.json->count ||
        urls.json->count > OAS_LIST_MAX) {
        oas_error(l, urls.json ? urls : at,
                  "urls must be a list of 1 to %d URLs", OAS_LIST_MAX);
        return false;
    }
    if (!oas_spend(l, urls, urls.json->count))
        return false;
    out->items = arena_alloc(l->a, urls.json->count * sizeof(*out->items));
    for (const struct json *j = urls.json->first; j; j = j->next)
        if (!read_item(l, oas_in(urls, j), &out->items[out->count++]))
            fine = false;
    return fine;
}

static bool read_type(struct oas_load *l, struct oas_at type,
                      struct oas_endpoints *out)
{
    static const char *const balanced[] = { "http", "load_balance",
                                            "loadbalance" };
    struct str s = json_str(type.json);

    out->balance = OAS_ROUND_ROBIN;
    if (!type.json)
        return true;
    for (size_t i = 0; i < sizeof(balanced) / sizeof(*balanced); i++)
        if (str_eq_nocase(s, str_z(balanced[i])))
            return true;
    if (str_eq_nocase(s, STR("failover"))) {
        out->balance = OAS_FAILOVER;
        return true;
    }
    oas_error(l, type,
              "type must be http, load_balance or failover, got "
              "\"%.*s\"",
              STR_ARG(s));
    return false;
}

/* Credentials for the backend: {type: NONE} and {enabled: false} ask for
 * nothing. */
static bool wants_credentials(const struct json *j)
{
    const struct json *enabled = json_at(j, "enabled");

    if (!j || j->type == JSON_NULL || (j->type == JSON_OBJECT && !j->count))
        return false;
    if (enabled && enabled->type == JSON_BOOL && !enabled->boolean)
        return false;
    return !str_eq_nocase(json_str(json_at(j, "type")), STR("none"));
}

static const struct oas_endpoints *
read_endpoints(struct oas_load *l, struct oas_at at, struct oas_where *where)
{
    struct oas_endpoints *e;
    struct oas_at security;
    bool fine;

    if (!oas_is(l, at, JSON_OBJECT, "endpoints"))
        return NULL;
    e = arena_alloc(l->a, sizeof(*e));
    e->file = at.file->path;
    e->line = oas_line(at.json);
    fine = read_urls(l, at, e);
    fine = read_type(l, oas_get(at, "type"), e) && fine;
    fine =
        oas_fields(l, at, "the endpoints", endpoint_fields, &e->config) && fine;
    security = oas_get(at, "securityConfig");
    if (wants_credentials(security.json))
        oas_add_unenforced(l, security, STR("securityConfig"), where, false);
    return fine ? e : NULL;
}

/* One entry of x-wso2-endpoints, read when it is first used. */
struct named {
    struct oas_at at;
    const struct oas_endpoints *endpoints;
    bool read;
};

static void add_named(struct oas_load *l, struct oas_at at)
{
    struct named *n = arena_alloc(l->scratch, sizeof(*n));

    n->at = at;
    if (map_set(l->named_endpoints, at.json->key, n))
        oas_error(l, at, "x-wso2-endpoints has \"%.*s\" twice",
                  STR_ARG(at.json->key));
}

/* A list of maps with one key each, or one map. */
static void collect_named(struct oas_load *l)
{
    struct oas_at at = oas_get(l->root, "x-wso2-endpoints");

    l->named_endpoints = map_new(l->scratch);
    if (!at.json)
        return;
    if (at.json->type == JSON_OBJECT) {
        for (const struct json *j = at.json->first; j; j = j->next)
            add_named(l, oas_in(at, j));
        return;
    }
    if (!oas_is(l, at, JSON_ARRAY, "x-wso2-endpoints"))
        return;
    for (const struct json *j = at.json->first; j; j = j->next) {
        if (!oas_is(l, oas_in(at, j), JSON_OBJECT,
                    "an item of x-wso2-endpoints"))
            continue;
        for (const struct json *m = j->first; m; m = m->next)
            add_named(l, oas_in(at, m));
    }
}

/* "#/x-wso2-endpoints/name" */
static const struct oas_endpoints *by_name(struct oas_load *l, struct oas_at at,
                                           struct oas_where *where)
{
    const struct str prefix = STR("#/x-wso2-endpoints/");
    struct named *n;

    if (!str_starts(at.json->text, prefix)) {
        oas_error(l, at,
                  "endpoints are an object with urls, or "
                  "\"#/x-wso2-endpoints/NAME\"; got \"%.*s\"",
                  STR_ARG(at.json->text));
        return NULL;
    }
    if (!l->named_endpoints)
        collect_named(l);
    n = map_get(l->named_endpoints, str_skip(at.json->text, prefix.len));
    if (!n) {
        oas_error(l, at, "x-wso2-endpoints has no \"%.*s\": add it there",
                  STR_ARG(str_skip(at.json->text, prefix.len)));
        return NULL;
    }
    if (!n->read)
        n->endpoints = read_endpoints(l, n->at, where);
    n->read = true;
    return n->endpoints;
}

const struct oas_endpoints *
oas_endpoints(struct oas_load *l, struct oas_at value, struct oas_where *where)
{
    if (!value.json)
        return NULL;
    if (value.json->type == JSON_STRING)
        return by_name(l, value, where);
    return read_endpoints(l, value, where);
}
