#!/usr/bin/env bash
# format.sh [--check] - format every C file, or say which ones are not.
source "$(dirname "$0")/lib.sh"

how=(-i)
if [ "${1:-}" = --check ]; then
    how=(--dry-run --Werror)
fi
folders=()
for folder in src tests/unit tests/fuzz bench; do
    [ ! -d $folder ] || folders+=("$folder")
done
find "${folders[@]}" -name '*.[ch]' -print0 |
    xargs -0 -r clang-format "${how[@]}"
