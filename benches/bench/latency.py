"""From an insert's commit to the log and to the webhook, at a fixed rate: benches/latency.rs around a daemon."""

import json
import os
import subprocess

from . import orders
from .daemon import Rowhook, webhook
from .measure import Failed, free_port
from .results import Line, at_most

GOALS = {
    ("logged", "p50"): at_most(2),
    ("logged", "p99"): at_most(8),
    ("received", "p50"): at_most(3),
    ("received", "p99"): at_most(10),
}
# At the rate that the goals are for.
GOAL_RATE = 1_000


def latency(bench):
    rates = bench.sizes.rates
    found = {rate: [] for rate in rates}
    with bench.cluster(used_wal=bench.sizes.used_wal) as cluster:
        for run in range(1, bench.sizes.runs + 1):
            for rate in rates if run % 2 else reversed(rates):
                found[rate].append(one_run(bench, cluster, f"latency_{rate}_{run}", rate))
    for rate in rates:
        yield from lines(rate, found[rate])


def one_run(bench, cluster, name, rate):
    cluster.create(name)
    cluster.sql(name, orders.CREATE)
    url = cluster.url(name)
    endpoint = f"127.0.0.1:{free_port()}"
    daemon = Rowhook(bench, name, url, listen=True).setup()
    daemon.serve([webhook("bench", f"http://{endpoint}/", events=["*"], concurrency=32)])
    cluster.checkpoint()
    with daemon:
        daemon.wait_ready()
        result = run_program(bench, url, endpoint, rate)
        daemon.must_live()
    cluster.drop_slot(name)
    cluster.drop(name)
    bench.say(f"{rate}/s: logged {result['logged']}, received {result['received']} ms")
    return result


def run_program(bench, url, endpoint, rate):
    path = os.path.join(bench.scratch, "latency.json")
    env = os.environ | {
        "BENCH_URL": url,
        "BENCH_LISTEN": endpoint,
        "BENCH_RATE": str(rate),
        "BENCH_SECONDS": str(bench.sizes.latency_seconds),
        "BENCH_RESULT": path,
        "RUST_BACKTRACE": "0",
    }
    done = subprocess.run([bench.latency_program], env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    with open(path) as file:
        return json.load(file)


def lines(rate, results):
    resolution = max(result["resolution"]["p99"] for result in results)
    notes = {"logged": f"read every {resolution:.1f} ms or more often (p99)", "received": ""}
    for what in ("logged", "received"):
        for part in ("p50", "p99"):
            yield Line(
                f"commit → {what}, {rate:,} inserts/s, {part}",
                "ms",
                [result[what][part] for result in results],
                [result["commit"][part] for result in results],
                f"the commit itself, {part}",
                GOALS[what, part] if rate == GOAL_RATE else None,
                compare=False,
                note=notes[what],
            )
