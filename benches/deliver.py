"""The cases of benches/run.sh deliver. Standard library only; the shell has started Postgres.

Each case delivers stored events to a receiver that counts, then a plain client of the same HTTP
library sends the same bodies to the same receiver over as many connections.

BENCH_SOURCE, BENCH_LOG  the databases' URLs         BENCH_ROWHOOK, BENCH_ENDS  the programs
EVENTS, RUNS, CASES      how much, how often, which  BENCH_SCRATCH, BENCH_RESULT  where files go
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

SCRATCH = os.environ["BENCH_SCRATCH"]
ROWHOOK = os.environ["BENCH_ROWHOOK"]
ENDS = os.environ["BENCH_ENDS"]
EVENTS = int(os.environ.get("EVENTS", "200000"))
RUNS = int(os.environ.get("RUNS", "3"))
PATIENCE = 900
BASE = f"""
[source]
url = "{os.environ["BENCH_SOURCE"]}"
slot = "deliver"
publication = "bench"
tls = {{ mode = "disable" }}

[capture]
tables = ["public.orders"]

[log]
url = "{os.environ["BENCH_LOG"]}"
"""


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sql(statement):
    command = [os.path.join(os.environ["PG_BIN"], "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1"]
    command += ["-d", os.environ["BENCH_LOG"], "-c", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Sink:
    """The receiver that counts."""

    def __init__(self):
        self.url = f"http://127.0.0.1:{free_port()}"
        env = os.environ | {"BENCH_ROLE": "sink", "BENCH_LISTEN": self.url.removeprefix("http://")}
        self.process = subprocess.Popen([ENDS], env=env)
        wait(lambda: self.seen() is not None, "the receiver")

    def ask(self, path, method="GET"):
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def seen(self):
        try:
            return json.loads(self.ask("/seen"))
        except OSError:
            return None

    def forget(self):
        self.ask("/seen", "DELETE")

    def answer_with(self, status):
        self.ask(f"/status/{status}", "PUT")

    def end(self):
        self.process.kill()
        self.process.wait()


def wait(holds, what, alive=None):
    began = time.monotonic()
    while not holds():
        if alive is not None and alive.poll() is not None:
            sys.exit(f"rowhook ended: see {SCRATCH}")
        if time.monotonic() - began > PATIENCE:
            sys.exit(f"no {what} within {PATIENCE} s")
        time.sleep(0.05)


def webhook(sink, name, **keys):
    keys = {"name": name, "url": f"{sink.url}/{name}", "start": "beginning"} | keys
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n[[webhook]]\n" + "\n".join(lines) + '\nsecret = { env = "BENCH_SECRET" }\n'


class Daemon:
    def __init__(self, webhooks):
        self.port = free_port()
        path = os.path.join(SCRATCH, "deliver.toml")
        with open(path, "w") as file:
            file.write(BASE + f'\n[api]\nlisten = "127.0.0.1:{self.port}"\n' + "".join(webhooks))
        self.log = open(os.path.join(SCRATCH, "deliver.out"), "w")
        command = [ROWHOOK, "--config", path, "run"]
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log)

    def cost(self):
        """Peak and present memory in MiB, and CPU seconds."""
        with open(f"/proc/{self.process.pid}/status") as file:
            lines = dict(line.split(":", 1) for line in file)
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        ticks = os.sysconf("SC_CLK_TCK")
        memory = [round(int(lines[key].split()[0]) / 1024, 1) for key in ("VmHWM", "VmRSS")]
        return *memory, (int(fields[11]) + int(fields[12])) / ticks

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()


def fill():
    """Events in the log, from a source that nobody writes to afterwards."""
    daemon = Daemon([])
    newest = "select coalesce(max(sequence_id), 0) from rowhook.events"
    wait(lambda: int(sql(newest)) >= EVENTS, "filled log", daemon.process)
    daemon.end()


def writes():
    """Rows that were written to each table of the log so far."""
    rows = sql(
        "select regexp_replace(relname, '_?[0-9].*$', ''), sum(n_tup_ins + n_tup_upd + n_tup_del) "
        "from pg_stat_user_tables where schemaname = 'rowhook' group by 1"
    )
    return {name: int(count) for name, count in (row.split("|") for row in rows.splitlines())}


def plain_client(sink, count, lanes):
    env = os.environ | {
        "BENCH_ROLE": "client",
        "BENCH_URL": sink.url,
        "BENCH_COUNT": str(count),
        "BENCH_LANES": str(lanes),
    }
    seconds = subprocess.run([ENDS], env=env, check=True, capture_output=True, text=True).stdout
    return count / float(seconds)


def deliver(sink, case, run, endpoints, events, lanes, **keys):
    """Each of the endpoints gets the newest `events` of the log."""
    sink.forget()
    first = EVENTS - events + 1
    before = writes()
    hooks = [
        webhook(sink, f"{case}-{run}-{n}", start=first, concurrency=lanes, **keys)
        for n in range(endpoints)
    ]
    daemon = Daemon(hooks)
    total = events * endpoints
    requests = -(-events // keys.get("batch", {}).get("max_events", 1)) * endpoints
    wait(lambda: sink.seen()["answered"] >= requests, "end of the backlog", daemon.process)
    # Until the cursors are saved.
    peak, _, cpu = daemon.cost()
    daemon.end()
    time.sleep(1.2)
    after = writes()
    seen = sink.seen()
    rate = total / seen["seconds"]
    plain = plain_client(sink, min(total, 200_000), min(lanes * endpoints, 256))
    written = {name: after[name] - before.get(name, 0) for name in after}
    result = {
        "case": case,
        "run": run,
        "events_per_second": round(rate),
        "client_per_second": round(plain),
        "ratio": round(rate / plain, 3),
        "cpu_us_per_event": round(cpu / total * 1e6, 1),
        "peak_rss_mib": peak,
        "rows_written": {name: count for name, count in written.items() if count},
        "events": total,
    }
    say(json.dumps(result))
    return result


def recovery(sink, run):
    """From the end of an outage to the head of the log, and what was asked of the endpoint in it."""
    sink.forget()
    sink.answer_with(503)
    events = min(EVENTS, 50_000)
    hook = webhook(sink, f"recovery-{run}", start=EVENTS - events + 1, concurrency=64)
    daemon = Daemon([hook])
    wait(lambda: sink.seen()["refused"] >= 8, "open breaker", daemon.process)
    time.sleep(5)
    refused = sink.seen()["refused"]
    sink.answer_with(200)
    began = time.monotonic()
    wait(lambda: sink.seen()["answered"] >= 1, "first event", daemon.process)
    first = time.monotonic() - began
    wait(lambda: sink.seen()["answered"] >= events, "head", daemon.process)
    head = time.monotonic() - began
    daemon.end()
    result = {
        "case": "recovery",
        "run": run,
        "requests_in_outage": refused,
        "first_after_s": round(first, 2),
        "head_after_s": round(head, 2),
        "events": events,
    }
    say(json.dumps(result))
    return result


def memory(sink, start, name):
    """One hundred subscriptions, all at the head or all behind."""
    sink.forget()
    hooks = [webhook(sink, f"{name}-{n}", start=start, concurrency=16) for n in range(100)]
    daemon = Daemon(hooks)
    ready = f"http://127.0.0.1:{daemon.port}/readyz"
    wait(lambda: answers(ready), "readiness", daemon.process)
    peak = 0
    for _ in range(20):
        time.sleep(1)
        peak, present, _ = daemon.cost()
    daemon.end()
    result = {"case": name, "peak_rss_mib": peak, "rss_mib": present, "behind_each": EVENTS}
    say(json.dumps(result))
    return result


def answers(url):
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status == 200
    except OSError:
        return False


CASES = {
    "resource": lambda sink, run: deliver(sink, "resource", run, 1, EVENTS, 64),
    "none": lambda sink, run: deliver(sink, "none", run, 1, EVENTS, 64, order="none"),
    "strict": lambda sink, run: deliver(
        sink, "strict", run, 1, min(EVENTS, 20_000), 1, order="strict"
    ),
    "twenty": lambda sink, run: deliver(sink, "twenty", run, 20, EVENTS // 20, 16),
    "recovery": recovery,
}
ONCE = {
    "hundred_at_head": lambda sink: memory(sink, "now", "hundred_at_head"),
    "hundred_behind": lambda sink: memory(sink, "beginning", "hundred_behind"),
}


def main():
    wanted = os.environ.get("CASES", "").split() or [*CASES, *ONCE]
    fill()
    sink = Sink()
    results = []
    for run in range(1, RUNS + 1):
        results += [CASES[case](sink, run) for case in wanted if case in CASES]
    results += [ONCE[case](sink) for case in wanted if case in ONCE]
    sink.end()
    with open(os.environ["BENCH_RESULT"], "w") as file:
        json.dump(results, file, indent=2)
    table(results)


def table(results):
    print("median (min–max)\n")
    print("| case | plain client, requests/s | rowhook, events/s | ratio | CPU µs/event | peak RSS MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in dict.fromkeys(result["case"] for result in results if "ratio" in result):
        of_case = [result for result in results if result["case"] == case]

        def cell(key, form):
            values = [result[key] for result in of_case]
            return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"

        cells = [case, cell("client_per_second", ",.0f"), cell("events_per_second", ",.0f")]
        cells += [cell("ratio", ".2f"), cell("cpu_us_per_event", ".0f"), cell("peak_rss_mib", ".0f")]
        print("| " + " | ".join(cells) + " |")
    for result in results:
        if "ratio" not in result:
            print(json.dumps(result))


main()
