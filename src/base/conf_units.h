/* conf_units.h - bounds of settings in a table of fields: milliseconds, as
 * CONF_DURATION_MS has them, and bytes.
 *
 * Included by the .c file with the table: the names are short.
 */
#ifndef TG_BASE_CONF_UNITS_H
#define TG_BASE_CONF_UNITS_H

#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB 1024ull
#define MIB (1024 * KIB)

#endif
