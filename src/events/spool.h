/* spool.h - lines that wait on disk while nobody takes them: files
 * FOLDER/spool-N of some megabytes each, in order. Their positions are in the
 * ledger's totals, so a kill neither loses nor repeats any.
 */
#ifndef TG_EVENTS_SPOOL_H
#define TG_EVENTS_SPOOL_H

#include "events/appender.h"

struct spool {
    const char *folder;
    struct appender last; /* the segment that is appended to */
    uint64_t last_n;      /* its number; 0: none is open */
    int first_fd;         /* the segment that is read; -1 */
    uint64_t first_n;
};

void spool_init(struct spool *s, const char *folder);
void spool_close(struct spool *s);

static inline bool spool_empty(const struct ledger_totals *t)
{
    return t->spool_first > t->spool_last;
}

/* Opens the segment that n more bytes go to, and says in t which it is. */
enum err spool_ready(struct spool *s, struct ledger_totals *t);
/* The next lines, at most max bytes, into buf (max bytes of room); ERR_OK
 * with an empty *out when there are none. t: moved past segments that are
 * used up; *remove: how many of these files, from t's old first one, may go
 * once t holds. */
enum err spool_read(struct spool *s, struct ledger_totals *t, char *buf,
                    size_t max, struct str *out);
/* Removes the files before the first one. */
void spool_clean(struct spool *s, const struct ledger_totals *t);

#endif
