/* whole_file.c - see whole_file.h. */
#include "base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"

void file_mark_take(struct str path, struct file_mark *out)
{
    if (!path.len || stat(path.p, &out->s))
        memset(out, 0, sizeof(*out));
}

static bool differ(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

bool file_mark_differs(const struct file_mark *a, const struct file_mark *b)
{
    const struct stat *x = &a->s, *y = &b->s;

    return x->st_ino != y->st_ino || x->st_dev != y->st_dev ||
           x->st_size != y->st_size || differ(&x->st_mtim, &y->st_mtim) ||
           differ(&x->st_ctim, &y->st_ctim);
}

static enum err said(struct problems *ps, struct str path, const char *what)
{
    problem_error(ps, path, 0, "%s: %s", what, strerrordesc_np(errno));
    return ERR_IO;
}

static bool is_regular(int fd)
{
    struct stat st;

    return !fstat(fd, &st) && S_ISREG(st.st_mode);
}

static enum err read_all(int fd, struct buf *b)
{
    ssize_t n;

    do {
        enum err e = buf_reserve(b, 65536);

        if (e)
            return e;
        n = read(fd, b->p + b->len, 65536);
        if (n > 0)
            b->len += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n ? ERR_IO : ERR_OK;
}

enum err whole_file_read(struct arena *a, struct str path, size_t max_bytes,
                         struct problems *ps, struct str *out)
{
    /* Not blocking, in case it is a pipe that nobody writes to. */
    int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct buf b;
    enum err e;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? ERR_NOT_FOUND
                   : said(ps, path, "cannot be opened");
    buf_init(&b, max_bytes + 65536);
    e = is_regular(fd) ? read_all(fd, &b) : ERR_INVALID;
    if (e == ERR_INVALID) {
        problem_error(ps, path, 0, "is no regular file");
        e = ERR_IO;
    } else if (e == ERR_LIMIT || b.len > max_bytes) {
        problem_error(ps, path, 0, "is larger than %zu bytes", max_bytes);
        e = ERR_LIMIT;
    } else if (e) {
        said(ps, path, "cannot be read");
    } else {
        *out = arena_copy(a, buf_view(&b));
    }
    buf_done(&b);
    close(fd);
    return e;
}

int whole_file_lock(struct str path, struct problems *ps)
{
    struct str name = arena_printf(ps->arena, "%.*s.lock", STR_ARG(path));
    int fd = open(name.p, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        said(ps, name, "cannot be opened");
        return -1;
    }
    while (flock(fd, LOCK_EX)) {
        if (errno == EINTR)
            continue;
        said(ps, name, "cannot be locked");
        close(fd);
        return -1;
    }
    return fd;
}

static bool write_all(int fd, struct str text)
{
    while (text.len) {
        ssize_t n = write(fd, text.p, text.len);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            text = str_skip(text, (size_t)n);
    }
    return true;
}

static void keep_mode(int fd, struct str path, struct str folder)
{
    struct file_mark old, place;

    file_mark_take(path, &old);
    place = old;
    if (!old.s.st_ino)
        file_mark_take(folder, &place);
    if ((old.s.st_ino && fchmod(fd, old.s.st_mode & 0666)) ||
        (place.s.st_ino && fchown(fd, place.s.st_uid, place.s.st_gid)))
        errno = 0; /* it stays ours, 0600 */
}

static struct str folder_of(struct arena *a, struct str path)
{
    size_t slash = str_rfind(path, '/');

    return slash < path.len ? arena_copy(a, str_head(path, slash + 1))
                            : STR(".");
}

enum err whole_file_replace(struct str path, struct str text,
                            struct problems *ps)
{
    struct str name = arena_printf(ps->arena, "%.*s.new", STR_ARG(path));
    struct str folder = folder_of(ps->arena, path);
    int fd = open(name.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  0600);
    int dir;
    bool fine;

    if (fd < 0)
        return said(ps, name, "cannot be written");
    keep_mode(fd, path, folder);
    fine = write_all(fd, text) && !fsync(fd);
    fine = !close(fd) && fine;
    if (!fine || rename(name.p, path.p)) {
        enum err e = said(ps, name, "cannot be written");

        unlink(name.p);
        return e;
    }
    dir = open(folder.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
        (void)fsync(dir);
        close(dir);
    }
    return ERR_OK;
}
