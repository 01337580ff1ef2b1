/* explain.h - what was decided about a call, and why.
 *
 * Each step of the chain notes its decision: sixteen bytes, always, so that a
 * refusal can be explained afterwards to somebody who did not ask for it
 * before. At the end of a call that was refused, or marked, the notes go to a
 * ring in the state folder (explain_ring.h). Text is made when somebody reads
 * it (explain_text.h). Secrets are never noted: names, ids and times are.
 */
#ifndef TG_GATEWAY_EXPLAIN_H
#define TG_GATEWAY_EXPLAIN_H

#include "base/arena.h"

enum explain_step {
    EXPLAIN_ROUTE,
    EXPLAIN_TRANSPORT,
    EXPLAIN_ACCESS, /* deny rules, addresses */
    EXPLAIN_ATTEMPTS,
    EXPLAIN_SCHEME, /* the document's security as a whole */
    EXPLAIN_TOKEN,
    EXPLAIN_KEY,
    EXPLAIN_PASSWORD,
    EXPLAIN_CERTIFICATE,
    EXPLAIN_SCOPE,
    EXPLAIN_CLAIM,
    EXPLAIN_LIMIT,
    EXPLAIN_ENDPOINT,
    EXPLAIN_STEPS,
};

enum explain_verdict { EXPLAIN_PASSED, EXPLAIN_SKIPPED, EXPLAIN_REFUSED };

#define REASON(name, word, what, fix) REASON_##name,
enum explain_reason {
#include "gateway/explain_reasons.h"
    REASONS
};
#undef REASON

struct explain_record {
    uint8_t step, verdict;
    uint16_t reason;
    uint32_t number;
    const struct str *text; /* lives as long as the call; or NULL */
};

enum { EXPLAIN_RECORDS = 24 };

struct explain {
    uint32_t count; /* may be more than there is room for */
    uint32_t stamped;
    bool marked; /* kept in any case, with times */
    /* Nothing from here on need be zeroed. */
    struct explain_record records[EXPLAIN_RECORDS];
    uint32_t us[EXPLAIN_RECORDS]; /* since the call began; of marked ones */
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

/* How many notes there are. */
static inline uint32_t explain_count(const struct explain *e)
{
    return e->count < EXPLAIN_RECORDS ? e->count : EXPLAIN_RECORDS;
}

/* What a call was refused for; REASONS: it was not. A call with a bad token
 * that could have brought a key instead has a note of that at the end. */
enum explain_reason explain_refusal(const struct explain *e);

/* Of a marked call: the notes made since the last time were made at us after
 * its begin. */
void explain_stamp(struct explain *e, uint64_t us);

/* What is kept of a call beside its notes. */
struct explain_head {
    struct str id; /* activityid */
    uint64_t wall_us;
    uint64_t configuration; /* its number */
    struct str api, version, method, path, operation, client;
    struct str caller; /* application or user, a name; or empty */
    struct str code;   /* of the refusal; empty: none */
    uint16_t status;
    uint32_t total_us, backend_us;
};

/* The bytes of a call, in the arena; at most EXPLAIN_BYTES_MAX. Texts are cut
 * at 256 bytes. */
#define EXPLAIN_BYTES_MAX 16384
struct str explain_encode(struct arena *a, const struct explain_head *head,
                          const struct explain *e);
/* "token=token_good scope=scope_missing!": for a header field; at most 1 KiB.
 * The ! marks the refusal. */
struct str explain_summary(struct arena *a, const struct explain *e);

/* "token"; "token_expired". */
const char *explain_step_name(enum explain_step step);
const char *explain_reason_word(enum explain_reason reason);

#endif
