/* ledger.c - see ledger.h. */
#include "events/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#define MAGIC 0x31524544474c5454ull /* "TTLGDER1" */

enum { BYTES = 4096 };
enum phase { PHASE_NONE, PHASE_WRITE, PHASE_APPLY };

struct ledger_map {
    _Atomic uint64_t magic; /* last, when it is begun */
    char gateway[24];
    _Atomic uint64_t boots;
    _Atomic uint64_t reading; /* odd while totals change */
    _Atomic uint32_t phase;
    struct ledger_totals totals;
    struct ledger_step step;
    struct ledger_place place; /* of PHASE_WRITE, as bytes */
    uint64_t bytes;
};
_Static_assert(sizeof(struct ledger_map) <= BYTES, "one page");

struct ledger {
    struct ledger_map *map;
    int fd;
};

static void begin_anew(struct ledger_map *m)
{
    uint64_t id;

    memset(m, 0, BYTES);
    random_bytes(&id, sizeof(id));
    snprintf(m->gateway, sizeof(m->gateway), "%016llx", (unsigned long long)id);
    m->totals.spool_first = 1;
    atomic_store_explicit(&m->magic, MAGIC, memory_order_release);
}

enum err ledger_open(const char *folder, struct ledger **out)
{
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    struct ledger *l = x_new(sizeof(*l));
    char path[300];
    void *p = MAP_FAILED;

    snprintf(path, sizeof(path), "%s/ledger", folder);
    l->fd = open(path, flags, 0600);
    /* Not ftruncate(): on a full disk a store would be a signal. */
    if (l->fd >= 0)
        errno = posix_fallocate(l->fd, 0, BYTES);
    if (l->fd >= 0 && !errno)
        p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
    if (p == MAP_FAILED) {
        int error = errno;

        if (l->fd >= 0)
            close(l->fd);
        x_free(l);
        errno = error;
        return ERR_IO;
    }
    l->map = p;
    if (l->map->magic != MAGIC)
        begin_anew(l->map);
    *out = l;
    return ERR_OK;
}

void ledger_close(struct ledger *l)
{
    if (!l)
        return;
    munmap(l->map, BYTES);
    close(l->fd);
    x_free(l);
}

const char *ledger_gateway(const struct ledger *l)
{
    return l->map->gateway;
}

uint64_t ledger_boot(struct ledger *l)
{
    return atomic_fetch_add(&l->map->boots, 1) + 1;
}

bool ledger_lock(struct ledger *l)
{
    return flock(l->fd, LOCK_EX | LOCK_NB) == 0;
}

void ledger_unlock(struct ledger *l)
{
    flock(l->fd, LOCK_UN);
}

/* The totals are words, read and written one by one; `reading` says whether
 * they belong together. A writer that died in between left it odd: then what
 * is there is what there is. */
enum { WORDS = sizeof(struct ledger_totals) / 8, TRIES = 1000 };

static void copy_words(void *to, const void *from)
{
    uint64_t *out = to;
    const uint64_t *in = from;

    for (size_t i = 0; i < WORDS; i++)
        __atomic_store_n(&out[i], __atomic_load_n(&in[i], __ATOMIC_ACQUIRE),
                         __ATOMIC_RELEASE);
}

struct ledger_totals ledger_read(const struct ledger *l)
{
    struct ledger_totals t;

    for (int i = 0; i < TRIES; i++) {
        uint64_t before = atomic_load(&l->map->reading);

        copy_words(&t, &l->map->totals);
        if (!(before & 1) && before == atomic_load(&l->map->reading))
            break;
    }
    return t;
}

uint64_t ledger_version(const struct ledger *l)
{
    return atomic_load(&l->map->reading);
}

enum ledger_left ledger_left(const struct ledger *l, struct ledger_step *step)
{
    *step = l->map->step;
    switch (atomic_load(&l->map->phase)) {
    case PHASE_WRITE:
        return LEDGER_WRITING;
    case PHASE_APPLY:
        return LEDGER_APPLYING;
    default:
        return LEDGER_NOTHING;
    }
}

bool ledger_written(struct ledger *l)
{
    const struct ledger_map *m = l->map;
    const struct ledger_place *p = &m->place;
    int fd = open(p->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    bool whole = false;

    if (fd < 0)
        return false;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_dev == p->dev &&
        st.st_ino == p->ino && (uint64_t)st.st_size >= p->at) {
        whole = (uint64_t)st.st_size >= p->at + m->bytes;
        if (!whole && ftruncate(fd, (off_t)p->at))
            log_error("events", "%s: half a line cannot be cut off: %m",
                      p->path);
    }
    close(fd);
    return whole;
}

void ledger_write_begins(struct ledger *l, const struct ledger_step *step,
                         const struct ledger_place *place, uint64_t bytes)
{
    struct ledger_map *m = l->map;

    must(atomic_load(&m->phase) == PHASE_NONE);
    m->step = *step;
    m->place = *place;
    m->bytes = bytes;
    atomic_store_explicit(&m->phase, PHASE_WRITE, memory_order_release);
}

void ledger_write_failed(struct ledger *l)
{
    atomic_store(&l->map->phase, PHASE_NONE);
}

void ledger_apply(struct ledger *l, const struct ledger_step *step,
                  void (*apply)(void *arg, const struct ledger_step *step),
                  void *arg)
{
    struct ledger_map *m = l->map;
    uint64_t n = atomic_load(&m->reading) & ~1ull;

    /* Nobody is inside a step of ours but us, or a dead one's is repeated. */
    if (atomic_load(&m->phase) == PHASE_NONE)
        m->step = *step;
    atomic_store_explicit(&m->phase, PHASE_APPLY, memory_order_release);
    atomic_store(&m->reading, n + 1);
    copy_words(&m->totals, &step->totals);
    if (apply)
        apply(arg, step);
    atomic_store(&m->reading, n + 2);
    atomic_store(&m->phase, PHASE_NONE);
}
