/* settings_fields.c - every key of tollgate.yaml: name, bounds, default, help.
 *
 * The help texts are the reference manual (`tollgate config reference`). A
 * section that is an unnamed struct in settings.h begins at its owner's
 * beginning, so its fields count from there as well.
 */
#include "gateway/settings.h"

#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB 1024ull
#define MIB (1024 * KIB)

#define GATEWAY(member) offsetof(struct gateway_conf, member)
#define UPSTREAMS(member) offsetof(struct upstreams_conf, member)

/* ---- gateway.listeners, gateway.apis, gateway.reply_headers ---- */

static const struct conf_field listener_fields[] = {
    { .name = "address",
      .type = CONF_STRING,
      .at = offsetof(struct listener_conf, address),
      .required = true,
      .help = "Where to listen: 127.0.0.1:8280, [::1]:8280, :8280 (every IPv4 "
              "and IPv6 address), or unix:/run/tollgate.sock. Port 0 takes any "
              "free port." },
    { .name = "tls",
      .type = CONF_SECTION,
      .at = offsetof(struct listener_conf, tls),
      .fields = tls_server_fields,
      .help = "Makes it an HTTPS listener." },
    { .name = "local_certificate",
      .type = CONF_BOOL,
      .at = offsetof(struct listener_conf, local_certificate),
      .help = "HTTPS with a certificate for this host's name, localhost, "
              "127.0.0.1 and ::1, from a private authority that is made in "
              "state_dir when there is none. Instead of tls.certificate." },
    { .name = "proxy_protocol",
      .type = CONF_BOOL,
      .at = offsetof(struct listener_conf, proxy_protocol),
      .help = "Connections from trusted_proxies begin with a PROXY header, "
              "version 1 or 2, that names the client. Those of others do "
              "not." },
    { 0 },
};

static const struct conf_field api_fields[] = {
    { .name = "path",
      .type = CONF_STRING,
      .at = offsetof(struct api_conf, path),
      .required = true,
      .help = "An OpenAPI document (2.0, 3.0 or 3.1; JSON or YAML), or a "
              "folder: every .yaml, .yml and .json file in it." },
    { .name = "context",
      .type = CONF_STRING,
      .at = offsetof(struct api_conf, context),
      .help = "The path it is served below, such as /pets/v1. Default: what "
              "the document says (x-wso2-basePath, else the path of its first "
              "server)." },
    { .name = "upstream",
      .type = CONF_STRING,
      .at = offsetof(struct api_conf, upstream),
      .help = "The backend's URL, instead of the endpoints and servers of the "
              "document." },
    { .name = "hosts",
      .type = CONF_STRINGS,
      .at = offsetof(struct api_conf, hosts),
      .help = "Host names it is served under. Default: any." },
    { .name = "issuers",
      .type = CONF_STRINGS,
      .at = offsetof(struct api_conf, issuers),
      .help = "Names of gateway.issuers whose tokens it takes. Default: of "
              "all." },
    { .name = "certificates",
      .type = CONF_STRINGS,
      .at = offsetof(struct api_conf, certificates),
      .help = "PEM files: where it asks for client certificates, only these "
              "are taken. Default: every one that the listener's client_ca "
              "has signed." },
    { .name = "claims",
      .type = CONF_SECTIONS,
      .at = offsetof(struct api_conf, claims),
      .fields = claim_fields,
      .item_size = sizeof(struct claim_conf),
      .help = "What must stand in the tokens of its callers, all of it; else "
              "403 (900910). A document may ask for more (x-tollgate-claims). "
              "Callers whose credential has no claims meet none of it." },
    { .name = "tier",
      .type = CONF_STRING,
      .at = offsetof(struct api_conf, tier),
      .help = "The limit for its calls, by name, where the document names none "
              "(x-wso2-throttling-tier)." },
    { .name = "max_tps",
      .type = CONF_U64,
      .at = offsetof(struct api_conf, max_tps),
      .max = 10000000,
      .help = "Calls that its backend gets in one second; more are answered "
              "with 503 (900801). 0: no limit." },
    { .name = "default",
      .type = CONF_BOOL,
      .at = offsetof(struct api_conf, default_version),
      .help = "Also serve it under its context without the version, for "
              "callers that name none." },
    { 0 },
};

static const struct conf_field reply_header_fields[] = {
    { .name = "name",
      .type = CONF_STRING,
      .at = offsetof(struct header_conf, name),
      .required = true,
      .help = "A field of the backend's replies, such as Server." },
    { .name = "preserve",
      .type = CONF_BOOL,
      .at = offsetof(struct header_conf, preserve),
      .help = "Pass it on as the backend sent it." },
    { .name = "value",
      .type = CONF_STRING,
      .at = offsetof(struct header_conf, value),
      .help = "Replace it by this text. Without value and preserve the field "
              "is dropped." },
    { 0 },
};

/* ---- gateway.admin, gateway.timeouts, gateway.limits ---- */

static const char *const full_names[] = { "refuse", "pass", NULL };

static const struct conf_field counter_fields[] = {
    { .name = "slots",
      .type = CONF_U64,
      .at = GATEWAY(counters.slots),
      .min = 1024,
      .max = 16 * MIB,
      .def = "65536",
      .help = "Limits that are counted at the same time, one for each caller "
              "and tier; 64 bytes each, in the file counters in state_dir, "
              "which outlives the process. Takes effect with the next "
              "start." },
    { .name = "full",
      .type = CONF_ENUM,
      .at = GATEWAY(counters.full),
      .choices = full_names,
      .help = "What becomes of a call that needs one more: refuse it (503), "
              "or let it pass uncounted." },
    { 0 },
};

static const struct conf_field explain_fields[] = {
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

static const struct conf_field admin_fields[] = {
    { .name = "address",
      .type = CONF_STRING,
      .at = GATEWAY(admin.address),
      .def = "127.0.0.1:9797",
      .help = "The private listener: /health, /ready and /metrics, without "
              "authentication. Empty: none." },
    { 0 },
};

static const struct conf_field timeout_fields[] = {
    { .name = "handshake",
      .type = CONF_DURATION_MS,
      .at = GATEWAY(timeouts.handshake_ms),
      .min = 10,
      .max = HOUR,
      .def = "10s",
      .help = "For the TLS handshake, and for a PROXY header." },
    { .name = "head",
      .type = CONF_DURATION_MS,
      .at = GATEWAY(timeouts.head_ms),
      .min = 10,
      .max = HOUR,
      .def = "10s",
      .help = "From the first byte of a request's head to its last; also from "
              "the begin of a connection to its first request." },
    { .name = "idle",
      .type = CONF_DURATION_MS,
      .at = GATEWAY(timeouts.idle_ms),
      .min = 10,
      .max = DAY,
      .def = "60s",
      .help = "How long a connection is kept between two requests." },
    { .name = "rate",
      .type = CONF_DURATION_MS,
      .at = GATEWAY(timeouts.rate_ms),
      .min = 10,
      .max = HOUR,
      .def = "5s",
      .help = "The span over which limits.rate is looked at, in both "
              "directions." },
    { .name = "drain",
      .type = CONF_DURATION_MS,
      .at = GATEWAY(timeouts.drain_ms),
      .max = DAY,
      .def = "30s",
      .help = "At the end of the process: how long calls in flight may take to "
              "finish. Also what a stream has left when its API has changed "
              "so that it cannot go on." },
    { .name = "tunnel_idle",
      .type = CONF_DURATION_MS,
      .at = GATEWAY(timeouts.tunnel_idle_ms),
      .max = 7 * DAY,
      .def = "10m",
      .help = "A WebSocket on which nothing moves for so long is closed (code "
              "1001). 0: no limit." },
    { .name = "tunnel",
      .type = CONF_DURATION_MS,
      .at = GATEWAY(timeouts.tunnel_ms),
      .max = 365 * DAY,
      .def = "0",
      .help = "How long a WebSocket may live at all. 0: no limit." },
    { .name = "linger",
      .type = CONF_DURATION_MS,
      .at = GATEWAY(timeouts.linger_ms),
      .max = MINUTE,
      .def = "2s",
      .help = "After a refusal: how long what the client still sends is read "
              "and thrown away, so that the refusal reaches it." },
    { 0 },
};

static const struct conf_field limit_fields[] = {
    { .name = "head_size",
      .type = CONF_SIZE,
      .at = GATEWAY(limits.head_size),
      .min = KIB,
      .max = MIB,
      .def = "32k",
      .help = "Request line and fields together. More: 431." },
    { .name = "target_size",
      .type = CONF_SIZE,
      .at = GATEWAY(limits.target_size),
      .min = 64,
      .max = MIB,
      .def = "8k",
      .help = "Path and query of a request. More: 414." },
    { .name = "headers",
      .type = CONF_U64,
      .at = GATEWAY(limits.headers),
      .min = 1,
      .max = 1000,
      .def = "100",
      .help = "Fields of a request. More: 431." },
    { .name = "body_size",
      .type = CONF_SIZE,
      .at = GATEWAY(limits.body_size),
      .def = "0",
      .help = "Body of a request. More: 413. 0: any size; bodies are streamed, "
              "so a large one takes no more memory than a small one." },
    { .name = "pipelined",
      .type = CONF_SIZE,
      .at = GATEWAY(limits.pipelined),
      .min = KIB,
      .max = 16 * MIB,
      .def = "64k",
      .help = "Bytes read ahead of the request being served, from a client "
              "that does not wait for replies." },
    { .name = "rate",
      .type = CONF_SIZE,
      .at = GATEWAY(limits.rate),
      .def = "500",
      .help = "Bytes per second that a request's body, and a reply that waits "
              "for the client, must move at least. 0: no such demand." },
    { .name = "connections",
      .type = CONF_U64,
      .at = GATEWAY(limits.connections),
      .def = "0",
      .help = "Connections of clients in all. 0: seven eighths of the open "
              "files the process may have (ulimit -n)." },
    { .name = "connections_per_address",
      .type = CONF_U64,
      .at = GATEWAY(limits.connections_per_address),
      .def = "0",
      .help = "Connections of one client address. 0: three quarters of "
              "all." },
    { .name = "hold_size",
      .type = CONF_SIZE,
      .at = GATEWAY(limits.hold_size),
      .max = MIB,
      .def = "16k",
      .help = "A request's body up to this size is waited for, at most for "
              "limits.hold, before the backend is asked, so that slow clients "
              "occupy no backend." },
    { .name = "hold",
      .type = CONF_DURATION_MS,
      .at = GATEWAY(limits.hold_ms),
      .max = MINUTE,
      .def = "20ms",
      .help = "See limits.hold_size." },
    { .name = "streams",
      .type = CONF_U64,
      .at = GATEWAY(limits.streams),
      .min = 1,
      .max = 10000,
      .def = "128",
      .help = "HTTP/2: requests a client may have under way on one "
              "connection. One more is a mistake of the client: the stream is "
              "refused, or, when it had agreed, the connection ends." },
    { .name = "window",
      .type = CONF_SIZE,
      .at = GATEWAY(limits.window),
      .min = 16 * KIB,
      .max = 16 * MIB,
      .def = "256k",
      .help = "HTTP/2: bytes of one request's body that may come before a "
              "backend has taken any." },
    { 0 },
};

/* ---- gateway.upstreams ---- */

static const char *const balance_names[] = { "round_robin", "weighted",
                                             "least_outstanding", NULL };

static const struct conf_field health_fields[] = {
    { .name = "path",
      .type = CONF_STRING,
      .at = UPSTREAMS(health.path),
      .help = "Path that every endpoint is asked for; an answer below 400 is "
              "healthy. Empty: endpoints are judged by their calls alone." },
    { .name = "interval",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(health.interval_ms),
      .min = 100,
      .max = HOUR,
      .def = "5s",
      .help = "Time between two checks of an endpoint." },
    { .name = "timeout",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(health.timeout_ms),
      .min = 10,
      .max = HOUR,
      .def = "2s",
      .help = "For the answer to a check; not longer than the interval." },
    { .name = "healthy",
      .type = CONF_U64,
      .at = UPSTREAMS(health.healthy),
      .min = 1,
      .max = 100,
      .def = "2",
      .help = "Good checks in a row that bring an endpoint back." },
    { .name = "unhealthy",
      .type = CONF_U64,
      .at = UPSTREAMS(health.unhealthy),
      .min = 1,
      .max = 100,
      .def = "3",
      .help = "Bad checks in a row that take an endpoint out." },
    { 0 },
};

static const struct conf_field dns_fields[] = {
    { .name = "servers",
      .type = CONF_STRING,
      .at = UPSTREAMS(dns.servers),
      .help = "Name servers, comma-separated: 10.0.0.2, 10.0.0.3:5353. Empty: "
              "those of /etc/resolv.conf." },
    { .name = "timeout",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(dns.timeout_ms),
      .min = 100,
      .max = MINUTE,
      .def = "5s",
      .help = "For one name, all tries together. What was known before is "
              "used on when a name cannot be resolved again." },
    { 0 },
};

static const struct conf_field upstream_fields[] = {
    { .name = "connect",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(connect_ms),
      .min = 10,
      .max = HOUR,
      .def = "5s",
      .help = "For TCP and TLS together." },
    { .name = "first_byte",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(first_byte_ms),
      .max = DAY,
      .def = "60s",
      .help = "From the end of the request to the head of the reply. 0: no "
              "limit." },
    { .name = "total",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(total_ms),
      .max = 7 * DAY,
      .def = "0",
      .help = "For a whole call, bodies and event streams included. 0: no "
              "limit." },
    { .name = "stall",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(stall_ms),
      .max = DAY,
      .def = "60s",
      .help = "Between two pieces of a request or a reply. 0: no limit." },
    { .name = "idle",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(idle_ms),
      .min = 10,
      .max = DAY,
      .def = "5s",
      .help = "How long an unused connection is kept. Backends that close "
              "theirs sooner should say so (Keep-Alive: timeout=N), or this "
              "should be shorter than theirs." },
    { .name = "http2",
      .type = CONF_BOOL,
      .at = UPSTREAMS(http2),
      .def = "true",
      .help = "Offer HTTP/2 to https:// endpoints (by ALPN). Endpoints written "
              "h2:// (TLS) or h2c:// (clear text) speak it in any case, "
              "http:// never." },
    { .name = "streams",
      .type = CONF_U64,
      .at = UPSTREAMS(streams),
      .min = 1,
      .max = 10000,
      .def = "100",
      .help = "Calls at once on one HTTP/2 connection; fewer when the backend "
              "says so. For more another connection is opened." },
    { .name = "window",
      .type = CONF_SIZE,
      .at = UPSTREAMS(window),
      .min = 16 * KIB,
      .max = 16 * MIB,
      .def = "256k",
      .help = "HTTP/2: bytes of one reply that come before the client has "
              "taken any." },
    { .name = "max_connections",
      .type = CONF_U64,
      .at = UPSTREAMS(max_connections),
      .def = "0",
      .help = "Connections to one endpoint, all threads together. 0: no "
              "limit." },
    { .name = "max_idle",
      .type = CONF_U64,
      .at = UPSTREAMS(max_idle),
      .max = 65535,
      .def = "256",
      .help = "Unused connections kept per endpoint and thread." },
    { .name = "wait",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(wait_ms),
      .max = HOUR,
      .def = "5s",
      .help = "How long a call waits when max_connections are in use." },
    { .name = "retries",
      .type = CONF_U64,
      .at = UPSTREAMS(retries),
      .max = 10,
      .def = "2",
      .help = "Further tries of a call that failed before its reply began. "
              "Only what is safe to repeat is: idempotent methods, and any "
              "call whose request did not reach the backend." },
    { .name = "retry_percent",
      .type = CONF_U64,
      .at = UPSTREAMS(retry_percent),
      .max = 100,
      .def = "20",
      .help = "Retries are at most this share of the calls to an endpoint, so "
              "that they cannot bury a backend in trouble." },
    { .name = "suspend",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(suspend_ms),
      .max = DAY,
      .def = "1s",
      .help = "How long a failing endpoint is left alone the first time. 0: "
              "never suspended." },
    { .name = "suspend_max",
      .type = CONF_DURATION_MS,
      .at = UPSTREAMS(suspend_max_ms),
      .max = 7 * DAY,
      .def = "60s",
      .help = "The longest suspension." },
    { .name = "suspend_factor",
      .type = CONF_U64,
      .at = UPSTREAMS(suspend_factor),
      .min = 1,
      .max = 100,
      .def = "2",
      .help = "Each further suspension is so many times as long." },
    { .name = "head_size",
      .type = CONF_SIZE,
      .at = UPSTREAMS(head_size),
      .min = KIB,
      .max = MIB,
      .def = "64k",
      .help = "Status line and fields of a reply." },
    { .name = "headers",
      .type = CONF_U64,
      .at = UPSTREAMS(headers),
      .min = 1,
      .max = 1000,
      .def = "200",
      .help = "Fields of a reply." },
    { .name = "balance",
      .type = CONF_ENUM,
      .at = UPSTREAMS(balance),
      .choices = balance_names,
      .help = "How calls are spread over the endpoints of an API: in turn, in "
              "turn by weight, or to the one with the fewest calls in "
              "flight." },
    { .name = "tls",
      .type = CONF_SECTION,
      .at = UPSTREAMS(tls),
      .fields = tls_client_fields,
      .help = "Connections to https backends." },
    { .name = "health",
      .type = CONF_SECTION,
      .fields = health_fields,
      .help = "Active checks of endpoints." },
    { .name = "dns",
      .type = CONF_SECTION,
      .fields = dns_fields,
      .help = "How the names of backends are resolved." },
    { 0 },
};

/* ---- gateway.cors, gateway.access_log ---- */

static const struct conf_field cors_fields[] = {
    { .name = "enabled",
      .type = CONF_BOOL,
      .at = offsetof(struct cors_conf, enabled),
      .def = "true",
      .help = "Answer preflight requests and add the Access-Control fields. A "
              "document's x-wso2-cors wins over this section." },
    { .name = "origins",
      .type = CONF_STRINGS,
      .at = offsetof(struct cors_conf, origins),
      .def = "*",
      .help = "Origins whose scripts may call, such as https://example.com; * "
              "for any." },
    { .name = "methods",
      .type = CONF_STRINGS,
      .at = offsetof(struct cors_conf, methods),
      .def = "GET, PUT, POST, DELETE, PATCH, OPTIONS",
      .help = "Methods they may use, as far as the operation exists." },
    { .name = "headers",
      .type = CONF_STRINGS,
      .at = offsetof(struct cors_conf, headers),
      .def = "authorization, Access-Control-Allow-Origin, Content-Type, "
             "SOAPAction, apikey, Internal-Key",
      .help = "Request fields they may set." },
    { .name = "expose",
      .type = CONF_STRINGS,
      .at = offsetof(struct cors_conf, expose),
      .help = "Reply fields they may read." },
    { .name = "credentials",
      .type = CONF_BOOL,
      .at = offsetof(struct cors_conf, credentials),
      .help = "Whether browsers may send cookies and the like. Needs origins "
              "by name." },
    { .name = "max_age",
      .type = CONF_DURATION_MS,
      .at = offsetof(struct cors_conf, max_age_ms),
      .max = 7 * DAY,
      .def = "0",
      .help = "How long a browser may remember the answer to a preflight "
              "request. 0: the browser's own habit." },
    { 0 },
};

static const struct conf_field access_log_fields[] = {
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

/* ---- gateway.tracing ---- */

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

static const struct conf_field tracing_fields[] = {
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

/* ---- gateway ---- */

static const char *const default_security_names[] = { "open", "oauth2",
                                                      "api_key", "basic",
                                                      NULL };
static const char *const security_names[] = { "on", "off", NULL };
static const char *const forwarded_names[] = { "x-forwarded", "forwarded",
                                               "both", "none", NULL };
static const char *const error_names[] = { "apim", "microgateway", NULL };

static const struct conf_field gateway_fields[] = {
    { .name = "listeners",
      .type = CONF_SECTIONS,
      .at = GATEWAY(listeners),
      .fields = listener_fields,
      .item_size = sizeof(struct listener_conf),
      .scalar_field = "address",
      .help = "Where clients connect. Without any: HTTP on :8280 and HTTPS "
              "with the local certificate on :8243." },
    { .name = "apis",
      .type = CONF_SECTIONS,
      .at = GATEWAY(apis),
      .fields = api_fields,
      .item_size = sizeof(struct api_conf),
      .scalar_field = "path",
      .help = "What is served." },
    { .name = "threads",
      .type = CONF_U64,
      .at = GATEWAY(threads),
      .max = 64,
      .def = "0",
      .help = "Threads that serve calls. 0: one for each CPU the process may "
              "use." },
    { .name = "spin",
      .type = CONF_U64,
      .at = GATEWAY(spin),
      .max = 1000,
      .def = "0",
      .help = "Microseconds that a thread looks for more work before it "
              "sleeps, as long as that pays: with few connections calls get "
              "faster, since nobody has to wake the thread. An idle gateway "
              "sleeps in any case. 0: never; 50 suits backends nearby." },
    { .name = "user",
      .type = CONF_STRING,
      .at = GATEWAY(user),
      .help = "When started as root: the account to become once the listeners "
              "are open. Default: tollgate where that account exists, else "
              "nobody; root stays root. Files of the configuration stay "
              "readable for reloads, ports below 1024 can still be opened; "
              "Unix sockets of backends are reached even where this account "
              "may not." },
    { .name = "trusted_proxies",
      .type = CONF_STRINGS,
      .at = GATEWAY(trusted_proxies),
      .help = "Addresses and ranges (10.0.0.0/8, ::1) whose word on the "
              "client's address is taken: X-Forwarded-For, Forwarded, the "
              "PROXY header. The client is the right-most address that is not "
              "of these." },
    { .name = "upstream",
      .type = CONF_STRING,
      .at = GATEWAY(upstream),
      .help = "A backend's URL that replaces every endpoint of every API, for "
              "trying things out." },
    { .name = "security",
      .type = CONF_ENUM,
      .at = GATEWAY(security_off),
      .choices = security_names,
      .help = "off serves operations without the security their documents ask "
              "for: a switch for development, shown in /ready and logged at "
              "every start." },
    { .name = "policies",
      .type = CONF_STRING,
      .at = GATEWAY(policies),
      .help = "A file with tiers: named limits for APIs, operations and "
              "callers (docs/rate-limits.md). The model's tiers (10KPerMin, "
              "Gold, …) are there without one." },
    { .name = "unauthenticated_tier",
      .type = CONF_STRING,
      .at = GATEWAY(unauthenticated_tier),
      .help = "The limit for calls of operations that want no credential, "
              "counted by client address, as Unauthenticated. Empty: "
              "none." },
    { .name = "counters",
      .type = CONF_SECTION,
      .fields = counter_fields,
      .help = "The table in which limits are counted." },
    { .name = "default_security",
      .type = CONF_ENUM,
      .at = GATEWAY(default_security),
      .choices = default_security_names,
      .help = "What an operation wants whose document says nothing about "
              "security (`security: []` says that it wants none). open: "
              "nothing; such operations are listed by `tollgate config "
              "check` and at every start." },
    { .name = "ignore",
      .type = CONF_STRINGS,
      .at = GATEWAY(ignore),
      .help = "Extensions of documents (x-wso2-throttling-tier, …) that may go "
              "unenforced. A document with one that is neither enforced nor "
              "listed here is refused." },
    { .name = "http2",
      .type = CONF_BOOL,
      .at = GATEWAY(http2),
      .def = "true",
      .help = "Speak HTTP/2 with clients: by ALPN on HTTPS listeners, by prior "
              "knowledge on the others. HTTP/1.1 is spoken in any case." },
    { .name = "forwarded",
      .type = CONF_ENUM,
      .at = GATEWAY(forwarded),
      .choices = forwarded_names,
      .help = "What tells backends about the client: the fields X-Forwarded-*, "
              "the field Forwarded (RFC 7239), both, or none. Those a client "
              "sent are replaced; those of trusted_proxies are continued." },
    { .name = "errors",
      .type = CONF_ENUM,
      .at = GATEWAY(errors),
      .choices = error_names,
      .help = "The form of the gateway's own error bodies." },
    { .name = "via",
      .type = CONF_STRING,
      .at = GATEWAY(via),
      .def = "tollgate",
      .help = "Our name in the Via field of requests. Empty: no Via." },
    { .name = "reply_headers",
      .type = CONF_SECTIONS,
      .at = GATEWAY(reply_headers),
      .fields = reply_header_fields,
      .item_size = sizeof(struct header_conf),
      .help = "Fields of replies that are dropped, replaced or preserved. "
              "Others are passed on." },
    { .name = "admin",
      .type = CONF_SECTION,
      .fields = admin_fields,
      .help = "The private listener." },
    { .name = "timeouts",
      .type = CONF_SECTION,
      .fields = timeout_fields,
      .help = "Against slow clients." },
    { .name = "limits",
      .type = CONF_SECTION,
      .fields = limit_fields,
      .help = "Ceilings on what clients can choose." },
    { .name = "upstreams",
      .type = CONF_SECTION,
      .at = GATEWAY(upstreams),
      .fields = upstream_fields,
      .help = "How backends are treated." },
    { .name = "cors",
      .type = CONF_SECTION,
      .at = GATEWAY(cors),
      .fields = cors_fields,
      .help = "Calls of scripts in browsers." },
    { .name = "authentication",
      .type = CONF_SECTION,
      .at = GATEWAY(authentication),
      .fields = authentication_fields,
      .help = "How callers are known, whatever credential they bring." },
    { .name = "issuers",
      .type = CONF_SECTIONS,
      .at = GATEWAY(issuers),
      .fields = issuer_fields,
      .item_size = sizeof(struct issuer_conf),
      .help = "Whose tokens are taken, where documents ask for oauth2, "
              "openIdConnect or http bearer." },
    { .name = "introspection",
      .type = CONF_SECTIONS,
      .at = GATEWAY(introspection),
      .fields = introspection_fields,
      .item_size = sizeof(struct introspection_conf),
      .help = "Servers that are asked about tokens that cannot be verified "
              "here, likewise (RFC 7662). Several are asked in their order." },
    { .name = "outbound",
      .type = CONF_SECTION,
      .at = GATEWAY(outbound),
      .fields = outbound_fields,
      .help = "Requests of the gateway's own: key sets, introspection." },
    { .name = "users",
      .type = CONF_SECTIONS,
      .at = GATEWAY(users),
      .fields = user_fields,
      .item_size = sizeof(struct user_conf),
      .help = "Who may call with a name and a password, where documents ask "
              "for http basic." },
    { .name = "api_keys",
      .type = CONF_SECTION,
      .at = GATEWAY(api_keys),
      .fields = api_keys_fields,
      .help = "API keys, where documents ask for apiKey." },
    { .name = "apikey_issuer",
      .type = CONF_SECTION,
      .at = GATEWAY(apikey_issuer),
      .fields = apikey_issuer_fields,
      .help = "An operation of the gateway's own that gives signed API keys to "
              "the users of gateway.users (docs/authentication.md)." },
    { .name = "access",
      .type = CONF_SECTION,
      .at = GATEWAY(access),
      .fields = access_fields,
      .help = "Whose calls are blocked, whatever credentials they bring." },
    { .name = "backend_jwt",
      .type = CONF_SECTION,
      .at = GATEWAY(backend_jwt),
      .fields = backend_jwt_fields,
      .help = "A signed token for backends that says who called." },
    { .name = "explain",
      .type = CONF_SECTION,
      .fields = explain_fields,
      .help = "What `tollgate explain` can tell about." },
    { .name = "events",
      .type = CONF_SECTION,
      .at = GATEWAY(events),
      .fields = events_fields,
      .help = "An event for each call: who called what, what came of it, how "
              "long it took." },
    { .name = "tracing",
      .type = CONF_SECTION,
      .at = GATEWAY(tracing),
      .fields = tracing_fields,
      .help = "Traces of calls over several services." },
    { .name = "access_log",
      .type = CONF_SECTION,
      .fields = access_log_fields,
      .help = "One line per call." },
    { 0 },
};

/* ---- the whole ---- */

static const char *const level_names[] = { "debug", "info", "warn", "error",
                                           NULL };
static const char *const format_names[] = { "auto", "json", "text", NULL };

static const struct conf_field log_fields[] = {
    { .name = "level",
      .type = CONF_ENUM,
      .at = offsetof(struct settings, log.level),
      .choices = level_names,
      .def = "info",
      .help = "The least important lines that are written." },
    { .name = "format",
      .type = CONF_ENUM,
      .at = offsetof(struct settings, log.format),
      .choices = format_names,
      .help = "auto: text on a terminal, else JSON." },
    { 0 },
};

static const struct conf_field memory_fields[] = {
    { .name = "limit",
      .type = CONF_SIZE,
      .at = offsetof(struct settings, memory.limit),
      .def = "0",
      .help = "What the process may use. 60 % of it are for bodies and heads "
              "in flight; when nine tenths of those are taken, new calls get "
              "503. 0: the limit of the cgroup, else the machine's memory." },
    { 0 },
};

const struct conf_field settings_fields[] = {
    { .name = "state_dir",
      .type = CONF_STRING,
      .at = offsetof(struct settings, state_dir),
      .help = "A folder of this process alone: lock, control socket, pid, "
              "addresses.json, the local certificate authority. Default: "
              "/var/lib/tollgate for root, else $XDG_STATE_HOME/tollgate or "
              "~/.local/state/tollgate." },
    { .name = "log",
      .type = CONF_SECTION,
      .fields = log_fields,
      .help = "The log, on standard error: one line per event." },
    { .name = "memory",
      .type = CONF_SECTION,
      .fields = memory_fields,
      .help = "Memory of the process." },
    { .name = "gateway",
      .type = CONF_SECTION,
      .at = offsetof(struct settings, gateway),
      .fields = gateway_fields,
      .help = "The data plane." },
    { 0 },
};
