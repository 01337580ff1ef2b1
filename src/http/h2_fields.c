/* h2_fields.c - header lists of HTTP/2: coming in, and going out.
 *
 * nghttp2 has checked already what RFC 9113 section 8 asks of a list: names
 * in lower case, values without controls, pseudo-fields first and once, no
 * connection-specific field. What is left is what HTTP/1.1 would have said of
 * the same message: request and reply of both protocols mean the same to the
 * rest of the program, and may be passed on in either.
 */
#include "base/log.h"
#include "format/uri.h"
#include "http/field_table.h"
#include "http/h1_chars.h"
#include "http/h2.h"

enum {
    ENTRY_OVERHEAD = 32, /* RFC 9113 section 6.5.2 */
    HARD_MIN = 64 * 1024,
    TEXT_FIRST = 2048,
    ITEMS_FIRST = 48,
    TEXT_SPARE_MAX = 16 * 1024,
    METHOD_MAX = 32,
    NV_MAX = 1200,
};

/* Offsets, since the text may move while it grows. */
struct h2_item {
    uint32_t name, name_len;
    uint32_t value, value_len;
    uint16_t id; /* enum field */
    bool gone;   /* joined to another one */
};

/* Memory of a list that has ended, for the next one of this thread. */
static _Thread_local struct h2_fields spare;

void h2_fields_begin(struct h2_fields *f)
{
    if (!f->text && spare.text) {
        *f = spare;
        memset(&spare, 0, sizeof(spare));
    }
    f->len = f->count = 0;
    f->size = 0;
    f->refuse = 0;
}

static void fields_free(struct h2_fields *f)
{
    x_free(f->text);
    x_free(f->items);
    x_free(f->headers);
    memset(f, 0, sizeof(*f));
}

void h2_fields_end(struct h2_fields *f)
{
    if (!f->text)
        return;
    if (spare.text || f->cap > TEXT_SPARE_MAX) {
        fields_free(f);
        return;
    }
    spare = *f;
    memset(f, 0, sizeof(*f));
}

static void text_room(struct h2_fields *f, size_t n)
{
    size_t cap = f->cap ? f->cap : TEXT_FIRST;

    if (f->len + n <= f->cap)
        return;
    while (cap < f->len + n)
        cap *= 2;
    f->text = x_resize(f->text, cap);
    f->cap = (uint32_t)cap;
}

static struct h2_item *item_room(struct h2_fields *f)
{
    if (f->count == f->room) {
        f->room = f->room ? f->room * 2 : ITEMS_FIRST;
        f->items = x_resize(f->items, f->room * sizeof(*f->items));
        f->headers = x_resize(f->headers, f->room * sizeof(*f->headers));
    }
    return &f->items[f->count++];
}

static uint32_t text_add(struct h2_fields *f, struct str s)
{
    uint32_t at = f->len;

    text_room(f, s.len + 4); /* lines want a few bytes more */
    memcpy(f->text + at, s.p, s.len);
    f->len += (uint32_t)s.len;
    return at;
}

enum err h2_fields_add(struct h2_fields *f, const struct h2_limits *l,
                       struct str name, struct str value)
{
    uint64_t hard = 2ull * l->head_size;
    struct h2_item *item;

    f->size += name.len + value.len + ENTRY_OVERHEAD;
    if (f->size > (hard > HARD_MIN ? hard : HARD_MIN))
        return ERR_LIMIT;
    if (f->size > l->head_size || f->count >= l->head_fields)
        f->refuse = 431;
    if (f->refuse)
        return ERR_OK;
    item = item_room(f);
    item->id = (uint16_t)field_id(name);
    item->name = text_add(f, name);
    item->name_len = (uint32_t)name.len;
    item->value = text_add(f, value);
    item->value_len = (uint32_t)value.len;
    item->gone = false;
    return ERR_OK;
}

static struct str name_of(const struct h2_fields *f, const struct h2_item *i)
{
    if (i->id != FIELD_OTHER)
        return field_name((enum field)i->id);
    return str_from(f->text + i->name, i->name_len);
}

static struct str value_of(const struct h2_fields *f, const struct h2_item *i)
{
    return str_from(f->text + i->value, i->value_len);
}

static bool is_pseudo(const struct h2_fields *f, const struct h2_item *i)
{
    return i->name_len && f->text[i->name] == ':';
}

/* Cookies may come in crumbs; everybody else expects them in one piece (RFC
 * 9113 section 8.2.3). */
static void join_cookies(struct h2_fields *f)
{
    struct h2_item *first = NULL;
    uint32_t crumbs = 0;
    size_t size = 0;
    uint32_t at;

    for (uint32_t i = 0; i < f->count; i++) {
        struct h2_item *item = &f->items[i];

        if (item->id != FIELD_COOKIE)
            continue;
        crumbs++;
        size += item->value_len + 2;
        if (!first)
            first = item;
        else
            item->gone = true;
    }
    if (crumbs < 2)
        return;
    text_room(f, size);
    at = f->len;
    for (struct h2_item *item = first; item < f->items + f->count; item++) {
        if (item != first && !item->gone)
            continue;
        if (f->len > at)
            text_add(f, STR("; "));
        text_room(f, item->value_len + 4u);
        text_add(f, value_of(f, item));
    }
    first->value = at;
    first->value_len = f->len - at;
}

static void refuse(struct h2_fields *f, uint16_t status)
{
    if (!f->refuse)
        f->refuse = status;
}

static bool all_are(struct str s, int what)
{
    for (size_t i = 0; i < s.len; i++)
        if (!h1_is(s.p[i], what))
            return false;
    return s.len > 0;
}

static void take_path(struct h2_fields *f, struct message *m, struct str path)
{
    struct str rest = path;

    m->target = path;
    if (!all_are(path, H1_TARGET) || (path.p[0] != '/' && !str_is(path, "*"))) {
        refuse(f, 400);
        return;
    }
    m->path = str_cut(&rest, '?');
    m->has_query = rest.p != NULL;
    if (m->has_query)
        m->query = rest;
}

static void take_method(struct h2_fields *f, struct message *m,
                        struct str method)
{
    m->method_text = method;
    m->method = method_id(method);
    if (method.len > METHOD_MAX)
        refuse(f, 501);
    else if (!all_are(method, H1_TOKEN))
        refuse(f, 400);
}

static void take_pseudo(struct h2_fields *f, struct message *m, struct str name,
                        struct str value)
{
    uint64_t status;

    if (str_is(name, ":path")) {
        take_path(f, m, value);
    } else if (str_is(name, ":method")) {
        take_method(f, m, value);
    } else if (str_is(name, ":authority")) {
        m->authority = value;
    } else if (str_is(name, ":scheme")) {
        if (!str_is(value, "https") && !str_is(value, "http"))
            refuse(f, 400);
    } else if (str_is(name, ":status")) {
        if (value.len != 3 || str_to_u64(value, 599, &status) || status < 100)
            refuse(f, 502);
        else
            m->status = (uint16_t)status;
    } else {
        refuse(f, 400);
    }
}

static void take_field(struct h2_fields *f, struct message *m, struct header *h)
{
    switch (h->id) {
    case FIELD_CONTENT_LENGTH:
        if (m->first[h->id] || str_to_u64(h->value, INT64_MAX, &m->length))
            refuse(f, 400);
        break;
    case FIELD_EXPECT:
        if (!str_eq_nocase(h->value, STR("100-continue")))
            refuse(f, 417);
        m->expect_continue = true;
        break;
    case FIELD_HOST:
        if (m->first[h->id])
            refuse(f, 400);
        break;
    default:
        break;
    }
}

/* One authority, and not another one in Host (RFC 9113 section 8.3.1). */
static void check_authority(struct h2_fields *f, struct message *m)
{
    struct str host = message_value(m, FIELD_HOST), name;
    uint16_t port;

    if (!m->authority.p)
        m->authority = host;
    else if (host.p && !str_eq_nocase(host, m->authority))
        refuse(f, 400);
    if (!m->authority.p || authority_parse(m->authority, &name, &port))
        refuse(f, 400);
    if (m->method != METHOD_CONNECT && !m->path.len)
        refuse(f, 400);
    if (str_is(m->path, "*") && (m->method != METHOD_OPTIONS || m->has_query))
        refuse(f, 400);
}

static enum body_kind request_body(const struct message *m, bool end)
{
    bool length = m->first[FIELD_CONTENT_LENGTH] != 0;

    if (end)
        return length ? BODY_LENGTH : BODY_NONE;
    return length && m->length ? BODY_LENGTH : BODY_CHUNKED;
}

void h2_fields_message(struct h2_fields *f, bool request, bool end,
                       struct message *m)
{
    *m = (struct message) { .major = 2,
                            .keep_alive = true,
                            .trailers_ok = request };
    if (request)
        join_cookies(f);
    m->headers = f->headers;
    m->capacity = f->room;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct h2_item *item = &f->items[i];
        struct header *h = &m->headers[m->count];

        if (is_pseudo(f, item)) {
            take_pseudo(f, m, str_from(f->text + item->name, item->name_len),
                        value_of(f, item));
            continue;
        }
        if (item->gone)
            continue;
        h->id = item->id;
        h->name = name_of(f, item);
        h->value = value_of(f, item);
        h->hop = FIELDS_HOP_BY_HOP >> h->id & 1;
        if (h->id != FIELD_OTHER)
            take_field(f, m, h);
        else if (memchr(h->name.p, '_', h->name.len))
            m->underscores = true;
        m->count++;
        if (h->id != FIELD_OTHER && !m->first[h->id] && m->count <= UINT8_MAX)
            m->first[h->id] = (uint8_t)m->count;
    }
    if (request)
        check_authority(f, m);
    m->body = request_body(m, end);
}

struct str h2_fields_lines(struct h2_fields *f)
{
    size_t size = 0;
    uint32_t at;

    if (f->refuse)
        return STR_NULL;
    for (uint32_t i = 0; i < f->count; i++)
        size += f->items[i].name_len + f->items[i].value_len + 4u;
    text_room(f, size + 4);
    at = f->len;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct h2_item *item = &f->items[i];

        text_add(f, str_from(f->text + item->name, item->name_len));
        text_add(f, STR(": "));
        text_add(f, value_of(f, item));
        text_add(f, STR("\r\n"));
    }
    return str_from(f->text + at, f->len - at);
}

void h2_message_copy(struct h2 *h, struct arena *a, const struct message *m,
                     struct message *out)
{
    const struct h2_fields *f = &h->fields;
    const char *from = f->text, *end = f->text + f->len;
    char *text = arena_raw(a, f->len ? f->len : 1);
    struct str *views[] = { &out->method_text, &out->target, &out->authority,
                            &out->path, &out->query };

    memcpy(text, f->text, f->len);
    *out = *m;
    out->headers = arena_raw(a, (m->count + 1) * sizeof(*m->headers));
    out->capacity = m->count;
    for (uint32_t i = 0; i < m->count; i++) {
        struct header *to = &out->headers[i];

        *to = m->headers[i];
        if (to->name.p >= from && to->name.p < end)
            to->name.p = text + (to->name.p - from);
        to->value.p = text + (to->value.p - from);
    }
    for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++)
        if (views[i]->p >= from && views[i]->p < end)
            views[i]->p = text + (views[i]->p - from);
}

/* Going out */

static _Thread_local nghttp2_nv *nvs;
static _Thread_local struct arena *lowered; /* names that had capitals */

void h2_thread_done(void)
{
    fields_free(&spare);
    x_free(nvs);
    nvs = NULL;
    arena_free(lowered);
    lowered = NULL;
}

void h2_head_begin(struct h2_head *b)
{
    if (!nvs)
        nvs = x_array(NV_MAX, sizeof(*nvs));
    if (lowered) {
        arena_free(lowered);
        lowered = NULL;
    }
    b->nv = nvs;
    b->count = 0;
}

static void put(struct h2_head *b, const char *name, size_t name_len,
                struct str value, uint8_t flags)
{
    nghttp2_nv *nv = &b->nv[b->count++];

    must(b->count <= NV_MAX);
    nv->name = (uint8_t *)(uintptr_t)name;
    nv->namelen = name_len;
    nv->value = (uint8_t *)(uintptr_t)value.p;
    nv->valuelen = value.len;
    nv->flags = flags;
}

void h2_head_pseudo(struct h2_head *b, const char *name, struct str value)
{
    put(b, name, strlen(name), value, NGHTTP2_NV_FLAG_NONE);
}

static const char *lower(struct str name)
{
    char *out;
    size_t i = 0;

    while (i < name.len && char_lower(name.p[i]) == name.p[i])
        i++;
    if (i == name.len)
        return name.p;
    if (!lowered)
        lowered = arena_new();
    out = arena_raw(lowered, name.len);
    for (i = 0; i < name.len; i++)
        out[i] = char_lower(name.p[i]);
    return out;
}

static void add(struct h2_head *b, struct str name, struct str value,
                enum field id)
{
    /* Every call has another one: not worth a place in the table. */
    uint8_t flags = id == FIELD_ACTIVITYID ? NGHTTP2_NV_FLAG_NO_INDEX
                                           : NGHTTP2_NV_FLAG_NONE;

    put(b, id == FIELD_OTHER ? lower(name) : field_keys[id].lower, name.len,
        value, flags);
}

void h2_head_add(struct h2_head *b, struct str name, struct str value)
{
    enum field id = field_id(name);

    if (!field_hop_by_hop(id))
        add(b, name, value, id);
}

void h2_head_fields(struct h2_head *b, const struct message *m, uint64_t skip)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct header *h = &m->headers[i];

        if (!h->hop && !(skip >> h->id & 1))
            add(b, h->name, h->value, (enum field)h->id);
    }
}
