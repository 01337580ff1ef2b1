/* passed_certificate.c - see passed_certificate.h. */
#include "gateway/credential/passed_certificate.h"

#include "base/log.h"
#include "gateway/credential/issuer.h"
#include "gateway/credential/token_cache.h"
#include "gateway/worker.h"
#include "jose/b64.h"

enum { AGAIN_S = 900 }; /* what stands between it and an authority may expire */

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"

/* ---- settings ---- */

static void free_store(void *store)
{
    certificate_store_free(store);
}

enum err passed_certificate_init(struct arena *a,
                                 const struct authentication_conf *conf,
                                 struct str file, struct problems *ps,
                                 struct passed_conf *out)
{
    enum err e = ERR_OK;

    *out = (struct passed_conf) {
        .name = arena_copy(a, conf->certificate_header),
        .id = field_id(conf->certificate_header),
        .source = issuer_id(),
    };
    out->other_name = out->name.len && out->id != FIELD_CLIENT_CERT &&
                      out->id != FIELD_X_WSO2_CLIENT_CERTIFICATE;
    if (conf->certificate_ca.len)
        e = certificate_store_new(conf->certificate_ca, file, ps, &out->store);
    if (!e && out->store)
        arena_defer(a, free_store, out->store);
    return e;
}

/* ---- fields ---- */

/* "X_Client" means X-Client to some backends. */
static bool looks_like(struct str name, struct str wanted)
{
    if (name.len != wanted.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i] == '_' ? '-' : name.p[i];
        char d = wanted.p[i] == '_' ? '-' : wanted.p[i];

        if (char_lower(c) != char_lower(d))
            return false;
    }
    return true;
}

void passed_certificate_hide(struct exchange *x, const struct passed_conf *c,
                             bool keep)
{
    struct message *m = &x->s.request;

    if (keep && x->believed)
        return;
    for (uint32_t i = 0; i < m->count; i++) {
        struct header *h = &m->headers[i];

        if (h->id == FIELD_CLIENT_CERT || h->id == FIELD_CLIENT_CERT_CHAIN ||
            h->id == FIELD_X_WSO2_CLIENT_CERTIFICATE ||
            (c->name.len && looks_like(h->name, c->name)))
            h->hop = true;
    }
}

static enum err only_one(const struct message *m, enum field id,
                         struct str name, struct str *out)
{
    enum err e = ERR_NOT_FOUND;

    for (uint32_t i = 0; i < m->count; i++) {
        const struct header *h = &m->headers[i];

        if (h->id != id || (id == FIELD_OTHER && !str_eq_nocase(h->name, name)))
            continue;
        if (!e)
            return ERR_INVALID;
        *out = h->value;
        e = ERR_OK;
    }
    return e || out->len ? e : ERR_NOT_FOUND;
}

/* Leaf and chain as one list; a chain may be several fields. */
static struct str with_chain(struct exchange *x, struct str leaf)
{
    const struct message *m = &x->s.request;
    struct str out = leaf;
    size_t n = 0;

    for (uint32_t i = 0; i < m->count && n <= PASSED_CHAIN_MAX; i++)
        if (m->headers[i].id == FIELD_CLIENT_CERT_CHAIN && ++n)
            out = arena_printf(x->s.arena, "%.*s,%.*s", STR_ARG(out),
                               STR_ARG(m->headers[i].value));
    return out;
}

enum err passed_certificate_text(struct exchange *x,
                                 const struct passed_conf *c, struct str *out)
{
    struct str leaf = STR_NULL;
    enum err e = only_one(&x->s.request, c->id, c->name, &leaf);

    if (e)
        return e;
    if (c->id == FIELD_CLIENT_CERT && str_find(leaf, ',') < leaf.len)
        return ERR_INVALID; /* several, made one by somebody between */
    *out = c->id == FIELD_CLIENT_CERT ? with_chain(x, leaf) : leaf;
    return ERR_OK;
}

/* ---- forms ---- */

static int hex_digit(char c)
{
    c = char_lower(c);
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* Takes escapes out. plus: a + is a space. */
static enum err unescape(struct arena *a, struct str in, bool plus,
                         struct str *out)
{
    char *to = arena_raw(a, in.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        int high, low;

        if (in.p[i] != '%') {
            to[n++] = plus && in.p[i] == '+' ? ' ' : in.p[i];
            continue;
        }
        high = i + 2 < in.len ? hex_digit(in.p[i + 1]) : -1;
        low = high >= 0 ? hex_digit(in.p[i + 2]) : -1;
        if (low < 0)
            return ERR_INVALID;
        to[n++] = (char)(high << 4 | low);
        i += 2;
    }
    *out = str_from(to, n);
    return ERR_OK;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str trim(struct str s)
{
    while (s.len && is_space(s.p[0]))
        s = str_skip(s, 1);
    while (s.len && is_space(s.p[s.len - 1]))
        s.len--;
    return s;
}

static enum err decode(struct arena *a, struct str text, struct str *out)
{
    char *to = arena_raw(a, b64_decoded(text.len) + 1);
    size_t n;

    if (!text.len || b64_decode(text, to, &n))
        return ERR_INVALID;
    *out = str_from(to, n);
    return ERR_OK;
}

/* One certificate, with white space of any kind where lines ended. */
static enum err read_pem(struct arena *a, struct str text, struct str *der)
{
    char *bare = arena_raw(a, text.len + 1);
    size_t n = 0;

    text = trim(text);
    if (!str_starts(text, STR(BEGIN)) || !str_ends(text, STR(END)) ||
        text.len < sizeof(BEGIN) + sizeof(END) - 2)
        return ERR_INVALID;
    text = str_skip(text, sizeof(BEGIN) - 1);
    text.len -= sizeof(END) - 1;
    for (size_t i = 0; i < text.len; i++)
        if (!is_space(text.p[i]))
            bare[n++] = text.p[i];
    return decode(a, str_from(bare, n), der);
}

enum err passed_certificate_der(struct arena *a, struct str value,
                                struct str *der)
{
    struct str bytes;
    enum err e = ERR_OK;

    if (value.len > 2 && value.p[0] == ':' && value.p[value.len - 1] == ':')
        return decode(a, str_from(value.p + 1, value.len - 2), der);
    if (str_find(value, '%') < value.len)
        e = unescape(a, value, str_starts(value, STR("-----BEGIN+")), &value);
    if (e)
        return e;
    if (str_starts(value, STR("-----")))
        return read_pem(a, value, der);
    e = decode(a, trim(value), &bytes);
    if (!e && str_starts(bytes, STR("-----")))
        return read_pem(a, bytes, der);
    if (!e)
        *der = bytes;
    return e;
}

enum err passed_certificate_chain(struct arena *a, struct str value,
                                  struct str out[PASSED_CHAIN_MAX],
                                  size_t *count)
{
    size_t n = 0;

    while (value.p) {
        struct str one = str_trim(str_cut(&value, ','));

        if (n == PASSED_CHAIN_MAX || one.len < 3 || one.p[0] != ':' ||
            one.p[one.len - 1] != ':' ||
            passed_certificate_der(a, one, &out[n]))
            return ERR_INVALID;
        n++;
    }
    *count = n;
    return ERR_OK;
}

/* ---- reading ---- */

const struct certificate *passed_certificate_known(struct worker *w,
                                                   const struct passed_conf *c,
                                                   struct str text)
{
    struct token_entry *e = token_cache_find(w->tokens, text);

    if (!e || e->source != c->source ||
        loop_wall_us(w->loop) / 1000000 >= e->until_s)
        return NULL;
    metrics_lookup(w->metrics, CACHE_CERTIFICATE, LOOKUP_HIT);
    return e->more;
}

/* The field, and behind a comma those of the chain. */
static enum err read_text(struct arena *a, const struct passed_conf *c,
                          struct str text, uint64_t now_s,
                          struct certificate *out)
{
    struct str more[PASSED_CHAIN_MAX], der, leaf = text, rest = STR_NULL;
    size_t n = 0;

    if (c->id == FIELD_CLIENT_CERT) {
        rest = text;
        leaf = str_trim(str_cut(&rest, ','));
        if (leaf.len < 3 || leaf.p[0] != ':' || leaf.p[leaf.len - 1] != ':')
            return ERR_INVALID; /* RFC 9440 knows one form only */
    }
    if (passed_certificate_der(a, leaf, &der) ||
        (rest.p && passed_certificate_chain(a, rest, more, &n)))
        return ERR_INVALID;
    return certificate_read(a, der, more, n, c->store, now_s, out);
}

const struct certificate *passed_certificate_read(struct exchange *x,
                                                  const struct passed_conf *c,
                                                  struct str text)
{
    struct worker *w = x->worker;
    uint64_t now_s = loop_wall_us(w->loop) / 1000000;
    struct certificate found, *keep;
    struct token_entry *e;
    struct arena *own;

    metrics_lookup(w->metrics, CACHE_CERTIFICATE, LOOKUP_MISS);
    if (read_text(x->s.arena, c, text, now_s, &found))
        return NULL;
    own = arena_new();
    keep = arena_alloc(own, sizeof(*keep));
    *keep = found;
    keep->subject = arena_copy(own, found.subject);
    e = token_cache_add(w->tokens, arena_copy(own, text), own);
    e->source = c->source;
    e->more = keep;
    e->until_s = now_s + AGAIN_S;
    return keep;
}
