/* exchange.h - one request and its reply inside the gateway, whatever
 * protocol carries it.
 *
 *   ROUTED -> CHAIN      the operation is known; its steps run
 *   CHAIN -> HOLD        all said yes; a body is awaited for a moment
 *   HOLD -> CONNECT      an endpoint was chosen; waits for a connection
 *   CONNECT -> SENT      the request is under way, the reply awaited
 *   SENT -> REPLY        its head came and was passed on
 *   SENT -> TUNNEL       it was a 101: tunnel.h
 *   SENT, CONNECT -> PAUSE -> CONNECT   another try
 *   any -> OVER          a reply was given whole, or the client left
 */
#ifndef TG_GATEWAY_EXCHANGE_H
#define TG_GATEWAY_EXCHANGE_H

#include "gateway/api.h"
#include "gateway/credential/caller.h"
#include "gateway/explain.h"
#include "gateway/refusal.h"
#include "http/client.h"
#include "http/server.h"

struct auth_run;
struct limits_run;
struct trace;
struct worker;

enum exchange_state {
    X_ROUTED,
    X_CHAIN,
    X_HOLD,
    X_CONNECT,
    X_SENT,
    X_REPLY,
    X_TUNNEL,
    X_PAUSE,
    X_OVER,
};

/* The gateway's own are activityid, Allow, four of CORS, two locations, three
 * of gRPC or the WebSocket version, WWW-Authenticate, Retry-After,
 * X-Tollgate-Explain, two of limits. */
enum { REPLY_FIELDS_MAX = 17 + REPLY_VALUES_MAX };

/* The gateway's own for backends: an assertion, trace context. */
enum { REQUEST_FIELDS_MAX = 8 };

struct exchange {
    struct http_stream s; /* first */
    struct worker *worker;
    struct api *api; /* pinned; NULL when none matched */
    struct op *op;
    struct http_call call;
    struct cluster *cluster;
    struct endpoint_thread *endpoint;            /* of the present try */
    struct exchange *wait_next, **wait_prev;     /* in its line */
    struct exchange *stream_next, **stream_prev; /* streams.h */
    struct tunnel *tunnel;
    struct http_client *alone; /* a connection for this call only comes */
    struct timer timer;        /* hold, waiting for a connection, pause */
    struct str path;           /* normal form, all of it */
    struct str rest;           /* behind the context */
    struct str activityid;
    struct client_address client; /* by trusted forwarding fields */
    struct str trailers;          /* of the request, safe ones */
    char *held; /* body bytes that wait, or may be sent again */
    uint32_t held_len, held_cap;
    uint64_t tried; /* members */
    uint64_t upstream_start_us, upstream_us;
    uint64_t total_at_ms;
    uint64_t deadline_ms; /* of gRPC, loop_now_ms(); 0: none */
    const struct refusal *refusal;
    struct str refusal_more;     /* members of the refusal's body */
    struct limits_run *limits;   /* what it took; or NULL */
    struct trace *trace;         /* of one sampled or timed; or NULL */
    struct auth_run *auth;       /* its credentials, while and after checking */
    const struct caller *caller; /* NULL: anybody */
    bool explain_answer;         /* the caller may see the explanation */
    struct str reply_type;       /* Content-Type, for the event */
    const struct message *reply; /* kept for the access log; or NULL */
    uint32_t field_count, own_fields; /* own: before the backend's reply */
    uint32_t to_backend_count;
    uint32_t next_step;
    uint32_t attempts; /* dispatched; tries: of these, sent */
    uint32_t tries;
    uint16_t member;
    uint16_t target_status; /* of the backend's reply; 0: none came */
    uint8_t state;
    bool tls;      /* the client came over TLS */
    bool believed; /* what it says of clients behind it; set with client */
    bool whole;    /* the request's body is all here or forwarded */
    bool streamed; /* more of it was sent than is held */
    bool trial;    /* endpoint_result() is owed */
    bool counted;  /* as outstanding at the endpoint */
    bool paused_in, paused_out;
    bool grpc, websocket;
    bool again;      /* a stream passes its chain once more: streams.c */
    bool ending;     /* its API has changed, its time runs */
    bool sent_again; /* after a backend had refused to look at it */
    bool drop_cors;  /* the backend's own CORS fields */
    /* From `records` on nothing is zeroed: what counts there are counts. */
    struct explain explain;
    struct header fields[REPLY_FIELDS_MAX];       /* added to any reply */
    struct header to_backend[REQUEST_FIELDS_MAX]; /* added to its request */
};

extern const struct http_handler exchange_handler;

/* For policies. Of a reply that has begun already what is left is ended: a
 * tunnel is closed, a gRPC call gets its status, others are cut. */
void exchange_refuse(struct exchange *x, const struct refusal *r);
/* A whole reply without a body. */
void exchange_answer(struct exchange *x, unsigned status);
/* Added to whatever reply is given. name and value live in the arena or
 * longer. */
void exchange_add_field(struct exchange *x, struct str name, struct str value);
/* The backend gets this field, and none of that name from the client. */
void exchange_set_request_field(struct exchange *x, struct str name,
                                struct str value);
/* Before a head is sent: fields that only then are known. */
void exchange_last_fields(struct exchange *x);
/* After VERDICT_WAIT: run the rest of the chain. */
void exchange_resume(struct exchange *x);

/* For upstream/pool.c. */
void exchange_connected(struct exchange *x, struct http_client *c);
void exchange_connect_failed(struct exchange *x, enum http_fail kind,
                             const char *why);

#endif
