/* api.c - from a document's model to what the data plane runs. */
#include "gateway/api.h"

#include "base/log.h"
#include "gateway/credential/credentials.h"
#include "gateway/event.h"
#include "gateway/policies.h"
#include "gateway/policy/authenticate.h"
#include "gateway/upstream/upstreams.h"

struct compile {
    struct api *api;
    struct arena *a;
    const struct openapi *doc;
    const struct api_conf *entry;
    const struct gateway_conf *conf;
    struct upstreams *upstreams;
    struct problems *ps;
    /* Clusters already made, by the document's lists. */
    struct {
        const struct oas_endpoints *from;
        struct cluster *to;
    } made[64];
    size_t made_count;
    struct cluster *main_cluster;
};

/* Clusters */

static const struct lb *choose_lb(const struct oas_endpoints *e,
                                  const struct gateway_conf *conf)
{
    if (e->balance == OAS_FAILOVER)
        return &lb_failover;
    switch ((enum balance)conf->upstreams.balance) {
    case BALANCE_WEIGHTED:
        return &lb_weighted;
    case BALANCE_LEAST:
        return &lb_least_outstanding;
    default:
        return &lb_round_robin;
    }
}

static enum err add_member(struct compile *c, struct cluster *k,
                           const struct oas_endpoint *e,
                           const struct oas_endpoint_config *config)
{
    struct member *m = &k->members[k->count];
    struct str base = e->url.path;

    while (base.len && base.p[base.len - 1] == '/')
        base.len--;
    m->base = arena_copy(c->a, base);
    m->weight = e->weight ? e->weight : 1;
    k->weights += m->weight;
    if (c->upstreams) {
        enum err bad =
            upstreams_get(c->upstreams, &e->url, config, &c->conf->upstreams,
                          c->doc->file, e->line, c->ps, &m->endpoint);

        if (bad)
            return bad;
    }
    k->count++;
    return ERR_OK;
}

static void set_times(struct cluster *k, const struct gateway_conf *conf)
{
    const struct upstreams_conf *u = &conf->upstreams;
    uint64_t given = k->config.timeout_ms;

    k->first_byte_ms = given ? given : u->first_byte_ms;
    k->stall_ms = given ? given : u->stall_ms;
    k->total_ms = u->total_ms;
    k->retries =
        k->config.retry.count ? k->config.retry.count : (uint32_t)u->retries;
    k->retry_percent = (uint32_t)u->retry_percent;
    /* Begins with ten retries to give, so the first calls may fail too. */
    atomic_store(&k->budget, 1000);
}

static struct cluster *make_cluster(struct compile *c,
                                    const struct oas_endpoints *from)
{
    struct cluster *k;

    for (size_t i = 0; i < c->made_count; i++)
        if (c->made[i].from == from)
            return c->made[i].to;
    if (from->count > MEMBERS_MAX) {
        problem_error(c->ps, from->file, from->line,
                      "at most %d endpoints, got %zu", MEMBERS_MAX,
                      from->count);
        return NULL;
    }
    k = arena_alloc(c->a, sizeof(*k));
    k->lb = choose_lb(from, c->conf);
    k->config = from->config;
    set_times(k, c->conf);
    k->members = arena_alloc(c->a, from->count * sizeof(*k->members) + 1);
    k->next = c->api->clusters;
    c->api->clusters = k;
    for (size_t i = 0; i < from->count; i++)
        if (add_member(c, k, &from->items[i], &k->config))
            return NULL;
    if (c->made_count < sizeof(c->made) / sizeof(*c->made)) {
        c->made[c->made_count].from = from;
        c->made[c->made_count++].to = k;
    }
    return k;
}

/* One URL given by a person (`--upstream`, `upstream:`) in place of all. */
static struct cluster * override(struct compile *c, struct str url)
{
    struct oas_endpoint e = { .text = url, .weight = 1 };
    struct oas_endpoints all = { .items = &e, .count = 1 };
    struct cluster *k;

    if (url_parse(c->a, url, &e.url) || e.url.userinfo.len || e.url.has_query) {
        problem_error(c->ps, c->doc->file, 0,
                      "upstream must be a URL like http://127.0.0.1:8080/base, "
                      "got \"%.*s\"",
                      STR_ARG(url));
        return NULL;
    }
    if (c->doc->production)
        all.config = c->doc->production->config;
    k = make_cluster(c, &all);
    c->made_count = 0; /* `all` is on the stack */
    return k;
}

static struct cluster *choose_cluster(struct compile *c,
                                      const struct oas_operation *o)
{
    struct str given =
        c->entry->upstream.len ? c->entry->upstream : c->conf->upstream;

    if (given.len) {
        if (!c->main_cluster)
            c->main_cluster = override(c, given);
        return c->main_cluster;
    }
    if (o->production)
        return make_cluster(c, o->production);
    if (c->doc->production)
        return make_cluster(c, c->doc->production);
    if (o->sandbox)
        return make_cluster(c, o->sandbox);
    if (c->doc->sandbox)
        return make_cluster(c, c->doc->sandbox);
    problem_error(c->ps, o->file, o->line,
                  "%.*s %.*s has no endpoint: %s; give one with --upstream "
                  "URL, `upstream:` of the API in tollgate.yaml, or "
                  "x-wso2-production-endpoints",
                  STR_ARG(o->method), STR_ARG(o->path),
                  c->doc->relative_server ? "the servers are relative"
                                          : "the document names no server");
    return NULL;
}

/* What may not be served as it stands */

static bool is_ignored(const struct gateway_conf *conf, struct str key)
{
    for (size_t i = 0; i < conf->ignore.count; i++)
        if (str_eq(conf->ignore.items[i], key))
            return true;
    return false;
}

static void check_unenforced(struct compile *c)
{
    for (size_t i = 0; i < c->doc->unenforced_count; i++) {
        const struct oas_unenforced *u = &c->doc->unenforced[i];

        if (is_ignored(c->conf, u->key) ||
            (u->security && c->conf->security_off))
            continue;
        problem_error(c->ps, u->file, u->line,
                      "%.*s%s%.*s is not enforced yet; to serve the API "
                      "without it: `gateway.ignore: [%.*s]` in "
                      "tollgate.yaml%s",
                      STR_ARG(u->key), u->where.len ? " of " : "",
                      STR_ARG(u->where), STR_ARG(u->key),
                      u->security ? ", or --security off" : "");
    }
}

/* Operations */

/* NULL: the operation asks for nothing. */
static const struct auth *auth_of(const struct chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->steps[i].policy == &policy_authenticate)
            return chain->steps[i].conf;
    return NULL;
}

static void allow_fields(struct api *api, const struct auth *auth)
{
    for (size_t i = 0; i < auth->count; i++)
        for (size_t k = 0; k < auth->ways[i].count; k++) {
            const struct auth_demand *d = &auth->ways[i].demands[k];
            struct str name;

            for (unsigned n = 0; d->kind->field; n++) {
                name = d->kind->field(d->conf, n);
                if (!name.len)
                    break;
                cors_allow_field(&api->cors, api->arena, name);
            }
        }
}

static void compile_op(struct compile *c, const struct oas_operation *o)
{
    struct op *op = &c->api->ops[c->api->op_count];
    const struct auth *auth;
    struct policy_input in = { .arena = c->a,
                               .doc = c->doc,
                               .operation = o,
                               .entry = c->entry,
                               .conf = c->conf,
                               .credentials = c->api->credentials,
                               .policies = c->api->policies,
                               .problems = c->ps };
    enum err e;

    op->api = c->api;
    op->method_text = arena_copy(c->a, o->method);
    op->method = method_id(o->method);
    op->path = arena_copy(c->a, o->path);
    op->title = arena_printf(c->a, "%.*s %.*s of %.*s %.*s", STR_ARG(o->method),
                             STR_ARG(o->path), STR_ARG(c->api->name),
                             STR_ARG(c->api->version));
    op->answer = c->entry->answer;
    if (!op->answer)
        op->production = choose_cluster(c, o);
    if (chain_compile(&in, &op->chain) || o->shadowed ||
        !(op->production || op->answer))
        return;
    auth = auth_of(&op->chain);
    op->open = !auth || auth->open;
    if (auth)
        allow_fields(c->api, auth);
    e = op_tree_add(c->api->tree, arena_copy(c->a, o->route), op);
    if (e == ERR_CONFLICT)
        problem_error(c->ps, o->file, o->line,
                      "%.*s %.*s is never reached: an earlier operation has "
                      "the same path",
                      STR_ARG(o->method), STR_ARG(o->path));
    else if (e)
        problem_error(c->ps, o->file, o->line,
                      "%.*s: the path has too many segments", STR_ARG(o->path));
    c->api->op_count++;
}

static void set_context(struct compile *c)
{
    struct str given = c->entry->context;

    if (!given.len) {
        c->api->context = arena_copy(c->a, c->doc->context);
        if (c->doc->has_versioned && c->entry->default_version) {
            c->api->context_unversioned =
                arena_copy(c->a, c->doc->context_unversioned);
            c->api->has_unversioned = true;
        }
        return;
    }
    while (given.len && given.p[given.len - 1] == '/')
        given.len--;
    if (given.len && given.p[0] != '/')
        problem_error(c->ps, c->doc->file, 0,
                      "context must begin with '/', got \"%.*s\"",
                      STR_ARG(given));
    c->api->context = arena_copy(c->a, given);
}

/* As deny rules may name it. */
static void set_names(struct api *api)
{
    struct str *names = api->names;

    names[api->name_count++] = api->name;
    names[api->name_count++] = arena_printf(
        api->arena, "%.*s:%.*s", STR_ARG(api->name), STR_ARG(api->version));
    names[api->name_count++] = api->context.len ? api->context : STR("/");
    if (api->has_unversioned)
        names[api->name_count++] = api->context_unversioned;
}

static void set_hosts(struct compile *c)
{
    const struct conf_strings *h = &c->entry->hosts;

    c->api->hosts = arena_alloc(c->a, (h->count + 1) * sizeof(*h->items));
    for (size_t i = 0; i < h->count; i++) {
        struct str s = arena_copy(c->a, h->items[i]);
        char *p = (char *)(uintptr_t)s.p;

        for (size_t k = 0; k < s.len; k++)
            p[k] = char_lower(p[k]);
        c->api->hosts[c->api->host_count++] = s;
    }
}

enum err api_compile(const struct openapi *doc, const struct api_conf *entry,
                     const struct gateway_conf *conf,
                     struct credentials *credentials, struct policies *policies,
                     struct upstreams *upstreams, uint64_t content,
                     struct problems *ps, struct api **out)
{
    struct arena *a = arena_new();
    struct api *api = arena_alloc(a, sizeof(*api));
    struct compile *c = x_new(sizeof(*c));
    size_t errors = ps->errors;

    *c = (struct compile) { .api = api,
                            .a = a,
                            .doc = doc,
                            .entry = entry,
                            .conf = conf,
                            .upstreams = upstreams,
                            .ps = ps };
    api->arena = a;
    api->content = content;
    api->credentials = credentials_ref(credentials);
    api->policies = policies_ref(policies);
    api->file = arena_copy(a, doc->file);
    api->name = arena_copy(a, doc->title);
    api->version = arena_copy(a, doc->api_version);
    api->cors = cors_of(a, doc, &conf->cors);
    api->tree = op_tree_new(a);
    api->ops = arena_alloc(a, (doc->operation_count + 1) * sizeof(*api->ops));
    set_context(c);
    set_names(api);
    api->event = event_of_api(a, api);
    set_hosts(c);
    check_unenforced(c);
    for (size_t i = 0; i < doc->operation_count; i++) {
        size_t before = ps->errors;

        compile_op(c, &doc->operations[i]);
        if (ps->errors > before && ps->errors - errors > 20)
            break; /* one cause, most likely */
    }
    x_free(c);
    if (ps->errors > errors) {
        api_free(api, upstreams);
        return ERR_INVALID;
    }
    *out = api;
    return ERR_OK;
}

void api_free(struct api *api, struct upstreams *upstreams)
{
    if (!api)
        return;
    for (struct cluster *k = api->clusters; k; k = k->next)
        for (uint32_t i = 0; i < k->count; i++)
            if (k->members[i].endpoint)
                upstreams_put(upstreams, k->members[i].endpoint);
    credentials_unref(api->credentials);
    policies_unref(api->policies);
    arena_free(api->arena);
}
