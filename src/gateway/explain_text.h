/* explain_text.h - what was kept of a call, for a person and for programs.
 */
#ifndef TG_GATEWAY_EXPLAIN_TEXT_H
#define TG_GATEWAY_EXPLAIN_TEXT_H

#include "base/buf.h"
#include "gateway/explain.h"

struct explained_note {
    enum explain_step step;
    enum explain_verdict verdict;
    enum explain_reason reason;
    uint32_t number, us;
    struct str text;
};

struct explained {
    struct explain_head head;
    bool marked;
    uint32_t lost; /* notes there was no room for */
    struct explained_note notes[EXPLAIN_RECORDS];
    uint32_t count;
};

/* Views of bytes. ERR_INVALID: not what explain_encode() makes. */
enum err explain_decode(struct str bytes, struct explained *out);

/* Paragraphs; utf8: with marks beyond ASCII. */
enum err explain_text(struct buf *b, const struct explained *x, bool utf8);
/* One line of JSON. */
enum err explain_json(struct buf *b, const struct explained *x);
/* One line: time, id, status, API, what, why. */
enum err explain_line(struct buf *b, const struct explained *x);

/* The sentence of a reason, and what would have made it pass (empty when
 * nothing was refused). */
enum err explain_sentence(struct buf *b, const struct explained_note *n);
enum err explain_fix(struct buf *b, const struct explained_note *n);

#endif
