/* explain.c - notes become bytes. See explain.h, and explain_text.c for the
 * way back. */
#include "gateway/explain.h"

#include <stdio.h>

#include "base/log.h"

enum { TEXT_MAX = 256 };

void explain_stamp(struct explain *e, uint64_t us)
{
    uint32_t n = explain_count(e);

    for (; e->stamped < n; e->stamped++)
        e->us[e->stamped] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

enum explain_reason explain_refusal(const struct explain *e)
{
    uint32_t i = explain_count(e);

    if (!i || e->records[i - 1].verdict != EXPLAIN_REFUSED)
        return REASONS;
    for (; i && e->records[i - 1].verdict != EXPLAIN_PASSED; i--)
        if (e->records[i - 1].verdict == EXPLAIN_REFUSED &&
            e->records[i - 1].reason != REASON_OTHER)
            return (enum explain_reason)e->records[i - 1].reason;
    return REASON_OTHER;
}

/* ---- names ---- */

const char *explain_step_name(enum explain_step step)
{
    static const char *const names[EXPLAIN_STEPS] = {
        "route", "transport", "access",   "attempts",    "security",
        "token", "api_key",   "password", "certificate", "scope",
        "claim", "limit",     "endpoint",
    };

    return step < EXPLAIN_STEPS ? names[step] : "unknown";
}

const char *explain_reason_word(enum explain_reason reason)
{
#define REASON(name, word, what, fix) word,
    static const char *const words[] = {
#include "gateway/explain_reasons.h"
    };
#undef REASON

    return reason < REASONS ? words[reason] : "unknown";
}

/* ---- bytes ---- */

struct out {
    char *p, *end;
};

static void put(struct out *o, const void *bytes, size_t n)
{
    must((size_t)(o->end - o->p) >= n);
    memcpy(o->p, bytes, n);
    o->p += n;
}

static void put_text(struct out *o, struct str s)
{
    uint16_t n;

    s = str_head(s, TEXT_MAX);
    n = (uint16_t)s.len;
    put(o, &n, 2);
    put(o, s.p ? s.p : "", n);
}

static void put_record(struct out *o, const struct explain *e, uint32_t i)
{
    static const uint32_t never;
    const struct explain_record *r = &e->records[i];

    put(o, &r->step, 1);
    put(o, &r->verdict, 1);
    put(o, &r->reason, 2);
    put(o, &r->number, 4);
    put(o, e->marked ? &e->us[i] : &never, 4);
    put_text(o, r->text ? *r->text : STR_NULL);
}

struct str explain_encode(struct arena *a, const struct explain_head *head,
                          const struct explain *e)
{
    const struct str texts[] = { head->id,     head->api,    head->version,
                                 head->method, head->path,   head->operation,
                                 head->client, head->caller, head->code };
    uint32_t n = explain_count(e), lost = e->count - n;
    char *room = arena_raw(a, EXPLAIN_BYTES_MAX);
    struct out o = { room, room + EXPLAIN_BYTES_MAX };
    uint8_t count = (uint8_t)n, marked = e->marked;

    put(&o, &head->wall_us, 8);
    put(&o, &head->configuration, 8);
    put(&o, &head->total_us, 4);
    put(&o, &head->backend_us, 4);
    put(&o, &lost, 4);
    put(&o, &head->status, 2);
    put(&o, &count, 1);
    put(&o, &marked, 1);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        put_text(&o, texts[i]);
    for (uint32_t i = 0; i < n; i++)
        put_record(&o, e, i);
    return str_from(room, (size_t)(o.p - room));
}

/* ---- a field ---- */

struct str explain_summary(struct arena *a, const struct explain *e)
{
    char *room = arena_raw(a, 1024), *p = room;

    for (uint32_t i = 0; i < explain_count(e); i++) {
        const struct explain_record *r = &e->records[i];
        char one[96];
        int n = snprintf(one, sizeof(one), "%s%s=%s%s", i ? " " : "",
                         explain_step_name((enum explain_step)r->step),
                         explain_reason_word((enum explain_reason)r->reason),
                         r->verdict == EXPLAIN_REFUSED ? "!" : "");

        if (n < 0 || (size_t)n > (size_t)(room + 1024 - p))
            break;
        memcpy(p, one, (size_t)n);
        p += n;
    }
    return str_from(room, (size_t)(p - room));
}
