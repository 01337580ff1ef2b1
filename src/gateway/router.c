/* router.c - see router.h. */
#include "gateway/router.h"

#include "format/uri.h"
#include "base/map.h"
#include "gateway/api.h"

enum { SMALL = 8, DEPTH_MAX = 128 };

/* Children by segment: a short list, or a hash table when there are many. */
struct segments {
    struct segment *items; /* count, or a table of size mask + 1 */
    uint32_t count, mask;
};

struct segment {
    struct str text;
    uint64_t hash;
    void *node;
};

static uint64_t hash_segment(struct str s)
{
    return hash_content(HASH_CONTENT_START, s.p, s.len);
}

static void *segments_get(const struct segments *s, struct str text)
{
    if (!s->mask) {
        for (uint32_t i = 0; i < s->count; i++)
            if (str_eq(s->items[i].text, text))
                return s->items[i].node;
        return NULL;
    }
    uint64_t h = hash_segment(text);

    for (uint64_t i = h & s->mask; s->items[i].node; i = (i + 1) & s->mask)
        if (s->items[i].hash == h && str_eq(s->items[i].text, text))
            return s->items[i].node;
    return NULL;
}

static void table_put(struct segments *s, struct segment item)
{
    uint64_t i = item.hash & s->mask;

    while (s->items[i].node)
        i = (i + 1) & s->mask;
    s->items[i] = item;
}

static void segments_add(struct arena *a, struct segments *s, struct str text,
                         void *node)
{
    struct segment item = { text, hash_segment(text), node };
    struct segments old = *s;
    uint32_t room = s->mask ? s->mask + 1 : SMALL;

    if (!s->items)
        s->items = arena_alloc(a, SMALL * sizeof(item));
    if (s->count < SMALL) {
        s->items[s->count++] = item;
        return;
    }
    if (!s->mask || s->count * 2 >= room) {
        uint32_t size = s->mask ? room * 2 : SMALL * 4;

        s->mask = size - 1;
        s->items = arena_alloc(a, size * sizeof(item));
        for (uint32_t i = 0; i < room; i++)
            if (old.items[i].node)
                table_put(s, old.items[i]);
    }
    table_put(s, item);
    s->count++;
}

/* The first segment of path ("/a/b": "a"), and what is behind it ("/b"). */
static struct str next_segment(struct str path, struct str *rest)
{
    const char *slash;

    path = str_skip(path, 1);
    slash = path.len ? memchr(path.p, '/', path.len) : NULL;
    if (!slash) {
        *rest = STR("");
        return path;
    }
    *rest = str_skip(path, (size_t)(slash - path.p));
    return str_head(path, (size_t)(slash - path.p));
}

/* Operations */

/* A segment with parameters and text between them: text[0] {} text[1] {} …;
 * a plain parameter has two empty texts. */
struct pattern {
    struct str *texts;
    uint32_t count;   /* of texts, parameters + 1 */
    uint32_t literal; /* bytes of text: more of them are tried first */
    struct op_node *node;
    struct pattern *next;
};

struct op_node {
    struct segments literals;
    struct pattern *patterns;
    struct op *by_method[METHOD_COUNT]; /* OTHER: first of a list */
    struct op **others;
    uint32_t other_count;
    uint32_t methods;    /* bits */
    struct op_node *any; /* trailing "*" */
};

struct op_tree {
    struct arena *arena;
    struct op_node root;
};

struct op_tree *op_tree_new(struct arena *a)
{
    struct op_tree *t = arena_alloc(a, sizeof(*t));

    t->arena = a;
    return t;
}

/* Literal text of a template in the normal form of request paths. It may be a
 * part of a segment, so a letter goes before it: "{name}.{type}" has a dot in
 * the middle that is no "." segment. */
static struct str normal_text(struct arena *a, struct str text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *raw = arena_raw(a, text.len * 3 + 2), *out;
    size_t n = 0, len;
    bool unchanged;

    raw[n++] = '/';
    raw[n++] = 'x';
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = c > 0x20 && c < 0x7f && !strchr("\"<>\\^`{|}[]#?", c);

        if (plain) {
            raw[n++] = (char)c;
        } else {
            raw[n++] = '%';
            raw[n++] = hex[c >> 4];
            raw[n++] = hex[c & 15];
        }
    }
    out = arena_raw(a, n);
    if (uri_path_normal(str_from(raw, n), out, &len, &unchanged) || len < 2)
        return text;
    return str_from(out + 2, len - 2);
}

static struct pattern *parse_pattern(struct arena *a, struct str segment)
{
    struct pattern *p = arena_alloc(a, sizeof(*p));
    struct str texts[34], rest = segment;

    for (;;) {
        size_t open = str_find(rest, '{'), close;

        texts[p->count++] = normal_text(a, str_head(rest, open));
        p->literal += (uint32_t)texts[p->count - 1].len;
        if (open == rest.len || p->count == 33)
            break;
        rest = str_skip(rest, open);
        close = str_find(rest, '}');
        rest = str_skip(rest, close + 1);
    }
    p->texts = arena_raw(a, p->count * sizeof(*texts));
    memcpy(p->texts, texts, p->count * sizeof(*texts));
    return p;
}

static bool same_pattern(const struct pattern *a, const struct pattern *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!str_eq(a->texts[i], b->texts[i]))
            return false;
    return true;
}

/* Each parameter takes at least one byte; texts between are found from left
 * to right, the last one at the end. */
static bool pattern_matches(const struct pattern *p, struct str s)
{
    struct str last = p->texts[p->count - 1];

    if (!str_starts(s, p->texts[0]))
        return false;
    s = str_skip(s, p->texts[0].len);
    for (uint32_t i = 1; i + 1 < p->count; i++) {
        const char *at;

        if (s.len < 1 + p->texts[i].len)
            return false;
        at = memmem(s.p + 1, s.len - 1, p->texts[i].p, p->texts[i].len);
        if (!at)
            return false;
        s = str_skip(s, (size_t)(at - s.p) + p->texts[i].len);
    }
    return s.len > last.len && str_ends(s, last);
}

static struct op_node *child(struct op_tree *t, struct op_node *n,
                             struct str segment)
{
    struct op_node *found;
    struct pattern *p, *old, **at;
    struct str text;

    if (str_find(segment, '{') == segment.len) {
        text = normal_text(t->arena, segment);
        found = segments_get(&n->literals, text);
        if (!found) {
            found = arena_alloc(t->arena, sizeof(*found));
            segments_add(t->arena, &n->literals, text, found);
        }
        return found;
    }
    p = parse_pattern(t->arena, segment);
    for (old = n->patterns; old; old = old->next)
        if (same_pattern(old, p))
            return old->node;
    p->node = arena_alloc(t->arena, sizeof(*p->node));
    for (at = &n->patterns; *at && (*at)->literal >= p->literal;)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
    return p->node;
}

static enum err node_put(struct op_tree *t, struct op_node *n, struct op *op)
{
    if (op->method != METHOD_OTHER) {
        if (n->by_method[op->method])
            return ERR_CONFLICT;
        n->by_method[op->method] = op;
    } else {
        struct op **more =
            arena_raw(t->arena, (n->other_count + 1) * sizeof(op));

        for (uint32_t i = 0; i < n->other_count; i++) {
            if (str_eq(n->others[i]->method_text, op->method_text))
                return ERR_CONFLICT;
            more[i] = n->others[i];
        }
        more[n->other_count++] = op;
        n->others = more;
    }
    n->methods |= 1u << op->method;
    return ERR_OK;
}

enum err op_tree_add(struct op_tree *t, struct str path, struct op *op)
{
    struct op_node *n = &t->root;
    struct str rest = path, segment;
    unsigned depth = 0;

    while (rest.len > 1 || (rest.len == 1 && rest.p[0] != '/')) {
        segment = next_segment(rest, &rest);
        if (++depth > DEPTH_MAX)
            return ERR_LIMIT;
        if (rest.len == 0 && str_is(segment, "*")) {
            if (!n->any)
                n->any = arena_alloc(t->arena, sizeof(*n->any));
            n = n->any;
        } else {
            n = child(t, n, segment);
        }
    }
    return node_put(t, n, op);
}

struct search {
    enum method method;
    struct str method_text;
    uint32_t allowed;
    uint32_t steps; /* bounds the branches of odd templates */
};

static struct op *node_op(const struct op_node *n, struct search *s)
{
    s->allowed |= n->methods;
    if (s->method != METHOD_OTHER) {
        if (!n->by_method[s->method] && s->method == METHOD_HEAD)
            return n->by_method[METHOD_GET];
        return n->by_method[s->method];
    }
    for (uint32_t i = 0; i < n->other_count; i++)
        if (str_eq(n->others[i]->method_text, s->method_text))
            return n->others[i];
    return NULL;
}

static struct op *find(const struct op_node *n, struct str rest,
                       struct search *s)
{
    struct str segment, behind;
    const struct op_node *next;
    struct op *op;

    if (++s->steps > 10000)
        return NULL;
    if (rest.len == 0 || (rest.len == 1 && rest.p[0] == '/')) {
        op = node_op(n, s);
        if (op)
            return op;
    } else {
        segment = next_segment(rest, &behind);
        next = segments_get(&n->literals, segment);
        if (next && (op = find(next, behind, s)))
            return op;
        for (struct pattern *p = n->patterns; p; p = p->next)
            if (pattern_matches(p, segment) && (op = find(p->node, behind, s)))
                return op;
    }
    return n->any ? node_op(n->any, s) : NULL;
}

struct op *op_tree_find(const struct op_tree *t, struct str rest,
                        enum method method, struct str method_text,
                        uint32_t *allowed)
{
    struct search s = { .method = method, .method_text = method_text };
    struct op *op = find(&t->root, rest, &s);

    *allowed = s.allowed;
    return op;
}

/* Contexts */

struct ctx_node {
    struct segments children;
    struct api *api;
};

struct router {
    struct arena *arena;
    struct segments hosts; /* lower-case host: struct ctx_node */
    struct ctx_node any;
    bool has_hosts;
};

struct router *router_new(struct arena *a)
{
    struct router *r = arena_alloc(a, sizeof(*r));

    r->arena = a;
    return r;
}

enum err router_add(struct router *r, struct str host, struct str context,
                    struct api *api, struct api **other)
{
    struct ctx_node *n = &r->any, *next;
    struct str rest = context, segment;

    if (host.len) {
        n = segments_get(&r->hosts, host);
        if (!n) {
            n = arena_alloc(r->arena, sizeof(*n));
            segments_add(r->arena, &r->hosts, host, n);
            r->has_hosts = true;
        }
    }
    while (rest.len) {
        segment = next_segment(rest, &rest);
        next = segments_get(&n->children, segment);
        if (!next) {
            next = arena_alloc(r->arena, sizeof(*next));
            segments_add(r->arena, &n->children, segment, next);
        }
        n = next;
    }
    if (n->api) {
        *other = n->api;
        return ERR_CONFLICT;
    }
    n->api = api;
    return ERR_OK;
}

/* The deepest node with an API on the way down the path. */
static struct api *longest(const struct ctx_node *n, struct str path,
                           size_t *context_len)
{
    struct api *best = n->api;
    struct str rest = path, segment;

    *context_len = 0;
    while (rest.len && n->children.count) {
        segment = next_segment(rest, &rest);
        n = segments_get(&n->children, segment);
        if (!n)
            break;
        if (n->api) {
            best = n->api;
            *context_len = path.len - rest.len;
        }
    }
    return best;
}

static const struct ctx_node *host_node(const struct router *r,
                                        struct str authority)
{
    char lower[256];
    struct str host;
    uint16_t port;

    if (authority_parse(authority, &host, &port) || host.len > sizeof(lower))
        return NULL;
    for (size_t i = 0; i < host.len; i++)
        lower[i] = char_lower(host.p[i]);
    return segments_get(&r->hosts, str_from(lower, host.len));
}

struct api *router_find(const struct router *r, struct str authority,
                        struct str path, size_t *context_len)
{
    const struct ctx_node *n = r->has_hosts ? host_node(r, authority) : NULL;
    size_t own_len = 0;
    struct api *own = n ? longest(n, path, &own_len) : NULL;
    struct api *any = longest(&r->any, path, context_len);

    if (!own || (any && *context_len > own_len))
        return any;
    *context_len = own_len;
    return own;
}
