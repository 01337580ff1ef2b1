/* credentials.c - see credentials.h. */
#include "gateway/credential/credentials.h"

static void make_issuers(struct credentials *c, const struct settings *s,
                         struct problems *ps)
{
    const struct issuer_conf *conf = s->gateway.issuers.items;
    size_t n = s->gateway.issuers.count;

    c->issuers = arena_alloc(c->arena, n * sizeof(*c->issuers) + 1);
    for (size_t i = 0; i < n; i++) {
        struct issuer *made;

        if (issuer_new(c->arena, &conf[i], i, s->file, ps, &made))
            continue;
        for (size_t k = 0; k < c->issuer_count; k++)
            if (str_eq(c->issuers[k]->rules.issuer, made->rules.issuer))
                problem_error(ps, s->file, 0,
                              "gateway.issuers[%zu].issuer is there twice", i);
        c->issuers[c->issuer_count++] = made;
    }
}

enum err credentials_new(const struct settings *s, struct problems *ps,
                         struct credentials **out)
{
    struct arena *a = arena_new();
    struct credentials *c = arena_alloc(a, sizeof(*c));
    size_t errors = ps->errors;

    c->arena = a;
    c->refs = 1;
    c->conf = s->gateway.authentication;
    c->conf.header = arena_copy(a, c->conf.header);
    c->conf.certificate_header = arena_copy(a, c->conf.certificate_header);
    make_issuers(c, s, ps);
    if (ps->errors > errors) {
        credentials_unref(c);
        return ERR_INVALID;
    }
    *out = c;
    return ERR_OK;
}

struct credentials *credentials_ref(struct credentials *c)
{
    c->refs++;
    return c;
}

void credentials_unref(struct credentials *c)
{
    if (c && --c->refs == 0)
        arena_free(c->arena);
}
