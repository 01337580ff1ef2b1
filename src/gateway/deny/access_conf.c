/* access_conf.c - the tables of gateway.access. */
#include "gateway/deny/access_conf.h"

const struct conf_field access_fields[] = {
    { .name = "deny_file",
      .type = CONF_STRING,
      .at = offsetof(struct access_conf, deny_file),
      .help = "The file of deny rules (docs/access.md). It is read again when "
              "it was replaced; one that is no good leaves the rules as they "
              "were. `tollgate deny add|list|remove` changes it. Default: "
              "deny.yaml in the state folder, when there is one." },
    { .name = "country_file",
      .type = CONF_STRING,
      .at = offsetof(struct access_conf, country_file),
      .help = "A database that knows the countries of addresses, in MaxMind's "
              "format (GeoLite2-Country.mmdb and the like), for rules with "
              "country or not_country. It is opened again when it was "
              "replaced." },
    { 0 },
};
