"""What the application feels: its transactions per second beside no capture and an audit trigger."""

import glob
import os
import re

from . import orders
from .daemon import Rowhook
from .measure import percentile, rounds, wait
from .results import Line, ratio_above, ratio_at_least

ROWS = 100_000
AUDIT = """
create table audit (
    id bigserial primary key,
    at timestamptz not null default now(),
    table_name text not null,
    action text not null,
    old jsonb,
    new jsonb
);
create function audit() returns trigger language plpgsql as $$
begin
    insert into audit (table_name, action, old, new)
    values (tg_table_name, lower(tg_op), case when tg_op <> 'INSERT' then to_jsonb(old) end,
            case when tg_op <> 'DELETE' then to_jsonb(new) end);
    return null;
end $$;
create trigger audit after insert or update or delete on orders for each row execute function audit();
"""
VARIANTS = ("none", "trigger", "rowhook")
SCRIPTS = {"updates": orders.UPDATE, "inserts": orders.INSERT}


class Application:
    def __init__(self, bench, cluster):
        self.bench, self.cluster = bench, cluster
        self.written = 0

    def prepare(self):
        self.cluster.create("filled")
        self.cluster.sql("filled", orders.CREATE)
        orders.fill(self.cluster, "filled", ROWS)
        self.cluster.create(*VARIANTS, template="filled")
        self.cluster.sql("trigger", AUDIT)
        for variant in VARIANTS:
            self.cluster.sql(variant, "vacuum analyze orders")
        self.daemon = Rowhook(self.bench, "app", self.cluster.url("rowhook"), listen=True).setup()

    def measure(self, variant, workload):
        self.cluster.checkpoint()
        if variant != "rowhook":
            return self.write(variant, workload)
        with self.daemon:
            self.daemon.wait_ready()
            # Past the WAL of the other variants, before the time runs.
            orders.last_change(self.cluster, variant)
            self.wait_logged(1)
            result = self.write(variant, workload)
            behind = self.written + result["changes"] - self.logged()
            self.wait_logged(result["changes"])
        return result | {"behind": max(0, behind)}

    def logged(self):
        return self.cluster.number("rowhook", "select max(sequence_id) from rowhook.events")

    def wait_logged(self, changes):
        self.written += changes
        wait(lambda: self.logged() >= self.written, "end of the log", self.daemon)

    def write(self, variant, workload):
        seconds = str(self.bench.sizes.app_seconds)
        log = os.path.join(self.cluster.home, f"{variant}.log")
        options = ["-M", "prepared", "-T", seconds, "-l", "--log-prefix", log, "--sampling-rate", "0.2"]
        said = self.cluster.pgbench(variant, SCRIPTS[workload], *options, wait_for_disk=True, rows=ROWS)
        tps = float(re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)[1])
        changes = int(re.search(r"actually processed: (\d+)", said)[1])
        return {"tps": tps, "changes": changes, "p95": percentile(latencies(log), 0.95)}


def latencies(prefix):
    """Milliseconds, from pgbench's files, one per thread."""
    found = []
    for path in glob.glob(prefix + ".*"):
        with open(path) as file:
            found += [int(line.split()[2]) / 1000 for line in file]
        os.remove(path)
    return found


def app(bench):
    results = {}
    with bench.cluster(used_wal=bench.sizes.used_wal) as cluster:
        application = Application(bench, cluster)
        application.prepare()
        for run, variants in rounds(bench.sizes.runs, VARIANTS):
            for workload in SCRIPTS:
                for variant in variants:
                    result = application.measure(variant, workload)
                    bench.say(f"{workload}, {variant}, run {run}: {result['tps']:,.0f} TPS, p95 {result['p95']:.2f} ms")
                    results.setdefault((workload, variant), []).append(result)
    for workload in SCRIPTS:
        yield from lines(workload, lambda variant, key: [result[key] for result in results[workload, variant]])


def lines(workload, of):
    trigger = "a trigger that writes to an audit table"
    behind = f"at most {max(of('rowhook', 'behind')):,} events behind in the log at the end"
    mine = of("rowhook", "tps")
    words, goal = f"the application's {workload} while rowhook logs them", ratio_at_least(0.85)
    yield Line(words, "TPS", mine, of("none", "tps"), "no capture", goal, note=behind)
    yield Line(f"the same {workload}", "TPS", mine, of("trigger", "tps"), trigger, ratio_above(1))
    words = f"time of these {workload}, p95"
    yield Line(words, "ms", of("rowhook", "p95"), of("none", "p95"), "no capture")
    yield Line(words, "ms", of("rowhook", "p95"), of("trigger", "p95"), trigger)
