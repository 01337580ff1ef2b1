/* signed_key.c - see signed_key.h. */
#include "gateway/credential/signed_key.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/credential/revoked.h"
#include "gateway/trust.h"
#include "jose/b64.h"

enum { LIST_MAX = 256, CLAIMS_MAX = 12 * 1024, TOKEN_MAX = 16 * 1024 };

/* ---- making ---- */

void signed_key_name(struct arena *a, struct api_key *key)
{
    unsigned char bytes[16];

    random_bytes(bytes, sizeof(bytes));
    key->id = b64url_encode_in(a, str_from((char *)bytes, sizeof(bytes)));
}

static enum err put(struct buf *b, const char *before, struct str text)
{
    enum err e = buf_z(b, before);

    return e ? e : json_write_str(b, text);
}

static enum err put_joined(struct buf *b, struct arena *a, const char *before,
                           const struct conf_strings *list, char separator)
{
    struct buf joined;
    enum err e = ERR_OK;

    if (!list->count)
        return ERR_OK;
    buf_init(&joined, CLAIMS_MAX);
    for (size_t i = 0; i < list->count && !e; i++) {
        if (i)
            e = buf_char(&joined, separator);
        if (!e)
            e = buf_str(&joined, list->items[i]);
    }
    if (!e)
        e = put(b, before, arena_copy(a, buf_view(&joined)));
    buf_done(&joined);
    return e;
}

/* "NAME:VERSION" is of a document with that title and version. */
static enum err put_apis(struct buf *b, const struct conf_strings *apis)
{
    enum err e = apis->count ? buf_z(b, ",\"subscribedAPIs\":[") : ERR_OK;

    for (size_t i = 0; i < apis->count && !e; i++) {
        struct str name = apis->items[i];
        size_t colon = str_rfind(name, ':');

        e = put(b, i ? ",{\"name\":" : "{\"name\":", str_head(name, colon));
        if (!e && colon < name.len)
            e = put(b, ",\"version\":", str_skip(name, colon + 1));
        if (!e)
            e = buf_char(b, '}');
    }
    return e || !apis->count ? e : buf_char(b, ']');
}

static enum err put_application(struct buf *b, const struct api_key *key)
{
    enum err e = put(b, ",\"application\":{\"name\":", key->name);

    if (!e && key->owner.len)
        e = put(b, ",\"owner\":", key->owner);
    if (!e && key->tier.len)
        e = put(b, ",\"tier\":", key->tier);
    return e ? e : buf_char(b, '}');
}

static enum err write_claims(struct buf *b, struct arena *a,
                             const struct api_key *key, struct str issuer)
{
    enum err e = put(b, "{\"iss\":", issuer);

    if (e ||
        (e = put(b, ",\"sub\":", key->owner.len ? key->owner : key->name)) ||
        (e = put(b, ",\"jti\":", key->id)) ||
        (e = put(b, ",\"token_type\":", STR(SIGNED_KEY_TOKEN_TYPE))) ||
        (e = put(b, ",\"keytype\":", STR("PRODUCTION"))) ||
        (e = buf_printf(b, ",\"iat\":%" PRIu64, key->created_s)))
        return e;
    if (key->expires_s)
        e = buf_printf(b, ",\"exp\":%" PRIu64, key->expires_s);
    if (e || (e = put_application(b, key)) || (e = put_apis(b, &key->apis)) ||
        (e = put_joined(b, a, ",\"permittedIP\":", &key->ips, ',')) ||
        (e = put_joined(b, a, ",\"permittedReferer\":", &key->referers, ',')) ||
        (e = put_joined(b, a, ",\"scope\":", &key->scopes, ' ')))
        return e;
    return buf_char(b, '}');
}

enum err signed_key_sign(struct arena *a, const struct signing_key *with,
                         const struct api_key *key, struct str issuer,
                         struct str *out)
{
    struct jwt_header header = { .typ = STR(SIGNED_KEY_TYPE),
                                 .kid = with->kid };
    struct buf claims, token;
    enum err e;

    buf_init(&claims, CLAIMS_MAX);
    buf_init(&token, TOKEN_MAX);
    e = write_claims(&claims, a, key, issuer);
    if (!e)
        e = jwt_sign(with->pkey, with->alg, &header, buf_view(&claims), &token);
    if (!e)
        *out = arena_copy(a, buf_view(&token));
    buf_done(&claims);
    buf_done(&token);
    return e;
}

/* ---- reading ---- */

struct list {
    struct str items[LIST_MAX];
    size_t count;
    bool overflow;
};

static void add(struct list *l, struct str one)
{
    if (!one.len)
        return;
    if (l->count == LIST_MAX)
        l->overflow = true;
    else
        l->items[l->count++] = one;
}

static void add_parts(struct list *l, struct str text, char separator)
{
    while (text.p)
        add(l, str_trim(str_cut(&text, separator)));
}

static struct conf_strings keep(struct arena *a, const struct list *l)
{
    struct conf_strings out = {
        arena_alloc(a, l->count * sizeof(struct str) + 1), l->count
    };

    memcpy(out.items, l->items, l->count * sizeof(struct str));
    return out;
}

/* A claim with a list: text with separators, or an array of texts. */
static bool read_texts(const struct json *j, char separator, struct list *l)
{
    l->count = 0;
    l->overflow = false;
    if (!j || j->type == JSON_NULL)
        return true;
    if (j->type == JSON_STRING) {
        add_parts(l, j->text, separator);
        return !l->overflow;
    }
    if (j->type != JSON_ARRAY)
        return false;
    for (const struct json *i = j->first; i; i = i->next) {
        if (i->type != JSON_STRING)
            return false;
        add_parts(l, i->text, separator);
    }
    return !l->overflow;
}

static void add_api(struct arena *a, struct list *l, struct str name,
                    struct str version)
{
    add(l, !version.len || str_is(version, "*")
               ? name
               : arena_printf(a, "%.*s:%.*s", STR_ARG(name), STR_ARG(version)));
}

/* [{"name":"Shop","version":"1.0"}], or versions: "*", or a list of them. */
static bool read_apis(struct arena *a, const struct json *j, struct list *l)
{
    if (j->type != JSON_ARRAY)
        return false;
    for (const struct json *i = j->first; i; i = i->next) {
        const struct json *versions = json_at(i, "versions");
        struct str name = json_str(json_at(i, "name"));

        if (!name.len)
            return false;
        if (!versions)
            versions = json_at(i, "version");
        if (!versions || versions->type == JSON_STRING) {
            add_api(a, l, name, json_str(versions));
            continue;
        }
        if (versions->type != JSON_ARRAY)
            return false;
        for (const struct json *v = versions->first; v; v = v->next)
            add_api(a, l, name, v->type == JSON_STRING ? v->text : STR("?"));
    }
    return !l->overflow;
}

static const char *read_lists(struct arena *a, const struct json *claims,
                              struct api_key *k)
{
    struct list l;
    const struct json *apis = json_at(claims, "subscribedAPIs");
    struct str bad;
    struct trust *addresses;

    if (!read_texts(json_at(claims, "permittedIP"), ',', &l))
        return "permittedIP is no list of addresses";
    k->ips = keep(a, &l);
    if (l.count && trust_new(a, k->ips.items, k->ips.count, &addresses, &bad))
        return "permittedIP is no list of addresses";
    k->addresses = l.count ? addresses : NULL;
    if (!read_texts(json_at(claims, "permittedReferer"), ',', &l))
        return "permittedReferer is no list of pages";
    k->referers = keep(a, &l);
    if (!read_texts(json_at(claims, "scope"), ' ', &l))
        return "scope is no list of names";
    k->scopes = keep(a, &l);
    l.count = 0;
    l.overflow = false;
    if (!apis)
        apis = json_at(claims, "allowedAPIs");
    if (apis && !read_apis(a, apis, &l))
        return "subscribedAPIs or allowedAPIs is no list of APIs";
    k->apis = keep(a, &l);
    k->apis_hold |= apis != NULL;
    return NULL;
}

enum err signed_key_read(struct arena *a, const struct jwt *t, uint32_t skew_s,
                         bool apis_wanted, struct api_key *out,
                         const char **what)
{
    const struct json *claims = t->payload;
    const struct json *application = json_at(claims, "application");
    struct api_key k = {
        .id = t->jti,
        .name = json_str(json_at(application, "name")),
        .tier = json_str(json_at(application, "tier")),
        .owner = t->sub,
        .apis_hold = apis_wanted,
    };

    *what = NULL;
    if (!str_is(json_str(json_at(claims, "token_type")), SIGNED_KEY_TOKEN_TYPE))
        *what = "token_type is not apiKey";
    else if (!k.id.len || k.id.len > REVOKED_ID_MAX)
        *what = "jti is missing or too long";
    else
        *what = read_lists(a, claims, &k);
    if (*what)
        return ERR_INVALID;
    if (!k.name.len)
        k.name = t->sub;
    if (t->iat.set && t->iat.ms > 0)
        k.created_s = (uint64_t)t->iat.ms / 1000;
    if (t->exp.set && t->exp.ms != -1000)
        k.expires_s =
            (uint64_t)(t->exp.ms < 0 ? 1 : (t->exp.ms + 999) / 1000) + skew_s;
    *out = k;
    return ERR_OK;
}
