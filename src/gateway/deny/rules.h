/* rules.h - deny rules: whose calls are blocked, whatever credentials they
 * bring.
 *
 * A rule has parts; it holds for a call that meets all of them. A part is a
 * list, of which one entry must fit. The file is a YAML list:
 *
 *   - {id: k3m9x2pa, api: "Orders:1.0", until: 2026-12-01T00:00:00Z}
 *   - {user: "*@example.com", method: [POST, DELETE], note: "ticket 17"}
 *
 * A table is immutable; a changed file is a new one. Rules that can be found
 * by an address, API, application or user that they name are looked up; only
 * those that name none, or with *, are looked at one by one.
 * Threads: any may look up; who writes takes the file's lock.
 */
#ifndef TG_GATEWAY_DENY_RULES_H
#define TG_GATEWAY_DENY_RULES_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/problem.h"
#include "gateway/explain.h"

struct message;
struct ranges;

struct deny_header {
    struct str name, pattern; /* pattern empty: present is enough */
};

struct deny_rule {
    struct str id;            /* empty: it has none */
    struct conf_strings apis; /* NAME, NAME:VERSION, /context; with * */
    struct conf_strings applications, users;      /* with * */
    struct conf_strings addresses, not_addresses; /* and ranges */
    struct conf_strings countries, not_countries; /* of two letters */
    struct conf_strings methods, paths;           /* paths: with * */
    struct conf_strings headers;                  /* NAME, NAME=PATTERN */
    struct str until, note;
    bool enabled;
    /* from these: */
    uint64_t until_s; /* 0: for ever */
    struct deny_header *header_list;
    struct ranges *from, *not_from;
    enum explain_reason reason;
    struct str text; /* for people: "k3m9x2pa (user: alice): ticket 17" */
    uint32_t line, lines_end; /* in the file, from 1; where the next begins */
};

struct deny_rules;

/* What a rule is held against. */
struct deny_call {
    const struct str *apis; /* names it has: NAME, NAME:VERSION, contexts */
    size_t api_count;
    struct str method, path;
    const uint8_t *ip;  /* 16 bytes */
    struct str country; /* of it; empty: not known */
    const struct message *request;
    struct str application, user; /* late: of the caller; or empty */
    uint64_t now_s;
};

/* ERR_INVALID, ERR_IO with problems. A file that is not there: no rules. */
enum err deny_rules_load(struct str path, struct problems *ps,
                         struct deny_rules **out);
/* The same from text, which is copied. */
enum err deny_rules_parse(struct str text, struct str path, struct problems *ps,
                          struct deny_rules **out);
void deny_rules_free(struct deny_rules *r); /* NULL is fine */
size_t deny_rules_count(const struct deny_rules *r);
const struct deny_rule *deny_rules_at(const struct deny_rules *r, size_t i);

/* Rules that say nothing of application and user can be looked at before
 * anybody was asked who he is. */
enum deny_time { DENY_EARLY, DENY_LATE };
/* Whether there is one at all: for a branch. */
bool deny_rules_any(const struct deny_rules *r, enum deny_time when);
/* Whether one asks for the country of an address. */
bool deny_rules_by_country(const struct deny_rules *r);
/* The rule that blocks the call, or NULL. */
const struct deny_rule *deny_rules_find(const struct deny_rules *r,
                                        enum deny_time when,
                                        const struct deny_call *call);

/* rules_write.c. A rule as a line of the file. ERR_LIMIT. */
enum err deny_rule_write(struct buf *b, const struct deny_rule *rule);
/* Adds a rule behind what the file has, or takes the rules of an id out;
 * comments stay. Under the file's lock. The rule must have an id that is new
 * (ERR_CONFLICT); ERR_NOT_FOUND: no such id. Else with a problem. */
enum err deny_file_add(struct str path, const struct deny_rule *rule,
                       struct problems *ps);
enum err deny_file_remove(struct str path, struct str id, struct problems *ps);

#endif
