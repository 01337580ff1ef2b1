/* authenticate.c - refuse who cannot say who he is, or may not do this.
 *
 * An operation asks for one of several ways, each of which is a set of
 * credentials that must all be good, scopes included (OpenAPI's `security`).
 * Ways are tried in the document's order. A credential that is there and no
 * good refuses the call unless another way is complete; a way that asks for
 * nothing does not excuse a bad one.
 */
#include "gateway/policy/authenticate.h"

#include "gateway/credential/proof.h"
#include "gateway/credential/renew.h"
#include "gateway/exchange.h"

enum {
    MISSING_TOKEN = 1,
    MISSING_PASSWORD = 2,
    MISSING_KEY = 4,
    MISSING_CERTIFICATE = 8,
};

/* ---- compiling ---- */

static const struct credential_kind *kind_of(enum oas_scheme_kind kind)
{
    switch (kind) {
    case OAS_SCHEME_BEARER:
        return &credential_bearer;
    case OAS_SCHEME_BASIC:
        return &credential_basic;
    case OAS_SCHEME_API_KEY:
        return &credential_api_key;
    case OAS_SCHEME_MUTUAL_TLS:
        return &credential_mutual_tls;
    default:
        return NULL;
    }
}

static void copy_scopes(struct arena *a, const struct oas_demand *from,
                        struct auth_demand *to)
{
    struct str *scopes =
        arena_alloc(a, from->scope_count * sizeof(*scopes) + 1);

    for (size_t i = 0; i < from->scope_count; i++)
        scopes[i] = arena_copy(a, from->scopes[i]);
    to->scopes = scopes;
    to->scope_count = from->scope_count;
    to->any_scope = from->any_scope;
}

static enum err compile_demand(const struct policy_input *in,
                               const struct oas_demand *from,
                               struct auth_demand *to)
{
    const struct oas_operation *o = in->operation;
    void *conf = NULL;
    enum err e;

    to->kind = kind_of(from->scheme->kind);
    if (!to->kind) {
        problem_error(in->problems, o->file, o->line,
                      "%.*s %.*s requires %.*s, which is \"%.*s\", and "
                      "nothing can check that; --security off serves it to "
                      "anybody (for development)",
                      STR_ARG(o->method), STR_ARG(o->path),
                      STR_ARG(from->scheme->name), STR_ARG(from->scheme->type));
        return ERR_INVALID;
    }
    e = to->kind->prepare(in, from, &conf);
    if (e)
        return e;
    to->conf = conf;
    to->scheme = arena_copy(in->arena, from->scheme->name);
    to->auth_type = o->auth_type;
    copy_scopes(in->arena, from, to);
    return ERR_OK;
}

static enum err compile_way(const struct policy_input *in,
                            const struct oas_requirement *from,
                            struct auth_way *to)
{
    struct auth_demand *demands =
        arena_alloc(in->arena, from->count * sizeof(*demands) + 1);

    for (size_t i = 0; i < from->count; i++) {
        enum err e = compile_demand(in, &from->demands[i], &demands[i]);

        if (e)
            return e;
    }
    to->demands = demands;
    to->count = from->count;
    return ERR_OK;
}

/* Each challenge once, that of tokens first: it may get an error. */
static void compile_challenges(const struct policy_input *in, struct auth *out)
{
    const struct credential_kind *seen[4] = { 0 };
    bool proof = in->conf->authentication.dpop.required;
    size_t n = 0;

    out->challenge = STR("");
    for (size_t i = 0; i < out->count; i++) {
        for (size_t k = 0; k < out->ways[i].count; k++) {
            const struct credential_kind *kind = out->ways[i].demands[k].kind;
            size_t at = 0;

            while (at < n && seen[at] != kind)
                at++;
            if (at < n || !kind->challenge)
                continue;
            seen[n++] = kind;
            if (kind == &credential_bearer)
                out->bearer = true, out->proof = proof;
            else
                out->challenge = arena_printf(
                    in->arena, "%.*s%s%s realm=\"Tollgate\"",
                    STR_ARG(out->challenge), out->challenge.len ? ", " : "",
                    kind->challenge);
        }
    }
}

const struct oas_scheme *auth_default(const struct oas_operation *o,
                                      const struct gateway_conf *conf)
{
    if (o->security_said)
        return NULL;
    switch ((enum default_security)conf->default_security) {
    case DEFAULT_OAUTH2:
        return oas_implied_scheme(OAS_SCHEME_BEARER);
    case DEFAULT_API_KEY:
        return oas_implied_scheme(OAS_SCHEME_API_KEY);
    case DEFAULT_BASIC:
        return oas_implied_scheme(OAS_SCHEME_BASIC);
    default:
        return NULL;
    }
}

enum err auth_compile(const struct policy_input *in, struct auth *out)
{
    const struct oas_operation *o = in->operation;
    struct oas_demand demand = { .scheme = auth_default(o, in->conf) };
    struct oas_requirement by_default = { &demand, 1 };
    const struct oas_requirement *all = o->security;
    size_t count = o->security_count;
    struct auth_way *ways;

    if (demand.scheme) {
        all = &by_default;
        count = 1;
    }
    if (!count || in->conf->security_off)
        return ERR_NOT_FOUND;
    ways = arena_alloc(in->arena, count * sizeof(*ways));
    for (size_t i = 0; i < count; i++) {
        enum err e;

        if (!all[i].count) {
            out->open = true;
            continue;
        }
        e = compile_way(in, &all[i], &ways[out->count]);
        if (e)
            return e;
        out->count++;
    }
    out->ways = ways;
    compile_challenges(in, out);
    return out->count ? ERR_OK : ERR_NOT_FOUND;
}

static enum err prepare(const struct policy_input *in, void *conf)
{
    return auth_compile(in, conf);
}

/* ---- a call ---- */

static bool has_scope(const struct caller *c, struct str scope)
{
    for (size_t i = 0; i < c->scope_count; i++)
        if (str_eq(c->scopes[i], scope))
            return true;
    return false;
}

/* The scope that is missing, or NULL. */
static const struct str *missing_scope(const struct auth_demand *d,
                                       const struct caller *c)
{
    size_t have = 0;

    for (size_t i = 0; i < d->scope_count; i++) {
        if (has_scope(c, d->scopes[i]))
            have++;
        else if (!d->any_scope)
            return &d->scopes[i];
    }
    return d->scope_count && !have ? &d->scopes[0] : NULL;
}

static enum finding refused(struct auth_run *run, const struct refusal *r)
{
    run->refusal = r;
    return FOUND_BAD;
}

/* May the one who was found do this? */
static enum finding judge(struct auth_run *run, const struct auth_demand *d)
{
    const struct caller *c = run->found;
    const struct str *missing;

    run->x->caller = c; /* known, whatever he may */

    if (c->kind == CALLER_TOKEN && d->auth_type != OAS_AUTH_ANY &&
        c->for_user != (d->auth_type == OAS_AUTH_USER)) {
        explain_note(&run->x->explain, EXPLAIN_SCOPE, EXPLAIN_REFUSED,
                     REASON_TOKEN_KIND, 0, &c->application);
        return refused(run, &refusal_token_kind);
    }
    if (!d->scope_count)
        return FOUND_GOOD;
    missing = missing_scope(d, c);
    if (!missing) {
        explain_note(&run->x->explain, EXPLAIN_SCOPE, EXPLAIN_PASSED,
                     REASON_SCOPE_FOUND, 0, &d->scopes[0]);
        return FOUND_GOOD;
    }
    explain_note(&run->x->explain, EXPLAIN_SCOPE, EXPLAIN_REFUSED,
                 REASON_SCOPE_MISSING, 0, missing);
    run->error = "insufficient_scope";
    run->error_text = "The token lacks a scope that the operation asks for";
    return refused(run, &refusal_scope);
}

static void found(struct auth_run *run)
{
    if (run->all_count < AUTH_CALLERS)
        run->all[run->all_count++] = run->found;
    /* Beside a certificate the other credential says who it is. */
    if (!run->caller || run->caller->kind == CALLER_CERTIFICATE)
        run->caller = run->found;
}

/* Which of two reasons a caller is told: that he may not (403) says more than
 * that nobody knows him (401). */
static bool says_more(const struct refusal *a, const struct refusal *b)
{
    return !b || (a->status == 403 && b->status != 403);
}

static void way_failed(struct auth_run *run, enum finding result)
{
    const struct auth_demand *d =
        &run->auth->ways[run->way].demands[run->demand];

    if (result == FOUND_NOTHING) {
        run->missing |= d->kind == &credential_bearer    ? MISSING_TOKEN
                        : d->kind == &credential_basic   ? MISSING_PASSWORD
                        : d->kind == &credential_api_key ? MISSING_KEY
                                                         : MISSING_CERTIFICATE;
        explain_note(&run->x->explain, EXPLAIN_SCHEME, EXPLAIN_SKIPPED,
                     REASON_CREDENTIAL_ABSENT, 0, &d->scheme);
    } else {
        run->refused++;
        if (says_more(run->refusal, run->worst)) {
            run->worst = run->refusal;
            run->worst_error = run->error;
            run->worst_text = run->error_text;
            run->worst_proof = run->proof;
        }
    }
    run->way++;
    run->demand = 0;
    run->caller = NULL;
    run->all_count = 0;
    run->error = run->error_text = NULL;
    run->proof = false;
}

/* What one that sent nothing is told. */
static const struct refusal *nothing_sent(const struct auth_run *run)
{
    switch (run->missing) {
    case MISSING_CERTIFICATE:
        return &refusal_certificate;
    case MISSING_PASSWORD:
        return &refusal_basic_missing;
    default:
        return &refusal_missing;
    }
}

static const struct refusal *verdict_of(const struct auth_run *run)
{
    if (!run->refused)
        return nothing_sent(run);
    if (run->refused > 1 && run->worst->status == 401)
        return &refusal_all_failed;
    return run->worst;
}

/* A challenge before others, with what was wrong. */
static struct str token_challenge(struct auth_run *run, const char *begin,
                                  bool with_error, struct str others)
{
    const char *error = with_error ? run->worst_error : NULL;

    return arena_printf(run->x->s.arena, "%s%s%s%s%s%s%s%.*s", begin,
                        error ? ", error=\"" : "", error ? error : "",
                        error ? "\", error_description=\"" : "",
                        error ? run->worst_text : "", error ? "\"" : "",
                        others.len ? ", " : "", STR_ARG(others));
}

static void challenge(struct auth_run *run)
{
    const struct auth *a = run->auth;
    struct str text = a->challenge;

    if (a->bearer && !a->proof)
        text = token_challenge(run, "Bearer realm=\"Tollgate\"",
                               !run->worst_proof, text);
    if (a->proof || (a->bearer && run->worst_proof))
        text = token_challenge(
            run, "DPoP realm=\"Tollgate\", algs=\"" PROOF_ALGORITHMS "\"", true,
            text);
    if (text.len)
        exchange_add_field(run->x, STR("WWW-Authenticate"), text);
}

static enum verdict refuse(struct auth_run *run)
{
    const struct refusal *r = verdict_of(run);

    if (!run->refused)
        explain_note(&run->x->explain, EXPLAIN_SCHEME, EXPLAIN_REFUSED,
                     REASON_NO_CREDENTIAL, 0, NULL);
    if (r->status == 401 || r->status == 403)
        challenge(run);
    exchange_refuse(run->x, r);
    return VERDICT_ANSWERED;
}

/* Goes through the ways from where run stands; result: of the present
 * demand, when it was waited for. */
static enum verdict go_on(struct auth_run *run, enum finding result, bool have)
{
    const struct auth *a = run->auth;

    while (run->way < a->count) {
        const struct auth_way *way = &a->ways[run->way];
        const struct auth_demand *d = &way->demands[run->demand];

        if (!have)
            result = d->kind->check(run, d->conf);
        have = false;
        if (result == FOUND_LATER)
            return VERDICT_WAIT;
        if (result == FOUND_GOOD)
            result = judge(run, d);
        if (result != FOUND_GOOD) {
            way_failed(run, result);
            continue;
        }
        found(run);
        if (++run->demand < way->count)
            continue;
        run->x->caller = run->caller;
        return VERDICT_NEXT;
    }
    if (a->open && !run->refused) {
        explain_note(&run->x->explain, EXPLAIN_SCHEME, EXPLAIN_PASSED,
                     REASON_OPEN_WITHOUT, 0, NULL);
        return VERDICT_NEXT;
    }
    return refuse(run);
}

static enum verdict on_request(const void *conf, struct exchange *x)
{
    struct auth_run *run = arena_alloc(x->s.arena, sizeof(*run));

    run->x = x;
    run->auth = conf;
    x->auth = run;
    return go_on(run, FOUND_GOOD, false);
}

void authenticate_done(struct auth_run *run, enum finding result)
{
    must(run->waiting);
    run->waiting = NULL;
    if (go_on(run, result, true) == VERDICT_NEXT)
        exchange_resume(run->x);
}

static void on_end(const void *conf, struct exchange *x)
{
    struct auth_run *run = x->auth;

    (void)conf;
    if (run)
        renew_cancel(run);
    if (run && run->waiting) {
        const struct auth_demand *d =
            &run->auth->ways[run->way].demands[run->demand];

        d->kind->cancel(run);
        run->waiting = NULL;
    }
}

static const struct refusal *on_review(const void *conf, struct exchange *x)
{
    const struct refusal *r = NULL;

    (void)conf;
    for (size_t i = 0; x->auth && i < x->auth->all_count && !r; i++)
        r = credential_review(x, x->auth->all[i]);
    return r;
}

const struct policy policy_authenticate = {
    .name = "authenticate",
    .conf_size = sizeof(struct auth),
    .needs = NEED_ADDRESS,
    .prepare = prepare,
    .on_request = on_request,
    .on_review = on_review,
    .on_end = on_end,
};
