"""How the rate of the whole way changes with the number of webhooks and with what they want of it."""

import time

from . import orders
from .daemon import Rowhook, webhook
from .ends import Sink
from .measure import rounds, wait
from .results import Curve

WEBHOOKS = (1, 10, 50, 200)
SHARES = (0, 25, 50, 75, 100)


class Points:
    """Points that read one backlog: every point of every run has a slot that stands where it begins."""

    def __init__(self, bench, cluster, sink, points):
        self.bench, self.cluster, self.sink = bench, cluster, sink
        self.places = [(run, point) for run, order in rounds(bench.sizes.runs, points) for point in order]
        self.daemons = {}

    def backlog(self, rows):
        self.cluster.create("source")
        self.cluster.sql("source", orders.CREATE)
        for run, point in self.places:
            name = f"growth_{point}_{run}"
            self.cluster.create(name)
            urls = [self.cluster.url(database) for database in ("source", name)]
            self.daemons[run, point] = Rowhook(self.bench, name, *urls).setup()
        orders.backlog(self.cluster, "source", orders.INSERT, rows)

    def rates(self, measure):
        """Of each point the rates of all runs."""
        found = {}
        for run, point in self.places:
            self.sink.forget()
            self.cluster.checkpoint()
            name = f"growth_{point}_{run}"
            found.setdefault(point, []).append(measure(self.daemons[run, point], name, point))
            self.cluster.drop_slot(name)
            self.cluster.drop(name)
        return found


def curve_of(curve, found):
    for point in sorted(found):
        curve.add(point, found[point])
    return curve


def webhooks(bench):
    yield all_want_all(bench)
    yield one_wants_all(bench)


def all_want_all(bench):
    """As many deliveries at every point: fewer events for more webhooks."""
    deliveries = bench.sizes.growth_rows

    def measure(daemon, _, count, sink, events):
        hooks = [webhook(f"hook_{place}", f"{sink.url}/{place}", start="beginning", concurrency=16) for place in range(count)]
        daemon.serve(hooks)
        with daemon:
            wait(lambda: sink.answered() >= events * count, "last webhook", daemon, pause=0.02)
        return events * count / sink.seen()["seconds"]

    found = {}
    for count in WEBHOOKS:
        events = max(deliveries // count, 40) // 4 * 4
        with bench.cluster() as cluster, Sink(bench) as sink:
            points = Points(bench, cluster, sink, [count])
            points.backlog(events)
            found |= points.rates(lambda *place: measure(*place, sink, events))
        bench.say(f"{count} webhooks that all get everything: {found[count][0]:,.0f} deliveries/s")
    words = "webhooks, each gets every event"
    return curve_of(Curve("number of webhooks, all get all", words, "deliveries/s"), found)


def one_wants_all(bench):
    # Fewer rows: all webhooks look at each.
    rows = bench.sizes.growth_rows // 5 // 4 * 4
    with bench.cluster() as cluster, Sink(bench) as sink:

        def measure(daemon, _, count):
            hooks = [webhook("hook", f"{sink.url}/hook", start="beginning", concurrency=64)]
            hooks += [webhook(f"other_{place}", f"{sink.url}/other", events=[f"other_{place}.*"]) for place in range(count - 1)]
            daemon.serve(hooks)
            with daemon:
                wait(lambda: sink.answered() >= rows, "last webhook", daemon, pause=0.02)
            rate = rows / sink.seen()["seconds"]
            bench.say(f"{count} webhooks, one of which gets everything: {rate:,.0f} rows/s")
            return rate

        points = Points(bench, cluster, sink, WEBHOOKS)
        points.backlog(rows)
        found = points.rates(measure)
    words = "webhooks, one gets every event, the others none"
    return curve_of(Curve("number of webhooks, one gets all", words, "rows/s"), found)


def match(bench):
    """Until the last event of the log, which is wanted at every point, has been answered."""
    rows = bench.sizes.growth_rows // 4 * 4
    with bench.cluster() as cluster, Sink(bench) as sink:
        matching = "select count(*) from orders where user_id % 100 < {} or status = 'last'"

        def measure(daemon, name, share):
            wanted = f"new.user_id % 100 < {share} || new.status == 'last'"
            daemon.serve([webhook("hook", f"{sink.url}/hook", start="beginning", concurrency=64, when=wanted)])
            events = cluster.number("source", matching.format(share))
            began = time.monotonic()
            with daemon:
                wait(lambda: sink.answered() >= events, "last webhook", daemon, pause=0.02)
                seconds = time.monotonic() - began
            bench.say(f"{share} % of the events wanted: {rows / seconds:,.0f} rows/s, {sink.answered():,} webhooks")
            return rows / seconds

        points = Points(bench, cluster, sink, SHARES)
        points.backlog(rows)
        orders.last_change(cluster, "source")
        found = points.rates(measure)
    note = "from the start of the process to the answer to the last webhook"
    yield curve_of(Curve("share of events that match", "% of events that the webhook wants", "rows/s", note=note), found)
