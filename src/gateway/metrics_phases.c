/* metrics_phases.c - where the time of calls goes: of one in TRACE_TIMED, and
 * of every one that is sampled (tracing.h). See metrics_internal.h.
 */
#include <stdio.h>

#include "gateway/metrics_internal.h"

/* Steps of the chain take microseconds, backends and bodies seconds. */
static const struct {
    uint64_t ns;
    const char *le;
} bounds[METRICS_TIMES + 1] = {
    { 1000, "le=\"0.000001\"" },  { 2500, "le=\"0.0000025\"" },
    { 5000, "le=\"0.000005\"" },  { 10000, "le=\"0.00001\"" },
    { 25000, "le=\"0.000025\"" }, { 50000, "le=\"0.00005\"" },
    { 100000, "le=\"0.0001\"" },  { 250000, "le=\"0.00025\"" },
    { 500000, "le=\"0.0005\"" },  { 1000000, "le=\"0.001\"" },
    { 2500000, "le=\"0.0025\"" }, { 5000000, "le=\"0.005\"" },
    { 10000000, "le=\"0.01\"" },  { 25000000, "le=\"0.025\"" },
    { 50000000, "le=\"0.05\"" },  { 100000000, "le=\"0.1\"" },
    { 250000000, "le=\"0.25\"" }, { 500000000, "le=\"0.5\"" },
    { 1000000000, "le=\"1\"" },   { 2500000000, "le=\"2.5\"" },
    { 5000000000, "le=\"5\"" },   { 10000000000, "le=\"10\"" },
    { 30000000000, "le=\"30\"" }, { UINT64_MAX, "le=\"+Inf\"" },
};

const char *metrics_phase_name(enum metrics_phase phase)
{
    static const char *const names[METRICS_PHASES] = {
        [PHASE_REQUEST_BODY] = "request_body",
        [PHASE_AUTHENTICATION] = "authentication",
        [PHASE_LIMITS] = "limits",
        [PHASE_POLICIES] = "policies",
        [PHASE_BACKEND] = "backend",
        [PHASE_RESPONSE_BODY] = "response_body",
    };

    return names[phase];
}

void metrics_phase(struct metrics_thread *t, enum metrics_phase phase,
                   uint64_t ns)
{
    struct metrics_times *times = &t->phases[phase];
    size_t i = 0;

    while (ns > bounds[i].ns)
        i++;
    metrics_add(&times->buckets[i], 1);
    metrics_add(&times->sum_ns, ns);
}

static size_t count_phases(const struct metrics_view *v)
{
    (void)v;
    return METRICS_PHASES;
}

static void print_phase(struct metrics_out *o, const struct metrics_family *f,
                        const struct metrics_view *v, size_t i)
{
    size_t at = METRICS_THREAD(phases) + i * sizeof(struct metrics_times);
    uint64_t calls = 0;
    char label[32];
    struct str labels;
    (void)v;

    snprintf(label, sizeof(label), "phase=\"%s\"",
             metrics_phase_name((enum metrics_phase)i));
    labels = str_z(label);
    for (size_t n = 0; n <= METRICS_TIMES; n++) {
        calls += metrics_total(at + offsetof(struct metrics_times, buckets[n]));
        metrics_put_sample(o, f->name, "_bucket", labels, bounds[n].le);
        metrics_put_u64(o, calls);
        metrics_put_z(o, "\n");
    }
    metrics_put_sample(o, f->name, "_sum", labels, "");
    metrics_put_ns(o,
                   metrics_total(at + offsetof(struct metrics_times, sum_ns)));
    metrics_put_z(o, "\n");
    metrics_put_sample(o, f->name, "_count", labels, "");
    metrics_put_u64(o, calls);
    metrics_put_z(o, "\n");
}

static const struct metrics_family families[] = {
    { "tollgate_phase_duration_seconds", "histogram",
      "Where the time of a call goes; one in 64 is timed, and those that are "
      "sampled.",
      count_phases, print_phase, 0 },
};

const struct metrics_subject metrics_phases = METRICS_SUBJECT(families);
