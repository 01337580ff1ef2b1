/* privileges.h - from root to an account that can do little.
 *
 * What stays is on the main thread alone: CAP_NET_BIND_SERVICE, to open the
 * listeners of a new configuration, and CAP_DAC_READ_SEARCH, to read its
 * files and certificates. CAP_DAC_OVERRIDE is permitted but not in effect: it is
 * raised for the instant in which the main thread connects to a Unix socket for
 * the others (privileges_raise). Threads that exist when privileges are dropped keep
 * none; one that the main thread makes later has these two.
 */
#ifndef TG_CMD_PRIVILEGES_H
#define TG_CMD_PRIVILEGES_H

#include <sys/types.h>

#include "base/problem.h"

struct account {
    const char *name; /* NUL-terminated; NULL: stay who we are */
    uid_t uid;
    gid_t gid;
};

/* What should hold from the first moment, in every thread: nothing that is
 * executed gains rights. */
void privileges_begin(void);
/* Between fork and exec of a successor: it gets what this thread has, in spite
 * of not being root. */
void privileges_pass_on(void);
/* The successor takes that as after a drop of its own. */
void privileges_adopt(void);
/* In a loop thread that the successor makes: nothing. */
void privileges_none(void);
/* On the main thread, after the drop. */
void privileges_raise(bool on);
/* Whom to become: name, or when it is empty "tollgate" if that account exists,
 * else "nobody". Not root, or root is wanted: nobody else. ERR_INVALID with a
 * problem when there is no such account. */
enum err privileges_account(struct arena *a, struct str name,
                            struct account *out, struct problems *ps);
/* Becomes that account. Where the process may not (a container without
 * CAP_SETUID), it warns and goes on: *dropped is false. ERR_IO, logged, when
 * it went wrong half way. */
enum err privileges_drop(const struct account *who, bool *dropped);
/* Whether privileges_drop() will be able to. */
bool privileges_can_drop(void);

#endif
