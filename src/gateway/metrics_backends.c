/* metrics_backends.c - endpoints, and connections to them. See
 * metrics_internal.h.
 */
#include "gateway/metrics_internal.h"

static size_t count_endpoints(const struct metrics_view *v)
{
    return v->endpoint_count;
}

/* at is in struct metrics_endpoint */
static void print_endpoint(struct metrics_out *o,
                           const struct metrics_family *f,
                           const struct metrics_view *v, size_t i)
{
    metrics_put_named(o, f, "endpoint", v->endpoints[i].url,
                      metrics_u64_at(&v->endpoints[i], f->at));
}

static void print_up(struct metrics_out *o, const struct metrics_family *f,
                     const struct metrics_view *v, size_t i)
{
    metrics_put_named(o, f, "endpoint", v->endpoints[i].url,
                      v->endpoints[i].state == METRICS_UP);
}

static void print_state(struct metrics_out *o, const struct metrics_family *f,
                        const struct metrics_view *v, size_t i)
{
    static const char *const states[] = {
        [METRICS_UP] = ",state=\"up\"} ",
        [METRICS_SUSPENDED] = ",state=\"suspended\"} ",
        [METRICS_DOWN] = ",state=\"down\"} ",
        [METRICS_OPEN] = ",state=\"open\"} ",
    };

    for (size_t s = 0; s < sizeof(states) / sizeof(*states); s++) {
        metrics_put_z(o, f->name);
        metrics_put_z(o, "{");
        metrics_put_label(o, "endpoint", v->endpoints[i].url, METRICS_TEXT_MAX);
        metrics_put_z(o, states[s]);
        metrics_put_z(o, v->endpoints[i].state == s ? "1\n" : "0\n");
    }
}

static const struct metrics_family families[] = {
    { "tollgate_upstream_connects_total", "counter",
      "Connections to endpoints begun.", NULL, metrics_print_counter,
      METRICS_THREAD(upstream_connects) },
    { "tollgate_upstream_connect_failures_total", "counter",
      "Connections to endpoints that failed.", NULL, metrics_print_counter,
      METRICS_THREAD(upstream_connect_failures) },
    { "tollgate_upstream_reused_total", "counter",
      "Calls that went over a kept connection.", NULL, metrics_print_counter,
      METRICS_THREAD(upstream_reused) },
    { "tollgate_upstream_retries_total", "counter", "Calls tried once more.",
      NULL, metrics_print_counter, METRICS_THREAD(retries) },
    { "tollgate_upstream_breaker_opened_total", "counter",
      "Times a circuit breaker opened.", NULL, metrics_print_counter,
      METRICS_THREAD(breaker_opened) },
    { "tollgate_upstream_suspensions_total", "counter",
      "Times an endpoint was suspended.", NULL, metrics_print_counter,
      METRICS_THREAD(suspended) },

    { "tollgate_upstream_up", "gauge", "Whether an endpoint gets calls.",
      count_endpoints, print_up, 0 },
    { "tollgate_upstream_state", "gauge",
      "The state an endpoint is in has the value 1.", count_endpoints,
      print_state, 0 },
    { "tollgate_upstream_outstanding", "gauge",
      "Calls that wait for an endpoint.", count_endpoints, print_endpoint,
      offsetof(struct metrics_endpoint, outstanding) },
    { "tollgate_upstream_connections_idle", "gauge",
      "Kept connections to an endpoint.", count_endpoints, print_endpoint,
      offsetof(struct metrics_endpoint, idle) },
    { "tollgate_upstream_connections_active", "gauge",
      "Connections to an endpoint in use.", count_endpoints, print_endpoint,
      offsetof(struct metrics_endpoint, active) },
    { "tollgate_upstream_failures_total", "counter",
      "Calls an endpoint failed.", count_endpoints, print_endpoint,
      offsetof(struct metrics_endpoint, failures) },
};

const struct metrics_subject metrics_backends = METRICS_SUBJECT(families);
