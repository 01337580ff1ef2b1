/* refusal.c - the table of refusals, and their bodies. */
#include "gateway/refusal.h"

#include "base/buf.h"
#include "http/grpc.h"

#define REFUSAL(name, ...) const struct refusal name = { __VA_ARGS__ }

REFUSAL(refusal_bad_request, 400, "400", "Bad Request",
        "The request could not be understood.", true);
REFUSAL(refusal_not_found, 404, "404", "Not Found",
        "The requested resource is not available.", true);
REFUSAL(refusal_method, 405, "405", "Method Not Allowed",
        "Method not allowed for given API resource", true);
REFUSAL(refusal_http_not_allowed, 403, "403", "Forbidden",
        "Unsupported Transport [ http ]", true);
REFUSAL(refusal_https_not_allowed, 403, "403", "Forbidden",
        "Unsupported Transport [ https ]", true);
REFUSAL(refusal_memory, 503, "503", "Service Unavailable",
        "The gateway is short of memory. Try again later.", false);
REFUSAL(refusal_connect, 500, "101503", "Runtime Error",
        "Error connecting to the back end", false);
REFUSAL(refusal_connect_timeout, 504, "101508", "Runtime Error",
        "Connection to the back end timed out", false);
REFUSAL(refusal_timeout, 504, "101504", "Runtime Error",
        "The back end did not answer in time", false);
REFUSAL(refusal_closed, 502, "101505", "Runtime Error",
        "The back end closed the connection", false);
REFUSAL(refusal_protocol, 502, "101506", "Runtime Error",
        "The back end's answer is not valid HTTP", false);
REFUSAL(refusal_suspended, 503, "303001", "Runtime Error",
        "Currently, the endpoint is suspended or no address is known", false);
REFUSAL(refusal_busy, 503, "303001", "Runtime Error",
        "All connections to the back end are in use", false);

REFUSAL(refusal_websocket_version, 426, "426", "Upgrade Required",
        "The WebSocket version is not supported; 13 is.", true);
REFUSAL(refusal_websocket_backend, 501, "501", "Not Implemented",
        "The back end speaks HTTP/2 only, which has no WebSocket here", false);
REFUSAL(refusal_changed, 503, "303001", "Runtime Error",
        "The API has changed or is no longer served", false);

REFUSAL(refusal_auth_unavailable, 500, "900900",
        "Unclassified Authentication Failure",
        "The credential could not be checked. Try again later.", false);
REFUSAL(refusal_invalid, 401, "900901", "Invalid Credentials",
        "Invalid Credentials. Make sure you have provided the correct "
        "security credentials",
        true);
REFUSAL(refusal_missing, 401, "900902", "Missing Credentials",
        "Missing Credentials. Make sure your API invocation call has a "
        "header: 'Authorization : Bearer ACCESS_TOKEN' or 'Authorization : "
        "Basic ACCESS_TOKEN' or 'ApiKey : API_KEY'",
        true);
REFUSAL(refusal_token_kind, 401, "900905",
        "Incorrect Access Token Type is provided",
        "Incorrect Access Token Type is provided. The operation takes tokens "
        "of another kind (application or user)",
        true);
REFUSAL(refusal_key_elsewhere, 403, "900908", "Resource forbidden",
        "Resource forbidden. The API key is not for this API, address or "
        "referer",
        true);
REFUSAL(refusal_scope, 403, "900910",
        "The access token does not allow you to access the requested resource",
        "User is NOT authorized to access the Resource. Scope validation "
        "failed.",
        true);
REFUSAL(refusal_claim, 403, "900910",
        "The access token does not allow you to access the requested resource",
        "User is NOT authorized to access the Resource. A claim that is asked "
        "for is missing or has another value.",
        true);
REFUSAL(refusal_certificate, 401, "900911",
        "Invalid or missing client certificate",
        "Invalid or missing client certificate. The API asks for one that the "
        "gateway trusts",
        true);
REFUSAL(refusal_all_failed, 401, "900912", "Invalid Credentials",
        "Invalid Credentials. None of the credentials in the call is good "
        "for it",
        true);
REFUSAL(refusal_basic_missing, 401, "900913",
        "Missing Basic Authentication Credentials",
        "Missing Basic Authentication Credentials. Make sure your API "
        "invocation call has a header: 'Authorization : Basic ACCESS_TOKEN'",
        true);
REFUSAL(refusal_basic_invalid, 401, "900914",
        "Invalid Basic Authentication Credentials",
        "Invalid Basic Authentication Credentials. Make sure you have "
        "provided the correct user name and password",
        true);
REFUSAL(refusal_audience, 403, "900914", "The access token is not for this API",
        "The access token is not for this API. Its audience is another one",
        true);
REFUSAL(refusal_denied, 403, "900805", "Message blocked",
        "You have been blocked from accessing the resource", true);
REFUSAL(refusal_attempts, 429, "429", "Too Many Requests",
        "Too many failed attempts from this address. Try again later.", true);

#define THROTTLED "Message throttled out", "You have exceeded your quota", true

REFUSAL(refusal_limit_api, 429, "900800", THROTTLED);
REFUSAL(refusal_limit_backend, 503, "900801", "Message throttled out",
        "The back end takes no more calls now. Try again later.", false);
REFUSAL(refusal_limit_operation, 429, "900802", THROTTLED);
REFUSAL(refusal_limit_application, 429, "900803", THROTTLED);
REFUSAL(refusal_limit_subscription, 429, "900804", THROTTLED);
REFUSAL(refusal_burst_subscription, 429, "900807", THROTTLED);
REFUSAL(refusal_burst_application, 429, "900809", THROTTLED);
REFUSAL(refusal_limit_unknown, 500, "900900",
        "Unclassified Authentication Failure",
        "The tier of the credential is not known to the gateway.", false);

static const struct refusal of_status[] = {
    { 408, "408", "Request Timeout", "The request came too slowly.", true },
    { 413, "413", "Content Too Large", "The request body is too large.", true },
    { 414, "414", "URI Too Long", "The request target is too long.", true },
    { 417, "417", "Expectation Failed", "The expectation cannot be met.",
      true },
    { 431, "431", "Request Header Fields Too Large",
      "The request head is too large.", true },
    { 501, "501", "Not Implemented",
      "The method or transfer coding is not supported.", true },
    { 505, "505", "HTTP Version Not Supported",
      "HTTP/1.0, HTTP/1.1 and HTTP/2 are.", true },
};

const struct refusal *refusal_of_status(unsigned status)
{
    for (size_t i = 0; i < sizeof(of_status) / sizeof(*of_status); i++)
        if (of_status[i].status == status)
            return &of_status[i];
    return status == 503 ? &refusal_memory : &refusal_bad_request;
}

static struct str soap_fault(struct arena *a, const struct refusal *r)
{
    return arena_printf(
        a,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
        "<soapenv:Envelope xmlns:soapenv="
        "\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>"
        "<soapenv:Fault><faultcode>soapenv:%s</faultcode>"
        "<faultstring>%s</faultstring><detail>"
        "<am:fault xmlns:am=\"http://wso2.org/apimanager\">"
        "<am:code>%s</am:code><am:type>Status report</am:type>"
        "<am:message>%s</am:message><am:description>%s</am:description>"
        "</am:fault></detail></soapenv:Fault></soapenv:Body>"
        "</soapenv:Envelope>",
        r->client ? "Client" : "Server", r->message, r->code, r->message,
        r->description);
}

struct str refusal_grpc_message(struct arena *a, const struct refusal *r)
{
    struct str text = str_z(r->description);
    char *out = arena_raw(a, 3 * text.len + 1);

    return str_from(out, grpc_message_encode(text, out));
}

struct str refusal_body(struct arena *a, const struct refusal *r,
                        struct str more, bool soap, enum errors form,
                        struct str *content_type)
{
    if (soap) {
        *content_type = STR("text/xml; charset=UTF-8");
        return soap_fault(a, r);
    }
    *content_type = STR("application/json; charset=UTF-8");
    if (form == ERRORS_MICROGATEWAY)
        return arena_printf(a,
                            "{\"fault\":{\"code\":%s,\"message\":\"%s\","
                            "\"description\":\"%s\"%.*s}}",
                            r->code, r->message, r->description, STR_ARG(more));
    /* The model's two shapes: who may call and how often has no type. */
    return arena_printf(
        a,
        "{\"code\":\"%s\",%s"
        "\"message\":\"%s\",\"description\":\"%s\"%.*s}",
        r->code,
        strncmp(r->code, "900", 3) == 0 ? "" : "\"type\":\"Status report\",",
        r->message, r->description, STR_ARG(more));
}
