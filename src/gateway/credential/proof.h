/* proof.h - tokens that are good only with a proof of who holds their key
 * (DPoP, RFC 9449).
 */
#ifndef TG_GATEWAY_CREDENTIAL_PROOF_H
#define TG_GATEWAY_CREDENTIAL_PROOF_H

#include "gateway/credential/credential.h"
#include "gateway/credential/credential_conf.h"
#include "gateway/credential/token_cache.h"

/* What proofs may be signed with, for challenges. */
#define PROOF_ALGORITHMS \
    "ES256 ES384 ES512 EdDSA PS256 PS384 PS512 RS256 RS384 RS512"

/* Of a token that is good else, and came by the scheme that run->proof says:
 * whether the proof it needs came with it. FOUND_GOOD, or FOUND_BAD with
 * run->refusal and its reason noted. */
enum finding proof_check(struct auth_run *run, const struct dpop_conf *conf,
                         const struct token_entry *e);
/* The backend does not get it. */
void proof_hide(struct exchange *x);

#endif
