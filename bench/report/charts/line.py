"""Lines over a common axis, such as learning curves."""

from collections.abc import Sequence
from typing import Any

from bench.report.charts.fields import Field, Row, as_field
from bench.report.charts.spec import COLORS, GRAY, Spec, chart, columns, named, position, tooltip

_MOST_NAMED = len(COLORS) - 1  # the others are gray, and told apart under the pointer

_POINTED = {
    "name": "pointed",
    "select": {"type": "point", "on": "pointerover", "clear": "view:pointerout", "fields": ["series"],
               "nearest": True},
}  # fmt: skip


def lines(
    rows: Sequence[Row],
    x: Field | str,
    y: Field | str,
    series: Field | str,
    title: str = "",
    dash: Field | str | None = None,
) -> Spec:
    """A line for each value of `series`, which stands out under the pointer; broken where y is unknown.

    The first few have a colour and a name; the others are gray, below them.

    Args:
        rows: a point each.
        x: along the axis.
        y: upwards.
        series: whose lines they are.
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
        "color": _colors(series, names),
        "opacity": {"condition": {"param": "pointed", "value": 1, "empty": True}, "value": 0.15},
    }
    if dash is not None:
        dash = as_field(dash)
        found["dash"] = dash.of(rows)
        told["dash"] = (dash, found["dash"])
        encoding["strokeDash"] = named(dash, "dash", found["dash"])
    dots = {"type": "point", "filled": True, "size": 14, "tooltip": True}
    layers = [
        {"mark": {"type": "line", "strokeWidth": 1.6}},
        {"mark": dots, "params": [_POINTED], "encoding": {"tooltip": tooltip(**told)}},
    ]
    places = {name: place for place, name in enumerate(names)}
    data = sorted(columns(**found), key=lambda row: -places[row["series"]])  # the first on top
    return chart(data, title, encoding=encoding, layer=layers)


def _colors(series: Field, names: list[str]) -> dict[str, Any]:
    most = len(names) if len(names) <= len(COLORS) else _MOST_NAMED  # gray alone has a name too
    colors = [*COLORS[:most], *[GRAY] * len(names)][: len(names)]
    scale = {"domain": names, "range": colors}
    return {
        **named(series, "series", names),
        "scale": scale,
        "legend": {"values": names[:most]},
    }
