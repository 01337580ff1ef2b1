/* fuzz_tiers.c - any bytes as a policies file: problems with texts, or tiers
 * each of which selects limits and takes that limits_take() accepts.
 */
#include "base/log.h"
#include "traffic/tiers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str some(void *arg, struct str name)
{
    (void)arg;
    return name.len % 2 ? name : STR_NULL;
}

static void check_take(const struct take *t)
{
    must(t->limit && t->limit <= LIMITS_MOST && t->cost <= 1);
    must(t->kind != TAKE_WINDOW ||
         (t->window.n && window_length_s(t->window) <= WINDOW_LONGEST_S));
    must(t->kind != TAKE_RATE ||
         (t->interval_us && t->interval_us <= LIMITS_MOST / t->limit));
    must(t->kind != TAKE_AT_ONCE || t->limit <= LIMITS_MOST_AT_ONCE);
}

static void use(struct arena *a, const struct tiers *ts, const struct tier *t)
{
    const struct limit_seed seed = { 3, 4 };
    const struct str place[] = { STR("org"), STR("api") };
    const struct call_facts f = {
        .header = some, .query = some, .claim = some, .ip = { 10, 0, 0, 1 }
    };
    const struct tier_limit *limits[TIER_TAKES_MAX];
    struct take takes[TIER_TAKES_MAX];
    struct tier_bound b;

    must(tiers_find(ts, t->level, t->name));
    tier_bind(a, seed, t, place, 2, &b);
    for (int events = 0; events < 2; events++) {
        uint32_t n = tier_takes(&b, seed, &f, events, takes, limits);

        must(n <= TIER_TAKES_MAX);
        for (uint32_t i = 0; i < n; i++)
            check_take(&takes[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct problems ps;
    struct tiers ts;
    enum err e;

    problems_init(&ps, a);
    e = tiers_parse(a, str_from((const char *)data, size), STR("p.yaml"), &ts,
                    &ps);
    must(!e == !ps.errors);
    for (struct problem *p = ps.first; p; p = p->next)
        must(p->text.len && str_find(p->text, '\n') == p->text.len);
    for (uint32_t i = 0; !e && i < ts.count; i++)
        use(a, &ts, ts.all[i]);
    arena_free(a);
    return 0;
}
