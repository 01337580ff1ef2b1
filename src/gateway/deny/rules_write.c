/* rules_write.c - adding rules to the file, and taking them out.
 *
 * People write this file too, with comments: so a rule is a line added at the
 * end, and one that goes takes its own lines with it. What comes of it is read
 * before it takes the place of the file.
 */
#include <unistd.h>

#include "base/log.h"
#include "base/whole_file.h"
#include "format/json.h"
#include "gateway/deny/rules_internal.h"

enum { FILE_MAX_BYTES = 32 << 20 };

/* What JSON may have as it is and YAML may not, or takes for the end of a line:
 * DEL, C1 controls, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF. *n: its bytes. */
static unsigned unprintable(const unsigned char *p, size_t left, size_t *n)
{
    *n = 1;
    if (p[0] == 0x7f)
        return 0x7f;
    *n = 2;
    if (left >= 2 && p[0] == 0xc2 && p[1] < 0xa0)
        return p[1];
    *n = 3;
    if (left < 3)
        return 0;
    if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
        return 0x2000u + p[2] - 0x80;
    if (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf)
        return 0xfeff;
    return p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe ? 0xff00u + p[2] + 0x40
                                                        : 0;
}

/* A text as the reader takes it: JSON, in which a $ is written twice. */
static enum err write_text(struct buf *b, struct str s)
{
    struct buf json;
    enum err e;

    buf_init(&json, 6 * s.len + 3);
    e = json_write_str(&json, s);
    for (size_t i = 0, n = 1; i < json.len && !e; i += n) {
        const char *p = json.p + i;
        unsigned code = unprintable((const unsigned char *)p, json.len - i, &n);

        if (code) {
            e = buf_printf(b, "\\u%04x", code);
            continue;
        }
        n = 1;
        e = buf_char(b, *p);
        if (!e && *p == '$')
            e = buf_char(b, '$');
    }
    buf_done(&json);
    return e;
}

static enum err begin(struct buf *b, bool *first, const char *name)
{
    enum err e = buf_printf(b, "%s%s: ", *first ? "" : ", ", name);

    *first = false;
    return e;
}

static enum err write_one(struct buf *b, bool *first, const char *name,
                          struct str s)
{
    enum err e = s.len ? begin(b, first, name) : ERR_OK;

    return e || !s.len ? e : write_text(b, s);
}

static enum err write_list(struct buf *b, bool *first, const char *name,
                           const struct conf_strings *list)
{
    enum err e;

    if (list->count < 2)
        return write_one(b, first, name,
                         list->count ? list->items[0] : STR(""));
    e = begin(b, first, name);
    for (size_t i = 0; i < list->count && !e; i++) {
        e = buf_z(b, i ? ", " : "[");
        if (!e)
            e = write_text(b, list->items[i]);
    }
    return e ? e : buf_char(b, ']');
}

enum err deny_rule_write(struct buf *b, const struct deny_rule *r)
{
    bool first = true;
    enum err e = buf_z(b, "- {");

    if (e || (e = write_one(b, &first, "id", r->id)) ||
        (e = write_list(b, &first, "api", &r->apis)) ||
        (e = write_list(b, &first, "application", &r->applications)) ||
        (e = write_list(b, &first, "user", &r->users)) ||
        (e = write_list(b, &first, "address", &r->addresses)) ||
        (e = write_list(b, &first, "not_address", &r->not_addresses)) ||
        (e = write_list(b, &first, "country", &r->countries)) ||
        (e = write_list(b, &first, "not_country", &r->not_countries)) ||
        (e = write_list(b, &first, "method", &r->methods)) ||
        (e = write_list(b, &first, "path", &r->paths)) ||
        (e = write_list(b, &first, "header", &r->headers)) ||
        (e = write_one(b, &first, "until", r->until)) ||
        (e = write_one(b, &first, "note", r->note)) ||
        (!r->enabled &&
         ((e = begin(b, &first, "enabled")) || (e = buf_z(b, "false")))))
        return e;
    return buf_z(b, "}\n");
}

/* ---- the file ---- */

static size_t count_id(const struct deny_rules *r, struct str id)
{
    size_t n = 0;

    for (uint32_t i = 0; i < r->count; i++)
        n += str_eq(r->rules[i].id, id);
    return n;
}

/* The text that is to be: read as the gateway will read it. */
static enum err put(struct str path, struct str text, struct str id,
                    size_t rules, bool there, struct problems *ps)
{
    struct deny_rules *made;
    struct problems wrong;
    enum err e;

    problems_init(&wrong, ps->arena);
    e = deny_rules_parse(text, path, &wrong, &made);
    if (!e && (made->count != rules || count_id(made, id) != there)) {
        deny_rules_free(made);
        e = ERR_INVALID;
    } else if (!e) {
        deny_rules_free(made);
        return whole_file_replace(path, text, ps);
    }
    if (e == ERR_LIMIT)
        *ps = wrong;
    else
        problem_error(ps, path, 0,
                      "cannot be changed by a program: its rules must be a "
                      "YAML list, each beginning a line with \"- \"; change it "
                      "by hand");
    return e;
}

/* A rule that is wrong by itself is not the file's fault. */
static enum err check(struct str line, struct problems *ps)
{
    struct deny_rules *made;
    struct problems wrong;
    enum err e;

    problems_init(&wrong, ps->arena);
    e = deny_rules_parse(line, STR_NULL, &wrong, &made);
    if (!e)
        deny_rules_free(made);
    for (const struct problem *p = wrong.first; p; p = p->next)
        problem_error(ps, STR_NULL, 0, "%.*s", STR_ARG(p->text));
    return e;
}

static enum err add(struct str path, struct str text,
                    const struct deny_rules *old, const struct deny_rule *rule,
                    struct problems *ps)
{
    size_t before;
    struct buf b;
    enum err e;

    if (count_id(old, rule->id)) {
        problem_error(ps, path, 0, "has a rule %.*s already; choose another id",
                      STR_ARG(rule->id));
        return ERR_CONFLICT;
    }
    buf_init(&b, FILE_MAX_BYTES);
    e = buf_str(&b, text);
    if (!e && text.len && text.p[text.len - 1] != '\n')
        e = buf_char(&b, '\n');
    before = b.len;
    if (e || (e = deny_rule_write(&b, rule)))
        problem_error(ps, path, 0, "has no room for more rules");
    else
        e = check(str_skip(buf_view(&b), before), ps);
    if (!e)
        e = put(path, buf_view(&b), rule->id, old->count + 1, true, ps);
    buf_done(&b);
    return e;
}

static bool stays(struct str line)
{
    struct str s = str_trim(line);

    return !s.len || (line.p[0] == '#');
}

/* Comments in front of the next rule are that one's. */
static enum err cut(struct buf *b, struct str text,
                    const struct deny_rule *rule)
{
    size_t kept = 0;
    enum err e = ERR_OK;

    for (uint32_t n = 1; text.p && !e; n++) {
        struct str line = str_cut(&text, '\n');

        if (!text.p && !line.len)
            break;
        if (n >= rule->line && n < rule->lines_end && !stays(line)) {
            b->len = kept; /* what was between two lines of the rule */
            continue;
        }
        e = buf_str(b, line);
        if (!e)
            e = buf_char(b, '\n');
        if (n < rule->line)
            kept = b->len;
    }
    return e;
}

static enum err take_out(struct str path, struct str text,
                         const struct deny_rules *old, struct str id,
                         struct problems *ps)
{
    enum err e = ERR_NOT_FOUND;
    struct buf b;

    for (uint32_t i = 0; i < old->count && e == ERR_NOT_FOUND; i++) {
        if (!str_eq(old->rules[i].id, id))
            continue;
        buf_init(&b, FILE_MAX_BYTES + 1);
        e = cut(&b, text, &old->rules[i]);
        must(!e); /* it is no longer than it was */
        e = put(path, buf_view(&b), id, old->count - 1, false, ps);
        buf_done(&b);
    }
    return e;
}

static enum err change(struct str path, const struct deny_rule *rule,
                       struct str id, struct problems *ps)
{
    struct str text = STR("");
    struct deny_rules *old;
    enum err e = whole_file_read(ps->arena, path, FILE_MAX_BYTES, ps, &text);

    if (!e || e == ERR_NOT_FOUND)
        e = deny_rules_parse(text, path, ps, &old);
    if (e)
        return e;
    e = rule ? add(path, text, old, rule, ps)
             : take_out(path, text, old, id, ps);
    deny_rules_free(old);
    return e;
}

static enum err locked(struct str path, const struct deny_rule *rule,
                       struct str id, struct problems *ps)
{
    int lock = whole_file_lock(path, ps);
    enum err e = ERR_IO;

    if (lock >= 0) {
        e = change(path, rule, id, ps);
        close(lock);
    }
    return e;
}

enum err deny_file_add(struct str path, const struct deny_rule *rule,
                       struct problems *ps)
{
    must(rule->id.len);
    return locked(path, rule, rule->id, ps);
}

enum err deny_file_remove(struct str path, struct str id, struct problems *ps)
{
    return locked(path, NULL, id, ps);
}
