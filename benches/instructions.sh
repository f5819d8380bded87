#!/usr/bin/env bash
# Instructions per row on the way from the stream into the log, and from there into a request, counted by
# valgrind. Fails where a case needs more than benches/instructions.limits allows.
#
#   CASES="capture-insert sign"   only these
#
# Counts do not depend on the machine's load or speed, and little on its processor: valgrind emulates one
# without SHA extensions, so hashing (event-id, sign) counts for more than it costs on most. On other
# architectures than x86-64 the table is printed and nothing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

LIMITS=benches/instructions.limits
# What the larger count has more is the rows' alone: start and end are in both.
readonly FEW=600 MANY=3000

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

install_valgrind() {
    command -v apt-get >/dev/null || {
        say 'no valgrind to count with: install it'
        exit 1
    }
    say 'installing valgrind'
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends valgrind
}

# count CASE ROWS: instructions of the whole process.
count() {
    local out
    out=$(INSTRUCTIONS_CASE=$1 INSTRUCTIONS_ROWS=$2 valgrind --tool=callgrind \
        --callgrind-out-file=/dev/null "$program" 2>&1) || {
        say "$1: $out"
        exit 1
    }
    awk '$2 == "Collected" { print $4; found = 1 } END { exit !found }' <<<"$out" || {
        say "$1: valgrind says no count: $out"
        exit 1
    }
}

command -v valgrind >/dev/null || install_valgrind >&2

program=$(cargo bench --no-run --bench instructions --message-format json |
    sed -n 's/.*"executable":"\([^"]*instructions[^"]*\)".*/\1/p')
[ -x "$program" ] || {
    say 'benches/instructions.rs was not built'
    exit 1
}

failed=0
printf '%-18s %12s %8s %6s\n' case instructions limit share
while read -r name limit; do
    [[ -z ${CASES:-} || " $CASES " == *" $name "* ]] || continue
    few=$(count "$name" "$FEW")
    many=$(count "$name" "$MANY")
    row=$(((many - few) / (MANY - FEW)))
    share=$((100 * row / limit))
    printf '%-18s %12d %8d %5d%%\n' "$name" "$row" "$limit" "$share"
    [ "$row" -le "$limit" ] || failed=1
done < <(grep -v '^#' "$LIMITS")

if [ "$failed" -eq 1 ] && [ "$(uname -m)" = x86_64 ]; then
    say "more instructions a row than $LIMITS allows: make it cheaper again, or say in the change why not"
    exit 1
fi
