"""Points: one number against another."""

from collections.abc import Sequence
from typing import Any

from bench.report.charts.fields import Field, Row, as_field, label, numeric
from bench.report.charts.spec import BLUE, Spec, chart, columns, named, position, shaded, tooltip

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
        color, shades = as_field(color), found["color"]
        encoding["color"] = (
            shaded(color, "color") if numeric(shades) else named(color, "color", shades)
        )
    mark = {**_POINT, "opacity": 0.6 if len(rows) < _MANY else 0.3, "color": BLUE}
    layer = {"mark": mark, "encoding": encoding}
    return chart(columns(**found), title, layer=[layer])
