/* sip.h - the state of a SipHash and its steps: one round for each word, three
 * at the end (SipHash-1-3). Who uses it says what a word is, and mixes in the
 * constant that goes before the end.
 */
#ifndef TG_BASE_SIP_H
#define TG_BASE_SIP_H

#include <stdint.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline struct sip sip_begin(uint64_t key0, uint64_t key1)
{
    return (struct sip) {
        key0 ^ 0x736f6d6570736575ull,
        key1 ^ 0x646f72616e646f6dull,
        key0 ^ 0x6c7967656e657261ull,
        key1 ^ 0x7465646279746573ull,
    };
}

static inline uint64_t sip_rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = sip_rotate(s->v1, 13) ^ s->v0;
    s->v3 = sip_rotate(s->v3, 16) ^ s->v2;
    s->v0 = sip_rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = sip_rotate(s->v1, 17) ^ s->v2;
    s->v3 = sip_rotate(s->v3, 21) ^ s->v0;
    s->v2 = sip_rotate(s->v2, 32);
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

#endif
