/* credential.h - how one kind of credential is looked for and checked.
 *
 * A kind is one file ending in one struct. It is prepared for a scheme of a
 * document when an API is compiled, and may refuse there: what nothing
 * configured can check does not load. Calls run it on their loop thread; what
 * is slow (an introspection, a password) answers FOUND_LATER and says later
 * how it ended, with authenticate_done().
 */
#ifndef TG_GATEWAY_CREDENTIAL_CREDENTIAL_H
#define TG_GATEWAY_CREDENTIAL_CREDENTIAL_H

#include "gateway/credential/caller.h"
#include "gateway/policy.h"
#include "gateway/refusal.h"

struct auth_run;
struct header;

enum { AUTH_CALLERS = 4 }; /* demands of one way that are looked at again */

enum finding {
    FOUND_GOOD,    /* run->found is set */
    FOUND_NOTHING, /* no such credential in the call */
    FOUND_BAD,     /* run->refusal is set */
    FOUND_LATER,
};

struct credential_kind {
    const char *name;      /* for messages: "a bearer token" */
    const char *challenge; /* WWW-Authenticate: "Bearer" */
    /* What is compiled for one scheme, in the API's arena. ERR_INVALID with a
     * problem that prints the lines to add. */
    enum err (*prepare)(const struct policy_input *in,
                        const struct oas_demand *demand, void **conf);
    /* The n-th field of a request that it looks at, or an empty name: scripts
     * of other origins may set these (cors.h). NULL: none. */
    struct str (*field)(const void *conf, unsigned n);
    enum finding (*check)(struct auth_run *run, const void *conf);
    /* The exchange has gone while it waited. May be NULL. */
    void (*cancel)(struct auth_run *run);
};

/* One scheme of an alternative. */
struct auth_demand {
    const struct credential_kind *kind;
    const void *conf;
    struct str scheme; /* its name in the document */
    const struct str *scopes;
    size_t scope_count;
    bool any_scope;
    enum oas_auth_type auth_type;
};

/* One alternative: all of its demands. */
struct auth_way {
    const struct auth_demand *demands;
    size_t count;
};

/* What an operation asks for. */
struct auth {
    const struct auth_way *ways;
    size_t count;
    bool open;            /* one more way asks for nothing */
    bool bearer;          /* one of them wants a token */
    bool proof;           /* and that with a proof, always */
    struct str challenge; /* WWW-Authenticate, but for tokens */
};

/* The state of one call while its credentials are checked; in its arena. */
struct auth_run {
    struct exchange *x;
    const struct auth *auth;
    size_t way, demand;
    const struct caller *found;     /* by the last FOUND_GOOD */
    const struct refusal *refusal;  /* by the last FOUND_BAD */
    const char *error, *error_text; /* RFC 6750 section 3.1; or NULL */
    const struct caller *caller;    /* of the present way so far */
    /* All of the present way, for a stream that is looked at again. */
    const struct caller *all[AUTH_CALLERS];
    size_t all_count;
    const struct refusal *worst; /* of the ways before */
    const char *worst_error, *worst_text;
    bool proof; /* the last token came with the scheme DPoP, or should have */
    bool worst_proof;
    unsigned refused;      /* how many ways had a credential that was no good */
    unsigned missing;      /* bits of AUTH_MISSING_*, of the ways before */
    void *waiting;         /* the kind's own, while FOUND_LATER */
    struct hidden *hidden; /* of the request, newest first */
    struct renewal *renewal; /* renew.h; or NULL */
    bool held_back;          /* by credential_may_try() */
};

/* For kinds. Whether the address may have something new looked at; else
 * run->refusal is set. */
bool credential_may_try(struct auth_run *run);
/* Counts a failure for the address. */
void credential_failed(struct auth_run *run);
/* The backend does not get this field. */
void credential_hide(struct exchange *x, const struct header *h);
/* Before a value of the request, or its query (field NULL), is cut so that the
 * backend does not get all of it. */
void credential_will_cut(struct exchange *x, struct header *field);
/* All of it is there again, for who looks for credentials once more. */
void credential_uncut(struct exchange *x);
/* Whether the call comes with the certificate of this x5t#S256. */
bool credential_bound(struct exchange *x, struct str x5t_s256);

/* The kind that waited has its answer: FOUND_GOOD or FOUND_BAD. */
void authenticate_done(struct auth_run *run, enum finding result);

/* Whether one that was good still is: NULL, or why not, with a note. */
const struct refusal *credential_review(struct exchange *x,
                                        const struct caller *c);

extern const struct credential_kind credential_bearer;
extern const struct credential_kind credential_basic;
extern const struct credential_kind credential_api_key;
extern const struct credential_kind credential_mutual_tls;

#endif
