"""A daemon with a webhook and nothing to do: its CPU, and what it makes its cluster write."""

import time

from . import orders
from .daemon import Rowhook, webhook
from .ends import Sink
from .results import Line, at_most

MIB = 1024 * 1024


def wal_written(cluster):
    return cluster.number("postgres", "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")


def idle(bench):
    """Two clusters side by side, the same but for rowhook, for as many windows as there are runs."""
    seconds, runs = bench.sizes.idle_seconds, bench.sizes.runs
    with bench.cluster() as untouched, bench.cluster() as cluster, Sink(bench) as sink:
        for each in (untouched, cluster):
            each.create("source")
            each.sql("source", orders.CREATE)
        daemon = Rowhook(bench, "idle", cluster.url("source"), listen=True).setup()
        daemon.serve([webhook("bench", f"{sink.url}/idle")])
        with daemon:
            daemon.wait_ready()
            orders.last_change(cluster, "source")
            orders.last_change(untouched, "source")
            # Until the last writes of the start are done: cursors, statistics.
            time.sleep(1 if bench.sizes.quick else 10)
            windows = [window(bench, daemon, cluster, untouched, seconds) for _ in range(runs)]
            memory = daemon.cost()["present"]
    shares, written, own = zip(*windows)
    yield Line(f"CPU over {seconds} s", "% of a core", list(shares), goal=at_most(0.3))
    more = [max(0.0, mine - theirs) for mine, theirs in zip(written, own)]
    words = "WAL written, without the cluster's own"
    note = f"extrapolated from {runs} × {seconds} s"
    yield Line(words, "MiB/h", more, list(own), "the same cluster without rowhook", at_most(1), compare=False, note=note)
    yield Line("memory", "MiB", [memory], note="once")


def window(bench, daemon, cluster, untouched, seconds):
    before = daemon.cost()["cpu"], wal_written(cluster), wal_written(untouched)
    time.sleep(seconds)
    after = daemon.cost()["cpu"], wal_written(cluster), wal_written(untouched)
    cpu, mine, own = (later - earlier for earlier, later in zip(before, after))
    per_hour = 3600 / seconds / MIB
    bench.say(f"CPU {cpu / seconds * 100:.2f} % of a core; WAL {mine:,} bytes, {own:,} without rowhook")
    return cpu / seconds * 100, mine * per_hour, own * per_hour
