/* denials.c - see denials.h. */
#include "gateway/deny/denials.h"

#include "gateway/deny/countries.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

/* Whether there is a database, by the settings in use; or in those whose rules
 * are being read. Main thread. */
static bool countries_there;

static enum err load(struct str path, struct problems *ps, void **out)
{
    struct deny_rules *rules;
    enum err e = deny_rules_load(path, ps, &rules);

    if (e)
        return e;
    if (deny_rules_by_country(rules) && !countries_there) {
        problem_error(ps, path, 0,
                      "a rule asks for a country, and nothing knows those: "
                      "gateway.access.country_file names a database");
        deny_rules_free(rules);
        return ERR_INVALID;
    }
    *out = rules;
    return ERR_OK;
}

static void free_rules(void *rules)
{
    deny_rules_free(rules);
}

static size_t count(const void *rules)
{
    return deny_rules_count(rules);
}

static const struct watched_kind rules_kind = {
    .topic = "deny",
    .what = "deny rules",
    .load = load,
    .free = free_rules,
    .count = count,
    .stays = true, /* no file is not the same as no rules */
};

static enum err load_countries(struct str path, struct problems *ps, void **out)
{
    struct countries *c;
    enum err e = countries_load(path, ps, &c);

    if (!e)
        *out = c;
    return e;
}

static void free_countries(void *c)
{
    countries_free(c);
}

static size_t count_one(const void *c)
{
    return c != NULL;
}

static const struct watched_kind countries_kind = {
    .topic = "deny",
    .what = "database of countries",
    .load = load_countries,
    .free = free_countries,
    .count = count_one,
    .stays = true,
};

enum err countries_open(const struct settings *s, struct problems *ps,
                        struct watched *out)
{
    struct str path = s->gateway.access.country_file;

    if (path.len)
        return watched_open(out, &countries_kind, path, ps);
    *out = (struct watched) { .kind = &countries_kind };
    return ERR_OK;
}

enum err denials_open(struct arena *a, const struct settings *s,
                      struct problems *ps, struct watched *out)
{
    struct str path = s->gateway.access.deny_file;
    bool in_use = countries_there;
    struct file_mark mark;
    enum err e;

    if (path.len) {
        file_mark_take(path, &mark);
        if (!mark.s.st_ino) {
            problem_error(ps, s->file, 0,
                          "gateway.access.deny_file: %.*s is not there; "
                          "`tollgate deny add` makes it, or let it be an "
                          "empty file",
                          STR_ARG(path));
            return ERR_NOT_FOUND;
        }
    } else if (s->state_dir.len) {
        path = arena_printf(a, "%.*s/deny.yaml", STR_ARG(s->state_dir));
    }
    countries_there = s->gateway.access.country_file.len > 0;
    e = watched_open(out, &rules_kind, path, ps);
    countries_there = in_use;
    return e;
}

void denials_use(const struct settings *s)
{
    countries_there = s->gateway.access.country_file.len > 0;
}

const struct deny_rule *denials_find(const struct deny_rules *r,
                                     enum deny_time when,
                                     const struct exchange *x)
{
    struct deny_call c = {
        .apis = x->api->names,
        .api_count = x->api->name_count,
        .method = x->s.request.method_text,
        .path = x->path,
        .ip = x->client.ip,
        .request = &x->s.request,
        .now_s = loop_wall_us(x->worker->loop) / 1000000,
    };
    char country[2];

    if (deny_rules_by_country(r) &&
        countries_find(watched_now(x->worker->countries), x->client.ip,
                       country))
        c.country = str_from(country, 2);
    if (x->caller) {
        c.application = x->caller->application;
        c.user = x->caller->user;
    }
    return deny_rules_find(r, when, &c);
}

void denials_note(struct exchange *x, const struct deny_rule *rule)
{
    struct str *text = arena_alloc(x->s.arena, sizeof(*text));

    /* The rule may be gone before the call is. */
    *text = arena_copy(x->s.arena, rule->text);
    explain_note(&x->explain, EXPLAIN_ACCESS, EXPLAIN_REFUSED, rule->reason,
                 rule->line, text);
}
