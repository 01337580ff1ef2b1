/* slow.h - a thread for what would hold up a loop: the hashes of passwords.
 *
 * A job owns copies of all it needs. Its work runs on the slow thread, then
 * its end on the loop that asked. Jobs wait in a line of bounded length.
 */
#ifndef TG_GATEWAY_CREDENTIAL_SLOW_H
#define TG_GATEWAY_CREDENTIAL_SLOW_H

#include "net/loop.h"

struct slow;

struct slow_job {
    struct task task; /* first; private, like next and loop */
    struct slow_job *next;
    struct loop *loop;
    void (*work)(struct slow_job *job); /* on the slow thread */
    void (*end)(struct slow_job *job);  /* on the loop; frees the job */
    void (*drop)(struct slow_job *job); /* frees one that will not run */
};

struct slow *slow_new(size_t line);
/* ERR_LIMIT: the line is full; the job stays the caller's. Any thread. */
enum err slow_start(struct slow *s, struct loop *loop, struct slow_job *job);
/* Ends the thread and drops who waits. Jobs at their end still come to their
 * loops. NULL is fine. */
void slow_free(struct slow *s);

#endif
