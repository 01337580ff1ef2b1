/* tracing_spans.c - the spans of a call that has ended.
 *
 * Names and attributes are those of OpenTelemetry's semantic conventions
 * (HTTP 1.27) where they have one, else tollgate.*. No query and no field is
 * told but User-Agent: they may hold credentials.
 */
#include <stdio.h>

#include "events/span.h"
#include "events/span_queue.h"
#include "format/uri.h"
#include "gateway/tracing.h"
#include "gateway/tracing_internal.h"
#include "gateway/worker.h"

struct telling {
    struct exchange *x;
    const struct trace *t;
    struct buf b;
    uint32_t spans;
    uint64_t end_ns;
};

static struct span new_span(const struct telling *to, uint64_t start_ns,
                            uint64_t end_ns)
{
    return (struct span) {
        .state = to->t->state,
        .kind = SPAN_INTERNAL,
        .start_ns = to->t->wall_ns + start_ns,
        .end_ns = to->t->wall_ns + (end_ns ? end_ns : to->end_ns),
    };
}

/* By their sizes there is room for all of them; if not, the last are missed. */
static void tell(struct telling *to, const struct span *s)
{
    size_t before = to->b.len;

    if ((to->spans && buf_char(&to->b, ',')) || span_write(&to->b, s))
        to->b.len = before;
    else
        to->spans++;
}

static void tell_child(struct telling *to, struct span *s, const uint8_t *id)
{
    struct trace_context c = to->t->context;

    memcpy(c.span_id, id, sizeof(c.span_id));
    s->context = &c;
    s->parent = to->t->context.span_id;
    tell(to, s);
}

/* A child that nobody else needs to know by its id. */
static void tell_inner(struct telling *to, struct span *s)
{
    uint64_t bits = rng_next(&to->x->worker->rng) | 1;

    tell_child(to, s, (const uint8_t *)&bits);
}

static struct str number_text(struct telling *to, unsigned n)
{
    return arena_printf(to->x->s.arena, "%u", n);
}

/* ---- the call ---- */

static void add_method(struct telling *to, struct span *s)
{
    const struct message *m = &to->x->s.request;

    span_text(s, "http.request.method",
              m->method == METHOD_OTHER ? STR("_OTHER") : m->method_text);
    if (m->method == METHOD_OTHER)
        span_text(s, "http.request.method_original", m->method_text);
}

static void name_call(struct telling *to, struct span *s)
{
    const struct exchange *x = to->x;
    const struct message *m = &x->s.request;
    struct str method =
        m->method == METHOD_OTHER ? STR("HTTP") : m->method_text;
    struct str route;

    s->name = method;
    if (!x->op)
        return;
    route = arena_printf(x->s.arena, "%.*s%.*s", STR_ARG(x->api->context),
                         STR_ARG(x->op->path));
    s->name =
        arena_printf(x->s.arena, "%.*s %.*s", STR_ARG(method), STR_ARG(route));
    span_text(s, "http.route", route);
}

static void add_server(struct telling *to, struct span *s)
{
    const struct exchange *x = to->x;
    const struct message *m = &x->s.request;
    struct str host;
    uint16_t port;

    span_text(s, "url.path", x->path.len ? x->path : m->path);
    span_text(s, "url.scheme", x->tls ? STR("https") : STR("http"));
    if (!authority_parse(m->authority, &host, &port)) {
        span_text(s, "server.address", host);
        span_number(s, "server.port", port ? port : x->tls ? 443 : 80);
    }
    span_text(s, "network.protocol.version",
              m->major == 2 ? STR("2")
              : m->minor    ? STR("1.1")
                            : STR("1.0"));
}

static void add_client(struct telling *to, struct span *s)
{
    const struct exchange *x = to->x;
    const struct client_address *peer = http_conn_peer(x->s.conn);

    span_text(s, "client.address",
              str_from(x->client.text, x->client.text_len));
    span_text(s, "network.peer.address", str_from(peer->text, peer->text_len));
    span_text(s, "user_agent.original",
              message_value(&x->s.request, FIELD_USER_AGENT));
}

static void add_gateway(struct telling *to, struct span *s)
{
    const struct exchange *x = to->x;

    if (x->api) {
        span_text(s, "tollgate.api", x->api->name);
        span_text(s, "tollgate.version", x->api->version);
    }
    if (x->caller)
        span_text(s, "tollgate.application", x->caller->application);
    span_text(s, "tollgate.activityid", x->activityid);
    if (x->grpc)
        span_text(s, "rpc.system", STR("grpc"));
}

/* A 4xx is the caller's mistake: by the conventions no failure of a server. */
static void add_outcome(struct telling *to, struct span *s)
{
    const struct exchange *x = to->x;
    unsigned status = x->s.status;

    if (status)
        span_number(s, "http.response.status_code", status);
    if (x->refusal) {
        span_text(s, "error.type", str_z(x->refusal->code));
        s->failed = x->refusal->status >= 500;
        s->why = str_z(x->refusal->description);
    } else if (!status) {
        span_text(s, "error.type", STR("client_left"));
        s->failed = true;
        s->why = STR("The client left before there was a reply");
    } else if (status >= 500) {
        span_text(s, "error.type", number_text(to, status));
        s->failed = true;
    } else if (x->s.reply_cut) {
        span_text(s, "error.type", STR("reply_cut"));
        s->failed = true;
        s->why = STR("The reply ended before its end");
    }
}

static void tell_call(struct telling *to)
{
    const struct trace *t = to->t;
    struct span s = new_span(to, to->x->s.start_us * 1000, to->end_ns);

    s.kind = SPAN_SERVER;
    s.context = &t->context;
    s.parent = t->has_parent ? t->parent : NULL;
    s.parent_remote = true;
    s.link = t->has_link ? &t->link : NULL;
    name_call(to, &s);
    add_method(to, &s);
    add_server(to, &s);
    add_client(to, &s);
    add_gateway(to, &s);
    add_outcome(to, &s);
    tell(to, &s);
}

/* ---- what was done for it ---- */

static struct str why_refused(const struct exchange *x)
{
    enum explain_reason r = explain_refusal(&x->explain);

    return r < REASONS ? str_z(explain_reason_word(r)) : STR("refused");
}

static void tell_phase(struct telling *to, const struct trace_phase *p)
{
    struct span s = new_span(to, p->start_ns, p->end_ns);

    s.name = str_z(metrics_phase_name(p->is));
    if (p->refused) {
        s.failed = true;
        s.why = why_refused(to->x);
        span_text(&s, "error.type", s.why);
    }
    tell_inner(to, &s);
}

static void tell_try(struct telling *to, const struct trace_try *y)
{
    struct span s = new_span(to, y->start_ns, y->end_ns);

    s.kind = SPAN_CLIENT;
    s.name = to->x->s.request.method == METHOD_OTHER
                 ? STR("HTTP")
                 : to->x->s.request.method_text;
    add_method(to, &s);
    span_text(&s, "server.address", y->host);
    if (y->port)
        span_number(&s, "server.port", y->port);
    span_text(&s, "url.full", y->url);
    if (y->resend)
        span_number(&s, "http.request.resend_count", y->resend);
    if (y->status)
        span_number(&s, "http.response.status_code", y->status);
    if (y->error) {
        s.failed = true;
        s.why = str_z(y->error);
        span_text(&s, "error.type", s.why);
    } else if (y->status >= 400) {
        s.failed = true;
        span_text(&s, "error.type", number_text(to, y->status));
    }
    tell_child(to, &s, y->id);
}

static void tell_bodies(struct telling *to)
{
    const struct exchange *x = to->x;
    const struct trace *t = to->t;
    const struct trace_try *y = trace_present(x->trace);
    struct span s;

    if (x->s.body_in && !x->tunnel) {
        s = new_span(to, x->s.start_us * 1000, t->body_in_ns);
        s.name = STR("request body");
        span_number(&s, "http.request.body.size", (int64_t)x->s.body_in);
        tell_inner(to, &s);
    }
    if (y && y->reply_ns && (x->s.body_out || x->tunnel)) {
        s = new_span(to, y->reply_ns, to->end_ns);
        s.name = x->tunnel ? STR("tunnel") : STR("response body");
        span_number(&s, "http.response.body.size", (int64_t)x->s.body_out);
        tell_inner(to, &s);
    }
}

void tracing_tell(struct exchange *x, uint64_t end_ns)
{
    struct span_queue *q = x->worker->spans;
    struct telling to = { .x = x, .t = x->trace, .end_ns = end_ns };

    if (!q)
        return; /* switched off since */
    buf_init(&to.b, SPAN_PIECE_BYTES);
    tell_call(&to);
    for (uint32_t i = 0; i < to.t->phase_count; i++)
        tell_phase(&to, &to.t->phases[i]);
    for (uint32_t i = 0; i < to.t->try_count; i++)
        tell_try(&to, &to.t->tries[i]);
    tell_bodies(&to);
    (void)span_queue_add(q, buf_view(&to.b), to.spans);
    buf_done(&to.b);
}
