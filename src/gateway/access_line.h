/* access_line.h - one call as one line; behind access_log.h. */
#ifndef TG_GATEWAY_ACCESS_LINE_H
#define TG_GATEWAY_ACCESS_LINE_H

#include "gateway/access_log.h"

enum { ACCESS_TOKENS = 128 };

enum token_kind {
    TOKEN_LITERAL,
    TOKEN_DASH,
    TOKEN_TEXT,    /* a struct str of the entry */
    TOKEN_WORD,    /* the same, in which a space would look like an end */
    TOKEN_U64,     /* a uint64_t of the entry */
    TOKEN_SECONDS, /* the same in microseconds, as whole seconds */
    TOKEN_LENGTH,  /* the same, "-" for 0 */
    TOKEN_TIME,
    TOKEN_REQUEST_LINE,
    TOKEN_PATH,
    TOKEN_QUERY,
    TOKEN_PROTOCOL,
    TOKEN_STATUS,
    TOKEN_RETRIES,
    TOKEN_REQUEST_HEADER,
    TOKEN_REPLY_HEADER,
};

struct token {
    enum token_kind kind;
    size_t at;       /* offset in struct access_entry; of a header its id */
    struct str text; /* literal, name of a header */
    bool secret;     /* show only whether there is such a header */
};

struct access_log_format {
    bool json;
    size_t count;
    struct token tokens[ACCESS_TOKENS];
    char text[]; /* the format, which tokens point into */
};

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
