"""Logs full of made-up events, in segments as the product makes them.

They stand in a cluster beside the source's: filling them leaves no WAL for the slots to hold.
"""

import os
import subprocess
import time

from . import orders
from .cluster import free_bytes
from .daemon import Rowhook
from .measure import Failed, Refused

SEGMENT = 1_000_000
# So many times four words stand in each record's note. Without them an event takes about a third.
WORDS = int(os.environ.get("NOTE_WORDS", "12"))
# Bytes of disk for one event, its indexes and the WAL that is kept beside it.
BYTES_PER_EVENT = 400 + 50 * WORDS
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
       json_build_object('id', hashint8(i) & 65535, 'status', 'open', 'note', repeat('please leave the parcel ', {words})),
       case when i / 20 % 3 = 1 then json_build_object('status', 'new') end,
       'full', 'public', 'table' || i % 20, 700 + i, '0/1', 0
  from generate_series({first}::bigint, {last}::bigint) i
"""
INDEX = "select rowhook.index_segment('events_' || lpad('{first}', 12, '0'), '1 minute')"


def affordable(rows):
    """What was asked for, or what the disk has room for; refused where it has none."""
    free = free_bytes()
    if rows == 0:
        rows = 100_000_000 if free >= 120 * 10**9 else 10_000_000
    needed = rows * BYTES_PER_EVENT + 4 * 10**9
    if free < needed:
        gigabytes = f"{needed / 10**9:.0f} GB of disk, {free / 10**9:.0f} are free"
        raise Refused(f"a log of {rows:,} events needs {gigabytes}: set ROWS_IN_LOG, NOTE_WORDS or BENCH_TMP")
    return rows


class Logs:
    """The source's cluster, the logs' cluster, and one daemon for each log."""

    def __init__(self, bench, stack):
        self.bench = bench
        self.source = stack.enter_context(bench.cluster())
        self.cluster = stack.enter_context(bench.cluster(wal_level="replica", max_wal_size="4GB", autovacuum="off"))
        self.source.create("source")
        self.daemons = {}

    def of(self, events):
        """The name of a log of so many events and its daemon. Made once."""
        name = f"log_{events}"
        if name not in self.daemons:
            self.cluster.create(name)
            urls = [self.source.url("source"), self.cluster.url(name)]
            keys = {"retention": "forever", "segment_size": SEGMENT}
            if not self.daemons:
                self.source.sql("source", orders.CREATE)
            self.daemons[name] = Rowhook(self.bench, name, *urls, listen=True, **keys).setup()
            self._fill(name, events)
        return name, self.daemons[name]

    def _fill(self, name, events):
        began = time.monotonic()
        self.cluster.sql(name, f"select rowhook.add_segments({events + 1}, {SEGMENT})")
        pieces = [(first, min(first + SEGMENT - 1, events)) for first in range(1, events + 1, SEGMENT)]
        # Two at a time: each is one backend's work.
        for place in range(0, len(pieces), 2):
            self._insert(name, pieces[place : place + 2])
        self.cluster.sql(name, "select rowhook.index_segment(table_name, '1 minute') from rowhook.segments where not indexed")
        self.cluster.sql(name, f"update rowhook.checkpoint set next_sequence_id = {events + 1}")
        self.cluster.sql(name, "vacuum analyze rowhook.events")
        self.cluster.checkpoint()
        size = self.cluster.sql(name, "select pg_size_pretty(pg_database_size(current_database()))")
        self.bench.say(f"{events:,} events, {size}, filled in {time.monotonic() - began:.0f} s")

    def _insert(self, name, pieces):
        command = self.cluster.command("psql", *self.cluster.psql(name))
        sessions = [
            subprocess.Popen(
                # Indexed as the product does it where the log has caught up.
                [*command, "-c", FILL.format(first=first, last=last, words=WORDS), "-c", INDEX.format(first=first)],
                env=self.cluster.environment(PGOPTIONS="-c synchronous_commit=off"),
                stderr=subprocess.PIPE,
            )
            for first, last in pieces
        ]
        for session in sessions:
            error = session.communicate()[1]
            if session.returncode != 0:
                raise Failed(f"filling the log: {error.decode().strip()}")
