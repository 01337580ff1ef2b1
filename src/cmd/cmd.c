/* cmd.c - choosing a command and what all of them print alike; see cmd.h. */
#include "cmd/cmd.h"

#include <stdarg.h>

#include "base/conf.h"

const struct cmd *const cmd_table[] = {
    &cmd_init,
    &cmd_gateway,
    &cmd_reload,
    &cmd_upgrade,
    &cmd_config_check,
    &cmd_config_show,
    &cmd_config_reference,
    &cmd_apikey_new,
    &cmd_apikey_list,
    &cmd_apikey_revoke,
    &cmd_deny_add,
    &cmd_deny_list,
    &cmd_deny_remove,
    &cmd_password,
    &cmd_explain_list,
    &cmd_explain_grant,
    &cmd_explain,
    &cmd_echo,
    &cmd_version,
    &cmd_help,
    NULL,
};

/* ---- which one ---- */

/* How many words of argv make the name; 0: it is another command. */
static int matches(const struct cmd *cmd, int argc, char **argv)
{
    struct str rest = str_z(cmd->name);
    int n = 0;

    while (rest.p) {
        struct str word = str_cut(&rest, ' ');

        if (n >= argc || !str_is(word, argv[n]))
            return 0;
        n++;
    }
    return n;
}

const struct cmd *cmd_find(int argc, char **argv, int *used)
{
    for (const struct cmd *const *c = cmd_table; *c; c++) {
        int n = matches(*c, argc, argv);

        if (n) {
            *used = n;
            return *c;
        }
    }
    return NULL;
}

bool cmd_is_group(const char *word)
{
    size_t n = strlen(word);

    for (const struct cmd *const *c = cmd_table; *c; c++)
        if (!strncmp((*c)->name, word, n) && (*c)->name[n] == ' ')
            return true;
    return false;
}

static const char *nearest(struct str given)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;

    for (const struct cmd *const *c = cmd_table; *c; c++) {
        struct str name = str_z((*c)->name);
        size_t d = conf_distance(given, name);

        if (d < least && conf_resembles(given, name)) {
            least = d;
            best = (*c)->name;
        }
        /* "confg" alone is near to what "config show" begins with. */
        name = str_head(name, str_find(name, ' '));
        d = conf_distance(given, name);
        if (d < least && conf_resembles(given, name)) {
            least = d;
            best = (*c)->name;
        }
    }
    return best;
}

int cmd_unknown(int argc, char **argv)
{
    char given[128];
    const char *near;

    snprintf(given, sizeof(given), "%s%s%s", argv[0],
             argc > 1 && argv[1][0] != '-' ? " " : "",
             argc > 1 && argv[1][0] != '-' ? argv[1] : "");
    near = nearest(str_z(given));
    if (!near) {
        given[strcspn(given, " ")] = '\0';
        near = nearest(str_z(given));
    }
    fprintf(stderr, "tollgate: unknown command \"%s\"%s%s%s\n", given,
            near ? "; did you mean `tollgate " : "", near ? near : "",
            near ? "`?" : "");
    fprintf(stderr, "`tollgate help` lists the commands.\n");
    return CMD_USAGE;
}

/* ---- running it ---- */

static int run(const struct cmd *cmd, int argc, char **argv)
{
    struct arena *a = arena_new();
    struct arguments args;
    struct str wrong = STR_NULL;
    int status;

    if (options_parse(a, cmd->options, argc, argv, &args, &wrong)) {
        status = cmd_usage(cmd, "%.*s", STR_ARG(wrong));
    } else if (args.help) {
        cmd_print_help(cmd, stdout);
        status = CMD_OK;
    } else if (args.word_count && !cmd->words) {
        status =
            cmd_usage(cmd, "there is nothing to do with \"%s\"", args.words[0]);
    } else {
        status = cmd->run(cmd, &args);
    }
    arena_free(a);
    return status;
}

/* A group by itself ("config") is no command; with --help it lists. */
static int run_group(int argc, char **argv)
{
    bool help =
        argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));

    if (argc > 1 && !help)
        return cmd_unknown(argc, argv);
    cmd_print_list(argv[0], help ? stdout : stderr);
    return help ? CMD_OK : CMD_USAGE;
}

static int dispatch(int argc, char **argv)
{
    static char help[] = "help", version[] = "version";
    const struct cmd *cmd;
    int used = 0;

    if (argc < 1) {
        cmd_print_list(NULL, stderr);
        return CMD_USAGE;
    }
    if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))
        argv[0] = help;
    else if (!strcmp(argv[0], "--version") || !strcmp(argv[0], "-V"))
        argv[0] = version;
    cmd = cmd_find(argc, argv, &used);
    if (cmd)
        return run(cmd, argc - used, argv + used);
    if (cmd_is_group(argv[0]))
        return run_group(argc, argv);
    return cmd_unknown(argc, argv);
}

int cmd_main(int argc, char **argv)
{
    int status = dispatch(argc - 1, argv + 1);

    /* What was asked for and could not be written was not done. */
    if ((fflush(stdout) || ferror(stdout)) && status == CMD_OK) {
        fprintf(stderr, "tollgate: cannot write to standard output: %m\n");
        status = CMD_FAILED;
    }
    return status;
}

/* ---- help ---- */

static void print_option(const struct option *o, FILE *to)
{
    struct str rest = str_z(o->help);
    char head[64];

    snprintf(head, sizeof(head), "--%s%s%s", o->name, o->value ? " " : "",
             o->value ? o->value : "");
    while (rest.p) {
        struct str line = str_cut(&rest, '\n');

        fprintf(to, "  %-20s %.*s\n", head, STR_ARG(line));
        head[0] = '\0';
    }
}

void cmd_print_help(const struct cmd *cmd, FILE *to)
{
    fprintf(to, "tollgate %s - %s\n\nusage: tollgate %s%s%s%s\n", cmd->name,
            cmd->summary, cmd->name, cmd->options ? " [OPTION…]" : "",
            cmd->words ? " " : "", cmd->words ? cmd->words : "");
    if (cmd->help)
        fprintf(to, "\n%s\n", cmd->help);
    if (cmd->options)
        fprintf(to, "\n");
    for (const struct option *o = cmd->options; o && o->name; o++)
        print_option(o, to);
}

void cmd_print_list(const char *group, FILE *to)
{
    size_t n = group ? strlen(group) : 0;

    fprintf(to, "usage: tollgate %s%sCOMMAND [OPTION…]\n\n", group ? group : "",
            group ? " " : "");
    for (const struct cmd *const *c = cmd_table; *c; c++)
        if (!group || (!strncmp((*c)->name, group, n) && (*c)->name[n] == ' '))
            fprintf(to, "  %-18s %s\n", (*c)->name, (*c)->summary);
    fprintf(to, "\n`tollgate help COMMAND` says more about one.\n");
}

/* ---- what went wrong ---- */

static void say(const struct cmd *cmd, const char *fmt, va_list ap)
{
    fprintf(stderr, "tollgate %s: ", cmd->name);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
}

int cmd_usage(const struct cmd *cmd, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(cmd, fmt, ap);
    va_end(ap);
    fprintf(stderr, "`tollgate help %s` says more.\n", cmd->name);
    return CMD_USAGE;
}

int cmd_failed(const struct cmd *cmd, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(cmd, fmt, ap);
    va_end(ap);
    return CMD_FAILED;
}

static enum err write_problem(const struct problem *p, struct buf *b)
{
    enum err e = ERR_OK;

    if (p->file.len && p->line)
        e = buf_printf(b, "%.*s:%u: ", STR_ARG(p->file), p->line);
    else if (p->file.len)
        e = buf_printf(b, "%.*s: ", STR_ARG(p->file));
    if (!e && p->kind == PROBLEM_WARNING)
        e = buf_z(b, "warning: ");
    if (!e)
        e = buf_str(b, p->text);
    return e ? e : buf_char(b, '\n');
}

enum err problems_write(const struct problems *ps, struct buf *b)
{
    size_t all = ps->errors + ps->warnings;
    enum err e = ERR_OK;

    for (const struct problem *p = ps->first; p && !e; p = p->next)
        e = write_problem(p, b);
    if (!e && all > ps->kept)
        e = buf_printf(b, "and %zu more\n", all - ps->kept);
    return e;
}

void problems_print(const struct problems *ps, FILE *to)
{
    struct buf b;

    buf_init(&b, 1024 * 1024);
    problems_write(ps, &b);
    fprintf(to, "%.*s", STR_ARG(buf_view(&b)));
    buf_done(&b);
}

int cmd_problems(const struct problems *ps)
{
    problems_print(ps, stderr);
    return CMD_FAILED;
}
