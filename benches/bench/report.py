"""What was measured, kept over several calls: bench.json, the table as Markdown, the chart."""

import json
import os

from .chart import draw
from .measure import spread

HEAD = ["case", "", "reference", "rowhook", "ratio", "to reach", "reached", "measured"]


class Report:
    """The results of one directory. What is measured again replaces what was there."""

    def __init__(self, directory, cases, quick):
        self.directory, self.cases, self.quick = directory, cases, quick
        self.path = os.path.join(directory, "bench.json")
        self.results = {}
        if not quick and os.path.exists(self.path):
            with open(self.path) as file:
                self.results = json.load(file)["cases"]

    def put(self, case, **result):
        self.results[case] = result
        self.write()

    def write(self):
        os.makedirs(self.directory, exist_ok=True)
        ordered = {case: self.results[case] for case in self.cases if case in self.results}
        with open(self.path, "w") as file:
            json.dump({"quick": self.quick, "cases": ordered}, file, indent=1, ensure_ascii=False)
            file.write("\n")
        self._write("table.md", self.table())
        self._write("chart.svg", draw(ordered, self.quick))

    def _write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as file:
            file.write(text)

    def table(self):
        rows, notes = [HEAD], []
        for case, result in self._ordered():
            if result.get("failed"):
                rows.append([case, f"failed: {one_line(result['failed'])}", *[""] * 5, when(result)])
            for line in result.get("lines", []):
                rows.append(cells(case, line, when(result), notes))
        text = "\n".join(padded(rows)) + "\n"
        text = "Medians of the runs, in brackets lowest and highest. " + self._machine() + "\n\n" + text
        text += "".join(f"\n{number}. {note}" for number, note in enumerate(notes, 1)) + "\n" * bool(notes)
        for case, result in self._ordered():
            text += "".join("\n" + self._curve(case, curve, when(result)) for curve in result.get("curves", []))
        warning = "A quick run: smaller sizes, for a test of the benchmark. The numbers mean nothing.\n\n"
        return (warning if self.quick else "") + text

    def _ordered(self):
        return [(case, self.results[case]) for case in self.cases if case in self.results]

    def _machine(self):
        machines = dict.fromkeys(result["machine"] for _, result in self._ordered())
        return "; ".join(machines) + "."

    def _curve(self, case, curve, measured):
        rows = [[curve["of"], f"{curve['unit']}"]]
        rows += [[f"{place:,}", value(values, curve["unit"])] for place, values in curve["points"]]
        note = f"; {curve['note']}" if curve["note"] else ""
        return f"{case}: {curve['what']}{note} ({measured})\n\n" + "\n".join(padded(rows)) + "\n"


def one_line(text):
    return " / ".join(line.strip() for line in str(text).splitlines() if line.strip()).replace("|", "\\|")[:120]


def when(result):
    return f"{result['at']}, {result['version']}"


def cells(case, line, measured, notes):
    words = line["what"]
    if line["note"]:
        if line["note"] not in notes:
            notes.append(line["note"])
        words += f" ({notes.index(line['note']) + 1})"
    reference = ""
    if line["reference"]:
        reference = f"{value(line['reference'], line['unit'])}: {line['reference_name']}"
    ratio = value(line["ratio"], "×") if line["ratio"] else ""
    mine = f"{value(line['rowhook'], line['unit'])} {line['unit']}" if line["rowhook"] else ""
    return [case, words, reference, mine, ratio, goal(line), reached(line), measured]


def goal(line):
    if line["goal"] is None:
        return ""
    bound = {">=": "≥", "<=": "≤", ">": ">"}[line["goal"]["bound"]]
    unit = "×" if line["goal"]["on"] == "ratio" else line["unit"]
    return f"{bound} {line['goal']['value']:,g} {unit}"


def reached(line):
    return {None: "", True: "yes", False: "no"}[line["reached"]]


def value(values, unit):
    """The median, and the range where there is more than one value."""
    of = spread(values)
    digits = 2 if max(map(abs, values)) < 20 else 1 if max(map(abs, values)) < 200 and unit != "rows/s" else 0
    text = f"{of['median']:,.{digits}f}"
    return text if len(values) == 1 else f"{text} ({of['min']:,.{digits}f}–{of['max']:,.{digits}f})"


def padded(rows):
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    rows = [rows[0], ["-" * max(width, 3) for width in widths], *rows[1:]]
    return ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
