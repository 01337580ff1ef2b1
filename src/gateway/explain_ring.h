/* explain_ring.h - the calls that can be explained, in a file.
 *
 * One file of a fixed size in the state folder, mapped by who writes it: the
 * threads of a gateway, and during an upgrade those of two. A writer takes
 * room by one atomic exchange; the newest records take the place of the
 * oldest. Each record says where it stands and has a checksum, so that a
 * reader passes over what is torn or half overwritten. The file outlives the
 * process; one of another layout is begun anew.
 */
#ifndef TG_GATEWAY_EXPLAIN_RING_H
#define TG_GATEWAY_EXPLAIN_RING_H

#include "base/arena.h"

struct explain_ring;

/* bytes: of the file, rounded up to pages, at least 64 KiB. ERR_IO with
 * errno. */
enum err explain_ring_open(struct str path, uint64_t bytes,
                           struct explain_ring **out);
/* To read only. ERR_NOT_FOUND: no such file; ERR_INVALID: not a ring. */
enum err explain_ring_read(struct str path, struct explain_ring **out);
void explain_ring_close(struct explain_ring *r); /* NULL is fine */

/* Any thread, never waits for another. Records of more than a quarter of the
 * ring are dropped, and those that a full disk has no place for. */
void explain_ring_add(struct explain_ring *r, struct str record);

/* Newest first: begin with *at = UINT64_MAX; false at the end. The record is
 * a copy in the arena. */
bool explain_ring_next(const struct explain_ring *r, struct arena *a,
                       uint64_t *at, struct str *record);

#endif
