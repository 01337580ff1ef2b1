/* fixture.h - a table of counters in a folder of its own, for tests. */
#ifndef TEST_TRAFFIC_FIXTURE_H
#define TEST_TRAFFIC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "traffic/limits.h"

#define SECOND_US 1000000ull
#define NOON_US \
    (1764244800ull * SECOND_US) /* 2025-11-27 12:00:00, a Thursday */

struct table {
    char folder[64], path[96], disk[96];
    struct counters *c;
    struct counters_opened opened;
};

static inline struct counters_conf table_conf(const struct table *t)
{
    return (struct counters_conf) {
        .path = t->path, .fd = -1, .slots = 4096, .disk_path = t->disk
    };
}

static inline struct counters *table_open_at(struct table *t, uint64_t now_us)
{
    struct counters_conf conf = table_conf(t);

    must(!counters_open(&conf, now_us, &t->c, &t->opened));
    return t->c;
}

static inline int table_setup(void **state)
{
    struct table *t = calloc(1, sizeof(*t));

    /* What threads share must lie in memory, or each second test waits for a
     * disk. */
    strcpy(t->folder, access("/dev/shm", W_OK) ? "/tmp/limits.XXXXXX"
                                               : "/dev/shm/limits.XXXXXX");
    must(mkdtemp(t->folder));
    snprintf(t->path, sizeof(t->path), "%s/counters", t->folder);
    snprintf(t->disk, sizeof(t->disk), "%s/disk", t->folder);
    table_open_at(t, NOON_US);
    *state = t;
    return 0;
}

static inline int table_teardown(void **state)
{
    struct table *t = *state;

    counters_close(t->c);
    unlink(t->path);
    unlink(t->disk);
    must(!rmdir(t->folder));
    free(t);
    return 0;
}

static inline struct limit_key key_named(const struct counters *c,
                                         const char *name)
{
    return limit_key_add(counters_seed(c), (struct limit_key) { 0 },
                         str_z(name));
}

static inline struct take per(const struct counters *c, const char *name,
                              uint64_t limit, enum window_unit unit, uint32_t n)
{
    return (struct take) {
        .key = key_named(c, name),
        .kind = TAKE_WINDOW,
        .window = { unit, n },
        .limit = limit,
        .cost = 1,
    };
}

static inline struct take per_minute(const struct counters *c, const char *name,
                                     uint64_t limit)
{
    return per(c, name, limit, WINDOW_MINUTE, 1);
}

static inline bool take_one(struct counters *c, const struct take *t,
                            uint64_t now_us)
{
    struct limits_result r;

    return limits_take(c, t, 1, now_us, &r);
}

/* Limit less what is left. */
static inline uint64_t used_of(struct counters *c, struct take t,
                               uint64_t now_us)
{
    struct limits_result r;

    limits_look(c, &t, 1, now_us, &r);
    return t.limit - r.states[0].remaining;
}

#endif
