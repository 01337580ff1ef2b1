/* explain_ring.c - see explain_ring.h.
 *
 * The data area is a ring of bytes; positions only grow, and a position's
 * place is its remainder by the size. A record may go over the end. Readers
 * look backwards from the head at every eighth byte, because what was
 * overwritten leaves no chain to follow.
 */
#include "gateway/explain_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"

#define MAGIC 0x31474e4952584754ull /* "TGXRING1" */
#define RECORD 0x43455258u

enum { PAGE = 4096, SIZE_MIN = 64 * 1024, RECORD_MAX = 64 * 1024 };
#define CHUNK (1024ull * 1024)

struct ring_head {
    uint64_t magic, size;  /* of the data */
    _Atomic uint64_t next; /* position of the next record */
};

struct record_head {
    uint32_t mark, len; /* of the record's bytes */
    uint64_t position;
    uint64_t check;
};

struct explain_ring {
    struct ring_head *head;
    char *data;
    uint64_t size;
    size_t mapped;
    int fd; /* -1: to read only */
    /* The file has its place on the disk up to here. */
    _Atomic uint64_t placed;
};

static uint64_t check_of(uint64_t position, struct str bytes)
{
    uint64_t h = hash_content(HASH_CONTENT_START, &position, 8);

    return hash_content(h, bytes.p, bytes.len);
}

static enum err map_file(int fd, size_t bytes, int protection,
                         struct explain_ring **out)
{
    struct explain_ring *r;
    void *p = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return ERR_IO;
    r = x_new(sizeof(*r));
    r->head = p;
    r->data = (char *)p + PAGE;
    r->size = bytes - PAGE;
    r->mapped = bytes;
    r->fd = -1;
    *out = r;
    return ERR_OK;
}

/* Opens the file, or makes it. One of another size may be mapped by a process
 * that is about to end, so it is not cut but replaced. */
static int open_size(struct str path, uint64_t bytes)
{
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    struct arena *a = arena_new();
    struct str name = arena_copy(a, path);
    int fd = open(name.p, flags, 0600);
    struct stat st;

    if (fd >= 0 && !fstat(fd, &st) && st.st_size &&
        (uint64_t)st.st_size != bytes) {
        close(fd);
        fd = unlink(name.p) ? -1 : open(name.p, flags, 0600);
    }
    arena_free(a);
    return fd;
}

enum err explain_ring_open(struct str path, uint64_t bytes,
                           struct explain_ring **out)
{
    int fd, error;
    enum err e = ERR_IO;

    bytes = bytes < SIZE_MIN ? SIZE_MIN : bytes;
    bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    fd = open_size(path, bytes);
    if (fd < 0)
        return ERR_IO;
    error = posix_fallocate(fd, 0, PAGE);
    if (!error && !ftruncate(fd, (off_t)bytes))
        e = map_file(fd, bytes, PROT_READ | PROT_WRITE, out);
    if (e) {
        error = error ? error : errno;
        close(fd);
        errno = error;
        return e;
    }
    (*out)->fd = fd;
    atomic_init(&(*out)->placed, PAGE);
    if (((*out)->head->magic != MAGIC || (*out)->head->size != (*out)->size)) {
        (*out)->head->size = (*out)->size;
        atomic_store(&(*out)->head->next, 0);
        (*out)->head->magic = MAGIC;
    }
    return ERR_OK;
}

enum err explain_ring_read(struct str path, struct explain_ring **out)
{
    struct arena *a = arena_new();
    int fd = open(arena_copy(a, path).p, O_RDONLY | O_CLOEXEC);
    struct stat st;
    enum err e;

    arena_free(a);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    if (fstat(fd, &st) || st.st_size < SIZE_MIN || st.st_size % PAGE) {
        close(fd);
        return ERR_INVALID;
    }
    e = map_file(fd, (size_t)st.st_size, PROT_READ, out);
    close(fd);
    if (!e &&
        ((*out)->head->magic != MAGIC || (*out)->head->size != (*out)->size)) {
        explain_ring_close(*out);
        return ERR_INVALID;
    }
    return e;
}

void explain_ring_close(struct explain_ring *r)
{
    if (!r)
        return;
    munmap(r->head, r->mapped);
    if (r->fd >= 0)
        close(r->fd);
    x_free(r);
}

static void copy_in(struct explain_ring *r, uint64_t position,
                    const void *bytes, size_t n)
{
    size_t at = (size_t)(position % r->size);
    size_t first = n < r->size - at ? n : (size_t)(r->size - at);

    memcpy(r->data + at, bytes, first);
    memcpy(r->data, (const char *)bytes + first, n - first);
}

static void copy_out(const struct explain_ring *r, uint64_t position,
                     void *bytes, size_t n)
{
    size_t at = (size_t)(position % r->size);
    size_t first = n < r->size - at ? n : (size_t)(r->size - at);

    memcpy(bytes, r->data + at, first);
    memcpy((char *)bytes + first, r->data, n - first);
}

static uint64_t padded(uint64_t n)
{
    return (n + 7) & ~7ull;
}

/* Whether the file has its place on the disk for n bytes at this position: a
 * store where a full disk has none would be a signal. Taken by the chunk, so
 * that a gateway that explains little takes little. */
static bool has_place(struct explain_ring *r, uint64_t position, uint64_t n)
{
    uint64_t end = PAGE + position % r->size + n, from;

    end = end > r->mapped ? r->mapped : end;
    while ((from = atomic_load_explicit(&r->placed, memory_order_acquire)) <
           end) {
        uint64_t to = from + CHUNK < r->mapped ? from + CHUNK : r->mapped;

        if (posix_fallocate(r->fd, (off_t)from, (off_t)(to - from)))
            return false;
        atomic_compare_exchange_strong(&r->placed, &from, to);
    }
    return true;
}

void explain_ring_add(struct explain_ring *r, struct str record)
{
    struct record_head h = { .mark = RECORD, .len = (uint32_t)record.len };
    uint64_t all = padded(sizeof(h) + record.len);

    if (record.len > RECORD_MAX || all > r->size / 4)
        return;
    /* No position is given out that has no place, so readers meet none. */
    h.position = atomic_load(&r->head->next);
    do {
        if (!has_place(r, h.position, all))
            return;
    } while (!atomic_compare_exchange_weak(&r->head->next, &h.position,
                                           h.position + all));
    h.check = check_of(h.position, record);
    copy_in(r, h.position, &h, sizeof(h));
    copy_in(r, h.position + sizeof(h), record.p, record.len);
}

/* Whether a whole record stands at this position. */
static bool record_at(const struct explain_ring *r, uint64_t position,
                      uint64_t end, struct arena *a, struct str *out)
{
    struct record_head h;
    char *copy;

    if (end - position < sizeof(h))
        return false;
    copy_out(r, position, &h, sizeof(h));
    if (h.mark != RECORD || h.position != position || h.len > RECORD_MAX ||
        end - position < sizeof(h) + h.len)
        return false;
    copy = arena_raw(a, h.len + 1);
    copy_out(r, position + sizeof(h), copy, h.len);
    *out = str_from(copy, h.len);
    return check_of(position, *out) == h.check;
}

bool explain_ring_next(const struct explain_ring *r, struct arena *a,
                       uint64_t *at, struct str *record)
{
    uint64_t end = atomic_load(&r->head->next), first, p;

    if (end % 8)
        return false; /* no ring of ours */
    first = end > r->size ? end - r->size : 0;
    p = *at < end ? *at : end;
    while (p >= first + 8) {
        p -= 8;
        if (!record_at(r, p, end, a, record))
            continue;
        *at = p;
        return true;
    }
    return false;
}
