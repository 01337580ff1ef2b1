/* proxy_protocol.c - PROXY protocol headers, versions 1 and 2.
 *
 * The header decides whose address the rest of the gateway believes, so it is
 * taken exactly or not at all. The checksum TLV of version 2 is not checked:
 * TCP and the trusted balancer are all there is between.
 */
#include "http/proxy_protocol.h"

#include <arpa/inet.h>

#define V1_MAX 107 /* with CRLF, as the specification counts */
#define V2_FIXED 16

static const char v2_signature[12] = { '\r', '\n', '\r', '\n', 0,   '\r',
                                       '\n', 'Q',  'U',  'I',  'T', '\n' };

/* ---- version 1 ---- */

static enum err v1_port(struct str text, in_port_t *out)
{
    uint64_t n;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.p[0] == '0') ||
        str_to_u64(text, 65535, &n))
        return ERR_INVALID;
    *out = htons((uint16_t)n);
    return ERR_OK;
}

static enum err v1_address(int family, struct str address, struct str port,
                           struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    char text[INET6_ADDRSTRLEN];

    if (address.len == 0 || address.len >= sizeof(text))
        return ERR_INVALID;
    memcpy(text, address.p, address.len);
    text[address.len] = '\0';
    if (strlen(text) != address.len)
        return ERR_INVALID;
    out->ss_family = (sa_family_t)family;
    if (inet_pton(family, text,
                  family == AF_INET ? (void *)&v4->sin_addr
                                    : (void *)&v6->sin6_addr) != 1)
        return ERR_INVALID;
    return v1_port(port, family == AF_INET ? &v4->sin_port : &v6->sin6_port);
}

/* line: what stands between "PROXY " and CRLF. */
static enum err v1_line(struct str line, struct proxy_header *out)
{
    struct str family = str_cut(&line, ' ');
    struct str from, to, from_port, to_port;
    int af;

    if (str_is(family, "UNKNOWN")) { /* the rest is to be ignored */
        out->local = true;
        return ERR_OK;
    }
    if (str_is(family, "TCP4"))
        af = AF_INET;
    else if (str_is(family, "TCP6"))
        af = AF_INET6;
    else
        return ERR_INVALID;
    from = str_cut(&line, ' ');
    to = str_cut(&line, ' ');
    from_port = str_cut(&line, ' ');
    to_port = line;
    if (v1_address(af, from, from_port, &out->source) ||
        v1_address(af, to, to_port, &out->destination))
        return ERR_INVALID;
    return ERR_OK;
}

static enum err v1_parse(const char *p, size_t len, struct proxy_header *out)
{
    size_t i, most = len < V1_MAX ? len : V1_MAX;

    for (i = 6; i < most; i++) {
        if (p[i] == '\r') {
            if (i + 1 == V1_MAX)
                return ERR_INVALID;
            if (i + 1 == len)
                return ERR_AGAIN;
            if (p[i + 1] != '\n')
                return ERR_INVALID;
            out->length = i + 2;
            return v1_line(str_from(p + 6, i - 6), out);
        }
        if (p[i] < 0x20 || p[i] > 0x7e)
            return ERR_INVALID;
    }
    return len < V1_MAX ? ERR_AGAIN : ERR_INVALID;
}

/* ---- version 2 ---- */

static size_t u16_at(const unsigned char *p)
{
    return (size_t)p[0] << 8 | p[1];
}

/* Type, length, value, … up to the end exactly. */
static bool v2_extras_fit(const unsigned char *p, size_t len)
{
    while (len >= 3 && u16_at(p + 1) <= len - 3) {
        size_t n = 3 + u16_at(p + 1);

        p += n;
        len -= n;
    }
    return len == 0;
}

static void v2_inet(const unsigned char *p, struct proxy_header *out)
{
    struct sockaddr_in *source = (struct sockaddr_in *)&out->source;
    struct sockaddr_in *destination = (struct sockaddr_in *)&out->destination;

    source->sin_family = destination->sin_family = AF_INET;
    memcpy(&source->sin_addr, p, 4);
    memcpy(&destination->sin_addr, p + 4, 4);
    memcpy(&source->sin_port, p + 8, 2);
    memcpy(&destination->sin_port, p + 10, 2);
}

static void v2_inet6(const unsigned char *p, struct proxy_header *out)
{
    struct sockaddr_in6 *source = (struct sockaddr_in6 *)&out->source;
    struct sockaddr_in6 *destination = (struct sockaddr_in6 *)&out->destination;

    source->sin6_family = destination->sin6_family = AF_INET6;
    memcpy(&source->sin6_addr, p, 16);
    memcpy(&destination->sin6_addr, p + 16, 16);
    memcpy(&source->sin6_port, p + 32, 2);
    memcpy(&destination->sin6_port, p + 34, 2);
}

/* p[0..len): addresses and what follows them. */
static enum err v2_proxied(unsigned family, const unsigned char *p, size_t len,
                           struct proxy_header *out)
{
    size_t addresses;

    switch (family) {
    case 0x00: /* unspecified: nothing in it can be understood */
        out->local = true;
        return ERR_OK;
    case 0x11:
        addresses = 12;
        break;
    case 0x21:
        addresses = 36;
        break;
    case 0x31: /* a path; the peer's own address says more */
        out->local = true;
        addresses = 216;
        break;
    default: /* also datagrams: this is a stream */
        return ERR_INVALID;
    }
    if (len < addresses || !v2_extras_fit(p + addresses, len - addresses))
        return ERR_INVALID;
    if (family == 0x11)
        v2_inet(p, out);
    else if (family == 0x21)
        v2_inet6(p, out);
    return ERR_OK;
}

static enum err v2_parse(const char *text, size_t len, struct proxy_header *out)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t body;

    if (len > 12 && p[12] != 0x20 && p[12] != 0x21)
        return ERR_INVALID;
    if (len < V2_FIXED)
        return ERR_AGAIN;
    body = u16_at(p + 14);
    if (body > PROXY_HEADER_MAX - V2_FIXED)
        return ERR_INVALID;
    if (len < V2_FIXED + body)
        return ERR_AGAIN;
    out->length = V2_FIXED + body;
    if (p[12] == 0x20) { /* the balancer itself: a health check */
        out->local = true;
        return ERR_OK;
    }
    return v2_proxied(p[13], p + V2_FIXED, body, out);
}

static bool begins(const char *p, size_t len, const char *with, size_t n)
{
    return memcmp(p, with, len < n ? len : n) == 0;
}

enum err proxy_header_parse(const char *p, size_t len, struct proxy_header *out)
{
    struct proxy_header found = { 0 };
    enum err e;

    if (len == 0)
        return ERR_AGAIN;
    if (begins(p, len, "PROXY ", 6))
        e = v1_parse(p, len, &found);
    else if (begins(p, len, v2_signature, sizeof(v2_signature)))
        e = v2_parse(p, len, &found);
    else
        return ERR_INVALID;
    if (!e)
        *out = found;
    return e;
}
