/* bearer.c - tokens of configured issuers (RFC 6750, 7519, 9068, 8705).
 *
 * A token that this thread has seen is a look-up. One that failed is known as
 * such for a while. Only then a signature is checked, and not for addresses
 * that failed too often.
 */
#include "gateway/credential/credential.h"
#include "gateway/credential/credentials.h"
#include "gateway/credential/token_cache.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

enum { FAILURE_S = 60 };

struct bearer {
    const struct credentials *credentials;
    struct str header;
    enum field id;
    const struct issuer **issuers; /* that this API trusts */
    size_t issuer_count;
};

/* ---- compiling ---- */

static bool trusts(const struct api_conf *entry, const struct issuer *i)
{
    if (!entry->issuers.count)
        return true;
    for (size_t k = 0; k < entry->issuers.count; k++)
        if (str_eq(entry->issuers.items[k], i->name))
            return true;
    return false;
}

static enum err prepare(const struct policy_input *in,
                        const struct oas_demand *demand, void **conf)
{
    const struct oas_operation *o = in->operation;
    const struct credentials *c = in->credentials;
    struct bearer *b = arena_alloc(in->arena, sizeof(*b));

    b->credentials = c;
    b->header = in->doc->auth_header.len
                    ? arena_copy(in->arena, in->doc->auth_header)
                    : c->conf.header;
    b->id = field_id(b->header);
    b->issuers =
        arena_alloc(in->arena, c->issuer_count * sizeof(*b->issuers) + 1);
    for (size_t i = 0; i < c->issuer_count; i++)
        if (trusts(in->entry, c->issuers[i]))
            b->issuers[b->issuer_count++] = c->issuers[i];
    *conf = b;
    if (b->issuer_count)
        return ERR_OK;
    problem_error(in->problems, o->file, o->line,
                  "%.*s %.*s requires %.*s (%.*s), and no issuer is configured "
                  "%s; in tollgate.yaml below gateway: `issuers: [{issuer: "
                  "https://idp.example.com, jwks: "
                  "https://idp.example.com/jwks}]`; or --security off, which "
                  "serves it to anybody (for development)",
                  STR_ARG(o->method), STR_ARG(o->path),
                  STR_ARG(demand->scheme->name), STR_ARG(demand->scheme->type),
                  c->issuer_count ? "that gateway.apis[].issuers names"
                                  : "whose tokens could be checked");
    return ERR_INVALID;
}

/* ---- a call ---- */

static const struct header *find_field(const struct message *m,
                                       const struct bearer *b)
{
    return b->id != FIELD_OTHER ? message_get(m, b->id)
                                : message_find(m, b->header);
}

/* The token behind "Bearer ". */
static bool token_of(const struct header *h, struct str *out)
{
    struct str v = h->value;

    if (v.len < 7 || !str_eq_nocase(str_head(v, 7), STR("Bearer ")))
        return false;
    *out = str_trim(str_skip(v, 7));
    return true;
}

static enum finding refuse(struct auth_run *run, const struct refusal *r,
                           const char *text)
{
    run->refusal = r;
    run->error = "invalid_token";
    run->error_text = text;
    return FOUND_BAD;
}

static enum explain_reason reason_of(enum jwt_fault f)
{
    switch (f) {
    case JWT_EXPIRED:
        return REASON_TOKEN_EXPIRED;
    case JWT_NOT_YET:
        return REASON_TOKEN_NOT_YET;
    case JWT_WRONG_ISSUER:
        return REASON_TOKEN_ISSUER;
    case JWT_WRONG_AUDIENCE:
        return REASON_TOKEN_AUDIENCE;
    case JWT_UNKNOWN_KEY:
        return REASON_TOKEN_KEY;
    case JWT_BAD_SIGNATURE:
        return REASON_TOKEN_SIGNATURE;
    case JWT_ALG_REFUSED:
        return REASON_TOKEN_ALGORITHM;
    case JWT_WRONG_TYPE:
        return REASON_TOKEN_TYPE;
    case JWT_MISSING_CLAIM:
        return REASON_TOKEN_CLAIM;
    case JWT_WRONG_KEY:
        return REASON_TOKEN_BINDING;
    default:
        return REASON_TOKEN_MALFORMED;
    }
}

/* detail: what the reason is about; memory of the call, or NULL. */
static enum finding faulty(struct auth_run *run, enum jwt_fault f,
                           const struct str *detail)
{
    explain_note(&run->x->explain, EXPLAIN_TOKEN, EXPLAIN_REFUSED, reason_of(f),
                 0, detail);
    if (f == JWT_WRONG_AUDIENCE)
        return refuse(run, &refusal_audience, "The token is not for this API");
    if (f == JWT_EXPIRED)
        return refuse(run, &refusal_invalid, "The token has expired");
    return refuse(run, &refusal_invalid, "The token is not valid");
}

/* Of a cached token, which only the clock and the binding can spoil. */
static enum finding judge(struct auth_run *run, struct token_entry *e,
                          bool cached)
{
    struct exchange *x = run->x;
    uint64_t now_s = loop_wall_us(x->worker->loop) / 1000000;

    if (e->until_s && now_s >= e->until_s)
        return faulty(run, JWT_EXPIRED, &e->caller.issuer);
    if (e->bound && !credential_bound(x, e->bound_certificate))
        return faulty(run, JWT_WRONG_KEY, &e->caller.issuer);
    explain_note(&x->explain, EXPLAIN_TOKEN, EXPLAIN_PASSED,
                 cached ? REASON_TOKEN_KNOWN : REASON_TOKEN_GOOD, 0,
                 &e->caller.issuer);
    token_entry_hold(e);
    arena_defer(x->s.arena, token_entry_drop, e);
    run->found = &e->caller;
    return FOUND_GOOD;
}

static const struct issuer *issuer_of(const struct bearer *b, struct str iss)
{
    for (size_t i = 0; i < b->issuer_count; i++)
        if (str_eq(b->issuers[i]->rules.issuer, iss))
            return b->issuers[i];
    return NULL;
}

/* What keeps a token from being verified with issuer i; JWT_OK: nothing. */
static enum jwt_fault verify(const struct issuer *i, const struct jwt *t,
                             uint64_t now_s, struct str *claim)
{
    struct jwt_result result = { 0 };
    enum jwt_fault f = jwt_verify(&i->rules, issuer_keys(i), t, now_s, &result);

    *claim = result.claim;
    for (size_t k = 0; !f && k < i->claim_count; k++) {
        if (claim_holds(t->payload, &i->claims[k]))
            continue;
        *claim = i->claims[k].name;
        f = JWT_MISSING_CLAIM;
    }
    return f;
}

/* Texts of a note live as long as the call. */
static const struct str *kept(struct exchange *x, struct str text)
{
    struct str *out;

    if (!text.p)
        return NULL;
    out = arena_alloc(x->s.arena, sizeof(*out));
    *out = arena_copy(x->s.arena, str_head(text, 256));
    return out;
}

static struct token_entry *remember(struct worker *w, const struct issuer *i,
                                    struct arena *a, const struct jwt *t)
{
    struct token_entry *e = token_cache_add(w->tokens, t->jws.token, a);

    issuer_caller(i, a, t, &e->caller);
    e->until_s = e->caller.expires_s;
    e->source = i->id;
    e->version = issuer_version(i);
    e->bound = t->cnf_x5t_s256.p || t->cnf_jkt.p;
    e->bound_certificate = t->cnf_x5t_s256;
    return e;
}

/* The sum of what failures depend on. */
static uint64_t version_of(const struct bearer *b)
{
    uint64_t version = 0;

    for (size_t i = 0; i < b->issuer_count; i++)
        version += issuer_version(b->issuers[i]) + b->issuers[i]->id;
    return version;
}

/* A token nobody here has seen. a: its own, which a good one keeps. */
static enum finding verify_new(struct auth_run *run, const struct bearer *b,
                               struct str token, struct arena *a)
{
    struct exchange *x = run->x;
    struct worker *w = x->worker;
    uint64_t now_s = loop_wall_us(w->loop) / 1000000;
    const struct issuer *i;
    struct str claim = STR_NULL;
    const char *what = NULL;
    enum jwt_fault f;
    struct jwt t;

    f = jwt_parse(a, arena_copy(a, token), b->credentials->conf.token_size, &t,
                  &what);
    if (f) {
        arena_free(a);
        return faulty(run, f, kept(x, str_z(what)));
    }
    i = issuer_of(b, t.iss);
    f = i ? verify(i, &t, now_s, &claim) : JWT_WRONG_ISSUER;
    if (f) {
        enum finding c = faulty(run, f, kept(x, claim.p ? claim : t.iss));

        if (i && f != JWT_NOT_YET)
            token_cache_fail(w->tokens, token, version_of(b), now_s + FAILURE_S,
                             (unsigned)f);
        arena_free(a);
        return c;
    }
    return judge(run, remember(w, i, a, &t), false);
}

/* From the cache, when what it was checked against still stands. */
static struct token_entry *known(const struct bearer *b, struct worker *w,
                                 struct str token)
{
    struct token_entry *e = token_cache_find(w->tokens, token);

    for (size_t i = 0; e && i < b->issuer_count; i++)
        if (b->issuers[i]->id == e->source)
            return issuer_version(b->issuers[i]) == e->version ? e : NULL;
    return NULL;
}

static enum finding check(struct auth_run *run, const void *conf)
{
    const struct bearer *b = conf;
    struct exchange *x = run->x;
    struct worker *w = x->worker;
    const struct header *h = find_field(&x->s.request, b);
    struct token_entry *e;
    struct str token;
    enum finding result;
    unsigned why;

    if (!h || !token_of(h, &token))
        return FOUND_NOTHING;
    e = known(b, w, token);
    if (!e && !credential_may_try(run))
        return FOUND_BAD;
    if (e) {
        result = judge(run, e, true);
    } else if (token.len > b->credentials->conf.token_size) {
        result = faulty(run, JWT_TOO_LONG, NULL);
    } else {
        why = token_cache_failure(w->tokens, token, version_of(b),
                                  loop_wall_us(w->loop) / 1000000);
        result = why ? faulty(run, (enum jwt_fault)why, NULL)
                     : verify_new(run, b, token, arena_new());
    }
    if (result == FOUND_GOOD && !b->credentials->conf.forward)
        credential_hide(x, h);
    if (result == FOUND_BAD)
        credential_failed(run);
    return result;
}

const struct credential_kind credential_bearer = {
    .name = "a bearer token",
    .challenge = "Bearer",
    .prepare = prepare,
    .check = check,
};
