/* log.h - one line per event to stderr: JSON, or readable on a terminal.
 *
 * Values are escaped; a caller's bytes can never start a line of their own.
 * Secrets are not logged. Threads: any; a line is one write(2).
 */
#ifndef TG_BASE_LOG_H
#define TG_BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_JSON, LOG_TEXT };

/* AUTO is TEXT when fd is a terminal, else JSON. Default: INFO, AUTO, 2. */
void log_setup(enum log_level least, enum log_format format, int fd);
bool log_wants(enum log_level level);
/* area: the module ("reload", "upstream", …). No trailing newline. */
void log_write(enum log_level level, const char *area, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for one call: its activityid becomes a field of the line. */
void log_call(enum log_level level, const char *area, struct str activityid,
              const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#define log_debug(area, ...)                         \
    do {                                             \
        if (log_wants(LOG_DEBUG))                    \
            log_write(LOG_DEBUG, area, __VA_ARGS__); \
    } while (0)
#define log_info(area, ...) log_write(LOG_INFO, area, __VA_ARGS__)
#define log_warn(area, ...) log_write(LOG_WARN, area, __VA_ARGS__)
#define log_error(area, ...) log_write(LOG_ERROR, area, __VA_ARGS__)

/* A broken invariant stops the process, in production too. */
#define must(cond) ((cond) ? (void)0 : must_fail(#cond, __FILE__, __LINE__))
_Noreturn void must_fail(const char *what, const char *file, int line);

#endif
