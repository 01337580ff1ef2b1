/* jwk.c - what a key may do, and its life.
 *
 * The numbers are jwk_key.c's, the signatures jwk_verify.c's.
 */
#include "jose/jwk_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/log.h"
#include "jose/b64.h"

enum { PEM_MAX_BYTES = 1 << 20, X5T_MAX = 128 };

static struct str own(struct str s)
{
    return s.p ? str_from(x_strdup(s), s.len) : STR_NULL;
}

static void disown(struct str s)
{
    x_free((char *)(uintptr_t)s.p);
}

void jwk_free(struct jwk *k)
{
    if (!k)
        return;
    jwk_ready_free(k->ready);
    EVP_PKEY_free(k->pkey);
    if (k->secret)
        OPENSSL_cleanse(k->secret->bytes, k->secret->len);
    x_free(k->secret);
    disown(k->kid);
    disown(k->x5t);
    disown(k->x5t_s256);
    x_free(k);
}

/* What a key of this kind and size can verify. */
static uint32_t able(const struct jwk *k)
{
    uint32_t algs = 0;

    switch (k->type) {
    case JWK_RSA:
        return JOSE_RSA_PKCS1 | JOSE_RSA_PSS;
    case JWK_EC:
        return k->bits == 256   ? JOSE_BIT(JOSE_ES256)
               : k->bits == 384 ? JOSE_BIT(JOSE_ES384)
                                : JOSE_BIT(JOSE_ES512);
    case JWK_OKP:
        return JOSE_BIT(JOSE_EDDSA);
    case JWK_OCT: /* RFC 7518 section 3.2: at least as long as the hash */
        for (enum jose_alg alg = JOSE_HS256; alg <= JOSE_HS512; alg++)
            if (k->secret->len >= jose_alg_hash_bytes(alg))
                algs |= JOSE_BIT(alg);
        return algs;
    }
    return 0;
}

/* Settles algs from the key and its alg, and makes it ready. */
static enum err finish(struct jwk *k, const char **why)
{
    k->algs = able(k);
    if (k->alg)
        k->algs &= JOSE_BIT(k->alg);
    if (!k->algs && k->type == JWK_OCT)
        return jwk_refuse(why, ERR_INVALID,
                          "a secret must be as long as its hash: 32 bytes for "
                          "HS256, 48 for HS384, 64 for HS512");
    if (!k->algs)
        return jwk_refuse(why, ERR_INVALID,
                          "alg names an algorithm for another kind of key");
    jwk_set_thumbprint(k);
    jwk_ready_make(k);
    return ERR_OK;
}

/* A member that may be absent but must be a string. */
static enum err optional_text(const struct json *j, struct str name, size_t max,
                              struct str *out)
{
    const struct json *m = json_get(j, name);

    if (!m)
        return ERR_OK;
    if (m->type != JSON_STRING || m->text.len > max)
        return ERR_INVALID;
    *out = m->text;
    return ERR_OK;
}

static enum err check_use(const struct json *j, const char **why)
{
    struct str use = STR_NULL;

    if (optional_text(j, STR("use"), 64, &use))
        return jwk_refuse(why, ERR_INVALID, "use is not a short string");
    if (use.p && !str_is(use, "sig"))
        return jwk_refuse(why, ERR_UNSUPPORTED,
                          "use says that it is not for signatures");
    return ERR_OK;
}

/* Verifying must be among key_ops, or signing where that is wanted. */
static enum err check_ops(const struct json *j, unsigned flags,
                          const char **why)
{
    const struct json *ops = json_at(j, "key_ops");
    bool good = false;

    if (!ops)
        return ERR_OK;
    if (ops->type != JSON_ARRAY)
        return jwk_refuse(why, ERR_INVALID, "key_ops is not an array");
    for (const struct json *op = ops->first; op; op = op->next) {
        if (op->type != JSON_STRING)
            return jwk_refuse(why, ERR_INVALID,
                              "key_ops holds something that is not a string");
        good = good || str_is(op->text, "verify") ||
               ((flags & JWK_ALLOW_PRIVATE) && str_is(op->text, "sign"));
    }
    if (!good)
        return jwk_refuse(why, ERR_UNSUPPORTED,
                          "key_ops says that it is not for verifying");
    return ERR_OK;
}

static enum err read_alg(struct jwk *k, const struct json *j, const char **why)
{
    struct str alg = STR_NULL;

    if (optional_text(j, STR("alg"), 64, &alg))
        return jwk_refuse(why, ERR_INVALID, "alg is not a short string");
    if (!alg.p)
        return ERR_OK;
    k->alg = jose_alg_parse(alg);
    if (!k->alg)
        return jwk_refuse(why, ERR_UNSUPPORTED,
                          "alg is not a signature algorithm that is "
                          "supported here");
    return ERR_OK;
}

static enum err read_names(struct jwk *k, const struct json *j,
                           const char **why)
{
    struct str kid = STR_NULL, x5t = STR_NULL, x5t_s256 = STR_NULL;

    if (optional_text(j, STR("kid"), JWK_KID_MAX, &kid))
        return jwk_refuse(why, ERR_INVALID,
                          "kid is not a string of at most 512 bytes");
    if (optional_text(j, STR("x5t"), X5T_MAX, &x5t) ||
        optional_text(j, STR("x5t#S256"), X5T_MAX, &x5t_s256))
        return jwk_refuse(why, ERR_INVALID,
                          "x5t or x5t#S256 is not a short string");
    k->kid = own(kid);
    k->x5t = own(x5t);
    k->x5t_s256 = own(x5t_s256);
    return ERR_OK;
}

enum err jwk_parse(const struct json *j, unsigned flags, struct jwk **out,
                   const char **why)
{
    struct jwk *k;
    enum err e;

    if (!j || j->type != JSON_OBJECT)
        return jwk_refuse(why, ERR_INVALID, "a key must be an object");
    k = x_new(sizeof(*k));
    e = check_use(j, why);
    if (!e)
        e = check_ops(j, flags, why);
    if (!e)
        e = read_alg(k, j, why);
    if (!e)
        e = read_names(k, j, why);
    if (!e)
        e = jwk_read_key(k, j, flags, why);
    if (!e)
        e = finish(k, why);
    if (e) {
        jwk_free(k);
        ERR_clear_error();
        return e;
    }
    *out = k;
    return ERR_OK;
}

enum err jwk_from_pkey(EVP_PKEY *pkey, struct str kid, enum jose_alg alg,
                       struct jwk **out, const char **why)
{
    struct jwk *k;
    enum err e;

    if (kid.len > JWK_KID_MAX)
        return jwk_refuse(why, ERR_INVALID, "kid is longer than 512 bytes");
    k = x_new(sizeof(*k));
    must(EVP_PKEY_up_ref(pkey) == 1);
    k->pkey = pkey;
    k->kid = own(kid);
    k->alg = alg;
    e = jwk_check_pkey(k, why);
    if (!e)
        e = finish(k, why);
    if (e) {
        jwk_free(k);
        ERR_clear_error();
        return e;
    }
    *out = k;
    return ERR_OK;
}

static struct str digest_text(const EVP_MD *md, struct str bytes)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE];
    unsigned len = 0;

    must(EVP_Digest(bytes.p, bytes.len, digest, &len, md, NULL) == 1);
    return own(str_from(text, b64url_encode(digest, len, text)));
}

static void set_x5t(struct jwk *k, X509 *x)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);

    must(n > 0);
    k->x5t = digest_text(EVP_sha1(), str_from((char *)der, (size_t)n));
    k->x5t_s256 = digest_text(EVP_sha256(), str_from((char *)der, (size_t)n));
    OPENSSL_free(der);
}

/* An encrypted PEM must not make anybody ask for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

enum err jwk_from_pem(struct str pem, struct str kid, enum jose_alg alg,
                      struct jwk **out, const char **why)
{
    EVP_PKEY *pkey = NULL;
    X509 *x = NULL;
    BIO *bio;
    enum err e;

    if (pem.len > PEM_MAX_BYTES)
        return jwk_refuse(why, ERR_LIMIT, "this is longer than 1 MiB");
    if (!pem.len)
        pem = STR(" ");
    bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    must(bio);
    if (memmem(pem.p, pem.len, "BEGIN CERT", 10))
        x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    else
        pkey = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (x)
        pkey = X509_get_pubkey(x);
    if (pkey)
        e = jwk_from_pkey(pkey, kid, alg, out, why);
    else
        e = jwk_refuse(why, ERR_INVALID,
                       "there is no PEM block with a readable CERTIFICATE or "
                       "PUBLIC KEY");
    if (!e && x)
        set_x5t(*out, x);
    EVP_PKEY_free(pkey);
    X509_free(x);
    ERR_clear_error();
    return e;
}

void jwk_sha256(struct str bytes, char out[JWK_THUMBPRINT + 1])
{
    unsigned char digest[32];

    must(EVP_Digest(bytes.p ? bytes.p : "", bytes.len, digest, NULL,
                    jose_md(JOSE_RS256), NULL) == 1);
    out[b64url_encode(digest, sizeof(digest), out)] = 0;
}
