"""What all specifications have in common: the frame, the axes, the looks."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bench.report.charts.fields import Field, Row, label, numeric

Spec = dict[str, Any]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH, HEIGHT = 460, 270
# Okabe and Ito, "Color universal design", 2008: told apart by the colour-blind too; black is for text.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
BLUE, ORANGE = COLORS[:2]
GRAY = "rgba(140, 149, 159, 0.5)"  # of what is behind, on white and on dark
FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif"
_LEAST_MARKS, _MOST_MARKS = 3, 6
_FINE_STEPS = ("1", "1.2", "1.5", "2", "2.5", "3", "4", "5", "6", "8")
_PERCENT = "format(100 * datum.value, '.4~g') + ' %'"
_NUMBER = (
    "abs(datum.value) < 1e3 ? format(datum.value, '.3~g') : "
    "format(datum.value, abs(datum.value) < 1e6 ? ',.6~r' : '.3~s')"
)


def chart(data: Sequence[Row], title: str = "", **parts: Any) -> Spec:
    """A specification with `data` inside; its other parts as Vega-Lite names them."""
    size: Spec = {"width": WIDTH, "height": HEIGHT}
    heading: Spec = {"title": title} if title else {}
    return {"$schema": SCHEMA, **heading, **size, "data": {"values": list(data)}, **parts}


def thinned(spec: Spec, most: int) -> Spec:
    """Of many rows, the first quarter of `most` and chosen ones of the rest; what was computed of all stays.

    The choice is the same every time.
    """
    rows = spec["data"]["values"]
    if len(rows) <= most:
        return spec
    return {**spec, "data": {"values": [rows[number] for number in sample(len(rows), most)]}}


def sample(rows: int, most: int) -> list[int]:
    """Numbers of rows, in order: the first quarter of `most`, and others by chance, the same every time."""
    if rows <= most:
        return list(range(rows))
    first = most // 4
    rest = np.random.default_rng(0).choice(rows - first, most - first, replace=False) + first
    return [*range(first), *sorted(map(int, rest))]


def columns(**values: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of columns of equal length. Their short names keep a strange key out of Vega's own language."""
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def position(
    field: Field, name: str, values: Iterable[Any], at_values: bool = False
) -> dict[str, Any]:
    """How a column is placed along x or y: numbers by their size, all else by name.

    Args:
        field: what it is.
        name: of the column.
        values: of it.
        at_values: few different numbers are marked on the axis themselves.
    """
    known = [value for value in values if value is not None]
    if not numeric(known):
        order = [label(value) for value in sorted(set(known), key=lambda v: (str(type(v)), v))]
        level = {"labelAngle": 0} if sum(map(len, order)) < 60 else {}
        return {
            "field": name,
            "type": "ordinal",
            "title": field.words,
            "sort": order,
            "axis": level,
        }
    log, few = field.log and min(known) > 0, sorted(set(known))
    scale = {"type": "log", "nice": False} if log else {"zero": False, "nice": False}
    marks = (
        few if at_values and len(few) <= _MOST_MARKS else ticks(few[0], few[-1]) if log else None
    )
    axis: Spec = {"labelExpr": _PERCENT if field.percent else _NUMBER}
    if all(isinstance(value, int) for value in few):
        axis["tickMinStep"] = 1
    return {
        "field": name,
        "type": "quantitative",
        "title": field.words,
        "scale": {**scale, "padding": 10},
        "axis": {**axis, **({"values": marks} if marks and not field.percent else {})},
    }


def ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis: powers of ten, and numbers between them where those are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps in ("1", "125", _FINE_STEPS):
        numbers = [float(f"{step}e{power}") for power in powers for step in steps]
        found = [number for number in numbers if low <= number <= high]
        if len(found) >= _LEAST_MARKS:
            break
    return found


def named(field: Field, name: str, values: Iterable[Any]) -> dict[str, Any]:
    """How a column of names is told apart, in the order in which they come."""
    order = list(dict.fromkeys(values))
    return {"field": name, "type": "nominal", "title": field.words, "sort": order}


def shaded(field: Field, name: str) -> dict[str, Any]:
    """How a column of numbers is coloured."""
    legend = {"format": ".1%" if field.percent else ".3~g"}
    scale = {"zero": False}
    return {
        "field": name,
        "type": "quantitative",
        "title": field.words,
        "scale": scale,
        "legend": legend,
    }


def tooltip(**fields: tuple[Field, Iterable[Any]]) -> list[dict[str, str]]:
    """What is told of a mark under the pointer, by column."""
    told = []
    for name, (field, values) in fields.items():
        form = {"format": ".2%" if field.percent else ".4~g"} if numeric(values) else {}
        kind = "quantitative" if form else "nominal"
        told.append({"field": name, "type": kind, "title": field.words, **form})
    return told


def config(dark: bool = False) -> Spec:
    """The looks of all charts, on white or on a dark page."""
    ink, faint, grid = (
        ("#d8dade", "#9aa0a6", "#33373c") if dark else ("#24292f", "#57606a", "#e6e8eb")
    )
    return {
        "background": "#16181b" if dark else "#ffffff",
        "font": FONT,
        "view": {"stroke": None},
        "title": {"color": ink, "fontSize": 13, "fontWeight": 600, "anchor": "start", "offset": 12,
                  "subtitleColor": faint, "subtitleFontSize": 11, "subtitlePadding": 4},
        "axis": {"domainColor": faint, "gridColor": grid, "tickColor": faint, "labelColor": faint,
                 "titleColor": ink, "titleFontWeight": "normal", "titleFontSize": 12, "labelFontSize": 11,
                 "titlePadding": 8, "labelOverlap": True, "tickCount": 6},
        "axisBand": {"grid": False},
        "legend": {"labelColor": faint, "titleColor": ink, "titleFontWeight": "normal", "orient": "bottom",
                   "layout": {"margin": 24},
                   "titleFontSize": 12, "labelFontSize": 11, "symbolStrokeWidth": 2, "columns": 3,
                   "gradientLength": 160},
        "mark": {"color": BLUE},
        "header": {"labelColor": faint, "titleColor": ink, "titleFontWeight": "normal"},
        "text": {"color": ink},
        "rule": {"color": faint},
        "range": {"category": list(COLORS), "heatmap": {"scheme": "cividis"},
                  "ramp": {"scheme": "cividis"}},
    }  # fmt: skip
