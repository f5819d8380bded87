"""Pages of the log over HTTP, of each kind, one after the other; the daemon captures a quiet source beside it."""

import http.client
import json
import os
import random
import time

from .measure import Failed, percentile, spread
from .results import Line
from .stored import affordable


class Pages:
    """One connection to the API."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def get(self, query):
        """Milliseconds that one page took, and its events."""
        began = time.perf_counter()
        self.connection.request("GET", "/v1/events?" + query)
        answer = self.connection.getresponse()
        body = answer.read()
        taken = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise Failed(f"{query}: {answer.status} {body.decode()}")
        return taken, len(json.loads(body)["events"])


def kinds(events):
    """Each kind of page as a function that makes one of its kind."""
    anywhere = lambda: random.randrange(events)
    table = lambda: f"table{random.randrange(20)}"
    key = lambda: random.randrange(65536)
    # Of the time that the events span.
    moment = lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1767225600 + anywhere() / 10))
    return {
        "newest": lambda: "limit=100",
        "after": lambda: f"after={anywhere()}&limit=100",
        "resource id": lambda: f"resource={table()}&resource_id={key()}",
        "resource id, from the oldest": lambda: f"resource={table()}&resource_id={key()}&after=0",
        "type": lambda: f"type={table()}.updated",
        "type, after": lambda: f"type={table()}.updated&after={anywhere()}",
        "rare type": lambda: "type=rare.created",
        "rare type, after": lambda: f"type=rare.created&after={anywhere()}",
        "type that ended early": lambda: f"type=early.created&after={anywhere()}",
        "type that there is none of": lambda: "type=none.created",
        "types by a pattern": lambda: f"type=*.deleted&after={anywhere()}",
        "resource": lambda: f"resource={table()}&after={anywhere()}",
        "rare resource": lambda: f"resource=rare&after={anywhere()}",
        "from": lambda: f"from={moment()}&after=0",
        "type, from": lambda: f"type={table()}.created&from={moment()}&after=0",
        "undispatched": lambda: "undispatched=true",
    }


def reading(bench):
    random.seed(7)
    # As a variable of this case alone; else the log that `log_size` has, too.
    events = affordable(int(os.environ.get("EVENTS") or bench.sizes.rows_in_log))
    _, daemon = bench.logs().of(events)
    found = {name: [] for name in kinds(events)}
    requests = max(1, bench.sizes.requests // bench.sizes.runs)
    with daemon:
        daemon.wait_ready()
        pages = Pages(daemon.port)
        for _ in range(bench.sizes.runs):
            for name, make in kinds(events).items():
                found[name].append([pages.get(make()) for _ in range(requests)])
    for name, runs in found.items():
        yield line(name, events, runs)


def line(name, events, runs):
    times = [[taken for taken, _ in run] for run in runs]
    p50 = spread([percentile(run, 0.5) for run in times])["median"]
    mean = sum(count for run in runs for _, count in run) / sum(map(len, runs))
    longest = max(map(max, times))
    return Line(
        f"page: {name}; {events:,} events in the log; p99",
        "ms",
        [percentile(run, 0.99) for run in times],
        note=f"p50 {p50:.1f} ms, longest {longest:.1f} ms; {mean:.0f} events a page",
    )
