#!/usr/bin/env bash
# run.sh - what a call costs here, in nginx and in HAProxy; bench/README.md.
# shellcheck source-path=SCRIPTDIR source=../tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

[ -x "$build/tollgate" ] || die "there is no $build/tollgate: make build"
exec python3 -B bench/bench.py "$build/tollgate"
