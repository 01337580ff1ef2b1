/* credential.c - what the kinds of credentials share. */
#include "gateway/credential/credential.h"

#include "gateway/attempts.h"
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

bool credential_bound(struct exchange *x, struct str x5t_s256)
{
    struct tls *t = http_conn_tls(x->s.conn);
    char have[JWK_THUMBPRINT + 1];
    unsigned char sha256[32];

    if (!x5t_s256.len || !t || !tls_peer_sha256(t, sha256))
        return false;
    (void)b64url_encode(sha256, sizeof(sha256), have);
    return str_eq(x5t_s256, str_from(have, JWK_THUMBPRINT));
}
