/* replays.h - what may be used once: the proofs that come with bound tokens
 * (RFC 9449 section 11.1).
 *
 * One table for the process. Any thread may ask, and of several who ask about
 * the same at the same time one is the first. An entry is forgotten when its
 * time is over, never before: when there is no room, who asks is told so. One
 * holder may take a quarter of the room in about a minute, so that he cannot
 * fill it for others.
 */
#ifndef TG_GATEWAY_REPLAYS_H
#define TG_GATEWAY_REPLAYS_H

#include "base/str.h"

struct replays;

enum replay {
    REPLAY_FIRST, /* and remembered */
    REPLAY_AGAIN,
    REPLAY_FULL,
};

#define REPLAYS_TEXT_MAX 512 /* bytes of holder and id together */

/* room: of entries, rounded up; 16 bytes each, of which pages are taken as
 * they are needed. */
struct replays *replays_new(size_t room);
void replays_free(struct replays *r); /* NULL is fine */
/* now_s: of a clock that does not jump, from 1 on. */
enum replay replays_use(struct replays *r, struct str holder, struct str id,
                        uint64_t now_s, uint64_t until_s);

#endif
