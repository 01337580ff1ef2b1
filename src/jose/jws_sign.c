/* jws_sign.c - making a signature.
 *
 * Signing is rare beside verifying (backend tokens are kept, a key manager
 * signs once per login), so contexts are not kept ready.
 */
#include "jose/jwk_internal.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "jose/b64.h"
#include "jose/jws.h"

static bool key_does(EVP_PKEY *key, enum jose_alg alg)
{
    uint32_t bit = JOSE_BIT(alg);
    int bits = EVP_PKEY_get_bits(key);

    if (bit & (JOSE_RSA_PKCS1 | JOSE_RSA_PSS))
        return EVP_PKEY_is_a(key, "RSA") && bits >= JWK_RSA_MIN_BITS &&
               bits <= JWK_RSA_MAX_BITS;
    if (bit & JOSE_ECDSA)
        return EVP_PKEY_is_a(key, "EC") &&
               (size_t)(bits + 7) / 8 == jose_ec_bytes(alg);
    return alg == JOSE_EDDSA && EVP_PKEY_is_a(key, "ED25519");
}

static bool sign_init(EVP_MD_CTX *ctx, EVP_PKEY *key, enum jose_alg alg)
{
    EVP_PKEY_CTX *pctx;

    if (EVP_DigestSignInit(ctx, &pctx, jose_md(alg), NULL, key) != 1)
        return false;
    if (!(JOSE_BIT(alg) & JOSE_RSA_PSS))
        return true;
    return EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

/* The SEQUENCE that OpenSSL wrote becomes r || s. */
static bool to_raw(unsigned char *signature, size_t *len, size_t bytes)
{
    const unsigned char *der = signature;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)*len);
    bool good;

    if (!sig)
        return false;
    good =
        BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, (int)bytes) >= 0 &&
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + bytes, (int)bytes) >= 0;
    *len = 2 * bytes;
    ECDSA_SIG_free(sig);
    return good;
}

static enum err sign(EVP_PKEY *key, enum jose_alg alg, struct str input,
                     unsigned char *signature, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t bytes = jose_ec_bytes(alg);
    bool good = ctx && sign_init(ctx, key, alg) &&
                EVP_DigestSign(ctx, signature, len,
                               (const unsigned char *)input.p, input.len) == 1;

    EVP_MD_CTX_free(ctx);
    if (good && bytes)
        good = to_raw(signature, len, bytes);
    if (!good)
        ERR_clear_error();
    return good ? ERR_OK : ERR_IO;
}

static enum err add_b64(struct buf *b, struct str bytes)
{
    enum err e = buf_reserve(b, b64url_encoded(bytes.len));

    if (!e)
        b->len += b64url_encode(bytes.p, bytes.len, b->p + b->len);
    return e;
}

enum err jws_sign(EVP_PKEY *key, enum jose_alg alg, struct str header,
                  struct str payload, struct buf *out)
{
    unsigned char signature[JWS_MAX_SIGNATURE_BYTES];
    size_t before = out->len, len = sizeof(signature);
    enum err e;

    if (!key_does(key, alg))
        return ERR_UNSUPPORTED;
    e = add_b64(out, header);
    if (!e)
        e = buf_char(out, '.');
    if (!e)
        e = add_b64(out, payload);
    if (!e)
        e = sign(key, alg, str_skip(buf_view(out), before), signature, &len);
    if (!e)
        e = buf_char(out, '.');
    if (!e)
        e = add_b64(out, str_from((const char *)signature, len));
    if (e)
        out->len = before;
    return e;
}
