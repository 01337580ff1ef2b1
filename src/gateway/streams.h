/* streams.h - exchanges that may live for days: tunnels, event streams, gRPC
 * calls. Each thread lists its own, and looks at them when what is served has
 * changed.
 */
#ifndef TG_GATEWAY_STREAMS_H
#define TG_GATEWAY_STREAMS_H

#include "gateway/exchange.h"

/* Lists x, once; streams_leave() is harmless when it is not listed. */
void streams_join(struct exchange *x);
void streams_leave(struct exchange *x);
/* A new snapshot was picked up. A stream of an API that is compiled anew
 * passes its chain again and goes on under the new one when its endpoint is
 * still there, so the old one can be freed; else it ends: a WebSocket with
 * close code 1001, others when timeouts.drain is over. */
void streams_review(struct worker *w);
/* One that waited in a step while it passed its chain again goes on. */
void streams_resume(struct exchange *x);
/* A few times a second while there are any: streams whose steps no longer let
 * them (policy.on_review) end, a WebSocket with close code 1008, gRPC with its
 * status, others by a cut. */
void streams_watch(struct worker *w);
/* x->timer of a stream that was to end has fired. */
void streams_end(struct exchange *x);

#endif
