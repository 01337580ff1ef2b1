/* tiers_fields.c - our own form of tiers, as tables; their help texts are the
 * manual. */
#include "traffic/tiers_internal.h"

static const char *const levels[] = { "any",          "resource", "application",
                                      "subscription", "stream",   NULL };

#define PER_HELP                                                             \
    "What has a counter of its own, one or several of `key` (the "           \
    "application, or the credential without one), `user`, `ip`, `api`, "     \
    "`operation`, `header:NAME`, `claim:NAME`, or `all` alone: one counter " \
    "for all callers."

static const struct conf_field limit_fields[] = {
    { .name = "requests",
      .type = CONF_U64,
      .at = offsetof(struct limit_conf, requests),
      .max = LIMITS_MOST,
      .help = "Calls in a window. A limit has one of `requests`, `bytes` and "
              "`events`." },
    { .name = "bytes",
      .type = CONF_SIZE,
      .at = offsetof(struct limit_conf, bytes),
      .max = LIMITS_MOST,
      .help = "Bytes of request and response bodies in a window. A call is "
              "refused when none are left; one that has begun goes on." },
    { .name = "events",
      .type = CONF_U64,
      .at = offsetof(struct limit_conf, events),
      .max = LIMITS_MOST,
      .help = "Messages of a stream in a window, in both directions." },
    { .name = "window",
      .type = CONF_STRING,
      .at = offsetof(struct limit_conf, window),
      .def = "1m",
      .help = "Length of a window: a number of `s`, `m`, `h`, `d`, `w`, "
              "`month` or `y`. Windows are aligned to the clock and the "
              "calendar, in UTC." },
    { .name = "burst",
      .type = CONF_U64,
      .at = offsetof(struct limit_conf, burst),
      .max = LIMITS_MOST,
      .help = "Makes the limit a rate without windows: calls are spread "
              "evenly, `requests` in each `window`, and so many may come at "
              "once." },
    { .name = "per",
      .type = CONF_STRINGS,
      .at = offsetof(struct limit_conf, per),
      .def = "key",
      .help = PER_HELP },
    { 0 },
};

static const struct conf_field condition_fields[] = {
    { .name = "ip",
      .type = CONF_STRING,
      .at = offsetof(struct condition_conf, ip),
      .help = "The client's address: one, a network (`10.0.0.0/8`) or a range "
              "(`10.0.0.1-10.0.0.9`). A condition has one of `ip`, `header`, "
              "`query` and `claim`." },
    { .name = "header",
      .type = CONF_STRING,
      .at = offsetof(struct condition_conf, header),
      .help = "Name of a field of the request." },
    { .name = "query",
      .type = CONF_STRING,
      .at = offsetof(struct condition_conf, query),
      .help = "Name of a query parameter." },
    { .name = "claim",
      .type = CONF_STRING,
      .at = offsetof(struct condition_conf, claim),
      .help = "Name of a claim of the caller's token." },
    { .name = "value",
      .type = CONF_STRING,
      .at = offsetof(struct condition_conf, value),
      .help = "Exactly this text. Without `value` and `regex` it is enough "
              "that there is one." },
    { .name = "regex",
      .type = CONF_STRING,
      .at = offsetof(struct condition_conf, regex),
      .help = "A regular expression found anywhere in it." },
    { .name = "invert",
      .type = CONF_BOOL,
      .at = offsetof(struct condition_conf, invert),
      .def = "false",
      .help = "The condition is met by all other calls." },
    { 0 },
};

static const struct conf_field group_fields[] = {
    { .name = "description",
      .type = CONF_STRING,
      .at = offsetof(struct group_conf, description),
      .help = "For people." },
    { .name = "when",
      .type = CONF_SECTIONS,
      .at = offsetof(struct group_conf, when),
      .fields = condition_fields,
      .item_size = sizeof(struct condition_conf),
      .required = true,
      .help = "Conditions, all of which a call of the group meets." },
    { .name = "limits",
      .type = CONF_SECTIONS,
      .at = offsetof(struct group_conf, limits),
      .fields = limit_fields,
      .item_size = sizeof(struct limit_conf),
      .help = "Limits of these calls, in place of the tier's; none: "
              "unlimited." },
    { 0 },
};

static const struct conf_field burst_fields[] = {
    { .name = "requests",
      .type = CONF_U64,
      .at = offsetof(struct burst_conf, requests),
      .max = LIMITS_MOST,
      .help = "Calls in a window; 0: no burst control." },
    { .name = "window",
      .type = CONF_STRING,
      .at = offsetof(struct burst_conf, window),
      .def = "1s",
      .help = "Length of a window." },
    { 0 },
};

const struct conf_field tier_fields[] = {
    { .name = "name",
      .type = CONF_STRING,
      .at = offsetof(struct tier_conf, name),
      .required = true,
      .help = "What APIs and subscriptions call it." },
    { .name = "description",
      .type = CONF_STRING,
      .at = offsetof(struct tier_conf, description),
      .help = "For people." },
    { .name = "level",
      .type = CONF_ENUM,
      .at = offsetof(struct tier_conf, level),
      .choices = levels,
      .def = "any",
      .help = "What it may be attached to. Two tiers may have one name at "
              "different levels." },
    { .name = "limits",
      .type = CONF_SECTIONS,
      .at = offsetof(struct tier_conf, limits),
      .fields = limit_fields,
      .item_size = sizeof(struct limit_conf),
      .help = "Limits that count together; none: unlimited." },
    { .name = "burst_control",
      .type = CONF_SECTION,
      .at = offsetof(struct tier_conf, burst_control),
      .fields = burst_fields,
      .help = "A limit for short times besides the quota." },
    { .name = "concurrency",
      .type = CONF_U64,
      .at = offsetof(struct tier_conf, concurrency),
      .max = LIMITS_MOST_AT_ONCE,
      .help = "Calls of one key at the same time; 0: any number." },
    { .name = "subscribers",
      .type = CONF_U64,
      .at = offsetof(struct tier_conf, subscribers),
      .max = 1000000,
      .help = "WebSub call-backs of one subscription; 0: any number." },
    { .name = "stop_on_quota",
      .type = CONF_BOOL,
      .at = offsetof(struct tier_conf, stop_on_quota),
      .def = "true",
      .help = "When a quota is used up: `true` refuses further calls, `false` "
              "lets them pass and only marks them. Burst control and "
              "concurrency refuse in any case." },
    { .name = "conditions",
      .type = CONF_SECTIONS,
      .at = offsetof(struct tier_conf, groups),
      .fields = group_fields,
      .item_size = sizeof(struct group_conf),
      .help = "Groups of calls with limits of their own. A call in several "
              "groups is under the limits of all of them, at most three; one "
              "in none under the tier's." },
    { 0 },
};
