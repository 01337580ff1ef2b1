/* address_class.h - what kind of place an address is, and ranges of them.
 *
 * For decisions about whom this program may connect to: an IPv4 address
 * inside an IPv6 one (mapped, compatible, NAT64, 6to4) is judged as what it
 * is, so that no spelling of an address escapes a rule about it.
 */
#ifndef TG_NET_ADDRESS_CLASS_H
#define TG_NET_ADDRESS_CLASS_H

#include "net/dns.h"

enum address_class {
    ADDRESS_PUBLIC,
    ADDRESS_LOOPBACK,
    ADDRESS_UNSPECIFIED, /* "this" host or network */
    ADDRESS_PRIVATE,     /* RFC 1918, unique local, site-local */
    ADDRESS_SHARED,      /* carrier-grade NAT, RFC 6598 */
    ADDRESS_LINK_LOCAL,
    ADDRESS_METADATA, /* of a cloud: gives out credentials */
    ADDRESS_MULTICAST,
    ADDRESS_RESERVED, /* documentation, benchmarks, broadcast, Teredo, … */
    ADDRESS_LOCAL,    /* a Unix socket, or nothing we know */
};

enum address_class address_class(const struct sockaddr *sa);
/* For people, with an article: "a private address". */
const char *address_class_name(enum address_class c);

/* The 16 bytes of an address, IPv4 mapped. ERR_INVALID: it is no IP address. */
enum err address_ip(const struct sockaddr *sa, uint8_t ip[16]);
/* 0 for what has none. */
uint16_t address_port(const struct sockaddr *sa);

struct address_range {
    uint8_t ip[16];
    unsigned bits; /* of 128 */
};

/* "10.0.0.0/8", "192.0.2.1", "2001:db8::/32"; ERR_INVALID else. */
enum err address_range_parse(struct str text, struct address_range *out);
bool address_range_has(const struct address_range *r, const uint8_t ip[16]);

#endif
