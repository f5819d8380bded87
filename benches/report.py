"""Keeps and reports what benches/run.sh measures. Standard library only.

report.py record FILE KEY=VALUE…   adds one drain to FILE; with pid=, that process's memory and CPU
report.py table FILE JSON          prints the table of all drains in FILE and writes it as JSON
"""

import json
import os
import statistics
import sys


def process(pid):
    """Peak resident memory in MiB and CPU seconds of a living process."""
    with open(f"/proc/{pid}/status") as file:
        peak = next(line.split()[1] for line in file if line.startswith("VmHWM:"))
    with open(f"/proc/{pid}/stat") as file:
        # The name in parentheses may hold spaces; utime and stime are the 14th and 15th field.
        fields = file.read().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    return {
        "peak_rss_mib": round(int(peak) / 1024, 1),
        "cpu_seconds": round(ticks / os.sysconf("SC_CLK_TCK"), 2),
    }


def record(path, pairs):
    values = dict(pair.split("=", 1) for pair in pairs)
    seconds = float(values["ended"]) - float(values["began"])
    changes = int(values["changes"])
    drain = {
        "case": values["case"],
        "transport": values["transport"],
        "reader": values["reader"],
        "run": int(values["run"]),
        "changes": changes,
        "seconds": round(seconds, 3),
        "rows_per_second": round(changes / seconds),
    }
    if "pid" in values:
        drain |= process(values["pid"])
    with open(path, "a") as file:
        file.write(json.dumps(drain) + "\n")
    print(json.dumps(drain), file=sys.stderr)


def spread(values):
    return {
        "median": round(statistics.median(values), 3),
        "min": min(values),
        "max": max(values),
        "values": values,
    }


def summary(drains, case, transport):
    of_case = [d for d in drains if (d["case"], d["transport"]) == (case, transport)]
    runs = {
        reader: {d["run"]: d for d in of_case if d["reader"] == reader}
        for reader in ("recvlogical", "rowhook")
    }
    line = {"case": case, "transport": transport, "changes": of_case[0]["changes"]}
    for reader, of_reader in runs.items():
        if of_reader:
            line[reader] = spread([d["rows_per_second"] for d in of_reader.values()])
    if runs["rowhook"]:
        line["peak_rss_mib"] = spread([d["peak_rss_mib"] for d in runs["rowhook"].values()])
        line["cpu_seconds"] = spread([d["cpu_seconds"] for d in runs["rowhook"].values()])
    both = sorted(runs["rowhook"].keys() & runs["recvlogical"].keys())
    if both:
        rates = {reader: [runs[reader][run]["rows_per_second"] for run in both] for reader in runs}
        pairs = zip(rates["rowhook"], rates["recvlogical"])
        line["ratio"] = spread([round(mine / theirs, 3) for mine, theirs in pairs])
    return line


def cell(line, key, form):
    if key not in line:
        return "-"
    return form(line[key])


def table(path, target):
    with open(path) as file:
        drains = [json.loads(line) for line in file]
    cases = dict.fromkeys((d["case"], d["transport"]) for d in drains)
    lines = [summary(drains, *case) for case in cases]
    with open(target, "w") as file:
        json.dump({"summary": lines, "drains": drains}, file, indent=2)
        file.write("\n")
    rate = lambda value: f"{value['median']:,.0f} ({value['min']:,}–{value['max']:,})"
    ratio = lambda value: f"{value['median']:.2f} ({value['min']:.2f}–{value['max']:.2f})"
    one = lambda value: f"{value['median']:.1f}"
    print("median (min–max); rates in rows/s, memory in MiB, CPU in seconds\n")
    print("| case | transport | changes | pg_recvlogical | rowhook | ratio | peak RSS | CPU |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for line in lines:
        cells = [
            line["case"],
            line["transport"],
            f"{line['changes']:,}",
            cell(line, "recvlogical", rate),
            cell(line, "rowhook", rate),
            cell(line, "ratio", ratio),
            cell(line, "peak_rss_mib", one),
            cell(line, "cpu_seconds", one),
        ]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "record":
        record(arguments[0], arguments[1:])
    elif command == "table":
        table(*arguments)
    else:
        sys.exit(__doc__)
