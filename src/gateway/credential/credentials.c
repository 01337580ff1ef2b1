/* credentials.c - see credentials.h. */
#include "gateway/credential/credentials.h"

static void drop_outbound(void *outbound)
{
    outbound_unref(outbound);
}

static void drop_server(void *server)
{
    introspection_unref(server);
}

static void make_outbound(struct credentials *c, const struct settings *s,
                          struct problems *ps)
{
    if (!outbound_new(&s->gateway.outbound, s->file, ps, &c->outbound))
        arena_defer(c->arena, drop_outbound, c->outbound);
}

static void make_servers(struct credentials *c, const struct settings *s,
                         struct problems *ps)
{
    const struct introspection_conf *conf = s->gateway.introspection.items;
    size_t n = s->gateway.introspection.count;

    c->servers = arena_alloc(c->arena, n * sizeof(*c->servers) + 1);
    for (size_t i = 0; i < n; i++) {
        struct introspection *made;

        if (introspection_new(&conf[i], i, c->outbound, s->file, ps, &made))
            continue;
        arena_defer(c->arena, drop_server, made);
        c->servers[c->server_count++] = made;
    }
}

static void make_issuers(struct credentials *c, const struct settings *s,
                         struct keysets *keysets, struct problems *ps)
{
    struct issuer_sources sources = { keysets, c->outbound };
    const struct issuer_conf *conf = s->gateway.issuers.items;
    size_t n = s->gateway.issuers.count;

    c->issuers = arena_alloc(c->arena, n * sizeof(*c->issuers) + 1);
    for (size_t i = 0; i < n; i++) {
        struct issuer *made;

        if (issuer_new(c->arena, &conf[i], i, &sources, s->file, ps, &made))
            continue;
        for (size_t k = 0; k < c->issuer_count; k++)
            if (str_eq(c->issuers[k]->rules.issuer, made->rules.issuer))
                problem_error(ps, s->file, 0,
                              "gateway.issuers[%zu].issuer is there twice", i);
        c->issuers[c->issuer_count++] = made;
    }
}

static enum err load_keyfile(struct str path, struct problems *ps, void **out)
{
    struct keyfile *keys;
    enum err e = keyfile_load(path, ps, &keys);

    if (!e)
        *out = keys;
    return e;
}

static void free_keyfile(void *keys)
{
    keyfile_free(keys);
}

static size_t count_keys(const void *keys)
{
    return keyfile_count(keys);
}

static const struct watched_kind keys_kind = {
    .topic = "keys",
    .what = "keys",
    .load = load_keyfile,
    .free = free_keyfile,
    .count = count_keys,
};

/* A check without a state folder reads none, if none is named. */
static void load_keys(struct credentials *c, const struct settings *s,
                      struct problems *ps)
{
    struct str path = arena_copy(c->arena, s->gateway.api_keys.file);

    if (!path.len && s->state_dir.len)
        path = arena_printf(c->arena, "%.*s/apikeys", STR_ARG(s->state_dir));
    (void)watched_open(&c->keys, &keys_kind, path, ps);
}

static void load_signing(struct credentials *c, const struct settings *s,
                         struct problems *ps)
{
    struct backend_jwt_conf *b = &c->backend_jwt;
    enum jose_alg alg;
    struct str path;

    *b = s->gateway.backend_jwt;
    if (!b->enabled)
        return;
    alg = b->algorithm ? JOSE_ES256 : JOSE_RS256;
    b->header = arena_copy(c->arena, b->header);
    b->issuer = arena_copy(c->arena, b->issuer);
    b->audience = arena_copy(c->arena, b->audience);
    b->dialect = arena_copy(c->arena, b->dialect);
    b->claims.items =
        arena_alloc(c->arena, b->claims.count * sizeof(struct str) + 1);
    for (size_t i = 0; i < b->claims.count; i++)
        b->claims.items[i] =
            arena_copy(c->arena, s->gateway.backend_jwt.claims.items[i]);
    path = b->key;
    if (!path.len && s->state_dir.len)
        path = arena_printf(c->arena, "%.*s/signing-%s.pem",
                            STR_ARG(s->state_dir), jose_alg_name(alg));
    if (path.len) /* a check without a state folder makes no key */
        (void)signing_key_load(c->arena, path, alg, ps, &c->signing);
}

static void copy_key_issuer(struct credentials *c, const struct settings *s,
                            struct problems *ps)
{
    struct apikey_issuer_conf *to = &c->apikey_issuer;

    *to = s->gateway.apikey_issuer;
    to->path = arena_copy(c->arena, to->path);
    to->scope = arena_copy(c->arena, to->scope);
    to->tier = arena_copy(c->arena, to->tier);
    to->apis.items = (struct str *)(uintptr_t)strings_copy(c->arena, &to->apis);
    if (to->enabled && !s->gateway.api_keys.take_signed)
        problem_error(ps, s->file, 0,
                      "gateway.apikey_issuer issues signed keys, which "
                      "gateway.api_keys.signed: false does not take; take one "
                      "of them out");
}

enum err credentials_new(const struct settings *s, struct keysets *keysets,
                         bool make, struct problems *ps,
                         struct credentials **out)
{
    static uint64_t numbers; /* main thread */
    struct arena *a = arena_new();
    struct credentials *c = arena_alloc(a, sizeof(*c));
    size_t errors = ps->errors;

    c->arena = a;
    c->refs = 1;
    c->number = ++numbers;
    c->conf = s->gateway.authentication;
    c->conf.header = arena_copy(a, c->conf.header);
    c->conf.certificate_header = arena_copy(a, c->conf.certificate_header);
    make_outbound(c, s, ps);
    if (c->outbound) {
        make_issuers(c, s, keysets, ps);
        make_servers(c, s, ps);
    }
    (void)users_new(a, &s->gateway.users, s->file, ps, &c->users);
    load_keys(c, s, ps);
    load_signing(c, s, ps);
    copy_key_issuer(c, s, ps);
    (void)passed_certificate_init(a, &s->gateway.authentication, s->file, ps,
                                  &c->passed);
    (void)key_signers_init(a, &s->gateway.api_keys, s->state_dir, keysets, make,
                           s->file, ps, &c->signers);
    if (ps->errors > errors) {
        credentials_unref(c);
        return ERR_INVALID;
    }
    *out = c;
    return ERR_OK;
}

struct credentials *credentials_ref(struct credentials *c)
{
    c->refs++;
    return c;
}

void credentials_unref(struct credentials *c)
{
    if (!c || --c->refs)
        return;
    watched_close(&c->keys);
    watched_close(&c->signers.revoked);
    arena_free(c->arena);
}
