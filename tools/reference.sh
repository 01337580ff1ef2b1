#!/usr/bin/env bash
# reference.sh [--check] - writes docs/configuration.md, the manual of all
# settings, from the program; --check only says whether it is up to date.
source "$(dirname "$0")/lib.sh"

page=docs/configuration.md
program=$build/tollgate

[ -x "$program" ] || die "$program is missing: run \`make build\`"
if [ "${1:-}" = --check ]; then
    "$program" config reference | diff -u "$page" - ||
        die "$page is out of date: run tools/reference.sh"
    exit 0
fi
mkdir -p docs
"$program" config reference >"$page.new"
mv "$page.new" "$page"
