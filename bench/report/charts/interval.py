"""How far numbers of one name lie apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.report.charts.fields import Field, Row, as_field, is_number, label
from bench.report.charts.spec import BLUE, Spec, chart, position, tooltip


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
