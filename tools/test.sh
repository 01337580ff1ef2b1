#!/usr/bin/env bash
# test.sh - everything a change must pass before it lands.
source "$(dirname "$0")/lib.sh"
source tools/results.sh
find_conformance
use_node

if step "build" tools/build.sh "$build"; then
    run_unit_tests "unit tests" "$build"
fi
if step "build of the unit tests with ASan and UBSan" \
    tools/build.sh "$build-asan" -DTOLLGATE_SANITIZE=address unit; then
    run_unit_tests "unit tests under ASan and UBSan" "$build-asan"
fi
if command -v clang >/dev/null; then
    run_fuzzers "fuzzers, 5 s each" 5
else
    heading "fuzzers: left out, there is no clang (make fuzz installs it)"
fi
if step "packages of the end-to-end tests" install_test_packages; then
    run_end_to_end "end-to-end tests" "$build"
fi
finish_with_results
