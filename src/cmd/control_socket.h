/* control_socket.h - how local tools speak to a running process: a Unix
 * socket, 0600, in its state folder.
 *
 * A client sends one line, a verb, and gets "ok…\n" or "error\n", further
 * lines, and the end of the connection. Only root and the process's own
 * account are heard. Connections are few and short: of too many the oldest
 * is closed, and none may take longer than a few seconds to ask or to listen.
 */
#ifndef TG_CMD_CONTROL_SOCKET_H
#define TG_CMD_CONTROL_SOCKET_H

#include "base/buf.h"
#include "cmd/state_dir.h"
#include "net/loop.h"

#define CONTROL_NAME "control.sock"

/* A whole request in p[0..n)? ERR_AGAIN: not yet; ERR_INVALID: never. *verb
 * points into p, lower-case letters. */
enum err control_parse(const char *p, size_t n, struct str *verb);

/* Does what the verb says and writes the whole answer; none: it follows by
 * control_socket_answer(). */
typedef void control_answer(void *arg, struct str verb, struct buf *answer);

struct control_socket;

/* Opens it, in place of one that a dead process left. ERR_IO with errno. */
enum err control_socket_new(struct loop *l, const struct state_dir *d,
                            control_answer *answer, void *arg,
                            struct control_socket **out);
/* What all clients get who wait for an answer. */
void control_socket_answer(struct control_socket *c, struct str text);
/* Closes the listening end, so that another process may take its place; those
 * who wait still get their answers. */
void control_socket_rest(struct control_socket *c);
/* Closes it and all connections, and removes the file if it did not rest.
 * NULL is fine. */
void control_socket_free(struct control_socket *c);

/* The client's side: asks and waits. ERR_NOT_FOUND: nothing listens there;
 * ERR_TIMEOUT; ERR_PEER: it left without a whole answer; ERR_LIMIT; ERR_IO
 * with errno. */
enum err control_ask(struct str folder, const char *verb, int timeout_ms,
                     struct buf *answer);

#endif
