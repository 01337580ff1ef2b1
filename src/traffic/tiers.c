/* tiers.c - the shipped tiers, finding one, and what a call is under. */
#include "traffic/tiers.h"

#include "base/log.h"
#include "traffic/tier_conditions.h"
#include "traffic/tiers_internal.h"

/* ---- shipped ---- */

struct shipped {
    enum tier_level level;
    const char *name;
    uint64_t count; /* 0: unlimited */
    enum window_unit unit;
    uint32_t subscribers;
};

static const struct shipped shipped[] = {
    { TIER_RESOURCE, "10KPerMin", 10000, WINDOW_MINUTE, 0 },
    { TIER_RESOURCE, "20KPerMin", 20000, WINDOW_MINUTE, 0 },
    { TIER_RESOURCE, "50KPerMin", 50000, WINDOW_MINUTE, 0 },
    { TIER_APPLICATION, "10PerMin", 10, WINDOW_MINUTE, 0 },
    { TIER_APPLICATION, "20PerMin", 20, WINDOW_MINUTE, 0 },
    { TIER_APPLICATION, "50PerMin", 50, WINDOW_MINUTE, 0 },
    { TIER_SUBSCRIPTION, "Bronze", 1000, WINDOW_MINUTE, 0 },
    { TIER_SUBSCRIPTION, "Silver", 2000, WINDOW_MINUTE, 0 },
    { TIER_SUBSCRIPTION, "Gold", 5000, WINDOW_MINUTE, 0 },
    { TIER_SUBSCRIPTION, "Unauthenticated", 500, WINDOW_MINUTE, 0 },
    { TIER_SUBSCRIPTION, "Default", 500, WINDOW_MINUTE, 0 },
    { TIER_SUBSCRIPTION, "DefaultSubscriptionless", 10000, WINDOW_MINUTE, 0 },
    { TIER_STREAM, "AsyncBronze", 5000, WINDOW_DAY, 0 },
    { TIER_STREAM, "AsyncSilver", 25000, WINDOW_DAY, 0 },
    { TIER_STREAM, "AsyncGold", 50000, WINDOW_DAY, 0 },
    { TIER_STREAM, "AsyncUnlimited", 0, WINDOW_DAY, 0 },
    { TIER_STREAM, "AsyncDefaultSubscriptionless", 10000, WINDOW_DAY, 0 },
    { TIER_STREAM, "AsyncWHBronze", 1000, WINDOW_MONTH, 100 },
    { TIER_STREAM, "AsyncWHSilver", 5000, WINDOW_MONTH, 500 },
    { TIER_STREAM, "AsyncWHGold", 10000, WINDOW_MONTH, 1000 },
    { TIER_STREAM, "AsyncWHUnlimited", 0, WINDOW_MONTH, 0 },
    { TIER_ANY, "Unlimited", 0, WINDOW_MINUTE, 0 },
};

/* The counters of the model's own tiers: an API or operation counts all its
 * callers together, an application each of its users. */
void tier_model_per(enum tier_level level, struct tier_limit *l)
{
    if (level == TIER_RESOURCE)
        return;
    l->per[l->per_count++].kind = TIER_PER_KEY;
    if (level == TIER_APPLICATION)
        l->per[l->per_count++].kind = TIER_PER_USER;
}

struct tier_limit *tier_add_limits(struct arena *a, struct tier *t,
                                   uint32_t count)
{
    struct tier_limit *limits = arena_alloc(a, count * sizeof(*limits));

    for (uint32_t i = 0; i < count; i++)
        limits[i].number = t->numbers++;
    return limits;
}

static void ship(struct arena *a, const struct shipped *s, struct tier *t)
{
    struct tier_limit *l;

    t->name = str_z(s->name);
    t->level = s->level;
    t->shipped = true;
    t->subscribers = s->subscribers;
    if (!s->count)
        return;
    l = t->limits = tier_add_limits(a, t, 1);
    t->limit_count = 1;
    l->unit = s->level == TIER_STREAM ? TIER_EVENTS : TIER_REQUESTS;
    l->kind = TAKE_WINDOW;
    l->window = (struct window) { s->unit, 1 };
    l->limit = s->count;
    tier_model_per(s->level, l);
    tier_identify(a, 0, l);
}

/* The names of a limit's counters: what is counted and for whom, not how
 * much, so that a changed limit goes on with the count it finds. */
void tier_identify(struct arena *a, uint32_t group, struct tier_limit *l)
{
    static const char *const units[] = { "requests", "bytes", "events",
                                         "at once" };
    char window[WINDOW_FORMAT_BYTES] = "";

    if (l->kind != TAKE_AT_ONCE)
        window_format(l->window, window);
    l->identity =
        arena_printf(a, "%u %d %s %s%s", group, (int)l->part, units[l->unit],
                     l->kind == TAKE_RATE ? "rate " : "", window);
    for (uint32_t i = 0; i < l->per_count; i++)
        l->identity =
            arena_printf(a, "%.*s %d:%.*s", STR_ARG(l->identity),
                         (int)l->per[i].kind, STR_ARG(l->per[i].name));
}

void tiers_ship(struct tiers *ts)
{
    const uint32_t more = sizeof(shipped) / sizeof(*shipped);
    struct tier **all =
        arena_alloc(ts->arena, (ts->count + more) * sizeof(*all));

    if (ts->count)
        memcpy(all, ts->all, ts->count * sizeof(*all));
    for (uint32_t i = 0; i < more; i++) {
        all[ts->count + i] = arena_alloc(ts->arena, sizeof(struct tier));
        ship(ts->arena, &shipped[i], all[ts->count + i]);
    }
    ts->all = all;
    ts->count += more;
}

/* ---- finding ---- */

static bool fits(const struct tier *t, enum tier_level level)
{
    return t->level == level || t->level == TIER_ANY || level == TIER_ANY;
}

/* The lower the better; UINT_MAX: no. */
static unsigned rank(const struct tier *t, enum tier_level level,
                     struct str name)
{
    unsigned exact = str_eq(t->name, name) ? 0 : 1;

    if (!fits(t, level) || (exact && !str_eq_nocase(t->name, name)))
        return UINT32_MAX;
    return exact * 4 + t->shipped * 2u + (t->level != level);
}

const struct tier *tiers_find(const struct tiers *ts, enum tier_level level,
                              struct str name)
{
    const struct tier *best = NULL;
    unsigned least = UINT32_MAX;

    for (uint32_t i = 0; i < ts->count; i++) {
        unsigned r = rank(ts->all[i], level, name);

        if (r < least) {
            least = r;
            best = ts->all[i];
        }
    }
    return best;
}

struct str tiers_nearest(const struct tiers *ts, enum tier_level level,
                         struct str name)
{
    struct str best = STR_NULL;
    size_t nearest = SIZE_MAX;

    for (uint32_t i = 0; i < ts->count; i++) {
        struct str known = ts->all[i]->name;
        size_t d = conf_distance(name, known);

        if (fits(ts->all[i], level) && d < nearest &&
            conf_resembles(name, known)) {
            nearest = d;
            best = known;
        }
    }
    return best;
}

/* ---- a call ---- */

static bool in_group(const struct tier_group *g, const struct call_facts *f)
{
    for (uint32_t i = 0; i < g->condition_count; i++)
        if (!condition_meets(&g->conditions[i], f))
            return false;
    return true;
}

uint32_t tier_select(const struct tier *t, const struct call_facts *f,
                     const struct tier_limit *out[TIER_TAKES_MAX])
{
    bool matched = false;
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->group_count && n < TIER_QUOTAS_MAX; i++) {
        const struct tier_group *g = &t->groups[i];

        if (!in_group(g, f))
            continue;
        matched = true;
        for (uint32_t k = 0; k < g->limit_count && n < TIER_QUOTAS_MAX; k++)
            out[n++] = &g->limits[k];
    }
    for (uint32_t i = 0; i < t->limit_count && !matched; i++)
        out[n++] = &t->limits[i];
    if (t->burst)
        out[n++] = t->burst;
    if (t->concurrency)
        out[n++] = t->concurrency;
    return n;
}

static void bind_limits(struct limit_seed seed, struct limit_key place,
                        const struct tier_limit *limits, uint32_t count,
                        struct limit_key *keys)
{
    for (uint32_t i = 0; i < count; i++)
        keys[limits[i].number] = limit_key_add(seed, place, limits[i].identity);
}

void tier_bind(struct arena *a, struct limit_seed seed, const struct tier *t,
               const struct str *place, size_t parts, struct tier_bound *out)
{
    struct limit_key key = limit_key_of(seed, place, parts);

    key = limit_key_add(seed, key, t->name);
    out->tier = t;
    out->keys = arena_alloc(a, t->numbers * sizeof(*out->keys));
    bind_limits(seed, key, t->limits, t->limit_count, out->keys);
    for (uint32_t i = 0; i < t->group_count; i++)
        bind_limits(seed, key, t->groups[i].limits, t->groups[i].limit_count,
                    out->keys);
    bind_limits(seed, key, t->burst, t->burst ? 1 : 0, out->keys);
    bind_limits(seed, key, t->concurrency, t->concurrency ? 1 : 0, out->keys);
}

static struct str value_of(const struct tier_per *per,
                           const struct call_facts *f)
{
    switch (per->kind) {
    case TIER_PER_KEY:
        return f->key;
    case TIER_PER_USER:
        return f->user;
    case TIER_PER_IP:
        return str_from((const char *)f->ip, sizeof(f->ip));
    case TIER_PER_API:
        return f->api;
    case TIER_PER_OPERATION:
        return f->operation;
    case TIER_PER_HEADER:
        return f->header ? f->header(f->arg, per->name) : STR_NULL;
    case TIER_PER_CLAIM:
        return f->claim ? f->claim(f->arg, per->name) : STR_NULL;
    }
    must_fail("a value to count by", __FILE__, __LINE__);
}

uint32_t tier_takes(const struct tier_bound *b, struct limit_seed seed,
                    const struct call_facts *f, bool events,
                    struct take takes[TIER_TAKES_MAX],
                    const struct tier_limit *limits[TIER_TAKES_MAX])
{
    uint32_t selected = tier_select(b->tier, f, limits), n = 0;

    for (uint32_t i = 0; i < selected; i++) {
        const struct tier_limit *l = limits[i];
        struct limit_key key = b->keys[l->number];

        if ((l->unit == TIER_EVENTS) != events)
            continue;
        for (uint32_t k = 0; k < l->per_count; k++)
            key = limit_key_add(seed, key, value_of(&l->per[k], f));
        limits[n] = l;
        takes[n++] = (struct take) {
            .key = key,
            .kind = l->kind,
            .mark_only = l->mark_only,
            .window = l->window,
            .interval_us = l->interval_us,
            .limit = l->limit,
            .cost = l->unit == TIER_BYTES ? 0 : 1,
        };
    }
    return n;
}
