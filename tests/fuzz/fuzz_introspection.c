/* fuzz_introspection.c - any bytes as what a server says about a token. Only
 * a JSON object with "active": true makes a caller of it.
 */
#include "base/log.h"
#include "gateway/credential/introspection_answer.h"
#include "gateway/credential/issuer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_S = 1700000000 };

static const struct issuer judge = {
    .name = { "judge", 5 },
    .rules = { .exp_optional = true, .skew_s = 5 },
    .scopes_claim = { "scope", 5 },
    .application_claim = { "client_id", 9 },
    .user_claim = { "username", 8 },
    .sub_is_user = true,
};

static void check_active(struct arena *a, const struct jwt *t)
{
    const struct json *active = json_at(t->payload, "active");
    struct caller caller;
    struct str claim;

    must(json_true(active));
    must(!t->jws.token.p);
    must(t->aud_count <= JWT_MAX_AUDIENCES);
    if (!jwt_check(&judge.rules, t, NOW_S, &claim))
        must(!t->exp.set || t->exp.ms > (NOW_S - 5) * 1000ll);
    issuer_caller(&judge, a, t, &caller);
    must(caller.kind == CALLER_TOKEN);
    must(!caller.user.len || caller.user.p);
    for (size_t i = 0; i < caller.scope_count; i++)
        must(caller.scopes[i].len &&
             str_find(caller.scopes[i], ' ') == caller.scopes[i].len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct introspection_answer answer = { .active = true };
    struct arena *a = arena_new();
    const char *why = NULL;
    enum err e = introspection_answer_parse(
        a, str_from((const char *)data, size), &answer, &why);

    must(!e == !why);
    if (e)
        must(answer.active && !answer.claims.payload); /* untouched */
    else if (answer.active)
        check_active(a, &answer.claims);
    else
        must(!answer.claims.payload);
    (void)introspection_error_of_kind(a, str_from((const char *)data, size));
    arena_free(a);
    return 0;
}
