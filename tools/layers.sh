#!/usr/bin/env bash
# layers.sh - no file of src/ includes a folder that stands after its own.
source "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2016 # the dollars are awk's
find src -name '*.[ch]' -print0 | xargs -0 -r awk '
BEGIN {
    n = split("base format net http jose traffic events gateway stream " \
              "store keymgr analytics control cmd", order, " ")
    for (i = 1; i <= n; i++)
        rank[order[i]] = i
}
match($0, /^#include "[a-z]+\//) {
    split(FILENAME, part, "/")
    split(substr($0, 11), to, "/")
    if (!(to[1] in rank) || rank[to[1]] > rank[part[2]]) {
        printf "%s:%d: %s may not include %s\n", FILENAME, FNR, part[2], to[1]
        bad = 1
    }
}
END { exit bad }'
