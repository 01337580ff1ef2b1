/* event.h - the event of a call: what line.h writes, from an exchange.
 *
 * Once for each call, before the last byte of its answer is handed over: see
 * http_handler.on_answered. A call without a whole answer has it at its end.
 */
#ifndef TG_GATEWAY_EVENT_H
#define TG_GATEWAY_EVENT_H

#include "gateway/exchange.h"

/* last: body bytes that are about to be sent; status: of the answer, 0: the
 * client left before one. */
void event_record(struct exchange *x, size_t last, unsigned status);
/* Of a request that never became an exchange; m may be NULL. */
void event_refused(struct worker *w, const struct client_address *peer,
                   unsigned status, const struct message *m, struct str id,
                   size_t bytes);
/* What is the same in all events of an API; in its arena. */
struct str event_of_api(struct arena *a, const struct api *api);

#endif
