/* cmd_password.c - the hash of a password, for gateway.users. */
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/arena.h"
#include "cmd/cmd.h"
#include "gateway/credential/password.h"

/* A line of standard input; from a terminal it is not shown. */
static bool read_line(char *line, size_t room)
{
    struct termios shown, hidden;
    bool terminal = isatty(0) && !tcgetattr(0, &shown);
    bool fine;

    if (terminal) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        fprintf(stderr, "Password: ");
        tcsetattr(0, TCSAFLUSH, &hidden);
    }
    fine = fgets(line, (int)room, stdin) != NULL;
    if (terminal) {
        tcsetattr(0, TCSAFLUSH, &shown);
        fprintf(stderr, "\n");
    }
    line[strcspn(line, "\r\n")] = '\0';
    return fine && *line;
}

static int run(const struct cmd *cmd, const struct arguments *args)
{
    char line[PASSWORD_MAX + 3] = "";
    struct arena *a = arena_new();
    struct str hash;
    int status = CMD_OK;

    (void)args;
    if (!read_line(line, sizeof(line)))
        status = cmd_usage(cmd, "there is no password; type one, or give it on "
                                "standard input");
    else if (password_hash(a, str_z(line), &hash))
        status =
            cmd_failed(cmd, "a password has at most %d bytes", PASSWORD_MAX);
    else
        printf("%.*s\n", STR_ARG(hash));
    arena_free(a);
    return status;
}

const struct cmd cmd_password = {
    .name = "password",
    .summary = "the hash of a password, for gateway.users",
    .help = "Reads the password from the terminal without showing it, or one "
            "line of standard\ninput, and prints its argon2id hash.",
    .run = run,
};
