/* field_table.h - the perfect hash behind field_id().
 *
 * Private to message.c; to h1_head.c, which has the bytes of a name in a
 * register already when it asks; and to h2_fields.c, which sends names in lower
 * case.
 */
#ifndef TG_HTTP_FIELD_TABLE_H
#define TG_HTTP_FIELD_TABLE_H

#include "http/message.h"

#define FIELD_SLOTS 128
#define FIELD_NAME_MIN 2
#define FIELD_NAME_MAX 30

/* A name in lower case, padded; 32 bytes, two loads of sixteen. */
struct field_key {
    char lower[31];
    uint8_t len;
} __attribute__((aligned(32)));

extern const struct field_key field_keys[FIELD_COUNT];
extern const uint8_t field_slots[FIELD_SLOTS];

/* Sets of fields are 64 bits wide. */
_Static_assert(FIELD_COUNT <= 64, "too many fields for a set");
#define FIELD_BIT(id) (1ull << (id))
#define FIELDS_HOP_BY_HOP                                                \
    (FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_HTTP2_SETTINGS) |     \
     FIELD_BIT(FIELD_KEEP_ALIVE) | FIELD_BIT(FIELD_PROXY_AUTHENTICATE) | \
     FIELD_BIT(FIELD_PROXY_AUTHORIZATION) |                              \
     FIELD_BIT(FIELD_PROXY_CONNECTION) | FIELD_BIT(FIELD_TE) |           \
     FIELD_BIT(FIELD_TRAILER) | FIELD_BIT(FIELD_TRANSFER_ENCODING) |     \
     FIELD_BIT(FIELD_UPGRADE))

static inline uint32_t field_two(const unsigned char *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint16_t two;

    memcpy(&two, p, 2);
    return two;
#else
    return p[0] | (uint32_t)p[1] << 8;
#endif
}

/* The only id a name of len >= FIELD_NAME_MIN bytes can have: its first and
 * last two bytes and its length decide. The 0x20 bits make letters lower-case;
 * what else they do only picks another slot. */
static inline enum field field_candidate(const char *p, size_t len)
{
    const unsigned char *b = (const unsigned char *)p;
    uint32_t first = field_two(b), last = field_two(b + len - 2);
    uint32_t key = (first | last << 16 | 0x20202020) + (uint32_t)len * 2;

    return (enum field)field_slots[key * 0x6d54daa1 >> 25];
}

#endif
