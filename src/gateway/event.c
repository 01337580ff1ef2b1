/* event.c - see event.h. */
#include "gateway/event.h"

#include "events/events.h"
#include "gateway/worker.h"

enum { CLIENT_LEFT = 499 };

struct str event_of_api(struct arena *a, const struct api *api)
{
    char text[8192];
    size_t n = event_api_text(text, sizeof(text), api->name, api->version,
                              api->context);

    return arena_copy(a, str_from(text, n));
}

static void write_event(struct worker *w, struct event *e)
{
    struct events *events = w->events;
    struct ring *r = w->ring;
    char *out = ring_begin(r, &e->number);

    if (out) {
        e->gateway = str_z(events_gateway(events));
        e->boot = events_boot(events);
        e->thread = w->index;
        e->region = w->snapshot->settings->gateway.events.region;
        e->configuration = w->snapshot->number;
        ring_commit(r, e->number, event_line(e, out));
    }
    events_wake(events, r);
}

static void add_caller(struct event *e, const struct caller *c)
{
    if (!c)
        return;
    e->tier = c->tier;
    if (c->kind == CALLER_CERTIFICATE) {
        e->common_name = c->user;
        return;
    }
    e->application_id = c->id;
    e->application = c->application;
    e->user = c->user;
}

/* Why it was refused, or what went wrong without a refusal. */
static void add_fault(struct event *e, const struct exchange *x)
{
    const struct explain *notes = &x->explain;
    const struct explain_record *last =
        notes->count ? &notes->records[explain_count(notes) - 1] : NULL;

    if (x->refusal) {
        e->error_code = x->refusal->code;
        e->fault = event_fault_of(x->refusal->code, e->status, &e->error);
        if (last && last->verdict == EXPLAIN_REFUSED)
            e->reason = explain_reason_word((enum explain_reason)last->reason);
    } else if (!x->s.status || x->s.reply_cut) {
        e->fault = EVENT_FAULT_OTHER;
        e->error = "UNCLASSIFIED";
        e->reason = x->s.status ? "answer_cut" : "client_left";
    }
}

static struct str kind_of(const struct exchange *x)
{
    return x->websocket ? STR("WS") : x->grpc ? STR("GRPC") : STR("HTTP");
}

void event_record(struct exchange *x, size_t last, unsigned status)
{
    struct worker *w = x->worker;
    const struct message *m = &x->s.request;
    uint64_t us = loop_now_us(w->loop) - x->s.start_us;
    struct event e = {
        .wall_us = loop_wall_us(w->loop) - us,
        .type = kind_of(x),
        .method = m->method_text,
        .client_ip = str_from(x->client.text, x->client.text_len),
        .user_agent = message_value(m, FIELD_USER_AGENT),
        .correlation_id = x->activityid,
        .response_type = x->reply_type,
        .status = status ? status : CLIENT_LEFT,
        .target_status = x->target_status,
        .request_bytes = x->s.body_in,
        .response_bytes = x->s.body_out + (x->s.reply_bodyless ? 0 : last),
        .total_us = us,
        .backend_us = x->upstream_us,
        .before_us = us,
        .retries = x->tries > 1 ? x->tries - 1 : 0,
    };

    if (x->upstream_start_us)
        e.before_us = x->upstream_start_us - x->s.start_us;
    if (x->api)
        e.api = x->api->event;
    if (x->op)
        e.resource = x->op->path;
    if (x->endpoint)
        e.destination = x->endpoint->endpoint->name;
    add_caller(&e, x->caller);
    add_fault(&e, x);
    write_event(w, &e);
}

void event_refused(struct worker *w, const struct client_address *peer,
                   unsigned status, const struct message *m, struct str id,
                   size_t bytes)
{
    struct event e = {
        .wall_us = loop_wall_us(w->loop),
        .client_ip = str_from(peer->text, peer->text_len),
        .correlation_id = id,
        .status = status,
        .response_bytes = bytes,
        .error_code = refusal_of_status(status)->code,
        .reason = "unreadable",
    };

    if (m) {
        e.method = m->method_text;
        e.user_agent = message_value(m, FIELD_USER_AGENT);
    }
    e.fault = event_fault_of(e.error_code, status, &e.error);
    write_event(w, &e);
}
