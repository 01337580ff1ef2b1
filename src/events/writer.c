/* writer.c - passes of the writer: rings to file or spool, spool to file, and
 * the steps of the ledger for them. */
#include "events/writer.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { LOOK_MS = 500 };

static struct ring_file *file_of(struct events *e, uint64_t boot)
{
    for (struct ring_file *f = e->files; f; f = f->next)
        if (f->boot == boot)
            return f;
    return NULL;
}

/* Once for a trouble, not for each try. */
void writer_fail(struct events *e, const char *what)
{
    atomic_fetch_add(&e->failures, 1);
    if (!e->complained)
        log_warn("events", "%s; events wait, and go on when it works again",
                 what);
    e->complained = true;
}

static void well_again(struct events *e)
{
    if (e->complained)
        log_info("events", "events go on");
    e->complained = false;
}

/* Steps */

static void apply(void *arg, const struct ledger_step *step)
{
    struct events *e = arg;
    struct ring_file *f = step->boot ? file_of(e, step->boot) : NULL;
    char path[400];

    if (f && step->ring < f->ring_count)
        ring_take(&f->rings[step->ring], step->tail, step->taken);
    if (!step->retire)
        return;
    f = file_of(e, step->retire);
    if (f)
        ring_file_retire(f);
    snprintf(path, sizeof(path), "%s/ring-%llu", e->folder,
             (unsigned long long)step->retire);
    unlink(path);
}

static struct ledger_step step_now(struct events *e)
{
    return (struct ledger_step) { .totals = ledger_read(e->ledger) };
}

static void step_ring(struct ledger_step *s, const struct ring_file *f,
                      uint32_t ring, uint64_t bytes, uint64_t lines)
{
    const struct ring *r = &f->rings[ring];

    s->boot = f->boot;
    s->ring = ring;
    s->tail = ring_tail(r) + bytes;
    s->taken = atomic_load(&r->state->taken) + lines;
}

/* The spool's position after bytes of it have gone. */
static void step_spool(struct ledger_step *s, const struct ledger_totals *at,
                       uint64_t bytes, uint64_t lines)
{
    s->totals.spool_first = at->spool_first;
    s->totals.spool_at = at->spool_at + bytes;
    s->totals.unspooled += lines;
    s->totals.spool_bytes -=
        bytes < s->totals.spool_bytes ? bytes : s->totals.spool_bytes;
    if (!spool_empty(&s->totals))
        return;
    /* A segment that somebody removed. */
    s->totals.dropped_killed += s->totals.spooled - s->totals.unspooled;
    s->totals.unspooled = s->totals.spooled;
    s->totals.spool_bytes = 0;
}

void writer_settle(struct events *e, struct ring_file *f, uint32_t ring,
                   uint64_t bytes, uint64_t lines, enum fate fate,
                   const struct ledger_totals *spool)
{
    struct ledger_step s = step_now(e);

    if (f)
        step_ring(&s, f, ring, bytes, lines);
    else
        step_spool(&s, spool, bytes, lines);
    if (fate == FATE_DELIVERED)
        s.totals.delivered += lines;
    else if (fate == FATE_REFUSED)
        s.totals.dropped_refused += lines;
    else
        s.totals.dropped_full += lines;
    ledger_apply(e->ledger, &s, apply, e);
    if (!f)
        spool_clean(&e->spool, &s.totals);
}

void writer_recover(struct events *e)
{
    struct ledger_step s;
    enum ledger_left left = ledger_left(e->ledger, &s);

    if (left == LEDGER_WRITING && !ledger_written(e->ledger))
        ledger_write_failed(e->ledger);
    else if (left != LEDGER_NOTHING)
        ledger_apply(e->ledger, &s, apply, e);
}

/* Rings of others */

static void add_file(struct events *e, uint64_t boot)
{
    struct ring_file *f;

    if (ring_file_open(e->folder, boot, &f)) {
        ring_file_remove_bad(e->folder, boot, clock_wall_us() / 1000000);
        return;
    }
    pthread_mutex_lock(&e->lock);
    f->next = e->files;
    e->files = f;
    pthread_mutex_unlock(&e->lock);
}

static void find_files(struct events *e)
{
    DIR *dir = opendir(e->folder);
    struct dirent *d;
    uint64_t boot;

    while (dir && (d = readdir(dir))) {
        struct str name = str_z(d->d_name);

        if (str_starts(name, STR("ring-")) &&
            !str_to_u64(str_skip(name, 5), INT64_MAX, &boot) && boot &&
            !file_of(e, boot))
            add_file(e, boot);
    }
    if (dir)
        closedir(dir);
}

static bool file_empty(const struct ring_file *f)
{
    for (uint32_t i = 0; i < f->ring_count; i++)
        if (ring_used(&f->rings[i]))
            return false;
    return true;
}

/* Its sums go to the ledger's. An event that was made and is nowhere was being
 * made when its process was killed. */
static void retire(struct events *e, struct ring_file **at)
{
    struct ring_file *f = *at;
    struct ledger_step s = step_now(e);

    for (uint32_t i = 0; i < f->ring_count; i++) {
        const struct ring_state *r = f->rings[i].state;
        uint64_t made = atomic_load(&r->made), taken = atomic_load(&r->taken);
        uint64_t dropped = atomic_load(&r->dropped);

        /* It was killed between counting it and saying so. */
        if (made < taken + dropped)
            made = taken + dropped;
        s.totals.past_accepted += made;
        s.totals.past_dropped += dropped;
        s.totals.dropped_killed += made - taken - dropped;
    }
    s.retire = f->boot;
    pthread_mutex_lock(&e->lock);
    ledger_apply(e->ledger, &s, apply, e);
    *at = f->next;
    pthread_mutex_unlock(&e->lock);
    if (f != e->own)
        ring_file_close(f);
}

/* Files that another writer has retired. */
static void forget_retired(struct events *e)
{
    struct ring_file *gone;

    for (struct ring_file **at = &e->files; *at;) {
        if (*at == e->own || !ring_file_retired(*at)) {
            at = &(*at)->next;
            continue;
        }
        pthread_mutex_lock(&e->lock);
        gone = *at;
        *at = gone->next;
        pthread_mutex_unlock(&e->lock);
        ring_file_close(gone);
    }
}

void writer_find(struct events *e)
{
    find_files(e);
    forget_retired(e);
}

void writer_look(struct events *e, bool own_too)
{
    writer_find(e);
    for (struct ring_file **at = &e->files; *at;) {
        struct ring_file *f = *at;

        if ((f == e->own ? own_too : ring_file_look(f)) && file_empty(f))
            retire(e, at);
        else
            at = &f->next;
    }
}

/* Appending: to the spool or the file */

/* One batch of a ring, or of the spool when f is NULL. False: it failed. */
static bool append(struct events *e, struct appender *to, struct ring_file *f,
                   uint32_t ring, struct str lines, struct ledger_step *s,
                   bool spooled, const struct ledger_totals *spool)
{
    uint64_t n = events_count_lines(lines);
    size_t taken;

    if (f)
        step_ring(s, f, ring, lines.len, n);
    else
        step_spool(s, spool, lines.len, n);
    if (spooled) {
        s->totals.spooled += n;
        s->totals.spool_bytes += lines.len;
    } else {
        s->totals.delivered += n;
    }
    if (to->regular)
        ledger_write_begins(e->ledger, s, &to->place, lines.len);
    if (appender_write(to, lines, &taken)) {
        if (to->regular)
            ledger_write_failed(e->ledger);
        return false;
    }
    if (taken < lines.len) { /* of a pipe */
        writer_settle(e, f, ring, taken,
                      events_count_lines(str_head(lines, taken)),
                      FATE_DELIVERED, spool);
        return true;
    }
    ledger_apply(e->ledger, s, apply, e);
    to->place.at += lines.len;
    if (!f)
        spool_clean(&e->spool, &s->totals);
    return true;
}

/* Those of the lines that the spool has room for. */
static struct str that_fit(const struct events *e,
                           const struct ledger_totals *t, struct str lines)
{
    uint64_t room =
        e->conf.spool > t->spool_bytes ? e->conf.spool - t->spool_bytes : 0;
    size_t end;

    if (lines.len <= room)
        return lines;
    lines = str_head(lines, room);
    end = str_rfind(lines, '\n');
    return str_head(lines, end < lines.len ? end + 1 : 0);
}

/* One batch of a ring to the spool, or nowhere when that is full. */
static bool spool_ring(struct events *e, struct ring_file *f, uint32_t ring,
                       struct str lines)
{
    struct ledger_step s = step_now(e);
    struct str fit = that_fit(e, &s.totals, lines);

    if (!fit.len) {
        writer_settle(e, f, ring, lines.len, events_count_lines(lines),
                      FATE_SPOOL_FULL, NULL);
        return true;
    }
    if (spool_ready(&e->spool, &s.totals) ||
        !append(e, &e->spool.last, f, ring, fit, &s, true, NULL)) {
        writer_fail(e, "the spool cannot be written");
        return false;
    }
    return true;
}

bool writer_spool(struct events *e)
{
    bool any = false;

    for (struct ring_file *f = e->files; f; f = f->next)
        for (uint32_t i = 0; i < f->ring_count; i++) {
            struct str lines = ring_lines(&f->rings[i], WRITER_BATCH);

            if (lines.len && !spool_ring(e, f, i, lines))
                return any;
            any = any || lines.len;
        }
    return any;
}

/* Files and standard output */

static bool ready(struct events *e, size_t next)
{
    struct rotation r = { e->conf.rotate_size, e->conf.rotate_ms / 1000,
                          e->conf.keep };
    uint64_t now_s = clock_wall_us() / 1000000;
    char what[700];

    if (!appender_ready(&e->file, now_s)) {
        appender_rotate(&e->file, &r, now_s, next);
        if (e->file.fd >= 0 || !appender_ready(&e->file, now_s))
            return true;
    }
    snprintf(what, sizeof(what), "%s cannot be opened: %s", e->file.path,
             strerrordesc_np(errno));
    writer_fail(e, what);
    return false;
}

static bool wrote(struct events *e, bool ok)
{
    char what[700];

    if (ok) {
        well_again(e);
        return true;
    }
    snprintf(what, sizeof(what), "%s cannot be written: %s",
             e->file.path[0] ? e->file.path : "standard output",
             strerrordesc_np(errno));
    writer_fail(e, what);
    return false;
}

/* What a collector did not take, when events go to a file now. */
static bool unspool(struct events *e, bool *any)
{
    struct ledger_step s = step_now(e);
    struct ledger_totals at = s.totals;
    struct str lines;

    if (spool_empty(&at))
        return true;
    (void)spool_read(&e->spool, &at, e->buf, WRITER_BATCH, &lines);
    if (!lines.len) {
        writer_settle(e, NULL, 0, 0, 0, FATE_DELIVERED, &at);
        return true;
    }
    *any = true;
    return ready(e, lines.len) &&
           wrote(e, append(e, &e->file, NULL, 0, lines, &s, false, &at));
}

static bool file_pass(struct events *e)
{
    bool any = false;

    if (!unspool(e, &any))
        return false;
    for (struct ring_file *f = e->files; f; f = f->next)
        for (uint32_t i = 0; i < f->ring_count; i++) {
            struct str lines = ring_lines(&f->rings[i], WRITER_BATCH);
            struct ledger_step s;

            if (!lines.len)
                continue;
            s = step_now(e);
            if (!ready(e, lines.len) ||
                !wrote(e, append(e, &e->file, f, i, lines, &s, false, NULL)))
                return false;
            any = true;
        }
    return any;
}

bool writer_pass(struct events *e)
{
    uint64_t now = loop_now_ms(e->loop);
    bool any = false;

    if (now >= e->looked_ms + LOOK_MS) {
        e->looked_ms = now;
        writer_look(e, false);
    }
    if (e->conf.to == EVENTS_HTTP)
        any = collector_pass(e);
    else if (e->conf.to != EVENTS_OFF)
        any = file_pass(e);
    return any;
}
