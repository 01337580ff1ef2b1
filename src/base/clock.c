/* clock.c - time and randomness, see clock.h. */
#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"

static uint64_t read_us(clockid_t which)
{
    struct timespec t;

    must(clock_gettime(which, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ns(void)
{
    struct timespec t;

    must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

void random_bytes(void *p, size_t n)
{
    char *at = p;

    while (n) {
        ssize_t got = getrandom(at, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        must(got > 0);
        at += got;
        n -= (size_t)got;
    }
}

void rng_seed(struct rng *r)
{
    random_bytes(&r->state, sizeof(r->state));
}

uint64_t rng_next(struct rng *r)
{
    unsigned __int128 product;

    r->state += 0xa0761d6478bd642full;
    product = (unsigned __int128)r->state * (r->state ^ 0xe7037ed1a0b428dbull);
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    uint64_t wide;

    must(n > 0);
    /* The high half of a product is even over [0, n) once the few low halves
     * that one value has too many of are thrown away. */
    do
        wide = (rng_next(r) >> 32) * n;
    while ((uint32_t)wide < n && (uint32_t)wide < -n % n);
    return (uint32_t)(wide >> 32);
}

struct civil {
    unsigned year, month, day; /* month and day from 1 */
    unsigned weekday;          /* 0 is Sunday */
    unsigned hour, minute, second, ms;
};

/* Not gmtime_r(): it takes the C library's time zone lock. Years are counted
 * from March, so that the leap day is the last of its year. */
static struct civil civil_from(uint64_t wall_us)
{
    const uint64_t last = 253402300799999999ull; /* of the year 9999 */
    uint64_t us = wall_us < last ? wall_us : last;
    unsigned s = (unsigned)(us / 1000000 % 86400);
    unsigned days = (unsigned)(us / 1000000 / 86400); /* since 1970 */
    unsigned since = days + 719468;                   /* since 0000-03-01 */
    unsigned era = since / 146097, in_era = since % 146097;
    unsigned year =
        (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * in_year + 2) / 153; /* 0 is March */
    struct civil c = {
        .day = in_year - (153 * month + 2) / 5 + 1,
        .month = month < 10 ? month + 3 : month - 9,
        .weekday = (days + 4) % 7, /* 1970-01-01 was a Thursday */
        .hour = s / 3600,
        .minute = s / 60 % 60,
        .second = s % 60,
        .ms = (unsigned)(us / 1000 % 1000),
    };

    c.year = era * 400 + year + (c.month <= 2);
    return c;
}

/* n in exactly width digits. */
static char *put(char *p, unsigned n, int width)
{
    for (int i = width - 1; i >= 0; i--, n /= 10)
        p[i] = (char)('0' + n % 10);
    return p + width;
}

static char *put_time(char *p, const struct civil *c)
{
    p = put(p, c->hour, 2);
    *p++ = ':';
    p = put(p, c->minute, 2);
    *p++ = ':';
    return put(p, c->second, 2);
}

void clock_iso8601(uint64_t wall_us, char out[25])
{
    struct civil c = civil_from(wall_us);
    char *p = put(out, c.year, 4);

    *p++ = '-';
    p = put(p, c.month, 2);
    *p++ = '-';
    p = put(p, c.day, 2);
    *p++ = 'T';
    p = put_time(p, &c);
    *p++ = '.';
    p = put(p, c.ms, 3);
    memcpy(p, "Z", 2);
}

void clock_http_date(uint64_t wall_us, char out[30])
{
    struct civil c = civil_from(wall_us);
    char *p = out;

    memcpy(p, &"SunMonTueWedThuFriSat"[3 * c.weekday], 3);
    memcpy(p + 3, ", ", 2);
    p = put(p + 5, c.day, 2);
    *p++ = ' ';
    memcpy(p, &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * (c.month - 1)], 3);
    p[3] = ' ';
    p = put(p + 4, c.year, 4);
    *p++ = ' ';
    p = put_time(p, &c);
    memcpy(p, " GMT", 5);
}
