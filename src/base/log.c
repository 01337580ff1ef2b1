/* log.c - one line, one write(2); see log.h.
 *
 * A line is put together on the stack, so logging works when memory is out,
 * from any thread, without a lock.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

enum { LINE_BYTES = 8192, TAIL_BYTES = 256 };

#define ELLIPSIS "\xe2\x80\xa6"

static atomic_int log_least = LOG_INFO;
static atomic_int log_form = LOG_AUTO;
static atomic_int log_fd = STDERR_FILENO;

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_setup(enum log_level least, enum log_format format, int fd)
{
    atomic_store_explicit(&log_least, (int)least, memory_order_relaxed);
    atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
    atomic_store_explicit(&log_form, (int)format, memory_order_relaxed);
}

bool log_wants(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log_least, memory_order_relaxed);
}

/* AUTO is decided with the first line, and stays. */
static bool is_json(int fd)
{
    int form = atomic_load_explicit(&log_form, memory_order_relaxed);

    if (form == LOG_AUTO) {
        form = isatty(fd) ? LOG_TEXT : LOG_JSON;
        atomic_store_explicit(&log_form, form, memory_order_relaxed);
    }
    return form == LOG_JSON;
}

struct piece {
    char *p;
    size_t len, max;
};

static bool put(struct piece *to, const char *p, size_t n)
{
    if (n > to->max - to->len)
        return false;
    memcpy(to->p + to->len, p, n);
    to->len += n;
    return true;
}

static bool put_z(struct piece *to, const char *z)
{
    return put(to, z, strlen(z));
}

/* ASCII, C1 controls, what is not UTF-8: how it is written, 0 for as is. */
static size_t escape(uint32_t c, bool json, char out[8])
{
    static const char hex[] = "0123456789abcdef";
    const char *named = c < 0x20 ? strchr("\nn\tt\rr", (int)c) : NULL;

    if (c && named) {
        memcpy(out, (char[]) { '\\', named[1] }, 2);
        return 2;
    }
    if (c < 0x20 || (c >= 0x7f && c <= 0x9f)) {
        memcpy(out, "\\u00", 4);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        return 6;
    }
    if (json && (c == '"' || c == '\\')) {
        memcpy(out, (char[]) { '\\', (char)c }, 2);
        return 2;
    }
    return 0;
}

/* False when it did not fit; what is there then ends with a whole character. */
static bool put_escaped(struct piece *to, struct str s, bool json)
{
    while (s.len) {
        char out[8];
        uint32_t c = 0;
        size_t n = utf8_next(s, &c), m = n ? escape(c, json, out) : 0;
        bool fits;

        if (!n)
            fits = put_z(to, UTF8_REPLACEMENT);
        else if (m)
            fits = put(to, out, m);
        else
            fits = put(to, s.p, n);
        if (!fits)
            return false;
        s = str_skip(s, n ? n : 1);
    }
    return true;
}

static void put_head(struct piece *to, enum log_level level, const char *area,
                     bool json)
{
    char time[25];

    clock_iso8601(clock_wall_us(), time);
    if (json) {
        put_z(to, "{\"time\":\"");
        put_z(to, time);
        put_z(to, "\",\"level\":\"");
        put_z(to, level_names[level]);
        put_z(to, "\",\"area\":\"");
        put_z(to, area);
        put_z(to, "\",\"message\":\"");
        return;
    }
    put(to, time + strlen("2026-11-21T"), strlen("08:00:00.123"));
    put_z(to, " ");
    put_z(to, level_names[level]);
    put_z(to, strlen(level_names[level]) == 4 ? "  " : " ");
    put_z(to, area);
    put_z(to, ": ");
}

/* What follows the message, room for which is set aside beforehand. */
static void put_tail(struct piece *to, struct str activityid, bool json)
{
    if (json)
        put_z(to, "\"");
    if (activityid.len) {
        put_z(to, json ? ",\"activityid\":\"" : " activityid=");
        to->max -= 4; /* for the end of the line */
        put_escaped(to, activityid, json);
        to->max += 4;
        if (json)
            put_z(to, "\"");
    }
    put_z(to, json ? "}\n" : "\n");
}

static void write_line(int fd, const char *p, size_t n)
{
    ssize_t done;

    /* A full or closed log must not stop what is being logged about. */
    do
        done = write(fd, p, n);
    while (done < 0 && errno == EINTR);
}

static void log_line(enum log_level level, const char *area,
                     struct str activityid, const char *fmt, va_list ap)
{
    char message[LINE_BYTES], line[LINE_BYTES], end[TAIL_BYTES];
    struct piece to = { line, 0, LINE_BYTES };
    struct piece tail = { end, 0, TAIL_BYTES };
    int saved = errno; /* "%m" and the caller both want it as it was */
    int fd = atomic_load_explicit(&log_fd, memory_order_relaxed);
    bool json = is_json(fd);
    int n;

    errno = saved;
    n = vsnprintf(message, sizeof(message), fmt, ap);
    if (n < 0)
        n = 0;
    /* A message cut here is cut again below: no line has room for it. */
    if ((size_t)n >= sizeof(message))
        n = (int)sizeof(message) - 1;
    put_head(&to, level, area, json);
    put_tail(&tail, activityid, json);
    to.max -= tail.len + strlen(ELLIPSIS);
    if (!put_escaped(&to, str_from(message, (size_t)n), json)) {
        to.max += strlen(ELLIPSIS);
        put_z(&to, ELLIPSIS);
    }
    to.max = LINE_BYTES;
    put(&to, tail.p, tail.len);
    write_line(fd, line, to.len);
    errno = saved;
}

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
    va_list ap;

    if (!log_wants(level))
        return;
    va_start(ap, fmt);
    log_line(level, area, STR_NULL, fmt, ap);
    va_end(ap);
}

void log_call(enum log_level level, const char *area, struct str activityid,
              const char *fmt, ...)
{
    va_list ap;

    if (!log_wants(level))
        return;
    va_start(ap, fmt);
    log_line(level, area, activityid, fmt, ap);
    va_end(ap);
}

_Noreturn void must_fail(const char *what, const char *file, int line)
{
    log_error("bug", "%s:%d: this must hold and does not: %s", file, line,
              what);
    abort();
}
