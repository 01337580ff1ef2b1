#!/usr/bin/env bash
# fuzz.sh [NAME...] - build and run the fuzzers, FUZZ_SECONDS (60) each.
#
# Seeds come from tests/fuzz/seeds/NAME and, where CONFORMANCE_DIR has them,
# from public corpora. What a run finds interesting stays in
# build-fuzz/corpus/NAME for the next one. An input that crashes is kept in
# build-fuzz/crashes; copy it to the seeds together with the fix.
source "$(dirname "$0")/lib.sh"
find_conformance

dir=$build-fuzz
seconds=${FUZZ_SECONDS:-60}
public=${CONFORMANCE_DIR:-}/fuzz-seeds

unpack() # ARCHIVE FUZZER
{
    local to=$dir/seeds/$2/$1

    if [ -f "$public/$1.tar.gz" ] && [ ! -d "$to" ]; then
        mkdir -p "$to"
        tar -xzf "$public/$1.tar.gz" -C "$to" --strip-components=1
    fi
}

dictionary() # FUZZER: prints the file to use, if there is one
{
    local file=$dir/$1.dict from=("tests/fuzz/dict/$1.dict")

    if [ "$1" = fuzz_h1 ]; then
        from+=("$public/haproxy_h1_parse.dict"
            "$public/nginx_http_request_fuzzer.dict")
    fi
    cat "${from[@]}" 2>/dev/null >"$file" || true
    [ ! -s "$file" ] || echo "$file"
}

run_one() # FUZZER
{
    local name=$1 log=$dir/logs/$1.log corpus=$dir/corpus/$1 dict runs seeds
    local folders=("$dir/corpus/$1")

    mkdir -p "$corpus"
    for seeds in "tests/fuzz/seeds/$name" "$dir/seeds/$name"; do
        [ ! -d "$seeds" ] || folders+=("$seeds")
    done
    dict=$(dictionary "$name")
    if fixed_addresses "$dir/$name" -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=2048 -artifact_prefix="$dir/crashes/$name-" \
        ${dict:+-dict="$dict"} "${folders[@]}" >"$log" 2>&1; then
        runs=$(sed -n 's/^Done \([0-9]\+\) runs.*/\1/p' "$log")
        echo "$name: ok, ${runs:-0} runs"
        [ "${runs:-0}" != 0 ]
    else
        tail -n 60 "$log"
        echo "$name: FAILED, see $log and $dir/crashes"
        return 1
    fi
}

CC=${CLANG:-clang} tools/build.sh "$dir" -DTOLLGATE_FUZZ=ON
mkdir -p "$dir"/{corpus,crashes,logs,seeds}
unpack http1 fuzz_h1
unpack url fuzz_uri
unpack http2 fuzz_h2_server
unpack hpack-nghttp2 fuzz_h2_server

shopt -s nullglob
names=("$@")
if [ ${#names[@]} = 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        name=${source##*/}
        names+=("${name%.c}")
    done
fi
[ ${#names[@]} -gt 0 ] || die "there is no fuzzer in tests/fuzz"

status=0
for name in "${names[@]}"; do
    run_one "$name" || status=1
done
exit $status
