/* explain.h - what was decided about a call, and why.
 *
 * Each step of the chain notes its decision: sixteen bytes, always, so that
 * a refusal can be explained afterwards to somebody who did not ask for it
 * before. Text is made only when it is read.
 */
#ifndef TG_GATEWAY_EXPLAIN_H
#define TG_GATEWAY_EXPLAIN_H

#include "base/str.h"

enum explain_step {
    EXPLAIN_SCHEME, /* one of the document's security schemes */
    EXPLAIN_TOKEN,
    EXPLAIN_KEY,
    EXPLAIN_PASSWORD,
    EXPLAIN_CERTIFICATE,
    EXPLAIN_ATTEMPTS,
    EXPLAIN_SCOPE,
    EXPLAIN_ACCESS, /* deny rules, addresses */
    EXPLAIN_LIMIT,
    EXPLAIN_ENDPOINT,
};

enum explain_verdict { EXPLAIN_PASSED, EXPLAIN_SKIPPED, EXPLAIN_REFUSED };

enum explain_reason {
    REASON_NO_CREDENTIAL,
    REASON_CREDENTIAL_ABSENT,
    REASON_OPEN_WITHOUT,
    REASON_ATTEMPTS,
    REASON_TOKEN_GOOD,
    REASON_TOKEN_KNOWN,
    REASON_TOKEN_MALFORMED,
    REASON_TOKEN_EXPIRED,
    REASON_TOKEN_NOT_YET,
    REASON_TOKEN_ISSUER,
    REASON_TOKEN_AUDIENCE,
    REASON_TOKEN_KEY,
    REASON_TOKEN_SIGNATURE,
    REASON_TOKEN_ALGORITHM,
    REASON_TOKEN_TYPE,
    REASON_TOKEN_CLAIM,
    REASON_TOKEN_BINDING,
    REASON_TOKEN_KIND,
    REASON_KEY_GOOD,
    REASON_KEY_MALFORMED,
    REASON_KEY_UNKNOWN,
    REASON_KEY_REVOKED,
    REASON_KEY_EXPIRED,
    REASON_KEY_API,
    REASON_KEY_ADDRESS,
    REASON_KEY_REFERER,
    REASON_CERTIFICATE_GOOD,
    REASON_CERTIFICATE_UNTRUSTED,
    REASON_CERTIFICATE_OTHER,
    REASON_SCOPE_FOUND,
    REASON_SCOPE_MISSING,
};

struct explain_record {
    uint8_t step, verdict;
    uint16_t reason;
    uint32_t number;
    const struct str *text; /* lives as long as the call; or NULL */
};

enum { EXPLAIN_RECORDS = 24 };

struct explain {
    struct explain_record records[EXPLAIN_RECORDS];
    uint32_t count; /* may be more than there is room for */
};

static inline void explain_note(struct explain *e, enum explain_step step,
                                enum explain_verdict verdict,
                                enum explain_reason reason, uint32_t number,
                                const struct str *text)
{
    /* The last place is for the last note, which is the refusal. */
    uint32_t at = e->count < EXPLAIN_RECORDS ? e->count : EXPLAIN_RECORDS - 1;

    e->count++;
    e->records[at] = (struct explain_record) { (uint8_t)step, (uint8_t)verdict,
                                               (uint16_t)reason, number, text };
}

#endif
