"""How the rate of a drain changes with the width of rows, the size of transactions, the number of tables.

Each point is a short backlog, drained once per run. The rate counts from the first event that is seen in the
log, so that the start of the process does not weigh on a short drain.
"""

import time

from . import orders
from .daemon import Rowhook
from .drain import wait_logged
from .results import Curve

WIDTHS = (100, 1_000, 10_000, 100_000)
BATCHES = (1, 10, 100, 1_000, 10_000)
TABLES = (1, 10, 100, 1_000, 2_000)
# Bytes that one point's rows may have in all.
MOST_BYTES = 100_000_000

# Text that does not compress well.
WIDE = """
insert into wide (note)
select (select string_agg(md5((i * 4000 + k)::text), '') from generate_series(1, greatest({width} / 32, 1)) k)
  from generate_series({first}, {last}) i
"""


def drain_point(bench, tables, prepare, make, events):
    """Rows/s of each run: all runs' slots stand before the backlog."""
    runs = range(1, bench.sizes.runs + 1)
    with bench.cluster() as cluster:
        cluster.create("source")
        prepare(cluster)
        daemons = {}
        for run in runs:
            cluster.create(f"growth_{run}")
            urls = [cluster.url(name) for name in ("source", f"growth_{run}")]
            daemons[f"growth_{run}"] = Rowhook(bench, f"growth_{run}", *urls, tables=tables).setup()
        make(cluster)
        return [drained(cluster, name, daemon, events) for name, daemon in daemons.items()]


def drained(cluster, name, daemon, events):
    cluster.checkpoint()
    began = time.monotonic()
    with daemon:
        first, seconds = wait_logged(cluster, name, events, daemon, pause=0.01)
        if first >= events:
            # They came all at once: there is no first one to count from.
            first, seconds = 0, time.monotonic() - began
    return (events - first) / seconds


def width(bench):
    curve = Curve("width of rows", "bytes of text in a row", "rows/s", note="at most 100 rows and 1 MB a transaction")
    for bytes_each in WIDTHS:
        most = MOST_BYTES // (10 if bench.sizes.quick else 1)
        step = min(100, 1_000_000 // bytes_each)
        rows = min(bench.sizes.growth_rows, most // bytes_each) // step * step

        def make(cluster):
            pieces = [WIDE.format(width=bytes_each, first=first, last=first + step - 1) for first in range(1, rows, step)]
            # One transaction each.
            cluster.sql("source", "set synchronous_commit = off;" + ";".join(pieces))

        prepare = lambda cluster: cluster.sql("source", "create table wide (id bigserial primary key, note text)")
        curve.add(bytes_each, drain_point(bench, ["public.wide"], prepare, make, rows))
        bench.say_point(curve)
    yield curve


def batch(bench):
    curve = Curve("size of transactions", "rows in a transaction", "rows/s")
    for size in BATCHES:
        if size * 2 > bench.sizes.growth_rows:
            continue
        transactions = max(bench.sizes.growth_rows // size, 4) // 4 * 4
        script = f"{orders.INTO} select {orders.VALUES.format(user='i')} from generate_series(1, {size}) i;"
        prepare = lambda cluster: cluster.sql("source", orders.CREATE)
        make = lambda cluster: orders.backlog(cluster, "source", script, transactions)
        curve.add(size, drain_point(bench, ["public.orders"], prepare, make, transactions * size))
        bench.say_point(curve)
    yield curve


def tables(bench):
    curve = Curve("number of tables", "captured tables, written to in turn", "rows/s", note="single-row inserts")
    rows = bench.sizes.growth_rows // 4 * 4
    for count in TABLES:
        if bench.sizes.quick and count > 100:
            continue

        def prepare(cluster):
            create = orders.CREATE.replace("table orders", "table orders_%s")
            statement = f"select format($x${create}$x$, i) from generate_series(1, {count}) i"
            # Not all at once: each statement of a transaction keeps its locks until the end.
            cluster.sql("source", statement + " \\gexec")

        # The simple protocol: a table's name is no parameter.
        script = orders.INSERT.replace("into orders", "into orders_:table")
        script = f"\\set table random(1, {count})\n" + script
        make = lambda cluster: cluster.pgbench("source", script, "-t", str(rows // 4))
        curve.add(count, drain_point(bench, ["public.orders_*"], prepare, make, rows))
        bench.say_point(curve)
    yield curve
