/* limit_key.c - SipHash with one and three rounds and 128 bits of output,
 * over the 16 bytes of the key before and the bytes of a part. */
#include "traffic/limit_key.h"

#include <endian.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t sip_end(struct sip *s)
{
    sip_round(s);
    sip_round(s);
    sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

struct limit_key limit_key_add(struct limit_seed seed, struct limit_key base,
                               struct str part)
{
    struct sip s = {
        seed.a ^ 0x736f6d6570736575ull,
        seed.b ^ 0x646f72616e646f6dull ^ 0xee,
        seed.a ^ 0x6c7967656e657261ull,
        seed.b ^ 0x7465646279746573ull,
    };
    struct limit_key out;
    uint64_t word;
    size_t at = 0;

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
