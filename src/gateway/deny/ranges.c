/* ranges.c - see ranges.h. */
#include "gateway/deny/ranges.h"

#include <stdlib.h>

#include "base/log.h"
#include "traffic/tier_conditions.h"

__extension__ typedef unsigned __int128 u128;

enum { PREFIXES_MAX = 1 << 20 };

struct prefix {
    u128 from, to;
    uint32_t number;
    uint32_t around; /* 1 + index of the next larger one; 0: none */
};

struct ranges {
    struct prefix *all;
    uint32_t count, room;
};

static const u128 mapped = (u128)0xffff00000000;    /* ::ffff:0.0.0.0 */
static const u128 mapped_to = (u128)0xffffffffffff; /* ::ffff:255.… */

static u128 read_ip(const uint8_t ip[16])
{
    u128 n = 0;

    for (int i = 0; i < 16; i++)
        n = n << 8 | ip[i];
    return n;
}

static void free_all(void *arg)
{
    struct ranges *r = arg;

    x_free(r->all);
}

struct ranges *ranges_new(struct arena *a)
{
    struct ranges *r = arena_alloc(a, sizeof(*r));

    arena_defer(a, free_all, r);
    return r;
}

static enum err add_prefix(struct ranges *r, u128 from, u128 to,
                           uint32_t number)
{
    if (r->count == PREFIXES_MAX)
        return ERR_LIMIT;
    if (r->count == r->room) {
        r->room = r->room ? 2 * r->room : 16;
        r->all = x_resize(r->all, r->room * sizeof(*r->all));
    }
    r->all[r->count++] =
        (struct prefix) { .from = from, .to = to, .number = number };
    return ERR_OK;
}

/* The largest prefix that begins at from and does not reach beyond to. */
static u128 last_of(u128 from, u128 to)
{
    u128 size_1 = 0; /* its addresses, less one */

    while (size_1 != ~(u128)0) {
        u128 next = size_1 << 1 | 1;

        if (from & next || next > to - from)
            break;
        size_1 = next;
    }
    return from + size_1;
}

static enum err add_range(struct ranges *r, u128 from, u128 to, uint32_t number)
{
    for (;;) {
        u128 last = last_of(from, to);
        enum err e = add_prefix(r, from, last, number);

        if (e || last == to)
            return e;
        from = last + 1;
    }
}

enum err ranges_add(struct ranges *r, struct str text, uint32_t number)
{
    bool six = str_find(text, ':') < text.len;
    uint8_t from[16], to[16];
    enum err e = condition_ip(text, from, to);
    u128 a, b;

    if (e)
        return e;
    a = read_ip(from);
    b = read_ip(to);
    if (!six || b < mapped || a > mapped_to || (a >= mapped && b <= mapped_to))
        return add_range(r, a, b, number);
    if (a < mapped && (e = add_range(r, a, mapped - 1, number)))
        return e;
    return b > mapped_to ? add_range(r, mapped_to + 1, b, number) : ERR_OK;
}

/* What is around another comes before it. */
static int compare(const void *x, const void *y)
{
    const struct prefix *a = x, *b = y;

    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    if (a->to != b->to)
        return a->to > b->to ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

void ranges_seal(struct ranges *r)
{
    if (r->count)
        qsort(r->all, r->count, sizeof(*r->all), compare);
    for (uint32_t i = 1; i < r->count; i++) {
        uint32_t around = i; /* 1 + that of the one before */

        while (around && r->all[around - 1].to < r->all[i].from)
            around = r->all[around - 1].around;
        r->all[i].around = around;
    }
}

bool ranges_empty(const struct ranges *r)
{
    return r->count == 0;
}

/* 1 + the index of the last that begins at n or before it; 0: none. */
static uint32_t last_before(const struct ranges *r, u128 n)
{
    uint32_t low = 0, high = r->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (r->all[middle].from <= n)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ranges_next(const struct ranges *r, const uint8_t ip[16], uint32_t *at,
                 uint32_t *number)
{
    u128 n = read_ip(ip);
    uint32_t i = *at == RANGES_START ? last_before(r, n) : *at;

    while (i && r->all[i - 1].to < n)
        i = r->all[i - 1].around;
    if (!i)
        return false;
    *number = r->all[i - 1].number;
    *at = r->all[i - 1].around;
    return true;
}

bool ranges_has(const struct ranges *r, const uint8_t ip[16])
{
    uint32_t at = RANGES_START, number;

    return ranges_next(r, ip, &at, &number);
}
