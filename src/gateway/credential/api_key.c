/* api_key.c - API keys in a header, a query parameter or a cookie.
 *
 * Those of the file are looked up by their hash: the table is read afresh
 * within a second of a change of its file, and what a call needs of its key is
 * copied, so no call holds a table. Signed ones are verified once by a thread,
 * and remembered with what they are bound to, which is judged for each call.
 */
#include "gateway/credential/credential.h"
#include "gateway/credential/credentials.h"
#include "gateway/credential/token_cache.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

enum { FAILURE_MS = 60000 };

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

static struct str field(const void *conf, unsigned n)
{
    const struct key_conf *k = conf;

    for (size_t i = 0; i < k->place_count; i++)
        if (k->places[i].in == OAS_IN_HEADER && !n--)
            return k->places[i].name;
    return STR_NULL;
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
        credential_will_cut(x, w->field);
        w->field->value = str_trim(without(a, w->field->value, w->part));
        w->field->hop = !w->field->value.len;
    } else {
        credential_will_cut(x, NULL);
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

static struct key_use use_of(struct exchange *x, const struct key_conf *k)
{
    return (struct key_use) {
        .api = k->api,
        .version = k->version,
        .ip = x->client.ip,
        .referer = message_value(&x->s.request, FIELD_REFERER),
        .now_s = loop_wall_us(x->worker->loop) / 1000000,
    };
}

static enum finding good(struct auth_run *run, const struct caller *c)
{
    run->found = c;
    explain_note(&run->x->explain, EXPLAIN_KEY, EXPLAIN_PASSED, REASON_KEY_GOOD,
                 0, &c->token_id);
    return FOUND_GOOD;
}

/* detail: memory of the call, or NULL. */
static enum finding bad(struct auth_run *run, enum explain_reason reason,
                        const struct refusal *refusal, const struct str *detail)
{
    explain_note(&run->x->explain, EXPLAIN_KEY, EXPLAIN_REFUSED, reason, 0,
                 detail);
    run->refusal = refusal;
    run->error = run->error_text = NULL;
    return FOUND_BAD;
}

/* ---- keys of the file ---- */

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
    struct key_use use = use_of(x, k);
    enum key_verdict v =
        keyfile_check(credentials_keys(k->credentials), text, &use, &key);

    if (v == KEY_GOOD)
        return good(run, caller_of(x, key));
    return bad(run, verdicts[v].reason, verdicts[v].refusal,
               key ? kept(x, key->id) : NULL);
}

/* Good keys pass whatever the address did; guesses are counted, and answered
 * alike once there were too many. */
static enum finding check_filed(struct auth_run *run, const struct key_conf *k,
                                struct str text)
{
    enum finding f = judge(run, k, text);

    if (f == FOUND_BAD && credential_may_try(run))
        credential_failed(run);
    return f;
}

/* ---- signed keys ---- */

/* What is remembered of one beside its caller. */
struct signed_key {
    struct api_key key;
    uint64_t revoked; /* number of the table that revoked_s is of */
};

static enum explain_reason reason_of(enum jwt_fault f)
{
    switch (f) {
    case JWT_EXPIRED:
        return REASON_KEY_EXPIRED;
    case JWT_NOT_YET:
        return REASON_KEY_NOT_YET;
    case JWT_WRONG_TYPE:
        return REASON_KEY_TYPE;
    case JWT_MALFORMED:
    case JWT_TOO_LONG:
    case JWT_CRITICAL:
        return REASON_KEY_MALFORMED;
    case JWT_MISSING_CLAIM:
        return REASON_KEY_CLAIM;
    default:
        return REASON_KEY_SIGNATURE;
    }
}

/* Apart from the failures of tokens: the same text may be sent as both. */
static uint64_t failure_version(const struct key_signers *s)
{
    return key_signers_version(s) | 1ull << 63;
}

static enum finding failed(struct auth_run *run, enum explain_reason reason,
                           const struct str *detail)
{
    credential_failed(run);
    return bad(run, reason, &refusal_invalid, detail);
}

/* The name that limits go by: of who got the keys, so that getting more of
 * them gets nobody more calls. */
static struct str holder_of(struct arena *a, const struct jwt *t,
                            const struct api_key *key)
{
    struct str uuid =
        json_str(json_at(json_at(t->payload, "application"), "uuid"));

    return arena_printf(a, "%.*s|%.*s", STR_ARG(t->iss),
                        STR_ARG(uuid.len ? uuid : key->name));
}

static struct token_entry *remember(struct worker *w, struct arena *a,
                                    const struct jwt *t,
                                    const struct key_signer *by,
                                    const struct api_key *key)
{
    struct token_entry *e = token_cache_add(w->tokens, t->jws.token, a);
    struct signed_key *more = arena_alloc(a, sizeof(*more));

    more->key = *key;
    e->more = more;
    e->source = by->id;
    e->version = key_signer_version(by);
    e->from_s = token_from_s(t, by->rules.skew_s);
    e->until_s = key->expires_s;
    e->caller = (struct caller) {
        .kind = CALLER_API_KEY,
        .id = holder_of(a, t, key),
        .application = key->name,
        .user = key->owner,
        .issuer = t->iss,
        .scopes = key->scopes.items,
        .scope_count = key->scopes.count,
        .claims = t->payload,
        .tier = key->tier,
        .expires_s = key->expires_s,
        .issued_s = key->created_s,
        .token_id = key->id,
    };
    return e;
}

/* Of a key whose signature is good: may it be used so? */
static enum finding judge_signed(struct auth_run *run, const struct key_conf *k,
                                 struct token_entry *e)
{
    const struct revoked *now = key_signers_now(&k->credentials->signers);
    struct key_use use = use_of(run->x, k);
    struct signed_key *s = e->more;
    enum key_verdict v;

    if (now && s->revoked != revoked_number(now)) {
        s->revoked = revoked_number(now);
        s->key.revoked_s = revoked_has(now, s->key.id) ? use.now_s : 0;
    }
    if (use.now_s < e->from_s)
        return failed(run, REASON_KEY_NOT_YET, NULL);
    token_entry_hold(e);
    arena_defer(run->x->s.arena, token_entry_drop, e);
    v = api_key_judge(&s->key, &use);
    if (v == KEY_GOOD)
        return good(run, &e->caller);
    if (verdicts[v].refusal == &refusal_invalid)
        return failed(run, verdicts[v].reason, &s->key.id);
    return bad(run, verdicts[v].reason, verdicts[v].refusal, &s->key.id);
}

static void remember_failure(struct worker *w, struct str text,
                             uint64_t version, enum explain_reason why,
                             const struct jwt *t)
{
    struct token_failure failure = {
        .version = version,
        .until_ms = loop_now_ms(w->loop) + FAILURE_MS,
        .why = (uint32_t)why,
    };

    if (why == REASON_KEY_EXPIRED && t->exp.ms > 0)
        failure.from_s = (uint64_t)t->exp.ms / 1000;
    token_cache_fail(w->tokens, text, failure);
}

/* One that this thread has not seen. a: its own, which a good one keeps. */
static enum explain_reason verify(const struct key_conf *k, struct arena *a,
                                  struct str text, uint64_t now_s,
                                  struct jwt *t, const struct key_signer **by,
                                  struct api_key *key)
{
    const struct key_signers *all = &k->credentials->signers;
    const char *what;
    enum jwt_fault f = jwt_parse(a, arena_copy(a, text),
                                 k->credentials->conf.token_size, t, &what);

    if (!f)
        f = key_signers_verify(all, t, now_s, by);
    if (f)
        return reason_of(f);
    if (signed_key_read(a, t, (*by)->rules.skew_s, (*by)->apis_wanted, key,
                        &what))
        return REASON_KEY_CLAIM;
    return REASON_KEY_GOOD;
}

static enum finding check_new(struct auth_run *run, const struct key_conf *k,
                              struct str text)
{
    struct worker *w = run->x->worker;
    uint64_t now_s = loop_wall_us(w->loop) / 1000000;
    uint64_t version = failure_version(&k->credentials->signers);
    const struct key_signer *by = NULL;
    struct api_key key = { 0 };
    struct arena *a;
    struct jwt t;
    unsigned why;

    if (text.len > k->credentials->conf.token_size)
        return failed(run, REASON_KEY_MALFORMED, NULL);
    why = token_cache_failure(w->tokens, text, version, loop_now_ms(w->loop),
                              now_s);
    metrics_lookup(w->metrics, CACHE_API_KEY, why ? LOOKUP_BAD : LOOKUP_MISS);
    if (why)
        return failed(run, (enum explain_reason)why, NULL);
    a = arena_new();
    why = verify(k, a, text, now_s, &t, &by, &key);
    if (why == REASON_KEY_GOOD)
        return judge_signed(run, k, remember(w, a, &t, by, &key));
    if (why != REASON_KEY_NOT_YET)
        remember_failure(w, text, version, why, &t);
    arena_free(a);
    return failed(run, (enum explain_reason)why, NULL);
}

/* From the cache, when who signed it still has the key. */
static struct token_entry *known(const struct key_conf *k, struct worker *w,
                                 struct str text)
{
    struct token_entry *e = token_cache_find(w->tokens, text);
    const struct key_signer *by =
        e ? key_signers_find(&k->credentials->signers, e->source) : NULL;

    return by && key_signer_version(by) == e->version ? e : NULL;
}

static enum finding check_signed(struct auth_run *run, const struct key_conf *k,
                                 struct str text)
{
    struct worker *w = run->x->worker;
    struct token_entry *e = known(k, w, text);

    if (e) {
        metrics_lookup(w->metrics, CACHE_API_KEY, LOOKUP_HIT);
        return judge_signed(run, k, e);
    }
    return credential_may_try(run) ? check_new(run, k, text) : FOUND_BAD;
}

/* ---- both ---- */

static enum finding check(struct auth_run *run, const void *conf)
{
    const struct key_conf *k = conf;
    struct exchange *x = run->x;
    const struct place *place;
    struct where where = { 0 };
    enum finding f;

    if (!find_key(x, k, &where, &place))
        return FOUND_NOTHING;
    f = k->credentials->signers.count && signed_key_looks(where.text)
            ? check_signed(run, k, where.text)
            : check_filed(run, k, where.text);
    if (f == FOUND_GOOD && !k->credentials->conf.forward)
        hide(x, place->in, &where);
    return f;
}

const struct credential_kind credential_api_key = {
    .name = "an API key",
    .challenge = "ApiKey",
    .prepare = prepare,
    .field = field,
    .check = check,
};
