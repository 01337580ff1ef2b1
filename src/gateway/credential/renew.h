/* renew.h - a stream that was let in with a token that a server judges: the
 * server is asked again when what it said is old.
 *
 * Nobody waits for the answer; the stream ends at the next look after a no.
 * When nobody can say, it goes on: it was good when last heard of.
 * Threads: that of the exchange.
 */
#ifndef TG_GATEWAY_CREDENTIAL_RENEW_H
#define TG_GATEWAY_CREDENTIAL_RENEW_H

#include "gateway/credential/credential.h"

/* c: of a token. NULL: it still is good, or nobody else judges it; else why
 * not, with a note. */
const struct refusal *renew_review(struct exchange *x, const struct caller *c);
/* The stream ends, or passes its chain again. */
void renew_cancel(struct auth_run *run);

#endif
