/* fuzz_h2_fields.c - any header list as it is after HPACK, as a request, a
 * reply, trailers: what is not refused is a message whose every part lies in
 * the list's memory and could be written as HTTP/1.1.
 *
 * An input is a byte of options, then fields: the length of the name, of the
 * value, the bytes. Names and values that nghttp2 would not let through are
 * left out, as it would.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "http/h1_chars.h"
#include "http/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const pseudos[] = { ":method", ":scheme", ":authority",
                                       ":path", ":status" };

/* What nghttp2 has looked at before. */
static bool passes(struct str name, struct str value, bool request)
{
    if (!name.len || !nghttp2_check_header_value_rfc9113(
                         (const uint8_t *)value.p, value.len))
        return false;
    if (name.p[0] != ':')
        return nghttp2_check_header_name((const uint8_t *)name.p, name.len);
    for (size_t i = 0; i < 5; i++)
        if (str_is(name, pseudos[i]))
            return request == (i < 4);
    return false;
}

static void check(const struct h2_fields *f, const struct message *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct header *h = &m->headers[i];

        must(h->name.len && h->name.p[0] != ':');
        must(!h->value.len || (h->value.p >= f->text &&
                               h->value.p + h->value.len <= f->text + f->len));
        for (size_t k = 0; k < h->value.len; k++)
            must(h->value.p[k] != '\r' && h->value.p[k] != '\n' &&
                 h->value.p[k]);
    }
}

static void check_request(const struct message *m)
{
    must(m->method_text.len && m->method_text.len <= 32);
    must(m->target.len || m->method == METHOD_CONNECT);
    must(m->path.len <= m->target.len);
    for (size_t i = 0; i < m->target.len; i++)
        must((unsigned char)m->target.p[i] > ' ' && m->target.p[i] != 127);
    for (size_t i = 0; i < m->authority.len; i++)
        must((unsigned char)m->authority.p[i] > ' ' &&
             m->authority.p[i] != '@' && m->authority.p[i] != '/');
}

static void copy_and_check(struct h2 *h, const struct message *m)
{
    struct arena *a = arena_new();
    struct message copy;

    h2_message_copy(h, a, m, &copy);
    must(copy.count == m->count && str_eq(copy.target, m->target) &&
         str_eq(copy.authority, m->authority));
    /* What the list's memory holds does not matter any more. */
    h2_fields_end(&h->fields);
    h2_thread_done();
    for (uint32_t i = 0; i < copy.count; i++)
        must(!memchr(copy.headers[i].value.p, '\n', copy.headers[i].value.len));
    for (size_t i = 0; i < copy.target.len; i++)
        must((unsigned char)copy.target.p[i] > ' ');
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct h2 h;
    const struct h2_limits limits = { .head_size = 3000, .head_fields = 20 };
    bool request, trailers, end, has_main = false;
    struct message m = { 0 };
    struct str lines;

    if (!size || size > 65000)
        return 0;
    request = data[0] & 1;
    trailers = data[0] & 2;
    end = data[0] & 4;
    data++;
    size--;
    h2_fields_begin(&h.fields);
    while (size >= 2) {
        size_t n = data[0], v = data[1];
        struct str name, value;

        data += 2;
        size -= 2;
        name = str_from((const char *)data, n);
        if (n >= 251) {
            name = str_z(pseudos[n - 251]);
            n = 0;
        }
        if (n + v > size)
            break;
        value = str_from((const char *)data + n, v);
        data += n + v;
        size -= n + v;
        if (!passes(name, value, request) || (trailers && name.p[0] == ':'))
            continue;
        has_main |= str_is(name, request ? ":method" : ":status");
        if (h2_fields_add(&h.fields, &limits, name, value))
            break;
    }
    if (trailers) {
        lines = h2_fields_lines(&h.fields);
        must(!lines.len || str_ends(lines, STR("\r\n")));
    } else {
        h2_fields_message(&h.fields, request, end, &m);
        if (!has_main) {
            /* nghttp2 insists on it. */
        } else if (!h.fields.refuse) {
            check(&h.fields, &m);
            if (request)
                check_request(&m);
            else
                must(m.status >= 100 && m.status <= 599);
            copy_and_check(&h, &m);
        } else {
            must(h.fields.refuse >= 400 && h.fields.refuse < 600);
        }
    }
    h2_fields_end(&h.fields);
    h2_thread_done();
    return 0;
}
