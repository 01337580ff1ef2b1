/* introspection.h - a server that is asked whether tokens are good (RFC 7662).
 *
 * What is configured, made on the main thread, immutable and counted; asking
 * it is introspect.h.
 */
#ifndef TG_GATEWAY_CREDENTIAL_INTROSPECTION_H
#define TG_GATEWAY_CREDENTIAL_INTROSPECTION_H

#include "gateway/credential/issuer.h"
#include "http/outbound.h"

struct introspection {
    _Atomic uint32_t refs;
    struct arena *arena;
    uint32_t id; /* never the same twice in this process */
    struct str name, url, authorization;
    struct outbound *outbound;
    struct tls_context *tls; /* NULL: outbound's */
    struct issuer judge;     /* rules and claims for what it says */
    enum introspection_tokens tokens;
    uint64_t cache_ms, refused_cache_ms, timeout_ms, failures, pause_ms;
};

/* index: in gateway.introspection, for messages. Reads the files it names.
 * ERR_INVALID with problems. */
enum err introspection_new(const struct introspection_conf *conf, size_t index,
                           struct outbound *outbound, struct str file,
                           struct problems *ps, struct introspection **out);
struct introspection *introspection_ref(struct introspection *s);
void introspection_unref(
    struct introspection *s); /* any thread; NULL is fine */

#endif
