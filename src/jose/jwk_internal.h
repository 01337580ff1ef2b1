/* jwk_internal.h - what jose's files know of keys beyond jwk.h. */
#ifndef TG_JOSE_JWK_INTERNAL_H
#define TG_JOSE_JWK_INTERNAL_H

#include "jose/jwk.h"

struct jwk_secret {
    size_t len;
    unsigned char bytes[];
};

/* Contexts that are initialised for one key and algorithm. Nobody verifies
 * with them; they are duplicated, which costs a few hundred nanoseconds where
 * initialising takes locks and searches OpenSSL's tables. */
struct jwk_ready {
    EVP_PKEY_CTX *pkey[JOSE_ALGS];
    EVP_MD_CTX *eddsa;
    EVP_MAC_CTX *mac[JOSE_ALGS];
};

/* The hash of alg, fetched once per process and never freed; NULL when it has
 * none. */
const EVP_MD *jose_md(enum jose_alg alg);

/* Bytes of a coordinate, and of r and s. 0 for anything but ES*. */
size_t jose_ec_bytes(enum jose_alg alg);

/* jwk_key.c: a checked EVP_PKEY from a document's members. k->type, bits,
 * pkey or secret, and is_private are set. */
enum err jwk_read_key(struct jwk *k, const struct json *j, unsigned flags,
                      const char **why);
/* Checks a pkey made elsewhere, and sets k->type and bits from it. */
enum err jwk_check_pkey(struct jwk *k, const char **why);
/* Whether an RSA modulus has the structure that ROCA factors. */
bool jwk_is_roca(const BIGNUM *n);

/* jwk_verify.c: makes and frees k->ready for all of k->algs. */
void jwk_ready_make(struct jwk *k);
void jwk_ready_free(struct jwk_ready *r);

/* jwk_write.c: sets k->thumbprint. */
void jwk_set_thumbprint(struct jwk *k);

/* Fails with a static sentence. */
static inline enum err jwk_refuse(const char **why, enum err e,
                                  const char *text)
{
    *why = text;
    return e;
}

#endif
