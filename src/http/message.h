/* message.h - the head of a request or a response, whatever carried it.
 *
 * Views only: all bytes belong to who parsed them (an exchange's arena, a
 * read buffer). Known field names carry an id, so the code compares numbers,
 * and first[] finds the first field of an id without a search.
 */
#ifndef TG_HTTP_MESSAGE_H
#define TG_HTTP_MESSAGE_H

#include "base/arena.h"
#include "base/str.h"

/* Field names this program looks at (RFC 9110 and others). */
enum field {
    FIELD_OTHER = 0,
    FIELD_ACCEPT,
    FIELD_ACCESS_CONTROL_REQUEST_HEADERS,
    FIELD_ACCESS_CONTROL_REQUEST_METHOD,
    FIELD_ACTIVITYID,
    FIELD_APIKEY,
    FIELD_AUTHORIZATION,
    FIELD_CLIENT_CERT,
    FIELD_CLIENT_CERT_CHAIN,
    FIELD_CONNECTION,
    FIELD_CONTENT_LENGTH,
    FIELD_CONTENT_LOCATION,
    FIELD_CONTENT_TYPE,
    FIELD_COOKIE,
    FIELD_DATE,
    FIELD_DPOP,
    FIELD_EXPECT,
    FIELD_FORWARDED,
    FIELD_HOST,
    FIELD_HTTP2_SETTINGS,
    FIELD_KEEP_ALIVE,
    FIELD_LOCATION,
    FIELD_ORIGIN,
    FIELD_PROXY,
    FIELD_PROXY_AUTHENTICATE,
    FIELD_PROXY_AUTHORIZATION,
    FIELD_PROXY_CONNECTION,
    FIELD_REFERER,
    FIELD_RETRY_AFTER,
    FIELD_SERVER,
    FIELD_SOAPACTION,
    FIELD_TE,
    FIELD_TRACEPARENT,
    FIELD_TRACESTATE,
    FIELD_TRAILER,
    FIELD_TRANSFER_ENCODING,
    FIELD_UPGRADE,
    FIELD_USER_AGENT,
    FIELD_VARY,
    FIELD_VIA,
    FIELD_X_FORWARDED_FOR,
    FIELD_X_FORWARDED_HOST,
    FIELD_X_FORWARDED_PORT,
    FIELD_X_FORWARDED_PROTO,
    FIELD_X_JWT_ASSERTION,
    FIELD_X_REAL_IP,
    FIELD_X_TOLLGATE_EXPLAIN,
    FIELD_X_WSO2_CLIENT_CERTIFICATE,
    FIELD_COUNT,
};

/* The id of a name (any case), or FIELD_OTHER. */
enum field field_id(struct str name);
/* The canonical spelling ("Content-Length"); "" for FIELD_OTHER. */
struct str field_name(enum field id);
/* Fields that belong to one connection and are never forwarded (RFC 9110
 * section 7.6.1): Connection, Keep-Alive, Proxy-Connection, TE, Trailer,
 * Transfer-Encoding, Upgrade, HTTP2-Settings, Proxy-Authenticate,
 * Proxy-Authorization. What Connection names comes on top. */
bool field_hop_by_hop(enum field id);

enum method {
    METHOD_OTHER = 0, /* a valid token that is none of these */
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_PATCH,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_CONNECT,
    METHOD_QUERY,
    METHOD_COUNT,
};

enum method method_id(struct str token); /* case-sensitive, RFC 9110 9.1 */
struct str method_name(enum method m);
/* Repeating it changes nothing (RFC 9110 section 9.2.2). */
bool method_idempotent(enum method m);

struct header {
    struct str name;  /* as received; h1: a valid token */
    struct str value; /* without surrounding white space */
    uint16_t id;      /* enum field */
    bool hop;         /* hop-by-hop: by id or named in Connection */
};

enum body_kind {
    BODY_NONE,
    BODY_LENGTH,  /* exactly `length` bytes, may be 0 */
    BODY_CHUNKED, /* ends with the last chunk */
    BODY_CLOSE,   /* responses only: ends when the connection does */
};

struct message {
    struct header *headers;
    uint32_t count;
    uint32_t capacity;
    uint8_t first[FIELD_COUNT]; /* 1 + index of the first one; 0: none. A field
                                   whose index is above 254 is found by search
                                   only if no other came first */

    /* Request */
    enum method method;
    struct str method_text;
    struct str target;    /* as received */
    struct str authority; /* Host, or of the absolute form, which wins */
    struct str path;      /* of the target, raw, begins with '/' or is "*" */
    struct str query;     /* behind '?' */
    bool has_query;

    /* Response */
    uint16_t status; /* 100 … 599 */
    struct str reason;

    uint8_t major; /* 1 or 2 */
    uint8_t minor; /* HTTP/1.minor: 0 or 1 */
    enum body_kind body;
    uint64_t length;      /* BODY_LENGTH */
    bool keep_alive;      /* by version and Connection */
    bool expect_continue; /* Expect: 100-continue, and HTTP/1.1 */
    bool upgrade;         /* Connection names upgrade and Upgrade is there */
    bool trailers_ok;     /* TE: trailers, or Trailer announced */
    bool underscores;     /* a name has one */
};

/* First field of that id, or NULL. */
static inline const struct header *message_get(const struct message *m,
                                               enum field id)
{
    return m->first[id] ? &m->headers[m->first[id] - 1] : NULL;
}

/* Its value, or STR_NULL. */
static inline struct str message_value(const struct message *m, enum field id)
{
    return m->first[id] ? m->headers[m->first[id] - 1].value : STR_NULL;
}

/* First field with that name, any case; for names without an id. */
const struct header *message_find(const struct message *m, struct str name);
/* The standard reason phrase, "" when there is none. */
struct str status_reason(unsigned status);

#endif
