#!/usr/bin/env bash
# The benchmark: each case beside its reference in the same run, on scratch clusters of its own.
#
#   benches/run.sh                  all cases
#   benches/run.sh CASE…            these alone; the table keeps what was measured before of the others
#   benches/run.sh --quick [CASE…]  small sizes: a test of the benchmark, kept apart in target/bench/quick
#
# Prints the table, and writes it to target/bench as table.md, bench.json and chart.svg. docs/benchmarks.md
# tells what each case measures and how the comparison is kept fair.
#
# Cases, what sets their size (with its default), and about how many minutes they take on 2 cores:
#   inserts     3   ROWS=1000000
#   updates     2   UPDATES=500000
#   large       2   LARGE_ROWS=ROWS
#                   these three: TRANSPORTS="tcp socket" READERS="recvlogical rowhook" DRAIN_TIMEOUT=30min
#   latency     2   RATE="1000 500 50" SECONDS_LONG=10
#   deliver     4   EVENTS=200000 MODES="resource none strict twenty recovery hundred_at_head hundred_behind"
#   pass        1   PASS_EVENTS=200000
#   live        3   LIVE_RATES="4000 6000 8000 10000 12000 15000" LIVE_SECONDS=30 LIVE_TRIAL_SECONDS=8
#   app         6   APP_SECONDS=20
#   reading     4   ROWS_IN_LOG or EVENTS; REQUESTS=1000
#   log_size    2   ROWS_IN_LOG=100000000, or 10000000 where less than 120 GB of disk are free: the minutes
#                   are those of 10000000. ROWS_IN_SMALL_LOG=1000000 APPENDED=200000 REQUESTS=1000
#                   NOTE_WORDS=12 makes long records; 0 short ones: a third of the disk
#   idle        4   IDLE_SECONDS=60, once for each run
#   width batch tables webhooks match: how the rate changes; 8 in all. GROWTH_ROWS=100000
#
# For all: RUNS=3, USED_WAL=8 (gigabytes of WAL files that each cluster begins with; half a minute for each case),
# ROWHOOK=target/release/rowhook, PG_BIN=/usr/lib/postgresql/15/bin, BENCH_TMP=/tmp
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=${CARGO_TARGET_DIR:-target}

if [ -z "${ROWHOOK:-}" ]; then
    cargo build --release --bin rowhook
    ROWHOOK=$TARGET/release/rowhook
fi

# program NAME: builds benches/NAME.rs and prints where it is
program() {
    cargo bench --no-run --bench "$1" --message-format json-render-diagnostics |
        sed -n "s/.*\"name\":\"$1\".*\"executable\":\"\([^\"]*\)\".*/\1/p"
}

BENCH_ROWHOOK=$(realpath "$ROWHOOK")
BENCH_LATENCY=$(program latency)
BENCH_DELIVER=$(program deliver)
BENCH_RESULTS=${BENCH_RESULTS:-$(realpath -m "$TARGET/bench")}
export BENCH_ROWHOOK BENCH_LATENCY BENCH_DELIVER BENCH_RESULTS
export PYTHONPATH=benches PYTHONDONTWRITEBYTECODE=1
exec python3 -m bench "$@"
