/* cmd_gateway.c - the gateway as a process: start, reload, end.
 *
 *   starting -> serving   serve()         documents loaded, listeners open,
 *                                         privileges gone
 *   serving  -> serving   reload()        SIGHUP, `tollgate reload`
 *   serving  -> draining  on_signal()     SIGTERM, SIGINT; a second one ends
 *                                         the process at once
 *   draining -> ended     drained()
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/budget.h"
#include "cmd/cmd.h"
#include "cmd/control_socket.h"
#include "cmd/gateway_options.h"
#include "cmd/notify.h"
#include "cmd/privileges.h"
#include "cmd/signals.h"
#include "cmd/state_dir.h"
#include "format/json.h"
#include "gateway/gateway.h"
#include "http/server.h"
#include "net/sock.h"

enum { TEXT_MAX = 256 * 1024 };

struct process {
    struct gateway_flags flags;
    struct loop *loop;
    struct gateway *gateway;
    struct state_dir dir;
    struct control_socket *control;
    struct signals signals;
    bool draining;
};

/* ---- where it listens ---- */

static const struct {
    char kind;
    const char *name;
} kinds[] = { { 'h', "http" }, { 's', "https" }, { 'a', "admin" } };

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* {"pid":1,"http":["127.0.0.1:8280"],"https":[],"admin":[]} */
static void put_addresses(const struct process *p, struct buf *b)
{
    buf_printf(b, "{\"pid\":%d", getpid());
    for (int k = 0; k < KINDS; k++) {
        const char *a;

        buf_printf(b, ",\"%s\":[", kinds[k].name);
        for (size_t i = 0; (a = gateway_address(p->gateway, kinds[k].kind, i));
             i++) {
            if (i)
                buf_char(b, ',');
            json_write_str(b, str_z(a));
        }
        buf_char(b, ']');
    }
    buf_z(b, "}\n");
}

static enum err write_addresses(const struct process *p)
{
    struct buf b;
    enum err e;

    buf_init(&b, TEXT_MAX);
    put_addresses(p, &b);
    e = state_dir_write(&p->dir, "addresses.json", buf_view(&b));
    buf_done(&b);
    return e;
}

static void log_serving(const struct process *p)
{
    struct buf b;

    buf_init(&b, TEXT_MAX);
    for (int k = 0; k < KINDS; k++) {
        const char *a;

        for (size_t i = 0; (a = gateway_address(p->gateway, kinds[k].kind, i));
             i++)
            buf_printf(&b, "%s%s on %s", b.len ? ", " : "", kinds[k].name, a);
    }
    log_info("start", "serving %.*s; process %d, state in %s",
             STR_ARG(buf_view(&b)), getpid(), p->dir.path.p);
    buf_done(&b);
}

/* ---- loading ---- */

static void log_problems(const char *area, const struct problems *ps)
{
    for (const struct problem *p = ps->first; p; p = p->next)
        log_write(p->kind == PROBLEM_ERROR ? LOG_ERROR : LOG_WARN, area, "%.*s",
                  STR_ARG(problem_line(ps->arena, p)));
    if (ps->errors + ps->warnings > ps->kept)
        log_warn(area, "and %zu more", ps->errors + ps->warnings - ps->kept);
}

/* What a load leaves behind is given back, and no thread more than serve has
 * a heap of its own. */
static void tune_heaps(const struct settings *s)
{
    uint64_t threads = s->gateway.threads;

    if (!threads)
        threads = budget_machine_cpus();
    mallopt(M_ARENA_MAX, (int)threads + 1);
    /* Buffers of a body come and go with every call: keep their pages. What a
     * burst leaves is given back by gateway.c when it is over. */
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_TOP_PAD, 256 << 10);
}

/* Takes the arena over, whatever comes out. */
static enum err load(struct process *p, struct arena *a, struct settings *s,
                     struct problems *ps)
{
    enum err e;

    s->state_dir = p->dir.path;
    tune_heaps(s);
    e = gateway_load(p->gateway, a, s, ps);
    if (e)
        arena_free(a);
    malloc_trim(0);
    return e;
}

static void warn_of_other_folder(const struct process *p,
                                 const struct settings *s, struct problems *ps)
{
    struct stat now, then;

    if (!s->state_dir.len || fstat(p->dir.fd, &then))
        return;
    if (stat(s->state_dir.p, &now) || now.st_ino != then.st_ino ||
        now.st_dev != then.st_dev)
        problem_warn(ps, s->file, 0,
                     "state_dir takes effect with the next start");
}

static enum err load_again(struct process *p, struct problems *ps)
{
    struct arena *a = arena_new();
    struct settings *s = arena_alloc(a, sizeof(*s));
    int level, format;
    enum err e;

    if (p->draining) {
        problem_error(ps, STR_NULL, 0, "the gateway is about to end");
        arena_free(a);
        return ERR_CONFLICT;
    }
    e = gateway_settings(a, &p->flags, s, ps);
    if (e) {
        arena_free(a);
        return e;
    }
    warn_of_other_folder(p, s, ps);
    level = s->log.level;
    format = s->log.format;
    e = load(p, a, s, ps);
    if (!e)
        log_setup((enum log_level)level, (enum log_format)format, 2);
    return e;
}

static enum err reload(struct process *p, struct problems *ps)
{
    enum err e;

    notify_reloading();
    e = load_again(p, ps);
    log_problems("reload", ps);
    if (e) {
        log_error("reload", "the new configuration was refused; the one before "
                            "is served on");
    } else {
        log_info("reload", "the new configuration is served");
        if (write_addresses(p))
            log_error("reload", "%s/addresses.json cannot be written: %m",
                      p->dir.path.p);
    }
    notify("READY=1");
    return e;
}

/* ---- while it serves ---- */

static void answer_reload(struct process *p, struct buf *answer)
{
    struct arena *a = arena_new();
    struct problems ps;
    enum err e;

    problems_init(&ps, a);
    e = reload(p, &ps);
    buf_z(answer, e ? "error\n" : "ok the new configuration is served\n");
    problems_write(&ps, answer);
    if (e)
        buf_z(answer, "the new configuration was refused; the one before is "
                      "served on\n");
    arena_free(a);
}

static void on_control(void *arg, struct str verb, struct buf *answer)
{
    struct process *p = arg;

    if (str_is(verb, "reload")) {
        answer_reload(p, answer);
    } else if (str_is(verb, "status")) {
        buf_z(answer, p->draining ? "ok draining\n" : "ok serving\n");
        put_addresses(p, answer);
    } else if (str_is(verb, "version")) {
        buf_printf(answer, "ok %s\n", cmd_version_text());
    } else {
        buf_z(answer, "error\nunknown verb; there are reload, status and "
                      "version\n");
    }
}

static void drained(void *arg)
{
    struct process *p = arg;

    loop_stop(p->loop);
}

static void on_signal(struct signals *s, int number)
{
    struct process *p = (void *)((char *)s - offsetof(struct process, signals));

    if (number == SIGHUP) {
        struct arena *a = arena_new();
        struct problems ps;

        problems_init(&ps, a);
        reload(p, &ps);
        arena_free(a);
        return;
    }
    if (p->draining) {
        log_warn("stop", "a second signal: ending at once");
        _exit(128 + number);
    }
    p->draining = true;
    log_info("stop", "no new connections; calls in flight may finish");
    notify("STOPPING=1");
    gateway_drain(p->gateway, drained, p);
}

/* ---- starting ---- */

static void raise_limits(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* 0: none, or any. */
static unsigned port_of(struct str text)
{
    struct address at;
    const struct sockaddr_in *v4 = (const void *)&at.sa;
    const struct sockaddr_in6 *v6 = (const void *)&at.sa;

    if (sock_parse(text, &at) || at.sa.ss_family == AF_UNIX)
        return 0;
    return ntohs(at.sa.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
}

static enum err take_state(struct process *p, struct arena *a,
                           const struct settings *s, struct problems *ps)
{
    const struct listener_conf *first = s->gateway.listeners.items;
    struct str usual = state_dir_default(a);
    enum err e =
        state_dir_take(a, s->state_dir, port_of(first->address), &p->dir, ps);

    if (!e && !s->state_dir.len && !str_eq(p->dir.path, usual))
        log_info("start",
                 "%.*s belongs to another gateway; state is kept in "
                 "%s",
                 STR_ARG(usual), p->dir.path.p);
    return e;
}

/* The access log was opened as root; the account must be able to open it again.
 * What has a second name, or is no file, is somebody else's. */
static void give_access_log(const char *path, const struct account *who)
{
    int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = open(path, flags);
    struct stat st;

    if (fd < 0)
        return;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
        st.st_uid == 0 && fchown(fd, who->uid, who->gid))
        log_warn("start", "%s cannot be given to %s: %m", path, who->name);
    close(fd);
}

/* From here on files in the state folder are the account's. */
static enum err become(const struct process *p, const struct settings *s,
                       const struct account *who)
{
    struct str access_log = s->gateway.access_log.file;
    bool dropped;

    if (!who->name)
        return ERR_OK;
    if (privileges_can_drop() && state_dir_give(&p->dir, who->uid, who->gid)) {
        log_error("start",
                  "%s cannot be given to %s: %m; set gateway.user to "
                  "root to stay root",
                  p->dir.path.p, who->name);
        return ERR_IO;
    }
    if (privileges_can_drop() && access_log.len && !str_is(access_log, "-"))
        give_access_log(access_log.p, who);
    return privileges_drop(who, &dropped);
}

static enum err open_state(struct process *p)
{
    char pid[24];

    snprintf(pid, sizeof(pid), "%d\n", getpid());
    if (state_dir_write(&p->dir, "pid", str_z(pid)) || write_addresses(p)) {
        log_error("start", "%s cannot be written: %m", p->dir.path.p);
        return ERR_IO;
    }
    if (control_socket_new(p->loop, &p->dir, on_control, p, &p->control)) {
        log_error("start", "%s/" CONTROL_NAME " cannot be opened: %m",
                  p->dir.path.p);
        return ERR_IO;
    }
    return ERR_OK;
}

/* Everything that may fail with problems for a person. */
static enum err prepare(struct process *p, struct arena *a, struct settings *s,
                        struct account *who, struct problems *ps)
{
    enum err e = gateway_settings(a, &p->flags, s, ps);

    if (e)
        return e;
    log_setup((enum log_level)s->log.level, (enum log_format)s->log.format, 2);
    e = privileges_account(a, s->gateway.user, who, ps);
    return e ? e : take_state(p, a, s, ps);
}

static enum err start(struct process *p, struct problems *ps)
{
    static const int numbers[] = { SIGHUP, SIGTERM, SIGINT, 0 };
    struct arena *a = arena_new();
    struct settings *s = arena_alloc(a, sizeof(*s));
    struct account who = { 0 };
    enum err e = prepare(p, a, s, &who, ps);

    if (e) {
        arena_free(a);
        return e;
    }
    /* The settings' arena may be gone after a reload. */
    p->dir.path = arena_copy(ps->arena, p->dir.path);
    who.name = who.name ? arena_copy(ps->arena, str_z(who.name)).p : NULL;
    e = signals_begin(&p->signals, p->loop, numbers, on_signal);
    must(!e);
    p->gateway = gateway_new(p->loop, cmd_version_text(), TOLLGATE_COMMIT);
    gateway_set_rights(privileges_raise);
    e = load(p, a, s, ps);
    return e ? e : become(p, s, &who);
}

static void stop(struct process *p)
{
    control_socket_free(p->control);
    if (p->gateway)
        gateway_free(p->gateway);
    if (p->dir.fd >= 0) {
        state_dir_remove(&p->dir, "addresses.json");
        state_dir_remove(&p->dir, "pid");
    }
    state_dir_close(&p->dir);
    if (p->signals.on)
        signals_end(&p->signals, p->loop);
    loop_free(p->loop);
}

/* a: lives as long as the process serves. */
static int serve(struct process *p, struct arena *a)
{
    struct problems ps;
    enum err e;

    problems_init(&ps, a);
    e = start(p, &ps);
    if (ps.errors)
        problems_print(&ps, stderr);
    else
        log_problems("start", &ps);
    if (!e)
        e = open_state(p);
    if (e)
        return CMD_FAILED;
    log_serving(p);
    notify("READY=1");
    loop_run(p->loop);
    loop_turn(p->loop, 0); /* what was posted in the last turn */
    log_info("stop", "ended");
    return CMD_OK;
}

static int nothing_to_serve(const struct cmd *cmd)
{
    return cmd_usage(cmd, "there is nothing to serve: name an OpenAPI "
                          "document,\n"
                          "    tollgate gateway petstore.yaml\n"
                          "or settings that list some (gateway.apis),\n"
                          "    tollgate gateway --config tollgate.yaml");
}

static int run(const struct cmd *cmd, const struct arguments *args)
{
    struct process p = { .dir = { STR_NULL, -1, -1 } };
    struct arena *a = arena_new();
    struct str wrong;
    int status;

    if (gateway_flags(a, args, &p.flags, &wrong)) {
        status = cmd_usage(cmd, "%.*s", STR_ARG(wrong));
    } else if (gateway_flags_empty(&p.flags)) {
        status = nothing_to_serve(cmd);
    } else {
        signal(SIGPIPE, SIG_IGN);
        privileges_begin();
        raise_limits();
        p.loop = loop_new();
        status = serve(&p, a);
        stop(&p);
    }
    arena_free(a);
    http_thread_done();
    return status;
}

const struct cmd cmd_gateway = {
    .name = "gateway",
    .words = GATEWAY_WORDS,
    .summary = "serve the APIs of OpenAPI documents",
    .help = "Serves every OpenAPI document that is named here or in the "
            "settings; of a\nfolder all .yaml, .yml and .json files. Flags "
            "win over the settings, documents\nadd to them, --http and "
            "--https replace their listeners. Without any listener:\nHTTP "
            "on :8280 and HTTPS with a local certificate on :8243.\n\n"
            "SIGHUP and `tollgate reload` read everything again; SIGTERM "
            "finishes the calls\nin flight and ends.",
    .options = gateway_options,
    .run = run,
};
