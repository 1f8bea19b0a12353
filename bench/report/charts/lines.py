"""Lines over a common axis, such as learning curves."""

from collections.abc import Sequence
from typing import Any

from bench.report.charts.fields import Field, Row, as_field
from bench.report.charts.spec import Spec, chart, columns, position, tooltip

_MOST_NAMED = 10  # lines that a legend can name; more are told apart under the pointer


def lines(
    rows: Sequence[Row],
    x: Field | str,
    y: Field | str,
    series: Field | str,
    title: str = "",
    dash: Field | str | None = None,
) -> Spec:
    """A line for each value of `series`, which stands out under the pointer; broken where y is unknown.

    Args:
        rows: a point each.
        x: along the axis.
        y: upwards.
        series: whose lines have a colour each, named if they are few.
        title: above it.
        dash: of a series, what has a dashed line for each further value, such as the split of the data.
    """
    x, y, series = as_field(x), as_field(y), as_field(series)
    found = {"x": x.of(rows), "y": y.of(rows), "series": list(map(str, series.of(rows)))}
    names = list(dict.fromkeys(found["series"]))
    told = {"series": (series, names), "x": (x, found["x"]), "y": (y, found["y"])}
    encoding: dict[str, Any] = {
        "x": position(x, "x", found["x"]),
        "y": position(y, "y", found["y"]),
        "color": {"field": "series", "type": "nominal", "sort": names, "title": series.words,
                  **({} if len(names) <= _MOST_NAMED else {"legend": None})},
        "opacity": {"condition": {"param": "pointed", "value": 1, "empty": True}, "value": 0.15},
    }  # fmt: skip
    if dash is not None:
        dash = as_field(dash)
        found["dash"] = dash.of(rows)
        kinds = list(dict.fromkeys(found["dash"]))
        encoding["strokeDash"] = {
            "field": "dash",
            "type": "nominal",
            "sort": kinds,
            "title": dash.words,
        }
        told["dash"] = (dash, kinds)
    pointed = {"type": "point", "on": "pointerover", "fields": ["series"], "nearest": True}
    layers = [
        {"mark": {"type": "line", "strokeWidth": 1.6}},
        {
            "mark": {"type": "point", "filled": True, "size": 14, "tooltip": True},
            "params": [{"name": "pointed", "select": {**pointed, "clear": "view:pointerout"}}],
            "encoding": {"tooltip": tooltip(**told)},
        },
    ]
    return chart(columns(**found), title, encoding=encoding, layer=layers)
