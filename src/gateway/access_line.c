/* access_line.c - see access_line.h. */
#include "gateway/access_line.h"

#include "base/clock.h"
#include "gateway/access_escape.h"

/* Ceilings of escaped values. Those of a JSON line add up to less than a line,
 * so that it is never cut and stays JSON. */
enum {
    MAX_TARGET = 3072,
    MAX_AGENT = 512,
    MAX_TEXT = 512,
    MAX_SHORT = 128,
    JSON_MAX = MAX_TARGET + MAX_AGENT + 5 * MAX_TEXT + 4 * MAX_SHORT,
};
_Static_assert(JSON_MAX + 1024 < ACCESS_LOG_LINE, "names and numbers too");

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
    line_put(l, key, strlen(key));
    line_value(l, s, max, line_escaped);
    LINE(l, "\"");
}

static inline void json_u64(struct line *l, const char *key, uint64_t n)
{
    line_put(l, key, strlen(key));
    line_u64(l, n);
}

static void json_line(struct line *l, const struct access_entry *e,
                      const struct access_clock *c)
{
    LINE(l, "{\"time\":\"");
    line_put(l, c->iso, 24);
    LINE(l, "\"");
    json_text(l, ",\"client\":\"", e->client, MAX_SHORT);
    json_text(l, ",\"method\":\"", e->method, MAX_SHORT);
    LINE(l, ",\"target\":\"");
    line_value(l, e->target, MAX_TARGET, line_reference);
    if (e->major == 2)
        LINE(l, "\",\"protocol\":\"HTTP/2.0\"");
    else if (e->minor)
        LINE(l, "\",\"protocol\":\"HTTP/1.1\"");
    else
        LINE(l, "\",\"protocol\":\"HTTP/1.0\"");
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
    LINE(l, "}");
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
        line_escaped(l, str_cut(&s, ' '));
        if (s.p)
            LINE(l, "\\x20");
    }
}

static void text_value(struct line *l, struct str s, size_t max,
                       void (*put_it)(struct line *l, struct str s))
{
    if (s.len)
        line_value(l, s, max, put_it);
    else
        LINE(l, "-");
}

static void put_protocol(struct line *l, const struct access_entry *e)
{
    if (e->major == 2)
        LINE(l, "HTTP/2.0");
    else if (e->minor)
        LINE(l, "HTTP/1.1");
    else
        LINE(l, "HTTP/1.0");
}

static void put_request_line(struct line *l, const struct access_entry *e)
{
    text_value(l, e->method, MAX_SHORT, line_escaped);
    LINE(l, " ");
    text_value(l, e->target, MAX_TARGET, line_reference);
    LINE(l, " ");
    put_protocol(l, e);
}

static void put_header(struct line *l, const struct token *t,
                       const struct message *m)
{
    const struct header *h = NULL;

    if (m)
        h = t->at ? message_get(m, (enum field)t->at)
                  : message_find(m, t->text);
    if (h && t->secret)
        LINE(l, "(redacted)");
    else
        text_value(l, h ? h->value : STR_NULL, ACCESS_LOG_VALUE - 3,
                   line_reference);
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
        line_put(l, c->common, 28);
        break;
    case TOKEN_REQUEST_LINE:
        put_request_line(l, e);
        break;
    case TOKEN_PATH:
        text_value(l, str_head(e->target, path_length(e)), MAX_TARGET,
                   line_reference);
        break;
    case TOKEN_QUERY:
        line_value(l, str_skip(e->target, path_length(e)), MAX_TARGET,
                   line_reference);
        break;
    case TOKEN_PROTOCOL:
        put_protocol(l, e);
        break;
    case TOKEN_REQUEST_HEADER:
        put_header(l, t, e->request);
        break;
    case TOKEN_REPLY_HEADER:
        put_header(l, t, e->reply);
        break;
    default:
        LINE(l, "-");
    }
}

static void put_count(struct line *l, uint64_t n, bool dash)
{
    if (n || !dash)
        line_u64(l, n);
    else
        LINE(l, "-");
}

static void put_token(struct line *l, const struct token *t,
                      const struct access_entry *e,
                      const struct access_clock *c)
{
    switch (t->kind) {
    case TOKEN_LITERAL:
        line_put(l, t->text.p, t->text.len);
        break;
    case TOKEN_TEXT:
        text_value(l, entry_text(e, t->at), ACCESS_LOG_VALUE - 3, line_escaped);
        break;
    case TOKEN_WORD:
        text_value(l, entry_text(e, t->at), ACCESS_LOG_VALUE - 3, put_word);
        break;
    case TOKEN_U64:
        line_u64(l, entry_u64(e, t->at));
        break;
    case TOKEN_SECONDS:
        line_u64(l, entry_u64(e, t->at) / 1000000);
        break;
    case TOKEN_LENGTH:
        put_count(l, entry_u64(e, t->at), true);
        break;
    case TOKEN_STATUS:
        put_count(l, e->status, true);
        break;
    case TOKEN_RETRIES:
        line_u64(l, e->retries);
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
