"""A large log beside a small one: appending, reading a page, starting again."""

import random
import time

from . import orders
from .drain import CHECKPOINT, wait_logged
from .measure import percentile, rounds
from .reading import Pages
from .results import Line, ratio_at_least, ratio_at_most
from .stored import affordable


class Sides:
    """The large log and the small one, each with what was measured."""

    def __init__(self, bench, sizes):
        self.bench, self.logs, self.sizes = bench, bench.logs(), sizes
        self.found = {events: {"append": [], "page": [], "restart": []} for events in sizes}
        self.end = {}
        for events in sizes:
            name, _ = self.logs.of(events)
            self.end[events] = self.logs.cluster.number(name, "select next_sequence_id - 1 from rowhook.checkpoint")

    def restart(self, events):
        """Start to /readyz, and pages after random sequence ids."""
        _, daemon = self.logs.of(events)
        with daemon:
            self.found[events]["restart"].append(daemon.wait_ready() * 1000)
            pages = Pages(daemon.port)
            count = max(1, self.bench.sizes.requests // self.bench.sizes.runs)
            taken = [pages.get(f"after={random.randrange(events)}&limit=100")[0] for _ in range(count)]
            self.found[events]["page"].append(percentile(taken, 0.5))

    def append(self, events, changes):
        """A backlog drained into the log, from the start of the process on."""
        name, daemon = self.logs.of(events)
        self.logs.cluster.checkpoint()
        self.end[events] += changes
        began = time.monotonic()
        with daemon:
            wait_logged(self.logs.cluster, name, self.end[events], daemon, seen=CHECKPOINT)
            self.found[events]["append"].append(changes / (time.monotonic() - began))


def log_size(bench):
    random.seed(7)
    large = affordable(bench.sizes.rows_in_log)
    sides = Sides(bench, (bench.sizes.rows_in_small_log, large))
    for _, sizes in rounds(bench.sizes.runs, sides.sizes):
        for events in sizes:
            sides.restart(events)
    for run, sizes in rounds(bench.sizes.runs, sides.sizes):
        orders.backlog(sides.logs.source, "source", orders.INSERT, bench.sizes.appended)
        orders.last_change(sides.logs.source, "source")
        for events in sizes:
            sides.append(events, bench.sizes.appended + 1)
            bench.say(f"run {run}: appended to {events:,} events: {sides.found[events]['append'][-1]:,.0f} rows/s")
    yield from lines(bench, sides, large)


def lines(bench, sides, large):
    small = bench.sizes.rows_in_small_log
    mine, theirs = sides.found[large], sides.found[small]
    words = lambda what: f"{what}, {large:,} events in the log"
    other = f"{small:,} events in the log"
    fewer = "" if large >= 100_000_000 else f"{large:,} events, not 100,000,000: ROWS_IN_LOG"
    yield Line(words("append"), "rows/s", mine["append"], theirs["append"], other, ratio_at_least(0.9), note=fewer)
    yield Line(words("page after a sequence id, p50"), "ms", mine["page"], theirs["page"], other, ratio_at_most(2), note=fewer)
    yield Line(words("restart: start to /readyz"), "ms", mine["restart"], theirs["restart"], other, ratio_at_most(2), note=fewer)
