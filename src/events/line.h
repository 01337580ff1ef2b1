/* line.h - one call as one line of JSON.
 *
 * The members and their meaning are those of WSO2 API Manager's analytics
 * events, so that what reads those reads ours; docs/events.md lists them. A
 * line never holds a raw newline; bytes that are not UTF-8 become U+FFFD.
 */
#ifndef TG_EVENTS_LINE_H
#define TG_EVENTS_LINE_H

#include <stdint.h>

#include "events/ring.h"

/* What kinds of refusal there are (facts section 26). */
enum event_fault {
    EVENT_NO_FAULT,
    EVENT_FAULT_AUTH,
    EVENT_FAULT_THROTTLED,
    EVENT_FAULT_TARGET,
    EVENT_FAULT_OTHER,
};

/* Views only; what is empty or 0 is left out, but for numbers that mean
 * something when they are 0. */
struct event {
    struct str gateway; /* who made it: with boot, thread, number unique */
    uint64_t boot, number;
    uint32_t thread;
    uint64_t wall_us; /* when the call came */
    struct str api;   /* members of its API, by event_api_text() */
    struct str type;  /* HTTP, WS, GRPC */
    struct str method, resource;
    struct str application_id, application, user, user_agent;
    struct str client_ip;   /* numeric */
    struct str common_name; /* of a client certificate */
    struct str tier;
    struct str correlation_id; /* [A-Za-z0-9._-]{1,64}; or empty */
    struct str destination, region;
    struct str response_type; /* Content-Type */
    unsigned status, target_status;
    uint64_t request_bytes, response_bytes;
    uint64_t total_us, backend_us;
    uint64_t before_us; /* from its begin until the backend was asked */
    unsigned retries;
    uint64_t configuration; /* number of the snapshot */
    enum event_fault fault;
    const char *error_code, *error; /* "900902", "AUTHENTICATION_FAILURE" */
    const char *reason;             /* the word of explain */
};

/* The members that are the same for all calls of an API:
 * ,"apiId":"…",…; into out, at most max bytes. Returns their length. */
size_t event_api_text(char *out, size_t max, struct str name,
                      struct str version, struct str context);

/* Into out, which has EVENT_LINE_MAX bytes; returns the length. */
size_t event_line(const struct event *e, char *out);

/* "900902" is AUTH, AUTHENTICATION_FAILURE. status decides where the code is
 * none of ours. */
enum event_fault event_fault_of(const char *code, unsigned status,
                                const char **error);

#endif
