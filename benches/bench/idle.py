"""A daemon with a webhook and nothing to do: its CPU, and what it makes its cluster write."""

import time

from . import orders
from .daemon import Rowhook, webhook
from .ends import Sink
from .results import Line, at_most

MIB = 1024 * 1024


def wal_written(cluster):
    return cluster.number("postgres", "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")


def sessions_cpu(cluster):
    """CPU seconds of the server's processes that serve a client, to the nanosecond: each uses little."""
    ours = "pid <> pg_backend_pid() and backend_type in ('client backend', 'walsender')"
    nanoseconds = 0
    for pid in cluster.sql("postgres", f"select pid from pg_stat_activity where {ours}").split():
        with open(f"/proc/{pid}/schedstat") as file:
            nanoseconds += int(file.read().split()[0])
    return nanoseconds / 1e9


def settle(cluster):
    """What autovacuum would do in the middle of a window: the catalogs of a new cluster have changed a lot."""
    cluster.client("vacuumdb", "--all", "--quiet", "--analyze")
    # And once more for the statistics that this has written.
    cluster.client("vacuumdb", "--all", "--quiet")


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
            for each in (untouched, cluster):
                orders.last_change(each, "source")
                settle(each)
            # Until the last writes of the start are done: cursors, statistics.
            time.sleep(1 if bench.sizes.quick else 10)
            windows = [window(bench, daemon, cluster, untouched, seconds) for _ in range(runs)]
            memory = daemon.cost()["present"]
    shares, served, written, own = zip(*windows)
    yield Line(f"CPU over {seconds} s", "% of a core", list(shares), goal=at_most(0.3))
    yield Line("CPU of the server's processes that it talks to", "% of a core", list(served))
    more = [max(0.0, mine - theirs) for mine, theirs in zip(written, own)]
    words = "WAL written, without the cluster's own"
    note = f"extrapolated from {runs} × {seconds} s"
    yield Line(words, "MiB/h", more, list(own), "the same cluster without rowhook", at_most(1), compare=False, note=note)
    yield Line("memory", "MiB", [memory], note="once")


def window(bench, daemon, cluster, untouched, seconds):
    def measured():
        return daemon.cost()["cpu"], sessions_cpu(cluster), wal_written(cluster), wal_written(untouched)

    before = measured()
    time.sleep(seconds)
    cpu, served, mine, own = (later - earlier for earlier, later in zip(before, measured()))
    percent, per_hour = 100 / seconds, 3600 / seconds / MIB
    said = f"CPU {cpu * percent:.2f} % of a core, of the server {served * percent:.2f} %"
    bench.say(f"{said}; WAL {mine:,} bytes, {own:,} without rowhook")
    return cpu * percent, served * percent, mine * per_hour, own * per_hour
