/* cmd_upgrade.c - puts a new program in the place of a running gateway. */
#include "cmd/local_tool.h"

static int upgrade(const struct cmd *cmd, const struct arguments *args)
{
    return local_tool_ask(cmd, args, "upgrade");
}

const struct cmd cmd_upgrade = {
    .name = "upgrade",
    .summary = "replace the running program, without losing a call",
    .help = "Tells a running gateway to start its program anew, as it lies on "
            "the disk now,\nwith the same flags. The new process gets the "
            "sockets, reads the configuration\nand takes over; the old one "
            "finishes its calls and ends. SIGUSR2 does the same.\n\n"
            "Ends with 0 when the new process serves. When it cannot start it "
            "says why and\nends with 1, and the old one goes on as if nothing "
            "had been; so it does when the\nnew one dies within ten seconds "
            "of taking over (see the log).",
    .options = local_tool_options,
    .run = upgrade,
};
