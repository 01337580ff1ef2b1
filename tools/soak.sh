#!/usr/bin/env bash
# soak.sh - the tests of tests/soak, SOAK_MINUTES (30) each.
source "$(dirname "$0")/lib.sh"
source tools/results.sh
find_conformance
use_node
export SOAK_MINUTES=${SOAK_MINUTES:-30}
export TOLLGATE=$root/$build/tollgate

tools/build.sh "$build" tollgate
install_test_packages

shopt -s nullglob
tests=(tests/soak/*.mjs)
[ ${#tests[@]} -gt 0 ] || die "there is no test in tests/soak"

for test in "${tests[@]}"; do
    heading "$test, $SOAK_MINUTES minutes"
    if node "$test"; then
        count_part "$test" 0 1 0
    else
        count_part "$test" 1
    fi
done
finish_with_results
