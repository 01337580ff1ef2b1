/* grpc.h - what a proxy knows of gRPC: which calls are it, how long they may
 * take, how its own refusals are said, and where messages begin and end.
 *
 * Source: gRPC over HTTP/2 (PROTOCOL-HTTP2 of the gRPC project). No
 * allocation, no threads.
 */
#ifndef TG_HTTP_GRPC_H
#define TG_HTTP_GRPC_H

#include "base/err.h"
#include "base/str.h"

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

/* "application/grpc", or that with "+proto", "; charset=…". Not grpc-web. */
bool grpc_is_type(struct str content_type);

/* The value of grpc-timeout, "100m", "5S": 1 to 8 digits and a unit of H, M,
 * S, m, u, n. *ms is rounded up. ERR_INVALID for anything else. */
enum err grpc_timeout_parse(struct str value, uint64_t *ms);

/* What a refusal with that HTTP status is in gRPC. */
enum grpc_code grpc_code_of_status(unsigned status);

/* Text as grpc-message wants it: bytes outside of space to tilde, and '%', are
 * percent-encoded. out has room for 3 * text.len. Returns the length. */
size_t grpc_message_encode(struct str text, char *out);

/* One direction of a call: a flag byte, a length of four bytes, the message,
 * and again. Zeroed at the start. */
struct grpc_frames {
    uint64_t messages; /* that are whole */
    uint32_t left;     /* bytes of the message in hand */
    uint8_t prefix[5];
    uint8_t have; /* bytes of the prefix */
};
/* Follows p[0..n). max: the longest message, 0: any. ERR_INVALID: a flag that
 * is neither 0 nor 1; ERR_LIMIT: a message longer than max. */
enum err grpc_frames_follow(struct grpc_frames *f, const char *p, size_t n,
                            uint32_t max);
/* Is it between two messages? */
static inline bool grpc_frames_between(const struct grpc_frames *f)
{
    return !f->left && !f->have;
}

#endif
