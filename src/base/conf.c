/* conf.c - value forms of settings, and guesses at misspelt names. */
#include "base/conf.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first, as the formatters want them. */
static const struct unit size_units[] = {
    { "t", 1ull << 40 }, { "g", 1ull << 30 }, { "m", 1ull << 20 },
    { "k", 1ull << 10 }, { "", 1 },           { 0 },
};

static const struct unit duration_units[] = {
    { "d", 24ull * 3600 * 1000 },
    { "h", 3600ull * 1000 },
    { "m", 60ull * 1000 },
    { "s", 1000 },
    { "ms", 1 },
    { 0 },
};

/* Splits "10m" into its digits and the factor of its unit. */
static enum err split_unit(struct str s, const struct unit *units,
                           struct str *digits, uint64_t *factor)
{
    size_t n = 0;

    while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    for (; units->name; units++) {
        if (str_is(str_skip(s, n), units->name)) {
            *digits = str_head(s, n);
            *factor = units->factor;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

static enum err parse_unit(struct str s, const struct unit *units,
                           uint64_t *out)
{
    struct str digits;
    uint64_t n, factor;
    enum err e = split_unit(s, units, &digits, &factor);

    if (!e)
        e = str_to_u64(digits, UINT64_MAX, &n);
    if (e)
        return e;
    return __builtin_mul_overflow(n, factor, out) ? ERR_LIMIT : ERR_OK;
}

enum err conf_parse_size(struct str s, uint64_t *bytes)
{
    char lower[32];
    uint64_t n;
    enum err e;

    if (s.len > sizeof(lower))
        return ERR_INVALID;
    for (size_t i = 0; i < s.len; i++)
        lower[i] = char_lower(s.p[i]);
    e = parse_unit(str_from(lower, s.len), size_units, &n);
    if (!e)
        *bytes = n;
    return e;
}

enum err conf_parse_duration_ms(struct str s, uint64_t *ms)
{
    uint64_t n = 0;
    enum err e = ERR_OK;

    /* Units tell 5m from 5ms; nothing is nothing in every unit. */
    if (!str_is(s, "0"))
        e = parse_unit(s, duration_units, &n);
    if (!e)
        *ms = n;
    return e;
}

enum err conf_parse_ratio(struct str s, uint64_t *millionths)
{
    size_t point = str_find(s, '.');
    struct str places = str_skip(s, point + 1);
    uint64_t whole, part = 0;
    enum err e = str_to_u64(str_head(s, point), UINT32_MAX, &whole);

    if (!e && point < s.len)
        e = str_to_u64(places, 999999, &part);
    if (e || places.len > 6)
        return ERR_INVALID;
    for (size_t i = places.len; i < 6; i++)
        part *= 10;
    *millionths = whole * 1000000 + part;
    return ERR_OK;
}

enum err conf_parse_bool(struct str s, bool *out)
{
    if (!str_is(s, "true") && !str_is(s, "false"))
        return ERR_INVALID;
    *out = str_is(s, "true");
    return ERR_OK;
}

static const char *format_unit(uint64_t n, const struct unit *units,
                               char out[CONF_FORMAT_BYTES])
{
    while (n % units->factor)
        units++;
    snprintf(out, CONF_FORMAT_BYTES, "%" PRIu64 "%s", n / units->factor,
             units->name);
    return out;
}

const char *conf_format_size(uint64_t bytes, char out[CONF_FORMAT_BYTES])
{
    if (!bytes)
        return memcpy(out, "0", 2);
    return format_unit(bytes, size_units, out);
}

const char *conf_format_duration_ms(uint64_t ms, char out[CONF_FORMAT_BYTES])
{
    if (!ms)
        return memcpy(out, "0s", 3);
    return format_unit(ms, duration_units, out);
}

const char *conf_format_ratio(uint64_t millionths, char out[CONF_FORMAT_BYTES])
{
    int n = snprintf(out, CONF_FORMAT_BYTES, "%" PRIu64 ".%06u",
                     millionths / 1000000, (unsigned)(millionths % 1000000));

    while (out[n - 1] == '0')
        out[--n] = '\0';
    if (out[n - 1] == '.')
        out[n - 1] = '\0';
    return out;
}

const char *conf_format_bool(bool value)
{
    return value ? "true" : "false";
}

enum { NAME_MAX_BYTES = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t conf_distance(struct str a, struct str b)
{
    /* Rows of the usual table: the one before the last, the last, this. */
    size_t row[3][NAME_MAX_BYTES + 1];
    size_t *before = row[0], *last = row[1], *now = row[2], *oldest;

    /* Names so long are nobody's typing error. */
    if (a.len > NAME_MAX_BYTES || b.len > NAME_MAX_BYTES)
        return a.len > b.len ? a.len : b.len;
    for (size_t j = 0; j <= b.len; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t differs = a.p[i - 1] != b.p[j - 1];

            now[j] =
                least(last[j - 1] + differs, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
                a.p[i - 2] == b.p[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

bool conf_resembles(struct str given, struct str known)
{
    return conf_distance(given, known) <= 1 + known.len / 4;
}

const char *conf_nearest(const struct conf_field *fields, struct str given)
{
    const char *best = NULL;
    size_t nearest = SIZE_MAX;

    for (const struct conf_field *f = fields; f->name; f++) {
        size_t d = conf_distance(given, str_z(f->name));

        if (d < nearest && conf_resembles(given, str_z(f->name))) {
            nearest = d;
            best = f->name;
        }
    }
    return best;
}
