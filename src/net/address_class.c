/* address_class.c - the registries of special addresses (RFC 6890 and its
 * updates) as one table, the first match of which decides.
 */
#include "net/address_class.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* The well-known places that give credentials to whoever asks from inside. */
static const char *const metadata[] = {
    "169.254.169.254", /* most clouds */
    "169.254.170.2",   /* containers of one of them */
    "169.254.170.23",  /* likewise */
    "100.100.100.200", /* Alibaba */
    "192.0.0.192",     /* Oracle */
    "168.63.129.16",   /* Azure; a public address */
    "fd00:ec2::254",   /* Amazon */
    "fd00:ec2::23",    /* likewise, containers */
    "fd20:ce::254",    /* Google */
};

static const struct {
    const char *range;
    enum address_class class;
} table[] = {
    { "::ffff:127.0.0.0/104", ADDRESS_LOOPBACK },
    { "::ffff:0.0.0.0/104", ADDRESS_UNSPECIFIED },
    { "::ffff:10.0.0.0/104", ADDRESS_PRIVATE },
    { "::ffff:172.16.0.0/108", ADDRESS_PRIVATE },
    { "::ffff:192.168.0.0/112", ADDRESS_PRIVATE },
    { "::ffff:100.64.0.0/106", ADDRESS_SHARED },
    { "::ffff:169.254.0.0/112", ADDRESS_LINK_LOCAL },
    { "::ffff:224.0.0.0/100", ADDRESS_MULTICAST },
    { "::ffff:240.0.0.0/100", ADDRESS_RESERVED },
    { "::ffff:192.0.0.0/120", ADDRESS_RESERVED },
    { "::ffff:192.0.2.0/120", ADDRESS_RESERVED },
    { "::ffff:192.88.99.0/120", ADDRESS_RESERVED },
    { "::ffff:198.18.0.0/111", ADDRESS_RESERVED },
    { "::ffff:198.51.100.0/120", ADDRESS_RESERVED },
    { "::ffff:203.0.113.0/120", ADDRESS_RESERVED },
    { "::ffff:0.0.0.0/96", ADDRESS_PUBLIC },
    { "::1", ADDRESS_LOOPBACK },
    { "::", ADDRESS_UNSPECIFIED },
    { "fc00::/7", ADDRESS_PRIVATE },
    { "fec0::/10", ADDRESS_PRIVATE },
    { "64:ff9b:1::/48", ADDRESS_PRIVATE },
    { "fe80::/10", ADDRESS_LINK_LOCAL },
    { "ff00::/8", ADDRESS_MULTICAST },
    { "2000::/3", ADDRESS_PUBLIC }, /* but for the next, looked at first */
};

/* Inside 2000::/3. */
static const char *const reserved6[] = {
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
};

/* Where an IPv4 address stands in an IPv6 one of that range. */
static const struct {
    const char *range;
    unsigned at;
} embedded[] = {
    { "64:ff9b::/96", 12 },
    { "2002::/16", 2 },
};

static bool within(const char *range, const uint8_t ip[16])
{
    struct address_range r;

    return address_range_parse(str_z(range), &r) == ERR_OK &&
           address_range_has(&r, ip);
}

/* An IPv4-compatible address (RFC 4291 section 2.5.5.1) but for :: and ::1. */
static bool is_compatible(const uint8_t ip[16])
{
    static const uint8_t zeros[12];

    return !memcmp(ip, zeros, 12) && (ip[12] || ip[13] || ip[14] || ip[15] > 1);
}

static void unwrap(uint8_t ip[16])
{
    unsigned at = is_compatible(ip) ? 12 : 0;
    uint8_t v4[4];

    for (size_t i = 0; i < sizeof(embedded) / sizeof(*embedded); i++)
        if (within(embedded[i].range, ip))
            at = embedded[i].at;
    if (!at)
        return;
    memcpy(v4, ip + at, 4);
    memset(ip, 0, 16);
    ip[10] = ip[11] = 0xff;
    memcpy(ip + 12, v4, 4);
}

static enum address_class class_of(const uint8_t ip[16])
{
    for (size_t i = 0; i < sizeof(metadata) / sizeof(*metadata); i++)
        if (within(metadata[i], ip))
            return ADDRESS_METADATA;
    for (size_t i = 0; i < sizeof(reserved6) / sizeof(*reserved6); i++)
        if (within(reserved6[i], ip))
            return ADDRESS_RESERVED;
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (within(table[i].range, ip))
            return table[i].class;
    return ADDRESS_RESERVED; /* not given to anybody */
}

enum address_class address_class(const struct sockaddr *sa)
{
    uint8_t ip[16];

    if (address_ip(sa, ip))
        return ADDRESS_LOCAL;
    unwrap(ip);
    return class_of(ip);
}

const char *address_class_name(enum address_class c)
{
    static const char *const names[] = {
        "a public address",
        "a loopback address",
        "the unspecified address",
        "a private address",
        "a shared address (carrier-grade NAT)",
        "a link-local address",
        "the metadata service of a cloud",
        "a multicast address",
        "a reserved address",
        "no address of the internet",
    };

    return names[c];
}

enum err address_ip(const struct sockaddr *sa, uint8_t ip[16])
{
    memset(ip, 0, 16);
    if (sa->sa_family == AF_INET) {
        ip[10] = ip[11] = 0xff;
        memcpy(ip + 12,
               &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        memcpy(ip, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr,
               16);
    } else {
        return ERR_INVALID;
    }
    return ERR_OK;
}

uint16_t address_port(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port);
    if (sa->sa_family == AF_INET6)
        return ntohs(
            ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
    return 0;
}

enum err address_range_parse(struct str text, struct address_range *out)
{
    size_t slash = str_find(text, '/');
    struct address a;
    uint64_t bits;
    bool v4;

    if (str_find(text, '[') < text.len ||
        address_numeric(str_head(text, slash), 0, &a))
        return ERR_INVALID;
    v4 = a.sa.ss_family == AF_INET;
    bits = v4 ? 32 : 128;
    if (slash < text.len && str_to_u64(str_skip(text, slash + 1), bits, &bits))
        return ERR_INVALID;
    out->bits = (unsigned)bits + (v4 ? 96 : 0);
    return address_ip((const struct sockaddr *)&a.sa, out->ip);
}

bool address_range_has(const struct address_range *r, const uint8_t ip[16])
{
    unsigned bytes = r->bits / 8, rest = r->bits % 8;

    if (memcmp(r->ip, ip, bytes) != 0)
        return false;
    return !rest || !((r->ip[bytes] ^ ip[bytes]) >> (8 - rest));
}
