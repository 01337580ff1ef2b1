/* access_line.c - see access_line.h. Every call pays for this, so nothing here
 * formats through printf, and plain text is copied eight bytes at a time.
 */
#include "gateway/access_line.h"

#if defined(__SSE2__) && !defined(H1_PLAIN)
#include <emmintrin.h>
#endif

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

enum {
    FORMAT_MAX = 2048, /* bytes of a format */
    TOKENS_MAX = 128,
    NAME_MAX_BYTES = 128, /* of %{name}i */

    /* Ceilings of escaped values. Those of a JSON line add up to less than a
     * line, so that it is never cut and stays JSON. */
    MAX_TARGET = 3072,
    MAX_AGENT = 512,
    MAX_TEXT = 512,
    MAX_SHORT = 128,
    JSON_MAX = MAX_TARGET + MAX_AGENT + 5 * MAX_TEXT + 4 * MAX_SHORT,
};
_Static_assert(JSON_MAX + 1024 < ACCESS_LOG_LINE, "names and numbers too");

/* Writing a line. What does not fit is left out, and cut says so. */

struct line {
    char *p, *end;
    bool json; /* how values are escaped */
    bool cut;
};

static inline void put(struct line *l, const char *p, size_t n)
{
    if (n > (size_t)(l->end - l->p)) {
        l->cut = true;
        return;
    }
    memcpy(l->p, p, n);
    l->p += n;
}

#define PUT(line, literal) put(line, literal, sizeof(literal) - 1)

static inline unsigned digits_of(uint64_t n)
{
    static const uint64_t powers[] = {
        0,
        10ull,
        100ull,
        1000ull,
        10000ull,
        100000ull,
        1000000ull,
        10000000ull,
        100000000ull,
        1000000000ull,
        10000000000ull,
        100000000000ull,
        1000000000000ull,
        10000000000000ull,
        100000000000000ull,
        1000000000000000ull,
        10000000000000000ull,
        100000000000000000ull,
        1000000000000000000ull,
        10000000000000000000ull,
    };
    unsigned bits = 64 - (unsigned)__builtin_clzll(n | 1);
    unsigned least = bits * 1233 >> 12; /* times log10(2) */

    return least + (n >= powers[least]);
}

static inline void put_u64(struct line *l, uint64_t n)
{
    unsigned digits = n ? digits_of(n) : 1;
    char *p = l->p + digits;

    if (digits > (size_t)(l->end - l->p)) {
        l->cut = true;
        return;
    }
    l->p = p;
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
}

/* Escaping. Plain bytes are printable ASCII but quote and backslash; the same
 * ones for JSON and for text. */

#define EACH(byte) (0x0101010101010101ull * (byte))

/* Not 0 when one of eight bytes is not plain. The subtractions borrow across
 * bytes only from one that is not plain itself. */
static inline uint64_t not_plain(uint64_t x)
{
    return (x | (x + EACH(1)) | (x - EACH(0x20)) | ((x ^ EACH('"')) - EACH(1)) |
            ((x ^ EACH('\\')) - EACH(1))) &
           EACH(0x80);
}

static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static char hex_digit(unsigned n)
{
    return "0123456789abcdef"[n & 15];
}

static void put_hex(struct line *l, unsigned char c)
{
    char text[4] = { '\\', 'x', hex_digit(c >> 4), hex_digit(c) };

    put(l, text, sizeof(text));
}

static void put_json_ascii(struct line *l, unsigned char c)
{
    char text[6] = { '\\', 'u', '0', '0', hex_digit(c >> 4), hex_digit(c) };

    if (c == '"' || c == '\\') {
        text[1] = (char)c;
        put(l, text, 2);
    } else {
        put(l, text, sizeof(text));
    }
}

/* The first character of s, which is not plain; returns its bytes. */
static size_t put_special(struct line *l, struct str s)
{
    uint32_t code = 0;
    size_t n;

    if (!l->json) {
        put_hex(l, (unsigned char)s.p[0]);
        return 1;
    }
    n = utf8_next(s, &code);
    if (!n)
        put(l, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT));
    else if (code < 0xa0) /* C1 controls move a terminal's cursor too */
        put_json_ascii(l, (unsigned char)code);
    else
        put(l, s.p, n);
    return n ? n : 1;
}

/* Up to the first special character, and that. */
static struct str put_slowly(struct line *l, struct str s)
{
    size_t n = 0;

    while (n < s.len && is_plain((unsigned char)s.p[n]))
        n++;
    if (n > (size_t)(l->end - l->p)) {
        n = (size_t)(l->end - l->p);
        l->cut = true;
    }
    put(l, s.p, n);
    s = str_skip(s, n);
    if (s.len && !l->cut)
        s = str_skip(s, put_special(l, s));
    return s;
}

/* Copying plain text. Each of these copies n bytes when they are all plain,
 * which for the last ones of a text means some of them twice. */

static inline bool copy_few(char *out, const char *p, size_t n) /* 1 to 3 */
{
    uint32_t x = (uint32_t)(unsigned char)p[0] << 16 |
                 (uint32_t)(unsigned char)p[n / 2] << 8 |
                 (unsigned char)p[n - 1];

    if (not_plain(x | EACH('a') << 24))
        return false;
    out[0] = p[0];
    out[n / 2] = p[n / 2];
    out[n - 1] = p[n - 1];
    return true;
}

static inline bool copy_4_to_8(char *out, const char *p, size_t n)
{
    uint32_t head, tail;

    memcpy(&head, p, 4);
    memcpy(&tail, p + n - 4, 4);
    if (not_plain((uint64_t)head << 32 | tail))
        return false;
    memcpy(out, &head, 4);
    memcpy(out + n - 4, &tail, 4);
    return true;
}

/* Sixteen bytes, eight from each of two places. */
static inline bool copy_16(char *out, char *out2, const char *p, const char *p2)
{
    uint64_t x, y;
    bool plain;

    memcpy(&x, p, 8);
    memcpy(&y, p2, 8);
#if defined(__SSE2__) && !defined(H1_PLAIN)
    {
        __m128i v = _mm_set_epi64x((int64_t)y, (int64_t)x);
        __m128i bad = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));

        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
        /* As signed numbers those from 0x80 on are small, too. */
        bad = _mm_or_si128(bad, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)));
        plain = !_mm_movemask_epi8(bad);
    }
#else
    plain = !(not_plain(x) | not_plain(y));
#endif
    if (plain) {
        memcpy(out, &x, 8);
        memcpy(out2, &y, 8);
    }
    return plain;
}

/* Copies text as far as it is plain, or a little less; returns how far. */
static inline size_t copy_plain(char *out, const char *p, size_t n)
{
    size_t i;

    if (n < 4)
        return copy_few(out, p, n) ? n : 0;
    if (n < 8)
        return copy_4_to_8(out, p, n) ? n : 0;
    for (i = 0; i + 16 <= n; i += 16)
        if (!copy_16(out + i, out + i + 8, p + i, p + i + 8))
            return i;
    if (i == n)
        return n;
    if (i == 0)
        return copy_16(out, out + n - 8, p, p + n - 8) ? n : 0;
    out += n - 16;
    p += n - 16;
    return copy_16(out, out + 8, p, p + 8) ? n : i;
}

/* From the n-th byte on, which may not be plain or not fit. */
static __attribute__((noinline)) void escape_rest(struct line *l, struct str s,
                                                  size_t n)
{
    for (;;) {
        l->p += n;
        s = str_skip(s, n);
        if (!s.len || l->cut)
            return;
        s = put_slowly(l, s);
        n = 0;
        if (s.len && s.len <= (size_t)(l->end - l->p))
            n = copy_plain(l->p, s.p, s.len);
    }
}

/* Most texts are plain and fit: that way saves no registers. */
static void put_escaped(struct line *l, struct str s)
{
    size_t n = 0;

    if (!s.len)
        return;
    if (s.len <= (size_t)(l->end - l->p))
        n = copy_plain(l->p, s.p, s.len);
    if (n == s.len)
        l->p += n;
    else
        escape_rest(l, s, n);
}

/* Secrets in queries */

enum { PARAMETER_MAX = 16 }; /* the longest of them */

/* By length, in lower case, "-" and "_" alike. */
static const char *const secret_parameters[PARAMETER_MAX + 1][3] = {
    [3] = { "jwt", "pwd" },
    [4] = { "code" },
    [5] = { "token" },
    [6] = { "apikey", "secret", "passwd" },
    [7] = { "api_key" },
    [8] = { "password", "id_token" },
    [9] = { "assertion", "x_api_key" },
    [12] = { "access_token", "internal_key" },
    [13] = { "refresh_token", "client_secret" },
    [16] = { "client_assertion", "subscription_key" },
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = char_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A parameter's name as a backend will read it: decoded and in lower case.
 * Returns its length, or more than PARAMETER_MAX. */
static size_t parameter_name(struct str s, char out[PARAMETER_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < s.len && n <= PARAMETER_MAX; i++, n++) {
        char c = s.p[i];

        if (c == '%' && i + 2 < s.len && hex_value(s.p[i + 1]) >= 0 &&
            hex_value(s.p[i + 2]) >= 0) {
            c = (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
            i += 2;
        }
        if (n < PARAMETER_MAX)
            out[n] = c == '-' ? '_' : char_lower(c);
    }
    return n;
}

static bool is_secret_parameter(struct str name)
{
    char text[PARAMETER_MAX];
    size_t n;

    if (name.len < 3 || name.len > 3 * PARAMETER_MAX)
        return false;
    n = parameter_name(name, text);
    if (n > PARAMETER_MAX)
        return false;
    for (size_t i = 0; i < 3 && secret_parameters[n][i]; i++)
        if (memcmp(secret_parameters[n][i], text, n) == 0)
            return true;
    return false;
}

static inline bool ends_parameter(char c)
{
    static const bool ends[256] = {
        ['&'] = true, [';'] = true, ['?'] = true, ['#'] = true
    };

    return ends[(unsigned char)c];
}

/* What is behind the "?" or "#" of a reference: everything but the values of
 * secret parameters, which are searched for between all that may separate
 * parameters somewhere. */
static void put_query(struct line *l, struct str s)
{
    size_t from = 0, name = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (ends_parameter(s.p[i])) {
            name = i + 1;
            continue;
        }
        if (s.p[i] != '=')
            continue;
        i++;
        if (is_secret_parameter(str_from(s.p + name, i - 1 - name))) {
            put_escaped(l, str_from(s.p + from, i - from));
            PUT(l, "***");
            while (i < s.len && !ends_parameter(s.p[i]))
                i++;
            from = i;
        } else {
            while (i < s.len && !ends_parameter(s.p[i]))
                i++;
        }
        name = i + 1;
    }
    put_escaped(l, str_skip(s, from));
}

/* A reference (a target, a Referer), or any text that may hold one. */
static void put_reference(struct line *l, struct str s)
{
    const char *mark = s.len ? memchr(s.p, '?', s.len) : NULL;
    size_t path = mark ? (size_t)(mark - s.p) : s.len;

    mark = path ? memchr(s.p, '#', path) : NULL;
    if (mark)
        path = (size_t)(mark - s.p);
    put_escaped(l, str_head(s, path));
    if (path < s.len)
        put_query(l, str_skip(s, path));
}

/* Values with a ceiling; what is cut ends in three dots. */

static void value(struct line *l, struct str s, size_t max,
                  void (*put_it)(struct line *l, struct str s))
{
    char *end = l->end;
    bool before = l->cut, cut;

    if (s.len <= max / 6) { /* an escape is at most six bytes */
        put_it(l, s);
        return;
    }
    if (max + 3 <= (size_t)(end - l->p))
        l->end = l->p + max;
    l->cut = false;
    put_it(l, s);
    cut = l->cut;
    l->end = end;
    l->cut = before;
    if (cut)
        PUT(l, "...");
}

/* Time */

static void clock_set(struct access_clock *c, uint64_t second)
{
    char date[30]; /* "Sat, 21 Nov 2026 08:00:00 GMT" */

    c->second = second;
    clock_iso8601(second * 1000000, c->iso);
    clock_http_date(second * 1000000, date);
    memcpy(c->common, "[dd/mmm/yyyy:hh:mm:ss +0000]", sizeof(c->common));
    memcpy(c->common + 1, date + 5, 2);
    memcpy(c->common + 4, date + 8, 3);
    memcpy(c->common + 8, date + 12, 4);
    memcpy(c->common + 13, date + 17, 8);
}

static inline void clock_at(struct access_clock *c, uint64_t wall_us)
{
    uint64_t second = wall_us / 1000000;
    unsigned ms = (unsigned)(wall_us % 1000000) / 1000;

    if (c->second != second || !c->iso[0])
        clock_set(c, second);
    c->iso[20] = (char)('0' + ms / 100);
    c->iso[21] = (char)('0' + ms / 10 % 10);
    c->iso[22] = (char)('0' + ms % 10);
}

/* JSON. Keys come with what is around them, so they are copied in one go. */

static inline void json_text(struct line *l, const char *key, struct str s,
                             size_t max)
{
    if (!s.len)
        return;
    put(l, key, strlen(key));
    value(l, s, max, put_escaped);
    PUT(l, "\"");
}

static inline void json_u64(struct line *l, const char *key, uint64_t n)
{
    put(l, key, strlen(key));
    put_u64(l, n);
}

static void json_line(struct line *l, const struct access_entry *e,
                      const struct access_clock *c)
{
    PUT(l, "{\"time\":\"");
    put(l, c->iso, 24);
    PUT(l, "\"");
    json_text(l, ",\"client\":\"", e->client, MAX_SHORT);
    json_text(l, ",\"method\":\"", e->method, MAX_SHORT);
    PUT(l, ",\"target\":\"");
    value(l, e->target, MAX_TARGET, put_reference);
    if (e->minor)
        PUT(l, "\",\"protocol\":\"HTTP/1.1\"");
    else
        PUT(l, "\",\"protocol\":\"HTTP/1.0\"");
    json_u64(l, ",\"status\":", e->status);
    json_u64(l, ",\"bytes_in\":", e->bytes_in);
    json_u64(l, ",\"bytes_out\":", e->bytes_out);
    json_u64(l, ",\"duration_us\":", e->duration_us);
    if (e->upstream_us)
        json_u64(l, ",\"upstream_us\":", e->upstream_us);
    json_text(l, ",\"activityid\":\"", e->activityid, MAX_TEXT);
    json_text(l, ",\"api\":\"", e->api, MAX_TEXT);
    json_text(l, ",\"version\":\"", e->version, MAX_SHORT);
    json_text(l, ",\"operation\":\"", e->operation, MAX_TEXT);
    json_text(l, ",\"endpoint\":\"", e->endpoint, MAX_TEXT);
    if (e->retries)
        json_u64(l, ",\"retries\":", e->retries);
    json_text(l, ",\"user\":\"", e->user, MAX_TEXT);
    json_text(l, ",\"refusal\":\"", e->refusal, MAX_SHORT);
    if (e->request)
        json_text(l, ",\"user_agent\":\"",
                  message_value(e->request, FIELD_USER_AGENT), MAX_AGENT);
    PUT(l, "}");
}

/* Formats */

enum token_kind {
    TOKEN_LITERAL,
    TOKEN_DASH,
    TOKEN_TEXT,    /* a struct str of the entry */
    TOKEN_WORD,    /* the same, in which a space would look like an end */
    TOKEN_U64,     /* a uint64_t of the entry */
    TOKEN_SECONDS, /* the same in microseconds, as whole seconds */
    TOKEN_LENGTH,  /* the same, "-" for 0 */
    TOKEN_TIME,
    TOKEN_REQUEST_LINE,
    TOKEN_PATH,
    TOKEN_QUERY,
    TOKEN_PROTOCOL,
    TOKEN_STATUS,
    TOKEN_RETRIES,
    TOKEN_REQUEST_HEADER,
    TOKEN_REPLY_HEADER,
};

struct token {
    enum token_kind kind;
    size_t at;       /* offset in struct access_entry; of a header its id */
    struct str text; /* literal, name of a header */
    bool secret;     /* show only whether there is such a header */
};

struct access_log_format {
    bool json;
    size_t count;
    struct token tokens[TOKENS_MAX];
    char text[]; /* the format, which tokens point into */
};

struct token_name {
    const char *name;
    enum token_kind kind;
    size_t at;
};

#define ENTRY(field) offsetof(struct access_entry, field)

static const struct token_name letters[] = {
    { "h", TOKEN_WORD, ENTRY(client) },
    { "l", TOKEN_DASH, 0 },
    { "u", TOKEN_WORD, ENTRY(user) },
    { "t", TOKEN_TIME, 0 },
    { "r", TOKEN_REQUEST_LINE, 0 },
    { "m", TOKEN_TEXT, ENTRY(method) },
    { "U", TOKEN_PATH, 0 },
    { "q", TOKEN_QUERY, 0 },
    { "H", TOKEN_PROTOCOL, 0 },
    { "s", TOKEN_STATUS, 0 },
    { "b", TOKEN_LENGTH, ENTRY(bytes_out) },
    { "B", TOKEN_U64, ENTRY(bytes_out) },
    { "D", TOKEN_U64, ENTRY(duration_us) },
    { "T", TOKEN_SECONDS, ENTRY(duration_us) },
    { NULL, TOKEN_LITERAL, 0 },
};

/* %{name}x */
static const struct token_name names[] = {
    { "activityid", TOKEN_WORD, ENTRY(activityid) },
    { "api", TOKEN_TEXT, ENTRY(api) },
    { "version", TOKEN_TEXT, ENTRY(version) },
    { "operation", TOKEN_TEXT, ENTRY(operation) },
    { "endpoint", TOKEN_TEXT, ENTRY(endpoint) },
    { "retries", TOKEN_RETRIES, 0 },
    { "upstream_us", TOKEN_U64, ENTRY(upstream_us) },
    { "bytes_in", TOKEN_U64, ENTRY(bytes_in) },
    { "refusal", TOKEN_TEXT, ENTRY(refusal) },
    { NULL, TOKEN_LITERAL, 0 },
};

static const struct token_name *token_find(const struct token_name *table,
                                           struct str name)
{
    for (; table->name; table++)
        if (str_is(name, table->name))
            return table;
    return NULL;
}

/* Parts of names of headers that carry credentials. */
static const struct str secret_headers[] = {
    STR("authorization"), STR("cookie"),    STR("apikey"),
    STR("api-key"),       STR("api_key"),   STR("internal-key"),
    STR("jwt"),           STR("token"),     STR("secret"),
    STR("passw"),         STR("assertion"), STR("credential"),
    STR("session"),       STR("signature"), STR("subscription-key"),
};

static bool is_secret_header(struct str name)
{
    for (size_t i = 0; i < sizeof(secret_headers) / sizeof(struct str); i++) {
        struct str part = secret_headers[i];

        for (size_t at = 0; at + part.len <= name.len; at++)
            if (str_eq_nocase(str_from(name.p + at, part.len), part))
                return true;
    }
    return false;
}

/* Lines of a text format */

static const void *entry_at(const struct access_entry *e, size_t at)
{
    return (const char *)e + at;
}

static struct str entry_text(const struct access_entry *e, size_t at)
{
    return *(const struct str *)entry_at(e, at);
}

static uint64_t entry_u64(const struct access_entry *e, size_t at)
{
    return *(const uint64_t *)entry_at(e, at);
}

static void put_word(struct line *l, struct str s)
{
    while (s.p) {
        put_escaped(l, str_cut(&s, ' '));
        if (s.p)
            PUT(l, "\\x20");
    }
}

static void text_value(struct line *l, struct str s, size_t max,
                       void (*put_it)(struct line *l, struct str s))
{
    if (s.len)
        value(l, s, max, put_it);
    else
        PUT(l, "-");
}

static void put_request_line(struct line *l, const struct access_entry *e)
{
    text_value(l, e->method, MAX_SHORT, put_escaped);
    PUT(l, " ");
    text_value(l, e->target, MAX_TARGET, put_reference);
    PUT(l, " HTTP/1.");
    put_u64(l, e->minor);
}

static void put_header(struct line *l, const struct token *t,
                       const struct message *m)
{
    const struct header *h = NULL;

    if (m)
        h = t->at ? message_get(m, (enum field)t->at)
                  : message_find(m, t->text);
    if (h && t->secret)
        PUT(l, "(redacted)");
    else
        text_value(l, h ? h->value : STR_NULL, ACCESS_LOG_VALUE - 3,
                   put_reference);
}

static size_t path_length(const struct access_entry *e)
{
    return str_find(e->target, '?');
}

/* Tokens with a value that is not just a field of the entry. */
static void put_made(struct line *l, const struct token *t,
                     const struct access_entry *e, const struct access_clock *c)
{
    switch (t->kind) {
    case TOKEN_TIME:
        put(l, c->common, 28);
        break;
    case TOKEN_REQUEST_LINE:
        put_request_line(l, e);
        break;
    case TOKEN_PATH:
        text_value(l, str_head(e->target, path_length(e)), MAX_TARGET,
                   put_reference);
        break;
    case TOKEN_QUERY:
        value(l, str_skip(e->target, path_length(e)), MAX_TARGET,
              put_reference);
        break;
    case TOKEN_PROTOCOL:
        PUT(l, "HTTP/1.");
        put_u64(l, e->minor);
        break;
    case TOKEN_REQUEST_HEADER:
        put_header(l, t, e->request);
        break;
    case TOKEN_REPLY_HEADER:
        put_header(l, t, e->reply);
        break;
    default:
        PUT(l, "-");
    }
}

static void put_count(struct line *l, uint64_t n, bool dash)
{
    if (n || !dash)
        put_u64(l, n);
    else
        PUT(l, "-");
}

static void put_token(struct line *l, const struct token *t,
                      const struct access_entry *e,
                      const struct access_clock *c)
{
    switch (t->kind) {
    case TOKEN_LITERAL:
        put(l, t->text.p, t->text.len);
        break;
    case TOKEN_TEXT:
        text_value(l, entry_text(e, t->at), ACCESS_LOG_VALUE - 3, put_escaped);
        break;
    case TOKEN_WORD:
        text_value(l, entry_text(e, t->at), ACCESS_LOG_VALUE - 3, put_word);
        break;
    case TOKEN_U64:
        put_u64(l, entry_u64(e, t->at));
        break;
    case TOKEN_SECONDS:
        put_u64(l, entry_u64(e, t->at) / 1000000);
        break;
    case TOKEN_LENGTH:
        put_count(l, entry_u64(e, t->at), true);
        break;
    case TOKEN_STATUS:
        put_count(l, e->status, true);
        break;
    case TOKEN_RETRIES:
        put_u64(l, e->retries);
        break;
    default:
        put_made(l, t, e, c);
    }
}

size_t access_line(const struct access_log_format *f,
                   const struct access_entry *e, struct access_clock *clock,
                   char *out)
{
    struct line l = { .p = out,
                      .end = out + ACCESS_LOG_LINE - 1,
                      .json = f->json };

    clock_at(clock, e->wall_us);
    if (f->json)
        json_line(&l, e, clock);
    else
        for (size_t i = 0; i < f->count && !l.cut; i++)
            put_token(&l, &f->tokens[i], e, clock);
    *l.p++ = '\n';
    return (size_t)(l.p - out);
}

/* Reading a format */

struct format_reader {
    struct access_log_format *f;
    struct str rest;
    struct problems *ps;
    struct str file;
    uint32_t line;
};

static bool unknown(struct format_reader *r, struct str token)
{
    problem_error(r->ps, r->file, r->line,
                  "access_log.format: there is no token \"%.*s\"; there are "
                  "%%h %%l %%u %%t %%r %%m %%U %%q %%H %%s %%b %%B %%D %%T "
                  "%%%%, %%{Name}i and %%{Name}o for headers, and %%{what}x "
                  "with activityid, api, version, operation, endpoint, "
                  "retries, upstream_us, bytes_in or refusal",
                  STR_ARG(token));
    return false;
}

static bool header_token(struct token *t, struct str name, char letter)
{
    if (!name.len || name.len > NAME_MAX_BYTES)
        return false;
    t->kind = letter == 'i' ? TOKEN_REQUEST_HEADER : TOKEN_REPLY_HEADER;
    t->text = name;
    t->at = field_id(name);
    t->secret = is_secret_header(name);
    return true;
}

static bool simple_token(struct token *t, const struct token_name *n)
{
    if (!n)
        return false;
    t->kind = n->kind;
    t->at = n->at;
    return true;
}

/* Behind a "%{": the name up to "}" and the letter behind that. */
static bool braced_token(struct token *t, struct str *rest)
{
    struct str name = str_head(*rest, str_find(*rest, '}'));
    char letter;

    if (name.len + 2 > rest->len)
        return false;
    letter = rest->p[name.len + 1];
    *rest = str_skip(*rest, name.len + 2);
    if (letter == 'i' || letter == 'o')
        return header_token(t, name, letter);
    return letter == 'x' && simple_token(t, token_find(names, name));
}

/* At a "%". */
static bool read_token(struct format_reader *r, struct token *t)
{
    struct str start = r->rest, *rest = &r->rest;
    bool good;

    *rest = str_skip(*rest, 1);
    if (rest->len && (rest->p[0] == '>' || rest->p[0] == '<'))
        *rest = str_skip(*rest, 1); /* which of several replies: we have one */
    if (rest->len && rest->p[0] == '{') {
        *rest = str_skip(*rest, 1);
        good = braced_token(t, rest);
    } else if (rest->len && rest->p[0] == '%') {
        t->text = str_head(*rest, 1);
        *rest = str_skip(*rest, 1);
        good = true;
    } else {
        good = simple_token(t, token_find(letters, str_head(*rest, 1)));
        *rest = str_skip(*rest, 1);
    }
    if (!good)
        return unknown(r, str_head(start, start.len - rest->len));
    return true;
}

static bool read_tokens(struct format_reader *r)
{
    while (r->rest.len) {
        struct token *t;

        if (r->f->count == TOKENS_MAX) {
            problem_error(r->ps, r->file, r->line,
                          "access_log.format has more than %d tokens and "
                          "texts between them",
                          TOKENS_MAX);
            return false;
        }
        t = &r->f->tokens[r->f->count++];
        if (r->rest.p[0] == '%') {
            if (!read_token(r, t))
                return false;
        } else {
            t->text = str_head(r->rest, str_find(r->rest, '%'));
            r->rest = str_skip(r->rest, t->text.len);
        }
    }
    return true;
}

static struct str expand(struct str format)
{
#define COMMON "%h %l %u %t \"%r\" %s %b"
    if (str_is(format, "common"))
        return STR(COMMON);
    if (str_is(format, "combined"))
        return STR(COMMON " \"%{Referer}i\" \"%{User-Agent}i\"");
    return format;
#undef COMMON
}

static bool format_fits(struct format_reader *r, struct str format)
{
    if (!format.len || format.len > FORMAT_MAX) {
        problem_error(r->ps, r->file, r->line,
                      "access_log.format must be json, common, combined, or "
                      "a text with tokens of 1 to %d bytes, got %zu bytes",
                      FORMAT_MAX, format.len);
        return false;
    }
    for (size_t i = 0; i < format.len; i++) {
        unsigned char c = (unsigned char)format.p[i];

        if (c == 0x7f || (c < 0x20 && c != '\t')) {
            problem_error(r->ps, r->file, r->line,
                          "access_log.format must be one line, got the "
                          "control character 0x%02x at position %zu",
                          c, i + 1);
            return false;
        }
    }
    return true;
}

struct access_log_format *access_log_format_new(struct str format,
                                                struct problems *ps,
                                                struct str file, uint32_t line)
{
    struct access_log_format *f;
    struct format_reader r = { .ps = ps, .file = file, .line = line };

    format = expand(format);
    if (!format_fits(&r, format))
        return NULL;
    f = x_new(sizeof(*f) + format.len);
    memcpy(f->text, format.p, format.len);
    f->json = str_is(format, "json");
    r.f = f;
    r.rest = str_from(f->text, format.len);
    if (!f->json && !read_tokens(&r)) {
        x_free(f);
        return NULL;
    }
    return f;
}

void access_log_format_free(struct access_log_format *f)
{
    x_free(f);
}
