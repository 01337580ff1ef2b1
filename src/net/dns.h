/* dns.h - names to addresses without blocking, on c-ares, by TTL.
 *
 * One resolver on one loop (the housekeeping thread's). /etc/hosts and
 * numeric addresses are answered too.
 */
#ifndef TG_NET_DNS_H
#define TG_NET_DNS_H

#include <sys/socket.h>

#include "base/str.h"
#include "net/loop.h"

#define DNS_ADDRESSES_MAX 16

struct address {
    socklen_t len;
    struct sockaddr_storage sa;
};

struct dns_answer {
    enum err err; /* OK, NOT_FOUND, TIMEOUT, PEER */
    struct address addresses[DNS_ADDRESSES_MAX]; /* with the asked port */
    size_t count;
    uint32_t ttl_s; /* the smallest of the records, 1 … 3600; 60 for names of
                     * /etc/hosts */
};

struct dns;

/* servers: "127.0.0.1:5353,…" for tests, or empty for /etc/resolv.conf.
 * NULL when c-ares cannot start (logged). */
struct dns *dns_new(struct loop *l, struct str servers, uint64_t timeout_ms);
void dns_free(struct dns *d); /* calls what is outstanding with ERR_PEER */
/* A and AAAA of host, ERR_TIMEOUT after timeout_ms at the latest; done must
 * not free d. done is called once, maybe before this returns (numeric
 * address). host is copied. */
void dns_resolve(struct dns *d, struct str host, uint16_t port,
                 void (*done)(void *arg, const struct dns_answer *answer),
                 void *arg);
/* A numeric IPv4 or IPv6 (with or without brackets), ERR_INVALID else. */
enum err address_numeric(struct str host, uint16_t port, struct address *out);
/* "127.0.0.1:80", "[::1]:80", "unix:/path" into out, NUL-terminated and never
 * longer than 128. sa: a whole struct of its family, zeroed behind its end. */
size_t address_format(const struct sockaddr *sa, char *out, size_t cap,
                      bool with_port);

#endif
