/* handover.h - what a process gives to its successor: named things, each with
 * a text and maybe a descriptor, over a socket pair that keeps messages apart
 * (SOCK_SEQPACKET).
 *
 *   old -> new   state (the folder's path; its lock), listener (its key; a
 *                socket), admin (a socket), tickets (keys), end
 *   new -> old   takes (the key of a listener that it serves, each once or
 *                more), ready; or failed (why)
 *   old -> new   go
 *   new -> old   serving (version); leaving, when it is told to end
 *
 * Shared memory will be one more name here.
 */
#ifndef TG_CMD_HANDOVER_H
#define TG_CMD_HANDOVER_H

#include "base/err.h"
#include "base/str.h"

enum { HANDOVER_MAX = 8192 };

struct handover_message {
    char bytes[HANDOVER_MAX];
    struct str name, value; /* in bytes; value NUL-terminated */
    int fd;                 /* the receiver's, close-on-exec; -1: none */
};

/* fd -1: none. ERR_PEER: nobody is there any more; ERR_LIMIT: too long. */
enum err handover_send(int sock, const char *name, struct str value, int fd);
/* Waits up to timeout_ms (0: does not). ERR_AGAIN: nothing yet; ERR_PEER: the
 * other side has gone; ERR_INVALID: no message of this kind (descriptors that
 * came along are closed). */
enum err handover_take(int sock, int timeout_ms, struct handover_message *m);

#endif
