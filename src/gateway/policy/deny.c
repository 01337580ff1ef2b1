/* deny.c - refuse who is blocked, whatever credentials he brings.
 *
 * Two steps: rules that name no application and no user are looked at before
 * anybody was asked who he is, the others once that is known. The rules are the
 * process's (denials.h); without any a step is a branch.
 */
#include "gateway/deny/denials.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

static const struct refusal *look(struct exchange *x, enum deny_time when)
{
    const struct deny_rules *rules = watched_now(x->worker->deny);
    const struct deny_rule *rule;

    if (__builtin_expect(!deny_rules_any(rules, when), 1))
        return NULL;
    rule = denials_find(rules, when, x);
    if (!rule)
        return NULL;
    denials_note(x, rule);
    return &refusal_denied;
}

static const struct refusal *review_before(const void *conf, struct exchange *x)
{
    (void)conf;
    return look(x, DENY_EARLY);
}

static const struct refusal *review_behind(const void *conf, struct exchange *x)
{
    (void)conf;
    return look(x, DENY_LATE);
}

static enum verdict judge(struct exchange *x, const struct refusal *r)
{
    if (__builtin_expect(!r, 1))
        return VERDICT_NEXT;
    exchange_refuse(x, r);
    return VERDICT_ANSWERED;
}

static enum verdict before(const void *conf, struct exchange *x)
{
    (void)conf;
    return judge(x, look(x, DENY_EARLY));
}

static enum verdict behind(const void *conf, struct exchange *x)
{
    (void)conf;
    return judge(x, look(x, DENY_LATE));
}

/* Nobody is known where nobody is asked. */
static enum err prepare_behind(const struct policy_input *in, void *conf)
{
    (void)conf;
    return !in->conf->security_off &&
                   (in->operation->security_count || in->conf->default_security)
               ? ERR_OK
               : ERR_NOT_FOUND;
}

const struct policy policy_deny = {
    .name = "deny",
    .needs = NEED_ADDRESS,
    .on_request = before,
    .on_review = review_before,
};

const struct policy policy_deny_caller = {
    .name = "deny_caller",
    .needs = NEED_ADDRESS,
    .prepare = prepare_behind,
    .on_request = behind,
    .on_review = review_behind,
};
