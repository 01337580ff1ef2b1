/* cmd_version.c - what this program is made of. */
#include "cmd/cmd.h"

#include <ares.h>
#include <openssl/crypto.h>
#include <yaml.h>

const char *cmd_version_text(void)
{
    return *TOLLGATE_COMMIT ? TOLLGATE_VERSION " (" TOLLGATE_COMMIT ")"
                            : TOLLGATE_VERSION;
}

/* Of libraries the version that is loaded, not the one built against. */
static int version(const struct cmd *cmd, const struct arguments *args)
{
    (void)cmd;
    (void)args;
    printf("tollgate %s (", TOLLGATE_VERSION);
    if (*TOLLGATE_COMMIT)
        printf("%s, ", TOLLGATE_COMMIT);
    printf("OpenSSL %s, c-ares %s, libyaml %s)\n",
           OpenSSL_version(OPENSSL_VERSION_STRING), ares_version(NULL),
           yaml_get_version_string());
    return CMD_OK;
}

const struct cmd cmd_version = {
    .name = "version",
    .summary = "the version of the program and its libraries",
    .run = version,
};
