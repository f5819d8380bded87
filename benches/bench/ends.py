"""Both ends of a webhook, in benches/deliver.rs: a receiver that counts, and a plain client."""

import json
import os
import subprocess
import urllib.request

from .measure import free_port, wait


class Sink:
    """The receiver that counts."""

    def __init__(self, bench):
        self.program = bench.deliver_program
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"

    def __enter__(self):
        env = os.environ | {"BENCH_ROLE": "sink", "BENCH_LISTEN": self.address}
        self.process = subprocess.Popen([self.program], env=env)
        try:
            wait(lambda: self.seen() is not None, "receiver", patience=30)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def ask(self, path, method="GET"):
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def seen(self):
        try:
            return json.loads(self.ask("/seen"))
        except OSError:
            return None

    def answered(self):
        return self.seen()["answered"]

    def forget(self):
        self.ask("/seen", "DELETE")

    def answer_with(self, status):
        self.ask(f"/status/{status}", "PUT")

    def plain_client(self, count, lanes):
        """Requests/s of a client that does nothing but send the first bodies that the sink got."""
        env = os.environ | {
            "BENCH_ROLE": "client",
            "BENCH_URL": self.url,
            "BENCH_COUNT": str(count),
            "BENCH_LANES": str(lanes),
        }
        done = subprocess.run([self.program], env=env, check=True, capture_output=True, text=True)
        return count / float(done.stdout)
