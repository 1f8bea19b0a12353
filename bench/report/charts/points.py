"""Points: one number against another, with a straight line through them or a front around them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.report.charts.fields import Field, Row, as_field, is_number, label, numeric
from bench.report.charts.spec import BLUE, GRAY, ORANGE, Spec, chart, columns, position, tooltip

_POINT = {"type": "point", "filled": True, "size": 36}
_MANY = 200  # points, from which on they are fainter


def scatter(
    rows: Sequence[Row],
    x: Field | str,
    y: Field | str,
    title: str = "",
    name: Field | str | None = None,
    color: Field | str | None = None,
) -> Spec:
    """A point a row.

    Args:
        rows: a point each.
        x: along the axis; names in place of numbers have a place each.
        y: upwards.
        title: above it.
        name: what a point is called under the pointer.
        color: of each point.
    """
    x, y = as_field(x), as_field(y)
    found = {"x": x.of(rows), "y": y.of(rows)}
    if not numeric(found["x"]):
        found["x"] = list(map(label, found["x"]))
    told = {}
    for column, field in (("name", name), ("color", color)):
        if field is not None:
            found[column] = as_field(field).of(rows)
            told[column] = (as_field(field), found[column])
    told |= {"x": (x, found["x"]), "y": (y, found["y"])}
    encoding: dict[str, Any] = {
        "x": position(x, "x", found["x"], at_values=True),
        "y": position(y, "y", found["y"]),
        "tooltip": tooltip(**told),
    }
    if color is not None:
        kind = "quantitative" if numeric(found["color"]) else "nominal"
        encoding["color"] = {"field": "color", "type": kind, "title": as_field(color).words}
    mark = {**_POINT, "opacity": 0.6 if len(rows) < _MANY else 0.3, "color": BLUE}
    layer = {"mark": mark, "encoding": encoding}
    return chart(columns(**found), title, layer=[layer])


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
    means = _means(known) if numeric(xs) else _means([(label(a), b) for a, b in known])
    if means:
        mark = {"type": "point", "shape": "diamond", "filled": True, "size": 90, "opacity": 1}
        shown = {"x": (x, [m["x"] for m in means]), "y": (Field("y", f"mean {y.words}", y.percent), [1.0]),
                 "n": (Field("n", "rows"), [1])}  # fmt: skip
        encoding = {axis: drawn["layer"][0]["encoding"][axis] for axis in ("x", "y")}
        told = {"tooltip": tooltip(**shown), "color": {"value": ORANGE}}
        layer = {"data": {"values": means}, "mark": mark, "encoding": {**encoding, **told}}
        drawn["layer"].append(layer)
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


def pareto(
    rows: Sequence[Row],
    x: Field | str,
    y: Field | str,
    title: str = "",
    name: Field | str | None = None,
) -> Spec:
    """As `scatter`, with the front: the points that none with less or equal x has a greater y."""
    x, y = as_field(x), as_field(y)
    drawn = scatter(rows, x, y, title, name)
    drawn["layer"][0]["mark"] |= {"color": GRAY, "opacity": 1}
    encoding = drawn["layer"][0]["encoding"]
    best = front(drawn["data"]["values"])
    line = {"type": "line", "interpolate": "step-after", "color": BLUE, "strokeWidth": 1.5}
    point = {"type": "point", "filled": True, "size": 60, "color": BLUE, "opacity": 1}
    for mark in (line, point):
        parts = {k: v for k, v in encoding.items() if k != "tooltip" or mark is point}
        drawn["layer"].append({"data": {"values": best}, "mark": mark, "encoding": parts})
    return drawn


def front(points: Sequence[Row]) -> list[Row]:
    """The Pareto front of points with an `x` to be small and a `y` to be great, by x."""
    known = [p for p in points if is_number(p["x"]) and is_number(p["y"])]
    best: list[Row] = []
    for point in sorted(known, key=lambda p: (p["x"], -p["y"])):
        if not best or point["y"] > best[-1]["y"]:
            best.append(point)
    return best


def spread(rows: Sequence[Row], x: Field | str, y: Field | str, title: str = "") -> Spec:
    """For each name x, all values of y, from the least to the greatest, and their median.

    Names are in the order of their medians, the greatest first.
    """
    x, y = as_field(x), as_field(y)
    groups: dict[str, list[float]] = {}
    for name, value in zip(map(label, x.of(rows)), y.of(rows), strict=True):
        if is_number(value):
            groups.setdefault(name, []).append(value)
    data: list[dict[str, Any]] = [
        {"x": name, "low": min(ys), "middle": float(np.median(ys)), "high": max(ys), "n": len(ys)}
        for name, ys in groups.items()
    ]
    data.sort(key=lambda row: -row["middle"])
    place = {"field": "x", "type": "nominal", "title": None, "sort": [row["x"] for row in data],
             "axis": {"labelLimit": 500}}  # fmt: skip
    across = position(y, "middle", [m for ys in groups.values() for m in (min(ys), max(ys))])
    told = tooltip(
        x=(x, [""]), low=(Field("", "least", y.percent), [0]), middle=(Field("", "median", y.percent), [0]),
        high=(Field("", "greatest", y.percent), [0]), n=(Field("", "trials"), [0]),
    )  # fmt: skip
    layer = [
        {"mark": {"type": "rule", "strokeWidth": 2},
         "encoding": {"x": {**across, "field": "low"}, "x2": {"field": "high"}}},
        {"mark": {"type": "point", "filled": True, "size": 60, "color": BLUE, "opacity": 1},
         "encoding": {"x": across, "tooltip": told}},
    ]  # fmt: skip
    return chart(data, title, height={"step": 18}, encoding={"y": place}, layer=layer)
