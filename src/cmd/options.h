/* options.h - a command line against a table of options.
 *
 * `--name VALUE`, `--name=VALUE`, `--switch`; `--` ends options; what is none
 * is a word. Values point into argv.
 */
#ifndef TG_CMD_OPTIONS_H
#define TG_CMD_OPTIONS_H

#include "base/conf.h"

/* A table ends with { 0 }. */
struct option {
    const char *name;  /* without the dashes */
    const char *value; /* what it takes, as help shows it; NULL: a switch */
    bool repeats;      /* may be given more than once */
    const char *help;
};

struct given {
    const struct option *option;
    const char *value; /* "" for a switch */
};

struct arguments {
    const struct given *given;
    size_t given_count;
    const char *const *words;
    size_t word_count;
    bool help; /* --help or -h was among them: nothing else counts */
};

/* ERR_INVALID with *wrong saying what, for a person. */
enum err options_parse(struct arena *a, const struct option *table, int argc,
                       char **argv, struct arguments *out, struct str *wrong);

/* The value of the first --name from *at on, which is moved behind it; NULL
 * when there is none. at NULL: the first one. */
const char *arguments_get(const struct arguments *args, const char *name,
                          size_t *at);

/* The values of every --name, in order; in a. */
struct conf_strings arguments_all(struct arena *a, const struct arguments *args,
                                  const char *name);
/* A length of time, from a second to max_days. Not given: ERR_OK, and *ms is
 * as it was. */
enum err arguments_time(const struct arguments *args, const char *name,
                        uint64_t max_days, uint64_t *ms);

/* The option the name was most likely meant for, or NULL. */
const char *option_nearest(const struct option *table, struct str name);

#endif
