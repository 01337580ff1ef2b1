/* window.h - which window of time an instant lies in.
 *
 * Seconds, minutes and hours are aligned to multiples of their length since
 * 1970 UTC. Days to years are calendar UTC: n days to multiples of n since
 * 1970-01-01, weeks begin on Monday (ISO 8601), n months and n years to
 * multiples of n of the calendar (3 months are its quarters). The end of a
 * window belongs to the next one.
 */
#ifndef TG_TRAFFIC_WINDOW_H
#define TG_TRAFFIC_WINDOW_H

#include "base/str.h"

enum window_unit {
    WINDOW_SECOND,
    WINDOW_MINUTE,
    WINDOW_HOUR,
    WINDOW_DAY,
    WINDOW_WEEK,
    WINDOW_MONTH,
    WINDOW_YEAR,
};

struct window {
    enum window_unit unit;
    uint32_t n; /* of the unit, at least 1 */
};

/* Seconds since 1970. */
struct window_span {
    uint64_t start_s, end_s;
};

/* No window is longer: ten years. */
#define WINDOW_LONGEST_S (10ull * 366 * 86400)

/* The window now_s lies in. Instants after the year 9999 count as its end. */
struct window_span window_at(struct window w, uint64_t now_s);
/* At least as long as any window of this kind: months count 31 days, years
 * 366. */
uint64_t window_length_s(struct window w);

/* "30s", "1m", "1h", "1d", "1w", "3month", "1y" and the units in full
 * ("sec", "min", "hour", "day", "week", "month", "year", also with s). A unit
 * alone counts once. ERR_INVALID for another form, ERR_LIMIT for 0 and for
 * more than ten years. */
enum err window_parse(struct str s, struct window *out);
/* The unit alone, as above. */
enum err window_unit_parse(struct str s, enum window_unit *out);
/* "1m", "3month": what window_parse() reads. Returns out. */
#define WINDOW_FORMAT_BYTES 24
const char *window_format(struct window w, char out[WINDOW_FORMAT_BYTES]);

#endif
