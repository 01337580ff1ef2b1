/* line.c - see line.h. Every text has a ceiling, so that a line always fits:
 * one byte becomes at most six, the ceilings are 3,000 bytes together, and
 * what is fixed needs a thousand. */
#include "events/line.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "events/user_agent.h"

enum {
    SHORT_MAX = 64, /* ids, methods, names of tiers */
    NAME_MAX_BYTES = 128,
    LONG_MAX = 256, /* paths, users, addresses of backends */
};

struct out {
    char *p;
};

static inline void put_text(struct out *o, const char *p, size_t n)
{
    memcpy(o->p, p, n);
    o->p += n;
}
#define PUT(o, literal) put_text(o, "" literal, sizeof(literal) - 1)

static const char pairs[] =
    "00010203040506070809101112131415161718192021222324"
    "25262728293031323334353637383940414243444546474849"
    "50515253545556575859606162636465666768697071727374"
    "75767778798081828384858687888990919293949596979899";

static void put_number(struct out *o, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    if (n < 10) { /* most latencies in milliseconds */
        *o->p++ = (char)('0' + n);
        return;
    }
    for (; n >= 100; n /= 100)
        memcpy(digits + (at -= 2), pairs + n % 100 * 2, 2);
    if (n >= 10)
        memcpy(digits + (at -= 2), pairs + n * 2, 2);
    else
        digits[--at] = (char)('0' + n);
    for (; at < sizeof(digits); at++)
        *o->p++ = digits[at];
}

static bool plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define ALL(byte) (0x0101010101010101ull * (byte))

/* Whether eight bytes are plain. A byte x is below n, or equal to another,
 * where a borrow reaches its highest bit; what had that bit already is not
 * plain either. A byte after one that borrows may be taken for odd, which the
 * slow way then finds to be plain. */
static bool plain_8(uint64_t w)
{
    uint64_t quote = w ^ ALL('"'), slash = w ^ ALL('\\'), del = w ^ ALL(0x7f);
    uint64_t odd = (w - ALL(0x20)) | (quote - ALL(1)) | (slash - ALL(1)) |
                   (del - ALL(1)) | w;

    return !(odd & ALL(0x80));
}

/* Copies plain bytes; returns how many. The last eight may overlap those
 * before. */
static size_t put_plain(char *out, struct str s)
{
    size_t n = 0;
    uint64_t w;

    while (n + 8 <= s.len) {
        memcpy(&w, s.p + n, 8);
        if (!plain_8(w))
            break;
        memcpy(out + n, &w, 8);
        n += 8;
        if (n < s.len && s.len < n + 8)
            n = s.len - 8;
    }
    while (n < s.len && plain((unsigned char)s.p[n])) {
        out[n] = s.p[n];
        n++;
    }
    return n;
}

/* One byte that is not plain, or a whole character. Returns how many it took. */
static size_t put_odd(struct out *o, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)s.p[0];
    uint32_t code;
    size_t n = c < 0x80 ? 1 : utf8_next(s, &code);

    if (c == '"' || c == '\\') {
        *o->p++ = '\\';
        *o->p++ = (char)c;
    } else if (c < 0x80) {
        PUT(o, "\\u00");
        *o->p++ = hex[c >> 4];
        *o->p++ = hex[c & 15];
    } else if (n) {
        put_text(o, s.p, n);
    } else {
        PUT(o, "\xef\xbf\xbd");
        n = 1;
    }
    return n;
}

static void put_escaped(struct out *o, struct str s, size_t max)
{
    s = str_head(s, max);
    while (s.len) {
        size_t n = put_plain(o->p, s);

        o->p += n;
        s = str_skip(s, n);
        if (s.len)
            s = str_skip(s, put_odd(o, s));
    }
}

/* ,"name":"text" */
#define MEMBER(o, name, text, max)      \
    do {                                \
        if ((text).len) {               \
            PUT(o, ",\"" name "\":\""); \
            put_escaped(o, text, max);  \
            PUT(o, "\"");               \
        }                               \
    } while (0)
/* The same for what holds nothing but plain bytes. */
#define MEMBER_PLAIN(o, name, text)            \
    do {                                       \
        if ((text).len) {                      \
            PUT(o, ",\"" name "\":\"");        \
            put_text(o, (text).p, (text).len); \
            PUT(o, "\"");                      \
        }                                      \
    } while (0)
#define NUMBER(o, name, n)        \
    do {                          \
        PUT(o, ",\"" name "\":"); \
        put_number(o, n);         \
    } while (0)

size_t event_api_text(char *out, size_t max, struct str name,
                      struct str version, struct str context)
{
    struct out o = { out };

    must(max >= 6 * (3 * LONG_MAX + 2 * SHORT_MAX) + 256);
    if (name.len || version.len) {
        PUT(&o, ",\"apiId\":\"");
        put_escaped(&o, name, NAME_MAX_BYTES);
        PUT(&o, ":");
        put_escaped(&o, version, SHORT_MAX);
        PUT(&o, "\"");
    }
    MEMBER(&o, "apiName", name, NAME_MAX_BYTES);
    MEMBER(&o, "apiVersion", version, SHORT_MAX);
    MEMBER(&o, "apiContext", context, LONG_MAX);
    return (size_t)(o.p - out);
}

/* "2026-11-21T08:00:00.123Z": the second is made once. */
static void put_time(struct out *o, uint64_t wall_us)
{
    static _Thread_local uint64_t second = UINT64_MAX;
    static _Thread_local char text[25];
    unsigned ms = (unsigned)(wall_us / 1000 % 1000);

    if (second != wall_us / 1000000) {
        second = wall_us / 1000000;
        clock_iso8601(wall_us, text);
    }
    text[20] = (char)('0' + ms / 100);
    text[21] = (char)('0' + ms / 10 % 10);
    text[22] = (char)('0' + ms % 10);
    put_text(o, text, 24);
}

/* Clients say the same thing again and again. */
enum { AGENTS = 16, AGENT_BYTES = 256, AGENT_OUT = 1024 };

struct agent {
    uint16_t len, out_len;
    char text[AGENT_BYTES];
    char out[AGENT_OUT]; /* its members */
};

static void fill_agent(struct agent *a, struct str text)
{
    struct user_agent u = user_agent_parse(text);
    struct out o = { a->out };

    memcpy(a->text, text.p, text.len);
    a->len = (uint16_t)text.len;
    MEMBER(&o, "userAgent", u.family, SHORT_MAX);
    MEMBER(&o, "platform", u.platform, SHORT_MAX);
    a->out_len = (uint16_t)(o.p - a->out);
}

static void put_agent(struct out *o, struct str text)
{
    static _Thread_local struct agent known[AGENTS];
    struct agent *a;

    text = str_head(text, AGENT_BYTES);
    if (!text.len)
        return;
    a = &known[(text.len + (unsigned char)text.p[text.len / 2] +
                (unsigned char)text.p[text.len - 1]) %
               AGENTS];
    if (a->len != text.len || memcmp(a->text, text.p, text.len) != 0)
        fill_agent(a, text);
    put_text(o, a->out, a->out_len);
}

static void put_times(struct out *o, const struct event *e)
{
    uint64_t before = e->before_us, after = 0;

    if (e->total_us > before + e->backend_us)
        after = e->total_us - before - e->backend_us;
    NUMBER(o, "responseLatency", e->total_us / 1000);
    NUMBER(o, "backendLatency", e->backend_us / 1000);
    NUMBER(o, "requestMediationLatency", before / 1000);
    NUMBER(o, "responseMediationLatency", after / 1000);
    NUMBER(o, "responseMicros", e->total_us);
    NUMBER(o, "backendMicros", e->backend_us);
}

static void put_fault(struct out *o, const struct event *e)
{
    static const char *const types[] = { "", "AUTH", "THROTTLED",
                                         "TARGET_CONNECTIVITY", "OTHER" };

    MEMBER(o, "errorType", str_z(types[e->fault]), SHORT_MAX);
    if (e->error_code && *e->error_code) {
        PUT(o, ",\"errorCode\":");
        put_escaped(o, str_z(e->error_code), SHORT_MAX);
    }
    MEMBER(o, "errorMessage", str_z(e->error), SHORT_MAX);
    MEMBER(o, "reason", str_z(e->reason), SHORT_MAX);
}

size_t event_line(const struct event *e, char *out)
{
    struct out o = { out };

    PUT(&o, "{\"gateway\":\"");
    put_escaped(&o, e->gateway, SHORT_MAX);
    PUT(&o, "\"");
    NUMBER(&o, "boot", e->boot);
    NUMBER(&o, "thread", e->thread);
    NUMBER(&o, "n", e->number);
    PUT(&o, ",\"requestTimestamp\":\"");
    put_time(&o, e->wall_us);
    PUT(&o, "\",\"eventType\":\"");
    if (e->fault)
        PUT(&o, "faulty\"");
    else
        PUT(&o, "response\"");
    MEMBER_PLAIN(&o, "correlationId", e->correlation_id);
    if (e->api.len)
        put_text(&o, e->api.p, e->api.len);
    MEMBER_PLAIN(&o, "apiType", e->type);
    MEMBER(&o, "apiMethod", e->method, SHORT_MAX);
    MEMBER(&o, "apiResourceTemplate", e->resource, LONG_MAX);
    NUMBER(&o, "proxyResponseCode", e->status);
    if (e->target_status)
        NUMBER(&o, "targetResponseCode", e->target_status);
    if (e->fault)
        put_fault(&o, e);
    put_times(&o, e);
    NUMBER(&o, "requestSize", e->request_bytes);
    NUMBER(&o, "responseSize", e->response_bytes);
    MEMBER(&o, "responseContentType", e->response_type, NAME_MAX_BYTES);
    MEMBER(&o, "destination", e->destination, LONG_MAX);
    if (e->retries)
        NUMBER(&o, "retries", e->retries);
    MEMBER(&o, "applicationId", e->application_id, LONG_MAX);
    MEMBER(&o, "applicationName", e->application, NAME_MAX_BYTES);
    MEMBER(&o, "userName", e->user, LONG_MAX);
    MEMBER(&o, "commonName", e->common_name, LONG_MAX);
    MEMBER(&o, "throttlingTier", e->tier, SHORT_MAX);
    MEMBER_PLAIN(&o, "userIp", e->client_ip);
    put_agent(&o, e->user_agent);
    PUT(&o, ",\"keyType\":\"PRODUCTION\",\"organization\":\"carbon.super\","
            "\"gatewayType\":\"TOLLGATE\"");
    MEMBER(&o, "regionId", e->region, SHORT_MAX);
    NUMBER(&o, "configuration", e->configuration);
    PUT(&o, "}\n");
    must((size_t)(o.p - out) <= EVENT_LINE_MAX);
    return (size_t)(o.p - out);
}

struct fault_row {
    const char *code;
    enum event_fault fault;
    const char *error;
};

static const struct fault_row faults[] = {
    { "900800", EVENT_FAULT_THROTTLED, "API_LEVEL_LIMIT_EXCEEDED" },
    { "900801", EVENT_FAULT_THROTTLED, "HARD_LIMIT_EXCEEDED" },
    { "900802", EVENT_FAULT_THROTTLED, "RESOURCE_LEVEL_LIMIT_EXCEEDED" },
    { "900803", EVENT_FAULT_THROTTLED, "APPLICATION_LEVEL_LIMIT_EXCEEDED" },
    { "900804", EVENT_FAULT_THROTTLED, "SUBSCRIPTION_LIMIT_EXCEEDED" },
    { "900805", EVENT_FAULT_THROTTLED, "BLOCKED" },
    { "900806", EVENT_FAULT_THROTTLED, "CUSTOM_POLICY_LIMIT_EXCEEDED" },
    { "900807", EVENT_FAULT_THROTTLED, "BURST_CONTROL_LIMIT_EXCEEDED" },
    { "900808", EVENT_FAULT_THROTTLED, "BURST_CONTROL_LIMIT_EXCEEDED" },
    { "900809", EVENT_FAULT_THROTTLED, "BURST_CONTROL_LIMIT_EXCEEDED" },
    { "900907", EVENT_FAULT_AUTH, "SUBSCRIPTION_VALIDATION_FAILURE" },
    { "900908", EVENT_FAULT_AUTH, "SUBSCRIPTION_VALIDATION_FAILURE" },
    { "900909", EVENT_FAULT_AUTH, "SUBSCRIPTION_VALIDATION_FAILURE" },
    { "900910", EVENT_FAULT_AUTH, "AUTHORIZATION_FAILURE" },
    { "101504", EVENT_FAULT_TARGET, "CONNECTION_TIMEOUT" },
    { "101508", EVENT_FAULT_TARGET, "CONNECTION_TIMEOUT" },
    { "303001", EVENT_FAULT_TARGET, "CONNECTION_SUSPENDED" },
    { NULL, EVENT_NO_FAULT, NULL },
};

enum event_fault event_fault_of(const char *code, unsigned status,
                                const char **error)
{
    for (const struct fault_row *r = faults; r->code; r++)
        if (strcmp(code, r->code) == 0) {
            *error = r->error;
            return r->fault;
        }
    *error = "OTHER";
    if (strncmp(code, "9009", 4) == 0) {
        *error = status == 403   ? "AUTHORIZATION_FAILURE"
                 : status >= 500 ? "OTHER"
                                 : "AUTHENTICATION_FAILURE";
        return EVENT_FAULT_AUTH;
    }
    if (strncmp(code, "101", 3) == 0)
        return EVENT_FAULT_TARGET;
    if (status == 429)
        return EVENT_FAULT_THROTTLED;
    if (status == 404)
        *error = "RESOURCE_NOT_FOUND";
    else if (status == 405)
        *error = "METHOD_NOT_ALLOWED";
    else
        *error = "UNCLASSIFIED";
    return EVENT_FAULT_OTHER;
}
