/* llhttp_oracle.h - what another strict parser makes of the same bytes.
 *
 * With HAVE_LLHTTP the fuzzers hold every message we take against llhttp: it
 * must take it too and see the same fields, the same framing and the same end
 * of the connection. The other way round we may be stricter. Without it the
 * checks are empty.
 */
#ifndef TG_FUZZ_LLHTTP_ORACLE_H
#define TG_FUZZ_LLHTTP_ORACLE_H

#include <stdlib.h>

#include "base/log.h"
#include "http/h1.h"

#ifdef HAVE_LLHTTP

#include <llhttp.h>

#define ORACLE_FIELDS 256

/* A piece of text that llhttp gives in parts. */
struct oracle_text {
    const char *p;
    size_t len;
};

struct oracle {
    llhttp_t parser;
    struct oracle_text target;
    struct oracle_text names[ORACLE_FIELDS];
    struct oracle_text values[ORACLE_FIELDS];
    size_t fields, bodies;
    char *body; /* all of it; room for as much as was fed */
    bool head_done, done, keep_alive, needs_eof;
    uint64_t length;
    unsigned flags;
};

static inline int oracle_add(struct oracle_text *t, const char *at, size_t len)
{
    if (!t->p)
        t->p = at;
    t->len += len;
    return 0;
}

static inline int oracle_on_target(llhttp_t *l, const char *at, size_t len)
{
    return oracle_add(&((struct oracle *)l->data)->target, at, len);
}

static inline int oracle_on_name(llhttp_t *l, const char *at, size_t len)
{
    struct oracle *o = l->data;

    return oracle_add(&o->names[o->fields], at, len);
}

static inline int oracle_on_value(llhttp_t *l, const char *at, size_t len)
{
    struct oracle *o = l->data;

    return oracle_add(&o->values[o->fields], at, len);
}

static inline int oracle_on_field(llhttp_t *l)
{
    struct oracle *o = l->data;

    must(o->fields < ORACLE_FIELDS - 1);
    o->fields++;
    return 0;
}

static inline int oracle_on_head(llhttp_t *l)
{
    struct oracle *o = l->data;

    o->head_done = true;
    o->length = l->content_length;
    o->flags = l->flags;
    o->keep_alive = llhttp_should_keep_alive(l);
    o->needs_eof = llhttp_message_needs_eof(l);
    return 0;
}

static inline int oracle_on_body(llhttp_t *l, const char *at, size_t len)
{
    struct oracle *o = l->data;

    memcpy(o->body + o->bodies, at, len);
    o->bodies += len;
    return 0;
}

static inline int oracle_on_done(llhttp_t *l)
{
    ((struct oracle *)l->data)->done = true;
    return HPE_PAUSED;
}

/* One message from p[0..len), which must live as long as o. Free o->body. */
static inline llhttp_errno_t oracle_read(struct oracle *o, llhttp_type_t type,
                                         const char *p, size_t len)
{
    static llhttp_settings_t s;

    llhttp_settings_init(&s);
    s.on_url = oracle_on_target;
    s.on_header_field = oracle_on_name;
    s.on_header_value = oracle_on_value;
    s.on_header_value_complete = oracle_on_field;
    s.on_headers_complete = oracle_on_head;
    s.on_body = oracle_on_body;
    s.on_message_complete = oracle_on_done;
    memset(o, 0, sizeof(*o));
    o->body = malloc(len);
    must(o->body != NULL);
    llhttp_init(&o->parser, type, &s);
    o->parser.data = o;
    return llhttp_execute(&o->parser, p, len);
}

static inline struct str oracle_str(struct oracle_text t)
{
    struct str s = str_from(t.p, t.len);

    /* llhttp leaves white space behind a value */
    return str_trim(s);
}

/* Whether a tab is in the rest of the line p is in. */
static inline bool oracle_tab_in_line(const char *p)
{
    return memchr(p, '\t', (size_t)((char *)rawmemchr(p, '\r') - p)) != NULL;
}

/* It treats Proxy-Connection like Connection, which nobody should, and does
 * not know a word of Connection that a tab follows. */
static inline bool oracle_connects_otherwise(const struct message *m)
{
    uint32_t i;

    for (i = 0; i < m->count; i++) {
        const struct header *f = &m->headers[i];

        if (f->id == FIELD_PROXY_CONNECTION ||
            (f->id == FIELD_CONNECTION && oracle_tab_in_line(f->value.p)))
            return true;
    }
    return false;
}

/* A tab behind a value is white space to RFC 9110 (section 5.5) and to us; to
 * llhttp it makes a length none and chunked another coding. */
static inline bool oracle_stumbles_over_tab(const struct message *m)
{
    uint32_t i;

    for (i = 0; i < m->count; i++) {
        const struct header *f = &m->headers[i];

        if ((f->id == FIELD_CONTENT_LENGTH ||
             f->id == FIELD_TRANSFER_ENCODING) &&
            oracle_tab_in_line(f->value.p))
            return true;
    }
    return false;
}

static inline void oracle_compare(const struct oracle *o, llhttp_errno_t e,
                                  const struct message *m)
{
    uint32_t i;

    must(e == HPE_OK || e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE);
    must(o->head_done);
    must(o->fields == m->count);
    for (i = 0; i < m->count; i++) {
        must(str_eq(m->headers[i].name, oracle_str(o->names[i])));
        must(str_eq(m->headers[i].value, oracle_str(o->values[i])));
    }
    if (m->body == BODY_CHUNKED)
        must(o->flags & F_CHUNKED);
    if (m->body == BODY_LENGTH)
        must(o->flags & F_CONTENT_LENGTH && o->length == m->length &&
             !(o->flags & F_CHUNKED));
    must(o->parser.http_major == 1 && o->parser.http_minor == m->minor);
    if (m->keep_alive && !oracle_connects_otherwise(m))
        must(o->keep_alive);
}

/* The head of a request we took. llhttp knows only some methods, so the others
 * are replaced by one it knows. */
static inline void oracle_request(const char *head, size_t len,
                                  const struct message *m)
{
    struct str method = m->method_text;
    struct str rest = str_skip(str_from(head, len), method.len);
    struct oracle *o = malloc(sizeof(*o));
    llhttp_errno_t e;
    char *copy;

    if (m->method == METHOD_OTHER || m->method == METHOD_QUERY)
        method = STR("POST");
    copy = malloc(method.len + rest.len);
    must(o && copy);
    memcpy(copy, method.p, method.len);
    memcpy(copy + method.len, rest.p, rest.len);
    e = oracle_read(o, HTTP_REQUEST, copy, method.len + rest.len);
    if (!oracle_stumbles_over_tab(m)) {
        oracle_compare(o, e, m);
        must(str_eq(m->target, str_from(o->target.p, o->target.len)));
        must(str_is(method, llhttp_method_name(o->parser.method)));
        if (m->body == BODY_NONE)
            must(!(o->flags & (F_CHUNKED | F_CONTENT_LENGTH)));
    }
    free(o->body);
    free(o);
    free(copy);
}

/* The head of a response to GET. */
static inline void oracle_response(const char *head, size_t len,
                                   const struct message *m)
{
    struct oracle *o = malloc(sizeof(*o));
    llhttp_errno_t e;

    must(o != NULL);
    e = oracle_read(o, HTTP_RESPONSE, head, len);
    if (!oracle_stumbles_over_tab(m)) {
        oracle_compare(o, e, m);
        must(o->parser.status_code == m->status);
        must(o->needs_eof == (m->body == BODY_CLOSE));
    }
    free(o->body);
    free(o);
}

/* A chunked body we took, without extensions and trailers, which we read by
 * other rules; it ended after used bytes and held these data. */
static inline void oracle_chunks(const char *p, size_t used, struct str data)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: h\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    size_t n = sizeof(head) - 1;
    struct oracle *o = malloc(sizeof(*o));
    char *copy = malloc(n + used);
    llhttp_errno_t e;

    must(o && copy);
    memcpy(copy, head, n);
    memcpy(copy + n, p, used);
    e = oracle_read(o, HTTP_REQUEST, copy, n + used);
    must(e == HPE_PAUSED && o->done);
    must(str_eq(str_from(o->body, o->bodies), data));
    /* and not before its last byte */
    must(llhttp_get_error_pos(&o->parser) >= copy + n + used - 1);
    free(o->body);
    free(o);
    free(copy);
}

#else

static inline void oracle_request(const char *head, size_t len,
                                  const struct message *m)
{
    (void)head;
    (void)len;
    (void)m;
}

static inline void oracle_response(const char *head, size_t len,
                                   const struct message *m)
{
    (void)head;
    (void)len;
    (void)m;
}

static inline void oracle_chunks(const char *p, size_t used, struct str data)
{
    (void)p;
    (void)used;
    (void)data;
}

#endif
#endif
