/* ring.c - see ring.h. */
#include "events/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"

#define MAGIC 0x31545645474f5454ull /* "TTOGEVT1" */

enum { PAGE = 4096, RING_LEAST = 64 * 1024, YOUNG_S = 10 };
#define RING_MOST (1ull << 30)

struct file_head {
    _Atomic uint64_t magic; /* last, when it is made */
    uint64_t boot;
    uint32_t ring_count;
    uint32_t pid; /* for people */
    uint64_t ring_size;
    _Atomic uint64_t retired; /* its sums are in the ledger's */
};

static uint64_t states_bytes(uint32_t count)
{
    uint64_t n = PAGE + count * sizeof(struct ring_state);

    return (n + PAGE - 1) / PAGE * PAGE;
}

static void path_of(const char *folder, uint64_t boot, char *out, size_t n)
{
    snprintf(out, n, "%s/ring-%llu", folder, (unsigned long long)boot);
}

/* The same pages twice in a row. */
static char *map_twice(int fd, uint64_t at, uint64_t size)
{
    char *p =
        mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int flags = MAP_SHARED | MAP_FIXED;

    if (p == MAP_FAILED)
        return NULL;
    if (mmap(p, size, PROT_READ | PROT_WRITE, flags, fd, (off_t)at) ==
            MAP_FAILED ||
        mmap(p + size, size, PROT_READ | PROT_WRITE, flags, fd, (off_t)at) ==
            MAP_FAILED) {
        munmap(p, 2 * size);
        return NULL;
    }
    return p;
}

static enum err map_file(struct ring_file *f, uint32_t count, uint64_t size)
{
    uint64_t at = states_bytes(count);
    struct ring_state *states;

    f->map_size = at;
    f->map = mmap(NULL, at, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    if (f->map == MAP_FAILED) {
        f->map = NULL;
        return ERR_IO;
    }
    states = (struct ring_state *)((char *)f->map + PAGE);
    f->rings = x_new(count * sizeof(*f->rings));
    for (uint32_t i = 0; i < count; i++) {
        struct ring *r = &f->rings[i];

        r->state = &states[i];
        r->size = size;
        r->data = map_twice(f->fd, at + i * size, size);
        if (!r->data)
            return ERR_IO;
        f->ring_count = i + 1;
        r->tail = ring_tail(r);
    }
    return ERR_OK;
}

static uint64_t round_up(uint64_t bytes)
{
    uint64_t size = RING_LEAST;

    while (size < bytes && size < RING_MOST)
        size *= 2;
    return size;
}

/* The file's place on the disk is taken at once: a full disk is an error here
 * and not a signal at a store later. */
static enum err fill_file(struct ring_file *f, uint32_t count, uint64_t size)
{
    struct file_head head = { 0, f->boot, count, (uint32_t)getpid(), size, 0 };
    enum err e;

    errno =
        posix_fallocate(f->fd, 0, (off_t)(states_bytes(count) + count * size));
    if (errno || flock(f->fd, LOCK_EX | LOCK_NB))
        return ERR_IO;
    e = map_file(f, count, size);
    if (e)
        return e;
    memcpy(f->map, &head, sizeof(head));
    atomic_store_explicit(&((struct file_head *)f->map)->magic, MAGIC,
                          memory_order_release);
    return ERR_OK;
}

enum err ring_file_new(const char *folder, uint64_t boot, uint32_t count,
                       uint64_t bytes, struct ring_file **out)
{
    struct ring_file *f = x_new(sizeof(*f));
    enum err e = ERR_IO;
    int error;

    must(count && count <= EVENT_THREADS_MAX);
    f->boot = boot;
    f->own = true;
    if (folder) {
        path_of(folder, boot, f->path, sizeof(f->path));
        unlink(f->path);
        f->fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    } else {
        f->fd = memfd_create("tollgate-events", MFD_CLOEXEC);
    }
    if (f->fd >= 0)
        e = fill_file(f, count, round_up(bytes));
    if (e) {
        error = errno;
        if (f->fd >= 0 && folder)
            unlink(f->path);
        ring_file_close(f);
        errno = error;
        return e;
    }
    *out = f;
    return ERR_OK;
}

/* What a file says of itself must fit its size. */
static enum err read_head(struct ring_file *f, struct file_head *h)
{
    struct stat st;

    if (fstat(f->fd, &st) || !S_ISREG(st.st_mode) ||
        pread(f->fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h) ||
        h->magic != MAGIC || h->boot != f->boot || !h->ring_count ||
        h->ring_count > EVENT_THREADS_MAX || h->ring_size > RING_MOST ||
        round_up(h->ring_size) != h->ring_size ||
        (uint64_t)st.st_size !=
            states_bytes(h->ring_count) + h->ring_count * h->ring_size)
        return ERR_INVALID;
    return ERR_OK;
}

/* A machine that lost its power may leave anything. */
static bool sane(const struct ring *r)
{
    uint64_t head = atomic_load(&r->state->head), tail = ring_tail(r);
    const char *last = r->data + (head - 1) % r->size;

    return head - tail <= r->size && (head == tail || *last == '\n');
}

enum err ring_file_open(const char *folder, uint64_t boot,
                        struct ring_file **out)
{
    struct ring_file *f = x_new(sizeof(*f));
    struct file_head h;
    enum err e = ERR_INVALID;

    f->boot = boot;
    path_of(folder, boot, f->path, sizeof(f->path));
    f->fd = open(f->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (f->fd >= 0 && !read_head(f, &h))
        e = map_file(f, h.ring_count, h.ring_size);
    for (uint32_t i = 0; !e && i < f->ring_count; i++)
        if (!sane(&f->rings[i]))
            e = ERR_INVALID;
    if (e) {
        ring_file_close(f);
        return ERR_INVALID;
    }
    *out = f;
    return ERR_OK;
}

void ring_file_remove_bad(const char *folder, uint64_t boot, uint64_t now_s)
{
    char path[256];
    struct stat st;

    path_of(folder, boot, path, sizeof(path));
    if (lstat(path, &st) || (uint64_t)st.st_mtim.tv_sec + YOUNG_S > now_s)
        return;
    if (!unlink(path))
        log_warn("events", "%s was damaged, and is removed", path);
}

void ring_file_retire(struct ring_file *f)
{
    atomic_store(&((struct file_head *)f->map)->retired, 1);
}

bool ring_file_retired(const struct ring_file *f)
{
    return atomic_load(&((struct file_head *)f->map)->retired) != 0;
}

bool ring_file_look(struct ring_file *f)
{
    if (!f->own && !f->orphan && !flock(f->fd, LOCK_SH | LOCK_NB))
        f->orphan = true;
    return f->orphan;
}

void ring_file_close(struct ring_file *f)
{
    for (uint32_t i = 0; i < f->ring_count; i++)
        munmap(f->rings[i].data, 2 * f->rings[i].size);
    x_free(f->rings);
    if (f->map)
        munmap(f->map, f->map_size);
    if (f->fd >= 0)
        close(f->fd);
    x_free(f);
}

char *ring_begin(struct ring *r, uint64_t *number)
{
    struct ring_state *s = r->state;
    uint64_t head = atomic_load_explicit(&s->head, memory_order_relaxed);
    uint64_t made = atomic_load_explicit(&s->made, memory_order_relaxed) + 1;

    if (r->size - (head - r->tail) < EVENT_LINE_MAX) {
        r->tail = ring_tail(r);
        if (r->size - (head - r->tail) < EVENT_LINE_MAX) {
            atomic_store_explicit(
                &s->dropped,
                atomic_load_explicit(&s->dropped, memory_order_relaxed) + 1,
                memory_order_relaxed);
            atomic_store_explicit(&s->made, made, memory_order_relaxed);
            return NULL;
        }
    }
    *number = made;
    return r->data + (head & (r->size - 1));
}

void ring_commit(struct ring *r, uint64_t number, size_t len)
{
    struct ring_state *s = r->state;
    uint64_t head = atomic_load_explicit(&s->head, memory_order_relaxed);

    must(len && len <= EVENT_LINE_MAX);
    atomic_store_explicit(&s->made, number, memory_order_relaxed);
    atomic_store_explicit(&s->head, head + len, memory_order_release);
}

struct str ring_lines(const struct ring *r, size_t max)
{
    uint64_t tail = ring_tail(r), n = ring_used(r);
    struct str all = str_from(r->data + (tail & (r->size - 1)), n);

    if (n <= max)
        return all;
    all = str_head(all, max);
    return str_head(all, str_rfind(all, '\n') + 1);
}

void ring_take(struct ring *r, uint64_t tail, uint64_t taken)
{
    atomic_store_explicit(&r->state->taken, taken, memory_order_relaxed);
    atomic_store_explicit(&r->state->tail, tail, memory_order_release);
}

uint64_t events_count_lines(struct str lines)
{
    uint64_t n = 0;

    while (lines.len) {
        lines = str_skip(lines, str_find(lines, '\n') + 1);
        n++;
    }
    return n;
}
