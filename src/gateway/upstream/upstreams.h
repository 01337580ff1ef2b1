/* upstreams.h - all endpoints of the process: made when APIs are compiled,
 * shared by those that name the same origin with the same settings, resolved
 * and checked here. Main thread only.
 */
#ifndef TG_GATEWAY_UPSTREAM_UPSTREAMS_H
#define TG_GATEWAY_UPSTREAM_UPSTREAMS_H

#include "gateway/upstream/endpoint.h"

struct upstreams;

struct upstreams *upstreams_new(struct loop *main, struct str dns_servers,
                                uint64_t dns_timeout_ms);
void upstreams_free(struct upstreams *u);

/* The endpoint for an origin, counted; made when there is none. ERR_INVALID
 * with a problem at file:line. */
enum err upstreams_get(struct upstreams *u, const struct url *url,
                       const struct oas_endpoint_config *config,
                       const struct upstreams_conf *conf, struct str file,
                       uint32_t line, struct problems *ps,
                       struct endpoint **out);
/* Gives one back. With the last reference its idle connections are closed on
 * all threads and it is freed. */
void upstreams_put(struct upstreams *u, struct endpoint *e);
/* Threads that may have connections; told once, before they run. */
void upstreams_set_threads(struct upstreams *u, struct loop *const *loops,
                           unsigned count);
/* The port of our private listener: no endpoint leads there. */
void upstreams_set_private(struct upstreams *u, uint16_t port);
/* The threads have ended: closes what connections they left. From now on
 * endpoints are freed with their last reference. */
void upstreams_end(struct upstreams *u);
/* Waits until every name was looked up once, at most max_ms. */
void upstreams_resolve_now(struct upstreams *u, uint64_t max_ms);
struct endpoint *upstreams_first(const struct upstreams *u);

#endif
