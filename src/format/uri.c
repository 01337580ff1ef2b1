/* uri.c - see uri.h.
 *
 * One table of byte classes serves everything. uri_path_normal() runs for
 * every call: its first pass looks each byte up and leaves as soon as it
 * meets something that could change the path; only then a second one, which
 * need not be fast, goes through the segments.
 */
#include "format/uri.h"

#include <arpa/inet.h>
#include <sys/un.h>

enum {
    UNRESERVED = 1, /* letters, digits, - . _ ~ */
    SUB_DELIM = 2,  /* ! $ & ' ( ) * + , ; = */
    COLON_AT = 4,   /* the rest of pchar, but for escapes */
    SLASH = 8,
    LOOK = 16, /* . and %: a path may need the second pass */

    REG_NAME = UNRESERVED | SUB_DELIM,
    PCHAR = UNRESERVED | SUB_DELIM | COLON_AT,
};

static const unsigned char class_of[256] = {
    ['0' ... '9'] = UNRESERVED,
    ['A' ... 'Z'] = UNRESERVED,
    ['a' ... 'z'] = UNRESERVED,
    ['-'] = UNRESERVED,
    ['_'] = UNRESERVED,
    ['~'] = UNRESERVED,
    ['.'] = UNRESERVED | LOOK,
    ['%'] = LOOK,
    ['!'] = SUB_DELIM,
    ['$'] = SUB_DELIM,
    ['&' ... ','] = SUB_DELIM, /* & ' ( ) * + , */
    [';'] = SUB_DELIM,
    ['='] = SUB_DELIM,
    [':'] = COLON_AT,
    ['@'] = COLON_AT,
    ['/'] = SLASH,
};

static inline unsigned class_at(const char *p)
{
    return class_of[(unsigned char)*p];
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = char_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape at p stands for, or -1. */
static int escaped_byte(const char *p, const char *end)
{
    int high, low;

    if (end - p < 3 || *p != '%')
        return -1;
    high = hex_digit(p[1]);
    low = hex_digit(p[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Only bytes of these classes and whole escapes. */
static bool valid_part(struct str s, unsigned classes)
{
    const char *p = s.p, *end = p + s.len;

    while (p < end) {
        if (*p == '%') {
            if (escaped_byte(p, end) < 0)
                return false;
            p += 3;
        } else if (class_at(p++) & classes) {
            continue;
        } else {
            return false;
        }
    }
    return true;
}

static struct str lower(struct arena *a, struct str s)
{
    char *to;

    for (size_t i = 0; i < s.len; i++) {
        if (char_lower(s.p[i]) == s.p[i])
            continue;
        to = arena_raw(a, s.len);
        for (i = 0; i < s.len; i++)
            to[i] = char_lower(s.p[i]);
        return str_from(to, s.len);
    }
    return s;
}

/* The address between brackets. Zones and the syntax for future versions are
 * refused: nothing in a request or a document can mean them. */
static bool valid_ipv6(struct str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (!s.len || s.len >= sizeof(text) || memchr(s.p, '\0', s.len))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

/* Length of the host s begins with; 0 when there is none. Escapes are not
 * taken in a name: no resolver knows them, and two readers of one may see two
 * hosts. */
static size_t host_length(struct str s)
{
    size_t n = 0;

    if (s.len && s.p[0] == '[') {
        n = str_find(s, ']');
        if (n == s.len || !valid_ipv6(str_from(s.p + 1, n - 1)))
            return 0;
        return n + 1;
    }
    while (n < s.len && class_at(s.p + n) & REG_NAME)
        n++;
    return n;
}

enum err authority_parse(struct str text, struct str *host, uint16_t *port)
{
    size_t n = host_length(text);
    uint64_t number = 0;

    if (!n)
        return ERR_INVALID;
    if (n < text.len) {
        if (text.p[n] != ':' ||
            str_to_u64(str_skip(text, n + 1), UINT16_MAX, &number))
            return ERR_INVALID;
    }
    *host = str_head(text, n);
    *port = (uint16_t)number;
    return ERR_OK;
}

/* Length of the scheme s begins with, colon not counted; 0 for none. */
static size_t scheme_length(struct str s)
{
    size_t n = 0;

    while (n < s.len && s.p[n] != ':') {
        char c = char_lower(s.p[n]);
        bool letter = c >= 'a' && c <= 'z';

        if (!letter && (!n || !((c >= '0' && c <= '9') || c == '+' ||
                                c == '-' || c == '.')))
            return 0;
        n++;
    }
    return n < s.len ? n : 0;
}

static uint16_t scheme_port(struct str scheme)
{
    if (str_is(scheme, "http") || str_is(scheme, "ws") || str_is(scheme, "h2c"))
        return 80;
    if (str_is(scheme, "https") || str_is(scheme, "wss") ||
        str_is(scheme, "h2"))
        return 443;
    return 0;
}

/* What follows the authority: the path and the query. */
static enum err parse_rest(struct str rest, struct url *u)
{
    size_t n = str_find(rest, '?');

    u->path = str_head(rest, n);
    u->has_query = n < rest.len;
    if (u->has_query)
        u->query = str_skip(rest, n + 1);
    if (u->path.len && u->path.p[0] != '/')
        return ERR_INVALID;
    if (!valid_part(u->path, PCHAR | SLASH) || !uri_query_valid(u->query))
        return ERR_INVALID;
    return ERR_OK;
}

static enum err parse_unix(struct str text, struct url *u)
{
    struct sockaddr_un address;
    size_t n = 0;

    while (n < text.len &&
           !(text.p[n] == ':' && n + 1 < text.len && text.p[n + 1] == '/'))
        n++;
    u->host = str_head(text, n);
    if (!n || text.p[0] != '/' || n >= sizeof(address.sun_path))
        return ERR_INVALID;
    if (!uri_query_valid(u->host) || str_find(u->host, '?') < n)
        return ERR_INVALID;
    return parse_rest(str_skip(text, n + 1), u);
}

static enum err parse_authority(struct arena *a, struct str text, struct url *u)
{
    size_t at = str_find(text, '@');
    enum err e;

    if (at < text.len) {
        u->userinfo = str_head(text, at);
        text = str_skip(text, at + 1);
        if (!valid_part(u->userinfo, REG_NAME | COLON_AT))
            return ERR_INVALID;
    }
    e = authority_parse(text, &u->host, &u->port);
    if (e)
        return e;
    u->port_given = u->host.len < text.len;
    if (!u->port_given)
        u->port = scheme_port(u->scheme);
    u->ipv6 = u->host.p[0] == '[';
    if (u->ipv6)
        u->host = str_from(u->host.p + 1, u->host.len - 2);
    u->host = lower(a, u->host);
    return ERR_OK;
}

/* Where the path or the query begins. */
static size_t authority_length(struct str s)
{
    size_t n = 0;

    while (n < s.len && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
        n++;
    return n;
}

enum err url_parse(struct arena *a, struct str text, struct url *out)
{
    struct url u = { 0 };
    size_t n = scheme_length(text);
    enum err e;

    if (!n)
        return ERR_INVALID;
    u.scheme = lower(a, str_head(text, n));
    text = str_skip(text, n + 1);
    if (str_is(u.scheme, "unix")) {
        e = parse_unix(text, &u);
    } else {
        if (!str_starts(text, STR("//")))
            return ERR_INVALID;
        text = str_skip(text, 2);
        n = authority_length(text);
        e = parse_authority(a, str_head(text, n), &u);
        if (!e)
            e = parse_rest(str_skip(text, n), &u);
    }
    if (!e)
        *out = u;
    return e;
}

/* Length of an escaped slash or backslash at the start of s, or 0. Escapes are
 * in upper case by now. */
static size_t hidden_slash(struct str s)
{
    return str_starts(s, STR("%2F")) || str_starts(s, STR("%5C")) ? 3 : 0;
}

static bool ends_part(struct str s)
{
    return !s.len || s.p[0] == ';' || hidden_slash(s) ||
           str_starts(s, STR("%3B"));
}

/* Whether a normalized segment holds a ".." for backends that decode slashes
 * before they look for dots, or that drop ";" and what follows it first. */
static bool hides_parent(struct str s)
{
    bool begins = true; /* a part of the segment begins here */

    while (s.len) {
        size_t n = hidden_slash(s);

        if (begins && str_starts(s, STR("..")) && ends_part(str_skip(s, 2)))
            return true;
        begins = n > 0;
        s = str_skip(s, n ? n : 1);
    }
    return false;
}

/* One escape: decoded when it stands for an unreserved character. */
static enum err normal_escape(const char *p, const char *end, char **to)
{
    static const char hex[] = "0123456789ABCDEF";
    int byte = escaped_byte(p, end);

    if (byte < 0x20 || byte == 0x7f)
        return ERR_INVALID;
    if (class_of[byte] & UNRESERVED) {
        *(*to)++ = (char)byte;
        return ERR_OK;
    }
    *(*to)++ = '%';
    *(*to)++ = hex[byte >> 4];
    *(*to)++ = hex[byte & 15];
    return ERR_OK;
}

/* Copies up to the next slash. */
static enum err normal_segment(const char **p, const char *end, char **to)
{
    enum err e;

    while (*p < end && **p != '/') {
        if (**p == '%') {
            e = normal_escape(*p, end, to);
            if (e)
                return e;
            *p += 3;
        } else if (class_at(*p) & PCHAR) {
            *(*to)++ = *(*p)++;
        } else {
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

/* The second pass. A segment is written with the slash before it, looked at,
 * and taken back when it was "." or "..". */
static enum err normal_slow(struct str path, char *out, size_t *out_len)
{
    const char *p = path.p, *end = p + path.len;
    char *to = out;
    enum err e;

    while (p < end) {
        char *slash = to;
        bool last;
        struct str segment;

        *to++ = *p++; /* it is a slash */
        e = normal_segment(&p, end, &to);
        if (e)
            return e;
        last = p == end;
        segment = str_from(slash + 1, (size_t)(to - slash) - 1);
        if (str_eq(segment, STR(".."))) {
            if (slash == out)
                return ERR_INVALID;
            do
                slash--;
            while (*slash != '/');
        } else if (!str_eq(segment, STR("."))) {
            if (hides_parent(segment))
                return ERR_INVALID;
            continue;
        }
        to = slash + last; /* "/a/.." is "/", with its slash */
    }
    *out_len = (size_t)(to - out);
    return ERR_OK;
}

/* Whether the dot at p begins a segment that the second pass must see: ".",
 * or anything from ".." on. */
static inline bool dots(const char *p, const char *end)
{
    return p[-1] == '/' && (p + 1 == end || p[1] == '/' || p[1] == '.');
}

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* Whether all of p[0..16) are letters, digits, '/', '-' or '_': what most
 * paths are made of, and nothing that could change one. */
static inline bool all_simple(const char *p)
{
    bytes16 v, ok;
    uint64_t half[2];

    memcpy(&v, p, 16);
    ok = (bytes16)((v | 0x20) - (uint8_t)'a' < 26) |
         (bytes16)(v - (uint8_t)'/' < 11) | (bytes16)(v == '-') |
         (bytes16)(v == '_');
    memcpy(half, &ok, 16);
    return (half[0] & half[1]) == UINT64_MAX;
}

/* The bytes that p[0..n) begins with and all_simple() allows; seldom fewer. */
static inline size_t simple_bytes(const char *p, size_t n)
{
    size_t at = 0;

    for (; n - at >= 16; at += 16) {
        if (!all_simple(p + at))
            return at;
    }
    return n >= 16 && all_simple(p + n - 16) ? n : at;
}

enum err uri_path_normal(struct str path, char *out, size_t *out_len,
                         bool *unchanged)
{
    const char *p = path.p, *end = p + path.len;
    size_t n;
    enum err e;

    if (!path.len || *p != '/')
        return ERR_INVALID;
    n = simple_bytes(p, path.len);
    for (p += n ? n : 1; p < end; p++) {
        unsigned class = class_at(p);

        if (!(class & LOOK)) {
            if (!class)
                return ERR_INVALID;
        } else if (*p == '%' || dots(p, end)) {
            e = normal_slow(path, out, &n);
            if (e)
                return e;
            *unchanged = str_eq(path, str_from(out, n));
            *out_len = n;
            return ERR_OK;
        }
    }
    memcpy(out, path.p, path.len);
    *out_len = path.len;
    *unchanged = true;
    return ERR_OK;
}

bool uri_query_valid(struct str query)
{
    bool valid = true;

    /* no way out of the loop, so that the compiler can take many at once */
    for (size_t i = 0; i < query.len; i++)
        valid &= query.p[i] > ' ' && query.p[i] < 0x7f && query.p[i] != '#';
    return valid;
}
