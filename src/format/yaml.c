/* yaml.c - libyaml's events to a tree.
 *
 * libyaml tells what is written where; what a scalar means is decided here,
 * by the core schema of YAML 1.2, because libyaml's own idea is that of 1.1.
 * Like the JSON parser this keeps the open lists and maps as frames, without
 * recursion; a copy that an alias makes uses the same frames.
 */
#include "format/yaml.h"

#include <inttypes.h>
#include <yaml.h>

#include "base/log.h"
#include "base/map.h"

enum {
    DEPTH_MAX = 1000,
    TAG_DIRECTIVES_MAX = 64, /* libyaml compares each with all before it */
};

struct frame {
    struct json *node; /* the open list or map */
    /* In a map, between a key and its value: */
    bool has_key;
    bool merging; /* the key is << */
    struct str key;
    uint32_t key_line;
    struct json *merge; /* the value of <<, until the map ends */
    /* While an alias is copied, the member that comes next: */
    const struct json *from;
};

struct loader {
    struct arena *arena;
    const struct json_limits *limits;
    yaml_parser_t parser;
    struct map *anchors; /* name to node; NULL until there is one */
    struct json *root;
    struct frame *open;
    size_t depth;
    size_t nodes;
    size_t copied; /* bytes of text that aliases repeated */
    bool done;
    enum err err;
    struct json_error error;
};

/* Remembers a failure at the place of mark. Returns false. */
static bool fail_as(struct loader *ld, enum err e, yaml_mark_t mark,
                    const char *what)
{
    ld->err = e;
    ld->error = (struct json_error) { (uint32_t)mark.line + 1,
                                      (uint32_t)mark.column + 1, what };
    return false;
}

static bool fail(struct loader *ld, const yaml_event_t *ev, const char *what)
{
    return fail_as(ld, ERR_INVALID, ev->start_mark, what);
}

static bool limit(struct loader *ld, const yaml_event_t *ev, const char *what)
{
    return fail_as(ld, ERR_LIMIT, ev->start_mark, what);
}

static uint32_t line_of(const yaml_event_t *ev)
{
    return (uint32_t)ev->start_mark.line + 1;
}

static struct str text_of(const yaml_char_t *z)
{
    return str_z((const char *)z);
}

static struct frame *innermost(struct loader *ld)
{
    return ld->depth ? &ld->open[ld->depth - 1] : NULL;
}

static bool is_parent(const struct json *j)
{
    return j->type == JSON_ARRAY || j->type == JSON_OBJECT;
}

static struct json *new_node(struct loader *ld, const yaml_event_t *ev)
{
    struct json *node;

    if (ld->nodes == ld->limits->max_nodes) {
        limit(ld, ev, "too many values");
        return NULL;
    }
    ld->nodes++;
    node = arena_alloc(ld->arena, sizeof(*node));
    node->line = line_of(ev);
    return node;
}

static bool push(struct loader *ld, const yaml_event_t *ev, struct json *node)
{
    if (ld->depth == ld->limits->max_depth)
        return limit(ld, ev, "nested too deeply");
    ld->open[ld->depth++] = (struct frame) { .node = node };
    return true;
}

static void add_member(struct loader *ld, struct json *object, struct str key,
                       struct json *value)
{
    json_member(object, key, value);
    json_index(ld->arena, object);
}

/* Hangs a value into the tree where the next one belongs. */
static void attach(struct loader *ld, struct json *value)
{
    struct frame *f = innermost(ld);

    if (!f) {
        ld->root = value;
    } else if (f->node->type == JSON_ARRAY) {
        json_append(f->node, value);
    } else if (f->merging) {
        f->merge = value;
    } else {
        value->key_line = f->key_line;
        add_member(ld, f->node, f->key, value);
    }
    if (f)
        f->has_key = f->merging = false;
}

/* A name may be given again; aliases mean the latest before them. */
static void set_anchor(struct loader *ld, const yaml_char_t *name,
                       struct json *node)
{
    if (!name)
        return;
    if (!ld->anchors)
        ld->anchors = map_new(ld->arena);
    map_set(ld->anchors, arena_copy(ld->arena, text_of(name)), node);
}

/* ---- scalars ---- */

static bool is_one_of(struct str s, const char *const *words)
{
    for (; *words; words++)
        if (str_is(s, *words))
            return true;
    return false;
}

static struct str cut_digits(struct str *s)
{
    struct str all = *s;

    while (s->len && s->p[0] >= '0' && s->p[0] <= '9')
        *s = str_skip(*s, 1);
    return str_head(all, all.len - s->len);
}

static bool cut_char(struct str *s, char c)
{
    if (!s->len || s->p[0] != c)
        return false;
    *s = str_skip(*s, 1);
    return true;
}

/* A decimal number as JSON writes it: no plus, no zeros in front, a digit on
 * both sides of the point. False when s is no number. */
static bool read_decimal(struct arena *a, struct str s, struct str *out)
{
    struct str all = s, whole, fraction = STR_NULL, exponent;
    bool minus = cut_char(&s, '-'), plus = !minus && cut_char(&s, '+');
    bool point;

    whole = cut_digits(&s);
    point = cut_char(&s, '.');
    if (point)
        fraction = cut_digits(&s);
    if (!whole.len && !fraction.len)
        return false;
    exponent = s;
    if (cut_char(&s, 'e') || cut_char(&s, 'E')) {
        if (!cut_char(&s, '-'))
            cut_char(&s, '+');
        if (!cut_digits(&s).len)
            return false;
    }
    if (s.len)
        return false;
    if (!plus && whole.len && (whole.len == 1 || whole.p[0] != '0') &&
        (!point || fraction.len)) {
        *out = arena_copy(a, all);
        return true;
    }
    while (whole.len && whole.p[0] == '0')
        whole = str_skip(whole, 1);
    if (!whole.len)
        whole = STR("0");
    if (point && !fraction.len)
        fraction = STR("0");
    *out = arena_printf(a, "%s%.*s%s%.*s%.*s", minus ? "-" : "", STR_ARG(whole),
                        point ? "." : "", STR_ARG(fraction), STR_ARG(exponent));
    return true;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = char_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* 0x1f and 0o17, in decimal. What does not fit 64 bits stays a string: those
 * are hashes and addresses, and a reader would round them. */
static bool read_based(struct arena *a, struct str s, struct str *out)
{
    uint64_t n = 0;
    uint64_t base = s.len > 2 && s.p[1] == 'x' ? 16 : 8;

    if (s.len < 3 || s.p[0] != '0' || (s.p[1] != 'x' && s.p[1] != 'o'))
        return false;
    for (size_t i = 2; i < s.len; i++) {
        uint64_t digit = (uint64_t)digit_value(s.p[i]);

        if (digit >= base || n > (UINT64_MAX - digit) / base)
            return false;
        n = n * base + digit;
    }
    *out = arena_printf(a, "%" PRIu64, n);
    return true;
}

/* What an unquoted scalar without a tag is. .inf and .nan have no form in
 * JSON and stay strings, as dates do. */
static void resolve_plain(struct arena *a, struct str s, struct json *node)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", 0 };
    static const char *const trues[] = { "true", "True", "TRUE", 0 };
    static const char *const falses[] = { "false", "False", "FALSE", 0 };

    node->type = JSON_STRING;
    switch (s.len ? s.p[0] : '~') {
    case '~':
    case 'n':
    case 'N':
        if (is_one_of(s, nulls))
            node->type = JSON_NULL;
        break;
    case 't':
    case 'T':
    case 'f':
    case 'F':
        node->boolean = is_one_of(s, trues);
        if (node->boolean || is_one_of(s, falses))
            node->type = JSON_BOOL;
        break;
    case '+':
    case '-':
    case '.':
    case '0' ... '9':
        if (read_decimal(a, s, &node->text) || read_based(a, s, &node->text))
            node->type = JSON_NUMBER;
        break;
    default:
        break;
    }
    if (node->type == JSON_STRING)
        node->text = arena_copy(a, s);
}

/* The part of a core tag behind "tag:yaml.org,2002:", or "" for none and for
 * "!"; false for every other tag. */
static bool core_tag(const yaml_char_t *tag, struct str *name)
{
    static const char *const known[] = { "str", "int",  "float", "bool",
                                         "map", "null", "seq",   0 };
    struct str prefix = STR("tag:yaml.org,2002:");
    struct str s = text_of(tag);

    *name = STR("");
    if (!s.len || str_is(s, "!"))
        return true;
    *name = str_skip(s, prefix.len);
    return str_starts(s, prefix) && is_one_of(*name, known);
}

static bool fits_tag(struct str tag, const struct json *node)
{
    switch (node->type) {
    case JSON_NULL:
        return str_is(tag, "null");
    case JSON_BOOL:
        return str_is(tag, "bool");
    case JSON_NUMBER:
        return str_is(tag, "float") ||
               (str_is(tag, "int") &&
                str_find(node->text, '.') == node->text.len &&
                str_find(node->text, 'e') == node->text.len &&
                str_find(node->text, 'E') == node->text.len);
    default:
        return false;
    }
}

static bool resolve(struct loader *ld, const yaml_event_t *ev,
                    struct json *node)
{
    struct str s =
        str_from((const char *)ev->data.scalar.value, ev->data.scalar.length);
    struct str tag;

    if (!core_tag(ev->data.scalar.tag, &tag))
        return fail(ld, ev, "only the tags of JSON's types are known");
    if (!tag.len && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        resolve_plain(ld->arena, s, node);
        return true;
    }
    if (!tag.len || str_is(tag, "str")) {
        node->type = JSON_STRING;
        node->text = arena_copy(ld->arena, s);
        return true;
    }
    resolve_plain(ld->arena, s, node);
    return fits_tag(tag, node) ||
           fail(ld, ev, "this value does not fit its tag");
}

/* ---- keys and merging ---- */

static bool set_key(struct loader *ld, const yaml_event_t *ev, struct str key,
                    bool merging)
{
    struct frame *f = innermost(ld);

    if (merging ? f->merge != NULL : json_get(f->node, key) != NULL)
        return fail(ld, ev, "this key is already in the map");
    f->has_key = true;
    f->merging = merging;
    f->key = key;
    f->key_line = line_of(ev);
    return true;
}

/* A key is its text, whatever it looks like. */
static bool scalar_key(struct loader *ld, const yaml_event_t *ev)
{
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    struct str tag, key;
    struct json *node;

    if (!core_tag(ev->data.scalar.tag, &tag))
        return fail(ld, ev, "only the tags of JSON's types are known");
    key = arena_copy(ld->arena, str_from((const char *)ev->data.scalar.value,
                                         ev->data.scalar.length));
    if (ev->data.scalar.anchor) {
        node = new_node(ld, ev);
        if (!node)
            return false;
        node->type = JSON_STRING;
        node->text = key;
        set_anchor(ld, ev->data.scalar.anchor, node);
    }
    return set_key(ld, ev, key, plain && !tag.len && str_is(key, "<<"));
}

/* Takes over the members of a map; what is already in the object stays. The
 * new members share their values' insides with the old ones, which are in no
 * tree but must stay whole: an anchor may name the map. */
static void merge_map(struct loader *ld, struct json *object,
                      const struct json *map)
{
    for (const struct json *m = map->first; m; m = m->next) {
        struct json *copy;

        if (json_get(object, m->key))
            continue;
        copy = arena_raw(ld->arena, sizeof(*copy));
        *copy = *m;
        copy->next = NULL;
        add_member(ld, object, m->key, copy);
    }
}

/* At the end of a map: the keys it wrote itself come first and win, then
 * those of earlier merged maps. */
static bool merge(struct loader *ld, const yaml_event_t *ev, struct json *to,
                  const struct json *from)
{
    const struct json *map;

    if (from->type == JSON_OBJECT) {
        merge_map(ld, to, from);
        return true;
    }
    if (from->type != JSON_ARRAY)
        goto refuse;
    for (map = from->first; map; map = map->next) {
        if (map->type != JSON_OBJECT)
            goto refuse;
        merge_map(ld, to, map);
    }
    return true;
refuse:
    fail(ld, ev, "<< needs a map or a list of maps");
    ld->error.line = from->line;
    ld->error.column = 1;
    return false;
}

/* ---- aliases ---- */

/* Takes over all but the members, on the account of the aliases: the text is
 * shared, but who writes the tree writes it once more. */
static bool copy_one(struct loader *ld, const yaml_event_t *ev, struct json *to,
                     const struct json *from)
{
    size_t n = from->text.len + from->key.len;

    if (n > ld->limits->max_bytes - ld->copied)
        return limit(ld, ev, "aliases repeat too much text");
    ld->copied += n;
    to->type = from->type;
    to->boolean = from->boolean;
    to->line = from->line;
    to->text = from->text;
    return !is_parent(from) || push(ld, ev, to);
}

static bool copy_members(struct loader *ld, const yaml_event_t *ev,
                         size_t until)
{
    while (ld->depth > until) {
        struct frame *f = innermost(ld);
        const struct json *from = f->from;
        struct json *to;

        if (!from) {
            ld->depth--;
            continue;
        }
        f->from = from->next;
        to = new_node(ld, ev);
        if (!to)
            return false;
        if (f->node->type == JSON_OBJECT) {
            to->key_line = from->key_line;
            add_member(ld, f->node, from->key, to);
        } else {
            json_append(f->node, to);
        }
        if (!copy_one(ld, ev, to, from))
            return false;
        if (is_parent(from))
            innermost(ld)->from = from->first;
    }
    return true;
}

static bool on_alias(struct loader *ld, const yaml_event_t *ev)
{
    struct str name = text_of(ev->data.alias.anchor);
    struct frame *f = innermost(ld);
    struct json *from, *to;
    size_t before = ld->depth;

    from = ld->anchors ? map_get(ld->anchors, name) : NULL;
    if (!from)
        return fail(ld, ev, "no anchor of this name comes before");
    for (size_t i = 0; i < ld->depth; i++)
        if (ld->open[i].node == from)
            return fail(ld, ev, "an alias inside of what it stands for");
    if (f && f->node->type == JSON_OBJECT && !f->has_key) {
        if (from->type != JSON_STRING)
            return fail(ld, ev, "a key must be a string");
        return set_key(ld, ev, from->text, false);
    }
    to = new_node(ld, ev);
    if (!to)
        return false;
    attach(ld, to);
    if (!copy_one(ld, ev, to, from))
        return false;
    if (is_parent(from))
        innermost(ld)->from = from->first;
    return copy_members(ld, ev, before);
}

/* ---- events ---- */

static bool wants_key(struct loader *ld)
{
    struct frame *f = innermost(ld);

    return f && f->node->type == JSON_OBJECT && !f->has_key;
}

static bool on_scalar(struct loader *ld, const yaml_event_t *ev)
{
    struct json *node;

    if (wants_key(ld))
        return scalar_key(ld, ev);
    node = new_node(ld, ev);
    if (!node || !resolve(ld, ev, node))
        return false;
    set_anchor(ld, ev->data.scalar.anchor, node);
    attach(ld, node);
    return true;
}

static bool on_start(struct loader *ld, const yaml_event_t *ev,
                     enum json_type type, const yaml_char_t *tag,
                     const yaml_char_t *anchor)
{
    struct json *node;
    struct str name;

    if (wants_key(ld))
        return fail(ld, ev, "a key must be a string");
    if (!core_tag(tag, &name))
        return fail(ld, ev, "only the tags of JSON's types are known");
    if (name.len && !str_is(name, type == JSON_ARRAY ? "seq" : "map"))
        return fail(ld, ev, "this value does not fit its tag");
    node = new_node(ld, ev);
    if (!node)
        return false;
    node->type = type;
    set_anchor(ld, anchor, node);
    attach(ld, node);
    return push(ld, ev, node);
}

static bool on_end(struct loader *ld, const yaml_event_t *ev)
{
    struct frame *f = innermost(ld);

    if (f->merge && !merge(ld, ev, f->node, f->merge))
        return false;
    ld->depth--;
    return true;
}

static bool on_event(struct loader *ld, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        return !ld->root || fail(ld, ev, "a second document begins here");
    case YAML_ALIAS_EVENT:
        return on_alias(ld, ev);
    case YAML_SCALAR_EVENT:
        return on_scalar(ld, ev);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(ld, ev, JSON_ARRAY, ev->data.sequence_start.tag,
                        ev->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return on_start(ld, ev, JSON_OBJECT, ev->data.mapping_start.tag,
                        ev->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(ld, ev);
    case YAML_STREAM_END_EVENT:
        ld->done = true;
        return ld->root || fail(ld, ev, "there is no document");
    default:
        return true;
    }
}

/* libyaml's problem as ours: its texts are constants. */
static bool parser_failed(struct loader *ld, struct str text)
{
    const yaml_parser_t *p = &ld->parser;
    yaml_mark_t mark = p->problem_mark;

    if (p->error == YAML_MEMORY_ERROR)
        return fail_as(ld, ERR_LIMIT, p->mark, "more than memory holds");
    if (p->error == YAML_READER_ERROR) {
        /* it knows only the offset, and has read ahead of its mark */
        mark = (yaml_mark_t) { 0 };
        for (size_t i = 0; i < text.len && i < p->problem_offset; i++) {
            mark.column++;
            if (text.p[i] == '\n') {
                mark.line++;
                mark.column = 0;
            }
        }
    }
    return fail_as(ld, ERR_INVALID, mark,
                   p->problem ? p->problem : "this is no YAML");
}

static bool parse_events(struct loader *ld, struct str text)
{
    yaml_event_t ev;
    bool ok;

    do {
        if (!yaml_parser_parse(&ld->parser, &ev))
            return parser_failed(ld, text);
        ok = on_event(ld, &ev);
        yaml_event_delete(&ev);
    } while (ok && !ld->done);
    return ok;
}

/* Counts the %TAG lines: nobody needs many, and libyaml's time grows with
 * their square. A line may begin behind more than a newline in YAML, so every
 * byte that can end one counts. */
static bool too_many_tags(struct str text)
{
    size_t count = 0;
    const char *at;

    while (text.len && (at = memmem(text.p, text.len, "%TAG", 4))) {
        size_t before = (size_t)(at - text.p);

        if (!before || memchr("\n\r\x85\xa8\xa9\xbf", at[-1], 6))
            count++;
        text = str_skip(text, before + 4);
    }
    return count > TAG_DIRECTIVES_MAX;
}

enum err yaml_parse(struct arena *a, struct str text,
                    const struct json_limits *limits, struct json **out,
                    struct json_error *error)
{
    struct loader ld = { .arena = a, .limits = limits };

    must(limits->max_depth <= DEPTH_MAX);
    *error = (struct json_error) { 1, 1, "the text is too long" };
    if (text.len > limits->max_bytes)
        return ERR_LIMIT;
    error->what = "too many %TAG directives";
    if (too_many_tags(text))
        return ERR_LIMIT;
    error->what = "more than memory holds";
    if (!yaml_parser_initialize(&ld.parser))
        return ERR_LIMIT;
    yaml_parser_set_encoding(&ld.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &ld.parser, (const unsigned char *)(text.p ? text.p : ""), text.len);
    ld.open = x_array(limits->max_depth, sizeof(*ld.open));
    if (parse_events(&ld, text))
        *out = ld.root;
    else
        *error = ld.error;
    x_free(ld.open);
    yaml_parser_delete(&ld.parser);
    return ld.err;
}

enum err document_parse(struct arena *a, struct str text,
                        const struct json_limits *limits, struct json **out,
                        struct json_error *error)
{
    size_t i = 0;

    while (i < text.len && memchr(" \t\r\n", text.p[i], 4))
        i++;
    if (i < text.len && (text.p[i] == '{' || text.p[i] == '['))
        return json_parse(a, text, limits, out, error);
    return yaml_parse(a, text, limits, out, error);
}
