/* collector.c - batches of events to an HTTP receiver.
 *
 *   IDLE    -> SENDING   enough events wait, or the oldest long enough
 *   SENDING -> IDLE      2xx: they are delivered
 *   SENDING -> AWAY      no answer, 408, 429, 5xx and what is no verdict on
 *                        the events: they stay where they are, and all that
 *                        comes goes to the spool; tried again with pauses
 *   SENDING -> SENDING   400, 413, 422: half as many; one alone is dropped
 *
 * While the spool holds any, it is sent first and what comes goes behind it:
 * the receiver gets events in their order.
 */
#include <stdlib.h>

#include "base/log.h"
#include "events/writer.h"

enum { PAUSE_LEAST_MS = 500, PAUSE_MOST_MS = 30000 };

static void done(void *arg, const struct fetch_answer *a);

static struct str first_lines(struct str lines, uint64_t n)
{
    struct str rest = lines;

    while (n-- && rest.len)
        rest = str_skip(rest, str_find(rest, '\n') + 1);
    return str_head(lines, lines.len - rest.len);
}

static void add_part(struct sending *s, struct ring_file *f, uint32_t ring,
                     struct str lines)
{
    struct part *p;

    s->parts = x_resize(s->parts, (s->part_count + 1) * sizeof(*p));
    p = &s->parts[s->part_count++];
    *p = (struct part) { f, ring, lines.len, events_count_lines(lines) };
    s->lines += p->lines;
}

static struct str gather_spool(struct events *e)
{
    struct sending *s = &e->sending;
    struct str lines;

    s->after = ledger_read(e->ledger);
    (void)spool_read(&e->spool, &s->after, e->buf, WRITER_BATCH, &lines);
    lines = first_lines(lines, s->limit);
    if (lines.len)
        add_part(s, NULL, 0, lines);
    else
        writer_settle(e, NULL, 0, 0, 0, FATE_DELIVERED, &s->after);
    return lines;
}

static struct str gather_rings(struct events *e)
{
    struct sending *s = &e->sending;
    size_t len = 0;

    for (struct ring_file *f = e->files; f; f = f->next)
        for (uint32_t i = 0; i < f->ring_count; i++) {
            size_t room = WRITER_BATCH - len;
            struct str lines;

            if (room < EVENT_LINE_MAX || s->lines >= s->limit)
                break;
            lines = first_lines(ring_lines(&f->rings[i], room),
                                s->limit - s->lines);
            if (!lines.len)
                continue;
            memcpy(e->buf + len, lines.p, lines.len);
            len += lines.len;
            add_part(s, f, i, lines);
        }
    return str_from(e->buf, len);
}

static void post(struct events *e, struct str lines)
{
    struct header from = { .name = STR("Tollgate-Gateway"),
                           .value = str_z(ledger_gateway(e->ledger)) };
    struct fetch_request r = {
        .outbound = e->outbound,
        .url = e->conf.url,
        .method = STR("POST"),
        .authorization = e->conf.authorization,
        .content_type = STR("application/x-ndjson"),
        .body = lines,
        .headers = &from,
        .header_count = 1,
        .tls = e->tls,
        .timeout_ms = e->conf.timeout_ms,
        .repeatable = true, /* events have numbers */
    };

    if (!e->fetcher)
        e->fetcher = fetcher_new(e->loop, STR(""), 4);
    e->sending.fetch = fetch_start(e->fetcher, &r, done, e);
}

static void forget(struct sending *s)
{
    x_free(s->parts);
    s->parts = NULL;
    s->part_count = 0;
    s->lines = 0;
    s->fetch = NULL;
}

/* All of the batch has the same fate. */
static void settle(struct events *e, enum fate fate)
{
    struct sending *s = &e->sending;

    for (size_t i = 0; i < s->part_count; i++)
        writer_settle(e, s->parts[i].file, s->parts[i].ring, s->parts[i].bytes,
                      s->parts[i].lines, fate, &s->after);
}

static void delivered(struct events *e)
{
    struct sending *s = &e->sending;

    settle(e, FATE_DELIVERED);
    if (s->away)
        log_info("events", "the collector takes events again");
    s->away = false;
    e->complained = false;
    s->pause_ms = PAUSE_LEAST_MS;
    /* A full batch is followed by the next at once. */
    s->due_ms = loop_now_ms(e->loop);
    if (s->lines < s->limit && s->parts[0].file)
        s->due_ms += e->conf.interval_ms;
    /* Careful after a refusal, then as before. */
    s->limit = s->limit * 2 < e->conf.batch ? s->limit * 2 : e->conf.batch;
}

static void refused(struct events *e, unsigned status)
{
    struct sending *s = &e->sending;

    atomic_fetch_add(&e->failures, 1);
    s->due_ms = loop_now_ms(e->loop);
    if (s->lines > 1) {
        s->limit = s->lines / 2;
        return;
    }
    log_warn("events", "the collector refuses an event with %u; it is dropped",
             status);
    settle(e, FATE_REFUSED);
}

static void went_away(struct events *e, const struct fetch_answer *a)
{
    struct sending *s = &e->sending;
    uint64_t pause = s->pause_ms;

    atomic_fetch_add(&e->failures, 1);
    if (!s->away && a->fail)
        log_warn("events",
                 "the collector does not take events: %.*s; they go to disk",
                 STR_ARG(a->text));
    else if (!s->away)
        log_warn("events",
                 "the collector answers %u; events go to disk until it takes "
                 "them",
                 a->status);
    s->away = true;
    if (a->retry_after_s * 1000 > pause)
        pause = a->retry_after_s * 1000;
    s->due_ms = loop_now_ms(e->loop) + pause;
    s->pause_ms *= 2;
    if (s->pause_ms > PAUSE_MOST_MS)
        s->pause_ms = PAUSE_MOST_MS;
}

static void done(void *arg, const struct fetch_answer *a)
{
    struct events *e = arg;

    e->sending.fetch = NULL;
    if (a->fail == FETCH_OK && a->status >= 200 && a->status < 300)
        delivered(e);
    else if (a->fail == FETCH_OK &&
             (a->status == 400 || a->status == 413 || a->status == 422))
        refused(e, a->status);
    else if (a->fail != FETCH_ENDED)
        went_away(e, a);
    forget(&e->sending);
    timer_set(e->loop, &e->tick, loop_now_ms(e->loop));
}

/* Events that wait in rings; *full: a ring is half full. */
static bool rings_wait(struct events *e, bool *full)
{
    bool any = false;

    for (struct ring_file *f = e->files; f; f = f->next)
        for (uint32_t i = 0; i < f->ring_count; i++) {
            uint64_t used = ring_used(&f->rings[i]);

            any = any || used;
            *full = *full || used > f->rings[i].size / 2;
        }
    return any;
}

static void start(struct events *e, bool from_spool)
{
    struct str lines = from_spool ? gather_spool(e) : gather_rings(e);

    if (lines.len)
        post(e, lines);
    else
        forget(&e->sending);
}

/* An answer that takes longer than the rings have room for. The batch may have
 * arrived; its numbers tell. */
static void wait_no_longer(struct events *e)
{
    static const struct fetch_answer slow = {
        .fail = FETCH_TIMEOUT, .text = { "it takes too long", 17 }
    };

    fetch_cancel(e->sending.fetch);
    went_away(e, &slow);
    forget(&e->sending);
}

bool collector_pass(struct events *e)
{
    struct sending *s = &e->sending;
    struct ledger_totals t = ledger_read(e->ledger);
    uint64_t now = loop_now_ms(e->loop);
    bool full = false, wait = rings_wait(e, &full), any = false;

    if (!s->limit) {
        s->limit = e->conf.batch;
        s->pause_ms = PAUSE_LEAST_MS;
    }
    if (s->fetch && s->parts[0].file && full)
        wait_no_longer(e);
    /* Behind what waits on disk already. Parts of a ring that are under way
     * stay where they are. */
    if (s->away || !spool_empty(&t))
        if (!s->fetch || !s->parts[0].file)
            any = writer_spool(e);
    if (s->fetch || (now < s->due_ms && (s->away || !full)))
        return any;
    t = ledger_read(e->ledger);
    if (!spool_empty(&t))
        start(e, true);
    else if (wait)
        start(e, false);
    return any || s->fetch;
}

void collector_stop(struct events *e)
{
    if (e->sending.fetch)
        fetch_cancel(e->sending.fetch);
    forget(&e->sending);
    fetcher_free(e->fetcher);
    e->fetcher = NULL;
}
