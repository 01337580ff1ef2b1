/* tls_passed.c - certificates that a balancer passes on. See certificate.h. */
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "base/log.h"
#include "net/certificate.h"
#include "net/tls_internal.h"

enum { CHAIN_MAX = 8, SECURITY_LEVEL = 2 };

struct certificate_store {
    X509_STORE *x509;
};

enum err certificate_store_new(struct str path, struct str file,
                               struct problems *ps,
                               struct certificate_store **out)
{
    struct tls_load ld = { .file = file, .ps = ps };
    X509_STORE *x509;
    enum err e = tls_pem_store(&ld, path, &x509, NULL);

    if (e)
        return e;
    *out = x_new(sizeof(**out));
    (*out)->x509 = x509;
    return ERR_OK;
}

void certificate_store_free(struct certificate_store *s)
{
    if (!s)
        return;
    X509_STORE_free(s->x509);
    x_free(s);
}

static X509 *read_one(struct str der)
{
    const unsigned char *p = (const unsigned char *)der.p;
    X509 *x = der.len < 1 << 20 ? d2i_X509(NULL, &p, (long)der.len) : NULL;

    if (x && p == (const unsigned char *)der.p + der.len)
        return x;
    X509_free(x);
    return NULL;
}

static void free_stack(STACK_OF(X509) * all)
{
    sk_X509_pop_free(all, X509_free);
}

/* NULL: one of them is no certificate. */
static STACK_OF(X509) * read_more(const struct str *more, size_t n)
{
    STACK_OF(X509) *all = sk_X509_new_null();

    must(all);
    for (size_t i = 0; i < n; i++) {
        X509 *x = read_one(more[i]);

        if (!x || n > CHAIN_MAX) {
            X509_free(x);
            free_stack(all);
            return NULL;
        }
        must(sk_X509_push(all, x));
    }
    return all;
}

static bool verify(const struct certificate_store *s, X509 *x,
                   STACK_OF(X509) * more, uint64_t now_s)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;
    bool good;

    must(ctx && X509_STORE_CTX_init(ctx, s->x509, x, more));
    must(X509_STORE_CTX_set_default(ctx, "ssl_client"));
    param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
    X509_VERIFY_PARAM_set_depth(param, CHAIN_MAX);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    good = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    return good;
}

static struct str subject_of(struct arena *a, X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    struct str out = STR("");
    const char *p;

    must(bio);
    if (X509_NAME_print_ex(bio, X509_get_subject_name(x), 0,
                           XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        size_t n = (size_t)BIO_get_mem_data(bio, &p);

        out = arena_copy(a, str_from(p, n < 512 ? n : 0));
    }
    BIO_free(bio);
    return out;
}

enum err certificate_read(struct arena *a, struct str der,
                          const struct str *more, size_t more_count,
                          const struct certificate_store *s, uint64_t now_s,
                          struct certificate *out)
{
    X509 *x = read_one(der);
    STACK_OF(X509) *chain = x ? read_more(more, more_count) : NULL;
    struct certificate c = { 0 };
    unsigned n = sizeof(c.sha256);
    enum err e = ERR_INVALID;

    if (chain) {
        must(X509_digest(x, EVP_sha256(), c.sha256, &n));
        c.subject = subject_of(a, x);
        c.from_s = tls_asn1_seconds(X509_get0_notBefore(x));
        c.until_s = tls_asn1_seconds(X509_get0_notAfter(x));
        c.chained = s && verify(s, x, chain, now_s);
        *out = c;
        e = ERR_OK;
    }
    free_stack(chain);
    X509_free(x);
    ERR_clear_error();
    return e;
}
