#!/usr/bin/env bash
# test-long.sh - the suites under sanitizers, and minutes of fuzzing.
#
# TOLLGATE_LONG=1, with the release build, asks for the whole loops at full rate
# and for the attacks with their figures. TOLLGATE_SLOW=1 tells the tests that
# everything takes its time and that figures mean nothing. A report of a sanitizer is a failure even when the
# test that caused it did not notice.
source "$(dirname "$0")/lib.sh"
source tools/results.sh
find_conformance
use_node

no_reports() # NAME FOLDER
{
    local file found=0

    for file in "$2"/*; do
        [ -s "$file" ] || continue
        found=1
        echo "$file:"
        head -n 60 "$file"
    done
    if [ $found = 1 ]; then
        count_part "$1: reports in $2" 1
    fi
}

change_and_attack_loops()
{
    step "build" tools/build.sh "$build" || return 0
    export TOLLGATE_LONG=1
    run_end_to_end "200 reloads and upgrades at 2,000 calls/s, attacks" \
        "$build" tests/http/reload.test.mjs tests/http/upgrade.test.mjs \
        tests/http/websocket.test.mjs tests/http/attacks.test.mjs \
        tests/http/h2_attacks.test.mjs
    unset TOLLGATE_LONG
}

suites_under() # NAME DIR SANITIZER
{
    local name=$1 dir=$2 reports=$root/$2/reports

    step "build with $name" \
        tools/build.sh "$dir" -DTOLLGATE_SANITIZE="$3" || return 0
    run_unit_tests "unit tests under $name" "$dir"

    rm -rf "$reports"
    mkdir -p "$reports"
    chmod 1777 "$reports" # also for the account that root becomes
    export ASAN_OPTIONS=log_path=$reports/asan:detect_leaks=1
    export UBSAN_OPTIONS=log_path=$reports/ubsan:print_stacktrace=1
    export TSAN_OPTIONS=log_path=$reports/tsan:halt_on_error=0
    run_end_to_end "end-to-end tests under $name" "$dir"
    unset ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
    no_reports "$name" "$reports"
}

if step "packages of the end-to-end tests" install_test_packages; then
    change_and_attack_loops
    export TOLLGATE_SLOW=1
    suites_under "ASan and UBSan" "$build-asan" address
    suites_under "TSan" "$build-tsan" thread
fi
run_fuzzers "fuzzers, ${FUZZ_SECONDS:-120} s each" "${FUZZ_SECONDS:-120}"
finish_with_results
