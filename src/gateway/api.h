/* api.h - an API as the data plane runs it: compiled once, immutable, pinned
 * by the exchanges that use it.
 */
#ifndef TG_GATEWAY_API_H
#define TG_GATEWAY_API_H

#include "gateway/policy.h"
#include "gateway/policy/cors.h"
#include "gateway/router.h"
#include "gateway/upstream/cluster.h"

struct op {
    struct api *api;
    struct str method_text;
    enum method method;
    struct str path;                    /* template, as in the document */
    struct str title;                   /* "GET /pets of Shop 1.0" */
    struct cluster *production;         /* NULL: */
    void (*answer)(struct exchange *x); /* the gateway answers itself */
    struct chain chain;
    bool open;               /* anybody may call it */
    _Atomic uint32_t series; /* 1 + id in metrics; 0: not asked for yet */
};

struct api {
    struct arena *arena;
    uint32_t slot;    /* where threads count their pins */
    uint64_t content; /* of the files that made it */
    struct str file;
    struct str name, version;
    struct str context;             /* "" for root */
    struct str context_unversioned; /* when has_unversioned */
    bool has_unversioned;
    struct str *hosts; /* lower case; none: any host */
    size_t host_count;
    struct op *ops;
    size_t op_count;
    struct op_tree *tree;
    struct str names[4]; /* NAME, NAME:VERSION, contexts: for deny rules */
    uint32_t name_count;
    struct str event; /* what is the same in all its events */
    struct cors cors;
    struct credentials *credentials;
    struct policies *policies;
    struct cluster *clusters; /* all of its, for freeing */
    struct str *files;        /* it was made of */
    size_t file_count;
    uint64_t entry_content; /* settings that shaped it */
    bool in_use;            /* by the snapshot being built */
    bool fresh;             /* compiled for it */
    _Atomic bool retired;   /* the present snapshot has it no more */
    struct api *next;
};

struct upstreams; /* the endpoints of this process */

/* Compiles a document. ERR_INVALID with problems. upstreams may be NULL: only
 * checked, clusters have no endpoints. The API holds
 * credentials and policies. */
enum err api_compile(const struct openapi *doc, const struct api_conf *entry,
                     const struct gateway_conf *conf,
                     struct credentials *credentials, struct policies *policies,
                     struct upstreams *upstreams, uint64_t content,
                     struct problems *ps, struct api **out);
/* Frees, and lets go of its endpoints. Main thread. */
void api_free(struct api *a, struct upstreams *upstreams);

#endif
