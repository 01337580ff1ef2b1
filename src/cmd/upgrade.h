/* upgrade.h - a new program takes over from a running one, with its sockets.
 *
 *   IDLE     -> STARTING  upgrade_begin(): the program, as it lies on the disk
 *                         now, was started and given everything (handover.h)
 *   STARTING -> GIVING    it is ready to serve: this process stops accepting
 *   GIVING   -> WATCHING  it serves, and has the files of the state folder
 *   WATCHING -> GIVEN     it lived for WATCH_MS: this process closes its
 *                         sockets and ends when its calls are over
 *   any      -> IDLE      it failed, or died: this process serves on as before
 *
 * Main thread.
 */
#ifndef TG_CMD_UPGRADE_H
#define TG_CMD_UPGRADE_H

#include "base/buf.h"
#include "net/loop.h"

enum upgrade_state {
    UPGRADE_IDLE,
    UPGRADE_STARTING,
    UPGRADE_GIVING,
    UPGRADE_WATCHING,
    UPGRADE_GIVEN,
};

struct upgrade_ops {
    /* Sends all there is to give over sock (handover_send), without "end". */
    enum err (*give)(void *arg, int sock);
    /* It is going to accept at the sockets of that key. */
    void (*taken)(void *arg, struct str key);
    void (*stop_accepting)(void *arg);
    /* Serves again as before. owner: the successor had the state folder. */
    void (*take_back)(void *arg, bool owner);
    /* The successor serves: its process and version. */
    void (*served)(void *arg, long pid, struct str version);
    /* It is not going to be undone any more. */
    void (*given)(void *arg);
    /* The attempt has failed; why: text for a person, lines. */
    void (*failed)(void *arg, struct str why);
};

struct upgrade {
    struct io io; /* first; our end of the pair */
    struct loop *loop;
    const struct upgrade_ops *ops;
    void *arg;
    struct timer timer;
    char *program; /* absolute, found at the start */
    char *line;    /* of the command, words separated by NUL */
    char **argv;   /* into line */
    long pid;
    uint8_t state;
    struct buf why;
};

/* At the start of the process, before anything changes folders. */
void upgrade_init(struct upgrade *u, struct loop *l,
                  const struct upgrade_ops *ops, void *arg);
/* ERR_CONFLICT: one is under way; ERR_IO with errno. Else one of served()
 * and failed() follows. */
enum err upgrade_begin(struct upgrade *u);
/* Ends a successor that has not taken over; later ones are left alone. */
void upgrade_done(struct upgrade *u);

/* The other side. The descriptor a predecessor left us, or -1; not found a
 * second time. */
int upgrade_inherited(void);

#endif
