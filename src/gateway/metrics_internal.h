/* metrics_internal.h - what the files of metrics share.
 *
 * metrics.c counts. The text is made of families: each file below describes
 * those of one subject in a table, above which stand the functions that write
 * them; metrics_text.c walks over the tables and has what all of them write
 * with. A new metric is a row of a table.
 *
 *   metrics_process.c    the program, its configuration, memory, files, loops
 *   metrics_clients.c    connections of clients, and their calls by operation
 *   metrics_backends.c   endpoints and connections to them
 *   metrics_access.c     issuers, what is known of credentials, limits,
 *                        refusals
 *   metrics_phases.c     where the time of calls goes
 *   metrics_export.c     events and spans
 */
#ifndef TG_GATEWAY_METRICS_INTERNAL_H
#define TG_GATEWAY_METRICS_INTERNAL_H

#include "gateway/metrics.h"

/* Escaped bytes of a label's value; what is longer is cut. */
enum { METRICS_TEXT_MAX = 512 };

/* ---- families ---- */

/* The first failure stays, and what follows it is not written. */
struct metrics_out {
    struct buf *b;
    enum err e;
};

/* A family has a number of entries (operations, endpoints, threads, or just
 * one), and an entry is a few lines that are written together. */
struct metrics_family {
    const char *name;
    const char *type;
    const char *help;
    size_t (*count)(const struct metrics_view *v); /* of entries; NULL: 1 */
    void (*print)(struct metrics_out *o, const struct metrics_family *f,
                  const struct metrics_view *v, size_t i);
    size_t at; /* what print reads, in a struct its name tells */
};

struct metrics_subject {
    const struct metrics_family *families;
    size_t count;
};

#define METRICS_SUBJECT(table)                                         \
    {                                                                  \
        .families = (table), .count = sizeof(table) / sizeof(*(table)) \
    }
#define METRICS_VIEW(field) offsetof(struct metrics_view, field)
#define METRICS_THREAD(field) offsetof(struct metrics_thread, field)

extern const struct metrics_subject metrics_process;
extern const struct metrics_subject metrics_clients;
extern const struct metrics_subject metrics_backends;
extern const struct metrics_subject metrics_access;
extern const struct metrics_subject metrics_phases;
extern const struct metrics_subject metrics_export;

/* ---- writing ---- */

void metrics_put_z(struct metrics_out *o, const char *z);
void metrics_put_u64(struct metrics_out *o, uint64_t n);
/* Microseconds, or nanoseconds, as seconds, exactly. */
void metrics_put_us(struct metrics_out *o, uint64_t us);
void metrics_put_ns(struct metrics_out *o, uint64_t ns);
/* name="value", with at most max bytes between the quotes. */
void metrics_put_label(struct metrics_out *o, const char *name,
                       struct str value, size_t max);
/* A line but for its value: labels and last are joined by a comma when there
 * are both. */
void metrics_put_sample(struct metrics_out *o, const char *name,
                        const char *suffix, struct str labels,
                        const char *last);
/* With its value; last: its only label, or "". */
void metrics_put_line(struct metrics_out *o, const struct metrics_family *f,
                      const char *last, uint64_t value);
/* With one label, whose value may be any text. */
void metrics_put_named(struct metrics_out *o, const struct metrics_family *f,
                       const char *label, struct str text, uint64_t value);

/* name{thread="1"} and a space. */
void metrics_put_thread(struct metrics_out *o, const struct metrics_family *f,
                        size_t i);

/* at is in struct metrics_view, */
void metrics_print_u64(struct metrics_out *o, const struct metrics_family *f,
                       const struct metrics_view *v, size_t i);
/* in struct metrics_thread: the sum of all threads, */
void metrics_print_counter(struct metrics_out *o,
                           const struct metrics_family *f,
                           const struct metrics_view *v, size_t i);

/* or in struct metrics_loop. */
size_t metrics_count_loops(const struct metrics_view *v);
void metrics_print_loop(struct metrics_out *o, const struct metrics_family *f,
                        const struct metrics_view *v, size_t i);

/* ---- what was counted ---- */

/* One series, of all threads. */
struct metrics_totals {
    uint64_t classes[METRICS_CLASSES];
    uint64_t buckets[METRICS_BOUNDS + 1];
    uint64_t sum_us, bytes_in, bytes_out;
    uint64_t calls;
};

size_t metrics_series_count(void);
/* As they are printed. */
struct str metrics_series_labels(size_t id);
struct metrics_totals metrics_series_totals(size_t id);
/* at: in struct metrics_thread. */
uint64_t metrics_total(size_t at);

static inline uint64_t metrics_u64_at(const void *base, size_t at)
{
    uint64_t n;

    memcpy(&n, (const char *)base + at, sizeof(n));
    return n;
}

#endif
