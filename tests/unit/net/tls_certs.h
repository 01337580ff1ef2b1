/* tls_certs.h - certificates made for tests, in a folder of their own.
 *
 * Included by one test program each, so everything is static.
 */
#ifndef TG_TESTS_TLS_CERTS_H
#define TG_TESTS_TLS_CERTS_H

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/problem.h"
#include "temp_folder.h"

static char folder[TEMP_FOLDER_PATH]; /* made by the test */

struct made {
    X509 *x;
    EVP_PKEY *key;
};

struct wish {
    const char *name;          /* common name */
    const char *alt;           /* "DNS:a.test,IP:127.0.0.1", or NULL */
    const struct made *issuer; /* NULL: signs itself */
    bool ca;
    bool rsa;
    long from_days, to_days; /* 0, 0: yesterday to in 90 days */
};

static const char *path_of(const char *file)
{
    static char paths[8][512];
    static int at;

    at = (at + 1) % 8;
    snprintf(paths[at], sizeof(paths[at]), "%s/%s", folder, file);
    return paths[at];
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

static struct made make(struct wish w)
{
    static long serial = 1000;
    struct made m = { X509_new(),
                      w.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256") };
    X509_NAME *name = X509_NAME_new();
    X509 *issuer = w.issuer ? w.issuer->x : m.x;
    bool dated = w.from_days || w.to_days;

    must(m.x && m.key && name);
    X509_set_version(m.x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(m.x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(m.x),
                    (dated ? w.from_days : -1) * 86400);
    X509_gmtime_adj(X509_getm_notAfter(m.x), (dated ? w.to_days : 90) * 86400);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               (const unsigned char *)w.name, -1, -1, 0);
    X509_set_subject_name(m.x, name);
    X509_set_issuer_name(m.x, w.issuer ? X509_get_subject_name(issuer) : name);
    X509_NAME_free(name);
    X509_set_pubkey(m.x, m.key);
    extend(m.x, issuer, NID_basic_constraints,
           w.ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (w.alt)
        extend(m.x, issuer, NID_subject_alt_name, w.alt);
    must(X509_sign(m.x, w.issuer ? w.issuer->key : m.key, EVP_sha256()));
    return m;
}

static void unmake(struct made m)
{
    X509_free(m.x);
    EVP_PKEY_free(m.key);
}

static FILE *open_file(const char *file, const char *mode)
{
    FILE *f = fopen(path_of(file), mode);

    must(f);
    return f;
}

static inline void save_text(const char *file, const char *text)
{
    FILE *f = open_file(file, "w");

    fputs(text, f);
    fclose(f);
}

/* NAME.pem with certificate and those given behind it, NAME.key. */
static void save(const char *name, struct made m, const struct made *next)
{
    char file[64];
    FILE *f;

    snprintf(file, sizeof(file), "%s.pem", name);
    f = open_file(file, "w");
    PEM_write_X509(f, m.x);
    if (next)
        PEM_write_X509(f, next->x);
    fclose(f);
    snprintf(file, sizeof(file), "%s.key", name);
    f = open_file(file, "w");
    PEM_write_PrivateKey(f, m.key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

#endif
