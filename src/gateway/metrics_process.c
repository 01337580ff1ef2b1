/* metrics_process.c - the program: what it serves, what it costs, what it
 * reads. See metrics_internal.h.
 */
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "gateway/access_log.h"
#include "gateway/metrics_internal.h"

static void print_build(struct metrics_out *o, const struct metrics_family *f,
                        const struct metrics_view *v, size_t i)
{
    (void)i;
    metrics_put_z(o, f->name);
    metrics_put_z(o, "{");
    metrics_put_label(o, "version", v->version, METRICS_TEXT_MAX);
    metrics_put_z(o, ",");
    metrics_put_label(o, "commit", v->commit, METRICS_TEXT_MAX);
    metrics_put_z(o, "} 1\n");
}

static void print_time(struct metrics_out *o, const struct metrics_family *f,
                       const struct metrics_view *v, size_t i)
{
    double s;
    (void)i;

    memcpy(&s, (const char *)v + f->at, sizeof(s));
    metrics_put_sample(o, f->name, "", STR_NULL, "");
    if (!o->e)
        o->e = buf_printf(o->b, "%.3f\n", s);
}

static void print_draining(struct metrics_out *o,
                           const struct metrics_family *f,
                           const struct metrics_view *v, size_t i)
{
    (void)i;
    metrics_put_line(o, f, "", v->draining);
}

static void print_loads(struct metrics_out *o, const struct metrics_family *f,
                        const struct metrics_view *v, size_t i)
{
    (void)i;
    metrics_put_line(o, f, "result=\"ok\"", v->loads_ok);
    metrics_put_line(o, f, "result=\"failed\"", v->loads_failed);
}

static void print_log_lines(struct metrics_out *o,
                            const struct metrics_family *f,
                            const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;
    metrics_put_line(o, f, "", access_log_written());
}

static void print_log_dropped(struct metrics_out *o,
                              const struct metrics_family *f,
                              const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;
    metrics_put_line(o, f, "", access_log_dropped());
}

static void print_series_count(struct metrics_out *o,
                               const struct metrics_family *f,
                               const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;
    metrics_put_line(o, f, "", metrics_series_count() - 1);
}

/* The kernel knows */

static void print_cpu(struct metrics_out *o, const struct metrics_family *f,
                      const struct metrics_view *v, size_t i)
{
    struct rusage u;
    (void)v, (void)i;

    if (getrusage(RUSAGE_SELF, &u))
        return;
    metrics_put_sample(o, f->name, "", STR_NULL, "");
    metrics_put_us(o,
                   (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
                       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec));
    metrics_put_z(o, "\n");
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

static void print_open_fds(struct metrics_out *o,
                           const struct metrics_family *f,
                           const struct metrics_view *v, size_t i)
{
    (void)v, (void)i;
    metrics_put_line(o, f, "", open_fds());
}

static void print_max_fds(struct metrics_out *o, const struct metrics_family *f,
                          const struct metrics_view *v, size_t i)
{
    struct rlimit r;
    (void)v, (void)i;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0)
        metrics_put_line(o, f, "", r.rlim_cur);
}

/* Per loop thread */

/* at is in struct metrics_loop */
static void print_loop_us(struct metrics_out *o, const struct metrics_family *f,
                          const struct metrics_view *v, size_t i)
{
    metrics_put_thread(o, f, i);
    metrics_put_us(o, metrics_u64_at(&v->loops[i], f->at));
    metrics_put_z(o, "\n");
}

/* Files and certificates */

static size_t count_certificates(const struct metrics_view *v)
{
    return v->certificate_count;
}

static void print_certificate(struct metrics_out *o,
                              const struct metrics_family *f,
                              const struct metrics_view *v, size_t i)
{
    metrics_put_named(o, f, "name", v->certificates[i].name,
                      v->certificates[i].expires_s);
}

static size_t count_files(const struct metrics_view *v)
{
    return v->file_count;
}

/* at is in struct metrics_file */
static void print_file(struct metrics_out *o, const struct metrics_family *f,
                       const struct metrics_view *v, size_t i)
{
    metrics_put_named(o, f, "file", str_z(v->files[i].name),
                      metrics_u64_at(&v->files[i], f->at));
}

static const struct metrics_family families[] = {
    { "tollgate_build_info", "gauge", "The program, always 1.", NULL,
      print_build, 0 },
    { "tollgate_apis", "gauge", "API versions served.", NULL, metrics_print_u64,
      METRICS_VIEW(apis) },
    { "tollgate_operations", "gauge", "Operations served.", NULL,
      metrics_print_u64, METRICS_VIEW(operations) },
    { "tollgate_metric_series", "gauge",
      "Operations that are counted by name; the rest is \"other\".", NULL,
      print_series_count, 0 },
    { "tollgate_config_loads_total", "counter",
      "Configurations loaded or refused since the start.", NULL, print_loads,
      0 },
    { "tollgate_config_last_load_timestamp_seconds", "gauge",
      "When the configuration in use was loaded.", NULL, print_time,
      METRICS_VIEW(last_load_s) },
    { "tollgate_draining", "gauge",
      "1 while calls in flight are finished before the end.", NULL,
      print_draining, 0 },

    { "process_start_time_seconds", "gauge", "When the process started.", NULL,
      print_time, METRICS_VIEW(start_s) },
    { "process_cpu_seconds_total", "counter",
      "CPU time, in user space and in the kernel.", NULL, print_cpu, 0 },
    { "process_resident_memory_bytes", "gauge", "Memory in use.", NULL,
      metrics_print_u64, METRICS_VIEW(rss_bytes) },
    { "process_open_fds", "gauge", "Open file descriptors.", NULL,
      print_open_fds, 0 },
    { "process_max_fds", "gauge", "File descriptors that may be open.", NULL,
      print_max_fds, 0 },
    { "tollgate_memory_budget_used_bytes", "gauge",
      "Memory held for clients and endpoints.", NULL, metrics_print_u64,
      METRICS_VIEW(budget_used) },
    { "tollgate_memory_budget_limit_bytes", "gauge",
      "Memory that may be held for them; 0: no limit.", NULL, metrics_print_u64,
      METRICS_VIEW(budget_limit) },

    { "tollgate_loop_lag_seconds", "gauge",
      "The longest turn of the event loop since the last look.",
      metrics_count_loops, print_loop_us,
      offsetof(struct metrics_loop, lag_us) },
    { "tollgate_loop_turns_total", "counter", "Turns of the event loop.",
      metrics_count_loops, metrics_print_loop,
      offsetof(struct metrics_loop, turns) },

    { "tollgate_access_log_lines_total", "counter",
      "Lines written to access logs.", NULL, print_log_lines, 0 },
    { "tollgate_access_log_dropped_total", "counter",
      "Lines of access logs that could not be written.", NULL,
      print_log_dropped, 0 },

    { "tollgate_certificate_expiry_timestamp_seconds", "gauge",
      "When a certificate of ours ends.", count_certificates, print_certificate,
      0 },
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
};

const struct metrics_subject metrics_process = METRICS_SUBJECT(families);
