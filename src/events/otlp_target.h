/* otlp_target.h - where spans go: what otlp.c looks at of one. */
#ifndef TG_EVENTS_OTLP_TARGET_H
#define TG_EVENTS_OTLP_TARGET_H

#include "events/otlp.h"

struct otlp_target {
    struct arena *arena;
    struct outbound *outbound;
    struct tls_context *tls; /* NULL: outbound's */
    struct str url;
    struct header *headers;
    size_t header_count;
    struct str begin; /* of a body, up to the first span */
    uint64_t queue, batch, interval_ms, timeout_ms, give_up_ms;
};

#endif
