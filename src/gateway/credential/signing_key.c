/* signing_key.c - the key the gateway signs with. */
#include "gateway/credential/signing_key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { RSA_BITS = 2048 };

static EVP_PKEY *make(enum jose_alg alg)
{
    return alg == JOSE_ES256
               ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
               : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS);
}

/* A command of root must not leave a key that the gateway cannot read. */
static void give_away(struct arena *a, int fd, struct str path)
{
    struct str folder = arena_copy(a, str_head(path, str_rfind(path, '/') + 1));
    struct stat place;

    if (!stat(path.len == folder.len ? "." : folder.p, &place) &&
        fchown(fd, place.st_uid, place.st_gid))
        errno = 0; /* it stays ours */
}

/* Whole or not at all: a name nobody reads first. */
static enum err write_key(struct arena *a, struct str path, EVP_PKEY *key)
{
    struct str part = arena_printf(a, "%.*s.new", STR_ARG(path));
    int fd = open(part.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    bool fine = f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) &&
                !fflush(f) && !fsync(fd);

    if (fine)
        give_away(a, fd, path);
    if (f)
        fine = !fclose(f) && fine;
    else if (fd >= 0)
        close(fd);
    /* Another process may have been first: its key holds. */
    if (fine && link(part.p, path.p) && errno != EEXIST)
        fine = false;
    unlink(part.p);
    return fine ? ERR_OK : ERR_IO;
}

static EVP_PKEY *read_key(struct str path)
{
    FILE *f = fopen(path.p, "re");
    EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

    if (f)
        fclose(f);
    return key;
}

static void free_key(void *key)
{
    EVP_PKEY_free(key);
}

static void free_set(void *set)
{
    jwks_unref(set);
}

static enum err describe(struct arena *a, struct signing_key *out,
                         struct str path, struct problems *ps)
{
    const char *why = "";
    struct jwk *k = NULL;
    struct jwks *set;
    struct buf b;

    if (jwk_from_pkey(out->pkey, STR_NULL, JOSE_NONE, &k, &why) ||
        !jwk_fits(k, out->alg)) {
        problem_error(ps, path, 0, "is no key for %s%s%s",
                      jose_alg_name(out->alg), *why ? ": " : "", why);
        jwk_free(k);
        return ERR_INVALID;
    }
    out->kid = arena_copy(a, str_z(k->thumbprint));
    jwk_free(k);
    must(jwk_from_pkey(out->pkey, out->kid, out->alg, &k, &why) == ERR_OK);
    set = jwks_new(&k, 1);
    buf_init(&b, 65536);
    must(jwks_write(&b, set) == ERR_OK);
    out->jwks = arena_copy(a, buf_view(&b));
    buf_done(&b);
    out->set = set;
    arena_defer(a, free_set, set);
    return ERR_OK;
}

enum err signing_key_load(struct arena *a, struct str path, enum jose_alg alg,
                          struct problems *ps, struct signing_key *out)
{
    struct signing_key k = { .alg = alg };

    path = arena_copy(a, path);
    if (access(path.p, F_OK) && errno == ENOENT) {
        EVP_PKEY *made = make(alg);
        enum err e = made ? write_key(a, path, made) : ERR_IO;

        EVP_PKEY_free(made);
        if (e) {
            problem_error(ps, path, 0, "cannot be written: %s",
                          strerrordesc_np(errno));
            return ERR_IO;
        }
    }
    k.pkey = read_key(path);
    if (!k.pkey) {
        problem_error(ps, path, 0, "is no PEM file with a private key");
        return ERR_INVALID;
    }
    arena_defer(a, free_key, k.pkey);
    if (describe(a, &k, path, ps))
        return ERR_INVALID;
    *out = k;
    return ERR_OK;
}
