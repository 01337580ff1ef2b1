/* access_log.h - one line per call, written without holding up a call.
 *
 * A thread formats its lines into a buffer of its own. A full buffer, or one
 * that is a second old, is handed to the main loop, which writes it whole, so
 * lines of two threads never mix. When the file or pipe cannot keep up, at
 * most ACCESS_LOG_BUFFERS wait; further lines are dropped and counted.
 *
 * A caller's bytes are escaped: they never end a line or a quoted value.
 * Secrets are not written: credential headers show as "(redacted)", and the
 * values of query parameters that carry secrets as "***".
 */
#ifndef TG_GATEWAY_ACCESS_LOG_H
#define TG_GATEWAY_ACCESS_LOG_H

#include "base/problem.h"
#include "http/message.h"
#include "net/loop.h"

#define ACCESS_LOG_BUFFER 65536 /* bytes a thread gathers */
#define ACCESS_LOG_LINE 8192    /* a line, with its newline */
#define ACCESS_LOG_VALUE 1024   /* the escaped value of one header */
#define ACCESS_LOG_BUFFERS 64   /* handed over and not yet written */
#define ACCESS_LOG_AGE_MS 1000

/* --- how a line looks; immutable, any thread ----------------------------- */

struct access_log_format;

/* "json", "common", "combined", or a text with tokens:
 *
 *   %h client            %r request line       %s status
 *   %l "-"               %m method             %b body bytes, "-" for none
 *   %u user, "-"         %U path               %B body bytes
 *   %t [time]            %q query with its ?   %D microseconds
 *   %% percent           %H protocol           %T seconds
 *   %{Name}i request header    %{Name}o reply header    %{what}x with what one
 *   of activityid, api, version, operation, endpoint, retries, upstream_us,
 *   bytes_in, refusal
 *
 * %>s means the same as %s. NULL, with a problem at file:line, for a token
 * that is none of these. */
struct access_log_format *access_log_format_new(struct str format,
                                                struct problems *ps,
                                                struct str file, uint32_t line);
/* It has %{Name}o: keep the reply's head for it. */
bool access_log_wants_reply(const struct access_log_format *f);
void access_log_format_free(struct access_log_format *f);

/* --- where lines go ------------------------------------------------------ */

struct access_file;

/* path: a file, appended to and made when missing, or "-": standard output.
 * Errors are problems at file:line. writer: the main loop, on whose thread this
 * is called. One reference is the caller's. */
struct access_file *access_file_open(struct loop *writer, struct str path,
                                     struct problems *ps, struct str file,
                                     uint32_t line);
struct str access_file_path(const struct access_file *f);
/* Opens the path anew, after somebody renamed the file (main thread). Keeps
 * the open one, and warns in the log, when that fails. */
void access_file_reopen(struct access_file *f);
/* Writes what was handed over, waiting at most max_ms for a reader who does
 * not read (main thread). */
void access_file_flush(struct access_file *f, unsigned max_ms);
/* References; any thread. The last one writes what it can and closes. NULL is
 * fine. */
struct access_file *access_file_ref(struct access_file *f);
void access_file_unref(struct access_file *f);

/* --- one thread's lines -------------------------------------------------- */

struct access_log;

/* loop: the thread's. file may be NULL: nothing is written until
 * access_log_use(). Takes a reference of its own. */
struct access_log *access_log_new(struct loop *loop, struct access_file *file);
/* Another file (or none) from now on; the same one is free of charge. */
void access_log_use(struct access_log *log, struct access_file *file);
/* Hands over what has gathered. On the log's thread. */
void access_log_flush(struct access_log *log);
/* Hands over and frees; on the log's thread, or when that has ended, before
 * its loop is freed. access_file_flush() then writes the last lines. */
void access_log_free(struct access_log *log);

/* Views only. Texts may be empty and headers NULL. */
struct access_entry {
    uint64_t wall_us;  /* when the call came */
    struct str client; /* address */
    struct str method;
    struct str target;            /* path and query */
    uint8_t major;                /* 1 or 2; 0 counts as 1 */
    uint8_t minor;                /* HTTP/1.minor */
    unsigned status;              /* 0: the client left before a reply */
    uint64_t bytes_in, bytes_out; /* of bodies */
    uint64_t duration_us;
    uint64_t upstream_us; /* 0: no endpoint was asked */
    struct str activityid;
    struct str api, version, operation, endpoint;
    unsigned retries;
    struct str user;
    struct str refusal; /* the gateway's error code, when it answered */
    const struct message *request;
    const struct message *reply; /* for %{Name}o */
};

void access_log_append(struct access_log *log,
                       const struct access_log_format *f,
                       const struct access_entry *e);

/* Lines dropped and written by the process. Any thread. */
uint64_t access_log_dropped(void);
uint64_t access_log_written(void);

#endif
