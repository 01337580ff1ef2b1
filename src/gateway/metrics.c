/* metrics.c - what is counted; see metrics.h. The text is metrics_text.c's. */
#include "gateway/metrics.h"

#include <pthread.h>

#include "base/log.h"
#include "base/map.h"
#include "gateway/metrics_internal.h"

/* They bound an entry of the text, the biggest is a histogram, to well under
 * METRICS_ROOM - METRICS_PIECE. */
enum {
    MAX_API = 256,
    MAX_VERSION = 64,
    MAX_METHOD = 32,
    MAX_PATH = 512,
    MAX_LABELS = 1024,
};

_Static_assert(METRICS_BOUNDS == 15,
               "the two tables and le[] of metrics_clients.c go together");

const uint64_t metrics_bounds_us[METRICS_BOUNDS + 1] = {
    500,    1000,   2500,    5000,    10000,   25000,    50000,    100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, UINT64_MAX,
};

const uint8_t metrics_first_bound[65] = {
    [10] = 1,  [11] = 2,  [12] = 2,  [13] = 3,  [14] = 4,         [15] = 5,
    [16] = 6,  [17] = 7,  [18] = 8,  [19] = 9,  [20] = 10,        [21] = 11,
    [22] = 11, [23] = 12, [24] = 13, [25] = 14, [26 ... 64] = 15,
};

/* Labels as they are printed, which also is how a series is found. An entry
 * below series_count never changes, so who reads takes no lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map *series_ids; /* labels to id + 1 */
static struct str series_labels[METRICS_SERIES + 1];
static _Atomic uint32_t series_count;
static _Atomic(struct metrics_thread *) threads;

/* Series */

size_t metrics_series_count(void)
{
    return atomic_load_explicit(&series_count, memory_order_acquire);
}

struct str metrics_series_labels(size_t id)
{
    return series_labels[id];
}

static void labels_of(struct buf *b, struct str api, struct str version,
                      struct str method, struct str path)
{
    struct metrics_out o = { .b = b };

    metrics_put_label(&o, "api", api, MAX_API);
    metrics_put_z(&o, ",");
    metrics_put_label(&o, "version", version, MAX_VERSION);
    metrics_put_z(&o, ",");
    metrics_put_label(&o, "method", method, MAX_METHOD);
    metrics_put_z(&o, ",");
    metrics_put_label(&o, "path", path, MAX_PATH);
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

static uint64_t peek(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_cell(struct metrics_totals *sum,
                     const struct metrics_cell *cell)
{
    for (size_t i = 0; i < METRICS_CLASSES; i++)
        sum->classes[i] += peek(&cell->classes[i]);
    for (size_t i = 0; i <= METRICS_BOUNDS; i++)
        sum->buckets[i] += peek(&cell->buckets[i]);
    sum->sum_us += peek(&cell->sum_us);
    sum->bytes_in += peek(&cell->bytes_in);
    sum->bytes_out += peek(&cell->bytes_out);
}

struct metrics_totals metrics_series_totals(size_t id)
{
    struct metrics_totals sum = { 0 };

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

uint64_t metrics_total(size_t at)
{
    uint64_t sum = 0;

    for (struct metrics_thread *t = first_thread(); t; t = t->next)
        sum += peek((const _Atomic uint64_t *)(const void *)((char *)t + at));
    return sum;
}
