/* cmd_gateway.c - the gateway as a process: start, reload, end.
 *
 *   starting -> serving   serve()         documents loaded, listeners open,
 *                                         privileges gone
 *   serving  -> serving   reload()        SIGHUP, `tollgate reload`
 *   serving  -> leaving   stop_accepting() SIGUSR2, `tollgate upgrade`: a
 *                                         successor takes over (upgrade.h)
 *   leaving  -> serving   take_back()     it could not
 *   serving  -> draining  on_signal()     SIGTERM, SIGINT; a second one ends
 *                                         the process at once
 *   draining, leaving -> ended  drained()
 */
#include <arpa/inet.h>
#include <errno.h>
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
#include "cmd/handover.h"
#include "cmd/notify.h"
#include "cmd/privileges.h"
#include "cmd/signals.h"
#include "cmd/state_dir.h"
#include "cmd/upgrade.h"
#include "format/json.h"
#include "gateway/gateway.h"
#include "http/server.h"
#include "net/sock.h"
#include "net/tls.h"

enum { TEXT_MAX = 256 * 1024 };

struct process {
    struct gateway_flags flags;
    struct loop *loop;
    struct gateway *gateway;
    struct state_dir dir;
    struct control_socket *control;
    struct signals signals;
    struct upgrade upgrade;
    int predecessor; /* our end of the pair with it; -1: none */
    bool draining;
    bool told;  /* by a signal to end */
    bool given; /* the state folder's files are a successor's */
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

    if (p->draining || p->upgrade.state != UPGRADE_IDLE) {
        problem_error(ps, STR_NULL, 0,
                      p->draining ? "the gateway is about to end"
                                  : "an upgrade is under way");
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

static void drained(void *arg);
static void begin_upgrade(struct process *p, struct buf *answer);
static enum err open_state(struct process *p);

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
    } else if (str_is(verb, "upgrade")) {
        begin_upgrade(p, answer);
    } else if (str_is(verb, "status")) {
        buf_z(answer, p->draining ? "ok draining\n" : "ok serving\n");
        put_addresses(p, answer);
    } else if (str_is(verb, "version")) {
        buf_printf(answer, "ok %s\n", cmd_version_text());
    } else {
        buf_z(answer, "error\nunknown verb; there are reload, upgrade, status "
                      "and version\n");
    }
}

/* ---- upgrade: the old one ---- */

static enum err give_socket(void *arg, const char *kind, struct str key, int fd)
{
    return handover_send(*(int *)arg, kind, key, fd);
}

static enum err give(void *arg, int sock)
{
    struct process *p = arg;
    unsigned char keys[TLS_TICKET_KEYS];
    size_t n;
    enum err e = handover_send(sock, "state", p->dir.path, p->dir.lock_fd);

    if (!e)
        e = gateway_give_sockets(p->gateway, give_socket, &sock);
    tls_ticket_export(keys, &n);
    if (!e)
        e = handover_send(sock, "tickets", str_from((char *)keys, n), -1);
    explicit_bzero(keys, sizeof(keys));
    return e;
}

static void taken(void *arg, struct str key)
{
    struct process *p = arg;

    gateway_taken(p->gateway, key);
}

static void stop_accepting(void *arg)
{
    struct process *p = arg;

    p->given = true;
    control_socket_rest(p->control);
    gateway_stop_accepting(p->gateway);
}

static void take_back(void *arg, bool owner)
{
    struct process *p = arg;
    char text[64];

    p->given = false;
    gateway_accept_again(p->gateway);
    if (p->draining)
        return;
    control_socket_free(p->control);
    p->control = NULL;
    if (owner)
        state_dir_own(&p->dir);
    (void)open_state(p);
    snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1", getpid());
    notify(text);
}

static void served(void *arg, long pid, struct str version)
{
    struct process *p = arg;
    char text[256];
    int n = snprintf(text, sizeof(text),
                     "ok upgraded: process %ld (%.*s) serves; process %d "
                     "finishes its calls\n",
                     pid, STR_ARG(version), getpid());

    control_socket_answer(p->control, str_from(text, (size_t)n));
    snprintf(text, sizeof(text), "MAINPID=%ld", pid);
    notify(text);
}

/* So that the process before does not take our end for a death. */
static void tell_leaving(const struct process *p)
{
    if (p->predecessor >= 0)
        (void)handover_send(p->predecessor, "leaving", STR_NULL, -1);
}

static void upgrade_given(void *arg)
{
    struct process *p = arg;

    tell_leaving(p);
    if (!p->draining)
        gateway_leave(p->gateway, drained, p);
    p->draining = true;
}

static void upgrade_failed(void *arg, struct str why)
{
    struct process *p = arg;
    struct buf b;

    buf_init(&b, TEXT_MAX);
    buf_printf(&b, "error\n%.*sthe upgrade failed; process %d serves on\n",
               STR_ARG(why), getpid());
    control_socket_answer(p->control, buf_view(&b));
    buf_done(&b);
}

static const struct upgrade_ops upgrade_ops = {
    .give = give,
    .taken = taken,
    .stop_accepting = stop_accepting,
    .take_back = take_back,
    .served = served,
    .given = upgrade_given,
    .failed = upgrade_failed,
};

static void begin_upgrade(struct process *p, struct buf *answer)
{
    enum err e = p->draining ? ERR_CONFLICT : upgrade_begin(&p->upgrade);

    if (e == ERR_CONFLICT)
        buf_z(answer, p->draining ? "error\nthe gateway is about to end\n"
                                  : "error\nan upgrade is under way already\n");
    else if (e)
        buf_printf(answer, "error\nno process can be started: %s\n",
                   strerrordesc_np(errno));
    if (answer->len)
        log_error("upgrade", "%.*s", STR_ARG(str_trim(buf_view(answer))));
}

/* ---- upgrade: the new one ---- */

enum { GIVE_MS = 10000, GO_MS = 20000 };

static enum err take_thing(struct process *p, struct arena *a,
                           struct handover_message *m)
{
    if (str_is(m->name, "state"))
        return state_dir_adopt(a, m->value, m->fd, &p->dir);
    if (str_is(m->name, "tickets")) {
        enum err e =
            tls_ticket_import((const unsigned char *)m->value.p, m->value.len);

        explicit_bzero(m->bytes, sizeof(m->bytes));
        return e;
    }
    if (m->fd >= 0)
        gateway_inherit(p->gateway, m->name, m->value, m->fd);
    return ERR_OK;
}

/* All that a predecessor gives, before settings are read: the state folder is
 * known by it. */
static enum err take_things(struct process *p, struct arena *a,
                            struct problems *ps)
{
    struct handover_message *m = x_new(sizeof(*m));
    enum err e;

    while (!(e = handover_take(p->predecessor, GIVE_MS, m)) &&
           !str_is(m->name, "end") && !(e = take_thing(p, a, m)))
        ;
    x_free(m);
    if (!e && p->dir.fd < 0)
        e = ERR_INVALID;
    if (e)
        problem_error(ps, STR_NULL, 0,
                      "what the process before left cannot be used (%s)",
                      err_name(e));
    return e;
}

static enum err tell_taken(void *arg, const char *kind, struct str key, int fd)
{
    (void)kind;
    (void)fd;
    return handover_send(*(int *)arg, "takes", key, -1);
}

/* Everything is loaded: the predecessor stops accepting, and then all is
 * ours. */
static enum err take_over(struct process *p)
{
    struct handover_message *m = x_new(sizeof(*m));
    enum err e = gateway_give_sockets(p->gateway, tell_taken, &p->predecessor);

    if (!e)
        e = handover_send(p->predecessor, "ready", STR_NULL, -1);
    if (!e)
        e = handover_take(p->predecessor, GO_MS, m);
    if (!e && !str_is(m->name, "go"))
        e = ERR_INVALID;
    x_free(m);
    if (e)
        log_error("start", "the process before does not let go (%s)",
                  err_name(e));
    else
        state_dir_own(&p->dir);
    p->given = e != ERR_OK;
    return e;
}

static void tell_failure(const struct process *p, const struct problems *ps)
{
    struct buf b;

    if (p->predecessor < 0)
        return;
    buf_init(&b, HANDOVER_MAX - 64);
    (void)problems_write(ps, &b);
    (void)handover_send(p->predecessor, "failed", buf_view(&b), -1);
    buf_done(&b);
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
    if (number == SIGUSR2) {
        struct buf answer;

        buf_init(&answer, TEXT_MAX);
        begin_upgrade(p, &answer);
        buf_done(&answer);
        return;
    }
    if (p->told) {
        log_warn("stop", "a second signal: ending at once");
        _exit(128 + number);
    }
    p->told = true;
    if (p->draining) { /* a successor has taken over */
        log_info("stop", "calls in flight may finish");
        return;
    }
    p->draining = true;
    tell_leaving(p);
    log_info("stop", "no new connections; calls in flight may finish");
    if (!p->given)
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

static enum err open_control(struct process *p)
{
    if (!control_socket_new(p->loop, &p->dir, on_control, p, &p->control))
        return ERR_OK;
    log_error("start", "%s/" CONTROL_NAME " cannot be opened: %m",
              p->dir.path.p);
    return ERR_IO;
}

static enum err open_state(struct process *p)
{
    char pid[24];

    snprintf(pid, sizeof(pid), "%d\n", getpid());
    if (state_dir_write(&p->dir, "pid", str_z(pid)) || write_addresses(p)) {
        log_error("start", "%s cannot be written: %m", p->dir.path.p);
        return ERR_IO;
    }
    return open_control(p);
}

/* Everything that may fail with problems for a person. */
static enum err prepare(struct process *p, struct arena *a, struct settings *s,
                        struct account *who, struct problems *ps)
{
    enum err e = gateway_settings(a, &p->flags, s, ps);

    if (e)
        return e;
    log_setup((enum log_level)s->log.level, (enum log_format)s->log.format, 2);
    if (p->dir.fd >= 0) /* a predecessor's */
        return ERR_OK;
    e = privileges_account(a, s->gateway.user, who, ps);
    return e ? e : take_state(p, a, s, ps);
}

static enum err start(struct process *p, struct problems *ps)
{
    static const int numbers[] = { SIGHUP, SIGTERM, SIGINT, SIGUSR2, 0 };
    struct arena *a = arena_new();
    struct settings *s = arena_alloc(a, sizeof(*s));
    struct account who = { 0 };
    enum err e = ERR_OK;

    p->gateway = gateway_new(p->loop, cmd_version_text(), TOLLGATE_COMMIT);
    gateway_set_rights(privileges_raise);
    gateway_set_thread_begin(privileges_none);
    if (p->predecessor >= 0)
        e = take_things(p, ps->arena, ps);
    if (!e)
        e = prepare(p, a, s, &who, ps);
    if (e) {
        arena_free(a);
        return e;
    }
    /* The settings' arena may be gone after a reload. */
    p->dir.path = arena_copy(ps->arena, p->dir.path);
    who.name = who.name ? arena_copy(ps->arena, str_z(who.name)).p : NULL;
    e = signals_begin(&p->signals, p->loop, numbers, on_signal);
    must(!e);
    e = load(p, a, s, ps);
    e = e ? e : become(p, s, &who);
    if (!e)
        gateway_settle(p->gateway);
    return e;
}

static void stop(struct process *p)
{
    upgrade_done(&p->upgrade);
    control_socket_free(p->control);
    if (p->gateway)
        gateway_free(p->gateway);
    if (p->predecessor >= 0)
        close(p->predecessor);
    if (p->dir.fd >= 0 && !p->given) {
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
    if (!e && p->predecessor >= 0)
        e = take_over(p);
    if (!e)
        e = open_state(p);
    if (e) {
        tell_failure(p, &ps);
        return CMD_FAILED;
    }
    log_serving(p);
    notify("READY=1");
    if (p->predecessor >= 0)
        (void)handover_send(p->predecessor, "serving",
                            str_z(cmd_version_text()), -1);
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
    struct process p = { .dir = { STR_NULL, -1, -1 }, .predecessor = -1 };
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
        privileges_adopt();
        raise_limits();
        p.loop = loop_new();
        p.predecessor = upgrade_inherited();
        p.given = p.predecessor >= 0; /* until it lets go */
        upgrade_init(&p.upgrade, p.loop, &upgrade_ops, &p);
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
