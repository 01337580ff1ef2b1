/* fuzz_keyfile.c - a file of API keys, and texts that claim to be keys. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/credential/keyfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str file(const uint8_t *data, size_t size)
{
    static char path[64];
    int fd;

    snprintf(path, sizeof(path), "/dev/shm/fuzz-keyfile-%d", getpid());
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    return str_z(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t ip[16];
    struct key_use use = { .api = STR("A"), .version = STR("1"), .ip = ip };
    struct arena *a = arena_new();
    const struct api_key *key;
    struct keyfile *k = NULL;
    struct problems ps;
    struct str path = file(data, size);
    enum err e;

    problems_init(&ps, a);
    e = keyfile_load(path, &ps, &k);
    must(!e == !ps.errors);
    if (!e) {
        struct buf b;

        (void)keyfile_check(k, str_from((const char *)data, size), &use, &key);
        buf_init(&b, 1 << 24);
        for (size_t i = 0; i < keyfile_count(k); i++)
            must(!api_key_write(&b, keyfile_at(k, i)));
        buf_done(&b);
    }
    keyfile_free(k);
    unlink(path.p);
    arena_free(a);
    return 0;
}
