/* openapi_fields.c - objects of settings inside extensions, by table. */
#include <math.h>
#include <stdlib.h>

#include "format/openapi_internal.h"

enum { STATUSES_MAX = 32, KNOWN_MAX = 32 };

/* Equal but for case and dashes: access-control-allow-origins and
 * accessControlAllowOrigins are both in use. */
static bool same_name(struct str given, const char *known)
{
    for (size_t i = 0; i < given.len; i++) {
        if (given.p[i] == '-')
            continue;
        if (!*known || char_lower(given.p[i]) != char_lower(*known))
            return false;
        known++;
    }
    return !*known;
}

static const struct oas_field *find(const struct oas_field *f, struct str key)
{
    for (; f->name; f++)
        if (same_name(key, f->name))
            return f;
    return NULL;
}

static void warn_unknown(struct oas_load *l, struct oas_at at, const char *what,
                         const struct oas_field *f)
{
    const char *known[KNOWN_MAX + 1] = { 0 };

    for (size_t i = 0; f->name && i < KNOWN_MAX; f++)
        known[i++] = f->name;
    oas_warn(l, at,
             "unknown key \"%.*s\" in %s is ignored; the nearest known one "
             "is \"%s\"",
             STR_ARG(at.json->key), what, oas_nearest(l, known, at.json->key));
}

/* A number in [min, max]; whole when asked for. */
static bool number(const struct json *j, const struct oas_field *f, bool whole,
                   double *out)
{
    char text[64];
    char *end;
    double d;

    if (j->type != JSON_NUMBER || j->text.len >= sizeof(text))
        return false;
    memcpy(text, j->text.p, j->text.len);
    text[j->text.len] = 0;
    d = strtod(text, &end);
    if (*end || !isfinite(d) || (whole && d != floor(d)))
        return false;
    if (f->unlimited && d == -1)
        d = 0;
    else if (d < f->min || d > f->max)
        return false;
    *out = d;
    return true;
}

static bool read_number(struct oas_load *l, struct oas_at at, const char *what,
                        const struct oas_field *f, char *out)
{
    double d;
    bool whole = f->type != OAS_DOUBLE;

    if (!number(at.json, f, whole, &d)) {
        struct str given = oas_scalar(at.json);

        if (!given.p)
            given = str_z(json_type_name(at.json));
        oas_error(l, at,
                  "%s.%s must be a %snumber from %.15g to %.15g%s, "
                  "got %.*s",
                  what, f->name, whole ? "whole " : "", f->min, f->max,
                  f->unlimited ? " (or -1: no limit)" : "", STR_ARG(given));
        return false;
    }
    out += f->at;
    if (f->type == OAS_U16)
        *(uint16_t *)(void *)out = (uint16_t)d;
    else if (f->type == OAS_U32)
        *(uint32_t *)(void *)out = (uint32_t)d;
    else if (f->type == OAS_U64)
        *(uint64_t *)(void *)out = (uint64_t)d;
    else if (f->type == OAS_I64)
        *(int64_t *)(void *)out = (int64_t)d;
    else
        *(double *)(void *)out = d;
    return true;
}

static bool read_statuses(struct oas_load *l, struct oas_at at,
                          const char *what, const struct oas_field *f,
                          char *out)
{
    static const struct oas_field one = { .min = 100, .max = 599 };
    uint16_t *to = (uint16_t *)(void *)(out + f->at);
    uint32_t n = 0;
    double d;

    if (!oas_is(l, at, JSON_ARRAY, f->name))
        return false;
    for (const struct json *j = at.json->first; j; j = j->next) {
        if (n == STATUSES_MAX || !number(j, &one, true, &d)) {
            oas_error(l, oas_in(at, j),
                      "%s.%s must be a list of at most %d "
                      "statuses from 100 to 599",
                      what, f->name, STATUSES_MAX);
            return false;
        }
        to[n++] = (uint16_t)d;
    }
    *(uint32_t *)(void *)(out + f->count) = n;
    return true;
}

static bool read_strings(struct oas_load *l, struct oas_at at, const char *what,
                         const struct oas_field *f, char *out)
{
    struct str *items;
    size_t n = 0;

    if (!oas_is(l, at, JSON_ARRAY, f->name))
        return false;
    if (at.json->count > OAS_LIST_MAX) {
        oas_error(l, at, "%s.%s may have at most %d items", what, f->name,
                  OAS_LIST_MAX);
        return false;
    }
    items = arena_alloc(l->a, at.json->count * sizeof(*items));
    for (const struct json *j = at.json->first; j; j = j->next) {
        struct str s = oas_scalar(j);

        if (!s.p || s.len > OAS_TEXT_MAX || !f->check(s)) {
            oas_error(l, oas_in(at, j), "%s.%s: \"%.*s\" is no %s", what,
                      f->name, STR_ARG(s), f->wants);
            return false;
        }
        items[n++] = arena_copy(l->a, s);
    }
    *(struct str **)(void *)(out + f->at) = items;
    *(size_t *)(void *)(out + f->count) = n;
    return true;
}

static bool read_bool(struct oas_load *l, struct oas_at at, const char *what,
                      const struct oas_field *f, char *out)
{
    if (at.json->type != JSON_BOOL) {
        oas_error(l, at, "%s.%s must be true or false", what, f->name);
        return false;
    }
    *(bool *)(void *)(out + f->at) = at.json->boolean;
    return true;
}

static bool read_field(struct oas_load *l, struct oas_at at, const char *what,
                       const struct oas_field *f, void *out)
{
    switch (f->type) {
    case OAS_BOOL:
        return read_bool(l, at, what, f, out);
    case OAS_STATUSES:
        return read_statuses(l, at, what, f, out);
    case OAS_STRINGS:
        return read_strings(l, at, what, f, out);
    case OAS_SECTION:
        if (f->at)
            *(bool *)(void *)((char *)out + f->at) = true;
        return oas_fields(l, at, f->name, f->fields, out);
    case OAS_OTHER:
        return true;
    default:
        return read_number(l, at, what, f, out);
    }
}

bool oas_fields(struct oas_load *l, struct oas_at at, const char *what,
                const struct oas_field *fields, void *out)
{
    bool fine = true;

    if (!oas_is(l, at, JSON_OBJECT, what))
        return false;
    for (const struct json *j = at.json->first; j; j = j->next) {
        const struct oas_field *f = find(fields, j->key);

        if (!f)
            warn_unknown(l, oas_in(at, j), what, fields);
        else if (!read_field(l, oas_in(at, j), what, f, out))
            fine = false;
    }
    return fine;
}
