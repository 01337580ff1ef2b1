/* access_format.c - reading the format of an access log's lines. */
#include "gateway/access_line.h"

enum {
    FORMAT_MAX = 2048,    /* bytes of a format */
    NAME_MAX_BYTES = 128, /* of %{name}i */
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

        if (r->f->count == ACCESS_TOKENS) {
            problem_error(r->ps, r->file, r->line,
                          "access_log.format has more than %d tokens and "
                          "texts between them",
                          ACCESS_TOKENS);
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

bool access_log_wants_reply(const struct access_log_format *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->tokens[i].kind == TOKEN_REPLY_HEADER)
            return true;
    return false;
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
