"""Heat maps: a mean for each pair of levels."""

from collections.abc import Sequence
from typing import Any

from bench.report.charts.fields import Field, Row, as_field, is_number, leveled
from bench.report.charts.spec import Spec, chart, columns, tooltip

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
    spec = _drawn(data, (x, across), (y, down), value, title, step)
    spec["layer"][0]["encoding"]["color"]["scale"]["type"] = scale
    return spec


def _drawn(
    data: list[dict[str, Any]],
    x: tuple[Field, list[str]],
    y: tuple[Field, list[str]],
    value: Field,
    title: str,
    step: int,
) -> Spec:
    def place(field: Field, levels: list[str], **axis: Any) -> dict[str, Any]:
        return {
            "type": "ordinal",
            "title": field.words,
            "sort": levels,
            "scale": {"domain": levels},
            "axis": {"grid": False, "labelOverlap": False, **axis},
        }

    means = [row["value"] for row in data]
    middle = (min(means) + max(means)) / 2 if means else 0.0
    short = all(7 * len(level) <= step for level in x[1])
    told = tooltip(
        x=(x[0], [""]), y=(y[0], [""]), value=(value, [0.0]), n=(Field("n", "rows"), [0])
    )
    encoding = {
        "x": {"field": "x", **place(*x, labelAngle=0 if short else -40)},
        "y": {"field": "y", **place(*y)},
    }
    color = {"field": "value", "type": "quantitative", "title": value.words, "scale": {"zero": False},
             "legend": {"format": ".1%" if value.percent else ".3~g"}}  # fmt: skip
    written = "format(100 * datum.value, '.1f')" if value.percent else "format(datum.value, '.3~g')"
    ink = {"condition": {"test": f"datum.value > {middle}", "value": "#111"}, "value": "#eee"}
    layer: list[Any] = [{"mark": "rect", "encoding": {"color": color, "tooltip": told}}]
    if len(data) <= _MOST_WRITTEN and step >= _STEP:
        layer.append(
            {
                "transform": [{"calculate": written, "as": "written"}],
                "mark": {"type": "text", "fontSize": 10},
                "encoding": {"text": {"field": "written"}, "color": ink},
            }
        )
    size = {"width": {"step": step}, "height": {"step": min(step, 30)}}
    return chart(data, title, **size, encoding=encoding, layer=layer)
