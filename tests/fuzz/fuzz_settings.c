/* fuzz_settings.c - any bytes as tollgate.yaml: a problem or settings, and
 * what `config show` would print of them reads back as the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/conf_read.h"
#include "gateway/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err read_bytes(struct arena *a, const void *p, size_t n,
                           struct settings *s, struct problems *ps)
{
    static int fd = -1;
    char path[64];

    if (fd < 0)
        fd = memfd_create("tollgate.yaml", MFD_CLOEXEC);
    must(fd >= 0 && !ftruncate(fd, 0));
    must(pwrite(fd, p, n, 0) == (ssize_t)n);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    problems_init(ps, a);
    return settings_read(a, arena_copy(a, str_z(path)), s, ps);
}

static void check_again(struct arena *a, struct settings *s)
{
    struct settings again;
    struct problems ps;
    struct buf once, twice;

    buf_init(&once, 1 << 26);
    buf_init(&twice, 1 << 26);
    problems_init(&ps, a);
    must(settings_check(a, s, &ps) == ERR_OK && !ps.errors);
    must(!conf_show(&once, settings_fields, s, 0));
    if (read_bytes(a, once.p, once.len, &again, &ps)) {
        fprintf(stderr, "%.*s\n%.*s\n", (int)once.len, once.p,
                STR_ARG(problem_line(a, ps.first)));
        abort();
    }
    must(!conf_show(&twice, settings_fields, &again, 0));
    must(str_eq(buf_view(&once), buf_view(&twice)));
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct settings s;
    struct problems ps;
    enum err e = read_bytes(a, data, size, &s, &ps);

    must(!e == !ps.errors);
    for (struct problem *p = ps.first; p; p = p->next) {
        struct str line = problem_line(a, p);

        must(line.len && p->text.len);
        must(str_find(p->text, '\n') == p->text.len);
    }
    if (!e)
        check_again(a, &s);
    arena_free(a);
    return 0;
}
