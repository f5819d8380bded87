#!/usr/bin/env bash
# The history checker for as long as wished: rounds of random transactions under a killer, each with
# a seed of its own, until the time is up; then the counts. See tests/it/history/mod.rs.
#
#   tests/history.sh                    one round with a random seed
#   tests/history.sh --minutes 30       rounds for half an hour
#   tests/history.sh --seed 4711        the round of that seed again; with --minutes, from it on
#
#   --minutes N     start rounds until N minutes have gone by (default: one round)
#   --seconds N     how long each round writes (default: 60)
#   --seed N        the first round's seed; even seeds log into the source, odd ones into another server
#   --tables A,B    write to these alone: full_rows, default_rows, index_rows, index_beside_key, parted,
#                   parents, children, bulk_rows
#   --no-key-ddl    do not drop tables whose keys only the catalogs told
#
# The seed decides what writers do and what the killer does after how many transactions, and nothing
# else does; how they interleave is up to the machine. A seed that failed repeats the plan, and
# mostly the failure. PG_BIN names the Postgres, as for tests/run.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit "$1"
}

while [ $# -gt 0 ]; do
    case "$1" in
        --minutes) export ROWHOOK_HISTORY_MINUTES=${2:?} ;;
        --seconds) export ROWHOOK_HISTORY_SECONDS=${2:?} ;;
        --seed) export ROWHOOK_HISTORY_SEED=${2:?} ;;
        --tables) export ROWHOOK_HISTORY_TABLES=${2:?} ;;
        --no-key-ddl)
            export ROWHOOK_HISTORY_KEY_DDL=0
            shift
            continue
            ;;
        -h | --help) usage 0 ;;
        *)
            echo "tests/history.sh: unknown argument $1" >&2
            usage 64
            ;;
    esac
    shift 2
done

exec cargo test --features failpoints --test it -- \
    --ignored --exact history::for_as_long_as_wished --nocapture
