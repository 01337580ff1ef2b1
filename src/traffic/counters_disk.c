/* counters_disk.c - long windows on disk, for the time after a reboot.
 *
 * The file is a head and batches, each with a checksum; each call appends what
 * changed. What was cut short at its end was not acknowledged to anybody and is
 * left out. When most of the file is outdated it is written anew beside it and
 * renamed. A counter may be there twice: the larger one holds.
 */
#include "traffic/counters_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"

#define DISK_MAGIC "TGLIMIT1"
#define BATCH_MAGIC 0x68637462u
/* 5 million records, more than can be read in a second or two. */
#define DISK_MAX_BYTES (256ull << 20)
#define REWRITE_LEAST 4096 /* records, below which nothing is written anew */

struct disk_head {
    char magic[8];
    struct limit_seed seed;
    uint64_t check;
};

struct batch_head {
    uint32_t magic, count;
    uint64_t check; /* of the records and the count */
};

/* ---- records and slots ---- */

static struct slot_key key_of(const struct counters *c, const struct record *r)
{
    return (struct slot_key) {
        .part = { r->key[0], r->key[1], r->key[2] },
        .home = (uint32_t)r->key[0] & c->mask,
    };
}

static void put_words(struct slot *s, const struct record *r)
{
    uint64_t key_tag = word_tag(word_get(&s->key[0])) + 1;
    uint64_t tag = word_tag(word_get(&s->state)) + 1;

    for (int i = 0; i < 3; i++)
        word_set(&s->key[i], word_make(key_tag, r->key[i]));
    word_set(&s->length, word_make(key_tag, r->length_s));
    word_set(&s->window, word_make(tag, r->window));
    word_set(&s->state, word_make(tag, r->amount));
}

static bool larger(const struct record *r, const struct slot *s)
{
    uint64_t start = start_value(word_payload(word_get(&s->window)));
    uint64_t amount = word_payload(word_get(&s->state));
    uint64_t own = start_value(r->window);

    if (start_kind(r->window) == TAKE_RATE)
        return own * 1000000 + r->amount > start * 1000000 + amount;
    return own != start ? own > start : r->amount > amount;
}

static bool over(const struct record *r, uint64_t now_us)
{
    uint64_t start = start_value(r->window);

    if (start_kind(r->window) == TAKE_RATE)
        return start * 1000000 + r->amount <= now_us;
    return start + r->length_s <= now_us / 1000000;
}

bool record_put(struct counters *c, const struct record *r, uint64_t now_us)
{
    struct slot_key k = key_of(c, r);
    uint32_t slot;

    if (over(r, now_us))
        return false;
    slot = slot_find(c, &k).slot;
    if (slot != SLOT_NONE && !larger(r, &c->slots[slot]))
        return false;
    for (uint32_t i = 0; i < PROBES && slot == SLOT_NONE; i++) {
        uint32_t at = (k.home + i) & c->mask;

        if (slot_over(c, &c->slots[at], now_us))
            slot = at;
    }
    if (slot == SLOT_NONE)
        return false;
    put_words(&c->slots[slot], r);
    if (r->length_s >= LONG_S)
        atomic_store(&c->blocks[slot / BLOCK], 1);
    return true;
}

bool record_from(const struct counters *c, uint32_t slot, uint64_t now_us,
                 struct record *out, uint64_t *state)
{
    const struct slot *s = &c->slots[slot];
    struct found found = { slot, word_get(&s->key[0]) };
    struct slot_key k;
    uint64_t window;

    for (int i = 0; i < 3; i++)
        out->key[i] = word_payload(word_get(&s->key[i]));
    k = key_of(c, out);
    out->length_s = word_payload(word_get(&s->length));
    if (slot_over(c, s, now_us) || !slot_is(s, found.first, &k) ||
        !slot_look(c, found, state, &window))
        return false;
    out->window = word_payload(window);
    out->amount = word_payload(*state);
    return start_kind(out->window) != TAKE_AT_ONCE && out->amount;
}

/* ---- reading ---- */

static uint64_t check_of(struct limit_seed seed, const void *p, size_t n)
{
    return limit_key_add(seed, (struct limit_key) { n, 0 }, str_from(p, n)).a;
}

static bool head_good(const struct disk_head *h)
{
    return memcmp(h->magic, DISK_MAGIC, sizeof(h->magic)) == 0 &&
           h->check == check_of(h->seed, h->magic, sizeof(h->magic));
}

static bool read_file(const char *path, struct buf *b)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = 0;

    buf_init(b, DISK_MAX_BYTES);
    if (fd < 0)
        return false;
    do {
        n = -1;
        if (buf_reserve(b, 65536))
            break;
        n = read(fd, b->p + b->len, 65536);
        if (n > 0)
            b->len += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    close(fd);
    return n == 0;
}

bool disk_seed(const char *path, struct limit_seed *out)
{
    struct disk_head h;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool good;

    if (fd < 0)
        return false;
    good = pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && head_good(&h);
    close(fd);
    if (good)
        *out = h.seed;
    return good;
}

static uint64_t load_batch(struct counters *c, struct str records,
                           uint64_t now_us)
{
    uint64_t loaded = 0;
    struct record r;

    for (; records.len; records = str_skip(records, sizeof(r))) {
        memcpy(&r, records.p, sizeof(r));
        if ((r.key[0] | r.key[1] | r.key[2] | r.length_s | r.window |
             r.amount) <= PAYLOAD_MAX &&
            start_kind(r.window) <= TAKE_RATE)
            loaded += record_put(c, &r, now_us);
    }
    return loaded;
}

static uint64_t load_batches(struct counters *c, struct str rest,
                             uint64_t now_us, const char **bad)
{
    uint64_t loaded = 0;

    while (rest.len) {
        struct batch_head h;
        struct str records = str_skip(rest, sizeof(h));
        size_t bytes;

        *bad = "its end is cut short or damaged";
        if (rest.len < sizeof(h))
            return loaded;
        memcpy(&h, rest.p, sizeof(h));
        bytes = (size_t)h.count * sizeof(struct record);
        if (h.magic != BATCH_MAGIC || bytes > records.len)
            return loaded;
        records = str_head(records, bytes);
        if (h.check != check_of(c->header->seed, records.p, records.len))
            return loaded;
        loaded += load_batch(c, records, now_us);
        rest = str_skip(rest, sizeof(h) + bytes);
    }
    *bad = NULL;
    return loaded;
}

uint64_t disk_load(struct counters *c, uint64_t now_us, const char **bad)
{
    struct disk_head h;
    struct buf b;
    uint64_t loaded = 0;

    *bad = NULL;
    if (!read_file(c->disk_path, &b)) {
        if (errno != ENOENT)
            *bad = "it cannot be read, or is larger than 256m";
    } else if (b.len) {
        if (b.len >= sizeof(h))
            memcpy(&h, b.p, sizeof(h));
        if (b.len < sizeof(h) || !head_good(&h))
            *bad = "it is not of this program, or damaged";
        else if (memcmp(&h.seed, &c->header->seed, sizeof(h.seed)) != 0)
            *bad = "it was written under another seed";
        else
            loaded =
                load_batches(c, str_skip(buf_view(&b), sizeof(h)), now_us, bad);
    }
    buf_done(&b);
    return loaded;
}

/* ---- writing ---- */

struct writing {
    struct counters *c;
    struct buf b;
    uint32_t count;
    uint64_t live;
    bool all; /* not only what changed */
};

static enum err write_slot(struct writing *w, uint32_t slot, uint64_t now_us)
{
    struct record r;
    uint64_t state;

    if (word_payload(word_get(&w->c->slots[slot].length)) < LONG_S ||
        !record_from(w->c, slot, now_us, &r, &state))
        return ERR_OK;
    w->live++;
    if (!w->all && state == word_get(&w->c->slots[slot].saved))
        return ERR_OK;
    word_set(&w->c->slots[slot].saved, state);
    w->count++;
    return buf_add(&w->b, &r, sizeof(r));
}

/* One batch of all that is to be written. */
static enum err write_batch(struct writing *w, uint64_t now_us)
{
    struct batch_head h = { .magic = BATCH_MAGIC };
    size_t at = w->b.len;
    enum err e = buf_add(&w->b, &h, sizeof(h));

    w->count = 0;
    for (uint32_t i = 0; i <= w->c->mask && !e; i++) {
        if (i % BLOCK == 0 && !atomic_load(&w->c->blocks[i / BLOCK]))
            i += BLOCK - 1;
        else
            e = write_slot(w, i, now_us);
    }
    if (e)
        return e;
    h.count = w->count;
    h.check = check_of(w->c->header->seed, w->b.p + at + sizeof(h),
                       w->b.len - at - sizeof(h));
    memcpy(w->b.p + at, &h, sizeof(h));
    return ERR_OK;
}

static enum err write_out(int fd, struct str s)
{
    while (s.len) {
        ssize_t n = write(fd, s.p, s.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_IO;
        s = str_skip(s, (size_t)n);
    }
    return fdatasync(fd) ? ERR_IO : ERR_OK;
}

/* Makes a rename outlive a loss of power. */
static enum err sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder;
    enum err e = ERR_OK;
    int fd;

    if (asprintf(&folder, "%.*s", slash ? (int)(slash - path + 1) : 1,
                 slash ? path : ".") < 0)
        return ERR_IO;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        e = ERR_IO;
    if (fd >= 0)
        close(fd);
    free(folder);
    return e;
}

static enum err rewrite(struct counters *c, struct writing *w, uint64_t now_us)
{
    struct disk_head h = { .magic = DISK_MAGIC, .seed = c->header->seed };
    enum err e;
    char *path;
    int fd;

    h.check = check_of(h.seed, h.magic, sizeof(h.magic));
    w->all = true;
    if (asprintf(&path, "%s.new", c->disk_path) < 0)
        return ERR_IO;
    e = buf_add(&w->b, &h, sizeof(h));
    e = e ? e : write_batch(w, now_us);
    unlink(path);
    fd = e ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        e = e ? e : ERR_IO;
    else
        e = write_out(fd, buf_view(&w->b));
    if (!e && rename(path, c->disk_path))
        e = ERR_IO;
    if (fd >= 0)
        close(fd);
    free(path);
    return e ? e : sync_folder(c->disk_path);
}

static enum err append(struct counters *c, struct writing *w, int fd,
                       uint64_t now_us)
{
    off_t end = lseek(fd, 0, SEEK_END);
    enum err e = write_batch(w, now_us);

    if (e || !w->count)
        return e;
    e = write_out(fd, buf_view(&w->b));
    /* Half a batch would hide those behind it. */
    if (e && ftruncate(fd, end))
        unlink(c->disk_path);
    return e;
}

/* The file, if it can be appended to: as we left it, and not mostly
 * outdated. */
static int open_to_append(struct counters *c)
{
    struct stat st;
    int fd = open(c->disk_path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    uint64_t records;

    if (fd < 0)
        return -1;
    if (!fstat(fd, &st) && (uint64_t)st.st_size == c->disk_bytes) {
        records = c->disk_bytes / sizeof(struct record);
        if (records <= REWRITE_LEAST || records <= 4 * c->disk_live)
            return fd;
    }
    close(fd);
    return -1;
}

enum err counters_flush(struct counters *c, uint64_t now_us)
{
    struct writing w = { .c = c };
    enum err e;
    int fd;

    counters_bury_dead(c);
    if (!c->disk_path || !counters_lock(c->fd, LOCK_FLUSH, F_WRLCK, false))
        return ERR_OK;
    buf_init(&w.b, DISK_MAX_BYTES);
    fd = open_to_append(c);
    e = fd < 0 ? rewrite(c, &w, now_us) : append(c, &w, fd, now_us);
    if (fd >= 0)
        close(fd);
    if (fd < 0 || e)
        c->disk_bytes = 0;
    if (!e && (fd < 0 || w.count))
        c->disk_bytes += w.b.len;
    c->disk_live = w.live;
    if (!e)
        atomic_fetch_add_explicit(&c->header->flushed, w.count,
                                  memory_order_relaxed);
    buf_done(&w.b);
    counters_lock(c->fd, LOCK_FLUSH, F_UNLCK, false);
    return e;
}
