/* alg.c - names and hashes of the algorithms. */
#include "jose/alg.h"

const char *const jose_alg_names[JOSE_ALGS + 1] = {
    [JOSE_NONE] = "",       [JOSE_RS256] = "RS256", [JOSE_RS384] = "RS384",
    [JOSE_RS512] = "RS512", [JOSE_PS256] = "PS256", [JOSE_PS384] = "PS384",
    [JOSE_PS512] = "PS512", [JOSE_ES256] = "ES256", [JOSE_ES384] = "ES384",
    [JOSE_ES512] = "ES512", [JOSE_EDDSA] = "EdDSA", [JOSE_HS256] = "HS256",
    [JOSE_HS384] = "HS384", [JOSE_HS512] = "HS512",
};

enum jose_alg jose_alg_parse(struct str name)
{
    /* All names are five bytes long. */
    if (name.len != 5)
        return JOSE_NONE;
    for (int i = JOSE_NONE + 1; i < JOSE_ALGS; i++)
        if (memcmp(name.p, jose_alg_names[i], 5) == 0)
            return (enum jose_alg)i;
    return JOSE_NONE;
}

const char *jose_alg_name(enum jose_alg alg)
{
    return (unsigned)alg < JOSE_ALGS ? jose_alg_names[alg] : "";
}

size_t jose_alg_hash_bytes(enum jose_alg alg)
{
    switch (alg) {
    case JOSE_RS256:
    case JOSE_PS256:
    case JOSE_ES256:
    case JOSE_HS256:
        return 32;
    case JOSE_RS384:
    case JOSE_PS384:
    case JOSE_ES384:
    case JOSE_HS384:
        return 48;
    case JOSE_RS512:
    case JOSE_PS512:
    case JOSE_ES512:
    case JOSE_HS512:
        return 64;
    default:
        return 0;
    }
}
