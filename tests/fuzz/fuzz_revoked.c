/* fuzz_revoked.c - the file of revoked ids; what was read can be written. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/credential/revoked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str file(const uint8_t *data, size_t size)
{
    static char path[64];
    int fd;

    snprintf(path, sizeof(path), "/dev/shm/fuzz-revoked-%d", getpid());
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    return str_z(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct revoked *r = NULL, *again = NULL;
    struct problems ps;
    struct str path = file(data, size);
    enum err e;

    problems_init(&ps, a);
    e = revoked_load(path, &ps, &r);
    must(!e == !ps.errors);
    if (!e) {
        must(!revoked_add(path, STR("one more"), 0, 0, &ps));
        must(!revoked_load(path, &ps, &again));
        must(revoked_has(again, STR("one more")));
        must(revoked_count(again) >= revoked_count(r));
    }
    revoked_free(r);
    revoked_free(again);
    unlink(path.p);
    arena_free(a);
    return 0;
}
