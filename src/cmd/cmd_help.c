/* cmd_help.c - what there is, and how it is used. */
#include "cmd/cmd.h"

static int help(const struct cmd *cmd, const struct arguments *args)
{
    char *words[2];
    const struct cmd *about;
    int count = args->word_count > 2 ? 2 : (int)args->word_count;
    int used = 0;

    (void)cmd;
    if (!count) {
        printf("tollgate %s - an API gateway\n\n", cmd_version_text());
        cmd_print_list(NULL, stdout);
        return CMD_OK;
    }
    for (int i = 0; i < count; i++)
        words[i] = x_strdup(str_z(args->words[i]));
    about = cmd_find(count, words, &used);
    if (about)
        cmd_print_help(about, stdout);
    else if (count == 1 && cmd_is_group(words[0]))
        cmd_print_list(words[0], stdout);
    else
        used = cmd_unknown(count, words);
    for (int i = 0; i < count; i++)
        x_free(words[i]);
    return about || used != CMD_USAGE ? CMD_OK : CMD_USAGE;
}

const struct cmd cmd_help = {
    .name = "help",
    .words = "[COMMAND]",
    .summary = "what there is, and how it is used",
    .run = help,
};
