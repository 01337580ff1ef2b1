/* introspection_answer.c - see introspection_answer.h. */
#include "gateway/credential/introspection_answer.h"

static const struct json_limits limits = {
    .max_bytes = INTROSPECTION_MAX_BYTES,
    .max_depth = 16,
    .max_nodes = 4096,
};

/* What must be text where it is there, beside the claims of a token. */
static const char *wrong_text(const struct json *o)
{
    static const char *const names[] = { "username", "token_type" };
    const struct json *scope = json_at(o, "scope");

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const struct json *m = json_get(o, str_z(names[i]));

        if (m && m->type != JSON_STRING)
            return i ? "token_type is not a string"
                     : "username is not a string";
    }
    /* Some servers send a list. */
    if (!scope || scope->type == JSON_STRING)
        return NULL;
    if (scope->type != JSON_ARRAY)
        return "scope is not a string";
    for (scope = scope->first; scope; scope = scope->next)
        if (scope->type != JSON_STRING)
            return "scope is not a string, nor a list of them";
    return NULL;
}

enum err introspection_answer_parse(struct arena *a, struct str text,
                                    struct introspection_answer *out,
                                    const char **why)
{
    struct introspection_answer answer = { 0 };
    const struct json *active;
    struct json_error error;
    struct json *o;

    *why = NULL;
    if (json_parse(a, text, &limits, &o, &error))
        *why = "it is not JSON, names a member twice or is too large";
    else if (o->type != JSON_OBJECT)
        *why = "it is not a JSON object";
    if (*why)
        return ERR_INVALID;
    active = json_at(o, "active");
    if (!active || active->type != JSON_BOOL) {
        *why = "it has no member \"active\" that is true or false";
        return ERR_INVALID;
    }
    answer.active = active->boolean;
    if (answer.active) {
        *why = wrong_text(o);
        if (*why || jwt_of_claims(a, o, &answer.claims, why))
            return ERR_INVALID;
    }
    *out = answer;
    return ERR_OK;
}

bool introspection_error_of_kind(struct arena *a, struct str text)
{
    struct json_error error;
    const struct json *name;
    struct json *o;

    if (json_parse(a, text, &limits, &o, &error) || o->type != JSON_OBJECT)
        return false;
    name = json_at(o, "error");
    return name && name->type == JSON_STRING &&
           str_eq(name->text, STR("unsupported_token_type"));
}
