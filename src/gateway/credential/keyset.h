/* keyset.h - the keys that issuers sign with, kept fresh.
 *
 * One keyset for each source, on the main thread, across reloads. URLs are
 * fetched in the background: every `refresh`, sooner when Cache-Control says
 * so, after failures with growing pauses; the last good keys stay meanwhile.
 * Files are read again within a second of a change. Workers read the keys
 * without a lock; who meets an unknown key id asks for one refresh, which all
 * who ask at the same time share.
 *
 * Threads: keysets_*() the main one's; keyset_*() any.
 */
#ifndef TG_GATEWAY_CREDENTIAL_KEYSET_H
#define TG_GATEWAY_CREDENTIAL_KEYSET_H

#include "gateway/credential/keyset_file.h"
#include "http/fetch.h"

struct keysets;
struct keyset;
struct keyset_wait;

struct keyset_source {
    enum keyset_kind kind;
    struct str place;          /* URL, or path of a file */
    uint64_t refresh_ms;       /* of a URL, at least so often */
    uint64_t want_ms;          /* between two that workers ask for */
    struct outbound *outbound; /* of a URL; a reference is taken */
    struct tls_context *tls;   /* of this URL alone, or NULL; likewise */
};

/* The keys at one time. */
struct keyset_now {
    struct jwks *set;
    uint64_t version; /* another one when the keys have changed; never 0 */
};

/* main NULL: files are read and nothing else is done, for `config check`.
 * retire(arg, fn, thing) calls fn(thing) when no thread can look at thing any
 * more. */
struct keysets *keysets_new(struct loop *main,
                            void (*retire)(void *arg, void (*fn)(void *thing),
                                           void *thing),
                            void *arg);
/* Fetches nothing more; who waits is not told. When no worker runs. */
void keysets_end(struct keysets *all);
void keysets_free(struct keysets *all); /* NULL is fine */

/* The keyset of a source, new or known, with a reference; the settings of a
 * known one are those of source from now on. ERR_INVALID, ERR_IO: a file that
 * is no good, why says how to go on. A URL is fetched by and by. */
enum err keysets_get(struct keysets *all, const struct keyset_source *source,
                     struct keyset **out, char why[KEYSET_WHY]);

struct keyset *keyset_ref(struct keyset *k);
void keyset_unref(struct keyset *k); /* NULL is fine */

/* Valid for this turn of the loop; the set may be held longer with jwks_ref().
 * NULL: none came yet. */
const struct keyset_now *keyset_now(const struct keyset *k);
/* The version alone; 0: none came yet. */
uint64_t keyset_version(const struct keyset *k);

/* Has newer keys than version fetched, now or as soon as that may be. done is
 * called once on this loop, after the fetch or
 * after wait_ms, whether or not there are newer keys; never from inside. NULL:
 * it is not worth while (a file, or it may not be soon enough, or too many
 * wait):
 * what keyset_now() says now is all there is, which may be more than a moment
 * before. */
struct keyset_wait *keyset_want(struct keyset *k, struct loop *l,
                                uint64_t version, uint64_t wait_ms,
                                void (*done)(void *arg), void *arg);
/* Instead of done; the handle is void. */
void keyset_wait_cancel(struct keyset_wait *w);

/* For /ready and metrics. */
struct keyset_info {
    struct str place; /* without query */
    size_t keys;      /* 0: none came yet */
    uint64_t age_s;   /* since they were last known to be right */
    uint64_t version;
    uint64_t failures;   /* in a row */
    const char *problem; /* of the last failure; "" */
};
/* Start with *at = 0; false at the end. */
bool keysets_next(const struct keysets *all, size_t *at,
                  struct keyset_info *out);

#endif
