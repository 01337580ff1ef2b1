/* counters.c - opening the table, and who has it open. */
#include "traffic/counters_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

_Static_assert(sizeof(struct slot) == 64, "one line of the cache");
_Static_assert(sizeof(struct header) <= HEADER_BYTES, "room for the header");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "no locks behind atomics");

enum { LOOK_MOST = 1 << 18 }; /* slots for metrics: a few milliseconds */

_Thread_local struct taker_of_thread taker_of_thread;

/* ---- the file ---- */

/* Locks of an open file, not of a process: two tables that one process has
 * open do not meet, and only the last descriptor gives them back. */
bool counters_lock(int fd, int byte, short kind, bool wait)
{
    struct flock lock = {
        .l_type = kind, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
    };

    while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

static size_t blocks_of(uint64_t slots)
{
    return (slots / BLOCK + 4095) & ~(size_t)4095;
}

static size_t bytes_of(uint64_t slots)
{
    return HEADER_BYTES + blocks_of(slots) + OPS * sizeof(struct op) +
           slots * sizeof(struct slot);
}

static enum err map_file(struct counters *c, uint64_t slots)
{
    char *p;

    c->bytes = bytes_of(slots);
    p = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
    if (p == MAP_FAILED)
        return ERR_IO;
    madvise(p, c->bytes, MADV_DONTFORK);
    madvise(p, c->bytes, MADV_DONTDUMP);
    c->header = (struct header *)(void *)p;
    p += HEADER_BYTES;
    c->blocks = (_Atomic unsigned char *)(void *)p;
    p += blocks_of(slots);
    c->ops = (struct op *)(void *)p;
    p += OPS * sizeof(struct op);
    c->slots = (struct slot *)(void *)p;
    c->mask = (uint32_t)slots - 1;
    return ERR_OK;
}

static void unmap(struct counters *c)
{
    if (c->header)
        munmap(c->header, c->bytes);
    c->header = NULL;
}

/* Why what lies in the file is no table of ours, or NULL. */
static const char *unusable(int fd, uint64_t *slots, struct limit_seed *seed)
{
    struct header h;
    struct stat st;

    if (fstat(fd, &st) || st.st_size < (off_t)sizeof(h) ||
        pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
        return "it is cut short";
    if (h.magic != COUNTERS_MAGIC)
        return "it is not a table of counters, or was not finished";
    if (h.version != COUNTERS_VERSION || h.slot_bytes != sizeof(struct slot) ||
        h.op_bytes != sizeof(struct op))
        return "it has the layout of another version";
    if (h.slots < COUNTERS_LEAST_SLOTS || h.slots > COUNTERS_MOST_SLOTS ||
        (h.slots & (h.slots - 1)) || (uint64_t)st.st_size < bytes_of(h.slots))
        return "its size is wrong";
    *slots = h.slots;
    *seed = h.seed;
    return NULL;
}

/* Fills an empty file but for its magic word. The memory is reserved at once:
 * a full tmpfs is an error here and not a signal later. */
static enum err make_table(struct counters *c, uint64_t slots,
                           struct limit_seed seed)
{
    int e;

    if (ftruncate(c->fd, 0))
        return ERR_IO;
    e = posix_fallocate(c->fd, 0, (off_t)bytes_of(slots));
    if (e) {
        errno = e;
        return ERR_IO;
    }
    if (map_file(c, slots))
        return ERR_IO;
    c->header->version = COUNTERS_VERSION;
    c->header->slots = slots;
    c->header->slot_bytes = sizeof(struct slot);
    c->header->op_bytes = sizeof(struct op);
    c->header->seed = seed;
    return ERR_OK;
}

/* ---- opening ---- */

struct opening {
    const struct counters_conf *conf;
    uint64_t now_us;
    uint64_t slots;
    struct counters_opened *opened;
};

static uint64_t wanted_slots(uint64_t slots)
{
    uint64_t n = COUNTERS_LEAST_SLOTS;

    while (n < slots && n < COUNTERS_MOST_SLOTS)
        n *= 2;
    return n;
}

static struct limit_seed seed_for_new(const struct counters_conf *conf)
{
    struct limit_seed seed;

    if (conf->seed)
        return *conf->seed;
    if (!conf->disk_path || !disk_seed(conf->disk_path, &seed))
        random_bytes(&seed, sizeof(seed));
    return seed;
}

static enum err finish_table(struct counters *c, const struct opening *o)
{
    if (c->disk_path)
        o->opened->loaded = disk_load(c, o->now_us, &o->opened->disk_bad);
    word_set(&c->header->magic, COUNTERS_MAGIC);
    o->opened->created = true;
    return ERR_OK;
}

/* Opens path and waits for its lock, until what is locked is what the path
 * leads to. */
static enum err open_locked(const char *path, int *fd)
{
    struct stat ours, there;

    for (;;) {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (*fd < 0)
            return ERR_IO;
        if (!counters_lock(*fd, LOCK_OPEN, F_WRLCK, true) ||
            fstat(*fd, &ours)) {
            close(*fd);
            return ERR_IO;
        }
        if (!stat(path, &there) && ours.st_ino == there.st_ino &&
            ours.st_dev == there.st_dev)
            return ERR_OK;
        close(*fd);
    }
}

/* A new file in the place of path's, which who has it open keeps. The new one
 * is locked before anybody can see it. */
static enum err replace_file(struct counters *c, const struct opening *o,
                             uint64_t slots, struct limit_seed seed)
{
    char *temporary;
    int old = c->fd;
    enum err e = ERR_IO;

    if (asprintf(&temporary, "%s.new", o->conf->path) < 0)
        return ERR_IO;
    unlink(temporary);
    c->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (c->fd >= 0 && counters_lock(c->fd, LOCK_OPEN, F_WRLCK, false) &&
        !make_table(c, slots, seed) && !rename(temporary, o->conf->path))
        e = ERR_OK;
    if (e && c->fd >= 0)
        unlink(temporary);
    free(temporary);
    if (old >= 0)
        close(old);
    return e;
}

static bool alone(int fd)
{
    for (int p = 0; p < PROCESSES; p++) {
        if (!counters_lock(fd, LOCK_PROCESS + p, F_WRLCK, false))
            return false;
        counters_lock(fd, LOCK_PROCESS + p, F_UNLCK, false);
    }
    return true;
}

/* Another number of slots is wanted and nobody else has the table: moves what
 * still counts into a new one. */
static enum err resize(struct counters *c, const struct opening *o,
                       uint64_t slots, struct limit_seed seed)
{
    struct counters old = *c;
    enum err e;

    e = map_file(&old, slots);
    if (e)
        return e;
    for (uint32_t i = 0; i < OPS; i++)
        op_bury(&old, i);
    old.fd = -1; /* replace_file() closes it */
    e = replace_file(c, o, o->slots, seed);
    for (uint32_t i = 0; i <= old.mask && !e; i++) {
        struct record r;
        uint64_t state;

        if (record_from(&old, i, o->now_us, &r, &state))
            o->opened->moved += record_put(c, &r, o->now_us);
    }
    if (!e) {
        word_set(&c->header->boots, word_get(&old.header->boots));
        word_set(&c->header->magic, COUNTERS_MAGIC);
    }
    unmap(&old);
    return e;
}

static enum err open_path(struct counters *c, const struct opening *o)
{
    struct limit_seed seed;
    uint64_t slots;
    struct stat st;
    enum err e = open_locked(o->conf->path, &c->fd);

    if (e)
        return e;
    if (fstat(c->fd, &st))
        return ERR_IO;
    if (!st.st_size) {
        e = make_table(c, o->slots, seed_for_new(o->conf));
        return e ? e : finish_table(c, o);
    }
    o->opened->replaced = unusable(c->fd, &slots, &seed);
    if (o->opened->replaced) {
        e = replace_file(c, o, o->slots, seed_for_new(o->conf));
        return e ? e : finish_table(c, o);
    }
    if (slots != o->slots && alone(c->fd))
        return resize(c, o, slots, seed);
    return map_file(c, slots);
}

static int own_memory(void)
{
    return memfd_create("tollgate-counters", MFD_CLOEXEC);
}

/* An open file of its own for the memory behind fd, so that locks are ours. */
static int open_again(int fd)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDWR | O_CLOEXEC);
}

static enum err open_fd(struct counters *c, const struct opening *o)
{
    struct limit_seed seed;
    uint64_t slots;
    struct stat st = { 0 };
    enum err e;

    c->fd = o->conf->fd < 0 ? own_memory() : open_again(o->conf->fd);
    if (c->fd < 0 || !counters_lock(c->fd, LOCK_OPEN, F_WRLCK, true) ||
        fstat(c->fd, &st))
        return ERR_IO;
    if (st.st_size) {
        o->opened->replaced = unusable(c->fd, &slots, &seed);
        if (!o->opened->replaced)
            return map_file(c, slots);
        /* Who has it open keeps it. */
        close(c->fd);
        c->fd = own_memory();
        if (c->fd < 0 || !counters_lock(c->fd, LOCK_OPEN, F_WRLCK, true))
            return ERR_IO;
    }
    e = make_table(c, o->slots, seed_for_new(o->conf));
    return e ? e : finish_table(c, o);
}

/* ---- processes ---- */

/* The lock of process is ours, so whoever had it is gone. */
static void bury(struct counters *c, unsigned process)
{
    struct header *h = c->header;
    uint64_t generation = word_get(&h->processes[process].generation) + 1;

    for (uint32_t i = 0; i < OPS; i++) {
        if (word_get(&c->ops[i].holder) != process + 1)
            continue;
        op_bury(c, i);
        word_set(&c->ops[i].holder, 0);
    }
    word_set(&h->processes[process].generation, generation & START_MAX);
    atomic_fetch_and(&h->live, ~(1ull << process));
}

void counters_bury_dead(struct counters *c)
{
    uint64_t live = word_get(&c->header->live) & ~(1ull << c->process);

    for (; live; live &= live - 1) {
        unsigned process = (unsigned)__builtin_ctzll(live);

        if (!counters_lock(c->fd, LOCK_PROCESS + (int)process, F_WRLCK, false))
            continue;
        bury(c, process);
        counters_lock(c->fd, LOCK_PROCESS + (int)process, F_UNLCK, false);
    }
}

static enum err become_process(struct counters *c)
{
    for (unsigned p = 0; p < PROCESSES; p++) {
        if (!counters_lock(c->fd, LOCK_PROCESS + (int)p, F_WRLCK, false))
            continue;
        bury(c, p);
        c->process = p;
        c->generation = word_get(&c->header->processes[p].generation);
        atomic_fetch_or(&c->header->live, 1ull << p);
        return ERR_OK;
    }
    return ERR_LIMIT;
}

enum err counters_open(const struct counters_conf *conf, uint64_t now_us,
                       struct counters **out, struct counters_opened *opened)
{
    static _Atomic uint64_t last_id;
    struct counters *c = x_new(sizeof(*c));
    struct opening o = { conf, now_us, wanted_slots(conf->slots), opened };
    enum err e;

    memset(opened, 0, sizeof(*opened));
    c->fd = -1;
    c->full = conf->full;
    c->disk_path = conf->disk_path ? x_strdup(str_z(conf->disk_path)) : NULL;
    pthread_mutex_init(&c->mutex, NULL);
    e = conf->path ? open_path(c, &o) : open_fd(c, &o);
    if (!e)
        e = become_process(c);
    if (e) {
        counters_close(c);
        return e;
    }
    counters_bury_dead(c);
    opened->slots = c->mask + 1;
    opened->boots = atomic_fetch_add(&c->header->boots, 1) + 1;
    c->id = atomic_fetch_add(&last_id, 1) + 1;
    counters_lock(c->fd, LOCK_OPEN, F_UNLCK, false);
    *out = c;
    return ERR_OK;
}

void counters_close(struct counters *c)
{
    int error = errno;

    if (!c)
        return;
    if (c->id) /* it is open */
        bury(c, c->process);
    while (c->takers) {
        struct taker *t = c->takers;

        c->takers = t->next;
        x_free(t);
    }
    unmap(c);
    if (c->fd >= 0)
        close(c->fd);
    pthread_mutex_destroy(&c->mutex);
    x_free(c->disk_path);
    x_free(c);
    errno = error;
}

int counters_fd(const struct counters *c)
{
    return c->fd;
}

struct limit_seed counters_seed(const struct counters *c)
{
    return c->header->seed;
}

/* ---- threads ---- */

static void get_op(struct counters *c, struct taker *t)
{
    for (uint32_t i = 0; i < OPS; i++) {
        uint32_t at = (c->process * (OPS / PROCESSES) + i) % OPS;
        uint64_t free_word = 0;

        if (!atomic_compare_exchange_strong(&c->ops[at].holder, &free_word,
                                            (uint64_t)c->process + 1))
            continue;
        op_bury(c, at); /* who gave it back may have been killed in there */
        t->op = &c->ops[at];
        t->op_index = at;
        t->seq = word_get(&t->op->status) >> OP_STATE_BITS;
        return;
    }
}

struct taker *counters_taker_slow(struct counters *c)
{
    struct taker *t;

    pthread_mutex_lock(&c->mutex);
    for (t = c->takers; t; t = t->next)
        if (pthread_equal(t->thread, pthread_self()))
            break;
    if (!t) {
        t = x_new(sizeof(*t));
        t->c = c;
        t->thread = pthread_self();
        t->next = c->takers;
        c->takers = t;
    }
    if (!t->op)
        get_op(c, t);
    pthread_mutex_unlock(&c->mutex);
    if (!t->op)
        return NULL; /* asks again at its next call */
    taker_of_thread = (struct taker_of_thread) { c->id, t };
    return t;
}

void counters_thread_done(struct counters *c)
{
    struct taker **at = &c->takers, *t;

    pthread_mutex_lock(&c->mutex);
    while (*at && !pthread_equal((*at)->thread, pthread_self()))
        at = &(*at)->next;
    t = *at;
    if (t) {
        *at = t->next;
        if (t->op)
            word_set(&t->op->holder, 0);
        x_free(t);
    }
    pthread_mutex_unlock(&c->mutex);
    if (taker_of_thread.id == c->id)
        taker_of_thread = (struct taker_of_thread) { 0 };
}

/* ---- metrics ---- */

void counters_stats(struct counters *c, uint64_t now_us,
                    struct counters_stats *out)
{
    struct header *h = c->header;
    uint64_t look = c->mask < LOOK_MOST ? c->mask + 1ull : LOOK_MOST;

    *out = (struct counters_stats) {
        .slots = c->mask + 1ull,
        .full_refused = word_get(&h->full_refused),
        .full_passed = word_get(&h->full_passed),
        .claims = word_get(&h->claims),
        .helped = word_get(&h->helped),
        .aborted = word_get(&h->aborted),
        .flushed = word_get(&h->flushed),
        .boots = word_get(&h->boots),
        .processes = (uint32_t)__builtin_popcountll(word_get(&h->live)),
    };
    for (uint64_t i = 0; i < look; i++)
        out->live += !slot_over(c, &c->slots[i], now_us);
    out->live = out->live * out->slots / look;
}
