/* settings_records.c - the keys of what calls leave behind, but for events:
 * gateway.explain, access_log, tracing.
 */
#include "gateway/settings_internal.h"

#include "base/conf_units.h"

const struct conf_field explain_fields[] = {
    { .name = "size",
      .type = CONF_SIZE,
      .at = GATEWAY(explain.size),
      .max = 4096 * MIB,
      .def = "64m",
      .help = "The file explain.ring in state_dir, where calls are kept that "
              "`tollgate explain` can tell about: every one that was refused, "
              "and those that were marked. The newest take the place of the "
              "oldest. 0: none are kept." },
    { .name = "sample",
      .type = CONF_U64,
      .at = GATEWAY(explain.sample),
      .max = 1000,
      .def = "0",
      .help = "Of 1,000 calls so many are marked: kept, with times, whatever "
              "came of them." },
    { 0 },
};

const struct conf_field access_log_fields[] = {
    { .name = "file",
      .type = CONF_STRING,
      .at = GATEWAY(access_log.file),
      .help = "Where to write one line per call; - for standard output. Empty: "
              "no access log. A reload opens the file again, as the account "
              "of gateway.user: who rotates logs lets it write the folder." },
    { .name = "format",
      .type = CONF_STRING,
      .at = GATEWAY(access_log.format),
      .def = "json",
      .help = "json, common, combined, or a text with tokens such as %h %t "
              "%r %s %b %D %{Name}i %{Name}o %{activityid}x." },
    { 0 },
};

static const char *const propagation_names[] = { "auto", "w3c", "none", NULL };
static const char *const trace_from_names[] = { "all", "trusted_proxies",
                                                "none", NULL };

#define TRACING(member) offsetof(struct tracing_conf, member)

static const struct conf_field tracing_header_fields[] = {
    { .name = "name",
      .type = CONF_STRING,
      .at = offsetof(struct otlp_header, name),
      .required = true,
      .help = "Of a field of requests to the collector, such as "
              "Authorization." },
    { .name = "value",
      .type = CONF_STRING,
      .at = offsetof(struct otlp_header, value),
      .required = true,
      .help = "Its value; ${NAME} takes it from the environment." },
    { 0 },
};

const struct conf_field tracing_fields[] = {
    { .name = "collector",
      .type = CONF_STRING,
      .at = TRACING(otlp.url),
      .help = "Where spans of sampled calls go, by OTLP over HTTP in JSON: "
              "http://127.0.0.1:4318 (then to /v1/traces there), or a whole "
              "URL. This address needs no entry in gateway.outbound.allow. "
              "Empty: no spans." },
    { .name = "propagation",
      .type = CONF_ENUM,
      .at = TRACING(propagation),
      .choices = propagation_names,
      .help = "w3c: a call without a valid traceparent (W3C Trace Context) "
              "begins a trace, and its backend is told which. none: fields "
              "of traces are passed on as they came. auto: w3c when there is "
              "a collector." },
    { .name = "continue",
      .type = CONF_ENUM,
      .at = TRACING(from),
      .choices = trace_from_names,
      .help = "Whose traces are continued. What others send is replaced: a "
              "traceparent decides whether calls are recorded here and in "
              "the backends." },
    { .name = "sample",
      .type = CONF_RATIO,
      .at = TRACING(sample),
      .max = TRACE_SAMPLE_ALL,
      .def = "1",
      .help = "The share of calls that begin a trace which is sampled. For a "
              "trace that is continued, who began it has decided." },
    { .name = "service_name",
      .type = CONF_STRING,
      .at = TRACING(otlp.service),
      .def = "tollgate",
      .help = "service.name of the resource." },
    { .name = "resource",
      .type = CONF_STRINGS,
      .at = TRACING(otlp.resource),
      .help = "Further attributes of the resource: "
              "deployment.environment.name=production." },
    { .name = "headers",
      .type = CONF_SECTIONS,
      .at = TRACING(otlp.headers),
      .fields = tracing_header_fields,
      .item_size = sizeof(struct otlp_header),
      .help = "What the collector wants to see." },
    { .name = "queue",
      .type = CONF_U64,
      .at = TRACING(otlp.queue),
      .min = 64,
      .max = 1000000,
      .def = "4096",
      .help = "Spans that may wait in each thread, with 2 KiB each at the "
              "mean. Further ones are dropped and counted; no call waits for "
              "a collector." },
    { .name = "batch",
      .type = CONF_U64,
      .at = TRACING(otlp.batch),
      .min = 1,
      .max = 10000,
      .def = "512",
      .help = "Spans in one request, more or less those of one call; never "
              "more than 1 MiB." },
    { .name = "interval",
      .type = CONF_DURATION_MS,
      .at = TRACING(otlp.interval_ms),
      .min = 10,
      .max = MINUTE,
      .def = "1s",
      .help = "Between two requests that are not full." },
    { .name = "timeout",
      .type = CONF_DURATION_MS,
      .at = TRACING(otlp.timeout_ms),
      .min = 10,
      .max = MINUTE,
      .def = "10s",
      .help = "For the collector's answer." },
    { .name = "give_up",
      .type = CONF_DURATION_MS,
      .at = TRACING(otlp.give_up_ms),
      .max = HOUR,
      .def = "5m",
      .help = "A batch that the collector did not take for so long is "
              "dropped." },
    { .name = "tls",
      .type = CONF_SECTION,
      .at = TRACING(otlp.tls),
      .fields = tls_client_fields,
      .help = "TLS towards the collector. Default: as gateway.outbound.tls." },
    { 0 },
};
