/* certificate.h - a client's certificate that came in another way than by our
 * own TLS: a balancer ended TLS and passes it on.
 *
 * Threads: a store is immutable, any thread may verify with it.
 */
#ifndef TG_NET_CERTIFICATE_H
#define TG_NET_CERTIFICATE_H

#include "base/problem.h"

struct certificate_store;

/* The authorities of a PEM bundle. file: the settings', for problems. */
enum err certificate_store_new(struct str path, struct str file,
                               struct problems *ps,
                               struct certificate_store **out);
void certificate_store_free(struct certificate_store *s); /* NULL is fine */

struct certificate {
    unsigned char sha256[32]; /* of its DER */
    struct str subject;       /* as tls_peer_subject(); may be empty */
    int64_t from_s, until_s;  /* seconds since 1970 */
    bool chained; /* an authority of the store stands behind it, now, for
                     clients */
};

/* der: all of it is one certificate. more: others between it and an authority,
 * which are not believed. s: NULL: none. Text lies in the arena. ERR_INVALID:
 * it, or one of more, is none. Checking a chain takes a signature or several:
 * tens of microseconds. */
enum err certificate_read(struct arena *a, struct str der,
                          const struct str *more, size_t more_count,
                          const struct certificate_store *s, uint64_t now_s,
                          struct certificate *out);

#endif
