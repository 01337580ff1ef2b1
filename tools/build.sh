#!/usr/bin/env bash
# build.sh DIR [-DOPTION=VALUE...] [TARGET...] - configure DIR and build it.
#
# Configures only when DIR is new, or was made with other options or another
# compiler; CMake itself notices new files. CC chooses the compiler.
source "$(dirname "$0")/lib.sh"

dir=${1:?usage: build.sh DIR [-DOPTION=VALUE...] [TARGET...]}
shift
options=()
while [[ ${1:-} == -D* ]]; do
    options+=("$1")
    shift
done

compiler=${CC:-gcc}
wanted="$compiler $(command -v "$compiler" || true) ${options[*]:-}"
made=$(cat "$dir/.made-with" 2>/dev/null || true)

if [ ! -f "$dir/build.ninja" ] || [ "$made" != "$wanted" ]; then
    CC=$compiler cmake --fresh -S . -B "$dir" -G Ninja \
        --log-level=NOTICE -Wno-dev ${options[@]+"${options[@]}"}
    echo "$wanted" >"$dir/.made-with"
fi
if [ "$dir" = build ]; then
    ln -sf build/compile_commands.json compile_commands.json
fi
exec ninja -C "$dir" -j "$jobs" "$@"
