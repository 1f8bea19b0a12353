"""Points with a front around them: what is had for what."""

from collections.abc import Sequence

from bench.report.charts.fields import Field, Row, as_field, is_number
from bench.report.charts.points import scatter
from bench.report.charts.spec import BLUE, GRAY, Spec


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
