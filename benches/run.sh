#!/usr/bin/env bash
# Benchmarks, each on a scratch Postgres of its own. Results go to target/bench/ as JSON too.
#
#   benches/run.sh drain      a backlog: rowhook (WAL → event → durable log) beside pg_recvlogical
#                             (which throws everything away), interleaved, from the same position
#     ROWS=1000000            single-row insert transactions
#     UPDATES=500000          single-row updates under REPLICA IDENTITY FULL
#     RUNS=3                  how often each reader drains each backlog
#     TRANSPORTS="tcp"        tcp, socket, or both: "tcp socket"
#     CASES="inserts updates"
#     READERS="recvlogical rowhook"
#
#   benches/run.sh latency    insert → webhook, at a fixed rate whatever the answers take
#     RATE=500 SECONDS_LONG=20 TRANSPORTS="tcp"
#
#   benches/run.sh deliver    stored events → signed webhooks, beside a plain client of the same HTTP
#                             library that sends the same bodies
#     EVENTS=200000           in the log
#     RUNS=3
#     CASES="resource none strict twenty recovery hundred_at_head hundred_behind"
#
#   benches/run.sh reading    pages of the log over HTTP, of each kind, one after the other
#     EVENTS=10000000         in the log
#     REQUESTS=1000           of each kind
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=benches/cluster.sh
. benches/cluster.sh

TARGET=${CARGO_TARGET_DIR:-target}
RESULTS=$TARGET/bench
ROWHOOK=${ROWHOOK:-$TARGET/release/rowhook}
ROWS=${ROWS:-1000000}
UPDATES=${UPDATES:-500000}
RUNS=${RUNS:-3}
TRANSPORTS=${TRANSPORTS:-tcp}
READERS=${READERS:-recvlogical rowhook}
RATE=${RATE:-500}
SECONDS_LONG=${SECONDS_LONG:-20}
# Bound on one drain, so that a reader that stands still ends the benchmark.
DRAIN_TIMEOUT=${DRAIN_TIMEOUT:-30min}

say() { printf '%s\n' "$*" >&2; }

now() { date +%s.%N; }

reads() { [[ " $READERS " == *" $1 "* ]]; }

create_orders() {
    sql "$1" <<'SQL'
create table orders (
    id bigserial primary key,
    user_id bigint not null,
    status text not null,
    total numeric(12, 2) not null,
    note text not null,
    meta jsonb not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
SQL
}

# Values of about the size that an order has: 100 characters of note, 200 bytes of meta.
readonly NOTE="'please leave the parcel with the neighbours at number ' || :user || ', they are at home until nine o''clock'"
readonly META="('{\"channel\": \"web\", \"session\": \"8d7f3a52c0b94e1f\", \"user\": ' || :user || ', \"agent\": \"Mozilla/5.0 (X11; Linux x86_64)\", \"tags\": [\"gift\", \"express\", \"insured\"], \"address\": {\"city\": \"Berlin\", \"zip\": \"10115\"}}')::jsonb"

write_scripts() {
    cat >"$CLUSTER/inserts.sql" <<SQL
\\set user random(1, 100000)
insert into orders (user_id, status, total, note, meta)
values (:user, 'open', :user / 7.0, $NOTE, $META);
SQL
    cat >"$CLUSTER/updates.sql" <<SQL
\\set id random(1, :rows)
update orders set status = 'paid', total = total + 1, updated_at = now() where id = :id;
SQL
}

# Rows that are there before anything is captured, for the updates.
fill_orders() {
    local fill="insert into orders (user_id, status, total, note, meta)
        select :user, 'open', :user / 7.0, $NOTE, $META from generate_series(1, $2) i"
    sql "$1" "${fill//:user/(i % 100000)}"
    sql "$1" 'vacuum analyze orders'
}

# pgbench gives each of its four clients the same number of transactions.
make_backlog() {
    local database=$1 script=$2 changes=$3
    PGOPTIONS='-c synchronous_commit=off' "$PG_BIN/pgbench" -n -c 4 -j 2 -M prepared \
        -D rows="$changes" -t $((changes / 4)) -f "$CLUSTER/$script.sql" "$database" \
        >"$CLUSTER/pgbench.out" 2>&1 || {
        cat "$CLUSTER/pgbench.out" >&2
        exit 1
    }
}

write_config() {
    local name=$1 database=$2 transport=$3
    cat >"$CLUSTER/$name.toml" <<TOML
[source]
url = "$(cluster_url "$database" "$transport")"
slot = "$name"
publication = "bench"
tls = { mode = "disable" }

[capture]
tables = ["public.orders"]

[log]
url = "$(cluster_url "log_$name" "$transport")"

[api]
listen = ""
TOML
}

# A name for one drain: it names the slot, the settings and the log's database.
drain_name() { echo "${1}_${2}_${3}_${4}"; }

# Slots of all drains stand where the backlog begins: each drain reads the same WAL.
prepare_drain() {
    local case=$1 transport=$2 run=$3 name
    if reads recvlogical; then
        name=$(drain_name recv "$case" "$transport" "$run")
        sql "$case" "select pg_create_logical_replication_slot('$name', 'pgoutput')" >/dev/null
    fi
    if reads rowhook; then
        name=$(drain_name hook "$case" "$transport" "$run")
        sql postgres "create database log_$name"
        write_config "$name" "$case" "$transport"
        "$ROWHOOK" --config "$CLUSTER/$name.toml" setup >"$CLUSTER/$name.out" 2>&1 || {
            cat "$CLUSTER/$name.out" >&2
            exit 1
        }
    fi
}

# record KEY=VALUE…: one line of JSON per drain
record() {
    python3 benches/report.py record "$RESULTS/drain.jsonl" "$@"
}

drain_recvlogical() {
    local case=$1 transport=$2 run=$3 changes=$4 end=$5 name began ended
    name=$(drain_name recv "$case" "$transport" "$run")
    began=$(now)
    "$PG_BIN/pg_recvlogical" -h "$(cluster_host "$transport")" -d "$case" -S "$name" \
        -o proto_version=1 -o publication_names=bench --start -f /dev/null --endpos="$end" \
        >"$CLUSTER/$name.out" 2>&1 || {
        cat "$CLUSTER/$name.out" >&2
        exit 1
    }
    ended=$(now)
    sql "$case" "select pg_drop_replication_slot('$name')" >/dev/null
    record reader=recvlogical case="$case" transport="$transport" run="$run" \
        changes="$changes" began="$began" ended="$ended"
}

drain_rowhook() {
    local case=$1 transport=$2 run=$3 changes=$4 name began ended pid waiter first
    name=$(drain_name hook "$case" "$transport" "$run")
    began=$(now)
    "$ROWHOOK" --config "$CLUSTER/$name.toml" run >"$CLUSTER/$name.out" 2>&1 &
    pid=$!
    # One session asks every 100 ms; a program started each time would cost a tenth of a core. It
    # commits each time, so that it never holds a lock that a new segment of the log waits for.
    PGOPTIONS="-c statement_timeout=$DRAIN_TIMEOUT" sql "log_$name" "
        do \$\$ begin
            while coalesce((select max(sequence_id) from rowhook.events), 0) < $changes loop
                commit;
                perform pg_sleep(0.1);
            end loop;
        end \$\$" &
    waiter=$!
    wait -n -p first "$pid" "$waiter" || true
    ended=$(now)
    if [ "$first" = "$pid" ]; then
        say "rowhook ended before the backlog did:"
        cat "$CLUSTER/$name.out" >&2
        exit 1
    fi
    wait "$waiter"
    record reader=rowhook case="$case" transport="$transport" run="$run" changes="$changes" \
        began="$began" ended="$ended" pid="$pid"
    kill -TERM "$pid"
    wait "$pid" || say "rowhook run: exit code $?"
    local logged
    logged=$(sql "log_$name" 'select count(*) from rowhook.events')
    [ "$logged" -eq "$changes" ] || {
        say "$logged events logged, $changes changes made"
        exit 1
    }
    sql "$case" "select pg_drop_replication_slot('$name')" >/dev/null
    sql postgres "drop database log_$name with (force)"
}

drain_case() {
    local case=$1 changes=$2 run transport reader end order
    say "== $case: $changes changes"
    sql postgres "create database $case"
    create_orders "$case"
    [ "$case" = inserts ] || fill_orders "$case" "$changes"
    [ "$case" = inserts ] || sql "$case" 'alter table orders replica identity full'
    reads rowhook || sql "$case" 'create publication bench for table orders'
    for run in $(seq "$RUNS"); do
        for transport in $TRANSPORTS; do
            prepare_drain "$case" "$transport" "$run"
        done
    done
    say 'making the backlog'
    make_backlog "$case" "$case" "$changes"
    end=$(sql "$case" 'select pg_current_wal_insert_lsn()')
    # One more change: pg_recvlogical ends at the first one beyond its end position, and a commit
    # that waits for the disk takes the asynchronous ones before it along.
    sql "$case" "insert into orders (user_id, status, total, note, meta) values (0, 'last', 0, '', '{}')"
    for run in $(seq "$RUNS"); do
        for transport in $TRANSPORTS; do
            order=$READERS
            # Every other run the other way round.
            [ $((run % 2)) -eq 1 ] || order=$(tr ' ' '\n' <<<"$READERS" | tac | tr '\n' ' ')
            for reader in $order; do
                sql "$case" checkpoint
                "drain_$reader" "$case" "$transport" "$run" $((changes + 1)) "$end"
            done
        done
    done
    sql postgres "drop database $case with (force)"
}

bench_drain() {
    local case
    write_scripts
    rm -f "$RESULTS/drain.jsonl"
    for case in ${CASES:-inserts updates}; do
        case "$case" in
            inserts) drain_case inserts $((ROWS / 4 * 4)) ;;
            updates) drain_case updates $((UPDATES / 4 * 4)) ;;
            *) say "no such case: $case" && exit 1 ;;
        esac
    done
    python3 benches/report.py table "$RESULTS/drain.jsonl" "$RESULTS/drain.json"
}

bench_latency() {
    local transport hook api pid
    cargo bench --no-run --bench latency
    for transport in $TRANSPORTS; do
        say "== latency over $transport: $RATE inserts/s for $SECONDS_LONG s"
        sql postgres "create database latency_$transport"
        create_orders "latency_$transport"
        hook=$(free_port)
        api=$(free_port)
        write_latency_config "$transport" "$hook" "$api"
        "$ROWHOOK" --config "$CLUSTER/latency.toml" setup
        "$ROWHOOK" --config "$CLUSTER/latency.toml" run >"$CLUSTER/latency.out" 2>&1 &
        pid=$!
        wait_ready "$pid" "$api"
        BENCH_URL=$(cluster_url "latency_$transport" "$transport") BENCH_LISTEN=127.0.0.1:$hook \
            BENCH_RATE=$RATE BENCH_SECONDS=$SECONDS_LONG \
            BENCH_RESULT=$RESULTS/latency_$transport.json cargo bench -q --bench latency || {
            tail -n 50 "$CLUSTER/latency.out" >&2
            exit 1
        }
        kill -TERM "$pid"
        wait "$pid" || say "rowhook run: exit code $?"
        sql postgres "select pg_drop_replication_slot('latency_$transport')" >/dev/null ||
            say 'the slot is gone already'
    done
}

write_latency_config() {
    local transport=$1 hook=$2 api=$3
    cat >"$CLUSTER/latency.toml" <<TOML
[source]
url = "$(cluster_url "latency_$transport" "$transport")"
slot = "latency_$transport"
publication = "bench"
tls = { mode = "disable" }

[capture]
tables = ["public.orders"]

[[webhook]]
name = "bench"
url = "http://127.0.0.1:$hook/"
events = ["*"]
concurrency = 32
secret = { env = "BENCH_SECRET" }

[api]
listen = "127.0.0.1:$api"
TOML
    BENCH_SECRET=whsec_$(head -c 32 /dev/urandom | base64)
    export BENCH_SECRET
}

bench_deliver() {
    local ends
    ends=$(cargo bench --no-run --bench deliver --message-format json 2>/dev/null |
        python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("target", {}).get("name") == "deliver":
        print(message["executable"])')
    sql postgres 'create database deliver'
    create_orders deliver
    export BENCH_SOURCE BENCH_LOG
    BENCH_SOURCE=$(cluster_url deliver tcp)
    BENCH_LOG=$BENCH_SOURCE
    cat >"$CLUSTER/setup.toml" <<TOML
[source]
url = "$BENCH_SOURCE"
slot = "deliver"
publication = "bench"
tls = { mode = "disable" }

[capture]
tables = ["public.orders"]
TOML
    "$ROWHOOK" --config "$CLUSTER/setup.toml" setup >&2
    fill_orders deliver "${EVENTS:-200000}"
    BENCH_SECRET=whsec_$(head -c 32 /dev/urandom | base64)
    mkdir -p "$RESULTS/scratch"
    export BENCH_SECRET PG_BIN
    BENCH_ROWHOOK=$(realpath "$ROWHOOK") BENCH_ENDS=$ends BENCH_SCRATCH=$RESULTS/scratch \
        BENCH_RESULT=$RESULTS/deliver.json python3 benches/deliver.py
}

bench_reading() {
    sql postgres 'create database reading'
    create_orders reading
    export BENCH_SOURCE PG_BIN
    BENCH_SOURCE=$(cluster_url reading tcp)
    cat >"$CLUSTER/setup.toml" <<TOML
[source]
url = "$BENCH_SOURCE"
slot = "reading"
publication = "bench"
tls = { mode = "disable" }

[capture]
tables = ["public.orders"]
TOML
    "$ROWHOOK" --config "$CLUSTER/setup.toml" setup >&2
    mkdir -p "$RESULTS/scratch"
    BENCH_ROWHOOK=$(realpath "$ROWHOOK") BENCH_SCRATCH=$RESULTS/scratch \
        BENCH_RESULT=$RESULTS/reading.json python3 benches/reading.py
}

wait_ready() {
    local pid=$1 api=$2
    for _ in $(seq 300); do
        if python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$api/readyz')" 2>/dev/null; then
            return
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    say 'rowhook run is not ready:'
    cat "$CLUSTER/latency.out" >&2
    exit 1
}

mkdir -p "$RESULTS"
RESULTS=$(cd "$RESULTS" && pwd)
case "${1:-}" in
    drain | latency | deliver | reading)
        if reads rowhook && [ "$ROWHOOK" = "$TARGET/release/rowhook" ]; then
            cargo build --release --bin rowhook
        fi
        start_cluster
        "bench_$1"
        ;;
    *)
        sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
        exit 64
        ;;
esac
