/* api_key.c - API keys in a header, a query parameter or a cookie.
 *
 * The table of keys is read afresh within a second of a change of its file;
 * what a call needs of its key is copied, so no call holds a table.
 */
#include "gateway/credential/credential.h"
#include "gateway/credential/credentials.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

struct place {
    enum oas_in in;
    struct str name;
    enum field id; /* of a header */
};

struct key_conf {
    const struct credentials *credentials;
    struct str api, version;
    struct place places[2]; /* the first one that has something counts */
    size_t place_count;
};

/* ---- compiling ---- */

static void add_place(struct key_conf *k, enum oas_in in, struct str name)
{
    k->places[k->place_count++] = (struct place) { in, name, field_id(name) };
}

static enum err prepare(const struct policy_input *in,
                        const struct oas_demand *demand, void **conf)
{
    const struct oas_operation *o = in->operation;
    const struct oas_scheme *s = demand->scheme;
    const struct api_keys_conf *c = &in->conf->api_keys;
    struct key_conf *k = arena_alloc(in->arena, sizeof(*k));

    if (!s->implied && !s->param.len) {
        problem_error(in->problems, o->file, o->line,
                      "%.*s %.*s requires %.*s (apiKey), which does not say "
                      "where a key is sent: give the scheme `in:` (header, "
                      "query or cookie) and `name:`",
                      STR_ARG(o->method), STR_ARG(o->path), STR_ARG(s->name));
        return ERR_INVALID;
    }
    k->credentials = in->credentials;
    k->api = arena_copy(in->arena, in->doc->title);
    k->version = arena_copy(in->arena, in->doc->api_version);
    if (s->implied) {
        add_place(k, OAS_IN_HEADER,
                  arena_copy(in->arena, in->doc->key_header.len
                                            ? in->doc->key_header
                                            : c->header));
        if (c->query.len)
            add_place(k, OAS_IN_QUERY, arena_copy(in->arena, c->query));
    } else {
        add_place(k, s->in, arena_copy(in->arena, s->param));
    }
    *conf = k;
    return ERR_OK;
}

/* ---- where a key is ---- */

/* The value of a part "name=value" of a list with separators, and the part
 * itself with the separator before it. */
static bool find_part(struct str list, char separator, struct str name,
                      struct str *value, struct str *part)
{
    const char *begin = list.p;

    while (list.p) {
        struct str one = str_cut(&list, separator);
        struct str bare = separator == ';' ? str_trim(one) : one;

        if (bare.len > name.len && bare.p[name.len] == '=' &&
            str_starts(bare, name)) {
            *value = str_skip(bare, name.len + 1);
            *part = one;
            if (one.p > begin) { /* the separator before it */
                part->p--;
                part->len++;
            } else if (list.p) { /* or, of the first, the one behind it */
                part->len++;
            }
            return true;
        }
    }
    return false;
}

static struct str without(struct arena *a, struct str all, struct str part)
{
    size_t before = (size_t)(part.p - all.p);
    char *out = arena_raw(a, all.len + 1);

    memcpy(out, all.p, before);
    memcpy(out + before, part.p + part.len, all.len - before - part.len);
    return str_from(out, all.len - part.len);
}

struct where {
    struct header *field; /* of a header or cookie */
    struct str part;      /* of query or cookie */
    struct str text;
};

static bool find_header(struct exchange *x, const struct place *p,
                        struct where *out)
{
    struct message *m = &x->s.request;
    const struct header *h =
        p->id != FIELD_OTHER ? message_get(m, p->id) : message_find(m, p->name);

    if (!h || !h->value.len)
        return false;
    out->field = &m->headers[h - m->headers];
    out->text = h->value;
    return true;
}

static bool find_cookie(struct exchange *x, const struct place *p,
                        struct where *out)
{
    struct message *m = &x->s.request;

    for (uint32_t i = 0; i < m->count; i++) {
        struct header *h = &m->headers[i];

        if (h->id != FIELD_COOKIE ||
            !find_part(h->value, ';', p->name, &out->text, &out->part))
            continue;
        out->field = h;
        return true;
    }
    return false;
}

static bool find_key(struct exchange *x, const struct key_conf *k,
                     struct where *out, const struct place **place)
{
    for (size_t i = 0; i < k->place_count; i++) {
        const struct place *p = &k->places[i];
        bool there = p->in == OAS_IN_HEADER ? find_header(x, p, out)
                     : p->in == OAS_IN_COOKIE
                         ? find_cookie(x, p, out)
                         : x->s.request.has_query &&
                               find_part(x->s.request.query, '&', p->name,
                                         &out->text, &out->part);

        if (!there)
            continue;
        *place = p;
        return true;
    }
    return false;
}

/* The backend does not get it. */
static void hide(struct exchange *x, enum oas_in in, const struct where *w)
{
    struct message *m = &x->s.request;
    struct arena *a = x->s.arena;

    if (in == OAS_IN_HEADER) {
        w->field->hop = true;
    } else if (in == OAS_IN_COOKIE) {
        w->field->value = str_trim(without(a, w->field->value, w->part));
        w->field->hop = !w->field->value.len;
    } else {
        m->query = without(a, m->query, w->part);
        m->has_query = m->query.len > 0;
    }
}

/* ---- a call ---- */

static const struct {
    enum explain_reason reason;
    const struct refusal *refusal;
} verdicts[] = {
    [KEY_MALFORMED] = { REASON_KEY_MALFORMED, &refusal_invalid },
    [KEY_UNKNOWN] = { REASON_KEY_UNKNOWN, &refusal_invalid },
    [KEY_REVOKED] = { REASON_KEY_REVOKED, &refusal_invalid },
    [KEY_EXPIRED] = { REASON_KEY_EXPIRED, &refusal_invalid },
    [KEY_OTHER_API] = { REASON_KEY_API, &refusal_key_elsewhere },
    [KEY_OTHER_ADDRESS] = { REASON_KEY_ADDRESS, &refusal_key_elsewhere },
    [KEY_OTHER_REFERER] = { REASON_KEY_REFERER, &refusal_key_elsewhere },
};

static const struct str *kept(struct exchange *x, struct str text)
{
    struct str *out = arena_alloc(x->s.arena, sizeof(*out));

    *out = arena_copy(x->s.arena, text);
    return out;
}

static const struct caller *caller_of(struct exchange *x,
                                      const struct api_key *key)
{
    struct arena *a = x->s.arena;
    struct caller *c = arena_alloc(a, sizeof(*c));
    struct str *scopes =
        arena_alloc(a, key->scopes.count * sizeof(*scopes) + 1);

    for (size_t i = 0; i < key->scopes.count; i++)
        scopes[i] = arena_copy(a, key->scopes.items[i]);
    *c = (struct caller) {
        .kind = CALLER_API_KEY,
        .id = arena_copy(a, key->id),
        .application = arena_copy(a, key->name),
        .scopes = scopes,
        .scope_count = key->scopes.count,
        .tier = arena_copy(a, key->tier),
        .expires_s = key->expires_s,
        .issued_s = key->created_s,
    };
    c->token_id = c->id;
    return c;
}

static enum finding judge(struct auth_run *run, const struct key_conf *k,
                          struct str text)
{
    struct exchange *x = run->x;
    const struct api_key *key = NULL;
    struct key_use use = {
        .api = k->api,
        .version = k->version,
        .ip = x->client.ip,
        .referer = message_value(&x->s.request, FIELD_REFERER),
        .now_s = loop_wall_us(x->worker->loop) / 1000000,
    };
    enum key_verdict v =
        keyfile_check(credentials_keys(k->credentials), text, &use, &key);

    if (v == KEY_GOOD) {
        run->found = caller_of(x, key);
        explain_note(&x->explain, EXPLAIN_KEY, EXPLAIN_PASSED, REASON_KEY_GOOD,
                     0, &run->found->id);
        return FOUND_GOOD;
    }
    explain_note(&x->explain, EXPLAIN_KEY, EXPLAIN_REFUSED, verdicts[v].reason,
                 0, key ? kept(x, key->id) : NULL);
    run->refusal = verdicts[v].refusal;
    run->error = run->error_text = NULL;
    return FOUND_BAD;
}

static enum finding check(struct auth_run *run, const void *conf)
{
    const struct key_conf *k = conf;
    struct exchange *x = run->x;
    const struct place *place;
    struct where where = { 0 };
    enum finding f;

    if (!find_key(x, k, &where, &place))
        return FOUND_NOTHING;
    f = judge(run, k, where.text);
    /* Good keys pass whatever the address did; guesses are counted, and
     * answered alike once there were too many. */
    if (f == FOUND_BAD && credential_may_try(run))
        credential_failed(run);
    if (f == FOUND_GOOD && !k->credentials->conf.forward)
        hide(x, place->in, &where);
    return f;
}

const struct credential_kind credential_api_key = {
    .name = "an API key",
    .challenge = "ApiKey",
    .prepare = prepare,
    .check = check,
};
