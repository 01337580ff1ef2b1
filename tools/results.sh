# results.sh - run the suites and add up what they say; sourced by test*.sh.
# shellcheck shell=bash disable=SC2154 # root, build, jobs are of lib.sh
#
# A part is one run of one runner. It counts what the runner counted; a part
# that fails without a failed test, or that ran no test, adds one failure.

passed=0
failed=0
closing=()
logs=$root/$build/test-logs
mkdir -p "$logs"

count_part() # NAME EXIT-CODE PASSED FAILED CLOSING-LINES
{
    local name=$1 status=$2 good=${3:-0} bad=${4:-0}

    if [ "$bad" = 0 ] && [ "$status" != 0 ]; then
        bad=1
    elif [ "$good" = 0 ] && [ "$bad" = 0 ]; then
        echo "$name: no test ran" >&2
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    closing+=("-- $name: $good passed, $bad failed" "${5:-}")
}

# What must work before anything can be tested: a build, an npm ci.
step() # NAME COMMAND...
{
    local name=$1

    shift
    heading "$name"
    if ! "$@"; then
        count_part "$name" 1
        return 1
    fi
}

number_before() # TEXT FILE: the N of the last "N TEXT" in FILE
{
    sed -n "s/.*[^0-9]\([0-9]\+\) $1.*/\1/p" "$2" | tail -n 1
}

run_unit_tests() # NAME DIR
{
    local name=$1 dir=$2 log=$logs/unit-$2.log status=0 total bad

    heading "$name"
    fixed_addresses ctest --test-dir "$dir" --output-on-failure \
        -j "$jobs" --no-tests=error 2>&1 | tee "$log" || status=$?
    # "100% tests passed, 0 tests failed out of 12"
    total=$(sed -n 's/.*tests failed out of \([0-9]\+\).*/\1/p' "$log")
    bad=$(number_before "tests failed out of" "$log")
    count_part "$name" "$status" "$((${total:-0} - ${bad:-0}))" "${bad:-0}" \
        "$(grep 'tests passed,' "$log" || true)"
}

install_test_packages()
{
    local stamp=tests/node_modules/.lock-sum

    if ! sha256sum --status -c "$stamp" 2>/dev/null; then
        (cd tests && npm ci --loglevel=error) || return
        sha256sum tests/package-lock.json >"$stamp"
    fi
}

run_end_to_end() # NAME DIR [FILE...]: all files when none is named
{
    local name=$1 dir=$2 log=$logs/http-$2.tap status=0 files=("${@:3}")

    heading "$name"
    if [ ${#files[@]} = 0 ]; then
        shopt -s nullglob
        files=(tests/http/*.test.mjs)
        shopt -u nullglob
    fi
    rm -f "$log"
    if [ ${#files[@]} -gt 0 ]; then
        TOLLGATE=$root/$dir/tollgate fixed_addresses node --test \
            --test-concurrency="${TEST_CONCURRENCY:-1}" \
            --test-reporter=spec --test-reporter-destination=stdout \
            --test-reporter=tap --test-reporter-destination="$log" \
            "${files[@]}" || status=$?
    fi
    touch "$log"
    count_part "$name" "$status" "$(tap_total pass "$log")" \
        "$(($(tap_total fail "$log") + $(tap_total cancelled "$log")))" \
        "$(grep -E '^# (tests|pass|fail|cancelled|skipped) ' "$log" || true)"
}

tap_total() # KEY FILE: the N of the closing "# KEY N"
{
    local n

    n=$(sed -n "s/^# $1 \([0-9]\+\)$/\1/p" "$2" | tail -n 1)
    echo "${n:-0}"
}

# fuzz.sh prints one "fuzz_x: ok ..." or "fuzz_x: FAILED ..." per fuzzer.
run_fuzzers() # NAME SECONDS
{
    local name=$1 log=$logs/fuzz.log status=0

    heading "$name"
    FUZZ_SECONDS=$2 tools/fuzz.sh 2>&1 | tee "$log" || status=$?
    count_part "$name" "$status" "$(grep -c '^fuzz_[a-z0-9_]*: ok' "$log")" \
        "$(grep -c '^fuzz_[a-z0-9_]*: FAILED' "$log")"
}

finish_with_results()
{
    heading "results"
    printf '%s\n' "${closing[@]}" | sed '/^$/d'
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" = 0 ]
}
