/* jwk_write.c - a key as JSON, and the thumbprint of that (RFC 7638). */
#include "jose/jwk_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/log.h"
#include "jose/b64.h"

enum { WRITE_MAX = 4 << 10 }; /* characters of the largest key's members */

/* "name":"base64url" */
static void add_bytes(struct buf *b, const char *name, const void *bytes,
                      size_t n)
{
    must(!buf_printf(b, "\"%s\":\"", name) &&
         !buf_reserve(b, b64url_encoded(n) + 1));
    b->len += b64url_encode(bytes, n, b->p + b->len);
    must(!buf_char(b, '"'));
}

/* A number of the public half, in as few bytes as it needs, or in `bytes`. */
static void add_number(struct buf *b, const char *name, const EVP_PKEY *pkey,
                       const char *param, size_t bytes)
{
    unsigned char text[JWK_RSA_MAX_BITS / 8];
    BIGNUM *n = NULL;

    must(EVP_PKEY_get_bn_param(pkey, param, &n) == 1);
    if (!bytes)
        bytes = (size_t)BN_num_bytes(n);
    must(bytes <= sizeof(text) && BN_bn2binpad(n, text, (int)bytes) >= 0);
    add_bytes(b, name, text, bytes);
    BN_free(n);
}

static void add_ed25519(struct buf *b, const EVP_PKEY *pkey)
{
    unsigned char x[32];
    size_t n = sizeof(x);

    must(EVP_PKEY_get_raw_public_key(pkey, x, &n) == 1);
    must(!buf_z(b, "\"crv\":\"Ed25519\",\"kty\":\"OKP\","));
    add_bytes(b, "x", x, n);
}

/* The required members in order of their names, without braces: what a
 * thumbprint is made of. */
static void add_members(struct buf *b, const struct jwk *k)
{
    size_t bytes = (k->bits + 7) / 8;

    switch (k->type) {
    case JWK_RSA:
        add_number(b, "e", k->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
        must(!buf_z(b, ",\"kty\":\"RSA\","));
        add_number(b, "n", k->pkey, OSSL_PKEY_PARAM_RSA_N, 0);
        break;
    case JWK_EC:
        must(!buf_printf(b, "\"crv\":\"P-%u\",\"kty\":\"EC\",", k->bits));
        add_number(b, "x", k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, bytes);
        must(!buf_char(b, ','));
        add_number(b, "y", k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, bytes);
        break;
    case JWK_OKP:
        add_ed25519(b, k->pkey);
        break;
    case JWK_OCT:
        add_bytes(b, "k", k->secret->bytes, k->secret->len);
        must(!buf_z(b, ",\"kty\":\"oct\""));
        break;
    }
}

void jwk_set_thumbprint(struct jwk *k)
{
    struct buf b;

    buf_init(&b, WRITE_MAX);
    must(!buf_reserve(&b, WRITE_MAX)); /* growing would leave secrets behind */
    must(!buf_char(&b, '{'));
    add_members(&b, k);
    must(!buf_char(&b, '}'));
    jwk_sha256(buf_view(&b), k->thumbprint);
    if (k->type == JWK_OCT)
        OPENSSL_cleanse(b.p, b.len);
    buf_done(&b);
}

static enum err add_text(struct buf *b, const char *name, struct str text)
{
    enum err e;

    if (!text.p)
        return ERR_OK;
    e = buf_printf(b, ",\"%s\":", name);
    return e ? e : json_write_str(b, text);
}

enum err jwk_write(struct buf *b, const struct jwk *k)
{
    size_t before = b->len;
    struct buf members;
    enum err e;

    if (k->type == JWK_OCT)
        return ERR_UNSUPPORTED;
    buf_init(&members, WRITE_MAX);
    add_members(&members, k);
    e = buf_char(b, '{');
    if (!e)
        e = buf_str(b, buf_view(&members));
    if (!e)
        e = buf_z(b, ",\"use\":\"sig\"");
    if (!e && k->alg)
        e = add_text(b, "alg", str_z(jose_alg_name(k->alg)));
    if (!e)
        e = add_text(b, "kid", k->kid);
    if (!e)
        e = add_text(b, "x5t", k->x5t);
    if (!e)
        e = add_text(b, "x5t#S256", k->x5t_s256);
    if (!e)
        e = buf_char(b, '}');
    if (e)
        b->len = before;
    buf_done(&members);
    return e;
}
