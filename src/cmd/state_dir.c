/* state_dir.c - see state_dir.h. */
#include "cmd/state_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { DEPTH_MAX = 4 }; /* of folders in a state folder */

/* ---- where ---- */

static struct str home_of(struct arena *a)
{
    const char *home = getenv("HOME");
    const struct passwd *pw;

    if (home && home[0] == '/')
        return str_z(home);
    pw = getpwuid(geteuid());
    return pw && pw->pw_dir ? arena_copy(a, str_z(pw->pw_dir)) : STR_NULL;
}

struct str state_dir_default(struct arena *a)
{
    const char *xdg = getenv("XDG_STATE_HOME");
    struct str home;

    if (xdg && xdg[0] == '/')
        return arena_printf(a, "%s/tollgate", xdg);
    if (geteuid() == 0)
        return STR("/var/lib/tollgate");
    home = home_of(a);
    if (!home.len)
        return STR_NULL;
    return arena_printf(a, "%.*s/.local/state/tollgate", STR_ARG(home));
}

static struct str absolute(struct arena *a, struct str path)
{
    char cwd[PATH_MAX];

    if (path.p[0] == '/' || !getcwd(cwd, sizeof(cwd)))
        return arena_copy(a, path);
    return arena_printf(a, "%s/%.*s", cwd, STR_ARG(path));
}

/* ---- the folder ---- */

/* Like mkdir -p; errno when the last one is not there afterwards. */
static enum err make_folders(struct arena *a, struct str path)
{
    char *p = arena_alloc(a, path.len + 1);

    memcpy(p, path.p, path.len);
    for (size_t i = 1; i < path.len; i++) {
        if (p[i] != '/')
            continue;
        p[i] = '\0';
        mkdir(p, 0700);
        p[i] = '/';
    }
    return mkdir(p, 0700) && errno != EEXIST ? ERR_IO : ERR_OK;
}

/* fdopendir() on a descriptor of its own. */
static DIR *list_folder(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);

    if (!d && copy >= 0)
        close(copy);
    return d;
}

static bool is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

/* New, empty or with a lock. A folder with other things in it is a mistake:
 * its rights would be changed, and its files given to another account. */
static bool is_ours(int fd)
{
    bool locked = faccessat(fd, "lock", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    DIR *d = locked ? NULL : list_folder(fd);
    const struct dirent *e;
    bool empty = true;

    while (d && empty && (e = readdir(d)))
        empty = is_dots(e->d_name) || !strcmp(e->d_name, "lost+found");
    if (d)
        closedir(d);
    return locked || (d && empty);
}

static long read_owner(int fd)
{
    char text[24] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;

    return pid > 0 ? pid : 0;
}

static enum err take_lock(struct state_dir *d, long *owner)
{
    int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;

    d->lock_fd = openat(d->fd, "lock", flags, 0600);
    if (d->lock_fd < 0)
        return ERR_IO;
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB)) {
        *owner = errno == EWOULDBLOCK ? read_owner(d->lock_fd) : 0;
        return errno == EWOULDBLOCK ? ERR_CONFLICT : ERR_IO;
    }
    state_dir_own(d);
    return ERR_OK;
}

/* Nobody else may look in: there are keys. */
static enum err keep_private(int fd)
{
    struct stat st;

    if (fstat(fd, &st))
        return ERR_IO;
    return (st.st_mode & 077) && fchmod(fd, 0700) ? ERR_IO : ERR_OK;
}

enum err state_dir_open(struct arena *a, struct str path, struct state_dir *out,
                        long *owner, struct problems *ps)
{
    struct state_dir d = { absolute(a, path), -1, -1 };
    enum err e = make_folders(a, d.path);

    *owner = 0;
    if (!e)
        d.fd = open(d.path.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d.fd >= 0 && !is_ours(d.fd)) {
        problem_error(ps, d.path, 0,
                      "is not empty and no state folder of tollgate; choose "
                      "another one with --state-dir or state_dir");
        e = ERR_INVALID;
    } else if (d.fd < 0 || keep_private(d.fd)) {
        problem_error(ps, d.path, 0,
                      "cannot be the state folder: %m; choose another one with "
                      "--state-dir or state_dir");
        e = ERR_IO;
    } else {
        e = take_lock(&d, owner);
        if (e == ERR_IO)
            problem_error(ps, d.path, 0, "the lock cannot be taken: %m");
    }
    if (e)
        state_dir_close(&d);
    else
        *out = d;
    return e;
}

static enum err refuse_taken(struct problems *ps, struct str path, long owner)
{
    struct str who = STR("another process");

    if (owner)
        who = arena_printf(ps->arena, "process %ld", owner);
    problem_error(ps, path, 0,
                  "is the state folder of %.*s, which is running; stop that, "
                  "or choose another folder with --state-dir",
                  STR_ARG(who));
    return ERR_CONFLICT;
}

enum err state_dir_take(struct arena *a, struct str path, unsigned port,
                        struct state_dir *out, struct problems *ps)
{
    bool chosen = path.len > 0;
    long owner = 0;
    enum err e;

    if (!chosen)
        path = state_dir_default(a);
    if (!path.len) {
        problem_error(ps, STR_NULL, 0,
                      "there is no home folder to keep state in; choose one "
                      "with --state-dir");
        return ERR_INVALID;
    }
    e = state_dir_open(a, path, out, &owner, ps);
    if (e == ERR_CONFLICT && !chosen && port) {
        path = arena_printf(a, "%.*s/%u", STR_ARG(path), port);
        e = state_dir_open(a, path, out, &owner, ps);
    }
    return e == ERR_CONFLICT ? refuse_taken(ps, path, owner) : e;
}

enum err state_dir_adopt(struct arena *a, struct str path, int lock_fd,
                         struct state_dir *out)
{
    struct state_dir d = { arena_copy(a, path), -1, lock_fd };
    struct stat ours, there;

    d.fd = open(d.path.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d.fd < 0 || fstat(lock_fd, &ours) ||
        fstatat(d.fd, "lock", &there, AT_SYMLINK_NOFOLLOW) ||
        ours.st_ino != there.st_ino || ours.st_dev != there.st_dev) {
        state_dir_close(&d);
        return ERR_INVALID;
    }
    *out = d;
    return ERR_OK;
}

void state_dir_own(const struct state_dir *d)
{
    char pid[24];
    int n = snprintf(pid, sizeof(pid), "%d\n", getpid());

    if (ftruncate(d->lock_fd, 0) || pwrite(d->lock_fd, pid, (size_t)n, 0) != n)
        log_warn("start", "%s/lock cannot be written: %m", d->path.p);
}

void state_dir_close(struct state_dir *d)
{
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    if (d->fd >= 0)
        close(d->fd);
    d->lock_fd = d->fd = -1;
}

/* ---- files in it ---- */

static enum err write_all(int fd, struct str text)
{
    while (text.len) {
        ssize_t n = write(fd, text.p, text.len);

        if (n < 0 && errno != EINTR)
            return ERR_IO;
        text = str_skip(text, n > 0 ? (size_t)n : 0);
    }
    return ERR_OK;
}

enum err state_dir_write(const struct state_dir *d, const char *name,
                         struct str text)
{
    char new[64];
    int n = snprintf(new, sizeof(new), "%s.new", name), fd;
    enum err e;

    if (n < 0 || (size_t)n >= sizeof(new))
        return ERR_LIMIT;
    unlinkat(d->fd, new, 0); /* of one that died here */
    fd = openat(d->fd, new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERR_IO;
    e = write_all(fd, text);
    if (close(fd) && !e)
        e = ERR_IO;
    if (!e && renameat(d->fd, new, d->fd, name))
        e = ERR_IO;
    return e;
}

void state_dir_remove(const struct state_dir *d, const char *name)
{
    unlinkat(d->fd, name, 0);
}

static enum err give_folder(int fd, uid_t uid, gid_t gid, unsigned depth);

static enum err give_entry(int fd, const char *name, uid_t uid, gid_t gid,
                           unsigned depth)
{
    struct stat st;
    enum err e = ERR_OK;
    int inner;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? ERR_OK : ERR_IO;
    if (S_ISDIR(st.st_mode)) {
        inner =
            openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner < 0)
            return ERR_IO;
        if (depth < DEPTH_MAX)
            e = give_folder(inner, uid, gid, depth + 1);
        close(inner);
        return e;
    }
    /* What has a second name may be a file from elsewhere. */
    if (st.st_nlink > 1 || S_ISLNK(st.st_mode))
        return ERR_OK;
    return fchownat(fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) ? ERR_IO : ERR_OK;
}

static enum err give_folder(int fd, uid_t uid, gid_t gid, unsigned depth)
{
    DIR *d = list_folder(fd);
    const struct dirent *entry;
    enum err e = d ? ERR_OK : ERR_IO;

    while (!e && (entry = readdir(d)))
        if (!is_dots(entry->d_name))
            e = give_entry(fd, entry->d_name, uid, gid, depth);
    if (d)
        closedir(d);
    if (!e && fchown(fd, uid, gid))
        e = ERR_IO;
    return e;
}

enum err state_dir_give(const struct state_dir *d, uid_t uid, gid_t gid)
{
    return give_folder(d->fd, uid, gid, 0);
}
