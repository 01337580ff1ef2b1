/* appender.c - see appender.h. */
#include "events/appender.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum { PIPE_PIECE = 4096, PIPE_WAIT_MS = 200 };

void appender_init(struct appender *a, struct str path)
{
    *a = (struct appender) { .fd = -1 };
    snprintf(a->path, sizeof(a->path), "%.*s", STR_ARG(path));
}

void appender_close(struct appender *a)
{
    if (a->fd >= 0 && a->path[0])
        close(a->fd);
    a->fd = -1;
}

static bool still_there(const struct appender *a)
{
    struct stat st;

    if (!a->regular)
        return true;
    return !stat(a->path, &st) && st.st_dev == a->place.dev &&
           st.st_ino == a->place.ino;
}

enum err appender_ready(struct appender *a, uint64_t now_s)
{
    struct stat st;

    if (a->fd >= 0 && !still_there(a)) {
        appender_close(a);
        a->opened_s = 0;
    }
    if (a->fd < 0 && !a->path[0])
        a->fd = STDOUT_FILENO;
    else if (a->fd < 0)
        a->fd =
            open(a->path,
                 O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    if (a->fd < 0)
        return ERR_IO;
    if (fstat(a->fd, &st)) {
        appender_close(a);
        return ERR_IO;
    }
    /* Others may append to what standard output is: its end is not ours. */
    a->regular = a->path[0] && S_ISREG(st.st_mode);
    memcpy(a->place.path, a->path, sizeof(a->path));
    a->place.dev = st.st_dev;
    a->place.ino = st.st_ino;
    a->place.at = (uint64_t)st.st_size;
    if (!a->opened_s)
        a->opened_s = st.st_size ? (uint64_t)st.st_mtim.tv_sec : now_s;
    return ERR_OK;
}

static enum err write_file(struct appender *a, struct str lines)
{
    struct str left = lines;
    int error;

    while (left.len) {
        ssize_t n = write(a->fd, left.p, left.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        left = str_skip(left, (size_t)n);
    }
    if (!left.len)
        return ERR_OK;
    error = errno;
    if (left.len < lines.len && ftruncate(a->fd, (off_t)a->place.at))
        log_error("events", "%s: half a line cannot be cut off: %m", a->path);
    errno = error;
    return ERR_IO;
}

/* A pipe takes up to 4096 bytes without blocking when poll() says that it is
 * writable, so a reader that sleeps holds up nobody for long. */
static size_t write_pipe(struct appender *a, struct str lines)
{
    size_t done = a->part;

    while (done < lines.len) {
        struct pollfd p = { .fd = a->fd, .events = POLLOUT };
        size_t n = lines.len - done;
        ssize_t sent;

        if (poll(&p, 1, PIPE_WAIT_MS) <= 0)
            break;
        sent = write(a->fd, lines.p + done, n < PIPE_PIECE ? n : PIPE_PIECE);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            break;
        done += (size_t)sent;
    }
    return done;
}

enum err appender_write(struct appender *a, struct str lines, size_t *taken)
{
    size_t done, whole;

    if (a->regular) {
        enum err e = write_file(a, lines);

        *taken = e ? 0 : lines.len;
        return e;
    }
    done = write_pipe(a, lines);
    whole = str_rfind(str_head(lines, done), '\n');
    *taken = whole < done ? whole + 1 : 0;
    a->part = done - *taken;
    return *taken ? ERR_OK : ERR_IO;
}

/* Rotation */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* NAME.YYYYMMDDTHHMMSSZ, and with -N behind it. */
static bool is_rotated(const char *name, const char *base)
{
    size_t n = strlen(base);

    return strncmp(name, base, n) == 0 && name[n] == '.' &&
           strlen(name + n + 1) >= 16 && name[n + 9] == 'T' &&
           strspn(name + n + 1, "0123456789") == 8;
}

/* Removes all but the newest `keep`. Names sort by time. */
static void remove_old(const struct appender *a, uint64_t keep)
{
    char *slash = strrchr(a->path, '/'), *names[1024], path[1200];
    const char *base = slash ? slash + 1 : a->path;
    size_t count = 0;
    struct dirent *d;
    DIR *dir;

    snprintf(path, sizeof(path), "%.*s", slash ? (int)(slash - a->path + 1) : 1,
             slash ? a->path : ".");
    dir = opendir(path);
    while (dir && (d = readdir(dir)) && count < 1024)
        if (is_rotated(d->d_name, base))
            names[count++] = strdup(d->d_name);
    if (dir)
        closedir(dir);
    qsort(names, count, sizeof(*names), by_name);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%.*s%s",
                 slash ? (int)(slash - a->path + 1) : 0, a->path, names[i]);
        if (i + keep < count && unlink(path))
            log_warn("events", "%s cannot be removed: %m", path);
        free(names[i]);
    }
}

static bool due(const struct appender *a, const struct rotation *r,
                uint64_t now_s, size_t next)
{
    if (a->fd < 0 || !a->regular || !a->place.at)
        return false;
    if (r->bytes && a->place.at + next > r->bytes)
        return true;
    return r->age_s && now_s / r->age_s > a->opened_s / r->age_s;
}

void appender_rotate(struct appender *a, const struct rotation *r,
                     uint64_t now_s, size_t next)
{
    time_t now = (time_t)now_s;
    char to[600], stamp[24];
    struct tm tm;

    if (!due(a, r, now_s, next))
        return;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
    snprintf(to, sizeof(to), "%s.%s", a->path, stamp);
    for (unsigned n = 2; n < 1000 && access(to, F_OK) == 0; n++)
        snprintf(to, sizeof(to), "%s.%s-%03u", a->path, stamp, n);
    if (rename(a->path, to)) {
        log_warn("events", "%s cannot be renamed: %m; it grows on", a->path);
        a->opened_s = now_s; /* the next try when it is due again */
        return;
    }
    appender_close(a);
    a->opened_s = now_s;
    if (r->keep)
        remove_old(a, r->keep);
}
