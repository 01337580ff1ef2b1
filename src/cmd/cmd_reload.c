/* cmd_reload.c - tells a running gateway to read its configuration again. */
#include "cmd/local_tool.h"

static int reload(const struct cmd *cmd, const struct arguments *args)
{
    return local_tool_ask(cmd, args, "reload");
}

const struct cmd cmd_reload = {
    .name = "reload",
    .summary = "read the configuration again, without losing a call",
    .help = "Tells a running gateway to read its settings, documents and "
            "certificates\nagain. Ends with 0 when the new ones are served. "
            "When something is wrong with\nthem it says what and ends with 1; "
            "the gateway goes on with the old ones.",
    .options = local_tool_options,
    .run = reload,
};
