/* tracing.h - which calls are traced, and what their backends are told.
 *
 * With propagation a call that brings no valid traceparent gets one, and the
 * backend sees it; whether it is sampled is decided once, by who begins the
 * trace. Without it all such fields are passed on as they came.
 *
 * Threads: a worker's own.
 */
#ifndef TG_GATEWAY_TRACING_H
#define TG_GATEWAY_TRACING_H

#include "gateway/exchange.h"

/* A request has come. Only when snapshot->tracing is there. */
void tracing_begin(struct exchange *x);

#endif
