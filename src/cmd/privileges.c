/* privileges.c - see privileges.h. */
#include "cmd/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define BIT(cap) (1u << (cap)) /* all we name are below 32 */
#define NEEDED (BIT(CAP_SETUID) | BIT(CAP_SETGID))
#define KEPT (BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_DAC_READ_SEARCH))
/* Permitted, and in effect only while a Unix socket is being connected. */
#define HELD BIT(CAP_DAC_OVERRIDE)

static _Atomic bool dropped_once;

void privileges_begin(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* libcap is not worth a dependency: two calls, of this thread. */
static int get_caps(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };

    return (int)syscall(SYS_capget, &head, data);
}

static int set_caps(uint32_t caps, uint32_t held)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = {
        { .effective = caps, .permitted = caps | held },
    };

    return (int)syscall(SYS_capset, &head, data);
}

void privileges_pass_on(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { 0 };
    static const int caps[] = { CAP_NET_BIND_SERVICE, CAP_DAC_READ_SEARCH,
                                CAP_DAC_OVERRIDE };

    if (geteuid() == 0 || get_caps(data))
        return;
    data[0].inheritable = data[0].permitted & (KEPT | HELD);
    if (syscall(SYS_capset, &head, data))
        return;
    for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++)
        if (data[0].inheritable & BIT(caps[i]))
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, caps[i], 0, 0);
}

void privileges_adopt(void)
{
    struct __user_cap_data_struct data[2] = { 0 };

    if (geteuid() == 0 || get_caps(data) || !(data[0].permitted & KEPT))
        return;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    (void)set_caps(data[0].permitted & KEPT, data[0].permitted & HELD);
    dropped_once = true;
}

void privileges_none(void)
{
    if (dropped_once)
        (void)set_caps(0, 0);
}

bool privileges_can_drop(void)
{
    struct __user_cap_data_struct data[2] = { 0 };

    return !get_caps(data) && (data[0].effective & NEEDED) == NEEDED;
}

void privileges_raise(bool on)
{
    struct __user_cap_data_struct data[2] = { 0 };

    if (!dropped_once || get_caps(data))
        return;
    (void)set_caps(data[0].permitted & (on ? KEPT | HELD : KEPT),
                   data[0].permitted & HELD);
}

enum err privileges_account(struct arena *a, struct str name,
                            struct account *out, struct problems *ps)
{
    const struct passwd *pw;

    *out = (struct account) { 0 };
    if (geteuid() != 0)
        return ERR_OK;
    if (name.len) {
        pw = getpwnam(arena_copy(a, name).p);
    } else {
        pw = getpwnam("tollgate");
        if (!pw)
            pw = getpwnam("nobody");
    }
    if (!pw) {
        problem_error(ps, STR_NULL, 0,
                      "gateway.user: there is no account \"%.*s\"; name one, "
                      "or root to stay root",
                      STR_ARG(name.len ? name : STR("nobody")));
        return ERR_INVALID;
    }
    if (pw->pw_uid == 0)
        return ERR_OK;
    out->name = arena_copy(a, str_z(pw->pw_name)).p;
    out->uid = pw->pw_uid;
    out->gid = pw->pw_gid;
    return ERR_OK;
}

/* The library hands setuid() and its kin to all threads. Keeping capabilities
 * is this thread's own wish, so the others lose theirs. */
static enum err become(const struct account *who)
{
    struct __user_cap_data_struct data[2] = { 0 };

    if (get_caps(data) || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
        return ERR_IO;
    if (setgid(who->gid) || setuid(who->uid))
        return ERR_IO;
    if (set_caps(data[0].permitted & KEPT, data[0].permitted & HELD))
        return ERR_IO;
    dropped_once = true;
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    /* Changing accounts hides a process from its owner's tools. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return ERR_OK;
}

enum err privileges_drop(const struct account *who, bool *dropped)
{
    *dropped = false;
    if (!who->name)
        return ERR_OK;
    if (!privileges_can_drop()) {
        log_warn("start", "stays root: no right to change accounts here "
                          "(CAP_SETUID, CAP_SETGID)");
        return ERR_OK;
    }
    /* Fails, with nothing changed, where accounts are not mapped. */
    if (initgroups(who->name, who->gid)) {
        log_warn("start", "stays root: cannot become %s: %m", who->name);
        return ERR_OK;
    }
    if (become(who)) {
        log_error("start",
                  "cannot become %s: %m; set gateway.user to another "
                  "account, or to root",
                  who->name);
        return ERR_IO;
    }
    *dropped = true;
    return ERR_OK;
}
