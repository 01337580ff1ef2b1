/* router.h - from host and path to API, from path and method to operation.
 *
 * Two trees by path segment, both immutable: one per virtual host over the
 * contexts of its APIs (the longest context wins), one per API over its path
 * templates (at each segment a literal beats a template with text, that beats
 * a plain {parameter}, that beats a trailing "*"; a branch that leads nowhere,
 * or lacks the method, is left for the next). Cost grows with the length of
 * the path, not with the number of APIs or operations.
 */
#ifndef TG_GATEWAY_ROUTER_H
#define TG_GATEWAY_ROUTER_H

#include "base/problem.h"
#include "http/message.h"

struct api;
struct op;
struct op_tree;

struct op_tree *op_tree_new(struct arena *a);
/* path: the template; ERR_CONFLICT when method and template are there. */
enum err op_tree_add(struct op_tree *t, struct str path, struct op *op);
/* rest: normal form behind the context, "" or beginning with '/'. A trailing
 * slash makes no difference. HEAD finds GET. NULL: *allowed (a set of bits
 * per enum method, of all operations the path has) tells 404 from 405. */
struct op *op_tree_find(const struct op_tree *t, struct str rest,
                        enum method method, struct str method_text,
                        uint32_t *allowed);

struct router;

struct router *router_new(struct arena *a);
/* Serves api at context for the host ("" for any). ERR_CONFLICT: *other is
 * there already. */
enum err router_add(struct router *r, struct str host, struct str context,
                    struct api *api, struct api **other);
/* authority as in the request (any case, port ignored). The longest context
 * wins, of two equal ones the host's own. *context_len: bytes of path that are
 * the context. */
struct api *router_find(const struct router *r, struct str authority,
                        struct str path, size_t *context_len);

#endif
