/* settings_limits.c - the keys of what a client may take: gateway.timeouts,
 * limits, counters.
 */
#include "gateway/settings_internal.h"

#include "base/conf_units.h"

const struct conf_field timeout_fields[] = {
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

const struct conf_field limit_fields[] = {
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

static const char *const full_names[] = { "refuse", "pass", NULL };

const struct conf_field counter_fields[] = {
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
