/* metrics_clients.c - connections of clients, and their calls by operation. See
 * metrics_internal.h.
 */
#include "gateway/metrics_internal.h"

static const char *const le[METRICS_BOUNDS + 1] = {
    "le=\"0.0005\"", "le=\"0.001\"", "le=\"0.0025\"", "le=\"0.005\"",
    "le=\"0.01\"",   "le=\"0.025\"", "le=\"0.05\"",   "le=\"0.1\"",
    "le=\"0.25\"",   "le=\"0.5\"",   "le=\"1\"",      "le=\"2.5\"",
    "le=\"5\"",      "le=\"10\"",    "le=\"30\"",     "le=\"+Inf\"",
};

static size_t count_series(const struct metrics_view *v)
{
    (void)v;
    return metrics_series_count();
}

static void put_series(struct metrics_out *o, const struct metrics_family *f,
                       const char *suffix, size_t i, const char *last,
                       uint64_t value)
{
    metrics_put_sample(o, f->name, suffix, metrics_series_labels(i), last);
    metrics_put_u64(o, value);
    metrics_put_z(o, "\n");
}

static void print_requests(struct metrics_out *o,
                           const struct metrics_family *f,
                           const struct metrics_view *v, size_t i)
{
    static const char *const status[METRICS_CLASSES] = {
        "status=\"none\"", "status=\"1xx\"", "status=\"2xx\"",
        "status=\"3xx\"",  "status=\"4xx\"", "status=\"5xx\"",
    };
    struct metrics_totals sum = metrics_series_totals(i);
    (void)v;

    for (size_t c = 0; c < METRICS_CLASSES; c++)
        if (sum.classes[c])
            put_series(o, f, "", i, status[c], sum.classes[c]);
}

static void print_durations(struct metrics_out *o,
                            const struct metrics_family *f,
                            const struct metrics_view *v, size_t i)
{
    struct metrics_totals sum = metrics_series_totals(i);
    uint64_t calls = 0;
    (void)v;

    if (!sum.calls)
        return;
    for (size_t n = 0; n <= METRICS_BOUNDS; n++) {
        calls += sum.buckets[n];
        put_series(o, f, "_bucket", i, le[n], calls);
    }
    metrics_put_sample(o, f->name, "_sum", metrics_series_labels(i), "");
    metrics_put_us(o, sum.sum_us);
    metrics_put_z(o, "\n");
    put_series(o, f, "_count", i, "", calls);
}

/* at is in struct metrics_totals */
static void print_bytes(struct metrics_out *o, const struct metrics_family *f,
                        const struct metrics_view *v, size_t i)
{
    struct metrics_totals sum = metrics_series_totals(i);
    (void)v;

    if (sum.calls)
        put_series(o, f, "", i, "", metrics_u64_at(&sum, f->at));
}

static const struct metrics_family families[] = {
    { "tollgate_connections", "gauge", "Connections of clients.",
      metrics_count_loops, metrics_print_loop,
      offsetof(struct metrics_loop, connections) },
    { "tollgate_connections_accepted_total", "counter",
      "Connections of clients accepted.", NULL, metrics_print_counter,
      METRICS_THREAD(connections_accepted) },
    { "tollgate_connections_refused_total", "counter",
      "Connections of clients refused because there were too many.", NULL,
      metrics_print_counter, METRICS_THREAD(connections_refused) },
    { "tollgate_connections_closed_total", "counter",
      "Connections of clients closed.", NULL, metrics_print_counter,
      METRICS_THREAD(connections_closed) },
    { "tollgate_tls_handshakes_total", "counter",
      "TLS handshakes with clients that succeeded.", NULL,
      metrics_print_counter, METRICS_THREAD(tls_handshakes) },
    { "tollgate_tls_failures_total", "counter",
      "TLS handshakes with clients that failed.", NULL, metrics_print_counter,
      METRICS_THREAD(tls_failures) },
    { "tollgate_websockets_total", "counter", "WebSockets begun.", NULL,
      metrics_print_counter, METRICS_THREAD(tunnels) },
    { "tollgate_requests_refused_total", "counter",
      "Requests that could not be read.", NULL, metrics_print_counter,
      METRICS_THREAD(requests_refused) },
    { "tollgate_received_bytes_total", "counter", "Bytes read from clients.",
      NULL, metrics_print_counter, METRICS_THREAD(bytes_received) },
    { "tollgate_sent_bytes_total", "counter", "Bytes written to clients.", NULL,
      metrics_print_counter, METRICS_THREAD(bytes_sent) },

    { "tollgate_http_requests_total", "counter",
      "Calls by operation and class of status; none: the client left before "
      "a reply.",
      count_series, print_requests, 0 },
    { "tollgate_http_request_duration_seconds", "histogram",
      "From the end of the request's head to the end of the reply.",
      count_series, print_durations, 0 },
    { "tollgate_http_request_body_bytes_total", "counter",
      "Bytes of request bodies.", count_series, print_bytes,
      offsetof(struct metrics_totals, bytes_in) },
    { "tollgate_http_response_body_bytes_total", "counter",
      "Bytes of reply bodies.", count_series, print_bytes,
      offsetof(struct metrics_totals, bytes_out) },
};

const struct metrics_subject metrics_clients = METRICS_SUBJECT(families);
