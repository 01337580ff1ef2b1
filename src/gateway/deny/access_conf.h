/* access_conf.h - settings about whose calls are blocked: gateway.access; the
 * tables are in access_conf.c.
 */
#ifndef TG_GATEWAY_DENY_ACCESS_CONF_H
#define TG_GATEWAY_DENY_ACCESS_CONF_H

#include "base/conf.h"

struct access_conf {
    struct str deny_file;    /* empty: deny.yaml in the state folder */
    struct str country_file; /* empty: none */
};

extern const struct conf_field access_fields[];

#endif
