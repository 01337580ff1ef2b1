/* watched.c - see watched.h. */
#include "gateway/watched.h"

#include "base/clock.h"
#include "base/log.h"

enum err watched_open(struct watched *w, const struct watched_kind *kind,
                      struct str path, struct problems *ps)
{
    void *thing;
    enum err e;

    memset(w, 0, sizeof(*w));
    w->kind = kind;
    if (!path.len)
        return ERR_OK;
    /* Before reading: what is written meanwhile will be seen as new. */
    file_mark_take(path, &w->seen);
    e = kind->load(path, ps, &thing);
    if (e)
        return e;
    w->path = path;
    w->loaded_s = clock_wall_us() / 1000000;
    atomic_init(&w->thing, thing);
    return ERR_OK;
}

static void say(const struct watched *w, const struct problems *ps)
{
    for (const struct problem *p = ps->first; p; p = p->next)
        log_error(w->kind->topic, "%.*s; the %s read before stay",
                  STR_ARG(problem_line(ps->arena, p)), w->kind->what);
}

static void failed(struct watched *w, const struct file_mark *now,
                   const struct problems *ps)
{
    if (w->stale && !file_mark_differs(now, &w->bad))
        return;
    w->bad = *now;
    w->stale = true;
    w->failures++;
    say(w, ps);
}

/* The same bad file is not read over and over. */
static bool is_new(struct watched *w, const struct file_mark *now)
{
    if (!file_mark_differs(now, &w->seen)) {
        w->stale = false; /* the old one is back */
        return false;
    }
    return !w->stale || file_mark_differs(now, &w->bad);
}

static enum err load(const struct watched *w, const struct file_mark *now,
                     struct problems *ps, void **out)
{
    if (!now->s.st_ino && w->kind->stays) {
        problem_error(ps, w->path, 0,
                      "is not there any more; put it back, or an empty one");
        return ERR_NOT_FOUND;
    }
    return w->kind->load(w->path, ps, out);
}

bool watched_refresh(struct watched *w, void **old)
{
    struct file_mark now;
    struct problems ps;
    struct arena *a;
    void *made;
    bool fine;

    *old = NULL;
    if (!w->path.len)
        return false;
    file_mark_take(w->path, &now);
    if (!is_new(w, &now))
        return false;
    a = arena_new();
    problems_init(&ps, a);
    fine = !load(w, &now, &ps, &made);
    if (fine) {
        log_info(w->kind->topic, "%.*s was read: %zu %s", STR_ARG(w->path),
                 w->kind->count(made), w->kind->what);
        *old = atomic_load(&w->thing);
        atomic_store_explicit(&w->thing, made, memory_order_release);
        w->seen = now;
        w->stale = false;
        w->loaded_s = clock_wall_us() / 1000000;
    } else {
        failed(w, &now, &ps);
    }
    arena_free(a);
    return fine;
}

void watched_take(struct watched *w, const struct watched *from, void **old)
{
    *old = atomic_load(&w->thing);
    w->kind = from->kind;
    w->path = from->path;
    w->seen = from->seen;
    w->stale = false;
    w->loaded_s = from->loaded_s;
    atomic_store_explicit(
        &w->thing, atomic_load(&((struct watched *)(uintptr_t)from)->thing),
        memory_order_release);
}

void watched_close(struct watched *w)
{
    if (w->kind)
        w->kind->free(atomic_load(&w->thing));
    atomic_store(&w->thing, NULL);
}
