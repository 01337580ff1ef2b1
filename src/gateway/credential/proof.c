/* proof.c - see proof.h.
 *
 * A token that is bound to a key comes with the scheme DPoP and one field DPoP,
 * and another one comes without: what is bound would else be worth as much to
 * a thief as what is not. A proof is checked whole before it is looked up
 * among those that were used, so nobody fills that table with what is none.
 */
#include "gateway/credential/proof.h"

#include "gateway/exchange.h"
#include "gateway/forwarding.h"
#include "gateway/replays.h"
#include "gateway/worker.h"
#include "jose/dpop.h"

static enum finding refuse(struct auth_run *run, enum explain_reason reason,
                           const char *error, const char *text,
                           const struct str *detail)
{
    explain_note(&run->x->explain, EXPLAIN_TOKEN, EXPLAIN_REFUSED, reason, 0,
                 detail);
    run->refusal = &refusal_invalid;
    run->error = error;
    run->error_text = text;
    run->proof = true; /* the challenge is one for proofs */
    return FOUND_BAD;
}

static enum finding bad_proof(struct auth_run *run, enum explain_reason reason,
                              const char *what)
{
    struct str *detail = arena_alloc(run->x->s.arena, sizeof(*detail));

    *detail = str_z(what);
    return refuse(run, reason, "invalid_dpop_proof", "The proof is not valid",
                  detail);
}

/* The one field DPoP; two are as good as none. */
static bool find_proof(const struct message *m, struct str *out)
{
    size_t n = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        if (m->headers[i].id != FIELD_DPOP)
            continue;
        *out = m->headers[i].value;
        n++;
    }
    return n == 1;
}

/* Nobody has used it before; and from now on nobody will. */
static enum finding use_once(struct auth_run *run, const struct dpop_conf *conf,
                             const struct dpop *proof)
{
    struct worker *w = run->x->worker;
    uint64_t now_s = loop_now_ms(w->loop) / 1000 + 1;
    /* Twice what is needed, since clocks are set. */
    uint64_t life_s = 2 * (conf->max_age_ms + 2 * conf->skew_ms) / 1000 + 2;

    switch (replays_use(w->replays, str_from(proof->thumbprint, JWK_THUMBPRINT),
                        proof->jti, now_s, now_s + life_s)) {
    case REPLAY_FIRST:
        return FOUND_GOOD;
    case REPLAY_AGAIN:
        return bad_proof(run, REASON_PROOF_AGAIN, "");
    default:
        (void)bad_proof(run, REASON_PROOF_FULL, "");
        run->refusal = &refusal_auth_unavailable;
        run->error = run->error_text = NULL;
        return FOUND_BAD;
    }
}

static enum finding check_proof(struct auth_run *run,
                                const struct dpop_conf *conf,
                                const struct token_entry *e)
{
    struct exchange *x = run->x;
    struct dpop_rules rules = {
        .method = x->s.request.method_text,
        .uri = forwarding_uri(x),
        .access_token = e->token,
        .thumbprint = e->bound_key,
        .max_age_s = (uint32_t)(conf->max_age_ms / 1000),
        .skew_s = (uint32_t)((conf->skew_ms + 999) / 1000),
    };
    const char *what = "";
    struct dpop proof;
    struct str text;
    enum jwt_fault fault;
    enum finding f;

    if (!find_proof(&x->s.request, &text))
        return bad_proof(run, REASON_PROOF_MISSING, "");
    fault = dpop_verify(x->s.arena, text, &rules,
                        loop_wall_us(x->worker->loop) / 1000000, &proof, &what);
    if (fault == JWT_MISSING_CLAIM)
        what = arena_printf(x->s.arena, "%s is missing", what).p;
    if (fault)
        return bad_proof(run, REASON_PROOF_BAD,
                         *what ? what : jwt_fault_text(fault));
    f = use_once(run, conf, &proof);
    if (f == FOUND_GOOD)
        explain_note(&x->explain, EXPLAIN_TOKEN, EXPLAIN_PASSED,
                     REASON_PROOF_GOOD, 0, NULL);
    return f;
}

enum finding proof_check(struct auth_run *run, const struct dpop_conf *conf,
                         const struct token_entry *e)
{
    bool bound = e->bound_key.len > 0;

    if (bound && !run->proof)
        return refuse(run, REASON_PROOF_SCHEME, "invalid_token",
                      "The token is bound to a key: send it with the scheme "
                      "DPoP and a proof",
                      NULL);
    if (!bound && (run->proof || conf->required))
        return refuse(run, REASON_TOKEN_UNBOUND, "invalid_token",
                      "The token is not bound to a key", NULL);
    /* A stream proved it when it began, and its proof is used up. */
    return bound && !run->x->again ? check_proof(run, conf, e) : FOUND_GOOD;
}

void proof_hide(struct exchange *x)
{
    struct message *m = &x->s.request;

    for (uint32_t i = 0; i < m->count; i++)
        if (m->headers[i].id == FIELD_DPOP)
            m->headers[i].hop = true;
}
