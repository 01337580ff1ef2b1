/* issuer.c - issuers from settings, callers from tokens. See issuer.h. */
#include "gateway/credential/issuer.h"

#include <stdatomic.h>

#include "base/log.h"
#include "format/openapi.h"
#include "jose/b64.h"

enum { SCOPES_MAX = 256 };

struct making {
    struct arena *a;
    const struct issuer_conf *conf;
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
    jwks_unref(keys);
}

static bool read_text(const struct making *m, const char *key, struct str path,
                      struct str *out)
{
    enum err e = oas_files.read(oas_files.arg, m->a, path, out);

    if (!e)
        return true;
    complain(m, key, "names %.*s, which cannot be read (%s)", STR_ARG(path),
             err_name(e));
    return false;
}

static struct jwks *keys_of_set(const struct making *m, struct str path)
{
    struct jwks_report report;
    struct jwks *set = NULL;
    struct str text;

    if (!read_text(m, "jwks", path, &text))
        return NULL;
    if (jwks_parse(text, 0, &set, &report))
        complain(m, "jwks",
                 "names %.*s, which is no key set to verify with: "
                 "%s",
                 STR_ARG(path), report.why);
    return set;
}

static struct jwks *keys_of_pem(const struct making *m, struct str path)
{
    const char *why = "";
    struct jwk *key = NULL;
    struct str text;

    if (!read_text(m, "certificate", path, &text))
        return NULL;
    if (jwk_from_pem(text, STR_NULL, JOSE_NONE, &key, &why)) {
        complain(m, "certificate", "names %.*s, which has no usable key: %s",
                 STR_ARG(path), why);
        return NULL;
    }
    return jwks_new(&key, 1);
}

/* The bytes of the file but for a last line end, as an oct key. */
static struct jwks *keys_of_secret(const struct making *m, struct str path)
{
    struct jwks_report report;
    struct jwks *set = NULL;
    struct str text, key;
    struct buf b;

    if (!read_text(m, "secret_file", path, &text))
        return NULL;
    while (text.len &&
           (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        text.len--;
    buf_init(&b, 8192);
    key = b64url_encode_in(m->a, text);
    if (buf_printf(&b, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"%.*s\"}]}",
                   STR_ARG(key)) ||
        jwks_parse(buf_view(&b), JWK_ALLOW_SECRET, &set, &report))
        complain(m, "secret_file",
                 "names %.*s, which is no secret to verify with: 32 to %d "
                 "bytes are wanted",
                 STR_ARG(path), JWK_SECRET_MAX);
    buf_done(&b);
    return set;
}

static bool is_url(struct str s)
{
    return str_starts(s, STR("http://")) || str_starts(s, STR("https://"));
}

static struct jwks *read_keys(const struct making *m)
{
    const struct issuer_conf *c = m->conf;
    int given =
        (c->jwks.len > 0) + (c->certificate.len > 0) + (c->secret_file.len > 0);

    if (given != 1) {
        complain(m, "jwks",
                 given ? "stands beside certificate or secret_file; keep one"
                       : "is missing: say where its keys are (a URL or file), "
                         "or name a certificate or secret_file");
        return NULL;
    }
    if (c->secret_file.len)
        return keys_of_secret(m, c->secret_file);
    if (c->certificate.len)
        return keys_of_pem(m, c->certificate);
    if (is_url(c->jwks)) {
        complain(m, "jwks", "is a URL, and only files are read yet");
        return NULL;
    }
    return keys_of_set(m, c->jwks);
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

static const struct str *copy_list(struct arena *a,
                                   const struct conf_strings *from)
{
    struct str *to = arena_alloc(a, from->count * sizeof(*to) + 1);

    for (size_t i = 0; i < from->count; i++)
        to[i] = arena_copy(a, from->items[i]);
    return to;
}

struct claim_wanted claim_wanted(struct arena *a, struct str text)
{
    size_t at = str_find(text, '=');
    struct claim_wanted w = { arena_copy(a, str_head(text, at)), STR_NULL };

    if (at < text.len)
        w.value = arena_copy(a, str_skip(text, at + 1));
    return w;
}

static void read_rules(const struct making *m, struct issuer *out)
{
    const struct issuer_conf *c = m->conf;
    struct claim_wanted *claims =
        arena_alloc(m->a, c->claims.count * sizeof(*claims) + 1);

    out->rules.issuer = arena_copy(m->a, c->issuer);
    out->rules.audiences = copy_list(m->a, &c->audiences);
    out->rules.audience_count = c->audiences.count;
    out->rules.types = copy_list(m->a, &c->types);
    out->rules.type_count = c->types.count;
    out->rules.skew_s = (uint32_t)((c->skew_ms + 999) / 1000);
    read_algorithms(m, &out->rules);
    for (size_t i = 0; i < c->claims.count; i++)
        claims[i] = claim_wanted(m->a, c->claims.items[i]);
    out->claims = claims;
    out->claim_count = c->claims.count;
    out->scopes_claim = arena_copy(m->a, c->scopes_claim);
    out->application_claim = arena_copy(m->a, c->application_claim);
    out->user_claim = arena_copy(m->a, c->user_claim);
}

enum err issuer_new(struct arena *a, const struct issuer_conf *conf,
                    size_t index, struct str file, struct problems *ps,
                    struct issuer **out)
{
    static _Atomic uint32_t ids;
    struct making m = { a, conf, index, file, ps };
    struct issuer *i = arena_alloc(a, sizeof(*i));
    size_t errors = ps->errors;

    i->id = 1 + atomic_fetch_add(&ids, 1);
    i->name = arena_copy(a, conf->name.len ? conf->name : conf->issuer);
    read_rules(&m, i);
    i->keys = read_keys(&m);
    if (i->keys)
        arena_defer(a, drop_keys, i->keys);
    if (ps->errors > errors)
        return ERR_INVALID;
    *out = i;
    return ERR_OK;
}

const struct jwks *issuer_keys(const struct issuer *i)
{
    return i->keys;
}

uint64_t issuer_version(const struct issuer *i)
{
    (void)i;
    return 1;
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
static bool speaks_for_user(const struct jwt *t, struct str application)
{
    struct str aut = json_str(json_at(t->payload, "aut"));

    if (aut.len)
        return !str_is(aut, "APPLICATION");
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
        .for_user = speaks_for_user(t, application),
    };
    read_scopes(json_get(t->payload, i->scopes_claim), a, out);
    if (t->exp.set)
        out->expires_s =
            (uint64_t)(t->exp.ms < 0 ? 1 : (t->exp.ms + 999) / 1000) +
            i->rules.skew_s;
    if (t->iat.set && t->iat.ms > 0)
        out->issued_s = (uint64_t)t->iat.ms / 1000;
}
