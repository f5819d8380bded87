"""The whole way: a backlog in one pass, and live writes that nothing falls behind."""

import re
import time

from . import orders
from .daemon import Rowhook, webhook
from .ends import Sink
from .measure import Failed, wait
from .results import Line, at_least


def hook(sink, name):
    return webhook("bench", f"{sink.url}/{name}", start="beginning", concurrency=64)


def one_pass(bench):
    events, runs = bench.sizes.pass_events, bench.sizes.runs
    with bench.cluster(used_wal=bench.sizes.used_wal) as cluster, Sink(bench) as sink:
        cluster.create("source")
        cluster.sql("source", orders.CREATE)
        daemons = []
        for run in range(1, runs + 1):
            cluster.create(f"pass_{run}")
            urls = [cluster.url(name) for name in ("source", f"pass_{run}")]
            daemons.append(Rowhook(bench, f"pass_{run}", *urls, listen=True).setup())
        bench.say(f"making the backlog: {events:,} single-row inserts")
        orders.backlog(cluster, "source", orders.INSERT, events)
        orders.last_change(cluster, "source")
        results = [pass_once(bench, cluster, sink, daemon, events + 1) for daemon in daemons]
    words = f"{events:,} single-row inserts → log → signed webhook"
    yield Line(words, "events/s", [rate for rate, _ in results], goal=at_least(20_000))
    yield Line("peak memory", "MiB", [cost["peak"] for _, cost in results])
    yield Line("CPU time", "s", [cost["cpu"] for _, cost in results])


def pass_once(bench, cluster, sink, daemon, events):
    """From the start of the process to the last event's arrival."""
    sink.forget()
    daemon.serve([hook(sink, "pass")])
    cluster.checkpoint()
    began = time.monotonic()
    with daemon:
        wait(lambda: sink.answered() >= events, "end of the backlog", daemon, pause=0.02)
        seconds = time.monotonic() - began
        cost = daemon.cost()
    if sink.answered() != events:
        raise Failed(f"{sink.answered()} webhooks for {events} changes")
    bench.say(f"{events / seconds:,.0f} events/s in one pass")
    return events / seconds, cost


class Live:
    """One daemon that runs through all trials, and pgbench that writes at a fixed rate."""

    def __init__(self, bench, cluster, sink, daemon):
        self.bench, self.cluster, self.sink, self.daemon = bench, cluster, sink, daemon

    def trial(self, rate, seconds):
        self.sink.forget()
        self.cluster.checkpoint()
        logged_before = self.logged()
        options = ["-M", "prepared", "-T", str(seconds), "--rate", str(rate)]
        said = self.cluster.pgbench("live", orders.INSERT, *options, clients=8)
        received, logged = self.sink.answered(), self.logged() - logged_before
        written = int(re.search(r"actually processed: (\d+)", said)[1])
        wait(lambda: self.sink.answered() >= written, "last webhook", self.daemon)
        trial = {"rate": rate, "received": received / seconds, "written": written / seconds}
        trial |= {"log": max(0, written - logged), "webhook": written - received}
        # Nothing falls behind: at the end not more than what one second brings is on its way, and after a
        # shorter trial as much less.
        most = rate * min(1, seconds / self.bench.sizes.live_seconds)
        trial["held"] = trial["webhook"] <= most and trial["written"] >= 0.97 * rate
        self.bench.say(
            f"{rate:,}/s asked for, {trial['written']:,.0f}/s written; behind at the end: "
            f"log {trial['log']:,}, webhook {trial['webhook']:,}: {'held' if trial['held'] else 'not held'}"
        )
        return trial

    def logged(self):
        return self.cluster.number("live", "select max(sequence_id) from rowhook.events")

    def highest(self, rates, seconds):
        """The last of the rates, from the lowest on, before the first that is not held."""
        held = None
        for rate in sorted(rates):
            if not self.trial(rate, seconds)["held"]:
                break
            held = rate
        if held is None:
            raise Failed(f"not even {min(rates):,} events/s were held")
        return held

    def confirmed(self, highest, rates, runs, seconds):
        """Trials of one rate that was held in all of them: at most the one found, or a lower one."""
        for rate in sorted((rate for rate in rates if rate <= highest), reverse=True):
            trials = []
            while len(trials) < runs and all(trial["held"] for trial in trials):
                trials.append(self.trial(rate, seconds))
            if all(trial["held"] for trial in trials):
                return trials
        raise Failed(f"no rate was held for {seconds} s {runs} times")


def live(bench):
    sizes = bench.sizes
    with bench.cluster(used_wal=bench.sizes.used_wal) as cluster, Sink(bench) as sink:
        cluster.create("live")
        cluster.sql("live", orders.CREATE)
        daemon = Rowhook(bench, "live", cluster.url("live"), listen=True).setup()
        daemon.serve([hook(sink, "live")])
        with daemon:
            daemon.wait_ready()
            found = Live(bench, cluster, sink, daemon)
            highest = found.highest(sizes.live_rates, sizes.live_trial_seconds)
            trials = found.confirmed(highest, sizes.live_rates, sizes.runs, sizes.live_seconds)
            cost = daemon.cost()
    most = lambda key: max(trial[key] for trial in trials)
    behind = f"at the end at most {most('log'):,} behind in the log, {most('webhook'):,} in the webhook"
    yield Line(
        f"inserts → log → webhook, nothing falls behind in {sizes.live_seconds} s",
        "events/s",
        [trial["received"] for trial in trials],
        goal=at_least(10_000),
        note=f"{trials[0]['rate']:,}/s asked for; {behind}",
    )
    yield Line("peak memory", "MiB", [cost["peak"]], note="over all trials")
