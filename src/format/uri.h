/* uri.h - URLs taken apart, and the one normal form of a request path.
 *
 * What is matched is what is forwarded: uri_path_normal() is the only form
 * of a path that routing, policies and backends see (threats T2).
 */
#ifndef TG_FORMAT_URI_H
#define TG_FORMAT_URI_H

#include "base/arena.h"

struct url {
    struct str scheme; /* lower case */
    struct str host;   /* lower case, without the brackets of an IPv6 */
    bool ipv6;         /* host was in brackets */
    uint16_t port;     /* explicit, or the scheme's (80, 443), or 0 */
    bool port_given;
    struct str path;  /* as written, starts with / or is empty */
    struct str query; /* behind ?, without it */
    bool has_query;
    struct str userinfo; /* before @; most callers refuse it */
};

/* An absolute URL (RFC 3986) with an authority: scheme://host[:port][/…][?…].
 * A fragment, controls, spaces and non-ASCII bytes are ERR_INVALID. Parts
 * point into text or the arena. unix:/path.sock[:/base] is understood too:
 * scheme "unix", host = the socket's path, path = the base. */
enum err url_parse(struct arena *a, struct str text, struct url *out);

/* host or host:port as in a Host header or authority (RFC 9110 section 7.2):
 * reg-name, IPv4 or [IPv6]; ERR_INVALID for anything else, among it userinfo,
 * slashes, empty host, a port that is no number from 0 to 65535. port 0 when
 * absent. host keeps its case and, for IPv6, its brackets. */
enum err authority_parse(struct str text, struct str *host, uint16_t *port);

/* The normal form of a request path, written to out (which must have room for
 * path.len bytes):
 *   - %XX of unreserved characters decoded, other escapes kept, upper-case
 *   - "." and ".." segments removed (also when they were escaped); ".." above
 *     the root is ERR_INVALID
 *   - %2F stays (it is data); "//" stays (empty segments are data)
 *   - ERR_INVALID: not starting with "/", a broken escape, %00 and escaped
 *     control characters (below %20, and %7F), raw bytes outside RFC 3986
 *     pchar and "/" (a raw backslash, space, quote, non-ASCII byte …), %5C
 *     and %2F inside a segment that would be "..": "..%2f", "%2e%2e%5c"; and
 *     ".." with a parameter ("..;x"), which some backends drop. Any other
 *     ";" is data
 * *unchanged is set when the output equals the input, the common case. */
enum err uri_path_normal(struct str path, char *out, size_t *out_len,
                         bool *unchanged);

/* Valid query bytes (RFC 3986 query, plus the [ ] { } | ^ ` " < > \ that
 * clients send; no controls, spaces, '#', or non-ASCII). A broken escape is
 * fine: a query is forwarded byte for byte. */
bool uri_query_valid(struct str query);

#endif
