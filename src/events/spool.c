/* spool.c - see spool.h. */
#include "events/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { SEGMENT = 8 << 20 };

static void path_of(const struct spool *s, uint64_t n, char *out, size_t max)
{
    snprintf(out, max, "%s/spool-%llu", s->folder, (unsigned long long)n);
}

void spool_init(struct spool *s, const char *folder)
{
    *s = (struct spool) { .folder = folder, .first_fd = -1 };
    s->last.fd = -1;
}

static void close_first(struct spool *s)
{
    if (s->first_fd >= 0)
        close(s->first_fd);
    s->first_fd = -1;
    s->first_n = 0;
}

void spool_close(struct spool *s)
{
    appender_close(&s->last);
    s->last_n = 0;
    close_first(s);
}

static enum err open_last(struct spool *s, uint64_t n, bool fresh)
{
    char path[512];
    enum err e;

    appender_close(&s->last);
    path_of(s, n, path, sizeof(path));
    appender_init(&s->last, str_z(path));
    s->last_n = n;
    e = appender_ready(&s->last, 1);
    if (!e && fresh && s->last.place.at) { /* of a ledger that was lost */
        if (ftruncate(s->last.fd, 0))
            e = ERR_IO;
        s->last.place.at = 0;
    }
    if (e)
        s->last_n = 0;
    return e;
}

enum err spool_ready(struct spool *s, struct ledger_totals *t)
{
    uint64_t n = t->spool_last;
    enum err e;

    if (spool_empty(t)) {
        t->spool_last = t->spool_first;
        t->spool_at = 0;
        return open_last(s, t->spool_last, true);
    }
    e = s->last_n == n ? appender_ready(&s->last, 1) : open_last(s, n, false);
    if (!e && s->last.place.at >= SEGMENT) {
        e = open_last(s, n + 1, true);
        t->spool_last = n + 1;
    }
    return e;
}

static enum err open_first(struct spool *s, uint64_t n)
{
    char path[512];

    if (s->first_n == n)
        return ERR_OK;
    close_first(s);
    path_of(s, n, path, sizeof(path));
    s->first_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (s->first_fd < 0)
        return ERR_IO;
    s->first_n = n;
    return ERR_OK;
}

static size_t read_at(int fd, char *buf, size_t max, uint64_t at)
{
    size_t done = 0;
    ssize_t n = 1;

    while (done < max && n > 0) {
        n = pread(fd, buf + done, max - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            done += (size_t)n;
    }
    return done;
}

enum err spool_read(struct spool *s, struct ledger_totals *t, char *buf,
                    size_t max, struct str *out)
{
    *out = STR_NULL;
    while (!spool_empty(t)) {
        size_t n, whole;

        if (open_first(s, t->spool_first)) {
            /* Somebody removed it: what it held is lost, and said. */
            log_error("events",
                      "spool-%llu cannot be read: %m; its events "
                      "are lost",
                      (unsigned long long)t->spool_first);
            n = 0;
        } else {
            n = read_at(s->first_fd, buf, max, t->spool_at);
        }
        whole = str_rfind(str_from(buf, n), '\n');
        if (n && whole < n) {
            *out = str_from(buf, whole + 1);
            return ERR_OK;
        }
        t->spool_first++;
        t->spool_at = 0;
        close_first(s);
    }
    return ERR_OK;
}

void spool_clean(struct spool *s, const struct ledger_totals *t)
{
    char path[512];
    uint64_t n = t->spool_first;

    if (s->last_n && s->last_n < n) {
        appender_close(&s->last);
        s->last_n = 0;
    }
    do {
        path_of(s, --n, path, sizeof(path));
    } while (n && !unlink(path));
}
