/* test_jwt_vectors.c - attacks on verifiers, from tests/data/jose. */
#include "jose_fixture.h"

#define NOW_S 1800000000 /* 2027, behind every iat of the file */

struct policy {
    struct jwt_rules rules;
    struct jwks *set;
};

static struct str *strings_of(const struct json *array, size_t *count)
{
    struct str *items = arena_alloc(arena, array->count * sizeof(*items));
    size_t n = 0;

    for (const struct json *j = array->first; j; j = j->next)
        items[n++] = j->text;
    *count = n;
    return items;
}

static void read_policy(const struct json *j, struct policy *p)
{
    static struct str audience;
    struct jwks_report report;
    uint64_t skew;

    memset(p, 0, sizeof(*p));
    audience = json_str(json_at(j, "audience"));
    assert_int_equal(json_u64(json_at(j, "clock_skew_s"), 3600, &skew), ERR_OK);
    p->rules.issuer = json_str(json_at(j, "issuer"));
    p->rules.audiences = &audience;
    p->rules.audience_count = 1;
    p->rules.skew_s = (uint32_t)skew;
    p->rules.required =
        strings_of(json_at(j, "required"), &p->rules.required_count);
    for (const struct json *alg = json_at(j, "algorithms")->first; alg;
         alg = alg->next)
        p->rules.algs |= JOSE_BIT(jose_alg_parse(alg->text));
    assert_int_equal(
        jwks_parse(write_json(json_at(j, "jwks")), 0, &p->set, &report),
        ERR_OK);
    assert_int_equal(report.skipped, 0);
}

static enum jwt_fault judge(const struct policy *p, struct str token)
{
    const char *what = NULL;
    struct jwt t;
    enum jwt_fault fault = jwt_parse(arena, token, JWS_MAX_BYTES, &t, &what);

    if (fault) {
        assert_non_null(what);
        return fault;
    }
    return jwt_verify(&p->rules, p->set, &t, NOW_S, NULL);
}

static void attacks_fail_and_good_tokens_pass(void **state)
{
    struct json *root = load("attacks.json");
    unsigned accepted = 0, rejected = 0, wrong = 0;
    struct policy p;

    (void)state;
    read_policy(json_at(root, "policy"), &p);
    for (const struct json *v = json_at(root, "vectors")->first; v;
         v = v->next) {
        struct str expect = json_str(json_at(v, "expect"));
        enum jwt_fault fault = judge(&p, json_str(json_at(v, "token")));

        accepted += str_is(expect, "accept");
        rejected += str_is(expect, "reject");
        if (!(str_is(expect, "accept")   ? fault == JWT_OK
              : str_is(expect, "reject") ? fault != JWT_OK
                                         : str_is(expect, "either"))) {
            print_error("%.*s: expected %.*s, got %s\n",
                        STR_ARG(json_str(json_at(v, "id"))), STR_ARG(expect),
                        jwt_fault_name(fault));
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    assert_in_range(accepted, 5, 100);
    assert_in_range(rejected, 70, 1000);
    jwks_unref(p.set);
}

/* What an attack is refused for tells whether the right wall stopped it. */
static void attacks_fail_for_the_right_reason(void **state)
{
    static const struct {
        const char *id;
        enum jwt_fault fault;
    } reasons[] = {
        { "alg-_None_-9", JWT_ALG_REFUSED },
        { "alg-_rs256_-18", JWT_ALG_REFUSED },
        { "alg-null-13", JWT_MALFORMED },
        { "algsig-19", JWT_ALG_REFUSED },
        { "hs-confusion-pem", JWT_ALG_REFUSED },
        { "rs384", JWT_ALG_REFUSED },
        { "kid-unknown", JWT_UNKNOWN_KEY },
        { "kid-cross", JWT_ALG_REFUSED },
        { "kid-number", JWT_MALFORMED },
        { "kid-inject-51", JWT_TOO_LONG },
        { "jwk-header", JWT_BAD_SIGNATURE },
        { "jwk-header-kid", JWT_BAD_SIGNATURE },
        { "crit-empty", JWT_CRITICAL },
        { "crit-b64", JWT_CRITICAL },
        { "es-zero", JWT_BAD_SIGNATURE },
        { "es-der", JWT_BAD_SIGNATURE },
        { "rs-long", JWT_BAD_SIGNATURE },
        { "payload-swap", JWT_BAD_SIGNATURE },
        { "b64-trailbits", JWT_MALFORMED },
        { "exp-missing", JWT_MISSING_CLAIM },
        { "exp-string", JWT_MALFORMED },
        { "exp-neg", JWT_EXPIRED },
        { "exp-1e400", JWT_MALFORMED },
        { "nbf-future", JWT_NOT_YET },
        { "iss-wrong", JWT_WRONG_ISSUER },
        { "iss-slash", JWT_WRONG_ISSUER },
        { "iss-missing", JWT_MISSING_CLAIM },
        { "aud-wrong", JWT_WRONG_AUDIENCE },
        { "aud-empty", JWT_WRONG_AUDIENCE },
        { "aud-object", JWT_MALFORMED },
        { "dup-alg2", JWT_MALFORMED },
        { "dup-claim", JWT_MALFORMED },
        { "jwe", JWT_MALFORMED },
        { "json-serial", JWT_MALFORMED },
    };
    struct json *root = load("attacks.json");
    struct policy p;

    (void)state;
    read_policy(json_at(root, "policy"), &p);
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        const struct json *v = json_at(root, "vectors")->first;
        enum jwt_fault fault;

        while (v && !str_is(json_str(json_at(v, "id")), reasons[i].id))
            v = v->next;
        assert_non_null(v);
        fault = judge(&p, json_str(json_at(v, "token")));
        if (fault != reasons[i].fault)
            fail_msg("%s is refused as %s", reasons[i].id,
                     jwt_fault_name(fault));
    }
    jwks_unref(p.set);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(attacks_fail_and_good_tokens_pass),
        TEST(attacks_fail_for_the_right_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
