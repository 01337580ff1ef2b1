/* fetch.c - requests and their answers. See fetch.h and fetch_origin.c. */
#include "http/fetch.h"

#include "base/budget.h"
#include "base/log.h"
#include "http/fetch_internal.h"

enum {
    BODY_MAX = 1 << 20,
    URL_MAX = 8192,
    OWN_FIELDS = 5, /* User-Agent, Accept, Accept-Encoding, two of the body */
    REDIRECT_BODY_MAX = 64 * 1024,
    AGE_MAX_S = 366 * 24 * 3600,
    RETRY_MAX_S = 24 * 3600,
};

#define BUSY_TEXT "too many requests wait already"

const char *fetch_fail_name(enum fetch_fail f)
{
    static const char *const names[] = {
        "ok",           "bad url",    "refused",   "busy",
        "not resolved", "no connect", "timed out", "broken",
        "too large",    "redirected", "ended",
    };

    return names[f];
}

/* The end of a request */

static void on_timer(struct timer *t)
{
    struct fetch *q =
        (struct fetch *)(void *)((char *)t - offsetof(struct fetch, timer));
    const char *doing =
        q->state == FETCH_CALLING ? "no answer from" : "no connection to";

    if (q->state == FETCH_EARLY)
        fetch_end(q, q->answer.fail, q->answer.text);
    else
        fetch_end(q, FETCH_TIMEOUT,
                  arena_printf(q->arena, "%s %.*s within %llu ms", doing,
                               STR_ARG(origin_name(q->origin)),
                               (unsigned long long)q->timeout_ms));
}

static void forget(struct fetch *q)
{
    struct fetcher *f = q->fetcher;

    timer_clear(&q->timer);
    *q->all_prev = q->all_next;
    if (q->all_next)
        q->all_next->all_prev = q->all_prev;
    f->count--;
    if (q->origin)
        origin_leave(q->origin, q);
}

static void free_fetch(struct fetch *q)
{
    budget_give(q->budgeted);
    buf_done(&q->got);
    tls_context_unref(q->tls);
    outbound_unref(q->outbound);
    arena_free(q->arena);
}

void fetch_end(struct fetch *q, enum fetch_fail fail, struct str text)
{
    q->ending = true; /* what forget() sets off may cancel it */
    forget(q);
    q->answer.fail = fail;
    q->answer.text = text;
    q->answer.body = fail ? STR_NULL : buf_view(&q->got);
    if (q->done)
        q->done(q->arg, &q->answer);
    free_fetch(q);
}

void fetch_cancel(struct fetch *q)
{
    q->done = NULL;
    if (q->ending)
        return;
    q->ending = true;
    forget(q);
    free_fetch(q);
}

static void fail_broken(struct fetch *q, const char *why, const char *detail)
{
    fetch_end(q, FETCH_BROKEN,
              arena_printf(q->arena, "%.*s: %s%s%s",
                           STR_ARG(origin_name(q->origin)), why,
                           detail ? ": " : "", detail ? detail : ""));
}

static void fail_large(struct fetch *q)
{
    fetch_end(q, FETCH_TOO_LARGE,
              arena_printf(q->arena, "%.*s: the answer has more than %zu bytes",
                           STR_ARG(origin_name(q->origin)), q->got.max));
}

/* What an answer's head says */

static uint64_t number_in(struct str text, uint64_t max)
{
    uint64_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return 0; /* no number: as if it were stale */
        n = n < max ? n * 10 + (uint64_t)(text.p[i] - '0') : n;
    }
    return n < max ? n : max;
}

static struct str unquoted(struct str s)
{
    return s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"'
               ? str_from(s.p + 1, s.len - 2)
               : s;
}

/* RFC 9111 section 5.2.2, as far as it says how long an answer is fresh. */
static void read_cache_control(struct fetch_answer *to, struct str value)
{
    while (value.p) {
        struct str one = str_trim(str_cut(&value, ','));
        struct str name = str_trim(str_head(one, str_find(one, '=')));
        struct str arg =
            unquoted(str_trim(str_skip(one, str_find(one, '=') + 1)));

        if (str_eq_nocase(name, STR("max-age"))) {
            uint64_t s = number_in(arg, AGE_MAX_S);

            to->max_age_s =
                !to->has_max_age || s < to->max_age_s ? s : to->max_age_s;
            to->has_max_age = true;
        } else if (str_eq_nocase(name, STR("no-store")) ||
                   str_eq_nocase(name, STR("no-cache"))) {
            to->max_age_s = 0;
            to->has_max_age = true;
        }
    }
}

static struct str field_of(struct fetch *q, const struct message *m,
                           struct str name)
{
    const struct header *h = message_find(m, name);

    return h ? arena_copy(q->arena, h->value) : STR_NULL;
}

static void read_head(struct fetch *q, const struct message *m)
{
    struct fetch_answer *to = &q->answer;
    struct str age = field_of(q, m, STR("Age"));
    uint64_t age_s = number_in(age, AGE_MAX_S);

    *to = (struct fetch_answer) {
        .status = m->status,
        .content_type = field_of(q, m, STR("Content-Type")),
        .etag = field_of(q, m, STR("ETag")),
        .location = field_of(q, m, STR("Location")),
        .retry_after_s =
            number_in(message_value(m, FIELD_RETRY_AFTER), RETRY_MAX_S),
    };
    for (uint32_t i = 0; i < m->count; i++)
        if (str_eq_nocase(m->headers[i].name, STR("Cache-Control")))
            read_cache_control(to, m->headers[i].value);
    to->max_age_s = to->max_age_s > age_s ? to->max_age_s - age_s : 0;
}

/* Redirects */

static bool is_redirect(const struct fetch *q)
{
    unsigned s = q->answer.status;

    return q->follow && q->answer.location.len &&
           (s == 301 || s == 302 || s == 303 || s == 307 || s == 308);
}

/* Location against the URL it came from (RFC 3986 section 5.2), without its
 * fragment. */
static struct str target_of(const struct fetch *q)
{
    struct str l =
        str_head(q->answer.location, str_find(q->answer.location, '#'));
    struct str path = q->url.path.len ? q->url.path : STR("/");
    struct str authority = origin_authority(q->origin);
    size_t colon = str_find(l, ':');

    if (colon < l.len && colon < str_find(l, '/') && colon < str_find(l, '?'))
        return l;
    if (str_starts(l, STR("//")))
        return arena_printf(q->arena, "%.*s:%.*s", STR_ARG(q->url.scheme),
                            STR_ARG(l));
    if (str_starts(l, STR("?")) || !l.len)
        ;
    else if (str_starts(l, STR("/")))
        path = STR("");
    else
        path = str_head(path, str_rfind(path, '/') + 1);
    return arena_printf(q->arena, "%.*s://%.*s%.*s%.*s", STR_ARG(q->url.scheme),
                        STR_ARG(authority), STR_ARG(path), STR_ARG(l));
}

/* NULL: go there. Else why not. */
static const char *no_redirect(struct fetch *q, struct url *to)
{
    size_t n;
    bool same;
    char *path;

    if (q->redirects >= q->redirects_max)
        return "it redirects too often";
    if (q->answer.location.len > URL_MAX ||
        url_parse(q->arena, target_of(q), to))
        return "it redirects to what is no URL";
    if (!str_eq(to->scheme, q->url.scheme) || !str_eq(to->host, q->url.host) ||
        to->port != q->url.port || to->userinfo.p)
        return "it redirects to another host, port or scheme, which is not "
               "followed; name the address it is at";
    if (!to->path.len)
        return NULL;
    path = arena_raw(q->arena, to->path.len + 1);
    if (uri_path_normal(to->path, path, &n, &same))
        return "it redirects to a path that is not valid";
    to->path = str_from(path, n);
    return NULL;
}

/* A method with a body is sent again as it is (307, 308) or as GET (303);
 * whether a 301 or 302 means that, servers do not agree upon. */
static const char *turn_to(struct fetch *q, const struct url *to)
{
    bool get = method_id(q->method) == METHOD_GET ||
               method_id(q->method) == METHOD_HEAD;

    if (!get && q->answer.status <= 302)
        return "it redirects a request with a body by 301 or 302";
    if (!get && q->answer.status == 303) {
        q->method = STR("GET");
        q->body = STR_NULL;
    }
    q->url = *to;
    q->redirects++;
    return NULL;
}

static void again(struct fetch *q)
{
    struct origin *o = q->origin;

    q->skipped = 0;
    origin_leave(o, q);
    if (origin_enter(o, q))
        fetch_end(q, FETCH_BUSY, STR(BUSY_TEXT));
    else
        origin_pump(o);
}

static void redirect(struct fetch *q)
{
    struct url to;
    const char *why = no_redirect(q, &to);

    if (!why)
        why = turn_to(q, &to);
    if (why) {
        fetch_end(q, FETCH_REDIRECT,
                  arena_printf(q->arena, "%.*s: %s",
                               STR_ARG(origin_name(q->origin)), why));
        return;
    }
    again(q);
}

/* The call */

static void on_reply(struct http_call *x, const struct message *m)
{
    struct fetch *q = (struct fetch *)x;

    read_head(q, m);
    if (is_redirect(q))
        return;
    if (m->body == BODY_LENGTH && m->length > q->got.max)
        fail_large(q);
}

/* What comes with a redirect is read and dropped, so that the connection can
 * be used again; unless that takes long. */
static void skip(struct fetch *q, size_t n, bool end)
{
    q->skipped += n;
    if (end || q->skipped > REDIRECT_BODY_MAX)
        redirect(q);
}

static void on_body(struct http_call *x, char *p, size_t n, bool end,
                    struct str trailers)
{
    struct fetch *q = (struct fetch *)x;
    size_t before = q->got.cap;

    (void)trailers;
    if (is_redirect(q)) {
        skip(q, n, end);
        return;
    }
    if (buf_add(&q->got, p, n)) {
        fail_large(q);
        return;
    }
    budget_take(q->got.cap - before);
    q->budgeted += q->got.cap - before;
    if (end)
        fetch_end(q, FETCH_OK, STR_NULL);
}

/* A kept connection may have ended before it saw the request. */
static bool may_repeat(const struct fetch *q, enum http_fail why, bool any)
{
    if (any || q->repeated)
        return false;
    if (why == HTTP_FAIL_REFUSED)
        return true;
    return q->repeatable && q->call.reused &&
           (why == HTTP_FAIL_CLOSED || why == HTTP_FAIL_SEND);
}

static void on_fail(struct http_call *x, enum http_fail why, bool any,
                    const char *detail)
{
    struct fetch *q = (struct fetch *)x;

    if (!may_repeat(q, why, any)) {
        fail_broken(q, http_fail_name(why), detail);
        return;
    }
    q->repeated = true;
    again(q);
}

static void on_inform(struct http_call *x, const struct message *m)
{
    (void)x;
    (void)m;
}

static void on_drained(struct http_call *x)
{
    (void)x;
}

const struct http_call_ops fetch_call_ops = {
    .on_inform = on_inform,
    .on_reply = on_reply,
    .on_body = on_body,
    .on_drained = on_drained,
    .on_fail = on_fail,
};

void fetch_send(struct fetch *q, struct http_client *c)
{
    struct http_request r = {
        .method = q->method,
        .authority = origin_authority(q->origin),
        .path = { STR(""), q->url.path.len ? q->url.path : STR("/") },
        .query = q->url.query,
        .has_query = q->url.has_query,
        .extra = q->headers,
        .extras = q->header_count,
    };
    enum method m = method_id(q->method);
    bool with_body =
        q->body.len || m == METHOD_POST || m == METHOD_PUT || m == METHOD_PATCH;

    if (with_body) {
        r.body = BODY_LENGTH;
        r.length = q->body.len;
    }
    q->call = (struct http_call) { .ops = &fetch_call_ops, .method = m };
    http_call_start(c, &q->call, &r, q->body.len > 0);
    if (q->body.len)
        http_call_body(&q->call, q->body.p, q->body.len, true, STR_NULL);
}

/* Beginning */

static bool is_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < ' ' ? s.p[i] != '\t' : s.p[i] == 0x7f)
            return false;
    return true;
}

/* Whether all can be sent as it is. */
static bool add_field(struct fetch *q, struct str name, struct str value)
{
    struct header *h = &q->headers[q->header_count];

    if (!value.len)
        return true;
    *h = (struct header) { .name = arena_copy(q->arena, name),
                           .value = arena_copy(q->arena, value) };
    h->id = (uint16_t)field_id(name);
    q->header_count++;
    return is_value(value) && str_find(name, ':') == name.len && is_value(name);
}

static bool set_fields(struct fetch *q, const struct fetch_request *r)
{
    bool good = true;

    q->headers = arena_alloc(q->arena, (r->header_count + OWN_FIELDS + 1) *
                                           sizeof(*q->headers));
    good &= add_field(q, STR("User-Agent"), STR("tollgate"));
    good &= add_field(q, STR("Accept"), r->accept);
    good &= add_field(q, STR("Accept-Encoding"), STR("identity"));
    good &= add_field(q, STR("Content-Type"), r->content_type);
    good &= add_field(q, STR("Authorization"), r->authorization);
    for (size_t i = 0; i < r->header_count; i++)
        good &= add_field(q, r->headers[i].name, r->headers[i].value);
    return good;
}

/* NULL, or what is wrong with the URL. */
static const char *set_url(struct fetch *q, struct str text)
{
    struct url *u = &q->url;

    if (text.len > URL_MAX ||
        url_parse(q->arena, arena_copy(q->arena, text), u))
        return "it is no URL (https://host/path)";
    if (!str_is(u->scheme, "http") && !str_is(u->scheme, "https"))
        return "its scheme is neither http nor https";
    if (u->userinfo.p)
        return "it has a user name in it";
    if (!u->host.len || !u->port)
        return "it names no host or port";
    return NULL;
}

static const char *prepare(struct fetch *q, const struct fetch_request *r)
{
    const char *why = set_url(q, r->url);
    struct tls_context *tls = r->tls;

    if (!set_fields(q, r) && !why)
        why = "a field to send has a line end or control character in it";
    if (r->body.len > BODY_MAX && !why)
        why = "its body is too long";
    if (why)
        return why;
    q->method = r->method.len ? arena_copy(q->arena, r->method) : STR("GET");
    q->body = arena_copy(q->arena, r->body);
    if (str_is(q->url.scheme, "https")) {
        tls = tls ? tls : outbound_tls(q->outbound);
        if (!tls)
            return "TLS cannot be set up; the log says why";
        q->tls = tls_context_ref(tls);
    }
    return NULL;
}

static void begin(struct fetch *q, const struct fetch_request *r)
{
    struct loop *l = q->fetcher->loop;
    const char *why = prepare(q, r);

    q->timer.fire = on_timer;
    if (why) {
        q->answer.fail = FETCH_BAD_URL;
        q->answer.text = arena_printf(q->arena, "request not sent: %s", why);
    } else if (q->fetcher->count > q->fetcher->max) {
        q->answer.fail = FETCH_BUSY;
    } else {
        q->origin = origin_of(q);
        if (origin_enter(q->origin, q))
            q->answer.fail = FETCH_BUSY;
        else
            origin_pump_soon(q->origin);
    }
    if (q->answer.fail == FETCH_BUSY)
        q->answer.text = STR(BUSY_TEXT);
    /* A failure is told by the timer too: never from inside. */
    timer_set(l, &q->timer,
              loop_now_ms(l) + (q->answer.fail ? 0 : q->timeout_ms));
}

struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *r,
                          fetch_done *done, void *arg)
{
    const struct outbound_conf *conf = outbound_conf(r->outbound);
    struct arena *a = arena_new();
    struct fetch *q = arena_alloc(a, sizeof(*q));

    q->arena = a;
    q->fetcher = f;
    q->outbound = outbound_ref(r->outbound);
    q->done = done;
    q->arg = arg;
    q->follow = r->follow;
    q->redirects_max = (uint8_t)conf->redirects;
    q->timeout_ms = r->timeout_ms ? r->timeout_ms : conf->total_ms;
    buf_init(&q->got, r->max_bytes ? r->max_bytes : conf->max_bytes);
    q->all_next = f->all;
    if (f->all)
        f->all->all_prev = &q->all_next;
    q->all_prev = &f->all;
    f->all = q;
    f->count++;
    q->repeatable = r->repeatable || !r->method.len ||
                    method_idempotent(method_id(r->method));
    begin(q, r);
    return q;
}

/* The fetcher */

struct fetcher *fetcher_new(struct loop *l, struct str name_servers,
                            uint32_t max)
{
    struct fetcher *f = x_new(sizeof(*f));

    f->loop = l;
    f->name_servers = x_strdup(name_servers);
    f->max = max;
    return f;
}

void fetcher_free(struct fetcher *f)
{
    if (!f)
        return;
    f->max = 0; /* who starts another now is told that it is busy */
    origins_end(f);
    while (f->all)
        fetch_end(f->all, FETCH_ENDED, STR("the client has ended"));
    dns_free(f->dns);
    origins_free(f);
    x_free(f->name_servers);
    x_free(f);
}

uint32_t fetcher_count(const struct fetcher *f)
{
    return f->count;
}
