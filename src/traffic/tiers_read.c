/* tiers_read.c - the policies file.
 *
 * Its three lists in the model's form:
 *
 *   subscriptionPolicies:
 *     - Gold: {count: 5000, unitTime: 1, timeUnit: min}
 *
 * (tiers_model.c), and tiers in ours, by the tables of tiers_fields.c.
 */
#include "traffic/tiers.h"

#include <errno.h>
#include <inttypes.h>

#include "base/log.h"
#include "base/whole_file.h"
#include "format/conf_read.h"
#include "format/yaml.h"
#include "traffic/tier_conditions.h"
#include "traffic/tiers_internal.h"

enum {
    FILE_MAX = 4 << 20,
    TIERS_MAX = 10000,
    GROUPS_MAX = 32,
    CONDITIONS_MAX = 16,
};

/* ---- one limit ---- */

static bool read_window(struct tier_reader *r, struct str text,
                        struct window *w)
{
    enum err e = window_parse(text, w);

    if (e == ERR_LIMIT)
        tier_refuse(
            r, r->line,
            "tier %.*s: window must be between 1s and 10y, got \"%.*s\"",
            STR_ARG(r->tier->name), STR_ARG(str_head(text, 40)));
    else if (e)
        tier_refuse(
            r, r->line,
            "tier %.*s: window must be a number of s, m, h, d, w, month or "
            "y, such as 1m, got \"%.*s\"",
            STR_ARG(r->tier->name), STR_ARG(str_head(text, 40)));
    return !e;
}

static bool read_one_per(struct tier_reader *r, struct str text,
                         struct tier_per *p)
{
    static const char *const names[] = { "key", "user",      "ip",
                                         "api", "operation", NULL };

    for (int i = 0; names[i]; i++) {
        if (str_is(text, names[i])) {
            p->kind = (enum tier_per_kind)i;
            return true;
        }
    }
    p->name = str_skip(text, str_find(text, ':') + 1);
    if (p->name.len && str_starts(text, STR("header:"))) {
        p->kind = TIER_PER_HEADER;
        return true;
    }
    if (p->name.len && str_starts(text, STR("claim:"))) {
        p->kind = TIER_PER_CLAIM;
        return true;
    }
    tier_refuse(r, r->line,
                "tier %.*s: per must be of key, user, ip, api, operation, "
                "header:NAME, claim:NAME, or all alone; got \"%.*s\"",
                STR_ARG(r->tier->name), STR_ARG(str_head(text, 40)));
    return false;
}

static bool read_per(struct tier_reader *r, const struct conf_strings *per,
                     struct tier_limit *l)
{
    if (per->count == 1 && str_is(per->items[0], "all"))
        return true;
    if (per->count > TIER_PER_MAX) {
        tier_refuse(r, r->line, "tier %.*s: per has more than %d entries",
                    STR_ARG(r->tier->name), TIER_PER_MAX);
        return false;
    }
    for (size_t i = 0; i < per->count; i++)
        if (!read_one_per(r, per->items[i], &l->per[l->per_count++]))
            return false;
    return true;
}

static bool make_rate(struct tier_reader *r, const struct limit_conf *lc,
                      struct tier_limit *l)
{
    uint64_t length_us = window_length_s(l->window) * 1000000;

    if (l->unit != TIER_REQUESTS || l->window.unit > WINDOW_WEEK) {
        tier_refuse(
            r, r->line,
            "tier %.*s: burst goes with requests and a window of weeks at "
            "most; leave it out for a quota",
            STR_ARG(r->tier->name));
        return false;
    }
    l->kind = TAKE_RATE;
    /* Rounded up: never more than what was asked for. */
    l->interval_us = (length_us + l->limit - 1) / l->limit;
    l->limit = lc->burst;
    if (l->interval_us <= LIMITS_MOST / l->limit)
        return true;
    tier_refuse(r, r->line,
                "tier %.*s: a burst of %" PRIu64
                " would take longer than 25 days "
                "to come back; make it smaller",
                STR_ARG(r->tier->name), lc->burst);
    return false;
}

static bool read_limit(struct tier_reader *r, const struct limit_conf *lc,
                       bool stop_on_quota, struct tier_limit *l)
{
    if (!!lc->requests + !!lc->bytes + !!lc->events != 1) {
        tier_refuse(
            r, r->line,
            "tier %.*s: a limit has one of requests, bytes and events, and "
            "at least 1 of it",
            STR_ARG(r->tier->name));
        return false;
    }
    l->unit =
        lc->requests ? TIER_REQUESTS : (lc->bytes ? TIER_BYTES : TIER_EVENTS);
    l->limit = lc->requests + lc->bytes + lc->events;
    l->kind = TAKE_WINDOW;
    l->mark_only = !stop_on_quota;
    if (!read_window(r, lc->window, &l->window) || !read_per(r, &lc->per, l) ||
        (lc->burst && !make_rate(r, lc, l)))
        return false;
    tier_identify(r->a, r->group, l);
    return true;
}

static void read_limits(struct tier_reader *r, const struct json *tree,
                        const struct conf_list *list, bool stop_on_quota,
                        struct tier_limit **out, uint32_t *count)
{
    const struct limit_conf *confs = list->items;
    const struct json *item = tree ? tree->first : NULL;
    struct tier_limit *limits;

    if (list->count > TIER_QUOTAS_MAX) {
        tier_refuse(r, tree ? tree->line : r->line,
                    "tier %.*s: more than %d limits", STR_ARG(r->tier->name),
                    TIER_QUOTAS_MAX);
        return;
    }
    limits = tier_add_limits(r->a, r->tier, (uint32_t)list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        r->line = item ? item->line : r->line;
        item = item ? item->next : NULL;
        if (!read_limit(r, &confs[i], stop_on_quota, &limits[i]))
            continue;
        for (uint32_t k = 0; k < i; k++)
            if (str_eq(limits[k].identity, limits[i].identity))
                tier_refuse(r, r->line,
                            "tier %.*s: two limits count the same in the same "
                            "window; leave the larger one out",
                            STR_ARG(r->tier->name));
    }
    *out = limits;
    *count = (uint32_t)list->count;
}

/* ---- conditions ---- */

static struct str condition_name(const struct condition_conf *cc,
                                 enum tier_condition_kind *kind)
{
    if (cc->header.len)
        *kind = CONDITION_HEADER;
    else if (cc->query.len)
        *kind = CONDITION_QUERY;
    else
        *kind = cc->claim.len ? CONDITION_CLAIM : CONDITION_IP;
    return cc->header.len ? cc->header : cc->query.len ? cc->query : cc->claim;
}

static void read_condition(struct tier_reader *r,
                           const struct condition_conf *cc,
                           const struct json *tree, struct tier_condition *c)
{
    struct str why;

    c->invert = cc->invert;
    c->name = condition_name(cc, &c->kind);
    if (!!cc->ip.len + !!cc->header.len + !!cc->query.len + !!cc->claim.len !=
            1 ||
        (cc->value.len && cc->regex.len) ||
        (cc->ip.len && (cc->value.len || cc->regex.len))) {
        tier_refuse(r, r->line,
                    "tier %.*s: a condition has one of ip, header, query and "
                    "claim, and for the last three value or regex at most",
                    STR_ARG(r->tier->name));
        return;
    }
    if (cc->ip.len && condition_ip(cc->ip, c->from, c->to))
        tier_refuse(
            r, r->line,
            "tier %.*s: ip must be an address, a network (10.0.0.0/8) or a "
            "range (10.0.0.1-10.0.0.9), got \"%.*s\"",
            STR_ARG(r->tier->name), STR_ARG(str_head(cc->ip, 60)));
    if (json_at(tree, "value"))
        c->value = cc->value;
    if (cc->regex.len && condition_regex(r->a, cc->regex, &c->regex, &why))
        tier_refuse(r, r->line, "tier %.*s: regex \"%.*s\": %.*s",
                    STR_ARG(r->tier->name), STR_ARG(str_head(cc->regex, 60)),
                    STR_ARG(why));
}

static void read_group(struct tier_reader *r, const struct group_conf *gc,
                       const struct json *tree, bool stop_on_quota,
                       struct tier_group *g)
{
    const struct condition_conf *confs = gc->when.items;
    const struct json *when = json_at(tree, "when"), *item;

    r->line = tree->line;
    if (!gc->when.count || gc->when.count > CONDITIONS_MAX) {
        tier_refuse(r, r->line,
                    "tier %.*s: a group has between 1 and %d conditions",
                    STR_ARG(r->tier->name), CONDITIONS_MAX);
        return;
    }
    g->description = gc->description;
    g->condition_count = (uint32_t)gc->when.count;
    g->conditions =
        arena_alloc(r->a, g->condition_count * sizeof(*g->conditions));
    item = when->first;
    for (uint32_t i = 0; i < g->condition_count; i++, item = item->next) {
        r->line = item->line;
        read_condition(r, &confs[i], item, &g->conditions[i]);
    }
    r->line = tree->line;
    read_limits(r, json_at(tree, "limits"), &gc->limits, stop_on_quota,
                &g->limits, &g->limit_count);
}

static void read_groups(struct tier_reader *r, const struct tier_conf *tc,
                        const struct json *tree)
{
    const struct group_conf *confs = tc->groups.items;
    const struct json *groups = json_at(tree, "conditions"), *item;
    struct tier *t = r->tier;

    if (!groups || !tc->groups.count)
        return;
    if (tc->groups.count > GROUPS_MAX) {
        tier_refuse(r, groups->line, "tier %.*s: more than %d groups",
                    STR_ARG(t->name), GROUPS_MAX);
        return;
    }
    t->group_count = (uint32_t)tc->groups.count;
    t->groups = arena_alloc(r->a, t->group_count * sizeof(*t->groups));
    item = groups->first;
    for (uint32_t i = 0; i < t->group_count; i++, item = item->next) {
        r->group = i + 1;
        read_group(r, &confs[i], item, tc->stop_on_quota, &t->groups[i]);
    }
    r->group = 0;
}

/* ---- tiers ---- */

void tier_add(struct tier_reader *r, struct tier *t, uint32_t line)
{
    struct tiers *ts = r->out;

    for (uint32_t i = 0; i < ts->count; i++) {
        if (ts->all[i]->level == t->level && str_eq(ts->all[i]->name, t->name))
            tier_refuse(r, line, "tier %.*s is there twice; rename one of them",
                        STR_ARG(str_head(t->name, 60)));
    }
    if (ts->count == r->room) {
        struct tier **more;

        r->room = r->room ? 2 * r->room : 16;
        more = arena_alloc(r->a, r->room * sizeof(*more));
        if (ts->count)
            memcpy(more, ts->all, ts->count * sizeof(*more));
        ts->all = more;
    }
    ts->all[ts->count++] = t;
}

static void read_extras(struct tier_reader *r, const struct tier_conf *tc)
{
    struct tier *t = r->tier;

    if (tc->burst_control.requests) {
        struct tier_limit *l = t->burst = tier_add_limits(r->a, t, 1);

        l->part = TIER_BURST;
        l->kind = TAKE_WINDOW;
        l->limit = tc->burst_control.requests;
        l->per[l->per_count++].kind = TIER_PER_KEY;
        if (read_window(r, tc->burst_control.window, &l->window))
            tier_identify(r->a, 0, l);
    }
    if (tc->concurrency) {
        struct tier_limit *l = t->concurrency = tier_add_limits(r->a, t, 1);

        l->part = TIER_CONCURRENCY;
        l->unit = TIER_AT_ONCE;
        l->kind = TAKE_AT_ONCE;
        l->limit = tc->concurrency;
        l->per[l->per_count++].kind = TIER_PER_KEY;
        tier_identify(r->a, 0, l);
    }
}

/* `per: ip` is `per: [ip]`. */
static void wrap_per(struct arena *a, struct json *limits)
{
    if (!limits || limits->type != JSON_ARRAY)
        return;
    for (struct json *l = limits->first; l; l = l->next) {
        struct json *per = json_at(l, "per"), *text;

        if (!per || per->type != JSON_STRING)
            continue;
        text = json_new_str(a, per->text);
        text->line = per->line;
        per->type = JSON_ARRAY;
        per->first = per->last = text;
        per->count = 1;
    }
}

static void wrap_all_per(struct arena *a, struct json *tier)
{
    struct json *groups = json_at(tier, "conditions");

    wrap_per(a, json_at(tier, "limits"));
    if (groups && groups->type == JSON_ARRAY)
        for (struct json *g = groups->first; g; g = g->next)
            wrap_per(a, json_at(g, "limits"));
}

static void read_tier(struct tier_reader *r, struct json *tree, uint32_t number)
{
    struct str prefix = arena_printf(r->a, "tiers[%u].", number);
    struct tier *t = arena_alloc(r->a, sizeof(*t));
    struct tier_conf tc;

    if (tree->type != JSON_OBJECT) {
        tier_refuse(r, tree->line, "tiers[%u] must be a section with a name",
                    number);
        return;
    }
    wrap_all_per(r->a, tree);
    if (conf_read(r->a, tier_fields, tree, r->file, prefix.p, NULL, &tc, r->ps))
        return;
    if (!tc.name.len) {
        tier_refuse(r, tree->line, "%.*sname must not be empty",
                    STR_ARG(prefix));
        return;
    }
    t->name = tc.name;
    t->description = tc.description;
    t->level = (enum tier_level)tc.level;
    t->subscribers = (uint32_t)tc.subscribers;
    r->tier = t;
    r->group = 0;
    r->line = tree->line;
    read_limits(r, json_at(tree, "limits"), &tc.limits, tc.stop_on_quota,
                &t->limits, &t->limit_count);
    read_groups(r, &tc, tree);
    r->line = tree->line;
    read_extras(r, &tc);
    tier_add(r, t, tree->line);
}

/* ---- the file ---- */

static void read_list(struct tier_reader *r, struct json *list)
{
    static const struct conf_field names[] = {
        { .name = "tiers" },
        { .name = "resourcePolicies" },
        { .name = "applicationPolicies" },
        { .name = "subscriptionPolicies" },
        { 0 },
    };
    const char *near;
    uint32_t number = 0;
    int which = 0;

    while (names[which].name && !str_is(list->key, names[which].name))
        which++;
    if (!names[which].name) {
        near = conf_nearest(names, list->key);
        tier_refuse(r, list->key_line,
                    "unknown key %.*s; %s%s%s tiers, resourcePolicies, "
                    "applicationPolicies and subscriptionPolicies are known",
                    STR_ARG(str_head(list->key, 60)),
                    near ? "did you mean " : "", near ? near : "",
                    near ? "?" : "");
        return;
    }
    if (list->type == JSON_NULL)
        return;
    if (list->type != JSON_ARRAY || list->count > TIERS_MAX) {
        tier_refuse(r, list->line, "%s must be a list of at most %d entries",
                    names[which].name, TIERS_MAX);
        return;
    }
    for (struct json *item = list->first; item; item = item->next) {
        if (which == 0)
            read_tier(r, item, number++);
        else
            tier_read_model(r, item,
                            (enum tier_level)(TIER_RESOURCE + which - 1));
    }
}

enum err tiers_parse(struct arena *a, struct str text, struct str file,
                     struct tiers *out, struct problems *ps)
{
    struct json_limits limits = json_default_limits;
    struct tier_reader r = { .a = a, .ps = ps, .file = file, .out = out };
    struct json_error error;
    struct json *tree;
    size_t errors = ps->errors;

    *out = (struct tiers) { .arena = a };
    limits.max_bytes = FILE_MAX;
    limits.max_nodes = 1000000;
    if (str_trim(text).len && document_parse(a, text, &limits, &tree, &error)) {
        tier_refuse(&r, error.line, "%s", error.what);
    } else if (str_trim(text).len && tree->type == JSON_OBJECT) {
        for (struct json *j = tree->first; j; j = j->next)
            read_list(&r, j);
    } else if (str_trim(text).len && tree->type != JSON_NULL) {
        tier_refuse(&r, tree->line, "a policies file is a section with tiers");
    }
    tiers_ship(out);
    return ps->errors > errors ? ERR_INVALID : ERR_OK;
}

enum err tiers_read(struct arena *a, struct str path, struct tiers *out,
                    struct problems *ps)
{
    struct str text = STR_NULL; /* the tree points into it */
    enum err e = ERR_OK;

    if (path.len)
        e = whole_file_read(a, arena_copy(a, path), FILE_MAX, ps, &text);
    if (e == ERR_NOT_FOUND) {
        problem_error(ps, path, 0, "cannot be read: %s",
                      strerrordesc_np(ENOENT));
        e = ERR_IO;
    }
    return e ? e : tiers_parse(a, text, path, out, ps);
}
