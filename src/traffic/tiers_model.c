/* tiers_model.c - tiers in the form of the WSO2 Microgateway's policies file. */
#include <inttypes.h>

#include "traffic/tiers_internal.h"

struct model {
    struct str name;
    uint64_t count, unit_time;
    struct window window;
    bool stop;
    bool has_count, has_unit, has_time;
};

static const struct conf_field model_names[] = {
    { .name = "name" },
    { .name = "count" },
    { .name = "unitTime" },
    { .name = "timeUnit" },
    { .name = "stopOnQuotaReach" },
    { 0 },
};

/* Numbers may be quoted there. */
static bool model_number(struct tier_reader *r, const struct json *j,
                         uint64_t max, uint64_t *out)
{
    if ((j->type == JSON_NUMBER || j->type == JSON_STRING) &&
        !str_to_u64(j->text, max, out) && *out)
        return true;
    tier_refuse(r, j->line,
                "%.*s must be a whole number between 1 and %" PRIu64,
                STR_ARG(j->key), max);
    return false;
}

static void model_key(struct tier_reader *r, const struct json *j,
                      struct model *m)
{
    const char *near;

    if (str_is(j->key, "name")) {
        m->name = json_str(j);
    } else if (str_is(j->key, "count")) {
        m->has_count = model_number(r, j, LIMITS_MOST, &m->count);
    } else if (str_is(j->key, "unitTime")) {
        m->has_time = model_number(r, j, UINT32_MAX, &m->unit_time);
    } else if (str_is(j->key, "timeUnit")) {
        m->has_unit = !window_unit_parse(json_str(j), &m->window.unit);
        if (!m->has_unit)
            tier_refuse(
                r, j->line,
                "timeUnit must be one of sec, min, hour, day, week, month, "
                "year, got \"%.*s\"",
                STR_ARG(str_head(j->text, 40)));
    } else if (str_is(j->key, "stopOnQuotaReach")) {
        if (j->type != JSON_BOOL)
            tier_refuse(r, j->line, "stopOnQuotaReach must be true or false");
        m->stop = j->boolean;
    } else {
        near = conf_nearest(model_names, j->key);
        tier_refuse(r, j->key_line, "unknown key %.*s%s%s%s",
                    STR_ARG(str_head(j->key, 60)),
                    near ? "; did you mean " : "", near ? near : "",
                    near ? "?" : "");
    }
}

static void model_tier(struct tier_reader *r, const struct model *m,
                       enum tier_level level, uint32_t line)
{
    struct tier *t = arena_alloc(r->a, sizeof(*t));
    struct tier_limit *l = t->limits = tier_add_limits(r->a, t, 1);

    t->name = m->name;
    t->level = level;
    t->limit_count = 1;
    l->kind = TAKE_WINDOW;
    l->window = m->window;
    l->window.n = (uint32_t)m->unit_time;
    l->limit = m->count;
    l->mark_only = !m->stop;
    tier_model_per(level, l);
    tier_identify(r->a, 0, l);
    if (window_length_s(l->window) > WINDOW_LONGEST_S)
        tier_refuse(r, line,
                    "%.*s: unitTime and timeUnit make more than ten years",
                    STR_ARG(str_head(t->name, 60)));
    tier_add(r, t, line);
}

/* {NAME: {count, …}}, or {name: NAME, count, …}. */
void tier_read_model(struct tier_reader *r, const struct json *item,
                     enum tier_level level)
{
    struct model m = { .stop = true };
    const struct json *values = item;
    size_t errors = r->ps->errors;

    if (item->type == JSON_OBJECT && item->count == 1 &&
        item->first->type == JSON_OBJECT) {
        values = item->first;
        m.name = values->key;
    }
    if (values->type == JSON_OBJECT)
        for (const struct json *j = values->first; j; j = j->next)
            model_key(r, j, &m);
    if (r->ps->errors > errors)
        return;
    if (!m.name.len || !m.has_count || !m.has_time || !m.has_unit) {
        tier_refuse(
            r, item->line,
            "a policy is NAME: {count: 1000, unitTime: 1, timeUnit: min}; "
            "mind that count stands deeper than the name");
        return;
    }
    model_tier(r, &m, level, item->line);
}
