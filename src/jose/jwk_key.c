/* jwk_key.c - numbers of a document to a key that OpenSSL takes, checked.
 *
 * RSA keys are checked here, cheaply; OpenSSL's own check of a public key
 * looks for factors of the modulus, which takes seconds for the largest.
 */
#include "jose/jwk_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/log.h"
#include "jose/b64.h"

enum {
    /* One byte more than it needs: some libraries write Java's sign byte. */
    RSA_BYTES = JWK_RSA_MAX_BITS / 8 + 1,
    EC_BYTES = 66,
    ED25519_BYTES = 32,
};

static const struct curve {
    const char *name;  /* the document's */
    const char *group; /* OpenSSL's */
    unsigned bits;
    size_t bytes;
} curves[] = {
    { "P-256", "prime256v1", 256, 32 },
    { "P-384", "secp384r1", 384, 48 },
    { "P-521", "secp521r1", 521, 66 },
};

/* The bytes of a base64url member: at most max. */
static enum err member_bytes(const struct json *j, struct str name, void *to,
                             size_t max, size_t *len)
{
    struct str text = json_str(json_get(j, name));

    if (!text.len || b64_decoded(text.len) > max)
        return ERR_INVALID;
    return b64url_decode(text, to, len);
}

/* A member as a number, for the caller to free; NULL when it is none. */
static BIGNUM *member_number(const struct json *j, struct str name)
{
    unsigned char bytes[RSA_BYTES];
    BIGNUM *n = NULL;
    size_t len;

    if (!member_bytes(j, name, bytes, sizeof(bytes), &len))
        n = BN_bin2bn(bytes, (int)len, NULL);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return n;
}

static EVP_PKEY *make_pkey(const char *type, int selection,
                           OSSL_PARAM_BLD *members)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(members);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    must(params && ctx);
    if (EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

/* Whether the private half belongs to the public one. */
static bool is_pair(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool good = ctx && EVP_PKEY_pairwise_check(ctx) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* Powers of 65537 modulo r are few for many small primes r. Moduli of the
 * broken generator are such a power modulo all of them; one in 2^27 others is
 * as well. (CVE-2017-15361) */
static bool is_power_of_65537(BN_ULONG n, unsigned r)
{
    unsigned x = 1;

    do {
        if (n == x)
            return true;
        x = x * (65537 % r) % r;
    } while (x != 1);
    return false;
}

bool jwk_is_roca(const BIGNUM *n)
{
    static const unsigned char primes[] = {
        3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,
        47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,  101, 103,
        107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    };

    for (size_t i = 0; i < sizeof(primes); i++)
        if (!is_power_of_65537(BN_mod_word(n, primes[i]), primes[i]))
            return false;
    return true;
}

static enum err check_rsa(struct jwk *k, const BIGNUM *n, const BIGNUM *e,
                          const char **why)
{
    int bits = BN_num_bits(n);

    if (bits < JWK_RSA_MIN_BITS)
        return jwk_refuse(why, ERR_INVALID,
                          "an RSA key must have at least 2048 bits");
    if (bits > JWK_RSA_MAX_BITS)
        return jwk_refuse(why, ERR_LIMIT,
                          "an RSA key must have at most 16384 bits");
    if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > 31)
        return jwk_refuse(why, ERR_INVALID,
                          "an RSA key needs an odd modulus and an odd exponent "
                          "from 3 to 31 bits");
    if (jwk_is_roca(n))
        return jwk_refuse(why, ERR_INVALID,
                          "this RSA key can be factored (ROCA, "
                          "CVE-2017-15361): replace it");
    k->type = JWK_RSA;
    k->bits = (unsigned)bits;
    return ERR_OK;
}

static const struct rsa_member {
    struct str name;
    const char *param;
} rsa_private[] = {
    { { "d", 1 }, OSSL_PKEY_PARAM_RSA_D },
    { { "p", 1 }, OSSL_PKEY_PARAM_RSA_FACTOR1 },
    { { "q", 1 }, OSSL_PKEY_PARAM_RSA_FACTOR2 },
    { { "dp", 2 }, OSSL_PKEY_PARAM_RSA_EXPONENT1 },
    { { "dq", 2 }, OSSL_PKEY_PARAM_RSA_EXPONENT2 },
    { { "qi", 2 }, OSSL_PKEY_PARAM_RSA_COEFFICIENT1 },
};
#define RSA_PRIVATE (sizeof(rsa_private) / sizeof(rsa_private[0]))

/* n, e and, for a private key, the other six: all or none of them. */
static EVP_PKEY *make_rsa(const struct json *j, bool with_private, BIGNUM *n,
                          BIGNUM *e)
{
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    BIGNUM *more[RSA_PRIVATE] = { NULL };
    EVP_PKEY *pkey = NULL;
    bool good = true;

    must(b && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) &&
         OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e));
    for (size_t i = 0; with_private && i < RSA_PRIVATE; i++) {
        more[i] = member_number(j, rsa_private[i].name);
        good = good && more[i];
        if (more[i])
            must(OSSL_PARAM_BLD_push_BN(b, rsa_private[i].param, more[i]));
    }
    if (good)
        pkey = make_pkey(
            "RSA", with_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, b);
    if (pkey && with_private && !is_pair(pkey)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    for (size_t i = 0; i < RSA_PRIVATE; i++)
        BN_clear_free(more[i]);
    OSSL_PARAM_BLD_free(b);
    return pkey;
}

static enum err read_rsa(struct jwk *k, const struct json *j, const char **why)
{
    BIGNUM *n = member_number(j, STR("n")), *e = member_number(j, STR("e"));
    enum err err = ERR_OK;

    if (!n || !e)
        err = jwk_refuse(why, ERR_INVALID,
                         "an RSA key needs n and e in base64url, n of at most "
                         "16384 bits");
    if (!err)
        err = check_rsa(k, n, e, why);
    if (!err) {
        k->pkey = make_rsa(j, k->is_private, n, e);
        if (!k->pkey)
            err = jwk_refuse(why, ERR_INVALID,
                             "the members of this RSA key do not make a key");
    }
    BN_free(n);
    BN_free(e);
    return err;
}

static const struct curve *curve_of(struct str name)
{
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (str_is(name, curves[i].name))
            return &curves[i];
    return NULL;
}

/* OpenSSL refuses a point that is not on the curve; curves of prime order
 * have no small subgroups to look for. */
static EVP_PKEY *make_ec(const struct curve *c, const unsigned char *point,
                         const BIGNUM *d)
{
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey;

    must(b &&
         OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME,
                                         c->group, 0) &&
         OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point,
                                          1 + 2 * c->bytes));
    if (d)
        must(OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d));
    pkey = make_pkey("EC", d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, b);
    OSSL_PARAM_BLD_free(b);
    if (pkey && d && !is_pair(pkey)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

static enum err read_ec(struct jwk *k, const struct json *j, const char **why)
{
    const struct curve *c = curve_of(json_str(json_at(j, "crv")));
    unsigned char point[1 + 2 * EC_BYTES] = { 4 };
    size_t x = 0, y = 0;
    BIGNUM *d = NULL;

    if (!c)
        return jwk_refuse(why, ERR_UNSUPPORTED,
                          "crv is not P-256, P-384 or P-521");
    /* RFC 7518 section 6.2.1.2: leading zeros are not left out. */
    if (member_bytes(j, STR("x"), point + 1, c->bytes, &x) || x != c->bytes ||
        member_bytes(j, STR("y"), point + 1 + x, c->bytes, &y) || y != c->bytes)
        return jwk_refuse(why, ERR_INVALID,
                          "x and y must be base64url of exactly the curve's "
                          "size");
    if (k->is_private) {
        d = member_number(j, STR("d"));
        if (!d)
            return jwk_refuse(why, ERR_INVALID, "d is not base64url");
    }
    k->pkey = make_ec(c, point, d);
    BN_clear_free(d);
    if (!k->pkey)
        return jwk_refuse(why, ERR_INVALID,
                          "x and y are not a point on the curve, or d is not "
                          "its key");
    k->type = JWK_EC;
    k->bits = c->bits;
    return ERR_OK;
}

/* The public half of a private key must be x. */
static EVP_PKEY *make_ed25519(const unsigned char *x, const struct json *j,
                              bool with_private)
{
    unsigned char d[ED25519_BYTES], again[ED25519_BYTES];
    size_t len = 0;
    EVP_PKEY *pkey;

    if (!with_private)
        return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x,
                                              ED25519_BYTES);
    if (member_bytes(j, STR("d"), d, sizeof(d), &len) || len != sizeof(d))
        return NULL;
    pkey = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, d, len);
    OPENSSL_cleanse(d, sizeof(d));
    len = sizeof(again);
    if (pkey && (EVP_PKEY_get_raw_public_key(pkey, again, &len) != 1 ||
                 memcmp(again, x, sizeof(again)) != 0)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

static enum err read_okp(struct jwk *k, const struct json *j, const char **why)
{
    unsigned char x[ED25519_BYTES];
    size_t len = 0;

    if (!str_is(json_str(json_at(j, "crv")), "Ed25519"))
        return jwk_refuse(why, ERR_UNSUPPORTED, "crv is not Ed25519");
    if (member_bytes(j, STR("x"), x, sizeof(x), &len) || len != sizeof(x))
        return jwk_refuse(why, ERR_INVALID,
                          "x must be base64url of exactly 32 bytes");
    k->pkey = make_ed25519(x, j, k->is_private);
    if (!k->pkey)
        return jwk_refuse(why, ERR_INVALID, "d is not the key of x");
    k->type = JWK_OKP;
    k->bits = 8 * ED25519_BYTES;
    return ERR_OK;
}

static enum err read_oct(struct jwk *k, const struct json *j, unsigned flags,
                         const char **why)
{
    struct str text = json_str(json_at(j, "k"));
    size_t room = b64_decoded(text.len);
    enum err e;

    if (!(flags & JWK_ALLOW_SECRET))
        return jwk_refuse(why, ERR_UNSUPPORTED,
                          "a shared secret (kty \"oct\") is not accepted here");
    if (!text.p || room > JWK_SECRET_MAX)
        return jwk_refuse(why, ERR_INVALID,
                          "k must be base64url of at most 1024 bytes");
    k->secret = x_new(sizeof(*k->secret) + room);
    e = b64url_decode(text, k->secret->bytes, &k->secret->len);
    if (e)
        return jwk_refuse(why, e, "k is not base64url");
    k->type = JWK_OCT;
    k->bits = (unsigned)k->secret->len * 8;
    k->is_private = true;
    return ERR_OK;
}

enum err jwk_read_key(struct jwk *k, const struct json *j, unsigned flags,
                      const char **why)
{
    struct str kty = json_str(json_at(j, "kty"));

    if (str_is(kty, "oct"))
        return read_oct(k, j, flags, why);
    k->is_private = json_at(j, "d") != NULL;
    if (k->is_private && !(flags & JWK_ALLOW_PRIVATE))
        return jwk_refuse(why, ERR_INVALID,
                          "this key shows its private half (\"d\"): replace "
                          "it, and publish the public half only");
    if (str_is(kty, "RSA"))
        return read_rsa(k, j, why);
    if (str_is(kty, "EC"))
        return read_ec(k, j, why);
    if (str_is(kty, "OKP"))
        return read_okp(k, j, why);
    if (!kty.len)
        return jwk_refuse(why, ERR_INVALID, "a key needs kty, a string");
    return jwk_refuse(why, ERR_UNSUPPORTED, "kty is not RSA, EC or OKP");
}

static enum err check_rsa_pkey(struct jwk *k, const char **why)
{
    BIGNUM *n = NULL, *e = NULL;
    enum err err;

    if (EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
        EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_RSA_E, &e) != 1)
        err = jwk_refuse(why, ERR_INVALID, "this RSA key cannot be read");
    else
        err = check_rsa(k, n, e, why);
    BN_free(n);
    BN_free(e);
    return err;
}

static enum err check_ec_pkey(struct jwk *k, const char **why)
{
    EVP_PKEY_CTX *ctx;
    char group[64];
    size_t len = 0;
    bool good;

    if (EVP_PKEY_get_group_name(k->pkey, group, sizeof(group), &len) != 1)
        len = 0;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (str_is(str_from(group, len), curves[i].group))
            k->bits = curves[i].bits;
    if (!k->bits)
        return jwk_refuse(why, ERR_UNSUPPORTED,
                          "the curve is not P-256, P-384 or P-521");
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
    good = ctx && EVP_PKEY_public_check_quick(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!good)
        return jwk_refuse(why, ERR_INVALID,
                          "the public key is not a point on its curve");
    k->type = JWK_EC;
    return ERR_OK;
}

enum err jwk_check_pkey(struct jwk *k, const char **why)
{
    if (EVP_PKEY_is_a(k->pkey, "RSA"))
        return check_rsa_pkey(k, why);
    if (EVP_PKEY_is_a(k->pkey, "EC"))
        return check_ec_pkey(k, why);
    if (!EVP_PKEY_is_a(k->pkey, "ED25519"))
        return jwk_refuse(why, ERR_UNSUPPORTED,
                          "the key is not RSA, ECDSA or Ed25519");
    k->type = JWK_OKP;
    k->bits = 8 * ED25519_BYTES;
    return ERR_OK;
}
