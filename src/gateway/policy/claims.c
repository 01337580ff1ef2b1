/* claims.c - refuse whose token does not say what is wanted.
 *
 * Conditions of the API and of the operation must all hold. They are about
 * whoever was found; who may come without a credential is not asked. A caller
 * whose credential has no claims (a key of the file, a password, a
 * certificate) meets none. Values are compared as text, and never noted:
 * explanations name the claim.
 */
#include "gateway/policy/claims.h"

#include "gateway/exchange.h"
#include "gateway/policy/authenticate.h"
#include "traffic/tier_conditions.h"

enum { ELEMENTS_MAX = 64 }; /* of a list that an expression is tried with */

const struct conf_field claim_fields[] = {
    { .name = "claim",
      .type = CONF_STRING,
      .at = offsetof(struct claim_conf, claim),
      .required = true,
      .help = "Its name, to the letter; or, beginning with /, the way to one "
              "within others (RFC 6901: /realm_access/roles). With nothing "
              "more it must be there." },
    { .name = "equals",
      .type = CONF_STRING,
      .at = offsetof(struct claim_conf, equals),
      .help = "It is this text, number, or true or false." },
    { .name = "one_of",
      .type = CONF_STRINGS,
      .at = offsetof(struct claim_conf, one_of),
      .help = "It is one of these." },
    { .name = "contains",
      .type = CONF_STRING,
      .at = offsetof(struct claim_conf, contains),
      .help = "It is a list with this in it, or a text with this among its "
              "words." },
    { .name = "matches",
      .type = CONF_STRING,
      .at = offsetof(struct claim_conf, matches),
      .help = "A regular expression (PCRE2) is found in it, or in one of its "
              "list; ^ and $$ hold it to the ends." },
    { 0 },
};

struct claim_condition {
    struct str name;
    enum oas_claim_test test;
    const struct str *values;
    size_t value_count;
    void *regex;
};

struct claims_conf {
    const struct claim_condition **items;
    size_t count;
};

/* ---- compiling ---- */

enum err claim_condition_new(struct arena *a, const struct oas_claim *c,
                             struct problems *ps, struct claim_condition **out)
{
    struct claim_condition *made = arena_alloc(a, sizeof(*made));
    struct str *values = arena_alloc(a, c->value_count * sizeof(*values) + 1);
    struct str why;

    made->name = arena_copy(a, c->name);
    made->test = c->test;
    made->values = values;
    made->value_count = c->value_count;
    for (size_t i = 0; i < c->value_count; i++)
        values[i] = arena_copy(a, c->values[i]);
    if (c->test == OAS_CLAIM_MATCHES &&
        condition_regex(a, values[0], &made->regex, &why)) {
        problem_error(ps, c->file, c->line,
                      "matches of the claim \"%.*s\" is no regular expression: "
                      "%.*s",
                      STR_ARG(c->name), STR_ARG(why));
        return ERR_INVALID;
    }
    *out = made;
    return ERR_OK;
}

static enum err add(const struct policy_input *in, struct claims_conf *to,
                    const struct oas_claim *c)
{
    struct claim_condition *made;
    enum err e = claim_condition_new(in->arena, c, in->problems, &made);

    if (!e)
        to->items[to->count++] = made;
    return e;
}

static enum err add_all(const struct policy_input *in, struct claims_conf *to,
                        const struct oas_claims *from)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < from->count && !e; i++)
        e = add(in, to, &from->items[i]);
    return e;
}

/* An entry of gateway.apis, as if it stood in the document. */
static enum err add_setting(const struct policy_input *in,
                            struct claims_conf *to, const struct claim_conf *c)
{
    struct oas_claim one = { .name = c->claim, .file = in->doc->file };
    int given = (c->equals.len > 0) + (c->contains.len > 0) +
                (c->matches.len > 0) + (c->one_of.count > 0);
    struct str value = c->equals.len     ? c->equals
                       : c->contains.len ? c->contains
                                         : c->matches;

    if (given > 1 || !c->claim.len) {
        problem_error(in->problems, in->doc->file, 0,
                      "gateway.apis[].claims: each has a claim, and one of "
                      "equals, one_of, contains and matches at most");
        return ERR_INVALID;
    }
    if (given)
        one.test = c->contains.len  ? OAS_CLAIM_CONTAINS
                   : c->matches.len ? OAS_CLAIM_MATCHES
                                    : OAS_CLAIM_EQUALS;
    one.values = c->one_of.count ? c->one_of.items : &value;
    one.value_count = c->one_of.count ? c->one_of.count : (size_t)given;
    return add(in, to, &one);
}

static bool may_be_nobody(const struct policy_input *in)
{
    const struct oas_operation *o = in->operation;

    for (size_t i = 0; i < o->security_count; i++)
        if (!o->security[i].count)
            return true;
    return !o->security_count && !auth_default(o, in->conf);
}

/* An operation with conditions of its own must not be open. */
static enum err refuse_open(const struct policy_input *in)
{
    const struct oas_operation *o = in->operation;

    problem_error(in->problems, o->claims.items[0].file,
                  o->claims.items[0].line,
                  "%.*s %.*s wants claims (x-tollgate-claims), and may be "
                  "called without a credential; give it `security`",
                  STR_ARG(o->method), STR_ARG(o->path));
    return ERR_INVALID;
}

static enum err prepare(const struct policy_input *in, void *conf)
{
    const struct claim_conf *entry = in->entry->claims.items;
    const struct oas_operation *o = in->operation;
    struct claims_conf *c = conf;
    size_t all =
        in->doc->claims.count + o->claims.count + in->entry->claims.count;
    enum err e;

    if (!all || in->conf->security_off)
        return ERR_NOT_FOUND;
    if (o->claims.count && may_be_nobody(in))
        return refuse_open(in);
    c->items = arena_alloc(in->arena, all * sizeof(*c->items));
    e = add_all(in, c, &in->doc->claims);
    for (size_t i = 0; i < in->entry->claims.count && !e; i++)
        e = add_setting(in, c, &entry[i]);
    return e ? e : add_all(in, c, &o->claims);
}

/* ---- a call ---- */

static bool text_of(const struct json *j, struct str *out)
{
    if (j->type == JSON_BOOL)
        *out = j->boolean ? STR("true") : STR("false");
    else if (j->type == JSON_STRING || j->type == JSON_NUMBER)
        *out = j->text;
    else
        return false;
    return true;
}

static bool is_value(const struct claim_condition *c, const struct json *j)
{
    struct str text;

    if (!text_of(j, &text))
        return false;
    for (size_t i = 0; i < c->value_count; i++)
        if (str_eq(c->values[i], text))
            return true;
    return false;
}

static bool has_word(struct str text, struct str word)
{
    while (text.p)
        if (str_eq(str_cut(&text, ' '), word))
            return true;
    return false;
}

static bool contains(const struct claim_condition *c, const struct json *j)
{
    if (j->type == JSON_STRING)
        return has_word(j->text, c->values[0]);
    if (j->type != JSON_ARRAY)
        return false;
    for (j = j->first; j; j = j->next)
        if (is_value(c, j))
            return true;
    return false;
}

static bool matches(const struct claim_condition *c, const struct json *j)
{
    struct str text;
    size_t n = 0;

    if (j->type != JSON_ARRAY)
        return text_of(j, &text) && condition_finds(c->regex, text);
    for (j = j->first; j && n < ELEMENTS_MAX; j = j->next, n++)
        if (text_of(j, &text) && condition_finds(c->regex, text))
            return true;
    return false;
}

static const struct json *find(const struct json *claims, struct str name)
{
    /* json_pointer() gives a node to change; nobody does here. */
    return name.p[0] == '/' ? json_pointer((void *)(uintptr_t)claims, name)
                            : json_get(claims, name);
}

enum claim_verdict claim_judge(const struct claim_condition *c,
                               const struct json *claims)
{
    const struct json *j = claims ? find(claims, c->name) : NULL;
    bool good = true;

    if (!j || j->type == JSON_NULL)
        return CLAIM_MISSING;
    if (c->test == OAS_CLAIM_EQUALS)
        good = is_value(c, j);
    else if (c->test == OAS_CLAIM_CONTAINS)
        good = contains(c, j);
    else if (c->test == OAS_CLAIM_MATCHES)
        good = matches(c, j);
    return good ? CLAIM_GOOD : CLAIM_OTHER;
}

static enum verdict on_request(const void *conf, struct exchange *x)
{
    const struct claims_conf *c = conf;

    if (!x->caller)
        return VERDICT_NEXT;
    for (size_t i = 0; i < c->count; i++) {
        enum claim_verdict v = claim_judge(c->items[i], x->caller->claims);

        if (v == CLAIM_GOOD) {
            explain_note(&x->explain, EXPLAIN_CLAIM, EXPLAIN_PASSED,
                         REASON_CLAIM_GOOD, 0, &c->items[i]->name);
            continue;
        }
        explain_note(&x->explain, EXPLAIN_CLAIM, EXPLAIN_REFUSED,
                     v == CLAIM_MISSING ? REASON_CLAIM_MISSING
                                        : REASON_CLAIM_OTHER,
                     0, &c->items[i]->name);
        exchange_refuse(x, &refusal_claim);
        return VERDICT_ANSWERED;
    }
    return VERDICT_NEXT;
}

const struct policy policy_claims = {
    .name = "claims",
    .conf_size = sizeof(struct claims_conf),
    .prepare = prepare,
    .on_request = on_request,
};
