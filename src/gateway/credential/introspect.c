/* introspect.c - see introspect.h. */
#include "gateway/credential/introspect.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "gateway/credential/introspection_answer.h"

enum {
    REFUSED = 1024, /* places for tokens that are not active */
    ASKING_MAX = 1024,
    SERVERS = 16, /* with a state of their own */
    KEY = 32,
};

/* A token that is not active, by a keyed hash of 256 bits: nobody finds two
 * tokens of one hash. */
struct refused {
    uint8_t hash[KEY];
    uint32_t server; /* 0: free */
    uint8_t fault;
    uint64_t until_ms;
};

/* The breaker of one server. */
struct server_state {
    uint32_t id;       /* 0: free */
    uint64_t failures; /* in a row */
    uint64_t open_until_ms;
    uint64_t used_ms;
    bool trying; /* one question after the pause */
};

struct introspect_wait {
    struct introspect_wait *next, **prev;
    introspect_done *done;
    void *arg;
};

/* A question under way. */
struct asking {
    struct introspector *owner;
    struct asking *next, **prev;
    struct arena *arena;
    struct introspection *server;
    struct str token;
    uint64_t hash;
    struct fetch *fetch;
    struct introspect_wait *first;
    bool trial; /* of the breaker */
};

struct introspector {
    struct loop *loop;
    struct fetcher *fetcher;
    struct token_cache *active;
    struct refused *refused;
    struct asking *asking;
    struct server_state servers[SERVERS];
    struct introspect_counts counts;
    struct metrics_thread *metrics;
    uint8_t key[KEY];
};

struct introspector *introspector_new(struct loop *l, struct fetcher *f,
                                      size_t capacity,
                                      struct metrics_thread *metrics)
{
    struct introspector *t = x_new(sizeof(*t));

    t->loop = l;
    t->fetcher = f;
    t->metrics = metrics;
    t->active = token_cache_new(capacity);
    t->refused = x_array(REFUSED, sizeof(*t->refused));
    random_bytes(t->key, sizeof(t->key));
    return t;
}

static void free_asking(struct asking *a)
{
    struct introspect_wait *w;

    while ((w = a->first)) {
        a->first = w->next;
        x_free(w);
    }
    introspection_unref(a->server);
    arena_free(a->arena);
}

static void unlink_asking(struct asking *a)
{
    *a->prev = a->next;
    if (a->next)
        a->next->prev = a->prev;
    a->owner->counts.now--;
}

void introspector_free(struct introspector *t)
{
    struct asking *a;

    if (!t)
        return;
    while ((a = t->asking)) {
        unlink_asking(a);
        fetch_cancel(a->fetch);
        free_asking(a);
    }
    token_cache_free(t->active);
    x_free(t->refused);
    x_free(t);
}

const struct introspect_counts *
introspector_counts(const struct introspector *t)
{
    return &t->counts;
}

/* Remembered answers */

struct token_entry *introspect_known(struct introspector *t,
                                     const struct introspection *server,
                                     struct str token, uint64_t now_s)
{
    struct token_entry *e = token_cache_find(t->active, token);

    if (!e || e->source != server->id)
        return NULL;
    if ((!e->until_s || now_s < e->until_s) &&
        loop_now_ms(t->loop) < e->fresh_until_ms)
        return e;
    token_cache_remove(t->active, e);
    return NULL;
}

static struct refused *place_of(struct introspector *t, struct str token,
                                uint8_t hash[KEY])
{
    unsigned n = KEY;
    uint32_t first;

    must(HMAC(EVP_sha256(), t->key, KEY, (const unsigned char *)token.p,
              token.len, hash, &n) &&
         n == KEY);
    memcpy(&first, hash, sizeof(first));
    return &t->refused[first % REFUSED];
}

static bool was_refused(struct introspector *t,
                        const struct introspection *server, struct str token,
                        enum jwt_fault *fault)
{
    uint8_t hash[KEY];
    const struct refused *r = place_of(t, token, hash);

    if (r->server != server->id || loop_now_ms(t->loop) >= r->until_ms ||
        memcmp(r->hash, hash, KEY) != 0)
        return false;
    *fault = (enum jwt_fault)r->fault;
    return true;
}

static void remember_refused(struct introspector *t,
                             const struct introspection *server,
                             struct str token, enum jwt_fault fault)
{
    uint8_t hash[KEY];
    struct refused *r;

    if (!server->refused_cache_ms || fault == JWT_NOT_YET)
        return;
    r = place_of(t, token, hash);
    memcpy(r->hash, hash, KEY);
    r->server = server->id;
    r->fault = (uint8_t)fault;
    r->until_ms = loop_now_ms(t->loop) + server->refused_cache_ms;
}

/* The breaker
 *
 *   closed -> open     `failures` questions in a row found it ill
 *   open -> trying     `pause` is over: one question is let through
 *   trying -> closed   it was answered
 *   trying -> open     it was not
 */

static struct server_state *state_of(struct introspector *t, uint32_t id)
{
    struct server_state *oldest = &t->servers[0];
    uint64_t now = loop_now_ms(t->loop);

    for (int i = 0; i < SERVERS; i++) {
        struct server_state *s = &t->servers[i];

        if (s->id == id) {
            s->used_ms = now;
            return s;
        }
        if (s->used_ms < oldest->used_ms)
            oldest = s;
    }
    *oldest = (struct server_state) { .id = id, .used_ms = now };
    return oldest;
}

static bool may_ask(struct introspector *t, const struct introspection *server,
                    bool *trial)
{
    struct server_state *s = state_of(t, server->id);

    *trial = false;
    if (s->failures < server->failures)
        return true;
    if (s->trying || loop_now_ms(t->loop) < s->open_until_ms)
        return false;
    s->trying = *trial = true;
    return true;
}

static void went_well(struct asking *a)
{
    struct server_state *s = state_of(a->owner, a->server->id);

    if (s->failures >= a->server->failures)
        log_info("introspection", "%.*s answers again",
                 STR_ARG(a->server->name));
    s->failures = 0;
    s->trying = false;
}

static void went_wrong(struct asking *a, struct str why)
{
    const struct introspection *server = a->server;
    struct server_state *s = state_of(a->owner, server->id);

    if (a->trial)
        s->trying = false;
    s->failures++;
    if (s->failures == server->failures)
        log_warn("introspection",
                 "%.*s: %.*s; %llu failures in a row, it is asked again in "
                 "%llu ms",
                 STR_ARG(server->name), STR_ARG(why),
                 (unsigned long long)s->failures,
                 (unsigned long long)server->pause_ms);
    else if (s->failures < server->failures)
        log_warn("introspection", "%.*s: %.*s", STR_ARG(server->name),
                 STR_ARG(why));
    if (s->failures >= server->failures)
        s->open_until_ms = loop_now_ms(a->owner->loop) + server->pause_ms;
}

/* Answers */

static void tell(struct asking *a, const struct introspected *result)
{
    struct introspect_wait *w;

    while ((w = a->first)) {
        introspect_done *done = w->done;
        void *arg = w->arg;

        a->first = w->next;
        if (w->next)
            w->next->prev = &a->first;
        x_free(w);
        done(arg, result);
    }
}

/* What it says of the token, judged as the claims of a signed one are. */
static enum jwt_fault judge(const struct introspection *server,
                            const struct jwt *t, uint64_t now_s,
                            struct str *claim)
{
    enum jwt_fault f = jwt_check(&server->judge.rules, t, now_s, claim);

    for (size_t i = 0; !f && i < server->judge.claim_count; i++) {
        if (claim_holds(t->payload, &server->judge.claims[i]))
            continue;
        *claim = server->judge.claims[i].name;
        f = JWT_MISSING_CLAIM;
    }
    return f;
}

/* arena: of the answer, which the entry owns from now on. */
static struct token_entry *remember(struct asking *a, struct arena *arena,
                                    const struct jwt *t)
{
    const struct introspection *server = a->server;
    struct token_entry *e =
        token_cache_add(a->owner->active, arena_copy(arena, a->token), arena);

    issuer_caller(&server->judge, arena, t, &e->caller);
    e->caller.issuer = t->iss.len ? t->iss : arena_copy(arena, server->name);
    e->caller.id = arena_printf(arena, "%.*s|%.*s", STR_ARG(e->caller.issuer),
                                STR_ARG(e->caller.application));
    e->until_s = e->caller.expires_s;
    e->fresh_until_ms = loop_now_ms(a->owner->loop) + server->cache_ms;
    e->source = server->id;
    e->bound = t->cnf_x5t_s256.p || t->cnf_jkt.p;
    e->bound_certificate = t->cnf_x5t_s256;
    e->bound_key = t->cnf_jkt;
    return e;
}

static void is_active(struct asking *a, struct arena *arena,
                      const struct jwt *t, uint64_t now_s)
{
    struct introspected result = { .verdict = INTROSPECT_INACTIVE };

    result.fault = judge(a->server, t, now_s, &result.text);
    if (result.fault) {
        remember_refused(a->owner, a->server, a->token, result.fault);
        tell(a, &result);
        arena_free(arena);
        return;
    }
    result.verdict = INTROSPECT_ACTIVE;
    result.text = STR_NULL;
    result.entry = remember(a, arena, t);
    token_entry_hold(result.entry); /* what is done then may push it out */
    tell(a, &result);
    token_entry_drop(result.entry);
}

static void tell_unavailable(struct asking *a, struct str why)
{
    struct introspected result = { .verdict = INTROSPECT_UNAVAILABLE,
                                   .text = why };

    a->owner->counts.failed++;
    metrics_add(&a->owner->metrics->introspection_failures, 1);
    tell(a, &result);
}

static void unavailable(struct asking *a, struct str why)
{
    went_wrong(a, why);
    tell_unavailable(a, why);
}

static void is_not_active(struct asking *a)
{
    struct introspected result = { .verdict = INTROSPECT_INACTIVE };

    remember_refused(a->owner, a->server, a->token, JWT_OK);
    tell(a, &result);
}

static void read_answer(struct asking *a, struct str text)
{
    struct introspection_answer answer;
    struct arena *arena = arena_new();
    uint64_t now_s = loop_wall_us(a->owner->loop) / 1000000;
    const char *why;

    if (introspection_answer_parse(arena, arena_copy(arena, text), &answer,
                                   &why)) {
        unavailable(a,
                    arena_printf(a->arena, "its answer is no good: %s", why));
        arena_free(arena);
        return;
    }
    went_well(a);
    if (answer.active) {
        is_active(a, arena, &answer.claims, now_s);
        return;
    }
    is_not_active(a);
    arena_free(arena);
}

/* A status but 200. A caller chooses the token, and so may provoke a 400 of
 * the server, or a 403 of what stands before it: that must not open the breaker
 * for everybody. */
static void read_error(struct asking *a, const struct fetch_answer *answer)
{
    unsigned status = answer->status;
    bool ill = status < 400 || status >= 500 || status == 401 ||
               status == 408 || status == 429;
    struct str why =
        arena_printf(a->arena, "it answered %u%s", status,
                     status == 401 ? ": it does not take our credentials" : "");

    if (ill) {
        unavailable(a, why);
        return;
    }
    went_well(a);
    if (status == 400 && introspection_error_of_kind(a->arena, answer->body)) {
        is_not_active(a);
        return;
    }
    log_debug("introspection", "%.*s: %.*s", STR_ARG(a->server->name),
              STR_ARG(why));
    tell_unavailable(a, why);
}

static void on_answer(void *arg, const struct fetch_answer *answer)
{
    struct asking *a = arg;

    unlink_asking(a); /* who asks from now on is told from memory, or anew */
    if (answer->fail)
        unavailable(a, answer->text);
    else if (answer->status != 200)
        read_error(a, answer);
    else
        read_answer(a, answer->body);
    free_asking(a);
}

/* Questions */

static struct str form_of(struct arena *a, struct str token)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char begin[] = "token_type_hint=access_token&token=";
    char *p = arena_raw(a, sizeof(begin) + token.len * 3), *at;

    at = mempcpy(p, begin, sizeof(begin) - 1);
    for (size_t i = 0; i < token.len; i++) {
        unsigned char c = (unsigned char)token.p[i];
        char l = char_lower(token.p[i]);

        if ((c >= '0' && c <= '9') || (l >= 'a' && l <= 'z') || c == '-' ||
            c == '.' || c == '_' || c == '~') {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
        }
    }
    return str_from(p, (size_t)(at - p));
}

static struct asking *ask(struct introspector *t, struct introspection *server,
                          struct str token, uint64_t hash)
{
    struct arena *arena = arena_new();
    struct asking *a = arena_alloc(arena, sizeof(*a));
    struct fetch_request r = {
        .outbound = server->outbound,
        .tls = server->tls,
        .url = server->url,
        .method = STR("POST"),
        .authorization = server->authorization,
        .accept = STR("application/json"),
        .content_type = STR("application/x-www-form-urlencoded"),
        .body = form_of(arena, token),
        .timeout_ms = server->timeout_ms,
        .max_bytes = INTROSPECTION_MAX_BYTES,
        .repeatable = true,
    };

    a->arena = arena;
    a->owner = t;
    a->server = introspection_ref(server);
    a->token = arena_copy(arena, token);
    a->hash = hash;
    a->next = t->asking;
    if (a->next)
        a->next->prev = &a->next;
    a->prev = &t->asking;
    t->asking = a;
    t->counts.now++;
    t->counts.asked++;
    metrics_add(&t->metrics->introspections, 1);
    a->fetch = fetch_start(t->fetcher, &r, on_answer, a);
    return a;
}

static struct asking *asked(struct introspector *t,
                            const struct introspection *server,
                            struct str token, uint64_t hash)
{
    struct asking *a = t->asking;

    while (a && (a->hash != hash || a->server->id != server->id ||
                 !str_eq(a->token, token)))
        a = a->next;
    return a;
}

static struct introspect_wait *wait_for(struct asking *a, introspect_done *done,
                                        void *arg)
{
    struct introspect_wait *w = x_new(sizeof(*w));

    w->done = done;
    w->arg = arg;
    w->next = a->first;
    if (w->next)
        w->next->prev = &w->next;
    w->prev = &a->first;
    a->first = w;
    return w;
}

/* What there is to say without asking. */
static bool at_once(struct introspector *t, struct introspection *server,
                    struct str token, uint64_t now_s, struct introspected *out)
{
    out->entry = introspect_known(t, server, token, now_s);
    if (out->entry)
        out->verdict = INTROSPECT_ACTIVE;
    else if (was_refused(t, server, token, &out->fault))
        out->verdict = INTROSPECT_INACTIVE;
    else
        return false;
    out->known = true;
    t->counts.known++;
    return true;
}

void introspect(struct introspector *t, struct introspection *server,
                struct str token, uint64_t now_s, introspect_done *done,
                void *arg, struct introspected *out,
                struct introspect_wait **wait)
{
    uint64_t hash = hash_bytes(token.p, token.len);
    struct asking *a;
    bool trial;

    *out = (struct introspected) { .verdict = INTROSPECT_LATER };
    if (at_once(t, server, token, now_s, out))
        return;
    a = asked(t, server, token, hash);
    if (a) {
        t->counts.shared++;
    } else if (t->counts.now >= ASKING_MAX || !may_ask(t, server, &trial)) {
        t->counts.refused++;
        metrics_add(&t->metrics->introspections_refused, 1);
        out->verdict = INTROSPECT_UNAVAILABLE;
        out->text = t->counts.now >= ASKING_MAX
                        ? STR("too many questions wait for an answer")
                        : STR("it failed too often and is left alone for a "
                              "while");
        return;
    } else {
        a = ask(t, server, token, hash);
        a->trial = trial;
    }
    *wait = wait_for(a, done, arg);
}

void introspect_cancel(struct introspect_wait *w)
{
    *w->prev = w->next;
    if (w->next)
        w->next->prev = w->prev;
    x_free(w);
}
