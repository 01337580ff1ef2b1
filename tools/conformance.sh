#!/usr/bin/env bash
# conformance.sh - run public conformance suites that are not part of the
# tests, and write what they say to docs/conformance.md.
#
# H2SPEC names the h2spec program (github.com/summerwind/h2spec). Build it
# outside of the repository, with Debian's golang and the libraries it needs
# from golang-github-spf13-cobra-dev, golang-github-fatih-color-dev and
# golang-golang-x-net-dev:
#
#     export GO111MODULE=off GOPATH=SOMEWHERE:/usr/share/gocode
#     # sources in SOMEWHERE/src/github.com/summerwind/h2spec
#     go build -o h2spec github.com/summerwind/h2spec/cmd/h2spec
source "$(dirname "$0")/lib.sh"

[ -n "${H2SPEC:-}" ] || die "H2SPEC names no program: see the head of $0"
[ -x "$H2SPEC" ] || die "$H2SPEC cannot be run"

folder=$(mktemp -d)
pids=()
# shellcheck disable=SC2317 # the trap calls it
end()
{
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT

cat >"$folder/any.yaml" <<'YAML'
openapi: 3.0.3
info: { title: Anything, version: v1 }
x-wso2-basePath: /
paths:
  /*:
    get: &any { responses: { default: { description: any } } }
    head: *any
    post: *any
    options: *any
YAML

start() # what must appear in its log, then the command
{
    local log=$folder/$1.log sign=$2

    shift 2
    "$@" >"$log" 2>&1 &
    pids+=($!)
    for _ in $(seq 100); do
        if grep -q "$sign" "$log"; then
            return
        fi
        sleep 0.05
    done
    cat "$log" >&2
    die "$1 did not start"
}

start echo listening "$build/tollgate" echo --listen 127.0.0.1:0
backend=$(grep -o '127\.0\.0\.1:[0-9]*' "$folder/echo.log" | head -n 1)
export TOLLGATE_GATEWAY_USER=root
start gateway serving "$build/tollgate" gateway --state-dir "$folder/state" \
    --http 127.0.0.1:0 --https 127.0.0.1:0 --admin 127.0.0.1:0 \
    "$folder/any.yaml" --upstream "http://$backend"

port() # http or https
{
    sed "s/.*\"$1\":\[\"127\.0\.0\.1:\([0-9]*\)\".*/\1/" \
        "$folder/state/addresses.json"
}

status=0
rows=()
failures=()
run() # transport, flags
{
    local transport=$1 out=$folder/$1.out

    shift
    echo "h2spec over $transport"
    "$H2SPEC" -h 127.0.0.1 -o 3 "$@" >"$out" 2>&1 || status=1
    tail -n 1 "$out"
    rows+=("| $transport | $(sed -n '$s/\([0-9]*\) tests, \([0-9]*\) passed, \([0-9]*\) skipped, \([0-9]*\) failed/\1 | \2 | \3 | \4/p' "$out") |")
    while read -r line; do
        failures+=("- $transport: $line")
    done < <(sed -n '/^Failures/,$s/^ *× //p' "$out")
}
run "clear text" -p "$(port http)"
run "TLS" -t -k -p "$(port https)"

{
    echo "# Conformance"
    echo
    echo "Written by \`make conformance\`; suites that are built outside of this repository. Tests of our own for the"
    echo "same sections are in [h2.test.mjs](../tests/http/h2.test.mjs); the public vectors that \`make test\` runs are"
    echo "HTTP/1.1 requests, JSON, OpenAPI documents and HPACK."
    echo
    echo "- Date: $(date -u +%Y-%m-%d)"
    echo "- Program: $("$build/tollgate" version | head -n 1)"
    echo "- h2spec: commit af83a65 (2.6.1 and later), all cases, default options"
    echo
    echo "| transport | cases | passed | skipped | failed |"
    echo "| --- | --- | --- | --- | --- |"
    printf '%s\n' "${rows[@]}"
    if [ ${#failures[@]} -gt 0 ]; then
        echo
        printf '%s\n' "${failures[@]}"
    fi
} >docs/conformance.md
exit $status
