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
    { 0 },
};
