/* rules.c - finding the rule that blocks a call. See rules.h. */
#include "gateway/deny/rules_internal.h"

#include "base/log.h"
#include "gateway/policies.h"
#include "http/message.h"

void deny_rules_free(struct deny_rules *r)
{
    if (!r)
        return;
    x_free(r->rules);
    arena_free(r->arena);
}

size_t deny_rules_count(const struct deny_rules *r)
{
    return r->count;
}

const struct deny_rule *deny_rules_at(const struct deny_rules *r, size_t i)
{
    must(i < r->count);
    return &r->rules[i];
}

bool deny_rules_any(const struct deny_rules *r, enum deny_time when)
{
    return r && r->index[when].count;
}

bool deny_rules_by_country(const struct deny_rules *r)
{
    return r->by_country;
}

/* "alice" and "alice@carbon.super" are one: the model writes both. */
static struct str bare_user(struct str user)
{
    struct str tail = ORGANIZATION;

    if (user.len > tail.len + 1 && str_ends(user, tail) &&
        user.p[user.len - tail.len - 1] == '@')
        return str_head(user, user.len - tail.len - 1);
    return user;
}

/* ---- the index ---- */

static bool is_pattern(struct str s)
{
    return str_find(s, '*') < s.len;
}

static bool all_plain(const struct conf_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (is_pattern(list->items[i]))
            return false;
    return list->count > 0;
}

static void enter(struct deny_rules *r, struct map **by, struct str key,
                  const struct deny_rule *rule)
{
    struct deny_hit *hit = arena_alloc(r->arena, sizeof(*hit));

    if (!*by)
        *by = map_new(r->arena);
    hit->rule = rule;
    hit->next = map_set(*by, key, hit);
}

static void enter_all(struct deny_rules *r, struct deny_index *x,
                      enum deny_key key, const struct deny_rule *rule,
                      const struct conf_strings *names)
{
    for (size_t i = 0; i < names->count; i++)
        enter(r, &x->by[key],
              key == DENY_BY_USER ? bare_user(names->items[i])
                                  : names->items[i],
              rule);
}

static enum err enter_addresses(struct deny_rules *r, struct deny_index *x,
                                uint32_t i)
{
    const struct conf_strings *list = &r->rules[i].addresses;
    enum err e = ERR_OK;

    if (!x->addresses)
        x->addresses = ranges_new(r->arena);
    for (size_t k = 0; k < list->count && !e; k++)
        e = ranges_add(x->addresses, list->items[k], i);
    return e;
}

static enum err enter_scanned(struct deny_rules *r, struct deny_index *x,
                              const struct deny_rule *rule)
{
    if (x->scanned_count == DENY_SCANNED_MAX)
        return ERR_LIMIT;
    if (!x->scanned)
        x->scanned = arena_alloc(r->arena,
                                 DENY_SCANNED_MAX * sizeof(struct deny_rule *));
    x->scanned[x->scanned_count++] = rule;
    return ERR_OK;
}

static enum err enter_rule(struct deny_rules *r, uint32_t i)
{
    const struct deny_rule *rule = &r->rules[i];
    bool late = rule->users.count || rule->applications.count;
    struct deny_index *x = &r->index[late ? DENY_LATE : DENY_EARLY];

    x->count++;
    r->by_country =
        r->by_country || rule->countries.count || rule->not_countries.count;
    if (all_plain(&rule->users))
        enter_all(r, x, DENY_BY_USER, rule, &rule->users);
    else if (all_plain(&rule->applications))
        enter_all(r, x, DENY_BY_APPLICATION, rule, &rule->applications);
    else if (rule->addresses.count)
        return enter_addresses(r, x, i);
    else if (all_plain(&rule->apis))
        enter_all(r, x, DENY_BY_API, rule, &rule->apis);
    else
        return enter_scanned(r, x, rule);
    return ERR_OK;
}

enum err deny_rules_index(struct deny_rules *r, struct str path,
                          struct problems *ps)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (!r->rules[i].enabled || !enter_rule(r, i))
            continue;
        problem_error(ps, path, r->rules[i].line,
                      "is one too many of the rules that are looked at one "
                      "by one, at most %d, or its ranges are; name an api, "
                      "application, user or address without *",
                      DENY_SCANNED_MAX);
        return ERR_LIMIT;
    }
    for (int i = 0; i < 2; i++)
        if (r->index[i].addresses)
            ranges_seal(r->index[i].addresses);
    return ERR_OK;
}

/* ---- a rule and a call ---- */

static bool fits(const struct conf_strings *list, struct str s)
{
    for (size_t i = 0; i < list->count; i++)
        if (str_matches(list->items[i], s))
            return true;
    return list->count == 0;
}

static bool api_fits(const struct deny_rule *rule, const struct deny_call *c)
{
    for (size_t i = 0; i < c->api_count; i++)
        if (fits(&rule->apis, c->apis[i]))
            return true;
    return rule->apis.count == 0;
}

static bool user_fits(const struct deny_rule *rule, const struct deny_call *c)
{
    struct str user = bare_user(c->user);

    for (size_t i = 0; i < rule->users.count && user.len; i++)
        if (str_matches(bare_user(rule->users.items[i]), user) ||
            str_matches(rule->users.items[i], c->user))
            return true;
    return rule->users.count == 0;
}

static bool application_fits(const struct deny_rule *rule,
                             const struct deny_call *c)
{
    return !rule->applications.count ||
           (c->application.len && fits(&rule->applications, c->application));
}

static bool has_field(const struct deny_header *h, const struct message *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (str_eq_nocase(m->headers[i].name, h->name) &&
            (!h->pattern.len || str_matches(h->pattern, m->headers[i].value)))
            return true;
    return false;
}

static bool header_fits(const struct deny_rule *rule, const struct deny_call *c)
{
    for (size_t i = 0; i < rule->headers.count; i++)
        if (has_field(&rule->header_list[i], c->request))
            return true;
    return rule->headers.count == 0;
}

/* An address that nobody can place is in none of the countries. */
static bool country_fits(const struct deny_rule *rule,
                         const struct deny_call *c)
{
    bool in = c->country.len && rule->countries.count &&
              fits(&rule->countries, c->country);
    bool out = !(c->country.len && fits(&rule->not_countries, c->country));

    return (!rule->countries.count || in) &&
           (!rule->not_countries.count || out);
}

bool deny_rule_meets(const struct deny_rule *rule, const struct deny_call *c)
{
    if (rule->until_s && c->now_s >= rule->until_s)
        return false;
    return (!rule->from || ranges_has(rule->from, c->ip)) &&
           (!rule->not_from || !ranges_has(rule->not_from, c->ip)) &&
           country_fits(rule, c) && fits(&rule->methods, c->method) &&
           api_fits(rule, c) && application_fits(rule, c) &&
           user_fits(rule, c) && fits(&rule->paths, c->path) &&
           header_fits(rule, c);
}

/* ---- looking ---- */

static const struct deny_rule *find_by(const struct deny_index *x,
                                       enum deny_key key, struct str name,
                                       const struct deny_call *c)
{
    const struct deny_hit *hit =
        x->by[key] && name.len ? map_get(x->by[key], name) : NULL;

    for (; hit; hit = hit->next)
        if (deny_rule_meets(hit->rule, c))
            return hit->rule;
    return NULL;
}

static const struct deny_rule *find_address(const struct deny_rules *r,
                                            const struct deny_index *x,
                                            const struct deny_call *c)
{
    uint32_t at = RANGES_START, number;

    while (x->addresses && ranges_next(x->addresses, c->ip, &at, &number))
        if (deny_rule_meets(&r->rules[number], c))
            return &r->rules[number];
    return NULL;
}

const struct deny_rule *deny_rules_find(const struct deny_rules *r,
                                        enum deny_time when,
                                        const struct deny_call *c)
{
    const struct deny_index *x = &r->index[when];
    const struct deny_rule *rule = find_address(r, x, c);

    if (!rule)
        rule = find_by(x, DENY_BY_USER, bare_user(c->user), c);
    if (!rule)
        rule = find_by(x, DENY_BY_APPLICATION, c->application, c);
    for (size_t i = 0; i < c->api_count && !rule; i++)
        rule = find_by(x, DENY_BY_API, c->apis[i], c);
    for (uint32_t i = 0; i < x->scanned_count && !rule; i++)
        if (deny_rule_meets(x->scanned[i], c))
            rule = x->scanned[i];
    return rule;
}
