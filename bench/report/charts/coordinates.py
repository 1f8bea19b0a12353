"""Parallel coordinates: every row a line across several axes."""

import math
from collections.abc import Sequence
from typing import Any

from bench.report.charts.fields import Field, Row, as_field, is_number, label, numeric
from bench.report.charts.spec import Spec, chart, named, shaded, tooltip

_APART = 0.06  # of the height of an axis
_GOLDEN = (math.sqrt(5) - 1) / 2  # whose multiples, without their whole part, are spread evenly

_UP = {"field": "y", "type": "quantitative", "axis": None, "scale": {"domain": [-0.04, 1.04]}}
_AXIS = {"orient": "top", "labelAngle": 0, "domain": False, "grid": True, "gridOpacity": 1, "ticks": False,
         "labelLimit": 120}  # fmt: skip
_TEXT = {"type": "text", "align": "left", "dx": 5, "fontSize": 10, "fontWeight": 600}


def parallel(
    rows: Sequence[Row],
    axes: Sequence[Field | str],
    color: Field | str,
    title: str = "",
    name: Field | str | None = None,
) -> Spec:
    """A line for each row, from axis to axis, coloured by a number; the greatest lie on top.

    Args:
        rows: a line each.
        axes: each from its least value, below, to its greatest; names have places of their own.
        color: of a line.
        title: above it.
        name: what a line is called under the pointer.
    """
    fields, color = [as_field(axis) for axis in axes], as_field(color)
    shades = color.of(rows)
    order = sorted(
        (n for n, s in enumerate(shades) if is_number(s)), key=lambda number: shades[number]
    )
    names = as_field(name).of(rows) if name is not None else list(map(str, range(len(rows))))
    data: list[dict[str, Any]] = []
    ticks: list[dict[str, Any]] = []
    for field in fields:
        values = field.of(rows)
        heights, marks = _placed(values, field.log)
        spread = _APART if len(set(heights)) < len(rows) / 2 else 0.0
        data += [
            {"axis": field.words, "y": _apart(heights[n], n, spread), "row": n, "color": shades[n],
             "name": names[n], "value": label(values[n])}
            for n in order
        ]  # fmt: skip
        ticks += [{"axis": field.words, "y": y, "text": text} for text, y in marks]
    told = tooltip(
        name=(as_field(name or "row"), [""]), color=(color, [0.0]), value=(Field("value"), [""])
    )
    line = {
        "mark": {"type": "line", "strokeWidth": 1.2, "opacity": 0.55},
        "encoding": {"detail": {"field": "row"}, "color": shaded(color, "color"), "tooltip": told},
    }
    text = {"data": {"values": ticks}, "mark": _TEXT, "encoding": {"text": {"field": "text"}}}
    place = {
        **named(Field("axis"), "axis", [f.words for f in fields]),
        "title": None,
        "axis": _AXIS,
    }
    width = max(480, min(1040, 120 * len(fields)))
    return chart(data, title, width=width, encoding={"x": place, "y": _UP}, layer=[line, text])


def _apart(height: float | None, number: int, spread: float) -> float | None:
    """Lines that share a place, next to one another, so that one sees how many they are."""
    return None if height is None else round(height + spread * (number * _GOLDEN % 1 - 0.5), 4)


def _placed(values: Sequence[Any], log: bool) -> tuple[list[float | None], list[tuple[str, float]]]:
    """Heights from 0 to 1, and what to write at which height."""
    if numeric(values):
        known = sorted({value for value in values if value is not None})
        log = log and known[0] > 0

        def scaled(value: float) -> float:
            return math.log(value) if log else float(value)

        low, high = scaled(known[0]), scaled(known[-1])

        def height(value: Any) -> float | None:
            if value is None:
                return None
            return round((scaled(value) - low) / (high - low), 4) if high > low else 0.5

        shown = known if len(known) <= 8 else [known[0], known[-1]]
        return [height(v) for v in values], [(label(v), height(v) or 0.0) for v in shown]
    levels = sorted({label(value) for value in values})
    heights = {v: n / (len(levels) - 1) if len(levels) > 1 else 0.5 for n, v in enumerate(levels)}
    return [heights[label(value)] for value in values], list(heights.items())
