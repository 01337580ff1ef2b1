/* window.c - windows of fixed length, and those of the calendar. */
#include "traffic/window.h"

#include <stdio.h>

#include "base/log.h"

#define DAY_S 86400u
#define LAST_S 253402300799ull /* of the year 9999 */

static const uint32_t unit_s[] = {
    [WINDOW_SECOND] = 1,         [WINDOW_MINUTE] = 60,
    [WINDOW_HOUR] = 3600,        [WINDOW_DAY] = DAY_S,
    [WINDOW_WEEK] = 7 * DAY_S,   [WINDOW_MONTH] = 31 * DAY_S,
    [WINDOW_YEAR] = 366 * DAY_S,
};

/* Days from 1970-01-01 to the first of a month; months are counted from
 * January of the year 0. Years here begin in March, so that the leap day is
 * the last of its year. */
static uint64_t days_to_month(uint64_t months)
{
    uint64_t march = months - 2; /* never 0: nobody asks before 1970 */
    uint64_t year = march / 12, month = march % 12;

    return 365 * year + year / 4 - year / 100 + year / 400 +
           (153 * month + 2) / 5 - 719468;
}

/* The month, counted from January of the year 0, of a day since 1970. */
static uint64_t month_of_day(uint64_t day)
{
    uint64_t since = day + 719468, era = since / 146097;
    uint64_t in_era = since % 146097;
    uint64_t year =
        (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint64_t in_year = in_era - (365 * year + year / 4 - year / 100);

    return (era * 400 + year) * 12 + (5 * in_year + 2) / 153 + 2;
}

static struct window_span months_at(uint64_t n, uint64_t now_s)
{
    uint64_t first = month_of_day(now_s / DAY_S) / n * n;
    /* A window of years may have begun before 1970; the calendar of the
     * gateway does not. */
    uint64_t start = first > 1970 * 12 ? days_to_month(first) : 0;

    return (struct window_span) { start * DAY_S,
                                  days_to_month(first + n) * DAY_S };
}

struct window_span window_at(struct window w, uint64_t now_s)
{
    uint64_t n = w.n ? w.n : 1, length = n * unit_s[w.unit], start;

    if (now_s > LAST_S)
        now_s = LAST_S;
    switch (w.unit) {
    case WINDOW_SECOND:
    case WINDOW_MINUTE:
    case WINDOW_HOUR:
    case WINDOW_DAY:
        start = now_s / length * length;
        return (struct window_span) { start, start + length };
    case WINDOW_WEEK:
        /* 1970-01-01 was a Thursday: its week began three days before. */
        start = (now_s + 3 * DAY_S) / length * length;
        return (struct window_span) {
            start > 3 * DAY_S ? start - 3 * DAY_S : 0,
            start + length - 3 * DAY_S,
        };
    case WINDOW_MONTH:
        return months_at(n, now_s);
    case WINDOW_YEAR:
        return months_at(12 * n, now_s);
    }
    must_fail("a unit of windows", __FILE__, __LINE__);
}

uint64_t window_length_s(struct window w)
{
    return (uint64_t)(w.n ? w.n : 1) * unit_s[w.unit];
}

enum err window_unit_parse(struct str s, enum window_unit *out)
{
    static const struct {
        const char *name;
        enum window_unit unit;
    } names[] = {
        { "s", WINDOW_SECOND },      { "sec", WINDOW_SECOND },
        { "second", WINDOW_SECOND }, { "m", WINDOW_MINUTE },
        { "min", WINDOW_MINUTE },    { "minute", WINDOW_MINUTE },
        { "h", WINDOW_HOUR },        { "hour", WINDOW_HOUR },
        { "d", WINDOW_DAY },         { "day", WINDOW_DAY },
        { "w", WINDOW_WEEK },        { "week", WINDOW_WEEK },
        { "month", WINDOW_MONTH },   { "y", WINDOW_YEAR },
        { "year", WINDOW_YEAR },
    };
    struct str one = s;

    if (s.len > 2 && char_lower(s.p[s.len - 1]) == 's')
        one.len--; /* "minutes" */
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (str_eq_nocase(s, str_z(names[i].name)) ||
            str_eq_nocase(one, str_z(names[i].name))) {
            *out = names[i].unit;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

enum err window_parse(struct str s, struct window *out)
{
    struct window w;
    uint64_t n = 1;
    size_t digits = 0;
    enum err e;

    while (digits < s.len && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    if (digits && (e = str_to_u64(str_head(s, digits), UINT32_MAX, &n)))
        return e;
    if (window_unit_parse(str_trim(str_skip(s, digits)), &w.unit))
        return ERR_INVALID;
    w.n = (uint32_t)n;
    if (!n || window_length_s(w) > WINDOW_LONGEST_S)
        return ERR_LIMIT;
    *out = w;
    return ERR_OK;
}

const char *window_format(struct window w, char out[WINDOW_FORMAT_BYTES])
{
    static const char *const names[] = {
        "s", "m", "h", "d", "w", "month", "y"
    };

    snprintf(out, WINDOW_FORMAT_BYTES, "%u%s", w.n, names[w.unit]);
    return out;
}
