/* tracing.h - which calls are traced, what their backends are told, and the
 * spans of those that are sampled.
 *
 * With propagation a call that brings no valid traceparent gets one, and the
 * backend sees it; whether it is sampled is decided once, by who begins the
 * trace. A sampled call, where there is a collector, has x->trace: times are
 * noted there, and become spans when it ends:
 *
 *   GET /shop/pets/{id}            server, the whole call
 *     request body                 until its last byte was here
 *     policies, authentication, limits   the steps of the chain
 *     GET                          client, one for each try of a backend; its
 *                                  id is what the backend is told
 *     response body, tunnel        from the reply's head to the end
 *
 * One call in TRACE_TIMED has x->trace for its times alone, which go to the
 * metrics, as those of sampled calls do. The other calls pay a branch where
 * these functions are called.
 *
 * Threads: a worker's own.
 */
#ifndef TG_GATEWAY_TRACING_H
#define TG_GATEWAY_TRACING_H

#include "gateway/exchange.h"

/* Kept out of the functions that call them, whose registers are for the calls
 * that are not traced. */
#define TRACED __attribute__((cold, noinline))

enum { TRACE_TIMED = 64 };

/* A request has come. Only when snapshot->tracing is there. */
TRACED void tracing_begin(struct exchange *x);

/* Now and then: this call is timed, whether it is sampled or not. */
TRACED void tracing_time(struct exchange *x);

/* All of these only with x->trace. */

/* The chain goes on with this step; NULL: it is over. */
TRACED void tracing_step(struct exchange *x, const struct policy *policy);
/* The present step has refused it. */
TRACED void tracing_refused(struct exchange *x);
/* The request is whole. */
TRACED void tracing_body_in(struct exchange *x);
/* x->endpoint was chosen. */
TRACED void tracing_try(struct exchange *x);
/* It replied; it failed, why is static; it is over, one way or another. */
TRACED void tracing_reply(struct exchange *x, unsigned status);
TRACED void tracing_try_failed(struct exchange *x, const char *why);
TRACED void tracing_try_over(struct exchange *x);
/* The call has ended: counts its times, hands its spans over. */
TRACED void tracing_end(struct exchange *x);

#endif
