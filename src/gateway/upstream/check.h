/* check.h - asking an endpoint, now and then, whether it is well. Main thread.
 */
#ifndef TG_GATEWAY_UPSTREAM_CHECK_H
#define TG_GATEWAY_UPSTREAM_CHECK_H

#include "gateway/upstream/endpoint.h"

struct check;

/* GET conf->health.path every interval; `unhealthy` failures in a row (no
 * answer in time, or a status of 400 and more) set endpoint->down, `healthy`
 * good answers in a row clear it. */
struct check *check_new(struct loop *main, struct endpoint *e,
                        const struct upstreams_conf *conf);
void check_free(struct check *c);

#endif
