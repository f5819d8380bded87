# shellcheck shell=bash
# A scratch Postgres for benchmarks; to be sourced. Stopped and removed when the script ends.
#
#   start_cluster             initdb and start; sets PG_BIN, CLUSTER, PGPORT and libpq's variables
#   cluster_url DATABASE tcp|socket
#   sql DATABASE [STATEMENT]  runs one statement (or standard input), prints bare values

readonly CLUSTER_PASSWORD=bench

find_postgres() {
    local bin
    if [ -n "${PG_BIN:-}" ]; then
        return
    fi
    for bin in $(compgen -G '/usr/lib/postgresql/*/bin' | sort -Vr); do
        if [ -x "$bin/initdb" ]; then
            PG_BIN=$bin
            return
        fi
    done
    bin=$(command -v initdb) || {
        echo 'no PostgreSQL found: set PG_BIN to the directory of its programs' >&2
        exit 1
    }
    PG_BIN=$(dirname "$bin")
}

# Postgres refuses to run as root.
as_server() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    elif id -u postgres >/dev/null 2>&1; then
        runuser -u postgres -- "$@"
    else
        runuser -u nobody -- "$@"
    fi
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_cluster() {
    find_postgres
    CLUSTER=$(mktemp -d "${BENCH_TMP:-/tmp}/rowhook-bench-XXXXXX")
    chmod 755 "$CLUSTER"
    trap stop_cluster EXIT
    trap 'exit 130' INT TERM
    PGPORT=$(free_port)
    printf '%s\n' "$CLUSTER_PASSWORD" >"$CLUSTER/password"
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$(as_server id -un)" "$CLUSTER"
    fi
    (
        cd /
        as_server "$PG_BIN/initdb" -U postgres -E UTF8 --locale C -A scram-sha-256 \
            --auth-local trust --pwfile "$CLUSTER/password" -N -D "$CLUSTER/data" >/dev/null
        as_server tee -a "$CLUSTER/data/postgresql.conf" >/dev/null <<CONF
port = $PGPORT
listen_addresses = '127.0.0.1'
unix_socket_directories = '$CLUSTER'
wal_level = logical
max_wal_senders = 60
max_replication_slots = 60
shared_buffers = 1GB
max_wal_size = 16GB
checkpoint_timeout = 30min
fsync = on
CONF
        as_server "$PG_BIN/pg_ctl" -s -w -D "$CLUSTER/data" -l "$CLUSTER/postgres.log" start
    )
    export PGPORT PGHOST=$CLUSTER PGUSER=postgres PGPASSWORD=$CLUSTER_PASSWORD
}

stop_cluster() {
    local child
    for child in $(jobs -p); do
        kill "$child" 2>/dev/null || true
    done
    wait || true
    if [ -n "${CLUSTER:-}" ] && [ -d "$CLUSTER" ]; then
        (cd / && as_server "$PG_BIN/pg_ctl" -s -m immediate -D "$CLUSTER/data" stop) || true
        rm -rf "$CLUSTER"
    fi
}

cluster_host() {
    case "$1" in
        tcp) echo 127.0.0.1 ;;
        socket) echo "$CLUSTER" ;;
    esac
}

cluster_url() {
    case "$2" in
        tcp) echo "postgres://postgres:$CLUSTER_PASSWORD@127.0.0.1:$PGPORT/$1" ;;
        socket) echo "postgres://postgres@/$1?host=$CLUSTER&port=$PGPORT" ;;
    esac
}

sql() {
    local database=$1
    shift
    if [ $# -gt 0 ]; then
        "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "$database" -c "$1"
    else
        "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "$database"
    fi
}
