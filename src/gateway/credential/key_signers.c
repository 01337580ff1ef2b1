/* key_signers.c - see key_signers.h. */
#include "gateway/credential/key_signers.h"

#include <unistd.h>

#include "base/log.h"
#include "gateway/credential/issuer.h"

enum { SKEW_S = 5 };

static const struct str own_types[] = {
    { SIGNED_KEY_TYPE, sizeof(SIGNED_KEY_TYPE) - 1 },
};
/* The model's have the typ of any token; token_type says what they are. */
static const struct str all_types[] = {
    { SIGNED_KEY_TYPE, sizeof(SIGNED_KEY_TYPE) - 1 },
    { "JWT", 3 },
    { "", 0 },
};

static enum jose_alg alg_of(const struct api_keys_conf *conf)
{
    return conf->algorithm ? JOSE_RS256 : JOSE_ES256;
}

struct str key_signers_path(struct arena *a, const struct api_keys_conf *conf,
                            struct str folder)
{
    if (conf->key.len || !folder.len)
        return conf->key;
    return arena_printf(a, "%.*s/apikey-%s.pem", STR_ARG(folder),
                        jose_alg_name(alg_of(conf)));
}

struct str key_signers_revoked(struct arena *a,
                               const struct api_keys_conf *conf,
                               struct str folder)
{
    if (conf->revoked.len || !folder.len)
        return conf->revoked;
    return arena_printf(a, "%.*s/apikeys.revoked", STR_ARG(folder));
}

enum err key_signers_own(struct arena *a, const struct api_keys_conf *conf,
                         struct str folder, struct problems *ps,
                         struct signing_key *out)
{
    return signing_key_load(a, key_signers_path(a, conf, folder), alg_of(conf),
                            ps, out);
}

static void drop_keys(void *keys)
{
    keyset_unref(keys);
}

static void add_own(struct arena *a, struct key_signers *s)
{
    struct key_signer *k = &s->all[s->count++];

    *k = (struct key_signer) {
        .rules = { .algs = JOSE_BIT(s->own.alg),
                   .types = own_types,
                   .type_count = 1,
                   .exp_optional = true,
                   .exp_minus_one = true },
        .id = issuer_id(),
    };
    (void)a;
}

static void add_issuer(struct arena *a, struct key_signers *s,
                       const struct key_issuer_conf *c, size_t index,
                       struct keysets *keysets, struct str file,
                       struct problems *ps)
{
    struct key_signer *k = &s->all[s->count];
    struct keyset_source source = {
        .kind = c->certificate.len ? KEYSET_PEM : KEYSET_FILE,
        .place = c->certificate.len ? c->certificate : c->jwks,
    };
    char why[KEYSET_WHY] = "";

    if (!c->certificate.len == !c->jwks.len) {
        problem_error(ps, file, 0,
                      "gateway.api_keys.issuers[%zu] must have either a "
                      "certificate (PEM file) or jwks (a file with a key set)",
                      index);
        return;
    }
    if (keysets_get(keysets, &source, &k->keys, why)) {
        problem_error(ps, file, 0, "gateway.api_keys.issuers[%zu].%s %s", index,
                      c->certificate.len ? "certificate" : "jwks", why);
        return;
    }
    arena_defer(a, drop_keys, k->keys);
    k->rules = (struct jwt_rules) {
        .issuer = c->issuer.len ? arena_copy(a, c->issuer) : STR_NULL,
        .types = all_types,
        .type_count = sizeof(all_types) / sizeof(*all_types),
        .skew_s = SKEW_S,
        .exp_optional = true,
        .exp_minus_one = true,
    };
    k->id = issuer_id();
    k->apis_wanted = c->check_apis;
    s->count++;
}

static enum err load_revoked(struct str path, struct problems *ps, void **out)
{
    struct revoked *r;
    enum err e = revoked_load(path, ps, &r);

    if (!e)
        *out = r;
    return e;
}

static size_t count_revoked(const void *table)
{
    return revoked_count(table);
}

/* A file that has gone takes nothing back: it was not meant so. */
static const struct watched_kind revoked_kind = {
    .topic = "keys",
    .what = "revoked keys",
    .load = load_revoked,
    .free = revoked_free,
    .count = count_revoked,
    .stays = true,
};

enum err key_signers_init(struct arena *a, const struct api_keys_conf *conf,
                          struct str folder, struct keysets *keysets, bool make,
                          struct str file, struct problems *ps,
                          struct key_signers *out)
{
    const struct key_issuer_conf *issuers = conf->issuers.items;
    struct str path = key_signers_path(a, conf, folder);
    size_t errors = ps->errors;

    out->issuer = arena_copy(a, conf->issuer);
    out->all = arena_alloc(a, (conf->issuers.count + 1) * sizeof(*out->all));
    if (conf->take_signed && path.len &&
        (make || !access(arena_copy(a, path).p, F_OK)) &&
        !key_signers_own(a, conf, folder, ps, &out->own))
        add_own(a, out);
    for (size_t i = 0; i < conf->issuers.count; i++)
        add_issuer(a, out, &issuers[i], i, keysets, file, ps);
    for (size_t i = 0; i < out->count; i++)
        out->ids += out->all[i].id;
    (void)watched_open(&out->revoked, &revoked_kind,
                       arena_copy(a, key_signers_revoked(a, conf, folder)), ps);
    return ps->errors > errors ? ERR_INVALID : ERR_OK;
}

uint64_t key_signer_version(const struct key_signer *s)
{
    return s->keys ? keyset_version(s->keys) : 1;
}

uint64_t key_signers_version(const struct key_signers *s)
{
    uint64_t sum = s->ids;

    for (size_t i = 0; i < s->count; i++)
        sum += key_signer_version(&s->all[i]);
    return sum;
}

const struct key_signer *key_signers_find(const struct key_signers *s,
                                          uint32_t id)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->all[i].id == id)
            return &s->all[i];
    return NULL;
}

/* Whether this signer may have made it, by what it says itself. */
static bool may_be_of(const struct key_signers *s, const struct key_signer *k,
                      const struct jwt *t)
{
    if (!k->keys)
        return str_is(t->jws.typ, SIGNED_KEY_TYPE) &&
               str_eq(t->jws.kid, s->own.kid);
    return !k->rules.issuer.p || str_eq(k->rules.issuer, t->iss);
}

static enum jwt_fault verify_with(const struct key_signers *s,
                                  const struct key_signer *k,
                                  const struct jwt *t, uint64_t now_s)
{
    const struct keyset_now *now = k->keys ? keyset_now(k->keys) : NULL;

    if (!k->keys)
        return jwt_verify(&k->rules, s->own.set, t, now_s, NULL);
    return now ? jwt_verify(&k->rules, now->set, t, now_s, NULL)
               : JWT_UNKNOWN_KEY;
}

enum jwt_fault key_signers_verify(const struct key_signers *s,
                                  const struct jwt *t, uint64_t now_s,
                                  const struct key_signer **by)
{
    enum jwt_fault fault = JWT_WRONG_ISSUER;

    for (size_t i = 0; i < s->count; i++) {
        const struct key_signer *k = &s->all[i];

        if (!may_be_of(s, k, t))
            continue;
        fault = verify_with(s, k, t, now_s);
        if (fault == JWT_OK)
            *by = k;
        if (fault != JWT_UNKNOWN_KEY && fault != JWT_BAD_SIGNATURE &&
            fault != JWT_ALG_REFUSED)
            return fault;
    }
    return fault;
}
