/* whole_file.h - files that are replaced whole: knowing that one was, and
 * replacing one so that a reader sees the old or the new, never a part.
 *
 * Paths end with a NUL. Threads: any; who writes takes the file's lock.
 */
#ifndef TG_BASE_WHOLE_FILE_H
#define TG_BASE_WHOLE_FILE_H

#include <sys/stat.h>

#include "base/problem.h"

/* What a file looked like; st_ino 0: it was not there. */
struct file_mark {
    struct stat s;
};

void file_mark_take(struct str path, struct file_mark *out);
/* Whether it is another file, was written to, or has another owner or mode. */
bool file_mark_differs(const struct file_mark *a, const struct file_mark *b);

/* All of a file, with a NUL behind it. ERR_NOT_FOUND: it is not there, without
 * a problem; ERR_LIMIT, ERR_IO: with one. */
enum err whole_file_read(struct arena *a, struct str path, size_t max_bytes,
                         struct problems *ps, struct str *out);

/* Waits for the lock, a file beside it (PATH.lock): a descriptor to close, or
 * -1 with a problem. */
int whole_file_lock(struct str path, struct problems *ps);
/* With the lock: text takes the place of what is there, also when the machine
 * stops in between. Who may read the old file may read the new one; a first
 * one is 0600 and its folder's owner's. ERR_IO with a problem. */
enum err whole_file_replace(struct str path, struct str text,
                            struct problems *ps);

#endif
