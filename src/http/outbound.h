/* outbound.h - the rules for addresses that somebody else names: whom we
 * connect to, how long, how much.
 *
 * Made from the settings `outbound` on the main thread; immutable and
 * counted, so that any thread may use it. What is refused unless it is
 * allowed: loopback, private, shared and link-local addresses, metadata
 * services, multicast and reserved ones, and our own listeners.
 *
 * An entry of `allow` is one of
 *   10.1.2.3  10.0.0.0/8  fd00:1::/64       addresses, on any port
 *   10.1.2.3:8443  [fd00::1]:8443           one address and port
 *   idp.internal  idp.internal:8443         a host of a URL, to the letter
 *   *.internal                              all hosts below it
 * A host lets loopback, private and shared addresses pass that its name leads
 * to; link-local ones, metadata services and the like only an address does.
 * Our own listeners only an address with their port.
 */
#ifndef TG_HTTP_OUTBOUND_H
#define TG_HTTP_OUTBOUND_H

#include "base/conf.h"
#include "http/client.h"

struct outbound_conf {
    struct conf_strings allow;
    uint64_t connect_ms; /* one address: TCP and TLS */
    uint64_t total_ms;   /* name, connection, answer, redirects */
    uint64_t idle_ms;    /* a connection kept for the next */
    uint64_t max_bytes;  /* of an answer */
    uint64_t redirects;
    uint64_t connections; /* to one origin, of each thread */
    uint64_t waiting;     /* for one origin, of each thread */
    struct tls_client_conf tls;
};

extern const struct conf_field outbound_fields[];

struct outbound;

/* ERR_INVALID with problems that name file and key. */
enum err outbound_new(const struct outbound_conf *conf, struct str file,
                      struct problems *ps, struct outbound **out);
struct outbound *outbound_ref(struct outbound *o);
void outbound_unref(struct outbound *o); /* NULL is fine */

const struct outbound_conf *outbound_conf(const struct outbound *o);

/* Where this process listens itself, instead of what was said before; for all
 * rules. A port of the wildcard address stands for all addresses of this
 * machine. Any thread. */
void outbound_set_own(const struct address *own, size_t count);

/* NULL: we may connect to address as host, the host of a URL in lower case and
 * without brackets. Else why not: "a private address". */
const char *outbound_refuses(const struct outbound *o, struct str host,
                             const struct address *address);

/* TLS by the settings; offers HTTP/2 and HTTP/1.1. Borrowed; NULL when it
 * cannot be made, which is said in the log. The first time it reads files (the
 * system's authorities), so who knows that there will be https asks for it
 * while loading. */
struct tls_context *outbound_tls(struct outbound *o);
/* The same with other settings, for one server of many; *out is owned. */
enum err outbound_tls_new(const struct tls_client_conf *conf, struct str file,
                          struct problems *ps, struct tls_context **out);
/* Whether they differ from what they are when nobody sets them. */
bool outbound_tls_given(const struct tls_client_conf *conf);

#endif
