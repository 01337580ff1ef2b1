/* jws.c - taking a compact JWS apart, and which keys it is tried with. */
#include "jose/jws.h"

#include "jose/b64.h"

static const struct json_limits header_limits = {
    .max_bytes = JWS_MAX_HEADER_BYTES,
    .max_depth = 8,
    .max_nodes = 512,
};

static enum jwt_fault malformed(const char **what, const char *text)
{
    *what = text;
    return JWT_MALFORMED;
}

/* A header member that may be absent but must be a string. */
static bool header_text(const struct json *header, struct str name,
                        struct str *out)
{
    const struct json *m = json_get(header, name);

    *out = json_str(m);
    return !m || m->type == JSON_STRING;
}

/* What the sender demands of who reads this: nothing that we could do. */
static enum jwt_fault check_demands(const struct json *header,
                                    const char **what)
{
    const struct json *b64 = json_at(header, "b64");

    if (json_at(header, "crit")) {
        *what = "the header has crit, and no extension is supported";
        return JWT_CRITICAL;
    }
    if (b64 && !json_true(b64)) {
        *what = "the header has b64 that is not true";
        return JWT_CRITICAL;
    }
    return JWT_OK;
}

static enum jwt_fault read_header(struct arena *a, struct str text,
                                  struct jws *t, const char **what)
{
    struct json_error error;
    struct json *header;
    struct str bytes;

    if (b64_decoded(text.len) > JWS_MAX_HEADER_BYTES)
        return malformed(what, "the header is longer than 8 KiB");
    if (b64url_decode_in(a, text, &bytes))
        return malformed(what, "the header is not base64url");
    if (json_parse(a, bytes, &header_limits, &header, &error))
        return malformed(what, "the header is not JSON, or names a member "
                               "twice");
    if (header->type != JSON_OBJECT)
        return malformed(what, "the header is not a JSON object");
    if (!header_text(header, STR("alg"), &t->alg_name) || !t->alg_name.p)
        return malformed(what, "the header has no alg that is a string");
    if (!header_text(header, STR("kid"), &t->kid))
        return malformed(what, "the header's kid is not a string");
    if (!header_text(header, STR("typ"), &t->typ))
        return malformed(what, "the header's typ is not a string");
    t->header = header;
    t->alg = jose_alg_parse(t->alg_name);
    return check_demands(header, what);
}

static enum jwt_fault read_parts(struct arena *a, struct jws *t,
                                 const char **what)
{
    struct str token = t->token, rest, header, payload;
    size_t dot = str_find(token, '.');

    header = str_head(token, dot);
    rest = str_skip(token, dot + 1);
    if (dot == token.len || str_find(rest, '.') == rest.len)
        return malformed(what, "there are fewer than three parts");
    dot = str_find(rest, '.');
    payload = str_head(rest, dot);
    rest = str_skip(rest, dot + 1);
    if (str_find(rest, '.') != rest.len)
        return malformed(what, "there are more than three parts");
    t->input = str_head(token, header.len + 1 + payload.len);
    if (b64_decoded(rest.len) > JWS_MAX_SIGNATURE_BYTES)
        return malformed(what, "the signature is longer than any can be");
    if (b64url_decode_in(a, rest, &t->signature))
        return malformed(what, "the signature is not base64url");
    if (b64url_decode_in(a, payload, &t->payload))
        return malformed(what, "the payload is not base64url");
    return read_header(a, header, t, what);
}

enum jwt_fault jws_parse(struct arena *a, struct str token, size_t max_bytes,
                         struct jws *out, const char **what)
{
    struct jws t = { .token = token };
    enum jwt_fault fault;

    if (token.len > max_bytes) {
        *what = "it is longer than is allowed";
        return JWT_TOO_LONG;
    }
    fault = read_parts(a, &t, what);
    if (!fault)
        *out = t;
    return fault;
}

enum jwt_fault jws_verify_with(const struct jws *t, uint32_t algs,
                               const struct jwk *key)
{
    if (!t->alg || !(algs & JOSE_BIT(t->alg)) || !jwk_fits(key, t->alg))
        return JWT_ALG_REFUSED;
    return jwk_verify(key, t->alg, t->input, t->signature) ? JWT_OK
                                                           : JWT_BAD_SIGNATURE;
}

enum jwt_fault jws_verify(const struct jws *t, uint32_t algs,
                          const struct jwks *set, const struct jwk **key)
{
    const struct jwk *keys[JWKS_MAX_TRIES];
    enum jwks_answer answer;
    size_t count;

    if (!t->alg || !(algs & JOSE_BIT(t->alg)))
        return JWT_ALG_REFUSED;
    answer = jwks_match(set, t->kid, t->alg, keys, &count);
    if (answer == JWKS_WRONG_ALG)
        return JWT_ALG_REFUSED;
    if (answer == JWKS_NO_KID)
        return JWT_UNKNOWN_KEY;
    for (size_t i = 0; i < count; i++) {
        if (!jwk_verify(keys[i], t->alg, t->input, t->signature))
            continue;
        if (key)
            *key = keys[i];
        return JWT_OK;
    }
    /* Keys without a kid were only a guess in a set whose keys have one. */
    if (t->kid.p && !keys[0]->kid.p && jwks_has_kids(set))
        return JWT_UNKNOWN_KEY;
    return JWT_BAD_SIGNATURE;
}
