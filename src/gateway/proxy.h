/* proxy.h - the part of an exchange that talks to a backend. For exchange.c
 * only. */
#ifndef TG_GATEWAY_PROXY_H
#define TG_GATEWAY_PROXY_H

#include "gateway/exchange.h"

void proxy_init(struct exchange *x);
/* The chain said yes: ask a backend, once the body is here or a moment
 * later. */
void proxy_hold(struct exchange *x);
void proxy_request_body(struct exchange *x, char *p, size_t n);
void proxy_request_end(struct exchange *x, struct str trailers);
void proxy_reply_drained(struct exchange *x);
/* Stop reading from who sends faster than the other side takes. */
void proxy_slow_client(struct exchange *x);
void proxy_slow_backend(struct exchange *x);
/* The present try is over; its outcome was told, or does not count. */
void proxy_end_try(struct exchange *x);
/* The exchange is over: lets go of connection, line and endpoint. */
void proxy_abandon(struct exchange *x);

#endif
