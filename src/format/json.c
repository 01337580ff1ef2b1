/* json.c - the parser, and how a tree is asked.
 *
 * One loop, no recursion: the open arrays and objects are a stack of frames,
 * so depth costs a few bytes each. Strings without escapes stay views of the
 * text. Runs of spaces and of ordinary string bytes are skipped 16 bytes at a
 * time where SSE2 is there; the plain loops give the same answers.
 */
#include "format/json.h"

#include "base/log.h"
#include "base/map.h"
#include "base/utf8.h"

#if defined(__SSE2__) && !defined(JSON_PLAIN)
#include <emmintrin.h>
#define JSON_SSE2 1
#else
#define JSON_SSE2 0
#endif

enum {
    DEPTH_MAX = 1000,
    INDEX_ABOVE = 16, /* members; fewer are looked through one by one */
    SLAB_FIRST = 8,   /* nodes are allocated by the slab, each … */
    SLAB_MAX = 512,   /* … twice the one before, up to this */
};

const struct json_limits json_default_limits = {
    .max_bytes = 64u << 20,
    .max_depth = 256,
    .max_nodes = 10 * 1000 * 1000,
    .duplicate_keys = false,
};

struct frame {
    struct json *node;
    /* A bit per key seen, chosen by a cheap hash: when it is not set, the
     * key is new and the members need not be compared. */
    uint64_t seen;
};

struct parser {
    struct arena *arena;
    const struct json_limits *limits;
    const char *start, *p, *end;
    uint32_t line;
    size_t nodes;
    struct json *slab;
    size_t slab_left, slab_size;
    enum err err;
    struct json_error error;
    size_t depth;
    struct frame open[DEPTH_MAX];
};

/* Remembers the first failure, with its line and column. Returns false. */
static bool fail_as(struct parser *ps, enum err e, const char *at,
                    const char *what)
{
    uint32_t column = 1;

    while (at > ps->start && at[-1] != '\n') {
        at--;
        column += (*at & 0xc0) != 0x80; /* characters, not bytes */
    }
    ps->err = e;
    ps->error = (struct json_error) { ps->line, column, what };
    return false;
}

static bool fail(struct parser *ps, const char *what)
{
    return fail_as(ps, ERR_INVALID, ps->p, what);
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Skips white space and counts lines: a line can end nowhere else, because
 * strings hold no raw newline. */
static inline void skip_space(struct parser *ps)
{
    const char *p = ps->p, *end = ps->end;

    if (p < end && (unsigned char)*p > ' ')
        return;
#if JSON_SSE2
    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i nl = _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'));
        __m128i other = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')),
                                     _mm_cmpeq_epi8(v, _mm_set1_epi8('\t')));
        __m128i sp = _mm_cmpeq_epi8(v, _mm_set1_epi8(' '));
        unsigned space = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(_mm_or_si128(nl, sp), other));
        unsigned lines = (unsigned)_mm_movemask_epi8(nl);
        unsigned stop = ~space & 0xffff;

        if (stop)
            lines &= (stop & -stop) - 1; /* those before the stop */
        for (; lines; lines &= lines - 1)
            ps->line++;
        if (stop) {
            ps->p = p + __builtin_ctz(stop);
            return;
        }
        p += 16;
    }
#endif
    for (; p < end && is_space(*p); p++)
        ps->line += *p == '\n';
    ps->p = p;
}

/* The first byte from p on that is not just copied: a quote, a backslash, a
 * control, or the start of a sequence that must be checked. */
static inline const char *plain_run(const char *p, const char *end)
{
#if JSON_SSE2
    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i mark = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                    _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        /* compared as signed bytes: controls and everything above 0x7f */
        __m128i odd = _mm_cmplt_epi8(v, _mm_set1_epi8(' '));
        unsigned stop = (unsigned)_mm_movemask_epi8(_mm_or_si128(mark, odd));

        if (stop)
            return p + __builtin_ctz(stop);
        p += 16;
    }
#endif
    while (p < end && (signed char)*p >= ' ' && *p != '"' && *p != '\\')
        p++;
    return p;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = char_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind a \u at p, or -1. */
static int escaped_unit(const char *p, const char *end)
{
    int unit = 0;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Writes a code point that is no surrogate as 1 to 4 bytes. */
static char *put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *to++ = (char)(0xe0 | code >> 12);
        } else {
            *to++ = (char)(0xf0 | code >> 18);
            *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (code & 0x3f));
    return to;
}

/* Decodes \uXXXX or a pair of them at *p. */
static bool unescape_code(struct parser *ps, const char **p, const char *end,
                          char **to)
{
    int unit = escaped_unit(*p, end), low;
    unsigned code = (unsigned)unit;

    if (unit < 0)
        return fail_as(ps, ERR_INVALID, *p, "\\u needs four hex digits");
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return fail_as(ps, ERR_INVALID, *p, "a lone surrogate");
    if (unit >= 0xd800 && unit <= 0xdbff) {
        low = escaped_unit(*p + 6, end);
        if (low < 0xdc00 || low > 0xdfff)
            return fail_as(ps, ERR_INVALID, *p, "a lone surrogate");
        code = 0x10000u + ((code & 0x3ff) << 10) + ((unsigned)low & 0x3ff);
        *p += 6;
    }
    *p += 6;
    *to = put_utf8(*to, code);
    return true;
}

static char escape_of(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return '\0';
    }
}

/* Replaces *s by its decoded form. Every backslash in it has a byte behind
 * it, and decoding never makes text longer. */
static bool unescape(struct parser *ps, struct str *s)
{
    const char *p = s->p, *end = p + s->len;
    char *text = arena_raw(ps->arena, s->len), *to = text;

    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        size_t n = (size_t)((slash ? slash : end) - p);

        memcpy(to, p, n);
        to += n;
        p += n;
        if (!slash)
            break;
        if (p[1] == 'u') {
            if (!unescape_code(ps, &p, end, &to))
                return false;
            continue;
        }
        *to = escape_of(p[1]);
        if (!*to)
            return fail_as(ps, ERR_INVALID, p, "an unknown escape");
        to++;
        p += 2;
    }
    *s = str_from(text, (size_t)(to - text));
    return true;
}

/* The string whose opening quote is at ps->p. */
static bool parse_string(struct parser *ps, struct str *out)
{
    const char *from = ps->p + 1, *p = from, *end = ps->end;
    bool escaped = false;
    uint32_t code;
    size_t n;

    for (;;) {
        p = plain_run(p, end);
        if (p == end)
            return fail(ps, "this string has no end");
        if (*p == '"')
            break;
        if (*p == '\\') {
            if (end - p < 2)
                return fail(ps, "this string has no end");
            escaped = true;
            p += 2;
        } else if ((unsigned char)*p < ' ') {
            return fail_as(ps, ERR_INVALID, p,
                           "a control character must be escaped");
        } else {
            do {
                n = utf8_next(str_from(p, (size_t)(end - p)), &code);
                if (!n)
                    return fail_as(ps, ERR_INVALID, p,
                                   "bytes that are not UTF-8");
                p += n;
            } while (p < end && (signed char)*p < 0);
        }
    }
    ps->p = p + 1;
    *out = str_from(from, (size_t)(p - from));
    return !escaped || unescape(ps, out);
}

static inline const char *digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

static bool parse_number(struct parser *ps, struct json *node)
{
    const char *from = ps->p, *p = from, *end = ps->end, *part;

    p += *p == '-';
    part = p;
    p = digits(p, end);
    if (p == part)
        return fail(ps, "a number needs a digit");
    if (*part == '0' && p - part > 1)
        return fail(ps, "a number must not begin with 0");
    if (p < end && *p == '.') {
        part = ++p;
        p = digits(p, end);
        if (p == part)
            return fail(ps, "a number needs a digit behind its point");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        part = p;
        p = digits(p, end);
        if (p == part)
            return fail(ps, "a number needs a digit in its exponent");
    }
    node->type = JSON_NUMBER;
    node->text = str_from(from, (size_t)(p - from));
    ps->p = p;
    return true;
}

static bool parse_word(struct parser *ps, struct json *node,
                       enum json_type type, struct str word)
{
    struct str rest = str_from(ps->p, (size_t)(ps->end - ps->p));

    if (!str_starts(rest, word))
        return fail(ps, "a value must begin here");
    node->type = type;
    ps->p += word.len;
    return true;
}

static bool push(struct parser *ps, struct json *node, enum json_type type)
{
    if (ps->depth == ps->limits->max_depth)
        return fail_as(ps, ERR_LIMIT, ps->p, "nested too deeply");
    node->type = type;
    ps->open[ps->depth++] = (struct frame) { .node = node };
    ps->p++;
    return true;
}

/* A scalar whole, or the beginning of an array or object. */
static bool parse_value(struct parser *ps, struct json *node)
{
    if (ps->p == ps->end)
        return fail(ps, "the text ends where a value must be");
    switch (*ps->p) {
    case '"':
        node->type = JSON_STRING;
        return parse_string(ps, &node->text);
    case '{':
        return push(ps, node, JSON_OBJECT);
    case '[':
        return push(ps, node, JSON_ARRAY);
    case '-':
    case '0' ... '9':
        return parse_number(ps, node);
    case 't':
        node->boolean = true;
        return parse_word(ps, node, JSON_BOOL, STR("true"));
    case 'f':
        return parse_word(ps, node, JSON_BOOL, STR("false"));
    case 'n':
        return parse_word(ps, node, JSON_NULL, STR("null"));
    default:
        return fail(ps, "a value must begin here");
    }
}

/* A node for the value that begins at ps->p; NULL is a failure. */
static inline struct json *new_node(struct parser *ps)
{
    struct json *node;

    if (ps->nodes == ps->limits->max_nodes) {
        fail_as(ps, ERR_LIMIT, ps->p, "too many values");
        return NULL;
    }
    ps->nodes++;
    if (!ps->slab_left) {
        ps->slab = arena_raw(ps->arena, ps->slab_size * sizeof(*node));
        ps->slab_left = ps->slab_size;
        if (ps->slab_size < SLAB_MAX)
            ps->slab_size *= 2;
    }
    ps->slab_left--;
    node = ps->slab++;
    *node = (struct json) { .line = ps->line };
    return node;
}

/* A name and its colon. The member is known as a duplicate only later, so
 * *at is where it began. */
static bool parse_key(struct parser *ps, struct str *key, const char **at,
                      uint32_t *line)
{
    if (ps->p == ps->end || *ps->p != '"')
        return fail(ps, "a member must begin with a quoted name");
    *at = ps->p;
    *line = ps->line;
    if (!parse_string(ps, key))
        return false;
    skip_space(ps);
    if (ps->p == ps->end || *ps->p != ':')
        return fail(ps, "a name needs a : behind it");
    ps->p++;
    skip_space(ps);
    return true;
}

static uint64_t key_bit(struct str key)
{
    size_t h = key.len;

    if (key.len)
        h += (size_t)(unsigned char)key.p[0] * 5 +
             (size_t)(unsigned char)key.p[key.len - 1] * 17 +
             (size_t)(unsigned char)key.p[key.len / 2] * 3;
    return 1ull << (h & 63);
}

/* The earlier member of the same name, or NULL. */
static struct json *earlier(struct frame *f, struct str key)
{
    uint64_t bit;

    if (f->node->index)
        return map_get(f->node->index, key);
    bit = key_bit(key);
    if (f->seen & bit)
        return json_get(f->node, key);
    f->seen |= bit;
    return NULL;
}

/* Where the value of the next member goes. A name that comes again (when that
 * is allowed) takes the place of the one before. */
static struct json *next_member(struct parser *ps, struct frame *f)
{
    struct json *node, *old;
    struct str key;
    const char *at = NULL;
    uint32_t line = 0;

    if (!parse_key(ps, &key, &at, &line))
        return NULL;
    old = earlier(f, key);
    if (old && !ps->limits->duplicate_keys) {
        ps->line = line;
        fail_as(ps, ERR_INVALID, at, "this name is already in the object");
        return NULL;
    }
    node = new_node(ps);
    if (!node)
        return NULL;
    node->key_line = line;
    if (old) {
        node->key = old->key;
        node->next = old->next;
        *old = *node;
        return old;
    }
    json_member(f->node, key, node);
    if (f->node->count == INDEX_ABOVE + 1)
        json_index(ps->arena, f->node);
    return node;
}

/* Takes one step in the innermost open array or object: its end, or its next
 * member. */
static bool parse_step(struct parser *ps)
{
    struct frame *f = &ps->open[ps->depth - 1];
    bool object = f->node->type == JSON_OBJECT;
    struct json *child;

    skip_space(ps);
    if (ps->p == ps->end)
        return fail(ps,
                    object ? "an object has no end" : "an array has no end");
    if (*ps->p == (object ? '}' : ']')) {
        ps->depth--;
        ps->p++;
        return true;
    }
    if (f->node->count) {
        if (*ps->p != ',')
            return fail(ps, object ? "a , or } must be here"
                                   : "a , or ] must be here");
        ps->p++;
        skip_space(ps);
    }
    if (object) {
        child = next_member(ps, f);
    } else {
        child = new_node(ps);
        if (child)
            json_append(f->node, child);
    }
    return child && parse_value(ps, child);
}

static bool parse_text(struct parser *ps, struct json **root)
{
    if (str_starts(str_from(ps->p, (size_t)(ps->end - ps->p)),
                   STR("\xef\xbb\xbf")))
        return fail(ps, "a byte-order mark is not allowed");
    skip_space(ps);
    *root = new_node(ps);
    if (!*root || !parse_value(ps, *root))
        return false;
    while (ps->depth)
        if (!parse_step(ps))
            return false;
    skip_space(ps);
    return ps->p == ps->end || fail(ps, "something follows the value");
}

enum err json_parse(struct arena *a, struct str text,
                    const struct json_limits *limits, struct json **out,
                    struct json_error *error)
{
    struct parser ps; /* not zeroed: the frames are many */
    struct json *root = NULL;

    must(limits->max_depth <= DEPTH_MAX);
    if (text.len > limits->max_bytes) {
        *error = (struct json_error) { 1, 1, "the text is too long" };
        return ERR_LIMIT;
    }
    ps.arena = a;
    ps.limits = limits;
    ps.start = ps.p = text.p ? text.p : "";
    ps.end = ps.p + text.len;
    ps.line = 1;
    ps.nodes = ps.depth = ps.slab_left = 0;
    ps.slab_size = SLAB_FIRST;
    if (!parse_text(&ps, &root)) {
        *error = ps.error;
        return ps.err;
    }
    *out = root;
    return ERR_OK;
}

struct json *json_get(const struct json *o, struct str key)
{
    if (!o || o->type != JSON_OBJECT)
        return NULL;
    if (o->index)
        return map_get(o->index, key);
    for (struct json *m = o->first; m; m = m->next)
        if (str_eq(m->key, key))
            return m;
    return NULL;
}

struct str json_str(const struct json *j)
{
    return j && j->type == JSON_STRING ? j->text : STR_NULL;
}

bool json_true(const struct json *j)
{
    return j && j->type == JSON_BOOL && j->boolean;
}

enum err json_u64(const struct json *j, uint64_t max, uint64_t *out)
{
    if (!j || j->type != JSON_NUMBER)
        return ERR_INVALID;
    return str_to_u64(j->text, max, out);
}

const char *json_type_name(const struct json *j)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",     [JSON_BOOL] = "boolean",
        [JSON_NUMBER] = "number", [JSON_STRING] = "string",
        [JSON_ARRAY] = "array",   [JSON_OBJECT] = "object",
    };

    return j ? names[j->type] : "nothing";
}

/* Decodes ~0 and ~1 into to, which has room for token.len bytes. */
static bool token_decode(struct str token, char *to, size_t *len)
{
    *len = 0;
    for (size_t i = 0; i < token.len; i++) {
        char c = token.p[i];

        if (c == '~') {
            if (++i == token.len || (token.p[i] & ~1) != '0')
                return false;
            c = token.p[i] == '0' ? '~' : '/';
        }
        to[(*len)++] = c;
    }
    return true;
}

static struct json *item_at(const struct json *array, struct str token)
{
    struct json *item = array->first;
    uint64_t at;

    if (token.len > 1 && token.p[0] == '0')
        return NULL;
    if (!array->count || str_to_u64(token, array->count - 1, &at))
        return NULL;
    while (at--)
        item = item->next;
    return item;
}

static struct json *pointer_step(const struct json *j, struct str token)
{
    char small[256], *name = small;
    struct json *member = NULL;
    size_t len;

    if (j->type == JSON_ARRAY)
        return item_at(j, token);
    if (str_find(token, '~') == token.len)
        return json_get(j, token);
    if (token.len > sizeof(small))
        name = x_new(token.len);
    if (token_decode(token, name, &len))
        member = json_get(j, str_from(name, len));
    if (name != small)
        x_free(name);
    return member;
}

struct json *json_pointer(struct json *root, struct str pointer)
{
    if (!pointer.len)
        return root;
    if (pointer.p[0] != '/')
        return NULL;
    pointer = str_skip(pointer, 1);
    while (root && pointer.p)
        root = pointer_step(root, str_cut(&pointer, '/'));
    return root;
}

struct json *json_new(struct arena *a, enum json_type type)
{
    struct json *j = arena_alloc(a, sizeof(*j));

    j->type = type;
    return j;
}

struct json *json_new_str(struct arena *a, struct str s)
{
    struct json *j = json_new(a, JSON_STRING);

    j->text = s;
    return j;
}

void json_append(struct json *array, struct json *item)
{
    if (array->last)
        array->last->next = item;
    else
        array->first = item;
    array->last = item;
    array->count++;
}

void json_member(struct json *object, struct str key, struct json *value)
{
    value->key = key;
    json_append(object, value);
    if (object->index)
        map_set(object->index, key, value);
}

void json_index(struct arena *a, struct json *object)
{
    if (object->index || object->count <= INDEX_ABOVE)
        return;
    object->index = map_new(a);
    for (struct json *m = object->first; m; m = m->next)
        map_set(object->index, m->key, m);
}
