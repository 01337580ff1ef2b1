/* appender.h - a file that lines are appended to, each batch whole or not at
 * all; and what rotates it.
 */
#ifndef TG_EVENTS_APPENDER_H
#define TG_EVENTS_APPENDER_H

#include "events/ledger.h"

struct appender {
    char path[512]; /* "": standard output */
    int fd;         /* -1: not open */
    bool regular;   /* has an end that can be cut */
    struct ledger_place place;
    uint64_t opened_s; /* wall's clock */
    size_t part;       /* of a pipe: bytes of the next line that went already */
};

void appender_init(struct appender *a, struct str path); /* "": stdout */
void appender_close(struct appender *a);

/* Opens it, or opens it anew when somebody has renamed or removed it. ERR_IO
 * with errno. */
enum err appender_ready(struct appender *a, uint64_t now_s);
/* All of lines, or nothing (ERR_IO with errno). A pipe may take a part:
 * *taken says how many bytes of whole lines went; what follows them must come
 * first at the next call. */
enum err appender_write(struct appender *a, struct str lines, size_t *taken);

struct rotation {
    uint64_t bytes, age_s, keep; /* 0: no such rule; keep 0: all */
};
/* Renames it to PATH.20261127T091530Z when it is due, and removes the oldest
 * of these. Afterwards appender_ready() begins a new one. */
void appender_rotate(struct appender *a, const struct rotation *r,
                     uint64_t now_s, size_t next);

#endif
