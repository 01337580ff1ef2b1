/* policies.c - see policies.h. */
#include "gateway/policies.h"

#include "format/openapi.h"

enum { NAME_MAX_BYTES = 256 };

uint64_t policies_content(const struct settings *s)
{
    struct arena *a = arena_new();
    uint64_t h = HASH_CONTENT_START;
    struct str text;

    if (s->gateway.policies.len &&
        !oas_files.read(oas_files.arg, a, s->gateway.policies, &text))
        h = hash_content(h, text.p, text.len);
    arena_free(a);
    return h;
}

static struct str lower(char room[NAME_MAX_BYTES], struct str s)
{
    s = str_head(s, NAME_MAX_BYTES);
    for (size_t i = 0; i < s.len; i++)
        room[i] = char_lower(s.p[i]);
    return str_from(room, s.len);
}

/* Counters of a caller's tier are the caller's, whatever API he calls. */
static void bind_callers(struct policies *p)
{
    static const enum tier_level levels[] = { TIER_SUBSCRIPTION,
                                              TIER_APPLICATION };
    const struct str place[] = { ORGANIZATION, STR("caller") };
    char room[NAME_MAX_BYTES];

    p->callers = map_new(p->arena);
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < p->tiers.count; i++) {
            const struct tier *t =
                tiers_find(&p->tiers, levels[k], p->tiers.all[i]->name);
            struct tier_bound *b;

            if (!t)
                continue;
            b = arena_alloc(p->arena, sizeof(*b));
            tier_bind(p->arena, p->seed, t, place, 2, b);
            map_set(p->callers, arena_copy(p->arena, lower(room, t->name)), b);
        }
}

/* The tier of keys that the gateway issues: better said now than to whoever
 * calls with one. */
static bool knows_own_tier(const struct policies *p, const struct settings *s,
                           struct problems *ps)
{
    const struct apikey_issuer_conf *c = &s->gateway.apikey_issuer;
    struct str near;

    if (!c->enabled || !c->tier.len || policies_caller_tier(p, c->tier))
        return true;
    near = tiers_nearest(&p->tiers, TIER_APPLICATION, c->tier);
    problem_error(ps, s->file, 0,
                  "gateway.apikey_issuer.tier: there is no tier "
                  "\"%.*s\"%s%.*s%s; gateway.policies names the file with "
                  "tiers",
                  STR_ARG(c->tier), near.p ? "; the nearest is \"" : "",
                  STR_ARG(near), near.p ? "\"" : "");
    return false;
}

enum err policies_new(const struct settings *s, struct counters *counters,
                      struct problems *ps, struct policies **out)
{
    struct arena *a = arena_new();
    struct policies *p = arena_alloc(a, sizeof(*p));

    p->arena = a;
    p->refs = 1;
    p->counters = counters;
    p->content = policies_content(s);
    if (counters)
        p->seed = counters_seed(counters);
    if (tiers_read(a, s->gateway.policies, &p->tiers, ps)) {
        arena_free(a);
        return ERR_INVALID;
    }
    bind_callers(p);
    if (!knows_own_tier(p, s, ps)) {
        arena_free(a);
        return ERR_INVALID;
    }
    *out = p;
    return ERR_OK;
}

struct policies *policies_ref(struct policies *p)
{
    p->refs++;
    return p;
}

void policies_unref(struct policies *p)
{
    if (p && --p->refs == 0)
        arena_free(p->arena);
}

const struct tier_bound *policies_caller_tier(const struct policies *p,
                                              struct str name)
{
    char room[NAME_MAX_BYTES];

    return map_get(p->callers, lower(room, name));
}
