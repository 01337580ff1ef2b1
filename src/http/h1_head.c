/* h1_head.c - a whole head becomes a struct message.
 *
 * The hot path of the gateway: one pass over the bytes, sixteen at a time
 * (h1_chars.h), and no work for fields that mean nothing to framing. What
 * RFC 9112 leaves to taste is refused; two parsers that disagree about where
 * a message ends are how requests are smuggled.
 */
#include "http/h1.h"

#include "base/log.h"
#include "format/uri.h"
#include "http/field_table.h"
#include "http/h1_chars.h"

#define HEAD_MIN 16 /* "G / HTTP/1.0" and two CRLF; also what SSE2 needs */
#define METHOD_MAX 32
#define CONNECTION_NAMES_MAX 32
#define KEEP_ALIVE_MAX 86400 /* seconds */
#define LENGTH_MAX (UINT64_MAX >> 1)

/* What a head's fields said, until it is known what it adds up to. */
struct head {
    struct message *m;
    struct h1_error *error;
    const char *begin, *end;
    bool request;
    bool has_host, has_length, chunked, upgrade;
    bool close, persist;    /* Connection was just "close", "keep-alive" */
    uint32_t connection;    /* 1 + index of the first that was more; 0: none */
    struct str host;        /* value of the Host field */
    struct str target_host; /* of an absolute or authority form, parsed */
    uint16_t target_port;
    uint16_t default_port; /* of the scheme of an absolute form */
};

static enum err refuse(struct head *h, uint16_t status, const char *what)
{
    h->error->status = status;
    h->error->what = what;
    return ERR_INVALID;
}

/* ---- fields ---- */

static enum err read_length(struct head *h, struct str value)
{
    uint64_t n = 0;
    size_t i;

    if (h->has_length)
        return refuse(h, 400, "more than one Content-Length");
    h->has_length = true;
    if (value.len == 0)
        return refuse(h, 400, "an empty Content-Length");
    for (i = 0; i < value.len; i++) {
        unsigned digit = (unsigned)(value.p[i] - '0');

        if (digit > 9)
            return refuse(h, 400, "Content-Length is no number");
        if (i >= 18 && n > (LENGTH_MAX - digit) / 10)
            return refuse(h, 400, "Content-Length is too large");
        n = n * 10 + digit;
    }
    h->m->length = n;
    return ERR_OK;
}

static enum err read_coding(struct head *h, struct str value)
{
    if (h->chunked)
        return refuse(h, 400, "more than one Transfer-Encoding");
    if (!str_eq_nocase(value, STR("chunked")))
        return refuse(h, 501, "a transfer coding that is not just chunked");
    h->chunked = true;
    return ERR_OK;
}

static enum err read_host(struct head *h, struct str value)
{
    if (h->has_host)
        return refuse(h, 400, "more than one Host");
    h->has_host = true;
    h->host = value;
    return ERR_OK;
}

static enum err read_expect(struct head *h, struct str value)
{
    if (!str_eq_nocase(value, STR("100-continue")))
        return refuse(h, 417, "an expectation other than 100-continue");
    h->m->expect_continue = true;
    return ERR_OK;
}

static bool lists(struct str value, struct str element)
{
    while (value.p) {
        if (str_eq_nocase(str_trim(str_cut(&value, ',')), element))
            return true;
    }
    return false;
}

/* The one value almost every message has there. Setting 0x20 folds letters;
 * the only other byte it could turn into one of these is a CR into '-', and
 * no value has a CR. */
static bool is_keep_alive(struct str value)
{
    const uint64_t fold = 0x2020202020202020u;
    uint64_t a, b, known_a, known_b;

    if (value.len != 10)
        return false;
    memcpy(&a, value.p, 8);
    memcpy(&b, value.p + 2, 8);
    memcpy(&known_a, "keep-alive", 8);
    memcpy(&known_b, "ep-alive", 8);
    return ((a | fold) ^ known_a) == 0 && ((b | fold) ^ known_b) == 0;
}

#define FIELDS_IN_BOTH                                                      \
    (FIELD_BIT(FIELD_CONTENT_LENGTH) | FIELD_BIT(FIELD_TRANSFER_ENCODING) | \
     FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_UPGRADE) |               \
     FIELD_BIT(FIELD_TRAILER))
#define FIELDS_IN_REQUESTS                                              \
    (FIELDS_IN_BOTH | FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_EXPECT) | \
     FIELD_BIT(FIELD_TE))

/* Only for fields of those two sets. */
static enum err read_special(struct head *h, const struct header *f)
{
    switch (f->id) {
    case FIELD_CONTENT_LENGTH:
        return read_length(h, f->value);
    case FIELD_TRANSFER_ENCODING:
        return read_coding(h, f->value);
    case FIELD_HOST:
        return read_host(h, f->value);
    case FIELD_EXPECT:
        return read_expect(h, f->value);
    case FIELD_CONNECTION:
        if (is_keep_alive(f->value))
            h->persist = true;
        else if (str_eq_nocase(f->value, STR("close")))
            h->close = true;
        else if (!h->connection)
            h->connection = 1 + (uint32_t)(f - h->m->headers);
        break;
    case FIELD_UPGRADE:
        h->upgrade = true;
        break;
    case FIELD_TRAILER:
        h->m->trailers_ok = true;
        break;
    default: /* TE */
        h->m->trailers_ok |= lists(f->value, STR("trailers"));
    }
    return ERR_OK;
}

/* Says what is wrong with the name at s. */
static void refuse_name(struct head *h, const char *s)
{
    const char *at = h1_span_plain(s, H1_TOKEN);

    if (at == s && (*s == ' ' || *s == '\t'))
        refuse(h, 400, "a folded line");
    else if (at == s && *s == ':')
        refuse(h, 400, "a field without a name");
    else if (*at == ' ' || *at == '\t')
        refuse(h, 400, "white space in a field name");
    else if (*at == '\r')
        refuse(h, 400, "a field line without a colon");
    else
        refuse(h, 400, "a bad byte in a field name");
}

#if H1_SSE2

/* Whether v, case folded, is lower[0..n), n from the mask of those bytes.
 * Setting 0x20 could also turn a control into '-' or a digit, hence the second
 * comparison. */
static inline bool same16(__m128i v, const char *lower, unsigned mask)
{
    __m128i folded = _mm_or_si128(v, _mm_set1_epi8(0x20));
    __m128i equal = _mm_cmpeq_epi8(folded, h1_load(lower));
    __m128i printable = _mm_cmpgt_epi8(v, _mm_set1_epi8(0x1f));
    __m128i same = _mm_and_si128(equal, printable);

    return (~(unsigned)_mm_movemask_epi8(same) & mask) == 0;
}

static inline unsigned mask_of(__m128i low, __m128i high)
{
    return (unsigned)_mm_movemask_epi8(low) | (unsigned)_mm_movemask_epi8(high)
                                                  << 16;
}

/* The id of the name in the first len bytes of low and high, which are at p;
 * false when a closer look is needed at whether it is a name at all. One with
 * an id needs no check of its bytes: they were compared. */
static inline bool quick_id(const char *p, __m128i low, __m128i high,
                            size_t len, enum field *id)
{
    enum field candidate = field_candidate(p, len);
    const struct field_key *key = &field_keys[candidate];
    unsigned mask = (1u << len) - 1;

    if (key->len == len && same16(low, key->lower, mask & 0xffff) &&
        (len <= 16 || same16(high, key->lower + 16, mask >> 16))) {
        *id = candidate;
        return true;
    }
    *id = FIELD_OTHER;
    return !(h1_not_name(low) & mask) &&
           (len <= 16 || !(h1_not_name(high) & mask >> 16));
}

/* Name and end of the line at s from its first 32 bytes. False when it is not
 * as simple as most are: then slow_name() decides, also about errors. *stop
 * is where a first byte stands that is not simply part of the value, or the
 * 32nd byte. p: the same bytes, 32 of them readable. */
static inline bool quick_line(const char *s, const char *p, size_t *len,
                              const char **stop, enum field *id)
{
    __m128i low = h1_load(p), high = h1_load(p + 16);
    __m128i colon = _mm_set1_epi8(':'), one = _mm_set1_epi8(1);
    __m128i space = _mm_set1_epi8(0x20);
    unsigned colons =
        mask_of(_mm_cmpeq_epi8(low, colon), _mm_cmpeq_epi8(high, colon));
    /* See h1_not_plain(). */
    unsigned plain = mask_of(_mm_cmpgt_epi8(_mm_add_epi8(low, one), space),
                             _mm_cmpgt_epi8(_mm_add_epi8(high, one), space));

    if (!colons)
        return false;
    *len = (size_t)__builtin_ctz(colons);
    *stop = s + (~plain ? (size_t)__builtin_ctz(~plain) : 32);
    return *len >= FIELD_NAME_MIN && quick_id(p, low, high, *len, id);
}

#endif

/* The name at s: its length, 0 when it is none. Every name with an '_' comes
 * here: quick_id() knows none. */
static size_t slow_name(struct message *m, const char *s, enum field *id)
{
    const char *stop = h1_span_plain(s, H1_TOKEN);

    if (*stop != ':')
        return 0;
    *id = field_id(str_from(s, (size_t)(stop - s)));
    m->underscores |= memchr(s, '_', (size_t)(stop - s)) != NULL;
    return (size_t)(stop - s);
}

/* In a value; one comparison for what is almost always there. */
static inline bool is_white(char c)
{
    return (unsigned char)c <= ' ' && (c == ' ' || c == '\t');
}

static inline bool is_crlf(const char *p)
{
    return memcmp(p, "\r\n", 2) == 0;
}

/* One line: s to behind its CRLF. A span always stops at the head's last CRLF
 * at the latest, so *s and s[1] are readable everywhere here. p: where to read
 * 32 bytes from s on, or NULL. Returns NULL when the line is refused. */
static inline const char *read_field(struct head *h, const char *s,
                                     const char *p, struct header *f,
                                     enum field *id)
{
    const char *from, *stop = s;
    size_t len = 0;

#if H1_SSE2
    if (!p || !quick_line(s, p, &len, &stop, id))
        len = slow_name(h->m, s, id);
#else
    len = slow_name(h->m, s, id);
    (void)p;
#endif
    if (len == 0) {
        refuse_name(h, s);
        return NULL;
    }
    f->name = str_from(s, len);
    from = s + len + 1;
    from += *from == ' ';
    while (is_white(*from))
        from++;
    if (stop < from || !is_crlf(stop)) {
        stop = h1_value_end(stop < from ? from : stop, h->end);
        if (!is_crlf(stop)) {
            refuse(h, 400, "a bad byte in a field value");
            return NULL;
        }
    }
    s = stop + 2;
    while (is_white(stop[-1]) && stop > from)
        stop--;
    f->value = str_from(from, (size_t)(stop - from));
    return s;
}

/* The last 32 bytes of a head once more, with room behind them: there a line
 * near the end is looked at 32 bytes at a time as well. */
struct tail {
    char bytes[64];
};

static inline const char *in_tail(struct tail *t, const char *s,
                                  const struct head *h)
{
    size_t left = (size_t)(h->end - s);

    if (h->end - h->begin < 32)
        return NULL;
    memcpy(t->bytes, h->end - 32, 32);
    memset(t->bytes + 32, 0, 32);
    return t->bytes + 32 - left;
}

/* All lines from s on, and the empty one. */
static enum err read_fields(struct head *h, const char *s)
{
    struct message *m = h->m;
    const uint64_t special = h->request ? FIELDS_IN_REQUESTS : FIELDS_IN_BOTH;
    const uint64_t notable = special | FIELDS_HOP_BY_HOP;
    struct header *f = m->headers;
    const char *end = h->end;
    struct tail tail;
    uint32_t count = 0, room = m->capacity;

    for (; *s != '\r'; f++) {
        enum field id;
        enum err e;

        if (count == room)
            return refuse(h, 431, "too many fields");
        s = read_field(h, s, end - s < 32 ? in_tail(&tail, s, h) : s, f, &id);
        if (!s)
            return ERR_INVALID;
        count++;
        f->id = (uint16_t)id;
        f->hop = false;
        if (id == FIELD_OTHER)
            continue;
        if (!m->first[id] && count <= UINT8_MAX)
            m->first[id] = (uint8_t)count;
        if (!(notable >> id & 1))
            continue;
        f->hop = FIELDS_HOP_BY_HOP >> id & 1;
        if (special >> id & 1 && (e = read_special(h, f)))
            return e;
    }
    m->count = count;
    if (s + 2 != end)
        return refuse(h, 400, "bytes behind the empty line");
    return ERR_OK;
}

/* ---- Connection ---- */

/* Naming one of these would make a proxy drop what others rely on: a known
 * attack, so they stay. */
static bool cannot_be_named(struct str name, enum field id)
{
    static const uint64_t kept =
        FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_CONTENT_LENGTH) |
        FIELD_BIT(FIELD_CONTENT_TYPE) | FIELD_BIT(FIELD_AUTHORIZATION) |
        FIELD_BIT(FIELD_ACTIVITYID) | FIELD_BIT(FIELD_FORWARDED) |
        FIELD_BIT(FIELD_VIA) | FIELD_BIT(FIELD_DATE) |
        FIELD_BIT(FIELD_LOCATION) | FIELD_BIT(FIELD_X_FORWARDED_FOR) |
        FIELD_BIT(FIELD_X_FORWARDED_HOST) | FIELD_BIT(FIELD_X_FORWARDED_PORT) |
        FIELD_BIT(FIELD_X_FORWARDED_PROTO);
    static const struct str prefix = { "x-forwarded-", 12 };

    return kept >> id & 1 ||
           (id == FIELD_OTHER &&
            str_eq_nocase(str_head(name, prefix.len), prefix));
}

static void mark_hop(struct message *m, struct str name)
{
    enum field id = field_id(name);
    uint32_t i;

    if (cannot_be_named(name, id))
        return;
    for (i = 0; i < m->count; i++) {
        struct header *f = &m->headers[i];

        if (f->id == id && (id != FIELD_OTHER || str_eq_nocase(f->name, name)))
            f->hop = true;
    }
}

struct connection {
    bool close, keep_alive, upgrade;
    unsigned names;
};

static enum err read_connection(struct head *h, struct str value,
                                struct connection *c)
{
    while (value.p) {
        struct str name = str_trim(str_cut(&value, ','));
        size_t i;

        if (name.len == 0)
            continue;
        for (i = 0; i < name.len; i++) {
            if (!h1_is(name.p[i], H1_TOKEN))
                return refuse(h, 400, "Connection is no list of tokens");
        }
        if (++c->names > CONNECTION_NAMES_MAX)
            return refuse(h, 400, "Connection names too many fields");
        if (str_eq_nocase(name, STR("close")))
            c->close = true;
        else if (str_eq_nocase(name, STR("keep-alive")))
            c->keep_alive = true;
        else if (str_eq_nocase(name, STR("upgrade")))
            c->upgrade = true;
        else
            mark_hop(h->m, name);
    }
    return ERR_OK;
}

static enum err read_connections(struct head *h, struct connection *c)
{
    uint32_t i;

    for (i = h->connection - 1; i < h->m->count; i++) {
        const struct header *f = &h->m->headers[i];
        enum err e;

        if (f->id != FIELD_CONNECTION)
            continue;
        e = read_connection(h, f->value, c);
        if (e)
            return e;
    }
    return ERR_OK;
}

static inline enum err apply_connection(struct head *h)
{
    struct message *m = h->m;
    struct connection c = { .close = h->close, .keep_alive = h->persist };
    enum err e;

    if (h->connection && (e = read_connections(h, &c)))
        return e;
    m->keep_alive = !c.close && (m->minor == 1 || c.keep_alive);
    m->upgrade = c.upgrade && h->upgrade && m->minor == 1;
    return ERR_OK;
}

/* ---- first lines ---- */

/* p[0..8): sets the minor version; 0, or the status to refuse it with. */
static uint16_t read_version(const char *p, uint8_t *minor)
{
    if (memcmp(p, "HTTP/1.1", 8) == 0 || memcmp(p, "HTTP/1.0", 8) == 0) {
        *minor = (uint8_t)(p[7] - '0');
        return 0;
    }
    if (memcmp(p, "HTTP/", 5) == 0 && p[5] >= '0' && p[5] <= '9' &&
        p[6] == '.' && p[7] >= '0' && p[7] <= '9')
        return 505;
    return 400;
}

static enum err take_authority(struct head *h, struct str text)
{
    if (authority_parse(text, &h->target_host, &h->target_port))
        return refuse(h, 400, "a bad authority in the request target");
    h->m->authority = text;
    return ERR_OK;
}

static enum err take_absolute(struct head *h, struct str text)
{
    struct message *m = h->m;
    size_t slash;
    enum err e;

    if (str_eq_nocase(str_head(text, 7), STR("http://"))) {
        h->default_port = 80;
        text = str_skip(text, 7);
    } else if (str_eq_nocase(str_head(text, 8), STR("https://"))) {
        h->default_port = 443;
        text = str_skip(text, 8);
    } else {
        return refuse(h, 400, "a request target of no known form");
    }
    slash = str_find(text, '/');
    e = take_authority(h, str_head(text, slash));
    if (e)
        return e;
    m->path = str_skip(text, slash);
    if (m->path.len == 0) /* RFC 9112 sections 3.2.1 and 3.2.4 */
        m->path =
            m->method == METHOD_OPTIONS && !m->has_query ? STR("*") : STR("/");
    return ERR_OK;
}

/* text: the target up to its '?'. */
static enum err take_target(struct head *h, struct str text)
{
    struct message *m = h->m;

    if (m->method == METHOD_CONNECT) {
        enum err e;

        if (m->has_query)
            return refuse(h, 400, "CONNECT wants an authority");
        e = take_authority(h, text);
        if (!e && h->target_port == 0)
            return refuse(h, 400, "CONNECT wants a port");
        return e;
    }
    if (text.len > 0 && text.p[0] == '/') {
        m->path = text;
        return ERR_OK;
    }
    if (str_is(text, "*")) {
        if (m->method != METHOD_OPTIONS || m->has_query)
            return refuse(h, 400, "* is for OPTIONS only");
        m->path = text;
        return ERR_OK;
    }
    return take_absolute(h, text);
}

/* METHOD SP target SP version CRLF. */
static enum err read_request_line(struct head *h, const char *p,
                                  const char **fields)
{
    struct message *m = h->m;
    const char *stop = h1_span_plain(p, H1_TOKEN), *s;
    struct str before_query;
    uint16_t status;

    h->error->alien = false;
    if (stop == p || *stop != ' ')
        return refuse(h, 400, "a bad method");
    if (stop - p > METHOD_MAX)
        return refuse(h, 501, "the method is too long");
    m->method_text = str_from(p, (size_t)(stop - p));
    m->method = method_id(m->method_text);

    s = stop + 1;
    stop = h1_path_end(s, h->end);
    before_query = str_from(s, (size_t)(stop - s));
    if (*stop == '?') {
        const char *query = stop + 1;

        stop = h1_target_end(query, h->end);
        m->query = str_from(query, (size_t)(stop - query));
        m->has_query = true;
    }
    if (stop == s || *stop != ' ')
        return refuse(h, 400, "a bad byte in the request target");
    m->target = str_from(s, (size_t)(stop - s));

    s = stop + 1;
    h->error->alien =
        m->target.p[0] != '/' && (h->end - s < 5 || memcmp(s, "HTTP/", 5) != 0);
    if (h->end - s < 12)
        return refuse(h, 400, "no HTTP version");
    status = read_version(s, &m->minor);
    if (status == 400 || s[8] != '\r' || s[9] != '\n')
        return refuse(h, 400, "a bad HTTP version");
    if (status)
        return refuse(h, status, "an HTTP version we do not speak");
    *fields = s + 10;
    return take_target(h, before_query);
}

/* version SP 3DIGIT SP reason CRLF. */
static enum err read_status_line(struct head *h, const char *p,
                                 const char **fields)
{
    struct message *m = h->m;
    const char *stop, *from;
    uint16_t refused = read_version(p, &m->minor);
    unsigned i, status = 0;

    if (refused)
        return refuse(h, refused, "a bad HTTP version");
    if (p[8] != ' ')
        return refuse(h, 400, "a bad status line");
    for (i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9')
            return refuse(h, 400, "a status that is not three digits");
        status = status * 10 + (unsigned)(p[i] - '0');
    }
    m->status = (uint16_t)status;
    if (m->status < 100 || m->status > 599)
        return refuse(h, 400, "a status out of range");
    /* Some servers leave out the space when there is no reason. */
    from = p[12] == ' ' ? p + 13 : p + 12;
    stop = h1_value_end(from, h->end);
    if (stop[0] != '\r' || stop[1] != '\n' || (stop > from && p[12] != ' '))
        return refuse(h, 400, "a bad byte in the status line");
    m->reason = str_from(from, (size_t)(stop - from));
    *fields = stop + 2;
    return ERR_OK;
}

/* ---- whole heads ---- */

static inline enum err begin(struct head *h, const char *p, size_t len)
{
    struct message *m = h->m;

    if (len < HEAD_MIN)
        return refuse(h, 400, "a head that is too short");
    must(memcmp(p + len - 4, "\r\n\r\n", 4) == 0);
    h->begin = p;
    h->end = p + len;
    *m = (struct message) { .headers = m->headers,
                            .capacity = m->capacity,
                            .major = 1 };
    return ERR_OK;
}

static inline enum err check_coding(struct head *h)
{
    if (h->chunked && h->has_length)
        return refuse(h, 400, "Content-Length beside Transfer-Encoding");
    if (h->chunked && h->m->minor == 0)
        return refuse(h, 400, "Transfer-Encoding in HTTP/1.0");
    return ERR_OK;
}

/* There must be one valid Host, and not another one than in the target. */
static enum err check_host(struct head *h)
{
    struct message *m = h->m;
    struct str host;
    uint16_t port;

    if (!h->has_host) {
        if (m->minor == 1)
            return refuse(h, 400, "no Host");
        return ERR_OK;
    }
    if (authority_parse(h->host, &host, &port))
        return refuse(h, 400, "a bad Host");
    if (!m->authority.p) {
        m->authority = h->host;
        return ERR_OK;
    }
    if ((port ? port : h->default_port) !=
            (h->target_port ? h->target_port : h->default_port) ||
        !str_eq_nocase(host, h->target_host))
        return refuse(h, 400, "Host and request target differ");
    return ERR_OK;
}

enum err h1_parse_request(const char *p, size_t len, struct message *m,
                          struct h1_error *error)
{
    struct head h = { .m = m, .error = error, .request = true };
    const char *fields;
    enum err e = begin(&h, p, len);

    if (e || (e = read_request_line(&h, p, &fields)) ||
        (e = read_fields(&h, fields)) || (e = check_coding(&h)) ||
        (e = apply_connection(&h)) || (e = check_host(&h)))
        return e;
    m->expect_continue = m->expect_continue && m->minor == 1;
    if (h.chunked)
        m->body = BODY_CHUNKED;
    else if (h.has_length)
        m->body = BODY_LENGTH;
    return ERR_OK;
}

/* RFC 9112 section 6.3, rules 1 and 2. */
static bool has_no_body(const struct message *m, enum method method)
{
    return method == METHOD_HEAD || m->status < 200 || m->status == 204 ||
           m->status == 304 || (method == METHOD_CONNECT && m->status < 300);
}

enum err h1_parse_response(const char *p, size_t len, enum method method,
                           struct message *m, struct h1_error *error)
{
    struct head h = { .m = m, .error = error };
    const char *fields;
    enum err e = begin(&h, p, len);

    if (e || (e = read_status_line(&h, p, &fields)) ||
        (e = read_fields(&h, fields)) || (e = check_coding(&h)) ||
        (e = apply_connection(&h)))
        return e;
    if (has_no_body(m, method)) {
        m->length = 0;
    } else if (h.chunked) {
        m->body = BODY_CHUNKED;
    } else if (h.has_length) {
        m->body = BODY_LENGTH;
    } else {
        m->body = BODY_CLOSE;
        m->keep_alive = false;
    }
    return ERR_OK;
}

unsigned h1_keep_alive_timeout(const struct message *m)
{
    struct str rest = message_value(m, FIELD_KEEP_ALIVE);

    while (rest.p) {
        struct str value = str_cut(&rest, ',');
        struct str name = str_trim(str_cut(&value, '='));
        uint64_t seconds = KEEP_ALIVE_MAX;
        enum err e;

        if (!str_eq_nocase(name, STR("timeout")))
            continue;
        e = str_to_u64(str_trim(value), KEEP_ALIVE_MAX, &seconds);
        if (!e || e == ERR_LIMIT)
            return (unsigned)seconds;
    }
    return 0;
}
