/* metrics_access.c - who may pass: issuers and the servers that know tokens,
 * what is remembered of credentials, limits, and why calls were refused. See
 * metrics_internal.h.
 */
#include "gateway/metrics_internal.h"

static size_t count_keysets(const struct metrics_view *v)
{
    return v->keyset_count;
}

/* at is in struct metrics_keyset */
static void print_keyset(struct metrics_out *o, const struct metrics_family *f,
                         const struct metrics_view *v, size_t i)
{
    metrics_put_named(o, f, "keys", v->keysets[i].place,
                      metrics_u64_at(&v->keysets[i], f->at));
}

static size_t count_caches(const struct metrics_view *v)
{
    (void)v;
    return METRICS_CACHES;
}

static void print_lookups(struct metrics_out *o, const struct metrics_family *f,
                          const struct metrics_view *v, size_t i)
{
    static const char *const caches[METRICS_CACHES] = {
        [CACHE_JWT] = "cache=\"jwt\"",
        [CACHE_OPAQUE] = "cache=\"opaque\"",
        [CACHE_API_KEY] = "cache=\"api_key\"",
        [CACHE_BASIC] = "cache=\"basic\"",
        [CACHE_CERTIFICATE] = "cache=\"certificate\"",
        [CACHE_ASSERTION] = "cache=\"assertion\"",
    };
    static const char *const results[METRICS_LOOKUPS] = {
        [LOOKUP_HIT] = "result=\"hit\"",
        [LOOKUP_BAD] = "result=\"bad\"",
        [LOOKUP_MISS] = "result=\"miss\"",
    };
    (void)v;

    for (size_t r = 0; r < METRICS_LOOKUPS; r++) {
        metrics_put_sample(o, f->name, "", str_z(caches[i]), results[r]);
        metrics_put_u64(o, metrics_total(METRICS_THREAD(lookups[i][r])));
        metrics_put_z(o, "\n");
    }
}

static size_t count_limits(const struct metrics_view *v)
{
    return v->has_limits;
}

static void print_full(struct metrics_out *o, const struct metrics_family *f,
                       const struct metrics_view *v, size_t i)
{
    (void)i;
    metrics_put_line(o, f, "result=\"refused\"", v->limits.full_refused);
    metrics_put_line(o, f, "result=\"passed\"", v->limits.full_passed);
}

/* Only the reasons that there were. */
static void print_refusals(struct metrics_out *o,
                           const struct metrics_family *f,
                           const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;

    for (size_t r = 0; r < REASONS; r++) {
        uint64_t n = metrics_total(METRICS_THREAD(refusals[r]));

        if (n)
            metrics_put_named(
                o, f, "reason",
                str_z(explain_reason_word((enum explain_reason)r)), n);
    }
}

static const struct metrics_family families[] = {
    { "tollgate_refusals_total", "counter",
      "Calls the gateway refused, by the reason that explain has.", NULL,
      print_refusals, 0 },

    { "tollgate_keyset_keys", "gauge",
      "Keys of an issuer; 0: none could be read yet.", count_keysets,
      print_keyset, offsetof(struct metrics_keyset, keys) },
    { "tollgate_keyset_age_seconds", "gauge",
      "Since the keys of an issuer were last known to be right.", count_keysets,
      print_keyset, offsetof(struct metrics_keyset, age_s) },
    { "tollgate_keyset_failures", "gauge",
      "How often in a row the keys of an issuer could not be read.",
      count_keysets, print_keyset, offsetof(struct metrics_keyset, failures) },

    { "tollgate_introspections_total", "counter",
      "Tokens that an introspection server was asked about.", NULL,
      metrics_print_counter, METRICS_THREAD(introspections) },
    { "tollgate_introspection_failures_total", "counter",
      "Such questions without an answer that makes sense.", NULL,
      metrics_print_counter, METRICS_THREAD(introspection_failures) },
    { "tollgate_introspections_refused_total", "counter",
      "Tokens nobody was asked about because the server failed too often, or "
      "too many calls wait.",
      NULL, metrics_print_counter, METRICS_THREAD(introspections_refused) },
    { "tollgate_token_cache_lookups_total", "counter",
      "Credentials looked up among those a thread knows; miss: it was "
      "verified, or a server asked.",
      count_caches, print_lookups, 0 },

    { "tollgate_limit_slots", "gauge",
      "Limits that may be counted at the same time.", count_limits,
      metrics_print_u64, METRICS_VIEW(limits.slots) },
    { "tollgate_limit_slots_live", "gauge", "Limits that are counted now.",
      count_limits, metrics_print_u64, METRICS_VIEW(limits.live) },
    { "tollgate_limit_slots_begun_total", "counter",
      "Limits that began to be counted.", count_limits, metrics_print_u64,
      METRICS_VIEW(limits.claims) },
    { "tollgate_limit_slots_full_total", "counter",
      "Calls that found no place for a limit to be counted in.", count_limits,
      print_full, 0 },
};

const struct metrics_subject metrics_access = METRICS_SUBJECT(families);
