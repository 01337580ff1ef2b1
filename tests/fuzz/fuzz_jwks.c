/* fuzz_jwks.c - any bytes as a key set; what is taken is within bounds, and
 * is written and read back the same.
 */
#include "base/log.h"
#include "jose/jwks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(const struct jwk *k)
{
    must(k->algs && (!k->alg || k->algs == JOSE_BIT(k->alg)));
    must(strlen(k->thumbprint) == JWK_THUMBPRINT);
    must(k->kid.len <= JWK_KID_MAX);
    if (k->type == JWK_RSA)
        must(k->bits >= JWK_RSA_MIN_BITS && k->bits <= JWK_RSA_MAX_BITS);
    must(!(k->algs & JOSE_SYMMETRIC) == (k->type != JWK_OCT));
    must(!jwk_verify(k, JOSE_NONE, STR("a"), STR("b")));
    for (enum jose_alg alg = JOSE_NONE + 1; alg < JOSE_ALGS; alg++)
        must(!jwk_verify(k, alg, STR("a"), STR("b")));
}

static void check_round_trip(const struct jwks *set)
{
    struct jwks_report report;
    struct jwks *again = NULL;
    struct buf b;

    buf_init(&b, 4 << 20);
    must(!jwks_write(&b, set));
    must(!jwks_parse(buf_view(&b), 0, &again, &report));
    must(jwks_count(again) == jwks_count(set) && !report.skipped);
    for (size_t i = 0; i < jwks_count(set); i++)
        must(!strcmp(jwks_at(set, i)->thumbprint,
                     jwks_at(again, i)->thumbprint) &&
             jwks_at(set, i)->algs == jwks_at(again, i)->algs);
    jwks_unref(again);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jwks_report report;
    struct jwks *set = NULL;
    unsigned flags;

    if (!size)
        return 0;
    flags = data[0] & (JWK_ALLOW_SECRET | JWK_ALLOW_PRIVATE);
    if (jwks_parse(str_from((const char *)data + 1, size - 1), flags, &set,
                   &report)) {
        must(!set && report.why[0]);
        return 0;
    }
    must(report.keys == report.skipped + jwks_count(set));
    for (size_t i = 0; i < jwks_count(set); i++)
        check_key(jwks_at(set, i));
    if (jwks_at(set, 0)->type != JWK_OCT)
        check_round_trip(set);
    jwks_unref(set);
    return 0;
}
