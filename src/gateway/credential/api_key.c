/* api_key.c - API keys. Nothing can check them yet. */
#include "gateway/credential/credential.h"

static enum err prepare(const struct policy_input *in,
                        const struct oas_demand *demand, void **conf)
{
    const struct oas_operation *o = in->operation;

    (void)conf;
    problem_error(in->problems, o->file, o->line,
                  "%.*s %.*s requires %.*s (%.*s), and nothing is configured "
                  "that can check it; --security off serves it to anybody "
                  "(for development)",
                  STR_ARG(o->method), STR_ARG(o->path),
                  STR_ARG(demand->scheme->name), STR_ARG(demand->scheme->type));
    return ERR_INVALID;
}

const struct credential_kind credential_api_key = {
    .name = "an API key",
    .challenge = "ApiKey",
    .prepare = prepare,
};
