/* bearer.c - tokens of configured issuers (RFC 6750, 7519, 9068, 8705, 9449),
 * and such that only a server can judge (RFC 7662).
 *
 * A token that this thread has seen is a look-up. One that failed is known as
 * such for a while. Only then a signature is checked, or a server asked, and
 * not for addresses that failed too often. A call waits in two cases: its
 * token names a key that the issuer may have begun to use a moment ago, or a
 * server is asked.
 */
#include "gateway/credential/credential.h"
#include "gateway/credential/credentials.h"
#include "gateway/credential/introspect.h"
#include "gateway/credential/proof.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

enum { FAILURE_MS = 60000 };

struct bearer {
    const struct credentials *credentials;
    struct str header;
    enum field id;
    const struct issuer **issuers; /* that this API trusts */
    size_t issuer_count;
    struct introspection **servers; /* likewise, in the order they are asked */
    size_t server_count;
    bool ask_all; /* signed tokens too */
};

/* A call that waits, in its arena. */
struct waiting {
    struct auth_run *run;
    const struct bearer *b;
    const struct header *field;
    struct str token;
    /* for the keys of an issuer, or */
    struct keyset_wait *keys;
    const struct issuer *issuer;
    struct arena *arena; /* of jwt, which a good token keeps */
    struct jwt jwt;
    /* for the answer of a server */
    struct introspect_wait *answer;
    size_t server;
    bool asked;             /* one of them, just now */
    struct str unavailable; /* why one could not be asked */
    enum jwt_fault fault;   /* of the last one that said no */
};

/* ---- compiling ---- */

static bool trusts(const struct api_conf *entry, struct str name)
{
    if (!entry->issuers.count)
        return true;
    for (size_t k = 0; k < entry->issuers.count; k++)
        if (str_eq(entry->issuers.items[k], name))
            return true;
    return false;
}

static void choose_servers(const struct policy_input *in, struct bearer *b)
{
    const struct credentials *c = in->credentials;

    b->servers =
        arena_alloc(in->arena, c->server_count * sizeof(*b->servers) + 1);
    for (size_t i = 0; i < c->server_count; i++) {
        if (!trusts(in->entry, c->servers[i]->name))
            continue;
        b->servers[b->server_count++] = c->servers[i];
        b->ask_all |= c->servers[i]->tokens == INTROSPECT_ALL;
    }
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
        if (trusts(in->entry, c->issuers[i]->name))
            b->issuers[b->issuer_count++] = c->issuers[i];
    choose_servers(in, b);
    *conf = b;
    if (b->issuer_count || b->server_count)
        return ERR_OK;
    problem_error(in->problems, o->file, o->line,
                  "%.*s %.*s requires %.*s (%.*s), and no issuer is configured "
                  "%s; in tollgate.yaml below gateway: `issuers: [{issuer: "
                  "https://idp.example.com, jwks: "
                  "https://idp.example.com/jwks}]`, or for opaque tokens "
                  "`introspection: [{url: https://idp.example.com/introspect, "
                  "client_id: gateway, client_secret_file: secret}]`; or "
                  "--security off, which serves it to anybody (for "
                  "development)",
                  STR_ARG(o->method), STR_ARG(o->path),
                  STR_ARG(demand->scheme->name), STR_ARG(demand->scheme->type),
                  c->issuer_count || c->server_count
                      ? "that gateway.apis[].issuers names"
                      : "whose tokens could be checked");
    return ERR_INVALID;
}

static struct str field(const void *conf, unsigned n)
{
    const struct bearer *b = conf;

    return n == 0 ? b->header : n == 1 ? STR("DPoP") : STR_NULL;
}

/* ---- a call ---- */

static const struct header *find_field(const struct message *m,
                                       const struct bearer *b)
{
    return b->id != FIELD_OTHER ? message_get(m, b->id)
                                : message_find(m, b->header);
}

/* The token behind "Bearer ", or behind "DPoP ", which says that a proof comes
 * with it. */
static bool token_of(const struct header *h, struct str *out, bool *proof)
{
    struct str v = h->value;
    size_t n = 7;

    *proof = false;
    if (v.len < n || !str_eq_nocase(str_head(v, n), STR("Bearer "))) {
        n = 5;
        *proof = true;
        if (v.len < n || !str_eq_nocase(str_head(v, n), STR("DPoP ")))
            return false;
    }
    *out = str_trim(str_skip(v, n));
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

/* The certificate, the proof, or both that it is bound to came with it. */
static enum finding judge_binding(struct auth_run *run, const struct bearer *b,
                                  const struct token_entry *e)
{
    if (e->bound && !e->bound_certificate.len && !e->bound_key.len)
        return faulty(run, JWT_WRONG_KEY, &e->caller.issuer);
    if (e->bound_certificate.len &&
        !credential_bound(run->x, e->bound_certificate))
        return faulty(run, JWT_WRONG_KEY, &e->caller.issuer);
    return proof_check(run, &b->credentials->conf.dpop, e);
}

/* Of a token that is good but for the clock and what it is bound to. */
static enum finding judge(struct auth_run *run, const struct bearer *b,
                          struct token_entry *e, enum explain_reason how)
{
    struct exchange *x = run->x;

    /* First: a certificate that is read may push it out of the cache. */
    token_entry_hold(e);
    arena_defer(x->s.arena, token_entry_drop, e);
    if (judge_binding(run, b, e) != FOUND_GOOD)
        return FOUND_BAD;
    explain_note(&x->explain, EXPLAIN_TOKEN, EXPLAIN_PASSED, how, 0,
                 &e->caller.issuer);
    run->found = &e->caller;
    return FOUND_GOOD;
}

static enum finding judge_signed(struct auth_run *run, const struct bearer *b,
                                 struct token_entry *e, bool cached)
{
    uint64_t now_s = loop_wall_us(run->x->worker->loop) / 1000000;

    if (e->until_s && now_s >= e->until_s)
        return faulty(run, JWT_EXPIRED, &e->caller.issuer);
    if (now_s < e->from_s)
        return faulty(run, JWT_NOT_YET, &e->caller.issuer);
    return judge(run, b, e, cached ? REASON_TOKEN_KNOWN : REASON_TOKEN_GOOD);
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

/* Nobody can say: that is not the caller's fault. */
static enum finding unavailable(struct auth_run *run, struct str why)
{
    explain_note(&run->x->explain, EXPLAIN_TOKEN, EXPLAIN_REFUSED,
                 REASON_TOKEN_UNAVAILABLE, 0, kept(run->x, why));
    run->refusal = &refusal_auth_unavailable;
    run->error = run->error_text = NULL;
    return FOUND_BAD;
}

/* What follows from a result, whenever it came. */
static enum finding finish(struct auth_run *run, const struct bearer *b,
                           const struct header *h, enum finding result)
{
    if (result == FOUND_GOOD && !b->credentials->conf.forward) {
        credential_hide(run->x, h);
        if (run->proof)
            proof_hide(run->x);
    }
    if (result == FOUND_BAD && run->refusal != &refusal_auth_unavailable)
        credential_failed(run);
    return result;
}

static void go_on(struct waiting *w, enum finding result)
{
    authenticate_done(w->run, finish(w->run, w->b, w->field, result));
}

static struct waiting *waiting_for(struct auth_run *run, const struct bearer *b,
                                   const struct header *h, struct str token)
{
    struct waiting *w = arena_alloc(run->x->s.arena, sizeof(*w));

    w->run = run;
    w->b = b;
    w->field = h;
    w->token = token;
    return w;
}

/* ---- signed tokens ---- */

static const struct issuer *issuer_of(const struct bearer *b, struct str iss)
{
    for (size_t i = 0; i < b->issuer_count; i++)
        if (str_eq(b->issuers[i]->rules.issuer, iss))
            return b->issuers[i];
    return NULL;
}

/* The model signs API keys with the key of its tokens, and like these. */
static bool is_key(const struct jwt *t)
{
    struct str type = json_str(json_at(t->payload, "token_type"));

    return str_is(type, SIGNED_KEY_TOKEN_TYPE) ||
           str_is(type, SIGNED_KEY_INTERNAL);
}

/* What keeps a token from being verified with issuer i; JWT_OK: nothing.
 * *version: of the keys, 0 when there are none. */
static enum jwt_fault verify(const struct issuer *i, const struct jwt *t,
                             uint64_t now_s, struct str *claim,
                             uint64_t *version)
{
    const struct keyset_now *keys = keyset_now(i->keys);
    struct jwt_result result = { 0 };
    enum jwt_fault f;

    *claim = STR_NULL;
    *version = keys ? keys->version : 0;
    if (!keys)
        return JWT_UNKNOWN_KEY;
    f = jwt_verify(&i->rules, keys->set, t, now_s, &result);
    *claim = result.claim;
    if (!f && is_key(t))
        return JWT_WRONG_TYPE;
    for (size_t k = 0; !f && k < i->claim_count; k++) {
        if (claim_holds(t->payload, &i->claims[k]))
            continue;
        *claim = i->claims[k].name;
        f = JWT_MISSING_CLAIM;
    }
    return f;
}

static struct token_entry *remember(struct worker *w, const struct issuer *i,
                                    struct arena *a, const struct jwt *t,
                                    uint64_t version)
{
    struct token_entry *e = token_cache_add(w->tokens, t->jws.token, a);

    issuer_caller(i, a, t, &e->caller);
    e->until_s = e->caller.expires_s;
    e->from_s = token_from_s(t, i->rules.skew_s);
    e->source = i->id;
    e->version = version;
    e->bound = t->cnf_x5t_s256.p || t->cnf_jkt.p;
    e->bound_certificate = t->cnf_x5t_s256;
    e->bound_key = t->cnf_jkt;
    return e;
}

/* The sum of what failures depend on: the versions of all keys, that of
 * used (or NULL) being the one it was verified with. */
static uint64_t version_of(const struct bearer *b, const struct issuer *used,
                           uint64_t version)
{
    uint64_t sum = 0;

    for (size_t k = 0; k < b->issuer_count; k++) {
        const struct issuer *i = b->issuers[k];

        sum += (i == used ? version : issuer_version(i)) + i->id;
    }
    return sum;
}

static void remember_failure(struct worker *w, const struct bearer *b,
                             const struct issuer *i, const struct jwt *t,
                             uint64_t version, enum jwt_fault f)
{
    struct token_failure failure = {
        .version = version_of(b, i, version),
        .until_ms = loop_now_ms(w->loop) + FAILURE_MS,
        .why = (uint32_t)f,
    };

    if (f == JWT_NOT_YET)
        return;
    if (f == JWT_EXPIRED)
        failure.from_s =
            (uint64_t)(t->exp.ms < 0 ? 0 : t->exp.ms / 1000) + i->rules.skew_s;
    /* A key that is unknown now may be known soon. */
    if (f == JWT_UNKNOWN_KEY)
        failure.until_ms = loop_now_ms(w->loop) + i->key_retry_s * 1000;
    token_cache_fail(w->tokens, t->jws.token, failure);
}

/* f: what verify() said. a: the token's own arena, which a good one keeps. */
static enum finding verified(struct auth_run *run, const struct bearer *b,
                             const struct issuer *i, struct arena *a,
                             const struct jwt *t, enum jwt_fault f,
                             struct str claim, uint64_t version)
{
    struct exchange *x = run->x;
    struct worker *w = x->worker;
    enum finding result;

    if (!f)
        return judge_signed(run, b, remember(w, i, a, t, version), false);
    if (!version) {
        result = unavailable(run, arena_printf(x->s.arena,
                                               "the keys of %.*s could not be "
                                               "read yet",
                                               STR_ARG(i->name)));
    } else {
        result = faulty(run, f, kept(x, claim.p ? claim : t->iss));
        remember_failure(w, b, i, t, version, f);
    }
    arena_free(a);
    return result;
}

static void on_keys(void *arg)
{
    struct waiting *w = arg;
    uint64_t now_s = loop_wall_us(w->run->x->worker->loop) / 1000000, version;
    struct arena *a = w->arena;
    struct str claim;
    enum jwt_fault f = verify(w->issuer, &w->jwt, now_s, &claim, &version);

    w->keys = NULL;
    w->arena = NULL;
    go_on(w, verified(w->run, w->b, w->issuer, a, &w->jwt, f, claim, version));
}

/* false: waiting would change nothing. */
static bool wait_for_keys(struct auth_run *run, const struct bearer *b,
                          const struct header *h, const struct issuer *i,
                          struct arena *a, const struct jwt *t,
                          uint64_t version)
{
    struct waiting *w = waiting_for(run, b, h, t->jws.token);

    w->keys = keyset_want(i->keys, run->x->worker->loop, version,
                          i->key_wait_ms, on_keys, w);
    if (!w->keys)
        return false;
    w->issuer = i;
    w->arena = a;
    w->jwt = *t;
    run->waiting = w;
    return true;
}

static enum finding ask(struct auth_run *run, const struct bearer *b,
                        const struct header *h, struct str token);

/* A token nobody here has seen. */
static enum finding verify_new(struct auth_run *run, const struct bearer *b,
                               const struct header *h, struct str token)
{
    struct exchange *x = run->x;
    uint64_t now_s = loop_wall_us(x->worker->loop) / 1000000, version;
    struct arena *a = arena_new();
    const struct issuer *i = NULL;
    struct str claim = STR_NULL;
    const char *what = NULL;
    enum jwt_fault f;
    struct jwt t;

    f = jwt_parse(a, arena_copy(a, token), b->credentials->conf.token_size, &t,
                  &what);
    if (!f) {
        i = issuer_of(b, t.iss);
        claim = t.iss;
        f = i ? JWT_OK : JWT_WRONG_ISSUER;
    }
    if (f) {
        enum finding result =
            b->server_count
                ? ask(run, b, h, token)
                : faulty(run, f, kept(x, what ? str_z(what) : claim));

        arena_free(a);
        return result;
    }
    metrics_lookup(x->worker->metrics, CACHE_JWT, LOOKUP_MISS);
    f = verify(i, &t, now_s, &claim, &version);
    if (f == JWT_UNKNOWN_KEY) {
        if (wait_for_keys(run, b, h, i, a, &t, version))
            return FOUND_LATER;
        /* Because others have just had them fetched? */
        if (issuer_version(i) != version)
            f = verify(i, &t, now_s, &claim, &version);
    }
    return verified(run, b, i, a, &t, f, claim, version);
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

/* ---- tokens that a server judges ---- */

static struct token_entry *known_active(const struct bearer *b,
                                        struct worker *w, struct str token)
{
    struct token_entry *e = NULL;

    for (size_t i = 0; i < b->server_count && w->introspector && !e; i++)
        e = introspect_known(w->introspector, b->servers[i], token,
                             loop_wall_us(w->loop) / 1000000);
    return e;
}

static void on_judged(void *arg, const struct introspected *r);

/* false: that server has not said yes, the next one may. */
static bool heard(struct waiting *w, const struct introspected *r,
                  enum finding *result)
{
    const struct introspection *server = w->b->servers[w->server];
    struct exchange *x = w->run->x;

    if (r->verdict == INTROSPECT_ACTIVE) {
        *result = judge(w->run, w->b, r->entry, REASON_TOKEN_ACTIVE);
        return true;
    }
    if (r->verdict == INTROSPECT_UNAVAILABLE)
        w->unavailable = arena_printf(x->s.arena, "%.*s: %.*s",
                                      STR_ARG(server->name), STR_ARG(r->text));
    else
        w->fault = r->fault;
    w->server++;
    return false;
}

static enum finding nobody_said_yes(struct waiting *w)
{
    struct auth_run *run = w->run;
    struct exchange *x = run->x;
    const struct introspection *last = w->b->servers[w->b->server_count - 1];

    if (w->unavailable.p)
        return unavailable(run, w->unavailable);
    if (w->fault)
        return faulty(run, w->fault, &last->name);
    explain_note(&x->explain, EXPLAIN_TOKEN, EXPLAIN_REFUSED,
                 REASON_TOKEN_INACTIVE, 0, &last->name);
    return refuse(run, &refusal_invalid, "The token is not active");
}

/* Asks one server after the other. */
static enum finding ask_on(struct waiting *w)
{
    struct worker *worker = w->run->x->worker;
    uint64_t now_s = loop_wall_us(worker->loop) / 1000000;
    enum finding result = FOUND_BAD;

    while (w->server < w->b->server_count) {
        struct introspected r;

        introspect(worker_introspector(worker), w->b->servers[w->server],
                   w->token, now_s, on_judged, w, &r, &w->answer);
        w->asked |= !r.known;
        if (r.verdict == INTROSPECT_LATER)
            return FOUND_LATER;
        if (heard(w, &r, &result))
            return result;
    }
    return nobody_said_yes(w);
}

static void on_judged(void *arg, const struct introspected *r)
{
    struct waiting *w = arg;
    enum finding result;

    w->answer = NULL;
    if (!heard(w, r, &result))
        result = ask_on(w);
    if (result != FOUND_LATER)
        go_on(w, result);
}

static enum finding ask(struct auth_run *run, const struct bearer *b,
                        const struct header *h, struct str token)
{
    struct waiting *w = waiting_for(run, b, h, token);
    enum finding result = ask_on(w);

    metrics_lookup(run->x->worker->metrics, CACHE_OPAQUE,
                   w->asked ? LOOKUP_MISS : LOOKUP_BAD);
    if (result == FOUND_LATER)
        run->waiting = w;
    return result;
}

/* ---- a call ---- */

static enum finding check_new(struct auth_run *run, const struct bearer *b,
                              const struct header *h, struct str token)
{
    struct worker *w = run->x->worker;
    unsigned why;

    if (token.len > b->credentials->conf.token_size)
        return faulty(run, JWT_TOO_LONG, NULL);
    if (!b->issuer_count || b->ask_all)
        return ask(run, b, h, token);
    why = token_cache_failure(w->tokens, token, version_of(b, NULL, 0),
                              loop_now_ms(w->loop),
                              loop_wall_us(w->loop) / 1000000);
    if (!why)
        return verify_new(run, b, h, token);
    metrics_lookup(w->metrics, CACHE_JWT, LOOKUP_BAD);
    return faulty(run, (enum jwt_fault)why, NULL);
}

static enum finding check(struct auth_run *run, const void *conf)
{
    const struct bearer *b = conf;
    struct exchange *x = run->x;
    struct worker *w = x->worker;
    const struct header *h = find_field(&x->s.request, b);
    struct token_entry *e;
    struct str token;

    if (!h || !token_of(h, &token, &run->proof))
        return FOUND_NOTHING;
    e = known(b, w, token);
    if (e) {
        metrics_lookup(w->metrics, CACHE_JWT, LOOKUP_HIT);
        return finish(run, b, h, judge_signed(run, b, e, true));
    }
    e = known_active(b, w, token);
    if (e) {
        metrics_lookup(w->metrics, CACHE_OPAQUE, LOOKUP_HIT);
        return finish(run, b, h, judge(run, b, e, REASON_TOKEN_ACTIVE));
    }
    if (!credential_may_try(run))
        return FOUND_BAD;
    return finish(run, b, h, check_new(run, b, h, token));
}

static void cancel(struct auth_run *run)
{
    struct waiting *w = run->waiting;

    if (w->keys)
        keyset_wait_cancel(w->keys);
    if (w->answer)
        introspect_cancel(w->answer);
    arena_free(w->arena);
}

const struct credential_kind credential_bearer = {
    .name = "a bearer token",
    .challenge = "Bearer",
    .prepare = prepare,
    .field = field,
    .check = check,
    .cancel = cancel,
};
