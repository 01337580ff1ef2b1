/* conf_show.c - settings as YAML that reads back, and as a manual; the other
 * half of conf_read.h. */
#include "format/conf_read.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/utf8.h"

/* The first failure stays; what is written after it is lost. */
struct writer {
    struct buf *b;
    enum err e;
    bool dash; /* the next line begins an item of a list */
};

static void add(struct writer *w, const char *z)
{
    if (!w->e)
        w->e = buf_z(w->b, z);
}

static void add_char(struct writer *w, char c)
{
    if (!w->e)
        w->e = buf_char(w->b, c);
}

static void add_str(struct writer *w, struct str s)
{
    if (!w->e)
        w->e = buf_str(w->b, s);
}

static void add_u64(struct writer *w, uint64_t n)
{
    if (!w->e)
        w->e = buf_printf(w->b, "%" PRIu64, n);
}

static const void *value_at(const struct conf_field *f, const void *conf)
{
    return (const char *)conf + f->at;
}

static void add_number(struct writer *w, const struct conf_field *f, uint64_t n)
{
    char text[CONF_FORMAT_BYTES];

    if (f->type == CONF_SIZE)
        add(w, conf_format_size(n, text));
    else if (f->type == CONF_DURATION_MS)
        add(w, conf_format_duration_ms(n, text));
    else if (f->type == CONF_RATIO)
        add(w, conf_format_ratio(n, text));
    else
        add_u64(w, n);
}

/* ---- YAML ---- */

/* Everything YAML calls a line break or not printable is escaped. */
static bool is_special(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029 ||
           c == 0xfeff || c == 0xfffe || c == 0xffff;
}

static void add_quoted(struct writer *w, struct str s)
{
    add_char(w, '"');
    while (s.len) {
        uint32_t c = 0;
        size_t n = utf8_next(s, &c);

        if (!n)
            add(w, UTF8_REPLACEMENT);
        else if (c == '"' || c == '\\')
            add(w, c == '"' ? "\\\"" : "\\\\");
        else if (c == '$')
            add(w, "$$"); /* no variable when it is read again */
        else if (!is_special(c))
            add_str(w, str_head(s, n));
        else if (!w->e)
            w->e = buf_printf(w->b, "\\u%04x", (unsigned)c);
        s = str_skip(s, n ? n : 1);
    }
    add_char(w, '"');
}

static void begin_line(struct writer *w, const char *name, unsigned indent)
{
    unsigned spaces = w->dash ? indent - 2 : indent;

    for (unsigned i = 0; i < spaces; i++)
        add_char(w, ' ');
    if (w->dash)
        add(w, "- ");
    w->dash = false;
    add(w, name);
    add_char(w, ':');
}

static void show_strings(struct writer *w, const struct conf_strings *list)
{
    add_char(w, '[');
    for (size_t i = 0; i < list->count; i++) {
        add(w, i ? ", " : "");
        add_quoted(w, list->items[i]);
    }
    add_char(w, ']');
}

/* Nothing behind the name means: no default and not set. */
static bool is_unset(const struct conf_field *f, const void *at)
{
    if (f->def)
        return false;
    if (f->type == CONF_STRING)
        return !((const struct str *)at)->p;
    return (f->type == CONF_U64 || f->type == CONF_SIZE ||
            f->type == CONF_DURATION_MS || f->type == CONF_RATIO) &&
           *(const uint64_t *)at == 0 && f->min > 0;
}

/* Nobody mentioned a section that lacks what it requires: naming it with
 * nothing behind it is the only way to say so again. */
static bool is_absent(const struct conf_field *fields, const void *conf)
{
    for (const struct conf_field *f = fields; f->name; f++) {
        const void *at = value_at(f, conf);

        if (!f->required)
            continue;
        if (f->type == CONF_STRINGS &&
            !((const struct conf_strings *)at)->items)
            return true;
        if (f->type == CONF_SECTIONS && !((const struct conf_list *)at)->items)
            return true;
        if (f->type == CONF_SECTION ? is_absent(f->fields, at)
                                    : is_unset(f, at))
            return true;
    }
    return false;
}

static void show_value(struct writer *w, const struct conf_field *f,
                       const void *at)
{
    add_char(w, ' ');
    switch (f->type) {
    case CONF_BOOL:
        add(w, conf_format_bool(*(const bool *)at));
        break;
    case CONF_U64:
    case CONF_SIZE:
    case CONF_DURATION_MS:
    case CONF_RATIO:
        add_number(w, f, *(const uint64_t *)at);
        break;
    case CONF_STRING:
        add_quoted(w, *(const struct str *)at);
        break;
    case CONF_ENUM:
        add_quoted(w, str_z(f->choices[*(const int *)at]));
        break;
    case CONF_STRINGS:
        show_strings(w, at);
        break;
    case CONF_SECTION:
    case CONF_SECTIONS:
    case CONF_END:
        must_fail("a field with one value", __FILE__, __LINE__);
    }
}

static void show_fields(struct writer *w, const struct conf_field *fields,
                        const void *conf, unsigned indent);

static void show_items(struct writer *w, const struct conf_field *f,
                       const struct conf_list *list, unsigned indent)
{
    const char *items = list->items;

    add(w, list->count ? "\n" : " []\n");
    for (size_t i = 0; i < list->count; i++) {
        w->dash = true;
        show_fields(w, f->fields, items + i * f->item_size, indent + 4);
    }
}

static void show_fields(struct writer *w, const struct conf_field *fields,
                        const void *conf, unsigned indent)
{
    for (const struct conf_field *f = fields; f->name; f++) {
        const void *at = value_at(f, conf);

        begin_line(w, f->name, indent);
        if (f->type == CONF_SECTION) {
            add_char(w, '\n');
            if (!is_absent(f->fields, at))
                show_fields(w, f->fields, at, indent + 2);
        } else if (f->type == CONF_SECTIONS) {
            show_items(w, f, at, indent);
        } else {
            if (!is_unset(f, at))
                show_value(w, f, at);
            add_char(w, '\n');
        }
    }
}

enum err conf_show(struct buf *b, const struct conf_field *fields,
                   const void *conf, unsigned indent)
{
    struct writer w = { .b = b };

    show_fields(&w, fields, conf, indent);
    return w.e;
}

/* ---- the manual ---- */

static const char *type_name(enum conf_type type)
{
    switch (type) {
    case CONF_BOOL:
        return "boolean";
    case CONF_U64:
        return "number";
    case CONF_SIZE:
        return "size";
    case CONF_DURATION_MS:
        return "duration";
    case CONF_RATIO:
        return "ratio";
    case CONF_STRING:
        return "text";
    case CONF_ENUM:
        return "choice";
    case CONF_STRINGS:
        return "list of texts";
    case CONF_SECTION:
        return "section";
    case CONF_SECTIONS:
        return "list of sections";
    case CONF_END:
        break;
    }
    return "";
}

/* A cell stays on its line and in its column. */
static void add_cell(struct writer *w, const char *z)
{
    for (; z && *z; z++) {
        if (*z == '|')
            add(w, "\\|");
        else
            add_char(w, *z == '\n' ? ' ' : *z);
    }
}

static void add_default(struct writer *w, const struct conf_field *f)
{
    if (f->required) {
        add(w, "required");
    } else if (f->def && *f->def) {
        add_char(w, '`');
        add_cell(w, f->def);
        add_char(w, '`');
    } else if (f->type == CONF_BOOL) {
        add(w, "`false`");
    } else if (f->type == CONF_ENUM) {
        add_char(w, '`');
        add_cell(w, f->choices[0]);
        add_char(w, '`');
    }
}

static void add_allowed(struct writer *w, const struct conf_field *f)
{
    if (f->type == CONF_BOOL)
        add(w, "`true`, `false`");
    for (size_t i = 0; f->type == CONF_ENUM && f->choices[i]; i++) {
        add(w, i ? ", `" : "`");
        add_cell(w, f->choices[i]);
        add_char(w, '`');
    }
    if (f->type != CONF_U64 && f->type != CONF_SIZE &&
        f->type != CONF_DURATION_MS && f->type != CONF_RATIO)
        return;
    if (f->max) {
        add_number(w, f, f->min);
        add(w, " to ");
        add_number(w, f, f->max);
    } else if (f->min) {
        add(w, "at least ");
        add_number(w, f, f->min);
    }
}

static void add_row(struct writer *w, const struct conf_field *f)
{
    add(w, "| `");
    add(w, f->name);
    add(w, "` | ");
    add(w, type_name(f->type));
    add(w, " | ");
    add_default(w, f);
    add(w, " | ");
    add_allowed(w, f);
    add(w, " | ");
    add_cell(w, f->help);
    if (f->scalar_field) {
        add(w, " A plain text stands for an item with this `");
        add(w, f->scalar_field);
        add(w, "`.");
    }
    add(w, " |\n");
}

/* The names of the sections a reader is in, from the inside out. */
struct heading {
    const struct heading *outer;
    struct str name;
    const char *after; /* "[]" for a list */
};

static void add_heading(struct writer *w, const struct heading *h)
{
    if (h->outer) {
        add_heading(w, h->outer);
        if (h->outer->name.len)
            add_char(w, '.');
    }
    add_str(w, h->name);
    add(w, h->after);
}

static void add_section(struct writer *w, const struct conf_field *fields,
                        const struct heading *h)
{
    if (h->outer || h->name.len) {
        add(w, "## ");
        add_heading(w, h);
        add(w, "\n\n");
    }
    add(w, "| Key | Type | Default | Allowed | Meaning |\n"
           "| --- | --- | --- | --- | --- |\n");
    for (const struct conf_field *f = fields; f->name; f++)
        add_row(w, f);
    add_char(w, '\n');
    for (const struct conf_field *f = fields; f->name; f++) {
        struct heading inner = { h, str_z(f->name), "" };

        if (f->type == CONF_SECTIONS)
            inner.after = "[]";
        if (f->fields)
            add_section(w, f->fields, &inner);
    }
}

enum err conf_reference(struct buf *b, const struct conf_field *fields,
                        const char *path_prefix)
{
    struct writer w = { .b = b };
    size_t len = strlen(path_prefix);
    struct heading top = { NULL, str_from(path_prefix, len ? len - 1 : 0), "" };

    add_section(&w, fields, &top);
    return w.e;
}
