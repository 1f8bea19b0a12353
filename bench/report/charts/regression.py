"""Points with a straight line through them, and their means."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.report.charts.fields import Field, Row, as_field, is_number, label, numeric
from bench.report.charts.points import scatter
from bench.report.charts.spec import ORANGE, Spec, columns, tooltip


def scatter_with_regression(
    rows: Sequence[Row],
    x: Field | str,
    y: Field | str,
    title: str = "",
    name: Field | str | None = None,
) -> Spec:
    """As `scatter`, with the mean at each value that several rows share; and for numbers a straight line.

    The line is of least squares, over log x where x is logarithmic. Its rise and R² are the subtitle.
    """
    x, y = as_field(x), as_field(y)
    drawn = scatter(rows, x, y, title, name)
    xs, ys = (axis.of(rows) for axis in (x, y))
    known = [(a, b) for a, b in zip(xs, ys, strict=True) if is_number(b) and a is not None]
    if numeric(xs):
        log = x.log and min(a for a, _ in known) > 0 if known else False
        line = regression([a for a, _ in known], [b for _, b in known], log)
        if line is not None:
            drawn["title"] = {"text": title, "subtitle": _words(line, known, y, log)}
            drawn["layer"].append(_line(known, line, log))
    means = _means(known if numeric(xs) else [(label(a), b) for a, b in known])
    if means:
        drawn["layer"].append(_diamonds(means, x, y, drawn["layer"][0]["encoding"]))
    return drawn


def regression(
    xs: Sequence[float], ys: Sequence[float], log: bool = False
) -> tuple[float, float, float] | None:
    """Intercept, slope (`log`: for each decade of x) and R² of least squares; None below three points."""
    if len(xs) < 3 or len(set(xs)) < 2:
        return None
    a = np.log10(xs) if log else np.asarray(xs, float)
    b = np.asarray(ys, float)
    middle, mean = a.mean(), b.mean()
    slope = float(((a - middle) * (b - mean)).sum() / ((a - middle) ** 2).sum())
    rest, whole = ((b - mean - slope * (a - middle)) ** 2).sum(), ((b - mean) ** 2).sum()
    found = (float(mean - slope * middle), slope, float(1 - rest / whole) if whole else 0.0)
    return found if all(map(math.isfinite, found)) else None


def _words(
    line: tuple[float, float, float], known: Sequence[tuple[float, float]], y: Field, log: bool
) -> str:
    """By how much the line rises over all of x, which says more than its slope for each unit."""
    low, high = (end(a for a, _ in known) for end in (min, max))
    rise = line[1] * (math.log10(high / low) if log else high - low)
    told = f"{100 * rise:+.2g} points" if y.percent else f"{rise:+.2g}"
    return f"{told} from {label(low)} to {label(high)}, R² {line[2]:.2f}"


def _line(
    known: Sequence[tuple[float, float]], line: tuple[float, float, float], log: bool
) -> Spec:
    ends = (min(a for a, _ in known), max(a for a, _ in known))
    height = [line[0] + line[1] * (math.log10(end) if log else end) for end in ends]
    encoding = {axis: {"field": axis, "type": "quantitative"} for axis in ("x", "y")}
    mark = {"type": "line", "color": ORANGE, "strokeWidth": 1.5}
    return {"data": {"values": columns(x=ends, y=height)}, "mark": mark, "encoding": encoding}


def _means(known: Sequence[tuple[Any, float]]) -> list[dict[str, Any]]:
    """The mean at each x, unless every x is alone."""
    groups: dict[Any, list[float]] = {}
    for x, y in known:
        groups.setdefault(x, []).append(y)
    if len(groups) > len(known) / 2:
        return []
    return [{"x": x, "y": sum(ys) / len(ys), "n": len(ys)} for x, ys in groups.items()]


def _diamonds(means: Sequence[Row], x: Field, y: Field, encoding: dict[str, Any]) -> dict[str, Any]:
    """Where the means are, on the axes of the points."""
    mark = {
        "type": "point",
        "shape": "diamond",
        "filled": True,
        "size": 90,
        "opacity": 1,
        "color": ORANGE,
    }
    mean = Field("y", f"mean {y.words}", y.percent)
    told = tooltip(x=(x, [row["x"] for row in means]), y=(mean, [1.0]), n=(Field("n"), [1]))
    axes = {axis: encoding[axis] for axis in ("x", "y")}
    return {"data": {"values": means}, "mark": mark, "encoding": {**axes, "tooltip": told}}
