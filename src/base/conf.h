/* conf.h - settings as tables: one declaration gives parsing, bounds,
 * defaults, environment overrides, `config show` and the reference manual.
 *
 * A section is an array of fields ended by { 0 }; each field writes at an
 * offset of one C struct. Reading from YAML is format/conf_read.h.
 *
 *   CONF_BOOL         bool
 *   CONF_U64          uint64_t, plain number
 *   CONF_SIZE         uint64_t bytes: 4096, 64k, 10m, 2g (powers of 1024)
 *   CONF_DURATION_MS  uint64_t milliseconds: 250ms, 30s, 5m, 12h, 7d
 *   CONF_RATIO        uint64_t millionths: 0, 0.25, 1; six places at most
 *   CONF_STRING       struct str
 *   CONF_ENUM         int, index into choices[]
 *   CONF_STRINGS      struct conf_strings
 *   CONF_SECTION      an embedded struct at the offset, described by fields
 *   CONF_SECTIONS     struct conf_list of structs of size item_size
 */
#ifndef TG_BASE_CONF_H
#define TG_BASE_CONF_H

#include "base/problem.h"

enum conf_type {
    CONF_END = 0,
    CONF_BOOL,
    CONF_U64,
    CONF_SIZE,
    CONF_DURATION_MS,
    CONF_RATIO,
    CONF_STRING,
    CONF_ENUM,
    CONF_STRINGS,
    CONF_SECTION,
    CONF_SECTIONS,
};

struct conf_strings {
    struct str *items;
    size_t count;
};

struct conf_list {
    void *items; /* count structs of item_size, one behind the other */
    size_t count;
};

struct conf_field {
    const char *name;
    enum conf_type type;
    size_t at;         /* offsetof */
    uint64_t min, max; /* of what is a uint64_t; max 0: no upper bound */
    const char *def;   /* as it would be written; NULL: zero, empty, false */
    const char *const *choices;      /* ENUM: names, NULL at the end */
    const struct conf_field *fields; /* SECTION, SECTIONS */
    size_t item_size;                /* SECTIONS */
    bool required; /* must be present (in SECTIONS items, mostly) */
    /* SECTIONS: a plain string item stands for a section with just this
     * field set ("- petstore.yaml" for "- {path: petstore.yaml}"). */
    const char *scalar_field;
    const char *help; /* one or more sentences for the reference manual */
};

/* The value forms above, for others who read such values. ERR_INVALID for
 * another form, ERR_LIMIT for what does not fit 64 bits. Suffixes of sizes may
 * be upper case; a duration has a unit unless it is 0. */
enum err conf_parse_size(struct str s, uint64_t *bytes);
enum err conf_parse_duration_ms(struct str s, uint64_t *ms);
enum err conf_parse_ratio(struct str s, uint64_t *millionths);
enum err conf_parse_bool(struct str s, bool *out); /* "true", "false" */

/* And back, with the largest unit that loses nothing. Return out. */
#define CONF_FORMAT_BYTES 24
const char *conf_format_size(uint64_t bytes, char out[CONF_FORMAT_BYTES]);
const char *conf_format_duration_ms(uint64_t ms, char out[CONF_FORMAT_BYTES]);
const char *conf_format_ratio(uint64_t millionths, char out[CONF_FORMAT_BYTES]);
const char *conf_format_bool(bool value);

/* Typing errors between two names: letters added, left out, replaced, or
 * swapped with a neighbour. */
size_t conf_distance(struct str a, struct str b);
/* Whether somebody who wrote given may have meant known. */
bool conf_resembles(struct str given, struct str known);
/* The name of the field given was most likely meant for, or NULL. */
const char *conf_nearest(const struct conf_field *fields, struct str given);

#endif
