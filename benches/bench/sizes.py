"""How much of everything: from the environment, with small defaults for `--quick`."""

import os


class Sizes:
    def __init__(self, quick):
        self.quick = quick
        number, words = self._number, self._words
        self.runs = number("RUNS", 3, 1)
        self.rows = number("ROWS", 1_000_000, 20_000) // 4 * 4
        self.updates = number("UPDATES", 500_000, 10_000) // 4 * 4
        self.large_rows = number("LARGE_ROWS", self.rows, self.rows)
        self.transports = words("TRANSPORTS", "tcp socket")
        self.readers = words("READERS", "recvlogical rowhook")
        # Bound on one drain, so that a reader that stands still ends the case. Postgres' notation.
        self.drain_timeout = os.environ.get("DRAIN_TIMEOUT", "30min")
        self.used_wal = number("USED_WAL", 8, 0)
        self.rates = [int(rate) for rate in words("RATE", "1000 500 50")]
        self.latency_seconds = number("SECONDS_LONG", 10, 2)
        self.events = number("EVENTS", 200_000, 10_000)
        self.modes = words("MODES", "resource none strict twenty recovery hundred_at_head hundred_behind")
        self.pass_events = number("PASS_EVENTS", 200_000, 10_000) // 4 * 4
        self.live_rates = [int(rate) for rate in words("LIVE_RATES", "4000 6000 8000 10000 12000 15000", "500 1000")]
        self.live_seconds = number("LIVE_SECONDS", 30, 2)
        self.live_trial_seconds = number("LIVE_TRIAL_SECONDS", 8, 2)
        self.app_seconds = number("APP_SECONDS", 20, 2)
        self.rows_in_log = number("ROWS_IN_LOG", 0, 50_000)
        self.rows_in_small_log = number("ROWS_IN_SMALL_LOG", 1_000_000, 5_000)
        self.appended = number("APPENDED", 200_000, 10_000) // 4 * 4
        self.requests = number("REQUESTS", 1_000, 20)
        self.idle_seconds = number("IDLE_SECONDS", 60, 3)
        self.growth_rows = number("GROWTH_ROWS", 100_000, 4_000)

    def _number(self, name, full, quick):
        return int(os.environ.get(name) or (quick if self.quick else full))

    def _words(self, name, full, quick=None):
        return (os.environ.get(name) or (quick if self.quick and quick else full)).split()
