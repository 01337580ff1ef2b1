/* trace_context.c - see trace_context.h. */
#include "events/trace_context.h"

enum {
    MEMBER_LONG = 128,
    KEY_MAX = 256,
    VALUE_MAX = 256,
};

/* ---- hexadecimal ---- */

/* Upper case is not allowed. -1: none. */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static enum err read_hex(const char *p, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; i < bytes; i++) {
        int high = digit(p[2 * i]), low = digit(p[2 * i + 1]);

        if (high < 0 || low < 0)
            return ERR_INVALID;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return ERR_OK;
}

void trace_hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static bool all_zero(const uint8_t *bytes, size_t n)
{
    uint8_t any = 0;

    for (size_t i = 0; i < n; i++)
        any |= bytes[i];
    return !any;
}

/* ---- traceparent ---- */

/* 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 */
enum { AT_TRACE = 3, AT_SPAN = 36, AT_FLAGS = 53 };

enum err trace_parent_parse(struct str s, struct trace_context *out)
{
    struct trace_context c;
    uint8_t version;

    if (s.len < TRACE_PARENT_BYTES || s.p[AT_TRACE - 1] != '-' ||
        s.p[AT_SPAN - 1] != '-' || s.p[AT_FLAGS - 1] != '-')
        return ERR_INVALID;
    if (read_hex(s.p, 1, &version) || version == 0xff)
        return ERR_INVALID;
    /* A later version may have more behind another dash. */
    if (s.len > TRACE_PARENT_BYTES &&
        (version == 0 || s.p[TRACE_PARENT_BYTES] != '-'))
        return ERR_INVALID;
    if (read_hex(s.p + AT_TRACE, sizeof(c.trace_id), c.trace_id) ||
        read_hex(s.p + AT_SPAN, sizeof(c.span_id), c.span_id) ||
        read_hex(s.p + AT_FLAGS, 1, &c.flags))
        return ERR_INVALID;
    if (all_zero(c.trace_id, sizeof(c.trace_id)) ||
        all_zero(c.span_id, sizeof(c.span_id)))
        return ERR_INVALID;
    /* What other flags mean, or mean in another version, is not known. */
    c.flags &= version ? TRACE_SAMPLED : TRACE_SAMPLED | TRACE_RANDOM;
    *out = c;
    return ERR_OK;
}

enum err trace_parent_read(const struct message *m, struct trace_context *out)
{
    const struct header *first = message_get(m, FIELD_TRACEPARENT);

    if (!first)
        return ERR_NOT_FOUND;
    for (const struct header *h = first + 1; h < m->headers + m->count; h++)
        if (h->id == FIELD_TRACEPARENT)
            return ERR_INVALID;
    return trace_parent_parse(first->value, out);
}

void trace_parent_format(const struct trace_context *c,
                         char out[TRACE_PARENT_BYTES])
{
    memcpy(out, "00-", 3);
    trace_hex(c->trace_id, sizeof(c->trace_id), out + AT_TRACE);
    out[AT_SPAN - 1] = '-';
    trace_hex(c->span_id, sizeof(c->span_id), out + AT_SPAN);
    out[AT_FLAGS - 1] = '-';
    trace_hex(&c->flags, 1, out + AT_FLAGS);
}

/* ---- tracestate ---- */

static bool starts_key(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool in_key(char c)
{
    return starts_key(c) || c == '_' || c == '-' || c == '*' || c == '/' ||
           c == '@';
}

static bool good_key(struct str key)
{
    if (!key.len || key.len > KEY_MAX || !starts_key(key.p[0]))
        return false;
    for (size_t i = 1; i < key.len; i++)
        if (!in_key(key.p[i]))
            return false;
    return true;
}

/* Spaces at its end were the list's, not its own. */
static bool good_value(struct str value)
{
    if (!value.len || value.len > VALUE_MAX)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.p[i] < ' ' || value.p[i] > '~' || value.p[i] == '=')
            return false; /* a comma cannot be in it */
    return true;
}

struct members {
    struct str all[TRACE_STATE_MEMBERS];
    size_t count;
    size_t seen; /* with those that were there twice */
};

static struct str key_of(struct str member)
{
    return str_head(member, str_find(member, '='));
}

static bool has_key(const struct members *list, struct str key)
{
    for (size_t i = 0; i < list->count; i++)
        if (str_eq(key_of(list->all[i]), key))
            return true;
    return false;
}

static enum err add_member(struct members *list, struct str member)
{
    struct str key = key_of(member);

    if (list->seen++ == TRACE_STATE_MEMBERS || key.len == member.len ||
        !good_key(key) || !good_value(str_skip(member, key.len + 1)))
        return ERR_INVALID;
    if (!has_key(list, key))
        list->all[list->count++] = member;
    return ERR_OK;
}

static enum err add_field(struct members *list, struct str value)
{
    while (value.p) {
        struct str member = str_trim(str_cut(&value, ','));

        if (member.len && add_member(list, member))
            return ERR_INVALID;
    }
    return ERR_OK;
}

static size_t length_of(const struct members *list)
{
    size_t n = 0, kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        n += list->all[i].len;
        kept += list->all[i].len > 0;
    }
    return kept ? n + kept - 1 : 0;
}

/* Takes members out, from the end, until what is left fits. */
static void shorten(struct members *list, size_t longer_than)
{
    for (size_t i = list->count; i-- && length_of(list) > TRACE_STATE_BYTES;)
        if (list->all[i].len > longer_than)
            list->all[i].len = 0;
}

enum err trace_state_read(const struct message *m, struct trace_state *out)
{
    const struct header *h = message_get(m, FIELD_TRACESTATE);
    struct members list = { .count = 0 };

    out->len = 0;
    for (; h && h < m->headers + m->count; h++)
        if (h->id == FIELD_TRACESTATE && add_field(&list, h->value))
            return ERR_INVALID;
    shorten(&list, MEMBER_LONG);
    shorten(&list, 0);
    for (size_t i = 0; i < list.count; i++) {
        if (!list.all[i].len)
            continue;
        if (out->len)
            out->text[out->len++] = ',';
        memcpy(out->text + out->len, list.all[i].p, list.all[i].len);
        out->len += list.all[i].len;
    }
    return ERR_OK;
}
