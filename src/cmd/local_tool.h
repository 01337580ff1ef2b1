/* local_tool.h - commands that speak to a running gateway of this machine over
 * its control socket.
 */
#ifndef TG_CMD_LOCAL_TOOL_H
#define TG_CMD_LOCAL_TOOL_H

#include "cmd/cmd.h"
#include "gateway/settings.h"

/* The options that say which gateway is meant, for a table of options. */
#define LOCAL_TOOL_PLACE                                      \
    { .name = "state-dir",                                    \
      .value = "DIR",                                         \
      .help = "the gateway's state folder" },                 \
    {                                                         \
        .name = "config", .value = "FILE",                    \
        .help = "the gateway's settings, to find its files\n" \
                "Default: ./tollgate.yaml, when there is one" \
    }

/* Nothing but these. */
extern const struct option local_tool_options[];
/* The folder of the gateway that these options mean, and its settings; an exit
 * code. */
int local_tool_folder(const struct cmd *cmd, struct arena *a,
                      const struct arguments *args, struct settings *settings,
                      struct str *folder);
/* Finds the gateway, asks, and shows what it says; the exit code. */
int local_tool_ask(const struct cmd *cmd, const struct arguments *args,
                   const char *verb);

#endif
