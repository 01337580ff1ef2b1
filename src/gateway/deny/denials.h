/* denials.h - the deny rules of this process, held against a call.
 */
#ifndef TG_GATEWAY_DENY_DENIALS_H
#define TG_GATEWAY_DENY_DENIALS_H

#include "gateway/deny/rules.h"
#include "gateway/settings.h"
#include "gateway/watched.h"

struct exchange;

/* Reads the file that settings name, or that of the state folder. The path is
 * in the arena. An error with problems. */
enum err denials_open(struct arena *a, const struct settings *s,
                      struct problems *ps, struct watched *out);
/* The database of countries; before denials_open(), which refuses rules that
 * need one when there is none. */
enum err countries_open(const struct settings *s, struct problems *ps,
                        struct watched *out);

/* These settings are in use from now on. */
void denials_use(const struct settings *s);

/* The rule that blocks the call, or NULL. For who has looked that there are
 * rules (deny_rules_any()). Threads: that of the exchange. */
const struct deny_rule *denials_find(const struct deny_rules *r,
                                     enum deny_time when,
                                     const struct exchange *x);
/* Says why, in the notes of the call. */
void denials_note(struct exchange *x, const struct deny_rule *rule);

#endif
