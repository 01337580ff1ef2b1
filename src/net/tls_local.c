/* tls_local.c - a private certificate authority, so that the first start has
 * HTTPS.
 *
 * The authority is made once and stays: people put it into their trust
 * stores. The server's certificate is cheap and is made anew whenever it does
 * not fit: other host, soon over, key lost. Each file appears under its name
 * only when it is whole, keys before certificates, so a start that was cut
 * off is repaired by the next one.
 */
#include "net/tls_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    DAY_S = 24 * 3600,
    SERVER_DAYS = 825, /* the most that all clients accept */
    CA_DAYS = 3650,
    RENEW_DAYS = 30,
    BACKDATE_S = 3600, /* clocks of clients that are slow */
};

struct local {
    struct tls_load ld;
    struct arena *arena;
    struct str ca_cert, ca_key, server_cert, server_key; /* files */
    char *host; /* lower case, no brackets, no dot at the end */
    int64_t now_s;
    bool wrote;
};

/* Writing */

static enum err write_problem(struct local *l, struct str path, int error)
{
    problem_error(l->ld.ps, l->ld.file, 0, "%.*s cannot be written: %s",
                  STR_ARG(path), strerror(error));
    return ERR_IO;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = write(fd, p, n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return errno;
        p += k;
        n -= (size_t)k;
    }
    return fsync(fd) ? errno : 0;
}

/* Whole or not at all: a new file, then its name. */
static enum err write_file(struct local *l, struct str path, BIO *pem,
                           mode_t mode)
{
    struct str tmp = arena_printf(l->arena, "%.*s.new", STR_ARG(path));
    const char *p;
    size_t n = (size_t)BIO_get_mem_data(pem, &p);
    int fd, error;

    (void)unlink(tmp.p); /* of a start that was cut off */
    fd =
        open(tmp.p, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return write_problem(l, path, errno);
    error = fchmod(fd, mode) ? errno : write_all(fd, p, n);
    if (close(fd) && !error)
        error = errno;
    if (!error && rename(tmp.p, path.p))
        error = errno;
    if (!error) {
        l->wrote = true;
        return ERR_OK;
    }
    (void)unlink(tmp.p);
    return write_problem(l, path, error);
}

static enum err write_key(struct local *l, struct str path, EVP_PKEY *key)
{
    BIO *pem = BIO_new(BIO_s_secmem());
    enum err e;

    must(pem &&
         PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) == 1);
    e = write_file(l, path, pem, 0600);
    BIO_free(pem);
    return e;
}

static enum err write_cert(struct local *l, struct str path, X509 *x)
{
    BIO *pem = BIO_new(BIO_s_mem());
    enum err e;

    must(pem && PEM_write_bio_X509(pem, x) == 1);
    e = write_file(l, path, pem, 0644);
    BIO_free(pem);
    return e;
}

/* Making */

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(ext && X509_add_ext(x, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static void set_serial(X509 *x)
{
    unsigned char raw[16];
    BIGNUM *n;

    random_bytes(raw, sizeof(raw));
    raw[0] = (raw[0] & 0x7f) | 0x40; /* positive, always 16 bytes */
    n = BN_bin2bn(raw, sizeof(raw), NULL);
    must(n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)));
    BN_free(n);
}

/* Everything but extensions and signature. */
static X509 *draft(const struct local *l, const char *name, EVP_PKEY *key,
                   int days)
{
    X509 *x = X509_new();
    X509_NAME *subject = X509_NAME_new();
    int64_t start = l->now_s - BACKDATE_S;
    int64_t end = start + (int64_t)days * DAY_S - 1;

    must(x && subject && X509_set_version(x, X509_VERSION_3));
    set_serial(x);
    must(X509_NAME_add_entry_by_NID(
             subject, NID_organizationName, MBSTRING_UTF8,
             (const unsigned char *)"Tollgate", -1, -1, 0) &&
         X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                    (const unsigned char *)name, -1, -1, 0) &&
         X509_set_subject_name(x, subject) && X509_set_pubkey(x, key));
    X509_NAME_free(subject);
    must(ASN1_TIME_set(X509_getm_notBefore(x), start) &&
         ASN1_TIME_set(X509_getm_notAfter(x), end));
    return x;
}

static enum err make_ca(struct local *l, struct tls_cert *ca)
{
    unsigned char id[4];
    char name[64];
    X509 *x;
    enum err e;

    /* A name of its own, so that two authorities in one trust store are told
     * apart. */
    random_bytes(id, sizeof(id));
    snprintf(name, sizeof(name), "Tollgate local CA %02x%02x%02x%02x", id[0],
             id[1], id[2], id[3]);
    ca->key = EVP_EC_gen("P-256");
    must(ca->key);
    x = ca->leaf = draft(l, name, ca->key, CA_DAYS);
    must(X509_set_issuer_name(x, X509_get_subject_name(x)));
    add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(x, x, NID_subject_key_identifier, "hash");
    must(X509_sign(x, ca->key, EVP_sha256()) > 0);
    e = write_key(l, l->ca_key, ca->key);
    return e ? e : write_cert(l, l->ca_cert, x);
}

static bool is_address(const char *host)
{
    struct in6_addr a;

    return inet_pton(AF_INET, host, &a) == 1 ||
           inet_pton(AF_INET6, host, &a) == 1;
}

static bool is_standard_name(const char *host)
{
    return !strcmp(host, "localhost") || !strcmp(host, "127.0.0.1") ||
           !strcmp(host, "::1");
}

static enum err make_server(struct local *l, struct tls_cert *ca)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    const char *kind = is_address(l->host) ? "IP" : "DNS";
    struct str names = STR("DNS:localhost,IP:127.0.0.1,IP:::1");
    X509 *x;
    enum err e;

    must(key);
    if (!is_standard_name(l->host))
        names =
            arena_printf(l->arena, "%s:%s,%.*s", kind, l->host, STR_ARG(names));
    /* A common name has at most 64 bytes; nobody looks at it any more. */
    x = draft(l, strlen(l->host) <= 64 ? l->host : "server", key, SERVER_DAYS);
    must(X509_set_issuer_name(x, X509_get_subject_name(ca->leaf)));
    add_extension(x, ca->leaf, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(x, ca->leaf, NID_key_usage, "critical,digitalSignature");
    add_extension(x, ca->leaf, NID_ext_key_usage, "serverAuth");
    add_extension(x, ca->leaf, NID_subject_key_identifier, "hash");
    add_extension(x, ca->leaf, NID_authority_key_identifier, "keyid:always");
    add_extension(x, ca->leaf, NID_subject_alt_name, names.p);
    must(X509_sign(x, ca->key, EVP_sha256()) > 0);
    e = write_key(l, l->server_key, key);
    if (!e)
        e = write_cert(l, l->server_cert, x);
    X509_free(x);
    EVP_PKEY_free(key);
    return e;
}

/* Looking at what is there */

static bool lasts(const struct local *l, const X509 *x)
{
    return tls_asn1_seconds(X509_get0_notAfter(x)) >
           l->now_s + (int64_t)RENEW_DAYS * DAY_S;
}

static bool covers(X509 *x, const char *host)
{
    return is_address(host)
               ? X509_check_ip_asc(x, host, 0) == 1
               : X509_check_host(x, host, 0,
                                 X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                                 NULL) == 1;
}

/* Problems of looking are of no interest where a file is replaced anyway. */
static bool look(struct local *l, struct str cert, struct str key,
                 struct tls_cert *out)
{
    struct problems quiet;
    struct tls_load ld = { .ps = &quiet };
    int64_t expiry = 0;

    problems_init(&quiet, l->arena);
    return tls_pem_cert(&ld, cert, key, out, &expiry) == ERR_OK;
}

static X509 *load_ca_cert(struct local *l)
{
    FILE *f = fopen(l->ca_cert.p, "re");
    X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

    if (f)
        fclose(f);
    ERR_clear_error();
    return x;
}

/* The server's certificate can stay: of this authority, with its key, for
 * this host, long enough. The authority's key is not needed for that. */
static bool server_fits(struct local *l, const X509 *ca)
{
    struct tls_cert server;
    EVP_PKEY *ca_public = X509_get0_pubkey(ca);
    bool fits;

    if (!look(l, l->server_cert, l->server_key, &server))
        return false;
    fits = lasts(l, server.leaf) && covers(server.leaf, l->host) &&
           covers(server.leaf, "localhost") && ca_public &&
           X509_verify(server.leaf, ca_public) == 1;
    ERR_clear_error();
    tls_cert_done(&server);
    return fits;
}

static bool exists(struct str path)
{
    return access(path.p, F_OK) == 0;
}

/* The authority with its key, made when there is none or it ends soon. One
 * that people may trust is never replaced because it cannot be read. */
static enum err get_ca(struct local *l, struct tls_cert *ca)
{
    int64_t expiry = 0;
    enum err e;

    if (!exists(l->ca_cert))
        return make_ca(l, ca);
    e = tls_pem_cert(&l->ld, l->ca_cert, l->ca_key, ca, &expiry);
    if (e) {
        problem_error(l->ld.ps, l->ld.file, 0,
                      "the local certificate authority cannot sign a "
                      "certificate for %s; put its files back, or remove "
                      "%.*s to have a new one made",
                      l->host, STR_ARG(l->ca_cert));
        return e;
    }
    if (lasts(l, ca->leaf))
        return ERR_OK;
    tls_cert_done(ca);
    return make_ca(l, ca);
}

static enum err renew(struct local *l)
{
    struct tls_cert ca = { 0 };
    X509 *x = load_ca_cert(l);
    bool fits = x && lasts(l, x) && server_fits(l, x);
    enum err e = ERR_OK;

    X509_free(x);
    if (fits)
        return ERR_OK;
    e = get_ca(l, &ca);
    if (!e)
        e = make_server(l, &ca);
    tls_cert_done(&ca);
    return e;
}

/* Letters, digits, dots and hyphens, or an address: what may stand in the
 * text that extensions are made from. */
static enum err clean_host(struct local *l, struct str host)
{
    size_t i;

    if (host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
        host = str_from(host.p + 1, host.len - 2);
    if (host.len > 1 && host.p[host.len - 1] == '.')
        host.len--;
    if (!host.len)
        host = STR("localhost");
    l->host = arena_raw(l->arena, host.len + 1);
    for (i = 0; i < host.len; i++)
        l->host[i] = char_lower(host.p[i]);
    l->host[i] = 0;
    if (strlen(l->host) == host.len && host.len <= 253 &&
        (is_address(l->host) ||
         strspn(l->host, "abcdefghijklmnopqrstuvwxyz0123456789-._") ==
             host.len))
        return ERR_OK;
    problem_error(l->ld.ps, l->ld.file, 0,
                  "no certificate can be made for the host name \"%.*s\"; "
                  "use letters, digits, dots and hyphens",
                  STR_ARG(host));
    return ERR_INVALID;
}

/* One process at a time; the descriptor is the lock. */
static int lock_folder(struct local *l, struct str folder)
{
    struct str path = arena_copy(l->arena, folder);
    int fd;

    if (mkdir(path.p, 0700) && errno != EEXIST) {
        write_problem(l, folder, errno);
        return -1;
    }
    fd = open(path.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX)) {
        write_problem(l, folder, errno);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static struct str in_folder(const struct local *l, struct str folder,
                            const char *name)
{
    return arena_printf(l->arena, "%.*s/%s", STR_ARG(folder), name);
}

enum err tls_local_certificate_at(struct str folder, struct str host,
                                  int64_t now_s, struct problems *ps,
                                  struct str *cert_file, struct str *key_file,
                                  struct arena *a)
{
    struct local l = { .ld = { .ps = ps }, .arena = a, .now_s = now_s };
    enum err e = clean_host(&l, host);
    int fd;

    if (e)
        return e;
    fd = lock_folder(&l, folder);
    if (fd < 0)
        return ERR_IO;
    l.ca_cert = in_folder(&l, folder, "ca-cert.pem");
    l.ca_key = in_folder(&l, folder, "ca-key.pem");
    l.server_cert = in_folder(&l, folder, "server-cert.pem");
    l.server_key = in_folder(&l, folder, "server-key.pem");
    e = renew(&l);
    if (!e && l.wrote && fsync(fd)) /* the names, too */
        e = write_problem(&l, folder, errno);
    close(fd);
    if (e)
        return e;
    *cert_file = l.server_cert;
    *key_file = l.server_key;
    return ERR_OK;
}

enum err tls_local_certificate(struct str folder, struct str host,
                               struct problems *ps, struct str *cert_file,
                               struct str *key_file, struct arena *a)
{
    return tls_local_certificate_at(folder, host,
                                    (int64_t)(clock_wall_us() / 1000000), ps,
                                    cert_file, key_file, a);
}
