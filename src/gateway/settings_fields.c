/* settings_fields.c - every key of tollgate.yaml: name, bounds, default, help.
 *
 * The help texts are the reference manual (`tollgate config reference`). Large
 * sections have files of their own: settings_internal.h.
 */
#include "gateway/settings_internal.h"

/* ---- gateway ---- */

static const struct conf_field admin_fields[] = {
    { .name = "address",
      .type = CONF_STRING,
      .at = GATEWAY(admin.address),
      .def = "127.0.0.1:9797",
      .help = "The private listener: /health, /ready and /metrics, without "
              "authentication. Empty: none." },
    { 0 },
};

static const char *const rate_limit_fields_names[] = { "refused", "always",
                                                       NULL };
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
    { .name = "rate_limit_fields",
      .type = CONF_ENUM,
      .at = GATEWAY(rate_limit_fields),
      .choices = rate_limit_fields_names,
      .def = "refused",
      .help = "Which replies of limited operations have RateLimit-Policy and "
              "RateLimit: those that a limit refused, or all, with the limit "
              "of which least is left." },
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
