/* access_log.c - see access_log.h. A buffer is in exactly one place:
 *
 *   log->buffer     its thread appends                  hand_over()
 *   file->waiting   any thread adds, the writer takes   take_waiting()
 *   file->writing   the writer alone; the first one     buffer_done()
 *                   may be written in part
 *
 * The writer is woken through an eventfd of the file rather than a task of the
 * loop, because that can be taken back when the file is closed.
 */
#include "gateway/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/access_line.h"

enum { WARN_EVERY_US = 60 * 1000 * 1000 };

struct access_buffer {
    struct access_buffer *next;
    size_t len, sent;
    uint64_t lines;
    char text[ACCESS_LOG_BUFFER];
};

struct access_file {
    struct loop *writer;
    pthread_t thread; /* of the writer */
    char *path;
    bool socket;    /* where only send() can be told not to wait */
    bool torn;      /* what was written last has no newline */
    struct io out;  /* watched while the other side does not take more */
    struct io wake; /* eventfd */
    uint64_t warned_us;
    struct access_buffer *writing;

    pthread_mutex_t lock; /* of what follows */
    uint32_t refs;
    struct access_buffer *waiting, **last;
};

struct access_log {
    struct loop *loop;
    struct access_file *file;
    struct access_buffer *buffer;
    struct timer age;
    struct access_clock clock;
};

static _Atomic unsigned under_way; /* buffers handed over and not freed */
static _Atomic uint64_t lines_written, lines_dropped;

uint64_t access_log_dropped(void)
{
    return atomic_load_explicit(&lines_dropped, memory_order_relaxed);
}

uint64_t access_log_written(void)
{
    return atomic_load_explicit(&lines_written, memory_order_relaxed);
}

/* Opening */

/* A descriptor of our own for standard output, which does not wait when that
 * can be had without changing it for those we share it with. A file must be
 * shared: its position is, too. */
static int open_stdout(bool *socket)
{
    struct stat st;
    int fd = -1;

    if (fstat(STDOUT_FILENO, &st))
        return -1;
    *socket = S_ISSOCK(st.st_mode);
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
        fd = open("/proc/self/fd/1",
                  O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

/* The file is there for the operator and their group, not for everybody. */
static int open_path(const char *path, bool *socket)
{
    if (strcmp(path, "-") == 0)
        return open_stdout(socket);
    *socket = false;
    return open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
        0640);
}

static void on_wake(struct io *io, uint32_t events);
static void on_writable(struct io *io, uint32_t events);

static struct access_file *file_new(struct loop *writer, char *path, int fd,
                                    bool socket)
{
    struct access_file *f = x_new(sizeof(*f));

    f->refs = 1;
    f->writer = writer;
    f->thread = pthread_self();
    f->path = path;
    f->socket = socket;
    f->out.fd = fd;
    f->out.ready = on_writable;
    f->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->wake.ready = on_wake;
    must(f->wake.fd >= 0);
    must(loop_watch(writer, &f->wake, EPOLLIN) == ERR_OK);
    must(pthread_mutex_init(&f->lock, NULL) == 0);
    f->last = &f->waiting;
    return f;
}

struct access_file *access_file_open(struct loop *writer, struct str path,
                                     struct problems *ps, struct str file,
                                     uint32_t line)
{
    char *copy = x_strdup(path);
    bool socket;
    int fd = open_path(copy, &socket);

    if (fd < 0) {
        problem_error(ps, file, line,
                      "access_log.file: cannot write to %s: %s; the file, or "
                      "the folder it is to be made in, must be writable for "
                      "this user",
                      copy, strerror(errno));
        x_free(copy);
        return NULL;
    }
    return file_new(writer, copy, fd, socket);
}

struct str access_file_path(const struct access_file *f)
{
    return str_z(f->path);
}

/* Writing, on the writer's thread */

static uint64_t count_lines(const char *p, size_t n)
{
    const char *end = p + n;
    uint64_t lines = 0;

    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        lines++;
        p++;
    }
    return lines;
}

static void take_waiting(struct access_file *f)
{
    pthread_mutex_lock(&f->lock);
    f->writing = f->waiting;
    f->waiting = NULL;
    f->last = &f->waiting;
    pthread_mutex_unlock(&f->lock);
}

static void buffer_done(struct access_file *f)
{
    struct access_buffer *b = f->writing;

    f->writing = b->next;
    atomic_fetch_add(&lines_written, b->lines);
    x_free(b);
    atomic_fetch_sub(&under_way, 1);
}

static ssize_t write_some(struct access_file *f, const char *p, size_t n)
{
    ssize_t done;

    do {
        done = f->socket ? send(f->out.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                         : write(f->out.fd, p, n);
    } while (done < 0 && errno == EINTR);
    return done;
}

/* The disk is full, or nobody reads any more. */
static void give_up(struct access_file *f, int why)
{
    struct access_buffer *b = f->writing;
    uint64_t now_us = clock_mono_us(), lost;

    lost = count_lines(b->text + b->sent, b->len - b->sent);
    atomic_fetch_add(&lines_dropped, lost);
    b->lines -= lost;
    buffer_done(f);
    if (f->warned_us && now_us - f->warned_us < WARN_EVERY_US)
        return;
    f->warned_us = now_us;
    log_warn("access_log", "cannot write to %s: %s; lines are dropped", f->path,
             strerror(why));
}

/* Goes on with the first buffer; false when it has to wait. */
static bool write_buffer(struct access_file *f)
{
    struct access_buffer *b = f->writing;
    ssize_t n;

    if (f->torn && !b->sent) { /* a line another buffer did not finish */
        n = write_some(f, "\n", 1);
        f->torn = n != 1;
    }
    n = write_some(f, b->text + b->sent, b->len - b->sent);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        give_up(f, n < 0 ? errno : EIO);
        return true;
    }
    b->sent += (size_t)n;
    f->torn = b->text[b->sent - 1] != '\n';
    if (b->sent == b->len)
        buffer_done(f);
    return true;
}

/* Writes what can be written now; false when something is left. */
static bool write_all(struct access_file *f)
{
    for (;;) {
        if (!f->writing)
            take_waiting(f);
        if (!f->writing)
            return true;
        if (!write_buffer(f))
            return false;
    }
}

static bool watching(const struct access_file *f)
{
    return f->out.events != 0;
}

static void unwatch(struct access_file *f)
{
    if (watching(f))
        loop_unwatch(f->writer, &f->out);
    f->out.events = 0;
}

static void write_and_watch(struct access_file *f)
{
    if (write_all(f))
        unwatch(f);
    else if (!watching(f) && loop_watch(f->writer, &f->out, EPOLLOUT) != ERR_OK)
        give_up(f, errno);
}

static void on_writable(struct io *io, uint32_t events)
{
    struct access_file *f =
        (struct access_file *)((char *)io - offsetof(struct access_file, out));

    (void)events;
    write_and_watch(f);
}

void access_file_flush(struct access_file *f, unsigned max_ms)
{
    uint64_t end_us = clock_mono_us() + max_ms * 1000ull;

    while (!write_all(f)) {
        uint64_t now_us = clock_mono_us();
        struct pollfd p = { .fd = f->out.fd, .events = POLLOUT };

        if (now_us >= end_us)
            return;
        (void)poll(&p, 1, (int)((end_us - now_us + 999) / 1000));
    }
    unwatch(f);
}

void access_file_reopen(struct access_file *f)
{
    bool socket;
    int fd;

    if (strcmp(f->path, "-") == 0)
        return;
    fd = open_path(f->path, &socket);
    if (fd < 0) {
        log_warn("access_log",
                 "cannot open %s again: %s; the file that was open is "
                 "written on",
                 f->path, strerror(errno));
        return;
    }
    (void)write_all(f);
    unwatch(f);
    close(f->out.fd);
    f->out.fd = fd;
    f->torn = false;
    f->warned_us = 0;
    write_and_watch(f);
}

/* References */

static void file_close(struct access_file *f)
{
    (void)write_all(f);
    while (f->writing) {
        give_up(f, EAGAIN);
        if (!f->writing)
            take_waiting(f);
    }
    unwatch(f);
    loop_unwatch(f->writer, &f->wake);
    close(f->wake.fd);
    close(f->out.fd);
    pthread_mutex_destroy(&f->lock);
    x_free(f->path);
    x_free(f);
}

static void wake_writer(struct access_file *f)
{
    uint64_t one = 1;

    if (write(f->wake.fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_error("access_log", "eventfd: %m");
}

struct access_file *access_file_ref(struct access_file *f)
{
    if (f) {
        pthread_mutex_lock(&f->lock);
        must(f->refs++ > 0);
        pthread_mutex_unlock(&f->lock);
    }
    return f;
}

/* Another thread leaves the closing to the writer, and wakes it before it
 * gives up the lock: behind that the file may be gone. */
void access_file_unref(struct access_file *f)
{
    bool last, here;

    if (!f)
        return;
    here = pthread_equal(f->thread, pthread_self());
    pthread_mutex_lock(&f->lock);
    must(f->refs > 0);
    last = --f->refs == 0;
    if (last && !here)
        wake_writer(f);
    pthread_mutex_unlock(&f->lock);
    if (last && here)
        file_close(f);
}

static void on_wake(struct io *io, uint32_t events)
{
    struct access_file *f =
        (struct access_file *)((char *)io - offsetof(struct access_file, wake));
    uint64_t n;
    bool gone;

    (void)events;
    if (read(io->fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
        log_error("access_log", "eventfd: %m");
    write_and_watch(f);
    pthread_mutex_lock(&f->lock);
    gone = f->refs == 0;
    pthread_mutex_unlock(&f->lock);
    if (gone)
        file_close(f);
}

/* One thread's lines */

/* False when too many wait already; the buffer stays where it is. */
static bool hand_over(struct access_log *log)
{
    struct access_file *f = log->file;
    struct access_buffer *b = log->buffer;
    bool first;

    if (!b)
        return true;
    if (atomic_fetch_add(&under_way, 1) >= ACCESS_LOG_BUFFERS) {
        atomic_fetch_sub(&under_way, 1);
        return false;
    }
    log->buffer = NULL;
    pthread_mutex_lock(&f->lock);
    first = !f->waiting;
    *f->last = b;
    f->last = &b->next;
    pthread_mutex_unlock(&f->lock);
    if (first)
        wake_writer(f);
    return true;
}

static void on_age(struct timer *t)
{
    struct access_log *log =
        (struct access_log *)((char *)t - offsetof(struct access_log, age));

    if (!hand_over(log))
        timer_set(log->loop, t, loop_now_ms(log->loop) + ACCESS_LOG_AGE_MS);
}

struct access_log *access_log_new(struct loop *loop, struct access_file *file)
{
    struct access_log *log = x_new(sizeof(*log));

    log->loop = loop;
    log->file = access_file_ref(file);
    log->age.fire = on_age;
    return log;
}

void access_log_use(struct access_log *log, struct access_file *file)
{
    if (log->file == file)
        return;
    if (!hand_over(log)) {
        atomic_fetch_add(&lines_dropped, log->buffer->lines);
        x_free(log->buffer);
        log->buffer = NULL;
    }
    timer_clear(&log->age);
    access_file_unref(log->file);
    log->file = access_file_ref(file);
}

void access_log_flush(struct access_log *log)
{
    (void)hand_over(log);
}

void access_log_free(struct access_log *log)
{
    if (!log)
        return;
    access_log_use(log, NULL);
    x_free(log);
}

static void buffer_begin(struct access_log *log)
{
    struct access_buffer *b = x_resize(NULL, sizeof(*b));

    b->next = NULL;
    b->len = b->sent = 0;
    b->lines = 0;
    log->buffer = b;
    timer_set(log->loop, &log->age, loop_now_ms(log->loop) + ACCESS_LOG_AGE_MS);
}

void access_log_append(struct access_log *log,
                       const struct access_log_format *f,
                       const struct access_entry *e)
{
    struct access_buffer *b = log->buffer;

    if (!log->file || !f)
        return;
    if (!b || b->len > ACCESS_LOG_BUFFER - ACCESS_LOG_LINE) {
        if (!hand_over(log)) {
            atomic_fetch_add(&lines_dropped, 1);
            return;
        }
        buffer_begin(log);
        b = log->buffer;
    }
    b->len += access_line(f, e, &log->clock, b->text + b->len);
    b->lines++;
}
