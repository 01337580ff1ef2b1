/* access_line.h - one call as one line; behind access_log.h. */
#ifndef TG_GATEWAY_ACCESS_LINE_H
#define TG_GATEWAY_ACCESS_LINE_H

#include "gateway/access_log.h"

/* A thread's texts of the second it is in. */
struct access_clock {
    uint64_t second; /* since 1970 */
    char iso[25];    /* "2026-11-21T08:00:00.000Z" */
    char common[29]; /* "[21/Nov/2026:08:00:00 +0000]" */
};

/* Writes at most ACCESS_LOG_LINE bytes to out, the last one a newline, and
 * returns how many. */
size_t access_line(const struct access_log_format *f,
                   const struct access_entry *e, struct access_clock *clock,
                   char *out);

#endif
