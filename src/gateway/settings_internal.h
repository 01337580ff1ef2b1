/* settings_internal.h - the sections of settings_fields.c that have a file of
 * their own.
 *
 * A section that is an unnamed struct in settings.h begins at its owner's
 * beginning, so its fields count from there as well.
 */
#ifndef TG_GATEWAY_SETTINGS_INTERNAL_H
#define TG_GATEWAY_SETTINGS_INTERNAL_H

#include "gateway/settings.h"

#define GATEWAY(member) offsetof(struct gateway_conf, member)

/* settings_serving.c: of struct listener_conf, api_conf, header_conf and
 * cors_conf. */
extern const struct conf_field listener_fields[];
extern const struct conf_field api_fields[];
extern const struct conf_field reply_header_fields[];
extern const struct conf_field cors_fields[];

/* settings_limits.c: of struct gateway_conf. */
extern const struct conf_field timeout_fields[];
extern const struct conf_field limit_fields[];
extern const struct conf_field counter_fields[];

/* settings_upstreams.c: of struct upstreams_conf. */
extern const struct conf_field upstream_fields[];

/* settings_records.c: of struct gateway_conf, but for tracing_conf. */
extern const struct conf_field explain_fields[];
extern const struct conf_field access_log_fields[];
extern const struct conf_field tracing_fields[];

#endif
