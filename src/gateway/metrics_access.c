/* metrics_access.c - who may pass: issuers and the servers that know tokens. See
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

static const struct metrics_family families[] = {
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
};

const struct metrics_subject metrics_access = METRICS_SUBJECT(families);
