"""Bars of parts that add up."""

from collections.abc import Sequence
from typing import Any

from bench.report.charts.fields import Field, Row, as_field, label
from bench.report.charts.spec import Spec, chart, columns, named, position, tooltip


def bars(
    rows: Sequence[Row],
    name: Field | str,
    value: Field | str,
    part: Field | str | None = None,
    title: str = "",
) -> Spec:
    """A bar for each name, lying, in the order of the rows; its parts, if any, one after another.

    Args:
        rows: a name and a value each, over 0; and a part.
        name: of the bar.
        value: its length.
        part: what it is made of.
        title: above it.
    """
    name, value = as_field(name), as_field(value)
    found = {"x": value.of(rows), "y": list(map(label, name.of(rows)))}
    told = {"y": (name, [""]), "x": (value, found["x"])}
    encoding: dict[str, Any] = {
        "x": {**position(value, "x", [*found["x"], 0.0]), "scale": {"zero": True}},
        "y": named(name, "y", found["y"]),
    }
    if part is not None:
        part = as_field(part)
        found["part"] = list(map(label, part.of(rows)))
        parts = list(dict.fromkeys(found["part"]))
        encoding["color"] = named(part, "part", parts)
        encoding["order"] = {"field": "place", "type": "quantitative"}
        found["place"] = [parts.index(name) for name in found["part"]]
        told["part"] = (part, [""])
    encoding["tooltip"] = tooltip(**told)
    mark = {"type": "bar", "height": {"band": 0.7}}
    return chart(columns(**found), title, height={"step": 26}, mark=mark, encoding=encoding)
