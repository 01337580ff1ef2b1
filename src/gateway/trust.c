/* trust.c - a short list of prefixes, looked through in order. */
#include "gateway/trust.h"

#include <arpa/inet.h>
#include <netinet/in.h>

struct range {
    uint8_t ip[16];
    unsigned bits; /* of 128 */
};

struct trust {
    struct range *ranges;
    size_t count;
    bool unix_peers;
};

static enum err parse(struct str text, struct range *out)
{
    size_t slash = str_find(text, '/');
    struct str host = str_head(text, slash);
    char z[64];
    uint64_t bits = 0;
    bool v4;

    if (host.len >= sizeof(z))
        return ERR_INVALID;
    memcpy(z, host.p, host.len);
    z[host.len] = '\0';
    memset(out, 0, sizeof(*out));
    v4 = inet_pton(AF_INET, z, out->ip + 12) == 1;
    if (v4)
        out->ip[10] = out->ip[11] = 0xff;
    else if (inet_pton(AF_INET6, z, out->ip) != 1)
        return ERR_INVALID;
    if (slash == text.len)
        bits = v4 ? 32 : 128;
    else if (str_to_u64(str_skip(text, slash + 1), v4 ? 32 : 128, &bits))
        return ERR_INVALID;
    out->bits = (unsigned)bits + (v4 ? 96 : 0);
    return ERR_OK;
}

enum err trust_new(struct arena *a, const struct str *ranges, size_t count,
                   struct trust **out, struct str *bad)
{
    struct trust *t = arena_alloc(a, sizeof(*t));

    t->ranges = arena_alloc(a, (count + 1) * sizeof(*t->ranges));
    for (size_t i = 0; i < count; i++) {
        if (str_is(ranges[i], "unix")) {
            t->unix_peers = true;
        } else if (parse(ranges[i], &t->ranges[t->count])) {
            *bad = ranges[i];
            return ERR_INVALID;
        } else {
            t->count++;
        }
    }
    *out = t;
    return ERR_OK;
}

static bool in_range(const struct range *r, const uint8_t ip[16])
{
    unsigned bytes = r->bits / 8, rest = r->bits % 8;

    if (memcmp(r->ip, ip, bytes) != 0)
        return false;
    return !rest || !((r->ip[bytes] ^ ip[bytes]) >> (8 - rest));
}

bool trust_has(const struct trust *t, const uint8_t ip[16])
{
    for (size_t i = 0; i < t->count; i++)
        if (in_range(&t->ranges[i], ip))
            return true;
    return false;
}

bool trust_has_unix(const struct trust *t)
{
    return t->unix_peers;
}

bool trust_peer(const struct trust *t, const struct sockaddr *peer)
{
    uint8_t ip[16] = { 0 };

    if (!t->count && !t->unix_peers)
        return false;
    if (peer->sa_family == AF_INET) {
        ip[10] = ip[11] = 0xff;
        memcpy(ip + 12,
               &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    } else if (peer->sa_family == AF_INET6) {
        memcpy(ip,
               &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr,
               16);
    } else {
        return t->unix_peers;
    }
    return trust_has(t, ip);
}
