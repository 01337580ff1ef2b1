/* upgrade.c - see upgrade.h. */
#include "cmd/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "cmd/handover.h"
#include "cmd/privileges.h"

enum {
    READY_MS = 60000, /* for the successor to load everything */
    SERVE_MS = 10000, /* and, told to go, to take over */
    WATCH_MS = 10000, /* for it to show that it can live */
    WHY_MAX = 16 * 1024,
    END_TRIES = 50,
    END_TRY_US = 10000,
    LINE_MAX_BYTES = 2 << 20, /* what the kernel takes for a command */
};

#define INHERIT "TG_HANDOVER_FD"

extern char **environ;

static struct upgrade *of(struct timer *t)
{
    return (struct upgrade *)((char *)t - offsetof(struct upgrade, timer));
}

/* ---- starting the successor ---- */

/* Between fork and exec: nothing that takes a lock. */
static void become_successor(const struct upgrade *u, int fd, char *const *env)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    fcntl(fd, F_SETFD, 0);
    privileges_pass_on();
    execve(u->program, u->argv, env);
    _exit(127);
}

/* The environment and one more. */
static char **environment(char entry[32], int fd)
{
    size_t n = 0;
    char **env;

    while (environ[n])
        n++;
    env = x_array(n + 2, sizeof(*env));
    memcpy(env, environ, n * sizeof(*env));
    snprintf(entry, 32, INHERIT "=%d", fd);
    env[n] = entry;
    return env;
}

static enum err start(struct upgrade *u, int *sock)
{
    int fds[2];
    char entry[32], **env;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
        return ERR_IO;
    env = environment(entry, fds[1]);
    u->pid = fork();
    if (u->pid == 0)
        become_successor(u, fds[1], env);
    x_free(env);
    close(fds[1]);
    if (u->pid < 0) {
        close(fds[0]);
        return ERR_IO;
    }
    *sock = fds[0];
    return ERR_OK;
}

/* ---- what comes of it ---- */

static void arm(struct upgrade *u, uint64_t ms)
{
    timer_set(u->loop, &u->timer, loop_now_ms(u->loop) + ms);
}

static void close_pair(struct upgrade *u)
{
    timer_clear(&u->timer);
    loop_unwatch(u->loop, &u->io);
    close(u->io.fd);
    u->io.fd = -1;
}

/* How the successor ended. One whose end of the pair is closed is about to;
 * else it is made to. */
static void add_end(struct upgrade *u)
{
    int status, tries = END_TRIES;
    pid_t ended;

    while ((ended = waitpid((pid_t)u->pid, &status, WNOHANG)) == 0 && tries--)
        usleep(END_TRY_US);
    if (!ended) {
        kill((pid_t)u->pid, SIGKILL);
        waitpid((pid_t)u->pid, &status, 0);
    }
    if (ended < 0)
        return;
    if (WIFSIGNALED(status))
        buf_printf(&u->why, "it was ended by signal %d (%s)\n",
                   WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == 127)
        buf_printf(&u->why, "%s cannot be started\n", u->program);
    else
        buf_printf(&u->why, "it ended with code %d\n", WEXITSTATUS(status));
}

/* It is gone or of no use: everything is as it was. */
static void undo(struct upgrade *u, const char *what)
{
    enum upgrade_state was = (enum upgrade_state)u->state;

    add_end(u);
    close_pair(u);
    u->state = UPGRADE_IDLE;
    log_error("upgrade", "process %ld %s; this one serves on: %.*s", u->pid,
              what, STR_ARG(str_trim(buf_view(&u->why))));
    if (was != UPGRADE_WATCHING)
        u->ops->failed(u->arg, buf_view(&u->why));
    if (was >= UPGRADE_GIVING)
        u->ops->take_back(u->arg, was == UPGRADE_WATCHING);
    buf_done(&u->why);
}

static void given(struct upgrade *u)
{
    close_pair(u);
    u->state = UPGRADE_GIVEN;
    buf_done(&u->why);
    log_info("upgrade", "process %ld has taken over for good", u->pid);
    u->ops->given(u->arg);
}

static void on_timer(struct timer *t)
{
    struct upgrade *u = of(t);

    if (u->state == UPGRADE_WATCHING)
        given(u);
    else
        undo(u, u->state == UPGRADE_STARTING ? "was not ready in time"
                                             : "did not take over in time");
}

static void on_message(struct upgrade *u, const struct handover_message *m)
{
    if (str_is(m->name, "failed")) {
        buf_str(&u->why, m->value);
    } else if (str_is(m->name, "ready") && u->state == UPGRADE_STARTING) {
        u->state = UPGRADE_GIVING;
        arm(u, SERVE_MS);
        u->ops->stop_accepting(u->arg);
        (void)handover_send(u->io.fd, "go", STR_NULL, -1);
    } else if (str_is(m->name, "takes") && u->state == UPGRADE_STARTING) {
        u->ops->taken(u->arg, m->value);
    } else if (str_is(m->name, "leaving") && u->state == UPGRADE_WATCHING) {
        given(u); /* it was told to end: that is not a death */
    } else if (str_is(m->name, "serving") && u->state == UPGRADE_GIVING) {
        u->state = UPGRADE_WATCHING;
        arm(u, WATCH_MS);
        log_info("upgrade",
                 "process %ld (%.*s) serves; this one finishes its "
                 "calls",
                 u->pid, STR_ARG(m->value));
        u->ops->served(u->arg, u->pid, m->value);
    }
}

static void on_pair(struct io *io, uint32_t events)
{
    struct upgrade *u = (struct upgrade *)io;
    struct handover_message m;
    enum err e;

    (void)events;
    while (!(e = handover_take(io->fd, 0, &m))) {
        if (m.fd >= 0)
            close(m.fd);
        on_message(u, &m);
        if (io->fd < 0)
            return;
    }
    if (e != ERR_AGAIN)
        undo(u, u->state == UPGRADE_STARTING ? "could not start" : "has died");
}

/* ---- for the process ---- */

/* The words this process was started with. */
static void read_words(struct upgrade *u)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    size_t len = 0, count = 0;
    ssize_t n = 1;

    u->line = x_new(LINE_MAX_BYTES + 1);
    while (fd >= 0 && n > 0 && len < LINE_MAX_BYTES) {
        n = read(fd, u->line + len, LINE_MAX_BYTES - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    for (size_t i = 0; i < len; i++)
        count += u->line[i] == 0;
    u->argv = x_array(count + 2, sizeof(*u->argv));
    count = 0;
    for (size_t i = 0; i < len; i += strlen(u->line + i) + 1)
        u->argv[count++] = u->line + i;
}

void upgrade_init(struct upgrade *u, struct loop *l,
                  const struct upgrade_ops *ops, void *arg)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    *u = (struct upgrade) { .loop = l, .ops = ops, .arg = arg };
    read_words(u);
    u->io.fd = -1;
    u->io.ready = on_pair;
    u->timer.fire = on_timer;
    u->program =
        x_strdup(n > 0 ? str_from(path, (size_t)n) : str_z(u->argv[0]));
}

enum err upgrade_begin(struct upgrade *u)
{
    enum err e;

    if (u->state != UPGRADE_IDLE)
        return ERR_CONFLICT;
    e = start(u, &u->io.fd);
    if (e)
        return e;
    buf_init(&u->why, WHY_MAX);
    u->state = UPGRADE_STARTING;
    log_info("upgrade", "started %s as process %ld", u->program, u->pid);
    arm(u, READY_MS);
    must(loop_watch(u->loop, &u->io, EPOLLIN) == ERR_OK);
    /* What it will not take shows when it does not answer. */
    if (!u->ops->give(u->arg, u->io.fd))
        (void)handover_send(u->io.fd, "end", STR_NULL, -1);
    fcntl(u->io.fd, F_SETFL, O_NONBLOCK);
    return ERR_OK;
}

void upgrade_done(struct upgrade *u)
{
    if (u->state == UPGRADE_STARTING || u->state == UPGRADE_GIVING)
        kill((pid_t)u->pid, SIGTERM);
    if (u->io.fd >= 0)
        close_pair(u);
    buf_done(&u->why);
    x_free(u->program);
    x_free(u->line);
    x_free(u->argv);
    u->program = u->line = NULL;
    u->argv = NULL;
}

int upgrade_inherited(void)
{
    const char *text = getenv(INHERIT);
    uint64_t fd;
    int type = 0;
    socklen_t len = sizeof(type);

    if (!text)
        return -1;
    if (str_to_u64(str_z(text), INT_MAX, &fd) ||
        getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &len) ||
        type != SOCK_SEQPACKET)
        fd = (uint64_t)-1;
    unsetenv(INHERIT);
    if ((int)fd >= 0)
        fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    return (int)fd;
}
