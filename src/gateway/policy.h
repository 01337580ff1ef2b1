/* policy.h - one step applied to a call, and chains of them.
 *
 * A policy is one file ending in one struct, listed in policy.c. It is
 * prepared when an API is compiled (and may refuse there, with place), and
 * runs for each call of an operation whose chain has it. It knows no
 * protocol, no socket and no other policy.
 */
#ifndef TG_GATEWAY_POLICY_H
#define TG_GATEWAY_POLICY_H

#include "base/problem.h"
#include "format/openapi.h"
#include "gateway/settings.h"

struct credentials;
struct policies;
struct exchange;
struct api;
struct op;
struct message;
struct refusal;

enum verdict {
    VERDICT_NEXT,     /* go on with the next step */
    VERDICT_ANSWERED, /* the reply was given: exchange_refuse(), … */
    VERDICT_WAIT,     /* exchange_resume() will go on with the next step */
};

/* What a step needs from earlier ones, and gives to later ones. The compiler
 * refuses a chain with a need nobody gives. */
enum {
    NEED_ADDRESS = 1 << 0, /* client address; given by the exchange */
    NEED_APPLICATION = 1 << 1,
    NEED_USER = 1 << 2,
    NEED_CLAIMS = 1 << 3,
    NEED_BODY_STREAM = 1 << 4,
    NEED_BODY_WHOLE = 1 << 5,
    NEED_RESPONSE = 1 << 6,
};

/* What prepare() may look at. */
struct policy_input {
    struct arena *arena; /* of the compiled API */
    const struct openapi *doc;
    const struct oas_operation *operation;
    const struct api_conf *entry;
    const struct gateway_conf *conf;
    const struct credentials *credentials;
    const struct policies *policies;
    struct problems *problems;
};

struct policy {
    const char *name;
    const struct conf_field *fields;
    size_t conf_size;
    unsigned needs, gives;
    /* Fills conf (zeroed, conf_size bytes). ERR_NOT_FOUND: this operation
     * does not have this step; ERR_INVALID: refused, with a problem. */
    enum err (*prepare)(const struct policy_input *in, void *conf);
    enum verdict (*on_request)(const void *conf, struct exchange *x);
    /* The backend's reply head came; fields are added with
     * exchange_add_field(), dropped with exchange_drop_field(). */
    void (*on_response)(const void *conf, struct exchange *x,
                        struct message *reply);
    /* A stream that goes on, now and then while it does: NULL, or why it must
     * end, with a note for explain. */
    const struct refusal *(*on_review)(const void *conf, struct exchange *x);
    void (*on_end)(const void *conf, struct exchange *x);
};

struct step {
    const struct policy *policy;
    const void *conf;
};

struct chain {
    struct step *steps; /* in the order they run */
    uint32_t count;
    uint32_t responses; /* steps with on_response */
};

/* All policies, in the order of a chain. */
extern const struct policy *const policy_table[];

/* The chain of one operation, in the API's arena. */
enum err chain_compile(const struct policy_input *in, struct chain *out);

extern const struct policy policy_transport;
extern const struct policy policy_deny;
extern const struct policy policy_authenticate;
extern const struct policy policy_deny_caller;
extern const struct policy policy_claims;
extern const struct policy policy_limits;
extern const struct policy policy_backend_jwt;

#endif
