/* tunnel.h - a WebSocket between a client and a backend, once both have agreed
 * (101). For exchange.c, proxy.c and streams.c.
 *
 *   OPEN     bytes pass both ways; each direction is followed frame by frame
 *            (http/websocket.h), so that broken framing is found and there is
 *            a place for a Close frame of our own
 *   CLOSING  tunnel_close(): each side gets a Close frame at its next frame
 *            boundary and nothing after it; its own Close is awaited
 *   over     both have closed, one has gone, or it took too long
 */
#ifndef TG_GATEWAY_TUNNEL_H
#define TG_GATEWAY_TUNNEL_H

#include "gateway/exchange.h"

/* The backend answered 101. False: not as the client asked; nothing was sent
 * to the client. */
bool tunnel_begin(struct exchange *x, const struct message *reply,
                  const struct http_reply *r);
/* Bytes from the client, from the backend; their ends. */
void tunnel_up(struct exchange *x, const char *p, size_t n);
void tunnel_up_end(struct exchange *x);
void tunnel_down(struct exchange *x, const char *p, size_t n, bool end);
/* The backend's connection broke. */
void tunnel_broken(struct exchange *x);
/* Says goodbye to both with a code (enum ws_code); reason: a static text. */
void tunnel_close(struct exchange *x, uint16_t code, const char *reason);
/* x->timer has fired. */
void tunnel_timer(struct exchange *x);

#endif
