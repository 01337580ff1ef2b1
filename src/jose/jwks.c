/* jwks.c - reading key sets and finding keys in them.
 *
 * A set is a plain array: issuers publish two or three keys, and comparing a
 * few hundred kids costs a hundredth of a signature.
 */
#include "jose/jwks.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/log.h"

struct jwks {
    _Atomic size_t refs;
    size_t count;
    bool has_kids;
    struct jwk *keys[];
};

static const struct json_limits limits = {
    .max_bytes = JWKS_MAX_BYTES,
    .max_depth = 16,
    .max_nodes = 64 << 10,
};

/* Keys while they are read, with what is wrong with them together. */
struct reading {
    struct jwks_report *report;
    size_t count;
    struct jwk *keys[JWKS_MAX_KEYS];
    size_t number[JWKS_MAX_KEYS]; /* of each in the text, from 0 */
};

struct jwks *jwks_new(struct jwk *const *keys, size_t count)
{
    struct jwks *s;

    must(count > 0 && count <= JWKS_MAX_KEYS);
    s = x_new(sizeof(*s) + count * sizeof(s->keys[0]));
    atomic_init(&s->refs, 1);
    s->count = count;
    memcpy(s->keys, keys, count * sizeof(s->keys[0]));
    for (size_t i = 0; i < count; i++)
        s->has_kids = s->has_kids || s->keys[i]->kid.p;
    return s;
}

struct jwks *jwks_ref(struct jwks *s)
{
    must(atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed) > 0);
    return s;
}

void jwks_unref(struct jwks *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < s->count; i++)
        jwk_free(s->keys[i]);
    x_free(s);
}

size_t jwks_count(const struct jwks *s)
{
    return s->count;
}

const struct jwk *jwks_at(const struct jwks *s, size_t i)
{
    must(i < s->count);
    return s->keys[i];
}

bool jwks_has_kids(const struct jwks *s)
{
    return s->has_kids;
}

/* ---- reading ---- */

/* Counts key number n (from 0) as skipped; the first one is told about. */
static void skip(struct reading *r, size_t n, struct str kid, const char *why)
{
    struct jwks_report *report = r->report;

    if (report->skipped++ || report->why[0])
        return;
    if (kid.len)
        snprintf(report->why, sizeof(report->why), "key %zu (\"%.*s\"): %s",
                 n + 1, STR_ARG(str_head(kid, 64)), why);
    else
        snprintf(report->why, sizeof(report->why), "key %zu: %s", n + 1, why);
}

static enum err refuse(struct jwks_report *report, enum err e, const char *why)
{
    snprintf(report->why, sizeof(report->why), "%s", why);
    return e;
}

static void read_keys(struct reading *r, const struct json *keys,
                      unsigned flags)
{
    size_t n = 0;

    for (const struct json *j = keys->first; j; j = j->next, n++) {
        const char *why = "";

        if (jwk_parse(j, flags, &r->keys[r->count], &why))
            skip(r, n, json_str(json_at(j, "kid")), why);
        else
            r->number[r->count++] = n;
    }
}

/* Same kid, and an algorithm that both do. */
static bool are_ambiguous(const struct jwk *a, const struct jwk *b)
{
    return a->kid.p && b->kid.p && str_eq(a->kid, b->kid) &&
           (a->algs & b->algs);
}

/* Of keys that are the same the first stays; of those that only claim to be
 * none does. */
static void drop_ambiguous(struct reading *r)
{
    bool drop[JWKS_MAX_KEYS] = { false };
    size_t kept = 0;

    for (size_t i = 0; i < r->count; i++)
        for (size_t j = i + 1; j < r->count; j++) {
            if (!are_ambiguous(r->keys[i], r->keys[j]))
                continue;
            drop[j] = true;
            if (strcmp(r->keys[i]->thumbprint, r->keys[j]->thumbprint) != 0)
                drop[i] = true;
        }
    for (size_t i = 0; i < r->count; i++) {
        if (!drop[i]) {
            r->keys[kept++] = r->keys[i];
            continue;
        }
        skip(r, r->number[i], r->keys[i]->kid,
             "another key of the set has the same kid and algorithm");
        jwk_free(r->keys[i]);
    }
    r->count = kept;
}

static bool is_mixed(const struct reading *r)
{
    size_t secrets = 0;

    for (size_t i = 0; i < r->count; i++)
        secrets += r->keys[i]->type == JWK_OCT;
    return secrets && secrets < r->count;
}

static enum err make_set(struct reading *r, struct jwks **out)
{
    struct jwks_report *report = r->report;
    char first[sizeof(report->why)];

    drop_ambiguous(r);
    if (is_mixed(r))
        return refuse(report, ERR_INVALID,
                      "shared secrets (kty \"oct\") and public keys are in one "
                      "set: keep them apart");
    if (!r->count) {
        memcpy(first, report->why, sizeof(first));
        snprintf(report->why, sizeof(report->why),
                 "none of the %zu keys can verify a signature%s%.180s",
                 report->keys, first[0] ? "; " : "", first);
        return ERR_INVALID;
    }
    *out = jwks_new(r->keys, r->count);
    return ERR_OK;
}

static enum err parse_tree(struct str text, struct arena *a,
                           const struct json **keys, struct jwks_report *report)
{
    struct json_error error = { 0 };
    struct json *root;
    enum err e = json_parse(a, text, &limits, &root, &error);

    if (e) {
        snprintf(report->why, sizeof(report->why), "line %u, column %u: %s",
                 error.line, error.column, error.what);
        return e;
    }
    *keys = json_at(root, "keys");
    if (!*keys || (*keys)->type != JSON_ARRAY)
        return refuse(report, ERR_INVALID,
                      "a key set is an object with the array \"keys\"");
    report->keys = (*keys)->count;
    if (report->keys > JWKS_MAX_KEYS)
        return refuse(report, ERR_LIMIT, "a set has at most 256 keys");
    return ERR_OK;
}

enum err jwks_parse(struct str text, unsigned flags, struct jwks **out,
                    struct jwks_report *report)
{
    struct arena *a = arena_new();
    struct reading r = { .report = report };
    const struct json *keys = NULL;
    enum err e;

    memset(report, 0, sizeof(*report));
    e = parse_tree(text, a, &keys, report);
    if (!e) {
        read_keys(&r, keys, flags);
        e = make_set(&r, out);
    }
    for (size_t i = 0; e && i < r.count; i++)
        jwk_free(r.keys[i]);
    arena_free(a);
    return e;
}

/* ---- finding ---- */

const struct jwk *jwks_find(const struct jwks *s, struct str kid,
                            enum jose_alg alg)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct jwk *k = s->keys[i];

        if (k->kid.p && str_eq(k->kid, kid) && (!alg || jwk_fits(k, alg)))
            return k;
    }
    return NULL;
}

enum jwks_answer jwks_match(const struct jwks *s, struct str kid,
                            enum jose_alg alg,
                            const struct jwk *out[JWKS_MAX_TRIES],
                            size_t *count)
{
    size_t named = 0, n = 0;

    for (size_t i = 0; kid.p && i < s->count; i++) {
        const struct jwk *k = s->keys[i];

        if (!k->kid.p || !str_eq(k->kid, kid))
            continue;
        named++;
        if (jwk_fits(k, alg) && n < JWKS_MAX_TRIES)
            out[n++] = k;
    }
    for (size_t i = 0; !named && i < s->count && n < JWKS_MAX_TRIES; i++) {
        const struct jwk *k = s->keys[i];

        if (jwk_fits(k, alg) && (!kid.p || !k->kid.p))
            out[n++] = k;
    }
    *count = n;
    return n ? JWKS_FOUND : named ? JWKS_WRONG_ALG : JWKS_NO_KID;
}

enum err jwks_write(struct buf *b, const struct jwks *s)
{
    size_t before = b->len;
    enum err e = buf_z(b, "{\"keys\":[");

    for (size_t i = 0; !e && i < s->count; i++) {
        if (i)
            e = buf_char(b, ',');
        if (!e)
            e = jwk_write(b, s->keys[i]);
    }
    if (!e)
        e = buf_z(b, "]}");
    if (e)
        b->len = before;
    return e;
}
