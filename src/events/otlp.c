/* otlp.c - see otlp.h. */
#include "events/otlp.h"

#include "base/clock.h"
#include "base/log.h"
#include "events/otlp_target.h"
#include "net/loop.h"

enum {
    BATCHES = 4, /* at once */
    BODY_MAX = 1 << 20,
    ANSWER_MAX = 64 * 1024,
    PAUSE_LEAST_MS = 500,
    PAUSE_MOST_MS = 30000,
    RETRY_AFTER_MOST_S = 300,
    COMPLAIN_MS = 60000,
};

#define BODY_END "]}]}]}"

struct batch {
    struct otlp *otlp;
    struct buf body;
    uint32_t spans; /* 0: free */
    uint32_t tries;
    uint64_t since_ms;
    struct fetch *fetch; /* SENDING; else it waits */
    struct timer timer;
};

struct otlp {
    struct loop *loop;
    struct fetcher *fetcher; /* when first needed */
    struct otlp_target *target;
    struct span_queue **queues;
    unsigned count, next; /* whose turn it is */
    struct batch batches[BATCHES];
    struct timer timer; /* the interval */
    struct task wake;   /* a queue has enough for a batch */
    _Atomic bool woken;
    struct rng rng;
    uint64_t sent, dropped[OTLP_DROPS], failures;
    uint64_t complained_ms; /* when a refusal was last logged; 0: never */
    bool away;              /* and the log says so */
};

static void send_batch(struct batch *b);

/* ---- batches ---- */

static uint64_t queued(const struct otlp *o)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < o->count; i++)
        n += span_queue_counts(o->queues[i]).queued;
    return n;
}

static bool waits(const struct otlp *o)
{
    for (size_t i = 0; i < BATCHES; i++)
        if (o->batches[i].spans && !o->batches[i].fetch)
            return true;
    return false;
}

static void end_batch(struct batch *b)
{
    b->spans = 0;
    b->fetch = NULL;
    timer_clear(&b->timer);
    buf_done(&b->body);
}

/* Queues take turns, so that a busy thread does not starve another. */
static uint32_t gather(struct otlp *o, struct batch *b)
{
    uint32_t max = (uint32_t)o->target->batch, n = 0;

    buf_init(&b->body, BODY_MAX - strlen(BODY_END));
    (void)buf_str(&b->body, o->target->begin);
    for (unsigned i = 0; i < o->count && n < max; i++) {
        struct span_queue *q = o->queues[(o->next + i) % o->count];

        n += span_queue_take(q, max - n, n == 0, &b->body);
    }
    o->next = (o->next + 1) % o->count;
    b->body.max = BODY_MAX;
    (void)buf_z(&b->body, BODY_END);
    return n;
}

static bool start_batch(struct otlp *o)
{
    struct batch *b = o->batches;

    while (b < o->batches + BATCHES && b->spans)
        b++;
    if (b == o->batches + BATCHES)
        return false;
    b->spans = gather(o, b);
    if (!b->spans) {
        buf_done(&b->body);
        return false;
    }
    b->tries = 0;
    b->since_ms = loop_now_ms(o->loop);
    send_batch(b);
    return true;
}

static void pump(struct otlp *o, bool all)
{
    if (!o->target || waits(o))
        return;
    while (queued(o) >= (all ? 1 : o->target->batch) && start_batch(o))
        ;
}

/* ---- answers ---- */

static bool may_complain(struct otlp *o)
{
    uint64_t now = loop_now_ms(o->loop);

    if (o->complained_ms && now < o->complained_ms + COMPLAIN_MS)
        return false;
    o->complained_ms = now;
    return true;
}

static void complain(struct otlp *o, uint64_t rejected, uint64_t of,
                     struct str why, bool bad)
{
    if ((!rejected && !why.len && !bad) || !may_complain(o))
        return;
    if (bad)
        log_warn("tracing", "the collector took spans, but its answer is no "
                            "JSON of OTLP; is gateway.tracing.collector the "
                            "address of one?");
    else
        log_warn("tracing", "the collector rejects %llu of %llu spans: %.*s",
                 (unsigned long long)rejected, (unsigned long long)of,
                 STR_ARG(str_head(why, 300)));
}

static void took(struct batch *b, const struct fetch_answer *answer)
{
    struct otlp *o = b->otlp;
    struct arena *a = arena_new();
    struct str why;
    bool bad;
    uint64_t n = otlp_read_answer(a, answer->body, b->spans, &why, &bad);

    o->sent += b->spans - n;
    o->dropped[OTLP_REJECTED] += n;
    complain(o, n, b->spans, why, bad);
    arena_free(a);
    if (o->away)
        log_info("tracing", "the collector takes spans again");
    o->away = false;
}

/* What is wrong with a request will be wrong with it the next time. */
static void rejected(struct batch *b, unsigned status)
{
    struct otlp *o = b->otlp;

    o->dropped[OTLP_REJECTED] += b->spans;
    if (may_complain(o))
        log_warn("tracing",
                 "the collector answers %u; %u spans are dropped. Look at "
                 "gateway.tracing.collector and headers",
                 status, b->spans);
}

static uint64_t pause_ms(struct batch *b, const struct fetch_answer *answer)
{
    uint64_t most = PAUSE_LEAST_MS;

    if (answer->retry_after_s)
        return 1000 * (answer->retry_after_s < RETRY_AFTER_MOST_S
                           ? answer->retry_after_s
                           : RETRY_AFTER_MOST_S);
    for (uint32_t i = 0; i < b->tries && most < PAUSE_MOST_MS; i++)
        most *= 2;
    /* Not all gateways at the same time. */
    return most / 2 + rng_below(&b->otlp->rng, (uint32_t)most);
}

static void tell_away(struct otlp *o, const struct fetch_answer *answer)
{
    if (o->away)
        return;
    o->away = true;
    if (answer->fail)
        log_warn("tracing", "spans wait: %.*s", STR_ARG(answer->text));
    else
        log_warn("tracing", "spans wait: the collector answers %u",
                 answer->status);
}

static void try_later(struct batch *b, const struct fetch_answer *answer)
{
    struct otlp *o = b->otlp;
    uint64_t now = loop_now_ms(o->loop), pause = pause_ms(b, answer);

    tell_away(o, answer);
    if (!o->target || now + pause >= b->since_ms + o->target->give_up_ms) {
        o->dropped[OTLP_GAVE_UP] += b->spans;
        end_batch(b);
        return;
    }
    b->tries++;
    timer_set(o->loop, &b->timer, now + pause);
}

static bool passes(unsigned status)
{
    return status == 429 || status == 502 || status == 503 || status == 504;
}

static void on_answer(void *arg, const struct fetch_answer *answer)
{
    struct batch *b = arg;
    struct otlp *o = b->otlp;
    bool good = !answer->fail && answer->status / 100 == 2;

    b->fetch = NULL;
    o->failures += !good;
    if (good) {
        took(b, answer);
        end_batch(b);
    } else if (answer->fail || passes(answer->status)) {
        try_later(b, answer);
    } else {
        rejected(b, answer->status);
        end_batch(b);
    }
    pump(o, false);
}

static void send_batch(struct batch *b)
{
    struct otlp *o = b->otlp;
    const struct otlp_target *t = o->target;
    struct fetch_request r = {
        .outbound = t->outbound,
        .url = t->url,
        .method = STR("POST"),
        .accept = STR("application/json"),
        .content_type = STR("application/json"),
        .body = buf_view(&b->body),
        .headers = t->headers,
        .header_count = t->header_count,
        .tls = t->tls,
        .timeout_ms = t->timeout_ms,
        .max_bytes = ANSWER_MAX,
        .repeatable = true, /* spans have ids */
    };

    if (!o->fetcher)
        o->fetcher = fetcher_new(o->loop, STR(""), 2 * BATCHES);
    b->fetch = fetch_start(o->fetcher, &r, on_answer, b);
}

static void on_retry(struct timer *t)
{
    struct batch *b =
        (struct batch *)((char *)t - offsetof(struct batch, timer));

    if (b->otlp->target) {
        send_batch(b);
        return;
    }
    b->otlp->dropped[OTLP_GAVE_UP] += b->spans;
    end_batch(b);
}

/* ---- the life of it ---- */

static void on_interval(struct timer *t)
{
    struct otlp *o = (struct otlp *)((char *)t - offsetof(struct otlp, timer));

    pump(o, true);
    timer_set(o->loop, t, loop_now_ms(o->loop) + o->target->interval_ms);
}

static void on_wake(struct task *t)
{
    struct otlp *o = (struct otlp *)((char *)t - offsetof(struct otlp, wake));

    atomic_store(&o->woken, false);
    pump(o, false);
}

/* A thread that makes spans. */
static void wake(void *arg)
{
    struct otlp *o = arg;

    if (!atomic_exchange(&o->woken, true))
        loop_post(o->loop, &o->wake);
}

struct otlp *otlp_new(struct loop *l, unsigned threads)
{
    struct otlp *o = x_new(sizeof(*o));

    o->loop = l;
    o->count = threads;
    o->queues = x_array(threads, sizeof(*o->queues));
    for (unsigned i = 0; i < threads; i++)
        o->queues[i] = span_queue_new(wake, o);
    for (size_t i = 0; i < BATCHES; i++) {
        o->batches[i].otlp = o;
        o->batches[i].timer.fire = on_retry;
    }
    o->timer.fire = on_interval;
    o->wake.run = on_wake;
    rng_seed(&o->rng);
    return o;
}

struct span_queue *otlp_queue(struct otlp *o, unsigned thread)
{
    must(thread < o->count);
    return o->queues[thread];
}

/* Nobody will ever send what is in the queues. */
static void drop_queued(struct otlp *o)
{
    struct buf b;
    uint32_t n;

    for (unsigned i = 0; i < o->count; i++)
        do {
            buf_init(&b, BODY_MAX);
            n = span_queue_take(o->queues[i], UINT32_MAX, true, &b);
            o->dropped[OTLP_GAVE_UP] += n;
            buf_done(&b);
        } while (n);
}

void otlp_use(struct otlp *o, struct otlp_target *t)
{
    otlp_target_free(o->target);
    o->target = t;
    for (unsigned i = 0; i < o->count; i++)
        span_queue_bound(o->queues[i], t ? (uint32_t)t->queue : 0,
                         t ? (uint32_t)t->batch : UINT32_MAX);
    if (t) {
        timer_set(o->loop, &o->timer, loop_now_ms(o->loop) + t->interval_ms);
        return;
    }
    timer_clear(&o->timer);
    drop_queued(o);
}

void otlp_flush(struct otlp *o)
{
    pump(o, true);
}

bool otlp_busy(const struct otlp *o)
{
    if (waits(o) || !o->target)
        return false;
    for (size_t i = 0; i < BATCHES; i++)
        if (o->batches[i].fetch)
            return true;
    return queued(o) > 0;
}

void otlp_free(struct otlp *o)
{
    uint64_t lost;

    if (!o)
        return;
    if (atomic_load(&o->woken))
        loop_turn(o->loop, 0); /* the task is posted */
    lost = queued(o);
    for (size_t i = 0; i < BATCHES; i++) {
        lost += o->batches[i].spans;
        if (o->batches[i].fetch)
            fetch_cancel(o->batches[i].fetch);
        end_batch(&o->batches[i]);
    }
    if (lost)
        log_warn("tracing", "%llu spans were not sent before the end",
                 (unsigned long long)lost);
    fetcher_free(o->fetcher);
    loop_settle(o->loop);
    timer_clear(&o->timer);
    for (unsigned i = 0; i < o->count; i++)
        span_queue_free(o->queues[i]);
    otlp_target_free(o->target);
    x_free(o->queues);
    x_free(o);
}

void otlp_stats(const struct otlp *o, struct otlp_stats *out)
{
    *out = (struct otlp_stats) { .sent = o->sent, .failures = o->failures };
    memcpy(out->dropped, o->dropped, sizeof(out->dropped));
    for (unsigned i = 0; i < o->count; i++) {
        struct span_counts c = span_queue_counts(o->queues[i]);

        out->accepted += c.accepted;
        out->queued += c.queued;
        out->dropped[OTLP_FULL] += c.dropped;
    }
    for (size_t i = 0; i < BATCHES; i++)
        out->queued += o->batches[i].spans;
}
