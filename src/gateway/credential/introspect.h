/* introspect.h - one thread's questions to introspection servers, and what
 * they answered.
 *
 * Active tokens are remembered until they expire, or for the server's `cache`;
 * those that are not, apart and in fewer places, which cannot push out the
 * others. Who asks about a token that is being asked about shares the answer.
 * A server that keeps failing is left alone for a while: then everybody is
 * told at once that it cannot be asked.
 *
 * Threads: an introspector belongs to its loop's thread.
 */
#ifndef TG_GATEWAY_CREDENTIAL_INTROSPECT_H
#define TG_GATEWAY_CREDENTIAL_INTROSPECT_H

#include "gateway/credential/introspection.h"
#include "gateway/credential/token_cache.h"
#include "gateway/metrics.h"
#include "http/fetch.h"

struct introspector;
struct introspect_wait;

enum introspect_verdict {
    INTROSPECT_ACTIVE,
    INTROSPECT_INACTIVE,
    INTROSPECT_UNAVAILABLE, /* nobody could say */
    INTROSPECT_LATER,       /* done will be called */
};

struct introspected {
    enum introspect_verdict verdict;
    struct token_entry *entry; /* ACTIVE: the token's; hold it to keep it */
    enum jwt_fault fault; /* INACTIVE: JWT_OK: the server says so; else what
                             was wrong with an active one's claims */
    struct str text; /* UNAVAILABLE: why, for people; INACTIVE: the claim that
                        is wrong; or empty. Valid during the call-back */
    bool known;      /* without asking */
};

typedef void introspect_done(void *arg, const struct introspected *result);

/* capacity: of active tokens. Fetcher and metrics stay the caller's. */
struct introspector *introspector_new(struct loop *l, struct fetcher *f,
                                      size_t capacity,
                                      struct metrics_thread *metrics);
/* Nobody is told anything any more. Before the fetcher is freed. NULL is
 * fine. */
void introspector_free(struct introspector *t);

/* The entry of a token that the server said is active, while that holds;
 * NULL: ask. */
struct token_entry *introspect_known(struct introspector *t,
                                     const struct introspection *server,
                                     struct str token, uint64_t now_s);

/* now_s: seconds since 1970. Fills *out at once, or says INTROSPECT_LATER,
 * sets *wait, and calls done later, never from inside. The server is held
 * while it is asked. */
void introspect(struct introspector *t, struct introspection *server,
                struct str token, uint64_t now_s, introspect_done *done,
                void *arg, struct introspected *out,
                struct introspect_wait **wait);
/* Instead of done; the question goes on, for the next who asks. */
void introspect_cancel(struct introspect_wait *w);

/* Questions sent, failed, refused by the breaker, answered from memory, shared
 * with others; under way now. */
struct introspect_counts {
    uint64_t asked, failed, refused, known, shared;
    uint32_t now;
};
const struct introspect_counts *
introspector_counts(const struct introspector *t);

#endif
