/* issuer.c - issuers from settings, callers from tokens. See issuer.h. */
#include "gateway/credential/issuer.h"

#include <stdatomic.h>

#include "base/log.h"
#include "format/uri.h"

enum { SCOPES_MAX = 256 };

struct making {
    struct arena *a;
    const struct issuer_conf *conf;
    const struct issuer_sources *sources;
    size_t index;
    struct str file;
    struct problems *ps;
};

__attribute__((format(printf, 3, 4))) static void
complain(const struct making *m, const char *key, const char *fmt, ...)
{
    struct str text;
    va_list ap;

    va_start(ap, fmt);
    text = arena_vprintf(m->ps->arena, fmt, ap);
    va_end(ap);
    problem_error(m->ps, m->file, 0, "gateway.issuers[%zu].%s %.*s", m->index,
                  key, STR_ARG(text));
}

/* Keys */

static void drop_keys(void *keys)
{
    keyset_unref(keys);
}

static void drop_tls(void *tls)
{
    tls_context_unref(tls);
}

static bool is_url(struct str s)
{
    return str_starts(s, STR("http://")) || str_starts(s, STR("https://"));
}

static void prepare_url(const struct making *m, struct keyset_source *s)
{
    struct arena *a = m->a;
    struct url u;

    if (url_parse(a, s->place, &u) || u.userinfo.p || !u.host.len) {
        complain(m, "jwks", "must be a file or https://host/path, got \"%.*s\"",
                 STR_ARG(s->place));
    } else if (str_is(u.scheme, "http")) {
        problem_warn(m->ps, m->file, 0,
                     "gateway.issuers[%zu].jwks is not https: who is on the "
                     "way can put keys of his own there",
                     m->index);
    } else if (outbound_tls_given(&m->conf->tls)) {
        if (!outbound_tls_new(&m->conf->tls, m->file, m->ps, &s->tls))
            arena_defer(a, drop_tls, s->tls);
    } else {
        (void)outbound_tls(s->outbound); /* read the system's store now */
    }
}

/* The kind of source, and the key that names it. */
static const char *choose(const struct making *m, struct keyset_source *s)
{
    const struct issuer_conf *c = m->conf;

    if (c->secret_file.len) {
        s->kind = KEYSET_SECRET;
        s->place = c->secret_file;
        return "secret_file";
    }
    if (c->certificate.len) {
        s->kind = KEYSET_PEM;
        s->place = c->certificate;
        return "certificate";
    }
    s->kind = is_url(c->jwks) ? KEYSET_URL : KEYSET_FILE;
    s->place = c->jwks;
    if (s->kind == KEYSET_URL)
        prepare_url(m, s);
    return "jwks";
}

static struct keyset *get_keys(const struct making *m)
{
    const struct issuer_conf *c = m->conf;
    struct keyset_source s = { .refresh_ms = c->refresh_ms,
                               .want_ms = c->unknown_key_ms,
                               .outbound = m->sources->outbound };
    char why[KEYSET_WHY] = "";
    struct keyset *keys = NULL;
    size_t errors = m->ps->errors;
    int given =
        (c->jwks.len > 0) + (c->certificate.len > 0) + (c->secret_file.len > 0);
    const char *key;

    if (given != 1) {
        complain(m, "jwks",
                 given ? "stands beside certificate or secret_file; keep one"
                       : "is missing: say where its keys are (a URL or file), "
                         "or name a certificate or secret_file");
        return NULL;
    }
    key = choose(m, &s);
    if (m->ps->errors == errors &&
        keysets_get(m->sources->keysets, &s, &keys, why))
        complain(m, key, "%s", why);
    return keys;
}

/* Rules */

static void read_algorithms(const struct making *m, struct jwt_rules *rules)
{
    const struct conf_strings *all = &m->conf->algorithms;
    uint32_t may = m->conf->secret_file.len ? JOSE_SYMMETRIC : JOSE_ASYMMETRIC;

    rules->algs = all->count ? 0 : may;
    for (size_t i = 0; i < all->count; i++) {
        enum jose_alg alg = jose_alg_parse(all->items[i]);

        if (alg == JOSE_NONE || !(may & JOSE_BIT(alg)))
            complain(
                m, "algorithms", "lists \"%.*s\", which is none for %s: %s",
                STR_ARG(all->items[i]),
                m->conf->secret_file.len ? "a shared secret" : "public keys",
                m->conf->secret_file.len
                    ? "HS256, HS384, HS512"
                    : "RS256, RS384, RS512, PS256, PS384, PS512, ES256, "
                      "ES384, ES512, EdDSA");
        else
            rules->algs |= JOSE_BIT(alg);
    }
}

const struct str *strings_copy(struct arena *a, const struct conf_strings *from)
{
    struct str *to = arena_alloc(a, from->count * sizeof(*to) + 1);

    for (size_t i = 0; i < from->count; i++)
        to[i] = arena_copy(a, from->items[i]);
    return to;
}

const struct claim_wanted *claims_wanted(struct arena *a,
                                         const struct conf_strings *texts)
{
    struct claim_wanted *all = arena_alloc(a, texts->count * sizeof(*all) + 1);

    for (size_t i = 0; i < texts->count; i++) {
        struct str text = texts->items[i];
        size_t at = str_find(text, '=');

        all[i].name = arena_copy(a, str_head(text, at));
        if (at < text.len)
            all[i].value = arena_copy(a, str_skip(text, at + 1));
    }
    return all;
}

static void read_rules(const struct making *m, struct issuer *out)
{
    const struct issuer_conf *c = m->conf;

    out->rules.issuer = arena_copy(m->a, c->issuer);
    out->rules.audiences = strings_copy(m->a, &c->audiences);
    out->rules.audience_count = c->audiences.count;
    out->rules.types = strings_copy(m->a, &c->types);
    out->rules.type_count = c->types.count;
    out->rules.skew_s = (uint32_t)((c->skew_ms + 999) / 1000);
    read_algorithms(m, &out->rules);
    out->claims = claims_wanted(m->a, &c->claims);
    out->claim_count = c->claims.count;
    out->scopes_claim = arena_copy(m->a, c->scopes_claim);
    out->application_claim = arena_copy(m->a, c->application_claim);
    out->user_claim = arena_copy(m->a, c->user_claim);
}

uint32_t issuer_id(void)
{
    static _Atomic uint32_t ids;

    return 1 + atomic_fetch_add(&ids, 1);
}

enum err issuer_new(struct arena *a, const struct issuer_conf *conf,
                    size_t index, const struct issuer_sources *sources,
                    struct str file, struct problems *ps, struct issuer **out)
{
    struct making m = { a, conf, sources, index, file, ps };
    struct issuer *i = arena_alloc(a, sizeof(*i));
    size_t errors = ps->errors;

    i->id = issuer_id();
    i->name = arena_copy(a, conf->name.len ? conf->name : conf->issuer);
    read_rules(&m, i);
    i->key_wait_ms = conf->unknown_key_wait_ms;
    i->key_retry_s = (uint32_t)(conf->unknown_key_ms / 1000) + 1;
    i->keys = get_keys(&m);
    if (i->keys)
        arena_defer(a, drop_keys, i->keys);
    if (ps->errors > errors)
        return ERR_INVALID;
    *out = i;
    return ERR_OK;
}

/* Callers */

static bool is_value(const struct json *j, struct str value)
{
    if (!j)
        return false;
    if (j->type == JSON_BOOL)
        return str_is(value, j->boolean ? "true" : "false");
    return (j->type == JSON_STRING || j->type == JSON_NUMBER) &&
           str_eq(j->text, value);
}

bool claim_holds(const struct json *claims, const struct claim_wanted *w)
{
    const struct json *j = json_get(claims, w->name);

    if (!j || !w->value.p)
        return j != NULL;
    if (j->type != JSON_ARRAY)
        return is_value(j, w->value);
    for (j = j->first; j; j = j->next)
        if (is_value(j, w->value))
            return true;
    return false;
}

static void add_scopes(struct str text, struct str *scopes, size_t *n)
{
    while (text.p && *n < SCOPES_MAX) {
        struct str one = str_cut(&text, ' ');

        if (one.len)
            scopes[(*n)++] = one;
    }
}

static void read_scopes(const struct json *j, struct arena *a,
                        struct caller *out)
{
    struct str scopes[SCOPES_MAX], *copy;
    size_t n = 0;

    if (j && j->type == JSON_STRING)
        add_scopes(j->text, scopes, &n);
    else if (j && j->type == JSON_ARRAY)
        for (j = j->first; j; j = j->next)
            if (j->type == JSON_STRING)
                add_scopes(j->text, scopes, &n);
    copy = arena_alloc(a, n * sizeof(*copy) + 1);
    memcpy(copy, scopes, n * sizeof(*copy));
    out->scopes = copy;
    out->scope_count = n;
}

static struct str text_claim(const struct jwt *t, struct str name)
{
    return json_str(json_get(t->payload, name));
}

/* A token for an application names no other subject than it; where the
 * issuer says which kind it is (aut), that holds. */
static bool speaks_for_user(const struct issuer *i, const struct jwt *t,
                            struct str application)
{
    struct str aut = json_str(json_at(t->payload, "aut"));

    if (aut.len)
        return !str_is(aut, "APPLICATION");
    if (i->sub_is_user) {
        struct str user = text_claim(t, i->user_claim);

        if (user.len)
            return !str_eq(user, application);
    }
    return t->sub.len && !str_eq(t->sub, application);
}

void issuer_caller(const struct issuer *i, struct arena *a, const struct jwt *t,
                   struct caller *out)
{
    struct str application = text_claim(t, i->application_claim);

    if (!application.len)
        application = t->client_id.len ? t->client_id : t->sub;
    *out = (struct caller) {
        .kind = CALLER_TOKEN,
        .id = arena_printf(a, "%.*s|%.*s", STR_ARG(i->rules.issuer),
                           STR_ARG(application)),
        .application = application,
        .user = text_claim(t, i->user_claim),
        .issuer = i->rules.issuer,
        .claims = t->payload,
        .token_id = t->jti,
        .for_user = speaks_for_user(i, t, application),
    };
    if (!out->user.len && i->sub_is_user)
        out->user = t->sub;
    read_scopes(json_get(t->payload, i->scopes_claim), a, out);
    if (t->exp.set)
        out->expires_s =
            (uint64_t)(t->exp.ms < 0 ? 1 : (t->exp.ms + 999) / 1000) +
            i->rules.skew_s;
    if (t->iat.set && t->iat.ms > 0)
        out->issued_s = (uint64_t)t->iat.ms / 1000;
}
