/* jwt_verify.c - signature first, then the claims in a fixed order.
 *
 * A forged token thus learns nothing about what we would have accepted.
 */
#include "jose/jwt.h"

#include "base/log.h"

enum { DAY_S = 24 * 3600 };

static struct str without_prefix(struct str type)
{
    static const struct str prefix = { "application/", 12 };

    if (type.len > prefix.len &&
        str_eq_nocase(str_head(type, prefix.len), prefix))
        return str_skip(type, prefix.len);
    return type;
}

/* RFC 8725 section 3.11: a token for something else is not taken for this. */
static bool type_allowed(const struct jwt_rules *r, struct str typ)
{
    struct str given = without_prefix(typ);

    if (!r->type_count)
        return !typ.p || str_eq_nocase(given, STR("JWT")) ||
               str_eq_nocase(given, STR("at+jwt"));
    for (size_t i = 0; i < r->type_count; i++) {
        struct str type = r->types[i];

        if (type.len ? typ.p && str_eq_nocase(given, without_prefix(type))
                     : !typ.p)
            return true;
    }
    return false;
}

static bool audience_allowed(const struct jwt_rules *r, const struct jwt *t)
{
    for (size_t i = 0; i < r->audience_count; i++)
        if (jwt_has_audience(t, r->audiences[i]))
            return true;
    return false;
}

static enum jwt_fault fault_of(struct str *claim, struct str name,
                               enum jwt_fault fault)
{
    *claim = name;
    return fault;
}

static enum jwt_fault check_required(const struct jwt_rules *r,
                                     const struct jwt *t, struct str *claim)
{
    if (r->issuer.p && !t->iss.p)
        return fault_of(claim, STR("iss"), JWT_MISSING_CLAIM);
    if (r->audience_count && !t->aud)
        return fault_of(claim, STR("aud"), JWT_MISSING_CLAIM);
    if (!t->exp.set && !r->exp_optional)
        return fault_of(claim, STR("exp"), JWT_MISSING_CLAIM);
    for (size_t i = 0; i < r->required_count; i++) {
        const struct json *m = json_get(t->payload, r->required[i]);

        if (!m || m->type == JSON_NULL)
            return fault_of(claim, r->required[i], JWT_MISSING_CLAIM);
    }
    return JWT_OK;
}

static enum jwt_fault check_times(const struct jwt_rules *r,
                                  const struct jwt *t, int64_t now_ms,
                                  struct str *claim)
{
    int64_t skew_ms = (int64_t)r->skew_s * 1000;
    bool for_ever = r->exp_minus_one && t->exp.ms == -1000;

    if (t->exp.set && !for_ever && now_ms >= t->exp.ms + skew_ms)
        return fault_of(claim, STR("exp"), JWT_EXPIRED);
    if (t->nbf.set && now_ms < t->nbf.ms - skew_ms)
        return fault_of(claim, STR("nbf"), JWT_NOT_YET);
    if (t->iat.set && now_ms < t->iat.ms - skew_ms - DAY_S * 1000)
        return fault_of(claim, STR("iat"), JWT_NOT_YET);
    return JWT_OK;
}

enum jwt_fault jwt_check(const struct jwt_rules *rules, const struct jwt *t,
                         uint64_t now_s, struct str *claim)
{
    struct str ignored;
    enum jwt_fault fault;

    must(now_s < INT64_MAX / 2000);
    if (!claim)
        claim = &ignored;
    *claim = STR_NULL;
    if (!type_allowed(rules, t->jws.typ))
        return JWT_WRONG_TYPE;
    fault = check_required(rules, t, claim);
    if (fault)
        return fault;
    if (rules->issuer.p && !str_eq(rules->issuer, t->iss))
        return fault_of(claim, STR("iss"), JWT_WRONG_ISSUER);
    if (rules->audience_count && !audience_allowed(rules, t))
        return fault_of(claim, STR("aud"), JWT_WRONG_AUDIENCE);
    return check_times(rules, t, (int64_t)now_s * 1000, claim);
}

enum jwt_fault jwt_verify(const struct jwt_rules *rules, const struct jwks *set,
                          const struct jwt *t, uint64_t now_s,
                          struct jwt_result *result)
{
    struct jwt_result mine;
    enum jwt_fault fault;

    if (!result)
        result = &mine;
    *result = (struct jwt_result) { 0 };
    fault = jws_verify(&t->jws, rules->algs ? rules->algs : JOSE_ASYMMETRIC,
                       set, &result->key);
    return fault ? fault : jwt_check(rules, t, now_s, &result->claim);
}
