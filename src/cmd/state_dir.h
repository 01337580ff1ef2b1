/* state_dir.h - the folder a process has for itself: lock, control socket,
 * pid, addresses.json, keys.
 *
 *   lock            flock()ed while the owner lives; holds its pid
 *   pid             the same number, for others; gone when the owner ends
 *   addresses.json  where it listens; gone when the owner ends
 *   control.sock    see control_socket.h
 *
 * A folder is ours when it is new, empty or has a lock: nothing else is ever
 * changed in it, or given away. Files are reached through its descriptor, so
 * parents may be unreadable later. Threads: the main one.
 */
#ifndef TG_CMD_STATE_DIR_H
#define TG_CMD_STATE_DIR_H

#include <sys/types.h>

#include "base/problem.h"

struct state_dir {
    struct str path; /* absolute, NUL-terminated */
    int fd;
    int lock_fd;
};

/* Where a process without a setting keeps its state: /var/lib/tollgate for
 * root, $XDG_STATE_HOME/tollgate, ~/.local/state/tollgate. STR_NULL when
 * there is no home. */
struct str state_dir_default(struct arena *a);

/* Makes the folder (0700) and takes its lock. ERR_CONFLICT: another process
 * owns it, *owner is its pid, or 0 when it did not say; no problem is added
 * then. ERR_INVALID, ERR_IO: with a problem. */
enum err state_dir_open(struct arena *a, struct str path, struct state_dir *out,
                        long *owner, struct problems *ps);
/* state_dir_open() for what the settings say, or for the default when path is
 * empty; a default folder that is taken becomes its sub-folder `port` (when
 * not 0). Conflicts that remain are problems. */
enum err state_dir_take(struct arena *a, struct str path, unsigned port,
                        struct state_dir *out, struct problems *ps);
/* Gives the lock back. */
/* The folder of a predecessor, with its lock, which is ours as well from now
 * on (lock_fd is owned either way). ERR_INVALID: it is not that folder's. */
enum err state_dir_adopt(struct arena *a, struct str path, int lock_fd,
                         struct state_dir *out);
/* Says in the lock that this process is the owner. */
void state_dir_own(const struct state_dir *d);
void state_dir_close(struct state_dir *d);

/* Replaces a file (0600) whole: readers see the old bytes or the new. ERR_IO
 * with errno. */
enum err state_dir_write(const struct state_dir *d, const char *name,
                         struct str text);
void state_dir_remove(const struct state_dir *d, const char *name);
/* Gives the folder and all in it to another account. ERR_IO with errno. */
enum err state_dir_give(const struct state_dir *d, uid_t uid, gid_t gid);

#endif
