#!/usr/bin/env bash
# soak.sh - the tests of tests/soak, SOAK_MINUTES (30) for all of them.
#
# TOLLGATE names another program to test; without it, the one of this checkout
# is built.
source "$(dirname "$0")/lib.sh"
source tools/results.sh
find_conformance
use_node
export SOAK_MINUTES=${SOAK_MINUTES:-30}

if [ -z "${TOLLGATE:-}" ]; then
    tools/build.sh "$build" tollgate
fi
export TOLLGATE=${TOLLGATE:-$root/$build/tollgate}
install_test_packages

shopt -s nullglob
tests=(tests/soak/*.mjs)
[ ${#tests[@]} -gt 0 ] || die "there is no test in tests/soak"

for test in "${tests[@]}"; do
    heading "$test, $SOAK_MINUTES minutes for all"
    log=$logs/soak-$(basename "$test" .mjs).tap
    status=0
    node "$test" | tee "$log" || status=$?
    count_part "$test" "$status" "$(tap_total pass "$log")" \
        "$(($(tap_total fail "$log") + $(tap_total cancelled "$log")))"
done
finish_with_results
