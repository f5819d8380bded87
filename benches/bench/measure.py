"""What processes cost, what values come to, and who goes first."""

import os
import select
import socket
import statistics
import time


class Failed(Exception):
    """A case could not be measured, or what it measured is wrong."""


class Refused(Exception):
    """Something that the benchmark needs is not there."""


def cost(pid):
    """Peak and present memory in MiB and CPU seconds of a living process."""
    with open(f"/proc/{pid}/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    with open(f"/proc/{pid}/stat") as file:
        # The name in parentheses may hold spaces; utime and stime are the 14th and 15th field.
        fields = file.read().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    peak, present = (round(int(lines[key].split()[0]) / 1024, 1) for key in ("VmHWM", "VmRSS"))
    return {"peak": peak, "present": present, "cpu": ticks / os.sysconf("SC_CLK_TCK")}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def percentile(values, share):
    """The smallest value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


def rounds(runs, contenders):
    """Each run's number with its contenders: every other run the other way round."""
    for run in range(1, runs + 1):
        yield run, list(contenders) if run % 2 else list(reversed(contenders))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(holds, what, daemon=None, patience=600, pause=0.05):
    """Asks until it holds; fails when the daemon ends before that."""
    began = time.monotonic()
    while not holds():
        if daemon is not None:
            daemon.must_live()
        if time.monotonic() - began > patience:
            raise Failed(f"no {what} within {patience} s")
        time.sleep(pause)


def wait_for_end(process, daemon):
    """Waits for a program whose output is a pipe, and fails when the daemon ends before it."""
    output = b""
    while True:
        if select.select([process.stdout], [], [], 0.5)[0]:
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                break
            output += piece
        else:
            daemon.must_live()
    if process.wait() != 0:
        raise Failed(output.decode().strip())
    return output.decode()
