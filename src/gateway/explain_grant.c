/* explain_grant.c - see explain_grant.h. */
#include "gateway/explain_grant.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "jose/b64.h"

enum { API_MAX = 256 };

static enum err make_key(struct str path)
{
    unsigned char bytes[EXPLAIN_KEY_BYTES];
    int fd = open(path.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool fine;

    if (fd < 0)
        return errno == EEXIST ? ERR_OK : ERR_IO;
    random_bytes(bytes, sizeof(bytes));
    fine =
        write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) && !fsync(fd);
    close(fd);
    if (!fine)
        unlink(path.p);
    return fine ? ERR_OK : ERR_IO;
}

enum err explain_key_load(struct str path, bool make, struct explain_key *out)
{
    struct arena *a = arena_new();
    struct str name = arena_copy(a, path);
    unsigned char bytes[EXPLAIN_KEY_BYTES + 1];
    enum err e = make ? make_key(name) : ERR_OK;
    int fd = e ? -1 : open(name.p, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd >= 0) {
        n = read(fd, bytes, sizeof(bytes));
        close(fd);
    } else if (!e) {
        e = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    arena_free(a);
    if (!e && n != EXPLAIN_KEY_BYTES)
        e = ERR_INVALID;
    if (!e)
        memcpy(out->bytes, bytes, EXPLAIN_KEY_BYTES);
    return e;
}

static struct str mac_of(struct arena *a, const struct explain_key *key,
                         struct str text)
{
    unsigned char mac[32];
    unsigned n = sizeof(mac);

    must(HMAC(EVP_sha256(), key->bytes, EXPLAIN_KEY_BYTES,
              (const unsigned char *)text.p, text.len, mac, &n));
    return b64url_encode_in(a, str_from((const char *)mac, n));
}

struct str explain_grant(struct arena *a, const struct explain_key *key,
                         struct str api, uint64_t expires_s)
{
    struct str name = b64url_encode_in(a, str_head(api, API_MAX)), mac;
    struct str text = arena_printf(a, "v1.%.*s.%llu", STR_ARG(name),
                                   (unsigned long long)expires_s);

    mac = mac_of(a, key, text);
    return arena_printf(a, "%.*s.%.*s", STR_ARG(text), STR_ARG(mac));
}

static bool is_for(struct str granted, struct str api, struct str version)
{
    if (str_eq(granted, api))
        return true;
    return granted.len == api.len + 1 + version.len &&
           granted.p[api.len] == ':' && str_starts(granted, api) &&
           str_ends(granted, version);
}

static bool check(struct arena *a, const struct explain_key *key,
                  struct str grant, struct str api, struct str version,
                  uint64_t now_s)
{
    size_t dot = str_rfind(grant, '.');
    struct str text = str_head(grant, dot), mac = str_skip(grant, dot + 1);
    struct str rest = text, wanted = mac_of(a, key, text), granted;
    uint64_t expires;

    if (mac.len != wanted.len || CRYPTO_memcmp(mac.p, wanted.p, mac.len) != 0 ||
        !str_is(str_cut(&rest, '.'), "v1"))
        return false;
    return !b64url_decode_in(a, str_cut(&rest, '.'), &granted) &&
           is_for(granted, api, version) &&
           !str_to_u64(rest, UINT64_MAX, &expires) && now_s < expires;
}

bool explain_grant_check(const struct explain_key *key, struct str grant,
                         struct str api, struct str version, uint64_t now_s)
{
    struct arena *a;
    bool good;

    if (!grant.len || grant.len > EXPLAIN_GRANT_MAX)
        return false;
    a = arena_new();
    good = check(a, key, grant, api, version, now_s);
    arena_free(a);
    return good;
}
