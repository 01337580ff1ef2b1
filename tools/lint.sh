#!/usr/bin/env bash
# lint.sh - what a compiler does not say: clang-tidy, format, layers, scripts.
source "$(dirname "$0")/lib.sh"

dir=$build-lint
status=0

heading "format"
tools/format.sh --check || status=1

heading "layers"
tools/layers.sh || status=1

heading "shell scripts"
shellcheck -x -P SCRIPTDIR tools/*.sh .ci/run || status=1

heading "clang-tidy"
CC=${CLANG:-clang} cmake -S . -B "$dir" -G Ninja --log-level=NOTICE >/dev/null
find src -name '*.c' -print0 |
    xargs -0 -r -n 4 -P "$jobs" clang-tidy -p "$dir" --quiet \
        2> >(grep -v 'warnings generated' >&2) || status=1

exit $status
