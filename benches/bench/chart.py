"""The chart: how far each goal was reached, and one small picture for each curve. SVG, written by hand."""

import math
from html import escape

from .measure import spread

WIDTH = 1080
LABELS = 520
BAR, GAP = 16, 8
# Bars end here: so many times the goal.
MOST = 2.0
SMALL_WIDTH, SMALL_HEIGHT = 500, 240
COLOURS = {True: "#2a7d4f", False: "#b5482f", "line": "#2b5c8a", "grid": "#d5d5d5", "text": "#222222", "soft": "#666666"}
STYLE = "font-family: system-ui, sans-serif; font-size: 12px"


def draw(results, quick):
    body, bottom = bars(goals(results), 56)
    curves = [(case, curve) for case, result in results.items() for curve in result.get("curves", [])]
    if curves:
        bottom += 50
        body += text(20, bottom - 16, "How the rate changes", size=15)
    for place, (case, curve) in enumerate(curves):
        left, top = 20 + place % 2 * (SMALL_WIDTH + 30), bottom + place // 2 * (SMALL_HEIGHT + 30)
        body += small(case, curve, left, top)
    height = bottom + -(-len(curves) // 2) * (SMALL_HEIGHT + 30) + 20
    title = "rowhook: goals and what was measured" + (" (a quick run: the numbers mean nothing)" if quick else "")
    size = f'width="{WIDTH}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height}" style="{STYLE}">\n'
        f'<rect {size} fill="#ffffff"/>\n' + text(20, 26, title, size=17) + "".join(body) + "</svg>\n"
    )


def text(x, y, words, anchor="start", size=12, colour="text"):
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{COLOURS[colour]}">{escape(words)}</text>\n'


def stroke(x1, y1, x2, y2, colour, width=1, dash=""):
    look = f'stroke="{COLOURS[colour]}" stroke-width="{width}"' + (f' stroke-dasharray="{dash}"' if dash else "")
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {look}/>\n'


def goals(results):
    """Label, share of the goal that was reached, words for the value: 1 and more is reached."""
    found = []
    for case, result in results.items():
        for line in result.get("lines", []):
            if line["goal"] is None or line["reached"] is None:
                continue
            on_ratio = line["goal"]["on"] == "ratio"
            measured = spread(line["ratio"] if on_ratio else line["rowhook"])["median"]
            target = line["goal"]["value"]
            at_most = line["goal"]["bound"] == "<="
            share = measured / target if not at_most else target / measured if measured > 0 else math.inf
            unit = "×" if on_ratio else line["unit"]
            sign = {">=": "≥", "<=": "≤", ">": ">"}[line["goal"]["bound"]]
            words = f"{measured:,.3g} {unit}".replace("e+0", "e") if measured < 1000 else f"{measured:,.0f} {unit}"
            found.append((f"{case}: {line['what']}", share, f"{words} (goal {sign} {target:,g})", line["reached"]))
    return found


def bars(lines, top):
    """Each bar against one line that stands for every case's goal."""
    if not lines:
        return [], top - 40
    room = WIDTH - LABELS - 220
    unit = room / MOST
    bottom = top + 24 + len(lines) * (BAR + GAP)
    goal = LABELS + unit
    body = [text(goal, top + 8, "goal (to its right: reached)", "middle")]
    for place, (_, share, _, reached) in enumerate(lines):
        size = f'width="{bar_length(share, unit):.1f}" height="{BAR}"'
        body.append(f'<rect x="{LABELS}" y="{top + 24 + place * (BAR + GAP)}" {size} fill="{COLOURS[reached]}"/>\n')
    body.append(stroke(goal, top + 14, goal, bottom, "text", 1.5, "4 3"))
    for place, (label, share, words, _) in enumerate(lines):
        y = top + 24 + place * (BAR + GAP) + BAR - 4
        body.append(text(LABELS - 8, y, shortened(label, 84), "end"))
        body.append(text(LABELS + room + 8, y, ("→ " if share > MOST else "") + words, colour="soft"))
    return body, bottom


def bar_length(share, unit):
    return max(1.0, min(share, MOST) * unit)


def shortened(words, most):
    return words if len(words) <= most else words[: most - 1] + "…"


def small(case, curve, left, top):
    """One curve: the medians as a line, the ranges as strokes, places by their logarithm where they grow fast."""
    places = [place for place, _ in curve["points"]]
    highest = nice(1.08 * max(max(values) for _, values in curve["points"]))
    x0, x1, y0, y1 = left + 70, left + SMALL_WIDTH - 14, top + SMALL_HEIGHT - 44, top + 30
    logarithmic = min(places) > 0 and max(places) / min(places) >= 20
    scale = math.log10 if logarithmic else float
    low, high = scale(min(places)), scale(max(places))
    x = lambda place: x0 + (x1 - x0) * ((scale(place) - low) / (high - low) if high > low else 0.5)
    y = lambda value: y0 - (y0 - y1) * value / highest
    body = [text(left, top + 12, f"{case}: {curve['what']}, {curve['unit']}", size=13)]
    for part in range(5):
        value = highest * part / 4
        body.append(stroke(x0, y(value), x1, y(value), "grid"))
        body.append(text(x0 - 6, y(value) + 4, f"{value:,.0f}", "end", 11, "soft"))
    middle = [(x(place), y(spread(values)["median"])) for place, values in curve["points"]]
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in middle)
    body.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS["line"]}" stroke-width="2"/>\n')
    for number, ((place, values), (across, down)) in enumerate(zip(curve["points"], middle)):
        body.append(stroke(across, y(min(values)), across, y(max(values)), "line"))
        body.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="{COLOURS["line"]}"/>\n')
        anchor = {0: "start", len(middle) - 1: "end"}.get(number, "middle")
        body.append(text(across, down - 8, f"{spread(values)['median']:,.0f}", anchor, 10))
        body.append(text(across, y0 + 16, f"{place:,}", "middle", 11, "soft"))
    scale_words = ", logarithmic" if logarithmic else ""
    body.append(text((x0 + x1) / 2, y0 + 34, curve["of"] + scale_words, "middle", 11))
    return "".join(body)


def nice(value):
    """The next round number."""
    if value <= 0:
        return 1
    step = 10 ** math.floor(math.log10(value))
    return next(step * part for part in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if step * part >= value)
