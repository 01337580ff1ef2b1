/* keyset.c - see keyset.h.
 *
 * Everything but the present keys, and when the next wish may come, is the
 * main thread's. A wish travels as a task to the main loop and back; until it
 * is back it belongs to both and is freed by the one who asked.
 */
#include "gateway/credential/keyset.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    LOOK_MS = 1000,       /* at files */
    LEAST_MS = 60 * 1000, /* between two fetches, whatever max-age says */
    FIRST_MS = 1000,      /* after the first failure; then twice as long */
    PAUSE_MAX_MS = 300 * 1000,
    FETCHES_MAX = 64,
    WAITS_MAX = 4096,
    ETAG_MAX = 256,
};

struct keyset {
    _Atomic uint32_t refs;
    struct keyset_now *_Atomic now;
    _Atomic uint64_t wanted_from_ms; /* a wish before that is in vain */
    _Atomic uint32_t waits;
    atomic_bool fetching;
    struct keysets *all;
    struct keyset *next;
    enum keyset_kind kind;
    char *place;
    struct str shown; /* place without query */
    uint64_t tls_content;
    uint64_t refresh_ms, want_ms;
    struct outbound *outbound;
    struct tls_context *tls;
    struct timer timer; /* of the next fetch */
    struct fetch *fetch;
    struct keyset_wait *waiting;
    struct stat seen;                /* of a file */
    char digest[JWK_THUMBPRINT + 1]; /* of the text the keys came from */
    char etag[ETAG_MAX];
    char problem[KEYSET_WHY];
    uint64_t good_ms, failures, versions;
};

struct keysets {
    struct loop *main;
    void (*retire)(void *arg, void (*fn)(void *thing), void *thing);
    void *arg;
    struct fetcher *fetcher; /* made for the first URL */
    struct keyset *first;
    struct timer look;
    struct rng rng;
    bool ended;
};

struct keyset_wait {
    struct task task; /* to main, then back */
    struct timer timer;
    struct keyset *keyset;
    struct keyset_wait *next; /* main's */
    struct loop *loop;
    void (*done)(void *arg); /* NULL: nobody waits any more */
    void *arg;
    uint64_t version; /* of the keys that were not enough */
    bool late;        /* the fetch it waits for had begun before */
};

/* The present keys */

static void free_now(void *thing)
{
    struct keyset_now *n = thing;

    jwks_unref(n->set);
    x_free(n);
}

static void publish(struct keyset *k, struct jwks *set)
{
    struct keyset_now *n = x_new(sizeof(*n)), *old;

    n->set = set;
    n->version = ++k->versions;
    old = atomic_exchange(&k->now, n);
    if (old)
        k->all->retire(k->all->arg, free_now, old);
}

const struct keyset_now *keyset_now(const struct keyset *k)
{
    return atomic_load_explicit(&k->now, memory_order_acquire);
}

uint64_t keyset_version(const struct keyset *k)
{
    const struct keyset_now *n = keyset_now(k);

    return n ? n->version : 0;
}

static uint64_t now_ms(const struct keyset *k)
{
    return k->all->main ? loop_now_ms(k->all->main) : 0;
}

static void good(struct keyset *k)
{
    if (k->failures)
        log_info("keys", "%.*s: read again", STR_ARG(k->shown));
    k->failures = 0;
    k->problem[0] = 0;
    k->good_ms = now_ms(k);
}

static void bad(struct keyset *k, const char *why)
{
    const struct keyset_now *n = keyset_now(k);

    /* A server that is down for an hour is said once. */
    if (!k->failures++ || strcmp(why, k->problem) != 0)
        log_warn("keys", "%.*s: %s; %s", STR_ARG(k->shown), why,
                 n ? "the keys read before stay"
                   : "tokens of its issuer are refused meanwhile");
    snprintf(k->problem, sizeof(k->problem), "%s", why);
}

/* Files */

static void look_at(const struct keyset *k, struct stat *out)
{
    if (stat(k->place, out))
        memset(out, 0, sizeof(*out));
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static enum err read_file(struct keyset *k, char why[KEYSET_WHY])
{
    struct jwks *set = NULL;
    enum err e;

    look_at(k, &k->seen);
    e = keyset_file_read(k->kind, str_z(k->place), &set, why);
    if (e)
        return e;
    good(k);
    publish(k, set);
    return ERR_OK;
}

static void look_again(struct keyset *k)
{
    char why[KEYSET_WHY] = "";
    struct stat now;

    look_at(k, &now);
    if (same_file(&now, &k->seen))
        return;
    if (read_file(k, why))
        bad(k, why);
    else
        log_info("keys", "%s was read: %zu keys", k->place,
                 jwks_count(keyset_now(k)->set));
}

/* URLs */

static void back(struct task *t)
{
    struct keyset_wait *w = (struct keyset_wait *)t;
    struct keyset *k = w->keyset;
    void (*done)(void *arg) = w->done;
    void *arg = w->arg;

    timer_clear(&w->timer);
    atomic_fetch_sub(&k->waits, 1);
    keyset_unref(k);
    x_free(w);
    if (done)
        done(arg);
}

static void answer(struct keyset_wait *w)
{
    w->task.run = back;
    loop_post(w->loop, &w->task);
}

/* The next fetch, no later than that. */
static void fetch_by(struct keyset *k, uint64_t at_ms)
{
    if (!timer_pending(&k->timer) || k->timer.at_ms > at_ms)
        timer_set(k->all->main, &k->timer, at_ms);
}

/* After a fetch. What an issuer answered before it began to use a new key is
 * no answer to who came later with a token of that key: unless it brought
 * something he waits for the next one. */
static void answer_all(struct keyset *k, bool nothing_new)
{
    struct keyset_wait **at = &k->waiting, *w;

    while ((w = *at)) {
        if (nothing_new && w->late) {
            w->late = false;
            at = &w->next;
            continue;
        }
        *at = w->next;
        answer(w);
    }
    if (k->waiting)
        fetch_by(k, atomic_load(&k->wanted_from_ms));
}

/* Within a tenth of what is asked: gateways that started together drift
 * apart. */
static void fetch_in(struct keyset *k, uint64_t ms)
{
    uint64_t spread = ms / 5;

    if (spread)
        ms = ms - spread / 2 + rng_next(&k->all->rng) % spread;
    timer_set(k->all->main, &k->timer, now_ms(k) + ms);
}

/* After a failure. A server may ask for a longer pause, up to `refresh`. */
static uint64_t pause_ms(const struct keyset *k, const struct fetch_answer *a)
{
    uint64_t ms = FIRST_MS, asked = a->retry_after_s * 1000;
    uint64_t max = k->refresh_ms < PAUSE_MAX_MS ? k->refresh_ms : PAUSE_MAX_MS;

    for (uint64_t i = 1; i < k->failures && ms < max; i++)
        ms *= 2;
    ms = ms < max ? ms : max;
    if (!a->fail && asked > ms)
        ms = asked < k->refresh_ms ? asked : k->refresh_ms;
    return ms;
}

/* max-age may ask for more visits than `refresh`, within reason, and not for
 * fewer: keys that were taken back should not stay for a day. */
static uint64_t fresh_ms(const struct keyset *k, const struct fetch_answer *a)
{
    uint64_t least = k->refresh_ms < LEAST_MS ? k->refresh_ms : LEAST_MS;
    uint64_t ms = a->has_max_age ? a->max_age_s * 1000 : k->refresh_ms;

    return ms < least ? least : ms > k->refresh_ms ? k->refresh_ms : ms;
}

/* false: why says what is wrong with it. */
static bool take(struct keyset *k, const struct fetch_answer *a,
                 char why[KEYSET_WHY])
{
    char digest[JWK_THUMBPRINT + 1];
    struct jwks_report report;
    struct jwks *set;

    jwk_sha256(a->body, digest);
    if (!keyset_now(k) || memcmp(digest, k->digest, sizeof(digest)) != 0) {
        if (jwks_parse(a->body, 0, &set, &report)) {
            snprintf(why, KEYSET_WHY, "it is no key set to verify with: %s",
                     report.why);
            return false;
        }
        if (report.skipped)
            log_info("keys", "%.*s: %zu of %zu keys are left out: %s",
                     STR_ARG(k->shown), report.skipped, report.keys,
                     report.why);
        memcpy(k->digest, digest, sizeof(digest));
        publish(k, set);
    }
    k->etag[0] = 0;
    if (a->etag.len && a->etag.len < sizeof(k->etag)) {
        memcpy(k->etag, a->etag.p, a->etag.len);
        k->etag[a->etag.len] = 0;
    }
    return true;
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
    struct keyset *k = arg;
    char why[KEYSET_WHY] = "";
    uint64_t before = keyset_version(k);
    bool taken = false;

    k->fetch = NULL;
    if (k->all->ended)
        return;
    if (a->fail)
        snprintf(why, sizeof(why), "%.*s", STR_ARG(a->text));
    else if (a->status == 304 && k->etag[0] && keyset_now(k))
        taken = true;
    else if (a->status != 200)
        snprintf(why, sizeof(why), "it answered %u", a->status);
    else
        taken = take(k, a, why);
    if (taken) {
        good(k);
        fetch_in(k, fresh_ms(k, a));
    } else {
        bad(k, why);
        fetch_in(k, pause_ms(k, a));
    }
    atomic_store(&k->fetching, false);
    answer_all(k, taken && keyset_version(k) == before);
}

static void fetch_now(struct keyset *k)
{
    struct header known = { .name = STR("If-None-Match"),
                            .value = str_z(k->etag) };
    struct fetch_request r = {
        .outbound = k->outbound,
        .tls = k->tls,
        .url = str_z(k->place),
        .accept = STR("application/jwk-set+json, application/json"),
        .headers = &known,
        .header_count = k->etag[0] && keyset_now(k),
        .max_bytes = JWKS_MAX_BYTES,
        .follow = true,
    };
    struct keysets *all = k->all;

    must(!k->fetch);
    timer_clear(&k->timer);
    if (!all->fetcher)
        all->fetcher = fetcher_new(all->main, STR(""), FETCHES_MAX);
    /* In this order, and `fetching` taken back only after new keys are there:
     * see keyset_want(). */
    atomic_store(&k->fetching, true);
    atomic_store(&k->wanted_from_ms, now_ms(k) + k->want_ms);
    k->fetch = fetch_start(all->fetcher, &r, on_answer, k);
}

static void on_timer(struct timer *t)
{
    struct keyset *k =
        (struct keyset *)(void *)((char *)t - offsetof(struct keyset, timer));

    if (!k->fetch)
        fetch_now(k);
}

/* Wishes */

static void on_want(struct task *t)
{
    struct keyset_wait *w = (struct keyset_wait *)t;
    struct keyset *k = w->keyset;

    if (k->all->ended || keyset_version(k) != w->version) {
        answer(w);
        return;
    }
    w->late = k->fetch != NULL;
    w->next = k->waiting;
    k->waiting = w;
    if (k->fetch)
        return;
    if (now_ms(k) >= atomic_load(&k->wanted_from_ms))
        fetch_now(k);
    else
        fetch_by(k, atomic_load(&k->wanted_from_ms));
}

static void on_waited(struct timer *t)
{
    struct keyset_wait *w =
        (struct keyset_wait *)(void *)((char *)t -
                                       offsetof(struct keyset_wait, timer));
    void (*done)(void *arg) = w->done;

    w->done = NULL;
    done(w->arg);
}

/* Who asks while a fetch is under way shares it, though it began before: its
 * answer may well have the key. Who asks soon after one waits for the next, if
 * that is not too far. Who is told that a fetch ended a moment ago
 * sees what it brought: so he looks again whether there is another version. */
struct keyset_wait *keyset_want(struct keyset *k, struct loop *l,
                                uint64_t version, uint64_t wait_ms,
                                void (*done)(void *arg), void *arg)
{
    uint64_t from = atomic_load(&k->wanted_from_ms);
    struct keyset_wait *w;

    if (k->kind != KEYSET_URL || !k->all->main ||
        (loop_now_ms(l) + wait_ms <= from && !atomic_load(&k->fetching)))
        return NULL;
    if (atomic_fetch_add(&k->waits, 1) >= WAITS_MAX) {
        atomic_fetch_sub(&k->waits, 1);
        return NULL;
    }
    w = x_new(sizeof(*w));
    w->task.run = on_want;
    w->timer.fire = on_waited;
    w->keyset = keyset_ref(k);
    w->loop = l;
    w->done = done;
    w->arg = arg;
    w->version = version;
    timer_set(l, &w->timer, loop_now_ms(l) + wait_ms);
    loop_post(k->all->main, &w->task);
    return w;
}

void keyset_wait_cancel(struct keyset_wait *w)
{
    timer_clear(&w->timer);
    w->done = NULL;
}

/* Lives */

struct keyset *keyset_ref(struct keyset *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

/* The last one to let go is the registry, in sweep(). */
void keyset_unref(struct keyset *k)
{
    if (k)
        atomic_fetch_sub_explicit(&k->refs, 1, memory_order_release);
}

static void free_keyset(struct keyset *k)
{
    struct keyset_now *n = atomic_load(&k->now);
    struct keyset_wait *w;

    timer_clear(&k->timer);
    if (k->fetch)
        fetch_cancel(k->fetch);
    while ((w = k->waiting)) { /* at the end: their loops are still */
        k->waiting = w->next;
        x_free(w);
    }
    if (n)
        free_now(n);
    outbound_unref(k->outbound);
    tls_context_unref(k->tls);
    x_free(k->place);
    x_free(k);
}

static void sweep(struct keysets *all)
{
    struct keyset **at = &all->first, *k;

    while ((k = *at)) {
        if (atomic_load_explicit(&k->refs, memory_order_acquire) > 1) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        free_keyset(k);
    }
}

static void look(struct timer *t)
{
    struct keysets *all =
        (struct keysets *)(void *)((char *)t - offsetof(struct keysets, look));

    sweep(all);
    for (struct keyset *k = all->first; k; k = k->next)
        if (k->kind != KEYSET_URL)
            look_again(k);
    timer_set(all->main, t, loop_now_ms(all->main) + LOOK_MS);
}

struct keysets *keysets_new(struct loop *main,
                            void (*retire)(void *arg, void (*fn)(void *thing),
                                           void *thing),
                            void *arg)
{
    struct keysets *all = x_new(sizeof(*all));

    all->main = main;
    all->retire = retire;
    all->arg = arg;
    rng_seed(&all->rng);
    all->look.fire = look;
    if (main)
        timer_set(main, &all->look, loop_now_ms(main) + LOOK_MS);
    return all;
}

void keysets_end(struct keysets *all)
{
    if (!all || all->ended)
        return;
    all->ended = true;
    timer_clear(&all->look);
    for (struct keyset *k = all->first; k; k = k->next)
        timer_clear(&k->timer);
    fetcher_free(all->fetcher);
    all->fetcher = NULL;
}

void keysets_free(struct keysets *all)
{
    struct keyset *k;

    if (!all)
        return;
    keysets_end(all);
    while ((k = all->first)) {
        all->first = k->next;
        free_keyset(k);
    }
    x_free(all);
}

static struct keyset *find(struct keysets *all, const struct keyset_source *s)
{
    uint64_t content = s->tls ? tls_context_content(s->tls) : 0;

    for (struct keyset *k = all->first; k; k = k->next)
        if (k->kind == s->kind && k->tls_content == content &&
            str_is(s->place, k->place))
            return k;
    return NULL;
}

static void use_settings(struct keyset *k, const struct keyset_source *s)
{
    struct outbound *outbound = k->outbound;
    struct tls_context *tls = k->tls;

    k->refresh_ms = s->refresh_ms;
    k->want_ms = s->want_ms;
    k->outbound = s->outbound ? outbound_ref(s->outbound) : NULL;
    k->tls = s->tls ? tls_context_ref(s->tls) : NULL;
    outbound_unref(outbound);
    tls_context_unref(tls);
}

static struct keyset *make(struct keysets *all, const struct keyset_source *s)
{
    struct keyset *k = x_new(sizeof(*k));

    k->all = all;
    k->refs = 1; /* the registry's */
    k->kind = s->kind;
    k->place = x_strdup(s->place);
    k->shown = str_head(str_z(k->place), str_find(str_z(k->place), '?'));
    k->tls_content = s->tls ? tls_context_content(s->tls) : 0;
    k->timer.fire = on_timer;
    use_settings(k, s);
    return k;
}

/* A known file that has changed is read now, so that a reload says what is
 * wrong with it; a URL is fetched. */
static enum err known(struct keyset *k, const struct keyset_source *s,
                      char why[KEYSET_WHY])
{
    struct stat now;
    enum err e = ERR_OK;

    if (s->kind != KEYSET_URL) {
        look_at(k, &now);
        if (!same_file(&now, &k->seen) || k->failures)
            e = read_file(k, why);
    }
    if (e)
        return e;
    use_settings(k, s);
    if (s->kind == KEYSET_URL && k->all->main && !k->fetch &&
        now_ms(k) >= atomic_load(&k->wanted_from_ms))
        fetch_now(k);
    return ERR_OK;
}

enum err keysets_get(struct keysets *all, const struct keyset_source *source,
                     struct keyset **out, char why[KEYSET_WHY])
{
    struct keyset *k = find(all, source);
    enum err e = ERR_OK;

    if (k) {
        e = known(k, source, why);
        if (!e)
            *out = keyset_ref(k);
        return e;
    }
    k = make(all, source);
    if (source->kind != KEYSET_URL)
        e = read_file(k, why);
    else if (all->main)
        fetch_now(k);
    if (e) {
        free_keyset(k);
        return e;
    }
    k->next = all->first;
    all->first = k;
    *out = keyset_ref(k);
    return ERR_OK;
}

bool keysets_next(const struct keysets *all, size_t *at,
                  struct keyset_info *out)
{
    const struct keyset *k = all->first;
    const struct keyset_now *n;

    for (size_t i = 0; k && i < *at; i++)
        k = k->next;
    if (!k)
        return false;
    ++*at;
    n = keyset_now(k);
    *out = (struct keyset_info) {
        .place = k->shown,
        .keys = n ? jwks_count(n->set) : 0,
        .age_s = n ? (now_ms(k) - k->good_ms) / 1000 : 0,
        .version = n ? n->version : 0,
        .failures = k->failures,
        .problem = k->problem,
    };
    return true;
}
