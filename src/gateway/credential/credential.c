/* credential.c - what the kinds of credentials share. */
#include "gateway/credential/credential.h"

#include "gateway/attempts.h"
#include "gateway/credential/credentials.h"
#include "gateway/credential/renew.h"
#include "gateway/credential/revoked.h"
#include "gateway/credential/credentials.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"
#include "jose/b64.h"
#include "jose/jwk.h"

bool credential_may_try(struct auth_run *run)
{
    struct exchange *x = run->x;
    uint64_t now = loop_now_ms(x->worker->loop);
    struct attempts *a = x->worker->attempts;

    if (attempts_allow(a, x->client.ip, now))
        return true;
    explain_note(&x->explain, EXPLAIN_ATTEMPTS, EXPLAIN_REFUSED,
                 REASON_ATTEMPTS, 0, NULL);
    if (!run->held_back)
        exchange_add_field(
            x, STR("Retry-After"),
            arena_printf(x->s.arena, "%u", attempts_wait_s(a, now)));
    run->held_back = true;
    run->refusal = &refusal_attempts;
    run->error = run->error_text = NULL;
    return false;
}

void credential_failed(struct auth_run *run)
{
    struct exchange *x = run->x;

    if (!run->held_back)
        attempts_failed(x->worker->attempts, x->client.ip,
                        loop_now_ms(x->worker->loop));
}

void credential_hide(struct exchange *x, const struct header *h)
{
    struct message *m = &x->s.request;

    m->headers[h - m->headers].hop = true;
}

/* The balancer has seen that the client has its key. */
static bool passed_sha256(struct exchange *x, const struct passed_conf *c,
                          unsigned char out[32])
{
    const struct certificate *found;
    struct str text;

    if (passed_certificate_text(x, c, &text))
        return false;
    found = passed_certificate_known(x->worker, c, text);
    if (!found)
        found = passed_certificate_read(x, c, text);
    if (found)
        memcpy(out, found->sha256, 32);
    return found != NULL;
}

struct hidden {
    struct header *field; /* NULL: the query */
    struct str value;
    struct hidden *next;
};

void credential_will_cut(struct exchange *x, struct header *field)
{
    struct hidden *h = arena_alloc(x->s.arena, sizeof(*h));

    h->field = field;
    h->value = field ? field->value : x->s.request.query;
    h->next = x->auth->hidden;
    x->auth->hidden = h;
}

void credential_uncut(struct exchange *x)
{
    struct hidden *h = x->auth ? x->auth->hidden : NULL;
    struct message *m = &x->s.request;

    for (; h; h = h->next) {
        if (h->field) {
            h->field->value = h->value;
        } else {
            m->query = h->value;
            m->has_query = true;
        }
    }
    if (x->auth)
        x->auth->hidden = NULL;
}

bool credential_bound(struct exchange *x, struct str x5t_s256)
{
    const struct passed_conf *passed = &x->api->credentials->passed;
    struct tls *t = http_conn_tls(x->s.conn);
    char have[JWK_THUMBPRINT + 1];
    unsigned char sha256[32];

    if (!x5t_s256.len)
        return false;
    if (passed_certificate_counts(x, passed)) {
        if (!passed_sha256(x, passed, sha256))
            return false;
    } else if (!t || !tls_peer_sha256(t, sha256)) {
        return false;
    }
    (void)b64url_encode(sha256, sizeof(sha256), have);
    return str_eq(x5t_s256, str_from(have, JWK_THUMBPRINT));
}

/* Of a key that was good when its stream began. */
static const struct refusal *review_key(struct exchange *x,
                                        const struct caller *c)
{
    const struct credentials *all = x->api->credentials;
    const struct api_key *key;
    uint64_t now_s = loop_wall_us(x->worker->loop) / 1000000;
    bool revoked, expired = false;

    if (c->issuer.len) { /* a signed one */
        const struct revoked *table = key_signers_now(&all->signers);

        revoked = table && revoked_has(table, c->token_id);
    } else {
        key = keyfile_find(credentials_keys(all), c->token_id);
        revoked = !key || key->revoked_s;
        expired = key && key->expires_s && now_s >= key->expires_s;
    }
    if (!revoked && !expired)
        return NULL;
    explain_note(&x->explain, EXPLAIN_KEY, EXPLAIN_REFUSED,
                 revoked ? REASON_KEY_REVOKED : REASON_KEY_EXPIRED, 0,
                 &c->token_id);
    return &refusal_invalid;
}

const struct refusal *credential_review(struct exchange *x,
                                        const struct caller *c)
{
    static const struct str meanwhile = { "while the stream was open", 25 };
    uint64_t now_s = loop_wall_us(x->worker->loop) / 1000000;
    bool key = c->kind == CALLER_API_KEY;

    if (c->expires_s && now_s >= c->expires_s) {
        explain_note(&x->explain, key ? EXPLAIN_KEY : EXPLAIN_TOKEN,
                     EXPLAIN_REFUSED,
                     key ? REASON_KEY_EXPIRED : REASON_TOKEN_EXPIRED, 0,
                     key ? &c->token_id : &meanwhile);
        return &refusal_invalid;
    }
    if (c->kind == CALLER_TOKEN)
        return renew_review(x, c);
    return key ? review_key(x, c) : NULL;
}
