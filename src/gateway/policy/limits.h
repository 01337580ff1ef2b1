/* limits.h - limits of bytes, while these flow; for proxy.c. */
#ifndef TG_GATEWAY_POLICY_LIMITS_H
#define TG_GATEWAY_POLICY_LIMITS_H

#include "gateway/exchange.h"

/* Bytes of a body went through, either way. x->limits is not NULL. */
void limits_flowed(struct exchange *x);

#endif
