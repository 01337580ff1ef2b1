/* proxy_protocol.h - the PROXY header a trusted balancer sends before the
 * first byte, versions 1 and 2 (HAProxy's proxy-protocol.txt).
 */
#ifndef TG_HTTP_PROXY_PROTOCOL_H
#define TG_HTTP_PROXY_PROTOCOL_H

#include <netinet/in.h>

#include "base/str.h"

/* At most this many bytes are ever needed. */
#define PROXY_HEADER_MAX 536

struct proxy_header {
    bool local; /* LOCAL, UNKNOWN or UNSPEC: keep the peer's own address */
    struct sockaddr_storage source, destination;
    size_t length; /* bytes the header takes */
};

/* ERR_AGAIN: could still become a header; ERR_INVALID: is none, or a broken
 * or over-long one. */
enum err proxy_header_parse(const char *p, size_t len,
                            struct proxy_header *out);

#endif
