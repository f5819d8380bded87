"""The case of benches/run.sh reading. Standard library only; the shell has started Postgres.

Fills the log with made-up events by SQL, starts the daemon, and asks its API for pages of each kind, one
after the other over one connection. A daemon that captures from a quiet source runs beside it.

BENCH_SOURCE, PG_BIN     the database's URL, Postgres' programs   BENCH_ROWHOOK   the program
EVENTS, REQUESTS         how much, how many of each kind          BENCH_SCRATCH, BENCH_RESULT   where files go
"""

import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time

SCRATCH = os.environ["BENCH_SCRATCH"]
EVENTS = int(os.environ.get("EVENTS", "10000000"))
REQUESTS = int(os.environ.get("REQUESTS", "1000"))
SEGMENT = 1_000_000
PATIENCE = 120
# Twenty tables of the same size. `rare` happens once in 500,000 events, `early` only at the very beginning.
FILL = """
insert into rowhook.events (sequence_id, event_id, event_type, resource, resource_id, action, created_at, record,
                            previous, old_row, table_schema, table_name, xid, commit_lsn, commit_index)
select i, gen_random_uuid(),
       case when i % 500000 = 250000 then 'rare.created' when i <= 100 then 'early.created'
            else 'table' || i % 20 || (array['.created', '.updated', '.deleted'])[1 + i / 20 % 3] end,
       case when i % 500000 = 250000 then 'rare' when i <= 100 then 'early' else 'table' || i % 20 end,
       (hashint8(i) & 65535)::text, (array['created', 'updated', 'deleted'])[1 + i / 20 % 3],
       timestamptz '2026-01-01' + i * interval '100 milliseconds',
       json_build_object('id', hashint8(i) & 65535, 'status', 'open', 'note', repeat('please leave the parcel ', 12)),
       case when i / 20 % 3 = 1 then json_build_object('status', 'new') end,
       'full', 'public', 'table' || i % 20, 700 + i, '0/1', 0
  from generate_series({first}::bigint, {last}::bigint) i
"""


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sql(statement):
    command = [os.path.join(os.environ["PG_BIN"], "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1"]
    command += ["-d", os.environ["BENCH_SOURCE"], "-c", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def fill():
    began = time.monotonic()
    sql(f"select rowhook.add_segments({EVENTS + 1}, {SEGMENT})")
    for first in range(1, EVENTS + 1, SEGMENT):
        sql(FILL.format(first=first, last=min(first + SEGMENT - 1, EVENTS)))
    sql(f"update rowhook.checkpoint set next_sequence_id = {EVENTS + 1}")
    sql("vacuum analyze rowhook.events")
    size = sql("select pg_size_pretty(sum(pg_total_relation_size(inhrelid))) from pg_inherits where inhparent = 'rowhook.events'::regclass")
    say(f"{EVENTS} events, {size}, filled in {time.monotonic() - began:.0f} s")


def daemon(port):
    path = os.path.join(SCRATCH, "reading.toml")
    with open(path, "w") as file:
        file.write(f"""
[source]
url = "{os.environ["BENCH_SOURCE"]}"
slot = "reading"
publication = "bench"
tls = {{ mode = "disable" }}

[capture]
tables = ["public.orders"]

[log]
retention = "forever"
segment_size = {SEGMENT}

[api]
listen = "127.0.0.1:{port}"
""")
    log = open(os.path.join(SCRATCH, "reading.out"), "w")
    return subprocess.Popen([os.environ["BENCH_ROWHOOK"], "--config", path, "run"], stderr=log, stdout=log)


def kinds():
    """Each kind of page as a function that makes one of its kind."""
    anywhere = lambda: random.randrange(EVENTS)
    table = lambda: f"table{random.randrange(20)}"
    key = lambda: random.randrange(65536)
    # Of the time that the events span.
    moment = lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1767225600 + anywhere() / 10))
    return {
        "newest": lambda: "limit=100",
        "after": lambda: f"after={anywhere()}&limit=100",
        "resource id": lambda: f"resource={table()}&resource_id={key()}",
        "resource id, from the oldest": lambda: f"resource={table()}&resource_id={key()}&after=0",
        "type": lambda: f"type={table()}.updated",
        "type, after": lambda: f"type={table()}.updated&after={anywhere()}",
        "rare type": lambda: "type=rare.created",
        "rare type, after": lambda: f"type=rare.created&after={anywhere()}",
        "type that ended early": lambda: f"type=early.created&after={anywhere()}",
        "type that there is none of": lambda: "type=none.created",
        "types by a pattern": lambda: f"type=*.deleted&after={anywhere()}",
        "resource": lambda: f"resource={table()}&after={anywhere()}",
        "rare resource": lambda: f"resource=rare&after={anywhere()}",
        "from": lambda: f"from={moment()}&after=0",
        "type, from": lambda: f"type={table()}.created&from={moment()}&after=0",
        "undispatched": lambda: "undispatched=true",
    }


def measure(port):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    results = {}
    for name, make in kinds().items():
        taken, found = [], []
        for _ in range(REQUESTS):
            path = "/v1/events?" + make()
            began = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            taken.append((time.perf_counter() - began) * 1000)
            if answer.status != 200:
                sys.exit(f"{path}: {answer.status} {body.decode()}")
            found.append(len(json.loads(body)["events"]))
        taken.sort()
        at = lambda part: taken[min(int(len(taken) * part), len(taken) - 1)]
        results[name] = {
            "p50_ms": round(at(0.5), 2),
            "p99_ms": round(at(0.99), 2),
            "max_ms": round(taken[-1], 2),
            "events": statistics.mean(found),
        }
        say(f"{name:30} p50 {at(0.5):8.2f} ms   p99 {at(0.99):8.2f} ms   max {taken[-1]:8.2f} ms   {statistics.mean(found):6.1f} events")
    return results


def main():
    random.seed(7)
    fill()
    port = free_port()
    running = daemon(port)
    began = time.monotonic()
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                break
        except OSError:
            pass
        if running.poll() is not None or time.monotonic() - began > PATIENCE:
            sys.exit(f"rowhook is not ready: see {SCRATCH}/reading.out")
        time.sleep(0.1)
    try:
        results = measure(port)
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()
    with open(os.environ["BENCH_RESULT"], "w") as file:
        json.dump({"events": EVENTS, "requests": REQUESTS, "pages": results}, file, indent=2)


main()
