/* metrics.c - see metrics.h. The text is made of a table of families; each
 * has a number of entries (operations, endpoints, threads, or just one), and
 * an entry is a few lines that are printed together.
 */
#include "gateway/metrics.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/map.h"
#include "base/utf8.h"
#include "gateway/access_log.h"

/* Escaped bytes of a label's value; what is longer is cut. They bound an
 * entry, the biggest is a histogram, to well under METRICS_ROOM -
 * METRICS_PIECE. */
enum {
    MAX_API = 256,
    MAX_VERSION = 64,
    MAX_METHOD = 32,
    MAX_PATH = 512,
    MAX_NAME = 512,
    MAX_LABELS = 1024,
};

#define TRUNCATED "# truncated\n"

_Static_assert(METRICS_BOUNDS == 15, "the two tables and le[] go together");
const uint64_t metrics_bounds_us[METRICS_BOUNDS + 1] = {
    500,    1000,   2500,    5000,    10000,   25000,    50000,    100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, UINT64_MAX,
};

const uint8_t metrics_first_bound[65] = {
    [10] = 1,  [11] = 2,  [12] = 2,  [13] = 3,  [14] = 4,         [15] = 5,
    [16] = 6,  [17] = 7,  [18] = 8,  [19] = 9,  [20] = 10,        [21] = 11,
    [22] = 11, [23] = 12, [24] = 13, [25] = 14, [26 ... 64] = 15,
};

static const char *const le[METRICS_BOUNDS + 1] = {
    "le=\"0.0005\"", "le=\"0.001\"", "le=\"0.0025\"", "le=\"0.005\"",
    "le=\"0.01\"",   "le=\"0.025\"", "le=\"0.05\"",   "le=\"0.1\"",
    "le=\"0.25\"",   "le=\"0.5\"",   "le=\"1\"",      "le=\"2.5\"",
    "le=\"5\"",      "le=\"10\"",    "le=\"30\"",     "le=\"+Inf\"",
};

/* Labels as they are printed, which also is how a series is found. An entry
 * below series_count never changes, so who reads takes no lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map *series_ids; /* labels to id + 1 */
static struct str series_labels[METRICS_SERIES + 1];
static _Atomic uint32_t series_count;
static _Atomic(struct metrics_thread *) threads;

/* Writing. The first failure stays, and what follows it is not written. */

struct out {
    struct buf *b;
    enum err e;
};

static void put(struct out *o, const void *p, size_t n)
{
    if (!o->e)
        o->e = buf_add(o->b, p, n);
}

static void put_z(struct out *o, const char *z)
{
    put(o, z, strlen(z));
}

static void put_u64(struct out *o, uint64_t n)
{
    char digits[20], *p = digits + sizeof(digits);

    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    put(o, p, (size_t)(digits + sizeof(digits) - p));
}

/* Microseconds as seconds, exactly. */
static void put_us(struct out *o, uint64_t us)
{
    char fraction[7] = ".000000";

    put_u64(o, us / 1000000);
    for (size_t i = 6; i; i--, us /= 10)
        fraction[i] = (char)('0' + us % 10);
    put(o, fraction, sizeof(fraction));
}

/* A value between the quotes of a label, at most max bytes of it. */
static void put_escaped(struct out *o, struct str s, size_t max)
{
    while (s.len) {
        uint32_t code = 0;
        size_t n = utf8_next(s, &code), len;
        const char *p = s.p;

        len = n;
        if (!n || code < 0x20 || code == 0x7f) {
            p = code == '\n' ? "\\n" : UTF8_REPLACEMENT;
            len = strlen(p);
        } else if (code == '"' || code == '\\') {
            p = code == '"' ? "\\\"" : "\\\\";
            len = 2;
        }
        if (len > max)
            return;
        max -= len;
        put(o, p, len);
        s = str_skip(s, n ? n : 1);
    }
}

static void put_label(struct out *o, const char *name, struct str value,
                      size_t max)
{
    put_z(o, name);
    put_z(o, "=\"");
    put_escaped(o, value, max);
    put_z(o, "\"");
}

/* A line but for its value: labels and last are joined by a comma when there
 * are both. */
static void put_sample(struct out *o, const char *name, const char *suffix,
                       struct str labels, const char *last)
{
    put_z(o, name);
    put_z(o, suffix);
    if (labels.len || *last) {
        put_z(o, "{");
        put(o, labels.p, labels.len);
        if (labels.len && *last)
            put_z(o, ",");
        put_z(o, last);
        put_z(o, "}");
    }
    put_z(o, " ");
}

static void put_line(struct out *o, const char *name, const char *suffix,
                     struct str labels, const char *last, uint64_t value)
{
    put_sample(o, name, suffix, labels, last);
    put_u64(o, value);
    put_z(o, "\n");
}

/* Series */

static void labels_of(struct buf *b, struct str api, struct str version,
                      struct str method, struct str path)
{
    struct out o = { .b = b };

    put_label(&o, "api", api, MAX_API);
    put_z(&o, ",");
    put_label(&o, "version", version, MAX_VERSION);
    put_z(&o, ",");
    put_label(&o, "method", method, MAX_METHOD);
    put_z(&o, ",");
    put_label(&o, "path", path, MAX_PATH);
    must(o.e == ERR_OK);
}

static uint32_t series_add(struct str labels)
{
    uint32_t id = atomic_load_explicit(&series_count, memory_order_relaxed);

    if (id > METRICS_SERIES)
        return METRICS_OTHER;
    series_labels[id] = str_from(x_strdup(labels), labels.len);
    must(!map_set(series_ids, series_labels[id], (void *)((uintptr_t)id + 1)));
    atomic_store_explicit(&series_count, id + 1, memory_order_release);
    return id;
}

static void series_begin(void)
{
    struct buf b;

    if (series_ids)
        return;
    series_ids = map_new(NULL);
    buf_init(&b, MAX_LABELS);
    labels_of(&b, STR("other"), STR("other"), STR("other"), STR("other"));
    must(series_add(buf_view(&b)) == METRICS_OTHER);
    buf_done(&b);
}

uint32_t metrics_series(struct str api, struct str version, struct str method,
                        struct str path)
{
    struct buf b;
    uintptr_t found;
    uint32_t id;

    buf_init(&b, MAX_LABELS);
    labels_of(&b, api, version, method, path);
    pthread_mutex_lock(&lock);
    series_begin();
    found = (uintptr_t)map_get(series_ids, buf_view(&b));
    id = found ? (uint32_t)(found - 1) : series_add(buf_view(&b));
    pthread_mutex_unlock(&lock);
    buf_done(&b);
    return id;
}

/* Threads */

struct metrics_thread *metrics_thread_new(void)
{
    struct metrics_thread *t = x_new(sizeof(*t));

    pthread_mutex_lock(&lock);
    series_begin();
    t->next = atomic_load_explicit(&threads, memory_order_relaxed);
    atomic_store_explicit(&threads, t, memory_order_release);
    pthread_mutex_unlock(&lock);
    return t;
}

struct metrics_chunk *metrics_chunk_new(struct metrics_thread *t,
                                        uint32_t index)
{
    struct metrics_chunk *chunk = x_new(sizeof(*chunk));

    must(index < METRICS_CHUNKS);
    atomic_store_explicit(&t->chunks[index], chunk, memory_order_release);
    return chunk;
}

static struct metrics_thread *first_thread(void)
{
    return atomic_load_explicit(&threads, memory_order_acquire);
}

void metrics_done(void)
{
    uint32_t count = atomic_exchange(&series_count, 0);
    struct metrics_thread *t = atomic_exchange(&threads, NULL), *next;

    for (; t; t = next) {
        next = t->next;
        for (size_t i = 0; i < METRICS_CHUNKS; i++)
            x_free(t->chunks[i]);
        x_free(t);
    }
    map_free(series_ids);
    series_ids = NULL;
    for (uint32_t i = 0; i < count; i++) {
        x_free((void *)(uintptr_t)series_labels[i].p);
        series_labels[i] = STR_NULL;
    }
}

/* Adding up */

struct totals {
    uint64_t classes[METRICS_CLASSES];
    uint64_t buckets[METRICS_BOUNDS + 1];
    uint64_t sum_us, bytes_in, bytes_out;
    uint64_t calls;
};

static uint64_t peek(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_cell(struct totals *sum, const struct metrics_cell *cell)
{
    for (size_t i = 0; i < METRICS_CLASSES; i++)
        sum->classes[i] += peek(&cell->classes[i]);
    for (size_t i = 0; i <= METRICS_BOUNDS; i++)
        sum->buckets[i] += peek(&cell->buckets[i]);
    sum->sum_us += peek(&cell->sum_us);
    sum->bytes_in += peek(&cell->bytes_in);
    sum->bytes_out += peek(&cell->bytes_out);
}

static struct totals series_totals(size_t id)
{
    struct totals sum = { 0 };

    for (struct metrics_thread *t = first_thread(); t; t = t->next) {
        const struct metrics_chunk *chunk = atomic_load_explicit(
            &t->chunks[id / METRICS_CHUNK], memory_order_acquire);

        if (chunk)
            add_cell(&sum, &chunk->cells[id % METRICS_CHUNK]);
    }
    for (size_t i = 0; i <= METRICS_BOUNDS; i++)
        sum.calls += sum.buckets[i];
    return sum;
}

static uint64_t counter_total(size_t at)
{
    uint64_t sum = 0;

    for (struct metrics_thread *t = first_thread(); t; t = t->next)
        sum += peek((const _Atomic uint64_t *)(const void *)((char *)t + at));
    return sum;
}

/* Families */

struct family {
    const char *name;
    const char *type;
    const char *help;
    size_t (*count)(const struct metrics_view *v); /* of entries; NULL: 1 */
    void (*print)(struct out *o, const struct family *f,
                  const struct metrics_view *v, size_t i);
    size_t at; /* what print reads, in a struct its name tells */
};

static size_t count_series(const struct metrics_view *v)
{
    (void)v;
    return atomic_load_explicit(&series_count, memory_order_acquire);
}

static size_t count_loops(const struct metrics_view *v)
{
    return v->loop_count;
}

static size_t count_endpoints(const struct metrics_view *v)
{
    return v->endpoint_count;
}

static size_t count_certificates(const struct metrics_view *v)
{
    return v->certificate_count;
}

static size_t count_keysets(const struct metrics_view *v)
{
    return v->keyset_count;
}

static size_t count_files(const struct metrics_view *v)
{
    return v->file_count;
}

static size_t count_spans(const struct metrics_view *v)
{
    return v->has_spans;
}

static size_t count_events(const struct metrics_view *v)
{
    return v->has_events;
}

static uint64_t u64_at(const void *base, size_t at)
{
    uint64_t n;

    memcpy(&n, (const char *)base + at, sizeof(n));
    return n;
}

static void print_build(struct out *o, const struct family *f,
                        const struct metrics_view *v, size_t i)
{
    (void)i;
    put_z(o, f->name);
    put_z(o, "{");
    put_label(o, "version", v->version, MAX_NAME);
    put_z(o, ",");
    put_label(o, "commit", v->commit, MAX_NAME);
    put_z(o, "} 1\n");
}

static void print_u64(struct out *o, const struct family *f,
                      const struct metrics_view *v, size_t i)
{
    (void)i;
    put_line(o, f->name, "", STR_NULL, "", u64_at(v, f->at));
}

static void print_time(struct out *o, const struct family *f,
                       const struct metrics_view *v, size_t i)
{
    double s;
    (void)i;

    memcpy(&s, (const char *)v + f->at, sizeof(s));
    put_sample(o, f->name, "", STR_NULL, "");
    if (!o->e)
        o->e = buf_printf(o->b, "%.3f\n", s);
}

static void print_draining(struct out *o, const struct family *f,
                           const struct metrics_view *v, size_t i)
{
    (void)i;
    put_line(o, f->name, "", STR_NULL, "", v->draining);
}

static void print_loads(struct out *o, const struct family *f,
                        const struct metrics_view *v, size_t i)
{
    (void)i;
    put_line(o, f->name, "", STR_NULL, "result=\"ok\"", v->loads_ok);
    put_line(o, f->name, "", STR_NULL, "result=\"failed\"", v->loads_failed);
}

static void print_counter(struct out *o, const struct family *f,
                          const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;
    put_line(o, f->name, "", STR_NULL, "", counter_total(f->at));
}

static void print_log_lines(struct out *o, const struct family *f,
                            const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;
    put_line(o, f->name, "", STR_NULL, "", access_log_written());
}

static void print_log_dropped(struct out *o, const struct family *f,
                              const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;
    put_line(o, f->name, "", STR_NULL, "", access_log_dropped());
}

static void print_series_count(struct out *o, const struct family *f,
                               const struct metrics_view *v, size_t i)
{
    (void)i;
    put_line(o, f->name, "", STR_NULL, "", count_series(v) - 1);
}

/* The process */

static void print_cpu(struct out *o, const struct family *f,
                      const struct metrics_view *v, size_t i)
{
    struct rusage u;
    (void)v, (void)i;

    if (getrusage(RUSAGE_SELF, &u))
        return;
    put_sample(o, f->name, "", STR_NULL, "");
    put_us(o, (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
                  (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec));
    put_z(o, "\n");
}

/* Since Linux 6.2 the size of the folder is the number of descriptors. */
static uint64_t open_fds(void)
{
    struct stat st;
    uint64_t n = 0;
    DIR *d;

    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size;
    d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n > 3 ? n - 3 : 0; /* ".", "..", and the folder itself */
}

static void print_open_fds(struct out *o, const struct family *f,
                           const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;
    put_line(o, f->name, "", STR_NULL, "", open_fds());
}

static void print_max_fds(struct out *o, const struct family *f,
                          const struct metrics_view *v, size_t i)
{
    struct rlimit r;
    (void)v, (void)i;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0)
        put_line(o, f->name, "", STR_NULL, "", r.rlim_cur);
}

/* Per loop thread; at is in struct metrics_loop */

static void put_thread(struct out *o, const struct family *f, size_t i)
{
    put_z(o, f->name);
    put_z(o, "{thread=\"");
    put_u64(o, i);
    put_z(o, "\"} ");
}

static void print_loop(struct out *o, const struct family *f,
                       const struct metrics_view *v, size_t i)
{
    put_thread(o, f, i);
    put_u64(o, u64_at(&v->loops[i], f->at));
    put_z(o, "\n");
}

static void print_loop_us(struct out *o, const struct family *f,
                          const struct metrics_view *v, size_t i)
{
    put_thread(o, f, i);
    put_us(o, u64_at(&v->loops[i], f->at));
    put_z(o, "\n");
}

/* Per operation */

static void print_requests(struct out *o, const struct family *f,
                           const struct metrics_view *v, size_t i)
{
    static const char *const status[METRICS_CLASSES] = {
        "status=\"none\"", "status=\"1xx\"", "status=\"2xx\"",
        "status=\"3xx\"",  "status=\"4xx\"", "status=\"5xx\"",
    };
    struct totals sum = series_totals(i);
    (void)v;

    for (size_t c = 0; c < METRICS_CLASSES; c++)
        if (sum.classes[c])
            put_line(o, f->name, "", series_labels[i], status[c],
                     sum.classes[c]);
}

static void print_durations(struct out *o, const struct family *f,
                            const struct metrics_view *v, size_t i)
{
    struct totals sum = series_totals(i);
    uint64_t calls = 0;
    (void)v;

    if (!sum.calls)
        return;
    for (size_t n = 0; n <= METRICS_BOUNDS; n++) {
        calls += sum.buckets[n];
        put_line(o, f->name, "_bucket", series_labels[i], le[n], calls);
    }
    put_sample(o, f->name, "_sum", series_labels[i], "");
    put_us(o, sum.sum_us);
    put_z(o, "\n");
    put_line(o, f->name, "_count", series_labels[i], "", calls);
}

/* at is in struct totals */
static void print_bytes(struct out *o, const struct family *f,
                        const struct metrics_view *v, size_t i)
{
    struct totals sum = series_totals(i);
    (void)v;

    if (sum.calls)
        put_line(o, f->name, "", series_labels[i], "", u64_at(&sum, f->at));
}

/* Per endpoint; at is in struct metrics_endpoint */

static void put_endpoint(struct out *o, const struct family *f,
                         const struct metrics_endpoint *e, const char *last)
{
    put_z(o, f->name);
    put_z(o, "{");
    put_label(o, "endpoint", e->url, MAX_NAME);
    put_z(o, last);
    put_z(o, "} ");
}

static void print_endpoint(struct out *o, const struct family *f,
                           const struct metrics_view *v, size_t i)
{
    put_endpoint(o, f, &v->endpoints[i], "");
    put_u64(o, u64_at(&v->endpoints[i], f->at));
    put_z(o, "\n");
}

static void print_endpoint_up(struct out *o, const struct family *f,
                              const struct metrics_view *v, size_t i)
{
    put_endpoint(o, f, &v->endpoints[i], "");
    put_z(o, v->endpoints[i].state == METRICS_UP ? "1\n" : "0\n");
}

static void print_endpoint_state(struct out *o, const struct family *f,
                                 const struct metrics_view *v, size_t i)
{
    static const char *const states[] = {
        [METRICS_UP] = ",state=\"up\"",
        [METRICS_SUSPENDED] = ",state=\"suspended\"",
        [METRICS_DOWN] = ",state=\"down\"",
        [METRICS_OPEN] = ",state=\"open\"",
    };

    for (size_t s = 0; s < sizeof(states) / sizeof(*states); s++) {
        put_endpoint(o, f, &v->endpoints[i], states[s]);
        put_z(o, v->endpoints[i].state == s ? "1\n" : "0\n");
    }
}

static void print_certificate(struct out *o, const struct family *f,
                              const struct metrics_view *v, size_t i)
{
    put_z(o, f->name);
    put_z(o, "{");
    put_label(o, "name", v->certificates[i].name, MAX_NAME);
    put_z(o, "} ");
    put_u64(o, v->certificates[i].expires_s);
    put_z(o, "\n");
}

/* at is in struct metrics_keyset */
static void print_keyset(struct out *o, const struct family *f,
                         const struct metrics_view *v, size_t i)
{
    put_z(o, f->name);
    put_z(o, "{");
    put_label(o, "keys", v->keysets[i].place, MAX_NAME);
    put_z(o, "} ");
    put_u64(o, u64_at(&v->keysets[i], f->at));
    put_z(o, "\n");
}

/* at is in struct metrics_file */
static void print_file(struct out *o, const struct family *f,
                       const struct metrics_view *v, size_t i)
{
    put_z(o, f->name);
    put_z(o, "{");
    put_label(o, "file", str_z(v->files[i].name), MAX_NAME);
    put_z(o, "} ");
    put_u64(o, u64_at(&v->files[i], f->at));
    put_z(o, "\n");
}

static void print_spans_dropped(struct out *o, const struct family *f,
                                const struct metrics_view *v, size_t i)
{
    static const char *const reasons[OTLP_DROPS] = {
        [OTLP_FULL] = "reason=\"full\"",
        [OTLP_REJECTED] = "reason=\"rejected\"",
        [OTLP_GAVE_UP] = "reason=\"gave_up\"",
    };
    (void)i;

    for (size_t r = 0; r < OTLP_DROPS; r++)
        put_line(o, f->name, "", STR_NULL, reasons[r], v->spans.dropped[r]);
}

static void print_events_dropped(struct out *o, const struct family *f,
                                 const struct metrics_view *v, size_t i)
{
    const struct events_stats *e = &v->events;

    (void)i;
    put_line(o, f->name, "", STR_NULL, "reason=\"ring_full\"", e->dropped_ring);
    put_line(o, f->name, "", STR_NULL, "reason=\"spool_full\"",
             e->dropped_spool);
    put_line(o, f->name, "", STR_NULL, "reason=\"refused\"",
             e->dropped_refused);
    put_line(o, f->name, "", STR_NULL, "reason=\"killed\"", e->dropped_killed);
}

#define VIEW(field) offsetof(struct metrics_view, field)
#define THREAD(field) offsetof(struct metrics_thread, field)

static const struct family families[] = {
    { "tollgate_build_info", "gauge", "The program, always 1.", NULL,
      print_build, 0 },
    { "tollgate_apis", "gauge", "API versions served.", NULL, print_u64,
      VIEW(apis) },
    { "tollgate_operations", "gauge", "Operations served.", NULL, print_u64,
      VIEW(operations) },
    { "tollgate_metric_series", "gauge",
      "Operations that are counted by name; the rest is \"other\".", NULL,
      print_series_count, 0 },
    { "tollgate_config_loads_total", "counter",
      "Configurations loaded or refused since the start.", NULL, print_loads,
      0 },
    { "tollgate_config_last_load_timestamp_seconds", "gauge",
      "When the configuration in use was loaded.", NULL, print_time,
      VIEW(last_load_s) },
    { "tollgate_draining", "gauge",
      "1 while calls in flight are finished before the end.", NULL,
      print_draining, 0 },
    { "process_start_time_seconds", "gauge", "When the process started.", NULL,
      print_time, VIEW(start_s) },
    { "process_cpu_seconds_total", "counter",
      "CPU time, in user space and in the kernel.", NULL, print_cpu, 0 },
    { "process_resident_memory_bytes", "gauge", "Memory in use.", NULL,
      print_u64, VIEW(rss_bytes) },
    { "process_open_fds", "gauge", "Open file descriptors.", NULL,
      print_open_fds, 0 },
    { "process_max_fds", "gauge", "File descriptors that may be open.", NULL,
      print_max_fds, 0 },
    { "tollgate_memory_budget_used_bytes", "gauge",
      "Memory held for clients and endpoints.", NULL, print_u64,
      VIEW(budget_used) },
    { "tollgate_memory_budget_limit_bytes", "gauge",
      "Memory that may be held for them; 0: no limit.", NULL, print_u64,
      VIEW(budget_limit) },
    { "tollgate_access_log_lines_total", "counter",
      "Lines written to access logs.", NULL, print_log_lines, 0 },
    { "tollgate_access_log_dropped_total", "counter",
      "Lines of access logs that could not be written.", NULL,
      print_log_dropped, 0 },

    { "tollgate_connections", "gauge", "Connections of clients.", count_loops,
      print_loop, offsetof(struct metrics_loop, connections) },
    { "tollgate_loop_lag_seconds", "gauge",
      "The longest turn of the event loop since the last look.", count_loops,
      print_loop_us, offsetof(struct metrics_loop, lag_us) },
    { "tollgate_loop_turns_total", "counter", "Turns of the event loop.",
      count_loops, print_loop, offsetof(struct metrics_loop, turns) },

    { "tollgate_connections_accepted_total", "counter",
      "Connections of clients accepted.", NULL, print_counter,
      THREAD(connections_accepted) },
    { "tollgate_connections_refused_total", "counter",
      "Connections of clients refused because there were too many.", NULL,
      print_counter, THREAD(connections_refused) },
    { "tollgate_connections_closed_total", "counter",
      "Connections of clients closed.", NULL, print_counter,
      THREAD(connections_closed) },
    { "tollgate_tls_handshakes_total", "counter",
      "TLS handshakes with clients that succeeded.", NULL, print_counter,
      THREAD(tls_handshakes) },
    { "tollgate_tls_failures_total", "counter",
      "TLS handshakes with clients that failed.", NULL, print_counter,
      THREAD(tls_failures) },
    { "tollgate_websockets_total", "counter", "WebSockets begun.", NULL,
      print_counter, THREAD(tunnels) },
    { "tollgate_requests_refused_total", "counter",
      "Requests that could not be read.", NULL, print_counter,
      THREAD(requests_refused) },
    { "tollgate_received_bytes_total", "counter", "Bytes read from clients.",
      NULL, print_counter, THREAD(bytes_received) },
    { "tollgate_sent_bytes_total", "counter", "Bytes written to clients.", NULL,
      print_counter, THREAD(bytes_sent) },
    { "tollgate_upstream_connects_total", "counter",
      "Connections to endpoints begun.", NULL, print_counter,
      THREAD(upstream_connects) },
    { "tollgate_upstream_connect_failures_total", "counter",
      "Connections to endpoints that failed.", NULL, print_counter,
      THREAD(upstream_connect_failures) },
    { "tollgate_upstream_reused_total", "counter",
      "Calls that went over a kept connection.", NULL, print_counter,
      THREAD(upstream_reused) },
    { "tollgate_upstream_retries_total", "counter", "Calls tried once more.",
      NULL, print_counter, THREAD(retries) },
    { "tollgate_upstream_breaker_opened_total", "counter",
      "Times a circuit breaker opened.", NULL, print_counter,
      THREAD(breaker_opened) },
    { "tollgate_upstream_suspensions_total", "counter",
      "Times an endpoint was suspended.", NULL, print_counter,
      THREAD(suspended) },

    { "tollgate_upstream_up", "gauge", "Whether an endpoint gets calls.",
      count_endpoints, print_endpoint_up, 0 },
    { "tollgate_upstream_state", "gauge",
      "The state an endpoint is in has the value 1.", count_endpoints,
      print_endpoint_state, 0 },
    { "tollgate_upstream_outstanding", "gauge",
      "Calls that wait for an endpoint.", count_endpoints, print_endpoint,
      offsetof(struct metrics_endpoint, outstanding) },
    { "tollgate_upstream_connections_idle", "gauge",
      "Kept connections to an endpoint.", count_endpoints, print_endpoint,
      offsetof(struct metrics_endpoint, idle) },
    { "tollgate_upstream_connections_active", "gauge",
      "Connections to an endpoint in use.", count_endpoints, print_endpoint,
      offsetof(struct metrics_endpoint, active) },
    { "tollgate_upstream_failures_total", "counter",
      "Calls an endpoint failed.", count_endpoints, print_endpoint,
      offsetof(struct metrics_endpoint, failures) },
    { "tollgate_certificate_expiry_timestamp_seconds", "gauge",
      "When a certificate of ours ends.", count_certificates, print_certificate,
      0 },
    { "tollgate_keyset_keys", "gauge",
      "Keys of an issuer; 0: none could be read yet.", count_keysets,
      print_keyset, offsetof(struct metrics_keyset, keys) },
    { "tollgate_keyset_age_seconds", "gauge",
      "Since the keys of an issuer were last known to be right.", count_keysets,
      print_keyset, offsetof(struct metrics_keyset, age_s) },
    { "tollgate_keyset_failures", "gauge",
      "How often in a row the keys of an issuer could not be read.",
      count_keysets, print_keyset, offsetof(struct metrics_keyset, failures) },
    { "tollgate_file_entries", "gauge",
      "What was read from a file that is watched.", count_files, print_file,
      offsetof(struct metrics_file, entries) },
    { "tollgate_file_stale", "gauge",
      "1: the file is no good, and what was read before is used.", count_files,
      print_file, offsetof(struct metrics_file, stale) },
    { "tollgate_file_failures_total", "counter",
      "Times a changed file was no good.", count_files, print_file,
      offsetof(struct metrics_file, failures) },
    { "tollgate_file_read_timestamp_seconds", "gauge",
      "When a file was last read and good.", count_files, print_file,
      offsetof(struct metrics_file, read_s) },
    { "tollgate_spans_accepted_total", "counter",
      "Spans of sampled calls: sent, dropped and queued together.", count_spans,
      print_u64, VIEW(spans.accepted) },
    { "tollgate_spans_sent_total", "counter", "Spans a collector took.",
      count_spans, print_u64, VIEW(spans.sent) },
    { "tollgate_spans_queued", "gauge", "Spans on their way to a collector.",
      count_spans, print_u64, VIEW(spans.queued) },
    { "tollgate_spans_dropped_total", "counter",
      "Spans dropped: the queue was full, the collector rejected them, or "
      "took none for too long.",
      count_spans, print_spans_dropped, 0 },
    { "tollgate_spans_failures_total", "counter",
      "Requests to a collector that failed.", count_spans, print_u64,
      VIEW(spans.failures) },
    { "tollgate_events_accepted_total", "counter",
      "Events made: delivered, spooled, waiting and dropped ones together.",
      count_events, print_u64, VIEW(events.accepted) },
    { "tollgate_events_delivered_total", "counter",
      "Events written to their file or taken by their receiver.", count_events,
      print_u64, VIEW(events.delivered) },
    { "tollgate_events_waiting", "gauge", "Events in the threads' rings.",
      count_events, print_u64, VIEW(events.waiting) },
    { "tollgate_events_spooled", "gauge",
      "Events on disk until the receiver takes them.", count_events, print_u64,
      VIEW(events.spooled) },
    { "tollgate_events_spool_bytes", "gauge", "Disk space they take.",
      count_events, print_u64, VIEW(events.spool_bytes) },
    { "tollgate_events_dropped_total", "counter",
      "Events that are lost: no room in a ring or in the spool, refused by the "
      "receiver, or being made when the process was killed.",
      count_events, print_events_dropped, 0 },
    { "tollgate_events_failures_total", "counter",
      "Writes and requests that failed since the start.", count_events,
      print_u64, VIEW(events.failures) },
    { "tollgate_introspections_total", "counter",
      "Tokens that an introspection server was asked about.", NULL,
      print_counter, THREAD(introspections) },
    { "tollgate_introspection_failures_total", "counter",
      "Such questions without an answer that makes sense.", NULL, print_counter,
      THREAD(introspection_failures) },
    { "tollgate_introspections_refused_total", "counter",
      "Tokens nobody was asked about because the server failed too often, or "
      "too many calls wait.",
      NULL, print_counter, THREAD(introspections_refused) },

    { "tollgate_http_requests_total", "counter",
      "Calls by operation and class of status; none: the client left before "
      "a reply.",
      count_series, print_requests, 0 },
    { "tollgate_http_request_duration_seconds", "histogram",
      "From the end of the request's head to the end of the reply.",
      count_series, print_durations, 0 },
    { "tollgate_http_request_body_bytes_total", "counter",
      "Bytes of request bodies.", count_series, print_bytes,
      offsetof(struct totals, bytes_in) },
    { "tollgate_http_response_body_bytes_total", "counter",
      "Bytes of reply bodies.", count_series, print_bytes,
      offsetof(struct totals, bytes_out) },
};

enum { FAMILIES = sizeof(families) / sizeof(*families) };

static void print_heading(struct out *o, const struct family *f)
{
    put_z(o, "# HELP ");
    put_z(o, f->name);
    put_z(o, " ");
    put_z(o, f->help);
    put_z(o, "\n# TYPE ");
    put_z(o, f->name);
    put_z(o, " ");
    put_z(o, f->type);
    put_z(o, "\n");
}

/* Prints the entry the walk is at and moves on. ERR_LIMIT, and the buffer as
 * it was, when it does not fit. */
static enum err walk_step(struct metrics_walk *w, struct buf *b)
{
    const struct family *f = &families[w->family];
    struct out o = { .b = b };
    size_t count = f->count ? f->count(w->view) : 1, len = b->len;

    if (w->at == 0 && count)
        print_heading(&o, f);
    if (w->at < count)
        f->print(&o, f, w->view, w->at);
    if (o.e) {
        b->len = len;
        return o.e;
    }
    if (++w->at >= count) {
        w->family++;
        w->at = 0;
    }
    return ERR_OK;
}

bool metrics_more(struct metrics_walk *w, struct buf *b)
{
    size_t start = b->len;

    while (w->family < FAMILIES && b->len - start < METRICS_PIECE)
        if (walk_step(w, b))
            w->family = FAMILIES; /* out of memory: a short text */
    return b->len > start;
}

void metrics_text(struct buf *b, const struct metrics_view *v)
{
    struct metrics_walk w = { .view = v };
    size_t max = b->max, last = strlen(TRUNCATED);
    enum err e = ERR_OK;

    if (max - b->len < last)
        return;
    b->max = max - last;
    while (w.family < FAMILIES && !e)
        e = walk_step(&w, b);
    b->max = max;
    if (e)
        (void)buf_z(b, TRUNCATED);
}
