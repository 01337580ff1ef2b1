/* conf_read.c - reading settings; see conf_read.h. What writes them is in
 * conf_show.c. */
#include "format/conf_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

enum {
    NAME_BYTES = 256,     /* of a full name, as messages show it */
    EXPANDED_MAX = 65536, /* bytes of a text after ${…} */
    QUOTED_MAX = 60,      /* bytes of a wrong value that messages repeat */
    FIELDS_MAX = 128,     /* of one section */
};

struct reader {
    struct arena *a;
    struct problems *ps;
    struct str file;
    const char *env_prefix; /* NULL: no overrides */
};

/* One value on its way in: where from, and what messages call it. */
struct source {
    struct reader *r;
    struct str file; /* empty: the environment, or the table itself */
    uint32_t line;
    const char *name;
};

static void *field_at(const struct conf_field *f, void *out)
{
    return (char *)out + f->at;
}

/* ---- saying what is wrong ---- */

/* As much of a wrong value as a message repeats, in whole characters. */
static struct str quoted(struct str s)
{
    size_t n = QUOTED_MAX;

    if (s.len <= n)
        return s;
    while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return str_head(s, n);
}

static const char *kind_of(const struct conf_field *f)
{
    switch (f->type) {
    case CONF_BOOL:
        return "true or false";
    case CONF_U64:
        return "a whole number";
    case CONF_SIZE:
        return "a size such as 4096, 64k or 10m";
    case CONF_DURATION_MS:
        return "a duration such as 250ms, 30s or 5m";
    case CONF_RATIO:
        return "a ratio such as 0.01";
    case CONF_STRING:
        return "a text";
    case CONF_STRINGS:
        return "a list of texts";
    case CONF_SECTION:
        return "a section of settings";
    case CONF_SECTIONS:
        return "a list";
    case CONF_ENUM:
    case CONF_END:
        break;
    }
    return "one of its choices";
}

static void format_number(const struct conf_field *f, uint64_t n,
                          char out[CONF_FORMAT_BYTES])
{
    if (f->type == CONF_SIZE)
        conf_format_size(n, out);
    else if (f->type == CONF_DURATION_MS)
        conf_format_duration_ms(n, out);
    else if (f->type == CONF_RATIO)
        conf_format_ratio(n, out);
    else
        snprintf(out, CONF_FORMAT_BYTES, "%" PRIu64, n);
}

static struct str bounds_of(struct reader *r, const struct conf_field *f)
{
    char min[CONF_FORMAT_BYTES], max[CONF_FORMAT_BYTES];

    format_number(f, f->min, min);
    format_number(f, f->max, max);
    if (f->max)
        return arena_printf(r->a, "between %s and %s", min, max);
    return arena_printf(r->a, "at least %s", min);
}

static struct str choices_of(struct reader *r, const struct conf_field *f)
{
    struct str all = STR("one of");

    for (const char *const *c = f->choices; *c; c++)
        all = arena_printf(r->a, "%.*s%s %s", STR_ARG(all),
                           c == f->choices ? "" : ",", *c);
    return all;
}

/* What f wants; with_form when the text was not even of its form. */
static struct str wanted(struct reader *r, const struct conf_field *f,
                         bool with_form)
{
    if (f->type == CONF_ENUM)
        return choices_of(r, f);
    if (!with_form)
        return bounds_of(r, f);
    if (!f->min && !f->max)
        return str_z(kind_of(f));
    return arena_printf(r->a, "%s%s %.*s", kind_of(f),
                        f->type == CONF_U64 ? "" : ",",
                        STR_ARG(bounds_of(r, f)));
}

static void refuse_text(const struct source *s, const struct conf_field *f,
                        bool with_form, struct str found)
{
    struct str want = wanted(s->r, f, with_form);

    problem_error(s->r->ps, s->file, s->line, "%s must be %.*s, got \"%.*s%s\"",
                  s->name, STR_ARG(want), STR_ARG(quoted(found)),
                  found.len > QUOTED_MAX ? "…" : "");
}

static void refuse_node(const struct source *s, struct str want,
                        const struct json *j)
{
    const char *found = "nothing";

    if (j->type == JSON_OBJECT)
        found = "a section";
    else if (j->type == JSON_ARRAY)
        found = "a list";
    else if (j->type == JSON_STRING)
        found = "a text";
    else if (j->type == JSON_NUMBER)
        found = "a number";
    else if (j->type == JSON_BOOL)
        found = j->boolean ? "true" : "false";
    problem_error(s->r->ps, s->file, s->line, "%s must be %.*s, got %s",
                  s->name, STR_ARG(want), found);
}

/* ---- one value from its text ---- */

static bool within(const struct conf_field *f, uint64_t n)
{
    return n >= f->min && (!f->max || n <= f->max);
}

static bool set_number(const struct source *s, const struct conf_field *f,
                       struct str text, uint64_t *at)
{
    uint64_t n = 0;
    enum err e;

    if (f->type == CONF_SIZE)
        e = conf_parse_size(text, &n);
    else if (f->type == CONF_DURATION_MS)
        e = conf_parse_duration_ms(text, &n);
    else if (f->type == CONF_RATIO)
        e = conf_parse_ratio(text, &n);
    else
        e = str_to_u64(text, UINT64_MAX, &n);
    if (!e && within(f, n)) {
        *at = n;
        return true;
    }
    /* What is too long for 64 bits, where nothing else bounds it, is no
     * number we know. */
    refuse_text(s, f, e == ERR_INVALID || (e && !f->max), text);
    return false;
}

static bool set_choice(const struct source *s, const struct conf_field *f,
                       struct str text, int *at)
{
    for (int i = 0; f->choices[i]; i++) {
        if (str_is(text, f->choices[i])) {
            *at = i;
            return true;
        }
    }
    refuse_text(s, f, true, text);
    return false;
}

static bool set_text(const struct source *s, const struct conf_field *f,
                     struct str text, void *at)
{
    switch (f->type) {
    case CONF_BOOL:
        if (!conf_parse_bool(text, at))
            return true;
        refuse_text(s, f, true, text);
        return false;
    case CONF_U64:
    case CONF_SIZE:
    case CONF_DURATION_MS:
    case CONF_RATIO:
        return set_number(s, f, text, at);
    case CONF_STRING:
        *(struct str *)at = arena_copy(s->r->a, text);
        return true;
    case CONF_ENUM:
        return set_choice(s, f, text, at);
    case CONF_STRINGS:
    case CONF_SECTION:
    case CONF_SECTIONS:
    case CONF_END:
        break;
    }
    must_fail("a field with a text for a value", __FILE__, __LINE__);
}

/* ---- ${NAME} ---- */

static bool is_variable(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = char_lower(name.p[i]);

        if (!(c >= 'a' && c <= 'z') && c != '_' && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

/* The value of what stands between the braces: NAME or NAME:-default. */
static bool look_up(const struct source *s, struct str inside,
                    struct str *value)
{
    struct str name = str_head(inside, str_find(inside, ':'));
    struct str rest = str_skip(inside, name.len);
    const char *found;

    if (!is_variable(name) || (rest.len && !str_starts(rest, STR(":-")))) {
        problem_error(s->r->ps, s->file, s->line,
                      "%s: \"${%.*s}\" names no variable; write ${NAME} or "
                      "${NAME:-default}, or $$ for a dollar",
                      s->name, STR_ARG(quoted(inside)));
        return false;
    }
    found = getenv(arena_copy(s->r->a, name).p);
    if (!found && !rest.len) {
        problem_error(s->r->ps, s->file, s->line,
                      "%s: the environment variable %.*s is not set; set it "
                      "or write ${%.*s:-default}",
                      s->name, STR_ARG(name), STR_ARG(name));
        return false;
    }
    if (rest.len && (!found || !*found))
        *value = str_skip(rest, 2);
    else
        *value = str_z(found);
    return true;
}

static bool expand_into(const struct source *s, struct str text, struct buf *b)
{
    enum err e = ERR_OK;

    while (text.len && !e) {
        size_t plain = str_find(text, '$');
        struct str value = STR("$");

        e = buf_str(b, str_head(text, plain));
        text = str_skip(text, plain);
        if (!text.len || e)
            break;
        if (str_starts(text, STR("${"))) {
            size_t end = str_find(text, '}');
            struct str inside = str_skip(str_head(text, end), 2);

            if (end == text.len) {
                problem_error(s->r->ps, s->file, s->line,
                              "%s: \"${\" without \"}\"; write $$ for a dollar",
                              s->name);
                return false;
            }
            if (!look_up(s, inside, &value))
                return false;
            text = str_skip(text, end + 1);
        } else {
            text = str_skip(text, str_starts(text, STR("$$")) ? 2 : 1);
        }
        e = buf_str(b, value);
    }
    if (e)
        problem_error(s->r->ps, s->file, s->line,
                      "%s: longer than 64k with its variables", s->name);
    return !e;
}

static bool expand(const struct source *s, struct str *text)
{
    struct buf b;
    bool ok;

    if (str_find(*text, '$') == text->len)
        return true;
    buf_init(&b, EXPANDED_MAX);
    ok = expand_into(s, *text, &b);
    if (ok)
        *text = arena_copy(s->r->a, buf_view(&b));
    buf_done(&b);
    return ok;
}

/* ---- values from the tree ---- */

/* The text of a scalar, variables put in. */
static bool node_text(const struct source *s, const struct conf_field *f,
                      const struct json *j, struct str *text)
{
    if (j->type == JSON_STRING) {
        *text = j->text;
        return expand(s, text);
    }
    if (j->type == JSON_NUMBER) {
        *text = j->text;
        return true;
    }
    if (j->type == JSON_BOOL &&
        (f->type == CONF_BOOL || f->type == CONF_ENUM)) {
        *text = j->boolean ? STR("true") : STR("false");
        return true;
    }
    refuse_node(s, wanted(s->r, f, true), j);
    return false;
}

static void set_strings(const struct source *s, const struct conf_field *f,
                        const struct json *j, struct conf_strings *at)
{
    struct conf_strings list = { 0 };
    bool ok = true;

    if (j->type != JSON_ARRAY) {
        refuse_node(s, wanted(s->r, f, true), j);
        return;
    }
    list.items = arena_alloc(s->r->a, j->count * sizeof(*list.items));
    for (const struct json *i = j->first; i; i = i->next) {
        static const struct conf_field item = { .type = CONF_STRING };
        char name[NAME_BYTES];
        struct source from = *s;
        struct str text;

        snprintf(name, sizeof(name), "%s[%zu]", s->name, list.count);
        from.name = name;
        from.line = i->line;
        if (node_text(&from, &item, i, &text))
            list.items[list.count++] = arena_copy(s->r->a, text);
        else
            ok = false;
    }
    if (ok)
        *at = list;
}

static void split_strings(struct arena *a, struct str text,
                          struct conf_strings *at)
{
    size_t count = text.len ? 1 : 0;

    for (size_t i = 0; i < text.len; i++)
        count += text.p[i] == ',';
    at->items = arena_alloc(a, count * sizeof(*at->items));
    at->count = count;
    for (size_t i = 0; i < count; i++)
        at->items[i] = arena_copy(a, str_trim(str_cut(&text, ',')));
}

static bool read_section(struct reader *r, const struct conf_field *fields,
                         const struct json *tree, uint32_t line,
                         const char *prefix, void *out);

static const struct conf_field *find_field(const struct conf_field *fields,
                                           const char *name)
{
    while (fields->name && strcmp(fields->name, name) != 0)
        fields++;
    must(fields->name);
    return fields;
}

/* A section all of whose fields but one have their defaults. Read like any
 * other, from a tree of one member, so that what it requires is noticed. */
static void read_scalar_item(const struct source *s, const struct conf_field *f,
                             const struct json *j, const char *prefix, void *at)
{
    struct json member = *j;
    struct json object = { .type = JSON_OBJECT, .line = j->line, .count = 1 };

    member.key = str_z(f->scalar_field);
    member.key_line = j->line;
    member.next = NULL;
    object.first = object.last = &member;
    find_field(f->fields, f->scalar_field);
    read_section(s->r, f->fields, &object, j->line, prefix, at);
}

static bool read_item(const struct source *s, const struct conf_field *f,
                      const struct json *j, size_t number, void *at)
{
    struct reader inside = *s->r;
    struct source from = *s;
    const char *prefix;

    inside.env_prefix = NULL; /* items have no name to set them by */
    from.r = &inside;
    from.line = j->line;
    from.name = arena_printf(inside.a, "%s[%zu]", s->name, number).p;
    prefix = arena_printf(inside.a, "%s.", from.name).p;
    if (j->type == JSON_OBJECT) {
        read_section(&inside, f->fields, j, j->line, prefix, at);
        return true;
    }
    if (f->scalar_field && (j->type == JSON_STRING || j->type == JSON_NUMBER)) {
        read_scalar_item(&from, f, j, prefix, at);
        return true;
    }
    refuse_node(&from,
                f->scalar_field ? STR("a text or a section of settings")
                                : STR("a section of settings"),
                j);
    return false;
}

static void set_sections(const struct source *s, const struct conf_field *f,
                         const struct json *j, struct conf_list *at)
{
    size_t number = 0;
    char *items;

    if (j->type != JSON_ARRAY) {
        refuse_node(s, wanted(s->r, f, true), j);
        return;
    }
    must(f->item_size && f->fields);
    items = arena_alloc(s->r->a, j->count * f->item_size);
    *at = (struct conf_list) { .items = items };
    for (const struct json *i = j->first; i; i = i->next)
        if (read_item(s, f, i, number++, items + at->count * f->item_size))
            at->count++;
}

static void set_node(const struct source *s, const struct conf_field *f,
                     const struct json *j, void *at)
{
    struct str text;

    if (f->type == CONF_STRINGS)
        set_strings(s, f, j, at);
    else if (f->type == CONF_SECTIONS)
        set_sections(s, f, j, at);
    else if (node_text(s, f, j, &text))
        set_text(s, f, text, at);
}

/* ---- defaults ---- */

static void default_sections(const struct source *s, const struct conf_field *f,
                             struct conf_list *at)
{
    struct conf_strings defs;
    struct json list = { .type = JSON_ARRAY };
    struct json *items;

    must(f->scalar_field);
    split_strings(s->r->a, str_z(f->def), &defs);
    items = arena_alloc(s->r->a, defs.count * sizeof(*items));
    for (size_t i = 0; i < defs.count; i++) {
        items[i].type = JSON_STRING;
        items[i].text = defs.items[i];
        items[i].next = i + 1 < defs.count ? &items[i + 1] : NULL;
    }
    list.first = defs.count ? items : NULL;
    list.count = (uint32_t)defs.count;
    set_sections(s, f, &list, at);
}

static void set_empty(const struct conf_field *f, void *at)
{
    switch (f->type) {
    case CONF_BOOL:
        *(bool *)at = false;
        break;
    case CONF_U64:
    case CONF_SIZE:
    case CONF_DURATION_MS:
    case CONF_RATIO:
        *(uint64_t *)at = 0;
        break;
    case CONF_STRING:
        *(struct str *)at = STR_NULL;
        break;
    case CONF_ENUM:
        *(int *)at = 0;
        break;
    case CONF_STRINGS:
        *(struct conf_strings *)at = (struct conf_strings) { 0 };
        break;
    case CONF_SECTIONS:
        *(struct conf_list *)at = (struct conf_list) { 0 };
        break;
    case CONF_SECTION:
    case CONF_END:
        break;
    }
}

static void set_default(struct reader *r, const struct conf_field *f,
                        const char *name, void *at)
{
    struct source s = { .r = r, .name = name };
    bool ok = true;

    set_empty(f, at);
    if (!f->def)
        return;
    if (f->type == CONF_STRINGS)
        split_strings(r->a, str_z(f->def), at);
    else if (f->type == CONF_SECTIONS)
        default_sections(&s, f, at);
    else
        ok = set_text(&s, f, str_z(f->def), at);
    must(ok); /* a table must not contradict itself */
}

/* ---- the environment ---- */

/* "TOLLGATE_" and "gateway.limits.head_size": the value, or NULL; the name is
 * left in env. */
static const char *env_value(const struct reader *r, const char *name,
                             char env[NAME_BYTES])
{
    int n;

    if (!r->env_prefix)
        return NULL;
    n = snprintf(env, NAME_BYTES, "%s%s", r->env_prefix, name);
    must(n > 0 && n < NAME_BYTES);
    for (char *p = env; *p; p++) {
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
        else if (*p == '.' || *p == '-')
            *p = '_';
    }
    return getenv(env);
}

static bool set_from_env(struct reader *r, const struct conf_field *f,
                         const char *name, void *at)
{
    char env[NAME_BYTES];
    struct source s = { .r = r, .name = env };
    const char *value;

    if (f->type == CONF_SECTIONS || !(value = env_value(r, name, env)))
        return false;
    if (f->type == CONF_STRINGS)
        split_strings(r->a, str_z(value), at);
    else
        set_text(&s, f, str_z(value), at);
    return true;
}

/* ---- sections ---- */

static const struct json *member(const struct json *tree, const char *name)
{
    const struct json *j = tree ? json_get(tree, str_z(name)) : NULL;

    /* `name:` with nothing behind it is a setting somebody took out. */
    return j && j->type != JSON_NULL ? j : NULL;
}

static bool read_inner(struct reader *r, const struct conf_field *f,
                       const struct source *s, const struct json *j, void *out)
{
    const char *prefix = arena_printf(r->a, "%s.", s->name).p;

    if (j && j->type != JSON_OBJECT) {
        refuse_node(s, wanted(s->r, f, true), j);
        j = NULL;
    }
    return read_section(r, f->fields, j, s->line, prefix, field_at(f, out));
}

/* True when the file or the environment says something about the field. */
static bool read_field(struct reader *r, const struct conf_field *f,
                       const struct json *j, const char *name, void *out)
{
    struct source s = { r, r->file, j ? j->line : 0, name };
    void *at = field_at(f, out);
    bool found = j != NULL;

    if (f->type == CONF_SECTION) {
        if (j && j->key_line)
            s.line = j->key_line;
        return read_inner(r, f, &s, j, out) || found;
    }
    set_default(r, f, name, at);
    if (j)
        set_node(&s, f, j, at);
    return set_from_env(r, f, name, at) || found;
}

static void refuse_unknown(struct reader *r, const struct conf_field *fields,
                           const struct json *tree, const char *prefix)
{
    for (const struct json *j = tree ? tree->first : NULL; j; j = j->next) {
        const struct conf_field *f = fields;
        const char *near;
        uint32_t line = j->key_line ? j->key_line : j->line;

        while (f->name && !str_is(j->key, f->name))
            f++;
        if (f->name)
            continue;
        near = conf_nearest(fields, j->key);
        problem_error(r->ps, r->file, line, "unknown key %s%.*s%s%s%s", prefix,
                      STR_ARG(quoted(j->key)), near ? "; did you mean " : "",
                      near ? near : "", near ? "?" : "");
    }
}

/* True when anything in it was mentioned. */
static bool read_section(struct reader *r, const struct conf_field *fields,
                         const struct json *tree, uint32_t line,
                         const char *prefix, void *out)
{
    bool found[FIELDS_MAX];
    bool any = tree != NULL;

    refuse_unknown(r, fields, tree, prefix);
    for (size_t i = 0; fields[i].name; i++) {
        const struct conf_field *f = &fields[i];
        char name[NAME_BYTES];

        must(i < FIELDS_MAX);
        snprintf(name, sizeof(name), "%s%s", prefix, f->name);
        found[i] = read_field(r, f, member(tree, f->name), name, out);
        any = any || found[i];
    }
    for (size_t i = 0; any && fields[i].name; i++)
        if (fields[i].required && !found[i])
            problem_error(r->ps, r->file, line, "%s%s is missing", prefix,
                          fields[i].name);
    return any;
}

enum err conf_read(struct arena *a, const struct conf_field *fields,
                   const struct json *tree, struct str file,
                   const char *path_prefix, const char *env_prefix, void *out,
                   struct problems *ps)
{
    /* The outermost section is always there, in the file or not. */
    static const struct json nothing = { .type = JSON_OBJECT };
    struct reader r = { a, ps, file, env_prefix };
    size_t errors = ps->errors;

    if (tree && tree->type != JSON_OBJECT && tree->type != JSON_NULL) {
        struct source s = { &r, file, tree->line, "the whole" };

        if (*path_prefix)
            s.name = arena_copy(a, str_head(str_z(path_prefix),
                                            strlen(path_prefix) - 1))
                         .p;
        refuse_node(&s, STR("a section of settings (name: value)"), tree);
        tree = NULL;
    }
    if (!tree || tree->type == JSON_NULL)
        tree = &nothing;
    read_section(&r, fields, tree, tree->line, path_prefix, out);
    return ps->errors > errors ? ERR_INVALID : ERR_OK;
}
