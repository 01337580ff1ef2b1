/* backend_jwt.c - tells the backend who called, in a signed token.
 *
 * The claims are the model's: those with the dialect's prefix say application,
 * API and user; `claims` of the settings are copied from the caller's token.
 * A token is made once for a caller and API, and used until a minute before
 * it expires. What the client sent in that field never passes.
 */
#include <inttypes.h>

#include "base/buf.h"
#include "gateway/credential/credentials.h"
#include "gateway/credential/token_cache.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"
#include "jose/b64.h"

enum { EARLY_S = 60, CLAIMS_MAX = 16384 };

struct backend_jwt {
    const struct credentials *credentials;
    const struct backend_jwt_conf *conf;
    struct str header;
    struct str api, context, version;
};

static enum err prepare(const struct policy_input *in, void *conf)
{
    struct backend_jwt *b = conf;

    if (!in->conf->backend_jwt.enabled)
        return ERR_NOT_FOUND;
    b->credentials = in->credentials;
    b->conf = &in->credentials->backend_jwt;
    b->header = b->conf->header;
    b->api = arena_copy(in->arena, in->doc->title);
    b->version = arena_copy(in->arena, in->doc->api_version);
    b->context =
        arena_copy(in->arena, in->entry->context.len ? in->entry->context
                                                     : in->doc->context);
    return ERR_OK;
}

static enum err put(struct buf *b, struct str dialect, const char *name,
                    struct str value)
{
    struct buf key;
    enum err e;

    if (!value.len)
        return ERR_OK;
    buf_init(&key, 1024);
    e = buf_printf(&key, "%.*s%s", STR_ARG(dialect), name);
    if (!e)
        e = buf_char(b, ',');
    if (!e)
        e = json_write_str(b, buf_view(&key));
    if (!e)
        e = buf_char(b, ':');
    if (!e)
        e = json_write_str(b, value);
    buf_done(&key);
    return e;
}

static enum err put_copied(struct buf *b, const struct backend_jwt *j,
                           const struct json *claims)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < j->conf->claims.count && claims && !e; i++) {
        const struct json *value = json_get(claims, j->conf->claims.items[i]);

        if (!value)
            continue;
        e = buf_char(b, ',');
        if (!e)
            e = json_write_str(b, j->conf->claims.items[i]);
        if (!e)
            e = buf_char(b, ':');
        if (!e)
            e = json_write(b, value);
    }
    return e;
}

static enum err write_claims(struct buf *b, const struct backend_jwt *j,
                             const struct caller *c, uint64_t now_s)
{
    struct str d = j->conf->dialect;
    struct str user = c->user.len ? c->user : c->application;
    enum err e = buf_z(b, "{\"iss\":");

    if (e || (e = json_write_str(b, j->conf->issuer)) ||
        (e = buf_printf(b, ",\"iat\":%" PRIu64 ",\"exp\":%" PRIu64, now_s,
                        now_s + j->conf->ttl_ms / 1000)) ||
        (e = put(b, STR(""), "sub", user)) ||
        (e = put(b, STR(""), "aud", j->conf->audience)) ||
        (e = put(b, d, "subscriber", c->application)) ||
        (e = put(b, d, "applicationid", c->application)) ||
        (e = put(b, d, "applicationname", c->application)) ||
        (e = put(b, d, "applicationtier", c->tier)) ||
        (e = put(b, d, "apiname", j->api)) ||
        (e = put(b, d, "apicontext", j->context)) ||
        (e = put(b, d, "version", j->version)) ||
        (e = put(b, d, "tier", c->tier)) ||
        (e = put(b, d, "keytype", STR("PRODUCTION"))) ||
        (e = put(b, d, "usertype",
                 c->for_user || c->kind == CALLER_USER ? STR("Application_User")
                                                       : STR("Application"))) ||
        (e = put(b, d, "enduser", user)) || (e = put_copied(b, j, c->claims)))
        return e;
    return buf_char(b, '}');
}

/* The text of the field, in the arena; STR_NULL when it cannot be made. */
static struct str make(struct arena *a, const struct backend_jwt *j,
                       const struct caller *c, uint64_t now_s)
{
    const struct signing_key *key = &j->credentials->signing;
    struct jwt_header header = { .typ = STR("JWT"), .kid = key->kid };
    struct buf claims, token;
    struct str out = STR_NULL;

    buf_init(&claims, CLAIMS_MAX);
    buf_init(&token, 2 * CLAIMS_MAX);
    if (!write_claims(&claims, j, c, now_s) &&
        !jwt_sign(key->pkey, key->alg, &header, buf_view(&claims), &token))
        out = arena_copy(a, buf_view(&token));
    buf_done(&claims);
    buf_done(&token);
    return out;
}

/* What tells one assertion from another: all that stands in it but the time,
 * and who signs. */
static struct str name_of(struct exchange *x, const struct backend_jwt *j,
                          const struct caller *c)
{
    return arena_printf(x->s.arena,
                        "assertion|%.*s|%.*s|%.*s|%.*s|%d|%.*s|%.*s|%.*s|%llu",
                        STR_ARG(j->credentials->signing.kid), STR_ARG(j->api),
                        STR_ARG(j->version), STR_ARG(j->context), (int)c->kind,
                        STR_ARG(c->id), STR_ARG(c->user), STR_ARG(c->token_id),
                        (unsigned long long)c->issued_s);
}

static struct str assertion(struct exchange *x, const struct backend_jwt *j)
{
    static const struct caller nobody;
    const struct caller *c = x->caller ? x->caller : &nobody;
    struct worker *w = x->worker;
    uint64_t now_s = loop_wall_us(w->loop) / 1000000;
    struct str name = name_of(x, j, c), text;
    struct token_entry *e = token_cache_find(w->tokens, name);
    /* Made before a clock was set back it would live for too long. */
    bool old = e && (now_s + EARLY_S >= e->until_s || now_s < e->from_s);

    metrics_lookup(w->metrics, CACHE_ASSERTION,
                   e && !old ? LOOKUP_HIT : LOOKUP_MISS);
    if (!e || old) {
        struct arena *a = arena_new();

        text = make(a, j, c, now_s);
        if (!text.len) {
            arena_free(a);
            return STR_NULL;
        }
        e = token_cache_add(w->tokens, arena_copy(a, name), a);
        e->caller.id = text;
        e->from_s = now_s;
        e->until_s = now_s + j->conf->ttl_ms / 1000;
    }
    token_entry_hold(e);
    arena_defer(x->s.arena, token_entry_drop, e);
    return e->caller.id;
}

static enum verdict on_request(const void *conf, struct exchange *x)
{
    const struct backend_jwt *j = conf;
    struct str text = assertion(x, j);

    if (!text.len) {
        exchange_refuse(x, &refusal_auth_unavailable);
        return VERDICT_ANSWERED;
    }
    exchange_set_request_field(x, j->header, text);
    return VERDICT_NEXT;
}

const struct policy policy_backend_jwt = {
    .name = "backend_jwt",
    .conf_size = sizeof(struct backend_jwt),
    .prepare = prepare,
    .on_request = on_request,
};
