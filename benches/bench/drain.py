"""Backlogs drained to the durable log, beside pg_recvlogical, which throws everything away."""

import os
import subprocess
import time
from dataclasses import dataclass
from typing import Callable

from . import orders
from .daemon import Rowhook
from .measure import Failed, rounds, wait_for_end
from .results import Line, at_most, ratio_at_least

# One session asks again and again; a program started each time would cost a tenth of a core. It commits each
# time, so that it never holds a lock that a new segment of the log waits for. It says how much was there when
# it first saw anything, and how many seconds later it saw all.
WAITER = """
do $$ declare
    seen bigint; first_seen bigint; first_at timestamptz;
begin
    loop
        seen := {seen};
        if first_seen is null and seen > 0 then
            first_seen := seen;
            first_at := clock_timestamp();
        end if;
        exit when seen >= {events};
        commit;
        perform pg_sleep({pause});
    end loop;
    raise info 'seen % %', first_seen, extract(epoch from clock_timestamp() - first_at);
end $$
"""

NEWEST = "coalesce((select max(sequence_id) from rowhook.events), 0)"
# The same, as the checkpoint is committed with the events: to ask a hundred segments is a load of its own.
CHECKPOINT = "(select next_sequence_id - 1 from rowhook.checkpoint)"


@dataclass
class Backlog:
    name: str
    changes: int
    words: str
    prepare: Callable
    make: Callable


def wait_logged(cluster, database, events, daemon, timeout="30min", pause=0.1, seen=NEWEST):
    """Waits until so many events are logged: how many were seen at first, and the seconds from there."""
    command = cluster.command("psql", *cluster.psql(database))
    waiter = subprocess.Popen(
        [*command, "-c", WAITER.format(events=events, pause=pause, seen=seen)],
        env=cluster.environment(PGOPTIONS=f"-c statement_timeout={timeout}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        words = wait_for_end(waiter, daemon).split()
        return int(words[-2]), float(words[-1])
    finally:
        waiter.kill()
        waiter.wait()


class Drains:
    """All readers' drains of one backlog: their slots stand where it begins, so each reads the same WAL."""

    def __init__(self, bench, cluster, backlog):
        self.bench, self.cluster, self.backlog = bench, cluster, backlog
        self.sizes = bench.sizes
        self.contenders = [(t, r) for t in self.sizes.transports for r in self.sizes.readers]

    def all(self):
        self._prepare()
        self.bench.say(f"making the backlog: {self.backlog.words}")
        self.backlog.make(self.cluster, "source")
        self.end = self.cluster.position()
        # pg_recvlogical ends at the first change beyond its end position.
        orders.last_change(self.cluster, "source")
        drains = []
        for run, contenders in rounds(self.sizes.runs, self.contenders):
            for transport, reader in contenders:
                self.cluster.checkpoint()
                drain = getattr(self, reader)(f"{reader}_{transport}_{run}", transport)
                drain |= {"transport": transport, "reader": reader, "run": run}
                drain["rate"] = (self.backlog.changes + 1) / drain["seconds"]
                self.bench.say(f"{reader}, {transport}, run {run}: {drain['rate']:,.0f} rows/s")
                drains.append(drain)
        return drains

    def _prepare(self):
        self.cluster.create("source")
        self.cluster.sql("source", orders.CREATE)
        self.backlog.prepare(self.cluster, "source")
        if "rowhook" not in self.sizes.readers:
            self.cluster.sql("source", "create publication bench for table orders")
        self.daemons = {}
        for run in range(1, self.sizes.runs + 1):
            for transport, reader in self.contenders:
                slot = f"{reader}_{transport}_{run}"
                if reader == "recvlogical":
                    self.cluster.create_slot("source", slot)
                else:
                    self.cluster.create(slot)
                    urls = [self.cluster.url(name, transport) for name in ("source", slot)]
                    self.daemons[slot] = Rowhook(self.bench, slot, *urls).setup()

    def recvlogical(self, slot, transport):
        cluster = self.cluster
        options = ["-h", cluster.host(transport), "-d", "source", "-S", slot, "-f", "/dev/null"]
        options += ["-o", "proto_version=1", "-o", "publication_names=bench"]
        began = time.monotonic()
        cluster.client("pg_recvlogical", *options, "--start", f"--endpos={self.end}")
        seconds = time.monotonic() - began
        cluster.drop_slot(slot)
        return {"seconds": seconds}

    def _until_indexed(self, slot):
        """Seconds until readers find all of it by every index."""
        began = time.monotonic()
        while self.cluster.sql(slot, "select bool_and(indexed) from rowhook.segments").strip() != "t":
            if time.monotonic() - began > 60:
                raise Failed("the segments of the log were not indexed within a minute")
            time.sleep(0.1)
        return time.monotonic() - began

    def rowhook(self, slot, _):
        events = self.backlog.changes + 1
        began = time.monotonic()
        with self.daemons[slot] as daemon:
            first, _ = wait_logged(self.cluster, slot, events, daemon, self.sizes.drain_timeout)
            drain = {"seconds": time.monotonic() - began, "first": first} | daemon.cost()
            drain["indexed"] = self._until_indexed(slot)
        logged = self.cluster.number(slot, "select count(*) from rowhook.events")
        if logged != events:
            raise Failed(f"{logged} events logged, {events} changes made")
        self.cluster.drop_slot(slot)
        self.cluster.drop(slot)
        return drain


def of(drains, transport, reader, key):
    of_reader = [drain for drain in drains if (drain["transport"], drain["reader"]) == (transport, reader)]
    return [drain[key] for drain in sorted(of_reader, key=lambda drain: drain["run"])]


def lines(backlog, drains, goals):
    names = {"tcp": "TCP", "socket": "Unix socket"}
    for transport in dict.fromkeys(drain["transport"] for drain in drains):
        where = names[transport]
        mine, theirs = (of(drains, transport, reader, "rate") for reader in ("rowhook", "recvlogical"))
        reference, goal = f"pg_recvlogical, {where}", goals.get(transport)
        yield Line(f"{backlog.words}, {where}", "rows/s", mine, theirs, reference, goal)
        if mine:
            yield Line(f"peak memory, {where}", "MiB", of(drains, transport, "rowhook", "peak"), goal=at_most(60))
            indexed = of(drains, transport, "rowhook", "indexed")
            yield Line(f"until the rest of its indexes is there, {where}", "s later", indexed)
            yield Line(f"CPU time, {where}", "s", of(drains, transport, "rowhook", "cpu"))


def inserts(bench):
    def make(cluster, database):
        orders.backlog(cluster, database, orders.INSERT, bench.sizes.rows)

    backlog = Backlog("inserts", bench.sizes.rows, f"{bench.sizes.rows:,} single-row inserts", lambda *_: None, make)
    with bench.cluster(used_wal=bench.sizes.used_wal) as cluster:
        drains = Drains(bench, cluster, backlog).all()
    return lines(backlog, drains, {"tcp": ratio_at_least(1.2), "socket": ratio_at_least(0.8)})


def updates(bench):
    changes = bench.sizes.updates

    def prepare(cluster, database):
        orders.fill(cluster, database, changes)
        cluster.sql(database, "alter table orders replica identity full")
        cluster.sql(database, "vacuum analyze orders")

    def make(cluster, database):
        orders.backlog(cluster, database, orders.UPDATE, changes, rows=changes)

    backlog = Backlog("updates", changes, f"{changes:,} updates, REPLICA IDENTITY FULL", prepare, make)
    with bench.cluster(used_wal=bench.sizes.used_wal) as cluster:
        drains = Drains(bench, cluster, backlog).all()
    return lines(backlog, drains, {"tcp": ratio_at_least(1.0)})


def large(bench):
    rows = bench.sizes.large_rows
    make = lambda cluster, database: orders.fill(cluster, database, rows)
    backlog = Backlog("large", rows, f"one transaction of {rows:,} rows", lambda *_: None, make)
    with bench.cluster(used_wal=bench.sizes.used_wal) as cluster:
        drains = Drains(bench, cluster, backlog).all()
    early = [drain["first"] for drain in drains if drain.get("first", rows) < rows]
    if early:
        raise Failed(f"rows of a large transaction were visible before its last one: {early}")
    found = list(lines(backlog, drains, {"tcp": ratio_at_least(0.5), "socket": ratio_at_least(0.5)}))
    found[0].note = "first row visible only when all are"
    return found
