"""Heat maps: a mean for each pair of levels."""

from collections.abc import Sequence
from typing import Any

from bench.report.charts.fields import Field, Row, as_field, is_number, leveled
from bench.report.charts.spec import Spec, chart, columns, shaded, tooltip

_MOST_WRITTEN = 150  # cells that have their number in them
_STEP = 44


def heat_map(
    rows: Sequence[Row],
    x: Field | str,
    y: Field | str,
    value: Field | str,
    title: str = "",
    step: int = _STEP,
    scale: str = "linear",
) -> Spec:
    """The mean of `value` over the rows at each pair of levels of x and y, and how many they are.

    Args:
        rows: any number for each cell; where there is none the cell is empty.
        x: to the right; many different numbers are put into ranges.
        y: downwards.
        value: what is averaged.
        title: above it.
        step: pixels of a cell's side.
        scale: of the colours, as Vega-Lite names it: "sqrt" shows small values beside great ones.
    """
    x, y, value = as_field(x), as_field(y), as_field(value)
    (xs, across), (ys, down) = (leveled(axis, rows) for axis in (x, y))
    cells: dict[tuple[str, str], list[float]] = {}
    for a, b, found in zip(xs, ys, value.of(rows), strict=True):
        if is_number(found):
            cells.setdefault((a, b), []).append(found)
    data = columns(
        x=[a for a, _ in cells],
        y=[b for _, b in cells],
        value=[float(f"{sum(v) / len(v):.6g}") for v in cells.values()],
        n=[len(v) for v in cells.values()],
    )
    told = tooltip(x=(x, [""]), y=(y, [""]), value=(value, [0.0]), n=(Field("n"), [0]))
    color = shaded(value, "value")
    color["scale"]["type"] = scale
    encoding = {"x": _place(x, "x", across, step), "y": _place(y, "y", down)}
    layer: list[Any] = [{"mark": "rect", "encoding": {"color": color, "tooltip": told}}]
    if 0 < len(data) <= _MOST_WRITTEN and step >= _STEP:
        layer.append(_written(value, [row["value"] for row in data]))
    size = {"width": {"step": step}, "height": {"step": min(step, 30)}}
    return chart(data, title, **size, encoding=encoding, layer=layer)


def _place(field: Field, name: str, levels: list[str], step: int = 0) -> dict[str, Any]:
    """Every level has its place and its name, which is turned where it is wider than `step` pixels."""
    long = step and any(8 * len(level) > step for level in levels)
    axis = {"grid": False, "labelOverlap": False, "labelAngle": -40 if long else 0}
    about = {"field": name, "type": "ordinal", "title": field.words}
    return {**about, "sort": levels, "scale": {"domain": levels}, "axis": axis}


def _written(value: Field, means: list[float]) -> Spec:
    """The number in each cell, dark on what is light."""
    text = "format(100 * datum.value, '.1f')" if value.percent else "format(datum.value, '.3~g')"
    light = f"datum.value > {(min(means) + max(means)) / 2}"
    ink = {"condition": {"test": light, "value": "#111"}, "value": "#eee"}
    return {
        "transform": [{"calculate": text, "as": "written"}],
        "mark": {"type": "text", "fontSize": 10},
        "encoding": {"text": {"field": "written"}, "color": ink},
    }
