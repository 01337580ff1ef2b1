/* fuzz_deny.c - a file of deny rules: reading it, writing its rules back, and
 * finding by look-up what looking at each rule finds. */
#include "base/log.h"
#include "gateway/deny/rules_internal.h"
#include "http/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const struct deny_rules *r, const struct deny_call *call)
{
    for (int when = 0; when < 2; when++) {
        bool late = when == DENY_LATE, any = false;
        const struct deny_rule *found =
            deny_rules_find(r, (enum deny_time)when, call);

        for (uint32_t i = 0; i < r->count; i++) {
            const struct deny_rule *rule = &r->rules[i];

            any |= rule->enabled &&
                   late == (rule->users.count || rule->applications.count) &&
                   deny_rule_meets(rule, call);
        }
        must(any == (found != NULL));
        must(!found || deny_rule_meets(found, call));
    }
}

/* A call made of what the rules say, so that some hold. */
static void look(const struct deny_rules *r, const uint8_t *data, size_t size)
{
    struct header field = { .name = STR("A"), .value = STR("b") };
    struct message m = { .headers = &field, .count = 1 };
    struct str api = STR("A:1");
    uint8_t ip[16] = { [10] = 0xff, [11] = 0xff, [12] = 10 };
    struct deny_call call = { .apis = &api,
                              .api_count = 1,
                              .method = STR("GET"),
                              .path = STR("/a"),
                              .ip = ip,
                              .request = &m,
                              .application = STR("shop"),
                              .user = STR("alice"),
                              .now_s = 1000 };

    compare(r, &call);
    for (uint32_t i = 0; i < r->count && i < 50; i++) {
        const struct deny_rule *rule = &r->rules[i];

        if (rule->users.count)
            call.user = rule->users.items[0];
        if (rule->applications.count)
            call.application = rule->applications.items[0];
        if (rule->apis.count)
            api = rule->apis.items[0];
        if (size >= 16)
            memcpy(ip, data + i % (size - 15), i % 2 ? 16 : 0);
        compare(r, &call);
    }
}

static void write_back(const struct deny_rules *r)
{
    struct buf text;

    buf_init(&text, 64 << 20);
    for (uint32_t i = 0; i < r->count; i++) {
        struct arena *a = arena_new();
        struct deny_rules *again;
        struct problems ps;
        size_t before = text.len;

        problems_init(&ps, a);
        must(!deny_rule_write(&text, &r->rules[i]));
        must(!deny_rules_parse(str_skip(buf_view(&text), before), STR_NULL, &ps,
                               &again));
        must(again->count == 1 &&
             again->rules[0].enabled == r->rules[i].enabled &&
             str_eq(again->rules[0].note, r->rules[i].note) &&
             again->rules[0].until_s == r->rules[i].until_s &&
             again->rules[0].reason == r->rules[i].reason);
        deny_rules_free(again);
        arena_free(a);
    }
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct deny_rules *r = NULL;
    struct problems ps;
    enum err e;

    problems_init(&ps, a);
    e = deny_rules_parse(str_from((const char *)data, size), STR("deny.yaml"),
                         &ps, &r);
    must(!e == !ps.errors);
    if (!e) {
        look(r, data, size);
        write_back(r);
        deny_rules_free(r);
    }
    arena_free(a);
    return 0;
}
