/* metrics_export.c - what leaves the gateway about its calls: events and spans.
 * See metrics_internal.h.
 */
#include "gateway/metrics_internal.h"

static size_t count_spans(const struct metrics_view *v)
{
    return v->has_spans;
}

static void print_spans_dropped(struct metrics_out *o,
                                const struct metrics_family *f,
                                const struct metrics_view *v, size_t i)
{
    static const char *const reasons[OTLP_DROPS] = {
        [OTLP_FULL] = "reason=\"full\"",
        [OTLP_REJECTED] = "reason=\"rejected\"",
        [OTLP_GAVE_UP] = "reason=\"gave_up\"",
    };
    (void)i;

    for (size_t r = 0; r < OTLP_DROPS; r++)
        metrics_put_line(o, f, reasons[r], v->spans.dropped[r]);
}

static size_t count_events(const struct metrics_view *v)
{
    return v->has_events;
}

static void print_events_dropped(struct metrics_out *o,
                                 const struct metrics_family *f,
                                 const struct metrics_view *v, size_t i)
{
    const struct events_stats *e = &v->events;

    (void)i;
    metrics_put_line(o, f, "reason=\"ring_full\"", e->dropped_ring);
    metrics_put_line(o, f, "reason=\"spool_full\"", e->dropped_spool);
    metrics_put_line(o, f, "reason=\"refused\"", e->dropped_refused);
    metrics_put_line(o, f, "reason=\"killed\"", e->dropped_killed);
}

static const struct metrics_family families[] = {
    { "tollgate_spans_accepted_total", "counter",
      "Spans of sampled calls: sent, dropped and queued together.", count_spans,
      metrics_print_u64, METRICS_VIEW(spans.accepted) },
    { "tollgate_spans_sent_total", "counter", "Spans a collector took.",
      count_spans, metrics_print_u64, METRICS_VIEW(spans.sent) },
    { "tollgate_spans_queued", "gauge", "Spans on their way to a collector.",
      count_spans, metrics_print_u64, METRICS_VIEW(spans.queued) },
    { "tollgate_spans_dropped_total", "counter",
      "Spans dropped: the queue was full, the collector rejected them, or "
      "took none for too long.",
      count_spans, print_spans_dropped, 0 },
    { "tollgate_spans_failures_total", "counter",
      "Requests to a collector that failed.", count_spans, metrics_print_u64,
      METRICS_VIEW(spans.failures) },

    { "tollgate_events_accepted_total", "counter",
      "Events made: delivered, spooled, waiting and dropped ones together.",
      count_events, metrics_print_u64, METRICS_VIEW(events.accepted) },
    { "tollgate_events_delivered_total", "counter",
      "Events written to their file or taken by their receiver.", count_events,
      metrics_print_u64, METRICS_VIEW(events.delivered) },
    { "tollgate_events_waiting", "gauge", "Events in the threads' rings.",
      count_events, metrics_print_u64, METRICS_VIEW(events.waiting) },
    { "tollgate_events_spooled", "gauge",
      "Events on disk until the receiver takes them.", count_events,
      metrics_print_u64, METRICS_VIEW(events.spooled) },
    { "tollgate_events_spool_bytes", "gauge", "Disk space they take.",
      count_events, metrics_print_u64, METRICS_VIEW(events.spool_bytes) },
    { "tollgate_events_dropped_total", "counter",
      "Events that are lost: no room in a ring or in the spool, refused by the "
      "receiver, or being made when the process was killed.",
      count_events, print_events_dropped, 0 },
    { "tollgate_events_failures_total", "counter",
      "Writes and requests that failed since the start.", count_events,
      metrics_print_u64, METRICS_VIEW(events.failures) },
};

const struct metrics_subject metrics_export = METRICS_SUBJECT(families);
