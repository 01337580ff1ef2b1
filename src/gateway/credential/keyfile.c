/* keyfile.c - API keys and their file. See keyfile.h. */
#include "gateway/credential/keyfile.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/whole_file.h"
#include "format/json.h"
#include "gateway/trust.h"

enum {
    LIST_MAX = 256,
    LINE_MAX_BYTES = 64 * 1024,
    FILE_MAX_BYTES = 512 << 20,
    KEYS_MAX = 1000000,
};

struct keyfile {
    struct arena *arena;
    struct str path;
    struct api_key *keys;
    size_t count, room;
    struct map *by_id;
};

/* ---- the text of a key ---- */

static const char digits[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* Digits drawn evenly: bytes from 248 on would favour some. */
static void draw(char *out, size_t n)
{
    while (n) {
        unsigned char bytes[64];

        random_bytes(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes) && n; i++) {
            if (bytes[i] >= 248)
                continue;
            *out++ = digits[bytes[i] % 62];
            n--;
        }
        OPENSSL_cleanse(bytes, sizeof(bytes));
    }
}

static void checksum(const char *p, size_t n, char out[API_KEY_CHECK])
{
    uint64_t h = hash_content(HASH_CONTENT_START, p, n);

    h ^= h >> 32;
    for (int i = API_KEY_CHECK; i--; h /= 62)
        out[i] = digits[h % 62];
}

static void digest(struct str text, unsigned char out[32])
{
    unsigned n = 32;

    must(EVP_Digest(text.p, text.len, out, &n, EVP_sha256(), NULL));
}

static bool well_formed(struct str text)
{
    char check[API_KEY_CHECK];

    if (text.len != API_KEY_TEXT || memcmp(text.p, "tg_", 3) != 0 ||
        text.p[3 + API_KEY_ID] != '_')
        return false;
    checksum(text.p, API_KEY_TEXT - API_KEY_CHECK, check);
    return memcmp(text.p + API_KEY_TEXT - API_KEY_CHECK, check,
                  API_KEY_CHECK) == 0;
}

void api_key_make(struct arena *a, struct api_key *key,
                  char text[API_KEY_TEXT + 1])
{
    memcpy(text, "tg_", 3);
    draw(text + 3, API_KEY_ID);
    text[3 + API_KEY_ID] = '_';
    draw(text + 4 + API_KEY_ID, API_KEY_SECRET);
    checksum(text, API_KEY_TEXT - API_KEY_CHECK,
             text + API_KEY_TEXT - API_KEY_CHECK);
    text[API_KEY_TEXT] = 0;
    key->id = arena_copy(a, str_from(text + 3, API_KEY_ID));
    digest(str_from(text, API_KEY_TEXT), key->hash);
}

/* ---- reading ---- */

struct reading {
    struct keyfile *k;
    struct problems *ps;
    uint32_t line;
};

static bool bad(const struct reading *r, const char *what)
{
    problem_error(r->ps, r->k->path, r->line, "%s", what);
    return false;
}

static bool read_hex(struct str s, unsigned char out[32])
{
    if (s.len != 64)
        return false;
    for (size_t i = 0; i < 64; i++) {
        char c = s.p[i];
        int n = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                       : -1;

        if (n < 0)
            return false;
        out[i / 2] = (unsigned char)(out[i / 2] << 4 | n);
    }
    return true;
}

static bool read_list(const struct reading *r, const struct json *j,
                      struct conf_strings *out)
{
    if (j->type != JSON_ARRAY || j->count > LIST_MAX)
        return false;
    out->items = arena_alloc(r->k->arena, j->count * sizeof(*out->items) + 1);
    for (j = j->first; j; j = j->next) {
        if (j->type != JSON_STRING)
            return false;
        out->items[out->count++] = j->text;
    }
    return true;
}

static bool read_member(const struct reading *r, const struct json *j,
                        struct api_key *key)
{
    struct {
        const char *name;
        struct conf_strings *list;
        struct str *text;
        uint64_t *time;
    } members[] = {
        { "id", .text = &key->id },
        { "name", .text = &key->name },
        { "tier", .text = &key->tier },
        { "apis", .list = &key->apis },
        { "ips", .list = &key->ips },
        { "referers", .list = &key->referers },
        { "scopes", .list = &key->scopes },
        { "created", .time = &key->created_s },
        { "expires", .time = &key->expires_s },
        { "revoked", .time = &key->revoked_s },
    };

    if (str_is(j->key, "hash"))
        return read_hex(json_str(j), key->hash);
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        if (!str_is(j->key, members[i].name))
            continue;
        if (members[i].list)
            return read_list(r, j, members[i].list);
        if (members[i].time)
            return json_u64(j, UINT32_MAX * 1000ull, members[i].time) == ERR_OK;
        *members[i].text = json_str(j);
        return j->type == JSON_STRING;
    }
    return false;
}

static bool read_key(const struct reading *r, const struct json *j,
                     struct api_key *key)
{
    struct trust *addresses;
    struct str wrong;

    if (j->type != JSON_OBJECT || !json_at(j, "id") || !json_at(j, "hash"))
        return bad(r, "is no API key: an object with id and hash is wanted");
    for (const struct json *m = j->first; m; m = m->next)
        if (!read_member(r, m, key))
            return bad(r, arena_printf(r->ps->arena,
                                       "\"%.*s\" is unknown or has a wrong "
                                       "value",
                                       STR_ARG(str_head(m->key, 64)))
                              .p);
    if (key->id.len != API_KEY_ID)
        return bad(r, "an id has ten characters");
    if (map_get(r->k->by_id, key->id))
        return bad(r, "this id is there already");
    if (!key->ips.count)
        return true;
    if (trust_new(r->k->arena, key->ips.items, key->ips.count, &addresses,
                  &wrong))
        return bad(r, "ips: addresses and ranges are wanted (10.0.0.0/8, ::1)");
    key->addresses = addresses;
    return true;
}

static bool read_line(struct reading *r, struct str line)
{
    const struct json_limits limits = { LINE_MAX_BYTES, 4, 4096, false };
    struct keyfile *k = r->k;
    struct json_error error = { 0 };
    struct api_key key = { 0 };
    struct json *j;

    if (!str_trim(line).len)
        return true;
    if (k->count == KEYS_MAX)
        return bad(r, "there are more than a million keys");
    if (json_parse(k->arena, line, &limits, &j, &error))
        return bad(r, error.what);
    if (!read_key(r, j, &key))
        return false;
    if (k->count == k->room) {
        k->room = k->room ? 2 * k->room : 64;
        k->keys = x_resize(k->keys, k->room * sizeof(*k->keys));
    }
    k->keys[k->count++] = key;
    return true;
}

/* Keys lie in one array, so they are entered once it has its place. */
static bool read_lines(struct keyfile *k, struct str text, struct problems *ps)
{
    struct reading r = { k, ps, 0 };
    struct map *seen = map_new(k->arena);

    k->by_id = seen;
    while (text.p) {
        size_t before = k->count;

        r.line++;
        if (!read_line(&r, str_cut(&text, '\n')))
            return false;
        /* Any pointer will do to know the id again. */
        if (k->count > before)
            map_set(seen, k->keys[before].id, k);
    }
    k->by_id = map_new(k->arena);
    for (size_t i = 0; i < k->count; i++)
        map_set(k->by_id, k->keys[i].id, &k->keys[i]);
    return true;
}

enum err keyfile_load(struct str path, struct problems *ps,
                      struct keyfile **out)
{
    struct arena *a = arena_new();
    struct keyfile *k = arena_alloc(a, sizeof(*k));
    struct str text = STR("");
    enum err e;

    k->arena = a;
    k->path = arena_copy(a, path);
    e = whole_file_read(a, k->path, FILE_MAX_BYTES, ps, &text);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK; /* there are none yet */
    if (!e && !read_lines(k, text, ps))
        e = ERR_INVALID;
    if (e) {
        keyfile_free(k);
        return e;
    }
    *out = k;
    return ERR_OK;
}

void keyfile_free(struct keyfile *k)
{
    if (!k)
        return;
    x_free(k->keys);
    arena_free(k->arena);
}

size_t keyfile_count(const struct keyfile *k)
{
    return k->count;
}

const struct api_key *keyfile_at(const struct keyfile *k, size_t i)
{
    must(i < k->count);
    return &k->keys[i];
}

/* ---- checking ---- */

bool referer_matches(struct str pattern, struct str s)
{
    size_t p = 0, i = 0, star = SIZE_MAX, from = 0;

    while (i < s.len) {
        if (p < pattern.len && pattern.p[p] == '*') {
            star = p++;
            from = i;
        } else if (p < pattern.len &&
                   char_lower(pattern.p[p]) == char_lower(s.p[i])) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.p[p] == '*')
        p++;
    return p == pattern.len;
}

/* Patterns are written without a scheme (*.example.com/path). */
static bool referer_fits(const struct api_key *key, struct str referer)
{
    size_t scheme = str_find(referer, ':');
    struct str bare = referer;

    if (str_starts(str_skip(referer, scheme), STR("://")))
        bare = str_skip(referer, scheme + 3);
    if (bare.len > 2048)
        return false;
    for (size_t i = 0; i < key->referers.count; i++)
        if (referer_matches(key->referers.items[i], bare) ||
            referer_matches(key->referers.items[i], referer))
            return true;
    return key->referers.count == 0;
}

static bool api_fits(const struct api_key *key, const struct key_use *use)
{
    for (size_t i = 0; i < key->apis.count; i++) {
        struct str one = key->apis.items[i];
        size_t n = use->api.len;

        if (str_is(one, "*") || str_eq(one, use->api))
            return true;
        if (one.len == n + 1 + use->version.len && one.p[n] == ':' &&
            str_starts(one, use->api) && str_ends(one, use->version))
            return true;
    }
    return key->apis.count == 0 && !key->apis_hold;
}

enum key_verdict api_key_judge(const struct api_key *key,
                               const struct key_use *use)
{
    if (key->revoked_s)
        return KEY_REVOKED;
    if (key->expires_s && use->now_s >= key->expires_s)
        return KEY_EXPIRED;
    if (!api_fits(key, use))
        return KEY_OTHER_API;
    if (key->addresses && !trust_has(key->addresses, use->ip))
        return KEY_OTHER_ADDRESS;
    return referer_fits(key, use->referer) ? KEY_GOOD : KEY_OTHER_REFERER;
}

enum key_verdict keyfile_check(const struct keyfile *k, struct str text,
                               const struct key_use *use,
                               const struct api_key **out)
{
    static const unsigned char nobody[32];
    const struct api_key *key;
    unsigned char hash[32];
    bool same;

    if (!well_formed(text))
        return KEY_MALFORMED;
    digest(text, hash);
    key = k ? map_get(k->by_id, str_from(text.p + 3, API_KEY_ID)) : NULL;
    same = CRYPTO_memcmp(hash, key ? key->hash : nobody, 32) == 0;
    if (!key || !same)
        return KEY_UNKNOWN;
    *out = key;
    return api_key_judge(key, use);
}

const struct api_key *keyfile_find(const struct keyfile *k, struct str id)
{
    return k ? map_get(k->by_id, id) : NULL;
}

/* ---- writing ---- */

static enum err write_list(struct buf *b, const char *name,
                           const struct conf_strings *list)
{
    enum err e = list->count ? buf_printf(b, ",\"%s\":[", name) : ERR_OK;

    for (size_t i = 0; i < list->count && !e; i++) {
        if (i)
            e = buf_char(b, ',');
        if (!e)
            e = json_write_str(b, list->items[i]);
    }
    return e || !list->count ? e : buf_char(b, ']');
}

static enum err write_text(struct buf *b, const char *name, struct str text)
{
    enum err e = text.len ? buf_printf(b, ",\"%s\":", name) : ERR_OK;

    return e || !text.len ? e : json_write_str(b, text);
}

static enum err write_time(struct buf *b, const char *name, uint64_t s)
{
    return s ? buf_printf(b, ",\"%s\":%llu", name, (unsigned long long)s)
             : ERR_OK;
}

enum err api_key_write(struct buf *b, const struct api_key *key)
{
    enum err e =
        buf_printf(b, "{\"id\":\"%.*s\",\"hash\":\"", STR_ARG(key->id));

    for (int i = 0; i < 32 && !e; i++)
        e = buf_printf(b, "%02x", key->hash[i]);
    if (e || (e = buf_char(b, '"')) || (e = write_text(b, "name", key->name)) ||
        (e = write_list(b, "apis", &key->apis)) ||
        (e = write_list(b, "ips", &key->ips)) ||
        (e = write_list(b, "referers", &key->referers)) ||
        (e = write_list(b, "scopes", &key->scopes)) ||
        (e = write_text(b, "tier", key->tier)) ||
        (e = write_time(b, "created", key->created_s)) ||
        (e = write_time(b, "expires", key->expires_s)) ||
        (e = write_time(b, "revoked", key->revoked_s)))
        return e;
    return buf_char(b, '}');
}

static enum err write_table(const struct keyfile *k, const struct api_key *more,
                            struct problems *ps)
{
    struct buf b;
    enum err e = ERR_OK;

    buf_init(&b, FILE_MAX_BYTES);
    for (size_t i = 0; i < k->count && !e; i++)
        if (!(e = api_key_write(&b, &k->keys[i])))
            e = buf_char(&b, '\n');
    if (more && !e && !(e = api_key_write(&b, more)))
        e = buf_char(&b, '\n');
    if (e)
        problem_error(ps, k->path, 0, "there is no room for more keys");
    else
        e = whole_file_replace(k->path, buf_view(&b), ps);
    buf_done(&b);
    return e;
}

/* With the lock held: reads the file, and writes it with more, or with the
 * key of id revoked. */
static enum err change(struct str path, const struct api_key *more,
                       struct str id, uint64_t now_s, struct problems *ps)
{
    struct keyfile *k;
    enum err e = keyfile_load(path, ps, &k);

    if (e)
        return e;
    if (!more) {
        struct api_key *key = map_get(k->by_id, id);

        if (!key)
            e = ERR_NOT_FOUND;
        else if (!key->revoked_s)
            key->revoked_s = now_s;
    }
    if (!e)
        e = write_table(k, more, ps);
    keyfile_free(k);
    return e;
}

static enum err locked(struct str path, const struct api_key *more,
                       struct str id, uint64_t now_s, struct problems *ps)
{
    int lock = whole_file_lock(path, ps);
    enum err e = ERR_IO;

    if (lock >= 0) {
        e = change(path, more, id, now_s, ps);
        close(lock);
    }
    return e;
}

enum err keyfile_add(struct str path, const struct api_key *key,
                     struct problems *ps)
{
    return locked(path, key, STR_NULL, 0, ps);
}

enum err keyfile_revoke(struct str path, struct str id, uint64_t now_s,
                        struct problems *ps)
{
    return locked(path, NULL, id, now_s, ps);
}
