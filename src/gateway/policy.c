/* policy.c - the list of policies, and the compiler of chains. */
#include "gateway/policy.h"

const struct policy *const policy_table[] = {
    &policy_transport,   &policy_deny,   &policy_authenticate,
    &policy_deny_caller, &policy_claims, &policy_limits,
    &policy_backend_jwt, NULL,
};

enum { STEPS_MAX = 64 };

enum err chain_compile(const struct policy_input *in, struct chain *out)
{
    struct step steps[STEPS_MAX];
    unsigned given = NEED_ADDRESS | NEED_RESPONSE | NEED_BODY_STREAM;
    struct chain chain = { 0 };

    for (size_t i = 0; policy_table[i]; i++) {
        const struct policy *p = policy_table[i];
        void *conf = p->conf_size ? arena_alloc(in->arena, p->conf_size) : NULL;
        enum err e = p->prepare ? p->prepare(in, conf) : ERR_OK;

        if (e == ERR_NOT_FOUND)
            continue;
        if (e)
            return e;
        if (p->needs & ~given) {
            problem_error(in->problems, in->doc->file, in->operation->line,
                          "policy %s needs something no earlier step gives",
                          p->name);
            return ERR_INVALID;
        }
        given |= p->gives;
        must(chain.count < STEPS_MAX);
        steps[chain.count++] = (struct step) { p, conf };
        chain.responses += p->on_response != NULL;
    }
    chain.steps = arena_raw(in->arena, chain.count * sizeof(*steps) + 1);
    if (chain.count)
        memcpy(chain.steps, steps, chain.count * sizeof(*steps));
    *out = chain;
    return ERR_OK;
}
