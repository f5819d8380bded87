"""benches/run.sh CASE… [--quick]: measures, prints the table, writes it, bench.json and a chart."""

import argparse
import base64
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack

from . import app, deliver, drain, growth, growth_webhooks, idle, latency, live, log_size, reading
from .cluster import Cluster, find_programs
from .measure import Failed, Refused
from .report import Report
from .results import Curve
from .sizes import Sizes
from .stored import Logs

CASES = {
    "inserts": drain.inserts,
    "updates": drain.updates,
    "large": drain.large,
    "latency": latency.latency,
    "deliver": deliver.deliver,
    "pass": live.one_pass,
    "live": live.live,
    "app": app.app,
    # Before the case that appends to the same log.
    "reading": reading.reading,
    "log_size": log_size.log_size,
    "idle": idle.idle,
    "width": growth.width,
    "batch": growth.batch,
    "tables": growth.tables,
    "webhooks": growth_webhooks.webhooks,
    "match": growth_webhooks.match,
}
# Cases that were once called together.
GROUPS = {"drain": ["inserts", "updates"], "growth": ["width", "batch", "tables", "webhooks", "match"]}


class Bench:
    """What every case needs."""

    def __init__(self, sizes, stack):
        self.sizes, self.stack = sizes, stack
        self.rowhook = os.environ["BENCH_ROWHOOK"]
        self.deliver_program = os.environ["BENCH_DELIVER"]
        self.latency_program = os.environ["BENCH_LATENCY"]
        for program in (self.rowhook, self.deliver_program, self.latency_program):
            if not os.access(program, os.X_OK):
                raise Refused(f"no program to run: {program or 'cargo bench built none'}")
        self.scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="rowhook-bench-"))
        self.version = said(self.rowhook, "--version")
        self.machine = machine()
        self._logs = None

    def cluster(self, **settings):
        return Cluster(**settings)

    def logs(self):
        """Kept until the end: to fill them takes long."""
        if self._logs is None:
            self._logs = Logs(self, self.stack)
        return self._logs

    def say(self, *words):
        print("  ", *words, file=sys.stderr, flush=True)

    def say_point(self, curve):
        place, values = curve.points[-1]
        self.say(f"{curve.of}: {place:,}: {', '.join(f'{value:,.0f}' for value in values)} {curve.unit}")


def said(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def machine():
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+)", file.read())[1]) / 1024 / 1024
    server = re.search(r"PostgreSQL\) (\S+)", said(os.path.join(find_programs(), "postgres"), "--version"))[1]
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, PostgreSQL {server}"


def arguments():
    parser = argparse.ArgumentParser(prog="benches/run.sh", description="Without a case: all of them.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join([*CASES, *GROUPS]))
    parser.add_argument("--quick", action="store_true", help="small sizes: a test of the benchmark itself")
    chosen = parser.parse_args()
    unknown = [case for case in chosen.cases if case not in CASES and case not in GROUPS]
    if unknown:
        parser.error(f"no such case: {' '.join(unknown)}; there are {' '.join([*CASES, *GROUPS])}")
    wanted = [case for name in chosen.cases for case in GROUPS.get(name, [name])]
    return [case for case in CASES if case in wanted or not wanted], chosen.quick


def measure(bench, case):
    began = time.monotonic()
    print(f"== {case}", file=sys.stderr, flush=True)
    result = {"at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "version": bench.version, "machine": bench.machine}
    try:
        found = list(CASES[case](bench))
    except (Failed, Refused) as failure:
        result["failed"] = str(failure)
    except Exception as failure:
        traceback.print_exc()
        result["failed"] = f"{type(failure).__name__}: {failure}"
    else:
        result["lines"] = [line.as_json() for line in found if not isinstance(line, Curve)]
        result["curves"] = [curve.as_json() for curve in found if isinstance(curve, Curve)]
    result["seconds"] = round(time.monotonic() - began)
    print(f"== {case}: {result.get('failed') or 'done'} after {result['seconds']} s", file=sys.stderr, flush=True)
    return result


def end(number, _):
    # Everything is undone on the way out, once.
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    cases, quick = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    os.environ["BENCH_SECRET"] = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    directory = os.path.join(os.environ["BENCH_RESULTS"], "quick" if quick else "")
    if quick:
        shutil.rmtree(directory, ignore_errors=True)
    report = Report(directory, CASES, quick)
    with ExitStack() as stack:
        bench = Bench(Sizes(quick), stack)
        for case in cases:
            report.put(case, **measure(bench, case))
    print(report.table())
    print(f"{os.path.relpath(directory)}: bench.json, table.md, chart.svg", file=sys.stderr)
    return 1 if any(report.results[case].get("failed") for case in cases) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refused as refusal:
        sys.exit(f"benches/run.sh: {refusal}")
