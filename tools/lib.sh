# lib.sh - what the scripts of this folder share; sourced, never run.
# shellcheck shell=bash disable=SC2034 # used where this is sourced

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

build=${BUILD:-build}
jobs=${JOBS:-$(nproc)}

die()
{
    echo "${0##*/}: $*" >&2
    exit 1
}

heading()
{
    printf '\n== %s\n' "$*"
}

# Public test vectors live outside the repository; tests that need them look
# for CONFORMANCE_DIR and skip themselves without it.
find_conformance()
{
    local dir=${CONFORMANCE_DIR:-../shared/conformance}

    unset CONFORMANCE_DIR
    if [ -d "$dir" ]; then
        CONFORMANCE_DIR=$(cd "$dir" && pwd)
        export CONFORMANCE_DIR
    fi
}

# The sanitizers of gcc 12 and clang 14 cannot live with the address layouts
# of newer kernels. Where a container forbids to change that, try without.
fixed_addresses()
{
    if setarch -R true 2>/dev/null; then
        setarch -R "$@"
    else
        "$@"
    fi
}

# A Node that can run the tests: the system's, or the one tools/setup.sh put
# into build-node because the system's is too old.
use_node()
{
    if [ -x build-node/node_modules/.bin/node ]; then
        PATH=$root/build-node/node_modules/.bin:$PATH
    fi
}
