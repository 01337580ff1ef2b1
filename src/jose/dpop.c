/* dpop.c - a DPoP proof, check by check (RFC 9449 section 4.3).
 *
 * The key is in the proof itself, so a good signature says nothing yet: the
 * thumbprint must be the one that the access token is bound to.
 */
#include "jose/dpop.h"

#include <openssl/crypto.h>

#include "base/log.h"
#include "format/uri.h"

/* The claims that only proofs have. */
struct proof {
    struct jwt t;
    struct str htm, htu, ath, nonce;
};

static enum jwt_fault fault_at(const char **what, enum jwt_fault fault,
                               const char *text)
{
    *what = text;
    return fault;
}

static bool text_claim(const struct proof *p, struct str name, struct str *out)
{
    const struct json *m = json_get(p->t.payload, name);

    *out = json_str(m);
    return !m || m->type == JSON_STRING;
}

static enum jwt_fault read_proof(struct arena *a, struct str text,
                                 struct proof *p, const char **what)
{
    enum jwt_fault fault = jwt_parse(a, text, DPOP_MAX_BYTES, &p->t, what);

    if (fault)
        return fault;
    if (!str_eq_nocase(p->t.jws.typ, STR("dpop+jwt")) &&
        !str_eq_nocase(p->t.jws.typ, STR("application/dpop+jwt")))
        return fault_at(what, JWT_WRONG_TYPE, "typ is not dpop+jwt");
    if (!text_claim(p, STR("htm"), &p->htm) ||
        !text_claim(p, STR("htu"), &p->htu) ||
        !text_claim(p, STR("ath"), &p->ath) ||
        !text_claim(p, STR("nonce"), &p->nonce))
        return fault_at(what, JWT_MALFORMED,
                        "htm, htu, ath or nonce is not a string");
    if (p->t.jti.len > DPOP_MAX_JTI)
        return fault_at(what, JWT_MALFORMED, "jti is longer than 256 bytes");
    return JWT_OK;
}

/* The signature, with the proof's own key. */
static enum jwt_fault check_key(const struct proof *p,
                                const struct dpop_rules *r, struct dpop *d,
                                const char **what)
{
    uint32_t algs = (r->algs ? r->algs : JOSE_ASYMMETRIC) & JOSE_ASYMMETRIC;
    enum jwt_fault fault;
    struct jwk *k;

    if (!p->t.jws.alg || !(algs & JOSE_BIT(p->t.jws.alg)))
        return fault_at(what, JWT_ALG_REFUSED, "alg is not allowed");
    if (jwk_parse(json_at(p->t.jws.header, "jwk"), 0, &k, what))
        return JWT_WRONG_KEY;
    if (k->type == JWK_RSA && k->bits > DPOP_RSA_MAX_BITS)
        fault = fault_at(what, JWT_WRONG_KEY,
                         "an RSA key of a proof may have at most 4096 bits");
    else if (r->thumbprint.p && !str_is(r->thumbprint, k->thumbprint))
        fault =
            fault_at(what, JWT_WRONG_KEY, "the token is bound to another key");
    else
        fault = jws_verify_with(&p->t.jws, algs, k);
    memcpy(d->thumbprint, k->thumbprint, sizeof(d->thumbprint));
    jwk_free(k);
    return fault;
}

/* Scheme, host, port and path in their normal forms (RFC 3986 section 6.2.2
 * and 6.2.3). */
static bool same_uri(struct arena *a, struct str x, struct str y)
{
    struct str texts[2] = { x, y };
    struct url urls[2];

    for (int i = 0; i < 2; i++) {
        struct str text = texts[i], path;
        bool unchanged;
        size_t len;
        char *to;

        text = str_head(text, str_find(text, '#'));
        text = str_head(text, str_find(text, '?'));
        if (url_parse(a, text, &urls[i]) || urls[i].userinfo.p ||
            str_is(urls[i].scheme, "unix"))
            return false;
        path = urls[i].path.len ? urls[i].path : STR("/");
        to = arena_raw(a, path.len);
        if (uri_path_normal(path, to, &len, &unchanged))
            return false;
        urls[i].path = str_from(to, len);
    }
    return str_eq(urls[0].scheme, urls[1].scheme) &&
           str_eq(urls[0].host, urls[1].host) && urls[0].ipv6 == urls[1].ipv6 &&
           urls[0].port == urls[1].port && str_eq(urls[0].path, urls[1].path);
}

static bool is_hash_of(struct str ath, struct str token)
{
    char digest[JWK_THUMBPRINT + 1];

    jwk_sha256(token, digest);
    return ath.len == JWK_THUMBPRINT &&
           CRYPTO_memcmp(ath.p, digest, JWK_THUMBPRINT) == 0;
}

static const char *missing_claim(const struct proof *p,
                                 const struct dpop_rules *r)
{
    return !p->t.jti.len                               ? "jti"
           : !p->htm.p                                 ? "htm"
           : !p->htu.p                                 ? "htu"
           : !p->t.iat.set                             ? "iat"
           : r->access_token.p && !p->ath.p            ? "ath"
           : r->nonce.p && !str_eq(r->nonce, p->nonce) ? "nonce"
                                                       : NULL;
}

static enum jwt_fault check_claims(struct arena *a, const struct proof *p,
                                   const struct dpop_rules *r, uint64_t now_s,
                                   const char **what)
{
    int64_t now_ms = (int64_t)now_s * 1000;
    int64_t skew_ms = (int64_t)r->skew_s * 1000;
    int64_t age_ms = (int64_t)r->max_age_s * 1000;
    const char *missing = missing_claim(p, r);

    if (missing)
        return fault_at(what, JWT_MISSING_CLAIM, missing);
    if (!str_eq(p->htm, r->method)) /* methods are case-sensitive */
        return fault_at(what, JWT_WRONG_METHOD, "htm is another method");
    if (!same_uri(a, p->htu, r->uri))
        return fault_at(what, JWT_WRONG_URI, "htu is another URI");
    if (now_ms > p->t.iat.ms + age_ms + skew_ms)
        return fault_at(what, JWT_EXPIRED, "iat is too long ago");
    if (now_ms < p->t.iat.ms - skew_ms)
        return fault_at(what, JWT_NOT_YET, "iat lies ahead");
    if (r->access_token.p && !is_hash_of(p->ath, r->access_token))
        return fault_at(what, JWT_WRONG_TOKEN,
                        "ath is the hash of another token");
    return JWT_OK;
}

enum jwt_fault dpop_verify(struct arena *a, struct str proof,
                           const struct dpop_rules *rules, uint64_t now_s,
                           struct dpop *out, const char **what)
{
    struct dpop d = { 0 };
    struct proof p = { 0 };
    enum jwt_fault fault;

    must(now_s < INT64_MAX / 2000);
    *what = "";
    fault = read_proof(a, proof, &p, what);
    if (!fault)
        fault = check_key(&p, rules, &d, what);
    if (!fault)
        fault = check_claims(a, &p, rules, now_s, what);
    if (fault)
        return fault;
    d.jti = p.t.jti;
    d.nonce = p.nonce;
    d.iat = p.t.iat;
    *out = d;
    return JWT_OK;
}
