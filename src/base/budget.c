/* budget.c - slices per thread, one atomic for the rest; cgroup limits. */
#include "base/budget.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"

#define SLICE (64 * 1024)

static _Atomic uint64_t limit;
static _Atomic int64_t used;
/* What this thread took (positive) or gave back and did not yet report. */
static _Thread_local int64_t unreported;

void budget_set_limit(uint64_t bytes)
{
    atomic_store(&limit, bytes);
}

uint64_t budget_limit(void)
{
    return atomic_load_explicit(&limit, memory_order_relaxed);
}

uint64_t budget_used(void)
{
    int64_t n = atomic_load_explicit(&used, memory_order_relaxed);

    return n > 0 ? (uint64_t)n : 0;
}

static void report(int64_t n)
{
    unreported += n;
    if (unreported < SLICE && unreported > -SLICE)
        return;
    atomic_fetch_add_explicit(&used, unreported, memory_order_relaxed);
    unreported = 0;
}

void budget_take(size_t n)
{
    report((int64_t)n);
}

void budget_give(size_t n)
{
    report(-(int64_t)n);
}

bool budget_tight(void)
{
    uint64_t max = budget_limit();

    return max && budget_used() > max / 10 * 9;
}

void *budget_alloc(size_t n)
{
    void *p = malloc(n);

    if (!p)
        abort();
    budget_take(n);
    return p;
}

void budget_free(void *p, size_t n)
{
    if (!p)
        return;
    free(p);
    budget_give(n);
}

/* The first number in a file below /sys/fs/cgroup; 0 when there is none or it
 * says "max". */
static uint64_t read_number(const char *path, uint64_t *second)
{
    unsigned long long a = 0, b = 0;
    FILE *f = fopen(path, "re");

    if (!f)
        return 0;
    if (fscanf(f, "%llu %llu", &a, &b) < 1)
        a = 0;
    fclose(f);
    if (second)
        *second = b;
    return a;
}

/* The process's own folder in the hierarchy, for controller (v1) or "" (v2),
 * then that folder's parents up to the root: the tightest limit holds. */
static uint64_t cgroup_number(const char *controller, const char *base,
                              const char *name, uint64_t *second)
{
    char line[4096], path[8192], *rel, *end;
    uint64_t best = 0, n, b = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");

    while (f && fgets(line, sizeof(line), f)) {
        char *names = strchr(line, ':');

        if (!names || !(rel = strchr(names + 1, ':')))
            continue;
        *rel++ = '\0';
        if (strcmp(names + 1, controller) != 0 &&
            !(*controller && strstr(names + 1, controller)))
            continue;
        rel[strcspn(rel, "\n")] = '\0';
        for (;;) {
            snprintf(path, sizeof(path), "%s%s/%s", base,
                     strcmp(rel, "/") ? rel : "", name);
            n = read_number(path, second ? &b : NULL);
            if (n && (!best || n < best)) {
                best = n;
                if (second)
                    *second = b;
            }
            end = strrchr(rel, '/');
            if (!end || !*rel)
                break;
            *end = '\0';
        }
    }
    if (f)
        fclose(f);
    return best;
}

uint64_t budget_machine_bytes(void)
{
    uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);
    uint64_t bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t v2 = cgroup_number("", "/sys/fs/cgroup", "memory.max", NULL);
    uint64_t v1 = cgroup_number("memory", "/sys/fs/cgroup/memory",
                                "memory.limit_in_bytes", NULL);

    if (v2 && v2 < bytes)
        bytes = v2;
    if (v1 && v1 < bytes)
        bytes = v1;
    return bytes;
}

unsigned budget_machine_cpus(void)
{
    cpu_set_t set;
    unsigned cpus = 1;
    uint64_t quota, period = 0;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        cpus = (unsigned)CPU_COUNT(&set);
    quota = cgroup_number("", "/sys/fs/cgroup", "cpu.max", &period);
    if (!quota) {
        quota = cgroup_number("cpu", "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us",
                              NULL);
        period = quota ? cgroup_number("cpu", "/sys/fs/cgroup/cpu",
                                       "cpu.cfs_period_us", NULL)
                       : 0;
    }
    if (quota && period) {
        unsigned allowed = (unsigned)((quota + period - 1) / period);

        if (allowed && allowed < cpus)
            cpus = allowed;
    }
    return cpus ? cpus : 1;
}
