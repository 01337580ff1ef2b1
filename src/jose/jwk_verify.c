/* jwk_verify.c - one signature, at little more than OpenSSL's own price.
 *
 * Initialising a context in OpenSSL 3.0 looks algorithms up by name under
 * locks that all threads share. So it is done once per key and algorithm, and
 * each signature duplicates the result.
 */
#include "jose/jwk_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <pthread.h>

#include "base/log.h"

enum {
    EC_MAX = 66,              /* bytes of r, of s */
    DER_MAX = 9 + 2 * EC_MAX, /* of a signature on P-521 */
    ED25519_SIGNATURE = 64,
};

/* Orders of the curves, big-endian: r and s lie from 1 to one less. */
static const unsigned char order_p256[32] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
    0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};
static const unsigned char order_p384[48] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2,
    0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
};
static const unsigned char order_p521[66] = {
    0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xfa, 0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc,
    0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89,
    0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
};

static EVP_MD *hashes[3];
static EVP_MAC *hmac;

static void fetch_all(void)
{
    static const char *const names[] = { "SHA256", "SHA384", "SHA512" };

    for (int i = 0; i < 3; i++) {
        hashes[i] = EVP_MD_fetch(NULL, names[i], NULL);
        must(hashes[i]);
    }
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    must(hmac);
}

const EVP_MD *jose_md(enum jose_alg alg)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    size_t n = jose_alg_hash_bytes(alg);

    pthread_once(&once, fetch_all);
    return n ? hashes[n / 16 - 2] : NULL;
}

size_t jose_ec_bytes(enum jose_alg alg)
{
    return alg == JOSE_ES256   ? 32
           : alg == JOSE_ES384 ? 48
           : alg == JOSE_ES512 ? 66
                               : 0;
}

/* ---- once per key ---- */

static EVP_PKEY_CTX *ready_pkey(EVP_PKEY *pkey, enum jose_alg alg)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    const EVP_MD *md = jose_md(alg);

    must(ctx && EVP_PKEY_verify_init(ctx) == 1);
    if (JOSE_BIT(alg) & JOSE_RSA_PKCS1)
        must(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1);
    if (JOSE_BIT(alg) & JOSE_RSA_PSS)
        must(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1);
    must(EVP_PKEY_CTX_set_signature_md(ctx, md) == 1);
    if (JOSE_BIT(alg) & JOSE_RSA_PSS)
        must(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) ==
                 1);
    return ctx;
}

static EVP_MD_CTX *ready_eddsa(EVP_PKEY *pkey)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    must(ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1);
    return ctx;
}

static EVP_MAC_CTX *ready_mac(const struct jwk_secret *s, enum jose_alg alg)
{
    EVP_MAC_CTX *ctx;
    OSSL_PARAM params[2];
    const EVP_MD *md = jose_md(alg);

    ctx = EVP_MAC_CTX_new(hmac);
    params[0] = OSSL_PARAM_construct_utf8_string(
        OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)EVP_MD_get0_name(md), 0);
    params[1] = OSSL_PARAM_construct_end();
    must(ctx && EVP_MAC_init(ctx, s->bytes, s->len, params) == 1);
    return ctx;
}

void jwk_ready_make(struct jwk *k)
{
    struct jwk_ready *r = x_new(sizeof(*r));

    for (enum jose_alg alg = JOSE_NONE + 1; alg < JOSE_ALGS; alg++) {
        if (!jwk_fits(k, alg))
            continue;
        if (k->type == JWK_OCT)
            r->mac[alg] = ready_mac(k->secret, alg);
        else if (alg == JOSE_EDDSA)
            r->eddsa = ready_eddsa(k->pkey);
        else
            r->pkey[alg] = ready_pkey(k->pkey, alg);
    }
    k->ready = r;
}

void jwk_ready_free(struct jwk_ready *r)
{
    if (!r)
        return;
    for (int i = 0; i < JOSE_ALGS; i++) {
        EVP_PKEY_CTX_free(r->pkey[i]);
        EVP_MAC_CTX_free(r->mac[i]);
    }
    EVP_MD_CTX_free(r->eddsa);
    x_free(r);
}

/* ---- once per signature ---- */

static bool verify_digest(const struct jwk *k, enum jose_alg alg,
                          struct str input, const unsigned char *signature,
                          size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_PKEY_CTX *ctx;
    unsigned n = 0;
    bool good;

    must(EVP_Digest(input.p, input.len, digest, &n, jose_md(alg), NULL) == 1);
    ctx = EVP_PKEY_CTX_dup(k->ready->pkey[alg]);
    must(ctx);
    good = EVP_PKEY_verify(ctx, signature, len, digest, n) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static bool verify_rsa(const struct jwk *k, enum jose_alg alg, struct str input,
                       struct str signature)
{
    /* RFC 8017: exactly as long as the modulus. */
    if (signature.len != (k->bits + 7) / 8)
        return false;
    return verify_digest(k, alg, input, (const unsigned char *)signature.p,
                         signature.len);
}

static bool in_range(const unsigned char *n, const unsigned char *order,
                     size_t bytes)
{
    unsigned any = 0;

    for (size_t i = 0; i < bytes; i++)
        any |= n[i];
    return any && memcmp(n, order, bytes) < 0;
}

/* An ASN.1 INTEGER: no leading zeros but one in front of a set top bit. */
static unsigned char *put_integer(unsigned char *to, const unsigned char *n,
                                  size_t bytes)
{
    bool zero;

    for (; bytes > 1 && !*n; n++)
        bytes--;
    zero = (*n & 0x80) != 0;
    *to++ = 0x02;
    *to++ = (unsigned char)(bytes + zero);
    if (zero)
        *to++ = 0;
    memcpy(to, n, bytes);
    return to + bytes;
}

/* r || s to the SEQUENCE of INTEGERs that OpenSSL reads. */
static size_t to_der(const unsigned char *rs, size_t bytes,
                     unsigned char der[DER_MAX])
{
    unsigned char body[DER_MAX], *end;
    size_t n, head = 2;

    end = put_integer(body, rs, bytes);
    end = put_integer(end, rs + bytes, bytes);
    n = (size_t)(end - body);
    der[0] = 0x30;
    der[1] = (unsigned char)n;
    if (n >= 0x80) {
        der[1] = 0x81;
        der[2] = (unsigned char)n;
        head = 3;
    }
    memcpy(der + head, body, n);
    return head + n;
}

static bool verify_ecdsa(const struct jwk *k, enum jose_alg alg,
                         struct str input, struct str signature)
{
    const unsigned char *rs = (const unsigned char *)signature.p;
    const unsigned char *order = alg == JOSE_ES256   ? order_p256
                                 : alg == JOSE_ES384 ? order_p384
                                                     : order_p521;
    size_t bytes = jose_ec_bytes(alg);
    unsigned char der[DER_MAX];

    if (signature.len != 2 * bytes || !in_range(rs, order, bytes) ||
        !in_range(rs + bytes, order, bytes))
        return false;
    return verify_digest(k, alg, input, der, to_der(rs, bytes, der));
}

static bool verify_eddsa(const struct jwk *k, struct str input,
                         struct str signature)
{
    EVP_MD_CTX *ctx;
    bool good;

    if (signature.len != ED25519_SIGNATURE)
        return false;
    ctx = EVP_MD_CTX_new();
    must(ctx && EVP_MD_CTX_copy_ex(ctx, k->ready->eddsa) == 1);
    good =
        EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.len,
                         (const unsigned char *)input.p, input.len) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static bool verify_hmac(const struct jwk *k, enum jose_alg alg,
                        struct str input, struct str signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    EVP_MAC_CTX *ctx;
    size_t n = 0;

    if (signature.len != jose_alg_hash_bytes(alg))
        return false;
    ctx = EVP_MAC_CTX_dup(k->ready->mac[alg]);
    must(ctx &&
         EVP_MAC_update(ctx, (const unsigned char *)input.p, input.len) == 1 &&
         EVP_MAC_final(ctx, mac, &n, sizeof(mac)) == 1);
    EVP_MAC_CTX_free(ctx);
    return n == signature.len && CRYPTO_memcmp(mac, signature.p, n) == 0;
}

bool jwk_verify(const struct jwk *k, enum jose_alg alg, struct str input,
                struct str signature)
{
    bool good;

    if (!jwk_fits(k, alg))
        return false;
    switch (k->type) {
    case JWK_RSA:
        good = verify_rsa(k, alg, input, signature);
        break;
    case JWK_EC:
        good = verify_ecdsa(k, alg, input, signature);
        break;
    case JWK_OKP:
        good = verify_eddsa(k, input, signature);
        break;
    default:
        good = verify_hmac(k, alg, input, signature);
        break;
    }
    /* TLS on the same thread must not find a token's errors. */
    if (!good)
        ERR_clear_error();
    return good;
}
