/* explain_text.c - see explain_text.h. What it reads may be garbage: a ring
 * is only a file. */
#include "gateway/explain_text.h"

#include "base/clock.h"
#include "format/json.h"

/* ---- reading ---- */

static bool take(struct str *in, void *out, size_t n)
{
    if (in->len < n)
        return false;
    memcpy(out, in->p, n);
    *in = str_skip(*in, n);
    return true;
}

static bool take_text(struct str *in, struct str *out)
{
    uint16_t n;

    if (!take(in, &n, 2) || in->len < n)
        return false;
    *out = str_head(*in, n);
    *in = str_skip(*in, n);
    return true;
}

static bool take_note(struct str *in, struct explained_note *out)
{
    uint8_t step, verdict;
    uint16_t reason;

    if (!take(in, &step, 1) || !take(in, &verdict, 1) ||
        !take(in, &reason, 2) || !take(in, &out->number, 4) ||
        !take(in, &out->us, 4) || !take_text(in, &out->text) ||
        step >= EXPLAIN_STEPS || verdict > EXPLAIN_REFUSED || reason >= REASONS)
        return false;
    out->step = (enum explain_step)step;
    out->verdict = (enum explain_verdict)verdict;
    out->reason = (enum explain_reason)reason;
    return true;
}

enum err explain_decode(struct str bytes, struct explained *out)
{
    struct explain_head *h = &out->head;
    struct str *texts[] = { &h->id,     &h->api,    &h->version,
                            &h->method, &h->path,   &h->operation,
                            &h->client, &h->caller, &h->code };
    uint8_t count, marked;

    if (!take(&bytes, &h->wall_us, 8) || !take(&bytes, &h->configuration, 8) ||
        !take(&bytes, &h->total_us, 4) || !take(&bytes, &h->backend_us, 4) ||
        !take(&bytes, &out->lost, 4) || !take(&bytes, &h->status, 2) ||
        !take(&bytes, &count, 1) || !take(&bytes, &marked, 1) ||
        count > EXPLAIN_RECORDS)
        return ERR_INVALID;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (!take_text(&bytes, texts[i]))
            return ERR_INVALID;
    for (uint32_t i = 0; i < count; i++)
        if (!take_note(&bytes, &out->notes[i]))
            return ERR_INVALID;
    out->count = count;
    out->marked = marked;
    return bytes.len ? ERR_INVALID : ERR_OK;
}

/* ---- sentences ---- */

/* What a stranger sent must not draw on a terminal. */
static enum err put_plain(struct buf *b, struct str s)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < s.len && !e; i++) {
        unsigned char c = (unsigned char)s.p[i];

        e = c < ' ' || c >= 0x7f ? buf_printf(b, "\\x%02x", c)
                                 : buf_char(b, (char)c);
    }
    return e;
}

/* fmt up to a %s that has nothing to say: "… (%s)" loses its end. */
static size_t end_without_text(const char *fmt)
{
    const char *at = strstr(fmt, "%s");
    size_t n;

    if (!at)
        return strlen(fmt);
    n = (size_t)(at - fmt);
    while (n && strchr(" (:\"", fmt[n - 1]))
        n--;
    return n;
}

static enum err put_format(struct buf *b, const char *fmt, struct str text,
                           uint32_t number)
{
    const char *end = fmt + (text.len ? strlen(fmt) : end_without_text(fmt));
    enum err e = ERR_OK;

    for (; fmt < end && !e; fmt++) {
        if (*fmt != '%' || fmt + 1 == end) {
            e = buf_char(b, *fmt);
            continue;
        }
        fmt++;
        if (*fmt == 's')
            e = put_plain(b, text);
        else if (*fmt == 'u')
            e = buf_printf(b, "%u", number);
        else
            e = buf_char(b, *fmt);
    }
    return e;
}

enum err explain_sentence(struct buf *b, const struct explained_note *n)
{
#define REASON(name, word, what, fix) what,
    static const char *const what[] = {
#include "gateway/explain_reasons.h"
    };
#undef REASON

    return put_format(b, what[n->reason], n->text, n->number);
}

enum err explain_fix(struct buf *b, const struct explained_note *n)
{
#define REASON(name, word, what, fix) fix,
    static const char *const fixes[] = {
#include "gateway/explain_reasons.h"
    };
#undef REASON

    if (n->verdict != EXPLAIN_REFUSED || !fixes[n->reason])
        return ERR_OK;
    return put_format(b, fixes[n->reason], n->text, n->number);
}

/* ---- a page ---- */

/* before, then s plainly, then after. */
static enum err put_parts(struct buf *b, const char *before, struct str s,
                          const char *after)
{
    enum err e = buf_z(b, before);

    if (!e)
        e = put_plain(b, s);
    return e ? e : buf_z(b, after);
}

static enum err put_outcome(struct buf *b, const struct explain_head *h)
{
    enum err e;

    if (!h->code.len)
        return buf_printf(b, " was answered with %u\n\n", h->status);
    e = buf_printf(b, " was refused with %u", h->status);
    return e ? e : put_parts(b, " (code ", h->code, ")\n\n");
}

static enum err put_api(struct buf *b, const struct explain_head *h)
{
    enum err e = put_parts(b, "  API ", h->api, " ");

    if (!e)
        e = put_plain(b, h->version);
    if (!e && h->operation.len)
        e = put_parts(b, ", operation ", h->operation, "");
    if (!e && h->caller.len)
        e = put_parts(b, ", called by ", h->caller, "");
    return e ? e
             : buf_printf(b, "; configuration %llu of the process\n\n",
                          (unsigned long long)h->configuration);
}

static enum err put_title(struct buf *b, const struct explain_head *h)
{
    char time[25];
    enum err e = put_parts(b, "Call ", h->id, "");

    clock_iso8601(h->wall_us, time);
    if (e || (e = put_outcome(b, h)) ||
        (e = put_parts(b, "  ", h->method, " ")) ||
        (e = put_plain(b, h->path)) ||
        (e = put_parts(b, "   from ", h->client, "   at ")) ||
        (e = buf_printf(b, "%s\n", time)))
        return e;
    return h->api.len ? put_api(b, h) : buf_char(b, '\n');
}

static enum err put_note(struct buf *b, const struct explained *x,
                         const struct explained_note *n, bool utf8)
{
    static const char *const plain[] = { "ok", "--", "NO" };
    static const char *const marks[] = { "✓ ", "– ", "✗ " };
    enum err e =
        buf_printf(b, "  %s %-12s ", (utf8 ? marks : plain)[n->verdict],
                   explain_step_name(n->step));

    if (!e && x->marked)
        e = buf_printf(b, "%8.3f ms  ", n->us / 1000.0);
    if (!e)
        e = explain_sentence(b, n);
    return e ? e : buf_char(b, '\n');
}

static const struct explained_note *refusal_of(const struct explained *x)
{
    for (uint32_t i = x->count; i--;)
        if (x->notes[i].verdict == EXPLAIN_REFUSED)
            return &x->notes[i];
    return NULL;
}

/* Several ways may each have failed: each says what it wants. */
static enum err put_fixes(struct buf *b, const struct explained *x)
{
    enum err e = buf_z(b, "\nTo make it pass:\n");

    for (uint32_t i = 0; i < x->count && !e; i++) {
        struct buf one;

        if (x->notes[i].verdict != EXPLAIN_REFUSED)
            continue;
        buf_init(&one, 4096);
        e = explain_fix(&one, &x->notes[i]);
        if (!e && one.len)
            e = buf_printf(b, "  - %.*s.\n", STR_ARG(buf_view(&one)));
        buf_done(&one);
    }
    return e;
}

enum err explain_text(struct buf *b, const struct explained *x, bool utf8)
{
    enum err e = put_title(b, &x->head);

    for (uint32_t i = 0; i < x->count && !e; i++)
        e = put_note(b, x, &x->notes[i], utf8);
    if (!e && x->lost)
        e = buf_printf(b, "  (%u more notes were left out)\n", x->lost);
    if (!e && x->marked)
        e = buf_printf(b,
                       "\nIt took %.3f ms, %.3f ms of them at the "
                       "backend.\n",
                       x->head.total_us / 1000.0, x->head.backend_us / 1000.0);
    if (!e && x->head.code.len && refusal_of(x))
        e = put_fixes(b, x);
    return e;
}

enum err explain_line(struct buf *b, const struct explained *x)
{
    const struct explain_head *h = &x->head;
    const struct explained_note *n = refusal_of(x);
    char time[25];
    enum err e;

    clock_iso8601(h->wall_us, time);
    e = buf_printf(b, "%s  ", time);
    if (!e)
        e = put_plain(b, h->id);
    if (!e)
        e = buf_printf(b, "  %u  ", h->status);
    if (!e)
        e = h->api.len ? put_plain(b, h->api) : buf_char(b, '-');
    if (!e)
        e = buf_char(b, ' ');
    if (!e)
        e = put_plain(b, h->version);
    if (!e)
        e = buf_z(b, "  ");
    if (!e)
        e = put_plain(b, h->method);
    if (!e)
        e = buf_char(b, ' ');
    if (!e)
        e = put_plain(b, h->path);
    if (!e && n) {
        e = buf_z(b, "  ");
        if (!e)
            e = explain_sentence(b, n);
    }
    return e ? e : buf_char(b, '\n');
}

/* ---- JSON ---- */

static enum err put_member(struct buf *b, const char *name, struct str value)
{
    enum err e = buf_printf(b, ",\"%s\":", name);

    return e ? e : json_write_str(b, value);
}

static enum err put_json_note(struct buf *b, const struct explained *x,
                              const struct explained_note *n)
{
    static const char *const verdicts[] = { "passed", "skipped", "refused" };
    struct buf text;
    enum err e =
        buf_printf(b, "{\"step\":\"%s\",\"verdict\":\"%s\",\"reason\":\"%s\"",
                   explain_step_name(n->step), verdicts[n->verdict],
                   explain_reason_word(n->reason));

    buf_init(&text, 4096);
    if (!e && n->text.len)
        e = put_member(b, "input", n->text);
    if (!e && n->number)
        e = buf_printf(b, ",\"number\":%u", n->number);
    if (!e && x->marked)
        e = buf_printf(b, ",\"at_us\":%u", n->us);
    if (!e && !(e = explain_sentence(&text, n)))
        e = put_member(b, "text", buf_view(&text));
    text.len = 0;
    if (!e && !(e = explain_fix(&text, n)) && text.len)
        e = put_member(b, "to_pass", buf_view(&text));
    buf_done(&text);
    return e ? e : buf_char(b, '}');
}

enum err explain_json(struct buf *b, const struct explained *x)
{
    const struct explain_head *h = &x->head;
    char time[25];
    enum err e;

    clock_iso8601(h->wall_us, time);
    e = buf_z(b, "{\"id\":");
    if (e || (e = json_write_str(b, h->id)) ||
        (e = buf_printf(b, ",\"time\":\"%s\",\"status\":%u", time,
                        h->status)) ||
        (h->code.len && (e = put_member(b, "code", h->code))) ||
        (e = put_member(b, "api", h->api)) ||
        (e = put_member(b, "version", h->version)) ||
        (e = put_member(b, "operation", h->operation)) ||
        (e = put_member(b, "method", h->method)) ||
        (e = put_member(b, "path", h->path)) ||
        (e = put_member(b, "client", h->client)) ||
        (h->caller.len && (e = put_member(b, "caller", h->caller))) ||
        (e = buf_printf(b, ",\"configuration\":%llu",
                        (unsigned long long)h->configuration)) ||
        (x->marked && (e = buf_printf(b, ",\"total_us\":%u,\"backend_us\":%u",
                                      h->total_us, h->backend_us))) ||
        (x->lost && (e = buf_printf(b, ",\"lost\":%u", x->lost))) ||
        (e = buf_z(b, ",\"decisions\":[")))
        return e;
    for (uint32_t i = 0; i < x->count && !e; i++) {
        if (i)
            e = buf_char(b, ',');
        if (!e)
            e = put_json_note(b, x, &x->notes[i]);
    }
    return e ? e : buf_z(b, "]}\n");
}
