/* sock.h - sockets: addresses as people write them, listening, connecting.
 *
 * All descriptors are non-blocking and close-on-exec.
 */
#ifndef TG_NET_SOCK_H
#define TG_NET_SOCK_H

#include "net/dns.h"

/* "127.0.0.1:8280", "[::]:8280", ":8280" and "8280" (all IPv4 and IPv6),
 * "localhost:8280", "unix:/run/x.sock". ERR_INVALID else. Names other than
 * localhost are not looked up. */
enum err sock_parse(struct str text, struct address *out);
/* A listening socket with SO_REUSEPORT (so that each thread has its own).
 * first: nobody else may be there yet, which SO_REUSEPORT alone would not
 * notice. ERR_IO with errno. */
enum err sock_listen(const struct address *at, int backlog, bool first,
                     int *fd);
/* Begins to connect. ERR_OK: done already or under way (wait for writable,
 * then sock_connected()); ERR_IO with errno. */
enum err sock_connect(const struct address *to, int *fd);
/* After it became writable: ERR_OK, or ERR_IO with errno set to the reason. */
enum err sock_connected(int fd);
/* The next connection: ERR_OK; ERR_AGAIN: none; ERR_LIMIT: out of descriptors
 * or memory; ERR_IO: that one failed, try again. */
enum err sock_accept(int listen_fd, int *fd, struct address *peer);
/* Where fd is bound (the port the kernel chose). */
enum err sock_local(int fd, struct address *out);
/* Makes close() send RST and drop what is unsent. */
void sock_reset(int fd);

#endif
