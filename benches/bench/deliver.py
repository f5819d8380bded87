"""Logged events sent as signed webhooks, beside a plain client of the same HTTP library.

The client sends the same bodies to the same receiver over as many connections.
"""

import time

from . import orders
from .daemon import Rowhook, webhook
from .drain import wait_logged
from .ends import Sink
from .measure import wait
from .results import Line, ratio_at_least

WORDS = {
    "resource": "signed webhooks, 64 lanes, order per resource",
    "none": "signed webhooks, 64 lanes, no order",
    "strict": "signed webhooks, strict order, 1 lane",
    "twenty": "20 endpoints, 16 lanes each",
}


class Delivery:
    def __init__(self, bench, cluster, sink):
        self.bench, self.cluster, self.sink = bench, cluster, sink
        self.events = bench.sizes.events
        self.modes = {
            "resource": lambda run: self.deliver("resource", run, 1, self.events, 64),
            "none": lambda run: self.deliver("none", run, 1, self.events, 64, order="none"),
            "strict": lambda run: self.deliver("strict", run, 1, min(self.events, 20_000), 1, order="strict"),
            "twenty": lambda run: self.deliver("twenty", run, 20, self.events // 20, 16),
            "recovery": self.recovery,
        }

    def fill(self):
        """Events in the log, from a source that nobody writes to afterwards."""
        self.cluster.create("source")
        self.cluster.sql("source", orders.CREATE)
        self.daemon = Rowhook(self.bench, "deliver", self.cluster.url("source"), listen=True).setup()
        orders.fill(self.cluster, "source", self.events)
        with self.daemon as daemon:
            wait_logged(self.cluster, "source", self.events, daemon)

    def deliver(self, mode, run, endpoints, events, lanes, **keys):
        """Each of the endpoints gets the newest `events` of the log."""
        total, lanes_of_all = events * endpoints, min(lanes * endpoints, 256)
        ask = lambda: self.sink.plain_client(min(total, 200_000), lanes_of_all)
        # The client sends what the sink got before it: in the first run there has to be something.
        plain = ask() if run % 2 == 0 else None
        result = self.timed(mode, run, endpoints, events, lanes, **keys)
        return result | {"plain": plain or ask()}

    def timed(self, mode, run, endpoints, events, lanes, **keys):
        self.sink.forget()
        first = self.events - events + 1
        hooks = [f"{mode}-{run}-{place}" for place in range(endpoints)]
        self.daemon.serve([self.hook(name, start=first, concurrency=lanes, **keys) for name in hooks])
        self.cluster.checkpoint()
        total = events * endpoints
        with self.daemon as daemon:
            wait(lambda: self.sink.answered() >= total, "end of the backlog", daemon)
            cost = daemon.cost()
        rate = total / self.sink.seen()["seconds"]
        self.bench.say(f"{mode}, run {run}: {rate:,.0f} events/s")
        return {"rate": rate, "peak": cost["peak"], "cpu": cost["cpu"] / total * 1e6}

    def hook(self, name, **keys):
        return webhook(name, f"{self.sink.url}/{name}", **keys)

    def recovery(self, run):
        """From the end of an outage to the head of the log, and what was asked of the endpoint in it."""
        sink, events = self.sink, min(self.events, 50_000)
        sink.forget()
        sink.answer_with(503)
        self.daemon.serve([self.hook(f"recovery-{run}", start=self.events - events + 1, concurrency=64)])
        with self.daemon as daemon:
            wait(lambda: sink.seen()["refused"] >= 8, "open breaker", daemon)
            time.sleep(5)
            refused = sink.seen()["refused"]
            sink.answer_with(200)
            began = time.monotonic()
            wait(lambda: sink.answered() >= 1, "first event", daemon)
            first = time.monotonic() - began
            wait(lambda: sink.answered() >= events, "head", daemon)
            head = time.monotonic() - began
        self.bench.say(f"recovery, run {run}: first after {first:.1f} s, head after {head:.1f} s")
        return {"refused": refused, "first": first, "head": head}

    def memory(self, name, start):
        """One hundred subscriptions, all at the head or all behind."""
        self.sink.forget()
        self.daemon.serve([self.hook(f"{name}-{place}", start=start, concurrency=16) for place in range(100)])
        with self.daemon as daemon:
            daemon.wait_ready()
            time.sleep(2 if self.bench.sizes.quick else 20)
            return daemon.cost()


def deliver(bench):
    with bench.cluster() as cluster, Sink(bench) as sink:
        delivery = Delivery(bench, cluster, sink)
        delivery.fill()
        modes = [mode for mode in bench.sizes.modes if mode in delivery.modes]
        found = {mode: [] for mode in modes}
        for run in range(1, bench.sizes.runs + 1):
            for mode in modes:
                found[mode].append(delivery.modes[mode](run))
        for mode in modes:
            yield from recovery_lines(found[mode]) if mode == "recovery" else lines(mode, found[mode])
        for name, start in (("hundred_at_head", "now"), ("hundred_behind", "beginning")):
            if name in bench.sizes.modes:
                cost = delivery.memory(name, start)
                where = "at the head" if start == "now" else f"each {delivery.events:,} events behind"
                yield Line(f"peak memory, 100 webhooks {where}", "MiB", [cost["peak"]], note="once")


def lines(mode, results):
    of = lambda key: [result[key] for result in results]
    goal = ratio_at_least(0.6) if mode == "resource" else None
    words = WORDS[mode]
    yield Line(words, "events/s", of("rate"), of("plain"), "plain client, same library and bodies", goal)
    yield Line(f"CPU time, mode {mode}", "µs/event", of("cpu"))
    yield Line(f"peak memory, mode {mode}", "MiB", of("peak"))


def recovery_lines(results):
    of = lambda key: [result[key] for result in results]
    note = f"{max(of('refused'))} requests while it lasted, at most"
    yield Line("end of an outage → first event", "s", of("first"), note=note)
    yield Line("end of an outage → head of the log, 50,000 events at most", "s", of("head"))
