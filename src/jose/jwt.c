/* jwt.c - tokens to typed claims, and claims to tokens. */
#include "jose/jwt.h"

#include <math.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/log.h"

static const struct json_limits payload_limits = {
    .max_bytes = 1 << 20, /* the token's ceiling is the real one */
    .max_depth = 32,
    .max_nodes = 16 << 10,
};

#define LATEST_S 253402300799.0 /* 9999-12-31T23:59:59Z */

/* A text claim that may be absent. */
static bool text_claim(const struct json *payload, struct str name,
                       struct str *out)
{
    const struct json *m = json_get(payload, name);

    *out = json_str(m);
    return !m || m->type == JSON_STRING;
}

static bool time_claim(const struct json *payload, struct str name,
                       struct jwt_time *out)
{
    const struct json *m = json_get(payload, name);
    char text[64];
    double s;

    if (!m)
        return true;
    if (m->type != JSON_NUMBER || m->text.len >= sizeof(text))
        return false;
    memcpy(text, m->text.p, m->text.len);
    text[m->text.len] = 0;
    s = strtod(text, NULL); /* the parser saw to the form; locale is "C" */
    if (!isfinite(s) || s < -1 || s > LATEST_S)
        return false;
    out->set = true;
    out->ms = (int64_t)floor(s * 1000);
    return true;
}

/* One string, or an array of strings. */
static bool audience_claim(struct arena *a, const struct json *payload,
                           struct jwt *t)
{
    const struct json *m = json_at(payload, "aud");
    struct str *aud;
    size_t n = 0;

    if (!m)
        return true;
    if (m->type == JSON_STRING) {
        t->aud = &m->text;
        t->aud_count = 1;
        return true;
    }
    if (m->type != JSON_ARRAY || m->count > JWT_MAX_AUDIENCES)
        return false;
    aud = arena_raw(a, m->count * sizeof(*aud) + 1);
    for (const struct json *item = m->first; item; item = item->next) {
        if (item->type != JSON_STRING)
            return false;
        aud[n++] = item->text;
    }
    t->aud = aud;
    t->aud_count = n;
    return true;
}

static bool confirmation_claim(const struct json *payload, struct jwt *t)
{
    const struct json *cnf = json_at(payload, "cnf");

    if (!cnf)
        return true;
    return cnf->type == JSON_OBJECT &&
           text_claim(cnf, STR("x5t#S256"), &t->cnf_x5t_s256) &&
           text_claim(cnf, STR("jkt"), &t->cnf_jkt);
}

/* What is wrong with the claims, or NULL. */
static const char *read_claims(struct arena *a, struct jwt *t)
{
    const struct json *p = t->payload;

    if (!text_claim(p, STR("iss"), &t->iss))
        return "iss is not a string";
    if (!text_claim(p, STR("sub"), &t->sub))
        return "sub is not a string";
    if (!text_claim(p, STR("jti"), &t->jti))
        return "jti is not a string";
    if (!text_claim(p, STR("azp"), &t->azp))
        return "azp is not a string";
    if (!text_claim(p, STR("client_id"), &t->client_id))
        return "client_id is not a string";
    if (!time_claim(p, STR("exp"), &t->exp))
        return "exp is not a number of seconds before the year 10000";
    if (!time_claim(p, STR("nbf"), &t->nbf))
        return "nbf is not a number of seconds before the year 10000";
    if (!time_claim(p, STR("iat"), &t->iat))
        return "iat is not a number of seconds before the year 10000";
    if (!audience_claim(a, p, t))
        return "aud is not a string or an array of at most 64 strings";
    if (!confirmation_claim(p, t))
        return "cnf is not an object with strings";
    return NULL;
}

enum jwt_fault jwt_parse(struct arena *a, struct str token, size_t max_bytes,
                         struct jwt *out, const char **what)
{
    struct jwt t = { 0 };
    struct json_error error;
    struct json *payload;
    enum jwt_fault fault = jws_parse(a, token, max_bytes, &t.jws, what);
    const char *wrong;

    if (fault)
        return fault;
    if (json_parse(a, t.jws.payload, &payload_limits, &payload, &error))
        wrong = "the payload is not JSON, names a member twice or is nested "
                "too deeply";
    else if (payload->type != JSON_OBJECT)
        wrong = "the payload is not a JSON object";
    else {
        t.payload = payload;
        wrong = read_claims(a, &t);
    }
    if (wrong) {
        *what = wrong;
        return JWT_MALFORMED;
    }
    *out = t;
    return JWT_OK;
}

enum jwt_fault jwt_of_claims(struct arena *a, const struct json *claims,
                             struct jwt *out, const char **what)
{
    struct jwt t = { .payload = claims };
    const char *wrong;

    must(claims->type == JSON_OBJECT);
    wrong = read_claims(a, &t);
    if (wrong) {
        *what = wrong;
        return JWT_MALFORMED;
    }
    *out = t;
    return JWT_OK;
}

bool jwt_has_audience(const struct jwt *t, struct str audience)
{
    for (size_t i = 0; i < t->aud_count; i++)
        if (str_eq(t->aud[i], audience))
            return true;
    return false;
}

static bool same_secretly(struct str a, struct str b)
{
    return a.len == b.len && a.len && CRYPTO_memcmp(a.p, b.p, a.len) == 0;
}

bool jwt_bound_to_certificate(const struct jwt *t, struct str der)
{
    char digest[JWK_THUMBPRINT + 1];

    jwk_sha256(der, digest);
    return same_secretly(t->cnf_x5t_s256, str_from(digest, JWK_THUMBPRINT));
}

bool jwt_bound_to_key(const struct jwt *t, struct str thumbprint)
{
    return same_secretly(t->cnf_jkt, thumbprint);
}

static enum err add_member(struct buf *b, const char *name, struct str text)
{
    enum err e;

    if (!text.p)
        return ERR_OK;
    e = buf_printf(b, ",\"%s\":", name);
    return e ? e : json_write_str(b, text);
}

enum err jwt_sign(EVP_PKEY *key, enum jose_alg alg,
                  const struct jwt_header *header, struct str claims,
                  struct buf *out)
{
    struct buf text;
    enum err e;

    buf_init(&text, JWS_MAX_HEADER_BYTES);
    e = buf_printf(&text, "{\"alg\":\"%s\"", jose_alg_name(alg));
    if (!e)
        e = add_member(&text, "typ", header->typ);
    if (!e)
        e = add_member(&text, "kid", header->kid);
    if (!e)
        e = add_member(&text, "x5t", header->x5t);
    if (!e)
        e = buf_char(&text, '}');
    if (!e)
        e = jws_sign(key, alg, buf_view(&text), claims, out);
    buf_done(&text);
    return e;
}
