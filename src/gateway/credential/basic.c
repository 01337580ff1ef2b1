/* basic.c - user names and passwords (RFC 7617).
 *
 * A pair that was good is remembered for a minute, so a hash is computed once
 * a minute for a caller, on the slow thread. A name nobody has costs the same
 * and is answered alike: its password is compared with that of nobody.
 */
#include <openssl/crypto.h>

#include "base/log.h"
#include "gateway/credential/credential.h"
#include "gateway/credential/credentials.h"
#include "gateway/credential/password.h"
#include "gateway/credential/slow.h"
#include "gateway/credential/token_cache.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"
#include "jose/b64.h"

enum { GOOD_MS = 60000, BAD_MS = 10000, PAIR_MAX = 2048 };

struct basic {
    const struct credentials *credentials;
    struct str header;
    enum field id;
};

/* ---- compiling ---- */

static struct str field(const void *conf, unsigned n)
{
    const struct basic *b = conf;

    return n ? STR_NULL : b->header;
}

static enum err prepare(const struct policy_input *in,
                        const struct oas_demand *demand, void **conf)
{
    const struct oas_operation *o = in->operation;
    const struct credentials *c = in->credentials;
    struct basic *b = arena_alloc(in->arena, sizeof(*b));

    b->credentials = c;
    b->header = in->doc->auth_header.len
                    ? arena_copy(in->arena, in->doc->auth_header)
                    : c->conf.header;
    b->id = field_id(b->header);
    *conf = b;
    if (users_count(c->users))
        return ERR_OK;
    problem_error(in->problems, o->file, o->line,
                  "%.*s %.*s requires %.*s (%.*s), and there are no users; in "
                  "tollgate.yaml below gateway: `users: [{name: NAME, "
                  "password: HASH}]`, with a hash of `tollgate password`; or "
                  "--security off, which serves it to anybody (for "
                  "development)",
                  STR_ARG(o->method), STR_ARG(o->path),
                  STR_ARG(demand->scheme->name), STR_ARG(demand->scheme->type));
    return ERR_INVALID;
}

/* ---- a comparison on the slow thread ---- */

struct comparison {
    struct slow_job job; /* first */
    struct arena *arena;
    struct str hash, password;
    bool known; /* there is such a user */
    bool good;
    struct auth_run *run; /* NULL: the call has gone */
};

static void work(struct slow_job *job)
{
    struct comparison *c = (struct comparison *)job;

    c->good = password_matches(c->hash, c->password) && c->known;
}

static void drop(struct slow_job *job)
{
    struct comparison *c = (struct comparison *)job;

    if (c->password.len)
        OPENSSL_cleanse((char *)(uintptr_t)c->password.p, c->password.len);
    arena_free(c->arena);
}

/* ---- a call ---- */

static enum finding refuse(struct auth_run *run, const struct refusal *r)
{
    explain_note(&run->x->explain, EXPLAIN_PASSWORD, EXPLAIN_REFUSED,
                 REASON_PASSWORD_BAD, 0, NULL);
    run->refusal = r;
    run->error = run->error_text = NULL;
    credential_failed(run);
    return FOUND_BAD;
}

/* What this pair is called in the cache: other users, another name. */
static struct str name_of(struct exchange *x, const struct basic *b,
                          struct str pair)
{
    return arena_printf(x->s.arena, "basic|%llu|%.*s",
                        (unsigned long long)b->credentials->number,
                        STR_ARG(pair));
}

static enum finding good(struct auth_run *run, struct token_entry *e)
{
    struct exchange *x = run->x;

    token_entry_hold(e);
    arena_defer(x->s.arena, token_entry_drop, e);
    explain_note(&x->explain, EXPLAIN_PASSWORD, EXPLAIN_PASSED,
                 REASON_PASSWORD_GOOD, 0, &e->caller.user);
    run->found = &e->caller;
    return FOUND_GOOD;
}

static struct token_entry *remember(struct worker *w, struct str name,
                                    const struct user *u)
{
    struct arena *a = arena_new();
    struct token_entry *e = token_cache_add(w->tokens, arena_copy(a, name), a);
    struct str *scopes = arena_alloc(a, u->scope_count * sizeof(*scopes) + 1);

    for (size_t i = 0; i < u->scope_count; i++)
        scopes[i] = arena_copy(a, u->scopes[i]);
    e->caller.kind = CALLER_USER;
    e->caller.id = e->caller.user = e->caller.application =
        arena_copy(a, u->name);
    e->caller.scopes = scopes;
    e->caller.scope_count = u->scope_count;
    e->caller.for_user = true;
    e->fresh_until_ms = loop_now_ms(w->loop) + GOOD_MS;
    return e;
}

/* What a call keeps while its password is compared; in its arena. */
struct waiting {
    struct comparison *job;
    const struct user *user;
    struct str name;
};

static enum finding ended(struct auth_run *run, const struct waiting *wait,
                          bool is_good)
{
    struct worker *w = run->x->worker;

    if (is_good)
        return good(run, remember(w, wait->name, wait->user));
    token_cache_fail(w->tokens, wait->name,
                     (struct token_failure) {
                         .until_ms = loop_now_ms(w->loop) + BAD_MS,
                         .why = 1,
                     });
    return refuse(run, &refusal_basic_invalid);
}

static void end(struct slow_job *job)
{
    struct comparison *c = (struct comparison *)job;
    struct auth_run *run = c->run;
    bool is_good = c->good;

    drop(job);
    if (run) {
        const struct waiting *wait = run->waiting;

        authenticate_done(run, ended(run, wait, is_good));
    }
}

static void cancel(struct auth_run *run)
{
    struct waiting *wait = run->waiting;

    wait->job->run = NULL;
}

static enum finding compare(struct auth_run *run, const struct basic *b,
                            struct str name, struct str user,
                            struct str password)
{
    struct exchange *x = run->x;
    const struct user *u = users_find(b->credentials->users, user);
    struct waiting *wait = arena_alloc(x->s.arena, sizeof(*wait));
    struct arena *a;
    struct comparison *c;

    *wait = (struct waiting) { .user = u, .name = name };
    if (u && !u->slow)
        return ended(run, wait, password_matches(u->password, password));
    a = arena_new();
    c = arena_alloc(a, sizeof(*c));
    *c = (struct comparison) {
        .job = { .work = work, .end = end, .drop = drop },
        .arena = a,
        .hash = arena_copy(a, u ? u->password : password_nobody()),
        .password = arena_copy(a, password),
        .known = u != NULL,
        .run = run,
    };
    wait->job = c;
    if (slow_start(x->worker->slow, x->worker->loop, &c->job)) {
        drop(&c->job);
        run->refusal = &refusal_auth_unavailable;
        return FOUND_BAD;
    }
    run->waiting = wait;
    return FOUND_LATER;
}

/* "Basic BASE64", in bounds. */
static bool pair_of(const struct header *h, struct str *out)
{
    struct str v = h->value;

    if (v.len < 6 || !str_eq_nocase(str_head(v, 6), STR("Basic ")))
        return false;
    *out = str_trim(str_skip(v, 6));
    return true;
}

static enum finding look(struct auth_run *run, const struct basic *b,
                         struct str pair)
{
    struct exchange *x = run->x;
    struct worker *w = x->worker;
    uint64_t now_ms = loop_now_ms(w->loop);
    struct str name = name_of(x, b, str_head(pair, PAIR_MAX)), text;
    struct token_entry *e = token_cache_find(w->tokens, name);
    size_t len, colon;
    char *room;
    bool bad;

    if (e && now_ms < e->fresh_until_ms) {
        metrics_lookup(w->metrics, CACHE_BASIC, LOOKUP_HIT);
        return good(run, e);
    }
    if (!credential_may_try(run))
        return FOUND_BAD;
    room = arena_raw(x->s.arena, b64_decoded(pair.len) + 1);
    if (pair.len > PAIR_MAX || b64_decode(pair, room, &len))
        return refuse(run, &refusal_basic_invalid);
    text = str_from(room, len);
    colon = str_find(text, ':');
    if (colon == text.len || len - colon > PASSWORD_MAX)
        return refuse(run, &refusal_basic_invalid);
    bad = token_cache_failure(w->tokens, name, 0, now_ms, 0) != 0;
    metrics_lookup(w->metrics, CACHE_BASIC, bad ? LOOKUP_BAD : LOOKUP_MISS);
    if (bad)
        return refuse(run, &refusal_basic_invalid);
    return compare(run, b, name, str_head(text, colon),
                   str_skip(text, colon + 1));
}

static enum finding check(struct auth_run *run, const void *conf)
{
    const struct basic *b = conf;
    const struct message *m = &run->x->s.request;
    const struct header *h = b->id != FIELD_OTHER ? message_get(m, b->id)
                                                  : message_find(m, b->header);
    struct str pair;
    enum finding f;

    if (!h || !pair_of(h, &pair))
        return FOUND_NOTHING;
    f = look(run, b, pair);
    if (f != FOUND_BAD && !b->credentials->conf.forward)
        credential_hide(run->x, h);
    return f;
}

const struct credential_kind credential_basic = {
    .name = "a user name and password",
    .challenge = "Basic",
    .prepare = prepare,
    .field = field,
    .check = check,
    .cancel = cancel,
};
