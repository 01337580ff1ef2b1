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
/* The exchange is over: lets go of connection, line and endpoint. */
void proxy_abandon(struct exchange *x);

#endif
