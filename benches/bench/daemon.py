"""rowhook as the benchmark runs it: its settings, its setup, its process."""

import json
import os
import signal
import subprocess
import time
import urllib.request

from .measure import Failed, cost, free_port, wait


def webhook(name, url, **keys):
    """A [[webhook]] of the settings file. A dict becomes an inline table."""
    keys = {"name": name, "url": url} | keys
    lines = [f"{key} = {toml(value)}" for key, value in keys.items()]
    return "\n[[webhook]]\n" + "\n".join(lines) + '\nsecret = { env = "BENCH_SECRET" }\n'


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


class Rowhook:
    """One settings file, and the program on it."""

    def __init__(self, bench, slot, source, log=None, tables=("public.orders",), listen=False, **log_keys):
        self.program = bench.rowhook
        self.place = os.path.join(bench.scratch, slot)
        self.port = free_port() if listen else None
        api = f"127.0.0.1:{self.port}" if listen else ""
        log_lines = "".join(f"{key} = {toml(value)}\n" for key, value in {"url": log or source, **log_keys}.items())
        self.base = f"""
[source]
url = "{source}"
slot = "{slot}"
publication = "bench"
tls = {{ mode = "disable" }}

[capture]
tables = {json.dumps(list(tables))}

[log]
{log_lines}
[api]
listen = "{api}"
"""
        self.process = None
        self.serve([])

    def serve(self, webhooks):
        """From the next start on these webhooks."""
        with open(self.place + ".toml", "w") as file:
            file.write(self.base + "".join(webhooks))

    def setup(self):
        command = [self.program, "--config", self.place + ".toml", "setup"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"rowhook setup: {done.stderr.strip()}")
        return self

    def __enter__(self):
        with open(self.place + ".out", "w") as output:
            command = [self.program, "--config", self.place + ".toml", "run"]
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed("rowhook did not stop within a minute")

    def must_live(self):
        if self.process.poll() is not None:
            with open(self.place + ".out") as output:
                last = output.read().strip().splitlines()[-3:]
            raise Failed("rowhook ended: " + " / ".join(last))

    def cost(self):
        self.must_live()
        return cost(self.process.pid)

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz") as answer:
                return answer.status == 200
        except OSError:
            return False

    def wait_ready(self):
        began = time.monotonic()
        wait(self.is_ready, "readiness", self, patience=120, pause=0.005)
        return time.monotonic() - began
