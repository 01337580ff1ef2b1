/* client_internal.h - what the files of the client side share: client.c
 * (connecting), h1_client.c and h2_client.c (protocols). Nobody else includes
 * it.
 */
#ifndef TG_HTTP_CLIENT_INTERNAL_H
#define TG_HTTP_CLIENT_INTERNAL_H

#include "http/client.h"

enum { INFORMS_MAX = 16 }; /* 1xx before one reply */

/* The functions of client.h, by protocol. */
struct http_client_protocol {
    void (*start)(struct http_client *c, struct http_call *x,
                  const struct http_request *r, bool more);
    void (*body)(struct http_call *x, const void *p, size_t n, bool end,
                 struct str trailers);
    size_t (*unsent)(const struct http_call *x);
    void (*pause)(struct http_call *x);
    void (*resume)(struct http_call *x);
    void (*cancel)(struct http_call *x);
    uint32_t (*room)(const struct http_client *c);
    /* The connection's end: on_gone(), then the calls hear of it. */
    void (*gone)(struct http_client *c, enum http_fail kind, const char *why);
};
extern const struct http_client_protocol http_client_protocol_1,
    http_client_protocol_2;

static inline struct http_client *http_client_of(struct conn *c)
{
    return (struct http_client *)c; /* its first member */
}

/* h1_client.c: a new one, zeroed, as which every connection begins. */
struct http_client *h1_client_new(void);
void h1_client_thread_done(void);
void h2_client_thread_done(void);
/* It is connected and speaks that protocol. By HTTP/2 on_ready() follows when
 * the backend's SETTINGS are there: until then nobody knows how many calls it
 * takes, and it counts as connecting. */
void h1_client_begin(struct http_client *c);
void h2_client_begin(struct http_client *c);

#endif
