/* apikey_issuer.c - GET /apikey: a signed key for who proves who he is.
 *
 * What is wanted stands in the query, or in a body (form or JSON):
 * validityTime (seconds; -1: for ever), permittedIP, permittedReferer, apis
 * (names with commas between them) and scope. The answer is {"apikey":"…"}.
 * Nobody gets more than he has: scopes are among the user's own, APIs among
 * those of the settings, the time is cut at validity_max.
 */
#include "gateway/apikey_issuer.h"

#include "base/log.h"
#include "gateway/credential/credentials.h"
#include "gateway/exchange.h"
#include "gateway/trust.h"
#include "gateway/worker.h"

enum { LIST_MAX = 64, WISH_MAX = 4096 };
#define FOR_EVER_S (100ull * 366 * 24 * 3600)

/* ---- its document ---- */

static enum err read_text(void *arg, struct arena *a, struct str path,
                          struct str *text)
{
    (void)a;
    (void)path;
    *text = *(const struct str *)arg;
    return ERR_OK;
}

static enum err write_operation(struct buf *b, const char *method,
                                struct str scope)
{
    enum err e = buf_printf(b,
                            "\"%s\":{\"responses\":{\"default\":{"
                            "\"description\":\"A key\"}},"
                            "\"security\":[{\"user\":[",
                            method);

    if (!e && scope.len)
        e = json_write_str(b, scope);
    return e ? e : buf_z(b, "]}]}");
}

static enum err write_document(struct buf *b,
                               const struct apikey_issuer_conf *c)
{
    enum err e;

    if ((e = buf_z(b, "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"Tollgate "
                      "API keys\",\"version\":\"1\"},\"x-wso2-basePath\":")) ||
        (e = json_write_str(b, c->path)) ||
        (e = buf_printf(b, ",\"x-wso2-transports\":[\"https\"%s]",
                        c->plain_http ? ",\"http\"" : "")) ||
        (e = buf_z(b, ",\"x-wso2-cors\":{\"corsConfigurationEnabled\":false},"
                      "\"components\":{\"securitySchemes\":{\"user\":{"
                      "\"type\":\"http\",\"scheme\":\"basic\"}}},"
                      "\"paths\":{\"/\":{")) ||
        (e = write_operation(b, "get", c->scope)) || (e = buf_char(b, ',')) ||
        (e = write_operation(b, "post", c->scope)))
        return e;
    return buf_z(b, "}}}");
}

enum err apikey_issuer_load(struct arena *a, struct arena *scratch,
                            const struct gateway_conf *conf,
                            struct problems *ps, struct openapi **out)
{
    struct str text;
    struct oas_source source = { read_text, &text };
    struct buf b;
    enum err e;

    buf_init(&b, 65536);
    e = write_document(&b, &conf->apikey_issuer);
    text = arena_copy(a, buf_view(&b));
    buf_done(&b);
    if (!e)
        e = openapi_load(a, scratch, &source, apikey_issuer_entry.path, ps,
                         out);
    return e;
}

/* ---- what is wanted ---- */

/* The byte that two digits stand for, or -1. */
static int hex_byte(struct str s)
{
    int n = 0;

    if (s.len < 2)
        return -1;
    for (int i = 0; i < 2; i++) {
        char c = char_lower(s.p[i]);

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return -1;
        n = n * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return n;
}

static struct str form_decode(struct arena *a, struct str value)
{
    char *out = arena_raw(a, value.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < value.len; i++) {
        int c = value.p[i] == '%' ? hex_byte(str_skip(value, i + 1)) : -1;

        if (c >= 0)
            i += 2;
        else
            c = value.p[i] == '+' ? ' ' : value.p[i];
        out[n++] = (char)c;
    }
    return str_from(out, n);
}

/* A parameter of a query or form, decoded; STR_NULL: it is not there. */
static struct str form_value(struct arena *a, struct str form, struct str name)
{
    while (form.p) {
        struct str one = str_cut(&form, '&');
        size_t at = str_find(one, '=');

        if (at < one.len && str_eq(str_head(one, at), name))
            return form_decode(a, str_skip(one, at + 1));
    }
    return STR_NULL;
}

/* What no parameter may be. */
static const struct str not_text = { "\0", 1 };

struct wish {
    struct exchange *x;
    struct str query, form;
    const struct json *object;
    const char *wrong; /* the parameter that is not as it must be */
};

static struct str wished(const struct wish *w, struct str name)
{
    struct arena *a = w->x->s.arena;
    const struct json *j = json_get(w->object, name);
    struct str value = form_value(a, w->query, name);

    if (!value.p)
        value = form_value(a, w->form, name);
    if (!value.p && j)
        value = j->type == JSON_STRING || j->type == JSON_NUMBER ? j->text
                                                                 : not_text;
    return value;
}

static bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return s.len <= WISH_MAX;
}

static void add_parts(struct wish *w, const char *name, struct str text,
                      char separator, struct conf_strings *out)
{
    while (text.p && !w->wrong) {
        struct str one = str_trim(str_cut(&text, separator));

        if (!is_clean(one) || (one.len && out->count == LIST_MAX))
            w->wrong = name;
        else if (one.len)
            out->items[out->count++] = one;
    }
}

/* Text with separators, or in JSON a list as well. */
static bool read_list(struct wish *w, const char *name, char separator,
                      struct conf_strings *out)
{
    const struct json *j = json_get(w->object, str_z(name));

    out->items = arena_alloc(w->x->s.arena, LIST_MAX * sizeof(*out->items));
    if (!j || j->type != JSON_ARRAY) {
        add_parts(w, name, wished(w, str_z(name)), separator, out);
        return !w->wrong;
    }
    for (j = j->first; j; j = j->next)
        add_parts(w, name, j->type == JSON_STRING ? j->text : not_text,
                  separator, out);
    return !w->wrong;
}

/* "NAME" covers "NAME:VERSION". */
static bool covers(struct str allowed, struct str api)
{
    return str_eq(allowed, api) ||
           (api.len > allowed.len && api.p[allowed.len] == ':' &&
            str_starts(api, allowed));
}

static bool among(const struct conf_strings *all, struct str api)
{
    for (size_t i = 0; i < all->count; i++)
        if (covers(all->items[i], api))
            return true;
    return all->count == 0;
}

static void read_apis(struct wish *w, const struct apikey_issuer_conf *c,
                      struct api_key *key)
{
    if (!read_list(w, "apis", ',', &key->apis))
        return;
    for (size_t i = 0; i < key->apis.count; i++)
        if (!among(&c->apis, key->apis.items[i]))
            w->wrong = "apis";
    if (!key->apis.count)
        key->apis = c->apis;
}

static void read_addresses(struct wish *w, struct api_key *key)
{
    struct trust *t;
    struct str bad;

    if (read_list(w, "permittedIP", ',', &key->ips) &&
        trust_new(w->x->s.arena, key->ips.items, key->ips.count, &t, &bad))
        w->wrong = "permittedIP";
    (void)read_list(w, "permittedReferer", ',', &key->referers);
}

static bool has_scope(const struct caller *c, struct str scope)
{
    for (size_t i = 0; i < c->scope_count; i++)
        if (str_eq(c->scopes[i], scope))
            return true;
    return false;
}

static void read_scopes(struct wish *w, struct api_key *key)
{
    if (!read_list(w, "scope", ' ', &key->scopes))
        return;
    for (size_t i = 0; i < key->scopes.count; i++)
        if (!has_scope(w->x->caller, key->scopes.items[i]))
            w->wrong = "scope";
}

static void read_end(struct wish *w, const struct apikey_issuer_conf *c,
                     struct api_key *key)
{
    struct str value = wished(w, STR("validityTime"));
    uint64_t s = c->validity_ms / 1000, most = c->validity_max_ms / 1000;

    if (str_is(value, "-1"))
        s = 0;
    else if (value.p && (str_to_u64(value, FOR_EVER_S, &s) || !s))
        w->wrong = "validityTime";
    if (most && (!s || s > most))
        s = most;
    key->expires_s = s ? key->created_s + s : 0;
}

/* JSON, else a form. */
static bool read_body(struct wish *w)
{
    const struct json_limits limits = { 65536, 4, 256, false };
    struct exchange *x = w->x;
    struct str body = str_from(x->held, x->held_len);
    struct json_error error;
    struct json *tree;

    body = str_trim(body);
    if (!body.len || body.p[0] != '{') {
        w->form = body;
        return true;
    }
    if (json_parse(x->s.arena, body, &limits, &tree, &error))
        return false;
    w->object = tree;
    return true;
}

/* What is wrong with the wish, or NULL. */
static const char *read_wish(struct exchange *x,
                             const struct apikey_issuer_conf *c,
                             struct api_key *key)
{
    struct wish w = { .x = x };

    if (x->s.request.has_query)
        w.query = x->s.request.query;
    if (!read_body(&w))
        return "the body";
    read_end(&w, c, key);
    read_addresses(&w, key);
    read_apis(&w, c, key);
    read_scopes(&w, key);
    return w.wrong;
}

/* ---- the answer ---- */

static const struct refusal refusal_wish = {
    400, "400", "Bad Request",
    "One of validityTime, permittedIP, permittedReferer, apis and scope is not "
    "as it must be, or more than may be given",
    true
};

static void refuse(struct exchange *x, enum explain_reason reason,
                   const char *what, const struct refusal *r)
{
    struct str *text = arena_alloc(x->s.arena, sizeof(*text));

    *text = str_z(what);
    explain_note(&x->explain, EXPLAIN_KEY, EXPLAIN_REFUSED, reason, 0, text);
    exchange_refuse(x, r);
}

static void issue(struct exchange *x, const struct credentials *c,
                  struct api_key *key)
{
    struct arena *a = x->s.arena;
    struct str text;

    signed_key_name(a, key);
    if (signed_key_sign(a, &c->signers.own, key, c->signers.issuer, &text)) {
        refuse(x, REASON_KEY_WISH, "all of it together", &refusal_wish);
        return;
    }
    log_info("keys", "a key was issued to %.*s: its id is %.*s",
             STR_ARG(key->owner), STR_ARG(key->id));
    explain_note(&x->explain, EXPLAIN_KEY, EXPLAIN_PASSED, REASON_KEY_ISSUED, 0,
                 &key->id);
    exchange_last_fields(x);
    x->state = X_OVER;
    http_reply_text(&x->s, 200, STR("application/json"),
                    arena_printf(a, "{\"apikey\":\"%.*s\"}", STR_ARG(text)),
                    x->fields, x->field_count);
}

static void answer(struct exchange *x)
{
    const struct credentials *c = x->api->credentials;
    const struct caller *who = x->caller;
    struct api_key *key = arena_alloc(x->s.arena, sizeof(*key));
    const char *wrong;

    exchange_add_field(x, STR("Cache-Control"), STR("no-store"));
    if (!x->whole) {
        exchange_refuse(x, refusal_of_status(413));
        return;
    }
    if (!who || who->kind != CALLER_USER) { /* with --security off */
        exchange_refuse(x, &refusal_basic_missing);
        return;
    }
    key->name = key->owner = who->user;
    key->tier = c->apikey_issuer.tier;
    key->created_s = loop_wall_us(x->worker->loop) / 1000000;
    wrong = read_wish(x, &c->apikey_issuer, key);
    if (wrong)
        refuse(x, REASON_KEY_WISH, wrong, &refusal_wish);
    else
        issue(x, c, key);
}

const struct api_conf apikey_issuer_entry = {
    .path = { "gateway.apikey_issuer", 21 },
    .answer = answer,
};
