/* rules_read.c - the file of deny rules. */
#include <time.h>

#include "base/log.h"
#include "base/whole_file.h"
#include "format/conf_read.h"
#include "format/yaml.h"
#include "gateway/deny/rules_internal.h"
#include "http/h1_chars.h"

enum {
    FILE_MAX_BYTES = 32 << 20,
    NODES_MAX = 4000000,
    ENTRIES_MAX = 1000, /* of one part */
    TEXT_MAX = 256,
    PATTERN_MAX = 512,
};

#define RULE(member) offsetof(struct deny_rule, member)
#define LIST(word, member, text)                                             \
    {                                                                        \
        .name = word, .type = CONF_STRINGS, .at = RULE(member), .help = text \
    }

static const struct conf_field fields[] = {
    { .name = "id", .type = CONF_STRING, .at = RULE(id), .help = "Its name." },
    LIST("api", apis, "NAME, NAME:VERSION or /context, also with *."),
    LIST("application", applications, "Names, also with *."),
    LIST("user", users, "Names, also with *."),
    LIST("address", addresses, "Addresses and ranges."),
    LIST("not_address", not_addresses, "All addresses but these."),
    LIST("country", countries, "Countries, as two letters."),
    LIST("not_country", not_countries, "All countries but these."),
    LIST("method", methods, "GET, POST, …"),
    LIST("path", paths, "Paths with the context, also with *."),
    LIST("header", headers, "NAME, or NAME=VALUE, the value also with *."),
    { .name = "until",
      .type = CONF_STRING,
      .at = RULE(until),
      .help = "2026-12-01T12:00:00Z, 2026-12-01: not blocked from then on." },
    { .name = "note", .type = CONF_STRING, .at = RULE(note), .help = "Why." },
    { .name = "enabled",
      .type = CONF_BOOL,
      .at = RULE(enabled),
      .def = "true",
      .help = "false keeps a rule without using it." },
    { 0 },
};

struct reading {
    struct deny_rules *r;
    struct str path;
    struct problems *ps;
    struct map *ids;
    struct deny_rule *rule;
};

__attribute__((format(printf, 2, 3))) static bool bad(const struct reading *r,
                                                      const char *fmt, ...)
{
    struct str text;
    va_list ap;

    va_start(ap, fmt);
    text = arena_vprintf(r->ps->arena, fmt, ap);
    va_end(ap);
    problem_error(r->ps, r->path, r->rule->line, "%.*s", STR_ARG(text));
    return false;
}

/* ---- the parts ---- */

static bool two_digits(struct str s, size_t at, int *out)
{
    if (s.len < at + 2 || s.p[at] < '0' || s.p[at] > '9' || s.p[at + 1] < '0' ||
        s.p[at + 1] > '9')
        return false;
    *out = (s.p[at] - '0') * 10 + s.p[at + 1] - '0';
    return true;
}

static bool date_of(struct str s, struct tm *t)
{
    int century;

    if (!two_digits(s, 0, &century) || !two_digits(s, 2, &t->tm_year) ||
        s.len < 10 || s.p[4] != '-' || !two_digits(s, 5, &t->tm_mon) ||
        s.p[7] != '-' || !two_digits(s, 8, &t->tm_mday))
        return false;
    t->tm_year += century * 100 - 1900;
    return t->tm_mon-- >= 1 && t->tm_mon < 12 && t->tm_mday >= 1 &&
           t->tm_mday <= 31 && t->tm_year >= 70;
}

static bool time_of_day(struct str s, struct tm *t)
{
    return s.len == 10 && s.p[0] == 'T' && s.p[9] == 'Z' &&
           two_digits(s, 1, &t->tm_hour) && s.p[3] == ':' &&
           two_digits(s, 4, &t->tm_min) && s.p[6] == ':' &&
           two_digits(s, 7, &t->tm_sec) && t->tm_hour < 24 && t->tm_min < 60 &&
           t->tm_sec < 60;
}

/* A day that its month has not (02-30) is refused, not the next one. */
static bool read_until(struct str s, uint64_t *out)
{
    struct tm t = { 0 };
    int day;
    time_t at;

    if (!date_of(s, &t) || (s.len > 10 && !time_of_day(str_skip(s, 10), &t)))
        return false;
    day = t.tm_mday;
    at = timegm(&t);
    *out = (uint64_t)at;
    return at > 0 && t.tm_mday == day;
}

static bool is_id(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return s.len > 0 && s.len <= 64;
}

static bool are_texts(const struct reading *r, const char *name,
                      const struct conf_strings *list)
{
    if (list->count > ENTRIES_MAX)
        return bad(r, "%s has more than %d entries; make it several rules",
                   name, ENTRIES_MAX);
    for (size_t i = 0; i < list->count; i++)
        if (!list->items[i].len || list->items[i].len > PATTERN_MAX)
            return bad(r, "%s: each entry has between 1 and %d bytes", name,
                       PATTERN_MAX);
    return true;
}

static bool read_ranges(const struct reading *r, const char *name,
                        const struct conf_strings *list, struct ranges **out)
{
    if (!list->count)
        return true;
    *out = ranges_new(r->r->arena);
    for (size_t i = 0; i < list->count; i++)
        if (ranges_add(*out, list->items[i], 0))
            return bad(r,
                       "%s: \"%.*s\" is no address, range (10.0.0.0/8) or "
                       "pair of ends (10.0.0.1-10.0.0.9)",
                       name, STR_ARG(str_head(list->items[i], 64)));
    ranges_seal(*out);
    return true;
}

static bool all_of(struct str s, int class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!h1_is(s.p[i], class))
            return false;
    return s.len > 0;
}

static bool read_headers(const struct reading *r)
{
    struct deny_rule *rule = r->rule;
    const struct conf_strings *list = &rule->headers;

    rule->header_list =
        arena_alloc(r->r->arena, list->count * sizeof(*rule->header_list) + 1);
    for (size_t i = 0; i < list->count; i++) {
        size_t at = str_find(list->items[i], '=');
        struct deny_header *h = &rule->header_list[i];

        h->name = str_head(list->items[i], at);
        h->pattern = str_skip(list->items[i], at + 1);
        if (!all_of(h->name, H1_TOKEN))
            return bad(r, "header: \"%.*s\" is no NAME or NAME=VALUE",
                       STR_ARG(str_head(list->items[i], 64)));
    }
    return true;
}

static bool read_methods(const struct reading *r)
{
    struct conf_strings *list = &r->rule->methods;

    for (size_t i = 0; i < list->count; i++) {
        char *p = (char *)(uintptr_t)list->items[i].p; /* the arena's */

        if (!all_of(list->items[i], H1_TOKEN))
            return bad(r, "method: \"%.*s\" is no method",
                       STR_ARG(str_head(list->items[i], 64)));
        for (size_t k = 0; k < list->items[i].len; k++)
            if (p[k] >= 'a' && p[k] <= 'z')
                p[k] = (char)(p[k] - 'a' + 'A');
    }
    return true;
}

static bool read_countries(const struct reading *r,
                           const struct conf_strings *list)
{
    for (size_t i = 0; i < list->count; i++) {
        char *p = (char *)(uintptr_t)list->items[i].p; /* the arena's */

        for (size_t k = 0; k < list->items[i].len; k++)
            if (p[k] >= 'a' && p[k] <= 'z')
                p[k] = (char)(p[k] - 'a' + 'A');
        if (list->items[i].len != 2 || p[0] < 'A' || p[0] > 'Z' || p[1] < 'A' ||
            p[1] > 'Z')
            return bad(r, "country: \"%.*s\" is no country, such as DE",
                       STR_ARG(str_head(list->items[i], 64)));
    }
    return true;
}

static bool read_parts(const struct reading *r)
{
    struct deny_rule *rule = r->rule;

    return are_texts(r, "api", &rule->apis) &&
           are_texts(r, "application", &rule->applications) &&
           are_texts(r, "user", &rule->users) &&
           are_texts(r, "address", &rule->addresses) &&
           are_texts(r, "not_address", &rule->not_addresses) &&
           are_texts(r, "country", &rule->countries) &&
           are_texts(r, "not_country", &rule->not_countries) &&
           are_texts(r, "method", &rule->methods) &&
           are_texts(r, "path", &rule->paths) &&
           are_texts(r, "header", &rule->headers) &&
           read_ranges(r, "address", &rule->addresses, &rule->from) &&
           read_ranges(r, "not_address", &rule->not_addresses,
                       &rule->not_from) &&
           read_countries(r, &rule->countries) &&
           read_countries(r, &rule->not_countries) && read_headers(r) &&
           read_methods(r);
}

/* ---- in words ---- */

static void choose_reason(struct deny_rule *rule)
{
    bool address = rule->from || rule->not_from;
    bool country = rule->countries.count || rule->not_countries.count;
    size_t parts = !!rule->apis.count + !!rule->applications.count +
                   !!rule->users.count + address + country +
                   !!rule->methods.count + !!rule->paths.count +
                   !!rule->headers.count;

    rule->reason = parts > 1                  ? REASON_DENIED_CONDITION
                   : rule->apis.count         ? REASON_DENIED_API
                   : rule->applications.count ? REASON_DENIED_APPLICATION
                   : rule->users.count        ? REASON_DENIED_USER
                   : address                  ? REASON_DENIED_ADDRESS
                   : country                  ? REASON_DENIED_COUNTRY
                                              : REASON_DENIED_CONDITION;
}

static void say_list(struct buf *b, const char *name,
                     const struct conf_strings *list)
{
    if (!list->count)
        return;
    (void)buf_printf(b, "%s%s: %.*s%s", b->p[b->len - 1] == '(' ? "" : "; ",
                     name, STR_ARG(str_head(list->items[0], 64)),
                     list->count > 1 ? ", …" : "");
}

static void say(struct deny_rules *r, struct deny_rule *rule)
{
    struct buf b;

    buf_init(&b, 8192);
    if (rule->id.len)
        (void)buf_printf(&b, "rule %.*s (", STR_ARG(rule->id));
    else
        (void)buf_printf(&b, "rule in line %u (", rule->line);
    say_list(&b, "api", &rule->apis);
    say_list(&b, "application", &rule->applications);
    say_list(&b, "user", &rule->users);
    say_list(&b, "address", &rule->addresses);
    say_list(&b, "not_address", &rule->not_addresses);
    say_list(&b, "country", &rule->countries);
    say_list(&b, "not_country", &rule->not_countries);
    say_list(&b, "method", &rule->methods);
    say_list(&b, "path", &rule->paths);
    say_list(&b, "header", &rule->headers);
    if (rule->until.len)
        (void)buf_printf(&b, "; until %.*s", STR_ARG(rule->until));
    (void)buf_z(&b, ")");
    if (rule->note.len)
        (void)buf_printf(&b, ": %.*s", STR_ARG(rule->note));
    rule->text = arena_copy(r->arena, str_head(buf_view(&b), TEXT_MAX));
    buf_done(&b);
}

/* ---- a rule ---- */

static bool read_rest(const struct reading *r)
{
    struct deny_rule *rule = r->rule;

    if (rule->id.len && !is_id(rule->id))
        return bad(r, "id has up to 64 letters, digits, - and _");
    if (rule->id.len && map_set(r->ids, rule->id, r->ids))
        return bad(r, "the id %.*s is there twice", STR_ARG(rule->id));
    if (rule->note.len > TEXT_MAX ||
        !(!rule->note.len || all_of(rule->note, H1_VALUE)))
        return bad(r, "note has at most %d bytes, in one line", TEXT_MAX);
    if (rule->until.len && !read_until(rule->until, &rule->until_s))
        return bad(r,
                   "until wants a time such as 2026-12-01T12:00:00Z or "
                   "2026-12-01, got \"%.*s\"",
                   STR_ARG(str_head(rule->until, 40)));
    if (rule->apis.count || rule->applications.count || rule->users.count ||
        rule->addresses.count || rule->not_addresses.count ||
        rule->countries.count || rule->not_countries.count ||
        rule->methods.count || rule->paths.count || rule->headers.count)
        return true;
    return bad(r, "blocks nothing: it names no api, application, user, "
                  "address, not_address, country, not_country, method, path or "
                  "header");
}

/* `user: alice` is `user: [alice]`. */
static void wrap_texts(struct arena *a, struct json *tree)
{
    for (struct json *j = tree->first; j; j = j->next) {
        const struct conf_field *f = fields;
        struct json *text;

        if (j->type != JSON_STRING && j->type != JSON_NUMBER)
            continue;
        while (f->name && !str_is(j->key, f->name))
            f++;
        if (!f->name || f->type != CONF_STRINGS)
            continue;
        text = arena_alloc(a, sizeof(*text));
        text->type = j->type;
        text->text = j->text;
        text->line = j->line;
        j->type = JSON_ARRAY;
        j->first = j->last = text;
        j->count = 1;
    }
}

static void read_rule(struct reading *r, struct arena *scratch,
                      struct json *tree)
{
    size_t errors = r->ps->errors;

    r->rule->line = tree->line;
    if (tree->type != JSON_OBJECT) {
        bad(r, "is no rule: `- user: alice` or the like is wanted");
        return;
    }
    wrap_texts(scratch, tree);
    if (conf_read(r->r->arena, fields, tree, r->path, "", NULL, r->rule,
                  r->ps) ||
        r->ps->errors > errors)
        return;
    if (!read_rest(r) || !read_parts(r))
        return;
    choose_reason(r->rule);
    say(r->r, r->rule);
}

static void read_list(struct reading *r, struct arena *scratch,
                      struct json *list)
{
    struct deny_rules *out = r->r;

    if (list->type == JSON_NULL)
        return;
    if (list->type != JSON_ARRAY || list->count > DENY_RULES_MAX) {
        problem_error(r->ps, r->path, list->line,
                      "a file of deny rules is a list of at most %d: `- "
                      "{user: alice}`",
                      DENY_RULES_MAX);
        return;
    }
    out->rules = x_array(list->count + 1, sizeof(*out->rules));
    out->room = list->count;
    for (struct json *j = list->first; j; j = j->next) {
        r->rule = &out->rules[out->count++];
        read_rule(r, scratch, j);
        r->rule->lines_end = j->next ? j->next->line : UINT32_MAX;
    }
}

/* Comments alone are no YAML document. */
static bool says_nothing(struct str text)
{
    while (text.p) {
        struct str line = str_trim(str_cut(&text, '\n'));

        if (line.len && line.p[0] != '#' && line.p[0] != '\r')
            return false;
    }
    return true;
}

static enum err parse(struct reading *r, struct arena *scratch, struct str text)
{
    const struct json_limits limits = { FILE_MAX_BYTES, 8, NODES_MAX, false };
    struct json_error error = { 0 };
    size_t errors = r->ps->errors;
    struct json *tree;
    enum err e;

    if (says_nothing(text))
        return ERR_OK;
    e = document_parse(scratch, text, &limits, &tree, &error);
    if (e)
        problem_error(r->ps, r->path, error.line, "%s", error.what);
    else
        read_list(r, scratch, tree);
    return r->ps->errors > errors ? ERR_INVALID
                                  : deny_rules_index(r->r, r->path, r->ps);
}

enum err deny_rules_parse(struct str text, struct str path, struct problems *ps,
                          struct deny_rules **out)
{
    struct arena *a = arena_new(), *scratch = arena_new();
    struct deny_rules *r = arena_alloc(a, sizeof(*r));
    struct reading reading = { r, path, ps, map_new(scratch), NULL };
    enum err e;

    r->arena = a;
    e = parse(&reading, scratch, text);
    arena_free(scratch);
    if (e)
        deny_rules_free(r);
    else
        *out = r;
    return e;
}

enum err deny_rules_load(struct str path, struct problems *ps,
                         struct deny_rules **out)
{
    struct arena *a = arena_new();
    struct str text = STR("");
    enum err e = whole_file_read(a, path, FILE_MAX_BYTES, ps, &text);

    if (!e || e == ERR_NOT_FOUND)
        e = deny_rules_parse(text, path, ps, out);
    arena_free(a);
    return e;
}
