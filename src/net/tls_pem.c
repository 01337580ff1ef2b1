/* tls_pem.c - certificates, keys and CA bundles from PEM files.
 *
 * Every refusal names the file and what to do. Passphrases are never asked
 * for: a server starts without a person.
 */
#include "net/tls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define FILE_MAX_BYTES (4u << 20)
#define CHAIN_MAX 16 /* certificates behind a leaf */

const char *tls_openssl_reason(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;

    ERR_clear_error();
    return reason ? reason : "no reason given";
}

void tls_content_add(struct tls_load *ld, struct str text)
{
    uint64_t len = text.len;

    ld->content = hash_content(ld->content, &len, sizeof(len));
    ld->content = hash_content(ld->content, text.p, text.len);
}

int64_t tls_asn1_seconds(const ASN1_TIME *t)
{
    struct tm tm;

    if (!ASN1_TIME_to_tm(t, &tm))
        return 0;
    return timegm(&tm);
}

static enum err file_problem(struct tls_load *ld, struct str path, int error)
{
    problem_error(ld->ps, ld->file, 0, "%.*s: %s", STR_ARG(path),
                  error == ENOENT   ? "no such file"
                  : error == EACCES ? "permission denied: the user this "
                                      "program runs as must be able to read it"
                  : error == EFBIG  ? "larger than 4 MiB: not a PEM file"
                                    : strerror(error));
    return ERR_IO;
}

/* Reads to the end: 0, or errno. */
static int read_all(int fd, char **out, size_t *len)
{
    size_t cap = 8192, n = 0;
    char *p = x_new(cap);

    for (;;) {
        ssize_t k = read(fd, p + n, cap - n);

        if (k == 0)
            break;
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0 || n + (size_t)k > FILE_MAX_BYTES) {
            int error = k < 0 ? errno : EFBIG;

            tls_pem_wipe(str_from(p, n));
            return error;
        }
        n += (size_t)k;
        if (n == cap) { /* by hand: realloc could leave a key behind */
            char *more = x_new(cap * 2);

            memcpy(more, p, n);
            tls_pem_wipe(str_from(p, n));
            p = more;
            cap *= 2;
        }
    }
    p[n] = 0;
    *out = p;
    *len = n;
    return 0;
}

enum err tls_pem_read(struct tls_load *ld, struct str path, struct str *out)
{
    char *name = x_strdup(path), *p = NULL;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    int error = fd < 0 ? errno : read_all(fd, &p, &len);

    if (fd >= 0)
        close(fd);
    x_free(name);
    if (error)
        return file_problem(ld, path, error);
    tls_content_add(ld, str_from(p, len));
    *out = str_from(p, len);
    return ERR_OK;
}

void tls_pem_wipe(struct str text)
{
    char *p = (char *)(uintptr_t)text.p;

    if (p)
        OPENSSL_cleanse(p, text.len);
    x_free(p);
}

/* Asked only for an encrypted key. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

/* The next certificate of a file: OK, NOT_FOUND at the end, INVALID. */
static enum err next_cert(BIO *bio, X509 **out)
{
    bool asked = false;
    unsigned long e;

    *out = PEM_read_bio_X509(bio, NULL, no_passphrase, &asked);
    if (*out)
        return ERR_OK;
    e = ERR_peek_last_error();
    if (ERR_GET_LIB(e) == ERR_LIB_PEM &&
        ERR_GET_REASON(e) == PEM_R_NO_START_LINE) {
        ERR_clear_error();
        return ERR_NOT_FOUND;
    }
    return ERR_INVALID;
}

static enum err parse_chain(struct tls_load *ld, struct str path,
                            struct str text, struct tls_cert *out)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
    X509 *x;
    enum err e;
    int n = 0;

    out->chain = sk_X509_new_null();
    must(bio && out->chain);
    while ((e = next_cert(bio, &x)) == ERR_OK && n <= CHAIN_MAX) {
        if (!n++)
            out->leaf = x;
        else
            must(sk_X509_push(out->chain, x) > 0);
    }
    BIO_free(bio);
    if (e == ERR_OK) {
        X509_free(x);
        problem_error(ld->ps, ld->file, 0,
                      "%.*s: more than %d certificates; give the server's and "
                      "those between it and the root",
                      STR_ARG(path), CHAIN_MAX + 1);
        return ERR_INVALID;
    }
    if (e == ERR_INVALID)
        problem_error(ld->ps, ld->file, 0,
                      "%.*s: certificate %d cannot be read: %s", STR_ARG(path),
                      n + 1, tls_openssl_reason());
    else if (!n)
        problem_error(ld->ps, ld->file, 0,
                      "%.*s: no certificate in it; a PEM file with BEGIN "
                      "CERTIFICATE is expected",
                      STR_ARG(path));
    return e == ERR_NOT_FOUND && n ? ERR_OK : ERR_INVALID;
}

static enum err parse_key(struct tls_load *ld, struct str path, struct str text,
                          EVP_PKEY **out)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
    bool asked = false;

    must(bio);
    *out = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
    BIO_free(bio);
    if (*out)
        return ERR_OK;
    if (asked)
        problem_error(ld->ps, ld->file, 0,
                      "%.*s: the key is encrypted; take the passphrase off "
                      "with: openssl pkey -in %.*s -out plain.pem",
                      STR_ARG(path), STR_ARG(path));
    else
        problem_error(ld->ps, ld->file, 0,
                      "%.*s: no private key in it; a PEM file with BEGIN "
                      "PRIVATE KEY is expected",
                      STR_ARG(path));
    ERR_clear_error();
    return ERR_INVALID;
}

static void check_dates(struct tls_load *ld, struct str path, const X509 *leaf,
                        int64_t *expiry)
{
    int64_t end = tls_asn1_seconds(X509_get0_notAfter(leaf));

    if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
        problem_warn(ld->ps, ld->file, 0,
                     "%.*s: the certificate has expired; callers that verify "
                     "will refuse it",
                     STR_ARG(path));
    else if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
        problem_warn(ld->ps, ld->file, 0,
                     "%.*s: the certificate is not valid yet; is the clock "
                     "right?",
                     STR_ARG(path));
    if (!*expiry || end < *expiry)
        *expiry = end;
}

enum err tls_pem_cert(struct tls_load *ld, struct str cert_path,
                      struct str key_path, struct tls_cert *out,
                      int64_t *expiry)
{
    struct str cert_text = STR_NULL, key_text = STR_NULL;
    enum err e;

    memset(out, 0, sizeof(*out));
    if (!key_path.len)
        key_path = cert_path;
    e = tls_pem_read(ld, cert_path, &cert_text);
    if (!e)
        e = parse_chain(ld, cert_path, cert_text, out);
    if (!e)
        e = tls_pem_read(ld, key_path, &key_text);
    if (!e)
        e = parse_key(ld, key_path, key_text, &out->key);
    if (!e && X509_check_private_key(out->leaf, out->key) != 1) {
        problem_error(ld->ps, ld->file, 0,
                      "%.*s does not belong to %.*s; the first certificate of "
                      "a file must be the one of the key",
                      STR_ARG(key_path), STR_ARG(cert_path));
        e = ERR_INVALID;
    }
    if (!e)
        check_dates(ld, cert_path, out->leaf, expiry);
    else
        tls_cert_done(out);
    ERR_clear_error();
    tls_pem_wipe(cert_text);
    tls_pem_wipe(key_text);
    return e;
}

void tls_cert_done(struct tls_cert *c)
{
    X509_free(c->leaf);
    EVP_PKEY_free(c->key);
    sk_X509_pop_free(c->chain, X509_free);
    memset(c, 0, sizeof(*c));
}

static void list_name(STACK_OF(X509_NAME) * names, const X509 *x)
{
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));

    must(name && sk_X509_NAME_push(names, name) > 0);
}

/* What is trusted by being listed need not be a root (PARTIAL_CHAIN): the
 * authority between is often all that people are given. */
static X509_STORE *new_store(void)
{
    X509_STORE *store = X509_STORE_new();

    must(store);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    return store;
}

enum err tls_pem_store(struct tls_load *ld, struct str path, X509_STORE **out,
                       STACK_OF(X509_NAME) * *names)
{
    STACK_OF(X509_NAME) *list = NULL;
    X509_STORE *store;
    struct str text;
    X509 *x;
    BIO *bio;
    enum err e = tls_pem_read(ld, path, &text);
    int n = 0;

    if (e)
        return e;
    store = new_store();
    list = sk_X509_NAME_new_null();
    bio = BIO_new_mem_buf(text.p, (int)text.len);
    must(bio && list);
    for (; (e = next_cert(bio, &x)) == ERR_OK; n++) {
        must(X509_STORE_add_cert(store, x));
        list_name(list, x);
        X509_free(x);
    }
    BIO_free(bio);
    tls_pem_wipe(text);
    if (e == ERR_INVALID || !n) {
        problem_error(ld->ps, ld->file, 0,
                      e == ERR_INVALID
                          ? "%.*s: certificate %d cannot be read: %s"
                          : "%.*s: no certificate in it; put the certificates "
                            "of the authorities to trust there, as PEM",
                      STR_ARG(path), n + 1, tls_openssl_reason());
        X509_STORE_free(store);
        sk_X509_NAME_pop_free(list, X509_NAME_free);
        return ERR_INVALID;
    }
    *out = store;
    if (names)
        *names = list;
    else
        sk_X509_NAME_pop_free(list, X509_NAME_free);
    return ERR_OK;
}

/* The system's certificates: one file read at once, never a folder, because
 * OpenSSL would look into a folder in the middle of a handshake. */
static const char *const system_files[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch */
    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
    "/etc/ssl/ca-bundle.pem",             /* SUSE */
    "/etc/ssl/cert.pem",
};

static struct {
    pthread_mutex_t lock;
    X509_STORE *store;
    uint64_t content;
    struct stat st; /* of the file it was made from */
} system_ca = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const char *find_system_file(struct stat *st)
{
    const char *path = secure_getenv(X509_get_default_cert_file_env());
    size_t i;

    if (path && *path)
        return stat(path, st) ? NULL : path;
    for (i = 0; i < sizeof(system_files) / sizeof(system_files[0]); i++)
        if (!stat(system_files[i], st))
            return system_files[i];
    path = X509_get_default_cert_file();
    return stat(path, st) ? NULL : path;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Under the lock. */
static enum err refresh_system(struct tls_load *ld)
{
    struct tls_load own = { ld->file, ld->ps, HASH_CONTENT_START };
    X509_STORE *store;
    struct stat st;
    const char *path = find_system_file(&st);
    enum err e;

    if (!path) {
        problem_error(ld->ps, ld->file, 0,
                      "the system has no certificates to verify backends "
                      "with; install the package ca-certificates or name a "
                      "bundle in ca");
        return ERR_NOT_FOUND;
    }
    if (system_ca.store && same_file(&st, &system_ca.st))
        return ERR_OK;
    e = tls_pem_store(&own, str_z(path), &store, NULL);
    if (e)
        return e;
    X509_STORE_free(system_ca.store);
    system_ca.store = store;
    system_ca.content = own.content;
    system_ca.st = st;
    return ERR_OK;
}

enum err tls_system_store(struct tls_load *ld, X509_STORE **out)
{
    enum err e;

    pthread_mutex_lock(&system_ca.lock);
    e = refresh_system(ld);
    if (!e) {
        must(X509_STORE_up_ref(system_ca.store));
        *out = system_ca.store;
        ld->content = hash_content(ld->content, &system_ca.content,
                                   sizeof(system_ca.content));
    }
    pthread_mutex_unlock(&system_ca.lock);
    return e;
}

enum err tls_certificates_sha256(struct str path, unsigned char (*out)[32],
                                 size_t room, size_t *count)
{
    struct arena *a = arena_new();
    BIO *bio = BIO_new_file(arena_copy(a, path).p, "r");
    enum err e = bio ? ERR_OK : ERR_IO;
    size_t n = 0;
    X509 *x;

    while (!e && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        unsigned len = 32;

        if (n == room)
            e = ERR_LIMIT;
        else
            must(X509_digest(x, EVP_sha256(), out[n++], &len));
        X509_free(x);
    }
    if (!e && !n)
        e = ERR_INVALID;
    BIO_free(bio);
    arena_free(a);
    ERR_clear_error();
    if (!e)
        *count = n;
    return e;
}
