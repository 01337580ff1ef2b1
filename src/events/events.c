/* events.c - opening, settings, the writer's thread, and the end. */
#include "events/events.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "events/writer.h"
#include "format/uri.h"
#include "http/server.h"

enum { PAUSE_LEAST = 20, PAUSE_MOST = 1000, LOCK_MS = 100, TRIES = 100 };

#define CONF(member) offsetof(struct events_conf, member)
#define DAY_MS (24 * 3600 * 1000ull)

static const char *const to_names[] = { "off", "file", "stdout", "http", NULL };

const struct conf_field events_fields[] = {
    { .name = "to",
      .type = CONF_ENUM,
      .at = CONF(to),
      .choices = to_names,
      .def = "off",
      .help = "Where an event for each call goes: one line of JSON each, to a "
              "file, to standard output, or in batches to an HTTP receiver. "
              "docs/events.md lists the members." },
    { .name = "file",
      .type = CONF_STRING,
      .at = CONF(file),
      .help = "For `to: file`. Its folder must be writable by gateway.user, or "
              "it cannot be rotated. Default: events.ndjson in state_dir." },
    { .name = "rotate_size",
      .type = CONF_SIZE,
      .at = CONF(rotate_size),
      .min = 64 * 1024,
      .def = "100m",
      .help = "A file that would grow beyond this is renamed to "
              "FILE.20261127T091530Z, and a new one begun." },
    { .name = "rotate_every",
      .type = CONF_DURATION_MS,
      .at = CONF(rotate_ms),
      .max = 366 * DAY_MS,
      .def = "1d",
      .help = "The same at each multiple of this time (UTC). 0: never." },
    { .name = "keep",
      .type = CONF_U64,
      .at = CONF(keep),
      .max = 500,
      .def = "14",
      .help = "So many renamed files are kept. 0: all." },
    { .name = "url",
      .type = CONF_STRING,
      .at = CONF(url),
      .help = "For `to: http`: batches are posted there as "
              "application/x-ndjson. 2xx means they were taken; after 400, 413 "
              "and 422 smaller ones are tried, and an event that is refused "
              "alone is dropped; anything else means later. Private addresses "
              "need gateway.outbound.allow." },
    { .name = "authorization",
      .type = CONF_STRING,
      .at = CONF(authorization),
      .help = "The Authorization field for it, such as Bearer ${TOKEN}." },
    { .name = "batch",
      .type = CONF_U64,
      .at = CONF(batch),
      .min = 1,
      .max = 10000,
      .def = "1000",
      .help = "Events in one request at most; never more than 1 MiB." },
    { .name = "interval",
      .type = CONF_DURATION_MS,
      .at = CONF(interval_ms),
      .max = 60 * 1000,
      .def = "1s",
      .help = "Between two requests that are not full." },
    { .name = "timeout",
      .type = CONF_DURATION_MS,
      .at = CONF(timeout_ms),
      .min = 100,
      .max = 60 * 1000,
      .def = "10s",
      .help = "For the receiver's answer." },
    { .name = "tls",
      .type = CONF_SECTION,
      .at = CONF(tls),
      .fields = tls_client_fields,
      .help = "TLS towards the receiver. Default: as gateway.outbound.tls." },
    { .name = "spool",
      .type = CONF_SIZE,
      .at = CONF(spool),
      .def = "1g",
      .help = "Disk space in state_dir for events that the receiver does not "
              "take at the moment. When it is used up, new events are dropped "
              "and counted." },
    { .name = "ring",
      .type = CONF_SIZE,
      .at = CONF(ring),
      .min = 64 * 1024,
      .max = 256 << 20,
      .def = "4m",
      .help = "Memory of each thread for events on their way to the writer. "
              "Takes effect at the next start." },
    { .name = "region",
      .type = CONF_STRING,
      .at = CONF(region),
      .def = "default",
      .help = "regionId in each event." },
    { 0 },
};

struct str events_file(struct arena *a, const struct events_conf *conf,
                       struct str state_dir)
{
    if (conf->file.len)
        return arena_copy(a, conf->file);
    return arena_printf(a, "%.*s/events.ndjson", STR_ARG(state_dir));
}

/* Opening */

static enum err open_all(struct events *e, unsigned threads, uint64_t ring)
{
    if (mkdir(e->folder, 0700) && errno != EEXIST)
        return ERR_IO;
    if (ledger_open(e->folder, &e->ledger))
        return ERR_IO;
    e->boot = ledger_boot(e->ledger);
    return ring_file_new(e->folder, e->boot, threads, ring, &e->own);
}

static void free_all(struct events *e)
{
    for (struct ring_file *f; (f = e->files);) {
        e->files = f->next;
        if (f != e->own)
            ring_file_close(f);
    }
    if (e->own)
        ring_file_close(e->own);
    ledger_close(e->ledger);
    appender_close(&e->file);
    spool_close(&e->spool);
    outbound_unref(e->outbound);
    tls_context_unref(e->tls);
    arena_free(e->arena);
    loop_free(e->loop);
    pthread_mutex_destroy(&e->lock);
    x_free(e->buf);
    x_free(e);
}

static void on_tick(struct timer *t);
static void on_wake(struct task *t);

enum err events_open(struct str state_dir, unsigned threads, uint64_t ring,
                     struct problems *ps, struct events **out)
{
    struct events *e = x_new(sizeof(*e));

    snprintf(e->state_dir, sizeof(e->state_dir), "%.*s", STR_ARG(state_dir));
    snprintf(e->folder, sizeof(e->folder), "%.*s/events", STR_ARG(state_dir));
    pthread_mutex_init(&e->lock, NULL);
    appender_init(&e->file, STR_NULL);
    spool_init(&e->spool, e->folder);
    e->loop = loop_new();
    e->tick.fire = on_tick;
    e->wake.run = on_wake;
    if (!state_dir.len || open_all(e, threads, ring)) {
        problem_error(ps, str_z(e->folder), 0,
                      "cannot be used: %s; events need it (state_dir)",
                      state_dir.len ? strerrordesc_np(errno)
                                    : "there is no state folder");
        free_all(e);
        return ERR_IO;
    }
    e->files = e->own;
    writer_find(e);
    e->buf = x_new(WRITER_BATCH);
    *out = e;
    return ERR_OK;
}

/* Settings */

static bool is_url(struct arena *a, struct str text)
{
    struct url url;

    return !url_parse(a, text, &url) && url.host.len && !url.userinfo.p &&
           (str_is(url.scheme, "http") || str_is(url.scheme, "https"));
}

enum err events_check(const struct events_conf *conf, struct str state_dir,
                      struct str file, struct problems *ps)
{
    struct arena *a = arena_new();
    struct str path = events_file(a, conf, state_dir);
    struct tls_context *tls;
    enum err e = ERR_OK;
    struct stat st;

    if (conf->to == EVENTS_HTTP && !is_url(a, conf->url)) {
        problem_error(ps, file, 0,
                      "gateway.events.url: `to: http` needs an address such as "
                      "https://collector.example/events");
        e = ERR_INVALID;
    }
    if (conf->to == EVENTS_FILE && path.len >= 500) {
        problem_error(ps, file, 0, "gateway.events.file: the path is too long");
        e = ERR_INVALID;
    } else if (conf->to == EVENTS_FILE && conf->file.len &&
               !stat(path.p, &st) && S_ISDIR(st.st_mode)) {
        problem_error(ps, file, 0,
                      "gateway.events.file: %.*s is a folder; name a file",
                      STR_ARG(path));
        e = ERR_INVALID;
    }
    if (!e && conf->to == EVENTS_HTTP && outbound_tls_given(&conf->tls)) {
        e = outbound_tls_new(&conf->tls, file, ps, &tls);
        if (!e)
            tls_context_unref(tls);
    }
    arena_free(a);
    return e;
}

/* What events_use() hands to the writer's thread. */
struct change {
    struct task task; /* first */
    struct events *events;
    struct arena *arena;
    struct events_conf conf;
    struct outbound *outbound;
    struct tls_context *tls;
};

static void take_change(struct task *t)
{
    struct change *c = (struct change *)t;
    struct events *e = c->events;
    struct str path = STR_NULL;

    if (e->fetcher && (e->conf.to != c->conf.to || c->conf.to == EVENTS_HTTP))
        collector_stop(e);
    e->sending = (struct sending) { 0 };
    arena_free(e->arena);
    outbound_unref(e->outbound);
    tls_context_unref(e->tls);
    e->arena = c->arena;
    e->conf = c->conf;
    e->outbound = c->outbound;
    e->tls = c->tls;
    if (c->conf.to == EVENTS_FILE)
        path = events_file(e->arena, &e->conf, str_z(e->state_dir));
    if (!str_is(path, e->file.path)) {
        appender_close(&e->file);
        appender_init(&e->file, path);
    }
    x_free(c);
    timer_set(e->loop, &e->tick, loop_now_ms(e->loop));
}

/* events_check() has made the same a moment ago; its files can be gone since.
 * *out is NULL when the TLS of other outbound calls is to be used. */
static enum err make_tls(const struct events_conf *conf, struct str file,
                         struct tls_context **out)
{
    struct arena *a = arena_new();
    struct problems ps;
    enum err e = ERR_OK;

    problems_init(&ps, a);
    *out = NULL;
    if (conf->to == EVENTS_HTTP && outbound_tls_given(&conf->tls))
        e = outbound_tls_new(&conf->tls, file, &ps, out);
    arena_free(a);
    return e;
}

void events_use(struct events *e, const struct events_conf *conf,
                struct outbound *outbound, struct str file)
{
    struct tls_context *tls;
    struct change *c;

    if (make_tls(conf, file, &tls)) {
        log_error("events", "gateway.events.tls: its files cannot be read any "
                            "more; events go where they went");
        return;
    }
    c = x_new(sizeof(*c));
    c->task.run = take_change;
    c->events = e;
    c->arena = arena_new();
    c->conf = *conf;
    c->conf.file = arena_copy(c->arena, conf->file);
    c->conf.url = arena_copy(c->arena, conf->url);
    c->conf.authorization = arena_copy(c->arena, conf->authorization);
    c->conf.region = STR_NULL;
    c->conf.tls = (struct tls_client_conf) { 0 };
    c->outbound = outbound ? outbound_ref(outbound) : NULL;
    c->tls = tls;
    loop_post(e->loop, &c->task);
}

/* The thread */

static bool become_writer(struct events *e)
{
    if (!ledger_lock(e->ledger))
        return false;
    writer_look(e, false);
    writer_recover(e);
    e->writing = true;
    return true;
}

static bool all_done(struct events *e)
{
    struct ledger_totals t = ledger_read(e->ledger);

    for (uint32_t i = 0; i < e->own->ring_count; i++)
        if (ring_used(&e->own->rings[i]))
            return false;
    return !e->sending.fetch &&
           (e->conf.to != EVENTS_HTTP || spool_empty(&t) || e->sending.away);
}

/* Events are sent as long as there is time. */
static void close_pass(struct events *e)
{
    uint64_t now = loop_now_ms(e->loop);
    bool any = e->writing && writer_pass(e);

    e->sending.due_ms = e->sending.away ? e->sending.due_ms : now;
    if (e->writing && !all_done(e) && now < e->close_at_ms &&
        e->conf.to != EVENTS_OFF) {
        timer_set(e->loop, &e->tick, now + (any ? 1 : PAUSE_LEAST));
        return;
    }
    collector_stop(e);
    if (e->writing)
        writer_look(e, true);
    loop_stop(e->loop);
}

static void on_tick(struct timer *t)
{
    struct events *e =
        (struct events *)((char *)t - offsetof(struct events, tick));
    uint64_t now = loop_now_ms(e->loop);

    if (e->closing) {
        close_pass(e);
        return;
    }
    if (!e->writing && !become_writer(e)) {
        writer_find(e);
        timer_set(e->loop, t, now + LOCK_MS);
        return;
    }
    if (writer_pass(e))
        e->pause_ms = PAUSE_LEAST;
    else if (e->pause_ms < PAUSE_MOST)
        e->pause_ms = e->pause_ms ? e->pause_ms * 2 : PAUSE_LEAST;
    /* While nothing can be written every call would wake the writer in vain:
     * then the timer alone does. */
    if (!e->complained)
        atomic_store(&e->woken, false);
    timer_set(e->loop, t, now + e->pause_ms);
}

static void on_wake(struct task *t)
{
    struct events *e =
        (struct events *)((char *)t - offsetof(struct events, wake));

    on_tick(&e->tick);
}

static void *run(void *arg)
{
    struct events *e = arg;

    if (e->begin)
        e->begin();
    timer_set(e->loop, &e->tick, loop_now_ms(e->loop));
    loop_run(e->loop);
    loop_settle(e->loop);
    http_thread_done();
    return NULL;
}

void events_start(struct events *e, void (*begin)(void))
{
    sigset_t all, old;

    e->begin = begin;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    must(pthread_create(&e->thread, NULL, run, e) == 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_setname_np(e->thread, "events");
    e->running = true;
}

struct closing {
    struct task task; /* first */
    struct events *events;
    unsigned max_ms;
};

static void begin_closing(struct task *t)
{
    struct closing *c = (struct closing *)t;
    struct events *e = c->events;

    e->closing = true;
    e->close_at_ms = loop_now_ms(e->loop) + c->max_ms;
    timer_set(e->loop, &e->tick, loop_now_ms(e->loop));
}

void events_close(struct events *e, unsigned max_ms)
{
    struct closing c = { { .run = begin_closing }, e, max_ms };

    if (!e)
        return;
    if (e->running) {
        loop_post(e->loop, &c.task);
        pthread_join(e->thread, NULL);
    }
    loop_finish(e->loop);
    free_all(e);
}

/* For those who make events */

struct ring *events_ring(struct events *e, unsigned thread)
{
    return &e->own->rings[thread];
}

const char *events_gateway(const struct events *e)
{
    return ledger_gateway(e->ledger);
}

uint64_t events_boot(const struct events *e)
{
    return e->boot;
}

void events_wake_writer(struct events *e)
{
    if (!atomic_exchange(&e->woken, true))
        loop_post(e->loop, &e->wake);
}

static void add_rings(const struct events *e, uint64_t *made, uint64_t *dropped)
{
    *made = *dropped = 0;
    for (const struct ring_file *f = e->files; f; f = f->next)
        for (uint32_t i = 0; i < f->ring_count && !ring_file_retired(f); i++) {
            *made += atomic_load(&f->rings[i].state->made);
            *dropped += atomic_load(&f->rings[i].state->dropped);
        }
}

void events_stats(struct events *e, struct events_stats *out)
{
    struct ledger_totals t;
    uint64_t made, dropped, version;
    unsigned tries = 0;

    pthread_mutex_lock(&e->lock);
    do {
        version = ledger_version(e->ledger);
        t = ledger_read(e->ledger);
        add_rings(e, &made, &dropped);
    } while (version != ledger_version(e->ledger) && ++tries < TRIES);
    pthread_mutex_unlock(&e->lock);
    *out = (struct events_stats) {
        .accepted = t.past_accepted + made,
        .delivered = t.delivered,
        .spooled = t.spooled - t.unspooled,
        .dropped_ring = t.past_dropped + dropped,
        .dropped_spool = t.dropped_full,
        .dropped_refused = t.dropped_refused,
        .dropped_killed = t.dropped_killed,
        .failures = atomic_load(&e->failures),
        .spool_bytes = t.spool_bytes,
    };
    made = out->delivered + out->spooled + out->dropped_ring +
           out->dropped_spool + out->dropped_refused + out->dropped_killed;
    out->waiting = out->accepted > made ? out->accepted - made : 0;
}
