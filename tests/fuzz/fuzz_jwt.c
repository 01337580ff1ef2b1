/* fuzz_jwt.c - any bytes as a token, as a header and as a payload, and as a
 * DPoP proof, whose key is in it.
 *
 * Two tokens of RFC 7515 are the seeds, their keys the only ones. What
 * verifies must have been signed, so it must have one of their two inputs.
 */
#include "base/log.h"
#include "jose/b64.h"
#include "jose/dpop.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER_HS "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
#define HEADER_ES "eyJhbGciOiJFUzI1NiJ9"
#define CLAIMS                                                         \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt" \
    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define SIGNATURE_HS "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define SIGNATURE_ES                                                   \
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA" \
    "pmWQxfKTUJqPP3-Kg6NU1Q"

#define SECRET_SET                                                       \
    "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVM" \
    "koqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}"
#define PUBLIC_SET                                                 \
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\"," \
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","       \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"

enum { NOW_S = 1300819379 };

static struct jwks *secret_set, *public_set;

static const struct jwt_rules rules = {
    .algs = JOSE_ASYMMETRIC | JOSE_SYMMETRIC,
    .exp_optional = true,
};

static enum jwt_fault judge(struct arena *a, struct str token,
                            const struct jwks *set, struct jwt *t)
{
    const char *what = NULL;
    enum jwt_fault fault = jwt_parse(a, token, 1 << 20, t, &what);

    must(!fault == !what);
    return fault ? fault : jwt_verify(&rules, set, t, NOW_S, NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct arena *a = arena_new();
    struct jwks_report report;
    struct jwt t;

    (void)argc;
    (void)argv;
    must(!jwks_parse(STR(SECRET_SET), JWK_ALLOW_SECRET, &secret_set, &report));
    must(!jwks_parse(STR(PUBLIC_SET), 0, &public_set, &report));
    must(!judge(a, STR(HEADER_HS "." CLAIMS "." SIGNATURE_HS), secret_set, &t));
    must(!judge(a, STR(HEADER_ES "." CLAIMS "." SIGNATURE_ES), public_set, &t));
    arena_free(a);
    return 0;
}

/* Written again from its decoded parts it is the same text. */
static void check_canonical(struct arena *a, const struct jwt *t)
{
    struct str rest = t->jws.token, header = str_cut(&rest, '.');
    struct str payload = b64url_encode_in(a, t->jws.payload);
    struct str signature = b64url_encode_in(a, t->jws.signature);
    struct str again = arena_printf(a, "%.*s.%.*s.%.*s", STR_ARG(header),
                                    STR_ARG(payload), STR_ARG(signature));

    must(str_eq(again, t->jws.token));
    must(t->jws.input.len == header.len + 1 + payload.len);
}

static void check_token(struct arena *a, struct str token)
{
    const struct jwks *sets[] = { secret_set, public_set };

    for (int i = 0; i < 2; i++) {
        struct jwt t = { 0 };
        enum jwt_fault fault = judge(a, token, sets[i], &t);

        must(jwt_fault_name(fault));
        if (t.payload)
            check_canonical(a, &t);
        if (!fault)
            must(str_is(t.jws.input, HEADER_HS "." CLAIMS) ||
                 str_is(t.jws.input, HEADER_ES "." CLAIMS));
    }
}

static void check_proof(struct arena *a, struct str text)
{
    static const struct dpop_rules proof_rules = {
        .method = { "POST", 4 },
        .uri = { "https://server.example.com/token", 32 },
        .max_age_s = 60,
    };
    const char *what = NULL;
    struct dpop d;

    if (dpop_verify(a, text, &proof_rules, 1562262616, &d, &what)) {
        must(what);
        return;
    }
    must(d.jti.len && d.jti.len <= DPOP_MAX_JTI);
    must(strlen(d.thumbprint) == JWK_THUMBPRINT);
}

/* The first line as a header, the rest as claims: past the base64url. */
static void check_parts(struct arena *a, struct str text)
{
    struct str header = str_cut(&text, '\n');
    struct str token;
    struct jwt t = { 0 };

    header = b64url_encode_in(a, header);
    token = arena_printf(a, "%.*s.%s.AAAA", STR_ARG(header),
                         b64url_encode_in(a, text).p);
    must(judge(a, token, public_set, &t) != JWT_OK);
    if (t.payload) {
        struct str claim;

        check_canonical(a, &t);
        (void)jwt_check(&rules, &t, NOW_S, &claim);
        (void)jwt_has_audience(&t, STR("a"));
        (void)jwt_bound_to_certificate(&t, text);
    }
    check_proof(a, token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct str text = str_from((const char *)data, size);

    check_token(a, text);
    check_parts(a, text);
    check_proof(a, text);
    arena_free(a);
    return 0;
}
