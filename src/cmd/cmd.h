/* cmd.h - the commands of the program: one file, one table entry each.
 *
 * A new one is a cmd_*.c with a `const struct cmd` at its end and a line in
 * cmd_table.
 */
#ifndef TG_CMD_CMD_H
#define TG_CMD_CMD_H

#include <stdio.h>

#include "base/buf.h"
#include "base/problem.h"
#include "cmd/options.h"

/* What the process ends with. */
enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2 };

struct cmd {
    const char *name;    /* one word, or two: "config check" */
    const char *words;   /* what may follow the options; NULL: nothing */
    const char *summary; /* half a line, for the list of commands */
    const char *help;    /* paragraphs, each line at most 79 columns */
    const struct option *options; /* may be NULL */
    int (*run)(const struct cmd *cmd, const struct arguments *args);
};

extern const struct cmd cmd_init;
extern const struct cmd cmd_gateway;
extern const struct cmd cmd_reload;
extern const struct cmd cmd_upgrade;
extern const struct cmd cmd_config_check;
extern const struct cmd cmd_config_show;
extern const struct cmd cmd_config_reference;
extern const struct cmd cmd_apikey_new;
extern const struct cmd cmd_apikey_list;
extern const struct cmd cmd_apikey_revoke;
extern const struct cmd cmd_deny_add;
extern const struct cmd cmd_deny_list;
extern const struct cmd cmd_deny_remove;
extern const struct cmd cmd_explain;
extern const struct cmd cmd_explain_grant;
extern const struct cmd cmd_explain_list;
extern const struct cmd cmd_password;
extern const struct cmd cmd_echo;
extern const struct cmd cmd_version;
extern const struct cmd cmd_help;

extern const struct cmd *const cmd_table[]; /* ends with NULL */

/* The command argv begins with; *used says how many words its name took.
 * NULL: none. */
const struct cmd *cmd_find(int argc, char **argv, int *used);
/* Says that there is no such command, and which one may be meant. */
int cmd_unknown(int argc, char **argv);
int cmd_main(int argc, char **argv);

void cmd_print_help(const struct cmd *cmd, FILE *to);
/* All commands, or those whose name begins with the word of group. */
void cmd_print_list(const char *group, FILE *to);
bool cmd_is_group(const char *word);

/* "tollgate gateway: TEXT" and where to read more, on stderr; CMD_USAGE. */
int cmd_usage(const struct cmd *cmd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same without the hint; CMD_FAILED. */
int cmd_failed(const struct cmd *cmd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* One line each, as compilers write them: "file:line: text",
 * "file:line: warning: text". */
enum err problems_write(const struct problems *ps, struct buf *b);
void problems_print(const struct problems *ps, FILE *to);
/* The same on stderr, for a command that ends with it; CMD_FAILED. */
int cmd_problems(const struct problems *ps);

/* The version and the commit, "0.1.0 (1f2e3d4c5b6a)". */
const char *cmd_version_text(void);

#endif
