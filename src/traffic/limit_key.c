/* limit_key.c - SipHash with one and three rounds and 128 bits of output,
 * over the 16 bytes of the key before and the bytes of a part. */
#include "traffic/limit_key.h"

#include <endian.h>

#include "base/sip.h"

struct limit_key limit_key_add(struct limit_seed seed, struct limit_key base,
                               struct str part)
{
    struct sip s = sip_begin(seed.a, seed.b);
    struct limit_key out;
    uint64_t word;
    size_t at = 0;

    s.v1 ^= 0xee; /* there will be two words of output */
    sip_word(&s, base.a);
    sip_word(&s, base.b);
    for (; at + 8 <= part.len; at += 8) {
        memcpy(&word, part.p + at, 8);
        sip_word(&s, le64toh(word));
    }
    word = 0;
    if (part.len > at)
        memcpy(&word, part.p + at, part.len - at);
    sip_word(&s, le64toh(word) | (uint64_t)(part.len + 16) << 56);
    s.v2 ^= 0xee;
    out.a = sip_end(&s);
    s.v1 ^= 0xdd;
    out.b = sip_end(&s);
    return out;
}

struct limit_key limit_key_of(struct limit_seed seed, const struct str *parts,
                              size_t count)
{
    struct limit_key key = { 0 };

    for (size_t i = 0; i < count; i++)
        key = limit_key_add(seed, key, parts[i]);
    return key;
}
