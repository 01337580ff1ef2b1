/* settings_serving.c - the keys of what is served, and where:
 * gateway.listeners, apis, reply_headers, cors.
 */
#include "gateway/settings_internal.h"

#include "base/conf_units.h"

const struct conf_field listener_fields[] = {
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

const struct conf_field api_fields[] = {
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

const struct conf_field reply_header_fields[] = {
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

const struct conf_field cors_fields[] = {
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
