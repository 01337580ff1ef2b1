/* message.c - names with an id, and what a method or a status stands for.
 *
 * field_id() runs for every field of every message, so it is a perfect hash:
 * one slot to look at, one comparison to be sure. The multiplier was found by
 * trying; the unit test puts every name through it, so a new name that
 * collides cannot go unnoticed (then: try other multipliers).
 */
#include "http/message.h"

#include "http/field_table.h"

/* clang-format off */
/* The canonical spellings. */
static const struct str names[FIELD_COUNT] = {
    [FIELD_ACCEPT] = { "Accept", 6 },
    [FIELD_ACCESS_CONTROL_REQUEST_HEADERS] =
        { "Access-Control-Request-Headers", 30 },
    [FIELD_ACCESS_CONTROL_REQUEST_METHOD] =
        { "Access-Control-Request-Method", 29 },
    [FIELD_ACTIVITYID] = { "activityid", 10 },
    [FIELD_APIKEY] = { "ApiKey", 6 },
    [FIELD_AUTHORIZATION] = { "Authorization", 13 },
    [FIELD_CLIENT_CERT] = { "Client-Cert", 11 },
    [FIELD_CLIENT_CERT_CHAIN] = { "Client-Cert-Chain", 17 },
    [FIELD_CONNECTION] = { "Connection", 10 },
    [FIELD_CONTENT_LENGTH] = { "Content-Length", 14 },
    [FIELD_CONTENT_LOCATION] = { "Content-Location", 16 },
    [FIELD_CONTENT_TYPE] = { "Content-Type", 12 },
    [FIELD_COOKIE] = { "Cookie", 6 },
    [FIELD_DATE] = { "Date", 4 },
    [FIELD_DPOP] = { "DPoP", 4 },
    [FIELD_EXPECT] = { "Expect", 6 },
    [FIELD_FORWARDED] = { "Forwarded", 9 },
    [FIELD_HOST] = { "Host", 4 },
    [FIELD_HTTP2_SETTINGS] = { "HTTP2-Settings", 14 },
    [FIELD_KEEP_ALIVE] = { "Keep-Alive", 10 },
    [FIELD_LOCATION] = { "Location", 8 },
    [FIELD_ORIGIN] = { "Origin", 6 },
    [FIELD_PROXY] = { "Proxy", 5 },
    [FIELD_PROXY_AUTHENTICATE] = { "Proxy-Authenticate", 18 },
    [FIELD_PROXY_AUTHORIZATION] = { "Proxy-Authorization", 19 },
    [FIELD_PROXY_CONNECTION] = { "Proxy-Connection", 16 },
    [FIELD_REFERER] = { "Referer", 7 },
    [FIELD_RETRY_AFTER] = { "Retry-After", 11 },
    [FIELD_SERVER] = { "Server", 6 },
    [FIELD_SOAPACTION] = { "SOAPAction", 10 },
    [FIELD_TE] = { "TE", 2 },
    [FIELD_TRACEPARENT] = { "traceparent", 11 },
    [FIELD_TRACESTATE] = { "tracestate", 10 },
    [FIELD_TRAILER] = { "Trailer", 7 },
    [FIELD_TRANSFER_ENCODING] = { "Transfer-Encoding", 17 },
    [FIELD_UPGRADE] = { "Upgrade", 7 },
    [FIELD_USER_AGENT] = { "User-Agent", 10 },
    [FIELD_VARY] = { "Vary", 4 },
    [FIELD_VIA] = { "Via", 3 },
    [FIELD_X_FORWARDED_FOR] = { "X-Forwarded-For", 15 },
    [FIELD_X_FORWARDED_HOST] = { "X-Forwarded-Host", 16 },
    [FIELD_X_FORWARDED_PORT] = { "X-Forwarded-Port", 16 },
    [FIELD_X_FORWARDED_PROTO] = { "X-Forwarded-Proto", 17 },
    [FIELD_X_JWT_ASSERTION] = { "X-JWT-Assertion", 15 },
    [FIELD_X_REAL_IP] = { "X-Real-IP", 9 },
    [FIELD_X_TOLLGATE_EXPLAIN] = { "X-Tollgate-Explain", 18 },
    [FIELD_X_WSO2_CLIENT_CERTIFICATE] = { "X-WSO2-CLIENT-CERTIFICATE", 25 },
};

const struct field_key field_keys[FIELD_COUNT] = {
    [FIELD_ACCEPT] = { "accept", 6 },
    [FIELD_ACCESS_CONTROL_REQUEST_HEADERS] =
        { "access-control-request-headers", 30 },
    [FIELD_ACCESS_CONTROL_REQUEST_METHOD] =
        { "access-control-request-method", 29 },
    [FIELD_ACTIVITYID] = { "activityid", 10 },
    [FIELD_APIKEY] = { "apikey", 6 },
    [FIELD_AUTHORIZATION] = { "authorization", 13 },
    [FIELD_CLIENT_CERT] = { "client-cert", 11 },
    [FIELD_CLIENT_CERT_CHAIN] = { "client-cert-chain", 17 },
    [FIELD_CONNECTION] = { "connection", 10 },
    [FIELD_CONTENT_LENGTH] = { "content-length", 14 },
    [FIELD_CONTENT_LOCATION] = { "content-location", 16 },
    [FIELD_CONTENT_TYPE] = { "content-type", 12 },
    [FIELD_COOKIE] = { "cookie", 6 },
    [FIELD_DATE] = { "date", 4 },
    [FIELD_DPOP] = { "dpop", 4 },
    [FIELD_EXPECT] = { "expect", 6 },
    [FIELD_FORWARDED] = { "forwarded", 9 },
    [FIELD_HOST] = { "host", 4 },
    [FIELD_HTTP2_SETTINGS] = { "http2-settings", 14 },
    [FIELD_KEEP_ALIVE] = { "keep-alive", 10 },
    [FIELD_LOCATION] = { "location", 8 },
    [FIELD_ORIGIN] = { "origin", 6 },
    [FIELD_PROXY] = { "proxy", 5 },
    [FIELD_PROXY_AUTHENTICATE] = { "proxy-authenticate", 18 },
    [FIELD_PROXY_AUTHORIZATION] = { "proxy-authorization", 19 },
    [FIELD_PROXY_CONNECTION] = { "proxy-connection", 16 },
    [FIELD_REFERER] = { "referer", 7 },
    [FIELD_RETRY_AFTER] = { "retry-after", 11 },
    [FIELD_SERVER] = { "server", 6 },
    [FIELD_SOAPACTION] = { "soapaction", 10 },
    [FIELD_TE] = { "te", 2 },
    [FIELD_TRACEPARENT] = { "traceparent", 11 },
    [FIELD_TRACESTATE] = { "tracestate", 10 },
    [FIELD_TRAILER] = { "trailer", 7 },
    [FIELD_TRANSFER_ENCODING] = { "transfer-encoding", 17 },
    [FIELD_UPGRADE] = { "upgrade", 7 },
    [FIELD_USER_AGENT] = { "user-agent", 10 },
    [FIELD_VARY] = { "vary", 4 },
    [FIELD_VIA] = { "via", 3 },
    [FIELD_X_FORWARDED_FOR] = { "x-forwarded-for", 15 },
    [FIELD_X_FORWARDED_HOST] = { "x-forwarded-host", 16 },
    [FIELD_X_FORWARDED_PORT] = { "x-forwarded-port", 16 },
    [FIELD_X_FORWARDED_PROTO] = { "x-forwarded-proto", 17 },
    [FIELD_X_JWT_ASSERTION] = { "x-jwt-assertion", 15 },
    [FIELD_X_REAL_IP] = { "x-real-ip", 9 },
    [FIELD_X_TOLLGATE_EXPLAIN] = { "x-tollgate-explain", 18 },
    [FIELD_X_WSO2_CLIENT_CERTIFICATE] = { "x-wso2-client-certificate", 25 },
};
/* clang-format on */

const uint8_t field_slots[FIELD_SLOTS] = {
    [1] = FIELD_KEEP_ALIVE,
    [3] = FIELD_APIKEY,
    [12] = FIELD_REFERER,
    [13] = FIELD_X_WSO2_CLIENT_CERTIFICATE,
    [14] = FIELD_HTTP2_SETTINGS,
    [18] = FIELD_X_FORWARDED_PORT,
    [21] = FIELD_ORIGIN,
    [24] = FIELD_FORWARDED,
    [32] = FIELD_TRAILER,
    [33] = FIELD_PROXY_CONNECTION,
    [36] = FIELD_AUTHORIZATION,
    [39] = FIELD_TE,
    [44] = FIELD_ACTIVITYID,
    [49] = FIELD_COOKIE,
    [50] = FIELD_X_TOLLGATE_EXPLAIN,
    [53] = FIELD_VARY,
    [54] = FIELD_SOAPACTION,
    [55] = FIELD_VIA,
    [57] = FIELD_CLIENT_CERT_CHAIN,
    [58] = FIELD_TRACESTATE,
    [59] = FIELD_X_FORWARDED_FOR,
    [60] = FIELD_PROXY,
    [61] = FIELD_DPOP,
    [63] = FIELD_CONTENT_TYPE,
    [64] = FIELD_CONTENT_LENGTH,
    [65] = FIELD_RETRY_AFTER,
    [66] = FIELD_USER_AGENT,
    [68] = FIELD_EXPECT,
    [70] = FIELD_ACCESS_CONTROL_REQUEST_HEADERS,
    [71] = FIELD_X_FORWARDED_PROTO,
    [72] = FIELD_TRANSFER_ENCODING,
    [74] = FIELD_PROXY_AUTHENTICATE,
    [75] = FIELD_CONNECTION,
    [79] = FIELD_TRACEPARENT,
    [85] = FIELD_SERVER,
    [89] = FIELD_ACCESS_CONTROL_REQUEST_METHOD,
    [91] = FIELD_CONTENT_LOCATION,
    [92] = FIELD_LOCATION,
    [100] = FIELD_CLIENT_CERT,
    [101] = FIELD_HOST,
    [105] = FIELD_PROXY_AUTHORIZATION,
    [110] = FIELD_DATE,
    [121] = FIELD_X_JWT_ASSERTION,
    [123] = FIELD_X_REAL_IP,
    [124] = FIELD_ACCEPT,
    [126] = FIELD_UPGRADE,
    [127] = FIELD_X_FORWARDED_HOST,
};

/* True when bytes differ from those of one of our names by more than the case.
 * Of the bytes in our names only letters have the 0x40 bit, so only there the
 * 0x20 bit may differ. */
static inline bool differ8(const char *p, const char *known)
{
    uint64_t a, b;

    memcpy(&a, p, 8);
    memcpy(&b, known, 8);
    return ((a ^ b) & ~(b >> 1 & 0x2020202020202020u)) != 0;
}

static inline bool differ4(const char *p, const char *known)
{
    uint32_t a, b;

    memcpy(&a, p, 4);
    memcpy(&b, known, 4);
    return ((a ^ b) & ~(b >> 1 & 0x20202020u)) != 0;
}

/* Words, the last one overlapping the one before it. */
static bool same_name(const char *p, const char *known, size_t len)
{
    size_t i;

    if (len >= 8) {
        for (i = 0; i + 8 < len; i += 8) {
            if (differ8(p + i, known + i))
                return false;
        }
        return !differ8(p + len - 8, known + len - 8);
    }
    if (len >= 4)
        return !differ4(p, known) && !differ4(p + len - 4, known + len - 4);
    for (i = 0; i < len; i++) {
        if (char_lower(p[i]) != known[i])
            return false;
    }
    return true;
}

enum field field_id(struct str name)
{
    enum field id;

    if (name.len < FIELD_NAME_MIN || name.len > FIELD_NAME_MAX)
        return FIELD_OTHER;
    id = field_candidate(name.p, name.len);
    if (field_keys[id].len == name.len &&
        same_name(name.p, field_keys[id].lower, name.len))
        return id;
    return FIELD_OTHER;
}

struct str field_name(enum field id)
{
    return id > FIELD_OTHER && id < FIELD_COUNT ? names[id] : STR("");
}

bool field_hop_by_hop(enum field id)
{
    return FIELDS_HOP_BY_HOP >> id & 1;
}

static const struct str methods[METHOD_COUNT] = {
    [METHOD_GET] = { "GET", 3 },         [METHOD_HEAD] = { "HEAD", 4 },
    [METHOD_POST] = { "POST", 4 },       [METHOD_PUT] = { "PUT", 3 },
    [METHOD_DELETE] = { "DELETE", 6 },   [METHOD_PATCH] = { "PATCH", 5 },
    [METHOD_OPTIONS] = { "OPTIONS", 7 }, [METHOD_TRACE] = { "TRACE", 5 },
    [METHOD_CONNECT] = { "CONNECT", 7 }, [METHOD_QUERY] = { "QUERY", 5 },
};

static enum method method_if(struct str token, enum method m)
{
    return str_eq(token, methods[m]) ? m : METHOD_OTHER;
}

enum method method_id(struct str token)
{
    if (token.len < 3 || token.len > 7)
        return METHOD_OTHER;
    switch (token.p[0]) {
    case 'G':
        return method_if(token, METHOD_GET);
    case 'H':
        return method_if(token, METHOD_HEAD);
    case 'P':
        return method_if(token, token.p[1] == 'O'   ? METHOD_POST
                                : token.p[1] == 'U' ? METHOD_PUT
                                                    : METHOD_PATCH);
    case 'D':
        return method_if(token, METHOD_DELETE);
    case 'O':
        return method_if(token, METHOD_OPTIONS);
    case 'T':
        return method_if(token, METHOD_TRACE);
    case 'C':
        return method_if(token, METHOD_CONNECT);
    case 'Q':
        return method_if(token, METHOD_QUERY);
    default:
        return METHOD_OTHER;
    }
}

struct str method_name(enum method m)
{
    return m > METHOD_OTHER && m < METHOD_COUNT ? methods[m] : STR("");
}

bool method_idempotent(enum method m)
{
    return m == METHOD_GET || m == METHOD_HEAD || m == METHOD_PUT ||
           m == METHOD_DELETE || m == METHOD_OPTIONS || m == METHOD_TRACE ||
           m == METHOD_QUERY;
}

const struct header *message_find(const struct message *m, struct str name)
{
    enum field id = field_id(name);
    uint32_t i;

    if (id != FIELD_OTHER && m->first[id])
        return message_get(m, id);
    for (i = 0; i < m->count; i++) {
        if (m->headers[i].id == id &&
            (id != FIELD_OTHER || str_eq_nocase(m->headers[i].name, name)))
            return &m->headers[i];
    }
    return NULL;
}

/* By RFC 9110 and IANA's registry; an empty one has no phrase. */
static const struct str reasons[] = {
    [100] = STR("Continue"),
    [101] = STR("Switching Protocols"),
    [102] = STR("Processing"),
    [103] = STR("Early Hints"),
    [200] = STR("OK"),
    [201] = STR("Created"),
    [202] = STR("Accepted"),
    [203] = STR("Non-Authoritative Information"),
    [204] = STR("No Content"),
    [205] = STR("Reset Content"),
    [206] = STR("Partial Content"),
    [207] = STR("Multi-Status"),
    [208] = STR("Already Reported"),
    [226] = STR("IM Used"),
    [300] = STR("Multiple Choices"),
    [301] = STR("Moved Permanently"),
    [302] = STR("Found"),
    [303] = STR("See Other"),
    [304] = STR("Not Modified"),
    [305] = STR("Use Proxy"),
    [307] = STR("Temporary Redirect"),
    [308] = STR("Permanent Redirect"),
    [400] = STR("Bad Request"),
    [401] = STR("Unauthorized"),
    [402] = STR("Payment Required"),
    [403] = STR("Forbidden"),
    [404] = STR("Not Found"),
    [405] = STR("Method Not Allowed"),
    [406] = STR("Not Acceptable"),
    [407] = STR("Proxy Authentication Required"),
    [408] = STR("Request Timeout"),
    [409] = STR("Conflict"),
    [410] = STR("Gone"),
    [411] = STR("Length Required"),
    [412] = STR("Precondition Failed"),
    [413] = STR("Content Too Large"),
    [414] = STR("URI Too Long"),
    [415] = STR("Unsupported Media Type"),
    [416] = STR("Range Not Satisfiable"),
    [417] = STR("Expectation Failed"),
    [421] = STR("Misdirected Request"),
    [422] = STR("Unprocessable Content"),
    [423] = STR("Locked"),
    [424] = STR("Failed Dependency"),
    [425] = STR("Too Early"),
    [426] = STR("Upgrade Required"),
    [428] = STR("Precondition Required"),
    [429] = STR("Too Many Requests"),
    [431] = STR("Request Header Fields Too Large"),
    [451] = STR("Unavailable For Legal Reasons"),
    [500] = STR("Internal Server Error"),
    [501] = STR("Not Implemented"),
    [502] = STR("Bad Gateway"),
    [503] = STR("Service Unavailable"),
    [504] = STR("Gateway Timeout"),
    [505] = STR("HTTP Version Not Supported"),
    [506] = STR("Variant Also Negotiates"),
    [507] = STR("Insufficient Storage"),
    [508] = STR("Loop Detected"),
    [511] = STR("Network Authentication Required"),
};

struct str status_reason(unsigned status)
{
    if (status >= sizeof(reasons) / sizeof(*reasons) || !reasons[status].len)
        return STR("");
    return reasons[status];
}
