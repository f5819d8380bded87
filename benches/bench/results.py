"""What a case hands back: lines of the table, and curves."""

from dataclasses import asdict, dataclass, field

from .measure import spread


@dataclass
class Goal:
    """What is to be reached: by the ratio to the reference, or by rowhook's own value."""

    on: str
    bound: str
    value: float

    def reached(self, measured):
        return {
            ">=": measured >= self.value,
            ">": measured > self.value,
            "<=": measured <= self.value,
        }[self.bound]


def ratio_at_least(value):
    return Goal("ratio", ">=", value)


def ratio_at_most(value):
    return Goal("ratio", "<=", value)


def ratio_above(value):
    return Goal("ratio", ">", value)


def at_least(value):
    return Goal("rowhook", ">=", value)


def at_most(value):
    return Goal("rowhook", "<=", value)


@dataclass
class Line:
    """One line of the table: values of each run, the reference's of the same runs beside them."""

    what: str
    unit: str
    rowhook: list
    reference: list = field(default_factory=list)
    reference_name: str = ""
    goal: Goal | None = None
    compare: bool = True
    note: str = ""

    def as_json(self):
        line = asdict(self)
        line["ratio"] = self.ratios()
        for key in ("rowhook", "reference", "ratio"):
            line[key] = [round(value, 4) for value in line[key]]
        line["reached"] = self.reached()
        return line

    def ratios(self):
        if not self.compare:
            return []
        return [mine / theirs for mine, theirs in zip(self.rowhook, self.reference) if theirs]

    def reached(self):
        measured = self.ratios() if self.goal and self.goal.on == "ratio" else self.rowhook
        if self.goal is None or not measured:
            return None
        return self.goal.reached(spread(measured)["median"])


@dataclass
class Curve:
    """How a rate changes with one thing: at each place the values of all runs."""

    what: str
    of: str
    unit: str
    points: list = field(default_factory=list)
    note: str = ""

    def add(self, place, values):
        self.points.append([place, [round(value, 1) for value in values]])

    def as_json(self):
        return asdict(self)
